"""Anything on the line: the protocol's C under sanitizers, with random bytes, cut requests and silences."""

import struct
import subprocess
import zlib

import numpy as np
import pytest

from export.feature_tables import write_feature_tables, write_mfcc_table
from export.host import SANITIZERS, WARNINGS, sanitizing_compiler
from export.image import FIRMWARE
from export.link import protocol
from export.networks import write_networks
from export.toolchain import have, install_line, run_tool
from tests.export import standin

pytestmark = pytest.mark.skipif(not have("gcc"), reason=install_line("gcc"))
HELLO = struct.pack("<BBBBII", ord("K"), ord("H"), 0, 0, 0, zlib.crc32(b""))
INPUT = struct.pack("<BBBBI", ord("K"), ord("I"), 0, 0, 490)
CLIP = struct.pack("<BBBBI", ord("K"), ord("C"), 0, 0, 32000)
SILENCE = struct.pack("<I", 0xFFFFFFFF)
DOZE = struct.pack("<I", 0xFFFFFFFE)  # the same, asleep until the next part is there

# Takes a script: u32 count and bytes that come at once, SILENCE or DOZE. Time goes on only where nothing comes.
_DRIVER = """
#include <stdio.h>
#include <stdlib.h>
#include "kws_core.h"
#include "kws_protocol.h"
#include "kws_transport.h"
uint32_t kws_gave_up;
static uint32_t ticks, left, silent, dozes;
static int next_part(void) {
    if (fread(&left, sizeof left, 1, stdin) != 1) exit(0);
    silent = left == UINT32_MAX ? 3 : 0;
    dozes = left == UINT32_MAX - 1u;
    if (silent || dozes) left = 0;
    return left > 0;
}
size_t kws_take(void *bytes, size_t count) {
    if (silent) {
        silent--;
        ticks += KWS_CLOCK_HZ / 1000u * (KWS_SILENCE_MS + 1u);
        return 0;
    }
    if (left == 0 && !next_part()) return 0;
    if (count > left) count = left;
    if (count > 7) count = 7;
    left -= (uint32_t)fread(bytes, 1, count, stdin);
    return count;
}
int kws_bytes_wait(void) { return left > 0; }
void kws_write(const void *bytes, size_t count) { fwrite(bytes, 1, count, stdout); }
uint32_t kws_clock_hz(void) { return KWS_CLOCK_HZ; }
uint32_t kws_ticks(void) { return ticks; }
uint32_t kws_stack_used(void) { return 1; }
void kws_spin(uint32_t count) { (void)count; }
void kws_doze_unless(int (*work)(void)) {
    (void)work;
    if (dozes) ticks += KWS_CLOCK_HZ / 1000u * (KWS_SILENCE_MS + 1u);
    dozes = 0;
}
int main(void) {
    kws_greet(0);
    for (;;) kws_serve();
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("protocol")
    standin.write_network(folder)
    write_feature_tables(folder)
    write_mfcc_table(standin.QUANTIZER, folder)
    write_networks(standin.network(), folder, True, None)
    (folder / "kws_image.h").write_text("#define KWS_STACK_BYTES 1000\n#define KWS_DETECTOR 0\n"
                                        f"#define KWS_IMAGE_IDENTITY {{{', '.join(['7'] * 32)}}}\n")
    (folder / "driver.c").write_text(_DRIVER)
    app = [FIRMWARE / "app" / f"kws_{name}.c" for name in ("protocol", "crc", "memory", "clip")]
    run_tool([sanitizing_compiler(), *WARNINGS, *SANITIZERS, "-DKWS_CLOCK_HZ=1000000u",
              *(f"-I{FIRMWARE / name}" for name in ("app", "features", "transport")), f"-I{folder}", *app,
              FIRMWARE / "features" / "kws_features.c", *folder.glob("*.c"), "-o", folder / "protocol"], "the protocol")
    return folder / "protocol"


def said(program, *parts: bytes) -> bytes:
    """What the image writes on a line where these parts come, SILENCE among them. It must neither crash nor hang."""
    script = b"".join(part if part in (SILENCE, DOZE) else struct.pack("<I", len(part)) + part for part in parts)
    return subprocess.run([program], input=script, capture_output=True, check=True, timeout=60).stdout


def ends_with_hello(answer: bytes) -> bool:
    """Whether the last thing said is the whole reply of KWS_HELLO."""
    payload = bytes([7] * 32) + struct.pack("<7I", 1000, 0, 1, 0, 490, 12, 1024)
    return answer.endswith(struct.pack("<BBHI", ord("k"), 0, 0, len(payload)) + payload
                           + struct.pack("<I", zlib.crc32(payload)))


def test_a_good_request_alone(program):
    assert ends_with_hello(said(program, HELLO))


@pytest.mark.parametrize("seed", range(40))
def test_after_random_bytes_and_silence_the_next_good_request_is_understood(program, seed):
    """Bytes that look like beginnings are frequent; requests are cut at any place."""
    rng, parts = np.random.default_rng(seed), []
    for _ in range(12):
        noise = rng.integers(0, 256, rng.integers(0, 200)).astype(np.uint8).tobytes()
        whole = [HELLO, INPUT + bytes(494), CLIP + bytes(2000)][rng.integers(3)]
        alphabet = rng.choice([ord(letter) for letter in "KHCISk>\0"], rng.integers(0, 60)).astype(np.uint8).tobytes()
        parts += [noise, whole[:rng.integers(len(whole) + 1)], alphabet][:rng.integers(1, 4)]
        if rng.integers(2):
            parts.append(SILENCE)
    assert ends_with_hello(said(program, *parts, SILENCE, HELLO))


def test_without_silence_a_cut_request_swallows_the_next_one(program):
    """Why the host is silent before it asks anew."""
    assert not ends_with_hello(said(program, CLIP + bytes(100), HELLO))
    assert ends_with_hello(said(program, CLIP + bytes(100), SILENCE, HELLO))


def test_what_comes_first_after_a_silence_begins_a_request(program):
    """On a slow clock, nothing wakes the image before."""
    assert ends_with_hello(said(program, CLIP + bytes(100), DOZE, HELLO))


def test_what_is_wrong_with_a_request_is_told(program):
    def status(*parts: bytes) -> int:
        answer = said(program, *parts)
        return answer[answer.index(b"k") + 1]

    assert status(INPUT + bytes(490) + struct.pack("<I", 5)) == protocol()["BAD_CRC"]
    assert status(struct.pack("<BBBBI", ord("K"), ord("I"), 0, 0, 489)) == protocol()["BAD_LENGTH"]
    assert status(struct.pack("<BBBBI", ord("K"), ord("I"), 1, 0, 490)) == protocol()["BAD_NETWORK"]
    assert status(struct.pack("<BBBBI", ord("K"), ord("?"), 0, 0, 0)) == protocol()["BAD_COMMAND"]
