"""What a .tflite tells of itself: there and back, with the kernels' bytes as they were."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import ai_edge_litert.schema_py_generated as schema
import numpy as np
import pytest

from datasets.console import UserError
from export.detector import detector_folder
from export.metadata import (
    ALIGNMENT,
    ENTRY,
    VERSION,
    FeatureSettings,
    Metadata,
    metadata_of,
    parse_metadata,
    with_metadata,
)
from export.onnx_writer import to_onnx
from export.runs import input_quantizer, resolve, takes_features
from export.simulate import with_labels
from export.tflite_reader import read_tflite
from export.witness import onnx_scores, tflm_scores
from tests.export.models import LABELS as THEIRS
from tests.export.models import small_model

LABELS = ("_silence_", "_unknown_", "yes", "no", "stop")


def model(labels=LABELS, dataset="speech") -> bytes:
    return with_metadata(small_model(), Metadata.of(labels, dataset, 10))


def raw(content: bytes) -> bytes:
    """A model whose entry holds these bytes."""
    class Raw(Metadata):
        def to_json(self) -> bytes:
            return content
    return with_metadata(small_model(), Raw((), "", {}))


def facts(**other) -> bytes:
    return json.dumps({"version": VERSION, "labels": LABELS, "dataset": "d", "features": {}, **other}).encode()


def constants(content: bytes) -> list:
    """Place in its 16 bytes, and bytes, of every buffer."""
    whole = schema.Model.GetRootAs(content, 0)
    buffers = [whole.Buffers(i) for i in range(whole.BuffersLength())]
    return [(each._tab.Vector(each._tab.Offset(4)) % ALIGNMENT, each.DataAsNumpy().tobytes())
            for each in buffers if each.DataLength()]


def entries(content: bytes) -> list[bytes]:
    whole = schema.Model.GetRootAs(content, 0)
    return [whole.Metadata(i).Name() for i in range(whole.MetadataLength())]


def test_there_and_back():
    told = metadata_of(read_tflite(model()))
    assert (told.labels, told.dataset) == (LABELS, "speech")
    assert told.features == asdict(FeatureSettings(10))
    assert told.features["hop_samples"] == 320


def test_the_converter_writes_it():
    assert metadata_of(read_tflite(small_model())) == Metadata.of(THEIRS, "synthetic", 10)


def test_constants_stay_where_they_were_in_their_lines():
    """Kernels on a core that cannot load unaligned words read them in place."""
    before, after = constants(small_model()), constants(model())
    assert after[:len(before)] == before
    assert [line for line, _ in after] == [line for line, _ in before] + [after[-1][0]]
    assert after[-1][1] == Metadata.of(LABELS, "speech", 10).to_json()


def test_a_second_one_takes_the_place_of_the_first():
    twice = with_metadata(model(), Metadata.of(LABELS[::-1], "other", 10))
    assert metadata_of(read_tflite(twice)).labels == LABELS[::-1]
    assert entries(twice).count(ENTRY.encode()) == 1
    assert sorted(entries(twice)) == sorted(entries(small_model()))


def test_scores_are_what_they_were():
    inputs = np.random.default_rng(0).integers(-128, 128, (20, 49, 10)).astype(np.int8)
    scores = tflm_scores(small_model(), inputs)
    assert np.array_equal(tflm_scores(model(), inputs), scores)
    assert np.array_equal(onnx_scores(to_onnx(read_tflite(model())), inputs), scores)
    graph, other = read_tflite(small_model()), read_tflite(model())
    assert [vars(op) for op in graph.ops] == [vars(op) for op in other.ops]


@pytest.mark.parametrize(("content", "message"), [
    (b"", "damaged .JSONDecodeError"),
    (b"\xff\xfe", "damaged"),
    (b"[]", "damaged .TypeError"),
    (b"[" * 60_000, "damaged .RecursionError"),
    (b'{"version": 1}', "damaged .KeyError"),
    (facts(labels=5), "damaged .TypeError"),
    (facts(version=2), "version '2'; allowed: 1"),
    (facts(labels=LABELS[:3]), "3 labels, 3 of them different; allowed: 5"),
    (facts(labels=("a", "a", "b", "c", "d")), "5 labels, 4 of them different"),
    (facts(labels=("a", "b", "c", "e", "d\n")), "not printable text of 1 to 100"),
    (facts(labels=("a", "b", "c", "e", 4)), "not printable text"),
    (facts(labels=("a", "b", "c", "e", "")), "not printable text"),
    (facts(dataset="d" * 101), "not printable text"),
    (facts(features=[]), "its features are no table"),
])
def test_bad_metadata_is_told_in_one_line_and_left_out(content, message, tmp_path, capsys):
    with pytest.raises(UserError, match=message):
        parse_metadata(content, 5)
    path = tmp_path / "net.tflite"
    path.write_bytes(raw(content))
    run = resolve(model=path)
    warning = capsys.readouterr().err
    assert (run.labels, run.dataset, run.named_labels) == (tuple(f"class_{i}" for i in range(5)), "unknown", False)
    assert warning.startswith(f"warning: {path}: its metadata 'kws-grow'")
    assert warning.endswith("; ignored\n")
    assert len(warning.splitlines()) == 1
    assert takes_features(read_tflite(path))


def test_labels_of_the_file_serve_and_those_given_win(tmp_path, capsys):
    path = tmp_path / "small.tflite"
    path.write_bytes(model())
    run = resolve(model=path)
    assert (run.name, run.labels, run.dataset, run.named_labels) == ("small", LABELS, "speech", True)
    assert detector_folder(run) == Path("build/small/stream"), "models of one folder would share one threshold"
    assert with_labels(run, None).labels == LABELS
    assert with_labels(run, "a,b,c,d,e").labels == ("a", "b", "c", "d", "e")
    assert capsys.readouterr().err == ""


def test_a_net_of_other_features_takes_none_of_ours():
    told = Metadata(LABELS, "speech", asdict(FeatureSettings(10, hop_samples=160)))
    graph = read_tflite(with_metadata(small_model(), told))
    assert not takes_features(graph)
    with pytest.raises(UserError, match=r"its features are not ours: hop_samples 160, ours 320$"):
        input_quantizer(graph)
    assert takes_features(replace(graph, metadata=None))
