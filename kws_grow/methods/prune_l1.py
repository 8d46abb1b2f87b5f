"""Comparator: filter pruning (arXiv 1608.08710): of a wider net, the paths whose rows have the largest L1 norm stay,
the same share in every layer."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from kws_grow.methods.starts import uniform
from kws_grow.network import DsCnn


@dataclass(frozen=True)
class Settings:
    """times: the width pruned from, in widths of the uniform net that fills the budget."""

    times: float = field(default=1.5, metadata={"above": 1, "below": 8})


def start(seed, reference, limits, tariff, settings: Settings):
    return uniform(seed, limits, tariff, settings.times)


def scores(net: DsCnn) -> list[Tensor]:
    """Rank of every path in its layer by the L1 norm of its row, 0..1: [C] a path layer."""
    return [_ranks(layer.mix.weight.detach().abs().flatten(1).sum(1)) for layer in net.paths]


def _ranks(values: Tensor) -> Tensor:
    return torch.argsort(torch.argsort(values)).to(values.dtype) / len(values)
