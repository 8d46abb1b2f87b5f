"""Outputs that are sums over the same inputs, pairs of them multiplied at once: what kws_plain_mix is given."""

import numpy as np

from export.c_operator import COp, numbers
from export.tuned.plain import requantization
from export.tuned.requantization import Mix
from export.tuned.tuned_kernel import aligned

TILE = 6  # KWS_PLAIN_TILE


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
                      f"kws_plain_tile{requantization.suffix(mix)}", *mix.range))
    return f"static const kws_plain_mix mix = {fields};"
