"""`make results`: what is grown and chosen, what is published when, what the report says and what it marks."""

import json
import re
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
from fabricated import LOG, RESULTS, Command, clips, config_of, net_of, write_run

from datasets.console import UserError
from export.cost import Tariff
from export.net import load_net
from export.runs import resolve
from export.simulate import int8_predictions
from kws_grow import architecture, deployment, grow, publish, published, recipes, results, results_report
from kws_grow.ablations import Worth, changed, fine_tuning, write_ablations
from kws_grow.architecture import draw, stages_of
from kws_grow.augment import augmentation_of
from kws_grow.config import Schedule
from kws_grow.markdown import to_html
from kws_grow.published import PUBLISHED
from kws_grow.recipes import ABLATED, ABLATIONS, RECIPES, TEACHERS, Recipe, known_recipes, recipe_of, teacher_file
from kws_grow.results import Unit
from kws_grow.teacher import digests_of

COPY = """
import shutil, sys
source, run, name, fails = sys.argv[1:]
print(name, file=open("order", "a"))
fails == "True" and sys.exit("error: it broke")
shutil.copytree(source, run, dirs_exist_ok=True)
"""
SMALL = RECIPES["small"]
ASKED = ["export.stream", "export.mcu", "export.verify"]
ANSWERS = {
    "export.stream": {
        "detector": "heard.json", "fa_per_hour_wanted": 1.0, "reached_on_dev": True, "false_accepts": 3,
        "minutes": 60.2, "false_accepts_per_hour_95": "0.62 to 8.77", "false_reject_rate": 0.186, "keywords": 3703,
        "validation": {"false_accepts_in": {"noise": {"minutes": 10.2, "synthetic": False},
                                            "babble": {"minutes": 50.0, "synthetic": True}}}},
    "export.mcu": {"flash_bytes": 69_900, "ram_bytes": 29_788},
    "export.verify": {"rows": 200, "equal_rows": 200, "boards": ["m3", "m4"], "left_out": ["mps2-an500: no qemu"]}}


class Bench(Command):
    """The command, without pictures.

    dev: accuracy of a seed on dev, 0.8 where not told. fails: seeds that break. learnt: what the configuration of a
    seed has otherwise. asked: modules that were. refuses: one of them that fails.
    """

    def __init__(self, base: Path, monkeypatch):
        super().__init__(base, monkeypatch, results, "--jobs", "2")
        self.dev, self.fails, self.learnt, self.asked, self.refuses = {}, set(), {}, [], ""
        monkeypatch.setattr(deployment, "ask", self.ask)
        monkeypatch.setattr(publish, "read_codes", lambda run, *_: clips(run))
        for name, place in (("plot", 1), ("draw_confusion", 2)):
            monkeypatch.setattr(results_report, name, lambda *given, place=place: given[place].write_bytes(b"drawn"))
        monkeypatch.setattr(results_report, "plot_growth", lambda folder, _: (folder / "growth.png").write_bytes(b""))
        (base / "heard.json").write_text('{"model_sha256": "x"}')
        monkeypatch.setattr(architecture, "draw", lambda *given: given[2].write_bytes(b""))

    def command(self, unit: Unit, plan) -> list[str]:
        prepared = self.base / "prepared" / str(len(list((self.base / "prepared").glob("*"))))
        config = config_of(unit.recipe, unit.seed, **self.learnt.get(unit.seed, {}))
        write_run(prepared, config, accuracy_int8_dev=self.dev.get(unit.seed, 0.8))
        return [sys.executable, "-c", COPY, str(prepared), str(plan.runs / unit.name), unit.name,
                str(unit.seed in self.fails)]

    def ask(self, recipe: Recipe, module: str, options: list[str], logs: Path) -> dict:
        self.asked.append(module)
        assert Path(options[1]).is_file()
        if module == self.refuses:
            raise UserError(f"{module}: 1 of 200 rows differ")
        return ANSWERS[module] | {"options": options}

    @property
    def page(self) -> str:
        return (self.base / "out" / "index.html").read_text()

    @property
    def models(self) -> dict[str, bytes]:
        """Files of models/, but for cards, which every report writes."""
        return {path.name: path.read_bytes() for path in (self.base / "models").iterdir() if path.suffix != ".md"}

    @property
    def card(self) -> str:
        return (self.base / "models" / "small.md").read_text()


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


