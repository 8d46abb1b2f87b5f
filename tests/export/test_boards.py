"""The table of boards: what is there loads; what is wrong in a board.toml is named by file and field."""

import re
import shutil
import struct
from dataclasses import fields
from pathlib import Path

import pytest
from unicorn import UC_HOOK_MEM_READ, UC_HOOK_MEM_WRITE

from datasets.console import UserError
from export.boards import BOARDS, board_names, emulated_board, load_board
from export.counter import Machine
from export.image import build_image
from export.serial_port import BAUD
from export.toolchain import have, install_line
from tests.export import standin

SILICON = ("b_l475e_iot01a", "nucleo_l4r5zi", "stm32f4_discovery")
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
    assert {"nano33ble", *SILICON, *EMULATED} == set(board_names())
    nano = load_board("nano33ble")
    assert (nano.region("flash").origin, nano.flash_bytes, nano.ram_bytes) == (0x10000, 0xF0000, 256 * 1024)
    assert nano.region("flash").offset == 0x10000


@pytest.mark.parametrize("name", board_names())
def test_each_figure_has_a_source_and_what_is_no_fact_is_marked(name):
    board = load_board(name)
    parts = [part for part in (board, board.power, board.emulator, *board.regions) if part]
    said = {field.name: getattr(part, field.name) for part in parts for field in fields(part) if "source" in field.name}
    texts = {field: text for field, text in said.items() if field != "sources"}
    assert {"clock_hz_source", "wait_states_source", "pj_per_cycle_source", "sleep_uw_source", "capture_uw_source",
            "microphone_uw_source", "supply_v_source", "source"} <= set(texts)
    assert all(len(text.split()) > 3 and "\n" not in text and "  " not in text for text in texts.values())
    assert any(mark in board.power.pj_per_cycle_source for mark in ("stand-in", "unmeasured"))
    assert (board.power.microphone_uw > 0) == (board.power.capture_uw > 0) == (board.microphone != "none")
    assert (board.power.sleep_uw is None) == (name != "nano33ble")


def test_the_nano_s_energy_says_what_it_rests_on():
    power = load_board("nano33ble").power
    assert "DC/DC" in power.pj_per_cycle_source
    assert "start-up (board.c) leaves off" in power.pj_per_cycle_source
    assert power.sleep_uw < power.capture_uw


@pytest.mark.skipif(not have("arm-none-eabi-gcc"), reason=install_line("arm-none-eabi-gcc"))
def test_the_nano_turns_on_the_cache_that_hides_its_wait_states(tmp_path):
    board = load_board("nano33ble")
    assert board.wait_states == 0
    network = standin.write_network(tmp_path / "network")
    machine = Machine(build_image(network, standin.network(), board, tmp_path, standin.FEATURES), board)
    for peripherals in (0x40000000, 0xE0000000):
        machine.uc.mem_map(peripherals, 0x100000)
    machine.call("kws_board_init")
    assert struct.unpack("<I", machine.uc.mem_read(0x4001E540, 4)) == (1,)  # NVMC.ICACHECNF: CACHEEN


def started(name: str, folder: Path, ready: dict[int, int]) -> tuple[Machine, dict[int, int]]:
    """kws_board_init of a board's image, on registers that keep what is written, with the bits of `ready` always set;
    and what was written last, by address."""
    board, written = load_board(name), {}
    network = standin.write_network(folder / "network")
    machine = Machine(build_image(network, standin.network(), board, folder, standin.FEATURES), board)
    for peripherals in (0x40000000, 0x48000000, 0x50000000, 0xE0000000):
        machine.uc.mem_map(peripherals, 0x100000)

    def answer(uc, _, address, *__):
        held = struct.unpack("<I", uc.mem_read(address, 4))[0]
        uc.mem_write(address, struct.pack("<I", held | ready[address]))

    for address in ready:
        machine.uc.hook_add(UC_HOOK_MEM_READ, answer, begin=address, end=address + 3)
    machine.uc.hook_add(UC_HOOK_MEM_WRITE, lambda _, __, address, ___, value, ____: written.update({address: value}),
                        begin=0x40000000, end=0x5FFFFFFF)
    machine.call("kws_board_init")
    return machine, written


def word(machine: Machine, symbol: str) -> int:
    return struct.unpack("<I", machine.uc.mem_read(machine.program.symbol(symbol).address, 4))[0]


