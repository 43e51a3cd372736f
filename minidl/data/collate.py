"""Batches out of samples: what `DataLoader` makes of the samples that a data set gives one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from copy import copy
from typing import Any

import numpy as np

from minidl.arguments import read_list
from minidl.autograd import TensorBase
from minidl.dtypes import result_dtype
from minidl.errors import ArgumentError, DTypeError, ShapeError
from minidl.tensor import Tensor

Array = np.ndarray

_EXPECTED = "a number, an array, a tensor, a string, or a tuple, list or dict of these"
_WAY_OUT = "leave it out, or batch it with a collate_fn"


def default_collate(batch: Iterable[Any]) -> Any:
    """Make a batch of samples: what stands in the same place in all of them is stacked along a new first axis.

    Parameters
    ----------
    batch : iterable
        The samples: numbers, arrays, tensors, strings, or tuples, named tuples, lists and dicts of these, nested
        as deep as they like. All have the same structure.

    Returns
    -------
    Tensor, list, tuple or dict
        In the structure of a sample, with a tensor for each number, array or tensor, and a list for each string. Python
        floats become float64.

    Raises
    ------
    ArgumentError
        If there is no sample, or one lacks a key that the first has.
    DTypeError
        If something is none of these, such as None, or of another kind than in the first sample.
    ShapeError
        If arrays in the same place have several shapes, or tuples several lengths.

    Notes
    -----
    PyTorch turns tuples into lists; they stay tuples here. Whole numbers beside floats in the same place are float64,
    whichever comes first.

    Examples
    --------
    >>> from minidl.data import default_collate
    >>> default_collate([{"image": np.zeros((1, 2)), "name": "a"}, {"image": np.ones((1, 2)), "name": "b"}])
    {'image': tensor([[[0., 0.]],
            [[1., 1.]]], dtype=float64), 'name': ['a', 'b']}
    """
    if isinstance(batch, str | Mapping):
        raise DTypeError(f"default_collate: batch must be a list of samples, got {type(batch).__name__}")
    # An array without dimensions is iterable by its type, and not by its value.
    samples = read_list("default_collate", "batch", batch, "a list of samples")
    if not samples:
        raise ArgumentError("default_collate: batch is empty, at least one sample is needed")
    return to_tensors(stack_samples(samples, range(len(samples)), "default_collate"), "default_collate")


def stack_samples(samples: Sequence[Any], numbers: Sequence[int] | Array, op: str) -> Any:
    """Stack samples, whose numbers errors name, into a nest of arrays and of lists of strings."""
    try:
        return _Stacking(numbers, op).stack(samples, "sample")
    except RecursionError:
        raise ArgumentError(f"{op}: samples are nested too deep, or hold themselves") from None


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)


def has_parts(sample: Any) -> bool:
    """Whether a sample is a tuple, list or dict, and not one thing that makes a batch alone."""
    return isinstance(sample, Mapping) or _is_sequence(sample)


def _is_text(value: Any) -> bool:
    return isinstance(value, str | bytes)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _holds_numbers(values: Any) -> bool:
    """Whether a list is data: numbers and lists of numbers alone."""
    is_data = [isinstance(v, int | float | np.generic) or (_is_sequence(v) and _holds_numbers(v)) for v in values]
    return bool(is_data) and all(is_data)


class _Stacking:
    """One batch on its way from samples to arrays."""

    def __init__(self, numbers: Sequence[int] | Array, op: str) -> None:
        self._numbers = numbers
        self._op = op

    def stack(self, column: Sequence[Any], path: str) -> Any:
        """Stack what is in one place of all samples."""
        first = column[0]
        if isinstance(first, np.ndarray | TensorBase):
            return self._stack_arrays(column, path)
        if isinstance(first, str | bytes):
            self._check_kind(column, path, _is_text)
            return list(column)
        if isinstance(first, np.generic | int | float):
            return self._stack_arrays(column, path)
        if isinstance(first, Mapping):
            return self._stack_mappings(column, path)
        if _is_sequence(first):
            return self._stack_sequences(column, path)
        return self._stack_arrays(column, path)

    def _stack_mappings(self, column: Sequence[Any], path: str) -> Any:
        self._check_kind(column, path, _is_mapping)
        first = column[0]
        stacked = {}
        for key in first:
            place = _place(path, key)
            try:
                entries = [sample[key] for sample in column]
            except KeyError:
                index = next(i for i, sample in enumerate(column) if key not in sample)
                raise ArgumentError(
                    f"{self._op}: {place} is missing in sample {self._numbers[index]}, which has the keys "
                    f"{list(column[index])}; sample {self._numbers[0]} has it"
                ) from None
            stacked[key] = self.stack(entries, place)
        return _like_mapping(first, stacked)

    def _stack_sequences(self, column: Sequence[Any], path: str) -> Any:
        self._check_kind(column, path, _is_sequence)
        first = column[0]
        fields = getattr(first, "_fields", None) if isinstance(first, tuple) else None
        try:
            columns = list(zip(*column, strict=True))
        except ValueError:
            index = next(i for i, sample in enumerate(column) if len(sample) != len(first))
            raise self._unequal(
                path, f"{len(first)} items", index, f"{len(column[index])}", "the same number"
            ) from None
        places = [_place(path, i) for i in range(len(columns))] if fields is None else [f"{path}.{f}" for f in fields]
        return _like_sequence(first, [self.stack(part, place) for part, place in zip(columns, places, strict=True)])

    def _stack_arrays(self, column: Sequence[Any], path: str) -> Array:
        try:
            arrays = [np.asarray(item) for item in column]
            stacked = np.stack(arrays)
        except (MemoryError, RecursionError):
            raise
        except Exception as error:
            raise self._what_is_wrong(column, path, error) from error
        if stacked.dtype.kind not in "biuf":
            raise self._what_is_wrong(column, path, None)
        if stacked.dtype != arrays[0].dtype:
            # Arrays of several dtypes; NumPy's rule would make float64 of int64 and float32.
            return stacked.astype(self._common_dtype(arrays, path), copy=False)
        return stacked

    def _common_dtype(self, arrays: list[Array], path: str) -> np.dtype:
        dtype = arrays[0].dtype
        for array in arrays[1:]:
            dtype = result_dtype(f"{self._op}: {path}", dtype, False, array.dtype, False)
        return dtype

    def _check_kind(self, column: Sequence[Any], path: str, is_of_kind: Callable[[Any], bool]) -> None:
        # Samples are of one type as a rule.
        if len(set(map(type, column))) == 1:
            return
        for index, item in enumerate(column):
            if not is_of_kind(item):
                raise DTypeError(
                    f"{self._op}: {path} is {_described(item)} in sample {self._numbers[index]} and "
                    f"{_described(column[0])} in sample {self._numbers[0]}; {_WAY_OUT}"
                )

    def _what_is_wrong(self, column: Sequence[Any], path: str, error: Exception | None) -> Exception:
        """The error for a column that does not stack, which names the first sample that does not fit."""
        shape: tuple[int, ...] | None = None
        for index, item in enumerate(column):
            try:
                array, why = np.asarray(item), ""
            except Exception as refusal:
                array, why = np.array(None), f" ({refusal})"
            if array.dtype.kind not in "biuf":
                return DTypeError(
                    f"{self._op}: {path} must be {_EXPECTED}, got {_described(item)} in sample "
                    f"{self._numbers[index]}{why}; {_WAY_OUT}"
                )
            if shape is None:
                shape = array.shape
            elif array.shape != shape:
                return self._unequal(path, f"shape {shape}", index, f"{array.shape}", "the same shape")
        return DTypeError(f"{self._op}: {path} can't be stacked: {error}")

    def _unequal(self, path: str, expected: str, index: int, found: str, same: str) -> ShapeError:
        numbers = [int(number) for number in self._numbers]
        shown = str(numbers) if len(numbers) <= 16 else f"{numbers[:16]}"[:-1] + ", ...]"
        return ShapeError(
            f"{self._op}: samples {shown} do not stack into a batch: {path} has {expected} in sample {numbers[0]} and "
            f"{found} in sample {numbers[index]}, expected {same} in all; pad them, or batch them with a collate_fn"
        )


def _place(path: str, key: Any) -> str:
    """Name an entry of what is at `path`, for messages."""
    return f'{path}["{key}"]' if isinstance(key, str) else f"{path}[{key!r}]"


def _described(item: Any) -> str:
    """Describe an item, for a message."""
    if item is None or isinstance(item, int | complex):
        return f"{item!r:.40}"
    return f"an array of dtype {item.dtype}" if isinstance(item, np.ndarray) else type(item).__name__


def _like_mapping(pattern: Any, entries: dict[Any, Any]) -> Any:
    """These entries in a mapping of the pattern's type, or in a dict where that can't be made."""
    if type(pattern) is dict:
        return entries
    try:
        if isinstance(pattern, MutableMapping):
            # A copy keeps what else the mapping knows, such as a default.
            twin = copy(pattern)
            twin.update(entries)
            return twin
        return type(pattern)(entries)
    except TypeError:
        return entries


def _like_sequence(pattern: Any, items: list[Any]) -> Any:
    """These items in a tuple or named tuple where the pattern is one, in a list otherwise."""
    if not isinstance(pattern, tuple):
        return items
    return type(pattern)._make(items) if hasattr(pattern, "_make") else tuple(items)


def to_tensors(batch: Any, op: str, path: str = "batch") -> Any:
    """A batch with tensors in the place of its arrays, and lists in the place of arrays of strings."""
    if isinstance(batch, np.ndarray):
        if batch.dtype.kind in "biuf":
            return Tensor(batch)
        if batch.dtype.kind in "US" and batch.ndim == 1:
            return batch.tolist()
    elif isinstance(batch, TensorBase | str | bytes):
        return batch
    elif isinstance(batch, Mapping):
        return _like_mapping(batch, {key: to_tensors(value, op, _place(path, key)) for key, value in batch.items()})
    elif _is_sequence(batch):
        if len(batch) and all(map(_is_text, batch)):
            return batch
        if _holds_numbers(batch):
            return Tensor(batch)
        return _like_sequence(batch, [to_tensors(value, op, _place(path, i)) for i, value in enumerate(batch)])
    elif batch is not None:
        array = np.asarray(batch)
        if array.dtype.kind in "biuf":
            return Tensor(array)
    raise DTypeError(f"{op}: {path} must be {_EXPECTED}, got {_described(batch)}")


def to_arrays(batch: Any) -> Any:
    """A batch with arrays in the place of its tensors, for a transform."""
    if isinstance(batch, TensorBase):
        return batch.data
    if isinstance(batch, Mapping):
        return _like_mapping(batch, {key: to_arrays(value) for key, value in batch.items()})
    if _is_sequence(batch):
        return _like_sequence(batch, [to_arrays(value) for value in batch])
    return batch
