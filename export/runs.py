"""What the user names by RUN or MODEL: a finished run of kws_grow, or any int8 .tflite."""

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from datasets.console import Parser, UserError
from datasets.features import N_FRAMES, N_MELS, MfccQuantizer
from datasets.wav_folder import MARKER
from export.graph import Graph
from export.metadata import Metadata, metadata_of, other_features
from export.tflite_reader import read_tflite

RUNS = Path("runs")
MAX_INPUT_BYTES = 64 << 20  # of random rows together; drawing them takes some 25 times as much
NAME_BYTES = 100  # of a folder; file systems allow 255


@dataclass(frozen=True)
class Run:
    """A net to export, simulate or emulate.

    name: the run's, or the model file's stem; results go to build/NAME/. folder: where the model lies.
    labels: of the scores, in order; ("class_0", ...) for a model that comes without (export.metadata). dataset: the
    training data's name, "unknown" for such a model. net_path: net.npz (export.net.FloatNet), or None. data: the
    folder it learnt from, where that is still there.
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
        return self.labels != _unnamed(len(self.labels))


def net_parser(module: str, description: str, clips: bool = False, kernels: bool = False) -> Parser:
    """A command line that names a net, the clips to run it on where it takes some, and the kernels where it links
    any (export.kernels)."""
    parser = Parser(prog=f"python -m {module}", description=description)
    parser.add_argument("--run", help="a folder of runs/; default: the newest finished one")
    parser.add_argument("--model", type=Path, help="any int8 .tflite instead")
    if clips:
        parser.add_argument("--data", type=Path, help="folder of clips, whose validation is taken; default: the run's")
        parser.add_argument("--clips", type=Path, help="folder of WAVs, one sub-folder a label, instead")
    if kernels:
        parser.add_argument("--kernels", help="tuned, portable or cmsis-nn; default: tuned")
        parser.add_argument("--cmsis-nn", type=Path, help="folder of your build of CMSIS-NN")
    return parser


def resolve(run: str | None = None, model: str | Path | None = None, runs: Path = RUNS) -> Run:
    """The run `run` of the folder `runs` (default: the newest finished one), or the .tflite `model`.

    UserError where there is no such run or file, where a run is not finished, or where both are named.
    """
    if run and model:
        raise UserError(f"RUN={run} and MODEL={model}: name one of the two")
    return _of_model(Path(model)) if model else _of_folder(_folder(run, runs))


def resolve_several(run: str | None = None, models: str | Path | None = None, runs: Path = RUNS) -> tuple[Run, ...]:
    """resolve(), where `models` may name several files: with commas between them, or else with spaces.

    UserError, beside resolve's, where `models` names none.
    """
    if not models or is_file(models):
        return (resolve(run, models, runs),)
    text = str(models)
    named = [name.strip() for name in (text.split(",") if "," in text else text.split()) if name.strip()]
    if not named:
        raise UserError(f"MODEL={text}: names no file; allowed: one .tflite, or several with commas or spaces between")
    return tuple(resolve(run, name, runs) for name in named)


def is_file(path: str | Path) -> bool:
    """False too for what is too long for a path, as several are together."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def joint_name(runs: tuple[Run, ...]) -> str:
    """The name of one net or several together; where that is long, its beginning and a part of its SHA-256."""
    name = "+".join(run.name for run in runs)
    if len(runs) == 1 or len(name.encode()) <= NAME_BYTES:
        return name
    return f"{name.encode()[:NAME_BYTES - 9].decode(errors='ignore')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _of_model(path: Path) -> Run:
    graph = read_tflite(path)
    told = _told(path, graph)
    return Run(path.stem, path.parent, path, told.labels, told.dataset, None)


def _told(path: Path, graph: Graph) -> Metadata:
    """What the file tells of itself; where that is nothing or damaged, which a line says, names of no meaning: all else
    of such a file is right, and LABELS still serves."""
    try:
        found = metadata_of(graph)
    except UserError as error:
        print(f"warning: {path}: {error}; ignored", file=sys.stderr)
        found = None
    return found or Metadata(_unnamed(graph.output.elements), "unknown", {})


def _unnamed(outputs: int) -> tuple[str, ...]:
    return tuple(f"class_{i}" for i in range(outputs))


