"""The trained net as it leaves torch: batch norm folded, ranges chosen."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datasets.console import progress
from export.net import FloatLayer, FloatNet
from kws_grow.network import MFCC_UNIT, DsCnn, ResidualBlock, same_conv
from kws_grow.ranges import Method, minmax

# Weights as torch lays them out ([out_c, in_c, kh, kw], [out_c, in_c]) and as FloatLayer does.
FROM_TORCH = {"conv": lambda w: w.transpose(0, 2, 3, 1), "depthwise": lambda w: w[:, 0].transpose(1, 2, 0),
              "dense": lambda w: w}
TO_TORCH = {"conv": lambda w: w.transpose(0, 3, 1, 2), "depthwise": lambda w: w.transpose(2, 0, 1)[:, None],
            "dense": lambda w: w}


Weights = list[tuple[Tensor, ...]]  # (weight, bias) of each layer, () where it has none


def _fold(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[np.ndarray, np.ndarray]:
    """A convolution [out_c, in_c, kh, kw] and its norm as one weight and bias, float32."""
    scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach().double()
    folded = weight.detach().double() * scale.view(-1, 1, 1, 1)
    bias = norm.bias.detach().double() - norm.running_mean.double() * scale
    return folded.float().cpu().numpy(), bias.float().cpu().numpy()


def _limit(weight: np.ndarray) -> np.ndarray:
    """Largest |weight| of each channel (axis 0); never zero, which no scale can have.

    A smaller one gains next to nothing in squared error: a channel's few hundred weights gain less in rounding than the
    largest loses when clipped.
    """
    return np.maximum(np.abs(weight).reshape(len(weight), -1).max(1), 1e-6).astype(np.float32)


def folded_layers(net: DsCnn) -> list[FloatLayer]:
    """The net as FloatLayers without output ranges; the input is MFCC in real units."""
    layers = []
    for i, path in enumerate(net.paths):
        folded = _fold(path.mix.weight / (MFCC_UNIT if i == 0 else 1.0), path.norm)
        layers.append(_folded_layer("conv", *folded, tuple(path.mix.stride)))
        for block in path.blocks:
            layers += _folded_block(block, len(layers) - 1)
        if path.depthwise is not None:
            layers.append(_folded_depthwise(path.depthwise, path.depthwise_norm))
    weight, bias = (p.detach().float().cpu().numpy() for p in (net.classifier.weight, net.classifier.bias))
    return [*layers, FloatLayer("average_pool"), FloatLayer("dense", weight, bias, weight_limit=_limit(weight)),
            FloatLayer("softmax")]


def _folded_block(block: ResidualBlock, addend: int) -> list[FloatLayer]:
    """addend: index of the layer that the block reads."""
    mix = _folded_layer("conv", *_fold(block.mix.weight, block.norm), relu=False)
    return [_folded_depthwise(block.depthwise, block.depthwise_norm), mix, FloatLayer("add", relu=True, addend=addend)]


def _folded_depthwise(depthwise: nn.Conv2d, norm: nn.BatchNorm2d) -> FloatLayer:
    return _folded_layer("depthwise", *_fold(depthwise.weight, norm), tuple(depthwise.stride))


def _folded_layer(op: str, weight: np.ndarray, bias: np.ndarray, stride: tuple[int, int] = (1, 1),
                  relu: bool = True) -> FloatLayer:
    return FloatLayer(op, FROM_TORCH[op](weight).copy(), bias, stride, relu, weight_limit=_limit(weight))


def parameters_of(layer: FloatLayer) -> tuple[Tensor, Tensor] | tuple[()]:
    """(weight, bias) of a layer as torch lays them out; () where it has none."""
    if layer.weight is None:
        return ()
    return torch.from_numpy(TO_TORCH[layer.op](layer.weight).copy()), torch.from_numpy(layer.bias)


def apply(layer: FloatLayer, outputs: list[Tensor], weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """What a layer computes with this weight and bias instead of its own. outputs: of the net's input and every layer
    before, [b, c, h, w]; -> [b, c', h', w'] or, dense, [b, labels]."""
    x = outputs[-1]
    if layer.op == "average_pool":
        return x.mean((2, 3), keepdim=True)
    if layer.op == "dense":
        return F.linear(x.flatten(1), weight, bias)
    if layer.op == "add":
        x = x + outputs[layer.addend + 1]
        return F.relu(x) if layer.relu else x
    x = same_conv(x, weight, bias, layer.stride, groups=len(weight) if layer.op == "depthwise" else 1)
    return F.relu(x) if layer.relu else x


@torch.no_grad()
def activations(layers: list[FloatLayer], x: Tensor, weights: Weights | None = None) -> list[Tensor]:
    """Every layer's output but the softmax's: x [b, 49, n] -> [b, c, h, w] tensors, then [b, labels].

    weights: weights_of(layers) on the device of x, for those who ask again and again.
    """
    outputs = [x.unsqueeze(1)]
    for layer, values in zip(layers, weights or weights_of(layers, x.device), strict=False):
        outputs.append(apply(layer, outputs, *values))
    return outputs[1:]


def weights_of(layers: list[FloatLayer], device: str | torch.device) -> Weights:
    """parameters_of every layer but the softmax."""
    return [tuple(values.to(device) for values in parameters_of(layer)) for layer in layers[:-1]]


def with_ranges(layers: list[FloatLayer], x: Tensor, labels: tuple[str, ...], dataset: str,
                methods: dict[str, Method]) -> dict[str, FloatNet]:
    """A FloatNet a method, its ranges read off the MFCC x [n, 49, c] and what the layers make of it; pooling keeps its
    input's range, logits take min/max."""
    outputs = activations(layers, x)
    return {name: FloatNet(tuple(x.shape[1:]), method(x), _ranged(layers, outputs, method), labels, dataset)
            for name, method in progress(methods.items(), "reading ranges", len(methods), "method", leave=False)}


def _ranged(layers: list[FloatLayer], outputs: list[Tensor], method: Method) -> tuple[FloatLayer, ...]:
    done = []
    for layer, out in zip(layers, outputs, strict=False):
        pooled = layer.op == "average_pool"
        ends = done[-1].output_range if pooled else (minmax if layer.op == "dense" else method)(out)
        done.append(replace(layer, output_range=ends))
    return (*done, layers[-1])
