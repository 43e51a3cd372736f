"""MNIST and FashionMNIST: where the files are looked for, and what is refused."""

from __future__ import annotations

import gzip
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from idx_files import (
    COMPRESSED,
    CONTENTS,
    TEST,
    TRAIN,
    SmallFashionMNIST,
    SmallMNIST,
    idx_bytes,
    peak_below,
    write_files,
)

from minidl.data import MNIST
from minidl.data.download import cache_folder
from minidl.errors import DataFileError, DataNotFoundError, DTypeError

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize("contents", [CONTENTS, COMPRESSED], ids=["plain", "gzip"])
@pytest.mark.parametrize("below", ["", "mnist", "MNIST/raw"])
def test_layouts(tmp_path: Path, cache: Path, contents: dict[str, bytes], below: str) -> None:
    folder = write_files(tmp_path / "data" / below, contents)
    for train, count in ((True, TRAIN), (False, TEST)):
        dataset = SmallMNIST(tmp_path / "data", train, download=False)
        assert dataset.images.shape == (count, 1, 28, 28)
        assert dataset.images.dtype == np.uint8
        assert dataset.images.flags.writeable
        assert dataset.labels.shape == (count,)
        assert dataset.labels.dtype == np.int64
        assert len(dataset) == count
        assert dataset.source == folder
        assert len(dataset.classes) == 10
    assert repr(dataset) == f"SmallMNIST(train=False, 20 images of 28 x 28, from {folder})"
    expected = np.frombuffer(CONTENTS["t10k-images-idx3-ubyte"], np.uint8)[16:].reshape(TEST, 1, 28, 28)
    np.testing.assert_array_equal(dataset.images, expected)


DATA_SETS = {"MNIST": (SmallMNIST, "mnist"), "FashionMNIST": (SmallFashionMNIST, "fashion-mnist")}


@pytest.mark.parametrize("name", DATA_SETS)
@pytest.mark.parametrize("contents", [CONTENTS, COMPRESSED], ids=["plain", "gzip"])
@pytest.mark.parametrize("dotted", ["images", "labels", "idx"])
def test_the_names_that_7_zip_gives_its_files(
    tmp_path: Path, cache: Path, name: str, contents: dict[str, bytes], dotted: str
) -> None:
    """Such as train-images.idx3-ubyte, which is what gzip had noted; of all files or some."""
    kind, folder = DATA_SETS[name]
    named = {key.replace("-idx", ".idx") if dotted in key else key: content for key, content in contents.items()}
    for below in ("", folder):
        root = tmp_path / f"data-{below}"
        write_files(root / below, named)
        for train, count in ((True, TRAIN), (False, TEST)):
            assert len(kind(root, train, download=False)) == count


def test_both_spellings_of_a_name_in_one_folder(tmp_path: Path, cache: Path) -> None:
    folder = write_files(tmp_path / "data", {**CONTENTS, IMAGES.replace("-idx", ".idx"): b"something else"})
    assert len(SmallMNIST(folder)) == TRAIN


@pytest.mark.parametrize("kind", [SmallMNIST, SmallFashionMNIST])
def test_a_count_is_judged_before_it_is_decompressed(tmp_path: Path, cache: Path, kind: type[MNIST]) -> None:
    """4 MB of gzip took 4.3 GB and 72 s until its count was refused."""
    zeros = gzip.compress(bytes(28 * 28 * 10_000), 1)
    promised = (1300, 28, 28)
    head = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in promised)
    folder = write_files(tmp_path / "data", {**CONTENTS, IMAGES: gzip.compress(head) + zeros})
    with (
        peak_below(1 << 20),
        pytest.raises(DataFileError, match=f"{IMAGES} holds uint8 of shape .*: 1300 images, expec"),
    ):
        kind(folder)
    # A plain file, with all that it promises.
    write_files(folder, {IMAGES: head + bytes(1300 * 28 * 28)})
    with peak_below(1 << 20), pytest.raises(DataFileError, match="1300 images, expected 60"):
        kind(folder)
    write_files(folder, {IMAGES: CONTENTS[IMAGES], LABELS: idx_bytes(np.zeros(2_000_000, np.uint8))})
    with peak_below(1 << 20), pytest.raises(DataFileError, match="2000000 labels, expected 60"):
        kind(folder)


def test_indexing(tmp_path: Path, cache: Path) -> None:
    dataset = SmallMNIST(write_files(tmp_path / "data", CONTENTS))
    image, label = dataset[13]
    assert image.shape == (1, 28, 28)
    assert label == 3
    images, labels = dataset[10:14]
    assert images.shape == (4, 1, 28, 28)
    assert labels.tolist() == [0, 1, 2, 3]
    images, labels = dataset[np.array([5, 5, -1])]
    assert labels.tolist() == [5, 5, 9]
    np.testing.assert_array_equal(images[0], dataset.images[5])


