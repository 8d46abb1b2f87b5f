"""The self-test at boot: the same formulas in C and Python, under 1 kB, and one wrong byte of a net is reported."""

import ctypes
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.console import UserError
from datasets.features import log_mel_codes
from export.boards import load_board
from export.emulator import Session
from export.host_features import host_codes
from export.image import Features, build_image
from export.kernels import load_kernels
from export.mcu import Exported, export_nets, read_nets
from export.onnx_writer import to_onnx
from export.runs import input_quantizer, resolve
from export.self_test import MAX_EXPECTED_BYTES, chirp, chirp_crc, generated_bytes, network_test
from export.toolchain import have, host_compiler, install_line, run_tool
from export.witness import onnx_scores, tflm_scores
from tests.export.models import Chain, small_model

APP = Path(__file__).resolve().parents[2] / "firmware" / "app"
COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "results" / "small-energy-aware" / "model.tflite"
FLASH_BYTES = 1000  # of the self-test, everything
TOOLS = ("gcc", "arm-none-eabi-gcc", "arm-none-eabi-objcopy", "qemu-system-arm")
MISSING = [install_line(tool) for tool in TOOLS if not have(tool)]
needs_emulator = pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))

# kws_self_test.c without networks or features; what it would feed them is caught.
_DRIVER = """
#include <stddef.h>
#include <stdint.h>
#define KWS_MEMORY_H
#define KWS_CLIP_H
#define KWS_CHIRP_CRC 0
enum { KWS_NETWORKS = 1, KWS_CLIP_SAMPLES = 16000 };
typedef struct {
    int (*run)(void *, const void *, void *);
    uint32_t input_bytes, seed, expected_bytes;
    const uint8_t *expected;
} kws_network;
static kws_network kws_networks[1];
static int kws_arena, kws_input, kws_output;
static uint8_t kws_clip_codes[4];
enum { KWS_CLIP_CODES = sizeof kws_clip_codes };
static int16_t samples[KWS_CLIP_SAMPLES];
static size_t taken;
static void kws_clip_begin(void) { taken = 0; }
static void kws_clip_take(const int16_t *from, size_t count) { while (count--) samples[taken++] = *from++; }
#include "kws_self_test.c"
uint32_t kws_crc(uint32_t crc, const uint8_t *bytes, size_t count) { (void)bytes; (void)count; return crc; }
void bytes_of(uint32_t seed, uint8_t *bytes, size_t count) { generate(seed, bytes, count); }
const int16_t *chirp_of(void) { features_fail(); return samples; }
"""


@pytest.fixture(scope="module")
def in_c(tmp_path_factory):
    if not have("gcc"):
        pytest.skip(install_line("gcc"))
    folder = tmp_path_factory.mktemp("driver")
    (folder / "driver.c").write_text(_DRIVER)
    run_tool([host_compiler(), "-std=c99", "-shared", "-fPIC", f"-I{APP}", folder / "driver.c", "-o",
              folder / "driver.so"], "the self-test")
    return ctypes.CDLL(str(folder / "driver.so"))


@pytest.mark.parametrize("seed", [0, 1, 255, 0x4000, 11511, 65535])
def test_generated_bytes_are_those_of_the_firmware(in_c, seed):
    written = np.zeros(490, np.uint8)
    in_c.bytes_of(seed, written.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(written.size))
    np.testing.assert_array_equal(generated_bytes(seed, written.size), written)
    assert len(np.unique(written)) == 1 if seed < 256 else len(np.unique(written)) > 30


def test_the_chirp_is_that_of_the_firmware(in_c):
    in_c.chirp_of.restype = ctypes.POINTER(ctypes.c_int16 * 16000)
    np.testing.assert_array_equal(np.array(in_c.chirp_of().contents), chirp())


def test_the_chirp_sweeps_every_band():
    """The loudest band rises from frame to frame through all 40, and most codes are in use."""
    codes = log_mel_codes(chirp())
    loudest = codes.argmax(axis=1)
    assert loudest[0] < 4
    assert loudest[-1] > 36
    assert (np.diff(loudest.astype(int)) >= -1).all()
    assert len(np.unique(host_codes(chirp()[None]))) > 60


def test_expected_scores_are_tflite_micros():
    (net,) = read_nets((resolve(None, COMMITTED),))
    test = net.network.test
    inputs = generated_bytes(test.seed, net.graph.input.bytes).view(np.int8).reshape(net.graph.input.shape)
    np.testing.assert_array_equal(test.expected.view(np.int8), tflm_scores(COMMITTED.read_bytes(), inputs)[0])
    assert network_test(net.graph, net.model).seed == test.seed


