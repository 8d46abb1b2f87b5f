"""Host witnesses that cannot be asked: a compiler that fails and a missing package are one line, never a traceback."""

import os
import sys

import numpy as np
import pytest

from datasets.console import UserError
from export import host, witness
from export.host import host_scores
from export.onnx_writer import to_onnx
from export.stimuli import random_inputs
from export.tflite_reader import read_tflite
from export.toolchain import have, install_line
from tests.export.models import Chain, small_model


def scored():
    graph = read_tflite(small_model())
    return host_scores(graph, random_inputs(graph.input.shape, 2))


@pytest.fixture
def no_kernels_yet():
    """The kernels of this process are compiled once; here they are not."""
    host._kernel_objects.cache_clear()
    yield
    host._kernel_objects.cache_clear()


def fake_compiler(folder, monkeypatch, script):
    (folder / "cc").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}")


def test_no_compiler(monkeypatch, tmp_path, no_kernels_yet):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no working C compiler .*apt-get install gcc libc6-dev"):
        scored()


def test_a_compiler_that_finds_no_headers_counts_as_none(monkeypatch, tmp_path, no_kernels_yet):
    fake_compiler(tmp_path, monkeypatch, "echo 'x.c:1:10: fatal error: stdint.h: No such file' >&2; exit 1")
    with pytest.raises(UserError, match="no working C compiler"):
        scored()


def test_a_compiler_that_crashes_is_one_line(monkeypatch, tmp_path, no_kernels_yet):
    fake_compiler(tmp_path, monkeypatch, 'case "$*" in *-fsyntax-only*) exit 0;; esac; '
                                         "echo 'cc: internal compiler error: Killed' >&2; exit 4")
    with pytest.raises(UserError, match="the network for this machine: cc failed: cc: internal compiler error: Killed"):
        scored()


@pytest.mark.skipif(not have("gcc"), reason=install_line("gcc"))
def test_the_next_compiler_is_taken(monkeypatch, tmp_path, no_kernels_yet):
    fake_compiler(tmp_path, monkeypatch, "exit 1")
    monkeypatch.setenv("PATH", os.pathsep.join((str(tmp_path), os.defpath)))
    assert scored().shape == (2, 5)


def test_without_tflite_micro_a_line_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    with pytest.raises(UserError, match="TFLite Micro is not there .*pip install tflite-micro"):
        witness.tflm_scores(small_model(), np.zeros((1, 49, 10, 1), np.int8))


def test_tflite_micro_takes_an_arena_as_large_as_the_net_needs():
    model = Chain((1, 800, 800, 8)).max_pool().mean().dense(3).content()
    rows = np.full((1, 800, 800, 8), 7, np.int8)
    np.testing.assert_array_equal(witness.tflm_scores(model, rows),
                                  witness.onnx_scores(to_onnx(read_tflite(model)), rows))


def test_a_net_too_large_for_tflite_micro_is_one_line(monkeypatch):
    monkeypatch.setattr(witness, "ARENA_BYTES", (512, 1024))
    with pytest.raises(UserError, match=r"TFLite Micro cannot take this .* \(.*\); its arena has at most 1024 bytes"):
        witness.tflm_scores(small_model(), np.zeros((1, 49, 10, 1), np.int8))


def test_onnx_runtime_runs_where_there_is_no_affinity(monkeypatch):
    """As on macOS."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    graph = read_tflite(small_model())
    assert witness.onnx_scores(to_onnx(graph), random_inputs(graph.input.shape, 2)).shape == (2, 5)
