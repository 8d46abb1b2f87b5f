"""Outputs two at a time: how firmware/kernels/tuned/dsp/kws_dsp_mix.c wants weights and constants packed.

For each two outputs, one behind the other in int32: the first's bias, both biases; the weights; multiplier and final
scale of the first, then of the second. "Both" is 256 times what belongs to the second plus what belongs to the first:
the sum of both, less that of the first, is 256 times that of the second. Weights are words of two int16; four taps
make two of them, of taps 0 and 2, then of taps 1 and 3, as SXTB16 takes them from four bytes.
"""

import numpy as np

from export.c_operator import COp
from export.graph import GraphOp
from export.tuned.requantization import Mix, clamped_outputs, signed_outputs
from export.tuned.tuned_kernel import aligned
from export.work import Function, work

LARGEST_SUM = 2**31 // 257  # of one that is multiplied by 256, and has another added
LEAST_SHIFT, MOST_SHIFT = -30, -2  # where the final scale is an int32
TILE = 4  # positions at once
UNROLLED = 32  # words: KWS_DSP_UNROLLED


def takes(mix: Mix) -> bool:
    """Whether sums fit, whatever the input, and requantization is two multiplications."""
    return (_both(_even(mix.weights)).min() >= -2**15 and mix.reach.max() < LARGEST_SUM
            and mix.shift.min() >= LEAST_SHIFT and mix.shift.max() <= MOST_SHIFT)


def words_of(taps: int) -> int:
    """Pairs of taps, filled up to fours."""
    return 2 * -(-taps // 4)


def pack(mix: Mix) -> np.ndarray:
    """int32, flat."""
    bias, weights = _even(mix.bias), _even(mix.weights)
    weights = np.pad(weights, ((0, 0), (0, -weights.shape[1] % 4)))
    constants = _even(np.stack([mix.multiplier, mix.final_scale], axis=1)).reshape(-1, 4)
    rows = [np.stack([bias[0::2], _both(bias)], axis=1), _words(_both(weights)), constants]
    return (np.concatenate(rows, axis=1) & 0xFFFFFFFF).astype(np.uint32).view(np.int32).ravel()


def _even(values: np.ndarray) -> np.ndarray:
    """int64, with an output of zeros behind an odd number of them."""
    return np.pad(values.astype(np.int64), ((0, len(values) % 2), *((0, 0),) * (values.ndim - 1)))


def _both(values: np.ndarray) -> np.ndarray:
    return 256 * values[1::2] + values[0::2]


def _words(taps: np.ndarray) -> np.ndarray:
    """[n, taps] int16 values to [n, taps / 2] words, in SXTB16's order."""
    fours = (taps & 0xFFFF).reshape(len(taps), -1, 4)
    return (fours[..., :2] | fours[..., 2:] << 16).reshape(len(taps), -1)


def scratch_bytes(taps: int) -> int:
    """Inputs of a tile of positions, as int16."""
    return aligned(4 * TILE * words_of(taps))


def struct(op: COp, mix: Mix, positions: int) -> str:
    """The line of `mix`, a kws_dsp_mix for a plane of so many positions."""
    packed = op.array("int32_t", "packed", pack(mix))
    tile = _tile(op, mix) if positions >= TILE else "NULL"
    return (f"static const kws_dsp_mix mix = {{{packed}, {tile}, {words_of(mix.weights.shape[1])}, "
            f"{len(mix.weights)}, {mix.result_zero_point}, {mix.range[0]}, {mix.range[1]}}};")


def _tile(op: COp, mix: Mix) -> str:
    """The name of a function for these sizes."""
    sizes = ", ".join(map(str, _sizes(op, words_of(mix.weights.shape[1]))))
    return op.constants.function(f"{op.function}_tile", "void",
                                 "const int32_t *packed, const int32_t *x, int8_t *output",
                                 f"kws_dsp_mix_tile(packed, x, {sizes}, output);")


def _sizes(op: GraphOp, words: int) -> tuple[int, int, int, int]:
    """words, outputs, zero_point, rectified."""
    return words, op.result.shape[-1], int(op.result.zero_point[0]), int(signed_outputs(op, 1) == 0)


def functions(op: GraphOp, positions: int, words: int) -> tuple[Function, ...]:
    """The tile: words unrolled, rounds of them, an output without a pair, halves rounded away from zero."""
    if positions < TILE:
        return ()
    sizes, in_rounds = _sizes(op, words), words >= 2 * UNROLLED
    unrolled = UNROLLED + words % UNROLLED if in_rounds else words
    return (Function(sizes, work("tile", words=unrolled, rounds=in_rounds, single=sizes[1] % 2,
                                 signed=signed_outputs(op, 1))),)


def amounts(op: GraphOp, positions: int, words: int) -> dict[str, float]:
    """What kws_dsp_mix_tile, kws_dsp_mix_one and kws_dsp_clamp do for outputs of so many words a sum: in tiles, words
    of pairs of outputs, pairs, those that find out how many outputs they have, single outputs, and where words are
    summed up in rounds, rounds and the words behind them; the same of positions alone, words in fours and twos; outputs
    that are clamped, and in tiles those that may be below zero."""
    tiles, alone = divmod(positions, TILE)
    outputs = op.result.shape[-1]
    pairs, single = outputs // 2, outputs % 2
    in_tiles, by_one = tiles * (pairs + single), alone * (pairs + single)
    rounds, left = divmod(words, UNROLLED) if words >= 2 * UNROLLED else (0, 0)
    return {"tile_words": in_tiles * words, "tile_pairs": tiles * pairs, "tile_unsure": in_tiles * single,
            "tile_singles": tiles * single, "tile_rounds": in_tiles * rounds, "tile_in_rounds": in_tiles * (rounds > 0),
            "tile_behind_rounds": in_tiles * left, "tiles": tiles, "words_of_4": by_one * (words // 4),
            "words_of_2": by_one * (words % 4 // 2), "pairs": alone * pairs, "singles": alone * single, "alone": alone,
            "clamped": clamped_outputs(op, positions * outputs),
            "signed": signed_outputs(op, tiles * TILE * outputs)}
