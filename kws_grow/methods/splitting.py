"""Splitting steepest descent (arXiv 1910.02366): each path's splitting matrix in full, its eigenvectors by LAPACK.

The paper's second derivative of the activation needs one that is smooth: a softplus stands in for ReLU while the matrix
is made. One paired pass gives a column of every path's matrix, so a round costs as many passes as the largest path has
parameters: several epochs of training, not one. What the splits gain is measured as for the other methods.
"""

from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional as F

from datasets.console import progress
from kws_grow.methods.proposal import GainSettings, Proposal, Stream, as_gains, halves
from kws_grow.network import DsCnn, PathLayer, Rows
from kws_grow.splitting import Batch, Directions, Probe, across_scale, curvature_product, predicted_changes

TINY = 1e-2  # offset of a column, in units(net): the softplus is smooth over it


@dataclass(frozen=True)
class ExactSettings(GainSettings):
    """batches: that the matrices are averaged over. sharpness: of the softplus
    log(1 + exp(sharpness x)) / sharpness."""

    batches: int = field(default=4, metadata={"above": 0})
    sharpness: float = field(default=4.0, metadata={"above": 0.01})


def propose(net: DsCnn, batches: Stream, generator: torch.Generator, settings: ExactSettings) -> Proposal:
    stream = batches()
    _, v = smallest_eigenpairs(net, list(islice(stream, settings.batches)), smooth_probe(settings))
    changes = predicted_changes(net, list(islice(stream, settings.fresh)), v, Probe(settings.eps), settings.gains)
    return halves(net, as_gains(changes), v, settings.eps)


def smooth_probe(settings: ExactSettings) -> Probe:
    """The surrogate that has a second derivative."""
    return Probe(TINY, lambda x: F.softplus(x, settings.sharpness))


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
    """Every path's, in units(net), symmetric: float64 [C, n, n] a path layer. Restricted to what no norm undoes; what
    one does has an eigenvalue above all others."""
    sizes = [sum(_sizes(layer)) for layer in net.paths]
    columns = [[] for _ in net.paths]
    undone = [[] for _ in net.paths]
    for column in progress(range(max(sizes)), "splitting matrices", unit="column", leave=False):
        unit = [_unit_rows(layer, column) for layer in net.paths]
        v = across_scale(net, unit)
        products = [across_scale(net, curvature_product(net, batch, v, probe)) for batch in batches]
        for i in (i for i, n in enumerate(sizes) if column < n):
            columns[i].append(sum(_flat(product[i]) for product in products) / len(batches))
            undone[i].append(_flat(unit[i]) - _flat(v[i]))
    return [_symmetric(torch.stack(c, 2), torch.stack(n, 2)) for c, n in zip(columns, undone, strict=True)]


def _symmetric(matrix: Tensor, undone: Tensor) -> Tensor:
    return (matrix + matrix.transpose(1, 2)) / 2 + 10 * matrix.abs().amax((1, 2), keepdim=True) * undone


def _flat(rows: Rows) -> Tensor:
    """[C, n], float64."""
    return torch.cat([u.reshape(len(u), -1) for u in rows], 1).double()


def _sizes(layer: PathLayer) -> list[int]:
    return [p[0].numel() for p in layer.path_parameters()]


def _unit_rows(layer: PathLayer, column: int) -> Rows:
    """Direction `column` of every path; zero where it has fewer."""
    sizes = _sizes(layer)
    flat = torch.zeros(len(layer.mix.weight), sum(sizes), dtype=layer.mix.weight.dtype, device=layer.mix.weight.device)
    if column < flat.shape[1]:
        flat[:, column] = 1.0
    return [part.reshape(p.shape) for part, p in zip(flat.split(sizes, 1), layer.path_parameters(), strict=True)]
