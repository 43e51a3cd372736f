"""Files appear whole, errors name them, and what killed processes left behind is cleared, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.checkpoint import load_checkpoint, save_checkpoint
from minidl.data import read_idx
from minidl.errors import ArgumentError, DTypeError
from minidl.files import write_whole, writing

posix = pytest.mark.skipif(os.name != "posix", reason="locks and signals are POSIX's")

# Writes "new" and stops before the file has its name: for ever, or until a line comes.
WRITER = """
import os, signal, sys
from minidl.files import write_whole
def stop(descriptor):
    print("at work", flush=True)
    sys.stdin.readline()
os.fsync = stop
write_whole(sys.argv[1], b"new")
"""


def start_writer(path: Path) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "at work\n"
    return process


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@posix
def test_what_a_killed_process_left_is_cleared_by_the_next_save(tmp_path: Path) -> None:
    process = start_writer(tmp_path / "one")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    [left] = names(tmp_path)
    assert left.startswith(f".minidl-{process.pid}-")
    save_checkpoint(tmp_path / "two")
    assert names(tmp_path) == ["two"]


@posix
def test_what_a_living_process_writes_stays(tmp_path: Path) -> None:
    process = start_writer(tmp_path / "one")
    [temporary] = names(tmp_path)
    write_whole(tmp_path / "two", b"2")
    assert names(tmp_path) == [temporary, "two"]
    process.communicate("go on\n", timeout=60)
    assert process.returncode == 0
    assert names(tmp_path) == ["one", "two"] and (tmp_path / "one").read_bytes() == b"new"


@posix
def test_a_lock_counts_where_the_number_of_the_process_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As between machines that share a folder: no process of that number lives here."""
    process = start_writer(tmp_path / "one")
    monkeypatch.setattr(writing, "_lives", lambda number: False)
    write_whole(tmp_path / "two", b"2")
    process.communicate("go on\n", timeout=60)
    assert process.returncode == 0 and names(tmp_path) == ["one", "two"]


def test_what_another_thread_writes_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work, go_on, fsync = threading.Event(), threading.Event(), os.fsync

    def stop(descriptor: int) -> None:
        if threading.current_thread() is thread:
            at_work.set()
            assert go_on.wait(60)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", stop)
    thread = threading.Thread(target=write_whole, args=(tmp_path / "one", b"1"))
    thread.start()
    assert at_work.wait(60)
    write_whole(tmp_path / "two", b"2")
    go_on.set()
    thread.join()
    assert names(tmp_path) == ["one", "two"]


def test_only_its_own_files_are_cleared(tmp_path: Path) -> None:
    kept = [
        ".minidl-notes.tmp", ".minidl-12-0123456.tmp", ".minidl-12-0123456g.tmp", "x.minidl-12-01234567.tmp",
        ".minidl-12-01234567.tmp.bak", ".minidl-9999999999999-01234567.tmp", "run.tmp",
    ]  # fmt: skip
    for name in kept:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".minidl-12-00000001.tmp").mkdir()
    if os.name == "posix":
        # A process of another life had our number, as in a container that was started again.
        (tmp_path / f".minidl-{os.getpid()}-00000000.tmp").write_bytes(b"")
        # No lock is held, but a process of this number lives: a file system may only pretend to lock.
        kept.append(f".minidl-{os.getppid()}-00000000.tmp")
        (tmp_path / kept[-1]).write_bytes(b"")
        (tmp_path / "target").write_bytes(b"")
        (tmp_path / ".minidl-999999999-00000002.tmp").symlink_to("target")
        kept += ["target", ".minidl-999999999-00000002.tmp"]
    write_whole(tmp_path / "file", b"")
    assert names(tmp_path) == sorted([*kept, ".minidl-12-00000001.tmp", "file"])


@posix
def test_a_file_that_is_cleared_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    flock, locked = fcntl.flock, []

    def late(file: Any, operation: int) -> None:
        if not locked:
            os.unlink(file.name)
        locked.append(file.name)
        if len(locked) == 2:
            raise BlockingIOError
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    write_whole(tmp_path / "file", b"content")
    assert len(locked) == 3 and (tmp_path / "file").read_bytes() == b"content"


@posix
def test_without_locks_files_are_written_and_nothing_is_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    (tmp_path / ".minidl-999999999-00000000.tmp").write_bytes(b"")
    write_whole(tmp_path / "file", b"content")
    assert names(tmp_path) == [".minidl-999999999-00000000.tmp", "file"]


@pytest.mark.parametrize("function", ["fsync", "replace", "chmod"])
def test_errors_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "run"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        for save in (lambda: save_checkpoint(path), lambda: minidl.save_weights(path, nn.Dense(1, 1))):
            with pytest.raises(OSError, match="No space left") as caught:
                save()
            assert caught.value.filename == str(path)
    assert names(tmp_path) == ["run"] and path.read_bytes() == b"old"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "none" / "run"
    with pytest.raises(FileNotFoundError) as caught:
        save_checkpoint(path)
    assert caught.value.filename == str(path)
    with pytest.raises(OSError) as other:
        minidl.save_weights(tmp_path, nn.Dense(1, 1))
    assert other.value.filename == str(tmp_path)


CALLS = {
    "save_checkpoint": save_checkpoint,
    "load_checkpoint": load_checkpoint,
    "save_weights": lambda path: minidl.save_weights(path, nn.Dense(1, 1)),
    "load_weights": lambda path: minidl.load_weights(path, nn.Dense(1, 1)),
    "read_idx": read_idx,
}


@pytest.mark.parametrize("op", CALLS)
def test_what_is_no_path(op: str) -> None:
    for path, error, match in (
        (3, DTypeError, "path must be a str or path-like, got int"),
        (b"run", DTypeError, "path must be a str or path-like, got bytes"),
        (None, DTypeError, "path must be a str or path-like, got NoneType"),
        ("", ArgumentError, "path must be the name of a file, got ''"),
        ("a\0b", ArgumentError, "path must be the name of a file, got 'a.x00b'"),
        ("\ud800", ArgumentError, "path must be the name of a file, got '.ud800'"),
    ):
        with pytest.raises(error, match=f"^{op}: {match}"):
            CALLS[op](path)


def test_names_that_a_file_can_not_hold(tmp_path: Path) -> None:
    for name in ("__metadata__", "\ud800"):
        model = nn.Dense(1, 1)
        setattr(model, name, nn.Parameter(np.ones(1)))
        with pytest.raises(ArgumentError, match="^save_weights: a safetensors file can't hold an array of the name"):
            minidl.save_weights(tmp_path / "file", model)
    with pytest.raises(ArgumentError, match="^save_checkpoint: a safetensors file can't hold an array of the name"):
        save_checkpoint(tmp_path / "file", model=model)
    assert names(tmp_path) == []
