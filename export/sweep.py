"""The layers that are measured to fit costs: each a net of one op with random weights, over widths, planes, windows."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from export.arithmetic import INT8_MIN, same_padding, window_count
from export.graph import Graph, Op, Tensor, Window

WEIGHT_SCALE = 0.01
INPUT_SCALE = 0.05


@dataclass(frozen=True)
class SweepLayer:
    """One layer. op: TFLite's name; inputs: (h, w, c); channels: of the output, where the op chooses them; padding:
    "SAME" or "VALID"; types: (input, output); pads, activation: as export.graph.Op has them."""

    op: str
    inputs: tuple[int, int, int]
    channels: int = 0
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: str = "SAME"
    per_channel: bool = True
    types: tuple[str, str] = ("int8", "int8")
    pads: tuple[tuple[int, int], ...] = ()
    activation: str = "NONE"

    @property
    def name(self) -> str:
        """All that tells it from other layers."""
        of_window = [f"{_by(self.kernel)} / {_by(self.stride)} {self.padding}"] if self.op in _WINDOWED else []
        dilated = [f"dilation {_by(self.dilation)}"] if self.dilation != (1, 1) else []
        scaled = ["per channel"] if self.op == "FULLY_CONNECTED" and self.per_channel else []
        typed = [" to ".join(self.types)] if self.types != ("int8", "int8") else []
        active = [self.activation] if self.activation != "NONE" else []
        shapes = f"{_by(self.inputs)} -> {_by(self.outputs)}"
        return " ".join((self.op, shapes, *of_window, *dilated, *scaled, *typed, *active))

    @cached_property
    def window(self) -> Window | None:
        if self.op not in _WINDOWED:
            return None
        padding = tuple(map(self._padding, range(2)))
        before, after = zip(*padding, strict=True)
        multiplier = self.channels // self.inputs[2] if self.op == "DEPTHWISE_CONV_2D" else 1
        return Window(self.kernel, self.stride, self.dilation, before, after, multiplier)

    def _padding(self, axis: int) -> tuple[int, int]:
        if self.padding == "VALID":
            return 0, 0
        return same_padding(self.inputs[axis], self.kernel[axis], self.stride[axis], self.dilation[axis])

    @cached_property
    def outputs(self) -> tuple[int, int, int]:
        """(h, w, c)."""
        h, w, c = self.inputs
        if self.op == "FULLY_CONNECTED":
            return 1, 1, self.channels
        if self.op == "MEAN":
            return 1, 1, c
        if self.pads:
            return tuple(size + sum(pair) for size, pair in zip(self.inputs, self.pads[1:], strict=True))
        if self.op not in _WINDOWED:
            return self.inputs
        h, w = (window_count(self.inputs[i], self.kernel[i], self.stride[i], self.dilation[i], self._padding(i))
                for i in range(2))
        return h, w, self.channels or c

    def graph(self) -> Graph:
        """The net: its input, the layer, its output."""
        return _Builder(self).graph()


def _by(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))


_WINDOWED = ("CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D")
_FLAT = ("FULLY_CONNECTED", "SOFTMAX")


class _Builder:
    """Tensors of one layer: weights and biases from a generator that its name seeds, scales that spread the sums over
    int8, as those of trained nets do."""

    def __init__(self, layer: SweepLayer):
        self.layer, self.rng = layer, np.random.default_rng(zlib.crc32(layer.name.encode()))

    def graph(self) -> Graph:
        layer = self.layer
        scale, zero_point = self.output_quantization()
        tensors = [self.activation("input", layer.inputs, layer.types[0], INPUT_SCALE, -4), *self.others(),
                   self.activation("output", layer.outputs, layer.types[1], scale, zero_point)]
        op = Op(layer.op, tuple(range(len(tensors) - 1)), (len(tensors) - 1,), window=layer.window, pads=layer.pads,
                activation=layer.activation)
        if layer.op == "ADD":
            op = Op(layer.op, (0, 0), (1,), activation=layer.activation)
        return Graph(tuple(tensors), (op,), (0,), op.outputs, zlib.crc32(layer.name.encode()).to_bytes(32, "big").hex())

    def activation(self, name: str, shape, dtype: str, scale: float, zero_point: int) -> Tensor:
        shape = (1, int(np.prod(shape))) if self.layer.op in _FLAT else (1, *shape)
        zero_point += 128 * (dtype == "uint8")
        return Tensor(name, shape, dtype, np.array([scale], np.float32), np.array([zero_point], np.int32), 0, None)

    def output_quantization(self) -> tuple[float, int]:
        if self.layer.op == "SOFTMAX":
            return 1 / 256, -128
        if self.layer.op in ("AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD", "RELU6"):
            return INPUT_SCALE, -4
        zero_point = INT8_MIN if self.layer.activation == "RELU" else 3
        if self.weight_shape is None:
            return INPUT_SCALE * (2.5 if self.layer.op == "ADD" else 0.7), zero_point
        taps = np.prod(self.weight_shape) / self.layer.outputs[2]
        return INPUT_SCALE * WEIGHT_SCALE * 73 * 73 * float(np.sqrt(taps)) / 50, zero_point

    @property
    def weight_shape(self) -> tuple[int, ...] | None:
        layer, in_c, out_c = self.layer, self.layer.inputs[2], self.layer.outputs[2]
        return {"CONV_2D": (out_c, *layer.kernel, in_c), "DEPTHWISE_CONV_2D": (1, *layer.kernel, out_c),
                "FULLY_CONNECTED": (out_c, int(np.prod(layer.inputs)))}.get(layer.op)

    def others(self) -> tuple[Tensor, ...]:
        """Weights and biases."""
        shape, channels = self.weight_shape, self.layer.outputs[2]
        if shape is None:
            return ()
        axis = 3 if self.layer.op == "DEPTHWISE_CONV_2D" else 0
        scales = WEIGHT_SCALE * self.rng.uniform(0.5, 1.5, channels if self.layer.per_channel else 1)
        weights = self.rng.integers(-127, 128, shape).astype(np.int8)
        biases = self.rng.integers(-20000, 20001, channels).astype(np.int32)
        return (_constant("weights", weights, scales, axis), _constant("biases", biases, scales * INPUT_SCALE, 0))


def _constant(name: str, data: np.ndarray, scales: np.ndarray, axis: int) -> Tensor:
    return Tensor(name, data.shape, str(data.dtype), scales.astype(np.float32), np.zeros(len(scales), np.int32), axis,
                  data)


# ---------------------------------------------------------------------- the sweep

FIRST = [((49, 10, 1), (10, 4), (2, 2)), ((49, 20, 1), (10, 8), (2, 4)), ((20, 10, 1), (3, 3), (1, 1)),
         ((16, 8, 1), (5, 5), (2, 2)), ((30, 10, 1), (8, 3), (3, 1))]
POINTWISE = [(4, 4), (4, 8), (8, 20), (12, 4), (16, 64), (20, 36), (30, 33), (36, 12), (5, 7), (7, 130), (64, 64),
             (64, 9), (100, 52), (140, 20), (20, 140), (130, 2), (276, 12), (12, 276), (96, 276), (276, 96), (3, 31)]
PLANES = [(25, 5), (13, 5), (5, 5), (7, 3), (1, 9), (10, 1)]
DEPTHWISE = [4, 8, 20, 36, 64, 100, 140, 276, 5, 7, 30]
DEPTHWISE_WINDOWS = [((3, 3), (1, 1)), ((3, 3), (2, 2)), ((5, 5), (1, 1)), ((3, 3), (2, 1)), ((10, 4), (2, 2)),
                     ((3, 1), (1, 1)), ((1, 5), (1, 1))]
CONVOLUTION = [(4, 4), (8, 12), (3, 16), (16, 7), (20, 20), (7, 5), (64, 12), (12, 64), (36, 30), (2, 140), (276, 4),
               (30, 2)]
CONVOLUTION_WINDOWS = [((3, 3), (1, 1)), ((3, 3), (2, 2)), ((5, 3), (1, 2)), ((3, 1), (1, 1)), ((10, 4), (2, 2)),
                       ((1, 5), (1, 1)), ((2, 2), (2, 2))]
DILATED = [(8, 8), (20, 5), (4, 12), (16, 4), (5, 7), (30, 20), (1, 6), (12, 33), (3, 30), (64, 3), (2, 64), (7, 1)]
DENSE = [(4, 2), (12, 12), (30, 5), (64, 12), (64, 35), (100, 3), (140, 12), (276, 12), (276, 33), (600, 4), (17, 130)]
POOLS = [((25, 5, 4), (25, 5), (25, 5)), ((25, 5, 64), (25, 5), (25, 5)), ((25, 5, 30), (5, 5), (5, 5)),
         ((12, 6, 20), (2, 2), (2, 2)), ((13, 5, 8), (3, 3), (1, 1)), ((13, 5, 36), (3, 3), (2, 2)),
         ((9, 1, 100), (2, 1), (2, 1)), ((6, 6, 276), (3, 3), (3, 3)), ((25, 5, 7), (2, 5), (1, 5)),
         ((5, 5, 140), (1, 1), (2, 2))]
MEANS = [(25, 5, 4), (25, 5, 64), (13, 5, 30), (3, 3, 276), (1, 1, 100), (50, 2, 17)]
VALUES = [(1, 1, 4), (5, 5, 8), (25, 5, 4), (13, 5, 30), (25, 5, 64), (7, 3, 276), (1, 1, 33)]
PADS = [((25, 5, 4), (1, 1), (1, 1), (0, 0)), ((13, 5, 30), (0, 1), (0, 1), (0, 0)),
        ((7, 3, 64), (4, 5), (1, 1), (0, 0)), ((9, 5, 16), (0, 0), (0, 0), (4, 4)),
        ((25, 5, 8), (0, 0), (2, 2), (0, 0)), ((5, 5, 100), (1, 2), (2, 1), (0, 12)),
        ((49, 10, 1), (4, 5), (1, 1), (0, 0)), ((20, 1, 40), (1, 0), (0, 0), (3, 1))]
SCORES = [2, 3, 5, 8, 12, 20, 35, 64, 130, 256]
TYPES = [("int8", "int8"), ("uint8", "int8"), ("int8", "uint8")]
FRAME_COEFFICIENTS = (10, 20)
CHANNELS = (4, 8, 12, 16, 20, 28, 36, 44, 52, 60, 64, 68, 76, 92, 100, 124, 128, 132, 180, 192, 204, 276)
ODD = (5, 7, 11, 17, 22, 30, 33, 63, 89)
TUNED_WINDOWS = [((3, 3), (1, 1)), ((3, 3), (2, 2)), ((5, 3), (2, 1)), ((5, 5), (1, 1)), ((3, 3), (2, 1)),
                 ((3, 1), (1, 1)), ((5, 3), (1, 1)), ((1, 5), (1, 1)), ((5, 5), (2, 2)), ((2, 2), (1, 1)),
                 ((3, 3), (1, 2)), ((7, 3), (1, 1)), ((3, 5), (1, 2))]
ACTIVATIONS = ("RELU", "NONE", "RELU", "RELU6")  # of which RELU6 clamps half of the outputs or more


def sweep() -> tuple[SweepLayer, ...]:
    """Layers that portable kernels take, each once."""
    return tuple(dict.fromkeys((*_firsts(), *_pointwise(), *_depthwise(), *_convolutions(), *_dense(), *_pools(),
                                *_others())))


def _turn(items: list, index: int):
    return items[index % len(items)]


def _padding(index: int) -> str:
    return ("SAME", "VALID", "SAME")[index % 3]


def _firsts() -> Iterator[SweepLayer]:
    for i, channels in enumerate((4, 12, 16, 64, 276, 5, 7, 130, 20, 36)):
        inputs, kernel, stride = _turn(FIRST, i)
        yield SweepLayer("CONV_2D", inputs, channels, kernel, stride)
        yield SweepLayer("CONV_2D", (20, 10, 1), 8 + i, _turn(FIRST, i + 2)[1], stride, padding="VALID")


def _pointwise() -> Iterator[SweepLayer]:
    for i, (in_c, out_c) in enumerate(POINTWISE):
        plane = (25, 5) if in_c * out_c <= 4096 and i % 2 == 0 else _turn(PLANES, i)
        yield SweepLayer("CONV_2D", (*_small(plane, in_c * out_c), in_c), out_c)
        yield SweepLayer("CONV_2D", (*_turn(PLANES, i + 2), out_c), 4 + i, stride=_turn([(1, 1), (2, 2), (1, 1)], i))


def _small(plane: tuple[int, int], products: int, most: int = 600_000) -> tuple[int, int]:
    """A plane of fewer rows where a layer would take long to count."""
    h, w = plane
    return max(1, min(h, most // (products * w))), w


def _depthwise() -> Iterator[SweepLayer]:
    for i, channels in enumerate(DEPTHWISE):
        for k in range(2):
            kernel, stride = _turn(DEPTHWISE_WINDOWS, 3 * i + 2 * k)
            plane = [(25, 5), (13, 6)][k]
            yield SweepLayer("DEPTHWISE_CONV_2D", (*plane, channels), channels, kernel, stride, padding=_padding(i + k))
        yield SweepLayer("DEPTHWISE_CONV_2D", (*_turn(PLANES, i), channels), channels, (3, 3))
    yield SweepLayer("DEPTHWISE_CONV_2D", (13, 5, 20), 20, (3, 3), dilation=(2, 2))
    for i, (channels, multiplier) in enumerate(((1, 8), (4, 2), (20, 2), (1, 64), (7, 3), (30, 4))):
        kernel, stride = _turn([((3, 3), (1, 1)), ((10, 4), (2, 2)), ((5, 5), (1, 2))], i)
        yield SweepLayer("DEPTHWISE_CONV_2D", (25, 5, channels), channels * multiplier, kernel, stride,
                         padding="SAME" if i else "VALID")
        yield SweepLayer("DEPTHWISE_CONV_2D", (11, 7, channels), channels * multiplier, (3, 3), padding=_padding(i))


def _convolutions() -> Iterator[SweepLayer]:
    for i, (in_c, out_c) in enumerate(CONVOLUTION):
        for k in range(2):
            kernel, stride = _turn(CONVOLUTION_WINDOWS, i + 3 * k)
            plane = _small([(13, 5), (12, 6)][k], in_c * out_c * kernel[0] * kernel[1])
            fitting = "SAME" if plane[0] < kernel[0] or plane[1] < kernel[1] else _padding(i + k)
            yield SweepLayer("CONV_2D", (*plane, in_c), out_c, kernel, stride, padding=fitting)
    for i, (in_c, out_c) in enumerate(DILATED):
        kernel, _ = _turn(CONVOLUTION_WINDOWS, i)
        yield SweepLayer("CONV_2D", (13, 7, in_c), out_c, kernel, dilation=(1 + i % 2, 2))


def _dense() -> Iterator[SweepLayer]:
    for i, (inputs, outputs) in enumerate(DENSE):
        yield SweepLayer("FULLY_CONNECTED", (1, 1, inputs), outputs, per_channel=i % 3 == 2)


def _pools() -> Iterator[SweepLayer]:
    for i, (inputs, kernel, stride) in enumerate(POOLS):
        for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
            yield SweepLayer(op, inputs, 0, kernel, stride, padding=_padding(i))


def _others() -> Iterator[SweepLayer]:
    yield from (SweepLayer("MEAN", inputs) for inputs in MEANS)
    yield from (SweepLayer(op, inputs) for op in ("ADD", "RELU", "RELU6") for inputs in VALUES)
    yield from (SweepLayer("QUANTIZE", inputs, types=_turn(TYPES, i)) for i, inputs in enumerate(VALUES))
    yield from (SweepLayer("PAD", inputs, pads=((0, 0), *pads)) for inputs, *pads in PADS)
    yield from (SweepLayer("SOFTMAX", (1, 1, scores)) for scores in SCORES)


# ---------------------------------------------------------------------- of tuned kernels


def tuned_sweep() -> tuple[SweepLayer, ...]:
    """Layers that tuned kernels may take, each once: what growth makes above all."""
    return tuple(dict.fromkeys((*_tuned_pointwise(), *_tuned_firsts(), *_tuned_depthwise(), *_tuned_convolutions(),
                                *_tuned_heads())))


def _tuned_pointwise() -> Iterator[SweepLayer]:
    for i, channels in enumerate(CHANNELS):
        for k, outputs in enumerate((_turn(CHANNELS, 5 * i + 3), _turn(CHANNELS, 7 * i + 6))):
            yield SweepLayer("CONV_2D", (25, 5, channels), outputs, activation=_turn(ACTIVATIONS, i + k))
    for i, channels in enumerate(ODD):
        yield SweepLayer("CONV_2D", (*_turn(PLANES, i), channels), _turn(ODD, 2 * i + 1), activation="RELU")
        yield SweepLayer("CONV_2D", (25, 5, _turn(CHANNELS, i)), channels, activation=_turn(ACTIVATIONS, i))
        yield SweepLayer("CONV_2D", (*_turn(PLANES, i + 1), channels), _turn(CHANNELS, i + 2), activation="RELU6")


def _tuned_firsts() -> Iterator[SweepLayer]:
    for i, channels in enumerate((*CHANNELS, *ODD)):
        inputs, kernel, stride = FIRST[i % 2]
        yield SweepLayer("CONV_2D", inputs, channels, kernel, stride, activation=_turn(ACTIVATIONS, i // 2))


def _tuned_depthwise() -> Iterator[SweepLayer]:
    for i, channels in enumerate(CHANNELS):
        yield SweepLayer("DEPTHWISE_CONV_2D", (25, 5, channels), channels, (3, 3), activation=_turn(ACTIVATIONS, i))
    for i, (kernel, stride) in enumerate(TUNED_WINDOWS * 6):
        channels, plane = _turn(CHANNELS, 5 * i), _turn([(25, 5), (13, 6), (9, 10), (12, 12), (25, 3)], i)
        fitting = "SAME" if plane[1] < kernel[1] else _padding(i)
        yield SweepLayer("DEPTHWISE_CONV_2D", (*plane, channels), channels, kernel, stride, padding=fitting,
                         activation=_turn(ACTIVATIONS, i))
    for i, channels in enumerate(CHANNELS[1::2]):
        plane = _turn([(25, 5), (17, 9), (24, 7), (8, 6), (30, 10), (7, 7), (20, 4)], i)
        yield SweepLayer("DEPTHWISE_CONV_2D", (*plane, channels), channels, (3, 3), (2, 2), padding=_padding(i),
                         activation=_turn(ACTIVATIONS, i))


def _tuned_convolutions() -> Iterator[SweepLayer]:
    for i, (kernel, stride) in enumerate(CONVOLUTION_WINDOWS * 3):
        channels, plane = _turn((*CHANNELS[:12], *ODD), 5 * i), _turn([(25, 5), (13, 6), (12, 10)], i)
        outputs = min(_turn((*CHANNELS, *ODD), 4 * i + 1), 40_000 // (channels * kernel[0] * kernel[1]))
        yield SweepLayer("CONV_2D", (*plane, channels), outputs, kernel, stride, padding=_padding(i),
                         activation=_turn(ACTIVATIONS, i))


def _tuned_heads() -> Iterator[SweepLayer]:
    for i, channels in enumerate(CHANNELS):
        yield SweepLayer("AVERAGE_POOL_2D", (25, 5, channels), 0, (25, 5), (25, 5), padding="VALID")
        yield SweepLayer("FULLY_CONNECTED", (1, 1, channels), _turn((12, 2, 35, 5), i), per_channel=i % 2 == 0)
    for i, channels in enumerate(ODD):
        plane = _turn(PLANES, i)
        yield SweepLayer("AVERAGE_POOL_2D", (*plane, 4 * channels), 0, plane, plane, padding="VALID")
        yield SweepLayer("FULLY_CONNECTED", (1, 1, channels), _turn((12, 3, 130), i))
