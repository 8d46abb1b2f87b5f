"""How words are told from scores: the constants of firmware/stream, written into the firmware, kept beside a net.

`make stream` picks them and writes detector.json; `make export-mcu` takes it from there.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from datasets.console import UserError, atomic_write
from datasets.features import HOP_LENGTH, N_FRAMES, SAMPLE_RATE
from export.feature_tables import write_text
from export.graph import Graph
from export.runs import Run, input_quantizer

NAME = "kws_detector_config"
FILE = "detector.json"
SCORE_ONE = 65280  # of firmware/stream/kws_decide.h: the averaged int8 score 127 of a network with softmax
MAX_AVERAGE, MAX_LABELS, MAX_COUNT = 64, 1024, 1000
DEFAULT_THRESHOLD = round(0.9 * SCORE_ONE)  # where `make stream` was never run; stated, not measured
RULES = ((2, 3), (1, 4))  # inferences averaged and in a row, of those that `make stream` picks from: docs/stream.md
FRAME_MS = 1000 * HOP_LENGTH // SAMPLE_RATE
_NOTICE = "/* Written by export.detector. */\n"


@dataclass(frozen=True)
class Detector:
    """labels: of the scores, in order. threshold: of every word, 0 to SCORE_ONE, for scores averaged over the last
    average_inferences. frames_per_inference: of 20 ms. refractory_frames: after an event in which there is no other.
    min_counts: inferences in a row that each word must be above the threshold; 0: the label is no word.

    UserError for values that firmware/stream would refuse.
    """

    labels: tuple[str, ...]
    min_counts: tuple[int, ...]
    threshold: int = DEFAULT_THRESHOLD
    frames_per_inference: int = 10
    average_inferences: int = RULES[0][0]
    refractory_frames: int = 50

    def __post_init__(self) -> None:
        _check("labels", len(self.labels), 1, MAX_LABELS)
        if not isinstance(self.labels, tuple) or not all(map(_is_label, self.labels)):
            raise UserError(f"{FILE}: labels {_shown(self.labels)}: allowed is a list of texts")
        _check("threshold", self.threshold, 0, SCORE_ONE)
        _check("frames_per_inference", self.frames_per_inference, 1, N_FRAMES)
        _check("average_inferences", self.average_inferences, 1, MAX_AVERAGE)
        _check("refractory_frames", self.refractory_frames, 0, 2**16 - 1)
        _check("min_counts", len(self.min_counts), len(self.labels), len(self.labels))
        for count in self.min_counts:
            _check("min_counts", count, 0, MAX_COUNT)

    @classmethod
    def of(cls, labels: tuple[str, ...], average: int = RULES[0][0], in_a_row: int = RULES[0][1]) -> "Detector":
        """Every label is a word that does not start with '_'. average, in_a_row: inferences."""
        return cls(tuple(labels), tuple(0 if label.startswith("_") else in_a_row for label in labels),
                   average_inferences=average)

    @property
    def words(self) -> tuple[str, ...]:
        """The labels that can be events."""
        return tuple(label for label, count in zip(self.labels, self.min_counts, strict=True) if count)

    @property
    def inferences_per_s(self) -> float:
        return SAMPLE_RATE / HOP_LENGTH / self.frames_per_inference


def _check(name: str, value: int, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise UserError(f"{FILE}: {name} {value!r}: allowed are whole numbers from {least} to {most}")


def _is_label(value: object) -> bool:
    """A text that UTF-8 can write."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _shown(value: object) -> str:
    return ascii(value)[:40]


# ------------------------------------------------------------------ C

def write_detector(detector: Detector, folder: Path) -> Path:
    """Write kws_detector_config.h and .c into `folder`; returns the latter."""
    write_text(Path(folder) / f"{NAME}.h", _header(detector))
    write_text(Path(folder) / f"{NAME}.c", _source(detector))
    return Path(folder) / f"{NAME}.c"


def _header(detector: Detector) -> str:
    return (f"{_NOTICE}#ifndef KWS_DETECTOR_CONFIG_H\n#define KWS_DETECTOR_CONFIG_H\n\n#include \"kws_decide.h\"\n\n"
            f"#define KWS_LABELS {len(detector.labels)}\n"
            f"#define KWS_FRAMES_PER_INFERENCE {detector.frames_per_inference}\n"
            f"#define KWS_AVERAGE_INFERENCES {detector.average_inferences}\n\n"
            "extern const kws_config kws_detector_config;\nextern const char *const kws_labels[KWS_LABELS];\n\n"
            "#endif\n")


