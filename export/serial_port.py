"""An image on a board, behind a serial port of this machine. POSIX's termios does all that is needed."""

import errno
import fcntl
import os
import select
import struct
import termios
import time
from contextlib import suppress
from pathlib import Path

from datasets.console import UserError
from export.boards import Board
from export.link import Hello, Link, protocol

QUIET_S = 30.0  # a board that says nothing for that long is taken for dead
ATTEMPTS = 5  # to be heard: a board that listens may be amid an inference, or amid a line
MOST_NOISE_BYTES = 4096  # before the answer to a first request
_CHUNK = 65536
_IFLAG, _OFLAG, _CFLAG, _LFLAG, _ISPEED, _OSPEED, _CC = range(7)  # of termios.tcgetattr
BAUD = "KWS_UART_BAUD"  # a define of board.toml


class SerialPort(Link):
    """One board; use it in a `with`. UserError wherever port or image go wrong."""

    def __init__(self, port: Path, board: Board, quiet_s: float = QUIET_S):
        self.port, self.board, self.quiet_s = Path(port), board, quiet_s

    def __enter__(self) -> "SerialPort":
        self.file = open_port(self.port, baud_of(self.board))
        return self

    def __exit__(self, *_) -> None:
        with suppress(OSError):  # it may be unplugged
            fcntl.ioctl(self.file, termios.TIOCNXCL)
        os.close(self.file)

    def hello(self) -> Hello:
        """Ask the image what it is, whatever it was about."""
        for _ in range(ATTEMPTS - 1):
            try:
                return self.knock()
            except UserError:
                continue
        return self.knock()

    def knock(self) -> Hello:
        """Be silent until the image has forgotten half a request, and then ask."""
        self.drain()
        self.send(struct.pack("<BBBBI", ord("K"), protocol()["HELLO"], 0, 0, 0))
        for _ in range(MOST_NOISE_BYTES):
            if self.receive(1, 2.0)[0] == protocol()["READY"]:
                self.send(struct.pack("<I", 0))  # the CRC of nothing
                return self.hello_of(self.reply(self.receive(1, 2.0)))
        return self.fail("says something else than its protocol; flash it with `make flash`")

    def drain(self) -> None:
        """Forget what comes for twice as long as the image waits: an emulator's clock may be the slower one."""
        end = time.monotonic() + 2e-3 * protocol()["SILENCE_MS"]
        while (left_s := end - time.monotonic()) > 0:
            if select.select([self.file], [], [], left_s)[0]:
                self.read(_CHUNK)

    def send(self, data: bytes) -> None:
        """Write all of `data`."""
        while data:
            select.select([], [self.file], [], self.quiet_s)
            try:
                data = data[os.write(self.file, data):]
            except OSError as error:
                self.fail(f"cannot be written to ({error.strerror}); was it unplugged?")

    def receive(self, count: int, quiet_s: float | None = None) -> bytes:
        """Exactly `count` bytes; gives up when nothing comes for quiet_s, by default the port's."""
        data, patience_s = b"", quiet_s or self.quiet_s
        while len(data) < count:
            if not select.select([self.file], [], [], patience_s)[0]:
                self.fail(f"said nothing for {patience_s:g} s; is it {self.board.name}, flashed with `make flash`?")
            data += self.read(count - len(data))
        return data

    def read(self, most: int) -> bytes:
        """What is there."""
        try:
            data = os.read(self.file, most)
        except OSError as error:
            self.fail(f"cannot be read ({error.strerror}); was it unplugged?")
        return data or self.fail("has gone; was it unplugged?")

    def fail(self, what: str):
        """Raise the error of an image that went wrong."""
        raise UserError(f"PORT={self.port}: the board {what}")


def baud_of(board: Board) -> int:
    """Of the board's UART. UserError where it has none."""
    if BAUD not in board.defines:
        raise UserError(f"BOARD={board.name}: has no serial line; `make emulate BOARD={board.name}` talks to it")
    return board.defines[BAUD]


def open_port(port: Path, baud: int) -> int:
    """A descriptor of the port: raw bytes, eight bits, no parity, its alone. UserError where that cannot be."""
    try:
        file = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise UserError(f"PORT={port}: {error.strerror}{_remedy(error)}") from error
    try:
        _make_raw(file, baud)
        fcntl.ioctl(file, termios.TIOCEXCL)
    except termios.error as error:
        os.close(file)
        raise UserError(f"PORT={port}: no serial port ({error.args[-1]})") from error
    return file


def _remedy(error: OSError) -> str:
    if error.errno == errno.EBUSY:
        return "; another program talks to it, end that first"
    if isinstance(error, PermissionError):
        return "; on Debian, `adduser YOU dialout` and a new login allow it"
    return "; boards are /dev/ttyACM0 or /dev/ttyUSB0, on macOS /dev/cu.usbmodem..."


def _make_raw(file: int, baud: int) -> None:
    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        raise termios.error(0, f"this machine knows no {baud} baud")
    settings = termios.tcgetattr(file)
    settings[_IFLAG] = settings[_OFLAG] = settings[_LFLAG] = 0
    settings[_CFLAG] = termios.CS8 | termios.CREAD | termios.CLOCAL
    settings[_ISPEED] = settings[_OSPEED] = speed
    settings[_CC][termios.VMIN], settings[_CC][termios.VTIME] = 1, 0
    termios.tcsetattr(file, termios.TCSANOW, settings)
    termios.tcflush(file, termios.TCIOFLUSH)
