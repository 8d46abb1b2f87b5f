"""What each ingredient of a recipe is worth on dev: the recipe beside itself without the ingredient, paired by seed."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.console import atomic_write
from export.simulate import wilson
from kws_grow.comparison import gap_of, points
from kws_grow.markdown import markdown_table
from kws_grow.recipes import Recipe, flat

HEADING = """# What each ingredient is worth

Of the recipes in `kws_grow/recipes.py`, on `dev`{clips}. Written by `make results` from the rows that are
there; `make results NAMES=ABLATION` runs one.

"""
INT8, FLOAT, UNTUNED = "accuracy_int8_dev", "accuracy_float_dev", "accuracy_int8_dev_without_qat"
HEAD = ["of", "without", "seeds", "int8, dev", "without it", "difference, points", "float, points", "operations, M",
        "without it", "minutes", "without it"]


@dataclass(frozen=True)
class Worth:
    """pairs: the summary of a seed of `whole`, and of the same seed of what lacks the ingredient, which holds nothing
    that was not measured without it. lacks: in words."""

    whole: str
    lacks: str
    pairs: tuple[tuple[dict, dict], ...]


def changed(whole: Recipe, without: Recipe) -> str:
    """"small-half (schedule.final_epochs 25)": its name, and what it has where it is another recipe."""
    ours, theirs = (flat(json.loads(recipe.config.to_json())) for recipe in (whole, without))
    told = ", ".join(f"{name} {theirs[name]}" for name in theirs if ours.get(name) != theirs[name])
    return f"`{without.name}` ({told})"


def fine_tuning(whole: str, summaries: Iterable[dict]) -> Worth:
    """QAT costs no growth to leave out: a run tells its int8 accuracy with it and without, whichever dev kept."""
    pairs = tuple((s | {INT8: s["ranges_tried"]["qat"]}, {INT8: s[UNTUNED]}) for s in summaries)
    return Worth(whole, "QAT (best ranges without it)", pairs)


def write_ablations(worths: Iterable[Worth], folder: Path) -> None:
    """folder/table.md; taken away where there is nothing to tell."""
    worths = [worth for worth in worths if worth.pairs]
    path = folder / "table.md"
    if not worths:
        return path.unlink(missing_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(HEADING.format(clips=_noise(worths)) + markdown_table(HEAD, map(_row, worths)) + "\n")
    return None


def _noise(worths: list[Worth]) -> str:
    """How well one net's accuracy is known there; empty where a run does not tell."""
    whole = [summary for worth in worths for summary, _ in worth.pairs]
    if not all("clips_dev" in summary for summary in whole):
        return ""
    clips, share = min(s["clips_dev"] for s in whole), np.mean([s[INT8] for s in whole])
    low, high = wilson(round(clips * share), clips)
    return f": {clips:,} clips, so that one net's accuracy is known to plus or minus {50 * (high - low):.1f} points"


def _row(worth: Worth) -> list[str]:
    seeds = ", ".join(str(whole["seed"]) for whole, _ in worth.pairs)
    return [worth.whole, worth.lacks, seeds, *_means(worth, INT8, 100, 2), _gap(worth, INT8), _gap(worth, FLOAT),
            *_means(worth, "operations", 1e-6, 3), *_means(worth, "wall_s", 1 / 60, 1)]


def _means(worth: Worth, key: str, scale: float, digits: int) -> list[str]:
    """With the ingredient and without it; empty where that was not measured."""
    return [f"{np.mean([pair[i][key] for pair in worth.pairs]) * scale:.{digits}f}"
            if all(key in pair[i] for pair in worth.pairs) else "" for i in (0, 1)]


def _gap(worth: Worth, key: str) -> str:
    if not all(key in summary for pair in worth.pairs for summary in pair):
        return ""
    return points(gap_of([whole[key] - without[key] for whole, without in worth.pairs]))