F4_CR, F4_PLLCFGR, F4_CFGR, F4_ACR = 0x40023800, 0x40023804, 0x40023808, 0x40023C00
L4_CR, L4_CFGR, L4_PLLCFGR, L4_ACR = 0x40021000, 0x40021008, 0x4002100C, 0x40022000
F4_READY, L4_READY = {F4_CR: 1 << 17 | 1 << 25, F4_CFGR: 2 << 2}, {L4_CR: 1 << 25, L4_CFGR: 3 << 2}
needs_arm_gcc = pytest.mark.skipif(not have("arm-none-eabi-gcc"), reason=install_line("arm-none-eabi-gcc"))


@needs_arm_gcc
@pytest.mark.parametrize(("name", "slow_hz"), [
    ("stm32f4_discovery", 16_000_000), ("netduinoplus2", 16_000_000), ("b_l475e_iot01a", 4_000_000),
    ("nucleo_l4r5zi", 4_000_000)])
def test_a_clock_that_never_comes_ends_the_wait_and_is_told(name, slow_hz, tmp_path):
    """And the UART is told of the slow clock."""
    machine, _ = started(name, tmp_path, {})
    assert word(machine, "kws_gave_up") in (1 << 0, 1 << 1)  # crystal or PLL
    assert word(machine, "kws_uart_clock_hz") == slow_hz


@needs_arm_gcc
@pytest.mark.parametrize(("missing", "bits"), [(F4_CR, 1 << 0), (F4_CFGR, 1 << 2)])
def test_each_wait_that_fails_alone_leaves_the_internal_oscillator(missing, bits, tmp_path):
    ready = {address: mask for address, mask in F4_READY.items() if address != missing}
    machine, written = started("netduinoplus2", tmp_path, ready)
    assert word(machine, "kws_gave_up") == bits
    assert word(machine, "kws_uart_clock_hz") == 16_000_000
    assert written.get(F4_CFGR, 0) == 0


@needs_arm_gcc
@pytest.mark.parametrize(("name", "ready", "uart_hz", "registers"), [
    # 8 MHz / 8 x 336 / 2; five wait states
    ("stm32f4_discovery", F4_READY, 42_000_000, {F4_PLLCFGR: (0x7FFF, 8 | 336 << 6), F4_ACR: (7, 5)}),
    ("netduinoplus2", F4_READY, 84_000_000, {F4_PLLCFGR: (0x7FFF, 25 | 336 << 6), F4_CFGR: (3, 2)}),
    # 4 MHz x 40 / 2 and x 60 / 2; four and five wait states; at last undivided
    ("b_l475e_iot01a", L4_READY, 80_000_000, {L4_PLLCFGR: (0x7F00, 40 << 8), L4_ACR: (15, 4), L4_CFGR: (0xF3, 3)}),
    # IOSV: the supply of port G
    ("nucleo_l4r5zi", L4_READY, 120_000_000, {L4_PLLCFGR: (0x7F00, 60 << 8), L4_ACR: (15, 5), 0x40007004: (512, 512)}),
])
def test_clocks_as_board_toml_says(name, ready, uart_hz, registers, tmp_path):
    machine, written = started(name, tmp_path, ready)
    assert word(machine, "kws_gave_up") == 0
    assert word(machine, "kws_uart_clock_hz") == uart_hz
    order = [address for address in written if address in (F4_ACR, F4_CFGR, L4_ACR, L4_CFGR)]
    assert order in ([F4_ACR, F4_CFGR], [L4_ACR, L4_CFGR])  # wait states first
    for address, (mask, value) in registers.items():
        assert written[address] & mask == value, hex(address)


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
    """A copy of a board, of mps2-an386 unless named, with text replaced in its board.toml."""
    def alter(old: str, new: str, board: str = "mps2-an386"):
        folder = tmp_path / "boards"
        shutil.copytree(BOARDS / board, folder / "mine")
        path = folder / "mine" / "board.toml"
        text = path.read_text().replace("../../transport", str(BOARDS.parent / "transport"))
        assert old in text
        path.write_text(text.replace(old, new, 1))
        return folder
    return alter


def test_the_altered_copy_loads_when_nothing_is_wrong(altered):
    assert load_board("mine", altered("25_000_000", "26_000_000")).clock_hz == 26_000_000


def test_a_board_may_leave_the_offset_out(altered):
    folder = altered("offset = 0x10000", "", "nano33ble")
    assert (load_board("mine", folder).region("flash").origin, load_board("mine", folder).flash_bytes) == (0, 1 << 20)


def test_wait_states_are_taken_as_they_are(altered):
    assert load_board("mine", altered("wait_states = 0", "wait_states = 4")).wait_states == 4


