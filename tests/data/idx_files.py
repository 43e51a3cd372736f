"""Small data files for the tests of this folder, and classes that expect them."""

from __future__ import annotations

import gzip
import hashlib
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from minidl.data import MNIST, FashionMNIST
from minidl.data.mnist import DataFile

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
TRAIN, TEST = 60, 20


def idx_bytes(array: np.ndarray) -> bytes:
    """Return an array as the bytes of an IDX file."""
    code = CODES[array.dtype.str[1:]]
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


@contextmanager
def peak_below(most: int) -> Iterator[None]:
    """Fail if memory that Python and NumPy take within the block is more, in bytes, at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def _contents() -> dict[str, bytes]:
    random = np.random.default_rng(0)
    contents = {}
    for split, count in (("train", TRAIN), ("t10k", TEST)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        contents[f"{split}-images-idx3-ubyte"] = idx_bytes(images)
        contents[f"{split}-labels-idx1-ubyte"] = idx_bytes((np.arange(count) % 10).astype(np.uint8))
    return contents


CONTENTS = _contents()
COMPRESSED = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in CONTENTS.items()}


def _known(name: str) -> DataFile:
    return DataFile(name, hashlib.sha256(CONTENTS[name]).hexdigest())


class SmallMNIST(MNIST):
    """MNIST, but of 60 and 20 made-up images."""

    train_files = (_known("train-images-idx3-ubyte"), _known("train-labels-idx1-ubyte"))
    test_files = (_known("t10k-images-idx3-ubyte"), _known("t10k-labels-idx1-ubyte"))
    train_count, test_count = TRAIN, TEST
    mirrors = ()


class SmallFashionMNIST(FashionMNIST):
    """FashionMNIST, but of 60 and 20 made-up images."""

    train_files, test_files = (
        tuple(
            DataFile(name, gzip_md5=hashlib.md5(COMPRESSED[f"{name}.gz"]).hexdigest())
            for name in (f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte")
        )
        for split in ("train", "t10k")
    )
    train_count, test_count = TRAIN, TEST
    mirrors = ()


def write_files(folder: Path, contents: dict[str, bytes]) -> Path:
    """Write files into a folder that is made for them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder
