"""The best seed of a recipe is published: models/NAME.*, and beside its seeds what export, verification and the stream
found of those very files."""

import json
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from datasets.console import UserError, atomic_write
from export.detector import beside
from export.net import SAFETENSORS
from export.runs import Run
from kws_grow.jobs import last_line
from kws_grow.publish import publish, simulate
from kws_grow.recipes import Recipe

FACTS = ("simulate", "stream", "export", "verify")
VERIFIED_ROWS = "200"


def fact_paths(folder: Path) -> dict[str, Path]:
    """Where each of FACTS lies in a recipe's folder of results."""
    return {name: folder / f"{name}.json" for name in FACTS}


def published(models: Path, name: str) -> tuple[Path, ...]:
    """Files of a net in models/, but for its card."""
    tflite = models / f"{name}.tflite"
    return tflite, tflite.with_suffix(SAFETENSORS), beside(tflite)


def facts_of(model_sha256: str, recipe: Recipe, folder: Path, models: Path) -> dict[str, dict]:
    """By FACTS; empty unless models/ holds this net and all facts are of the very files there."""
    files = published(models, recipe.name)
    if not all(path.is_file() for path in (*files, models / f"{recipe.name}.md")):
        return {}
    found, wanted = {name: _read(path) for name, path in fact_paths(folder).items()}, told_of(model_sha256, files)
    return found if all(wanted.items() <= each.items() for each in found.values()) else {}


def _read(path: Path) -> dict:
    """Empty where the file is missing or damaged: it is written again."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def told_of(model_sha256: str, files: tuple[Path, ...]) -> dict:
    """What ties facts to a seed and to the files in models/."""
    return {"model_sha256": model_sha256, "files": digests(files)}


def digests(files: tuple[Path, ...]) -> dict[str, str]:
    """SHA-256 by name."""
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in files}


def deploy(run: Run, model_sha256: str, recipe: Recipe, folder: Path, models: Path, data: Path | None,
           logs: Path) -> None:
    """Simulate, listen, export and verify in a folder of `logs`; only then move to `models`. UserError where one fails,
    or where the run is not the seed's."""
    if sha256(run.tflite_path.read_bytes()).hexdigest() != model_sha256:
        raise UserError(f"{run.folder}: another run than the seed that is kept; delete one of the two")
    staged, simulated = logs / recipe.name / "models", simulate(run, data)
    publish(run, recipe.name, staged, simulated)
    files = published(staged, recipe.name)
    model, source = ["--model", str(files[0])], data or run.data
    streamed = ask(recipe, "export.stream", [*model, *(["--data", str(source)] if source else [])], logs)
    shutil.copyfile(streamed["detector"], files[2])
    facts = dict(zip(FACTS, (simulated, streamed, ask(recipe, "export.mcu", [*model, "--board", recipe.board], logs),
                             ask(recipe, "export.verify", [*model, "--limit", VERIFIED_ROWS], logs)), strict=True))
    of = told_of(model_sha256, files)
    for path in (*files, files[0].with_suffix(".md")):
        with atomic_write(models / path.name) as temporary:
            shutil.copyfile(path, temporary)
    for name, path in fact_paths(folder).items():
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(facts[name] | of, indent=1) + "\n")


def ask(recipe: Recipe, module: str, options: list[str], logs: Path) -> dict:
    """The summary of another command. UserError, with its last line, where it fails."""
    out, log = logs / recipe.name / module, logs / f"{recipe.name}-{module}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"{recipe.name}: {module}, log in {log}", flush=True)
    with log.open("wb") as file:
        done = subprocess.run([sys.executable, "-m", "datasets.launch", module, *options, "--out", str(out)],
                              stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    if done.returncode:
        raise UserError(f"{module}: {last_line(log).removeprefix('error: ')}")
    return json.loads((out / "summary.json").read_text())
