"""`python -m kws_grow.grow` as a user runs it: killed, resumed, finished; and everything a user can get wrong."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from helpers import made_up_dataset, small_net, write_tones

from datasets.console import run_command
from export.boards import load_board
from export.cost import Tariff, cost
from export.kernels import DEFAULT
from export.net import save_net
from export.runs import resolve
from export.simulate import read_codes
from export.tflite_reader import read_tflite
from kws_grow import grow
from kws_grow.checkpoint import NAME, save_checkpoint
from kws_grow.config import GrowConfig, Quantization, Schedule
from kws_grow.deploy import folded_layers, with_ranges
from kws_grow.loop import Growth, Task
from kws_grow.ranges import minmax

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--budget", "ops<=900k", "--seed-epochs", "1", "--round-epochs", "1", "--final-epochs", "3", "--threads", "1",
         "--device", "cpu", "--min-epoch-clips", "2048", "--qat-epochs", "1"]
SAME_BYTES = ("net.npz", "model.tflite", "growth.jsonl", "growth.md", "config.json")


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> Path:
    """A folder of one's own: three words, each a tone of its own, 40 speakers."""
    return write_tones(tmp_path_factory.mktemp("words"))


def command(words: Path, runs: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "datasets.launch", "kws_grow.grow", "--data", str(words),
            "--keywords", "tone400,tone900", "--runs", str(runs), "--run", "r", *QUICK, *more]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    import os
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
            "KWS_GROW_CACHE": str(tmp_path_factory.mktemp("cache"))}


def wait_for(path: Path, process: subprocess.Popen) -> None:
    for _ in range(6000):  # ten minutes, for a busy machine
        if path.exists():
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    raise AssertionError(f"{path} never came")


