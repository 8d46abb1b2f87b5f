"""The whole app of a board with a microphone, under sanitizers: a fake line, samples that come at any moment."""

import os
import re
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

from export.detector import Detector, write_detector
from export.feature_tables import write_feature_tables, write_mfcc_table
from export.host import SANITIZERS, WARNINGS, sanitizing_compiler
from export.image import DETECTOR_SOURCES, FEATURE_SOURCES, FIRMWARE, INCLUDES, LISTENING_SOURCES
from export.networks import write_networks
from export.toolchain import have, install_line, run_tool
from tests.export import standin

pytestmark = pytest.mark.skipif(not have("gcc"), reason=install_line("gcc"))
EAR = Detector(tuple("abcdefghijkl"), (0, *(1,) * 11), 0, 5, 2, 100)  # whatever it hears is a word, every two seconds
RING_SAMPLES, REPLY = 1500, b"k\0\0\0"

# Takes a script of parts, u8 kind and u32 count: bytes that come; samples that the microphone's interrupt puts; passes
# in which nothing comes; milliseconds that go by. Each part begins where the one before has been taken.
_DRIVER = """
#include <stdio.h>
#include <stdlib.h>
#include "kws_audio.h"
#include "kws_board.h"
#include "kws_core.h"
#include "kws_self_test.h"
#include "kws_transport.h"
uint32_t kws_gave_up;
int driver_refuses;
static uint32_t ticks, left, passes;
__attribute__((constructor)) static void set(void) {
    kws_gave_up = (uint32_t)strtoul(getenv("GAVE_UP"), NULL, 10);
    driver_refuses = atoi(getenv("REFUSES"));
}
static void put(uint32_t count) {
    int16_t sample;
    for (; count > 0 && fread(&sample, sizeof sample, 1, stdin) == 1; count--) kws_audio_put(&sample, 1);
}
static void next_part(void) {
    const int kind = getchar();
    uint32_t count;
    if (kind == EOF || fread(&count, sizeof count, 1, stdin) != 1) exit(0);
    if (kind == 'B') left = count;
    if (kind == 'S') put(count);
    if (kind == 'P') passes = count;
    if (kind == 'W') ticks += count * (kws_clock_hz() / 1000u);
}
size_t kws_take(void *bytes, size_t count) {
    if (passes > 0) return passes--, 0;
    if (left == 0) return next_part(), 0;
    if (count > left) count = left;
    left -= (uint32_t)fread(bytes, 1, count, stdin);
    return count;
}
int kws_bytes_wait(void) { return left > 0; }
void kws_write(const void *bytes, size_t count) { fwrite(bytes, 1, count, stdout); }
void kws_microphone_start(void) { fputs("microphone ", stderr); }
void kws_led(int on) { fputs(on ? "on " : "off ", stderr); }
uint32_t kws_self_test(void) { return (uint32_t)strtoul(getenv("SELF_TEST"), NULL, 10); }
uint32_t kws_clock_hz(void) { return 1000000; }
uint32_t kws_ticks(void) { return ticks; }
uint32_t kws_stack_used(void) { return 1; }
void kws_spin(uint32_t count) { (void)count; }
void kws_sleep_unless(int (*work)(void)) { (void)work(); }
void kws_doze_unless(int (*work)(void)) { (void)work(); }
"""


def compiled(folder: Path, labels: str = "KWS_LABELS") -> Path:
    """labels: what the detector's config says in place of its number of labels."""
    standin.write_network(folder, "extern int driver_refuses; if (driver_refuses) return 7;")
    write_feature_tables(folder)
    write_mfcc_table(standin.QUANTIZER, folder)
    write_networks(standin.network(), folder, True, None)
    config = write_detector(EAR, folder)
    config.write_text(config.read_text().replace("{words, KWS_LABELS", f"{{words, {labels}"))
    (folder / "kws_image.h").write_text("#define KWS_STACK_BYTES 1000\n#define KWS_DETECTOR 1\n"
                                        f"#define KWS_AUDIO_SAMPLES {RING_SAMPLES}\n"
                                        f"#define KWS_IMAGE_IDENTITY {{{', '.join(['7'] * 32)}}}\n")
    (folder / "driver.c").write_text(_DRIVER)
    app = [FIRMWARE / "app" / f"kws_{name}.c" for name in ("main", "protocol", "crc", "memory")]
    parts = [FIRMWARE / name for name in (*FEATURE_SOURCES, *LISTENING_SOURCES, *DETECTOR_SOURCES)]
    run_tool([sanitizing_compiler(), *WARNINGS, *SANITIZERS, "-DKWS_LISTENING",
              *(f"-I{FIRMWARE / name}" for name in INCLUDES), f"-I{folder}", *app, *parts, *folder.glob("*.c"), "-o",
              folder / "listening"], "the app that listens")
    return folder / "listening"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("listen"))


def sent(what: bytes) -> bytes:
    return struct.pack("<BI", ord("B"), len(what)) + what


def heard(samples: np.ndarray, at_once: int = 400) -> bytes:
    """Samples, and time to hear them."""
    pieces = [samples[at:at + at_once].astype("<i2") for at in range(0, len(samples), at_once)]
    return b"".join(struct.pack("<BI", ord("S"), len(piece)) + piece.tobytes() + struct.pack("<BI", ord("P"), 4)
                    for piece in pieces)


