"""A library for the Arduino IDE: the net, its features and its detector in C, and a sketch that listens with them."""

import re
import shutil
import tempfile
import time
import zipfile
from pathlib import Path

from datasets.console import UserError, atomic_write, commit, finish, run_command
from export.boards import load_board
from export.c_writer import write_c
from export.detector import Detector, check_graph, detector_of, write_detector
from export.feature_tables import write_feature_tables, write_mfcc_table, write_text
from export.image import FIRMWARE, SLOWEST_MS, audio_samples
from export.kernels import PORTABLE, TUNED, KernelSet, known_kernels
from export.mcu import Net, price_of
from export.runs import input_quantizer, net_parser, resolve

BOARD = "nano33ble"
NAME, VERSION, PREFIX, SKETCH = "KwsSpotter", "1.0.0", "kws_model", "KeywordSpotter"
SOURCES = ("features/kws_features", "stream/kws", "stream/kws_decide", "app/kws_audio", "arduino/KwsSpotter")
STAMP = (1980, 1, 1, 0, 0, 0)  # of the zip's files: the same bytes every time
_PROPERTIES = """name={name}
version={version}
author=kws-grow
maintainer=kws-grow
sentence=Spots the words {words}.
paragraph=An int8 network written by kws-grow, its features and its detector, in C. Model {sha256}.
category=Signal Input/Output
url=https://arxiv.org/abs/1910.03103
architectures=mbed_nano,mbed,nrf52
includes=KwsSpotter.h
"""


def main() -> None:
    parser = net_parser("export.arduino", __doc__)
    parser.add_argument("--kernels", type=arduino_kernels, default=TUNED, help=f"{TUNED} (default) or {PORTABLE}")
    parser.add_argument("--out", type=Path, help="folder of the zip; default: build/RUN/arduino")
    arguments = parser.parse_args()
    start_s = time.monotonic()
    run = resolve(arguments.run, arguments.model)
    net = Net.of(run, PREFIX)
    folder = arguments.out or Path("build") / run.name / "arduino"
    detector, source = library_detector(net)
    path = write_zip(write_library(net, detector, folder / NAME, KernelSet(arguments.kernels)))
    print(f"Arduino IDE: Sketch, Include Library, Add .ZIP Library: {path}; then File, Examples, {NAME}, {SKETCH}")
    finish({"run": run.name, "board": BOARD, "library": str(path), "bytes": path.stat().st_size,
            "words": list(detector.words), "threshold_from": source, "kernels": arguments.kernels,
            "model_sha256": net.graph.sha256, "wall_s": round(time.monotonic() - start_s, 1), "commit": commit()},
           folder, f"Wrote {run.name} as an Arduino library")


def arduino_kernels(text: str) -> str:
    """KERNELS: those whose C can go into a library."""
    if known_kernels(text) not in (TUNED, PORTABLE):
        raise UserError(f"KERNELS={text}: allowed in an Arduino library are {TUNED}, {PORTABLE}")
    return text


def library_detector(net: Net) -> tuple[Detector, str]:
    """The net's, and where its threshold is from. UserError for a net that cannot listen."""
    check_graph(net.graph)
    return detector_of(net.run, net.graph)


def write_library(net: Net, detector: Detector, folder: Path, kernels: KernelSet) -> Path:
    """Write the library's folder anew, all C in src/; returns it."""
    board, source = load_board(BOARD), folder / "src"
    shutil.rmtree(folder, ignore_errors=True)
    price, _ = price_of(net, board, kernels)
    with tempfile.TemporaryDirectory() as made:
        generated = Path(made)
        write_c(net.graph, generated, PREFIX, kernels.kernel_of(board.core))
        write_feature_tables(generated)
        write_mfcc_table(input_quantizer(net.graph), generated)
        write_detector(detector, generated)
        samples = audio_samples(price.whole.latency_ms if price else SLOWEST_MS)
        write_text(generated / "kws_image.h", f"#define KWS_AUDIO_SAMPLES {samples} /* by export.arduino */\n")
        own = [path for stem in SOURCES for path in FIRMWARE.glob(f"{stem}.[ch]")]
        kernel_files = [path for where in (FIRMWARE / "kernels", *kernels.folders(board.core))
                        for path in where.glob("*.[ch]")]
        for path in sorted([*generated.glob("*.[ch]"), *own, *kernel_files]):
            copy_source(path, source)
    sketch = f"{SKETCH}/{SKETCH}.ino"
    write_text(folder / "examples" / sketch, (FIRMWARE / "arduino" / sketch).read_text())
    words = ", ".join(re.sub(r"[^ -~]", "?", word) for word in detector.words)
    write_text(folder / "library.properties",
               _PROPERTIES.format(name=NAME, version=VERSION, words=words, sha256=net.graph.sha256[:12]))
    return folder


def copy_source(path: Path, folder: Path) -> None:
    """Into the flat src/; C that the IDE's -Os would make slow asks for what predictions suppose. UserError where two
    files have one name, which would be a bug here."""
    target = folder / path.name
    if target.exists():
        raise UserError(f"{path}: a file of that name is in the library already")
    head = "#ifdef __GNUC__\n#pragma GCC optimize(\"O3\")\n#endif\n" if path.suffix == ".c" else ""
    write_text(target, head + path.read_text())


def write_zip(folder: Path) -> Path:
    """folder.zip, with the folder as its only entry at the top."""
    path = folder.with_suffix(".zip")
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.writestr(zipfile.ZipInfo(str(each.relative_to(folder.parent)), STAMP), each.read_bytes(),
                             zipfile.ZIP_DEFLATED)
    return path


if __name__ == "__main__":
    run_command(main)
