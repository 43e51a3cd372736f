"""Files that appear under their name whole or not at all, with nothing left beside them."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from typing import Any, BinaryIO

from minidl.errors import ArgumentError, DTypeError

try:
    import fcntl
except ImportError:  # Windows, which itself refuses to delete what somebody has open.
    fcntl = None  # type: ignore[assignment]

StrPath = str | os.PathLike[str]

# The number is that of the process that writes; nine digits hold any, and fit a C int.
_TEMPORARY = re.compile(r"\.minidl-(\d{1,9})-[0-9a-f]{8}\.tmp")


def checked_path(op: str, path: Any) -> str:
    """Read a path argument; what can't be a file's name on this machine is refused."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(text, str):
        raise DTypeError(f"{op}: path must be a str or path-like, got {type(path).__name__}")
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        encoded = b""
    if not encoded or b"\0" in encoded:
        raise ArgumentError(f"{op}: path must be the name of a file, got {text!r}")
    return text


def checked_target(op: str, target: Any) -> Any:
    """Refuse what a picture can't be written to: neither a file's name nor an open file."""
    return target if hasattr(target, "write") else checked_path(op, target)


def write_whole(path: StrPath, content: bytes) -> None:
    """Write a file beside its name, flush it, rename it, and flush the folder.

    What killed processes have left in that folder is cleared first, since it may be what fills the disk.

    Raises
    ------
    OSError
        If that can't be done, naming the file; an older one has stayed as it was.
    """
    path = os.path.realpath(path)
    folder = os.path.dirname(path)
    try:
        _clear_leftovers(folder)
        _write(path, folder, content)
    except OSError as error:
        if error.errno is None:
            raise
        # The system's message names the temporary file, or after a write to a full disk none at all.
        raise OSError(error.errno, error.strerror, path) from error
    # The new name is on the disk only when the folder is. Some file systems can't do that to a folder.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write(path: str, folder: str, content: bytes) -> None:
    temporary, file = _new_temporary(folder)
    try:
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            # A plain open() for writing would leave the permissions of an older file as they are.
            with suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
            if fcntl is not None:
                # While it is open its lock says that somebody is at work on it.
                os.replace(temporary, path)
        if fcntl is None:
            os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _new_temporary(folder: str) -> tuple[str, BinaryIO]:
    """A new file in a folder, which is locked until it is closed."""
    while True:
        name = os.path.join(folder, f".minidl-{os.getpid()}-{os.urandom(4).hex()}.tmp")
        with suppress(FileExistsError):
            file = open(name, "xb")
            if _is_held(file):
                return name, file
            file.close()


def _is_held(file: BinaryIO) -> bool:
    """Lock a file that was just made; False if another process that clears this folder was quicker."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks: there nobody clears anything.
        return True
    return os.fstat(file.fileno()).st_nlink > 0


def _clear_leftovers(folder: str) -> None:
    """Delete the temporary files of processes that were killed; those that somebody writes to are locked."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _TEMPORARY.fullmatch(entry.name)
            if found and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _delete_unless_held(entry.path, int(found[1]))


def _delete_unless_held(path: str, process: int) -> None:
    if fcntl is None:
        os.unlink(path)
        return
    # Locks tell, also between machines. Where a file system only pretends to have them, the number of a process that
    # lives does; our own number may be that of a process before us, as it is in each container.
    if process != os.getpid() and _lives(process):
        return
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    finally:
        os.close(descriptor)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # It is somebody else's.
        return True
    return True
