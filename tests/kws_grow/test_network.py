from functools import partial

import numpy as np
import pytest
import torch
from helpers import small_batch, small_net
from onnxruntime import InferenceSession

from export.net import load_net, save_net
from export.onnx_writer import float_onnx
from export.shape import NetShape
from kws_grow.augment import mfcc
from kws_grow.deploy import activations, folded_layers, with_ranges
from kws_grow.network import DsCnn
from kws_grow.ranges import minmax, percentile


@pytest.mark.parametrize("n_coefficients", [10, 20])
def test_net_and_shape_agree(n_coefficients):
    shape = NetShape((8, 12, 4), n_coefficients, 5)
    net = DsCnn(shape)
    assert net.shape == shape
    assert net(torch.zeros(2, 49, n_coefficients)).shape == (2, 5)
    convolutions = sum(p.numel() for p in net.parameters() if p.ndim > 1)
    assert convolutions == sum(layer.weight_bytes for layer in shape.layers())


RESIDUAL = {"depths": (1, 2, 0), "strides": (2, 1)}


@pytest.mark.parametrize("options", [{}, RESIDUAL, {"depths": (0, 1, 1), "strides": (1, 2)}])
def test_folding_keeps_the_function(options):
    net = small_net(**options).eval()
    mfcc, _ = small_batch(net)
    folded = activations(folded_layers(net), mfcc.float())[-1]
    torch.testing.assert_close(folded.double(), net(mfcc).detach(), atol=1e-4, rtol=1e-4)


def test_a_residual_net_is_saved_and_simulated_whole(tmp_path):
    """The folded net, its file, its float ONNX and torch's net say the same."""
    net = small_net(**RESIDUAL).eval().float()
    x = small_batch(net)[0].float()
    folded = with_ranges(folded_layers(net), x, ("a",) * 4, "made-up", {"minmax": minmax})["minmax"]
    save_net(folded, tmp_path / "net.npz")
    loaded = load_net(tmp_path / "net.npz")
    assert [layer.addend for layer in loaded.layers] == [layer.addend for layer in folded.layers]
    assert [layer.addend for layer in loaded.layers if layer.op == "add"] == [0, 5, 8]
    (scores,) = InferenceSession(float_onnx(loaded).SerializeToString()).run(None, {"input": x.numpy()})
    np.testing.assert_allclose(scores, net(x).softmax(1).detach().numpy(), atol=1e-4)
    sums = [layer.output_range for layer in loaded.layers if layer.op == "add"]
    assert all(low == 0 < high for low, high in sums)


def test_ranges_hold_the_asked_share():
    net = small_net().eval().float()
    codes = torch.randint(256, (50, 49, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    methods = {"wide": minmax, "tight": partial(percentile, share=99.0)}
    wide, tight = with_ranges(folded_layers(net), mfcc(codes, 10), ("a",) * 4, "made-up", methods).values()
    assert wide.input_shape == (49, 10)
    ends = [(a.output_range, b.output_range) for a, b in zip(wide.layers[:-3], tight.layers[:-3], strict=True)]
    assert all(a[0] == b[0] == 0.0 and 0 < b[1] <= a[1] for a, b in ends)
    assert sum(b[1] < a[1] for a, b in ends) >= 3
    pool = [layer.op for layer in wide.layers].index("average_pool")
    assert wide.layers[pool].output_range == wide.layers[pool - 1].output_range
    for layer in wide.layers:
        if layer.weight is not None and layer.op != "depthwise":
            largest = np.abs(layer.weight).reshape(len(layer.weight), -1).max(1)
            np.testing.assert_array_equal(largest, layer.weight_limit)
