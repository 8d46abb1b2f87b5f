"""The image in the emulator: the same bits as the host's C, instructions counted, and no image can hang the host."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from datasets.console import UserError
from datasets.features import CLIP_SAMPLES, N_FRAMES
from export import link
from export.boards import board_names, load_board
from export.emulator import Session
from export.host_features import host_codes
from export.image import STACK_BYTES, build_image
from export.link import NetworkSizes, protocol
from export.self_test import chirp_crc
from export.toolchain import have, install_line
from tests.export import standin

TOOLS = ("gcc", "arm-none-eabi-gcc", "arm-none-eabi-objcopy", "qemu-system-arm")
MISSING = [install_line(tool) for tool in TOOLS if not have(tool)]
pytestmark = [pytest.mark.emulator, pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))]

EMULATED = [name for name in board_names() if load_board(name).emulator]
MAX_INSTRUCTIONS_PER_FRAME = 36_000  # features and MFCC; the most that issue 2 allows is 60,000
MAX_OF_ARMV6_M = 260_000  # it has no 32 by 32 to 64 bit product


def image_of(folder: Path, board: str = "mps2-an386", **network) -> Path:
    """The stand-in network's image."""
    return build_image(standin.write_network(folder / "network", **network), standin.network(), load_board(board),
                       folder / board, standin.FEATURES).elf


def session(elf: Path, board: str = "mps2-an386", quiet_s: float = 20.0) -> Session:
    return Session(elf, load_board(board).emulator, quiet_s)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return image_of(tmp_path_factory.mktemp("image"))


def clips() -> np.ndarray:
    """int16 [6, 16000]: silence, full scale, noise of several levels, a tone."""
    rng = np.random.default_rng(5)
    noise = [rng.integers(-a, a + 1, CLIP_SAMPLES) for a in (1, 200, 32767)]
    tone = np.rint(9000 * np.sin(np.arange(CLIP_SAMPLES) * 0.3))
    return np.array([np.zeros(CLIP_SAMPLES), np.full(CLIP_SAMPLES, -32768), *noise, tone]).astype(np.int16)


@pytest.mark.parametrize("name", EMULATED)
def test_every_core_computes_the_hosts_bits(name, tmp_path):
    elf, waveforms = image_of(tmp_path, name), clips()
    if load_board(name).emulator.channel == "serial":
        waveforms = waveforms[2:4]  # a byte at a time
    with session(elf, name) as board:
        hello = board.hello()
        results = [board.clip(waveform, hello) for waveform in waveforms]
    np.testing.assert_array_equal([result.codes for result in results], host_codes(waveforms))
    for result in results:
        np.testing.assert_array_equal(result.inputs, standin.QUANTIZER(result.codes))
        np.testing.assert_array_equal(result.scores.view(np.int8), standin.scores(result.inputs))
        per_frame = result.feature_ticks * load_board(name).emulator.instructions_per_tick / N_FRAMES
        assert 5_000 < per_frame <= (MAX_OF_ARMV6_M if name == "m0plus-code" else MAX_INSTRUCTIONS_PER_FRAME)
        assert 200 < result.stack_used < hello.stack_bytes


@pytest.mark.parametrize("name", EMULATED)
def test_a_tick_is_worth_what_the_board_file_says(name, tmp_path):
    with session(image_of(tmp_path, name), name) as board:
        ticks = board.spin(1_000_000)
    worth = load_board(name).emulator.instructions_per_tick
    assert ticks == pytest.approx(2_000_000 / worth, rel=5e-4, abs=2 + 40 / worth)


def test_ticks_go_on_where_the_counter_wraps(tmp_path):
    """24 bits last 100 M instructions on netduinoplus2."""
    with session(image_of(tmp_path, "netduinoplus2"), "netduinoplus2", 60.0) as board:
        assert board.spin(140_000_000) * 5.95 == pytest.approx(280_000_000, rel=2e-3)


def test_hello_is_the_image(tmp_path):
    image = build_image(standin.write_network(tmp_path / "n"), standin.network(), load_board("mps2-an386"),
                        tmp_path / "out", standin.FEATURES)
    with session(image.elf) as board:
        hello = board.check(image)
    assert hello.identity == image.identity
    assert hello.networks == (NetworkSizes(490, 12, image.arena_bytes),)
    assert (hello.stack_bytes, hello.features, hello.self_test) == (image.stack_bytes, True, 0)


def test_inputs_are_scored_without_features(image):
    inputs = np.random.default_rng(2).integers(-128, 128, (3, 49, 10)).astype(np.int8)
    with session(image) as board:
        hello = board.hello()
        for each in inputs:
            scores, ticks = board.scores(each, hello)
            np.testing.assert_array_equal(scores.view(np.int8), standin.scores(each))
            assert ticks > 0


