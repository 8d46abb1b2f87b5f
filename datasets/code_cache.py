"""WAVs to uint8 codes, once: in parallel, cached by content."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np

from datasets import features, wav
from datasets.console import UserError, atomic_write
from datasets.parallel import parallel_map

CLIP_SHAPE = (features.N_FINE_FRAMES, features.N_MELS)
CHUNK_CLIPS = 256


def cache_folder() -> Path:
    """build/cache of the checkout, or the folder that KWS_GROW_CACHE names."""
    return Path(os.environ.get("KWS_GROW_CACHE") or Path(__file__).resolve().parent.parent / "build" / "cache")


def features_version() -> str:
    """Changes with any constant or table of the features and with the rules by which WAVs are read."""
    constants = {name: value for name, value in sorted(vars(features).items()) if name.isupper()}
    tables = features.window().round(12).tobytes() + features.mel_filters().round(12).tobytes()
    return hashlib.sha256(repr((constants, wav.READING_RULES)).encode() + tables).hexdigest()[:16]


def cached_codes(root: Path, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """Codes of root/name for every name, uint8 [n, 98, 40], and why a clip is unusable, [n] ("" where it is fine).

    A file whose size and time of change are those of the last call is not even opened; one whose bytes are known
    is not decoded; a damaged cache file is computed anew. Files of `root` that are not asked for stay cached.
    """
    path = cache_folder() / f"codes-{features_version()}" / f"{_key(root)}.npz"
    pack = _read_pack(path)
    stamps = {name: _stamp(root / name) for name in names}
    digests = {name: pack.digest(name, stamps[name]) or _digest(root / name) for name in names}
    missing = [name for name in names if digests[name] not in pack.rows]
    try:
        _compute(root, missing, digests, pack.rows)
    finally:
        if missing or any(name not in pack.stamps or pack.stamps[name] != stamps[name] for name in names):
            others = {name: stamp for name, stamp in pack.stamps.items() if _stamp(root / name) == stamp}
            done = {name: stamps[name] for name in names if digests[name] in pack.rows}
            _write_pack(path, others | done, pack.digests | digests, pack.rows)
    rows = [pack.rows[digests[name]] for name in names]
    return np.array([codes for codes, _ in rows], np.uint8).reshape(-1, *CLIP_SHAPE), [reason for _, reason in rows]


@dataclass(frozen=True)
class _Pack:
    """stamps: name -> (bytes, mtime in ns); digests: name -> content; rows: content -> (codes [98, 40], reason)."""

    stamps: dict[str, tuple[int, int]]
    digests: dict[str, str]
    rows: dict[str, tuple[np.ndarray, str]]

    def digest(self, name: str, stamp: tuple[int, int]) -> str | None:
        return self.digests[name] if self.stamps.get(name) == stamp else None


def _key(root: Path) -> str:
    return hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"unreadable {path}: {error.strerror}"


def _compute(root: Path, names: list[str], digests: dict[str, str], rows: dict) -> None:
    """Add the rows of the files `names`."""
    chunks = [[str(root / name) for name in names[i : i + CHUNK_CLIPS]] for i in range(0, len(names), CHUNK_CLIPS)]
    done = iter(names)
    for chunk in parallel_map(codes_of_files, chunks, f"features of {len(names)} clips", unit="chunk"):
        rows.update((digests[next(done)], row) for row in chunk)


def codes_of_files(paths: list[str]) -> list[tuple[np.ndarray, str]]:
    """(codes uint8 [98, 40], "") of every WAV, or (zeros, reason)."""
    return [_codes_of_file(Path(path)) for path in paths]


def _codes_of_file(path: Path) -> tuple[np.ndarray, str]:
    try:
        return features.log_mel_codes(wav.read_waveform(path), features.FINE_HOP_LENGTH), ""
    except UserError as error:
        return np.zeros(CLIP_SHAPE, np.uint8), str(error).removeprefix(f"{path}: ")


def _read_pack(path: Path) -> _Pack:
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            names, digests, reasons = (file[key].tolist() for key in ("names", "digests", "reasons"))
            stamps, codes = map(tuple, file["stamps"].tolist()), file["codes"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, ZlibError):
        return _Pack({}, {}, {})
    if codes.dtype != np.uint8 or codes.shape != (len(names), *CLIP_SHAPE):
        return _Pack({}, {}, {})
    rows = dict(zip(digests, zip(codes, reasons, strict=True), strict=True))
    return _Pack(dict(zip(names, stamps, strict=True)), dict(zip(names, digests, strict=True)), rows)


def _write_pack(path: Path, stamps: dict, digests: dict, rows: dict) -> None:
    """Files that could not even be opened are left out: they are tried again."""
    names = [name for name in stamps if not digests[name].startswith("unreadable")]
    kept = [rows[digests[name]] for name in names]
    with atomic_write(path) as temporary:
        np.savez(temporary, names=np.array(names, str), digests=np.array([digests[name] for name in names], str),
                 reasons=np.array([reason for _, reason in kept], str),
                 stamps=np.array([stamps[name] for name in names], np.int64).reshape(-1, 2),
                 codes=np.array([codes for codes, _ in kept], np.uint8).reshape(-1, *CLIP_SHAPE))