@pytest.mark.parametrize("recipe", [*RECIPES.values(), Recipe(
    "odd", "ops<=2M", (0,), method="width", seed_widths=(8, 12, 8), seed_depths=(0, 1, 0), seed_strides=(2, 1),
    schedule=Schedule(seed_epochs=2, final_epochs=7, peak_lr=0.05), noise="mild", teachers=("medium-labels",),
    qat=False, qat_epochs=9, threads=2)])
def test_the_options_of_a_recipe_make_its_run(recipe, monkeypatch):
    """By grow-kws's own parser, against what is compared of a finished run."""
    monkeypatch.chdir(RESULTS.parents[1])
    monkeypatch.setattr("sys.argv", ["grow", *recipe.options])
    given = grow.parse_arguments()
    config = config_of(recipe, 0, budget=given.budget, board=given.board, method=given.method,
                       seed_widths=given.seed_widths, seed_depths=given.seed_depths, seed_strides=given.seed_strides,
                       index=grow.settings_of(given.method, given.index), threads=given.threads,
                       schedule=grow.schedule_of(given),
                       augmentation=grow.augmentation_of(given.silence, given.noise, given.voice, given.unknown),
                       teachers=grow.names_of(given.teacher),
                       quantization=grow.Quantization(given.ranges, given.qat, given.qat_epochs))
    assert recipe.differs(json.loads(config.to_json())) == ""
    assert config.threads == recipe.threads


@pytest.mark.parametrize(("name", "value"), [
    ("budget", "large"), ("board", "mps2-an386"), ("method", "signed"), ("index", "gains=alone"),
    ("seed_widths", (8, 8)), ("seed_depths", (0, 0, 0, 0, 1)), ("seed_strides", (2, 1, 1, 1)),
    ("schedule", Schedule(final_epochs=3)), ("silence", "plain"), ("noise", "mild"), ("voice", "plain"),
    ("unknown", "even"), ("teachers", ("small",)), ("qat", False), ("qat_epochs", 99)])
def test_a_run_by_another_recipe_is_known(name, value):
    other = replace(SMALL, **{name: value})
    found = SMALL.differs(json.loads(config_of(other, 0).to_json())).split(", ")
    fields = {each.removeprefix("quantization.").partition(".")[0] for each in found}
    named = "augmentation" if name in ("silence", "noise", "voice", "unknown") else name
    assert fields - ({"index"} if name == "method" else set()) == {named}  # settings of another method are others
    assert other.digest != SMALL.digest
    assert replace(SMALL, seeds=(9,)).digest == SMALL.digest


def test_every_field_of_a_recipe_is_compared():
    """But what does not change a net, and its name."""
    tested = {"budget", "board", "method", "index", "seed_widths", "seed_depths", "seed_strides", "schedule",
              "silence", "noise", "voice", "unknown", "teachers", "qat", "qat_epochs"}
    assert {field.name for field in fields(Recipe)} - tested == {"name", "seeds", "threads"}


def test_unknown_nets():
    assert known_recipes("large small large") == (RECIPES["large"], SMALL)
    for text, name in (("small huge", "huge"), (" ", " ")):
        with pytest.raises(UserError, match=f"no such net: '{name}'; allowed: small, medium, large, nano33ble, med"):
            known_recipes(text)


