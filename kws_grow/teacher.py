"""Trained nets whose answers another one learns instead of the labels: distillation (Hinton et al. 2015, arXiv
1503.02531), from the same view of every clip (Beyer et al. 2022, arXiv 2106.05237)."""

import math
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from datasets.console import UserError
from export.net import FloatNet, load_net
from kws_grow.deploy import activations, weights_of


class Teacher:
    """MFCC [b, 49, n] -> logarithm of the mean of the nets' probabilities, [b, labels]. Their batch norms are folded,
    their weights on `device`."""

    def __init__(self, nets: Sequence[FloatNet], device: str | torch.device):
        self.nets = [(list(net.layers), weights_of(list(net.layers), device)) for net in nets]

    def __call__(self, mfcc: Tensor) -> Tensor:
        logits = torch.stack([activations(layers, mfcc, weights)[-1] for layers, weights in self.nets])
        return logits.log_softmax(2).logsumexp(0) - math.log(len(self.nets))


def read_nets(paths: Sequence[Path], labels: tuple[str, ...], n_coefficients: int) -> list[FloatNet]:
    """Of .safetensors or net.npz. UserError for one that does not tell these labels of this many coefficients."""
    nets = [load_net(path) for path in paths]
    for path, net in zip(paths, nets, strict=True):
        if net.labels != labels:
            raise UserError(f"TEACHER={path}: tells {', '.join(net.labels)}; allowed: a net of the labels that are "
                            f"learnt, {', '.join(labels)}")
        if net.input_shape[1] != n_coefficients:
            raise UserError(f"TEACHER={path}: reads {net.input_shape[1]} coefficients; allowed: {n_coefficients}")
    return nets


def names_of(paths: Sequence[Path]) -> tuple[str, ...]:
    """models/small.safetensors -> small; of a net.npz, its run."""
    return tuple(path.resolve().parent.name if path.name == "net.npz" else path.stem for path in paths)


def digests_of(paths: Sequence[Path]) -> tuple[str, ...]:
    """SHA-256 of the files, which are there."""
    return tuple(sha256(path.read_bytes()).hexdigest() for path in paths)
