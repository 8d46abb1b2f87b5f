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

    times: float = field(default=1.5, metadata={"above": 1})
    penalty: float = field(default=1e-3, metadata={"above": 0})


def start(seed, reference, limits, tariff, settings: Settings):
    return uniform(seed, limits, tariff, settings.times)


def scores(net: DsCnn) -> list[Tensor]:
    """|gamma| of every path, the product over the norms in a row where there are two: [C] a path layer."""
    return [_scale(layer) for layer in net.paths]


def _scale(layer) -> Tensor:
    scale = layer.norm.weight.detach().abs()
    return scale if layer.depthwise_norm is None else scale * layer.depthwise_norm.weight.detach().abs()


def penalty(net: DsCnn, settings: Settings) -> Tensor:
    return settings.penalty * torch.stack([norm.weight.abs().sum() for p in net.paths for norm in p.norms()]).sum()
