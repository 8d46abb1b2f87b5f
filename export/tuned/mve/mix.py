"""Outputs two at a time: how firmware/kernels/tuned/mve/kws_mve_mix.c wants weights and constants packed.

For each two outputs, one behind the other: for each sixteen inputs the weights of the first, then of the second, int8;
then both biases, both multipliers, both shifts, int32. Where outputs are odd in number, the last pair is
that of the last two, so that no pair has half an output.
"""

import numpy as np

from export.c_operator import COp
from export.graph import GraphOp
from export.tuned.requantization import Mix, clamped_outputs, signed_outputs
from export.tuned.tuned_kernel import aligned
from export.work import Function, kernel_function

LANES = 16
TILE = 4                             # positions at once
LEAST_SHIFT, MOST_SHIFT = -31, -1    # of a rounding that takes one from negative values
UNROLLED = 4                         # most blocks without a loop
MOST_OUTPUTS = (2**16 - 1) // TILE   # whose places in a tile are uint16


def takes(mix: Mix) -> bool:
    """Whether requantization is a multiplication and a shift to the right; sums are exact modulo 2^32."""
    return (mix.shift.min() >= LEAST_SHIFT and mix.shift.max() <= MOST_SHIFT and len(mix.weights) <= MOST_OUTPUTS)


def blocks_of(taps: int) -> int:
    """Vectors of taps."""
    return -(-taps // LANES)


def tile_bytes(taps: int) -> int:
    """Of the inputs of a tile of positions."""
    return aligned(TILE * LANES * blocks_of(taps))


def scale_words(mix: Mix) -> np.ndarray:
    """int32 [outputs, 3]: bias modulo 2^32, multiplier, shift."""
    return low_words(np.stack([mix.bias, mix.multiplier, mix.shift], axis=1))


def low_words(values: np.ndarray) -> np.ndarray:
    """int64 modulo 2^32, as int32."""
    return (values & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def suffix(count: int, unrolled: int, op: GraphOp) -> str:
    """Of the C function for so many blocks, and for outputs that are rectified or not."""
    return f"{count if count <= unrolled else 'any'}{'' if signed_outputs(op, 1) else '_rectified'}"


def pack(mix: Mix) -> np.ndarray:
    """int32, flat."""
    outputs, taps = mix.weights.shape
    pairs = _pairs(outputs)
    weights = np.zeros((outputs, blocks_of(taps) * LANES), np.int8)
    weights[:, :taps] = mix.weights
    blocks = weights.reshape(outputs, -1, LANES)[pairs].transpose(0, 2, 1, 3)
    words = np.ascontiguousarray(blocks).reshape(len(pairs), -1).view("<i4")
    return np.concatenate([words, scale_words(mix)[pairs].transpose(0, 2, 1).reshape(len(pairs), -1)], axis=1).ravel()


def _pairs(outputs: int) -> np.ndarray:
    """[pairs, 2]: which outputs."""
    whole = np.arange(outputs // 2 * 2).reshape(-1, 2)
    last = np.array([[max(outputs - 2, 0), outputs - 1]])
    return np.concatenate([whole, last]) if outputs % 2 else whole


def struct(op: COp, mix: Mix) -> str:
    """The line of `mix`, a kws_mve_mix."""
    packed, blocks = op.array("int32_t", "packed", pack(mix)), blocks_of(mix.weights.shape[1])
    return (f"static const kws_mve_mix mix = {{{packed}, {_pairs_function(op, blocks)}, {blocks}, "
            f"{len(mix.weights)}, {mix.result_zero_point}, {mix.range[0]}, {mix.range[1]}}};")


def _pairs_function(op: GraphOp, blocks: int) -> str:
    return f"kws_mve_pairs_{suffix(blocks, UNROLLED, op)}"


def functions(op: GraphOp, taps: int) -> tuple[Function, ...]:
    """Of outputs that are sums of so many taps."""
    return (kernel_function(_pairs_function(op, blocks_of(taps))),)


def amounts(op: GraphOp, tiles: int, blocks: int) -> dict[str, float]:
    """What kws_mve_mix_tile and kws_mve_clamp do for outputs of so many blocks a sum: pairs of outputs, those that may
    be below zero, those with a loop; their blocks, in a loop or not; tiles, those with an output that is half a pair;
    vectors that are clamped."""
    outputs = op.result.shape[-1]
    pairs = tiles * -(-outputs // 2)
    looped = pairs * (blocks > UNROLLED)
    return {"pairs": pairs, "signed": signed_outputs(op, pairs), "looped": looped, "blocks": (pairs - looped) * blocks,
            "looped_blocks": looped * blocks, "tiles": tiles, "halves": tiles * (outputs % 2),
            "clamped": clamped_outputs(op, -(-op.result.elements // LANES))}