def interrupted(words: Path, runs: Path, environment, how: signal.Signals, once: str = NAME) -> subprocess.Popen:
    """A run stopped by a signal once a file, the first checkpoint by default, is there."""
    process = subprocess.Popen(command(words, runs), cwd=runs.parent, env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(runs / "r" / once, process)
    process.send_signal(how)
    process.out, process.err = process.communicate(timeout=60)
    assert not (runs / "r" / "summary.json").exists()
    return process


def test_killed_and_resumed_gives_the_same_bytes(words, tmp_path, environment):
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    interrupted(words, killed, environment, signal.SIGKILL)
    interrupted(words, killed, environment, signal.SIGKILL, "candidate-minmax.npz")  # trained, being converted
    outputs = [subprocess.run(command(words, runs), cwd=tmp_path, env=environment, text=True, check=True,
                              capture_output=True).stdout for runs in (killed, straight)]
    assert "resuming" in outputs[0]
    assert outputs[1].strip().splitlines()[-1] == f"summary: {straight / 'r' / 'summary.json'}"
    for name in SAME_BYTES:
        assert (killed / "r" / name).read_bytes() == (straight / "r" / name).read_bytes(), name
    summary = json.loads((straight / "r" / "summary.json").read_text())
    assert summary["accuracy_int8"] > 0.6
    assert summary["operations"] <= 1e6
    assert summary["processor_s"] > 0
    assert (straight / "r" / "growth.png").stat().st_size > 5000
    run = resolve("r", None, straight)
    assert run.labels == ("_silence_", "_unknown_", "tone400", "tone900")
    assert run.data == words
    assert read_codes(run, run.data, None).list_sha256 == summary["list_sha256"]
    assert list(summary["ranges_tried"]) == ["minmax", "percentile 99.99", "percentile 99.9", "mean-square"]
    assert summary["accuracy_int8_dev"] == max(summary["ranges_tried"].values())
    assert not list((straight / "r").glob("candidate*"))
    assert_others_go_on_from_its_end(words, straight, environment)


def test_a_summary_prices_the_very_model(tmp_path, monkeypatch):
    """Not the shape that growth paid for: a kernel may depend on the weights."""
    monkeypatch.setattr(grow, "accuracies", lambda *_: {})
    shutil.copy(ROOT / "models" / "nano33ble.tflite", tmp_path / "model.tflite")
    board = load_board("nano33ble")
    growth = Growth(small_net((4, 4)), None, None)
    task = Task(None, None, None, None, Tariff.of(board, DEFAULT))
    config = GrowConfig("made-up", "d", ("a",), board.name, (), DEFAULT, "", "ops<=2M", "energy-aware", 0, "cpu", 1)
    price = cost(read_tflite((tmp_path / "model.tflite").read_bytes()), board).whole
    summary = grow.summary_of(growth, config, task, made_up_dataset(), tmp_path, ())
    assert (summary["cycles"], summary["operations"]) == (round(price.cycles), price.operations)
    assert summary["operations"] > 5e6


def assert_others_go_on_from_its_end(words, runs, environment):
    """Runs that differ in quantization alone grow nothing; that fine-tuning then gives the bytes of a single run is
    tested with the loop."""
    for run, option, value in (("q", "--qat", "1"), ("m", "--ranges", "minmax")):
        line = command(words, runs, "--run", run, option, value)
        output = subprocess.run(line, cwd=runs.parent, env=environment, text=True, check=True,
                                capture_output=True).stdout
        assert f"{runs / 'r'} grew the same net" in output
        assert "round 0, epoch 1" not in output
    plain, q, m = (json.loads((runs / name / "summary.json").read_text()) for name in "rqm")
    tried = q["ranges_tried"]
    assert q["accuracy_int8_dev"] == max(tried.values()) == tried[q["ranges"]]
    assert (q["ranges"] == "qat") == (tried["qat"] == max(tried.values()))
    assert q["accuracy_int8_dev_without_qat"] == plain["accuracy_int8_dev"]
    assert q["accuracy_float"] == plain["accuracy_float"] == m["accuracy_float"]
    assert (m["ranges"], list(m["ranges_tried"])) == ("minmax", ["minmax"])
    table = (runs / "q" / "growth.md").read_text()
    assert "| mean-square |" in table
    assert f"| qat | {100 * tried['qat']:.2f} % | {'yes' if q['ranges'] == 'qat' else ''} |" in table


@pytest.mark.parametrize(("tried", "kept"), [
    ({"minmax": 0.8, "mean-square": 0.9, "qat": 0.9}, "qat"), ({"minmax": 0.9, "mean-square": 0.9}, "minmax"),
    ({"minmax": 0.8, "mean-square": 0.91, "qat": 0.9}, "mean-square")])
def test_dev_chooses_among_all_that_became_int8(tmp_path, monkeypatch, tried, kept):
    """Of equal ones the fine-tuned one, else the first; the net is that of the .tflite."""
    monkeypatch.setattr(grow, "convert", lambda nets: [path.write_text(net) for path, net in nets.items()])
    monkeypatch.setattr(grow, "int8_accuracy", lambda path, clips: tried[path.read_text()])
    monkeypatch.setattr(grow, "save_net", lambda net, path: path.write_text(net))
    rows = grow.choose_int8({name: name for name in tried}, made_up_dataset(), tmp_path)
    assert {row["ranges"]: row["accuracy_int8_dev"] for row in rows} == tried
    assert [row["ranges"] for row in rows if row["kept"]] == [kept]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"net.npz": kept, "model.tflite": kept}


def test_ctrl_c_is_one_line_and_loses_nothing(words, tmp_path, environment):
    process = interrupted(words, tmp_path / "runs", environment, signal.SIGINT)
    assert process.returncode == 1
    errors = [line for line in process.err.splitlines() if line.startswith("error:")]
    assert errors == [process.err.strip().splitlines()[-1]]
    assert "Ctrl-C" in errors[0]
    assert "Traceback" not in process.err