def test_every_ablation_is_its_recipe_but_for_one_thing_or_taught_or_less_or_elder():
    assert ABLATED.keys() == ABLATIONS.keys()
    for name, whole in ABLATED.items():
        assert name not in RECIPES
        elder = (r"augmentation.colour_db 0.0, .*augmentation.silence_clips 1.0, augmentation.tempo 0.0, "
                 r"augmentation.unknown_clips 1.0, (quantization.qat_epochs 2, )?schedule.batch 256, .*peak_lr 0.2")
        if name == "nano33ble-elder":  # and whose gains were measured otherwise
            elder = elder.replace("(quant", "index.fresh 12, index.gains together, index.steps 56, (quant")
        if name == "large-elder":  # which was taught besides, and not fine-tuned
            elder = elder.replace("schedule.batch", ".*schedule.batch") + r", teachers \['medium-labels'\]"
        voice = ", ".join(rf"augmentation.{name} 0(.0)?" for name in ("colour_db", "formants", "mel_masks", "tempo"))
        one = (r"(schedule.final_epochs 22|seed_depths \[\]|seed_strides \[\]|augmentation.(silence|unknown)_clips 1.0|"
               r"augmentation.noise_db \[-40.0, -10.0\], schedule.final_epochs 30, teachers \['medium-labels'\]|"
               r"schedule.taught_epochs 0, schedule.taught_lr 0.05, teachers \[\]|"
               r"schedule.taught_epochs 16, schedule.taught_lr 0.05, teachers \['large-alone', 'medium-alone'\]|"
               r"budget medium ops<=14M, index.fresh 12, index.gains together, index.steps 56, "
               r"schedule.final_epochs 32)"
               + (f"|{elder}" if name.endswith("-elder") else f"|{voice}"))
        assert re.fullmatch(rf"`{name}` \(({one})\)", changed(recipe_of(whole), ABLATIONS[name]))


def test_who_teaches_is_kept_and_nobody_teaches_who_teaches(bench):
    """Else the nets could not be grown again, one after the other, by what is in the repository."""
    for name, (recipe, seed) in TEACHERS.items():
        assert (RESULTS.parents[1] / teacher_file(name)).is_file()
        assert recipe_of(recipe).teachers == ()
        assert seed in recipe_of(recipe).seeds
    assert {name for recipe in (*RECIPES.values(), *ABLATIONS.values()) for name in recipe.teachers} <= TEACHERS.keys()
    bench("--names", "medium-elder", "--seeds", "0 1")
    kept, grown = (load_net(path) for path in (bench.base / teacher_file("medium-labels"),
                                               next((bench.base / "runs").glob("*medium-elder-s0*")) / "net.npz"))
    assert all(np.array_equal(a.weight, b.weight) for a, b in zip(kept.layers, grown.layers, strict=True)
               if b.weight is not None)


def test_who_teaches_is_grown_first_and_a_pupil_of_others_is_stale(bench):
    """Of a taught net's teachers, by the files that teach now."""
    teachers = [Unit(RECIPES["medium"], seed) for seed in (0, 1)]
    assert [*Unit(RECIPES["large"], 0).references] == teachers
    assert teachers[0].references == ()
    bench("--names", "large medium", "--seeds", "0 1", "--jobs", "4")
    assert all(name.startswith("results-large-s") for name in bench.order[-2:])
    assert {name.rpartition("-")[0].removeprefix("results-") for name in bench.order} == {
        f"{name}-s{seed}" for name in ("large", "medium") for seed in (0, 1)}
    why = ("taught by another net than models/teachers/medium-first.safetensors, "
           "models/teachers/medium-second.safetensors")
    assert f"{why} now is" in bench.page
    bench.learnt = dict.fromkeys((0, 1), {"teachers_sha256": digests_of(map(teacher_file, RECIPES["large"].teachers))})
    bench("--names", "large", "--seeds", "0 1", "--rerun", "1")
    assert "taught by another" not in bench.page


def test_what_dev_would_choose_otherwise_now_is_told(bench):
    bench.dev = {0: 0.77, 1: 0.9}
    bench("--names", "small", "--seeds", "0 1")
    assert "seed 0 is of before dev chose whether fine-tuning stays" in bench.page  # 0.78 without it
    assert "seed 1 is of before dev chose" not in bench.page


