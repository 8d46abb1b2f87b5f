"""An image's stream, fed by a host: the other side of firmware/app/kws_stream.h."""

import struct
from dataclasses import dataclass

import numpy as np

from datasets.features import CLIP_SAMPLES
from export.link import Link
from export.stream_host import EVENT

_FACTS = struct.Struct("<i6I")


@dataclass(frozen=True)
class HeardSecond:
    """What an image heard in one second. frames to lost_events: since stream_begin. scores_crc: CRC-32 of all scores
    since then. ticks: of SysTick. events: EVENT [n]."""

    frames: int
    inferences: int
    failures: int
    lost_events: int
    scores_crc: int
    ticks: int
    events: np.ndarray


def stream_begin(link: Link) -> None:
    """Start an empty stream; clips and inputs that the image is asked for end it. UserError where it refuses."""
    (status,) = link.unpack("<i", link.request("STREAM_BEGIN", b""))
    if status:
        link.fail(f"refused its detector: error {status} of firmware/stream/kws_decide.h")


def stream_feed(link: Link, samples: np.ndarray) -> HeardSecond:
    """The next second, int16 [16000]. UserError where the network refuses."""
    samples = np.ascontiguousarray(samples, "<i2").reshape(CLIP_SAMPLES)
    answer = link.request("STREAM_FEED", samples.tobytes())
    events = max(0, len(answer) - _FACTS.size) // EVENT.itemsize
    status, *facts, told = link.unpack(f"{_FACTS.format}{events * EVENT.itemsize}s", answer)
    if status:
        link.fail(f"failed in its stream: error {status} of firmware/stream/kws_decide.h")
    return HeardSecond(*facts, np.frombuffer(told, EVENT))
