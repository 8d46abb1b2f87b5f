"""The host's side of the protocol of firmware/app/kws_protocol.h, over whatever carries its bytes."""

import re
import struct
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from datasets.console import UserError
from datasets.features import CLIP_SAMPLES, N_FRAMES, N_MELS
from export.image import Image
from export.self_test import FEATURES_FAILED

PROTOCOL = Path(__file__).resolve().parent.parent / "firmware" / "app" / "kws_protocol.h"
CORE = PROTOCOL.with_name("kws_core.h")
OTHER_IMAGE = "sent a reply of another length than this code's; it runs another image: build and load it again"


@cache
def protocol() -> dict[str, int]:
    """The enumerators of kws_protocol.h without their KWS_."""
    return {name: value for numbers in protocol_enums().values() for name, value in numbers.items()}


@cache
def protocol_enums() -> dict[str, dict[str, int]]:
    """kws_protocol.h's enumerators by their enum's name, that of constants being ""."""
    return enums_of(PROTOCOL)


def enums_of(header: Path) -> dict[str, dict[str, int]]:
    """Enumerators of a header without their KWS_, by their enum's name."""
    return {name: _enumerators(re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL))
            for name, body in re.findall(r"enum (\w*)\s*\{(.*?)\};", header.read_text(), re.DOTALL)}


def _enumerators(body: str) -> dict[str, int]:
    numbers, following = {}, 0
    for name, value in re.findall(r"KWS_(\w+)(?:\s*=\s*('.'|\d+))?", body):
        numbers[name] = (ord(value[1]) if value[:1] == "'" else int(value)) if value else following
        following = numbers[name] + 1
    return numbers


@dataclass(frozen=True)
class NetworkSizes:
    """Of one network in the image."""

    input_bytes: int
    output_bytes: int
    arena_bytes: int


@dataclass(frozen=True)
class Hello:
    """What the image says of itself.

    identity: export.image.Image.identity. self_test: what failed at boot, as kws_self_test.h has it; 0: nothing.
    features: whether they are linked. gave_up: waits of start-up that did, by enum kws_wait's bits. networks: in the
    order in which requests name them.
    """

    identity: str
    stack_bytes: int
    self_test: int
    features: bool
    gave_up: int
    networks: tuple[NetworkSizes, ...]

    @classmethod
    def of(cls, answer: bytes) -> "Hello":
        """Out of the reply. struct.error where it is none of ours."""
        stack_bytes, self_test, features, gave_up = struct.unpack_from("<4I", answer, 32)
        networks = tuple(NetworkSizes(*sizes) for sizes in struct.iter_unpack("<3I", answer[48:]))
        return cls(answer[:32].hex(), stack_bytes, self_test, bool(features), gave_up, networks)

    def failures(self) -> tuple[str, ...]:
        """The parts of the self-test that failed."""
        parts = [(i, f"network {i}") for i in range(len(self.networks))] + [(FEATURES_FAILED, "features")]
        return tuple(name for bit, name in parts if self.self_test >> bit & 1)

    def waits_given_up(self) -> tuple[str, ...]:
        """What did not come in time at start-up, "crystal", "pll", ...; the image goes on without."""
        waits = enums_of(CORE)["kws_wait"]
        return tuple(name.removeprefix("WAIT_").lower() for name, bit in waits.items() if self.gave_up >> bit & 1)


@dataclass(frozen=True)
class ClipResult:
    """What the image made of one clip.

    codes: uint8 [49, 40]. inputs: int8 [49, coefficients]. scores: uint8, the bytes of the output.
    feature_ticks (all frames together), inference_ticks: of SysTick. stack_used: bytes, since reset.
    """

    codes: np.ndarray
    inputs: np.ndarray
    scores: np.ndarray
    feature_ticks: int
    inference_ticks: int
    stack_used: int