def test_an_ablation_is_grown_where_it_is_named_and_told_but_never_published(bench):
    bench.dev = {0: 0.9, 1: 0.8}
    summary = bench("--names", "small small-half", "--seeds", "0 1")
    assert len(bench.order) == 4
    assert (bench.base / "out" / "ablations" / "small-half" / "s1" / "row.json").is_file()
    assert not (bench.base / "models" / "small-half.tflite").exists()
    assert "small-half" not in summary["results"]
    told = (bench.base / "out" / "ablations" / "table.md").read_text()
    assert "| small | `small-half` (schedule.final_epochs 22) | 0, 1 | 85.00 | 85.00 | +0.00 (+0.00 to +0.00) |" in told
    assert "small-plain" not in told
    assert "small-half" in bench.page
    assert not any("small-half" in line for line in bench("--draw", "1")["missing"])


def test_an_ablation_tells_what_its_ingredient_is_worth(tmp_path):
    def of(seed: int, int8: float, untuned: float) -> dict:
        return {"seed": seed, "accuracy_int8_dev": int8, "accuracy_float_dev": int8 + 0.01, "wall_s": 60.0,
                "operations": 2e6, "accuracy_int8_dev_without_qat": untuned, "clips_dev": 1972,
                "ranges_tried": {"qat": int8, "minmax": 0.5}}
    pairs = ((of(0, 0.95, 0.94), of(0, 0.93, 0)), (of(3, 0.96, 0.96), of(3, 0.95, 0)))
    write_ablations([Worth("small", "x", pairs), fine_tuning("small", [whole for whole, _ in pairs]),
                     Worth("large", "nobody ran", ())], tmp_path)
    table = (tmp_path / "table.md").read_text()
    assert "| small | x | 0, 3 | 95.50 | 94.00 | +1.50 (-4.85 to +7.85) | +1.50 " in table
    assert "| 0, 3 | 95.50 | 95.00 | +0.50 (-5.85 to +6.85) |  | 2.000 |  | 1.0 |  |" in table
    assert "large" not in table
    assert "to plus or minus 0.9 points" in table
    write_ablations([Worth("large", "nobody ran", ())], tmp_path)
    assert not (tmp_path / "table.md").exists()


def test_only_what_is_missing_is_grown_and_the_best_on_dev_published(bench):
    bench.dev = {0: 0.81, 1: 0.83, 2: 0.82}
    found = bench("--names", "small", "--seeds", "0 1")["results"]["small"]
    assert (found["seed"], found["seeds"], len(bench.order)) == (1, [0, 1], 2)
    assert bench.asked == ASKED
    assert_published(bench, 1)
    assert "This is seed 1, the best on dev." in bench.card
    assert "    make results NAMES=small SEEDS=1\n" in bench.card
    assert sorted(path.name for path in (bench.base / "models").iterdir()) == [
        "small.detector.json", "small.md", "small.safetensors", "small.tflite"]
    folder = bench.base / "out" / "small"
    assert sorted(path.name for path in folder.iterdir()) == [
        "architecture.png", "confusion.png", "export.json", "growth.png", "s0", "s1", "simulate.json", "stream.json",
        "summary.json", "verify.json"]
    assert sorted(path.name for path in (folder / "s1").iterdir()) == ["growth.jsonl", "model.tflite", "row.json"]
    assert bench("--names", "small", "--seeds", "0 1 2")["results"]["small"]["seeds"] == [0, 1, 2]
    assert (len(bench.order), bench.asked) == (3, ASKED)
    assert "Seeds 0, 1, 2, int8: 75.00 ± 0.00 % on validation, 82.00 ± 1.00 % on dev" in bench.card


def assert_published(bench: Bench, seed: int):
    """The net of that seed is what lies in models/."""
    codes = clips(resolve(model=net_of(seed) / "model.tflite")).codes
    published, its = ((folder / name).read_bytes() for folder, name in (
        (bench.base / "models", "small.tflite"), (net_of(seed), "model.tflite")))
    assert np.array_equal(int8_predictions(published, codes), int8_predictions(its, codes))
    layers, wanted = (load_net(path).layers for path in (bench.base / "models" / "small.safetensors",
                                                         net_of(seed) / "net.npz"))
    assert all(np.array_equal(a.bias, b.bias) for a, b in zip(layers, wanted, strict=True) if b.bias is not None)


