"""KERNELS and CMSIS_NN: what is refused, and the scratch that CMSIS-NN wants for each op on each core."""

import subprocess

import pytest

from datasets.console import UserError
from export.kernels import KernelSet, load_kernels
from export.plan import make_plan
from export.tflite_reader import read_tflite
from export.toolchain import have
from tests.export.models import Chain

CORES = ("cortex-m0plus", "cortex-m4", "cortex-m55")

# What the library's *_get_buffer_size return for the arguments of the generated C, on an emulated core of each kind:
# CMSIS-NN v7.0.0 and commit 99f736a, built by GCC 12.2 -Ofast. Plane, channels or multiplier, options, bytes by CORES.
SIZES = {
    "conv": [
        ((49, 10, 1), 64, {"kernel": (10, 4), "stride": (2, 2)}, (160, 160, 192)),
        ((25, 5, 64), 64, {"kernel": (1, 1)}, (0, 0, 0)),
        ((25, 5, 64), 32, {"kernel": (1, 1), "stride": (2, 2)}, (0, 0, 0)),
        ((25, 5, 64), 32, {"kernel": (3, 3)}, (2304, 2304, 2304)),
        ((7, 6, 5), 6, {"kernel": (3, 3)}, (192, 192, 192)),
        ((7, 6, 5), 6, {"kernel": (1, 1), "dilation": (2, 1)}, (32, 32, 64)),
        ((9, 9, 3), 4, {"kernel": (3, 2), "stride": (1, 2), "dilation": (2, 3)}, (80, 80, 128)),
        ((1, 30, 8), 6, {"kernel": (1, 5)}, (160, 160, 56)),
        ((1, 30, 8), 6, {"kernel": (1, 4)}, (128, 128, 40)),
        ((1, 30, 8), 6, {"kernel": (1, 4), "padding": "VALID"}, (128, 128, 32)),
        ((1, 30, 6), 6, {"kernel": (1, 4)}, (96, 96, 128)),
        ((1, 30, 8), 6, {"kernel": (1, 5), "stride": (1, 2)}, (160, 160, 192)),
        ((1, 3, 8), 6, {"kernel": (1, 7)}, (224, 224, 256)),
        ((1, 30, 8), 6, {"kernel": (3, 5)}, (480, 480, 512)),
        ((1, 30, 4), 6, {"kernel": (1, 3), "dilation": (1, 2)}, (48, 48, 64))],
    "depthwise": [
        ((25, 5, 64), 1, {"kernel": (3, 3)}, (0, 0, 4464)),
        ((25, 5, 64), 1, {"kernel": (3, 3), "stride": (2, 2)}, (0, 0, 4464)),
        ((25, 5, 64), 1, {"kernel": (3, 3), "padding": "VALID"}, (0, 0, 4464)),
        ((25, 5, 64), 1, {"kernel": (5, 3)}, (0, 1920, 7440)),
        ((12, 9, 10), 1, {"kernel": (3, 3), "dilation": (2, 2)}, (0, 0, 0)),
        ((12, 9, 10), 2, {"kernel": (3, 3)}, (0, 0, 0)),
        ((12, 9, 1), 1, {"kernel": (4, 4)}, (0, 32, 7936)),
        ((12, 9, 1), 2, {"kernel": (4, 4)}, (0, 0, 96)),
        ((12, 9, 1), 9, {"kernel": (10, 4), "stride": (2, 2)}, (0, 0, 552)),
        ((12, 9, 1), 9, {"kernel": (1, 1)}, (0, 0, 9)),
        ((1, 9, 1), 9, {"kernel": (1, 3), "stride": (1, 4)}, (0, 0, 91)),
        ((12, 9, 130), 1, {"kernel": (2, 2)}, (0, 1040, 1984))],
    "average_pool": [((25, 5, 64), None, {"kernel": (25, 5)}, (0, 256, 0)),
                     ((7, 6, 5), None, {"kernel": (2, 2)}, (0, 20, 0))],
    "max_pool": [((7, 6, 5), None, {"kernel": (2, 2)}, (0, 0, 0))],
    "dense": [((64,), 12, {}, (0, 0, 48)), ((1,), 130, {"per_channel": True}, (0, 0, 520))],
    "mean": [((7, 6, 5), None, {}, (0, 0, 0))],
    "softmax": [((12,), None, {}, (0, 0, 0))],
}


def graph_of(kind, shape, number, options):
    chain = Chain((1, *shape), 1)
    return read_tflite(getattr(chain, kind)(*([] if number is None else [number]), **options).content())


@pytest.mark.parametrize(("kind", "case"), [(kind, case) for kind, cases in SIZES.items() for case in cases])
def test_scratch_is_what_the_library_asks_for(kind, case, cmsis_nn):
    *net, expected = case
    graph = graph_of(kind, *net)
    assert tuple(cmsis_nn.scratch(core)(graph, graph.ops[-1]) for core in CORES) == expected
    assert KernelSet("portable").scratch("cortex-m55")(graph, graph.ops[-1]) == 0


def test_scratch_counts_in_the_arena(cmsis_nn):
    graph = graph_of("conv", (7, 6, 5), 6, {"kernel": (3, 3)})
    assert make_plan(graph, cmsis_nn.kernel_of("cortex-m4")).arena_bytes == 192


