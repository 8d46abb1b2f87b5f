"""The shape of a net before it has weights: what growth changes and cost counts."""

from dataclasses import dataclass
from math import ceil

from datasets.features import N_FRAMES

FIRST_KERNEL = {10: (10, 4), 20: (10, 8)}  # by MFCC coefficients: 10 rows of 20 ms, the same band of the spectrum
FIRST_STRIDE = {10: (2, 2), 20: (2, 4)}    # both leave 25 x 5
DEPTHWISE_KERNEL = (3, 3)


@dataclass(frozen=True)
class LayerShape:
    """One layer's geometry. op as in export.net; in and out are (h, w, c); macs count padded taps too."""

    name: str
    op: str
    inputs: tuple[int, int, int]
    outputs: tuple[int, int, int]
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)

    @property
    def positions(self) -> int:
        return self.outputs[0] * self.outputs[1]

    @property
    def taps(self) -> int:
        """Products per output value."""
        taps = self.kernel[0] * self.kernel[1]
        return taps if self.op in ("depthwise", "average_pool") else taps * self.inputs[2]

    @property
    def macs(self) -> int:
        return 0 if self.op in ("average_pool", "softmax") else self.positions * self.outputs[2] * self.taps

    @property
    def weight_bytes(self) -> int:
        if self.op in ("average_pool", "softmax"):
            return 0
        return self.taps * self.outputs[2]

    @property
    def channels(self) -> int:
        """Output channels that carry a bias (and a multiplier); 0 for layers without weights."""
        return self.outputs[2] if self.weight_bytes else 0


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
        rows, columns = FIRST_STRIDE[self.n_coefficients]
        return ceil(N_FRAMES / rows), ceil(self.n_coefficients / columns)

    def path_layers(self, path: int, in_c: int, out_c: int) -> tuple[LayerShape, ...]:
        """The layers that path layer `path` owns: its mix and, unless it is the last, the depthwise behind it."""
        plane = self.plane
        if path == 0:
            mix = LayerShape("conv0", "conv", (N_FRAMES, self.n_coefficients, 1), (*plane, out_c),
                             FIRST_KERNEL[self.n_coefficients], FIRST_STRIDE[self.n_coefficients])
        else:
            mix = LayerShape(f"pointwise{path}", "conv", (*plane, in_c), (*plane, out_c))
        if path == len(self.widths) - 1:
            return (mix,)
        return mix, LayerShape(f"depthwise{path + 1}", "depthwise", (*plane, out_c), (*plane, out_c), DEPTHWISE_KERNEL)

    def head_layers(self, in_c: int) -> tuple[LayerShape, ...]:
        """Pooling, classifier and softmax behind the last path layer."""
        return (LayerShape("pool", "average_pool", (*self.plane, in_c), (1, 1, in_c), self.plane),
                LayerShape("classifier", "dense", (1, 1, in_c), (1, 1, self.n_labels)),
                LayerShape("softmax", "softmax", (1, 1, self.n_labels), (1, 1, self.n_labels)))

    def layers(self) -> tuple[LayerShape, ...]:
        """Every layer, in order."""
        inputs = (1, *self.widths[:-1])
        paths = [layer for i, (in_c, out_c) in enumerate(zip(inputs, self.widths, strict=True))
                 for layer in self.path_layers(i, in_c, out_c)]
        return (*paths, *self.head_layers(self.widths[-1]))
