"""Speed of what runs on the host, by pytest-benchmark; `make bench` runs it, the tests do not. Ratios within one run
tell something, seconds of a shared machine little."""

import ctypes
import tempfile
from pathlib import Path

import numpy as np
import pytest

from export.boards import load_board
from export.cost import Tariff
from export.cost_document import MLPERF_TINY
from export.host import compile_library, run_library
from export.host_features import host_codes
from export.kernels import NAMES, KernelSet
from export.mcu import write_c
from export.onnx_writer import to_onnx
from export.shape_graph import graph_of
from export.stimuli import random_inputs
from export.witness import onnx_scores

ROWS = 200
GRAPH = graph_of(MLPERF_TINY)
INPUTS = random_inputs(GRAPH.input.shape, ROWS)


@pytest.mark.parametrize("kernels", [name for name in NAMES if name != "cmsis-nn"])
def bench_scores_in_c(benchmark, kernels):
    """MLPerf Tiny's shape, compiled before."""
    with tempfile.TemporaryDirectory() as folder:
        plan = write_c(GRAPH, Path(folder), kernel_of=KernelSet(kernels).on_host)
        library = ctypes.CDLL(str(compile_library(Path(folder), Path(folder) / "network.so")))
        benchmark(run_library, library, GRAPH, plan.arena_bytes, INPUTS)


def bench_scores_in_onnx_runtime(benchmark):
    """The session's start counts too."""
    model = to_onnx(GRAPH)
    benchmark(onnx_scores, model, INPUTS)


def bench_features_in_c(benchmark):
    """Codes of ten clips; compiling them counts in the first round, which is a warm-up."""
    clips = np.random.default_rng(0).integers(-3000, 3000, (10, 16000)).astype(np.int16)
    benchmark.pedantic(host_codes, (clips,), warmup_rounds=1, rounds=5)


def bench_price_of_a_shape(benchmark):
    """What growth asks thousands of times."""
    benchmark(Tariff.of(load_board("nano33ble")).shape, MLPERF_TINY)
