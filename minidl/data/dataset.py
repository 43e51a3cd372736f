"""Data sets: something with a length that can be indexed, and the ones made of arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from minidl.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError


class Dataset(ABC):
    """Samples by number, which a `DataLoader` reads.

    A subclass writes `__len__` and `__getitem__`, which returns the sample: a number, an array, a tensor or a string,
    or a tuple, list or dict of these. One whose `__getitem__` also takes an array of indices, and then returns the
    samples stacked along a new first axis, sets `array_indexing = True`: the loader then asks for whole batches.
    """

    array_indexing = False

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples."""

    @abstractmethod
    def __getitem__(self, index: Any) -> Any:
        """Return the sample with this number."""


def _read(where: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except Exception as error:
        # A stranger's `__array__` may raise anything.
        raise DTypeError(f"{where} can't be read as an array: {error}") from None
    if array.dtype.hasobject:
        raise DTypeError(f"{where} holds Python objects, expected numbers")
    return array


class ArrayDataset(Dataset):
    """Arrays of one length, whose rows belong together.

    Parameters
    ----------
    *arrays : array_like
        Arrays or tensors with at least one axis each, of equal length along the first.

    Raises
    ------
    ArgumentError
        If there is no array.
    DTypeError
        If an array holds Python objects.
    ShapeError
        If the lengths differ, or an array has no axis.

    Examples
    --------
    >>> dataset = ArrayDataset([[1.0, 2.0], [3.0, 4.0]], [0, 1])
    >>> len(dataset)
    2
    >>> dataset[1]
    (array([3., 4.]), np.int64(1))
    """

    array_indexing = True

    def __init__(self, *arrays: Any) -> None:
        if not arrays:
            raise ArgumentError("ArrayDataset: needs at least one array")
        self.arrays = tuple([_read(f"ArrayDataset: array {number}", array) for number, array in enumerate(arrays)])
        for number, array in enumerate(self.arrays):
            if array.ndim == 0:
                raise ShapeError(f"ArrayDataset: array {number} has no axes, expected at least one")
            if len(array) != len(self.arrays[0]):
                raise ShapeError(
                    f"ArrayDataset: array {number} has length {len(array)} (axis 0 of {array.shape}), "
                    f"array 0 has {len(self.arrays[0])}"
                )

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        """Return the rows of an index, slice or array of indices, one item for each array."""
        return tuple([_rows("ArrayDataset", array, index) for array in self.arrays])


TensorDataset = ArrayDataset


def _rows(op: str, array: np.ndarray, index: Any) -> Any:
    """The rows of an array with this number, or with these."""
    try:
        if isinstance(index, tuple) or index is None or index is Ellipsis:
            raise IndexError("one int, a slice or an array of ints is an index here")
        return array[index]
    except (IndexError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise OutOfRangeError(f"{op}: {type(index).__name__} {index!r:.80} is no index here: {error}") from None


def length_of(op: str, dataset: Any) -> int:
    """The number of samples in a data set; refuse what has none, or can't be indexed."""
    found = f"the class {dataset.__name__}" if isinstance(dataset, type) else type(dataset).__name__
    try:
        if isinstance(dataset, type) or not hasattr(dataset, "__getitem__"):
            raise TypeError
        return len(dataset)
    except TypeError:
        raise DTypeError(
            f"{op}: dataset must have a length and be indexed by numbers, got {found}; list() makes one"
        ) from None


class Subset(Dataset):
    """Some of the samples of another data set.

    Parameters
    ----------
    dataset : Dataset
        The whole.
    indices : array_like of int
        The samples' numbers there, in the order that they get here.

    Raises
    ------
    DTypeError
        If the indices are not whole numbers.
    OutOfRangeError
        If an index lies outside the data set.
    ShapeError
        If the indices have more or fewer axes than one.

    Examples
    --------
    >>> Subset(ArrayDataset([10, 11, 12, 13]), [3, 1])[0]
    (np.int64(13),)
    """

    def __init__(self, dataset: Any, indices: Any) -> None:
        length = length_of("Subset", dataset)
        indices = _read("Subset: indices", indices)
        if indices.ndim != 1:
            raise ShapeError(f"Subset: indices have shape {indices.shape}, expected one axis")
        if indices.size and indices.dtype.kind not in "iu":
            raise DTypeError(f"Subset: indices have dtype {indices.dtype}, expected integers")
        outside = indices[(indices < -length) | (indices >= length)]
        if outside.size:
            raise OutOfRangeError(f"Subset: index {outside[0]} lies outside a data set of length {length}")
        self.dataset = dataset
        self.indices = indices.astype(np.int64)
        self.array_indexing = getattr(dataset, "array_indexing", False)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        """Return a sample; or several, for a slice or an array of indices, where the whole can do so."""
        chosen = _rows("Subset", self.indices, index)
        return self.dataset[chosen if chosen.ndim else int(chosen)]
