"""The safetensors format: a header in JSON that says what each array is and where, and the arrays' bytes.

Writing is the library's. Reading is our own: what the header promises is compared with the file before memory is taken,
each array is read when it is asked for, and whatever is wrong is said of the file by its name. The library panics on
some damaged headers, which no `except Exception` catches, and takes others that NumPy then refuses.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from math import prod
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from minidl.errors import ArgumentError, CheckpointError, CheckpointNotFoundError
from minidl.files.strict_json import read_json, shortened
from minidl.files.writing import StrPath, checked_path

_DTYPES: dict[str, np.dtype] = {
    name: np.dtype(code)
    for name, code in {
        "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
        "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<c8",
    }.items()
}  # fmt: skip
_NAMES = {dtype.str: name for name, dtype in _DTYPES.items()}
# The library reads no longer header, and NumPy has no more dimensions.
_LONGEST_HEADER = 100_000_000
_MAX_AXES = 64
_MAX_BYTES = 2**63 - 1
_PIECE = 1 << 20
_METADATA = "__metadata__"


class Entry(NamedTuple):
    """An array as a header has it; its place counts from the header's end."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


class TensorFile:
    """A safetensors file that is open and whose header has been judged.

    Attributes
    ----------
    where : str
        Who reads which file, for messages.
    metadata : dict
        Strings by name.
    entries : dict
        What there is, by name, in the order in which it lies in the file.
    """

    def __init__(self, file: BinaryIO, size: int, where: str) -> None:
        self._file = file
        self.where = where
        header = self._read_header(size)
        self.metadata: dict[str, str] = header.pop(_METADATA, {})
        if not isinstance(self.metadata, dict) or not all(isinstance(v, str) for v in self.metadata.values()):
            raise self._damaged("its metadata are no strings by name")
        entries = {name: self._entry(name, value) for name, value in header.items()}
        self.entries = dict(sorted(entries.items(), key=lambda item: item[1][2:]))
        end = 0
        for name, entry in self.entries.items():
            if entry.start != end:
                raise self._damaged(f"{shortened(name)} begins at {entry.start}, and what is before it ends at {end}")
            end = entry.stop
        if self._start + end != size:
            raise self._damaged(f"its header promises {self._start + end} bytes, it holds {size}")

    def _read_header(self, size: int) -> dict[str, Any]:
        if size == 0:
            raise CheckpointError(f"{self.where}: is empty")
        length = int.from_bytes(self._read(0, min(size, 8)), "little")
        self._start = 8 + length
        if size < 8 or self._start > size or length > _LONGEST_HEADER:
            raise self._damaged(f"it promises a header of {length} bytes, it holds {size}")
        try:
            header = read_json(self._read(8, length).decode())
        except ValueError as error:
            raise self._damaged(f"its header is no JSON: {str(error)[:200]}") from None
        if not isinstance(header, dict):
            raise self._damaged("its header is no JSON object")
        return header

    def _entry(self, name: str, value: Any) -> Entry:
        """Read what the header says of an array; `value` may be anything that JSON has."""
        try:
            dtype, shape, (start, stop) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
            numbers = (*shape, start, stop)
            are_sizes = all(type(n) is int and 0 <= n <= _MAX_BYTES for n in numbers)
            is_formed = isinstance(dtype, str) and are_sizes and start <= stop
        except (KeyError, TypeError, ValueError):
            is_formed = False
        if not is_formed:
            raise self._damaged(f"its header says of {shortened(name)} {shortened(value)}")
        if len(shape) > _MAX_AXES:
            raise self._damaged(f"{shortened(name)} has {len(shape)} axes, more than the {_MAX_AXES} of NumPy")
        # The size of an element of other dtypes is not known here, and they are never read.
        itemsize = _DTYPES[dtype].itemsize if dtype in _DTYPES else 1
        if prod(max(n, 1) for n in shape) * itemsize > _MAX_BYTES:
            raise self._damaged(f"{shortened(name)} is of shape {shortened(shape)}, more than any memory holds")
        if dtype in _DTYPES and stop - start != prod(shape) * itemsize:
            what = f"{shortened(name)} is {dtype} of shape {shortened(shape)}"
            raise self._damaged(f"{what}, but has {stop - start} bytes")
        return Entry(dtype, shape, start, stop)

    def dtype(self, name: str) -> np.dtype:
        """The dtype of an array, which may be one that minidl has not."""
        entry = self.entries[name]
        if entry.dtype not in _DTYPES:
            raise CheckpointError(
                f"{self.where}: {name:.200} has a dtype that NumPy does not know ({entry.dtype:.20}); "
                "save it as float32"
            )
        return _DTYPES[entry.dtype].newbyteorder("=")

    def array(self, name: str) -> np.ndarray:
        """Read an array.

        Raises
        ------
        CheckpointError
            If that can't be done, naming file and array.
        """
        self.dtype(name)
        entry = self.entries[name]
        try:
            array = np.empty(entry.shape, _DTYPES[entry.dtype])
        except MemoryError:
            raise CheckpointError(
                f"{self.where}: there is no memory for {shortened(name)}, {entry.dtype} of shape {entry.shape}"
            ) from None
        content = array.reshape(-1).view(np.uint8)
        self._read_into(self._start + entry.start, content)
        if array.dtype.kind == "b" and content.max(initial=0) > 1:
            raise self._damaged(f"{shortened(name)} holds booleans that are neither true nor false")
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    def content_checksum(self) -> str:
        """Compute what `content_checksum` gives of the same metadata and arrays."""
        named = {name: (entry.dtype, entry.shape, self._pieces(entry)) for name, entry in self.entries.items()}
        return _checksum(self.metadata, named)

    def _pieces(self, entry: Entry) -> Iterator[Any]:
        buffer = np.empty(_PIECE, np.uint8)
        for offset in range(entry.start, entry.stop, _PIECE):
            piece = buffer[: min(_PIECE, entry.stop - offset)]
            self._read_into(self._start + offset, piece)
            yield piece

    def _read(self, offset: int, length: int) -> bytes:
        content = np.empty(length, np.uint8)
        self._read_into(offset, content)
        return content.tobytes()

    def _read_into(self, offset: int, content: np.ndarray) -> None:
        view = content.data
        try:
            self._file.seek(offset)
            read = self._file.readinto(view) if len(view) else 0  # type: ignore[attr-defined]
        except OSError as error:
            raise CheckpointError(f"{self.where}: can't be read: {error.strerror or error}") from error
        if read != len(view):
            raise self._damaged("it has become shorter")

    def _damaged(self, reason: str) -> CheckpointError:
        return CheckpointError(f"{self.where}: is truncated, damaged or no safetensors file ({reason})")


