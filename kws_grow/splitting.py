"""Splitting a channel path: the pairing pass that gives S v, the Rayleigh-quotient pass, and the edit itself.

A path is row c of a path layer (kws_grow.network): everything between two linear mixes. Splitting copies it, shares its
outgoing column half and half, and moves the copies to +d and -d. L(d) = L(0) + d'Sd / 2 + O(d^4)
(splitting steepest descent, arXiv 1910.02366, section 3); S v for all paths at once by DESIGN, Growth 3.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datasets.console import progress
from kws_grow.network import DsCnn, PathLayer

Rows = list[Tensor]        # one tensor a path parameter, each [C, ...]
Directions = list[Rows]    # one entry a path layer
Batch = tuple[Tensor, Tensor]  # MFCC [b, 49, n], labels [b]


@dataclass(frozen=True)
class Curvature:
    """What a method knows of every path: gains and where to move.

    gains: one float tensor [C] a path layer: predicted fall of the loss when the path splits at the offset used.
    offsets: d for every path, in the parameters' own units; the copies go to +d and -d.
    predicts: whether gains are such predictions; a comparator's are only an order.
    """

    gains: tuple[Tensor, ...]
    offsets: Directions
    predicts: bool = True


def units(net: DsCnn) -> list[list[Tensor]]:
    """RMS of every parameter group of every path layer: directions are measured in these (DESIGN, Growth 5)."""
    return [[p.detach().square().mean().sqrt().clamp(min=1e-3) for p in layer.path_parameters()] for layer in net.paths]


def paired_logits(net: DsCnn, mfcc: Tensor, offsets: Directions) -> Tensor:
    """Logits when every path runs at +d and at -d and the two are averaged before the next mix; train-mode norms."""
    x = net.pad(mfcc)
    for layer, rows in zip(net.paths, offsets, strict=True):
        x = _paired_path(layer, x, rows)
    return net.classifier(x.mean((2, 3)))


def _paired_path(layer: PathLayer, x: Tensor, rows: Rows) -> Tensor:
    """[b, in_c, h, w] -> [b, C, h', w'] through 2 C half-channels."""
    pairs = [torch.cat([p.detach() + d, p.detach() - d]) for p, d in zip(layer.path_parameters(), rows, strict=True)]
    x = F.conv2d(x, pairs[0], stride=layer.mix.stride)
    x = F.relu(F.batch_norm(x, None, None, pairs[1], pairs[2], training=True, eps=layer.norm.eps))
    if layer.depthwise is not None:
        x = F.conv2d(x, pairs[3], padding=layer.depthwise.padding, groups=len(pairs[3]))
        x = F.relu(F.batch_norm(x, None, None, pairs[4], pairs[5], training=True, eps=layer.depthwise_norm.eps))
    plus, minus = x.chunk(2, 1)
    return (plus + minus) / 2


def curvature_product(net: DsCnn, batch: Batch, v: Directions, eps: float) -> Directions:
    """S v of every path, from one forward and one backward; v and S v in units(net)."""
    mfcc, labels = batch
    scale = units(net)
    moved = [[(eps * u).requires_grad_() for u in rows] for rows in v]
    offsets = [[s * u for s, u in zip(sigma, rows, strict=True)] for sigma, rows in zip(scale, moved, strict=True)]
    loss = F.cross_entropy(paired_logits(net, mfcc, offsets), labels)
    flat = torch.autograd.grad(loss, [u for rows in moved for u in rows])
    gradients = iter(flat)
    return [[next(gradients) / eps for _ in rows] for rows in moved]


def row_dot(a: Rows, b: Rows) -> Tensor:
    """Inner product of every path with itself: [C]."""
    return sum((x * y).reshape(len(x), -1).sum(1) for x, y in zip(a, b, strict=True))


def per_row(scale: Tensor, like: Tensor) -> Tensor:
    """[C] shaped to multiply a [C, ...] tensor."""
    return scale.view(-1, *[1] * (like.ndim - 1))


def normalized(v: Directions) -> Directions:
    """Every path's direction at length 1."""
    lengths = [row_dot(rows, rows).sqrt().clamp(min=1e-12) for rows in v]
    return [[u / per_row(n, u) for u in rows] for rows, n in zip(v, lengths, strict=True)]


def random_directions(net: DsCnn, generator: torch.Generator) -> Directions:
    """Uniform on the sphere of every path."""
    def draw(p: Tensor) -> Tensor:
        return torch.randn(p.shape, generator=generator, device=p.device, dtype=p.dtype)
    return normalized([[draw(p) for p in layer.path_parameters()] for layer in net.paths])


def rayleigh_pass(net: DsCnn, batches: Callable[[], Iterable[Batch]], generator: torch.Generator, *, eps: float,
                  steps: int, fresh: int, lr: float = 0.03) -> tuple[Directions, list[Tensor]]:
    """Smallest eigenpair of every path's splitting matrix by stochastic descent on R(v) = v'Sv / v'v.

    Energy-aware fast splitting, arXiv 1910.03103, section 3.2. Adam on the sphere for `steps` batches; then v is
    frozen and lambda averaged over `fresh` new batches, because lambda measured while v is fitted is biased low.
    batches() is an endless stream. Returns directions (length 1, units(net)) and lambda [C] a path layer.
    """
    stream = iter(batches())
    v = random_directions(net, generator)
    flat = [u for rows in v for u in rows]
    adam = torch.optim.Adam(flat, lr=lr, betas=(0.9, 0.99))
    for step in progress(range(steps), "indexing", unit="batch", leave=False):
        adam.param_groups[0]["lr"] = lr * (1 - step / steps)
        for u, gradient in zip(flat, _rayleigh_gradient(net, next(stream), v, eps), strict=True):
            u.grad = gradient
        adam.step()
        for u, unit in zip(flat, [u for rows in normalized(v) for u in rows], strict=True):
            u.copy_(unit)
    return v, mean_curvature(net, (next(stream) for _ in range(fresh)), v, eps)