FIGURES = ("clock_hz", "wait_states", "pj_per_cycle", "capture_uw", "microphone_uw", "supply_v",
           "instructions_per_tick")
FIELDS = (*FIGURES, *(f"{figure}_source" for figure in FIGURES), "sleep_uw_source", "title", "core", "cpu_flags",
          "microphone", "flasher", "name", "kind", "origin", "length", "source", "sources", "defines", "machine",
          "channel")


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(("line", "message"), [
    ("", "{0} is missing; allowed: "), ("{0} = {{ a = 1 }}\n", r"{0} is {{'a': 1}}; allowed: ")])
def test_a_field_that_is_missing_or_of_another_type_is_named(altered, field, line, message):
    if field == "defines" and line:
        line, message = "defines = 1\n", "defines is 1; allowed: a table"
    text = (BOARDS / "mps2-an386" / "board.toml").read_text()
    old = next(each for each in text.splitlines(keepends=True) if each.startswith(f"{field} = "))
    if old.endswith('"""\\\n'):
        old = text[text.index(old):text.index('"""\n', text.index(old) + len(old)) + 4]
    old = old.replace("../../transport", str(BOARDS.parent / "transport"))
    with pytest.raises(UserError, match=message.format(field)) as caught:
        load_board("mine", altered(old, line.format(field)))
    assert "board.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("old", "new", "message"), [
    ("clock_hz = 25_000_000", "clock_hz = 0", "clock_hz is 0; allowed: a whole number from 1000000 to"),
    ("clock_hz = 25_000_000", "clock_hz = 2.5e7", "clock_hz is 25000000.0; allowed: a whole number"),
    ("clock_hz = 25_000_000", "clock_hz = true", "clock_hz is True; allowed"),
    ("clock_hz = 25_000_000", "clock_hz = ", "not TOML"),
    ("wait_states = 0", "wait_states = 16", "wait_states is 16; allowed: a whole number from 0 to 15"),
    ("wait_states = 0", "wait_states = -1", "wait_states is -1; allowed"),
    ("wait_states = 0", "wait_states = 0.5", "wait_states is 0.5; allowed: a whole number"),
    ("pj_per_cycle = 155.0", "pj_per_cycle = -1", "power.pj_per_cycle is -1; allowed: a number from 1 to 10000"),
    ("pj_per_cycle = 155.0", "pj_per_cycle = 155000", "power.pj_per_cycle is 155000; allowed"),
    ("pj_per_cycle = 155.0", "pj_per_cycle = nan", "power.pj_per_cycle is nan; allowed"),
    ("sleep_uw_source =", "sleep_uw = 0\nsleep_uw_source =",
     "power.sleep_uw is 0; allowed: no figure where its source begins with 'unmeasured'"),
    ("capture_uw = 0.0", "capture_uw = 1", "power.capture_uw is 1; allowed: .* 0 to 0: the board has no microphone"),
    ("microphone_uw = 0.0", "microphone_uw = 1", "power.microphone_uw is 1; allowed: .* 0 to 0: the board has no"),
    ("supply_v = 3.3", "supply_v = 230", "power.supply_v is 230; allowed: a number from 0.8 to 6"),
    ("[power]", "[[power]]", r"power is \[.*; allowed: a table"),
    ("[power]", "[power]\nsleep_mw = 1", "power.sleep_mw is no field; allowed: pj_per_cycle, "),
    ('_source = "QEMU', '_source = " " # "', "clock_hz_source is ' '; allowed: a sentence that says where"),
    ('core = "cortex-m4"', 'core = "m4"', "core is 'm4'; allowed: one of cortex-m0, .*cortex-m4, "),
    ('core = "cortex-m4"', 'core = "cortex-m3"', "cpu_flags is .*; allowed: a list of texts with -mcpu=cortex-m3"),
    ('"-mcpu=cortex-m4", ', "4, ", "cpu_flags is .*; allowed: a list of texts with -mcpu=cortex-m4"),
    ('kind = "ram"', 'kind = "flash"', "memory has no region of kind ram|overlap"),
    ('kind = "ram"', 'kind = "rom"', r"memory\[1\].kind is 'rom'; allowed: one of flash, ram"),
    ('name = "ssram1"', 'name = "1"', r"memory\[0\].name is '1'; allowed: a word"),
    ("length = 0x400000", "length = 12", r"memory\[0\].length is 12; allowed"),
    ("length = 0x400000", "length = 0x400000\noffset = 0x3FFD00",
     r"memory\[0\].offset is 4193536; allowed: a whole number from 0 to 4193280"),
    ("length = 0x400000", "length = 0x400000\noffset = -4", r"memory\[0\].offset is -4; allowed"),
    ("origin = 0x20000000", "origin = 0x10", "ssram1 and ssram23 overlap"),
    ("origin = 0x20000000", "origin = 0x20000004", r"memory\[1\].origin is 536870916; allowed: .*, a multiple of 8$"),
    ("origin = 0x00000000", "origin = 0x100", r"memory\[0\].origin is 256; allowed: .*, a multiple of 512$"),
    ("length = 0x400000", "length = 0x400000\noffset = 0x100",
     r"memory\[0\].offset is 256; allowed: .*, a multiple of 512$"),
    ('name = "ssram23"', 'name = "ssram1"', "memory has 2 regions ssram1; allowed: each name once"),
    ("semihosting.c", r"semi\u0000hosting.c", r"firmware.sources is .*semi\\x00.*; allowed: .*, no control characters"),
    ('title = "Arm', r'title = "Arm\n', r"title is 'Arm\\n.*; allowed: a text, no control characters"),
    ("origin = 0x20000000", "origin = 0xFFC00001", r"memory\[1\].origin is 4290772993; allowed: .* to 4290772992"),
    ("semihosting.c", "nowhere.c", r"firmware.sources names \S*nowhere.c, and there is no such file"),
    ("defines = {}", 'defines = { A = "b" }', "firmware.defines.A is 'b'; allowed"),
    ("instructions_per_tick = 40", "instructions_per_tick = 0", "emulator.instructions_per_tick is 0; allowed"),
    ('channel = "semihosting"', 'channel = "telepathy"', "emulator.channel is 'telepathy'; allowed: one of"),
    ("[emulator]", "[emulator]\nspeed = 1", "emulator.speed is no field; allowed: machine, "),
    ('microphone = "none"', 'microphone = "ear"', "microphone is 'ear'; allowed: one of none, pdm, dfsdm"),
    ('flasher = "none"', 'flasher = "dd"', "flasher is 'dd'; allowed: one of none, arduino-cli, openocd .stm32f4x. or"),
    ('microphone = "none"', 'microfone = "none"', "microfone is no field; allowed: title"),
])
def test_wrong_fields_are_named(altered, old, new, message):
    with pytest.raises(UserError, match=message) as caught:
        load_board("mine", altered(old, new))
    assert "board.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("new", "message"), [
    ("sleep_uw = 9921", "sleep_uw is 9921; allowed: .* 0 to 9920, what the core draws awake"),
    ("sleep_uw = -1", "sleep_uw is -1; allowed"), ("sleep_uw = {}", "sleep_uw is {}; allowed"),
    ("", "sleep_uw is missing; allowed: .*, or no such field and a source that begins with 'unmeasured'")])
