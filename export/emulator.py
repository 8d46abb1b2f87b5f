"""An image running in QEMU."""

import os
import select
import subprocess
import tempfile
import time
from pathlib import Path

from datasets.console import UserError
from export.boards import Emulator
from export.link import Link, protocol
from export.toolchain import find_tool

QUIET_S = 60.0  # an image that says nothing for that long is taken for dead
_CHUNK = 65536


class Session(Link):
    """One emulated board with the image running; use it in a `with`. UserError wherever the image goes wrong."""

    def __init__(self, elf: Path, emulator: Emulator, quiet_s: float = QUIET_S):
        self.elf, self.emulator, self.quiet_s = Path(elf).resolve(), emulator, quiet_s

    def __enter__(self) -> "Session":
        qemu = find_tool("qemu-system-arm")
        self.folder = tempfile.TemporaryDirectory(prefix="kws-emulator-")
        here = Path(self.folder.name)
        pipes = [here / "kws.in", here / "kws.out"]
        for pipe in pipes:
            os.mkfifo(pipe)
        # Opened for both ways, an end never waits for its other end, nor sees an end of file when QEMU dies.
        self.to_image, self.from_image = (os.open(pipe, os.O_RDWR) for pipe in pipes)
        self.said = open(here / "qemu.log", "w+")  # noqa: SIM115 - lives as long as the process
        self.qemu = subprocess.Popen([qemu, *self.arguments()], cwd=here, stdin=subprocess.DEVNULL,
                                     stdout=self.said, stderr=self.said)
        try:
            self.await_start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def await_start(self) -> None:
        """Wait until the image greets: what is sent to a UART before it is set up is lost."""
        first = self.receive(1)
        if first == b"k":
            self.reply(first)  # of a fault in the self-test
        if first[0] != protocol()["READY"]:
            self.fail("began with something else than its greeting")

    def arguments(self) -> list[str]:
        """Of QEMU. shift=0: one instruction is one nanosecond of the emulated clocks."""
        channel = {"semihosting": ["-serial", "none", "-semihosting-config", "enable=on,target=native"],
                   "serial": ["-chardev", "pipe,id=kws,path=kws", "-serial", "chardev:kws"]}
        return ["-machine", self.emulator.machine, "-nic", "none", "-display", "none", "-monitor", "none",
                *channel[self.emulator.channel], "-icount", "shift=0", "-kernel", str(self.elf)]

    def __exit__(self, *_) -> None:
        self.qemu.kill()
        self.qemu.wait()
        for end in (self.to_image, self.from_image):
            os.close(end)
        self.said.close()
        self.folder.cleanup()

    # ------------------------------------------------------------------ bytes

    def send(self, data: bytes) -> None:
        """Write all of `data` (less than a pipe holds)."""
        os.write(self.to_image, data)

    def receive(self, count: int) -> bytes:
        """Exactly `count` bytes; gives up when QEMU ends or nothing comes for quiet_s."""
        data, deadline = b"", time.monotonic() + self.quiet_s
        while len(data) < count:
            if select.select([self.from_image], [], [], 0.2)[0]:
                data += os.read(self.from_image, min(count - len(data), _CHUNK))
                deadline = time.monotonic() + self.quiet_s
            elif self.qemu.poll() is not None:
                self.fail(f"ended (QEMU's status {self.qemu.returncode})")
            elif time.monotonic() > deadline:
                self.fail(f"said nothing for {self.quiet_s:.0f} s")
        return data

    def fail(self, what: str) -> None:
        """Raise the error of an image that went wrong, with QEMU's last words."""
        self.said.seek(0)
        words = [line.strip() for line in self.said.read().splitlines() if line.strip() and "has no peer" not in line]
        raise UserError(f"{self.elf} on {self.emulator.machine}: the image {what}"
                        + (f"; QEMU said: {words[-1]}" if words else ""))
