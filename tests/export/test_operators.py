"""The table of operators: documented as it is, and each rule a sentence."""

from export.operators import OPERATORS
from export.operators.__main__ import DOCUMENT, document
from export.operators.operator import sentence


def test_the_document_is_written_from_the_rules():
    """Where this fails, run: python -m export.operators"""
    assert DOCUMENT.read_text() == document()


def test_rules_are_sentences():
    for operator in OPERATORS.values():
        for rule in operator.rules:
            assert sentence(rule)[0].isupper()
            assert sentence(rule).endswith(".")