@pytest.fixture
def folder(tmp_path):
    """A folder as CMSIS_NN names it, without a library yet."""
    (tmp_path / "Include").mkdir()
    (tmp_path / "Include" / "arm_nnfunctions.h").write_text("int arm_fully_connected_per_channel_s8(void);\n")
    return tmp_path


@pytest.fixture
def cmsis_nn(folder):
    return load_kernels("cmsis-nn", folder)


def test_our_kernels_are_the_default(tmp_path):
    for name, chosen in ((None, "tuned"), ("", "tuned"), ("tuned", "tuned"), ("portable", "portable")):
        kernels = load_kernels(name, None)
        assert kernels == KernelSet(chosen)
        assert kernels.includes == kernels.defines == kernels.link_flags == ()
        assert kernels.library("cortex-m4") is None


def test_what_a_library_adds(folder, cmsis_nn):
    assert cmsis_nn.name == "cmsis-nn"
    assert cmsis_nn.includes == (folder / "Include",)
    assert cmsis_nn.defines == ("KWS_CMSIS_NN",)


@pytest.mark.parametrize(("name", "given", "message"), [
    ("cmsisnn", None, "KERNELS=cmsisnn: allowed: portable, tuned, cmsis-nn"),
    ("cmsis-nn", None, "KERNELS=cmsis-nn needs CMSIS_NN=DIR"),
    (None, "lib", "CMSIS_NN=lib goes with KERNELS=cmsis-nn"),
    ("portable", "lib", "CMSIS_NN=lib goes with KERNELS=cmsis-nn; KERNELS is portable"),
    ("cmsis-nn", "/nowhere", "/nowhere/Include/arm_nnfunctions.h: No such file"),
])
def test_wrong_names_are_refused(name, given, message):
    with pytest.raises(UserError, match=message):
        load_kernels(name, given)


def test_an_old_library_is_refused(folder):
    (folder / "Include" / "arm_nnfunctions.h").write_text("int arm_fully_connected_s8(void);\n")
    with pytest.raises(UserError, match="declares no arm_fully_connected_per_channel_s8; allowed: CMSIS-NN v7.0.0"):
        load_kernels("cmsis-nn", folder)


def test_an_unknown_core_is_refused(cmsis_nn):
    with pytest.raises(UserError, match=r"core cortex-a9.*allowed: cortex-m0,"):
        cmsis_nn.scratch("cortex-a9")


def test_no_library_names_where_it_was_looked_for(folder, cmsis_nn):
    with pytest.raises(UserError, match=r"for cortex-m4 is none; .* cortex-m4/lib\*.a, lib\*.a, build/lib\*.a"):
        cmsis_nn.library("cortex-m4")
    (folder / "liba.a").touch()
    (folder / "libb.a").touch()
    with pytest.raises(UserError, match=r"is several: liba.a, libb.a"):
        cmsis_nn.library("cortex-m4")


def build(library, *flags):
    """A static library of one function for an Arm core."""
    source = library.with_suffix(".c")
    library.parent.mkdir(exist_ok=True)
    source.write_text("int one(void) { return 1; }\n")
    subprocess.run(["arm-none-eabi-gcc", "-mthumb", *flags, "-c", source, "-o", library.with_suffix(".o")], check=True)
    subprocess.run(["arm-none-eabi-ar", "rcs", library, library.with_suffix(".o")], check=True)


needs_arm_gcc = pytest.mark.skipif(not have("arm-none-eabi-gcc"), reason="needs arm-none-eabi-gcc")


@needs_arm_gcc
def test_the_library_of_the_core_comes_first(folder, cmsis_nn):
    for place in ("build", ".", "cortex-m4"):
        build(folder / place / "libcmsis-nn.a", "-mcpu=cortex-m4")
        assert cmsis_nn.library("cortex-m4") == (folder / place / "libcmsis-nn.a").resolve()
    assert cmsis_nn.library("cortex-m7") == folder / "libcmsis-nn.a"


@needs_arm_gcc
@pytest.mark.parametrize(("flags", "core", "found"), [
    (["-mcpu=cortex-m4"], "cortex-m3", r"v7E-M \(dsp\); allowed for cortex-m3: v7 \(plain\)"),
    (["-mcpu=cortex-m0plus"], "cortex-m4", r"v6S-M \(plain\); allowed for cortex-m4: v7E-M \(dsp\)"),
    (["-mcpu=cortex-m33+nodsp"], "cortex-m33", r"v8-M.mainline \(plain\); allowed for cortex-m33: .* \(dsp\)"),
    (["-mcpu=cortex-m55", "-mfloat-abi=soft"], "cortex-m55", r"v8.1-M.mainline \(dsp\); allowed .* \(mve\)"),
])
def test_a_library_for_another_core_is_refused(folder, cmsis_nn, flags, core, found):
    build(folder / "libcmsis-nn.a", *flags)
    with pytest.raises(UserError, match=found):
        cmsis_nn.library(core)


@needs_arm_gcc
def test_a_library_with_mve(folder, cmsis_nn):
    build(folder / "libcmsis-nn.a", "-mcpu=cortex-m55", "-mfloat-abi=hard")
    assert cmsis_nn.library("cortex-m55") == folder / "libcmsis-nn.a"


@needs_arm_gcc
def test_a_file_that_is_no_library_is_refused(folder, cmsis_nn):
    (folder / "libcmsis-nn.a").write_text("nothing of the kind")
    with pytest.raises(UserError, match=r"libcmsis-nn.a"):
        cmsis_nn.library("cortex-m4")
