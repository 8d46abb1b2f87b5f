"""Every edit keeps the function where it should, over random architectures, in float64."""

import numpy as np
import pytest
import torch
from helpers import small_batch, small_net
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from kws_grow.edits import Fresh, LayerEdit, carried, fresh_block, grown, halved, kept, unchanged
from kws_grow.methods.firefly import candidates
from kws_grow.methods.signed import copied, ways
from kws_grow.splitting import offsets_of, random_directions
from kws_grow.training import make_optimizer


@st.composite
def nets(draw):
    """A small net with residual blocks and strides, in train or eval mode; and a generator of NumPy's."""
    widths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))
    depths = tuple(draw(st.integers(0, 2)) for _ in widths)
    strides = tuple(draw(st.integers(1, 2)) for _ in widths[1:])
    seed = draw(st.integers(0, 99))
    net = small_net(widths, seed, draw(st.sampled_from([10, 20])), depths=depths, strides=strides)
    return net.train(draw(st.booleans())), np.random.default_rng(seed)


def at_rest(net):
    return [[torch.zeros_like(p) for p in layer.path_parameters()] for layer in net.paths]


def some(rng, c: int) -> torch.Tensor:
    return torch.from_numpy(rng.permutation(c)[: rng.integers(0, c + 1)].copy())


def halves_at_rest(net, rng):
    return [halved(net, i, some(rng, c), at_rest(net)[i]) for i, c in enumerate(net.shape.widths)]


def signed_at_rest(net, rng):
    return [copied(net, i, [ways(3.0)[k] for k in rng.integers(0, 6, c)], at_rest(net)[i], at_rest(net)[i])
            for i, c in enumerate(net.shape.widths)]


def closed_candidates(net, rng):
    """New channels and blocks whose gates are closed, on top of halves."""
    new = candidates(net, 3, torch.Generator().manual_seed(1))
    return [LayerEdit(h.source, h.weight, h.moves, n.fresh, n.block)
            for h, n in zip(halves_at_rest(net, rng), new, strict=True)]


@settings(max_examples=25, deadline=None)
@given(nets(), st.sampled_from([halves_at_rest, signed_at_rest, closed_candidates]))
def test_an_edit_at_offset_zero_preserves_the_function(drawn, edit):
    net, rng = drawn
    mfcc, _ = small_batch(net, 6)
    before, edits = net(mfcc).detach(), edit(net, rng)
    new = grown(net, edits)
    assert new.shape.widths == tuple(e.width for e in edits)
    assert float((new(mfcc).detach() - before).abs().max()) < 1e-10


def test_fresh_columns_and_blocks_do_what_they_say():
    """Opened, they change the function: the rows and columns that they were given are the grown net's."""
    net = small_net((4, 5), depths=(1, 0))
    fresh = candidates(net, 2, torch.Generator().manual_seed(0))[0].fresh
    columns = [torch.full_like(c, 0.5) for c in fresh.columns]
    edits = [LayerEdit(*vars(unchanged(net, 0)).values()), unchanged(net, 1)]
    edits[0] = LayerEdit(edits[0].source, edits[0].weight, edits[0].moves, Fresh(fresh.rows, columns))
    new = grown(net, edits)
    assert torch.equal(new.paths[1].mix.weight[:, 4:], columns[-1])
    assert torch.equal(new.paths[0].blocks[0].mix.weight[:4, 4:], columns[0])
    assert torch.equal(new.paths[0].mix.weight[4:], fresh.rows[0])
    mfcc, _ = small_batch(net, 6)
    assert float((new(mfcc) - net(mfcc)).detach().abs().max()) > 1e-3


def test_a_block_goes_behind_the_others():
    net = small_net((4, 5), depths=(1, 0))
    block = fresh_block(4, 4, torch.Generator().manual_seed(0), net.classifier.weight)
    edit = unchanged(net, 0)
    new = grown(net, [LayerEdit(edit.source, edit.weight, edit.moves, None, block), unchanged(net, 1)])
    assert new.shape.depths == (2, 0)
    assert torch.equal(new.paths[0].blocks[0].mix.weight, net.paths[0].blocks[0].mix.weight)
    assert torch.equal(new.paths[0].blocks[1].mix.weight, block[3])


