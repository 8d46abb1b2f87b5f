"""Fine-tuning with int8's rounding: it computes what the .tflite computes, and its ranges learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import fitted_net, learn, made_up_dataset
from torch.nn import functional as F

from export.quantize import to_tflite
from export.stimuli import random_inputs
from export.tflite_reader import read_tflite
from export.witness import tflm_scores
from kws_grow.augment import Augmentation, CodeSource, mfcc, plain_codes
from kws_grow.deploy import TO_TORCH
from kws_grow.fake_quant import fake_quant, fake_quant_weight
from kws_grow.qat import QuantizedNet, make_tuner
from kws_grow.training import probabilities, train_epoch
from tests.export.models import cut, random_net


def steps_of(layer) -> np.ndarray:
    """The int8 weights of a QuantizedLayer in TFLite's layout, as it computes with them."""
    limit = layer.log_limit.exp()
    weight = fake_quant_weight(layer.weight * layer.weight_unit, limit)
    steps = weight / (limit / 127).view(-1, *[1] * (weight.ndim - 1))
    return steps.detach().round().numpy()


@pytest.mark.parametrize("n_coefficients", [10, 20])
def test_weights_are_those_of_the_tflite(n_coefficients):
    net = QuantizedNet(random_net(3, (8, 12, 6), n_coefficients))
    graph = read_tflite(to_tflite(net.float_net()))
    for layer, op in zip(net.layers, graph.ops, strict=False):
        if layer.layer.weight is not None:
            data = graph.operands(op)[1].data.reshape(layer.layer.weight.shape)
            assert np.array_equal(steps_of(layer), TO_TORCH[layer.layer.op](data))


@pytest.mark.parametrize("options", [{"n_coefficients": 10}, {"n_coefficients": 20},
                                     {"depths": (1, 2, 0), "strides": (2, 1)}])
def test_every_layer_computes_what_the_tflite_does_within_a_step(options):
    """Given the .tflite's own inputs of the layer, differences are those of fixed-point rounding: few, a step each."""
    net = QuantizedNet(random_net(4, (8, 12, 6), **options))
    tflite = to_tflite(net.float_net())
    graph = read_tflite(tflite)
    inputs = random_inputs(graph.input.shape, 24)
    outputs = [real(inputs, graph.input)]
    assert torch.allclose(net.input(outputs[0]), outputs[0], rtol=1e-5)
    for i, (layer, op) in enumerate(zip(net.layers, graph.ops, strict=False)):
        tensor, out = graph.result(op), layer(outputs).detach()
        scores = tflm_scores(cut(tflite, i), inputs).reshape(len(inputs), *tensor.shape[1:])
        x = real(scores, tensor)
        outputs.append(x)
        steps = np.rint((out.reshape(x.shape) - x).abs().numpy() / tensor.scale[0])
        assert steps.max() <= 1, op.kind
        assert steps.mean() < 0.03, op.kind
        assert len(np.unique(scores)) > 20, op.kind


def real(steps: np.ndarray, tensor) -> torch.Tensor:
    """int8 [n, h, w, c] or [n, c] as what it stands for, float32 [n, c, h, w] or [n, c]."""
    values = (steps.astype(np.float32) - tensor.zero_point[0]) * tensor.scale[0]
    return torch.from_numpy(values.astype(np.float32)).movedim(-1, 1)


def test_untrained_it_gives_back_what_it_was_given():
    net = random_net(1, (8, 6, 5))
    back = QuantizedNet(net).float_net()
    assert (back.labels, back.dataset, back.input_shape) == (net.labels, net.dataset, net.input_shape)
    np.testing.assert_allclose(back.input_range, net.input_range, rtol=1e-5)
    pool = [layer.op for layer in back.layers].index("average_pool")
    assert back.layers[pool].output_range == back.layers[pool - 1].output_range
    for a, b in zip(back.layers[:pool], net.layers[:pool], strict=True):
        np.testing.assert_allclose(a.weight, b.weight, rtol=1e-6)
        np.testing.assert_allclose(a.bias, b.bias, rtol=1e-6)
        np.testing.assert_allclose(a.weight_limit, b.weight_limit, rtol=1e-5)
        np.testing.assert_allclose(a.output_range, b.output_range, rtol=1e-5)


