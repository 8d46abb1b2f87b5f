"""make verify, whole: any nets on every emulated core and on the host, one wrong byte told, bad input in one line."""

import json
import re
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.console import UserError, run_command
from datasets.features import CLIP_SAMPLES
from datasets.wav import write_wav
from export import host, runs, verify
from export.boards import load_board
from export.checks import Check, report_difference
from export.host import sanitized_scores
from export.kernels import load_kernels
from export.mcu import read_nets
from export.runs import resolve
from export.toolchain import HOST_COMPILERS, LIBRARY_FLAGS, have, install_line, run_tool
from tests.export.models import Chain

TOOLS = ("gcc", "arm-none-eabi-gcc", "arm-none-eabi-objcopy", "qemu-system-arm")
MISSING = [install_line(tool) for tool in TOOLS if not have(tool)]
needs_emulator = pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))
needs_compiler = pytest.mark.skipif(not have("gcc"), reason=install_line("gcc"))
CORES = ("m0plus-code (cortex-m0plus)", "mps2-an385 (cortex-m3)", "mps2-an386 (cortex-m4)",
         "mps2-an500 (cortex-m7)", "mps2-an505 (cortex-m33)", "mps3-an547 (cortex-m55)")
COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "results" / "small-energy-aware" / "model.tflite"


def small_net() -> bytes:
    """Our features to five scores."""
    return (Chain((1, 49, 10, 1), 2).conv(8, (10, 4), (2, 2), activation="RELU").depthwise(activation="RELU")
            .conv(6, (1, 1)).average_pool((25, 5)).reshape((1, 6)).dense(5).softmax().content())


def unsigned_net() -> bytes:
    """uint8 in and out, with every operator that the small net lacks; its input is 13 x 9 x 3."""
    chain = Chain((1, 13, 9, 3), 5)
    chain.unsigned(chain.at).quantize().pad().conv(8, (3, 2), (2, 2), activation="RELU")
    before = chain.at
    chain.depthwise().relu6().add(before).max_pool().mean().dense(6).quantize(unsigned=True)
    return chain.content()


@pytest.fixture
def verified(monkeypatch, tmp_path):
    """verified(*options): python -m export.verify of these models by default; returns its summary."""
    (tmp_path / "small.tflite").write_bytes(small_net())
    (tmp_path / "other.tflite").write_bytes(unsigned_net())

    def call(*options: str, model: str = "small") -> dict:
        models = " ".join(str(tmp_path / f"{name}.tflite") for name in model.split())
        monkeypatch.setattr(sys, "argv", ["verify", "--model", models, "--out", str(tmp_path / "out"), *options])
        run_command(verify.main)
        return json.loads((tmp_path / "out" / "summary.json").read_text())
    return call


@needs_emulator
@pytest.mark.emulator
def test_two_nets_in_one_image_on_every_core(verified, tmp_path, capsys):
    summary = verified("--limit", "20", model="small other")
    assert (summary["rows"], summary["equal_rows"], summary["reference"]) == (20, 20, "TFLite Micro")
    witnesses = ("ONNX Runtime", "host C, sanitizers", *CORES)
    nets = ("network small", "network_1 other")
    assert summary["equal_rows_of"] == {f"{what}, {net}": 20 for what in witnesses for net in nets}
    assert (summary["run"], summary["kernels"], summary["left_out"]) == ("small+other", "tuned", [])
    assert set(summary["instructions_per_inference_of"]) == {f"{core}, {net}" for core in CORES for net in nets}
    assert min(summary["instructions_per_inference_of"].values()) > 10_000
    symbols = (tmp_path / "out" / "mps2-an386" / "firmware.map").read_text()
    assert re.search(r"\bnetwork_run\b", symbols)
    assert re.search(r"\bnetwork_1_run\b", symbols)
    assert len(re.findall(r"^\.arena\b", symbols, re.MULTILINE)) == 1
    out = capsys.readouterr().out
    assert "self-test: passed" in out
    assert out.splitlines()[-1] == f"summary: {tmp_path / 'out' / 'summary.json'}"


