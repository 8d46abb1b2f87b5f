"""Small folders of clips, a cache of their own for every test, and the real recordings where they are at hand."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.wav import write_wav

SHARED = Path(__file__).resolve().parents[3] / "shared" / "speech_commands"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder of this test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("KWS_GROW_CACHE", str(folder))
    return folder


def tone(hz: float, seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """A tone in a little noise; int16."""
    time = np.arange(int(seconds * 16000)) / 16000
    noise = 50 * np.random.default_rng(seed).standard_normal(len(time))
    return np.rint(8000 * np.sin(2 * np.pi * hz * time) + noise).astype(np.int16)


@pytest.fixture
def make_words():
    """make_words(root, {"yes": 5, ...}, speakers=...): tones as WAVs, <speaker>_nohash_0.wav; returns the names."""

    def make(root: Path, words: dict[str, int], first: int = 0) -> list[str]:
        for i, (word, count) in enumerate(words.items()):
            (root / word).mkdir(parents=True, exist_ok=True)
            for k in range(first, first + count):
                write_wav(root / word / f"{k:08x}_nohash_0.wav", tone(300 + 200 * i, seed=1000 * i + k))
        return sorted(f"{path.parent.name}/{path.name}" for path in root.glob("*/*.wav"))

    return make


@pytest.fixture
def official(tmp_path, make_words):
    """An official-layout folder: yes, no, bed; 40 speakers; validation 20..29, testing 30..39; a noise of 30 s."""
    root = tmp_path / "speech_commands_v0.02"
    names = make_words(root, {"yes": 40, "no": 40, "bed": 40})
    for file, speakers in (("validation_list.txt", range(20, 30)), ("testing_list.txt", range(30, 40))):
        listed = [name for name in names if int(name.split("/")[1][:8], 16) in speakers]
        (root / file).write_text("".join(f"{name}\n" for name in listed))
    (root / "_background_noise_").mkdir()
    write_wav(root / "_background_noise_" / "hum.wav", tone(100, seconds=30))
    return root


def _save_images(path, x=None, noises=40, **changes):
    """A log_mel.npz of 40 speakers saying yes, no and bed, and noise images."""
    words, speakers = ["yes", "no", "bed"], range(40)
    rows = [(word, f"{k:08x}_nohash_0.jpg", f"{k:08x}", "validation" if k >= 30 else "training")
            for word in words for k in speakers] + [("_background_noise_", f"{k}_background.jpg", "", "noise")
                                                    for k in range(noises)]
    word, clip, speaker, split = map(np.array, zip(*rows, strict=True))
    x = np.random.default_rng(0).integers(0, 256, (len(rows), 98, 40)).astype(np.uint8) if x is None else x
    fields = {"x": x, "word": word, "clip": clip, "speaker": speaker, "split": split, **changes}
    np.savez(path, **{name: field for name, field in fields.items() if field is not None})
    return x


@pytest.fixture
def save_images():
    """save_images(path, x, noises, field=...): writes a log_mel.npz; returns x."""
    return _save_images


def _shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the real recordings are not in ../shared")
    return SHARED


@pytest.fixture(scope="session")
def shared_fields():
    """word, clip, speaker, split of every log-mel image, and a function that decodes image i; no image decoded yet."""
    from PIL import Image

    with np.load(_shared() / "log_mel_jpeg.npz") as packed:
        jpeg, offset = packed["jpeg"].tobytes(), packed["offset"]
        fields = {name: packed[name] for name in ("word", "clip", "speaker", "split")}
    return fields, lambda i: np.asarray(Image.open(io.BytesIO(jpeg[offset[i] : offset[i + 1]])))


@pytest.fixture(scope="session")
def shared_audio():
    """read(name): a file of the archive; FLAC as int16 samples, text as str. names: all members."""
    archive = zipfile.ZipFile(_shared() / "audio_flac.zip")

    class Audio:
        names = tuple(archive.namelist())

        def __call__(self, name: str):
            content = archive.read(name)
            return soundfile.read(io.BytesIO(content), dtype="int16")[0] if name.endswith(".flac") else content.decode()

    yield Audio()
    archive.close()
