"""Replies of images of other code: any length ends in one line."""

import struct
import zlib

import numpy as np
import pytest

from datasets.console import UserError
from datasets.features import CLIP_SAMPLES
from export.link import Hello, Link, NetworkSizes, protocol
from export.stream_host import EVENT
from export.stream_link import stream_begin, stream_feed

HELLO = Hello("0" * 64, 2560, 0, True, 0, (NetworkSizes(490, 12, 1000),))
CLIP_BYTES = 49 * 40 + 490 + 12 + 12


class Canned(Link):
    """Takes every piece, then sends one reply."""

    def __init__(self, payload: bytes, status: str = "OK"):
        head = struct.pack("<BBHI", ord("k"), protocol()[status], 0, len(payload))
        self.told, self.bytes_sent = head + payload + struct.pack("<I", zlib.crc32(payload)), 0

    def send(self, data: bytes) -> None:
        if self.bytes_sent == 0:
            self.count = struct.unpack("<I", data[4:])[0]
        self.bytes_sent += len(data)

    def receive(self, count: int) -> bytes:
        if self.bytes_sent < 8 + self.count + 4:
            return bytes([protocol()["READY"]])
        data, self.told = self.told[:count], self.told[count:]
        return data

    def fail(self, what: str):
        raise UserError(what)


ASKED = {
    "hello": (lambda link: link.hello(), (60, 72)),
    "spin": (lambda link: link.spin(9), (4,)),
    "clip": (lambda link: link.clip(np.zeros(CLIP_SAMPLES, np.int16), HELLO), (CLIP_BYTES,)),
    "input": (lambda link: link.scores(np.zeros(490, np.int8), HELLO), (12 + 8,)),
    "begin": (stream_begin, (4,)),
    "feed": (lambda link: stream_feed(link, np.zeros(CLIP_SAMPLES, np.int16)), (28, 28 + EVENT.itemsize)),
}


@pytest.mark.parametrize("name", ASKED)
def test_replies_of_another_length_are_another_images(name):
    ask, right = ASKED[name]
    for count in right:
        ask(Canned(bytes(count)))
    wrong = {each for count in right for each in (0, count - 1, count + 1)}
    for count in sorted(wrong - set(right)):
        with pytest.raises(UserError, match="a reply of another length than this code's; it runs another image"):
            ask(Canned(bytes(count)))


def test_a_fault_is_told_in_four_words():
    with pytest.raises(UserError, match="faulted: exception 3 at pc 0x00000100"):
        Canned(struct.pack("<4I", 3, 256, 0, 0), "FAULT").spin(1)
    with pytest.raises(UserError, match="it runs another image"):
        Canned(bytes(12), "FAULT").spin(1)
