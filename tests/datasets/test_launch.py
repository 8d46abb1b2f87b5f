"""The launcher and the Makefile: what stands between a user's line and a command's main()."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def launched(folder: Path, source: str, *arguments: str) -> subprocess.Popen:
    (folder / "slow_command.py").write_text(source)
    command = [sys.executable, "-m", "datasets.launch", "slow_command", *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder}"}
    return subprocess.Popen(command, text=True, cwd=folder, env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def test_ctrl_c_during_imports_is_one_line(tmp_path):
    process = launched(tmp_path, "import pathlib, time\npathlib.Path('begun').touch()\ntime.sleep(60)\n")
    while not (tmp_path / "begun").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert error.splitlines() == [
        "error: stopped by Ctrl-C; what was finished is kept, give the same command again"]


def test_arguments_reach_the_command(tmp_path):
    process = launched(tmp_path, "import sys\ndef main(): print(sys.argv[1:])\n", "--data", "a b")
    assert process.communicate(timeout=30)[0] == "['--data', 'a b']\n"


def make(*arguments: str) -> str:
    """What make would do, or does where it is not asked with -n."""
    return subprocess.run(["make", "--no-print-directory", *arguments], cwd=ROOT, text=True, capture_output=True,
                          check=True).stdout


def test_help_names_every_target():
    text = (ROOT / "Makefile").read_text()
    targets = set(re.search(r"^\.PHONY: (.*)$", text, re.M)[1].split()) - {"lint", "test-tools"}
    assert {line.split()[1] for line in make("help").splitlines()} == targets


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"call option,(\w+)", (ROOT / "Makefile").read_text()))))
def test_variables_become_options_quoted_and_only_when_given(variable):
    targets = ("data", "grow-kws", "export-mcu", "simulate", "emulate", "verify", "stream", "cost",
               "compare", "calibrate", "bench", "bench-training", "bench-index", "board-test",
               "flash", "publish", "results")
    given, absent = make("-n", *targets, f"{variable}=a <= b"), make("-n", *targets)
    assert '"a <= b"' in given
    assert '"a <= b"' not in absent
    assert "--" + variable.lower().replace("_", "-") + ' "a <= b"' in given
