"""Fetch files from mirrors into the user's cache folder, whole and verified or not at all."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from minidl.errors import DataFileError, DataNotFoundError, MissingExtraError, import_extra
from minidl.files import write_whole

TIMEOUT = 15.0
_MAX_BYTES = 1 << 28
# A piece is handed on when it is full: small enough for a slow line to fill it within the time-out.
_PIECE = 1 << 12


def cache_folder() -> Path:
    """Return the folder for downloaded data: `MINIDL_CACHE`, or where this platform keeps caches."""
    if chosen := os.environ.get("MINIDL_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "minidl" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "minidl"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minidl"


def fetch(
    names: Sequence[str],
    mirrors: Sequence[str],
    folder: Path,
    verify: Callable[[str, bytes], None],
    *,
    timeout: float = TIMEOUT,
    progress: bool = True,
) -> None:
    """Download files into a folder; a mirror that fails is not asked again.

    Parameters
    ----------
    names : sequence of str
        The files' names, on the mirrors and in the folder.
    mirrors : sequence of str
        Addresses to which a name is appended, in the order in which to try them.
    folder : Path
        Where the files go; created if need be.
    verify : callable
        Called with name and content, raises DataFileError for the wrong content.
    timeout : float, optional
        The seconds that all mirrors together may let us wait for nothing.
    progress : bool, optional
        Show a bar where standard error is a terminal and tqdm is installed.

    Raises
    ------
    DataNotFoundError
        If a file is to be had from no mirror, or not to be written; the message says why for each.
    """
    try:
        pooch = import_extra("pooch", "data", "download")
    except MissingExtraError as error:
        raise DataNotFoundError(str(error)) from error
    mirrors, reasons = list(mirrors), []
    for name in names:
        while mirrors:
            transfer = _Transfer(name, timeout / len(mirrors), progress)
            try:
                content = transfer.run(pooch, mirrors[0] + name)
                verify(name, content)
                break
            except (OSError, DataFileError) as error:
                # Only the time in which nothing came counts: a slow mirror that delivers is a good one.
                timeout -= time.monotonic() - transfer.alive
                reasons.append(f"{mirrors.pop(0)}{name}: {_reason(error)}")
        else:
            raise DataNotFoundError("; ".join(reasons))
        _write(folder / name, content)


class _Transfer:
    """One file on its way into memory, in a thread that can be left behind.

    The time-outs of `requests` hold for each address of a host and not for the look-up of its name, so that a
    firewall that drops packets could take a multiple of them; this one is kept whatever the thread hangs in.
    """

    def __init__(self, name: str, patience: float, progress: bool) -> None:
        self.name = name
        self.patience = max(patience, 0.05)
        self.bar = _progress_bar(name) if progress else None
        self.alive = time.monotonic()
        self.content = bytearray()
        self.abandoned = False
        self.error: BaseException | None = None

    def run(self, pooch: Any, url: str) -> bytes:
        thread = threading.Thread(target=self._download, args=(pooch, url), daemon=True)
        self.alive = time.monotonic()
        thread.start()
        try:
            while thread.is_alive():
                thread.join(min(self.patience, 0.1))
                if thread.is_alive() and time.monotonic() - self.alive > self.patience:
                    raise TimeoutError(f"nothing came for {self.patience:.1f} s")
        finally:
            self.abandoned = True
            if self.bar is not None:
                self.bar.close()
        if self.error is not None:
            raise self.error
        return bytes(self.content)

    def _download(self, pooch: Any, url: str) -> None:
        try:
            downloader = pooch.HTTPDownloader(
                progressbar=False if self.bar is None else self.bar,
                chunk_size=_PIECE,
                timeout=(self.patience, self.patience),
            )
            downloader(url, self, None)
        except BaseException as error:
            self.error = error

    def write(self, piece: bytes) -> None:
        if self.abandoned:
            raise OSError("nobody waits for this download any more")
        if len(self.content) + len(piece) > _MAX_BYTES:
            raise OSError(f"more than {_MAX_BYTES} bytes came")
        self.content += piece
        self.alive = time.monotonic()

    def flush(self) -> None:
        """Do nothing: pooch flushes what it writes to."""


def _progress_bar(name: str) -> Any:
    if not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    # pooch sets the total; without one to begin with, tqdm has no truth value, for which pooch asks.
    return tqdm(desc=name, total=1, unit="B", unit_scale=True, leave=False)


def _reason(error: BaseException) -> str:
    """Return one short clause; the errors of `requests` quote their causes, the last of which says what happened."""
    if isinstance(error, DataFileError | TimeoutError):
        return str(error)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"HTTP status {status}"
    cause = str(error).rpartition(": ")[2].rstrip(")\"'")
    cause += ")" * (cause.count("(") - cause.count(")"))
    return f"{type(error).__name__} ({cause})"


def _write(path: Path, content: bytes) -> None:
    """Let the file appear under its name only when it is complete."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise DataNotFoundError(f"cannot write {path}: {error.strerror or error}") from error
