"""The IDX format of LeCun's MNIST: a magic number, the sizes along the axes, the elements, all big-endian.

A file is judged before memory is taken: its header is read first, and whoever expects something of it is asked. Then
what the header promises is compared with what the file holds (or, for gzip, could at most hold), and no more is read or
decompressed than the header promises and one byte.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from io import BytesIO
from queue import SimpleQueue
from threading import Thread
from typing import Any, BinaryIO

import numpy as np

from minidl.errors import ArgumentError, DataFileError, DataNotFoundError
from minidl.files import StrPath, checked_path

_DTYPES: dict[int, np.dtype] = {
    0x08: np.dtype("u1"), 0x09: np.dtype("i1"), 0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"), 0x0D: np.dtype(">f4"), 0x0E: np.dtype(">f8"),
}  # fmt: skip
_MAX_AXES = 32
_LONGEST_HEADER = 4 + 4 * _MAX_AXES
_MAX_BYTES = 1 << 48
_GZIP_MAGIC = b"\x1f\x8b"
_DEFLATE_LIMIT = 1032  # the best that deflate can do: 258 bytes out of two bits
_PIECE = 1 << 17
# zlib returns new bytes whatever it is asked for; small pieces stay in the cache until they are copied.
_MAX_DECOMPRESSED = 1 << 20

Judge = Callable[[np.dtype, tuple[int, ...]], None]


def read_idx(path: StrPath, *, sha256: str | None = None) -> np.ndarray:
    """Read one IDX file, gzip-compressed or not, completely or not at all.

    Whether it is compressed is seen from its content, not from its name.

    Parameters
    ----------
    path : str or path-like
        The file.
    sha256 : str, optional
        What the SHA-256 of the decompressed file (header included) has to be, in hexadecimal digits.

    Returns
    -------
    numpy.ndarray
        The elements in the machine's byte order, with the shape that the header states; writable.

    Raises
    ------
    DataFileError
        If the file is empty, truncated, damaged or altered, has another magic number or too many bytes, or can't be
        read.
    DataNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "labels-idx1-ubyte")
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    >>> read_idx(path)
    array([5, 0, 4], dtype=uint8)
    """
    if sha256 is not None and not (isinstance(sha256, str) and len(sha256) == 64):
        raise ArgumentError(f"read_idx: sha256 must be 64 hexadecimal digits, got {sha256!r}")
    content, digest = load(path, sha256 is not None)
    array = parse(content, path)
    check_sha256(digest, path, sha256)
    return array


def load(path: StrPath, hashes: bool, judge: Judge = lambda dtype, shape: None) -> tuple[np.ndarray, str]:
    """Return the bytes of an IDX file, decompressed, as a writable uint8 vector, and (`hashes`) their SHA-256.

    `judge` is called with what the header promises, dtype and shape, and refuses it before any memory is taken.
    """
    path = checked_path("read_idx", path)
    try:
        with open(path, "rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size, path, hashes, judge)
    except FileNotFoundError:
        raise DataNotFoundError(f"read_idx: there is no file {path}") from None
    except OSError as error:
        raise _refused(path, f"can't be read: {error.strerror or error}") from error


def unpack(
    stored: bytes, name: StrPath, hashes: bool, judge: Judge = lambda dtype, shape: None
) -> tuple[np.ndarray, str]:
    """Return what `load` does of a file of this content."""
    return _read(BytesIO(stored), len(stored), name, hashes, judge)


def _read(file: BinaryIO, size: int, name: StrPath, hashes: bool, judge: Judge) -> tuple[np.ndarray, str]:
    if not hashes:
        return _content(file, size, name, judge), ""
    with _Hash() as digest:
        content = _content(file, size, name, judge, digest.update)
    return content, digest.hexdigest()


class _Hash:
    """SHA-256 of pieces in a thread of its own, so that a second core has done with it when they are all there."""

    def __enter__(self) -> _Hash:
        import hashlib

        self._hash = hashlib.sha256()
        self._pieces: SimpleQueue[Any] = SimpleQueue()
        self._thread = Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pieces.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._hash.update(piece)

    def update(self, piece: Any) -> None:
        """Add bytes that stay as they are until the end."""
        self._pieces.put(piece)

    def hexdigest(self) -> str:
        """The result, once all is added."""
        return self._hash.hexdigest()


def _content(
    file: BinaryIO, size: int, name: StrPath, judge: Judge, each_piece: Callable[[Any], None] = lambda piece: None
) -> np.ndarray:
    """Return the bytes of an IDX file that `file` holds compressed or as they are.

    `each_piece` is called with each piece of them as soon as there is one.
    """
    if size == 0:
        raise _refused(name, "is empty")
    is_compressed = file.read(2) == _GZIP_MAGIC
    file.seek(0)
    source: _Gunzip | BinaryIO = _Gunzip(file, size, name) if is_compressed else file
    header = b""
    while len(header) < _LONGEST_HEADER and (piece := source.read(_LONGEST_HEADER - len(header))):
        header += piece
    dtype, shape, start, itemsize = _read_header(header, name)
    judge(dtype, shape)
    total = start + math.prod(shape) * itemsize
    if is_compressed and total > _DEFLATE_LIMIT * size + _LONGEST_HEADER:
        raise _refused(name, f"is truncated: its header promises {shape}, {total} bytes in all, "
                             f"more than a gzip file of {size} bytes can hold")  # fmt: skip
    if not is_compressed and size != total:
        raise _wrong_size(name, shape, total, size)
    try:
        content = np.empty(total, dtype=np.uint8)
    except MemoryError:
        raise _refused(name, f"is too large: there is no memory for {shape}, {total} bytes in all") from None
    if not is_compressed:
        file.seek(0)
        filled = file.readinto(content.data)  # type: ignore[attr-defined]
        each_piece(content.data)
    else:
        filled, piece = 0, header
        while piece:
            if filled + len(piece) > total:
                raise _wrong_size(name, shape, total, "more")
            content[filled : filled + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
            filled += len(piece)
            each_piece(piece)
            piece = source.read(min(total - filled + 1, _MAX_DECOMPRESSED))
    if filled < total:
        raise _wrong_size(name, shape, total, filled)
    return content


class _Gunzip:
    """A gzip file's content, from its one or more members (RFC 1952), read in pieces of a limited size."""

    def __init__(self, file: BinaryIO, size: int, name: StrPath) -> None:
        import zlib

        self._zlib = zlib
        self._file, self._size, self._name = file, size, name
        self._stream = zlib.decompressobj(wbits=31)
        self._input = b""

    def read(self, most: int) -> bytes:
        """Return the next bytes, no more than `most`, and none only at the end."""
        try:
            while True:
                if self._stream.eof and not self._begin_member():
                    return b""
                stored = self._input or self._file.read(_PIECE)
                piece = self._stream.decompress(stored, most)
                self._input = self._stream.unconsumed_tail
                if piece:
                    return piece
                # Without input, what the stream still held back would have come.
                if not stored and not self._stream.eof:
                    raise _refused(self._name, "is truncated: its gzip stream ends early")
        except self._zlib.error as error:
            raise _refused(self._name, f"is damaged: its gzip stream does not decompress ({error})") from None

    def _begin_member(self) -> bool:
        """Go on to what follows a member; False if that is the end of the file."""
        self._input = self._stream.unused_data
        if len(self._input) < len(_GZIP_MAGIC):
            self._input += self._file.read(_PIECE)
        if self._input and not self._input.startswith(_GZIP_MAGIC):
            trailing = self._size - self._file.tell() + len(self._input)
            raise _refused(self._name, f"has {trailing} trailing bytes after its gzip stream")
        if self._input:
            self._stream = self._zlib.decompressobj(wbits=31)
        return bool(self._input)