@pytest.mark.parametrize(("arguments", "says"), [
    (["--board", "nano34"], "nano33ble"),
    (["--method", "magic"], "allowed: splitting, energy-aware, signed"),
    (["--budget", "tiny"], "allowed: small, medium, large"),
    (["--budget", "ops<=1000"], "even the seed net exceeds it"),
    (["--budget", "ops<=-3"], "positive number"),
    (["--device", "tpu"], "allowed: auto, cpu, cuda"),
    (["--final-epochs", "0"], "whole numbers from 1"),
    (["--round-factor", "0.5"], "a round makes the net dearer; allowed are numbers above 1"),
    (["--method", "splitting", "--index", "sharpness=1e-38"], "allowed are numbers above 0.01"),
    (["--keywords", "tone400,banana"], "banana"),
    (["--data", "nowhere"], "nowhere"),
    (["--seed", "x"], "SEED=x: allowed are whole numbers"),
    (["--seed", "1" + 30 * "0"], "allowed are whole numbers"),
    (["--seed-widths", "16,,4"], "SEED_WIDTHS=16,,4"),
    (["--run", "../elsewhere"], "../elsewhere"),
    (["--threads", "0"], "whole numbers from 1"),
    (["--qat", "yes"], "QAT=yes: allowed are 0 and 1"),
    (["--silence", "loud"], "SILENCE='loud': no such silence; allowed: ample, diverse, plain"),
    (["--voice", "hoarse"], "VOICE='hoarse': no such voice; allowed: varied, plain"),
    (["--unknown", "none"], "UNKNOWN='none': no such unknown; allowed: ample, even"),
    (["--batch", "0"], "whole numbers from 1"),
    (["--noise", "deafening"], "NOISE='deafening': no such noise; allowed: loud, mild"),
    (["--teacher", "models/old.safetensors"], "TEACHER=models/old.safetensors: no such file: 'models/old.safetensors'"),
    (["--teacher", " "], "TEACHER= : no such file: ' '; allowed: models/NAME.safetensors"),
    (["--taught-epochs", "4"], "TAUGHT_EPOCHS=4: nobody teaches; allowed: 0, or TEACHER beside it"),
    (["--taught-epochs", "-1"], "allowed are whole numbers from 0"),
    (["--teacher", 300 * "n"], "nnn'; allowed: models/NAME.safetensors"),
    (["--ranges", "minmax,median"], "no such ranges: 'median'; allowed: minmax, percentile, mean-square"),
    (["--banana"], "--banana"),
])
def test_mistakes_are_one_line(words, tmp_path, monkeypatch, capfd, arguments, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["grow", *command(words, tmp_path / "runs")[4:], *arguments])
    with pytest.raises(SystemExit) as stop:
        run_command(grow.main)
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code in (1, 2)
    assert error.startswith("error: ")
    assert says in error