class Link(ABC):
    """An image that can be talked to. UserError wherever it goes wrong."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Write all of `data` (at most a piece)."""

    @abstractmethod
    def receive(self, count: int) -> bytes:
        """Exactly `count` bytes."""

    @abstractmethod
    def fail(self, what: str) -> None:
        """Raise the error of an image that went wrong: it `what`."""

    # ------------------------------------------------------------------ commands

    def hello(self) -> Hello:
        """Ask the image what it is."""
        return self.hello_of(self.request("HELLO", b""))

    def hello_of(self, answer: bytes) -> Hello:
        """Out of the reply; of an image of other code it may have any length."""
        try:
            return Hello.of(answer)
        except struct.error:
            return self.fail(OTHER_IMAGE)

    def check(self, image: Image) -> Hello:
        """hello(), where it comes from `image` and the self-test found nothing wrong."""
        hello = check_identity(self.hello(), image)
        if hello.self_test:
            self.fail(f"failed its self-test at boot: {', '.join(hello.failures()) or hex(hello.self_test)}")
        return hello

    def spin(self, count: int) -> int:
        """Ticks that 2 * count instructions take."""
        return self.unpack("<I", self.request("SPIN", struct.pack("<I", count)))[0]

    def clip(self, waveform: np.ndarray, hello: Hello) -> ClipResult:
        """Features and the first network's scores of one clip, int16 [16000]."""
        samples = np.ascontiguousarray(waveform, "<i2").reshape(CLIP_SAMPLES)
        sizes = hello.networks[0]
        layout = f"<{N_FRAMES * N_MELS}s{sizes.input_bytes}s{sizes.output_bytes}s3I"
        codes, inputs, scores, *facts = self.unpack(layout, self.request("CLIP", samples.tobytes()))
        result = ClipResult(np.frombuffer(codes, np.uint8).reshape(N_FRAMES, N_MELS),
                            np.frombuffer(inputs, np.int8).reshape(N_FRAMES, -1),
                            np.frombuffer(scores, np.uint8), *facts)
        self.check_stack(result.stack_used, hello)
        return result

    def scores(self, inputs: np.ndarray, hello: Hello, network: int = 0) -> tuple[np.ndarray, int]:
        """The output's bytes, uint8, of one input of a network, int8 or uint8 of any shape, and the ticks it took."""
        answer = self.request("INPUT", np.ascontiguousarray(inputs).tobytes(), network)
        scores, ticks, stack_used = self.unpack(f"<{hello.networks[network].output_bytes}s2I", answer)
        self.check_stack(stack_used, hello)
        return np.frombuffer(scores, np.uint8), ticks

    def check_stack(self, used: int, hello: Hello) -> None:
        """An image that used all of its stack has used more."""
        if used >= hello.stack_bytes:
            self.fail(f"used its whole stack of {hello.stack_bytes} bytes; STACK_BYTES of export/image.py is too small")

    # ------------------------------------------------------------------ bytes

    def unpack(self, layout: str, data: bytes) -> tuple:
        """Of exactly the layout's length."""
        if struct.calcsize(layout) != len(data):
            self.fail(OTHER_IMAGE)
        return struct.unpack(layout, data)

    def request(self, command: str, payload: bytes, network: int = 0) -> bytes:
        """One exchange; returns the reply's payload."""
        self.send(struct.pack("<BBBBI", ord("K"), protocol()[command], network, 0, len(payload)))
        step = protocol()["PIECE_BYTES"]
        pieces = [payload[at:at + step] for at in range(0, len(payload), step)]
        for piece in (*pieces, struct.pack("<I", zlib.crc32(payload))):
            first = self.receive(1)
            if first[0] != protocol()["READY"]:
                return self.reply(first)
            self.send(piece)
        return self.reply(self.receive(1))

    def reply(self, first: bytes) -> bytes:
        """The rest of a reply that began with `first`."""
        mark, status, _, count = struct.unpack("<BBHI", first + self.receive(7))
        if mark != ord("k") or count > 1 << 20:
            self.fail("sent what is no reply")
        payload = self.receive(count)
        if struct.unpack("<I", self.receive(4))[0] != zlib.crc32(payload):
            self.fail("sent a reply whose CRC is wrong")
        if status != protocol()["OK"]:
            self.fail(self.meaning(status, payload))
        return payload

    def meaning(self, status: int, payload: bytes) -> str:
        """Of a status that is not OK."""
        if status == protocol()["FAULT"]:
            exception, pc, lr, cfsr = self.unpack("<4I", payload)
            return f"faulted: exception {exception} at pc {pc:#010x}, lr {lr:#010x}, CFSR {cfsr:#010x} (firmware.map)"
        names = {value: name for name, value in protocol_enums()["kws_status"].items()}
        return f"refused: {names.get(status, f'status {status}').lower().replace('_', ' ')}"


def check_identity(hello: Hello, image: Image) -> Hello:
    """`hello`, where it comes from `image`."""
    if hello.identity != image.identity:
        raise UserError(f"{image.elf}: what runs is another image ({hello.identity[:12]} for {image.identity[:12]}); "
                        "build and load it again")
    return hello
