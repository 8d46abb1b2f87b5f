"""The outside tools: where they are, how they are installed, what they said when they failed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from datasets.console import UserError

# tool: packages of apt, dnf and brew
INSTALL = {
    "gcc": ("gcc libc6-dev", "gcc", "gcc"),
    "clang": ("clang", "clang", "llvm"),
    "arm-none-eabi-gcc": ("gcc-arm-none-eabi libnewlib-arm-none-eabi",
                          "arm-none-eabi-gcc-cs arm-none-eabi-newlib", "--cask gcc-arm-embedded"),
    "arm-none-eabi-objcopy": ("binutils-arm-none-eabi", "arm-none-eabi-binutils-cs", "--cask gcc-arm-embedded"),
    "qemu-system-arm": ("qemu-system-arm", "qemu-system-arm", "qemu"),
}


def find_tool(name: str) -> Path:
    """The tool's path. UserError with the line that installs it where it is missing."""
    found = shutil.which(name)
    if found is None:
        raise UserError(f"{name} is not installed; {install_line(name)}")
    return Path(found)


def have(*names: str) -> bool:
    """Whether all these tools are installed."""
    return all(shutil.which(name) for name in names)


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
    for pattern in (r"overflowed by \d+ bytes", r"\berror:|undefined reference"):
        found = [line for line in lines if re.search(pattern, line)]
        if found:
            return found[0]
    return lines[0] if lines else ""