def _of_folder(folder: Path) -> Run:
    summary = _summary(folder)
    data = Path(summary.get("data", ""))
    return Run(folder.name, folder, folder / "model.tflite", tuple(summary["labels"]),
               summary.get("dataset", "unknown"), folder / "net.npz",
               data if summary.get("data") and data.is_dir() else None)


def whole_number(name: str, text: str, least: int, most: int) -> int:
    """The value of the option `name`. UserError unless it lies in [least, most]."""
    digits = text.lstrip("0") or text[:1]
    if not text.isdecimal() or len(digits) > len(str(most)) or not least <= int(digits) <= most:
        raise UserError(f"{name}={text[:40]}: allowed are whole numbers from {least} to {most}")
    return int(digits)


def most_rows(graph: Graph) -> int:
    """Rows of random inputs of `graph` that a machine's memory surely holds."""
    return max(1, MAX_INPUT_BYTES // graph.input.bytes)


def run_name(text: str) -> str:
    """The run that RUN names: "x", or "runs/x/" as the shell completes it. UserError for any other path."""
    name = text.removeprefix(f"{RUNS}/").removesuffix("/")
    if not name or "/" in name or name.startswith("."):
        raise UserError(f"RUN={text}: allowed is the plain name of a folder of {RUNS}/, not starting with a dot")
    return name


def _folder(run: str | None, runs: Path) -> Path:
    faults = {folder: _fault(folder) for folder in _folders(runs)}
    finished = sorted((folder for folder, fault in faults.items() if not fault),
                      key=lambda folder: (folder / "summary.json").stat().st_mtime)
    if not run:
        if not finished:
            found = "".join(f"; {folder.name}: {fault}" for folder, fault in faults.items())
            raise UserError(f"{runs}/: no finished run in it; `make grow-kws` makes one, or name a MODEL=x.tflite"
                            f"{found}")
        return finished[-1]
    named = runs / run_name(run)
    if named in finished:
        return named
    there = ", ".join(folder.name for folder in finished) or "none; `make grow-kws` makes one"
    raise UserError(f"RUN={run}: {faults.get(named, 'no such run')}; finished in {runs}/: {there}")


def _folders(runs: Path) -> list[Path]:
    return sorted(path for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else []


def _fault(folder: Path) -> str:
    """Why a folder is no finished run; empty where it is one."""
    summary = _summary(folder)
    if summary is None:
        return "its summary.json is damaged; delete that file, and the same `make grow-kws` writes it again"
    if not summary.get("finished"):
        return "not finished; the same `make grow-kws` goes on with it"
    gone = [name for name in ("model.tflite", "net.npz") if not (folder / name).is_file()]
    return f"its {gone[0]} is missing; grow it again" if gone else ""


def _summary(folder: Path) -> dict | None:
    """Of a run; empty where there is none, None where it is damaged."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
    kinds = {"labels": list, "dataset": str, "data": str}
    good = isinstance(summary, dict) and all(isinstance(summary.get(key, ""), kind) for key, kind in kinds.items())
    return summary if good and all(isinstance(label, str) for label in summary["labels"]) else None


def clips_name(folder: Path) -> str:
    """What a summary calls CLIPS: the folder, marked where its speech is synthetic."""
    return f"{folder} (synthetic)" if (Path(folder) / MARKER).is_file() else str(folder)


def takes_features(graph: Graph) -> bool:
    """Whether our features are the input of `graph`."""
    try:
        return input_quantizer(graph) is not None
    except UserError:
        return False


def input_quantizer(graph: Graph) -> MfccQuantizer:
    """Codes to the int8 input of `graph`. UserError where it is not MFCC of one second, or the file says that it wants
    other features than ours."""
    shape = graph.input.shape
    if graph.input.dtype != "int8":
        raise UserError(f"tensor {graph.input.name}: input is {graph.input.dtype}; our features are int8")
    if not (shape[:2] == (1, N_FRAMES) and graph.input.elements == N_FRAMES * shape[2] and shape[2] <= N_MELS):
        raise UserError(f"tensor {graph.input.name}: input has shape {shape}; our features are "
                        f"[1, {N_FRAMES}, coefficients, 1], at most {N_MELS} coefficients")
    if differ := other_features(graph):
        raise UserError(f"tensor {graph.input.name}: its features are not ours: {differ}")
    try:
        return MfccQuantizer.of(float(graph.input.scale[0]), int(graph.input.zero_point[0]), shape[2])
    except ValueError as error:
        raise UserError(f"tensor {graph.input.name}: {error}") from error
