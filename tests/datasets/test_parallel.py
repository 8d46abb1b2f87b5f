"""Work in processes: in order, without the caller's main module, errors as they are."""

import os
import subprocess
import sys

import pytest

from datasets import parallel
from datasets.console import UserError
from datasets.parallel import parallel_map


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(parallel, "cores", lambda: 2)


def test_results_come_in_order_from_other_processes():
    assert list(parallel_map(str.upper, list("abcdefg"), "letters")) == list("ABCDEFG")


def test_fresh_gives_every_item_a_process_of_its_own():
    links = ["/proc/self"] * 4  # it points to the process that asks
    if not os.path.exists(links[0]):
        pytest.skip("no /proc here")
    processes = list(parallel_map(os.readlink, links, "processes", fresh=True))
    assert len({*processes, str(os.getpid())}) == 5


def test_an_error_in_a_worker_is_raised_here():
    with pytest.raises(FileNotFoundError):
        list(parallel_map(os.listdir, ["/", "/no such folder"], "folders"))


def test_a_killed_worker_is_told():
    with pytest.raises(UserError, match="letters: a process was killed"):
        list(parallel_map(os._exit, [1, 1], "letters"))


def test_main_is_not_imported_by_the_workers():
    """A main module without a guard, fed through a pipe: importing it again would fail or recurse."""
    program = ("from datasets.parallel import parallel_map\nimport datasets.parallel as p\np.cores = lambda: 2\n"
               "print(list(parallel_map(len, ['a', 'bb', 'ccc'], 'words')))\n")
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, timeout=60,
                          cwd=os.path.dirname(os.path.dirname(parallel.__file__)))
    assert (done.stdout, done.returncode) == ("[1, 2, 3]\n", 0), done.stderr


def test_cores_where_affinity_is_not_told(monkeypatch):
    monkeypatch.undo()
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5})
        assert parallel.cores() == 3
        monkeypatch.delattr(os, "sched_getaffinity")
    assert parallel.cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert parallel.cores() == 1
