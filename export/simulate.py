"""Accuracy of a net on the host: int8 bit for bit as on the board, in ONNX Runtime, and float beside it."""

import sys
import time
from argparse import Namespace
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path

import numpy as np

from datasets.console import UserError, atomic_write, commit, finish, progress, run_command
from datasets.features import N_FRAMES, N_MELS, dct_matrix, log_mel_codes
from datasets.load import load
from datasets.log_mel import find_images
from datasets.waveforms import labelled_clips, read_clips
from export.host_features import host_codes
from export.net import load_net
from export.onnx_writer import float_onnx, to_onnx
from export.runs import Run, clips_name, input_quantizer, net_parser, resolve
from export.tflite_reader import read_tflite
from export.toolchain import host_compiler
from export.witness import onnx_scores

FIRMWARE, REFERENCE = "firmware's C", "float64 reference"  # the second is within one code of the first
IMAGES = "images of the data"
Z_95 = 1.959964  # standard normal quantile of a two-sided 95 % interval


@dataclass(frozen=True)
class LabelledCodes:
    """What is simulated: codes uint8 [n, 49, 40], label indices [n], where they are from, and what was left out.

    features: that made the codes: FIRMWARE, REFERENCE or IMAGES.
    """

    codes: np.ndarray
    labels: np.ndarray
    source: str
    list_sha256: str
    skipped: tuple[str, ...]
    features: str


def main() -> None:
    arguments = _arguments()
    start_s = time.monotonic()
    run = with_labels(resolve(arguments.run, arguments.model), arguments.labels)
    clips = read_codes(run, arguments.data or run.data, arguments.clips)
    folder = arguments.out or Path("build") / run.name / "simulate"
    confusion = confusion_matrix(clips.labels, int8_predictions(run.tflite_path.read_bytes(), clips.codes),
                                 len(run.labels))
    print(confusion_text(confusion, run.labels))
    draw_confusion(confusion, run.labels, folder / "confusion.png")
    summary = summarize(run, clips, confusion) | {"wall_s": round(time.monotonic() - start_s, 1), "commit": commit()}
    finish(summary, folder, f"Simulated {run.name} on {clips.source}")


def _arguments() -> Namespace:
    parser = net_parser("export.simulate", __doc__, clips=True)
    parser.add_argument("--labels", help="of a --model's scores, in order, separated by commas")
    parser.add_argument("--out", type=Path, help="where summary.json goes; default: build/RUN/simulate")
    return parser.parse_args()


def with_labels(run: Run, text: str | None) -> Run:
    """The run with the labels that the user gives; needed where the model comes without its own."""
    if text is None and run.named_labels:
        return run
    labels = tuple(filter(None, map(str.strip, (text or "").split(","))))
    if len(labels) != len(run.labels):
        raise UserError(f"{run.tflite_path}: {len(run.labels)} scores and {len(labels)} labels; give "
                        "LABELS=_silence_,_unknown_,yes,... in the order of the scores")
    return replace(run, labels=labels)


def read_codes(run: Run, data: Path | None, clips: Path | None) -> LabelledCodes:
    """The WAVs of `clips` where given, else the validation split of `data`, labelled for the run."""
    if clips is not None:
        return _codes_of_folder(run, clips)
    keywords = tuple(label for label in run.labels if not label.startswith("_"))
    dataset = load(data, keywords)
    order = [run.labels.index(label) if label in run.labels else -1 for label in dataset.labels]
    labels = np.array(order)[dataset.validation.labels]
    codes = np.ascontiguousarray(dataset.validation.codes[labels >= 0, ::2])
    return LabelledCodes(codes, labels[labels >= 0], f"validation of {dataset.name}", dataset.list_sha256,
                         dataset.skipped, IMAGES if find_images(dataset.source) else REFERENCE)


def _codes_of_folder(run: Run, folder: Path) -> LabelledCodes:
    found = [pair for pair in labelled_clips(folder, run.labels) if pair[1] >= 0]
    if not found:
        raise UserError(f"{folder}: no sub-folder is one of the labels {', '.join(run.labels)}")
    waveforms, places, skipped = read_clips([path for path, _ in found])
    if skipped:
        print(f"skipped {len(skipped)} of {len(found)} clips, the first: {skipped[0]}", file=sys.stderr)
    if not len(waveforms):
        raise UserError(f"{folder}: none of its {len(found)} clips can be read; the first: {skipped[0]}")
    codes, features = _codes_of(waveforms)
    labels = np.array([found[place][1] for place in places])
    return LabelledCodes(codes, labels, clips_name(folder), "", skipped, features)


