"""Write docs/operators.md from the table of operators: python -m export.operators"""

from pathlib import Path

from datasets.console import Parser, atomic_write, run_command
from export.operators import OPERATORS
from export.operators.operator import Operator, sentence
from export.operators.rules import INT8_ACTIVATIONS

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "operators.md"

HEAD = """# Supported operators

Written from the rules themselves by `python -m export.operators`; a test holds it against the code.

`make export-mcu MODEL=net.tflite` takes any `.tflite` of one subgraph, with one input and one output, that is built of
these operators and keeps their rules; it need not come from kws-grow. What breaks a rule is refused in one line with
the op, the tensor, what was found and the rule. Scores are those of TFLite Micro, to the bit, in C and in ONNX.

From Keras: `converter.optimizations = [tf.lite.Optimize.DEFAULT]`, a `representative_dataset`,
`converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]`, and `inference_input_type` and
`inference_output_type` of `tf.int8` or `tf.uint8`; dense layers may be quantized per channel.
"""


def document() -> str:
    """The text of docs/operators.md."""
    table = ["| operator | computes | in place |", "|---|---|---|",
             *(f"| {kind} | {operator.summary} | {'yes' if operator.in_place else ''} |"
               for kind, operator in OPERATORS.items())]
    every = ["## Rules of every operator", "", *map(_bullet, INT8_ACTIVATIONS),
             "- Activations are written once, and before they are read."]
    return "\n".join([HEAD, *table, "", *every, "", *map(_section, OPERATORS.values())])


def _section(operator: Operator) -> str:
    own = [rule for rule in operator.rules if rule not in INT8_ACTIVATIONS]
    return "\n".join([f"## {operator.kind}", "", *map(_bullet, own), ""])


def _bullet(rule) -> str:
    return f"- {sentence(rule)}"


def main() -> None:
    Parser(prog="python -m export.operators", description=__doc__).parse_args()
    with atomic_write(DOCUMENT) as temporary:
        temporary.write_text(document())
    print(DOCUMENT)


if __name__ == "__main__":
    run_command(main)
