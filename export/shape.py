"""The shape of a net before it has weights: what growth changes and cost counts."""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, prod

from datasets.features import N_FRAMES
from export.arithmetic import same_padding

FIRST_KERNEL = {10: (10, 4), 20: (10, 8)}  # by MFCC coefficients: 10 rows of 20 ms, the same band of the spectrum
FIRST_STRIDE = {10: (2, 2), 20: (2, 4)}    # both leave 25 x 5
DEPTHWISE_KERNEL = (3, 3)


@dataclass(frozen=True)
class Window:
    """How a kernel walks over a plane. All (rows, columns); padding_before is top and left.

    multiplier: depthwise outputs per input channel.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)
    padding_before: tuple[int, int] = (0, 0)
    padding_after: tuple[int, int] = (0, 0)
    multiplier: int = 1


@dataclass(frozen=True)
class LayerShape:
    """What of a layer decides its price.

    op: TFLite's name; inputs, outputs: (h, w, c); window: of convolutions and pools.
    multipliers: requantizations that stand in an array; 0 where the layer has one or none.
    activation: fused, as export.graph.Op has it.
    reads_arena, writes_arena: whether its input and its output lie there; the net's own are the caller's.
    """

    name: str
    op: str
    inputs: tuple[int, int, int]
    outputs: tuple[int, int, int]
    window: Window | None = None
    multipliers: int = 0
    reads_arena: bool = True
    writes_arena: bool = True
    activation: str = "NONE"

    @property
    def values(self) -> int:
        """Of the output."""
        return prod(self.outputs)

    @property
    def taps(self) -> int:
        """Weights, and so products, of each output value; padded ones count."""
        if self.op == "FULLY_CONNECTED":
            return prod(self.inputs)
        if self.op not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            return 0
        return prod(self.window.kernel) * (self.inputs[2] if self.op == "CONV_2D" else 1)

    @property
    def macs(self) -> int:
        return self.values * self.taps

    @property
    def weight_bytes(self) -> int:
        return self.taps * self.outputs[2]

    @property
    def activations(self) -> int:
        """Values of input and output together."""
        return prod(self.inputs) + self.values

    @property
    def biases(self) -> int:
        """One an output channel; none where there are no weights."""
        return self.outputs[2] if self.taps else 0


@dataclass(frozen=True)
class NetShape:
    """A DS-CNN: first convolution, then separable blocks (depthwise 3x3, pointwise), global average, classifier.

    widths: channels of each path layer (DESIGN, Growth 1): the first convolution's, then each pointwise's.
    """

    widths: tuple[int, ...]
    n_coefficients: int = 20
    n_labels: int = 12

    @property
    def plane(self) -> tuple[int, int]:
        """(h, w) behind the first convolution."""
        return _plane(self.n_coefficients)

    @property
    def input_bytes(self) -> int:
        return N_FRAMES * self.n_coefficients

    def path_layers(self, path: int, in_c: int, out_c: int) -> tuple[LayerShape, ...]:
        """The layers that path layer `path` owns: its mix and, unless it is the last, the depthwise behind it."""
        return _path_layers(path, path == len(self.widths) - 1, in_c, out_c, self.n_coefficients)

    def head_layers(self, in_c: int) -> tuple[LayerShape, ...]:
        """Pooling, classifier and softmax behind the last path layer."""
        return _head_layers(in_c, self.n_labels, self.plane)

    def layers(self) -> tuple[LayerShape, ...]:
        """Every layer, in order."""
        inputs = (1, *self.widths[:-1])
        paths = [layer for i, (in_c, out_c) in enumerate(zip(inputs, self.widths, strict=True))
                 for layer in self.path_layers(i, in_c, out_c)]
        return (*paths, *self.head_layers(self.widths[-1]))


def _plane(n_coefficients: int) -> tuple[int, int]:
    rows, columns = FIRST_STRIDE[n_coefficients]
    return ceil(N_FRAMES / rows), ceil(n_coefficients / columns)


@lru_cache(1 << 16)
def _path_layers(path: int, is_last: bool, in_c: int, out_c: int, n_coefficients: int) -> tuple[LayerShape, ...]:
    plane = _plane(n_coefficients)
    if path == 0:
        kernel, stride = FIRST_KERNEL[n_coefficients], FIRST_STRIDE[n_coefficients]
        mix = _convolution("conv0", "CONV_2D", (N_FRAMES, n_coefficients, 1), (*plane, out_c), kernel, stride)
        mix = replace(mix, reads_arena=False)
    else:
        mix = _convolution(f"pointwise{path}", "CONV_2D", (*plane, in_c), (*plane, out_c))
    both = (*plane, out_c)
    name = f"depthwise{path + 1}"
    return (mix,) if is_last else (mix, _convolution(name, "DEPTHWISE_CONV_2D", both, both, DEPTHWISE_KERNEL))


@lru_cache(1 << 12)
def _head_layers(in_c: int, n_labels: int, plane: tuple[int, int]) -> tuple[LayerShape, ...]:
    pooled, scores = (1, 1, in_c), (1, 1, n_labels)
    return (LayerShape("pool", "AVERAGE_POOL_2D", (*plane, in_c), pooled, Window(plane, plane)),
            LayerShape("classifier", "FULLY_CONNECTED", pooled, scores),
            LayerShape("softmax", "SOFTMAX", scores, scores, writes_arena=False))


def _convolution(name: str, op: str, inputs: tuple, outputs: tuple, kernel=(1, 1), stride=(1, 1)) -> LayerShape:
    """With SAME padding, a scale per output channel and ReLU."""
    sizes = zip(inputs[:2], kernel, stride, strict=True)
    before, after = zip(*(same_padding(*each) for each in sizes), strict=True)
    window = Window(kernel, stride, padding_before=before, padding_after=after)
    return LayerShape(name, op, inputs, outputs, window, outputs[2], activation="RELU")
