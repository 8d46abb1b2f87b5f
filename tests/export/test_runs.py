"""RUN and MODEL: the newest finished run, a named one, or any .tflite; mistakes say what there is."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from datasets.console import UserError
from datasets.features import MfccQuantizer
from export.net import save_net
from export.runs import (
    MAX_INPUT_BYTES,
    NAME_BYTES,
    clips_name,
    input_quantizer,
    joint_name,
    most_rows,
    resolve,
    resolve_several,
    run_name,
    whole_number,
)
from export.tflite_reader import read_tflite
from tests.export.models import LABELS, Chain, random_net, small_model


def write_run(folder, age_s: float = 0.0, **summary):
    """A finished run, as kws_grow leaves it."""
    folder.mkdir(parents=True)
    save_net(random_net(0, (8, 6, 5)), folder / "net.npz")
    (folder / "model.tflite").write_bytes(small_model())
    path = folder / "summary.json"
    path.write_text(json.dumps({"finished": True, "labels": LABELS, "dataset": "synthetic", **summary}))
    time_s = path.stat().st_mtime - age_s
    os.utime(path, (time_s, time_s))
    return folder


@pytest.fixture
def runs(tmp_path):
    for name, age_s, finished in (("old", 50, True), ("new", 10, True), ("unfinished", 0, False)):
        write_run(tmp_path / "runs" / name, age_s, finished=finished)
    return tmp_path / "runs"


def test_newest_finished_run_is_the_default(runs):
    run = resolve(None, None, runs)
    assert (run.name, run.labels, run.dataset) == ("new", LABELS, "synthetic")
    assert run.tflite_path.read_bytes() == small_model()
    assert run.net_path == runs / "new" / "net.npz"


@pytest.mark.parametrize("name", ["old", "runs/old", "runs/old/"])
def test_named_run(runs, name):
    assert resolve(name, None, runs).folder == runs / "old"


@pytest.mark.parametrize(("name", "message"), [
    ("nothing", "RUN=nothing: no such run; finished in .*: old, new"),
    ("unfinished", "RUN=unfinished: not finished; .*: old, new")])
def test_wrong_run(runs, name, message):
    with pytest.raises(UserError, match=message):
        resolve(name, None, runs)


@pytest.mark.parametrize("text", ["x", "x/", "runs/x", "runs/x/"])
def test_run_name_is_a_folder_of_runs(text):
    assert run_name(text) == "x"


@pytest.mark.parametrize("text", ["", "/", "runs/", "..", "runs/..", "../x", "a/b", "runs/a/b", "/tmp/old", "a/../old",
                                  "./x", "x//", "other/old", ".hidden"])
def test_other_paths_are_no_run(runs, text):
    with pytest.raises(UserError, match="allowed is the plain name of a folder of runs/"):
        run_name(text)
    if text:
        with pytest.raises(UserError, match="allowed is the plain name"):
            resolve(text, None, runs)


def test_no_run_at_all(tmp_path):
    with pytest.raises(UserError, match="no finished run in it; `make grow-kws` makes one, or name a MODEL"):
        resolve(None, None, tmp_path / "runs")
    with pytest.raises(UserError, match="RUN=x: no such run; finished in .*: none; `make grow-kws`"):
        resolve("x", None, tmp_path / "runs")


@pytest.mark.parametrize("damage", [
    b"{", b"\xff", b"[]", b"{}", b'{"finished": true, "labels": 5, "dataset": "x"}', b'{"finished": true}',
    b'{"finished": true, "labels": [5], "dataset": "x"}', b'{"finished": true, "labels": ["a"], "data": 5}'])
def test_damaged_summary_is_no_finished_run(runs, damage):
    (runs / "new" / "summary.json").write_bytes(damage)
    assert resolve(None, None, runs).name == "old"
    with pytest.raises(UserError, match="RUN=new: its summary.json is damaged; .*: old"):
        resolve("new", None, runs)


@pytest.mark.parametrize("name", ["model.tflite", "net.npz"])
def test_a_run_without_its_files_says_so(runs, name):
    (runs / "old" / name).unlink()
    with pytest.raises(UserError, match=f"RUN=old: its {name} is missing; grow it again; finished in .*: new"):
        resolve("old", None, runs)
    (runs / "new" / "summary.json").write_text("{")
    with pytest.raises(UserError, match=f"no finished run .*new: its summary.json is damaged.*; old: its {name} is"):
        resolve(None, None, runs)


def test_synthetic_clips_are_called_so(tmp_path):
    assert clips_name(tmp_path) == str(tmp_path)
    (tmp_path / "synthetic.json").write_text("{}")
    assert clips_name(tmp_path) == f"{tmp_path} (synthetic)"


def test_bare_model(tmp_path):
    path = tmp_path / "any.tflite"
    path.write_bytes(Chain((1, 4)).dense(3).content())
    run = resolve(None, path)
    assert (run.name, run.labels, run.named_labels, run.dataset, run.net_path) == (
        "any", ("class_0", "class_1", "class_2"), False, "unknown", None)


@pytest.mark.parametrize(("text", "names"), [("{0} {1}", "ab"), ("{0},{1}", "ab"), (" {0}, {1} ", "ab"),
                                             ("{1},{0},{0}", "baa")])
def test_several_models(tmp_path, text, names):
    paths = [tmp_path / "a.tflite", tmp_path / "b.tflite"]
    for path in paths:
        path.write_bytes(Chain((1, 4)).dense(2).content())
    found = resolve_several(None, text.format(*paths))
    assert "".join(run.name for run in found) == names


def test_many_models_are_longer_than_a_path_may_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tflite").write_bytes(Chain((1, 4)).dense(2).content())
    assert len(resolve_several(None, " ".join(["a.tflite"] * 40))) == 40


def test_the_joint_name_of_many_is_short_and_their_own(tmp_path):
    (tmp_path / "a.tflite").write_bytes(Chain((1, 4)).dense(2).content())
    run = resolve(None, tmp_path / "a.tflite")
    long = [tuple(replace(run, name=f"é{40 * 'x'}{i}") for i in range(count)) for count in (1, 6, 7)]
    assert joint_name((run, run)) == "a+a"
    assert joint_name(long[0]) == long[0][0].name
    names = [joint_name(runs) for runs in long[1:]]
    assert len(set(names)) == 2
    assert all(80 < len(name.encode()) <= NAME_BYTES and name.startswith(long[0][0].name) for name in names)


def test_a_path_with_a_space_is_one_model(tmp_path, runs):
    path = tmp_path / "a b.tflite"
    path.write_bytes(Chain((1, 4)).dense(2).content())
    assert [run.name for run in resolve_several(None, path)] == ["a b"]
    assert [run.name for run in resolve_several("old", None, runs)] == ["old"]
    with pytest.raises(UserError, match="nowhere.tflite: No such file"):
        resolve_several(None, f"nowhere.tflite {path.name}")


def test_commas_between_paths_with_spaces(tmp_path):
    for name in ("a b", "c  d"):
        (tmp_path / f"{name}.tflite").write_bytes(Chain((1, 4)).dense(2).content())
    found = resolve_several(None, f"{tmp_path}/a b.tflite, {tmp_path}/c  d.tflite,")
    assert [run.name for run in found] == ["a b", "c  d"]


@pytest.mark.parametrize("text", [",", ", ", " ", " ,\t, "])
def test_separators_alone_are_no_model(runs, text):
    with pytest.raises(UserError, match=f"MODEL={text}: names no file; allowed: one .tflite, or several with commas"):
        resolve_several(None, text, runs)


def test_run_and_model_exclude_each_other(runs):
    with pytest.raises(UserError, match="RUN=old and MODEL=x.tflite: name one of the two"):
        resolve("old", "x.tflite", runs)


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("250", 250), ("0000000042", 42)])
def test_a_whole_number(text, number):
    assert whole_number("LIMIT", text, 1, 250) == number


@pytest.mark.parametrize("text", ["", "0", "000", "251", "9" * 5000, "-1", "1.0", "1e2", "\u00b2", "many"])
def test_other_numbers_are_refused(text):
    with pytest.raises(UserError, match=f"LIMIT={text[:40]}: allowed are whole numbers from 1 to 250"):
        whole_number("LIMIT", text, 1, 250)


@pytest.mark.parametrize(("elements", "rows"), [(490, MAX_INPUT_BYTES // 490), (MAX_INPUT_BYTES + 1, 1)])
def test_rows_that_memory_holds(elements, rows):
    graph = read_tflite(Chain((1, 4)).dense(2).content())
    tensors = tuple(replace(tensor, shape=(1, elements)) for tensor in graph.tensors)
    assert most_rows(replace(graph, tensors=tensors)) == rows


def test_input_quantizer_is_that_of_the_input_tensor():
    graph = read_tflite(small_model())
    quantizer = input_quantizer(graph)
    expected = MfccQuantizer.of(float(graph.input.scale[0]), int(graph.input.zero_point[0]), 10)
    np.testing.assert_array_equal(quantizer.table, expected.table)
    assert (quantizer.shift, quantizer.zero_point) == (expected.shift, expected.zero_point)


@pytest.mark.parametrize("shape", [(1, 48, 10, 1), (1, 49, 41, 1), (1, 49, 10, 2), (1, 490)])
def test_other_inputs_are_refused(shape):
    with pytest.raises(UserError, match=r"tensor tensor_0: input has shape .*\[1, 49, coefficients, 1\]"):
        input_quantizer(read_tflite(Chain(shape).dense(3).content()))


def test_an_input_of_bytes_is_refused():
    chain = Chain((1, 49, 10, 1))
    model = chain.unsigned(chain.at).quantize().dense(3).content()
    with pytest.raises(UserError, match="tensor tensor_0: input is uint8; our features are int8"):
        input_quantizer(read_tflite(model))


def test_too_small_an_input_scale_is_refused():
    chain = Chain((1, 49, 10, 1)).dense(3)
    chain.graph.tensors[0].quantization.scale = [1e-7]
    with pytest.raises(UserError, match="tensor tensor_0: input scale .* too small"):
        input_quantizer(read_tflite(chain.content()))
