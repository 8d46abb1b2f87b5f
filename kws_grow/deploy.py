"""The trained net as it leaves torch: batch norm folded, ranges chosen."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.arithmetic import same_padding
from export.net import FloatLayer, FloatNet
from kws_grow.augment import mfcc
from kws_grow.network import MFCC_UNIT, DsCnn

PERCENTILES = (100.0, 99.99, 99.9)  # candidates for the upper (and lower) end of activation ranges; chosen on dev


def _fold(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[np.ndarray, np.ndarray]:
    """A convolution [out_c, in_c, kh, kw] and its norm as one weight and bias, float32."""
    scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach().double()
    folded = weight.detach().double() * scale.view(-1, 1, 1, 1)
    bias = norm.bias.detach().double() - norm.running_mean.double() * scale
    return folded.float().cpu().numpy(), bias.float().cpu().numpy()


def _limit(weight: np.ndarray) -> np.ndarray:
    """Largest |weight| of each channel (axis 0); never zero, which no scale can have."""
    return np.maximum(np.abs(weight).reshape(len(weight), -1).max(1), 1e-6).astype(np.float32)


def folded_layers(net: DsCnn) -> list[FloatLayer]:
    """The net as FloatLayers without output ranges; the input is MFCC in real units."""
    layers = []
    for i, path in enumerate(net.paths):
        weight, bias = _fold(path.mix.weight / (MFCC_UNIT if i == 0 else 1.0), path.norm)
        layers.append(FloatLayer("conv", weight.transpose(0, 2, 3, 1).copy(), bias, tuple(path.mix.stride), True,
                                 weight_limit=_limit(weight)))
        if path.depthwise is not None:
            weight, bias = _fold(path.depthwise.weight, path.depthwise_norm)
            layers.append(FloatLayer("depthwise", weight[:, 0].transpose(1, 2, 0).copy(), bias, (1, 1), True,
                                     weight_limit=_limit(weight)))
    weight, bias = (p.detach().float().cpu().numpy() for p in (net.classifier.weight, net.classifier.bias))
    return [*layers, FloatLayer("average_pool"), FloatLayer("dense", weight, bias, weight_limit=_limit(weight)),
            FloatLayer("softmax")]


@torch.no_grad()
def activations(layers: list[FloatLayer], x: Tensor) -> list[Tensor]:
    """Every layer's output but the softmax's: x [b, 49, n] -> [b, c, h, w] tensors, then [b, labels]."""
    x, outputs = x.unsqueeze(1), []
    for layer in layers[:-1]:
        x = _APPLY[layer.op](layer, x)
        x = F.relu(x) if layer.relu else x
        outputs.append(x)
    return outputs


def _conv(layer: FloatLayer, x: Tensor) -> Tensor:
    weight = torch.from_numpy(layer.weight.transpose(0, 3, 1, 2).copy()).to(x.device)
    return F.conv2d(_padded(x, layer, weight), weight, _bias(layer, x), layer.stride)


def _depthwise(layer: FloatLayer, x: Tensor) -> Tensor:
    weight = torch.from_numpy(layer.weight.transpose(2, 0, 1).copy()).unsqueeze(1).to(x.device)
    return F.conv2d(_padded(x, layer, weight), weight, _bias(layer, x), layer.stride, groups=len(weight))


def _dense(layer: FloatLayer, x: Tensor) -> Tensor:
    return F.linear(x.flatten(1), torch.from_numpy(layer.weight).to(x.device), _bias(layer, x))


def _bias(layer: FloatLayer, x: Tensor) -> Tensor:
    return torch.from_numpy(layer.bias).to(x.device)


def _padded(x: Tensor, layer: FloatLayer, weight: Tensor) -> Tensor:
    rows, columns = (same_padding(n, k, s) for n, k, s in zip(x.shape[2:], weight.shape[2:], layer.stride, strict=True))
    return F.pad(x, (*columns, *rows))


_APPLY: dict[str, Callable[[FloatLayer, Tensor], Tensor]] = {
    "conv": _conv, "depthwise": _depthwise, "dense": _dense, "average_pool": lambda _, x: x.mean((2, 3), keepdim=True)}


def _range(values: Tensor, percentile: float) -> tuple[float, float]:
    """(low, high) that holds `percentile` % of the values at each end, and zero."""
    flat = values.flatten().double().cpu().numpy()
    low, high = np.percentile(flat, [100 - percentile, percentile])
    return min(float(low), 0.0), max(float(high), 1e-3)


def with_ranges(net: DsCnn, codes: Tensor, labels: tuple[str, ...], dataset: str, percentile: float) -> FloatNet:
    """FloatNet with ranges from codes uint8 [n, 49, 40]; pooling keeps its input's range, logits take min/max."""
    x = mfcc(codes, net.n_coefficients)
    layers = folded_layers(net)
    ranges = [_range(out, 100.0 if layer.op == "dense" else percentile)
              for layer, out in zip(layers, activations(layers, x), strict=False)]
    pool = next(i for i, layer in enumerate(layers) if layer.op == "average_pool")
    ranges[pool] = ranges[pool - 1]
    done = [replace(layer, output_range=r) for layer, r in zip(layers, [*ranges, None], strict=True)]
    return FloatNet(tuple(x.shape[1:]), _range(x, percentile), tuple(done), labels, dataset)
