"""The generated C and the kernels: clean under every compiler, no state, no arm_ symbol, two nets in one program."""

import ctypes
import re
import shutil
import subprocess
from graphlib import TopologicalSorter

import numpy as np
import pytest

from export.c_writer import write_c
from export.host import KERNELS, WARNINGS, compile_library, run_library
from export.op_kernel import with_scratch
from export.operators import OPERATORS
from export.plan import ALIGNMENT
from export.stimuli import random_inputs
from export.tflite_reader import read_tflite
from export.witness import tflm_scores
from tests.export.models import Chain, small_model

COMPILERS = {"gcc": ("gcc",), "clang": ("clang",),
             **{core: ("arm-none-eabi-gcc", f"-mcpu={core}", "-mthumb")
                for core in ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")}}
BINUTILS = {"arm-none-eabi-gcc": "arm-none-eabi-"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Networks with every operator, of both kinds of edges, and all kernels."""
    folder = tmp_path_factory.mktemp("sources")
    chain = Chain((1, 9, 6, 2)).unsigned(0).quantize().pad().conv(4, (3, 2), (2, 1)).relu()
    before = chain.at
    chain.depthwise(1).add(before).relu6().max_pool((2, 2), (1, 1)).average_pool((2, 2), (1, 1)).mean()
    chain.reshape((1, 4)).dense(3, per_channel=True).dense(5).softmax().quantize(unsigned=True)
    graph = read_tflite(chain.content())
    assert {op.kind for op in graph.ops} == set(OPERATORS)
    write_c(graph, folder)
    write_c(read_tflite(small_model()), folder, "network_b")
    return [folder / "network.c", folder / "network_b.c", *sorted(KERNELS.glob("*.c"))]


def compiled(compiler, source, folder):
    name, *flags = COMPILERS[compiler]
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    target = folder / f"{source.stem}.o"
    command = [name, *flags, *WARNINGS, "-O2", "-fno-pic", f"-I{KERNELS}", "-c", source, "-o", target]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def binutil(compiler, tool, *arguments) -> str:
    command = [BINUTILS.get(COMPILERS[compiler][0], "") + tool, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_warning_no_state_no_arm_symbol(compiler, sources, tmp_path):
    for source in sources:
        target = compiled(compiler, source, tmp_path)
        state = re.findall(r"^\.(?:data|bss)\S*\s+(\d+)", binutil(compiler, "size", "-A", target), re.MULTILINE)
        assert set(state) <= {"0"}, source
        symbols = re.findall(r" ([A-Za-z]) (\w+)$", binutil(compiler, "nm", target), re.MULTILINE)
        assert symbols
        assert {kind for kind, _ in symbols} <= set("TtRrU"), source  # functions and constants
        assert not [name for _, name in symbols if name.startswith(("arm_", "malloc", "free", "calloc"))], source
        assert all(name.startswith(("network_", "kws_")) for kind, name in symbols if kind in "TR")


def test_no_recursion(sources, tmp_path):
    """The call graph of GCC has no cycle."""
    calls = {}
    for source in sources:
        command = ["gcc", "-std=c99", "-O0", "-fcallgraph-info", f"-I{KERNELS}", "-c", source, "-o",
                   tmp_path / f"{source.stem}.o"]
        subprocess.run(list(map(str, command)), check=True)
        for a, b in re.findall(r'sourcename: "([^"]+)" targetname: "([^"]+)"',
                               (tmp_path / f"{source.stem}.ci").read_text()):
            calls.setdefault(a.split(":")[-1], set()).add(b.split(":")[-1])
    assert calls["network_run"]
    list(TopologicalSorter(calls).static_order())


def test_header_tells_what_the_caller_needs(tmp_path):
    tflite = small_model()
    graph = read_tflite(tflite)
    plan = write_c(graph, tmp_path, "spotter")
    defines = dict(re.findall(r"#define SPOTTER_(\w+) (.+)", (tmp_path / "spotter.h").read_text()))
    assert defines == {
        "ARENA_BYTES": str(plan.arena_bytes), "ARENA_ALIGN": str(ALIGNMENT), "INPUT_BYTES": "490", "INPUT_ROWS": "49",
        "INPUT_COLUMNS": "10", "INPUT_SCALE": f"{float(graph.input.scale[0])!r}F",
        "INPUT_ZERO_POINT": f"({graph.input.zero_point[0]})", "OUTPUT_BYTES": "5", "OUTPUT_SCALE": "0.00390625F",
        "OUTPUT_ZERO_POINT": "(-128)", "MODEL_SHA256": f'"{graph.sha256}"'}


def test_the_header_says_whose_it_is(tmp_path):
    graph = read_tflite(small_model())
    write_c(graph, tmp_path)
    for name in ("network.c", "network.h"):
        banner = (tmp_path / name).read_text().partition("*/")[0]
        assert graph.sha256 in banner
        assert "This generated code and the kernels linked with it carry no obligation." in banner


def test_same_graph_same_text(tmp_path):
    for name in ("a", "b"):
        write_c(read_tflite(small_model()), tmp_path / name)
    assert (tmp_path / "a" / "network.c").read_bytes() == (tmp_path / "b" / "network.c").read_bytes()


def test_equal_constants_are_written_once(tmp_path):
    """Two layers of one weight tensor: its array stands in flash once."""
    chain = Chain((1, 6)).dense(6).dense(6)
    first, second = chain.graph.operators
    second.inputs = [second.inputs[0], *first.inputs[1:]]
    chain.graph.tensors[second.outputs[0]].quantization.scale = [0.05]
    chain.graph.tensors[first.outputs[0]].quantization.scale = chain.graph.tensors[0].quantization.scale
    tflite = chain.content()
    graph = read_tflite(tflite)
    write_c(graph, tmp_path)
    assert (tmp_path / "network.c").read_text().count("static const int8_t") == 1
    library = ctypes.CDLL(str(compile_library(tmp_path, tmp_path / "tied.so")))
    inputs = random_inputs(graph.input.shape, 6)
    np.testing.assert_array_equal(run_library(library, graph, 4096, inputs), tflm_scores(tflite, inputs))


def test_two_nets_share_one_arena(tmp_path):
    """Prefixes keep them apart, and no state is left in between."""
    models = {"first": small_model(), "second": small_model(1, (12, 9), 20)}
    graphs = {name: read_tflite(tflite) for name, tflite in models.items()}
    arena = max(write_c(graph, tmp_path, name).arena_bytes for name, graph in graphs.items())
    library = ctypes.CDLL(str(compile_library(tmp_path, tmp_path / "both.so")))
    for turn in range(2):
        for name, graph in graphs.items():
            inputs = random_inputs(graph.input.shape, 6, turn)
            np.testing.assert_array_equal(run_library(library, graph, arena, inputs, name),
                                          tflm_scores(models[name], inputs))


def test_an_arena_too_small_would_be_noticed(tmp_path):
    """run_library's guard bytes work: the net does use the last bytes of its arena."""
    graph = read_tflite(small_model())
    plan = write_c(graph, tmp_path)
    library = ctypes.CDLL(str(compile_library(tmp_path, tmp_path / "network.so")))
    with pytest.raises(RuntimeError, match="outside its arena"):
        run_library(library, graph, plan.arena_bytes - ALIGNMENT, random_inputs(graph.input.shape, 2))


def test_scratch_is_handed_to_the_kernels(tmp_path):
    """As the CMSIS-NN library wants it: {buf, size} in the call's context."""
    graph = read_tflite(small_model())
    plan = write_c(graph, tmp_path, kernel_of=with_scratch(lambda graph, op: 123 if op.kind == "CONV_2D" else 0))
    text = (tmp_path / "network.c").read_text()
    convs = [i for i, op in enumerate(graph.ops) if op.kind == "CONV_2D"]
    assert text.count("{scratch, 123}") == len(convs) == len(plan.scratch)
    for i in convs:
        assert f"network_{i}_conv_2d(bytes + {plan.scratch[i][0]}, " in text


def test_kernel_errors_come_back(tmp_path):
    """A kernel that refuses its arguments gives 1 + the op's index: here a filter of other input channels."""
    graph = read_tflite(Chain((1, 4, 4, 2)).conv(3).conv(5).content())
    write_c(graph, tmp_path)
    path = tmp_path / "network.c"
    broken = path.read_text().replace("filter_dims = {5, 3, 3, 3}", "filter_dims = {5, 3, 3, 2}")
    assert broken != path.read_text()
    path.write_text(broken)
    library = ctypes.CDLL(str(compile_library(tmp_path, tmp_path / "network.so")))
    with pytest.raises(RuntimeError, match="op 1 of 2"):
        run_library(library, graph, 4096, random_inputs(graph.input.shape, 1))
