"""make board-test, whole, with the emulated F405 behind a pseudo-terminal; and a line on which anything may come."""

import errno
import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from datasets.console import UserError, run_command
from datasets.features import CLIP_SAMPLES
from datasets.wav import write_wav
from export import board_test
from export.boards import load_board
from export.emulate import Emulated
from export.emulator import Session
from export.kernels import load_kernels
from export.link import protocol
from export.mcu import Net, export_nets
from export.runs import resolve
from export.serial_port import SerialPort, open_port
from export.toolchain import have, install_line
from tests.export import standin
from tests.export.models import Chain
from tests.export.test_emulator import clips, image_of

TOOLS = ("gcc", "arm-none-eabi-gcc", "arm-none-eabi-objcopy", "qemu-system-arm")
MISSING = [install_line(tool) for tool in TOOLS if not have(tool)]
pytestmark = pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))
F405 = load_board("netduinoplus2")


class OnTerminal(Session):
    """The image in QEMU, its serial line a pseudo-terminal of this machine."""

    def arguments(self) -> list[str]:
        arguments = super().arguments()
        at = arguments.index("-chardev")
        return [*arguments[:at], "-serial", "pty", *arguments[at + 4:]]


@contextmanager
def behind_a_port(elf: Path):
    """Yields the name of the port."""
    qemu = subprocess.Popen(["qemu-system-arm", *OnTerminal(elf, F405.emulator).arguments()], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    try:
        yield next(found[1] for line in qemu.stdout if (found := re.search(r"redirected to (/dev/\S+)", line)))
    finally:
        qemu.kill()
        qemu.wait()
        qemu.stdout.close()


@pytest.fixture(scope="module")
def elf(tmp_path_factory):
    return image_of(tmp_path_factory.mktemp("image"), "netduinoplus2")


def small_model(folder: Path) -> Path:
    chain = Chain((1, 49, 10, 1)).conv(8, (10, 4), (2, 2)).mean().dense(4).softmax()
    (folder / "small.tflite").write_bytes(chain.content())
    return folder / "small.tflite"


def folder_of_clips(folder: Path) -> Path:
    rng = np.random.default_rng(4)
    for name in ("yes", "no"):
        (folder / name).mkdir(parents=True)
        write_wav(folder / name / "a.wav", rng.integers(-9000, 9000, CLIP_SAMPLES).astype(np.int16))
    return folder


@pytest.mark.emulator
def test_clips_over_a_serial_port_are_equal_to_the_byte(tmp_path, monkeypatch, capsys):
    model, clips = small_model(tmp_path), folder_of_clips(tmp_path / "clips")
    image = export_nets((Net.of(resolve(None, model)),), F405, tmp_path / "exported", load_kernels(None, None)).image
    with behind_a_port(image.elf) as port:
        monkeypatch.setattr(sys, "argv", ["board_test", "--model", str(model), "--clips", str(clips), "--port", port,
                                          "--board", "netduinoplus2", "--out", str(tmp_path / "out")])
        run_command(board_test.main)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["rows"] == summary["equal_rows"] == 2
    assert len(summary["equal_rows_of"]) == 6
    assert summary["image_sha256"] == image.identity
    assert summary["ticks_per_inference"] > 1000
    assert summary["gave_up"] == ["crystal"]
    assert "gave up waiting at start: crystal" in capsys.readouterr().out


@pytest.mark.emulator
def test_another_image_behind_the_port_is_refused(elf, tmp_path, monkeypatch):
    model, clips = small_model(tmp_path), folder_of_clips(tmp_path / "clips")
    with behind_a_port(elf) as port:
        monkeypatch.setattr(sys, "argv", ["board_test", "--model", str(model), "--clips", str(clips), "--port", port,
                                          "--board", "netduinoplus2", "--out", str(tmp_path / "out")])
        with pytest.raises(UserError, match="what runs is another image"):
            board_test.main()


@pytest.mark.emulator
def test_after_anything_on_the_line_the_next_good_request_is_understood(elf):
    """Random bytes, headers cut short, pieces cut short, a CRC that is wrong, a host that went away amid a clip."""
    rng = np.random.default_rng(1)
    clip = struct.pack("<BBBBI", ord("K"), ord("C"), 0, 0, 2 * CLIP_SAMPLES)
    garbage = [rng.integers(0, 256, 500).astype(np.uint8).tobytes(), b"K", b"KH", b"KKKKKKKKKK", clip,
               clip + bytes(639), clip + bytes(640), struct.pack("<BBBBI", ord("K"), ord("H"), 0, 0, 0) + b"nope"]
    with behind_a_port(elf) as name, SerialPort(name, F405) as port:
        port.hello()
        for each in garbage:
            port.send(each)
            hello = port.knock()
            assert hello.networks[0].input_bytes == 490
        result = port.clip(clips()[3], hello)
    np.testing.assert_array_equal(result.scores.view(np.int8), standin.scores(result.inputs))


@pytest.mark.emulator
def test_more_bytes_than_are_held_do_not_stop_the_image(elf):
    """They come while it counts: its UART's interrupt has to be held back, or nothing else would ever run again."""
    count = struct.pack("<I", 2_000_000)
    with behind_a_port(elf) as name, SerialPort(name, F405, quiet_s=10) as port:
        port.hello()
        port.send(struct.pack("<BBBBI", ord("K"), protocol()["SPIN"], 0, 0, len(count)))
        for piece in (count, struct.pack("<I", zlib.crc32(count)) + bytes(300)):
            assert port.receive(1)[0] == protocol()["READY"]
            port.send(piece)
        assert struct.unpack("<I", port.reply(port.receive(1)))[0] > 0
        assert port.knock().networks[0].input_bytes == 490


def run(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["board_test", *arguments])
    board_test.main()


@pytest.mark.parametrize(("arguments", "message"), [
    ((), "PORT is not given; boards are /dev/ttyACM0"),
    (("--port", "x"), "BOARD is not given; boards with a serial line are b_l475e_iot01a, nano33ble, netduinoplus2, n"),
    (("--port", "x", "--board", "mps2-an386"), "BOARD=mps2-an386: has no serial line; `make emulate BOARD=mps2-an386`"),
    (("--port", "x", "--board", "toaster"), "BOARD=toaster: no such board"),
])
def test_what_cannot_be_tested_is_told_first(monkeypatch, arguments, message):
    with pytest.raises(UserError, match=message):
        run(monkeypatch, *arguments)


def test_the_nano_is_told_which_image_answers(tmp_path, capsys):
    """Its flasher writes a sketch that has no protocol."""
    assert board_test.board_behind("nano33ble").name == "nano33ble"
    told = capsys.readouterr().out
    assert "the sketch of `make flash BOARD=nano33ble` does not answer; nano33ble is tested with the bare image" in told
    board_test.board_behind("stm32f4_discovery")
    assert capsys.readouterr().out == ""


def test_what_is_no_port_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="PORT=.*nowhere: No such file or directory; boards are"):
        open_port(tmp_path / "nowhere", 115200)
    with pytest.raises(UserError, match="PORT=.*file: no serial port"):
        open_port(tmp_path / "file", 115200)
    with pytest.raises(UserError, match="no serial port .this machine knows no 12345 baud"):
        open_port(tmp_path / "file", 12345)


