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
    input_kept: whether the next ADD reads its input too.
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
    input_kept: bool = False

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
    depths: residual blocks (depthwise 3x3, pointwise, ADD) on the channels of each path layer; () means none.
    strides: of the depthwise that ends each path layer but the last, rows and columns alike; () means 1.
    """

    widths: tuple[int, ...]
    n_coefficients: int = 20
    n_labels: int = 12
    depths: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "depths", self.depths or (0,) * len(self.widths))
        object.__setattr__(self, "strides", self.strides or (1,) * (len(self.widths) - 1))

    def plane(self, path: int) -> tuple[int, int]:
        """(h, w) of path layer `path`."""
        return _plane(self.n_coefficients, self.strides[:path])

    @property
    def input_bytes(self) -> int:
        return N_FRAMES * self.n_coefficients

    def path_layers(self, path: int, in_c: int, out_c: int, depth: int | None = None) -> tuple[LayerShape, ...]:
        """The layers that path layer `path` owns: its mix, its residual blocks and, unless it is the last, the
        depthwise behind them. depth: of it, where not its own."""
        depth = self.depths[path] if depth is None else depth
        return _path_layers(path, self.strides, in_c, out_c, depth, self.n_coefficients)

    def head_layers(self, in_c: int) -> tuple[LayerShape, ...]:
        """Pooling, classifier and softmax behind the last path layer."""
        return _head_layers(in_c, self.n_labels, self.plane(len(self.widths) - 1))

    def layers(self) -> tuple[LayerShape, ...]:
        """Every layer, in order."""
        inputs = (1, *self.widths[:-1])
        paths = [layer for i, (in_c, out_c) in enumerate(zip(inputs, self.widths, strict=True))
                 for layer in self.path_layers(i, in_c, out_c)]
        return (*paths, *self.head_layers(self.widths[-1]))


def _plane(n_coefficients: int, strides: tuple[int, ...] = ()) -> tuple[int, int]:
    rows, columns = FIRST_STRIDE[n_coefficients]
    plane = ceil(N_FRAMES / rows), ceil(n_coefficients / columns)
    for stride in strides:
        plane = ceil(plane[0] / stride), ceil(plane[1] / stride)
    return plane


@lru_cache(1 << 16)
def _path_layers(path: int, strides: tuple[int, ...], in_c: int, out_c: int, depth: int,
                 n_coefficients: int) -> tuple[LayerShape, ...]:
    plane = _plane(n_coefficients, strides[:path])
    if path == 0:
        kernel, stride = FIRST_KERNEL[n_coefficients], FIRST_STRIDE[n_coefficients]
        mix = _convolution("conv0", "CONV_2D", (N_FRAMES, n_coefficients, 1), (*plane, out_c), kernel, stride)
        mix = replace(mix, reads_arena=False)
    else:
        mix = _convolution(f"pointwise{path}", "CONV_2D", (*plane, in_c), (*plane, out_c))
    both = (*plane, out_c)
    blocks = [layer for block in range(depth) for layer in _residual_layers(f"block{path}_{block + 1}", both)]
    if path == len(strides):
        return (mix, *blocks)
    stride = strides[path], strides[path]
    behind = (*_plane(n_coefficients, strides[:path + 1]), out_c)
    return (mix, *blocks, _convolution(f"depthwise{path + 1}", "DEPTHWISE_CONV_2D", both, behind, DEPTHWISE_KERNEL,
                                       stride))


def _residual_layers(name: str, both: tuple[int, int, int]) -> tuple[LayerShape, ...]:
    """x + pointwise(depthwise(x)), then ReLU; the pointwise alone has none."""
    depthwise = _convolution(f"{name}_depthwise", "DEPTHWISE_CONV_2D", both, both, DEPTHWISE_KERNEL)
    depthwise = replace(depthwise, input_kept=True)
    pointwise = replace(_convolution(f"{name}_pointwise", "CONV_2D", both, both), activation="NONE")
    return depthwise, pointwise, LayerShape(f"{name}_add", "ADD", both, both, activation="RELU")


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
