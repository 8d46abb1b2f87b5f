"""How a net comes to its size: one file and one entry a method in METHODS.

Growing methods propose edits of the net as it is. Comparators are not edits of a grown net: they start from a shape, or
from a larger net that is pruned once, and train for as many epochs as the run that they are compared with.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from datasets.console import UserError
from kws_grow.methods import energy_aware, firefly, prune_bn, prune_l1, random, scratch, signed, splitting, width
from kws_grow.methods.proposal import IndexSettings, OffsetSettings, Proposal, Stream
from kws_grow.methods.starts import Start
from kws_grow.network import DsCnn

Propose = Callable[[DsCnn, Stream, torch.Generator, OffsetSettings], Proposal]


@dataclass(frozen=True)
class Nothing:
    """A method without settings."""


@dataclass(frozen=True)
class Method:
    """settings: dataclass of what can be set about it.

    propose: of a growing method. start: of a comparator, the shape that it starts with. scores: of pruning, what each
    path [C] of each layer is worth; penalty: that is added to the loss before.
    """

    settings: type = Nothing
    propose: Propose | None = None
    start: Start | None = None
    scores: Callable[[DsCnn], list[Tensor]] | None = None
    penalty: Callable[[DsCnn, object], Tensor] | None = None


METHODS: dict[str, Method] = {
    "splitting": Method(splitting.ExactSettings, splitting.propose),
    "energy-aware": Method(IndexSettings, energy_aware.propose),
    "signed": Method(signed.SignedSettings, signed.propose),
    "firefly": Method(firefly.FireflySettings, firefly.propose),
    "random": Method(OffsetSettings, random.propose),
    "width": Method(start=width.start),
    "scratch": Method(start=scratch.start),
    "prune-bn": Method(prune_bn.Settings, start=prune_bn.start, scores=prune_bn.scores, penalty=prune_bn.penalty),
    "prune-l1": Method(prune_l1.Settings, start=prune_l1.start, scores=prune_l1.scores),
}


def settings_of(method: str, text: str) -> object:
    """"eps=0.25 steps=60" -> the method's settings. UserError for an option that it does not have, or a bad value."""
    kind = METHODS[method].settings
    known = {field.name: field for field in fields(kind)}
    given = {}
    for part in text.split():
        name, _, value = part.partition("=")
        if name in given:
            raise UserError(f"INDEX={text!r}: names {name} twice")
        if name not in known:
            raise UserError(f"INDEX={text!r}: METHOD={method} has no option {name!r}; allowed: "
                            + (", ".join(known) or "none"))
        given[name] = _value(text, known[name], value)
    return kind(**given)


def _value(text: str, field, value: str) -> int | float | str:
    if allowed := field.metadata.get("allowed"):
        if value not in allowed:
            raise UserError(f"INDEX={text!r}: {field.name}={value}: allowed: {', '.join(allowed)}")
        return value
    above, below = field.metadata["above"], field.metadata.get("below", 1000)
    try:
        number = field.type(value)
    except ValueError:
        number = None
    if number is None or not above < number < below:
        kind = "whole numbers" if field.type is int else "numbers"
        raise UserError(f"INDEX={text!r}: {field.name}={value}: allowed are {kind} above {above} and below {below}")
    return number
