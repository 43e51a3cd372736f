"""MNIST and the sets that share its form: 28 x 28 images of ten classes in four IDX files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from minidl.data import download as _download
from minidl.data import idx
from minidl.data.dataset import ArrayDataset
from minidl.errors import DataFileError, DataNotFoundError, DTypeError


class DataFile(NamedTuple):
    """A file as it is known beforehand: its name, and a checksum of its content or of the mirrors' gzip file."""

    name: str
    sha256: str | None = None
    gzip_md5: str | None = None


class ImageFiles(ArrayDataset):
    """A set in MNIST's form; a subclass says what it is called, where it is and what is known of its files."""

    folders: ClassVar[tuple[str, ...]]
    mirrors: ClassVar[tuple[str, ...]]
    train_files: ClassVar[tuple[DataFile, DataFile]]
    test_files: ClassVar[tuple[DataFile, DataFile]]
    train_count: ClassVar[int] = 60_000
    test_count: ClassVar[int] = 10_000
    classes: ClassVar[tuple[str, ...]]
    timeout: ClassVar[float] = _download.TIMEOUT

    images: np.ndarray
    labels: np.ndarray
    source: Path
    train: bool

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        *,
        download: bool = True,
        progress: bool = True,
    ) -> None:
        name = type(self).__name__
        if root is not None and not isinstance(root, str | os.PathLike):
            raise DTypeError(f"{name}: root must be a path, got {root!r}")
        self.train = bool(train)
        images, labels = self._find(root, download, progress)
        self.images = self._read(images, self._files[0])
        self.labels = self._read(labels, self._files[1])
        self.source = images.parent
        super().__init__(self.images, self.labels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(train={self.train}, {len(self)} images of 28 x 28, from {self.source})"

    @property
    def _files(self) -> tuple[DataFile, DataFile]:
        return self.train_files if self.train else self.test_files

    def _find(self, root: str | os.PathLike[str] | None, download: bool, progress: bool) -> list[Path]:
        """Return where the two files are: in `root`, `MINIDL_DATA`, the cache, or there after a download."""
        cache = _download.cache_folder()
        looked: list[str] = []
        for place, folder in (("root", root), ("MINIDL_DATA", os.environ.get("MINIDL_DATA")), ("cache", cache)):
            if not folder:
                looked.append(f"{place}: not given" if place == "root" else f"{place}: not set")
                continue
            found, missing = self._look_into(Path(folder).expanduser())
            if not missing:
                return found
            looked.append(f"{place}: {missing}")
        if download:
            target = cache / self.folders[0]
            lacking = [file for file in self._files if _stored(target, file) is None]
            checks = {f"{file.name}.gz": file for file in lacking}
            try:
                _download.fetch(
                    list(checks),
                    self.mirrors,
                    target,
                    lambda name, content: self._verify(name, content, checks[name]),
                    timeout=self.timeout,
                    progress=progress,
                )
                return self._look_into(cache)[0]
            except DataNotFoundError as error:
                looked.append(f"download: {error.message}")
        names = " and ".join(file.name for file in self._files)
        raise DataNotFoundError(
            f"{type(self).__name__}: {names} (.gz or not) not found; put the files into a folder and name it with "
            "--data-dir (root=) or MINIDL_DATA. Looked at:\n  " + "\n  ".join(looked)
        )

    def _look_into(self, folder: Path) -> tuple[list[Path], str]:
        """Return the two files' paths, or what is missing."""
        if not folder.is_dir():
            return [], f"{folder} is no folder"
        partial = ""
        for directory in (folder, *(folder / name for name in self.folders)):
            paths = [_stored(directory, file) for file in self._files]
            found = [path for path in paths if path is not None]
            if len(found) == len(paths):
                return found, ""
            if found and not partial:
                lacking = " and ".join(file.name for file, path in zip(self._files, paths, strict=True) if path is None)
                partial = f"{directory} lacks {lacking}"
        return [], partial or f"{folder} has no such files, nor has {' or '.join(self.folders)} below"

    def _read(self, path: Path, file: DataFile) -> np.ndarray:
        return self._check(*idx.load(path, self._hashes(file), self._judge(path, file)), path, file)

    def _hashes(self, file: DataFile) -> bool:
        """Whether `_check` needs the SHA-256 of the decompressed file."""
        return file.sha256 is not None

    def _verify(self, name: str, content: bytes, file: DataFile) -> None:
        """Refuse a download that is not the file."""
        if file.gzip_md5 is not None:
            import hashlib

            found = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if found != file.gzip_md5:
                raise DataFileError(f"{name} has the MD5 {found}, expected {file.gzip_md5}")
        self._check(*idx.unpack(content, name, self._hashes(file), self._judge(name, file)), name, file)

    def _judge(self, path: str | Path, file: DataFile) -> idx.Judge:
        """Return what refuses a file whose header promises another content than this one has."""
        kind = "images" if file is self._files[0] else "labels"
        count = self.train_count if self.train else self.test_count
        expected = (count, 28, 28) if kind == "images" else (count,)

        def judge(dtype: np.dtype, shape: tuple[int, ...]) -> None:
            what = f"{type(self).__name__}: {path} holds {dtype.newbyteorder('=')} of shape {shape}"
            if dtype != np.uint8 or len(shape) != len(expected) or shape[1:] != expected[1:]:
                raise DataFileError(f"{what}, expected uint8 {kind} of shape {expected}")
            if shape[0] != count:
                raise DataFileError(f"{what}: {shape[0]} {kind}, expected {count}")

        return judge

    def _check(self, content: np.ndarray, sha256: str, path: str | Path, file: DataFile) -> np.ndarray:
        """Return images as (N, 1, 28, 28) or labels as int64, or say what is wrong with the file."""
        array = idx.parse(content, path)
        is_images = file is self._files[0]
        if not is_images and array.size and array.max() >= len(self.classes):
            raise DataFileError(
                f"{type(self).__name__}: {path} holds the label {array.max()}, expected 0 to {len(self.classes) - 1}"
            )
        idx.check_sha256(sha256, path, file.sha256)
        return array.reshape(-1, 1, 28, 28) if is_images else array.astype(np.int64)


def _stored(folder: Path, file: DataFile) -> Path | None:
    # Some programs that unpack the mirrors' files, 7-Zip among them, take the name that gzip has noted, with a dot.
    for name in dict.fromkeys((file.name, file.name.replace("-idx", ".idx"))):
        for suffix in ("", ".gz"):
            path = folder / (name + suffix)
            # Unlike Path.is_file, this takes a folder that may not be read for one without the file.
            if os.path.isfile(path):
                return path
    return None


class MNIST(ImageFiles):
    """Handwritten digits, 60,000 for training and 10,000 for testing (LeCun, Cortes and Burges, 1998).

    The files are looked for in `root`, then in the folder that the environment variable `MINIDL_DATA` names, then in
    the cache (`MINIDL_CACHE`, or the platform's folder for caches), and else downloaded into that cache. They may be
    gzip-compressed or not, with names such as train-images-idx3-ubyte or train-images.idx3-ubyte, in that folder or in
    `mnist/` or `MNIST/raw/` below it. A folder that lacks one of the two files is passed over; a damaged file is an
    error. The SHA-256 of the decompressed files is always checked.

    Parameters
    ----------
    root : str or path-like, optional
        The folder to look into first.
    train : bool, optional
        The training images, or the test images.
    download : bool, optional
        Fetch the files if they are nowhere on this machine (needs pooch).
    progress : bool, optional
        Show a bar while downloading, where there is a terminal (needs tqdm).

    Attributes
    ----------
    images : numpy.ndarray
        (N, 1, 28, 28), uint8; 0 is the background.
    labels : numpy.ndarray
        (N,), int64, 0 to 9.
    classes : tuple of str
        What the labels mean.
    source : Path
        The folder that the files are in.

    Raises
    ------
    DataFileError
        If a file is truncated, damaged, altered or of another format; the message names it.
    DataNotFoundError
        If there are no files and none to be had; the message lists where was looked.
    """

    folders = ("mnist", "MNIST/raw")
    mirrors = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    train_files = (
        DataFile("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        DataFile("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    )
    test_files = (
        DataFile("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        DataFile("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    )
    classes = tuple("0123456789")


class FashionMNIST(ImageFiles):
    """Articles of clothing in MNIST's form (Xiao, Rasul and Vollgraf, 2017, arXiv:1708.07747).

    Parameters, attributes and errors are those of `MNIST`; the folders below are `fashion-mnist/` and
    `FashionMNIST/raw/`. Downloads are checked by the published MD5 of the gzip files, files found on this machine by
    their form: no checksum of the decompressed bytes has been published.
    """

    folders = ("fashion-mnist", "FashionMNIST/raw")
    mirrors = (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    )
    train_files = (
        DataFile("train-images-idx3-ubyte", gzip_md5="8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        DataFile("train-labels-idx1-ubyte", gzip_md5="25c81989df183df01b3e8a0aad5dffbe"),
    )
    test_files = (
        DataFile("t10k-images-idx3-ubyte", gzip_md5="bef4ecab320f06d8554ea6380940ec79"),
        DataFile("t10k-labels-idx1-ubyte", gzip_md5="bb300cfdad3c16e7a12a480ee83cd310"),
    )
    classes = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip

    def _hashes(self, file: DataFile) -> bool:
        return super()._hashes(file) or file is self._files[1]

    def _check(self, content: np.ndarray, sha256: str, path: str | Path, file: DataFile) -> np.ndarray:
        """Also refuse MNIST's labels: the two sets give their files the same names."""
        array = super()._check(content, sha256, path, file)
        digits = {known.name: known.sha256 for known in (MNIST.train_files[1], MNIST.test_files[1])}
        if file.name in digits and sha256 == digits[file.name]:
            raise DataFileError(
                f"{type(self).__name__}: {path} is MNIST's; put the files of the two sets into folders of their own, "
                f"{MNIST.folders[0]}/ and {self.folders[0]}/"
            )
        return array
