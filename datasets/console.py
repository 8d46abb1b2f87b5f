"""What every command shares: one-line errors, the end table and summary.json, a progress bar."""

import argparse
import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm


class UserError(Exception):
    """Something the user can mend. One line: what was wrong, where, and what is allowed."""


class Parser(argparse.ArgumentParser):
    """argparse whose complaints are UserErrors: one line, no usage text."""

    def error(self, message: str):
        raise UserError(f"{message}; `{self.prog} --help` lists what is allowed")


def run_command(main: Callable[[], None]) -> None:
    """Call `main`; a user's mistake, Ctrl-C or a full disk ends in one line and a status, never in a traceback."""
    try:
        main()
    except UserError as error:
        _stop(str(error), 2)
    except KeyboardInterrupt:
        _stop("stopped by Ctrl-C; what was finished is kept, give the same command again", 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS):
            raise
        _stop(f"{error.filename or 'the file being written'}: {error.strerror}; free some space or choose "
              "another place; files written before are whole", 1)


def _stop(message: str, status: int) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    sys.exit(status)


def progress(items: Iterable | None, what: str, total: int | None = None, unit: str = "it",
             unit_scale: bool = False, leave: bool = True):
    """A progress bar on stderr, shown on a terminal and in logs alike (there at most every ten seconds).

    items None: the caller calls update(n). unit_scale: with k, M, G. leave: the bar stays when it is done.
    """
    interval_s = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(items, desc=what, total=total, unit=unit, mininterval=interval_s, delay=1.0,
                unit_scale=unit_scale, leave=leave, dynamic_ncols=True)


@contextmanager
def atomic_write(path: Path):
    """Yield a temporary path beside `path`; rename it there on success, so that `path` is always whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def finish(summary: dict, folder: Path, title: str) -> None:
    """Print `summary` as a short table, write it to folder/summary.json; the last line is `summary: PATH`.

    Keys are those of DESIGN ("accuracy_int8", "flash_bytes", ...); nested values go to the file only.
    """
    path = Path(folder) / "summary.json"
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(summary, indent=2) + "\n")
    rows = {key: value for key, value in summary.items() if not isinstance(value, dict | list)}
    width = max(map(len, rows))
    print(f"\n{title}")
    for key, value in rows.items():
        print(f"  {key:<{width}}  {value}")
    print(f"summary: {path}")


def commit() -> str:
    """The short hash of the checkout's commit, with '+' where files differ from it; 'unknown' outside git."""
    here = Path(__file__).resolve().parent
    try:
        output = subprocess.run(["git", "describe", "--always", "--dirty=+", "--exclude=*"], cwd=here,
                                capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return output.stdout.strip()
