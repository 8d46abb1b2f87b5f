"""Whatever the bytes, the reader answers with a Graph or one line, soon and in little memory."""

import time
import tracemalloc
from contextlib import contextmanager

import ai_edge_litert.schema_py_generated as schema
import numpy as np
import pytest

from datasets.console import UserError
from export.graph import Graph
from export.onnx_writer import to_onnx
from export.plan import make_plan
from export.tflite_reader import read_tflite
from tests.export.models import Chain, packed, small_model

QUICK, LONG = 300, 10_000
MOST_BYTES, MOST_S = 64 << 20, 5.0
NUMBERS = np.array([-1, 0, 1, 2**7, 2**15, 2**24, 2**31 - 1, -2**31, 2**30, 65535, 255, 4, 8], np.int64)


def seeds() -> list[bytes]:
    every = (Chain((1, 9, 6, 4)).unsigned(0).quantize().conv(8, (3, 2), (2, 1)).depthwise(1, activation="RELU"))
    before = every.at
    every.relu().conv(8, (1, 1)).add(before).pad().max_pool().average_pool((2, 2), (1, 1)).relu6().mean()
    every.dense(3, per_channel=True).softmax()
    return [small_model(), every.content()]


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """One of: random bytes, cut short, some bytes or 32-bit words changed, a piece moved or doubled, noise behind the
    identifier."""
    data, kind = bytearray(content), rng.integers(6)
    at = rng.integers(0, len(data), rng.integers(1, 6))
    if kind == 0:
        return rng.bytes(4) + b"TFL3" + rng.bytes(int(rng.integers(0, 3000)))
    if kind == 1:
        return content[:int(at[0])]
    if kind == 2:
        for i in at:
            data[i] = rng.integers(256)
    if kind == 3:
        for i in at // 4 * 4:
            data[i:i + 4] = (int(rng.choice(NUMBERS)) % 2**32).to_bytes(4, "little")
    if kind == 4:
        size = int(rng.integers(1, 200))
        data[at[0]:at[0] + size] = data[at[-1]:at[-1] + size]
    if kind == 5:
        data[at[0]:] = rng.bytes(len(data) - int(at[0]))
    return bytes(data)


@contextmanager
def bounded():
    """Fails where what is inside takes long or much memory."""
    tracemalloc.reset_peak()
    start_s, start_bytes = time.process_time(), tracemalloc.get_traced_memory()[0]
    yield
    assert tracemalloc.get_traced_memory()[1] - start_bytes < MOST_BYTES
    assert time.process_time() - start_s < MOST_S


def fuzz(count: int, seed: int) -> int:
    """How many of `count` damaged files were refused."""
    rng, contents, refused = np.random.default_rng(seed), seeds(), 0
    tracemalloc.start()
    try:
        for i in range(count):
            content = damaged(contents[i % len(contents)], rng)
            with bounded():
                said = refusal(content)
            assert said is None or (said.startswith("model: ") and "\n" not in said)
            refused += said is not None
    finally:
        tracemalloc.stop()
    return refused


def refusal(content: bytes) -> str | None:
    """What the reader says against a file; None where it reads it, and then plan and ONNX can be made of it."""
    try:
        graph = read_tflite(content)
    except UserError as error:
        return str(error)
    assert isinstance(graph, Graph)
    make_plan(graph)
    to_onnx(graph)
    return None


def test_damaged_files():
    assert QUICK / 3 < fuzz(QUICK, 0) < QUICK


@pytest.mark.slow
def test_damaged_files_at_length():
    assert LONG / 3 < fuzz(LONG, 1) < LONG


def test_one_large_vector_shared_by_all_tensors():
    """A small file whose 2,000 tensors are all one, with as many scales as are allowed."""
    made = Chain((1, 4)).quantize()
    made.content()
    made.graph.tensors[0].quantization.scale = [0.1] * 4096
    made.graph.tensors[0].quantization.zeroPoint = [0] * 4096
    made.graph.tensors.extend([made.graph.tensors[0]] * 2000)
    content = shared(made.model)
    tracemalloc.start()
    try:
        with bounded(), pytest.raises(UserError, match="tensor_0: has the scales"):
            read_tflite(content)
    finally:
        tracemalloc.stop()


def shared(model: schema.ModelT) -> bytes:
    """Packed with each tensor object written once: all offsets to it are the same."""
    tensors, first = model.subgraphs[0].tensors, model.subgraphs[0].tensors[2]
    offsets = {}

    def pack_once(builder):
        if "offset" not in offsets:
            offsets["offset"] = schema.TensorT.Pack(first, builder)
        return offsets["offset"]

    for tensor in tensors:
        if tensor is first:
            tensor.Pack = pack_once
    return packed(model)


def test_long_chains_are_planned_soon():
    """As many ops as a file may have, each in place of the one before."""
    made = Chain((1, 4))
    for _ in range(1000):
        made.relu()
    made.content()
    made.model.operatorCodes = made.model.operatorCodes[:1]
    for op in made.graph.operators:
        op.opcodeIndex = 0
    tracemalloc.start()
    try:
        with bounded():
            assert make_plan(read_tflite(packed(made.model))).arena_bytes == 16
    finally:
        tracemalloc.stop()


def test_pools_of_large_planes_are_small_in_onnx():
    """The counts of their taps are kept by row and by column."""
    content = Chain((1, 2048, 2048, 1)).average_pool((2, 2), (1, 1), "SAME").content()
    tracemalloc.start()
    try:
        with bounded():
            assert to_onnx(read_tflite(content)).ByteSize() < 200_000
    finally:
        tracemalloc.stop()
