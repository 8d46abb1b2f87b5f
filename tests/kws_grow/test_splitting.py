"""Splitting against brute force on small nets, in float64."""

from itertools import repeat

import numpy as np
import pytest
import torch
from helpers import learn, made_up_dataset, small_batch, small_net
from scipy.stats import spearmanr
from torch.nn import functional as F

from kws_grow.augment import mfcc, plain_codes
from kws_grow.edits import grown, halved, unchanged
from kws_grow.methods.splitting import smallest_eigenpairs
from kws_grow.network import DsCnn
from kws_grow.splitting import (
    ALONE,
    CAUTIOUS,
    GAINS,
    Probe,
    as_trained,
    batch_loss,
    curvature_product,
    drawn_to_zero,
    normalized,
    offsets_of,
    paired_logits,
    predicted_changes,
    random_directions,
    rayleigh_pass,
    row_dot,
    shrunken,
    standard_error,
    units,
)

SMALL = Probe(1e-6)
SHAPES = [{"widths": (4, 6, 5)}, {"widths": (4, 6, 5), "depths": (0, 2, 1), "strides": (2, 1)}]


def test_halves_lie_in_memory_as_the_net_does():
    """Else convolutions take twice as long; a weight of one input channel is where torch's own contiguous() fails."""
    for layer in small_net(widths=(4, 6)).paths:
        for p in (p for p in layer.path_parameters() if p.ndim == 4):
            assert as_trained(torch.zeros(p.shape)).stride() == p.stride()


def explicit_matrix(net, batch, layer: int, channel: int) -> np.ndarray:
    """The splitting matrix of one path in units(net), by double backward through the paired net: float64 [n, n]."""
    scale, shapes = units(net)[layer], [p.shape for p in net.paths[layer].path_parameters()]
    sizes = [int(np.prod(s[1:])) for s in shapes]

    def loss(flat):
        offsets = [[torch.zeros_like(p) for p in layer.path_parameters()] for layer in net.paths]
        for k, (part, s) in enumerate(zip(flat.split(sizes), scale, strict=True)):
            row = torch.zeros_like(offsets[layer][k])
            row[channel] = s * part.reshape(shapes[k][1:])
            offsets[layer][k] = row
        return F.cross_entropy(paired_logits(net, batch[0], offsets), batch[1])
    return torch.autograd.functional.hessian(loss, torch.zeros(sum(sizes), dtype=torch.float64)).numpy()


def dead_directions(net, layer: int) -> list[list[torch.Tensor]]:
    """In units(net), written out: the scale of each row and filter, of each norm before a mix, of the sums' norms."""
    path, names = net.paths[layer], net.paths[layer].path_names()
    blocks = [f"blocks.{i}." for i in range(len(path.blocks))]
    groups = [["mix.weight"], ["depthwise.weight"], ["depthwise_norm.weight", "depthwise_norm.bias"],
              *([f"{b}depthwise.weight"] for b in blocks), *([f"{b}mix.weight"] for b in blocks),
              *([f"{b}depthwise_norm.weight", f"{b}depthwise_norm.bias"] for b in blocks),
              ["norm.weight", "norm.bias", *(f"{b}norm.{part}" for b in blocks for part in ("weight", "bias"))]]
    return [[p.detach() / scale * (name in group)
             for name, p, scale in zip(names, path.path_parameters(), units(net)[layer], strict=True)]
            for group in groups if group[0] in names]


def restricted(net, matrix: np.ndarray, layer: int, channel: int) -> np.ndarray:
    """The matrix without the dead directions, by orthogonal complement."""
    dead = np.array([flat_row(rows, channel) for rows in dead_directions(net, layer)])
    basis = np.linalg.svd(dead)[2][len(dead):]
    return basis.T @ basis @ matrix @ basis.T @ basis


def flat_row(rows, channel: int) -> np.ndarray:
    return torch.cat([u[channel].reshape(-1) for u in rows]).numpy()


@pytest.mark.parametrize("shape", SHAPES)
def test_product_is_the_explicit_matrix(shape):
    net, generator = small_net(**shape), torch.Generator().manual_seed(3)
    batch = small_batch(net, 12)
    v = random_directions(net, generator)
    product = curvature_product(net, batch, v, SMALL)
    for layer, channel in [(0, 1), (1, 3), (2, 0)]:
        expected = explicit_matrix(net, batch, layer, channel) @ flat_row(v[layer], channel)
        np.testing.assert_allclose(flat_row(product[layer], channel), expected, rtol=1e-3, atol=1e-6)


