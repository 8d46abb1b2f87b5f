"""WAVs are decoded once; a change of content or of a constant is seen; damage costs time only."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from datasets import code_cache, features, wav
from datasets.code_cache import cached_codes, features_version
from datasets.console import run_command
from datasets.wav import read_waveform, write_wav


@pytest.fixture
def folder(tmp_path, make_words):
    root = tmp_path / "words"
    return root, make_words(root, {"yes": 3, "no": 3})


@pytest.fixture
def no_decoding(monkeypatch):
    def refuse(path):
        raise AssertionError(f"{path} was decoded")

    return lambda: monkeypatch.setattr(wav, "read_waveform", refuse)


def pack(cache: Path) -> Path:
    return next(cache.glob("codes-*/*.npz"))


def test_codes_are_the_references(folder):
    root, names = folder
    codes, reasons = cached_codes(root, names)
    expected = [features.log_mel_codes(read_waveform(root / name), 160) for name in names]
    np.testing.assert_array_equal(codes, expected)
    assert reasons == [""] * 6


def test_second_load_opens_no_wav(folder, no_decoding, monkeypatch):
    root, names = folder
    first = cached_codes(root, names)[0]
    no_decoding()
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    np.testing.assert_array_equal(cached_codes(root, names)[0], first)


def test_same_content_with_a_new_date_is_not_decoded(folder, no_decoding):
    root, names = folder
    first = cached_codes(root, names)[0]
    for name in names:
        os.utime(root / name, (1, 1))
    no_decoding()
    np.testing.assert_array_equal(cached_codes(root, names)[0], first)


def test_changed_content_of_the_same_size_is_computed_anew(folder):
    root, names = folder
    first = cached_codes(root, names)[0]
    write_wav(root / names[2], read_waveform(root / names[5])[::-1].copy())
    second = cached_codes(root, names)[0]
    assert [bool((a != b).any()) for a, b in zip(first, second, strict=True)] == [i == 2 for i in range(6)]


def test_a_new_file_leaves_the_others_cached(folder, no_decoding, monkeypatch):
    root, names = folder
    cached_codes(root, names[:-1])
    decoded = []
    monkeypatch.setattr(wav, "read_waveform", lambda path: decoded.append(path) or read_waveform(path))
    cached_codes(root, names)
    assert decoded == [root / names[-1]]


def test_files_that_are_not_asked_for_stay_cached_while_they_are_as_they_were(folder, cache, monkeypatch):
    root, names = folder
    cached_codes(root, names[:4])
    os.utime(root / names[1], (1, 1))
    (root / names[2]).unlink()
    cached_codes(root, names[5:])
    with np.load(pack(cache)) as file:
        assert sorted(file["names"].tolist()) == [names[i] for i in (0, 3, 5)]
    decoded = []
    monkeypatch.setattr(wav, "read_waveform", lambda path: decoded.append(path) or read_waveform(path))
    kept = [names[i] for i in (0, 3, 4, 5)]
    codes = cached_codes(root, kept)[0]
    assert decoded == [root / names[4]]
    np.testing.assert_array_equal(codes, [features.log_mel_codes(read_waveform(root / name), 160) for name in kept])


@pytest.mark.parametrize(("name", "value"), [("CODE_GAIN", 20.0), ("ENERGY_FLOOR", 5.0), ("MEL_HIGH_HZ", 4100.0)])
def test_a_changed_constant_invalidates(folder, monkeypatch, name, value):
    root, names = folder
    before, first = features_version(), cached_codes(root, names)[0]
    with monkeypatch.context() as changed:
        changed.setattr(features, name, value)
        features.mel_filters.cache_clear()
        assert features_version() != before
        assert (cached_codes(root, names)[0] != first).any()
    features.mel_filters.cache_clear()
    np.testing.assert_array_equal(cached_codes(root, names)[0], first)


def test_a_changed_formula_invalidates(monkeypatch):
    before = features_version()
    monkeypatch.setattr(features, "window", lambda: np.ones(480))
    assert features_version() != before


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda content: b"",
                                    lambda content: content[:3000] + bytes(500) + content[3500:]])
def test_a_damaged_cache_is_computed_anew(folder, cache, damage):
    root, names = folder
    first = cached_codes(root, names)[0]
    pack(cache).write_bytes(damage(pack(cache).read_bytes()))
    np.testing.assert_array_equal(cached_codes(root, names)[0], first)


def test_a_bad_clip_is_remembered_until_it_is_mended(folder, no_decoding):
    root, names = folder
    good = (root / names[1]).read_bytes()
    (root / names[1]).write_bytes(b"")
    assert cached_codes(root, names)[1][1] == "is empty (0 bytes)"
    assert cached_codes(root, names)[1][1] == "is empty (0 bytes)"
    (root / names[1]).write_bytes(good)
    assert cached_codes(root, names)[1] == [""] * 6


def test_many_clips_go_through_processes_and_come_back_in_order(tmp_path, make_words, monkeypatch):
    root = tmp_path / "words"
    names = make_words(root, {"yes": 12, "no": 12})
    monkeypatch.setattr(code_cache, "CHUNK_CLIPS", 8)
    monkeypatch.setattr("datasets.parallel.cores", lambda: 2)
    (root / names[9]).write_bytes(b"RIFFxxxx")
    codes, reasons = cached_codes(root, names)
    assert [i for i, reason in enumerate(reasons) if reason] == [9]
    for i in (0, 8, 23):
        np.testing.assert_array_equal(codes[i], features.log_mel_codes(read_waveform(root / names[i]), 160))


def test_what_is_done_is_kept_when_stopped(folder, monkeypatch):
    root, names = folder
    monkeypatch.setattr(code_cache, "CHUNK_CLIPS", 2)
    monkeypatch.setattr(code_cache, "parallel_map", lambda function, chunks, *_, **__: stop_after_one(function, chunks))
    with pytest.raises(KeyboardInterrupt):
        cached_codes(root, names)
    monkeypatch.undo()
    monkeypatch.setenv("KWS_GROW_CACHE", str(root.parent / "cache"))
    decoded = []
    monkeypatch.setattr(wav, "read_waveform", lambda path: decoded.append(path) or read_waveform(path))
    cached_codes(root, names)
    assert len(decoded) == 4


def stop_after_one(function, chunks):
    yield function(chunks[0])
    raise KeyboardInterrupt


def test_a_full_disk_is_one_line_and_leaves_the_old_cache_whole(folder, cache, monkeypatch, capsys):
    root, names = folder
    cached_codes(root, names[:3])
    before = pack(cache).read_bytes()

    def full(path, **_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(SystemExit) as caught:
        run_command(lambda: cached_codes(root, names))
    assert caught.value.code == 1
    assert "No space left on device" in capsys.readouterr().err
    assert pack(cache).read_bytes() == before
    assert len(list(pack(cache).parent.iterdir())) == 1  # no half-written file beside it
