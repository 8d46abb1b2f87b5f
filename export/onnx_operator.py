"""One op on its way to ONNX, and the fixed-point steps that operators have in common.

Between ops a tensor is float32 q - zero_point, planes in NCHW: zero padding is then right, and the sums of a
convolution are exact integers while they stay under 2^24. Requantization runs in 64-bit integers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from export.arithmetic import activation_range
from export.graph import GraphOp, Tensor, Window
from export.onnx_builder import Builder

EXACT_FLOAT32 = 1 << 24  # integers up to here, and their sums in any order
_PART_BITS = (8, 4, 2, 1)  # of weights: all at once, then in ever more parts of ever fewer bits


@dataclass(frozen=True)
class OnnxOp(GraphOp):
    """An op of a graph. names: of each activation written so far, by tensor index."""

    build: Builder
    names: dict[int, str]

    @property
    def input(self) -> str:
        """The first input's name."""
        return self.names[self.op.inputs[0]]

    @property
    def rows(self) -> str:
        """The first input in TFLite's order."""
        return to_rows(self.build, self.input, self.x)

    @property
    def limits(self) -> tuple[int, int]:
        """(min, max) of output - zero point behind the fused activation."""
        zero_point = int(self.result.zero_point[0])
        low, high = activation_range(self.op.activation, self.result.scale[0], zero_point)
        return low - zero_point, high - zero_point

    def clamped(self, name: str) -> str:
        """float32 q - zero point, within `limits`."""
        return self.build.clip(name, *self.limits, np.float32)

    def shaped(self, rows: str) -> str:
        """Values in TFLite's order as the output tensor."""
        shape = self.build.constant((-1, *self.result.shape[1:]), np.int64)
        return to_planes(self.build, self.build.node("Reshape", rows, shape), self.result)


def to_planes(build: Builder, name: str, tensor: Tensor) -> str:
    """NHWC to NCHW, where there is a plane."""
    return build.node("Transpose", name, perm=(0, 3, 1, 2)) if len(tensor.shape) == 4 else name


def to_rows(build: Builder, name: str, tensor: Tensor) -> str:
    return build.node("Transpose", name, perm=(0, 2, 3, 1)) if len(tensor.shape) == 4 else name


def window_attributes(window: Window) -> dict:
    """Of Conv; a pool has no dilations."""
    return {"kernel_shape": window.kernel, "strides": window.stride, "dilations": window.dilation,
            "pads": (*window.padding_before, *window.padding_after)}


@dataclass(frozen=True)
class Sums:
    """Accumulators, bias included: a float32 or an int64 tensor of exact integers."""

    name: str
    dtype: type


def exact_sums(build: Builder, weight: np.ndarray, bias: np.ndarray, largest_input: int, bias_shape,
               product: Callable[[np.ndarray, np.ndarray], str]) -> Sums:
    """All in float32 where that is exact; else the bias in int64, and the weights in parts of few enough bits.

    weight: int8 [out_c, ...]; bias: int32 [out_c], added as bias_shape; product(weight, bias) adds the float node.
    """
    weight, bias = weight.astype(np.int64), bias.astype(np.int64)
    if _fits(weight, bias, largest_input):
        return Sums(product(weight, bias), np.float32)
    zeros = np.zeros_like(bias)
    parts = next(parts for parts in (_split(weight, bits) for bits in _PART_BITS)
                 if all(_fits(part, zeros, largest_input) for _, part in parts))
    total = build.constant(bias.reshape(bias_shape), np.int64)
    for factor, part in parts:
        scaled = build.node("Mul", build.cast(product(part, zeros), np.int64), build.constant(factor, np.int64))
        total = build.node("Add", scaled, total)
    return Sums(total, np.int64)


def _split(weight: np.ndarray, bits: int) -> list[tuple[int, np.ndarray]]:
    """(factor, part) with weight = sum of factor part and |part| < 2^bits, in the sign of the weight."""
    sign, magnitude = np.sign(weight), np.abs(weight)
    return [(1 << shift, sign * (magnitude >> shift & (1 << bits) - 1)) for shift in range(0, 8, bits)]


def _fits(weight: np.ndarray, bias: np.ndarray, largest_input: int) -> bool:
    """Whether no partial sum of any channel can leave float32's exact integers."""
    reach = np.abs(weight).reshape(len(weight), -1).sum(axis=1) * largest_input + np.abs(bias)
    return bool((reach <= EXACT_FLOAT32).all())


def requantized(build: Builder, sums: Sums, multiplier: np.ndarray, shift: np.ndarray, limits: tuple[int, int]) -> str:
    """float32 output - zero point, within `limits`; multiplier and shift broadcast against the sums."""
    multiplier, shift = np.asarray(multiplier), np.asarray(shift)
    steps = _requantize_positive if limits[0] >= 0 else _requantize_signed
    factors = multiplier.astype(np.int64) << np.maximum(shift, 0)
    values = steps(build, sums, factors, np.maximum(-shift, 0).astype(np.int64))
    return build.clip(build.cast(values, np.float32), *limits, np.float32)


def rescaled(build: Builder, name: str, multiplier: int, shift: int) -> str:
    """The same of one int64 tensor, as int64 without limits."""
    return _requantize_signed(build, Sums(name, np.int64), np.array(multiplier << max(shift, 0)),
                              np.array(max(-shift, 0)))


def _halves(exponent: np.ndarray) -> np.ndarray:
    """What rounds the second step, in units of the first, and 2^30 for the first."""
    return ((1 << exponent >> 1) << 31) + (1 << 30)


def _requantize_positive(build: Builder, sums: Sums, factors: np.ndarray, exponent: np.ndarray) -> str:
    """Where negative results are clamped anyway: for the others the two roundings are one floor,
    (sum factor + 2^30 + 2^(exponent - 1) 2^31) / 2^(31 + exponent)."""
    positive = build.node("Relu", sums.name) if sums.dtype == np.float32 else build.node(
        "Max", sums.name, build.constant(0, np.int64))
    product = build.node("Mul", build.cast(positive, np.uint64), build.constant(factors, np.uint64))
    lifted = build.node("Add", product, build.constant(_halves(exponent), np.uint64))
    return build.node("BitShift", lifted, build.constant(31 + exponent, np.uint64), direction="RIGHT")


def _requantize_signed(build: Builder, sums: Sums, factors: np.ndarray, exponent: np.ndarray) -> str:
    """The same with halves away from zero below zero: there the second step's half is one less."""
    wide = sums.name if sums.dtype == np.int64 else build.cast(sums.name, np.int64)
    product = build.node("Mul", wide, build.constant(factors, np.int64))
    negative = build.cast(build.node("Less", build.add(product, 1 << 30), build.constant(0, np.int64)), np.int64)
    less = build.node("Mul", negative, build.constant(np.where(exponent > 0, 1 << 31, 0), np.int64))
    lifted = build.add(build.node("Sub", product, less), _halves(exponent))
    return build.floor_shift(lifted, 31 + exponent)