def test_power_asleep_is_between_nothing_and_awake_or_unmeasured(altered, new, message):
    with pytest.raises(UserError, match=f"power.{message}"):
        load_board("mine", altered("sleep_uw = 13.2", new, "nano33ble"))


def test_memory_that_is_no_table(altered):
    text = (BOARDS / "mps2-an386" / "board.toml").read_text()
    memory = text[text.index("[[memory]]"):text.index("[firmware]")]
    folder = altered(memory, "")
    path = folder / "mine" / "board.toml"
    path.write_text("memory = [1]\n" + path.read_text())
    with pytest.raises(UserError, match=r"memory is \[1\]; allowed: tables \[\[memory\]\]"):
        load_board("mine", folder)


@pytest.mark.parametrize(("old", "new"), [
    ("origin = 0x20000000\nlength = 0x40000", "origin = 0x8000\nlength = 0x1000"),
    ("origin = 0x00000000", "origin = 0x2003F000")], ids=["inside", "its beginning"])
def test_a_boot_loader_s_memory_is_not_free_for_another_region(altered, old, new):
    """What lies before the offset counts as taken."""
    with pytest.raises(UserError, match="memory .* overlap; allowed: none in common"):
        load_board("mine", altered(old, new, "nano33ble"))


def test_the_document_tells_the_bauds_there_are():
    text = (BOARDS.parents[1] / "docs" / "firmware.md").read_text()
    told = re.findall(r"^\| `(\w+)`[^|]*\|.*\| ([\d,]+) \|$", text, re.MULTILINE)
    boards = [load_board(name) for name in board_names()]
    assert {name: int(baud.replace(",", "")) for name, baud in told} == {
        board.name: board.defines[BAUD] for board in boards if BAUD in board.defines}
