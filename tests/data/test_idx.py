"""read_idx: every dtype, and every kind of broken file by its name and fault."""

from __future__ import annotations

import gzip
import hashlib
import re
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from bits import bits
from idx_files import CODES, idx_bytes, peak_below

from minidl.data import idx, read_idx
from minidl.errors import ArgumentError, DataFileError, DataNotFoundError

ARRAY = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5)
GOOD = idx_bytes(ARRAY)
PACKED = gzip.compress(GOOD)
RANDOM = idx_bytes(np.random.default_rng(0).integers(0, 256, 400_000, dtype=np.uint8))


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 5), (0, 28, 28), (2, 1, 3, 1)])
def test_round_trip(tmp_path: Path, code: str, shape: tuple[int, ...], compress: bool) -> None:
    array = (np.random.default_rng(0).normal(size=shape) * 50).astype(code)
    path = tmp_path / "any-name"
    path.write_bytes(gzip.compress(idx_bytes(array)) if compress else idx_bytes(array))
    result = read_idx(path)
    np.testing.assert_array_equal(result, array)
    assert result.dtype == np.dtype(code)
    assert result.dtype.isnative
    assert result.flags.writeable
    assert result.flags.aligned


def test_content_not_name_says_whether_it_is_compressed(tmp_path: Path) -> None:
    (tmp_path / "plain.gz").write_bytes(GOOD)
    (tmp_path / "compressed").write_bytes(gzip.compress(GOOD))
    np.testing.assert_array_equal(read_idx(tmp_path / "plain.gz"), ARRAY)
    np.testing.assert_array_equal(read_idx(str(tmp_path / "compressed")), ARRAY)


