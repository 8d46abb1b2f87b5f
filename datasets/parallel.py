"""Work spread over processes that import neither the caller's main module nor what it has loaded."""

import os
import signal
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context

from datasets.console import UserError, progress


def parallel_map(function: Callable, items: Sequence, what: str, unit: str = "it",
                 fresh: bool = False) -> Iterator:
    """Yield function(item) for every item, in order, from one process a core; a single item is done here.

    fresh: every item in a process of its own.
    """
    workers = min(cores(), len(items))
    if workers < 2 and not fresh:
        yield from map(function, progress(items, what, unit=unit))
        return
    with (_hidden_main(), ProcessPoolExecutor(workers, get_context("spawn"), _start_worker,
                                              max_tasks_per_child=1 if fresh else None) as pool):
        try:
            futures = [pool.submit(function, item) for item in items]
            yield from (future.result() for future in progress(futures, what, unit=unit))
        except BrokenProcessPool as error:
            raise UserError(f"{what}: a process was killed, perhaps for want of memory; nothing is lost, "
                            "the same command goes on from there") from error
        finally:
            pool.shutdown(cancel_futures=True)


def cores() -> int:
    """Those this process may run on; all of the machine where the system does not tell (macOS)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker() -> None:
    """Ctrl-C is the parent's to handle; NumPy, imported by the first task, keeps to its own core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")


@contextmanager
def _hidden_main():
    """Processes started in here do not import `__main__` (it may bring torch, or be a pipe)."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