def test_a_better_seed_takes_the_place_of_the_published_one(bench):
    bench("--names", "small", "--seeds", "0")
    assert_published(bench, 0)
    bench.dev = {1: 0.9}
    assert bench("--names", "small", "--seeds", "1")["results"]["small"]["seed"] == 1
    assert_published(bench, 1)
    assert bench.asked == 2 * ASKED


def test_another_net_in_its_place_is_replaced(bench):
    """As `make publish NAME=small` leaves one."""
    bench("--names", "small", "--seeds", "0")
    (bench.base / "models" / "small.tflite").write_bytes((net_of(1) / "model.tflite").read_bytes())
    bench("--draw", "1")
    assert "is not published yet" in bench.page
    bench("--names", "small", "--seeds", "0")
    assert_published(bench, 0)
    assert bench.asked == 2 * ASKED


@pytest.mark.parametrize("content", ["", "[1]", "{}"])
def test_damaged_facts_are_found_again(bench, content):
    bench("--names", "small", "--seeds", "0")
    (bench.base / "out" / "small" / "export.json").write_text(content)
    bench("--draw", "1")
    assert "is not published yet" in bench.page
    bench("--names", "small", "--seeds", "0")
    assert bench.asked == 2 * ASKED


def test_other_prices_unpublish_nothing(bench, monkeypatch):
    bench("--names", "small", "--seeds", "0")
    monkeypatch.setattr(results, "run_of", None)
    monkeypatch.setattr(Tariff, "costs_hash", "others")
    assert bench("--names", "small", "--seeds", "0")["results"]["small"]["costs_hash"] == "others"
    assert "not published" not in bench.page


def test_an_ablation_of_other_clips_tells_nothing(bench):
    bench("--names", "small", "--seeds", "0")
    bench.learnt = {0: {"dataset_sha256": "another"}}
    bench("--names", "small-half", "--seeds", "0")
    assert "small-half" not in (bench.base / "out" / "ablations" / "table.md").read_text()


def test_another_run_of_the_seeds_name_is_not_published(bench):
    bench.dev = {0: 0.9}
    bench("--names", "small", "--seeds", "0")
    (bench.base / "models" / "small.tflite").unlink()
    run = Path("runs") / Unit(SMALL, 0).name
    (run / "model.tflite").write_bytes((net_of(1) / "model.tflite").read_bytes())
    with pytest.raises(SystemExit):
        bench("--names", "small", "--seeds", "0")
    assert "another run than the seed that is kept" in bench.summary["failed"]["small"]
    assert not (bench.base / "models" / "small.tflite").exists()


def test_what_is_lost_of_the_published_files_is_written_again(bench):
    bench("--names", "small", "--seeds", "0")
    (bench.base / "models" / "small.safetensors").unlink()
    bench("--names", "small", "--seeds", "0")
    assert (bench.base / "models" / "small.safetensors").is_file()


def test_drawing_runs_nothing_and_needs_no_data(bench, monkeypatch):
    bench("--names", "small", "--seeds", "0")
    (bench.base / "out" / "small" / "growth.png").unlink()
    monkeypatch.setattr(publish, "read_codes", None)
    monkeypatch.setattr(results, "run", None)
    monkeypatch.setattr(results, "deploy", None)
    before = bench.page
    summary = bench("--draw", "1")
    assert (summary["nets"], summary["seeds"], summary["seeds_missing"]) == (1, 1, 7)
    assert (bench.base / "out" / "small" / "growth.png").is_file()
    assert len(bench.page) == pytest.approx(len(before), rel=0.05)


def test_one_failure_leaves_the_others(bench, capsys):
    bench.fails = {1}
    with pytest.raises(SystemExit) as stop:
        bench("--names", "small nano33ble", "--seeds", "0 1")
    assert stop.value.code == 1
    assert bench.summary["failed"] == {"small, seed 1": "it broke", "nano33ble, seed 1": "it broke"}
    assert (bench.summary["nets"], bench.summary["results"]["nano33ble"]["seed"]) == (2, 0)
    assert "failed: small, seed 1: it broke" in capsys.readouterr().err
    assert "small, seed 1 failed: it broke" in bench.page