@needs_emulator
@pytest.mark.emulator
def test_nets_share_the_memory_of_the_largest(verified, tmp_path):
    verified("--limit", "1", "--board", "mps2-an386", model="small other")
    folder = tmp_path / "out" / "mps2-an386"
    sizes = {what: [int(size) for name in ("network", "network_1") for size in
                    re.findall(rf"_{what}_BYTES (\d+)", (folder / f"{name}.h").read_text())]
             for what in ("ARENA", "INPUT", "OUTPUT")}
    map_text = (folder / "firmware.map").read_text()
    for what, section in (("ARENA", r"\.bss\.kws_arena"), ("INPUT", r"\.bss\.kws_input"),
                          ("OUTPUT", r"\.bss\.kws_output")):
        assert len(sizes[what]) == 2
        found = re.search(rf"{section}\s+0x[0-9a-f]{{8,16}}\s+0x([0-9a-f]+)", map_text)
        assert int(found[1], 16) == max(sizes[what])


@needs_emulator
@pytest.mark.emulator
@pytest.mark.slow
def test_the_committed_net_on_every_core_at_length(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["verify", "--model", str(COMMITTED), "--out", str(tmp_path), "--limit", "200"])
    run_command(verify.main)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["rows"] == summary["equal_rows"] == 200
    assert len(summary["equal_rows_of"]) == 2 + len(CORES)


@needs_emulator
@pytest.mark.emulator
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_other_seeds_at_length(verified, seed):
    summary = verified("--limit", "300", "--seed", str(seed), model="other small")
    assert summary["rows"] == summary["equal_rows"] == 300


@needs_emulator
@pytest.mark.emulator
@pytest.mark.parametrize(("witness", "message"), [
    ("onnx_scores", "error: ONNX Runtime fails on 1 of 7 rows, first row 3; every byte must agree"),
    ("sanitized_scores", "error: host C, sanitizers fails on 1 of 7 rows, first row 3; every byte"),
])
def test_one_byte_that_differs_ends_in_status_one(verified, monkeypatch, tmp_path, witness, message):
    honest = getattr(verify, witness)

    def lie(*arguments):
        answer = honest(*arguments)
        (answer[0][0] if isinstance(answer, tuple) else answer)[3, 1] ^= 1
        return answer

    monkeypatch.setattr(verify, witness, lie)
    with pytest.raises(SystemExit) as end:
        verified("--limit", "7", "--board", "mps2-an386")
    assert str(end.value).startswith(message)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["rows"], summary["equal_rows"]) == (7, 6)


@needs_emulator
@pytest.mark.emulator
def test_one_byte_of_one_core_ends_in_status_one(verified, monkeypatch):
    honest = verify.Session.scores

    def lie(self, inputs, hello, network=0):
        scores, ticks = honest(self, inputs, hello, network)
        wrong = self.emulator.machine == "mps2-an505" and network == 1 and (inputs == inputs.flat[0]).all()
        return scores ^ np.uint8(wrong), ticks

    monkeypatch.setattr(verify.Session, "scores", lie)
    monkeypatch.setattr(verify, "board_names", lambda: ("mps2-an386", "mps2-an505"))
    with pytest.raises(SystemExit) as end:
        verified("--limit", "2", model="small other")
    assert str(end.value).startswith("error: mps2-an505 (cortex-m33), network_1 other fails on 2 of 2 rows, first row "
                                     "0; every byte")


@needs_emulator
@pytest.mark.emulator
def test_a_bug_in_asking_a_board_ends_the_command(tmp_path, monkeypatch):
    """The other board, which would take an hour, is stopped."""
    honest = verify.Session.hello

    def hello(self):
        if self.emulator.machine == "mps2-an386":
            raise RuntimeError("broke down")
        return honest(self)

    monkeypatch.setattr(verify.Session, "hello", hello)
    monkeypatch.setattr(verify, "cores", lambda: 2)
    (tmp_path / "small.tflite").write_bytes(small_net())
    nets = read_nets((resolve(None, tmp_path / "small.tflite"),))
    inputs = np.broadcast_to(np.int8(0), (1_000_000, 49, 10, 1))
    case = verify.Case(nets, verify.Stimuli((inputs,), (), "zeros"))
    boards = tuple(map(load_board, ("mps2-an385", "mps2-an386")))
    with pytest.raises(RuntimeError, match="broke down"):
        verify.ask_boards(boards, case, tmp_path, load_kernels(None, None))


