"""Splitting a channel path: the pairing pass that gives S v, and the Rayleigh-quotient pass.

A path is row c of a path layer (kws_grow.network): everything between two linear mixes. Splitting copies it, shares its
outgoing column half and half, and moves the copies to +d and -d. L(d) = L(0) + d'Sd / 2 + O(d^4)
(splitting steepest descent, arXiv 1910.02366, section 3); S v for all paths at once by DESIGN, Growth 3.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional as F

from datasets.console import progress
from kws_grow.network import DsCnn, PathLayer, Rows, depthwise_conv

Directions = list[Rows]    # one entry a path layer
Batch = tuple[Tensor, Tensor]  # MFCC [b, 49, n], labels [b]
Activation = Callable[[Tensor], Tensor]

CAUTIOUS, ALONE, TOGETHER = "cautious", "alone", "together"  # how gains are measured, see GAINS
LEAST_SPREAD = 0.05  # of the differences between gains that may all be chance


@dataclass(frozen=True)
class Probe:
    """How curvature is looked at.

    eps: the offset, in units(net). activation: in place of the net's ReLU; relu itself has no curvature but at its
    kinks, over which a finite eps averages (DESIGN, Growth 4).
    """

    eps: float
    activation: Activation = F.relu


def units(net: DsCnn) -> list[list[Tensor]]:
    """RMS of every parameter group of every path layer: directions are measured in these (DESIGN, Growth 5)."""
    return [[p.detach().square().mean().sqrt().clamp(min=1e-3) for p in layer.path_parameters()] for layer in net.paths]


def paired_logits(net: DsCnn, mfcc: Tensor, offsets: Directions, activation: Activation = F.relu) -> Tensor:
    """Logits when every path runs at +d and at -d and the two are averaged before each mix; train-mode norms."""
    x = net.pad(mfcc)
    for layer, rows in zip(net.paths, offsets, strict=True):
        x = _paired_path(layer, x, rows, activation)
    return net.classifier(x.mean((2, 3)))


def _paired_path(layer: PathLayer, x: Tensor, rows: Rows, activation: Activation) -> Tensor:
    """[b, in_c, h, w] -> [b, C, h', w'] through 2 C half-channels."""
    return run_path(layer, _pairs(layer, rows), x, activation, _averaged)


def _pairs(layer: PathLayer, rows: Rows) -> dict[str, Tensor]:
    """Weights of the path layer at +rows and at -rows."""
    return {name: as_trained(torch.cat([p.detach() + d, p.detach() - d]))
            for name, p, d in zip(layer.path_names(), layer.path_parameters(), rows, strict=True)}


def run_path(layer: PathLayer, weights: dict[str, Tensor], x: Tensor, activation: Activation,
             before_mix: Callable[[Tensor], Tensor]) -> Tensor:
    """A path layer with other weights, in train mode. before_mix: through which all goes that a mix takes in, that of
    each block and what comes out."""
    def norm(name: str, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, weights[f"{name}.weight"], weights[f"{name}.bias"], training=True)
    x = activation(norm("norm", F.conv2d(x, weights["mix.weight"], stride=layer.mix.stride)))
    for i in range(len(layer.blocks)):
        inner = depthwise_conv(x, weights[f"blocks.{i}.depthwise.weight"], (1, 1))
        inner = before_mix(activation(norm(f"blocks.{i}.depthwise_norm", inner)))
        x = activation(x + norm(f"blocks.{i}.norm", F.conv2d(inner, weights[f"blocks.{i}.mix.weight"])))
    if layer.depthwise is not None:
        x = depthwise_conv(x, weights["depthwise.weight"], layer.depthwise.stride)
        x = activation(norm("depthwise_norm", x))
    return before_mix(x)


def as_trained(weight: Tensor) -> Tensor:
    """Laid out as the net's own weights are, which is faster; of one input channel, contiguous() would leave it."""
    return torch.empty_like(weight, memory_format=torch.channels_last).copy_(weight) if weight.ndim == 4 else weight


def _averaged(x: Tensor) -> Tensor:
    """[b, 2 C, h, w] -> [b, C, h, w]."""
    plus, minus = x.chunk(2, 1)
    return (plus + minus) / 2