def parse(content: np.ndarray, name: StrPath) -> np.ndarray:
    """Return the array that the bytes of an IDX file hold; a view of them where the elements are single bytes."""
    dtype, shape, start, _ = _read_header(content[:_LONGEST_HEADER].tobytes(), name)
    total = start + math.prod(shape) * dtype.itemsize
    if content.size != total:
        raise _wrong_size(name, shape, total, content.size)
    return content[start:].view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def check_sha256(found: str, name: StrPath, expected: str | None) -> None:
    """Refuse a file whose decompressed bytes are not the ones that are known."""
    if expected is not None and found != expected.lower():
        raise _refused(name, f"is altered: SHA-256 of the decompressed bytes is {found}, expected {expected.lower()}")


def _read_header(header: bytes, name: StrPath) -> tuple[np.dtype, tuple[int, ...], int, int]:
    """Return dtype, shape, length of the header and size of an element."""
    if len(header) < 4:
        raise _refused(name, f"is truncated: it ends within its magic number, after {len(header)} of 4 bytes")
    if header[:2] != b"\0\0":
        raise _refused(name, f"is no IDX file: its magic number is 0x{header[:4].hex()}, expected 0x0000....")
    code, axes = header[2], header[3]
    if code not in _DTYPES:
        known = ", ".join(f"0x{known:02x}" for known in _DTYPES)
        raise _refused(name, f"has the unknown type code 0x{code:02x} (magic number 0x{header[:4].hex()}); "
                             f"known are {known}")  # fmt: skip
    if not 1 <= axes <= _MAX_AXES:
        raise _refused(name, f"has {axes} axes by its magic number 0x{header[:4].hex()}, expected 1 to {_MAX_AXES}")
    start = 4 + 4 * axes
    if len(header) < start:
        raise _refused(name, f"is truncated: it ends within its header, after {len(header)} of {start} bytes")
    shape = tuple(int.from_bytes(header[offset : offset + 4], "big") for offset in range(4, start, 4))
    if math.prod(max(size, 1) for size in shape) * _DTYPES[code].itemsize > _MAX_BYTES:
        raise _refused(name, f"is damaged: its header promises {shape}, more than any memory holds")
    return _DTYPES[code], shape, start, _DTYPES[code].itemsize


def _wrong_size(name: StrPath, shape: tuple[int, ...], total: int, held: int | str) -> DataFileError:
    verdict = "is truncated" if isinstance(held, int) and held < total else "has trailing bytes"
    return _refused(name, f"{verdict}: its header promises {shape}, {total} bytes in all, it holds {held}")


def _refused(name: StrPath, reason: str) -> DataFileError:
    return DataFileError(f"read_idx: {os.fspath(name)} {reason}")