@needs_emulator
@pytest.mark.emulator
def test_boards_that_cannot_be_asked_are_lines_and_the_others_are_compared(verified, monkeypatch, tmp_path, capsys):
    honest = verify.Session.hello

    def hello(self):
        if self.emulator.machine != "mps2-an386":
            self.fail("broke down")
        return honest(self)

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.json").write_text('{"equal_rows": 3}')
    monkeypatch.setattr(verify.Session, "hello", hello)
    monkeypatch.setattr(verify, "board_names", lambda: ("mps2-an385", "mps2-an386", "mps2-an505"))
    with pytest.raises(SystemExit) as end:
        verified("--limit", "3")
    broken = ("mps2-an385 (cortex-m3)", "mps2-an505 (cortex-m33)")
    assert str(end.value) == f"error: {broken[0]} failed; {broken[1]} failed"
    out = capsys.readouterr().out
    assert "self-test: passed" not in out
    for what in broken:
        assert re.search(rf"^{re.escape(what)} +failed: .*the image broke down$", out, re.MULTILINE)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(summary["equal_rows_of"].items()) == {
        (what, 3) for what in ("ONNX Runtime", "host C, sanitizers", "mps2-an386 (cortex-m4)")}
    assert (summary["rows"], summary["equal_rows"], len(summary["failed"])) == (3, 0, 2)


@needs_emulator
@pytest.mark.emulator
def test_who_fails_the_self_test_is_asked_all_rows_and_fails_the_command(verified, monkeypatch, tmp_path, capsys):
    """The second net's expected scores are wrong; its rows are right."""
    honest = verify.read_nets

    def lie(runs):
        first, second = honest(runs)
        test = replace(second.network.test, expected=second.network.test.expected ^ np.uint8(1))
        return first, replace(second, network=replace(second.network, test=test))

    monkeypatch.setattr(verify, "read_nets", lie)
    with pytest.raises(SystemExit) as end:
        verified("--limit", "4", "--board", "mps2-an386", model="small other")
    assert str(end.value) == ("error: host C, sanitizers, self-test failed; "
                              "mps2-an386 (cortex-m4), self-test failed")
    out = capsys.readouterr().out
    assert "self-test: passed" not in out
    assert re.search(r"^mps2-an386 \(cortex-m4\), self-test +failed: network 1$", out, re.MULTILINE)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["equal_rows_of"]["mps2-an386 (cortex-m4), network_1 other"] == 4
    assert summary["failed"] == ["host C, sanitizers, self-test: network 1",
                                 "mps2-an386 (cortex-m4), self-test: network 1"]


def test_why_one_alone_failed_is_said_beside_what_differs():
    check = Check("ONNX Runtime", np.array([True, False]))
    with pytest.raises(SystemExit) as end:
        report_difference((check,), ("a", "b"), "rows", {"a board": "no\n answer"})
    assert str(end.value) == ("error: a board failed: no answer; ONNX Runtime fails on 1 of 2 rows, first b; every "
                              "byte must agree, so this is a bug of kws-grow: please report it")


def test_random_rows_are_as_many_as_memory_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "MAX_INPUT_BYTES", 10 * 490 + 489)
    (tmp_path / "small.tflite").write_bytes(small_net())
    nets = read_nets((resolve(None, tmp_path / "small.tflite"),))
    for limit, rows in ((11, 10), (9, 9)):
        stimuli = verify.read_stimuli(Namespace(clips=None, inputs=None, limit=limit, seed=0), nets)
        assert (len(stimuli.inputs[0]), len(stimuli.names)) == (rows, rows)