@pytest.mark.parametrize("module", ASKED)
def test_a_net_that_fails_is_told_and_takes_no_ones_place(bench, module):
    bench("--names", "small", "--seeds", "0")
    before = bench.models
    bench.dev, bench.refuses = {1: 0.9}, module
    with pytest.raises(SystemExit):
        bench("--names", "small", "--seeds", "1")
    assert bench.summary["failed"] == {"small": f"{module}: 1 of 200 rows differ"}
    assert "its best seed is not published yet" in bench.page
    assert bench.models == before


@pytest.mark.parametrize(("learnt", "why"), [
    ({"dataset": "synthetic"}, "grown by another recipe (differs in dataset)"),
    ({"labels": ("_silence_", "_unknown_", "marvin")}, "grown by another recipe (differs in labels)"),
    ({"augmentation": replace(augmentation_of(SMALL.silence, SMALL.noise, SMALL.voice, SMALL.unknown), mel_masks=7)},
     "grown by another recipe (differs in augmentation.mel_masks)"),
    ({"dataset_sha256": "another"}, "learnt from other clips than seed 0")])
def test_a_seed_of_other_data_does_not_count(bench, learnt, why):
    bench.learnt, bench.dev = {1: learnt}, {1: 0.99}
    summary = bench("--names", "small", "--seeds", "0 1")
    assert (summary["results"]["small"]["seed"], summary["results"]["small"]["seeds"]) == (0, [0])
    assert f"seed 1 is stale: {why}" in bench.page
    assert_published(bench, 0)


def test_every_seed_of_the_table_that_is_missing_is_told(bench):
    bench("--names", "small", "--seeds", "1")
    assert "missing: small: seed 0 is missing" in bench.page
    assert "missing: small: seed 2 is missing" in bench.page


def test_seeds_of_another_recipe_do_not_count_until_run_again(bench, monkeypatch, capsys):
    bench("--names", "small", "--seeds", "0")
    monkeypatch.setitem(recipes.RECIPES, "small", replace(SMALL, qat_epochs=77))
    summary = bench("--names", "small", "--seeds", "0")
    assert (summary["seeds"], summary["seeds_stale"], len(bench.order)) == (0, 1, 1)
    why = "small, seed 0: grown by another recipe (differs in quantization.qat_epochs); RERUN=1"
    assert why in capsys.readouterr().out
    assert "grown by another recipe (differs in quantization.qat_epochs)" in bench.page
    summary = bench("--names", "small", "--seeds", "0", "--rerun", "1")
    assert (summary["seeds"], summary["seeds_stale"], len(bench.order)) == (1, 0, 2)
    assert bench.order[0] != bench.order[1]


def test_a_net_that_no_longer_fits_its_budget_is_stale(bench, monkeypatch):
    """By the present prices: those that it grew under are no matter."""
    monkeypatch.setitem(recipes.RECIPES, "nano33ble", replace(RECIPES["nano33ble"], budget="ms<=1"))
    summary = bench("--names", "nano33ble small", "--seeds", "0")
    assert (summary["seeds"], summary["seeds_stale"]) == (1, 1)
    assert "exceeds its budget by the present prices (latency_ms)" in bench.page
    before = Path("runs") / Unit(RECIPES["nano33ble"], 0).name
    monkeypatch.setitem(recipes.RECIPES, "nano33ble", replace(RECIPES["nano33ble"], budget="ms<=1"))
    assert before.is_dir()
    bench("--names", "nano33ble", "--seeds", "0", "--rerun", "1")
    assert bench.order.count(before.name) == 2


def test_figures_of_cost_are_the_present_ones(bench, monkeypatch):
    found = bench("--names", "small", "--seeds", "0")["results"]["small"]
    kept = results.read_kept(Path("out/small/s0"), RECIPES["small"])
    tariff = Tariff.of(results.load_board("nano33ble"), "tuned")
    assert found["costs_hash"] == tariff.costs_hash != json.loads(Path("out/small/s0/row.json").read_text())["config"][
        "costs_hash"]
    assert found["operations"] == kept.cost.operations == 5_997_880  # docs/results/small-energy-aware/summary.json