def curvature_product(net: DsCnn, batch: Batch, v: Directions, probe: Probe) -> Directions:
    """S v of every path, from one forward and one backward; v and S v in units(net)."""
    mfcc, labels = batch
    scale = units(net)
    moved = [[(probe.eps * u).requires_grad_() for u in rows] for rows in v]
    offsets = [[s * u for s, u in zip(sigma, rows, strict=True)] for sigma, rows in zip(scale, moved, strict=True)]
    loss = F.cross_entropy(paired_logits(net, mfcc, offsets, probe.activation), labels)
    flat = torch.autograd.grad(loss, [u for rows in moved for u in rows])
    gradients = iter(flat)
    return [[next(gradients) / probe.eps for _ in rows] for rows in moved]


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


def across_scale(net: DsCnn, v: Directions) -> Directions:
    """v in units(net) without its part along what a norm behind it undoes, or what only shares the outgoing column
    otherwise (DESIGN, Growth 6): the scale of each row and filter, of each norm before a mix, and of the norms that a
    stream's sums are made of together. There S v is nothing but the loss's ordinary gradient."""
    return [_across(layer, scale, rows) for layer, scale, rows in zip(net.paths, units(net), v, strict=True)]


def _across(layer: PathLayer, scale: list[Tensor], rows: Rows) -> Rows:
    rows, parameters = list(rows), layer.path_parameters()
    for group in scale_groups(layer.path_names()):
        dead = [parameters[i].detach() / scale[i] for i in group]
        share = row_dot([rows[i] for i in group], dead) / row_dot(dead, dead).clamp(min=1e-12)
        for i, u in zip(group, dead, strict=True):
            rows[i] = rows[i] - per_row(share, u) * u
    return rows


def scale_groups(names: list[str]) -> list[list[int]]:
    """Parameters of a path layer, by their places in `names`, that only scale something together."""
    def place(name: str) -> list[int]:
        return [i for i, each in enumerate(names) if each in (f"{name}.weight", f"{name}.bias")]
    blocks = sorted({name.rsplit(".", 2)[0] for name in names if name.startswith("blocks.") and ".mix." in name})
    stream = place("norm") + [i for block in blocks for i in place(f"{block}.norm")]
    alone = ["mix", *(f"{b}.{part}" for b in blocks for part in ("depthwise", "depthwise_norm", "mix")),
             "depthwise", "depthwise_norm"]
    return [stream, *(group for group in map(place, alone) if group)]


def rayleigh_pass(net: DsCnn, batches: Iterable[Batch], start: Directions, probe: Probe, *, steps: int,
                  lr: float = 0.1, largest: bool = False) -> Directions:
    """Eigenvectors of the smallest (or largest) eigenvalue of every path's splitting matrix, by stochastic descent on
    R(v) = v'Sv / v'v.

    Energy-aware fast splitting, arXiv 1910.03103, section 3.2: Adam on the sphere, a batch a step. batches: at least
    `steps`. Returns directions of length 1 in units(net), without a part that a norm would undo.
    """
    v = normalized(across_scale(net, start))
    flat = [u for rows in v for u in rows]
    adam = torch.optim.Adam(flat, lr=lr, betas=(0.9, 0.99))
    for step, batch in enumerate(progress(islice(batches, steps), "indexing", steps, "batch", leave=False)):
        adam.param_groups[0]["lr"] = lr * (1 - step / steps)
        for u, gradient in zip(flat, _rayleigh_gradient(net, batch, v, probe), strict=True):
            u.grad = -gradient if largest else gradient
        adam.step()
        for u, unit in zip(flat, [u for rows in normalized(across_scale(net, v)) for u in rows], strict=True):
            u.copy_(unit)
    return v


def _rayleigh_gradient(net: DsCnn, batch: Batch, v: Directions, probe: Probe) -> Iterable[Tensor]:
    """Gradient of R at v of length 1: 2 (Sv - R v)."""
    product = curvature_product(net, batch, v, probe)
    for rows, s_rows in zip(v, product, strict=True):
        r = row_dot(rows, s_rows)
        yield from (2 * (s - per_row(r, u) * u) for u, s in zip(rows, s_rows, strict=True))


def predicted_changes(net: DsCnn, batches: list[Batch], v: Directions, probe: Probe,
                      gains: str = CAUTIOUS) -> list[Tensor]:
    """Change of the loss when each path splits along v at probe.eps: [C] a path layer.

    batches: not those that v was fitted to, which flatter it. gains: an entry of GAINS, what else moves meanwhile and
    what is made of the batches' scatter.
    """
    return GAINS[gains](net, batches, v, probe)


