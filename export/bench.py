"""`make bench-export`: seconds of an export, image included; clips a second of host C and of ONNX Runtime."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from datasets.console import UserError, commit, finish, run_command
from datasets.parallel import cores
from export.host import host_scores
from export.onnx_writer import to_onnx
from export.runs import most_rows, net_parser, resolve
from export.stimuli import random_stimuli
from export.tflite_reader import read_tflite
from export.witness import onnx_scores

ROWS = 4000  # fewer of a net of large inputs


def main() -> None:
    """Each measured once, after a short call that warms up."""
    run = resolve(*vars(net_parser("export.bench", __doc__).parse_args()).values())
    graph = read_tflite(run.tflite_path)
    model, inputs = to_onnx(graph), random_stimuli(graph, min(ROWS, most_rows(graph)))
    scorers = {"host_c": lambda rows: host_scores(graph, rows), "onnx_runtime": lambda rows: onnx_scores(model, rows)}
    figures = {f"{name}_clips_per_s": round(clips_per_s(scorer, inputs)) for name, scorer in scorers.items()}
    finish({"run": run.name, **figures, "export_s": round(export_s(run.tflite_path), 1), "rows": len(inputs),
            "cores": cores(), "model_sha256": graph.sha256, "commit": commit()},
           Path("build/bench-export"), f"Speed of exporting {run.name}")


def clips_per_s(scorer: Callable, inputs) -> float:
    """Compiling or loading the net counts too."""
    scorer(inputs[:2])
    start_s = time.perf_counter()
    scorer(inputs)
    return len(inputs) / (time.perf_counter() - start_s)


def export_s(tflite: Path) -> float:
    """Wall time of `make export-mcu MODEL=`, the start of Python included."""
    with tempfile.TemporaryDirectory() as folder:
        start_s = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "export.mcu", "--model", str(tflite), "--out", folder],
                              capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"exporting {tflite} failed: {done.stderr.strip()}")
        return time.perf_counter() - start_s


if __name__ == "__main__":
    run_command(main)
