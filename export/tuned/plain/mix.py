"""Outputs that are sums over the same inputs, pairs of them multiplied at once: what kws_plain_mix is given."""

import numpy as np

from export.c_operator import COp, numbers
from export.graph import GraphOp
from export.tuned.plain import requantization
from export.tuned.requantization import Mix, clamped_outputs, signed_outputs
from export.tuned.tuned_kernel import aligned
from export.work import Function, kernel_function

TILE = 6  # KWS_PLAIN_TILE
ROUND = 4  # pairs, without a branch


def pairs_of(taps: int) -> int:
    return -(-taps // 2)


def scratch_bytes(taps: int) -> int:
    """Inputs of a tile of positions, as int32."""
    return aligned(4 * TILE * (1 + 2 * pairs_of(taps)))


def struct(op: COp, mix: Mix) -> str:
    """The line of `mix`, a kws_plain_mix."""
    outputs, taps = mix.weights.shape
    weights = np.pad(mix.weights.astype(np.int64), ((0, 0), (0, taps % 2)))
    bias = mix.bias - (weights[:, 0::2] * weights[:, 1::2]).sum(1)
    fields = numbers((op.array("uint8_t", "weights", weights + 128),
                      op.array("int32_t", "constants", requantization.constants(mix, bias)), pairs_of(taps), outputs,
                      _tile(op), *mix.range))
    return f"static const kws_plain_mix mix = {fields};"


def _tile(op: GraphOp) -> str:
    return requantization.function("kws_plain_tile", op)


def functions(op: GraphOp) -> tuple[Function, ...]:
    """Of any op that is mixed."""
    return (kernel_function(_tile(op)),)


def amounts(op: GraphOp, positions: int, taps: int) -> dict[str, float]:
    """What kws_plain_tile and kws_plain_clamp do for outputs of so many taps: tiles, their outputs, those that may be
    below zero, pairs of taps, rounds of pairs; outputs that are clamped."""
    tiles, outputs, pairs = -(-positions // TILE), op.result.shape[-1], pairs_of(taps)
    return {"tiles": tiles, "tile_outputs": tiles * outputs, "signed": signed_outputs(op, tiles * outputs),
            "tile_pairs": tiles * outputs * pairs, "rounds": tiles * outputs * -(-pairs // ROUND),
            "clamped": clamped_outputs(op, op.result.elements)}