@contextmanager
def opened_tensors(path: StrPath, op: str) -> Iterator[TensorFile]:
    """Open a safetensors file for as long as the block runs.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such file.
    CheckpointError
        If it can't be opened or is no safetensors file.
    """
    where = f"{op}: {checked_path(op, path)}"
    try:
        file = open(path, "rb")
        size = os.fstat(file.fileno()).st_size
    except FileNotFoundError as error:
        raise CheckpointNotFoundError(f"{where}: there is no such file") from error
    except OSError as error:
        raise CheckpointError(f"{where}: can't be opened: {error.strerror}") from error
    with file:
        yield TensorFile(file, size, where)


def tensor_bytes(op: str, arrays: Mapping[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    """A safetensors file of arrays that are C-contiguous and of the machine's byte order."""
    from safetensors.numpy import save

    for name in arrays:
        try:
            name.encode()
        except UnicodeEncodeError:
            name = _METADATA
        if name == _METADATA:
            raise ArgumentError(f"{op}: a safetensors file can't hold an array of the name {name!r}")
    return save(dict(arrays), metadata)


def content_checksum(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """SHA-256 of all that a file is to hold, but not of how it lies there.

    So a file that another program has read and written, as it may, is still the same.

    Parameters
    ----------
    arrays : mapping
        C-contiguous arrays by name.
    metadata : mapping
        Strings by name; "sha256" does not count.

    Returns
    -------
    str
        Hexadecimal digits.
    """
    named = {}
    for name, array in arrays.items():
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        named[name] = (_NAMES[little.dtype.str], array.shape, [little.reshape(-1).view(np.uint8)])
    return _checksum(metadata, named)


def _checksum(
    metadata: Mapping[str, str], named: Mapping[str, tuple[str, tuple[int, ...], Iterable[np.ndarray]]]
) -> str:
    digest = sha256()
    texts = sorted((name, text) for name, text in metadata.items() if name != "sha256")
    digest.update(json.dumps(texts).encode())
    for name, (dtype, shape, pieces) in sorted(named.items()):
        digest.update(json.dumps([name, dtype, shape]).encode())
        for piece in pieces:
            digest.update(piece.data)
    return digest.hexdigest()