def test_who_teaches_is_read_and_written_down(words, tmp_path, monkeypatch):
    """Up to where training starts: there the task has the teacher, and the configuration says who it is."""
    net, seen = small_net((8, 8, 8), n_coefficients=20).float(), []
    labels = ("_silence_", "_unknown_", "tone400", "tone900")
    floats = with_ranges(folded_layers(net), torch.zeros(1, 49, 20), labels, "tones", {"minmax": minmax})["minmax"]
    save_net(floats, tmp_path / "wise.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(grow, "grow", lambda config, task, folder: seen.append((config, task)) or sys.exit())
    monkeypatch.setattr(sys, "argv", ["grow", *command(words, tmp_path / "runs")[4:], "--noise", "mild",
                                      "--teacher", "wise.safetensors"])
    with pytest.raises(SystemExit):
        grow.main()
    (config, task), x = seen[0], 64 * torch.randn(3, 49, 20)
    assert config.teachers == ("wise",)
    assert config.teachers_sha256 == (sha256((tmp_path / "wise.safetensors").read_bytes()).hexdigest(),)
    assert config.augmentation.noise_db == (-40.0, -10.0) == task.source.augmentation.noise_db
    torch.testing.assert_close(task.teacher(x).softmax(1), net.eval()(x).softmax(1), atol=1e-5, rtol=0)


def test_a_run_of_another_configuration_is_not_touched(words, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "r"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["grow", *command(words, tmp_path / "runs")[4:]])
    with pytest.raises(SystemExit):
        run_command(grow.main)
    assert "another configuration (differs in augmentation, board" in capfd.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["config.json"]


OWN = GrowConfig("made-up", "", (), "nano33ble", (), "portable", "", "small", "energy-aware", 0, "cpu", 1,
                 quantization=Quantization(qat=True))
DONE = {"growth": {"phase": "done", "tuned": None, "epochs": 9, "log": []}, "config": "another", "wall_s": 7.0}


def neighbour(runs: Path, config: GrowConfig, saved: dict) -> None:
    """A run of that configuration beside."""
    grow.open_run(runs / "beside", config)
    save_checkpoint(runs / "beside", saved)


def test_a_run_that_grew_alike_is_gone_on_from(tmp_path):
    assert grow.grown_alike(tmp_path, OWN, "cpu") is None
    neighbour(tmp_path, replace(OWN, quantization=Quantization(("minmax",))), DONE)
    assert grow.grown_alike(tmp_path, OWN, "cpu") == {
        "config": OWN.digest(), "wall_s": 7.0, "growth": grow.trained_on(DONE["growth"], OWN)}
    (tmp_path / "beside" / NAME).write_bytes(b"damaged")
    assert grow.grown_alike(tmp_path, OWN, "cpu") is None
    (tmp_path / "beside" / "config.json").write_text("damaged")
    assert grow.grown_alike(tmp_path, OWN, "cpu") is None


TAUGHT = replace(OWN, teachers=("large",), schedule=Schedule(taught_epochs=2, taught_lr=0.01))


def test_the_run_that_teachers_start_from_is_gone_on_from(tmp_path):
    """Fine-tuned as it is, and of before there were teachers."""
    log = [{"epoch": 8, "phase": "final"}, {"epoch": 9, "phase": "qat"}]
    neighbour(tmp_path, OWN, DONE | {"growth": DONE["growth"] | {"log": log, "tuned": {"weight": torch.zeros(1)}}})
    old = json.loads(OWN.to_json())
    for name in ("taught_epochs", "taught_lr"):
        del old["schedule"][name]
    for config in (json.loads(OWN.to_json()), old):
        (tmp_path / "beside" / "config.json").write_text(json.dumps(config))
        growth = grow.grown_alike(tmp_path, TAUGHT, "cpu")["growth"]
        assert (growth["phase"], growth["epochs"], growth["tuned"], growth["log"]) == ("taught", 8, None, log[:1])
    assert grow.grown_alike(tmp_path, replace(TAUGHT, seed=1), "cpu") is None
    assert grow.grown_alike(tmp_path, replace(TAUGHT, schedule=Schedule(taught_epochs=2, batch=64)), "cpu") is None


@pytest.mark.parametrize(("config", "growth"), [
    (replace(OWN, seed=1), DONE["growth"]),
    (OWN, {"phase": "final", "tuned": None}),
    (OWN, {"phase": "done"}),  # of before there was fine-tuning
    (replace(OWN, teachers=("large",)), DONE["growth"]),
])
def test_no_other_run_is(tmp_path, config, growth):
    neighbour(tmp_path, config, DONE | {"growth": growth})
    assert grow.grown_alike(tmp_path, OWN, "cpu") is None


def test_time_goes_on_where_it_was(monkeypatch):
    monkeypatch.setattr(grow.time, "monotonic", lambda: 100.0)
    monkeypatch.setattr(grow.time, "process_time", lambda: 40.0)
    assert grow.Spent(7.0, 3.0).since(grow.Spent(90.0, 39.0)) == grow.Spent(17.0, 4.0)
    assert grow.Spent(7.0, None).since(grow.Spent(90.0, 39.0)) == grow.Spent(17.0, None)


def test_ranges_and_qat_as_they_are_typed():
    assert grow.ranges_of(" mean-square,minmax") == ("minmax", "mean-square")
    assert (grow.switch("0"), grow.switch("1")) == (False, True)


def test_full_disk_keeps_the_checkpoint_before(words, tmp_path, environment):
    """A limit on the size of files is as real as a full disk: the kernel refuses the write, not a test double."""
    runs = tmp_path / "runs"
    interrupted(words, runs, environment, signal.SIGKILL)
    before = (runs / "r" / NAME).read_bytes()
    script = ("import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); "
              "del sys.argv[0]; runpy.run_module('datasets.launch', run_name='__main__')")
    done = subprocess.run([sys.executable, "-c", script, *command(words, runs)[2:]], cwd=tmp_path, env=environment,
                          text=True, capture_output=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "File too large" in done.stderr
    assert (runs / "r" / NAME).read_bytes() == before
