"""Splitting steepest descent (arXiv 1910.02366): each path's splitting matrix in full, its eigenvectors by LAPACK.

The paper's second derivative of the activation needs one that is smooth: a softplus stands in for ReLU while the matrix
is made. One paired pass gives a column of every path's matrix, so a round costs as many passes as the largest path has
parameters.
"""

from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional as F

from datasets.console import progress
from kws_grow.methods.proposal import OffsetSettings, Proposal, Stream, halves
from kws_grow.network import DsCnn
from kws_grow.splitting import Batch, Directions, Probe, curvature_product

TINY = 1e-2  # offset of a column, in units(net): the softplus is smooth over it


@dataclass(frozen=True)
class ExactSettings(OffsetSettings):
    """batches: that the matrices are averaged over. sharpness: of the softplus log(1 + exp(sharpness x)) / sharpness.
    """

    batches: int = field(default=4, metadata={"above": 0})
    sharpness: float = field(default=4.0, metadata={"above": 0})


def propose(net: DsCnn, batches: Stream, generator: torch.Generator, settings: ExactSettings) -> Proposal:
    probe = Probe(TINY, lambda x: F.softplus(x, settings.sharpness))
    values, v = smallest_eigenpairs(net, list(islice(batches(), settings.batches)), probe)
    return halves(net, tuple(-0.5 * settings.eps**2 * each.cpu().double().numpy() for each in values), v, settings.eps)


def smallest_eigenpairs(net: DsCnn, batches: list[Batch], probe: Probe) -> tuple[list[Tensor], Directions]:
    """(lambda [C] a path layer, v of length 1 in units(net)) of every path."""
    values, directions = [], []
    for layer, matrices in zip(net.paths, splitting_matrices(net, batches, probe), strict=True):
        eigenvalues, vectors = torch.linalg.eigh(matrices)
        values.append(eigenvalues[:, 0])
        parts = vectors[:, :, 0].to(layer.mix.weight.dtype).split(_sizes(layer), 1)
        directions.append([u.reshape(p.shape) for u, p in zip(parts, layer.path_parameters(), strict=True)])
    return values, directions


def splitting_matrices(net: DsCnn, batches: list[Batch], probe: Probe) -> list[Tensor]:
    """Every path's, in units(net), symmetric: float64 [C, n, n] a path layer."""
    sizes = [sum(_sizes(layer)) for layer in net.paths]
    matrices = [p.mix.weight.new_zeros(len(p.mix.weight), n, n, dtype=torch.float64)
                for p, n in zip(net.paths, sizes, strict=True)]
    for column in progress(range(max(sizes)), "splitting matrices", unit="column", leave=False):
        v = [_unit_rows(layer, column) for layer in net.paths]
        for batch in batches:
            for matrix, rows in zip(matrices, curvature_product(net, batch, v, probe), strict=True):
                if column < matrix.shape[1]:
                    matrix[:, :, column] += torch.cat([s.reshape(len(s), -1) for s in rows], 1).double() / len(batches)
    return [(m + m.transpose(1, 2)) / 2 for m in matrices]


def _sizes(layer) -> list[int]:
    return [p[0].numel() for p in layer.path_parameters()]


def _unit_rows(layer, column: int) -> list[Tensor]:
    """Direction `column` of every path; zero where it has fewer."""
    sizes = _sizes(layer)
    flat = torch.zeros(len(layer.mix.weight), sum(sizes), dtype=layer.mix.weight.dtype, device=layer.mix.weight.device)
    if column < flat.shape[1]:
        flat[:, column] = 1.0
    return [part.reshape(p.shape) for part, p in zip(flat.split(sizes, 1), layer.path_parameters(), strict=True)]
