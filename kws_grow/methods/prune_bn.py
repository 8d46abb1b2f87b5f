"""Comparator: network slimming (arXiv 1708.06519): a wider net is trained with an L1 penalty on the scales of its
norms; the paths with the smallest scales go, wherever they are."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from kws_grow.methods.starts import uniform
from kws_grow.network import DsCnn


@dataclass(frozen=True)
class Settings:
    """times: see prune_l1. penalty: of the sum of absolute scales."""

    times: float = field(default=1.5, metadata={"above": 1, "below": 8})
    penalty: float = field(default=1e-3, metadata={"above": 0})


def start(seed, reference, limits, tariff, settings: Settings):
    return uniform(seed, limits, tariff, settings.times)


def scores(net: DsCnn) -> list[Tensor]:
    """|gamma| of every path, the geometric mean over all its norms, so that long and short paths compare: [C] a path
    layer."""
    return [torch.stack([norm.weight.detach().abs().clamp(min=1e-12).log() for norm in layer.norms()]).mean(0).exp()
            for layer in net.paths]


def penalty(net: DsCnn, settings: Settings) -> Tensor:
    return settings.penalty * torch.stack([norm.weight.abs().sum() for p in net.paths for norm in p.norms()]).sum()
