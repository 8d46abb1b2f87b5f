"""Images: every board's links, says what it weighs, and is refused in numbers where the board is too small."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from datasets.console import UserError
from export import image as image_module
from export.boards import board_names, load_board
from export.image import STACK_BYTES, build_image
from export.kernels import KernelSet
from export.toolchain import first_error, have, install_line, run_tool
from tests.export import standin

needs_arm_gcc = pytest.mark.skipif(not have("arm-none-eabi-gcc"), reason=install_line("arm-none-eabi-gcc"))


@pytest.fixture
def network(tmp_path):
    return standin.write_network(tmp_path / "network")


@needs_arm_gcc
@pytest.mark.parametrize("name", board_names())
def test_every_board_links_and_its_sizes_are_the_elfs(name, network, tmp_path):
    board = load_board(name)
    image = build_image(network, standin.network(), board, tmp_path / "out", standin.FEATURES)
    sizes = _sections(image.elf)
    ram = sum(sizes[section] for section in (".stack", ".arena", ".data", ".bss"))
    assert (image.ram_bytes, image.arena_bytes, image.stack_bytes) == (ram, 1024, STACK_BYTES)
    assert image.buffer_bytes == ram - 1024 - STACK_BYTES
    assert image.flash_bytes == sizes[".text"] + sizes[".ARM.exidx"] + sizes[".data"] == image.bin.stat().st_size
    assert image.hex.read_text().startswith(":")
    vectors = image.bin.read_bytes()[:8]
    stack_top, reset = (int.from_bytes(vectors[at:at + 4], "little") for at in (0, 4))
    flash, ram_region = board.region("flash"), board.region("ram")
    assert stack_top == ram_region.origin + STACK_BYTES
    assert reset & 1, "the reset vector is a Thumb address"
    assert flash.origin < reset < flash.origin + image.flash_bytes


@needs_arm_gcc
def test_the_same_bytes_twice_and_another_identity_for_another_network(network, tmp_path):
    board = load_board("nano33ble")
    first = build_image(network, standin.network(), board, tmp_path / "a", standin.FEATURES)
    second = build_image(network, standin.network(), board, tmp_path / "b", standin.FEATURES)
    assert first.bin.read_bytes() == second.bin.read_bytes()
    standin.write_network(network, "sums[0] = 1;")
    assert build_image(network, standin.network(), board, tmp_path / "a", standin.FEATURES).identity != first.identity


@needs_arm_gcc
@pytest.mark.parametrize("change", [
    lambda patch, _: patch.setattr(image_module, "STACK_BYTES", 2 * STACK_BYTES),
    lambda patch, _: patch.setattr(image_module, "_LINK", (*image_module._LINK, "-Wl,-O1")),
    lambda patch, _: patch.setattr(image_module, "run_tool", of_another_version),
    lambda _, kernels: (kernels.folder / "Include" / "Internal" / "config.h").write_text("#define LANES 8\n"),
    lambda _, kernels: (kernels.folder / "Include" / "extra.h").write_text("enum { EXTRA };\n")],
    ids=["STACK_BYTES", "_LINK", "compiler", "internal header", "header"])
def test_what_changes_the_identity(change, network, tmp_path, monkeypatch):
    """A library's headers, too; here it is an empty one."""
    kernels = KernelSet("cmsis-nn", tmp_path / "cmsis")
    (kernels.folder / "Include" / "Internal").mkdir(parents=True)
    (kernels.folder / "Include" / "Internal" / "config.h").write_text("#define LANES 4\n")
    monkeypatch.setattr(KernelSet, "library", lambda *_: None)

    def identity() -> str:
        return build_image(network, standin.network(), load_board("mps2-an386"), tmp_path / "out", standin.FEATURES,
                           kernels).identity

    before = identity()
    assert identity() == before
    change(monkeypatch, kernels)
    assert identity() != before


def of_another_version(command: list, what: str) -> str:
    """run_tool, by a compiler that calls itself another."""
    return "arm-none-eabi-gcc 99\n" if "--version" in command else run_tool(command, what)


@needs_arm_gcc
@pytest.mark.parametrize("kind", ["flash", "ram"])
def test_too_small_a_board_is_told_in_numbers(kind, network, tmp_path):
    board = load_board("mps2-an386")
    whole = build_image(network, standin.network(), board, tmp_path / "out", standin.FEATURES)
    needed = {"flash": whole.flash_bytes, "ram": whole.ram_bytes}[kind]
    regions = tuple(replace(region, length=needed - 40) if region.kind == kind else region for region in board.regions)
    with pytest.raises(UserError, match=rf"the image needs {needed} bytes of {kind}, 40 more than the {needed - 40}"):
        build_image(network, standin.network(), replace(board, regions=regions), tmp_path / "out", standin.FEATURES)


@needs_arm_gcc
def test_code_that_does_not_compile_is_named(network, tmp_path):
    (network / "network.c").write_text("int x = nothing;\n")
    with pytest.raises(UserError, match="compiling network.c: .*network.c:1:9: error: 'nothing' undeclared"):
        build_image(network, standin.network(), load_board("mps2-an386"), tmp_path / "out", standin.FEATURES)


@needs_arm_gcc
def test_no_network_and_one_of_another_shape(network, tmp_path):
    with pytest.raises(UserError, match="no network.c there; `make export-mcu` writes it"):
        build_image(tmp_path, standin.network(), load_board("mps2-an386"), tmp_path / "out", standin.FEATURES)
    with pytest.raises(UserError, match="the input of the network is not KWS_N_FRAMES rows"):
        build_image(network, standin.network(), load_board("mps2-an386"), tmp_path / "out",
                    standin.Features(standin.MfccQuantizer.of(4.0, 0, 20), None))


def test_a_missing_tool_says_how_to_install_it(network, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="arm-none-eabi-gcc is not installed; .*apt-get install gcc-arm-none-eabi.*dnf "
                                        "install.*brew install"):
        build_image(network, standin.network(), load_board("nano33ble"), tmp_path / "out", standin.FEATURES)


@pytest.mark.skipif(not have("gcc"), reason=install_line("gcc"))
def test_the_first_error_line_is_shown(tmp_path):
    (tmp_path / "x.c").write_text("int f(void) { return 1 }\nint g(void) { return y; }\n")
    with pytest.raises(UserError, match=r"here: gcc failed: .*x.c:1:\d+: error: expected"):
        run_tool(["gcc", "-c", tmp_path / "x.c", "-o", tmp_path / "x.o"], "here")
    assert first_error("note\nfoo: warning: w\nbar: error: e\n") == "bar: error: e"


def _sections(elf: Path) -> dict[str, int]:
    listed = subprocess.run(["arm-none-eabi-size", "-A", elf], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) == 3 and row[0].startswith(".")}