def test_gradient_of_a_range_is_the_rounding_error_inside_and_one_beyond():
    """LSQ (arXiv 1902.08153), equation 3, at the scale high / 255 of a range that starts at 0."""
    high = torch.tensor(255.0, requires_grad=True)
    (inside,) = torch.autograd.grad(fake_quant(torch.tensor(7.3), torch.tensor(0.0), high), high)
    assert float(inside) == pytest.approx((7 - 7.3) / 255, rel=1e-4)
    (beyond,) = torch.autograd.grad(fake_quant(torch.tensor(300.0), torch.tensor(0.0), high), high)
    assert float(beyond) == 1
    x = torch.tensor([-3.0, 7.3, 300.0], requires_grad=True)
    (passed,) = torch.autograd.grad(fake_quant(x, torch.tensor(0.0), high).sum(), x)
    assert passed.tolist() == [0, 1, 0]


@pytest.mark.parametrize("options", [{}, {"depths": (1, 2, 0), "strides": (2, 1)}])
def test_gradients_reach_every_parameter(options):
    net = QuantizedNet(random_net(2, (8, 6, 5), **options))
    x = 100 * torch.randn(16, 49, 10, generator=torch.Generator().manual_seed(0)) + 200
    F.cross_entropy(net(x), torch.arange(16) % 5).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name  # noqa: PT018


def spoilt(net, factor: float):
    """The same net with ranges so many times as wide."""
    layers = [replace(layer, output_range=tuple(factor * end for end in layer.output_range)) if layer.output_range
              else layer for layer in net.layers]
    return QuantizedNet(replace(net, layers=tuple(layers)))


@pytest.mark.parametrize("factor", [0.2, 100.0])
def test_bad_ranges_are_learnt_back_by_the_ranges_alone(factor):
    net = spoilt(fitted_net(), factor)
    ranges = [parameter for name, parameter in net.named_parameters() if "output.log" in name]
    start = [parameter.item() for parameter in ranges]
    before, after = learn(net, ranges, 80, 0.1)
    assert before > 1
    assert after < 0.05
    assert all(parameter.item() != value for parameter, value in zip(ranges, start, strict=True))


def test_a_teacher_is_learnt_instead_of_the_labels():
    """Labels that a constant could give teach nothing of the net's; its own float probabilities bring it back."""
    net, source = fitted_net(), CodeSource(made_up_dataset(), "cpu", Augmentation(), 256)
    net, teacher = spoilt(net, 0.2), QuantizedNet(net)
    source.labels[:] = 0
    x = mfcc(plain_codes(made_up_dataset().train, "cpu")[0], 10)
    before = F.cross_entropy(net(x), probabilities(teacher, x)).item()
    optimizer = make_tuner(net)
    for epoch in range(8):
        generator = torch.Generator().manual_seed(epoch)
        train_epoch(net, optimizer, source, 32, generator, lambda _: 0.1, 0.0, teacher=teacher)
    after = F.cross_entropy(net(x), probabilities(teacher, x)).item()
    assert after < 0.2 * before


def test_tuner_holds_every_parameter_and_ranges_apart():
    net = QuantizedNet(random_net(0, (8, 4)))
    ranges, others = make_tuner(net).param_groups
    assert len(ranges["params"]) + len(others["params"]) == len(list(net.parameters()))
    assert len(ranges["params"]) == 2 + 2 + 3 * 2 + 1  # input, logits, output and weights of three more, dense weights
    assert "factor" not in ranges
    assert others["factor"] < 1
