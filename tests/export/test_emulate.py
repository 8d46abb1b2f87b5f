"""make emulate, whole: a net through quantizer, C, image and emulator; every byte checked, any difference told."""

import io
import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.console import UserError, run_command
from datasets.features import CLIP_SAMPLES, log_mel_codes
from datasets.wav import write_wav
from export import emulate
from export.boards import load_board
from export.host_features import host_codes
from export.kernels import load_kernels
from export.link import Hello, check_identity
from export.mcu import Net, export_nets
from export.net import FloatLayer, FloatNet, save_net
from export.runs import resolve
from export.toolchain import HOST_COMPILERS, LIBRARY_FLAGS, have, install_line

TOOLS = ("gcc", "arm-none-eabi-gcc", "arm-none-eabi-objcopy", "qemu-system-arm")
MISSING = [install_line(tool) for tool in TOOLS if not have(tool)]
needs_emulator = pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))

SHARED = Path(__file__).resolve().parents[3] / "shared" / "speech_commands" / "audio_flac.zip"
LABELS = ("_silence_", "_unknown_", "yes", "no")


def small_net() -> FloatNet:
    """A DS-CNN of 8 channels with random weights, MFCC [49, 10] to 4 scores."""
    rng = np.random.default_rng(3)

    def layer(op, shape, axis, scale, stride=(1, 1), relu=True, output=(0.0, 4.0)):
        weight = rng.normal(0, scale, shape).astype(np.float32)
        limit = np.abs(np.moveaxis(weight, axis, 0)).reshape(shape[axis], -1).max(axis=1)
        return FloatLayer(op, weight, rng.normal(0, 0.1, shape[axis]).astype(np.float32), stride, relu, output, limit)

    layers = (layer("conv", (8, 10, 4, 1), 0, 1e-3, (2, 2)), layer("depthwise", (3, 3, 8), 2, 0.4),
              layer("conv", (8, 1, 1, 8), 0, 0.4), FloatLayer("average_pool", output_range=(0.0, 4.0)),
              layer("dense", (4, 8), 0, 1.0, relu=False, output=(-8.0, 8.0)), FloatLayer("softmax"))
    return FloatNet((49, 10), (-500.0, 1600.0), layers, LABELS, "random")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A finished run of the small net, runs/small."""
    from export.quantize import converted, to_tflite

    folder = tmp_path_factory.mktemp("work") / "runs" / "small"
    folder.mkdir(parents=True)
    save_net(small_net(), folder / "net.npz")
    (folder / "model.tflite").write_bytes(to_tflite(small_net()))
    (folder / "foreign.tflite").write_bytes(converted(small_net()))
    (folder / "summary.json").write_text(json.dumps({"finished": True, "labels": LABELS, "dataset": "random"}))
    return folder


@pytest.fixture
def clips(tmp_path):
    """CLIPS: three WAVs a label, from a whisper to full scale."""
    rng = np.random.default_rng(8)
    for label in LABELS:
        (tmp_path / "clips" / label).mkdir(parents=True)
        for amplitude in (3, 900, 32767):
            write_wav(tmp_path / "clips" / label / f"{amplitude}.wav",
                      rng.integers(-amplitude, amplitude + 1, CLIP_SAMPLES).astype(np.int16))
    return tmp_path / "clips"


@pytest.fixture
def command(monkeypatch, run_folder, clips, tmp_path):
    """command(*more): python -m export.emulate of the small net, which tells no labels, on the clips."""
    def call(*more: str) -> None:
        model = run_folder / "foreign.tflite"
        monkeypatch.setattr(sys, "argv", ["emulate", "--model", str(model), "--clips", str(clips), "--out",
                                          str(tmp_path / "out"), *more])
        run_command(emulate.main)
    return call


@needs_emulator
@pytest.mark.emulator
def test_a_run_is_emulated_and_every_row_is_equal(monkeypatch, run_folder, clips, tmp_path, capsys):
    monkeypatch.chdir(run_folder.parent.parent)
    monkeypatch.setattr(sys, "argv", ["emulate", "--run", "small", "--clips", str(clips), "--out", str(tmp_path / "o")])
    run_command(emulate.main)
    assert capsys.readouterr().out.splitlines()[-1] == f"summary: {tmp_path / 'o' / 'summary.json'}"
    summary = json.loads((tmp_path / "o" / "summary.json").read_text())
    assert summary["rows"] == summary["equal_rows"] == summary["clips"] == 12
    assert set(summary["equal_rows_of"].values()) == {12}
    assert len(summary["equal_rows_of"]) == 6
    assert 0 <= summary["accuracy_int8"] <= 1
    assert (summary["board"], summary["core"], summary["dataset"]) == ("mps2-an386", "cortex-m4", "random")
    assert 5_000 < summary["instructions_per_frame"] < 60_000
    macs = 125 * 8 * 40 + 125 * 8 * 9 + 125 * 64 + 32
    assert macs < summary["instructions_per_inference"] < 40 * macs
    assert summary["emulated_on"] == str(clips)
    assert summary["left_out"] == []
    assert summary["ram_bytes"] == sum(summary[key] for key in ("arena_bytes", "buffer_bytes", "stack_bytes"))


@needs_emulator
@pytest.mark.emulator
def test_what_is_emulated_is_what_export_mcu_writes(run_folder, tmp_path):
    run, board = resolve("small", None, run_folder.parent), load_board("mps2-an386")
    exported, emulated = (make((Net.of(run),), board, tmp_path / folder, load_kernels(None, None)) for make, folder in (
        (lambda *about: export_nets(*about).image, "exported"), (emulate.build, "emulated")))
    assert emulated.identity == exported.identity
    assert emulated.elf != exported.elf
    assert emulated.bin.read_bytes() == exported.bin.read_bytes()


@needs_emulator
@pytest.mark.emulator
def test_witnesses_that_the_machine_lacks_are_left_out_aloud(command, monkeypatch, tmp_path, capsys):
    """Neither host compiler finds its headers, and tflite_micro cannot be imported."""
    for name in HOST_COMPILERS:
        monkeypatch.setitem(LIBRARY_FLAGS, name, ("-nostdinc",))
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    command("--limit", "3")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(summary["equal_rows_of"]) == {"codes = float64 within one", "inputs = NumPy", "scores = ONNX Runtime"}
    assert summary["equal_rows"] == 3
    reasons = {line.partition(": ")[0]: line for line in summary["left_out"]}
    assert set(reasons) == {"codes = host C", "scores = host C", "scores = TFLite Micro"}
    assert "no working C compiler" in reasons["codes = host C"]
    assert "TFLite Micro is not there" in reasons["scores = TFLite Micro"]
    table = capsys.readouterr().out
    assert table.count("left out: ") == 3
    assert "scores = host C             left out: no working C compiler" in table


def test_a_missing_emulator_is_told_before_anything_is_read(command, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(emulate, "emulation_clips", None)
    with pytest.raises(SystemExit):
        command()
    assert "qemu-system-arm is not installed; Debian, Ubuntu: apt-get install" in capsys.readouterr().err


def test_without_arms_compiler_there_is_nothing_to_emulate(run_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="firmware image: .*apt-get install gcc-arm-none-eabi"):
        emulate.build((Net.of(resolve("small", None, run_folder.parent)),), load_board("mps2-an386"), tmp_path,
                      load_kernels(None, None))


@pytest.mark.parametrize("synthetic", [True, False])
def test_the_summary_says_where_the_clips_came_from(monkeypatch, clips, run_folder, tmp_path, synthetic):
    monkeypatch.setenv("KWS_GROW_CACHE", str(tmp_path / "cache"))
    run = replace(resolve("small", None, run_folder.parent), data=clips)
    if synthetic:
        (clips / "synthetic.json").write_text('{"name": "synthetic"}')
    own = emulate.Namespace(clips=None, data=None)
    assert emulate.clips_source(own, run) == (clips, f"validation of {'synthetic' if synthetic else 'clips'}")
    given = emulate.Namespace(clips=clips, data=None)
    assert emulate.clips_source(given, run) == (None, f"{clips} (synthetic)" if synthetic else str(clips))


@needs_emulator
@pytest.mark.emulator
def test_a_model_without_labels_is_checked_but_not_judged(command, tmp_path):
    command("--limit", "2")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["rows"] == summary["equal_rows"] == 2
    assert "accuracy_int8" not in summary


@needs_emulator
@pytest.mark.emulator
@pytest.mark.parametrize(("witness", "message"), [
    ("host_codes", "codes = host C fails on 6 of 6 clips, first"),
    ("tflm_scores", "scores = TFLite Micro fails on 6 of 6"),
    ("onnx_scores", "scores = ONNX Runtime fails on 6 of 6"),
    ("log_mel_codes", "codes = float64 within one fails on 6 of 6"),
])
def test_one_byte_that_differs_ends_in_status_one(command, monkeypatch, capsys, tmp_path, witness, message):
    honest = getattr(emulate, witness)

    def lie(*arguments):
        answer = honest(*arguments).copy()
        answer.reshape(len(answer), -1)[:, 1] ^= 2
        return answer if witness != "log_mel_codes" else np.where(answer < 128, answer + 2, answer - 2)

    monkeypatch.setattr(emulate, witness, lie)
    with pytest.raises(SystemExit) as end:
        command()
    assert message in str(end.value)
    assert end.value.code not in (None, 0)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["equal_rows"] == 0


@pytest.mark.parametrize(("more", "message"), [
    (("--board", "nano33ble"), "BOARD=nano33ble: QEMU has no such board; emulated ones are m0plus-code"),
    (("--board", "nano"), "BOARD=nano: no such board; there are"),
    (("--limit", "0"), "LIMIT=0: allowed are whole numbers from 1 to 100000"),
    (("--limit", "100001"), "LIMIT=100001: allowed are whole numbers from 1 to 100000"),
    (("--limit", 5000 * "9"), "9: allowed are whole numbers from 1 to 100000"),
    (("--limit", "many"), "LIMIT=many: allowed"),
    (("--clips", "nowhere"), "nowhere: no such folder"),
    (("--model", "nowhere.tflite"), "nowhere.tflite: No such file"),
])
def test_bad_input_is_one_line(command, capsys, more, message):
    with pytest.raises(SystemExit) as end:
        command(*more)
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert message in error
    assert error.count("error:") == 1


def test_another_image_on_the_board_is_noticed():
    hello = Hello("00" * 32, 4096, 0, True, 0, ())
    image = emulate.Image(*[Path("x")] * 4, 0, 0, 0, 0, 0, 0, "11" * 32, ("network",))
    with pytest.raises(UserError, match="another image"):
        check_identity(hello, image)
    assert check_identity(replace(hello, identity="11" * 32), image).features


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_file(), reason="the real recordings are not in ../shared")
@pytest.mark.skipif(not have("gcc"), reason=install_line("gcc"))
def test_real_speech_within_one_code():
    with zipfile.ZipFile(SHARED) as archive:
        names = [name for name in archive.namelist() if name.endswith(".flac") and name[0] != "_"][::60]
        sounds = [soundfile.read(io.BytesIO(archive.read(name)), dtype="int16")[0] for name in names]
    waveforms = np.array([np.pad(sound, (0, CLIP_SAMPLES - len(sound))) for sound in sounds])
    reference = np.array([log_mel_codes(waveform) for waveform in waveforms]).astype(int)
    difference = np.abs(host_codes(waveforms) - reference)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.005
