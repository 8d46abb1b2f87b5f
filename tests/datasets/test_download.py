"""The download against a server on this machine: resumed, checked, unpacked safely, given up in time."""

import contextlib
import hashlib
import io
import socket
import tarfile
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from datasets import download
from datasets.console import UserError, run_command
from datasets.download import Archive, DownloadFailed, default_data, extract, fetch
from datasets.wav_folder import find_official

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """content: of every file; cut_after: bytes of the body sent before the connection is cut, one entry a request."""

    content: bytes = CONTENT
    cut_after: list[int] = field(default_factory=list)
    resumes: bool = True
    status: int = 200
    requests: list[str | None] = field(default_factory=list)
    address: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers["Range"]
        self.requests.append(wanted)
        start = int(wanted[len("bytes="):-1]) if wanted and self.resumes else 0
        if self.status != 200 or start >= len(self.content):
            handler.send_error(self.status if self.status != 200 else 416)
            return
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(self.content) - start))
        handler.end_headers()
        end = start + self.cut_after.pop(0) if self.cut_after else len(self.content)
        handler.wfile.write(self.content[start:end])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "BLOCK_BYTES", 10_000)
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.answer(self)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.address = f"http://127.0.0.1:{http.server_port}/a.tar.gz"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield state
        http.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "a.tar.gz"


def part(target: Path) -> Path:
    return target.with_name("a.tar.gz.part")


def get(server: Server, target: Path, sha256: str = SHA256) -> None:
    download.download(server.address, target, sha256)


def test_whole(server, target):
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert not part(target).exists()
    get(server, target)
    assert len(server.requests) == 1  # a whole file is not asked for again


def test_resumes_after_cuts(server, target):
    server.cut_after = [100_000, 50_000]
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=100000-", "bytes=150000-"]


def test_resumes_what_an_earlier_call_left(server, target):
    part(target).write_bytes(CONTENT[:120_000])
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests == ["bytes=120000-"]


def test_a_whole_part_is_only_checked(server, target):
    part(target).write_bytes(CONTENT)
    get(server, target)
    assert target.read_bytes() == CONTENT


def test_a_server_that_does_not_resume_starts_over(server, target):
    server.resumes = False
    part(target).write_bytes(b"x" * 400_000)
    get(server, target)
    assert target.read_bytes() == CONTENT


def test_keeps_the_part_when_cuts_do_not_end(server, target):
    server.cut_after = [10_000, 0] + [0] * 9
    with pytest.raises(DownloadFailed, match=r"broke off .*10 kB are kept"):
        get(server, target)
    assert part(target).read_bytes() == CONTENT[:10_000]


def test_wrong_hash_is_deleted(server, target):
    with pytest.raises(DownloadFailed, match=f"SHA-256 is {SHA256}, expected 00"):
        get(server, target, "00" * 32)
    assert not target.exists()
    assert not part(target).exists()


def test_status_of_the_server_is_told(server, target):
    server.status = 403
    with pytest.raises(DownloadFailed, match="HTTP 403"):
        get(server, target)


def test_refusing_host_is_given_up_at_once(target):
    with socket.socket() as bound:  # bound, not listening: refuses
        bound.bind(("127.0.0.1", 0))
        started = time.monotonic()
        with pytest.raises(DownloadFailed, match="cannot be reached"):
            download.download(f"http://127.0.0.1:{bound.getsockname()[1]}/a", target, SHA256)
    assert time.monotonic() - started < 3


def give_up(url: str, target: Path, monkeypatch, limit_s: float = 1.0) -> float:
    """Seconds that a download which cannot succeed took beyond its limit, here made short."""
    monkeypatch.setattr(download, "ANSWER_S", limit_s)
    started = time.monotonic()
    with pytest.raises(DownloadFailed, match="cannot be reached"):
        download.download(url, target, SHA256)
    return time.monotonic() - started - limit_s


def test_an_unreachable_host_costs_at_most_ten_seconds(target, monkeypatch):
    """A slow name look-up, then a host that accepts and never answers: one limit for both, not one for each."""
    default_s, look_up = download.ANSWER_S, socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **more: time.sleep(0.8) or look_up(
        "127.0.0.1", *rest, **more))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        beyond_s = give_up(f"http://speech.invalid:{silent.getsockname()[1]}/a", target, monkeypatch)
        silent.settimeout(1)
        silent.accept()[0].close()  # it did connect
    assert -0.1 < beyond_s < 0.7
    assert default_s + beyond_s <= 10


def test_slow_name_look_up_is_given_up_in_time(target, monkeypatch):
    look_up = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: look_up.wait(30) and [])
    assert give_up("http://speech.invalid/a", target, monkeypatch) < 2
    look_up.set()


