"""Firefly neural architecture descent (arXiv 2102.08574): wider and deeper at once. Splits, new channels and new
residual blocks are all fitted while the net stands still; each then has a gate, and the slope of the loss along the
gates' way from closed to open, integrated, is what it gains."""

from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from datasets.console import progress
from kws_grow.edits import Fresh, LayerEdit, fresh_block, grown_shape, grown_values, halved, unchanged
from kws_grow.methods.proposal import IndexSettings, Proposal, Stream, as_gains, best_of
from kws_grow.network import DsCnn, Rows
from kws_grow.selection import WIDTH_STEP, Option
from kws_grow.splitting import (
    Batch,
    Probe,
    as_trained,
    offsets_of,
    predicted_changes,
    random_directions,
    rayleigh_pass,
)

GAMMA, BETA = -2, -1  # of a block's last norm, in ResidualBlock's order: closed at zero


@dataclass(frozen=True)
class FireflySettings(IndexSettings):
    """steps, fresh: for the splits, and for what is new. channels: new ones tried in each layer; learning_rate: Adam's,
    of what is new. Outgoing weights of new channels stay within eps of the RMS there, new blocks' last norms within
    eps."""

    steps: int = field(default=14, metadata={"above": 0})
    fresh: int = field(default=6, metadata={"above": 0})
    channels: int = field(default=8, metadata={"above": 0})
    learning_rate: float = field(default=0.03, metadata={"above": 0})


@dataclass(frozen=True)
class Gates:
    """Between 0, closed, and 1. channels: [K] a path layer; blocks: a number a path layer."""

    channels: list[Tensor]
    blocks: list[Tensor]


def propose(net: DsCnn, batches: Stream, generator: torch.Generator, settings: FireflySettings) -> Proposal:
    stream, probe = batches(), Probe(settings.eps)
    v = rayleigh_pass(net, stream, random_directions(net, generator), probe, steps=settings.steps)
    split_gains = as_gains(predicted_changes(net, list(islice(stream, settings.fresh)), v, probe, settings.gains))
    fitted = fit(net, candidates(net, settings.channels, generator), stream, settings)
    new_gains, block_gains = gate_gains(net, fitted, list(islice(stream, settings.fresh)))
    return _proposal(net, offsets_of(net, v, settings.eps), fitted, split_gains, new_gains, block_gains)


def candidates(net: DsCnn, channels: int, generator: torch.Generator) -> list[LayerEdit]:
    """New channels with random rows and closed columns, and a new block, for every path layer."""
    return [replace(unchanged(net, i), fresh=_fresh_channels(net, i, channels, generator),
                    block=fresh_block(*2 * [len(layer.mix.weight)], generator, layer.mix.weight))
            for i, layer in enumerate(net.paths)]


def _fresh_channels(net: DsCnn, layer: int, count: int, generator: torch.Generator) -> Fresh:
    def draw(p: Tensor) -> Tensor:
        shape = (count, *p.shape[1:])
        if p.ndim == 1:
            return p.new_zeros(shape)
        return torch.randn(shape, generator=generator, device=p.device, dtype=p.dtype) * (2 / p[0].numel()) ** 0.5
    path = net.paths[layer]
    rows = [draw(p) + (p.ndim == 1 and name.endswith("weight"))
            for name, p in zip(path.path_names(), path.path_parameters(), strict=True)]
    columns = [mix.weight.new_zeros(len(mix.weight), count, *mix.weight.shape[2:]) for mix in net.mixes_behind(layer)]
    weight = path.mix.weight
    return Fresh(rows, columns, fresh_block(count, len(weight), generator, weight))


def fit(net: DsCnn, edits: list[LayerEdit], stream, settings: FireflySettings) -> list[LayerEdit]:
    """Learn all that is new, everything old at rest and every gate open."""
    learnt = [t.requires_grad_() for edit in edits for t in (*edit.fresh.rows, *edit.fresh.columns, *edit.block)]
    adam = torch.optim.Adam(learnt, lr=settings.learning_rate)
    template = DsCnn(grown_shape(net, edits)).to(net.classifier.weight.device, net.classifier.weight.dtype)
    batches = progress(islice(stream, settings.steps), "fitting what is new", settings.steps, "batch", leave=False)
    for batch in batches:
        adam.zero_grad()
        _loss(net, template, edits, batch).backward()
        adam.step()
        _within_bounds(net, edits, settings.eps)
    for tensor in learnt:
        tensor.requires_grad_(False)
    return edits


