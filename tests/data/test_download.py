"""Downloads, from a server on this machine: good, broken, wrong and silent mirrors."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from idx_files import COMPRESSED, CONTENTS, TRAIN, SmallFashionMNIST, SmallMNIST, idx_bytes, write_files

from minidl.data import download
from minidl.errors import DataFileError, DataNotFoundError

pytest.importorskip("pooch")

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
FEWER = gzip.compress(idx_bytes(np.zeros((5, 28, 28), np.uint8)))
ALTERED = gzip.compress(CONTENTS[IMAGES[:-3]][:-1] + b"x")


class Server(ThreadingHTTPServer):
    """Its first folder says how it answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.released = threading.Event()

    def mirror(self, kind: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{kind}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        _, kind, name = self.path.split("/")
        content = COMPRESSED[name]
        if kind == "missing":
            self.send_error(404)
            return
        if kind == "silent":
            self.server.released.wait(10)
            return
        if name == IMAGES:
            content = {"page": b"<html>sign in</html>", "fewer": FEWER, "altered": ALTERED}.get(kind, content)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if kind == "slow" and name == IMAGES:
            for start in range(0, len(content), 1 + len(content) // 5):
                self.wfile.write(content[start : start + 1 + len(content) // 5])
                time.sleep(0.1)
        elif kind in ("cut", "stalls"):
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            if kind == "stalls":
                self.server.released.wait(10)
        else:
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Stay quiet."""


@pytest.fixture
def server(cache: Path) -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def loads(server: Server, *kinds: str, dataset: type = SmallMNIST, timeout: float = 15.0, train: bool = True):
    return type(dataset.__name__, (dataset,), {"mirrors": tuple(map(server.mirror, kinds)), "timeout": timeout})(
        train=train
    )


@pytest.mark.parametrize("dataset, folder", [(SmallMNIST, "mnist"), (SmallFashionMNIST, "fashion-mnist")])
def test_good_mirror(server: Server, cache: Path, dataset: type, folder: str) -> None:
    loaded = loads(server, "good", dataset=dataset)
    assert len(loaded) == TRAIN
    assert loaded.source == cache / folder
    assert files(cache) == [IMAGES, LABELS]
    assert (cache / folder / IMAGES).read_bytes() == COMPRESSED[IMAGES]
    assert len(loads(server, "good", dataset=dataset)) == TRAIN
    assert server.requests == [f"/good/{IMAGES}", f"/good/{LABELS}"]
    assert len(loads(server, "good", dataset=dataset, train=False)) == 20
    assert len(files(cache)) == 4


@pytest.mark.parametrize("kind", ["missing", "page", "fewer", "altered", "cut"])
@pytest.mark.parametrize("dataset", [SmallMNIST, SmallFashionMNIST])
def test_next_mirror_takes_over(server: Server, cache: Path, kind: str, dataset: type) -> None:
    assert len(loads(server, kind, "good", dataset=dataset)) == TRAIN
    assert files(cache) == [IMAGES, LABELS]
    assert server.requests == [f"/{kind}/{IMAGES}", f"/good/{IMAGES}", f"/good/{LABELS}"]


REASONS = {
    "missing": "HTTP status 404",
    "page": f"read_idx: {IMAGES} is no IDX file",
    "fewer": rf"SmallMNIST: {IMAGES} holds uint8 of shape \(5, 28, 28\): 5 images, expected 60",
    "altered": f"read_idx: {IMAGES} is altered: SHA-256",
    "cut": "ChunkedEncodingError",
}


@pytest.mark.parametrize("kind, reason", REASONS.items())
def test_all_mirrors_fail(server: Server, cache: Path, kind: str, reason: str) -> None:
    with pytest.raises(DataNotFoundError, match=rf"(?s)Looked at:.*download: .*/{kind}/{IMAGES}: {reason}"):
        loads(server, kind)
    assert files(cache) == []


def test_wrong_md5(server: Server, cache: Path) -> None:
    with pytest.raises(DataNotFoundError, match=f"{IMAGES} has the MD5 [0-9a-f]{{32}}, expected [0-9a-f]{{32}}"):
        loads(server, "altered", dataset=SmallFashionMNIST)
    assert files(cache) == []


def test_silent_mirrors_share_the_time(server: Server, cache: Path) -> None:
    start = time.monotonic()
    with pytest.raises(DataNotFoundError, match="(?s)silent.*stalls") as caught:
        loads(server, "silent", "stalls", timeout=0.6)
    assert 0.4 < time.monotonic() - start < 1.5
    assert files(cache) == []
    assert "0.3 s" in str(caught.value) or "timed out" in str(caught.value)


def test_time_left_over_goes_to_the_next_mirror(server: Server, cache: Path) -> None:
    start = time.monotonic()
    with pytest.raises(DataNotFoundError, match="(?s)404.*silent"):
        loads(server, "missing", "silent", timeout=0.5)
    assert 0.3 < time.monotonic() - start < 1.2


def test_slow_mirror_that_delivers_is_waited_for(server: Server, cache: Path) -> None:
    assert len(loads(server, "slow", timeout=0.4)) == TRAIN


def test_name_that_is_looked_up_for_ever(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def look_up(*arguments: object, **settings: object) -> list:
        released.wait(10)
        raise socket.gaierror("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    mirrors = {"mirrors": ("http://one.invalid/", "http://two.invalid/"), "timeout": 0.4}
    start = time.monotonic()
    with pytest.raises(DataNotFoundError, match="one.invalid.*nothing came for 0.2 s.*two.invalid"):
        type("Unreachable", (SmallMNIST,), mirrors)()
    assert time.monotonic() - start < 1.2
    released.set()


def test_nothing_listens(cache: Path) -> None:
    with pytest.raises(DataNotFoundError, match="ConnectionError .*Connection refused"):
        type("Unreachable", (SmallMNIST,), {"mirrors": ("http://127.0.0.1:9/",)})()


def test_only_what_lacks_is_fetched(server: Server, cache: Path) -> None:
    write_files(cache / "mnist", {LABELS: COMPRESSED[LABELS]})
    assert len(loads(server, "good")) == TRAIN
    assert server.requests == [f"/good/{IMAGES}"]


def test_damaged_file_in_the_cache_is_refused(server: Server, cache: Path) -> None:
    write_files(cache / "mnist", {**COMPRESSED, LABELS: b""})
    with pytest.raises(DataFileError, match=f"{LABELS} is empty"):
        loads(server, "good")
    assert server.requests == []


def test_interrupted_writing_leaves_nothing(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        assert files(cache)[0].endswith(".tmp")
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        loads(server, "good")
    assert files(cache) == []


def test_cache_that_cannot_be_written(server: Server, cache: Path) -> None:
    cache.write_bytes(b"a file in the way")
    with pytest.raises(DataNotFoundError, match=f"download: cannot write {cache}.*: Not a directory"):
        loads(server, "good")


def test_endless_download(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_MAX_BYTES", 1000)
    with pytest.raises(DataNotFoundError, match="more than 1000 bytes came"):
        loads(server, "good")


def test_progress_bar(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("tqdm")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert len(loads(server, "good")) == TRAIN
    assert IMAGES in capsys.readouterr().err