def test_what_the_image_refuses_it_goes_on_after(image):
    with session(image) as board:
        with pytest.raises(UserError, match="refused: bad length"):
            board.request("CLIP", b"short")
        board.send(struct.pack("<BBHI", ord("K"), ord("?"), 0, 0))
        with pytest.raises(UserError, match="refused: bad command"):
            board.reply(board.receive(1))
        board.send(b"noise" + struct.pack("<BBHI", ord("K"), protocol()["SPIN"], 0, 4))
        assert board.receive(1)[0] == protocol()["READY"]
        board.send(struct.pack("<I", 10))
        assert board.receive(1)[0] == protocol()["READY"]
        board.send(struct.pack("<I", 0xBAD))
        with pytest.raises(UserError, match="refused: bad crc"):
            board.reply(board.receive(1))
        with pytest.raises(UserError, match="refused: bad network"):
            board.request("INPUT", bytes(490), network=1)
        assert board.hello().networks[0].input_bytes == 490


def test_the_stacks_high_water_mark_rises_with_what_is_used(image, tmp_path):
    extra = "volatile uint8_t deep[900]; for (int i = 0; i < 900; i++) deep[i] = 1; sums[0] = deep[9];"
    deep = image_of(tmp_path, extra=extra)
    used = []
    for elf in (image, deep):
        with session(elf) as board:
            used.append(board.clip(clips()[2], board.hello()).stack_used)
    assert 500 <= used[1] - used[0] <= 950


OVERFLOW = "volatile uint8_t deep[6000]; for (int i = 5999; i >= 0; i--) deep[i] = 1; sums[0] = deep[9];"


def test_a_stack_that_leaves_its_memory_faults(tmp_path):
    """mps2-an386 has memory below its RAM, these boards do not. The self-test runs the network first."""
    elf = image_of(tmp_path, "mps2-an505", extra=OVERFLOW)
    with pytest.raises(UserError, match="faulted: exception"), session(elf, "mps2-an505"):
        pass


@pytest.mark.parametrize(("extra", "message"), [
    ("*(volatile int *)0xf0000000u = 1;", "faulted: exception [35] at pc 0x0000"),
    (OVERFLOW, f"used its whole stack of {STACK_BYTES} bytes"),
    ("return 3;", "refused: network failed"),
    ("for (;;) {}", "said nothing for 1 s"),
])
def test_an_image_that_goes_wrong_is_a_one_line_error(extra, message, tmp_path):
    elf = image_of(tmp_path, extra=extra)
    with pytest.raises(UserError, match=message) as caught, session(elf, quiet_s=1.0) as board:
        board.clip(clips()[0], board.hello())
    assert str(elf) in str(caught.value)


@pytest.mark.parametrize(("tampered", "message"), [
    ({"extra": "sums[13] = 1;"}, None), ({"extra": "if (input[0] != 0) return 3;"}, "network 0"),
    ({"wrong": 1}, "network 0"), ({"chirp": True}, "features"), ({"wrong": 1, "chirp": True}, "network 0, features")])
def test_a_failing_self_test_is_named(tampered, message, tmp_path):
    """A network that refuses, an expected score that is off by one, and a wrong checksum of the chirp's codes."""
    features = standin.Features(standin.QUANTIZER, chirp_crc() ^ tampered.get("chirp", False))
    image = build_image(standin.write_network(tmp_path / "n", tampered.get("extra", "")),
                        standin.network(wrong=tampered.get("wrong", 0)), load_board("mps2-an386"), tmp_path / "out",
                        features)
    with session(image.elf) as board:
        if message is None:
            assert board.check(image).failures() == ()
            return
        with pytest.raises(UserError, match=f"failed its self-test at boot: {message}$"):
            board.check(image)


def test_what_is_no_image_ends_with_qemus_last_words(tmp_path):
    with pytest.raises(UserError, match="ended .*QEMU said: .*nowhere.elf"), session(tmp_path / "nowhere.elf"):
        pass


def test_an_image_that_dies_halfway_is_noticed(image):
    with session(image) as board:
        hello = board.hello()
        board.qemu.kill()
        with pytest.raises(UserError, match=r"ended \(QEMU's status -9\)"):
            board.clip(clips()[0], hello)


def test_qemu_ends_with_its_session(image):
    with session(image) as board:
        board.hello()
        folder = Path(board.folder.name)
    assert board.qemu.poll() is not None
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(board.qemu.pid, 0)


def test_a_refusal_is_named_wherever_its_enum_stands(monkeypatch, tmp_path):
    header = link.PROTOCOL.read_text().replace("enum kws_status", "enum kws_last { KWS_ODD = 2, KWS_END };\n"
                                                   "enum kws_status").replace("KWS_FAULT }", "KWS_FAULT, KWS_MORE }")
    (tmp_path / "protocol.h").write_text(header + "enum kws_other { KWS_FIRST, KWS_SECOND };\n")
    monkeypatch.setattr(link, "PROTOCOL", tmp_path / "protocol.h")
    for parser in (link.protocol, link.protocol_enums):
        monkeypatch.setattr(link, parser.__name__, parser.__wrapped__)
    assert link.Link.meaning(None, protocol()["BAD_CRC"], b"") == "refused: bad crc"
    assert link.Link.meaning(None, link.protocol()["MORE"], b"") == "refused: more"
    assert link.Link.meaning(None, 99, b"") == "refused: status 99"
