"""`make publish`: the three files, and a card whose figures are the run's."""

import json
from dataclasses import replace

import numpy as np
import pytest
from fabricated import LABELS, clips, config_of, write_run

from datasets.console import UserError, run_command
from export.boards import board_names, load_board
from export.cost import Tariff, summary_of_price
from export.duty import DutyCycle
from export.metadata import metadata_of
from export.net import load_net
from export.runs import resolve
from export.simulate import int8_predictions
from export.tflite_reader import read_tflite
from kws_grow import publish
from kws_grow.publish import IMAGES, document, name_of, prices_of, simulate
from kws_grow.recipes import RECIPES

CONFIG = config_of(RECIPES["small"], 7)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "read_codes", lambda run, *_: clips(run))
    write_run(tmp_path / "runs" / "r", CONFIG)
    return resolve("r", None, tmp_path / "runs")


def test_the_files_are_the_runs_net(run, tmp_path):
    publish.publish(run, "small", tmp_path / "models", simulate(run))
    models = tmp_path / "models"
    assert sorted(path.name for path in models.iterdir()) == ["small.md", "small.safetensors", "small.tflite"]
    told = metadata_of(read_tflite(models / "small.tflite"))
    assert (told.labels, told.dataset) == (LABELS, "speech_commands_v0.02")
    codes = clips(run).codes
    assert np.array_equal(int8_predictions((models / "small.tflite").read_bytes(), codes),
                          int8_predictions(run.tflite_path.read_bytes(), codes))
    ours, theirs = load_net(models / "small.safetensors"), load_net(run.net_path)
    assert replace(ours, layers=()) == replace(theirs, layers=())
    for layer, other in zip(ours.layers, theirs.layers, strict=True):
        for name, value in vars(other).items():
            assert np.array_equal(getattr(layer, name), value), name
    again = resolve(model=models / "small.tflite")
    assert (again.name, again.labels, again.named_labels) == ("small", LABELS, True)


def test_a_net_that_tells_its_labels_is_published_byte_for_byte(run, tmp_path):
    publish.publish(run, "small", tmp_path / "models", simulate(run))
    run.tflite_path.write_bytes((tmp_path / "models" / "small.tflite").read_bytes())
    publish.publish(run, "other", tmp_path / "models", simulate(run))
    assert (tmp_path / "models" / "other.tflite").read_bytes() == run.tflite_path.read_bytes()


def test_every_figure_of_the_card_is_the_runs(run, tmp_path):
    card = publish.publish(run, "small", tmp_path / "models", simulate(run))
    text = (tmp_path / "models" / "small.md").read_text()
    assert text == document(card)
    low, high = card.simulated["accuracy_int8_95"]
    assert f"| int8, as on the board | 80.00 % | **75.00 %** ({100 * low:.2f} % to {100 * high:.2f} %) |" in text
    assert "| float, as trained | 79.00 % | 74.00 % |" in text
    assert "    python -m kws_grow.grow --seed 7\n" in text
    assert "| seed | `7` |" in text
    assert "MODEL=models/small.tflite BOARD=nano33ble" in text
    for label, its in card.simulated["recall"].items():
        recall = "" if its["recall"] is None else f"{100 * its['recall']:.2f} %"
        assert f"| {label} | {its['clips']} | {recall} |" in text
    other = replace(card, summary=card.summary | {"accuracy_float": 0.123, "seed": 8})
    assert "| float, as trained | 79.00 % | 12.30 % |" in document(other)
    assert "| seed | `8` |" in document(other)


def test_the_card_prices_every_board(run, tmp_path):
    card = publish.publish(run, "small", tmp_path / "models", simulate(run))
    graph = read_tflite(run.tflite_path)
    assert set(card.prices) == set(board_names())
    for name in board_names():
        price = summary_of_price(Tariff.of(load_board(name), CONFIG.kernels).graph(graph))
        row = next(line for line in document(card).splitlines() if line.startswith(f"| {name} |"))
        assert f"| {price['cycles']:,} | {price['latency_ms']:.1f} | {price['energy_uj']:.0f} |" in row
        share = 100 * DutyCycle(load_board(name), price["cycles_per_frame"], price["cycles"], 5).share
        assert row.endswith(f"| yes | {share:.0f} %{', does not keep up' * (share > 100)} |")


def test_a_board_that_does_not_keep_up_is_told(run, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "INFERENCES_PER_S", 50)
    card = publish.publish(run, "small", tmp_path / "models", simulate(run))
    row = next(line for line in document(card).splitlines() if line.startswith("| nano33ble |"))
    assert row.endswith(" %, does not keep up |")


def test_a_core_without_costs_is_told(run, tmp_path, monkeypatch):
    def refuse(board, kernels):
        raise UserError("no costs")
    monkeypatch.setattr(publish.Tariff, "of", refuse)
    prices = prices_of(read_tflite(run.tflite_path), "tuned")
    assert all(price["left_out"] == "no costs" for price in prices.values())


def test_what_the_data_are_is_said(run, tmp_path):
    card = publish.publish(run, "small", tmp_path / "models", simulate(run))
    assert IMAGES not in document(card)
    assert "CC BY 4.0" in document(card)
    (tmp_path / "log_mel.npz").write_bytes(b"")
    assert simulate(run, tmp_path)["jpeg_images"]
    assert IMAGES in document(replace(card, simulated=card.simulated | {"jpeg_images": True}))
    made_up = replace(card, summary=card.summary | {"dataset": "synthetic"})
    assert "no spotter for people" in document(made_up)
    assert "CC BY" not in document(made_up)


@pytest.mark.parametrize(("key", "value"), [("list_sha256", "cd" * 32), ("accuracy_int8", 0.76)])
def test_other_data_than_the_runs_are_refused(run, key, value):
    path = run.folder / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(UserError, match=f"r: {key} is .* in its summary.json and .*; allowed: the data that"):
        simulate(run)


@pytest.mark.parametrize("key", sorted(set(publish.TOLD) - {"labels"}))  # without labels it is no finished run
def test_a_run_of_another_version_is_refused(run, tmp_path, monkeypatch, capsys, key):
    path = run.folder / "summary.json"
    summary = json.loads(path.read_text())
    del summary[key]
    path.write_text(json.dumps(summary))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["publish", "--run", "r", "--name", "small"])
    with pytest.raises(SystemExit):
        run_command(publish.main)
    assert f"tells no {key}; " in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".small", "x" * 65, "a b"])
def test_names_that_are_none(name):
    with pytest.raises(UserError, match="^NAME=.*: allowed are letters"):
        name_of(name)


def test_the_command(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["publish", "--run", "r", "--name", "small"])
    publish.main()
    assert capsys.readouterr().out.splitlines()[-1] == "summary: build/small/publish/summary.json"
    summary = json.loads((tmp_path / "build/small/publish/summary.json").read_text())
    assert (summary["accuracy_int8"], summary["model"]) == (0.75, "models/small.tflite")
