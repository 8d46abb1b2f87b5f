"""No DATA given: data/, else the official archive, else synthetic speech, and said so plainly."""

import hashlib
import os
import queue
import shutil
import sys
import tarfile
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import requests

from datasets.code_cache import cache_folder
from datasets.console import UserError, progress
from datasets.synthetic import synthetic_folder

DATA_FOLDER = Path(__file__).resolve().parent.parent / "data"
ANSWER_S = 8  # name look-up, connection and the first line of the answer together: within 10 s all told
STALL_S = 30
ATTEMPTS = 5
BLOCK_BYTES = 1 << 14  # of a block that is cut nothing is kept


@dataclass(frozen=True)
class Archive:
    """A .tar.gz of a data set without a top folder. name: of the folder it is unpacked to."""

    name: str
    url: str
    sha256: str


_ADDRESS = "http://download.tensorflow.org/data/speech_commands_{}.tar.gz"
ARCHIVES = {version: Archive(f"speech_commands_{version}", _ADDRESS.format(version), sha256) for version, sha256 in (
    ("v0.02", "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"),
    ("v0.01", "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d"))}


class DownloadFailed(Exception):
    """The archive cannot be had; one line."""


def default_data(keywords: Sequence[str] | None, folder: Path = DATA_FOLDER, archive: Archive | None = None) -> Path:
    """`folder` where something is in it; else the archive unpacked into it; else synthetic speech of the keywords.

    Hidden names do not count: a stopped unpacking leaves one.
    """
    if folder.is_dir() and any(path.name[0] != "." for path in folder.iterdir()):
        return folder
    try:
        fetch(archive or chosen_archive(), folder)
        return folder
    except DownloadFailed as failure:
        print(f"NO REAL SPEECH: no DATA given, nothing in {folder}, and the download failed: {failure}.\n"
              "Using SYNTHETIC speech by espeak-ng: fine for trying everything out, not for a device. "
              "Figures are marked synthetic.", file=sys.stderr)
        return synthetic_folder(keywords)


def chosen_archive() -> Archive:
    """The one that the variable SPEECH_COMMANDS names, v0.02 by default."""
    version = os.environ.get("SPEECH_COMMANDS") or "v0.02"
    if version not in ARCHIVES:
        raise UserError(f"SPEECH_COMMANDS={version}: no such version; allowed: {', '.join(ARCHIVES)}")
    return ARCHIVES[version]


def fetch(archive: Archive, folder: Path) -> Path:
    """Download and unpack to folder/<name>; that folder appears only when it is whole."""
    target = folder / archive.name
    file = cache_folder() / f"{archive.name}.tar.gz"
    download(archive.url, file, archive.sha256)
    extract(file, target)
    file.unlink()
    return target


def download(url: str, target: Path, sha256: str) -> None:
    """Get `url` into `target`, going on from target.part where there is one; DownloadFailed where it cannot be had."""
    if target.is_file() and _sha256(target) == sha256:
        return
    part = target.with_name(f"{target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, ATTEMPTS + 1):
        before = _size(part)
        try:
            _append(url, part)
            break
        except requests.RequestException as error:
            if _size(part) == before or attempt == ATTEMPTS:
                raise DownloadFailed(_describe(url, error, part)) from error
    _verify(url, part, sha256)
    part.replace(target)


def _append(url: str, part: Path) -> None:
    """Add what is missing of `url` to `part`."""
    start = _size(part)
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
    with _open(url, headers) as response:
        if response.status_code == 416:  # nothing after the last byte: it is whole
            return
        if response.status_code not in (200, 206):
            raise DownloadFailed(f"{url}: HTTP {response.status_code}")
        if response.status_code == 200:
            start = 0  # the server does not resume
        _write_blocks(response, part, start)


def _write_blocks(response: requests.Response, part: Path, start: int) -> None:
    length = int(response.headers.get("Content-Length", 0))
    with open(part, "r+b" if start else "wb") as file, \
            progress(None, "download", start + length or None, "B", unit_scale=True) as bar:
        file.seek(start)
        bar.update(start)
        for block in response.iter_content(BLOCK_BYTES):
            bar.update(file.write(block))
    if length and _size(part) < start + length:
        raise requests.ConnectionError("the connection was cut")


def _open(url: str, headers: dict[str, str]) -> requests.Response:
    """The answer's head, waited for at most ANSWER_S: requests bounds neither the name look-up nor the sum."""
    answer: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_ask, args=(url, headers, answer), daemon=True).start()
    try:
        result = answer.get(timeout=ANSWER_S)
    except queue.Empty:
        raise requests.ConnectTimeout(f"no answer within {ANSWER_S} s") from None
    if isinstance(result, Exception):
        raise result
    return result


def _ask(url: str, headers: dict[str, str], answer: queue.SimpleQueue) -> None:
    try:
        answer.put(requests.get(url, headers=headers, stream=True, timeout=(ANSWER_S, STALL_S)))
    except Exception as error:  # handed to the thread that asked
        answer.put(error)


def _describe(url: str, error: Exception, part: Path) -> str:
    kept = f"; {_size(part) // 1000} kB are kept, the next call goes on from there" if _size(part) else ""
    return f"{urlsplit(url).netloc} cannot be reached or broke off ({type(error).__name__}){kept}"


def _verify(url: str, part: Path, sha256: str) -> None:
    found = _sha256(part)
    if found != sha256:
        part.unlink()
        raise DownloadFailed(f"{url}: SHA-256 is {found}, expected {sha256}; the file is deleted")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def extract(archive: Path, target: Path) -> None:
    """Unpack to the folder `target`, which must not be there yet; UserError for a damaged or unsafe archive."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _extract_members(archive, partial)
        partial.replace(target)
    except (tarfile.TarError, EOFError, zlib.error, ValueError, FileExistsError, IsADirectoryError,
            NotADirectoryError) as error:
        raise UserError(f"{archive}: damaged or unsafe archive ({error}); nothing of it is used") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _extract_members(archive: Path, folder: Path) -> None:
    with open(archive, "rb") as file, tarfile.open(fileobj=file, mode="r:*") as tar, \
            progress(None, f"unpacking {archive.name}", archive.stat().st_size, "B", unit_scale=True) as bar:
        for member in tar:
            _check_member(archive, member)
            _write_member(tar, member, folder / member.name)
            bar.update(file.tell() - bar.n)


def _check_member(archive: Path, member: tarfile.TarInfo) -> None:
    """Without links and '..' nothing ends up outside. Not tarfile's own filter: 3.11.4 is the first to have it."""
    path = PurePosixPath(member.name)
    if not (member.isreg() or member.isdir()) or path.is_absolute() or ".." in path.parts:
        raise UserError(f"{archive}: unsafe member {member.name!r}; nothing of it is used; allowed: regular files and "
                        "folders below the archive's root")


def _write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        shutil.copyfileobj(tar.extractfile(member), file)