def _source(detector: Detector) -> str:
    words = "".join(f"    {{{detector.threshold}, {count}}}, /* {_comment(label)} */\n"
                    for label, count in zip(detector.labels, detector.min_counts, strict=True))
    names = "".join(f"    {_c_string(label)},\n" for label in detector.labels)
    return (f"{_NOTICE}#include \"{NAME}.h\"\n\nstatic const kws_word words[KWS_LABELS] = {{\n{words}}};\n\n"
            f"const kws_config kws_detector_config = {{words, KWS_LABELS, KWS_FRAMES_PER_INFERENCE, "
            f"KWS_AVERAGE_INFERENCES, {detector.refractory_frames}}};\n\n"
            f"const char *const kws_labels[KWS_LABELS] = {{\n{names}}};\n")


def _comment(label: str) -> str:
    return "".join(letter if letter.isalnum() or letter in " _-" else "?" for letter in label)


def _c_string(label: str) -> str:
    """All bytes but plain letters, digits and a few signs as octal escapes."""
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_- "
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in label.encode()) + '"'


# ------------------------------------------------------------------ beside a net

def detector_folder(run: Run) -> Path:
    """Where `make stream` keeps detector.json: with a run of runs/, in build/ for a model of one's own."""
    return run.folder if run.net_path is not None else Path("build") / run.name / "stream"


def beside(tflite: Path) -> Path:
    """Of a model that lies in a folder with others: small.tflite has small.detector.json."""
    return tflite.with_suffix(f".{FILE}")


def save_detector(detector: Detector, run: Run, graph: Graph) -> Path:
    """Write detector.json; returns its path."""
    path = detector_folder(run) / FILE
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps({"model_sha256": graph.sha256, **asdict(detector)}, indent=2) + "\n")
    return path


def detector_of(run: Run, graph: Graph) -> tuple[Detector, str]:
    """The detector of a net, and where its threshold is from: detector.json of `make stream` in detector_folder(),
    or beside the model, there also by its name; else the default. A detector.json of another net is passed over.
    UserError for a damaged one, and for a net whose input or scores firmware/stream does not take."""
    check_graph(graph)
    for path in (detector_folder(run) / FILE, run.folder / FILE, beside(run.tflite_path)):
        found = _read(path)
        if found and found.pop("model_sha256", None) == graph.sha256:
            return _of_fields(found, path, run, graph), str(path)
    _check_labels(run.labels, run.folder, graph)
    lacks = "" if run.named_labels else "; labels unknown, so silence is a word: `make stream LABELS=...`"
    return Detector.of(run.labels), f"default ({DEFAULT_THRESHOLD} of {SCORE_ONE}); `make stream` picks one{lacks}"


def check_graph(graph: Graph) -> None:
    """UserError where firmware/stream does not take the net."""
    input_quantizer(graph)
    if graph.output.dtype != "int8":
        raise UserError(f"tensor {graph.output.name}: output is {graph.output.dtype}; the detector takes int8 scores")
    _check("labels", graph.output.elements, 1, MAX_LABELS)


def labels_heard(graph: Graph) -> int:
    """Of the detector that an image of this net has; 0 where firmware/stream does not take it."""
    try:
        check_graph(graph)
    except UserError:
        return 0
    return graph.output.elements


def _check_labels(labels: tuple[str, ...], path: Path, graph: Graph) -> None:
    if len(labels) != graph.output.elements:
        raise UserError(f"{path}: {len(labels)} labels, and the net has {graph.output.elements} scores")


def _read(path: Path) -> dict | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); `make stream` writes it again") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: holds no detector; `make stream` writes it again")
    return found


def _of_fields(fields: dict, path: Path, run: Run, graph: Graph) -> Detector:
    try:
        detector = Detector(**{key: tuple(value) if isinstance(value, list) else value
                               for key, value in fields.items()})
    except TypeError as error:
        raise UserError(f"{path}: {error}; `make stream` writes it again") from error
    _check_labels(detector.labels, path, graph)
    return replace(detector, labels=run.labels) if run.named_labels else detector
