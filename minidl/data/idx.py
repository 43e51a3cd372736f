"""The IDX format of LeCun's MNIST: a magic number, the sizes along the axes, the elements, all big-endian.

A file is judged before memory is taken: what the header promises is compared with what the file holds (or, for
gzip, could at most hold), and no more is decompressed than the header promises and one byte.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np

from minidl.errors import ArgumentError, DataFileError, DataNotFoundError

_DTYPES: dict[int, np.dtype] = {
    0x08: np.dtype("u1"), 0x09: np.dtype("i1"), 0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"), 0x0D: np.dtype(">f4"), 0x0E: np.dtype(">f8"),
}  # fmt: skip
_MOST_AXES = 32
_LONGEST_HEADER = 4 + 4 * _MOST_AXES
_MOST_BYTES = 1 << 48
_GZIP_MAGIC = b"\x1f\x8b"
_DEFLATE_LIMIT = 1032  # the best that deflate can do: 258 bytes out of two bits
_PIECE = 1 << 17


def read_idx(path: str | os.PathLike[str], *, sha256: str | None = None) -> np.ndarray:
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
        If the file is empty, truncated, damaged or altered, has another magic number or too many bytes.
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


def load(path: str | os.PathLike[str], hashes: bool) -> tuple[np.ndarray, str]:
    """Return the bytes of an IDX file, decompressed, as a writable uint8 vector, and (`hashes`) their SHA-256."""
    try:
        stored = np.fromfile(path, dtype=np.uint8)
    except FileNotFoundError:
        raise DataNotFoundError(f"read_idx: there is no file {os.fspath(path)}") from None
    return unpack(stored, path, hashes)


def unpack(stored: np.ndarray, name: str | os.PathLike[str], hashes: bool) -> tuple[np.ndarray, str]:
    """Return what `load` does of a file that `stored`, a uint8 vector, holds."""
    if not hashes:
        return _decompress(stored, name), ""
    with _Hash() as digest:
        content = _decompress(stored, name, digest.update)
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


def _decompress(
    stored: np.ndarray, name: str | os.PathLike[str], each_piece: Callable[[Any], None] = lambda piece: None
) -> np.ndarray:
    """Return the bytes of an IDX file that `stored` (a uint8 vector) holds compressed or as they are.

    `each_piece` is called with each piece of them as soon as there is one.
    """
    if stored.size == 0:
        raise _refused(name, "is empty")
    if stored[:2].tobytes() != _GZIP_MAGIC:
        each_piece(stored.data)
        return stored

    import zlib

    # zlib returns new bytes whatever it is asked for; small pieces stay in the cache until they are copied.
    view = stored.data
    try:
        header = zlib.decompressobj(wbits=31).decompress(view[:_PIECE], _LONGEST_HEADER)
        _, shape, start, itemsize = _read_header(header, name)
        total = start + math.prod(shape) * itemsize
        if total > _DEFLATE_LIMIT * stored.size + _LONGEST_HEADER:
            raise _refused(name, f"is truncated: its header promises {shape}, {total} bytes in all, "
                                 f"more than a gzip file of {stored.size} bytes can hold")  # fmt: skip
        content = np.empty(total, dtype=np.uint8)
        stream, filled = zlib.decompressobj(wbits=31), 0
        for position in range(0, stored.size, _PIECE):
            piece = stream.decompress(view[position : position + _PIECE], total - filled + 1)
            if filled + len(piece) > total:
                raise _wrong_size(name, shape, total, "more")
            content[filled : filled + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
            filled += len(piece)
            each_piece(piece)
            if stream.eof:
                trailing = len(stream.unused_data) + max(stored.size - position - _PIECE, 0)
                if trailing:
                    raise _refused(name, f"has {trailing} trailing bytes after its gzip stream")
                break
    except zlib.error as error:
        raise _refused(name, f"is damaged: its gzip stream does not decompress ({error})") from None
    if not stream.eof:
        raise _refused(name, "is truncated: its gzip stream ends early")
    if filled < total:
        raise _wrong_size(name, shape, total, filled)
    return content


def parse(content: np.ndarray, name: str | os.PathLike[str]) -> np.ndarray:
    """Return the array that the bytes of an IDX file hold; a view of them where the elements are single bytes."""
    dtype, shape, start, _ = _read_header(content[:_LONGEST_HEADER].tobytes(), name)
    total = start + math.prod(shape) * dtype.itemsize
    if content.size != total:
        raise _wrong_size(name, shape, total, content.size)
    return content[start:].view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def check_sha256(found: str, name: str | os.PathLike[str], expected: str | None) -> None:
    """Refuse a file whose decompressed bytes are not the ones that are known."""
    if expected is not None and found != expected.lower():
        raise _refused(name, f"is altered: SHA-256 of the decompressed bytes is {found}, expected {expected.lower()}")


def _read_header(header: bytes, name: str | os.PathLike[str]) -> tuple[np.dtype, tuple[int, ...], int, int]:
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
    if not 1 <= axes <= _MOST_AXES:
        raise _refused(name, f"has {axes} axes by its magic number 0x{header[:4].hex()}, expected 1 to {_MOST_AXES}")
    start = 4 + 4 * axes
    if len(header) < start:
        raise _refused(name, f"is truncated: it ends within its header, after {len(header)} of {start} bytes")
    shape = tuple(int.from_bytes(header[at : at + 4], "big") for at in range(4, start, 4))
    if math.prod(max(size, 1) for size in shape) * _DTYPES[code].itemsize > _MOST_BYTES:
        raise _refused(name, f"is damaged: its header promises {shape}, more than any memory holds")
    return _DTYPES[code], shape, start, _DTYPES[code].itemsize


def _wrong_size(name: str | os.PathLike[str], shape: tuple[int, ...], total: int, held: int | str) -> DataFileError:
    verdict = "is truncated" if isinstance(held, int) and held < total else "has trailing bytes"
    return _refused(name, f"{verdict}: its header promises {shape}, {total} bytes in all, it holds {held}")


def _refused(name: str | os.PathLike[str], reason: str) -> DataFileError:
    return DataFileError(f"read_idx: {os.fspath(name)} {reason}")
