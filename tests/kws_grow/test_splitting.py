"""Splitting against brute force on small nets, in float64."""

from itertools import repeat

import numpy as np
import pytest
import torch
from helpers import small_batch, small_net
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from kws_grow.splitting import (
    at_rest,
    curvature_product,
    mean_curvature,
    normalized,
    offsets_of,
    only,
    paired_logits,
    paired_loss,
    random_directions,
    rayleigh_pass,
    row_dot,
    split,
    units,
)
from kws_grow.training import make_optimizer


def explicit_matrix(net, batch, layer: int, channel: int) -> np.ndarray:
    """The splitting matrix of one path in units(net), by double backward through the paired net: float64 [n, n]."""
    scale, shapes = units(net)[layer], [p.shape for p in net.paths[layer].path_parameters()]
    sizes = [int(np.prod(s[1:])) for s in shapes]

    def loss(flat):
        offsets = at_rest(net)
        for k, (part, s) in enumerate(zip(flat.split(sizes), scale, strict=True)):
            row = torch.zeros_like(offsets[layer][k])
            row[channel] = s * part.reshape(shapes[k][1:])
            offsets[layer][k] = row
        return F.cross_entropy(paired_logits(net, batch[0], offsets), batch[1])
    return torch.autograd.functional.hessian(loss, torch.zeros(sum(sizes), dtype=torch.float64)).numpy()


def flat_row(rows, channel: int) -> np.ndarray:
    return torch.cat([u[channel].reshape(-1) for u in rows]).numpy()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.sampled_from([10, 20]), st.integers(0, 99),
       st.booleans())
def test_split_at_rest_preserves_the_function(widths, n_coefficients, seed, train):
    net = small_net(widths, seed, n_coefficients).train(train)
    mfcc, _ = small_batch(net, 6, seed)
    rng = np.random.default_rng(seed)
    chosen = [torch.from_numpy(rng.permutation(c)[: rng.integers(0, c + 1)].copy()) for c in widths]
    before = net(mfcc).detach()
    split(net, chosen, at_rest(net), None)
    assert net.shape.widths == tuple(c + len(index) for c, index in zip(widths, chosen, strict=True))
    assert float((net(mfcc).detach() - before).abs().max()) < 1e-10


def test_product_is_the_explicit_matrix():
    net, generator = small_net(), torch.Generator().manual_seed(3)
    batch = small_batch(net, 12)
    v = random_directions(net, generator)
    product = curvature_product(net, batch, v, 1e-6)
    for layer, channel in [(0, 1), (1, 3), (2, 0)]:
        expected = explicit_matrix(net, batch, layer, channel) @ flat_row(v[layer], channel)
        np.testing.assert_allclose(flat_row(product[layer], channel), expected, rtol=1e-3, atol=1e-6)


def test_curvature_predicts_the_real_split(monkeypatch):
    """With a smooth activation, so that no kink lies between 0 and eps."""
    monkeypatch.setattr(F, "relu", F.softplus)
    net = small_net()
    batch, eps = small_batch(net, 12), 1e-2
    v = random_directions(net, torch.Generator().manual_seed(3))
    values = mean_curvature(net, [batch], v, eps)
    for layer, channel in [(0, 0), (1, 2), (2, 4)]:
        grown = small_net()
        chosen = [torch.tensor([channel] if i == layer else [], dtype=torch.long) for i in range(3)]
        split(grown, chosen, offsets_of(net, v, eps), None)
        change = paired_loss(grown, [batch], at_rest(grown)) - paired_loss(net, [batch], at_rest(net))
        assert change * 2 / eps**2 == pytest.approx(float(values[layer][channel]), rel=0.05, abs=1e-5)


def test_paired_loss_is_the_loss_of_the_split_net():
    net = small_net()
    batch = small_batch(net, 12)
    offsets = offsets_of(net, random_directions(net, torch.Generator().manual_seed(4)), 0.7)
    index = torch.tensor([1, 3])
    predicted = paired_loss(net, [batch], only(offsets, 1, index))
    split(net, [torch.tensor([], dtype=torch.long), index, torch.tensor([], dtype=torch.long)], offsets, None)
    assert paired_loss(net, [batch], at_rest(net)) == pytest.approx(predicted, abs=1e-12)
    net.train()
    assert float(F.cross_entropy(net(batch[0]), batch[1]).detach()) == pytest.approx(predicted, abs=1e-12)


def test_rayleigh_pass_finds_numpys_smallest_eigenpair():
    net = small_net((3, 4))
    batch = small_batch(net, 16)
    generator = torch.Generator().manual_seed(0)
    v, values = rayleigh_pass(net, lambda: repeat(batch), generator, eps=1e-6, steps=300, fresh=1)
    for layer, channel in [(0, 0), (0, 2), (1, 1), (1, 3)]:
        eigenvalues, vectors = np.linalg.eigh(explicit_matrix(net, batch, layer, channel))
        assert float(values[layer][channel]) == pytest.approx(eigenvalues[0], rel=0.03, abs=1e-5)
        if eigenvalues[1] - eigenvalues[0] > 0.2 * abs(eigenvalues[0]):
            assert abs(flat_row(v[layer], channel) @ vectors[:, 0]) > 0.97


def test_scale_of_a_row_is_no_direction():
    """Batch norm undoes it, so a split along it would be dead (DESIGN, Growth 6)."""
    net = small_net()
    along = [[torch.zeros_like(p) for p in layer.path_parameters()] for layer in net.paths]
    for rows, layer in zip(along, net.paths, strict=True):
        rows[0].copy_(layer.mix.weight.detach())
    v = normalized(along)
    values = mean_curvature(net, [small_batch(net, 12)], v, 0.1)
    other = mean_curvature(net, [small_batch(net, 12)], random_directions(net, torch.Generator().manual_seed(1)), 0.1)
    for dead, alive in zip(values, other, strict=True):
        assert float(dead.abs().max()) < 1e-2 * float(alive.abs().max())


def test_directions_have_length_one():
    v = random_directions(small_net(), torch.Generator().manual_seed(2))
    for rows in v:
        torch.testing.assert_close(row_dot(rows, rows), torch.ones(len(rows[0]), dtype=torch.float64))


def test_momentum_goes_along():
    """Each copy sees half the gradient, the outgoing columns the whole one: momentum is what a step would build."""
    net = small_net()
    batch = small_batch(net, 12)
    optimizer = make_optimizer(net, 0.9, 0.0)
    F.cross_entropy(net.train()(batch[0]), batch[1]).backward()
    optimizer.step()
    index = torch.tensor([0, 2])
    split(net, [torch.tensor([1]), index, torch.tensor([], dtype=torch.long)], at_rest(net), optimizer)
    optimizer.zero_grad()
    F.cross_entropy(net(batch[0]), batch[1]).backward()
    for p in net.parameters():  # lr was 0: the gradient of the split net is the momentum that was carried
        torch.testing.assert_close(optimizer.state[p]["momentum_buffer"], p.grad, atol=1e-10, rtol=1e-8)
    assert {id(p) for g in optimizer.param_groups for p in g["params"]} == {id(p) for p in net.parameters()}
