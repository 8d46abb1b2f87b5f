"""The image's stream on an emulated Cortex-M4: the same scores and words as on this machine."""

import zlib
from dataclasses import replace

import numpy as np
import pytest

from datasets.console import UserError
from export.boards import load_board
from export.emulator import Session
from export.image import build_image
from export.stream_link import stream_begin, stream_feed
from export.toolchain import have, install_line
from tests.export import standin
from tests.export.test_stream_host import CLIP_SAMPLES, EAGER, noises, standin_library

TOOLS = ("gcc", "arm-none-eabi-gcc", "arm-none-eabi-objcopy", "qemu-system-arm")
MISSING = [install_line(tool) for tool in TOOLS if not have(tool)]
pytestmark = [pytest.mark.emulator, pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))]

BOARD = load_board("mps2-an386")


def image_of(folder, extra: str = ""):
    features = replace(standin.FEATURES, detector=EAGER)
    return build_image(standin.write_network(folder / "n", extra), standin.network(), BOARD, folder / "out", features)


def test_host_and_core_hear_the_same(tmp_path):
    """Two streams, one after the other, and a clip between: the second begins anew."""
    (tmp_path / "host").mkdir()
    library = standin_library(tmp_path / "host")
    image = image_of(tmp_path)
    with Session(image.elf, BOARD.emulator) as board:
        hello = board.check(image)
        for seed in (3, 4):
            sound = noises(4, seed)
            heard = library.hear(EAGER, sound)
            stream_begin(board)
            seconds = [stream_feed(board, sound[at:at + CLIP_SAMPLES]) for at in range(0, len(sound), CLIP_SAMPLES)]
            np.testing.assert_array_equal(np.concatenate([second.events for second in seconds]), heard.events)
            last = seconds[-1]
            assert (last.frames, last.inferences, last.failures, last.lost_events) == (199, len(heard.scores), 0, 0)
            assert last.scores_crc == zlib.crc32(heard.scores.tobytes())
            assert len(heard.events) > 3
            assert all(second.ticks > 0 for second in seconds)
            board.clip(sound[:CLIP_SAMPLES], hello)


def test_what_the_image_cannot_do_is_one_line(tmp_path):
    failing = image_of(tmp_path, "static int calls; if (++calls == 3) return 7;")
    plain = build_image(tmp_path / "n", standin.network(), BOARD, tmp_path / "plain", standin.FEATURES)
    with Session(failing.elf, BOARD.emulator) as board:
        stream_begin(board)
        stream_feed(board, noises(1))
        with pytest.raises(UserError, match="failed in its stream: error -2 of"):
            stream_feed(board, noises(1))
    with Session(plain.elf, BOARD.emulator) as board, pytest.raises(UserError, match="refused: bad command"):
        stream_begin(board)