def packed(*members: tuple[str, bytes | str]) -> bytes:
    """A .tar.gz: (name, content) is a file, (name/, b"") a folder, (name, text) a symbolic link to text."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size, info.type = len(content), tarfile.DIRTYPE if name[-1] == "/" else tarfile.REGTYPE
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_unpacks(tmp_path, target):
    target.write_bytes(packed(("./", b""), ("./yes/", b""), ("./yes/a.wav", b"one"), ("no/b.wav", b"two"),
                              ("t.txt", b"")))
    extract(target, tmp_path / "out")
    found = {str(path.relative_to(tmp_path / "out")): path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}
    assert found == {"yes/a.wav": b"one", "no/b.wav": b"two", "t.txt": b""}


def test_unpacks_with_the_python_of_debian_12(tmp_path, target, monkeypatch):
    """3.11.2: no filters in tarfile yet."""
    monkeypatch.delattr(tarfile, "data_filter")
    monkeypatch.setattr(tarfile.TarFile, "extract", lambda *_, **__: pytest.fail("extract() without a filter"))
    test_unpacks(tmp_path, target)


@pytest.mark.parametrize("members", [
    [("fine.txt", b"x"), ("../escaped.txt", b"x")],
    [("TMP/escaped.txt", b"x")],
    [("yes/../../escaped.txt", b"x")],
    [("link", ".."), ("link/escaped.txt", b"x")],
    [("link", "/etc")],
    [("link", "fine.txt")],
    [("yes", b"file"), ("yes/a.wav", b"x")],
    [("yes/", b""), ("yes", b"file")],
], ids=["parent", "absolute", "through a folder", "through a link", "link outwards", "link", "file as a folder",
        "folder as a file"])
def test_an_escaping_member_is_refused(tmp_path, target, members):
    target.write_bytes(packed(*((name.replace("TMP", str(tmp_path)), content) for name, content in members)))
    inner = tmp_path / "data" / "out"
    with pytest.raises(UserError, match=r"a.tar.gz: .*nothing of it is used") as caught:
        extract(target, inner)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not inner.exists()
    assert list((tmp_path / "data").iterdir()) == []  # no half-unpacked folder


@pytest.mark.parametrize("content", [b"", b"no archive", packed(("a", bytes(50_000)), ("b", CONTENT))[:-200]])
def test_a_damaged_archive_is_refused(tmp_path, target, content):
    target.write_bytes(content)
    with pytest.raises(UserError, match="damaged or unsafe archive"):
        extract(target, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_fetch_leaves_the_folder_and_no_archive(server, tmp_path, cache):
    server.content = packed(("yes/a.wav", b"one"))
    archive = Archive("words", server.address, hashlib.sha256(server.content).hexdigest())
    assert fetch(archive, tmp_path / "data") == tmp_path / "data" / "words"
    assert (tmp_path / "data" / "words" / "yes" / "a.wav").is_file()
    assert list(cache.iterdir()) == []


def test_data_folder_is_used_without_a_request(tmp_path, server):
    (tmp_path / "data" / "yes").mkdir(parents=True)
    assert default_data(None, tmp_path / "data", Archive("words", server.address, "")) == tmp_path / "data"
    assert server.requests == []


def test_what_a_killed_unpacking_left_is_not_data(server, tmp_path):
    left = tmp_path / "data" / ".words.partial"
    (left / "yes").mkdir(parents=True)
    (left / "yes" / "old.wav").write_bytes(b"half")
    (left / "testing_list.txt").write_text("")
    assert find_official(tmp_path / "data") is None
    server.content = packed(("yes/a.wav", b"one"))
    archive = Archive("words", server.address, hashlib.sha256(server.content).hexdigest())
    assert default_data(None, tmp_path / "data", archive) == tmp_path / "data"
    assert [path.name for path in (tmp_path / "data").rglob("*")] == ["words", "yes", "a.wav"]


@pytest.mark.parametrize("exists", [True, False])
def test_falls_back_to_synthetic_speech_and_says_so(server, tmp_path, monkeypatch, capsys, exists):
    if exists:
        (tmp_path / "data").mkdir()
    server.status = 404
    asked = []
    monkeypatch.setattr(download, "synthetic_folder", lambda keywords: asked.append(keywords) or tmp_path / "made")
    found = default_data(("yes", "moin"), tmp_path / "data", Archive("words", server.address, ""))
    assert found == tmp_path / "made"
    assert asked == [("yes", "moin")]
    error = capsys.readouterr().err
    assert "NO REAL SPEECH" in error
    assert "HTTP 404" in error
    assert "SYNTHETIC" in error


def test_a_full_disk_stops_and_does_not_fall_back(server, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device", "data")

    monkeypatch.setattr(download, "_write_blocks", full)
    with pytest.raises(SystemExit):
        run_command(lambda: default_data(None, tmp_path / "data", Archive("words", server.address, "")))
    assert "No space left on device" in capsys.readouterr().err


def test_versions(monkeypatch):
    assert download.chosen_archive().sha256.startswith("af14739e")
    monkeypatch.setenv("SPEECH_COMMANDS", "v0.01")
    assert download.chosen_archive().sha256.startswith("74393542")
    monkeypatch.setenv("SPEECH_COMMANDS", "v3")
    with pytest.raises(UserError, match=r"SPEECH_COMMANDS=v3: no such version; allowed: v0.02, v0.01"):
        download.chosen_archive()


def test_a_stopped_download_goes_on(server, target, monkeypatch):
    """Ctrl-C in the middle: what came is kept."""
    monkeypatch.setattr(download, "BLOCK_BYTES", 50_000)
    bars = []

    class StopsAtTheThird:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, _):
            bars.append(1)
            if len(bars) == 4:
                raise KeyboardInterrupt

    with monkeypatch.context() as stopped, contextlib.suppress(KeyboardInterrupt):
        stopped.setattr(download, "progress", lambda *_, **__: StopsAtTheThird())
        get(server, target)
    assert part(target).read_bytes() == CONTENT[:150_000]
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=150000-"]
