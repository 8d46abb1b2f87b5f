"""What an image checks of itself at boot, without a recording; firmware/app/kws_self_test.c has the same formulas."""

import zlib
from dataclasses import dataclass

import numpy as np
import onnx

from datasets.features import CLIP_SAMPLES
from export.graph import Graph
from export.host_features import host_codes
from export.witness import onnx_scores

MAX_EXPECTED_BYTES = 64  # of a network's output: more would not keep a self-test under 1 kB
CANDIDATES = 32  # seeds to choose from
CHANGES = 16     # of one byte each, that they are judged by
CHANGED_BIT = 8
FEATURES_FAILED = 31  # the bit of a failure that is no network's
CHIRP_RATE = 2**30 // CLIP_SAMPLES  # of the phase, in 2^-32 turns a sample and sample: up to a quarter of the rate


@dataclass(frozen=True)
class NetworkTest:
    """The self-test of one network. seed: of generated_bytes; expected: uint8, the output's first bytes."""

    seed: int
    expected: np.ndarray


def generated_bytes(seed: int, count: int) -> np.ndarray:
    """uint8 [count], noise of strength seed >> 8 above level seed & 255, modulo 256; seed: 0 to 65535."""
    state, states = seed, np.empty(count, np.uint32)
    for i in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        states[i] = state
    return (seed + ((states >> 24) * (seed >> 8) >> 8)).astype(np.uint8)


def chirp() -> np.ndarray:
    """int16 [16000], a triangle wave whose frequency rises from 0 to 4000 Hz."""
    steps = np.arange(1, CLIP_SAMPLES + 1, dtype=np.uint64) * CHIRP_RATE
    phase = np.cumsum(steps).astype(np.uint32)
    fold = np.where(phase >> 31, ~phase, phase)
    return ((fold >> 15).astype(np.int32) - 32768).astype(np.int16)


def chirp_crc() -> int:
    """CRC-32 of the chirp's codes, uint8 [49, 40], by the firmware's C on this machine. UserError: no compiler."""
    return zlib.crc32(host_codes(chirp()[None]).tobytes())


def network_test(graph: Graph, model: onnx.ModelProto) -> NetworkTest:
    """Of CANDIDATES seeds the one whose scores notice the most changes of one byte of the input; what they notice
    there, they mostly notice of a weight too. Of those that notice as many, the one with the most distinct scores.

    model: export.onnx_writer's of `graph`; its scores are TFLite Micro's to the bit.
    """
    seeds = np.random.default_rng(0).integers(0, 2**16, CANDIDATES)
    inputs = np.array([generated_bytes(int(seed), graph.input.bytes) for seed in seeds])
    scores = _scores(graph, model, inputs)
    noticed = np.zeros(CANDIDATES, int)
    for place in np.random.default_rng(1).integers(0, graph.input.bytes, CHANGES):
        changed = inputs.copy()
        changed[:, place] ^= CHANGED_BIT
        noticed += (_scores(graph, model, changed) != scores).any(axis=1)
    best = max(range(CANDIDATES), key=lambda i: (noticed[i], len(np.unique(scores[i]))))
    return NetworkTest(int(seeds[best]), scores[best])


def _scores(graph: Graph, model: onnx.ModelProto, inputs: np.ndarray) -> np.ndarray:
    """The first bytes of each output, uint8."""
    return onnx_scores(model, inputs.view(graph.input.dtype)).view(np.uint8)[:, :MAX_EXPECTED_BYTES]