def changes_cautious(net: DsCnn, batches: list[Batch], v: Directions, probe: Probe) -> list[Tensor]:
    """changes_alone, each nearer to 0 by its standard error, or 0. The best of many gains owe it to chance in part,
    and what cannot be told from none is none: growth does not pay for it."""
    slopes, bends = slopes_and_bends(net, batches, v, probe)
    return [drawn_to_zero(first.mean(0) + bend, standard_error(first))
            for first, bend in zip(slopes, bends, strict=True)]


def drawn_to_zero(changes: Tensor, by: Tensor) -> Tensor:
    """Soft threshold, one for each (Donoho 1995)."""
    return changes.sign() * (changes.abs() - by).clamp(min=0)


def standard_error(slopes: Tensor) -> Tensor:
    """Of the mean over batches, [n, C] -> [C]; 0 of one batch, which tells nothing of it. Bends add little: by the
    slopes alone it was 97 % of what it is by both, on trained seed nets."""
    return slopes.std(0) / len(slopes) ** 0.5 if len(slopes) > 1 else torch.zeros_like(slopes[0])


def changes_alone(net: DsCnn, batches: list[Batch], v: Directions, probe: Probe) -> list[Tensor]:
    """Each path without what other layers' splits do."""
    slopes, bends = slopes_and_bends(net, batches, v, probe)
    return [first.mean(0) + bend for first, bend in zip(slopes, bends, strict=True)]


def slopes_and_bends(net: DsCnn, batches: list[Batch], v: Directions,
                     probe: Probe) -> tuple[list[Tensor], list[Tensor]]:
    """Changes of the loss when each path splits alone, in two parts: [n, C] a path layer, of every batch, and [C].

    A split moves what the next mixes take in by delta; the loss changes by its slope there times delta, and as it
    bends: by the midpoint rule, the slope half way there in place of that at the start. The slope at the start comes
    from every batch, for all layers at once. How it bends comes from the layers in turn, one a batch (more where
    batches are few), all paths of the layer moving together.
    """
    n = len(net.paths)
    offsets, slopes, bends = offsets_of(net, v, probe.eps), [], [[] for _ in range(n)]
    for k, batch in enumerate(progress(batches, "measuring gains", unit="batch", leave=False)):
        passage = Passage.of(net, batch, offsets, probe.activation)
        slopes.append(passage.first_order)
        for layer in range(k % n, n, len(batches)):
            bends[layer].append(passage.half_way(layer) - passage.first_order[layer])
    return [torch.stack(each) for each in zip(*slopes, strict=True)], [torch.stack(each).mean(0) for each in bends]


@dataclass(frozen=True)
class Passage:
    """One batch through the net, in train mode.

    entered: what each path layer takes in, detached. deltas: of a layer, for each mix behind its paths (those of its
    blocks, then the next layer's), how far a channel of its input moves when that path alone splits.
    first_order: changes of the loss, its slope there times deltas.
    """

    net: DsCnn
    labels: Tensor
    activation: Activation
    entered: tuple[Tensor, ...]
    deltas: tuple[list[Tensor], ...]
    first_order: list[Tensor]

    @classmethod
    def of(cls, net: DsCnn, batch: Batch, offsets: Directions, activation: Activation) -> "Passage":
        x, entered, mixed = net.pad(batch[0]), [], []
        for layer in net.paths:
            entered.append(x.detach())
            x, its = _followed(layer, x, activation)
            mixed.append(its)
        slopes = iter(torch.autograd.grad(_loss_of(net, x, batch[1]), [each for its in mixed for each in its]))
        deltas = tuple(_moved_alone(*each, activation) for each in zip(net.paths, entered, offsets, mixed, strict=True))
        first_order = [_dot([next(slopes) for _ in its], its) for its in deltas]
        return cls(net, batch[1], activation, tuple(entered), deltas, first_order)

    def half_way(self, layer: int) -> Tensor:
        """Changes of a layer's paths by the slope where all of them have moved half of their way."""
        halves = [delta / 2 for delta in self.deltas[layer]]
        x, mixed = _followed(self.net.paths[layer], self.entered[layer], self.activation, halves)
        for behind in self.net.paths[layer + 1:]:
            x, _ = _followed(behind, x, self.activation)
        return _dot(torch.autograd.grad(_loss_of(self.net, x, self.labels), mixed), self.deltas[layer])


