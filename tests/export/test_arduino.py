"""make arduino: a zip as the Arduino library specification wants it, that compiles and hears with stubs for Arduino.

The rules are those of "Arduino library specification" (arduino.github.io/arduino-cli, Library specification).
"""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from datasets.console import UserError
from export import arduino
from export.toolchain import have, install_line

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "results" / "small-energy-aware" / "model.tflite"
CATEGORIES = {"Display", "Communication", "Signal Input/Output", "Sensors", "Device Control", "Timing", "Data Storage",
              "Data Processing", "Other"}
REQUIRED = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"}
STUB = """
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
enum { LED_BUILTIN = 13, OUTPUT = 1, HIGH = 1, LOW = 0 };
inline void pinMode(int, int) {}
inline void digitalWrite(int, int) {}
inline void delay(unsigned long) {}
inline unsigned long millis() { return 0; }
struct StubSerial {
    void begin(long) {}
    void print(const char *text) { printf("%s", text); }
    void print(double number) { printf("%.2f", number); }
    void print(unsigned number) { printf("%u", number); }
    void println(const char *text) { printf("%s\\n", text); }
};
static StubSerial Serial;
"""
PDM = """
#include <Arduino.h>
struct StubPdm {
    void (*heard)();
    void onReceive(void (*handler)()) { heard = handler; }
    void setBufferSize(int) {}
    void setGain(int) {}
    int begin(int channels, long rate) { return channels == 1 && rate == 16000; }
    int read(void *block, size_t bytes) {
        static uint32_t state = 1;
        int16_t *samples = (int16_t *)block;
        for (size_t i = 0; i < bytes / 2; i++) samples[i] = (int16_t)((state = state * 1664525u + 1013904223u) >> 20);
        return (int)bytes;
    }
};
static StubPdm PDM;
"""
MAIN = """
int main() {
    setup();
    for (int i = 0; i < 200; i++) {
        PDM.heard();
        loop();
        loop();
    }
    printf("%u frames, %u inferences, %u failures, %u lost\\n", kws_spotter.frames, kws_spotter.inferences,
           kws_spotter.failures, kws_audio_overruns);
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The unpacked zip of the committed net."""
    folder = tmp_path_factory.mktemp("arduino")
    argv, sys.argv = sys.argv, ["arduino", "--model", str(COMMITTED), "--out", str(folder / "out")]
    try:
        arduino.main()
    finally:
        sys.argv = argv
    summary = json.loads((folder / "out" / "summary.json").read_text())
    with zipfile.ZipFile(summary["library"]) as archive:
        archive.extractall(folder / "unpacked")
    (found,) = (folder / "unpacked").iterdir()
    return found


def test_the_librarys_layout_and_properties_are_as_the_specification_says(library):
    properties = dict(line.split("=", 1) for line in (library / "library.properties").read_text().splitlines())
    assert set(properties) >= REQUIRED
    assert all(properties[key].strip() for key in REQUIRED)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_. -]{0,62}", properties["name"])
    assert properties["name"] == library.name
    assert re.fullmatch(r"\d+\.\d+\.\d+", properties["version"])
    assert properties["category"] in CATEGORIES
    assert properties["url"].startswith("https://")
    assert all((library / "src" / name).is_file() for name in properties["includes"].split(","))
    assert {path.name for path in library.iterdir()} == {"library.properties", "src", "examples"}
    assert all(path.is_file() and path.suffix in (".c", ".h") for path in (library / "src").iterdir())
    (example,) = (library / "examples").iterdir()
    assert [path.name for path in example.iterdir()] == [f"{example.name}.ino"]
    assert not any(path.is_symlink() for path in library.rglob("*"))


def test_names_clash_with_nobodys(library):
    """Files have our prefix, and the header that a sketch includes pulls in no arm_ name."""
    assert all(path.name.lower().startswith("kws") for path in (library / "src").iterdir())
    seen, queue = set(), ["KwsSpotter.h"]
    while queue:
        name = queue.pop()
        if name in seen or not (library / "src" / name).is_file():
            continue
        seen.add(name)
        text = (library / "src" / name).read_text()
        assert not re.search(r"\barm_", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)), name
        queue += re.findall(r'#include "([^"]+)"', text)
    assert {"kws.h", "kws_audio.h", "kws_detector_config.h"} <= seen


@pytest.mark.skipif(not have("gcc"), reason=install_line("gcc"))
def test_the_sketch_compiles_and_hears_where_arduino_is_a_stub(library, tmp_path):
    (tmp_path / "Arduino.h").write_text(f"#pragma once\n{STUB}")
    (tmp_path / "PDM.h").write_text(f"#pragma once\n{PDM}")
    (sketch,) = library.glob("examples/*/*.ino")
    (tmp_path / "sketch.cpp").write_text(f'#include <Arduino.h>\n#include "{sketch}"\n{MAIN}')
    includes, warnings = [f"-I{library / 'src'}", f"-I{tmp_path}"], ["-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", "-std=gnu11", "-Os", *warnings, *includes, "-c", *(library / "src").glob("*.c")],
                   check=True, cwd=tmp_path)
    objects = sorted(tmp_path.glob("*.o"))
    subprocess.run(["g++", "-std=gnu++14", *warnings, *includes, tmp_path / "sketch.cpp", *objects, "-o",
                    tmp_path / "sketch"], check=True)
    exported = subprocess.run(["nm", "-g", "--defined-only", *objects], capture_output=True, text=True, check=True)
    symbols = re.findall(r"^[0-9a-f]+ \w (\w+)$", exported.stdout, re.MULTILINE)
    assert {"kws_feed", "kws_model_run"} <= set(symbols)
    assert all(symbol.startswith("kws_") for symbol in symbols)
    said = subprocess.run([tmp_path / "sketch"], capture_output=True, text=True, check=True).stdout
    frames = (200 * 256 - 480) // 320 + 1
    inferences = (frames - 49) // 10 + 1
    assert said.splitlines()[0] == "listening"
    assert said.splitlines()[-1] == f"{frames} frames, {inferences} inferences, 0 failures, 0 lost"


@pytest.mark.skipif(not have("arm-none-eabi-gcc"), reason=install_line("arm-none-eabi-gcc"))
def test_it_compiles_for_the_nanos_core(library, tmp_path):
    subprocess.run(["arm-none-eabi-gcc", "-std=gnu11", "-Os", "-mcpu=cortex-m4", "-mthumb", "-Wall", "-Werror", "-c",
                    *(library / "src").glob("*.c")], check=True, cwd=tmp_path)


def test_what_cannot_go_into_a_library(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["arduino", "--model", str(COMMITTED), "--kernels", "cmsis-nn"])
    with pytest.raises(UserError, match="KERNELS=cmsis-nn: allowed"):
        arduino.main()
