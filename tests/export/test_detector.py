"""The detector's constants: into C, beside a net and back, and refused where they make no sense."""

import re
import subprocess
from dataclasses import replace

import pytest

from datasets.console import UserError
from export.detector import DEFAULT_THRESHOLD, FILE, Detector, detector_of, save_detector, write_detector
from export.feature_tables import write_feature_tables
from export.host import FIRMWARE, WARNINGS
from export.runs import resolve
from export.tflite_reader import read_tflite
from export.toolchain import have, install_line
from tests.export.models import LABELS, Chain, small_model
from tests.export.test_runs import write_run

PICKED = Detector(("_silence_", "_unknown_", "yes", "no", "up"), (0, 0, 2, 2, 3), 51234, 5, 4, 33)


@pytest.mark.skipif(not have("gcc"), reason=install_line("gcc"))
def test_what_is_written_is_what_c_reads(tmp_path):
    """Labels of any letters too."""
    odd = replace(PICKED, labels=("_silence_", 'a"b\\', "*/ yes ??/", "Grüße 9", "x\ny"))
    write_feature_tables(tmp_path)
    source = write_detector(odd, tmp_path)
    (tmp_path / "main.c").write_text("""
#include <stdio.h>
#include "kws_detector_config.h"
int main(void) {
    const kws_config *c = &kws_detector_config;
    printf("%u %u %u %u %u %u|", c->labels, c->frames_per_inference, c->average_inferences, c->refractory_frames,
           KWS_FRAMES_PER_INFERENCE, KWS_AVERAGE_INFERENCES);
    for (int i = 0; i < KWS_LABELS; i++) {
        printf("%s %u %u|", kws_labels[i], c->words[i].threshold, c->words[i].min_count);
    }
    return kws_check_config(c);
}
""")
    program = tmp_path / "main"
    subprocess.run(["gcc", *WARNINGS, f"-I{tmp_path}", f"-I{FIRMWARE / 'stream'}", tmp_path / "main.c", source,
                    FIRMWARE / "stream" / "kws_decide.c", "-o", program], check=True)
    words = "".join(f"{label} 51234 {count}|" for label, count in zip(odd.labels, odd.min_counts, strict=True))
    assert subprocess.run([program], capture_output=True, check=True).stdout.decode() == f"5 5 4 33 5 4|{words}"


@pytest.fixture
def run(tmp_path):
    write_run(tmp_path / "runs" / "one")
    return resolve("one", None, tmp_path / "runs")


def test_without_a_stream_the_default(run):
    found, source = detector_of(run, read_tflite(run.tflite_path))
    assert found == Detector.of(run.labels)
    assert found.threshold == DEFAULT_THRESHOLD
    assert "make stream" in source
    assert found.words == tuple(label for label in run.labels if label[0] != "_")


def test_names_of_no_meaning_are_told(tmp_path):
    chain = Chain((1, 49, 10, 1)).conv(4, (10, 4), (2, 2)).mean().dense(3).softmax()
    (tmp_path / "a.tflite").write_bytes(chain.content())
    nameless = resolve(None, tmp_path / "a.tflite")
    assert "labels unknown" in detector_of(nameless, read_tflite(nameless.tflite_path))[1]


def test_saved_beside_a_run_and_read_back(run):
    graph = read_tflite(run.tflite_path)
    picked = replace(Detector.of(run.labels), threshold=44444)
    path = save_detector(picked, run, graph)
    assert path == run.folder / FILE
    assert detector_of(run, graph) == (picked, str(path))


def test_a_model_brings_its_labels_along(tmp_path, monkeypatch):
    """In build/, by `make stream`, or beside the model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.tflite").write_bytes(small_model())
    run = resolve(None, tmp_path / "net.tflite")
    graph = read_tflite(run.tflite_path)
    path = save_detector(PICKED, run, graph)
    assert path.parts == ("build", "net", "stream", FILE)
    assert detector_of(run, graph)[0] == PICKED
    path.rename(tmp_path / FILE)
    assert detector_of(run, graph)[0] == PICKED
    (tmp_path / FILE).rename(tmp_path / "net.detector.json")
    assert detector_of(run, graph) == (PICKED, str(tmp_path / "net.detector.json"))


def test_another_nets_detector_is_passed_over(run):
    graph = read_tflite(run.tflite_path)
    save_detector(replace(Detector.of(run.labels), threshold=44444), run, replace(graph, sha256="0" * 64))
    assert detector_of(run, graph)[0].threshold == DEFAULT_THRESHOLD


@pytest.mark.parametrize(("change", "message"), [
    (lambda text: text[:-9], "cannot be read"), (lambda text: "[1]", "holds no detector"),
    (lambda text: text.replace('"threshold": ', '"threshold": 9'), "threshold 9[0-9]+: allowed are whole"),
    (lambda text: text.replace('"threshold"', '"thresh"'), "unexpected keyword"),
    (lambda text: re.sub(r'"frames_per_inference": \d+', '"frames_per_inference": 50', text), "from 1 to 49"),
    (lambda text: re.sub(r'"average_inferences": \d+', '"average_inferences": 1.5', text), "1.5: allowed are whole"),
    (lambda text: re.sub(r'"average_inferences": \d+', '"average_inferences": true', text), "True: allowed are whole"),
    (lambda text: text.replace('"yes"', "7"), "labels .*7, .*: allowed is a list of texts"),
    (lambda text: text.replace('"yes"', '["yes"]'), "labels .*: allowed is a list of texts"),
    (lambda text: text.replace('"yes"', '"\\ud800"'), "labels .*: allowed is a list of texts"),
    (lambda text: re.sub(r'"labels": \[[^]]*\]', '"labels": "abcde"', text), "labels 'abcde': allowed is a list"),
])
def test_a_damaged_detector_is_one_line(change, message, run):
    graph = read_tflite(run.tflite_path)
    path = save_detector(Detector.of(run.labels), run, graph)
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=message):
        detector_of(run, graph)


def test_labels_that_are_not_the_nets(run):
    graph = read_tflite(run.tflite_path)
    with pytest.raises(UserError, match="4 labels, and the net has 5 scores"):
        detector_of(replace(run, labels=LABELS[:4]), graph)
    path = save_detector(Detector.of(LABELS[:3]), run, graph)
    with pytest.raises(UserError, match=f"{re.escape(str(path))}: 3 labels, and the net has 5 scores"):
        detector_of(run, graph)


def test_scores_that_are_not_int8(tmp_path):
    content = Chain((1, 49, 10, 1)).conv(4).mean().dense(3).quantize(unsigned=True).content()
    (tmp_path / "net.tflite").write_bytes(content)
    run = resolve(None, tmp_path / "net.tflite")
    with pytest.raises(UserError, match="output is uint8; the detector takes int8 scores"):
        detector_of(run, read_tflite(run.tflite_path))


@pytest.mark.parametrize("broken", [
    {"threshold": -1}, {"threshold": 65281}, {"frames_per_inference": 0}, {"average_inferences": 0},
    {"average_inferences": 65}, {"refractory_frames": 65536}, {"min_counts": (0,)}, {"min_counts": (0, 0, 1, 1, 1001)},
    {"labels": (), "min_counts": ()}])
def test_values_that_c_would_refuse(broken):
    with pytest.raises(UserError, match=f"{FILE}: .* allowed are whole numbers from "):
        replace(PICKED, **broken)


def test_inferences_a_second():
    assert PICKED.inferences_per_s == 10