def _loss_of(net: DsCnn, x: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(net.classifier(x.mean((2, 3))), labels)


def _followed(layer: PathLayer, x: Tensor, activation: Activation,
              shifts: list[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
    """(what comes out, what the mixes take in), the latter moved by the shifts; slopes go back as far as there."""
    mixed = []

    def before_mix(x: Tensor) -> Tensor:
        x = x + shifts[len(mixed)] if shifts else x
        mixed.append(x.requires_grad_())
        return mixed[-1]
    weights = {name: p.detach() for name, p in zip(layer.path_names(), layer.path_parameters(), strict=True)}
    return run_path(layer, weights, x, activation, before_mix), mixed


@torch.no_grad()
def _moved_alone(layer: PathLayer, x: Tensor, rows: Rows, mixed: list[Tensor], activation: Activation) -> list[Tensor]:
    """By how much each of `mixed` moves at a path that splits by rows, while all others stay."""
    deltas, others = [], iter(mixed)

    def before_mix(pair: Tensor) -> Tensor:
        still = next(others)
        deltas.append(_averaged(pair) - still)
        return still
    run_path(layer, _pairs(layer, rows), x, activation, before_mix)
    return deltas


def _dot(slopes: Iterable[Tensor], deltas: list[Tensor]) -> Tensor:
    """[b, C, h, w] each -> [C]."""
    return sum((slope * delta).sum((0, 2, 3)) for slope, delta in zip(slopes, deltas, strict=True))


def changes_together(net: DsCnn, batches: list[Batch], v: Directions, probe: Probe) -> list[Tensor]:
    """Each path while all paths of the net split: cross terms between layers are in it, which no single split has.

    The slope of the loss integrated along the way, one batch at each of its midpoints: with kinks, eps^2 lambda / 2 at
    its end would not do. Shrunken, see there.
    """
    ways, slopes = (torch.arange(len(batches), device=v[0][0].device) + 0.5) / len(batches), []
    for way, batch in zip(ways.tolist(), progress(batches, "measuring gains", unit="batch", leave=False), strict=True):
        product = curvature_product(net, batch, v, replace(probe, eps=way * probe.eps))
        slopes.append([way * probe.eps**2 * row_dot(rows, s) for rows, s in zip(v, product, strict=True)])
    return [shrunken(torch.stack(each), ways) for each in zip(*slopes, strict=True)]


def shrunken(slopes: Tensor, ways: Tensor) -> Tensor:
    """Mean slope of each path, drawn towards that of its layer as far as they differ by chance: [n, C] -> [C].

    Empirical Bayes (Efron and Morris, JASA 1975): chance is what the slopes at ways [n] scatter about a line through
    zero. Never quite together, so that their order stays. Of fewer than four paths or batches, the plain means.
    """
    mean = slopes.mean(0)
    if min(slopes.shape) < 4:
        return mean
    line = ways[:, None].to(slopes) * (ways.to(slopes) @ slopes) / (ways @ ways)
    chance = ((slopes - line).square().sum(0) / (len(slopes) - 1)).mean() / len(slopes)
    share = (1 - chance / mean.var().clamp(min=1e-30)).clamp(min=LEAST_SPREAD)
    return mean.mean() + (mean - mean.mean()) * share


GAINS = {CAUTIOUS: changes_cautious, ALONE: changes_alone, TOGETHER: changes_together}


def offsets_of(net: DsCnn, v: Directions, eps: float) -> Directions:
    """Directions of length 1 in units(net) -> offsets in the parameters' own units."""
    return [[eps * s * u for s, u in zip(sigma, rows, strict=True)] for sigma, rows in zip(units(net), v, strict=True)]


@torch.no_grad()
def batch_loss(net: DsCnn, batches: Iterable[Batch]) -> float:
    """Mean loss under each batch's own statistics; running ones stay as they are."""
    still = torch.func.functional_call
    net_values = {name: value.detach().clone() for name, value in net.state_dict().items()}
    was, losses = net.training, []
    net.train()
    for mfcc, labels in batches:
        losses.append(F.cross_entropy(still(net, net_values, (mfcc,)), labels))
    net.train(was)
    return float(torch.stack(losses).mean())