def test_order_of_search(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, variable = tmp_path / "root", tmp_path / "variable"
    write_files(cache / "mnist", COMPRESSED)
    assert SmallMNIST(root).source == cache / "mnist"
    monkeypatch.setenv("MINIDL_DATA", str(variable))
    assert SmallMNIST(root).source == cache / "mnist"
    write_files(variable / "mnist", COMPRESSED)
    assert SmallMNIST(root).source == variable / "mnist"
    write_files(root, {f"{IMAGES}.gz": COMPRESSED[f"{IMAGES}.gz"]})
    assert SmallMNIST(root).source == variable / "mnist"
    write_files(root, COMPRESSED)
    assert SmallMNIST(root).source == root
    assert SmallMNIST().source == variable / "mnist"


def test_damaged_file_in_an_earlier_place_is_not_passed_over(tmp_path: Path, cache: Path) -> None:
    write_files(cache / "mnist", COMPRESSED)
    root = write_files(tmp_path / "root", {**CONTENTS, IMAGES: CONTENTS[IMAGES][:-5]})
    with pytest.raises(DataFileError, match=f"{re.escape(str(root / IMAGES))} is truncated"):
        SmallMNIST(root)


def test_files_nowhere(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = write_files(tmp_path / "partial" / "mnist", {LABELS: CONTENTS[LABELS]})
    empty = write_files(tmp_path / "empty", {})
    monkeypatch.setenv("MINIDL_DATA", str(empty))
    with pytest.raises(DataNotFoundError) as caught:
        SmallMNIST(tmp_path / "partial", download=False)
    lines = str(caught.value).splitlines()
    assert lines == [
        f"SmallMNIST: {IMAGES} and {LABELS} (.gz or not) not found; put the files into a folder and name it with "
        "--data-dir (root=) or MINIDL_DATA. Looked at:",
        f"  root: {partial} lacks {IMAGES}",
        f"  MINIDL_DATA: {empty} has no such files, nor has mnist or MNIST/raw below",
        f"  cache: {cache} is no folder",
    ]


def test_download_without_pooch(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataNotFoundError, match=r'download: .*needs the package pooch.*"pip install minidl\[data\]"'):
        SmallMNIST()


def test_root_is_a_path(cache: Path) -> None:
    with pytest.raises(DTypeError, match="SmallMNIST: root must be a path, got True"):
        SmallMNIST(True)


def images(count: int = TRAIN, height: int = 28, dtype: str = "u1") -> bytes:
    return idx_bytes(np.zeros((count, height, 28), dtype=dtype))


def labels(count: int = TRAIN, value: int = 0) -> bytes:
    return idx_bytes(np.full(count, value, dtype=np.uint8))


BROKEN = {
    "labels as images": (IMAGES, labels(), r"holds uint8 of shape \(60,\), expected uint8 images of shape"),
    "images as labels": (LABELS, images(), r"holds uint8 of shape \(60, 28, 28\), expected uint8 labels"),
    "image size": (IMAGES, images(height=27), r"holds uint8 of shape \(60, 27, 28\), expected"),
    "dtype": (IMAGES, images(dtype="f4"), r"holds float32 of shape \(60, 28, 28\), expected uint8"),
    "fewer images": (IMAGES, images(59), "59 images, expected 60"),
    "more labels": (LABELS, labels(61), "61 labels, expected 60"),
    "label out of range": (LABELS, labels(value=10), "holds the label 10, expected 0 to 9"),
    "altered images": (IMAGES, images(), "is altered: SHA-256 of the decompressed bytes is"),
    "altered labels": (LABELS, labels(), "is altered: SHA-256 of the decompressed bytes is"),
    "wrong magic": (IMAGES, b"\x89PNG" + images(), "is no IDX file: its magic number is 0x89504e47"),
    "empty": (LABELS, b"", "is empty"),
    "truncated": (IMAGES, images()[:-1], "is truncated"),
    "truncated gzip": (IMAGES, COMPRESSED[f"{IMAGES}.gz"][:-100], "is truncated: its gzip stream ends early"),
    "trailing": (LABELS, labels() + b"0", "has trailing bytes"),
}


@pytest.mark.parametrize("name, content, reason", BROKEN.values(), ids=BROKEN)
def test_broken_file_is_refused_by_name(tmp_path: Path, cache: Path, name: str, content: bytes, reason: str) -> None:
    folder = write_files(tmp_path / "data", {**CONTENTS, name: content})
    with pytest.raises(DataFileError, match=f"{re.escape(str(folder / name))} {reason}|{name} .*{reason}"):
        SmallMNIST(folder)


def test_fashion(tmp_path: Path, cache: Path) -> None:
    recompressed = {f"{name}.gz": gzip.compress(content, 1) for name, content in CONTENTS.items()}
    dataset = SmallFashionMNIST(write_files(tmp_path / "fashion-mnist", recompressed).parent)
    assert len(dataset) == TRAIN
    assert dataset.classes[9] == "Ankle boot"
    write_files(tmp_path / "torchvision/FashionMNIST/raw", CONTENTS)
    assert SmallFashionMNIST(tmp_path / "torchvision", train=False).labels[17] == 7
    with pytest.raises(DataFileError, match="SmallFashionMNIST: .* holds the label 10, expected 0 to 9"):
        SmallFashionMNIST(write_files(tmp_path / "bad", {**CONTENTS, LABELS: labels(value=10)}))


def test_fashion_refuses_the_files_of_mnist(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MNIST, "train_files", SmallMNIST.train_files)
    with pytest.raises(DataFileError, match=f"{LABELS} is MNIST's; put the files of the two sets"):
        SmallFashionMNIST(write_files(tmp_path / "data", CONTENTS))


def test_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("MINIDL_CACHE")
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert cache_folder() == tmp_path / "xdg" / "minidl"
        pooch = pytest.importorskip("pooch")
        assert cache_folder() == pooch.os_cache("minidl")
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert cache_folder() == Path(os.path.expanduser("~/.cache/minidl"))


def test_real_files(real_folder: str) -> None:
    train, test = MNIST(download=False), MNIST(train=False, download=False)
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert train.images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert train.images.std() / 255 == pytest.approx(0.3081, abs=5e-5)