def _rayleigh_gradient(net: DsCnn, batch: Batch, v: Directions, eps: float) -> Iterable[Tensor]:
    """Gradient of R at v of length 1: 2 (Sv - R v)."""
    product = curvature_product(net, batch, v, eps)
    for rows, s_rows in zip(v, product, strict=True):
        r = row_dot(rows, s_rows)
        yield from (2 * (s - per_row(r, u) * u) for u, s in zip(rows, s_rows, strict=True))


def mean_curvature(net: DsCnn, batches: Iterable[Batch], v: Directions, eps: float) -> list[Tensor]:
    """lambda = v'Sv of every path, averaged over batches; v has length 1."""
    total, count = None, 0
    for batch in batches:
        values = [row_dot(rows, s) for rows, s in zip(v, curvature_product(net, batch, v, eps), strict=True)]
        total = values if total is None else [a + b for a, b in zip(total, values, strict=True)]
        count += 1
    return [t / count for t in total]


def offsets_of(net: DsCnn, v: Directions, eps: float) -> Directions:
    """Directions of length 1 in units(net) -> offsets in the parameters' own units."""
    return [[eps * s * u for s, u in zip(sigma, rows, strict=True)] for sigma, rows in zip(units(net), v, strict=True)]


def split(net: DsCnn, chosen: list[Tensor], offsets: Directions, optimizer: torch.optim.Optimizer | None) -> None:
    """Split the chosen paths (indices [k] a path layer) in place: copies at +d and -d, outgoing columns halved.

    With offsets of zero the function is unchanged, in train and eval mode. The optimiser's momentum goes along: times
    one half for what comes in (each copy sees half the gradient), copied for what goes out (DESIGN, Growth 10).
    """
    for layer, index, rows in zip(net.paths, chosen, offsets, strict=True):
        _split_rows(layer, index, [d[index] for d in rows], optimizer)
    for mix, index in zip([*(layer.mix for layer in net.paths[1:]), net.classifier], chosen, strict=True):
        _share_columns(mix, index, optimizer)  # after all rows: what a row moved by is shared like the row itself


def _split_rows(layer: PathLayer, index: Tensor, moves: Rows, optimizer) -> None:
    for parameter, move in zip(layer.path_parameters(), moves, strict=True):
        def halved(m: Tensor) -> Tensor:
            m = m.clone()
            m[index] *= 0.5
            return torch.cat([m, m[index]])

        def copied(p: Tensor, move=move) -> Tensor:
            p = torch.cat([p, p[index] - move])
            p[index] += move
            return p
        _replace(layer, parameter, copied(parameter.detach()), halved, optimizer)
    for norm in filter(None, (layer.norm, layer.depthwise_norm)):
        norm.running_mean = torch.cat([norm.running_mean, norm.running_mean[index]])
        norm.running_var = torch.cat([norm.running_var, norm.running_var[index]])
        norm.num_features = len(norm.running_mean)
    layer.mix.out_channels = len(layer.mix.weight)
    if layer.depthwise is not None:
        layer.depthwise.in_channels = layer.depthwise.out_channels = len(layer.depthwise.weight)
        layer.depthwise.groups = layer.depthwise.out_channels


def _share_columns(mix: nn.Module, index: Tensor, optimizer) -> None:
    weight = mix.weight.detach().clone()
    weight[:, index] *= 0.5
    _replace(mix, mix.weight, torch.cat([weight, weight[:, index]], 1),
             lambda m: torch.cat([m, m[:, index]], 1), optimizer)
    setattr(mix, "in_channels" if isinstance(mix, nn.Conv2d) else "in_features", mix.weight.shape[1])


def _replace(module: nn.Module, old: nn.Parameter, value: Tensor, carry: Callable[[Tensor], Tensor], optimizer) -> None:
    """Put `value` where `old` was, in the module that owns it and in the optimiser, its momentum through `carry`."""
    owner, name = next((m, n) for m in module.modules() for n, p in m.named_parameters(recurse=False) if p is old)
    if value.ndim == 4:
        value = value.contiguous(memory_format=torch.channels_last)
    new = nn.Parameter(value)
    setattr(owner, name, new)
    if optimizer is None:
        return
    for group in optimizer.param_groups:
        group["params"] = [new if p is old else p for p in group["params"]]
    state = optimizer.state.pop(old, {})
    if state.get("momentum_buffer") is not None:
        optimizer.state[new] = {"momentum_buffer": carry(state["momentum_buffer"]).contiguous()}


def at_rest(net: DsCnn) -> Directions:
    """Offsets of zero for every path."""
    return [[torch.zeros_like(p) for p in layer.path_parameters()] for layer in net.paths]


def only(offsets: Directions, layer: int, index: Tensor) -> Directions:
    """The offsets of these paths of one layer; zero everywhere else."""
    rest = [[torch.zeros_like(d) for d in rows] for rows in offsets]
    for zero, d in zip(rest[layer], offsets[layer], strict=True):
        zero[index] = d[index]
    return rest


@torch.no_grad()
def paired_loss(net: DsCnn, batches: Iterable[Batch], offsets: Directions) -> float:
    """Mean loss if every path were split at its offset, under each batch's own statistics, running ones untouched."""
    losses = [F.cross_entropy(paired_logits(net, mfcc, offsets), labels) for mfcc, labels in batches]
    return float(torch.stack(losses).mean())
