"""Finished runs that nobody trained: the committed net, with made-up clips."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from export.runs import Run
from export.simulate import REFERENCE, LabelledCodes, int8_predictions
from kws_grow import jobs
from kws_grow.config import GrowConfig
from kws_grow.recipes import Recipe

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
COMMITTED, OTHER = RESULTS / "small-energy-aware", RESULTS / "small-random"
NET = {"widths": [52, 68, 60, 56, 120], "depths": [0] * 5, "strides": [1] * 4}
LABELS = tuple(json.loads((COMMITTED / "summary.json").read_text())["labels"])
LOG = ({"epoch": 1, "phase": "round 0", "loss": 2.0, "dev_accuracy": 0.5, "widths": [16] * 5, "depths": [0] * 5},
       {"round": 1, "widths": NET["widths"], "layers": []},
       {"epoch": 2, "phase": "round 1", "loss": 1.0, "dev_accuracy": 0.7, "widths": NET["widths"], "depths": [0] * 5},
       {"epoch": 3, "phase": "final", "loss": 0.5, "dev_accuracy": 0.8, "widths": NET["widths"], "depths": [0] * 5})


def clips(run: Run, n: int = 60) -> LabelledCodes:
    """Three quarters of them labelled as the run's net does."""
    codes = np.random.default_rng(0).integers(0, 256, (n, 49, 40)).astype(np.uint8)
    labels = int8_predictions(run.tflite_path.read_bytes(), codes)
    labels[::4] = (labels[::4] + 1) % len(LABELS)
    return LabelledCodes(codes, labels, "validation of speech_commands_v0.02", "ab" * 32, (), REFERENCE)


def config_of(recipe: Recipe, seed: int, **other) -> GrowConfig:
    """Of a run by the recipe."""
    return replace(recipe.config, **{"dataset_sha256": "d", "board_bytes": (1, 2), "costs_hash": "of then",
                                     "seed": seed, "device": "cpu", **other})


def summary_of(config: GrowConfig, **other) -> dict:
    return {"accuracy_int8": 0.75, "accuracy_float": 0.74, "accuracy_int8_dev": 0.8, "accuracy_float_dev": 0.79,
            "accuracy_int8_dev_without_qat": 0.78, "ranges_tried": {"minmax": 0.78, "qat": 0.8},
            "operations": 5_997_880, "clips": 60, "list_sha256": "ab" * 32,
            "dataset": config.dataset, "labels": list(LABELS), **NET,
            "epochs": 3, "rounds": 1, "method": config.method, "budget": config.budget,
            "board": config.board, "seed": config.seed,
            "kernels": config.kernels, "wall_s": 61.5, "finished": True, "ranges": "qat", "commit": "abc",
            "command": "python -m kws_grow.grow --seed 7", **other}


def net_of(seed: int) -> Path:
    """The folder that the net of a fabricated run of that seed is from."""
    return OTHER if seed % 2 else COMMITTED


def write_run(folder: Path, config: GrowConfig, **summary) -> Path:
    """A finished run; those of odd seeds have another net."""
    folder.mkdir(parents=True)
    for name in ("model.tflite", "net.npz"):
        shutil.copyfile(net_of(config.seed) / name, folder / name)
    (folder / "config.json").write_text(config.to_json())
    (folder / "summary.json").write_text(json.dumps(summary_of(config, **summary)))
    (folder / "growth.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LOG))
    return folder


class Command:
    """A command that runs units, in a folder of its own; its runs copy what was prepared instead of training."""

    def __init__(self, base: Path, monkeypatch, module, *options: str):
        self.base, self.monkeypatch, self.module, self.options = base, monkeypatch, module, options
        monkeypatch.chdir(base)
        monkeypatch.setattr(module, "command_of", self.command)
        monkeypatch.setattr(jobs, "POLL_S", 0.02)

    def __call__(self, *arguments: str) -> dict:
        name = self.module.__name__.rpartition(".")[2]
        self.monkeypatch.setattr("sys.argv", [name, "--out", "out", *self.options, *arguments])
        self.module.main()
        return self.summary

    @property
    def summary(self) -> dict:
        return json.loads((self.base / "out" / "summary.json").read_text())

    @property
    def order(self) -> list[str]:
        path = self.base / "order"
        return path.read_text().splitlines() if path.exists() else []
