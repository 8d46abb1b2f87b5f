"""make flash: the right tool with the right arguments, and nothing of another board; the tools are fakes on PATH."""

import hashlib
import json
import sys
from pathlib import Path

import pytest

from datasets.console import UserError
from export import flash, mcu
from export.boards import FLASHERS, board_names, load_board
from export.image import build_image
from export.toolchain import ARM_TOOLS, have, install_line
from tests.export import standin
from tests.export.models import Chain

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "results" / "small-energy-aware" / "model.tflite"
needs_arm_gcc = pytest.mark.skipif(not have(*ARM_TOOLS), reason=install_line("arm-none-eabi-gcc"))


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """fake(name, status): a tool that notes its arguments; fake.said: those of all calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    log = tmp_path / "log"

    def add(name: str, status: int = 0) -> Path:
        tool = folder / name
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >> {log}\n[ {status} = 0 ] || '
                        'printf "Open On-Chip Debugger 0.12.0\\nError: open failed\\n" >&2\n'
                        f"exit {status}\n")
        tool.chmod(0o755)
        return log

    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return add


def run(monkeypatch, *arguments: str) -> None:
    net = () if "--image" in arguments else ("--model", str(COMMITTED))
    monkeypatch.setattr(sys, "argv", ["flash", *net, *arguments])
    flash.main()


def exported(folder: Path, board: str) -> Path:
    """As `make export-mcu` leaves it."""
    folder.mkdir()
    image = build_image(standin.write_network(folder / "network"), standin.network(), load_board(board), folder,
                        standin.FEATURES)
    told = {"board": board, "run": "theirs", "kernels": "portable",
            "bin_sha256": hashlib.sha256(image.bin.read_bytes()).hexdigest()}
    (folder / "summary.json").write_text(json.dumps(told))
    return folder


@needs_arm_gcc
@pytest.mark.parametrize(("board", "target"), [
    ("b_l475e_iot01a", "stm32l4x"), ("stm32f4_discovery", "stm32f4x"), ("nucleo_l4r5zi", "stm32l4x")])
def test_openocd_writes_the_image_where_the_flash_begins(board, target, fake, tmp_path, monkeypatch, capsys):
    log, folder = fake("openocd"), exported(tmp_path / "image", board)
    run(monkeypatch, "--board", board, "--image", str(folder))
    assert log.read_text().strip() == (f"openocd -f interface/stlink.cfg -f target/{target}.cfg -c program "
                                       f"{{{folder / 'firmware.bin'}}} 0x8000000 verify reset exit")
    assert "summary: " in capsys.readouterr().out


@needs_arm_gcc
def test_st_flash_where_there_is_no_openocd(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(flash, "have", lambda name: name == "st-flash")
    log, folder = fake("st-flash"), exported(tmp_path / "image", "stm32f4_discovery")
    run(monkeypatch, "--board", "stm32f4_discovery", "--image", str(folder))
    assert log.read_text().strip() == f"st-flash --reset write {folder / 'firmware.bin'} 0x8000000"


def test_arduino_cli_compiles_and_uploads_the_sketch(fake, monkeypatch):
    log = fake("arduino-cli")
    run(monkeypatch, "--board", "nano33ble", "--port", "/dev/ttyACM7")
    compile_line, upload_line = log.read_text().splitlines()
    library = "build/model/nano33ble/flash/KwsSpotter"
    assert compile_line == (f"arduino-cli compile --fqbn arduino:mbed_nano:nano33ble --library {library} "
                            f"{library}/examples/KeywordSpotter")
    assert upload_line == ("arduino-cli upload --fqbn arduino:mbed_nano:nano33ble --port /dev/ttyACM7 "
                           f"{library}/examples/KeywordSpotter")


@needs_arm_gcc
def test_an_image_of_another_board_is_refused(fake, tmp_path, monkeypatch):
    log, folder = fake("openocd"), exported(tmp_path / "image", "stm32f4_discovery")
    with pytest.raises(UserError, match="its image is for stm32f4_discovery, and BOARD is b_l475e_iot01a; `make"):
        run(monkeypatch, "--board", "b_l475e_iot01a", "--image", str(folder))
    assert not log.exists()


def flip_last(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@needs_arm_gcc
def test_bytes_that_were_not_linked_are_refused(fake, tmp_path, monkeypatch):
    log, folder = fake("openocd"), exported(tmp_path / "image", "stm32f4_discovery")
    linked = (folder / "firmware.bin").read_bytes()
    for broken in (flip_last(linked), linked[:-4], linked + b"\0", b""):
        (folder / "firmware.bin").write_bytes(broken)
        with pytest.raises(UserError, match="firmware.bin: not the image that summary.json tells of"):
            run(monkeypatch, "--board", "stm32f4_discovery", "--image", str(folder))
    assert not log.exists()


@needs_arm_gcc
def test_what_export_mcu_leaves_is_taken_and_its_net_told(fake, tmp_path, monkeypatch):
    """No runs/ is needed."""
    fake("openocd")
    monkeypatch.setattr(sys, "argv", ["mcu", "--model", str(COMMITTED), "--board", "stm32f4_discovery", "--kernels",
                                      "portable", "--out", "image"])
    mcu.main()
    run(monkeypatch, "--board", "stm32f4_discovery", "--image", "image")
    told = json.loads((tmp_path / "build" / "model" / "stm32f4_discovery" / "flash" / "summary.json").read_text())
    assert (told["run"], told["kernels"], told["folder"]) == ("model", "portable", "image")


@pytest.mark.parametrize(("arguments", "message"), [
    (("--board", "nano33ble", "--image", "there"), "IMAGE=there: nano33ble is flashed with the Arduino library's sk"),
    (("--board", "stm32f4_discovery", "--port", "/dev/ttyACM0"), "PORT=/dev/ttyACM0: stm32f4_discovery is flashed by"),
    (("--board", "nano33ble", "--kernels", "cmsis-nn"), "KERNELS=cmsis-nn: allowed in an Arduino library are tuned"),
    (("--board", "stm32f4_discovery", "--image", "there", "--run", "x"), "RUN=x and IMAGE=there: name one of the two"),
    (("--board", "stm32f4_discovery", "--image", "there", "--kernels", "tuned"), "KERNELS=tuned and IMAGE=there: na")])
def test_arguments_that_would_be_passed_over_are_refused(arguments, message, fake, monkeypatch):
    logs = {fake("openocd"), fake("arduino-cli")}
    with pytest.raises(UserError, match=message):
        run(monkeypatch, *arguments)
    assert not any(log.exists() for log in logs)


@needs_arm_gcc
def test_what_cannot_listen_is_not_spoken_to(fake, tmp_path, monkeypatch, capsys):
    """A net that takes no features, and the image of one."""
    fake("openocd")
    (tmp_path / "dense.tflite").write_bytes(Chain((1, 8)).dense(4).content())
    for more in (("--model", "dense.tflite"), ("--image", str(exported(tmp_path / "image", "b_l475e_iot01a")))):
        monkeypatch.setattr(sys, "argv", ["flash", "--board", "b_l475e_iot01a", *more])
        flash.main()
        assert "next: make board-test BOARD=b_l475e_iot01a" in capsys.readouterr().out
    run(monkeypatch, "--board", "b_l475e_iot01a", "--kernels", "portable")
    assert "next: open its serial port and speak" in capsys.readouterr().out


def test_a_folder_without_an_image(fake, tmp_path, monkeypatch):
    fake("openocd")
    with pytest.raises(UserError, match="no image of `make export-mcu` in it"):
        run(monkeypatch, "--board", "stm32f4_discovery", "--image", str(tmp_path))


def test_missing_tools_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="openocd or st-flash is not installed; Debian, .*apt-get install openocd"):
        run(monkeypatch, "--board", "stm32f4_discovery")
    with pytest.raises(UserError, match="arduino-cli is not installed; .*brew install arduino-cli"):
        run(monkeypatch, "--board", "nano33ble")


@needs_arm_gcc
def test_a_tool_that_fails_is_one_line(fake, tmp_path, monkeypatch):
    fake("openocd", 1)
    folder = exported(tmp_path / "image", "stm32f4_discovery")
    with pytest.raises(UserError, match="flashing stm32f4_discovery .is its ST-LINK.*: Error: open failed"):
        run(monkeypatch, "--board", "stm32f4_discovery", "--image", str(folder))


@pytest.mark.parametrize("board", [name for name in board_names() if load_board(name).emulator])
def test_emulated_boards_are_refused_with_what_to_do(board, monkeypatch):
    with pytest.raises(UserError, match=f"BOARD={board}: there is nothing to flash.*`make emulate BOARD={board}`"):
        run(monkeypatch, "--board", board)


def test_every_board_that_is_not_emulated_has_a_flasher():
    for board in map(load_board, board_names()):
        assert (board.flasher in flash.WAYS) == (board.emulator is None)
    assert {*flash.WAYS, "none"} == set(FLASHERS)