def waited(ms: int) -> bytes:
    return struct.pack("<BIBI", ord("W"), ms, ord("P"), 2)


def request(command: str, payload: bytes = b"") -> bytes:
    return struct.pack("<BBBBI", ord("K"), ord(command), 0, 0, len(payload)) + payload + struct.pack(
        "<I", zlib.crc32(payload))


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-32768, 32767, count)


def run(program, *parts: bytes, **facts: int) -> tuple[bytes, str]:
    """What the board writes, and what its LED and microphone do."""
    environment = {**os.environ, **{name: str(facts.get(name, 0)) for name in ("GAVE_UP", "REFUSES", "SELF_TEST")}}
    done = subprocess.run([program], input=b"".join(parts), capture_output=True, check=True, timeout=60,
                          env=environment)
    return done.stdout, done.stderr.decode()


def test_a_word_is_a_line_and_lights_the_led_for_half_a_second(program):
    said, did = run(program, heard(noise(32_000)))
    line = rb"[a-l] \d\.\d\d at \d+ ms, 0 samples lost, 999 bytes of stack free\r\n"
    assert re.fullmatch(rb">listening\r\n(" + line + rb")+", said)
    assert did == "microphone on off "


def test_the_led_goes_out_while_a_host_talks(program):
    _, did = run(program, heard(noise(16_400)), sent(request("H")), waited(1))
    assert did == "microphone on off "


CLIP = request("C", noise(16_000, 1).astype("<i2").tobytes())


def replied(said: bytes) -> bytes:
    return said[said.index(REPLY):]


def test_a_clip_s_codes_are_unharmed_by_samples_that_come_meanwhile(program):
    """The first request after listening, and samples between all of its pieces."""
    pieces = [CLIP[at:at + 640] for at in range(0, len(CLIP), 640)]
    samples = struct.pack("<BI", ord("S"), 1400) + noise(1400, 2).astype("<i2").tobytes()
    quiet, _ = run(program, heard(noise(700)), *map(sent, pieces), waited(1))
    loud, _ = run(program, heard(noise(700)), *(sent(piece) + samples for piece in pieces), waited(1))
    assert len(replied(quiet)) > 49 * 40 + 490
    assert replied(loud) == replied(quiet)


def test_samples_between_first_byte_and_the_rest_are_not_heard(program):
    late = run(program, sent(b"K"), heard(noise(32_000)), sent(request("H")[1:]), waited(1))[0]
    assert late.startswith(b">listening\r\n>" + REPLY)
    assert b" ms, " not in late


def test_two_seconds_after_the_host_s_last_byte_a_new_stream_begins(program):
    """Counted from the end of the request."""
    slow = [sent(CLIP[:9]), waited(400), sent(CLIP[9:99]), waited(400), sent(CLIP[99:])]
    before, _ = run(program, *slow, waited(1990), heard(noise(16_400)))
    after, _ = run(program, *slow, waited(2010), heard(noise(16_400)))
    assert before.count(b"listening\r\n") == 1
    assert after.count(b"listening\r\n") == 2
    assert re.search(rb"listening\r\n[a-l] \S+ at 1?\d\d\d ms, 0 samples lost", after[20:])


def test_samples_that_find_the_ring_full_are_told(program):
    flood = heard(noise(2000), 2000) + struct.pack("<BI", ord("P"), 10)
    assert f", {2000 - (RING_SAMPLES - 1)} samples lost,".encode() in run(program, flood, heard(noise(17_000)))[0]


@pytest.mark.parametrize("bit", range(6))
def test_without_a_clock_nothing_is_heard_but_the_host_is(program, bit):
    said, did = run(program, heard(noise(32_000)), sent(request("H")), waited(1), waited(2010), GAVE_UP=1 << bit)
    line = f"not listening; gave up waiting at start: bits {1 << bit}\r\n".encode()
    assert said.startswith(b">" + line + b">" + REPLY)  # the sign between them asks for the CRC
    assert said.endswith(line)
    assert did == ""


def test_what_failed_is_told(program, tmp_path):
    assert run(program, SELF_TEST=3)[0] == b">listening; failed self-test: bits 3\r\n"
    assert b"\r\nnot understood: error -" in run(program, heard(noise(17_000)), REFUSES=1)[0]
    refused, _ = run(compiled(tmp_path, "0"), heard(noise(17_000)))
    assert re.fullmatch(rb">not listening; refused its constants: error -\d+\r\n", refused)


@pytest.mark.parametrize("seed", range(12))
def test_anything_on_the_line_while_the_microphone_runs(program, seed):
    """Cut and whole requests of the stream too, random bytes, samples, silences; then a good request is understood."""
    rng, parts = np.random.default_rng(seed), []
    second = request("F", noise(16_000, seed).astype("<i2").tobytes())
    for _ in range(10):
        whole = [request("H"), request("B"), second, CLIP, request("I", bytes(490))][rng.integers(5)]
        line = [rng.bytes(rng.integers(1, 99)), whole[:rng.integers(1, len(whole) + 1)], whole][rng.integers(3)]
        parts += [sent(line), heard(noise(int(rng.integers(1, 3000)), seed), 700), waited(int(rng.integers(3000)))]
    said, _ = run(program, *parts, *[waited(501)] * 3, sent(request("H")), waited(1))
    assert struct.pack("<B", 7) * 32 in said[-100:]
