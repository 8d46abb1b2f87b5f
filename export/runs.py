"""What the user names by RUN or MODEL: a finished run of kws_grow, or any int8 .tflite."""

import json
from dataclasses import dataclass
from pathlib import Path

from datasets.console import Parser, UserError
from datasets.features import N_FRAMES, N_MELS, MfccQuantizer
from export.graph import Graph
from export.tflite_reader import read_tflite

RUNS = Path("runs")


@dataclass(frozen=True)
class Run:
    """A net to export, simulate or emulate.

    name: the run's, or the model file's stem; results go to build/NAME/. folder: where the model lies.
    labels: of the scores, in order; ("class_0", ...) for a model that comes without. dataset: the training data's
    name, "unknown" for such a model. net_path: net.npz (export.net.FloatNet), or None. data: the folder it learnt from,
    where that is still there.
    """

    name: str
    folder: Path
    tflite_path: Path
    labels: tuple[str, ...]
    dataset: str
    net_path: Path | None
    data: Path | None = None

    @property
    def named_labels(self) -> bool:
        return self.net_path is not None


def net_parser(module: str, description: str, clips: bool = False) -> Parser:
    """A command line that names a net, and the clips to run it on where it takes some."""
    parser = Parser(prog=f"python -m {module}", description=description)
    parser.add_argument("--run", help="a folder of runs/; default: the newest finished one")
    parser.add_argument("--model", type=Path, help="any int8 .tflite instead")
    if clips:
        parser.add_argument("--data", type=Path, help="folder of clips, whose validation is taken; default: the run's")
        parser.add_argument("--clips", type=Path, help="folder of WAVs, one sub-folder a label, instead")
    return parser


def resolve(run: str | None = None, model: str | Path | None = None, runs: Path = RUNS) -> Run:
    """The run `run` of the folder `runs` (default: the newest finished one), or the .tflite `model`.

    UserError where there is no such run or file, where a run is not finished, or where both are named.
    """
    if run and model:
        raise UserError(f"RUN={run} and MODEL={model}: name one of the two")
    return _of_model(Path(model)) if model else _of_folder(_folder(run, runs))


def _of_model(path: Path) -> Run:
    outputs = read_tflite(path).output.elements
    return Run(path.stem, path.parent, path, tuple(f"class_{i}" for i in range(outputs)), "unknown", None)


def _of_folder(folder: Path) -> Run:
    summary = _summary(folder)
    data = Path(summary.get("data", ""))
    return Run(folder.name, folder, folder / "model.tflite", tuple(summary["labels"]), summary["dataset"],
               folder / "net.npz", data if summary.get("data") and data.is_dir() else None)


def _folder(run: str | None, runs: Path) -> Path:
    finished = sorted((folder for folder in _folders(runs) if _summary(folder)),
                      key=lambda folder: (folder / "summary.json").stat().st_mtime)
    if not run:
        if not finished:
            raise UserError(f"{runs}/: no finished run in it; `make grow-kws` makes one, or name a MODEL=x.tflite")
        return finished[-1]
    named = runs / Path(run).name
    if named in finished:
        return named
    there = ", ".join(folder.name for folder in finished) or "none; `make grow-kws` makes one"
    state = "not finished; the same `make grow-kws` goes on with it" if named.is_dir() else "no such run"
    raise UserError(f"RUN={run}: {state}; finished in {runs}/: {there}")


def _folders(runs: Path) -> list[Path]:
    return sorted(path for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else []


def _summary(folder: Path) -> dict | None:
    """Of a finished run whose files are there; else None."""
    try:
        summary = json.loads((folder / "summary.json").read_text())
    except (OSError, ValueError):
        return None
    whole = isinstance(summary, dict) and summary.get("finished") and {"labels", "dataset"} <= summary.keys()
    return summary if whole and all((folder / name).is_file() for name in ("model.tflite", "net.npz")) else None


def input_quantizer(graph: Graph) -> MfccQuantizer:
    """Codes to the int8 input of `graph`. UserError where it is not MFCC of one second."""
    shape = graph.input.shape
    if not (shape[:2] == (1, N_FRAMES) and graph.input.elements == N_FRAMES * shape[2] and shape[2] <= N_MELS):
        raise UserError(f"tensor {graph.input.name}: input has shape {shape}; our features are "
                        f"[1, {N_FRAMES}, coefficients, 1], at most {N_MELS} coefficients")
    try:
        return MfccQuantizer.of(float(graph.input.scale[0]), int(graph.input.zero_point[0]), shape[2])
    except ValueError as error:
        raise UserError(f"tensor {graph.input.name}: {error}") from error
