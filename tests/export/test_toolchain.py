"""What set-up installs: a compiler without its C library counts as missing, and no failure is the end of set-up."""

import re
import subprocess
from pathlib import Path

import pytest

from datasets.console import UserError, run_command
from export import toolchain
from export.toolchain import APT, HOST_COMPILERS, INSTALL, REQUIRED, first_error, have, host_compiler, install, missing


class Machine:
    """A machine with these tools; those of `bare` lack their C library. apt: failing subcommand -> its stderr."""

    def __init__(self, monkeypatch, tools=(), bare=(), apt=None, root=True):
        self.tools, self.bare, self.apt, self.calls = set(tools), set(bare), apt or {}, []
        monkeypatch.setattr(toolchain.shutil, "which", lambda name: f"/bin/{name}" if name in self.tools else None)
        monkeypatch.setattr(toolchain.subprocess, "run", self.run)
        monkeypatch.setattr(toolchain.os, "geteuid", lambda: 0 if root else 1000)

    def run(self, command, input=b"", **_):
        if command[0] != "apt-get":
            assert b"stdint.h" in input
            return subprocess.CompletedProcess(command, int(command[0] in self.bare))
        self.calls.append(command)
        step = command[len(APT)]
        if step == "install" and step not in self.apt:
            self.tools, self.bare = self.tools | set(REQUIRED), set()
        return subprocess.CompletedProcess(command, int(step in self.apt), "", self.apt.get(step, ""))


def installed(machine: Machine) -> list[str]:
    return [word for call in machine.calls if "install" in call for word in call[call.index("install") + 3:]]


def test_everything_there_is_nothing_to_do(monkeypatch, capsys):
    machine = Machine(monkeypatch, {*REQUIRED, "apt-get"})
    run_command(toolchain.main)
    assert machine.calls == []
    assert capsys.readouterr() == ("", "")


def test_what_is_missing_is_installed_and_clang_is_not(monkeypatch, capsys):
    machine = Machine(monkeypatch, {"gcc", "apt-get"})
    assert missing() == ("arm-none-eabi-gcc", "qemu-system-arm")
    run_command(toolchain.main)
    assert installed(machine) == ["gcc-arm-none-eabi", "libnewlib-arm-none-eabi", "qemu-system-arm"]
    assert capsys.readouterr().err == ""
    for call in machine.calls:  # without a network apt must not hang
        assert "Acquire::http::Timeout=10" in call
        assert "Acquire::Retries=0" in call


def test_clang_is_installed_where_it_is_asked_for(monkeypatch, capsys):
    """As `make test` does."""
    machine = Machine(monkeypatch, {*REQUIRED, "apt-get"})
    toolchain.main(("clang",))
    assert installed(machine) == ["clang"]
    assert capsys.readouterr().err.startswith("clang is not there")
    target = (Path(toolchain.__file__).parents[1] / "Makefile").read_text().split("\ntest-tools:")[1]
    assert "export.toolchain clang" in target.split("\n\n")[0]


@pytest.mark.parametrize(("compiler", "package"), [("gcc", "libc6-dev"), ("arm-none-eabi-gcc",
                                                                          "libnewlib-arm-none-eabi")])
def test_a_compiler_without_its_library_is_missing(monkeypatch, compiler, package):
    machine = Machine(monkeypatch, {*REQUIRED, "apt-get"}, bare={compiler})
    assert missing() == (compiler,)
    run_command(toolchain.main)
    assert package in installed(machine)
    assert missing() == ()


@pytest.mark.parametrize("step", ["update", "install"])
def test_apts_failure_is_told_and_set_up_goes_on(monkeypatch, capsys, step):
    Machine(monkeypatch, {"gcc", "apt-get"}, apt={step: "W: Failed to fetch x\nE: Unable to locate package y\n"})
    toolchain.main()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"apt-get {step} failed: E: Unable to locate package y"
    assert [line.split()[0] for line in lines[1:]] == ["arm-none-eabi-gcc", "qemu-system-arm"]
    assert all("apt-get install" in line and "left out" in line for line in lines[1:])


@pytest.mark.parametrize(("root", "tools"), [(False, {"apt-get"}), (True, set())])
def test_without_root_or_apt_one_line_a_tool(monkeypatch, capsys, root, tools):
    machine = Machine(monkeypatch, tools, root=root)
    toolchain.main()
    assert machine.calls == []
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == list(REQUIRED)


def test_the_host_compiler_is_the_first_that_works(monkeypatch):
    Machine(monkeypatch, HOST_COMPILERS, bare={"cc"})
    assert host_compiler() == "gcc"
    Machine(monkeypatch, {"cc"}, bare={"cc"})
    with pytest.raises(UserError, match="no working C compiler .*apt-get install gcc libc6-dev"):
        host_compiler()


@pytest.mark.parametrize("compiler", ["gcc", "arm-none-eabi-gcc"])
def test_real_compilers_are_probed(monkeypatch, tmp_path, compiler):
    """The real thing, then one that cannot find its headers, then one that is no program."""
    if not have(compiler):
        pytest.skip(toolchain.install_line(compiler))
    monkeypatch.setitem(toolchain.LIBRARY_FLAGS, compiler, ("-nostdinc",))
    assert not have(compiler)
    (tmp_path / compiler).write_bytes(b"\0")
    (tmp_path / compiler).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not have(compiler)


def test_every_tool_that_set_up_sees_to_says_how():
    assert set(REQUIRED) <= set(INSTALL)
    assert first_error("W: a\nE: b") == "E: b"


def test_apt_asks_nothing(monkeypatch):
    environments = []
    monkeypatch.setattr(toolchain.subprocess, "run", lambda command, env, stdin, **_: (
        environments.append((env["DEBIAN_FRONTEND"], stdin)), subprocess.CompletedProcess(command, 0))[1])
    install(("gcc",))
    assert environments == [("noninteractive", subprocess.DEVNULL)] * 2


def test_every_tool_that_the_exporter_runs_can_be_installed():
    """A tool without its line would end in a KeyError where it is missing."""
    named = set()
    for path in Path(toolchain.__file__).parent.glob("*.py"):
        named |= set(re.findall(r'"(arm-none-eabi-\w+|qemu-system-arm|clang|gcc)"', path.read_text()))
    assert {"arm-none-eabi-objdump", "arm-none-eabi-readelf"} <= named <= set(INSTALL)
