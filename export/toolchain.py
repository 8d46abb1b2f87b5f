"""The outside tools: where they are, how they are installed, what they said when they failed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from datasets.console import UserError, run_command

# tool: packages of apt, dnf and brew
INSTALL = {
    "gcc": ("gcc libc6-dev", "gcc", "gcc"),
    "clang": ("clang", "clang", "llvm"),
    "arm-none-eabi-gcc": ("gcc-arm-none-eabi libnewlib-arm-none-eabi",
                          "arm-none-eabi-gcc-cs arm-none-eabi-newlib", "--cask gcc-arm-embedded"),
    **{f"arm-none-eabi-{tool}": ("binutils-arm-none-eabi", "arm-none-eabi-binutils-cs", "--cask gcc-arm-embedded")
       for tool in ("objcopy", "objdump", "readelf")},
    "qemu-system-arm": ("qemu-system-arm", "qemu-system-arm", "qemu"),
    "openocd": ("openocd", "openocd", "open-ocd"),
    "st-flash": ("stlink-tools", "stlink", "stlink"),
    "arduino-cli": ("arduino-cli, or arduino.cc's script where that is missing", "arduino-cli", "arduino-cli"),
}
REQUIRED = ("gcc", "arm-none-eabi-gcc", "qemu-system-arm")  # what `make setup` sees to; `make test` to clang as well
ARM_TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-objcopy")
HOST_COMPILERS = ("cc", "gcc", "clang")
LIBRARY_FLAGS = {**dict.fromkeys(HOST_COMPILERS, ()), "arm-none-eabi-gcc": ("--specs=nano.specs",)}
# Without a network, apt gives up soon.
APT = ("apt-get", "-o", "Acquire::http::Timeout=10", "-o", "Acquire::Retries=0")


def find_tool(name: str) -> Path:
    """The tool's path. UserError with the line that installs it where it is missing."""
    found = shutil.which(name)
    if found is None:
        raise UserError(f"{name} is not installed; {install_line(name)}")
    return Path(found)


def have(*names: str) -> bool:
    """Whether all these tools are installed, compilers with their C library."""
    return all(shutil.which(name) and (name not in LIBRARY_FLAGS or _finds_library(name)) for name in names)


def _finds_library(compiler: str) -> bool:
    """Whether it compiles one line: distributions pack the C library apart from the compiler."""
    command = [compiler, *LIBRARY_FLAGS[compiler], "-fsyntax-only", "-x", "c", "-"]
    try:
        return not subprocess.run(command, input=b"#include <stdint.h>\n", capture_output=True, timeout=60).returncode
    except (OSError, subprocess.SubprocessError):
        return False


def host_compiler() -> str:
    """The C compiler of this machine. UserError where there is none that works."""
    for name in HOST_COMPILERS:
        if have(name):
            return name
    raise UserError(f"no working C compiler ({', '.join(HOST_COMPILERS)}); {install_line('gcc')}")


def install_line(name: str) -> str:
    """How to install a tool, on one line."""
    apt, dnf, brew = INSTALL[name]
    return f"Debian, Ubuntu: apt-get install {apt}; Fedora: dnf install {dnf}; macOS: brew install {brew}"


def run_tool(command: list, what: str, timeout_s: float = 300.0) -> str:
    """Run a tool by the name of INSTALL in command[0]; returns its output. UserError with its first error line."""
    arguments = [str(find_tool(str(command[0]))), *map(str, command[1:])]
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, errors="replace", timeout=timeout_s,
                              env={**os.environ, "LC_ALL": "C"})
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{what}: {command[0]} did not finish within {timeout_s:.0f} s") from error
    if done.returncode != 0:
        raise UserError(f"{what}: {command[0]} failed: {first_error(done.stderr) or f'status {done.returncode}'}")
    return done.stdout


def first_error(output: str) -> str:
    """The line of a compiler's or linker's output that says most: an overflow, else the first error, else the first."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for pattern in (r"overflowed by \d+ bytes", r"(?i:\berror:)|undefined reference|^E: |ERROR: \w+Sanitizer"):
        found = [line for line in lines if re.search(pattern, line)]
        if found:
            return found[0]
    return lines[0] if lines else ""


def missing(wanted: tuple[str, ...] = REQUIRED) -> tuple[str, ...]:
    """Those of `wanted` that are not there or do not work."""
    return tuple(name for name in wanted if not have(name))


def install(names: tuple[str, ...]) -> None:
    """Install Debian's packages of these tools; needs root. UserError with apt's own words where that fails."""
    packages = sorted({package for name in names for package in INSTALL[name][0].split()})
    print(f"installing {' '.join(packages)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    for command in (("update",), ("install", "-y", "--no-install-recommends", *packages)):
        done = subprocess.run([*APT, *command], capture_output=True, text=True, env=environment,
                              stdin=subprocess.DEVNULL)
        if done.returncode:
            raise UserError(f"apt-get {command[0]} failed: {first_error(done.stderr)}")


def main(wanted: tuple[str, ...] = REQUIRED) -> None:
    """Install what is missing where this runs as root on a Debian-like system; elsewhere say how, and go on."""
    absent = missing(wanted)
    if absent and os.geteuid() == 0 and shutil.which("apt-get"):
        try:
            install(absent)
        except (UserError, OSError) as error:
            print(error, file=sys.stderr)
        absent = missing(wanted)
    for name in absent:
        print(f"{name} is not there or lacks its C library, so what needs it will be left out; {install_line(name)}",
              file=sys.stderr)


if __name__ == "__main__":
    run_command(lambda: main(tuple(sys.argv[1:]) or REQUIRED))
