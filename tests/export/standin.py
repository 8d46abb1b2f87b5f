"""A network for tests of image and emulator: the contract of export.c_writer, and nothing to do with it."""

from pathlib import Path

import numpy as np

from datasets.features import MfccQuantizer
from export.image import Features
from export.networks import Network
from export.self_test import NetworkTest, generated_bytes

QUANTIZER = MfccQuantizer.of(4.0, 10, 10)
FEATURES = Features(QUANTIZER, None)
OUTPUTS = 12

_HEADER = """
#include <stdint.h>
#define NETWORK_ARENA_BYTES {arena}
#define NETWORK_ARENA_ALIGN 16
#define NETWORK_INPUT_BYTES 490
#define NETWORK_OUTPUT_BYTES 12
#define NETWORK_INPUT_ROWS 49
#define NETWORK_INPUT_COLUMNS 10
int network_run(void *arena, const int8_t *input, int8_t *output);
"""

_SOURCE = """
#include "network.h"
static int32_t weight(int i, int k) {{ return (i * (k + 3)) % 17 - 8; }}
int network_run(void *arena, const int8_t *input, int8_t *output) {{
    volatile int32_t *sums = arena;
    {extra}
    for (int k = 0; k < 12; k++) {{
        sums[k] = 0;
        for (int i = 0; i < 490; i++) sums[k] += input[i] * weight(i, k);
        output[k] = (int8_t)(sums[k] >> 7);
    }}
    return 0;
}}
"""


def network(seed: int = 40000, wrong: int = 0) -> tuple[Network, ...]:
    """As build_image wants it; `wrong`: flips bits of the first score that the self-test expects."""
    expected = scores(generated_bytes(seed, 490).view(np.int8)).view(np.uint8).copy()
    expected[0] ^= wrong
    return (Network("network", NetworkTest(seed, expected)),)


def write_network(folder: Path, extra: str = "", arena: int = 1024) -> Path:
    """network.{c,h} in `folder`; `extra`: C that runs before the sums."""
    folder.mkdir(exist_ok=True)
    (folder / "network.h").write_text(_HEADER.format(arena=arena))
    (folder / "network.c").write_text(_SOURCE.format(extra=extra))
    return folder


def scores(inputs: np.ndarray) -> np.ndarray:
    """What network_run computes, int8 [12], of int8 [49, 10]."""
    i, k = np.arange(490), np.arange(OUTPUTS)[:, None]
    return ((((i * (k + 3)) % 17 - 8) @ inputs.ravel().astype(np.int32)) >> 7).astype(np.int8)
