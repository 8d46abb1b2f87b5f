"""What tuned kernels know of a layer's sums and their requantization: proven bounds, zero points folded into biases."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from export.arithmetic import INT8_MAX, INT8_MIN, activation_range, channel_multipliers, dense_multiplier
from export.graph import GraphOp, bias_of


@dataclass(frozen=True)
class Mix:
    """Outputs that are sums of products with int8 weights [outputs, taps], requantized each.

    bias: int64 [outputs], the input's zero point folded in, so that sums are of the input's own values, which are that
    zero point where a tap lies in the padding. multiplier, shift: int64 [outputs]; zero_point: of the input. range:
    (min, max) of an output; result_zero_point: what 0 is there.
    """

    weights: np.ndarray
    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    zero_point: int
    result_zero_point: int
    range: tuple[int, int]

    @cached_property
    def reach(self) -> np.ndarray:
        """int64 [outputs]: the largest magnitude of a sum and its bias, over all inputs."""
        weights = self.weights.astype(np.int64)
        ends = np.stack([weights * INT8_MIN, weights * INT8_MAX])
        return np.maximum(np.abs(self.bias + ends.min(0).sum(1)), np.abs(self.bias + ends.max(0).sum(1)))

    @property
    def rectified(self) -> bool:
        """Whether no output is below zero: then halves of negative numbers may be rounded either way."""
        return self.range[0] >= self.result_zero_point

    @property
    def final_scale(self) -> np.ndarray:
        """int64 [outputs]: what the second rounding multiplies by, over 2^32, where shift is -31..-2."""
        return np.int64(1) << (32 + self.shift)


def range_of(op: GraphOp) -> tuple[int, int]:
    """(min, max) of the output behind the fused activation."""
    return activation_range(op.op.activation, op.result.scale[0], int(op.result.zero_point[0]))


def signed_outputs(op: GraphOp, outputs: int) -> int:
    """How many of so many outputs may be below zero: Mix.rectified, without weights."""
    return outputs if range_of(op)[0] < int(op.result.zero_point[0]) else 0


def clamped_outputs(op: GraphOp, outputs: int) -> int:
    """How many of so many outputs saturation to int8 does not bring into their range."""
    return outputs if range_of(op) != (INT8_MIN, INT8_MAX) else 0


def mix_of(op: GraphOp, weights: np.ndarray) -> Mix:
    """Of a convolution or fully-connected layer, with its weights as int8 [outputs, taps]."""
    x, weight = op.operands[:2]
    zero_point, result = int(x.zero_point[0]), op.result
    bias = bias_of(op.graph, op.op).astype(np.int64) - zero_point * weights.astype(np.int64).sum(1)
    multiplier, shift = (values.astype(np.int64) for values in _multipliers(op, x, weight, len(weights)))
    return Mix(weights, bias, multiplier, shift, zero_point, int(result.zero_point[0]), range_of(op))


def _multipliers(op: GraphOp, x, weight, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    if op.op.kind == "FULLY_CONNECTED" and len(weight.scale) == 1:
        pair = dense_multiplier(x.scale[0], weight.scale[0], op.result.scale[0])
        return tuple(np.full(outputs, value) for value in pair)
    return channel_multipliers(x.scale[0], weight.scale, op.result.scale[0], outputs)
