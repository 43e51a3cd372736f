"""The handwritten digits that scikit-learn carries, brought to MNIST's size: real input without a download."""

from __future__ import annotations

import numpy as np

from minidl.data.dataset import ArrayDataset
from minidl.errors import import_extra

_TRAINING = 1500
_SIDE = 28
_BORDER = 4


class Digits(ArrayDataset):
    """1,797 handwritten digits, 8 x 8, enlarged to 28 x 28 (needs scikit-learn).

    These are the test images of the UCI set "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, 1998).
    Each is enlarged bilinearly to 20 x 20 and set into a border of 4, as MNIST's digits are. The first 1,500 are for
    training, the last 297 for testing; the set is ordered by writer, so most test images are of unseen writers.

    Parameters
    ----------
    train : bool, optional
        The training images, or the test images.

    Attributes
    ----------
    images : numpy.ndarray
        (N, 1, 28, 28), uint8.
    labels : numpy.ndarray
        (N,), int64, 0 to 9.
    classes : tuple of str
        What the labels mean.
    source : str
        Where the images are from.

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed.
    """

    classes = tuple("0123456789")
    source = "sklearn.datasets.load_digits"

    def __init__(self, train: bool = True) -> None:
        datasets = import_extra("sklearn.datasets", "examples", "Digits")

        from scipy.ndimage import zoom

        digits = datasets.load_digits()
        part = slice(_TRAINING) if train else slice(_TRAINING, None)
        small = digits.images[part]
        factor = (_SIDE - 2 * _BORDER) / small.shape[-1]
        enlarged = zoom(small, (1, factor, factor), order=1, mode="nearest", grid_mode=True)
        self.images = np.zeros((len(small), 1, _SIDE, _SIDE), dtype=np.uint8)
        self.images[:, 0, _BORDER:-_BORDER, _BORDER:-_BORDER] = np.rint(enlarged * (255 / 16))
        self.labels = digits.target[part].astype(np.int64)
        self.train = bool(train)
        super().__init__(self.images, self.labels)

    def __repr__(self) -> str:
        return f"Digits(train={self.train}, {len(self)} images of 28 x 28, from {self.source})"
