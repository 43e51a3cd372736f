"""Safetensors files: read as the library reads them, and what is wrong with one is said before memory is taken."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bits import bits

from minidl.errors import CheckpointError
from minidl.files import opened_tensors, tensors

CODES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8"]


def file_of(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def entry(dtype: str, shape: Any, start: Any, stop: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def read(path: Path) -> dict[str, np.ndarray]:
    with opened_tensors(path, "test") as file:
        return {name: file.array(name) for name in file.entries}


@pytest.mark.parametrize("seed", range(5))
def test_what_the_library_writes_is_read_as_it_reads_it(seed: int, tmp_path: Path) -> None:
    from safetensors import numpy as library

    random = np.random.default_rng(seed)
    arrays = {}
    for i in range(20):
        shape = tuple(int(n) for n in random.integers(0, 4, random.integers(0, 5)))
        arrays[f"{i} é \n"] = np.asarray(random.normal(size=shape) * 3).astype(CODES[random.integers(len(CODES))])
    library.save_file(arrays, tmp_path / "file", {"a": "b", "é": ""})
    found, expected = read(tmp_path / "file"), library.load_file(tmp_path / "file")
    assert found.keys() == expected.keys() == arrays.keys()
    for name, array in arrays.items():
        assert bits(found[name]) == bits(expected[name]) == bits(array)
        assert found[name].flags.carray and found[name].flags.owndata
    with opened_tensors(tmp_path / "file", "test") as file:
        assert file.metadata == {"a": "b", "é": ""}


def test_names_arrays_in_any_order_and_space_around_json(tmp_path: Path) -> None:
    header = json.dumps({"b": entry("U8", [2], 1, 3), "none": entry("F32", [0], 3, 3), "a": entry("I8", [], 0, 1)})
    (tmp_path / "file").write_bytes(file_of(f" \n{header}   ".encode(), b"\xff\1\2"))
    found = read(tmp_path / "file")
    assert {name: array.tolist() for name, array in found.items()} == {"a": -1, "b": [1, 2], "none": []}


ONE = entry("F32", [1], 0, 4)
BROKEN: dict[str, tuple[Any, bytes, str]] = {
    "no JSON": (b"{a", b"", "its header is no JSON"),
    "no object": ([1], b"", "its header is no JSON object"),
    "no UTF-8": (b"\xff\xfe{}", b"", "its header is no JSON"),
    "UTF-16": ("{}".encode("utf-16"), b"", "its header is no JSON"),
    "NaN": (b'{"a": NaN}', b"", "JSON has no NaN"),
    "deep": (b"[" * 100_000, b"", "nested too deeply"),
    "digits": (b'{"a": ' + b"1" * 5000 + b"}", b"", "its header is no JSON"),
    "twice": (b'{"a": 1, "a": 1}', b"", "JSON has 'a' twice"),
    "metadata": ({"__metadata__": {"a": 1}}, b"", "its metadata are no strings"),
    "metadata list": ({"__metadata__": ["a"]}, b"", "its metadata are no strings"),
    "no entry": ({"a": 3}, b"", "its header says of 'a' 3"),
    "null": ({"a": None}, b"", "its header says of 'a' None"),
    "no shape": ({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, b"", "its header says of 'a'"),
    "dtype": ({"a": {**ONE, "dtype": 3}}, b"1234", "its header says of 'a'"),
    "shape": ({"a": {**ONE, "shape": [1.0]}}, b"1234", "its header says of 'a'"),
    "shape bool": ({"a": {**ONE, "shape": [True]}}, b"1234", "its header says of 'a'"),
    "shape text": ({"a": {**ONE, "shape": "1"}}, b"1234", "its header says of 'a'"),
    "negative": ({"a": {**ONE, "shape": [-1]}}, b"1234", "its header says of 'a'"),
    "backwards": ({"a": {**ONE, "data_offsets": [4, 0]}}, b"1234", "its header says of 'a'"),
    "three offsets": ({"a": {**ONE, "data_offsets": [0, 2, 4]}}, b"1234", "its header says of 'a'"),
    "huge offsets": ({"a": {**ONE, "data_offsets": [0, 2**70]}}, b"1234", "its header says of 'a'"),
    "digits of a size": ({"a": {**ONE, "shape": [10**4000, 1]}}, b"1234", "its header says of 'a'"),
    "other size": ({"a": {**ONE, "shape": [2]}}, b"1234", r"'a' is F32 of shape \(2,\), but has 4 bytes"),
    "70 axes": ({"a": {**ONE, "shape": [1] * 70}}, b"1234", "'a' has 70 axes, more than the 64 of NumPy"),
    "huge and empty": ({"a": entry("F32", [0, 2**40, 2**40], 0, 0)}, b"", "more than any memory holds"),
    "gap": ({"a": entry("U8", [1], 1, 2)}, b"12", "'a' begins at 1, and what is before it ends at 0"),
    "overlap": ({"a": ONE, "b": entry("F32", [1], 2, 6)}, b"123456", "'b' begins at 2, and what is before it ends at"),
    "trailing": ({"a": ONE}, b"12345", r"its header promises \d+ bytes, it holds"),
    "cut": ({"a": ONE}, b"123", r"its header promises \d+ bytes, it holds"),
    "long name": ({"x" * 10_000: 3}, b"", "its header says of 'xxx"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_headers(name: str, tmp_path: Path) -> None:
    header, body, reason = BROKEN[name]
    path = tmp_path / "file"
    path.write_bytes(file_of(header, body))
    with pytest.raises(
        CheckpointError, match=f"^test: {path}: is truncated, damaged or no safetensors file .*{reason}"
    ) as e:
        read(path)
    assert len(str(e.value)) < 600


def test_a_header_longer_than_the_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for length in (2**64 - 1, 2**62, 101_000_000, 1):
        path.write_bytes(length.to_bytes(8, "little"))
        with pytest.raises(CheckpointError, match=f"it promises a header of {length} bytes, it holds 8"):
            read(path)


def test_booleans_are_true_or_false(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(file_of({"a": entry("BOOL", [3], 0, 3)}, b"\0\1\2"))
    with pytest.raises(CheckpointError, match="'a' holds booleans that are neither true nor false"):
        read(path)


def test_an_array_is_read_when_it_is_asked_for(tmp_path: Path) -> None:
    """A file of 6 GB that takes no room on the disk, with a small array and a large one."""
    path, large = tmp_path / "file", 6 * 2**30
    header = file_of({"small": entry("F32", [1], 0, 4), "large": entry("U8", [large], 4, 4 + large)})
    with open(path, "wb") as file:
        file.write(header + np.float32(1.5).tobytes())
        try:
            file.truncate(len(header) + 4 + large)
        except OSError:
            pytest.skip("this file system has no sparse files")
    tracemalloc.start()
    try:
        with opened_tensors(path, "test") as found:
            assert found.array("small").tolist() == [1.5] and found.entries["large"].shape == (large,)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_faults_while_reading_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    # More than is read ahead.
    path.write_bytes(file_of({"a": entry("U8", [100_000], 0, 100_000)}, bytes(100_000)))
    with opened_tensors(path, "test") as file:
        path.write_bytes(b"")
        with pytest.raises(CheckpointError, match=f"^test: {path}: .*it has become shorter"):
            file.array("a")
    path.write_bytes(file_of({"a": entry("F32", [1], 0, 4)}, b"1234"))

    class Broken:
        def seek(self, *_: Any) -> None:
            raise OSError(5, "Input/output error")

    with opened_tensors(path, "test") as file:
        monkeypatch.setattr(file, "_file", Broken())
        with pytest.raises(CheckpointError, match=f"^test: {path}: can't be read: Input/output error"):
            file.array("a")

    def no_memory(*_: Any) -> None:
        raise MemoryError

    with opened_tensors(path, "test") as file:
        monkeypatch.setattr(tensors.np, "empty", no_memory)
        with pytest.raises(CheckpointError, match=rf"^test: {path}: there is no memory for 'a', F32 of shape \(1,\)"):
            file.array("a")