def test_the_chosen_seed_notices_wrong_weights():
    """One bit of one weight, 40 times: what one input of a net that averages can see is about half of them."""
    (net,) = read_nets((resolve(None, COMMITTED),))
    test, graph, rng = net.network.test, net.graph, np.random.default_rng(3)
    inputs = generated_bytes(test.seed, graph.input.bytes).view(np.int8).reshape(graph.input.shape)
    weights = [i for op in graph.ops for i in op.inputs[1:2] if graph.tensors[i].data is not None]
    noticed = sum((onnx_scores(to_onnx(with_a_wrong_bit(graph, int(rng.choice(weights)), rng)), inputs)
                   != test.expected.view(np.int8)).any() for _ in range(40))
    assert noticed >= 16


def with_a_wrong_bit(graph, tensor: int, rng):
    data = graph.tensors[tensor].data.copy()
    data.reshape(-1).view(np.uint8)[rng.integers(data.size)] ^= np.uint8(1 << rng.integers(8))
    changed = replace(graph.tensors[tensor], data=data)
    return replace(graph, tensors=(*graph.tensors[:tensor], changed, *graph.tensors[tensor + 1:]))


@needs_emulator
@pytest.mark.emulator
def test_wrong_codes_are_reported_as_the_features(tmp_path):
    """Another checksum of the chirp's codes: the bit that C and Python call the features'."""
    done = exported(tmp_path, small_model())
    features = Features(input_quantizer(done.nets[0].graph), chirp_crc() ^ 1)
    image = build_image(done.folder, tuple(net.network for net in done.nets), load_board("mps2-an386"), done.folder,
                        features)
    with (Session(image.elf, load_board("mps2-an386").emulator) as session,
          pytest.raises(UserError, match="failed its self-test at boot: features$")):
        session.check(image)


def exported(folder: Path, *models: bytes, board: str = "mps2-an386") -> Exported:
    """Models with their image, in folder/out."""
    paths = [folder / f"net{i}.tflite" for i in range(len(models))]
    for path, model in zip(paths, models, strict=True):
        path.write_bytes(model)
    nets = read_nets(tuple(resolve(None, path) for path in paths))
    return export_nets(nets, load_board(board), folder / "out", load_kernels("portable", None))


def rebuilt(done: Exported, board: str = "mps2-an386"):
    """The image again, of the C as it lies there."""
    return build_image(done.folder, tuple(net.network for net in done.nets), load_board(board), done.folder)


def plane() -> bytes:
    """A net of uint8 input and 256 uint8 outputs that is not ours."""
    chain = Chain((1, 8, 8, 2), 3)
    return chain.unsigned(chain.at).quantize().conv(4, activation="RELU").quantize(unsigned=True).content()


@needs_emulator
@pytest.mark.emulator
def test_a_wrong_weight_byte_is_reported(tmp_path):
    """The sign of the largest weight of the second net's convolution."""
    done = exported(tmp_path, Chain((1, 6), 1).dense(4).content(), plane())
    with Session(done.image.elf, load_board("mps2-an386").emulator) as session:
        assert session.check(done.image).failures() == ()
    source = done.folder / "network_1.c"
    text = source.read_text()
    found = max(re.finditer(r"(?<=[ ,])-?\d+(?=[,}])", re.search(r"_weights\[\d+\] = \{[^}]*\}", text)[0]),
                key=lambda number: abs(int(number[0])))
    start = re.search(r"_weights\[\d+\] = \{", text).start()
    source.write_text(text[:start + found.start()] + str(-int(found[0])) + text[start + found.end():])
    image = rebuilt(done)
    with (Session(image.elf, load_board("mps2-an386").emulator) as session,
          pytest.raises(UserError, match="failed its self-test at boot: network 1$")):
        session.check(image)


def test_only_the_first_bytes_of_a_large_output_are_kept(tmp_path):
    (tmp_path / "plane.tflite").write_bytes(plane())
    (net,) = read_nets((resolve(None, tmp_path / "plane.tflite"),))
    assert net.graph.output.elements == 256
    assert net.network.test.expected.shape == (MAX_EXPECTED_BYTES,)


@needs_emulator
@pytest.mark.parametrize("board", ["nano33ble", "m0plus-code"])
def test_the_self_test_is_small(tmp_path, board):
    """All that its object brings into the image, and all of the networks' table, which mostly is its own."""
    done = exported(tmp_path, COMMITTED.read_bytes(), plane(), board=board)
    sections = re.findall(r"^ \.(?:text|rodata)\S*\s+0x[0-9a-f]+\s+0x([0-9a-f]+) \S*(kws_self_test|kws_networks)\.o$",
                          done.image.map.read_text().partition("Linker script and memory map")[2], re.MULTILINE)
    assert {name for _, name in sections} == {"kws_self_test", "kws_networks"}
    assert 100 < sum(int(size, 16) for size, _ in sections) <= FLASH_BYTES
    header = (done.folder / "firmware" / "kws_networks.h").read_text()
    assert f"#define KWS_CHIRP_CRC {chirp_crc():#010x}u" in header