def test_a_run_that_is_gone_is_told(bench):
    bench("--names", "small", "--seeds", "0")
    kept = results.read_kept(Path("out/small/s0"), RECIPES["small"])
    with pytest.raises(UserError, match=r"elsewhere/results-small-s0-\w{6} is gone, .*; delete out/small/s0"):
        results.run_of(kept, results.Plan((), Path("out"), Path("elsewhere"), Path("models"), None, None, False))


def test_the_page_needs_no_other_file_and_marks_what_is_missing(bench):
    bench("--names", "small", "--seeds", "0")
    bench.monkeypatch.undo()
    bench.monkeypatch.chdir(bench.base)
    other = bench.base / "out" / "mixed"
    other.mkdir()
    (other / "table.md").write_text("# Ablations\n\n| what | dev |\n| --- | --- |\n| mixup & <co> | 96 |\n")
    bench("--draw", "1")
    sources = re.findall(r"src='([^']{0,30})", bench.page)
    assert len(sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(link.startswith(("#", "https://")) for link in re.findall(r"href=['\"]([^'\"]*)", bench.page))
    assert "<script" not in bench.page
    for line in ("small: seed 1 is missing", "medium: seed 2 is missing", "large: seed 0 is missing"):
        assert f"<p class=missing>missing: {line}</p>" in bench.page
    assert "<td>mixup &amp; &lt;co&gt;</td>" in bench.page
    assert "<b>75.00 %</b>" in bench.page
    assert "<td>200 of 200, 2 cores, without mps2-an500: no qemu</td>" in bench.page
    assert " (69,900)</td>" in bench.page
    assert "validation 3 in 60 minutes without keywords, 50 of them synthetic babble (0.62 to 8.77 an" in bench.page
    assert ", and 18.60 % of 3,703 keywords missed" in bench.page
    assert all(net.name in bench.page for net in PUBLISHED)


def test_what_is_asked_of_another_command(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="^export.mcu: no.tflite: No such file or directory; MODEL is an int8 .tflite$"):
        deployment.ask(SMALL, "export.mcu", ["--model", "no.tflite"], tmp_path)


def test_published_points_say_where_they_are_from():
    assert all("issue" in net.source for net in PUBLISHED)
    for net in PUBLISHED:
        assert 0.9 < net.accuracy[0] <= net.accuracy[1] < 1
        assert 1e6 < net.operations[0] <= net.operations[1] < 2e8
        assert net.arithmetic in published.COLOURS


def test_stages_are_the_sizes_in_order_with_their_last_accuracy(tmp_path):
    stages = stages_of(LOG)
    assert [(stage.title, stage.widths[0], stage.accuracy_dev) for stage in stages] == [
        ("round 0", 16, 0.5), ("round 1, final", 52, 0.8)]
    deeper = {"epoch": 4, "phase": "round 2", "dev_accuracy": 0.9, "widths": LOG[-1]["widths"], "depths": [1] * 5}
    assert [sum(stage.depths) for stage in stages_of((*LOG, deeper))] == [0, 0, 5]
    draw(stages_of((*LOG, deeper)), [2, 1, 1, 1], tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_markdown():
    html = to_html("# A *b*\ntext `<x>` and **bold**\nmore [l](https://a.b) [f](c/d.md)\n\n| a | b |\n|---|---|\n| 1 | "
                   "**2** |\n\n    code <i>\n      in\n- one\n- two\n\n![p](p.png)", 2)
    assert html.splitlines() == [
        "<h2>A *b*</h2>", '<p>text <code>&lt;x&gt;</code> and <b>bold</b> more <a href="https://a.b">l</a> f</p>',
        "<div class=wide><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td><b>2</b></td></tr></table></div>",
        "<pre>code &lt;i&gt;", "  in</pre>", "<ul><li>one</li><li>two</li></ul>", "<p></p>"]


def test_recipes_in_summaries_are_whole(bench):
    found = bench("--names", "small", "--seeds", "0")["results"]["small"]["recipe"]
    assert found == json.loads(json.dumps(asdict(SMALL)))