def test_kept_channels_are_those_of_the_wider_net():
    """Where the channels left out had no outgoing weight, nothing changes."""
    net = small_net((4, 6, 5), depths=(0, 1, 0)).eval()
    stay = torch.tensor([0, 2, 5])
    gone = [i for i in range(6) if i not in stay]
    with torch.no_grad():
        for mix in net.mixes_behind(1):
            mix.weight[:, gone] = 0
    edits = [unchanged(net, 0), kept(net, 1, stay), unchanged(net, 2)]
    mfcc, _ = small_batch(net, 6)
    torch.testing.assert_close(grown(net, edits)(mfcc), net(mfcc))


@pytest.mark.parametrize("edit", [halves_at_rest, signed_at_rest])
def test_moments_go_along(edit):
    """A copy sees its weight's share of the gradient, the outgoing columns the whole one: momentum is what a step would
    build."""
    net = small_net((4, 6, 5), depths=(0, 1, 0))
    batch = small_batch(net, 12)
    optimizer = make_optimizer(net, 0.9, 0.0)
    F.cross_entropy(net.train()(batch[0]), batch[1]).backward()
    optimizer.step()
    edits = edit(net, np.random.default_rng(0))
    new = grown(net, edits)
    moved = make_optimizer(new, 0.9, 0.0)
    carried(optimizer, moved, net, new, edits)
    F.cross_entropy(new(batch[0]), batch[1]).backward()
    assert new.shape.widths != net.shape.widths
    for p in new.parameters():  # lr was 0: the gradient of the split net is the momentum that was carried
        torch.testing.assert_close(moved.state[p]["momentum_buffer"], p.grad, atol=1e-10, rtol=1e-8)


def test_second_moments_go_by_the_square():
    net = small_net((4,))
    adam = torch.optim.Adam(net.parameters(), lr=0.0)
    batch = small_batch(net, 12)
    F.cross_entropy(net.train()(batch[0]), batch[1]).backward()
    adam.step()
    edits = [halved(net, 0, torch.tensor([1]), at_rest(net)[0])]
    new = grown(net, edits)
    moved = torch.optim.Adam(new.parameters(), lr=0.0)
    carried(adam, moved, net, new, edits)
    old, now = adam.state[net.paths[0].mix.weight], moved.state[new.paths[0].mix.weight]
    torch.testing.assert_close(now["exp_avg_sq"][4], old["exp_avg_sq"][1] / 4)
    torch.testing.assert_close(now["exp_avg"][4], old["exp_avg"][1] / 2)
    assert now["step"] == old["step"]


def test_signed_copies_balance():
    """Weights sum to 1, absolute ones to at most c, and weighted offsets to zero: no first-order change."""
    for c in (1.5, 3.0, 5.0):
        for way in ways(c):
            weight, low, high = (np.array(each) for each in zip(*way.moves, strict=True))
            assert weight.sum() == pytest.approx(1)
            assert np.abs(weight).sum() <= c + 1e-9
            assert (weight @ low, weight @ high) == pytest.approx((0, 0))
            # sum of w d'Sd over the copies: -1 along v_min and +1 along v_max are the reference's fall and rise
            assert way.of_fall == pytest.approx(weight @ low**2)
            assert way.of_rise == pytest.approx(-(weight @ high**2))


def test_offsets_are_moves():
    net = small_net((4, 6))
    offsets = offsets_of(net, random_directions(net, torch.Generator().manual_seed(0)), 0.5)
    new = grown(net, [unchanged(net, 0), halved(net, 1, torch.tensor([2]), offsets[1])])
    for old, now, d in zip(net.paths[1].path_parameters(), new.paths[1].path_parameters(), offsets[1], strict=True):
        torch.testing.assert_close(now[[2, 6]], torch.stack([old[2] + d[2], old[2] - d[2]]))


def test_new_channels_learn_in_a_new_block():
    """Their filters are not at zero, where ReLU passes no gradient, and their sums are closed."""
    net = small_net((4, 5))
    fresh = candidates(net, 2, torch.Generator().manual_seed(0))
    edits = [LayerEdit(*vars(unchanged(net, i)).values()) for i in range(2)]
    edits = [LayerEdit(e.source, e.weight, e.moves, f.fresh, f.block) for e, f in zip(edits, fresh, strict=True)]
    new = grown(net, edits)
    block = new.paths[0].blocks[0]
    assert block.depthwise.weight[4:].all()
    assert block.mix.weight[4:, :4].all()
    assert not block.norm.weight.any()