def split_alone(net: DsCnn, layer: int, index: torch.Tensor, v, eps: float) -> DsCnn:
    offsets = offsets_of(net, v, eps)
    return grown(net, [halved(net, i, index, offsets[i]) if i == layer else unchanged(net, i)
                       for i in range(len(net.paths))])


@pytest.mark.parametrize("shape", SHAPES)
def test_product_predicts_the_real_split(shape, monkeypatch):
    """By finite differences of the split net's loss. With a smooth activation, so that no kink lies in between."""
    monkeypatch.setattr(F, "relu", F.softplus)
    net, eps = small_net(**shape), 1e-2
    batch = small_batch(net, 12)
    v = random_directions(net, torch.Generator().manual_seed(3))
    product = curvature_product(net, batch, v, Probe(1e-4, F.softplus))
    for layer, channel in [(0, 0), (1, 2), (2, 4)]:
        new = split_alone(net, layer, torch.tensor([channel]), v, eps)
        change = batch_loss(new, [batch]) - batch_loss(net, [batch])
        expected = float(row_dot(v[layer], product[layer])[channel])
        assert change * 2 / eps**2 == pytest.approx(expected, rel=0.05, abs=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_paired_logits_are_those_of_the_split_net(shape):
    """Of all paths of one layer at once, at a large offset."""
    net = small_net(**shape)
    batch = small_batch(net, 12)
    v = random_directions(net, torch.Generator().manual_seed(4))
    for layer in range(3):
        offsets = [[d * (i == layer) for d in rows] for i, rows in enumerate(offsets_of(net, v, 0.7))]
        paired = paired_logits(net, batch[0], offsets)
        new = split_alone(net, layer, torch.arange(net.shape.widths[layer]), v, 0.7)
        torch.testing.assert_close(new.train()(batch[0]), paired)


@pytest.mark.parametrize("gains", GAINS)
def test_change_is_predicted_at_a_large_offset(gains):
    """Where the quadratic at its end is far off; one path alone."""
    net = small_net((1,))
    batch, probe = small_batch(net, 12), Probe(1.5)
    v = random_directions(net, torch.Generator().manual_seed(1))
    new = split_alone(net, 0, torch.tensor([0]), v, probe.eps)
    realised = batch_loss(new, [batch]) - batch_loss(net, [batch])
    at_end = 0.5 * probe.eps**2 * float(row_dot(v[0], curvature_product(net, batch, v, probe)[0])[0])
    assert float(predicted_changes(net, [batch] * 64, v, probe, gains)[0][0]) == pytest.approx(realised, rel=0.02)
    assert at_end != pytest.approx(realised, rel=0.2)


@pytest.mark.parametrize(("shape", "bound", "bound_of_full"), [(SHAPES[0], 0.17, 0.27), (SHAPES[1], 0.25, 0.45)])
def test_gains_alone_are_what_each_split_does(shape, bound, bound_of_full):
    """At the offset that growth uses, with the real activation; nothing else of the layer moves, or all of it, which
    bends the loss too. Errors of each layer, beside what its splits do."""
    net, probe = small_net(**shape), Probe(0.5)
    batch = small_batch(net, 12)
    v = random_directions(net, torch.Generator().manual_seed(6))
    before, full = batch_loss(net, [batch]), predicted_changes(net, [batch], v, probe, ALONE)
    for layer, width in enumerate(net.shape.widths):
        realised, predicted = np.zeros(width), np.zeros(width)
        for path in range(width):
            only = [[u * (i == layer) * (torch.arange(len(u)) == path).view(-1, *[1] * (u.ndim - 1)) for u in rows]
                    for i, rows in enumerate(v)]
            new = split_alone(net, layer, torch.tensor([path]), v, probe.eps)
            realised[path] = batch_loss(new, [batch]) - before
            predicted[path] = predicted_changes(net, [batch], only, probe, ALONE)[layer][path]
        assert np.linalg.norm(predicted - realised) < bound * np.linalg.norm(realised)
        assert np.linalg.norm(full[layer].numpy() - realised) < bound_of_full * np.linalg.norm(realised)


@pytest.mark.parametrize("batches", [2, 3, 7])
def test_gains_alone_of_equal_batches_are_those_of_one(batches):
    """Whichever layers' turn it is."""
    net, probe = small_net(**SHAPES[1]), Probe(0.5)
    batch = small_batch(net, 12)
    v = random_directions(net, torch.Generator().manual_seed(5))
    for of_one, of_many in zip(*(predicted_changes(net, [batch] * n, v, probe) for n in (1, batches)), strict=True):
        torch.testing.assert_close(of_many, of_one)


def test_cautious_gains_are_those_alone_less_a_standard_error():
    """Of a net whose every batch bends each layer too, so that the scatter of single batches is known from outside."""
    net, probe = small_net(), Probe(0.5)
    batches = [small_batch(net, 12, seed) for seed in range(30)]
    v = random_directions(net, torch.Generator().manual_seed(5))
    alone, cautious = (predicted_changes(net, batches, v, probe, gains) for gains in (ALONE, CAUTIOUS))
    single = [predicted_changes(net, [batch], v, probe, CAUTIOUS) for batch in batches]
    alone, cautious, *single = (torch.cat(each) for each in (alone, cautious, *single))
    error, told = torch.stack(single).std(0) / len(batches) ** 0.5, cautious != 0
    assert 4 <= int(told.sum()) <= 12  # of 15
    assert bool((cautious * alone)[told].gt(0).all())
    torch.testing.assert_close((alone - cautious).abs()[told], error[told], rtol=0.5, atol=0)
    assert bool((alone.abs()[~told] < 1.5 * error[~told]).all())


def test_of_gains_that_are_chance_few_are_told():
    """As many as a normal distribution has beyond one standard error, a third, and none in the wrong direction of
    those that are three errors large."""
    noise = torch.randn(24, 4000, generator=torch.Generator().manual_seed(0))
    by_chance = drawn_to_zero(noise.mean(0), standard_error(noise))
    assert float((by_chance != 0).float().mean()) == pytest.approx(0.32, abs=0.04)
    real = noise - 3 / 24**0.5
    told = drawn_to_zero(real.mean(0), standard_error(real))
    assert float((told < 0).float().mean()) > 0.96
    assert float((told > 0).float().mean()) < 0.001
    torch.testing.assert_close(drawn_to_zero(real[0], standard_error(real[:1])), real[0])


@pytest.mark.parametrize("shape", SHAPES)
def test_gains_alone_know_nothing_of_other_layers(shape):
    net, probe = small_net(**shape), Probe(0.5)
    batch = small_batch(net, 12)
    v, other = (random_directions(net, torch.Generator().manual_seed(seed)) for seed in (5, 6))
    changes = predicted_changes(net, [batch], v, probe)
    for layer in range(3):
        mixed = [v[i] if i == layer else other[i] for i in range(3)]
        torch.testing.assert_close(predicted_changes(net, [batch], mixed, probe)[layer], changes[layer])


@pytest.mark.parametrize("shape", [{"widths": (3, 4)}, {"widths": (3, 4), "depths": (1, 0), "strides": (2,)}])
@pytest.mark.parametrize("largest", [False, True])
def test_rayleigh_pass_finds_numpys_eigenpair(largest, shape):
    net = small_net(**shape)
    batch = small_batch(net, 16)
    start = random_directions(net, torch.Generator().manual_seed(0))
    v = rayleigh_pass(net, repeat(batch), start, SMALL, steps=300, lr=0.05, largest=largest)
    values = [row_dot(rows, s) for rows, s in zip(v, curvature_product(net, batch, v, SMALL), strict=True)]
    for layer, channel in [(0, 0), (0, 2), (1, 1), (1, 3)]:
        matrix = restricted(net, explicit_matrix(net, batch, layer, channel), layer, channel)
        eigenvalues, vectors = np.linalg.eigh(matrix)
        end, beside = (-1, -2) if largest else (0, 1)
        apart = abs(eigenvalues[beside] - eigenvalues[end]) > 0.2 * abs(eigenvalues[end])
        assert float(values[layer][channel]) == pytest.approx(eigenvalues[end], rel=0.03 if apart else 0.12, abs=1e-5)
        if apart:
            assert abs(flat_row(v[layer], channel) @ vectors[:, end]) > 0.97


@pytest.mark.parametrize("shape", SHAPES)
def test_exact_eigenpairs_are_those_of_double_backward(shape):
    net = small_net(**shape)
    batch = small_batch(net, 12)
    values, v = smallest_eigenpairs(net, [batch], SMALL)
    for layer, channel in [(0, 1), (1, 3), (2, 0)]:
        matrix = restricted(net, explicit_matrix(net, batch, layer, channel), layer, channel)
        eigenvalues, vectors = np.linalg.eigh(matrix)
        assert float(values[layer][channel]) == pytest.approx(eigenvalues[0], rel=1e-2, abs=1e-5)
        assert abs(flat_row(v[layer], channel) @ vectors[:, 0]) > 0.99


def test_exact_and_stochastic_indices_agree():
    """Rank correlation over the paths of a net that was trained; the same surrogate, other batches."""
    net = small_net((8, 8, 8)).float()
    learn(net, list(net.parameters()), 40, 2e-2)
    probe = Probe(1e-2, lambda x: F.softplus(x, 4.0))
    codes, labels = plain_codes(made_up_dataset().train, "cpu")
    batch = mfcc(codes, net.n_coefficients), labels
    exact, _ = smallest_eigenpairs(net, [batch], probe)
    g = torch.Generator().manual_seed(0)
    picks = (torch.randperm(len(labels), generator=g)[:128] for _ in repeat(0))
    v = rayleigh_pass(net, ((batch[0][i], labels[i]) for i in picks), random_directions(net, g), probe, steps=150)
    product = curvature_product(net, batch, v, probe)
    found = [row_dot(rows, s) for rows, s in zip(v, product, strict=True)]
    assert spearmanr(torch.cat(found), torch.cat(exact)).statistic >= 0.95


@pytest.mark.parametrize("shape", SHAPES)
def test_a_norms_scale_is_no_direction(shape):
    """What a norm undoes, or the outgoing column does too, has no curvature (DESIGN, Growth 6); and no part of what is
    chosen lies along it, even where the pass starts there."""
    net = small_net(**shape)
    batch = small_batch(net, 12)
    other = random_directions(net, torch.Generator().manual_seed(1))
    alive = curvature_product(net, batch, other, Probe(0.1))
    for layer in range(3):
        for rows in dead_directions(net, layer):
            along = [[torch.zeros_like(u) for u in each] for each in other]
            along[layer] = normalized([rows])[0]
            product = curvature_product(net, batch, along, Probe(0.02))
            dead = float(row_dot(along[layer], product[layer]).abs().max())
            assert dead < 1e-2 * float(row_dot(other[layer], alive[layer]).abs().max())
    mixed = [[u + w for u, w in zip(rows, dead_directions(net, i)[0], strict=True)] for i, rows in enumerate(other)]
    chosen = rayleigh_pass(net, repeat(batch), mixed, Probe(0.1), steps=3)
    for layer, rows in enumerate(chosen):
        for dead in dead_directions(net, layer):
            assert float(row_dot(rows, dead).abs().max()) < 1e-10


def test_directions_have_length_one():
    v = random_directions(small_net(), torch.Generator().manual_seed(2))
    for rows in v:
        torch.testing.assert_close(row_dot(rows, rows), torch.ones(len(rows[0]), dtype=torch.float64))


def test_what_differs_by_chance_is_drawn_together():
    """Paths that are alike but for noise come out nearly alike, in the right sign; those that differ stay apart."""
    g, ways = torch.Generator().manual_seed(0), (torch.arange(12) + 0.5) / 12
    noise = torch.randn(12, 200, generator=g)
    slopes = -0.5 * ways[:, None] + noise
    told, plain = (float((each < 0).float().mean()) for each in (shrunken(slopes, ways), slopes.mean(0)))
    assert told > 0.99 > 0.9 > plain
    assert len(shrunken(slopes, ways).unique()) == 200  # in their order still
    assert bool(shrunken(torch.zeros(12, 8), ways).isfinite().all())
    apart = torch.linspace(-9, 9, 200)
    torch.testing.assert_close(shrunken(2 * ways[:, None] * apart + 0.1 * noise, ways), apart, atol=0.15, rtol=0)
