"""log_mel.npz: log-mel images of Speech Commands v0.02, alone or beside its WAVs."""

from pathlib import Path
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np

from datasets.code_cache import CLIP_SHAPE, cached_codes
from datasets.console import UserError
from datasets.material import Material
from datasets.noise import FEWEST_IMAGES, NOISE_FOLDER, Images, Recordings, noise_files, read_noise, stand_in
from datasets.splits import speaker_of
from datasets.wav_folder import find_official, official_parts, skipped_lines

FILE = "log_mel.npz"
FIELDS = ("x", "word", "clip", "speaker", "split")


def find_images(data: Path) -> Path | None:
    """DATA/log_mel.npz, or DATA where it is such a file."""
    return data if data.suffix == ".npz" and data.is_file() else next(iter(data.glob(FILE)), None)


def read_images(path: Path) -> Material:
    """The images as training and validation clips; noise and test clips from WAVs beside them, if there are any."""
    fields = _read_fields(path)
    spoken = np.flatnonzero(fields["split"] != "noise")
    words, clips = fields["word"][spoken].tolist(), fields["clip"][spoken].tolist()
    names = tuple(f"{word}/{Path(clip).stem}.wav" for word, clip in zip(words, clips, strict=True))
    root = find_official(path.parent)
    tests, test_codes, skipped = _test_clips(root)
    return Material("speech_commands_v0.02", names + tests,
                    (*fields["speaker"][spoken].tolist(), *(speaker_of(name.split("/")[1]) for name in tests)),
                    (*fields["split"][spoken].tolist(), *("testing" for _ in tests)),
                    np.concatenate([fields["x"][spoken], test_codes]), _noise(fields, root), root, skipped=skipped)


def _read_fields(path: Path) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            fields = {name: file[name] for name in FIELDS}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, ZlibError) as error:
        raise UserError(f"{path}: damaged, or not as unpack.py writes it ({' '.join(str(error).split())})") from error
    images = fields["x"]
    if images.dtype != np.uint8 or images.shape[1:] != CLIP_SHAPE or {len(field) for field in fields.values()} != {
            len(images)}:
        raise UserError(f"{path}: x is {images.dtype} {list(images.shape)}; allowed: uint8 [clips, "
                        f"{CLIP_SHAPE[0]}, {CLIP_SHAPE[1]}] and one word, clip, speaker and split for each")
    return fields


def _test_clips(root: Path | None) -> tuple[tuple[str, ...], np.ndarray, tuple[str, ...]]:
    """Clips of the testing list that are there as WAVs: names, uint8 [n, 98, 40], a line for each unusable one."""
    parts = official_parts(root) if root else {}
    names = sorted(name for name, part in parts.items() if part == "testing" and (root / name).is_file())
    codes, reasons = cached_codes(root, names) if names else (np.zeros((0, *CLIP_SHAPE), np.uint8), [])
    good = [i for i, reason in enumerate(reasons) if not reason]
    return tuple(names[i] for i in good), codes[good], skipped_lines(root, names, reasons)


def _noise(fields: dict[str, np.ndarray], root: Path | None) -> Recordings | Images:
    if root and noise_files(root):
        return read_noise(root)
    order = [i for i in np.argsort(fields["clip"]) if fields["split"][i] == "noise"]
    if len(order) < FEWEST_IMAGES:
        return stand_in(f"{FILE} holds {len(order)} noise images, not {FEWEST_IMAGES}, and {NOISE_FOLDER} is missing")
    return Images(tuple(Path(name).stem for name in fields["clip"][order].tolist()), fields["x"][order])