@torch.no_grad()
def _within_bounds(net: DsCnn, edits: list[LayerEdit], eps: float) -> None:
    for layer, edit in enumerate(edits):
        for mix, column in zip(net.mixes_behind(layer), edit.fresh.columns, strict=True):
            bound = eps * float(mix.weight.square().mean().sqrt())
            column.clamp_(-bound, bound)
        for part in (GAMMA, BETA):
            edit.block[part].clamp_(-eps, eps)


def _loss(net: DsCnn, template: DsCnn, edits: list[LayerEdit], batch: Batch) -> Tensor:
    """Of the net behind the edits, with train-mode norms; differentiable in the edits."""
    template.train()
    values = {name: as_trained(value) for name, value in grown_values(net, edits).items()}
    logits = torch.func.functional_call(template, values, (batch[0],))
    return F.cross_entropy(logits, batch[1])


def gate_gains(net: DsCnn, edits: list[LayerEdit], batches: list[Batch]) -> tuple[list[np.ndarray], list[float]]:
    """Falls of the loss: of each new channel [K] a path layer, and of each new block."""
    template = DsCnn(grown_shape(net, edits)).to(net.classifier.weight.device, net.classifier.weight.dtype)
    totals = None
    for i, batch in enumerate(progress(batches, "measuring gains", unit="batch", leave=False)):
        way = (i + 0.5) / len(batches)
        gates = _gates_at(edits, way)
        slopes = torch.autograd.grad(_loss(net, template, gated(edits, gates), batch), gates.channels + gates.blocks)
        totals = slopes if totals is None else [a + b for a, b in zip(totals, slopes, strict=True)]
    falls = [-(t / len(batches)).cpu().double().numpy() for t in totals]
    return falls[:len(edits)], [float(fall) for fall in falls[len(edits):]]


def _gates_at(edits: list[LayerEdit], way: float) -> Gates:
    def at(like: Tensor, *shape: int) -> Tensor:
        return like.new_full(shape, way).requires_grad_()
    return Gates([at(e.block[0], len(e.fresh.rows[0])) for e in edits], [at(e.block[0]) for e in edits])


def gated(edits: list[LayerEdit], gates: Gates) -> list[LayerEdit]:
    """The edits as far as the gates are open."""
    def one(edit: LayerEdit, channels: Tensor, block: Tensor) -> LayerEdit:
        columns = [c * channels.view(1, -1, *[1] * (c.ndim - 2)) for c in edit.fresh.columns]
        return replace(edit, fresh=replace(edit.fresh, columns=columns),
                       block=[*edit.block[:GAMMA], edit.block[GAMMA] * block, edit.block[BETA] * block])
    return [one(*each) for each in zip(edits, gates.channels, gates.blocks, strict=True)]


def _proposal(net: DsCnn, offsets: list[Rows], fitted: list[LayerEdit], split_gains: tuple[np.ndarray, ...],
              new_gains: list[np.ndarray], block_gains: list[float]) -> Proposal:
    shape = net.shape
    wider = [np.concatenate(each) for each in zip(split_gains, new_gains, strict=True)]
    options = tuple(_options(g, w, d, b)
                    for g, w, d, b in zip(wider, shape.widths, shape.depths, block_gains, strict=True))

    def edits(chosen: tuple[int, ...]) -> list[LayerEdit]:
        return [_edit(net, i, options[i][k], wider[i], offsets[i], fitted[i]) for i, k in enumerate(chosen)]
    return Proposal(options, edits)


def _options(gains: np.ndarray, width: int, depth: int, block_gain: float) -> tuple[Option, ...]:
    """The best splits and new channels together, 0, 4, 8... of those that gain, with and without a block."""
    best = np.sort(gains[gains > 0])[::-1]
    totals = np.concatenate([[0.0], np.cumsum(best)])
    depths = [(depth, 0.0), (depth + 1, block_gain)][:1 + (block_gain > 0)]
    return tuple(Option(width + k, d, float(totals[k] + gain))
                 for d, gain in depths for k in range(0, len(best) + 1, WIDTH_STEP))


def _edit(net: DsCnn, layer: int, option: Option, gains: np.ndarray, offsets: Rows, fitted: LayerEdit) -> LayerEdit:
    width, depth = len(net.paths[layer].mix.weight), len(net.paths[layer].blocks)
    best = best_of(gains, option.width - width).to(offsets[0].device)
    edit = halved(net, layer, best[best < width], offsets)
    new = best[best >= width] - width
    if len(new):
        fresh = fitted.fresh
        edit = replace(edit, fresh=Fresh([r[new] for r in fresh.rows], [c[:, new] for c in fresh.columns],
                                         [r[new] for r in fresh.block]))
    return replace(edit, block=fitted.block) if option.depth > depth else edit
