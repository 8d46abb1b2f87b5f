"""The table of boards: what is there loads; what is wrong in a board.toml is named by file and field."""

import shutil

import pytest

from datasets.console import UserError
from export.boards import BOARDS, board_names, emulated_board, load_board

EMULATED = ("m0plus-code", "mps2-an385", "mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547", "netduinoplus2")


@pytest.mark.parametrize("name", board_names())
def test_every_board_loads(name):
    board = load_board(name)
    assert board.name == name
    assert f"-mcpu={board.core}" in board.cpu_flags
    assert (board.emulator is None) == (name not in EMULATED)
    if board.emulator:  # the emulators' SysTick runs at the processor's clock, an instruction takes 1 ns
        assert board.emulator.instructions_per_tick == pytest.approx(1e9 / board.clock_hz, rel=1e-3)


def test_the_boards_of_the_design():
    assert {"nano33ble", *EMULATED} <= set(board_names())
    nano = load_board("nano33ble")
    assert (nano.region("flash").origin, nano.flash_bytes, nano.ram_bytes) == (0x10000, 0xF0000, 256 * 1024)


def test_unknown_board_lists_those_there():
    with pytest.raises(UserError, match="BOARD=nano34.*mps2-an386.*nano33ble"):
        load_board("nano34")
    with pytest.raises(UserError, match="no such board"):
        load_board("../boards/nano33ble")


def test_a_board_that_qemu_lacks_lists_the_emulated_ones():
    with pytest.raises(UserError, match="BOARD=nano33ble: QEMU.*mps2-an386"):
        emulated_board("nano33ble")


@pytest.fixture
def altered(tmp_path):
    """A copy of mps2-an386 with text replaced in its board.toml."""
    def alter(old: str, new: str):
        folder = tmp_path / "boards"
        shutil.copytree(BOARDS / "mps2-an386", folder / "mine")
        path = folder / "mine" / "board.toml"
        text = path.read_text().replace("../../transport/semihosting.c", str(BOARDS.parent / "transport/semihosting.c"))
        assert old in text
        path.write_text(text.replace(old, new, 1))
        return folder
    return alter


def test_the_altered_copy_loads_when_nothing_is_wrong(altered):
    assert load_board("mine", altered("25_000_000", "26_000_000")).clock_hz == 26_000_000


@pytest.mark.parametrize(("old", "new", "message"), [
    ("clock_hz = 25_000_000\n", "", "clock_hz is missing; allowed: a whole number"),
    ("clock_hz = 25_000_000", "clock_hz = 0", "clock_hz is 0; allowed"),
    ("clock_hz = 25_000_000", "clock_hz = 2.5e7", "clock_hz is 25000000.0; allowed: a whole number"),
    ("clock_hz = 25_000_000", "clock_hz = true", "clock_hz is True; allowed"),
    ("clock_hz = 25_000_000", "clock_hz = ", "not TOML"),
    ("pj_per_cycle = 155.0", "pj_per_cycle = -1", "pj_per_cycle is -1; allowed"),
    ('core = "cortex-m4"', 'core = "m4"', "core is 'm4'; allowed"),
    ('kind = "ram"', 'kind = "flash"', "memory has no region of kind ram|overlap"),
    ('kind = "ram"', 'kind = "rom"', r"memory\[1\].kind is 'rom'; allowed: one of flash, ram"),
    ("length = 0x400000", "length = 12", r"memory\[0\].length is 12; allowed"),
    ("origin = 0x20000000", "origin = 0x10", "ssram1 and ssram23 overlap"),
    ("semihosting.c", "nowhere.c", r"firmware.sources names \S*nowhere.c, and there is no such file"),
    ("defines = {}", 'defines = { A = "b" }', "firmware.defines.A is 'b'; allowed"),
    ("instructions_per_tick = 40", "instructions_per_tick = 0", "emulator.instructions_per_tick is 0; allowed"),
    ('channel = "semihosting"', 'channel = "telepathy"', "emulator.channel is 'telepathy'; allowed: one of"),
    ('microphone = "none"', 'microfone = "none"', "microfone is no field; allowed: title"),
])
def test_wrong_fields_are_named(altered, old, new, message):
    with pytest.raises(UserError, match=message) as caught:
        load_board("mine", altered(old, new))
    assert "board.toml" in str(caught.value)
    assert "\n" not in str(caught.value)