def test_file_of_many_pieces(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(gzip.compress(RANDOM, 1))
    np.testing.assert_array_equal(read_idx(path), np.frombuffer(RANDOM, np.uint8)[8:])


def damaged(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :]


def header(code: int, *sizes: int) -> bytes:
    return bytes([0, 0, code, len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes)


BROKEN = {
    "empty": (b"", "is empty"),
    "cut in the magic number": (GOOD[:3], "is truncated: it ends within its magic number, after 3 of 4 bytes"),
    "cut in the header": (GOOD[:9], "is truncated: it ends within its header, after 9 of 16 bytes"),
    "cut in the elements": (GOOD[:-1], r"is truncated: its header promises \(2, 3, 5\), 46 bytes in all, it holds 45"),
    "trailing bytes": (GOOD + b"x", "has trailing bytes: .* 46 bytes in all, it holds 47"),
    "no IDX": (b"\x89PNG\r\n\x1a\n", "is no IDX file: its magic number is 0x89504e47"),
    "a web page": (b"<html>not found</html>", "is no IDX file"),
    "unknown type": (damaged(GOOD, 2), r"has the unknown type code 0x5d \(magic number 0x00005d03\); known are 0x08"),
    "no axes": (header(8) + b"x", "has 0 axes"),
    "too many axes": (header(8, *[1] * 40) + b"x", "has 40 axes"),
    "huge": (header(8, 2**32 - 1, 2**32 - 1), r"is damaged: .* \(4294967295, 4294967295\), more than any memory"),
    "huge and empty": (header(8, 0, *[2**32 - 1] * 9), "is damaged: .*more than any memory"),
    "promises gigabytes": (header(8, 2**32 - 1) + b"x", "is truncated: .* 4294967303 bytes in all, it holds 9"),
    "gzip, elements cut": (gzip.compress(GOOD[:-1]), "is truncated: .* 46 bytes in all, it holds 45"),
    "gzip, header cut": (gzip.compress(GOOD[:9]), "is truncated: it ends within its header"),
    "gzip, nothing in it": (gzip.compress(b""), "is truncated: it ends within its magic number"),
    "gzip, trailing elements": (gzip.compress(GOOD + b"x"), "has trailing bytes: .*it holds more"),
    "gzip, trailing bytes": (PACKED + b"xyz", "has 3 trailing bytes after its gzip stream"),
    "gzip, stream cut": (gzip.compress(RANDOM)[:200_000], "is truncated: its gzip stream ends early"),
    "gzip, checksum cut": (PACKED[:-4], "is truncated: its gzip stream ends early"),
    "gzip, magic only": (b"\x1f\x8b", "is truncated"),
    "gzip, checksum": (damaged(PACKED, len(PACKED) - 8), "is damaged: .*incorrect data check"),
    "gzip, length": (damaged(PACKED, len(PACKED) - 4), "is damaged: .*incorrect length"),
    "gzip, method": (damaged(PACKED, 2), "is damaged: its gzip stream does not decompress"),
    "gzip, no IDX": (gzip.compress(b"hello world"), "is no IDX file: its magic number is 0x68656c6c"),
    "gzip, promises too much": (gzip.compress(header(8, 2**31)), "is truncated: .* more than a gzip file of"),
}


@pytest.mark.parametrize("content, reason", BROKEN.values(), ids=BROKEN)
def test_broken_file_is_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "some-file"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=f"{re.escape(str(path))} {reason}"):
        read_idx(path)


def test_every_flipped_byte_of_a_gzip_file_is_noticed(tmp_path: Path) -> None:
    path, digest = tmp_path / "flipped", hashlib.sha256(GOOD).hexdigest()
    content = gzip.compress(GOOD, mtime=0)
    for at in range(len(content)):
        path.write_bytes(damaged(content, at))
        try:
            array = read_idx(path, sha256=digest)
        except DataFileError as error:
            assert str(path) in str(error)
        else:
            np.testing.assert_array_equal(array, ARRAY)


def test_gzip_bomb_is_not_decompressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zlib.compressobj(9, wbits=31)
    content = bomb.compress(header(8, 10)) + bomb.compress(bytes(100 << 20)) + bomb.flush()
    path = tmp_path / "bomb"
    path.write_bytes(content)
    sizes = []
    decompressobj = zlib.decompressobj

    class Watched:
        def __init__(self, **arguments: int) -> None:
            self.stream = decompressobj(**arguments)

        def decompress(self, *arguments: object) -> bytes:
            sizes.append(len(piece := self.stream.decompress(*arguments)))
            return piece

        def __getattr__(self, name: str) -> object:
            return getattr(self.stream, name)

    monkeypatch.setattr(zlib, "decompressobj", Watched)
    with pytest.raises(DataFileError, match="bomb has trailing bytes"):
        read_idx(path)
    assert sum(sizes) < 1000


MEMBERS = [GOOD[:3], GOOD[3:9], b"", GOOD[9:30], GOOD[30:], b""]


@pytest.mark.parametrize("members", [MEMBERS, [GOOD, b""], [b"", GOOD], [GOOD[:1], GOOD[1:]]])
def test_a_gzip_file_of_several_members(tmp_path: Path, members: list[bytes]) -> None:
    path = tmp_path / "members"
    path.write_bytes(b"".join(map(gzip.compress, members)))
    np.testing.assert_array_equal(read_idx(path, sha256=hashlib.sha256(GOOD).hexdigest()), ARRAY)


def test_a_large_gzip_file_of_several_members(tmp_path: Path) -> None:
    """Each of several pieces, and one ends in the middle of a magic number that is read next."""
    path = tmp_path / "members"
    cuts = [0, 150_000, 150_001, 399_000, len(RANDOM)]
    members = [gzip.compress(RANDOM[i:j], 1, mtime=0) for i, j in zip(cuts, cuts[1:], strict=False)]
    for name_length in range(0, 40, 3):
        # A comment in the first header moves all that follows across the borders of what is read at once.
        first = members[0][:3] + b"\x10" + members[0][4:10] + b"x" * name_length + b"\0" + members[0][10:]
        path.write_bytes(b"".join([first, *members[1:]]))
        array = read_idx(path, sha256=hashlib.sha256(RANDOM).hexdigest())
        assert bits(array) == bits(np.frombuffer(RANDOM[8:], np.uint8))


def test_a_magic_number_across_the_border_of_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "members"
    first = gzip.compress(GOOD[:20], mtime=0)
    path.write_bytes(first + gzip.compress(GOOD[20:], mtime=0))
    for size in (len(first) - 1, len(first), len(first) + 1, 2, 3):
        monkeypatch.setattr(idx, "_PIECE", size)
        np.testing.assert_array_equal(read_idx(path), ARRAY)
    path.write_bytes(first + gzip.compress(GOOD[20:], mtime=0) + b"xyz")
    for size in (2, 3, 1 << 17):
        monkeypatch.setattr(idx, "_PIECE", size)
        with pytest.raises(DataFileError, match="has 3 trailing bytes after its gzip stream"):
            read_idx(path)


BROKEN_MEMBERS = {
    "second cut": (
        gzip.compress(GOOD[:20]) + gzip.compress(GOOD[20:])[:-5],
        "is truncated: its gzip stream ends early",
    ),
    "second's magic": (PACKED + b"\x1f", "has 1 trailing bytes after its gzip stream"),
    "second's header": (PACKED + b"\x1f\x8b\x08", "is truncated: its gzip stream ends early"),
    "second damaged": (gzip.compress(GOOD[:20]) + damaged(gzip.compress(GOOD[20:]), 2), "is damaged: its gzip stream"),
    "second too much": (PACKED + gzip.compress(b"x"), "has trailing bytes: .*it holds more"),
    "second lacks": (gzip.compress(GOOD[:20]) + gzip.compress(GOOD[20:-1]), "46 bytes in all, it holds 45"),
    "zeros": (PACKED + bytes(10), "has 10 trailing bytes after its gzip stream"),
}


@pytest.mark.parametrize("content, reason", BROKEN_MEMBERS.values(), ids=BROKEN_MEMBERS)
def test_broken_members(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "some-file"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=f"{re.escape(str(path))} .*{reason}"):
        read_idx(path)


@pytest.mark.parametrize("begins", [GOOD, PACKED, b"\x1f\x8b", b""], ids=["idx", "gzip", "magic", "zeros"])
def test_a_file_of_6_gb_that_takes_no_room_on_the_disk(tmp_path: Path, begins: bytes) -> None:
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        file.write(begins)
        try:
            file.truncate(6 << 30)
        except OSError:
            pytest.skip("this file system has no sparse files")
    with peak_below(1 << 20), pytest.raises(DataFileError, match=f"{path} "):
        read_idx(path)


def test_no_more_memory_than_what_the_header_promises(tmp_path: Path) -> None:
    """Zeros compress to a thousandth; pieces of them must not be decompressed whole."""
    path, size = tmp_path / "zeros", 20 << 20
    path.write_bytes(gzip.compress(header(8, size) + bytes(size)))
    with peak_below(size + (4 << 20)):
        assert not read_idx(path).any()
    path.write_bytes(gzip.compress(header(8, 1000) + bytes(size)))
    with peak_below(2 << 20), pytest.raises(DataFileError, match="has trailing bytes"):
        read_idx(path)


def test_a_header_that_promises_more_than_there_is_memory_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large"
    path.write_bytes(GOOD)

    def no_memory(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(idx.np, "empty", no_memory)
    with pytest.raises(DataFileError, match=r"large is too large: there is no memory for \(2, 3, 5\), 46 bytes in all"):
        read_idx(path)


def test_what_can_not_be_opened_or_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataFileError, match=f"{tmp_path} can't be read: Is a directory"):
        read_idx(tmp_path)
    path = tmp_path / "file"
    path.write_bytes(GOOD)

    def fail(*arguments: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(idx, "_content", fail)
    with pytest.raises(DataFileError, match="file can't be read: Input/output error"):
        read_idx(path)


def test_altered_content(tmp_path: Path) -> None:
    path = tmp_path / "some-file"
    path.write_bytes(GOOD)
    digest = hashlib.sha256(GOOD).hexdigest()
    np.testing.assert_array_equal(read_idx(path, sha256=digest.upper()), ARRAY)
    path.write_bytes(gzip.compress(damaged(GOOD, 20)))
    with pytest.raises(DataFileError, match=f"some-file is altered: SHA-256 .* expected {digest}"):
        read_idx(path, sha256=digest)
    with pytest.raises(ArgumentError, match="sha256 must be 64 hexadecimal digits"):
        read_idx(path, sha256="abc")


@pytest.mark.parametrize("compress", [False, True])
def test_sha256_of_several_pieces(tmp_path: Path, compress: bool) -> None:
    path, digest = tmp_path / "long", hashlib.sha256(RANDOM).hexdigest()
    path.write_bytes(gzip.compress(RANDOM) if compress else RANDOM)
    assert bits(read_idx(path, sha256=digest).ravel()) == bits(np.frombuffer(RANDOM[8:], np.uint8))
    for at in (20, len(RANDOM) // 2, len(RANDOM) - 1):
        path.write_bytes(gzip.compress(damaged(RANDOM, at)) if compress else damaged(RANDOM, at))
        with pytest.raises(DataFileError, match="long is altered"):
            read_idx(path, sha256=digest)


def test_no_thread_outlives_a_broken_file(tmp_path: Path) -> None:
    path, threads = tmp_path / "broken", set(threading.enumerate())
    path.write_bytes(gzip.compress(RANDOM)[:-1000])
    with pytest.raises(DataFileError, match="its gzip stream ends early"):
        read_idx(path, sha256="0" * 64)
    assert set(threading.enumerate()) == threads


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="there is no file .*nowhere"):
        read_idx(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nowhere")
