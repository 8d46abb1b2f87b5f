"""Memory that training keeps."""

import subprocess
import sys

import pytest

from datasets.console import UserError
from kws_grow import grow

FAULTS = """
import resource, sys, torch
from torch.nn import functional as F
from export.shape import NetShape
from kws_grow.network import DsCnn
from kws_grow.training import keep_freed_memory
torch.set_num_threads(1)
kept = sys.argv[1] == "kept" and keep_freed_memory()
net, x, y = DsCnn(NetShape((64,) * 3)), torch.randn(256, 49, 20), torch.zeros(256, dtype=torch.long)
def step():
    F.cross_entropy(net(x), y).backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step(), step()
print(int(kept), -step() + [step() for _ in range(8)][-1])
"""


def faults(how: str) -> tuple[bool, int]:
    """Whether memory was kept, and page faults of eight training steps: some kernels count them by the thousand."""
    found = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True).stdout
    kept, count = map(int, found.split())
    return bool(kept), count


def test_a_step_reuses_the_memory_of_the_step_before():
    kept, count = faults("kept")
    if not kept:
        pytest.skip("the C library has no mallopt")
    assert count < faults("returned")[1] / 4


def test_growing_keeps_memory(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(grow, "keep_freed_memory", lambda: calls.append(1))
    monkeypatch.setattr(sys, "argv", ["grow", "--data", str(tmp_path / "nowhere"), "--runs", str(tmp_path)])
    with pytest.raises(UserError):
        grow.main()
    assert calls