def test_an_older_summary_is_gone_where_the_command_fails(verified, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.json").write_text('{"equal_rows": 200}')
    with pytest.raises(SystemExit):
        verified("--inputs", "nowhere.npy")
    assert not (tmp_path / "out" / "summary.json").exists()


@needs_emulator
@pytest.mark.emulator
def test_clips_become_inputs(verified, tmp_path):
    rng = np.random.default_rng(8)
    for label in ("yes", "no"):
        (tmp_path / "clips" / label).mkdir(parents=True)
        write_wav(tmp_path / "clips" / label / "a.wav", rng.integers(-900, 900, CLIP_SAMPLES).astype(np.int16))
    summary = verified("--clips", str(tmp_path / "clips"), "--board", "mps2-an386")
    assert summary["rows"] == summary["equal_rows"] == 2
    assert summary["stimuli"] == str(tmp_path / "clips")


def test_more_nets_than_an_image_can_report_on(verified, capsys):
    with pytest.raises(SystemExit):
        verified(model="small " * 32)
    assert capsys.readouterr().err == "error: MODEL: 32 nets; allowed are at most 31 in one image\n"


@needs_compiler
def test_an_npy_becomes_inputs(verified, tmp_path, monkeypatch):
    """Without the emulator, which is left out aloud."""
    monkeypatch.setattr(verify, "find_tool", lambda tool: (_ for _ in ()).throw(UserError(f"{tool} is not installed")))
    rows = np.random.default_rng(1).integers(-128, 128, (9, 49, 10, 1)).astype(np.int8)
    np.save(tmp_path / "rows.npy", rows)
    summary = verified("--inputs", str(tmp_path / "rows.npy"), "--limit", "8")
    assert summary["rows"] == summary["equal_rows"] == 8
    assert set(summary["equal_rows_of"]) == {"ONNX Runtime", "host C, sanitizers"}
    assert [line.partition(":")[0] for line in summary["left_out"]] == list(CORES)
    np.save(tmp_path / "rows.npy", rows.reshape(9, 490))
    assert verified("--inputs", str(tmp_path / "rows.npy"))["rows"] == 9


def test_without_tflite_micro_and_compilers_there_is_nothing_to_compare(verified, monkeypatch, capsys):
    for name in HOST_COMPILERS:
        monkeypatch.setitem(LIBRARY_FLAGS, name, ("-nostdinc",))
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit):
        verified("--limit", "3")
    error = capsys.readouterr().err
    assert error.startswith("error: ONNX Runtime alone cannot be compared; left out: TFLite Micro")
    assert error.count("\n") == 1


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_program_is_clean_under_each_compiler(compiler, tmp_path, monkeypatch):
    """Every warning is an error; the sanitizers are left to the one that verify takes."""
    if not have(compiler):
        pytest.skip(install_line(compiler))
    monkeypatch.setattr(host, "host_compiler", lambda: compiler)
    monkeypatch.setattr(host, "SANITIZERS", ("-O0",))
    (tmp_path / "other.tflite").write_bytes(unsigned_net())
    nets = read_nets((resolve(None, tmp_path / "other.tflite"),) * 2)
    program = host.compile_program(tuple(net.graph for net in nets), tuple(net.network for net in nets), tmp_path)
    rows, outputs = tmp_path / "rows.bin", tmp_path / "outputs.bin"
    rows.write_bytes(bytes(3 * nets[0].graph.input.bytes))
    run_tool([program, "1", rows, outputs], "the program")
    assert outputs.stat().st_size == 3 * nets[1].graph.output.bytes
    with pytest.raises(UserError, match="error: usage: kws_host .NETWORK INPUTS OUTPUTS."):
        run_tool([program, "2", rows, outputs], "the program")


@needs_compiler
def test_a_write_outside_the_arena_is_found(tmp_path, monkeypatch):
    """A plan that is 16 bytes too small."""
    (tmp_path / "small.tflite").write_bytes(small_net())
    (net,) = read_nets((resolve(None, tmp_path / "small.tflite"),))
    honest = host.write_c

    def too_small(graph, folder, prefix, kernel_of):
        plan = honest(graph, folder, prefix, kernel_of)
        header = folder / f"{prefix}.h"
        header.write_text(header.read_text().replace(f"ARENA_BYTES {plan.arena_bytes}",
                                                     f"ARENA_BYTES {plan.arena_bytes - 16}"))
        return plan

    monkeypatch.setattr(host, "write_c", too_small)
    rows = np.zeros((2, 49, 10, 1), np.int8)
    with pytest.raises(UserError, match="host's program, .*AddressSanitizer"):
        sanitized_scores((net.graph,), (net.network,), (rows,))


@pytest.mark.parametrize(("options", "message"), [
    (("--board", "nano33ble"), "BOARD=nano33ble: QEMU has no such board"),
    (("--limit", "0"), "LIMIT=0: allowed are whole numbers from 1 to 100000"),
    (("--limit", "99999999999999999999"), "LIMIT=99999999999999999999: allowed are whole numbers from 1 to 100000"),
    (("--seed", "-1"), "SEED=-1: allowed are whole numbers from 0 to 4294967295"),
    (("--kernels", "fast"), "KERNELS=fast: allowed: portable, tuned, cmsis-nn"),
    (("--clips", "nowhere"), "nowhere: no such folder"),
    (("--inputs", "nowhere.npy"), "INPUTS=nowhere.npy: No such file"),
    (("--inputs", "x", "--clips", "y"), "CLIPS=y and INPUTS=x: name one of the two"),
    (("--model", "nowhere.tflite,x"), "nowhere.tflite: No such file"),
    (("--run", "x"), "RUN=x and MODEL="),
])
def test_bad_input_is_one_line(verified, capsys, options, message):
    with pytest.raises(SystemExit) as end:
        verified(*options)
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert message in error
    assert error.count("error:") == 1
