"""Trained nets whose answers another one learns instead of the labels: distillation (Hinton et al. 2015, arXiv
1503.02531), from the same view of every clip (Beyer et al. 2022, arXiv 2106.05237)."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from datasets.console import UserError
from export.net import FloatNet, load_net
from kws_grow.deploy import apply, parameters_of


class Teacher:
    """MFCC [b, 49, n] -> logarithm of the mean of the nets' probabilities, [b, labels]. Their batch norms are folded,
    their weights on `device`."""

    def __init__(self, nets: Sequence[FloatNet], device: str | torch.device):
        self.nets = [[(layer, [values.to(device) for values in parameters_of(layer)]) for layer in net.layers[:-1]]
                     for net in nets]

    @torch.no_grad()
    def __call__(self, mfcc: Tensor) -> Tensor:
        logits = torch.stack([_logits(layers, mfcc) for layers in self.nets])
        return logits.log_softmax(2).logsumexp(0) - torch.tensor(float(len(self.nets))).log()


def _logits(layers: list, mfcc: Tensor) -> Tensor:
    """What deploy.activations keeps the inner layers of too."""
    outputs = [mfcc.unsqueeze(1)]
    for layer, values in layers:
        outputs.append(apply(layer, outputs, *values))
    return outputs[-1]


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
    return tuple(path.parent.name if path.stem == "net" else path.stem for path in paths)


def digests_of(paths: Sequence[Path]) -> tuple[str, ...]:
    """SHA-256 of the files, which are there."""
    return tuple(sha256(path.read_bytes()).hexdigest() for path in paths)
