"""The digits that scikit-learn carries."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from minidl.data import Digits
from minidl.errors import MissingExtraError


def test_digits() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    train, test = Digits(), Digits(train=False)
    assert (len(train), len(test)) == (1500, 297)
    for dataset in (train, test):
        assert dataset.images.shape == (len(dataset), 1, 28, 28)
        assert dataset.images.dtype == np.uint8
        assert dataset.labels.dtype == np.int64
        assert set(dataset.labels.tolist()) == set(range(10)) == {int(name) for name in dataset.classes}
        assert not dataset.images[:, :, [0, 3, 24, 27]].any()
        assert not dataset.images[..., [0, 3, 24, 27]].any()
    small = datasets.load_digits()
    np.testing.assert_array_equal(np.concatenate([train.labels, test.labels]), small.target)
    means = np.concatenate([train.images, test.images])[:, 0, 4:24, 4:24].mean(axis=(1, 2))
    np.testing.assert_allclose(means, small.images.mean(axis=(1, 2)) * 255 / 16, rtol=0.05)
    image, label = train[7]
    assert image.shape == (1, 28, 28)
    assert label == 7
    assert repr(test) == "Digits(train=False, 297 images of 28 x 28, from sklearn.datasets.load_digits)"


def test_enlarging_is_bilinear() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    small, large = datasets.load_digits().images[0], Digits().images[0, 0, 4:24, 4:24]
    for row, column in np.ndindex(20, 20):
        y, x = np.clip((row + 0.5) / 2.5 - 0.5, 0, 7), np.clip((column + 0.5) / 2.5 - 0.5, 0, 7)
        top, left = min(int(y), 6), min(int(x), 6)
        down, right = y - top, x - left
        corners = small[top : top + 2, left : left + 2]
        value = np.array([1 - down, down]) @ corners @ np.array([1 - right, right])
        assert abs(large[row, column] - value * 255 / 16) < 0.5 + 1e-6


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r'Digits: needs the package sklearn.*"pip install minidl\[examples\]"'):
        Digits()
