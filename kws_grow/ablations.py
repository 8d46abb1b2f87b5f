"""What each ingredient of a recipe is worth on dev: the recipe beside itself without the ingredient, paired by seed."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from datasets.console import atomic_write
from kws_grow.comparison import gap_of, points
from kws_grow.markdown import markdown_table
from kws_grow.recipes import Recipe

HEADING = """# What each ingredient is worth

Of the recipes in `kws_grow/recipes.py`, on `dev`: 986 clips of Speech Commands v0.02, so that one net's accuracy is
known to plus or minus 1.2 points. Written by `make results` from the rows that are there; `make results NAMES=ABLATION`
runs one.

"""
INT8, FLOAT, UNTUNED = "accuracy_int8_dev", "accuracy_float_dev", "accuracy_int8_dev_without_qat"
HEAD = ["of", "without", "seeds", "int8, dev", "without it", "difference, points", "float, points", "operations, M",
        "without it", "minutes", "without it"]


@dataclass(frozen=True)
class Worth:
    """pairs: the summary of a seed of `whole`, and of the same seed of what lacks the ingredient. lacks: in words."""

    whole: str
    lacks: str
    pairs: tuple[tuple[dict, dict], ...]


def changed(whole: Recipe, without: Recipe) -> str:
    """"small-plain (seed_depths, seed_strides)": its name, and the fields in which it is another recipe."""
    names = [f.name for f in fields(Recipe) if f.name not in ("name", "seeds")
             and getattr(whole, f.name) != getattr(without, f.name)]
    return f"`{without.name}` ({', '.join(names)})"


def fine_tuning(whole: str, summaries: Iterable[dict]) -> Worth:
    """QAT costs no growth to leave out: a run tells its int8 accuracy before it, too."""
    return Worth(whole, "QAT (best ranges without it)", tuple((s, {**s, INT8: s[UNTUNED]}) for s in summaries))


def write_ablations(worths: Iterable[Worth], folder: Path) -> None:
    """folder/table.md; none where there is nothing to tell."""
    rows = [_row(worth) for worth in worths if worth.pairs]
    if rows:
        with atomic_write(folder / "table.md") as temporary:
            temporary.write_text(HEADING + markdown_table(HEAD, rows) + "\n")


def _row(worth: Worth) -> list[str]:
    def means(key: str, scale: float, digits: int) -> list[str]:
        return [f"{sum(pair[i][key] for pair in worth.pairs) / len(worth.pairs) * scale:.{digits}f}" for i in (0, 1)]
    seeds = ", ".join(str(whole["seed"]) for whole, _ in worth.pairs)
    return [worth.whole, worth.lacks, seeds, *means(INT8, 100, 2), _gap(worth, INT8), _gap(worth, FLOAT),
            *means("operations", 1e-6, 3), *means("wall_s", 1 / 60, 1)]


def _gap(worth: Worth, key: str) -> str:
    return points(gap_of([whole[key] - without[key] for whole, without in worth.pairs]))