@pytest.mark.skipif(sys.platform != "linux", reason="its number of TIOCGEXCL")
def test_a_port_is_its_alone_and_then_anyones():
    """Root may open what others may not: the kernel is asked."""
    def is_exclusive() -> bool:
        return struct.unpack("i", fcntl.ioctl(theirs, 0x80045440, bytes(4)))[0] == 1

    ours, theirs = os.openpty()
    with SerialPort(os.ttyname(theirs), F405):
        assert is_exclusive()
    assert not is_exclusive()
    os.close(theirs)
    os.close(ours)


def test_a_port_that_another_has_is_one_line(monkeypatch):
    def refuse(*_):
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr("export.serial_port.os.open", refuse)
    with pytest.raises(UserError, match="PORT=/dev/x: Device or resource busy; another program talks to it"):
        open_port("/dev/x", 115200)


def test_a_board_that_says_nothing_or_nonsense(monkeypatch):
    ours, theirs = os.openpty()
    name = os.ttyname(theirs)
    with SerialPort(name, F405, 0.2) as port:
        with pytest.raises(UserError, match="PORT=/dev/.*: the board said nothing for 0.2 s; is it netduinoplus2"):
            port.receive(1)
        monkeypatch.setattr("export.serial_port.MOST_NOISE_BYTES", 8)
        monkeypatch.setattr(SerialPort, "drain", lambda port: os.write(ours, b"some text"))
        with pytest.raises(UserError, match="says something else than its protocol; flash it"):
            port.hello()
    os.close(theirs)
    os.close(ours)


def test_a_board_that_is_unplugged():
    ours, theirs = os.openpty()
    with SerialPort(os.ttyname(theirs), F405, 1.0) as port:
        os.close(theirs)
        os.close(ours)
        with pytest.raises(UserError, match="was it unplugged"):
            port.receive(1)


@pytest.mark.parametrize(("gave_up", "clock_hz"), [((), 120e6), (("pll",), 4e6), (("microphone",), 120e6)])
def test_latency_is_that_of_the_clock_that_runs(gave_up, clock_hz):
    ticks = np.full(2, 1200)
    answers = Emulated(*[np.zeros(0)] * 3, 49 * ticks, ticks, 0)
    times = board_test.times(load_board("nucleo_l4r5zi"), answers, gave_up)
    assert times == {"ticks_per_inference": 1200, "ticks_per_frame": 1200, "latency_ms": round(1.2e6 / clock_hz, 3)}