def _codes_of(waveforms: np.ndarray) -> tuple[np.ndarray, str]:
    """Codes as the board computes them, and by what; by the reference where this machine compiles no C."""
    extract, features = host_codes, FIRMWARE
    try:
        host_compiler()
    except UserError as error:
        print(f"features by the {REFERENCE} instead of the {FIRMWARE}: {error}", file=sys.stderr)
        extract, features = log_mel_codes, REFERENCE
    codes = [extract(wave) for wave in progress(waveforms, "features", unit="clip")]
    return np.array(codes).reshape(len(waveforms), N_FRAMES, N_MELS), features


def int8_predictions(tflite: bytes, codes: np.ndarray) -> np.ndarray:
    """Index of the largest int8 score [n] (the first of equal ones), bit for bit what the board finds.

    codes: uint8 [n, 49, 40], log-mel every 20 ms.
    """
    graph = read_tflite(tflite)
    return onnx_scores(to_onnx(graph), input_quantizer(graph)(codes)).argmax(axis=1)


def float_predictions(net_path: Path, codes: np.ndarray) -> np.ndarray:
    """The same by the float net, on MFCC in real units."""
    net = load_net(net_path)
    mfcc = codes.astype(np.float32) @ dct_matrix(net.input_shape[1]).T.astype(np.float32)
    return onnx_scores(float_onnx(net), mfcc).argmax(axis=1)


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, n_labels: int) -> np.ndarray:
    """Counts int64 [true, predicted]."""
    matrix = np.zeros((n_labels, n_labels), np.int64)
    np.add.at(matrix, (labels, predictions), 1)
    return matrix


def wilson(hits: int, total: int) -> tuple[float, float]:
    """95 % interval of a share, by Wilson's score; (0, 1) for none."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = hits / total, Z_95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 / (1 + z2 / total) * sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def summarize(run: Run, clips: LabelledCodes, confusion: np.ndarray) -> dict:
    """What summary.json says; keys as everywhere (DESIGN, "What they type")."""
    total, hits = int(confusion.sum()), int(np.trace(confusion))
    summary = {"run": run.name, "accuracy_int8": hits / total,
               "accuracy_int8_95": [round(end, 4) for end in wilson(hits, total)], "clips": total}
    if run.net_path is not None:
        summary["accuracy_float"] = float((float_predictions(run.net_path, clips.codes) == clips.labels).mean())
    return summary | {
        "dataset": run.dataset, "simulated_on": clips.source, "list_sha256": clips.list_sha256,
        "features": clips.features,
        "skipped": list(clips.skipped), "labels": list(run.labels), "recall": _recalls(confusion, run.labels),
        "confusion": confusion.tolist()}


def _recalls(confusion: np.ndarray, labels: tuple[str, ...]) -> dict:
    rows = {}
    for label, hits, total in zip(labels, confusion.diagonal().tolist(), confusion.sum(axis=1).tolist(), strict=True):
        rows[label] = {"clips": total, "recall": hits / total if total else None,
                       "interval_95": [round(end, 4) for end in wilson(hits, total)]}
    return rows


def confusion_text(confusion: np.ndarray, labels: tuple[str, ...]) -> str:
    """Rows are the true labels, columns the predictions; recall with its 95 % interval at the end."""
    width, cell = max(map(len, labels)), max(7, *(len(label[:9]) + 1 for label in labels))
    lines = [" " * width + "".join(f"{label[:9]:>{cell}}" for label in labels) + "   recall, 95 % interval"]
    for label, row in zip(labels, confusion, strict=True):
        counts = "".join(f"{count:>{cell}}" for count in row)
        lines.append(f"{label:<{width}}{counts}   {_recall_text(int(row[labels.index(label)]), int(row.sum()))}")
    return "\n".join(lines)


def _recall_text(hits: int, total: int) -> str:
    if total == 0:
        return "no clips"
    low, high = wilson(hits, total)
    return f"{100 * hits / total:5.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def draw_confusion(confusion: np.ndarray, labels: tuple[str, ...], path: Path) -> None:
    """The matrix as a picture: shade is the share of a row, figures are counts."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(0.55 * len(labels) + 2.5, 0.5 * len(labels) + 2))
    axes = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(confusion):
        if count:
            axes.text(column, row, count, ha="center", va="center", fontsize=7,
                      color="white" if shares[row, column] > 0.5 else "black")
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    figure.tight_layout()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata={"Software": None})


if __name__ == "__main__":
    run_command(main)
