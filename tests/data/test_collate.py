"""Samples that are more than arrays: what the loader makes of dicts, named tuples, nests and strings, and refuses."""

from __future__ import annotations

import pickle
import types
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import data
from minidl.data import ArrayDataset, DataLoader, Dataset, default_collate
from minidl.errors import ArgumentError, DTypeError, MinidlError, ShapeError

Point = namedtuple("Point", "x y")

# Named by what their samples are; PyTorch is asked for each.
SAMPLES: dict[str, list[Any]] = {
    "floats": [1.0, 2.5, -3.0],
    "ints": [1, 2, 3],
    "booleans": [True, False],
    "ints and booleans": [2, True],
    "booleans and ints": [False, 3],
    "floats and ints": [2.5, 1],
    "uint8 scalars": [np.uint8(1), np.uint8(255)],
    "float32 scalars": [np.float32(1), np.float32(2)],
    "float32 scalars and float64": [np.float32(1), np.float64(2)],
    "NumPy's booleans": [np.bool_(True), np.bool_(False)],
    "int8 and int16 scalars": [np.int8(3), np.int16(300)],
    "float32 arrays": [np.float32([[1, 2]]), np.float32([[3, 4]])],
    "float32 and float64 arrays": [np.float32([1]), np.float64([2])],
    "int64 and float32 arrays": [np.int64([1]), np.float32([2.5])],
    "float32 and int64 arrays": [np.float32([1.5]), np.int64([2])],
    "uint8 and bool arrays": [np.uint8([1]), np.bool_([True])],
    "arrays without axes": [np.array(1.0), np.array(2.0)],
    "empty arrays": [np.zeros((0, 3)), np.zeros((0, 3))],
    "tuples": [(1.0, 2), (3.0, 4)],
    "lists": [[1.0, 2], [3.0, 4]],
    "nested tuples": [(np.ones(2), (1, (2.5, 3))), (np.zeros(2), (4, (5.5, 6)))],
    "tuples and lists": [(1, 2), [3, 4]],
    "empty tuples": [(), ()],
    "dicts": [{"image": np.ones((1, 2)), "label": 1}, {"image": np.zeros((1, 2)), "label": 2}],
    "empty dicts": [{}, {}],
    "dicts in tuples in dicts": [{"a": ({"b": 1}, 2.0)}, {"a": ({"b": 3}, 4.0)}],
    "keys in another order": [{"a": 1, "b": 2.5}, {"b": 3.5, "a": 4}],
    "keys that are numbers": [{0: 1, (1, 2): 2}, {0: 3, (1, 2): 4}],
    "a key more in a later one": [{"a": 1}, {"a": 2, "b": 3}],
    "named tuples": [Point(1, np.ones(2)), Point(2, np.zeros(2))],
    "a named tuple and a plain one": [Point(1, 2), (3, 4)],
    "strings": ["a", "bc"],
    "bytes": [b"a", b"bc"],
    "NumPy's strings": [np.str_("a"), np.str_("b")],
    "strings in dicts": [{"name": "a", "value": 1}, {"name": "b", "value": 2}],
    "strings in tuples": [("a", 1), ("b", 2)],
    "strings in lists in dicts": [{"words": ["a", "b"]}, {"words": ["c", "d"]}],
    "ordered dicts": [OrderedDict(a=1, b=2), OrderedDict(a=3, b=4)],
    "dicts with a default": [defaultdict(int, a=1), defaultdict(int, a=2)],
    "dicts of a user": [UserDict(a=1), UserDict(a=2)],
    "dicts that don't change": [types.MappingProxyType({"a": 1}), types.MappingProxyType({"a": 2})],
    "ranges": [range(3), range(3, 6)],
    "NaN": [float("nan"), 1.0],
    "one sample": [{"a": (1, "b")}],
}


def structure(value: Any) -> Any:
    """A batch as lists and dicts of (dtype, values), whoever made it; tuples count as lists, as PyTorch makes them."""
    if isinstance(value, str | bytes):
        return value
    if hasattr(value, "_asdict"):
        return ("named", [structure(part) for part in value])
    if isinstance(value, dict | UserDict | types.MappingProxyType):
        return {key: structure(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [structure(part) for part in value]
    array = value.data if isinstance(value, minidl.Tensor) else value.numpy()
    return str(array.dtype), array.shape, repr(array.tolist())


@pytest.mark.parametrize("name", SAMPLES)
def test_batches_are_pytorchs(torch: Any, name: str) -> None:
    theirs = torch.utils.data.default_collate(SAMPLES[name])
    assert structure(default_collate(SAMPLES[name])) == structure(theirs)
    with_tensors = [_replaced(sample, minidl.tensor) for sample in SAMPLES[name]]
    assert structure(default_collate(with_tensors)) == structure(theirs)
    (batch,) = DataLoader(SAMPLES[name], batch_size=len(SAMPLES[name]))
    alone = not isinstance(SAMPLES[name][0], dict | UserDict | types.MappingProxyType | tuple | list | range)
    assert structure(batch[0] if alone else batch) == structure(theirs)


def _replaced(sample: Any, make: Any) -> Any:
    """A sample with tensors in the place of arrays with axes."""
    if isinstance(sample, np.ndarray) and sample.ndim:
        return make(sample)
    if isinstance(sample, dict):
        twin = sample.copy()
        twin.update({key: _replaced(value, make) for key, value in sample.items()})
        return twin
    if isinstance(sample, tuple):
        parts = [_replaced(value, make) for value in sample]
        return type(sample)._make(parts) if hasattr(sample, "_make") else tuple(parts)
    return sample


def test_types_of_batches() -> None:
    batch = default_collate([{"a": (1, "x")}, {"a": (2, "y")}])
    assert type(batch) is dict and type(batch["a"]) is tuple and type(batch["a"][0]) is minidl.Tensor
    assert batch["a"][1] == ["x", "y"]
    point = default_collate([Point([1, 2], "a"), Point([3, 4], "b")])
    assert type(point) is Point and type(point.x) is list and point.x[1].tolist() == [2, 4] and point.y == ["a", "b"]
    with_default = default_collate([defaultdict(list, a=1), defaultdict(list, a=2)])
    assert type(with_default) is defaultdict and with_default["other"] == []
    # Whatever comes first; PyTorch makes float32 of these, and float64 of the other order.
    assert default_collate([1, 2.5]).dtype == default_collate([2.5, 1]).dtype == np.float64
    assert default_collate(iter([1, 2])).tolist() == [1, 2]


class Dicts(Dataset):
    """Pictures with a name each."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": np.full((1, 2, 2), index, np.uint8), "label": (index, f"name {index}")}


def test_a_data_set_of_dicts() -> None:
    batches = list(DataLoader(Dicts(), batch_size=2))
    assert [batch["image"].shape for batch in batches] == [(2, 1, 2, 2), (2, 1, 2, 2), (1, 1, 2, 2)]
    assert batches[1]["label"][0].tolist() == [2, 3] and batches[1]["label"][1] == ["name 2", "name 3"]
    shuffled = list(DataLoader(Dicts(), batch_size=5, shuffle=True, generator=0))
    assert sorted(shuffled[0]["label"][0].tolist()) == list(range(5)) != shuffled[0]["label"][0].tolist()


def test_transforms_of_dicts_and_named_tuples() -> None:
    def halve(batch: dict[str, Any], generator: Any) -> dict[str, Any]:
        assert isinstance(batch["image"], np.ndarray) and isinstance(generator, np.random.Generator)
        return {**batch, "image": batch["image"] / 2}

    batch = next(iter(DataLoader(Dicts(), batch_size=2, transform=halve)))
    assert batch["image"].dtype == np.float64 and batch["image"][1, 0, 0, 0].item() == 0.5
    assert batch["label"][1] == ["name 0", "name 1"]
    points = [Point(np.zeros((1, 2, 2), np.uint8), "a"), Point(np.ones((1, 2, 2), np.uint8), "b")]
    batch = next(iter(DataLoader(points, batch_size=2, transform=data.Normalize(0.5, 0.5))))
    assert type(batch) is Point and batch.x[0, 0, 0, 0].item() == -1 and batch.y == ["a", "b"]


@pytest.mark.parametrize("transform", [data.Normalize(0.5, 0.5), data.RandomShift(1)])
def test_transforms_of_images_say_that_a_dict_is_none(transform: Any) -> None:
    for samples, found in ((Dicts(), "dict"), ([((np.zeros((1, 2, 2), np.uint8), 1), 2)], "tuple")):
        message = f"{type(transform).__name__}: images must be an array, got {found}; for samples that are dicts"
        with pytest.raises(DTypeError, match=message):
            next(iter(DataLoader(samples, batch_size=2, transform=transform)))
    name, image = type(transform).__name__, minidl.zeros(1, 1, 2, 2)
    with pytest.raises(DTypeError, match=f"{name}: images must be an array, got Tensor"):
        transform(image, generator=np.random.default_rng(0))


def test_collate_fn_makes_the_batch() -> None:
    seen: list[Any] = []

    def collate(samples: list[Any]) -> Any:
        seen.extend(samples)
        return "anything", len(samples)

    data_set = ArrayDataset(np.arange(6.0), np.arange(6))
    assert list(DataLoader(data_set, batch_size=4, collate_fn=collate)) == [("anything", 4), ("anything", 2)]
    assert seen == [(float(i), i) for i in range(6)]
    (batch,) = DataLoader([1, 2], batch_size=2, collate_fn=default_collate)
    assert batch.tolist() == [1, 2]

    def without_none(samples: list[Any]) -> Any:
        return default_collate([sample for sample in samples if sample is not None])

    (batch,) = DataLoader([(1, 2), None, (3, 4)], batch_size=3, collate_fn=without_none)
    assert batch[0].tolist() == [1, 3]

    def arrays(values: Any, generator: Any) -> Any:
        assert type(values) is np.ndarray
        return (values + 1,)

    (batch,) = DataLoader([1, 2], batch_size=2, collate_fn=default_collate, transform=arrays)
    assert batch[0].tolist() == [2, 3]
    with pytest.raises(DTypeError, match="DataLoader: collate_fn must be callable, got 3"):
        DataLoader([1], collate_fn=3)  # type: ignore[arg-type]


NONE = "must be a number, an array, a tensor, a string, or a tuple, list or dict of these, got"


@pytest.mark.parametrize(("samples", "error", "message"), [
    ([(1.0, None)] * 2, DTypeError, rf"sample\[1\] {NONE} None in sample 0; leave it out, or batch it with a coll"),
    ([None, 1], DTypeError, rf"sample {NONE} None in sample 0"),
    ([1, None], DTypeError, rf"sample {NONE} None in sample 1"),
    ([{"label": (1, 2)}, {"label": (1, None)}], DTypeError, rf'sample\["label"\]\[1\] {NONE} None in sample 1'),
    ([{3: Point(1, {1, 2})}], DTypeError, rf"sample\[3\].y {NONE} set in sample 0"),
    ([(0, object())], DTypeError, rf"sample\[1\] {NONE} object in sample 0"),
    ([1j, 2j], DTypeError, rf"sample {NONE} 1j in sample 0"),
    ([2**70, 1], DTypeError, rf"sample {NONE} 1180591620717411303424 in sample 0"),
    ([2**63, 1], DTypeError, "sample: there is no integer dtype that holds both uint64 and int64"),
    ([np.array(["a"])], DTypeError, rf"sample {NONE} an array of dtype <U1 in sample 0"),
    ([np.array([None])], DTypeError, rf"sample {NONE} an array of dtype object in sample 0"),
    ([np.datetime64("2020")] * 2, DTypeError, rf"sample {NONE} datetime64 in sample 0"),
    ([np.ones(1), np.datetime64("2020")], DTypeError, rf"sample {NONE} datetime64 in sample 1"),
    ([np.ones(1), "a"], DTypeError, rf"sample {NONE} str in sample 1"),
    (["a", None], DTypeError, r"sample is None in sample 1 and str in sample 0"),
    ([{"a": 1}, (1, 2)], DTypeError, r"sample is tuple in sample 1 and dict in sample 0"),
    ([(1, 2), {"a": 1, "b": 2}], DTypeError, r"sample is dict in sample 1 and tuple in sample 0"),
    ([(1, 2), "ab"], DTypeError, r"sample is str in sample 1 and tuple in sample 0"),
    ([{"a": 1, "b": 2}, {"a": 1}], ArgumentError,
     r'sample\["b"\] is missing in sample 1, which has the keys \[\'a\'\]; sample 0 has it'),
    ([(1, 2), (3,)], ShapeError,
     r"samples \[0, 1\] do not stack into a batch: sample has 2 items in sample 0 and 1 in sample 1, expected the"),
    ([{"x": np.zeros((3, 4))}, {"x": np.zeros((2, 4))}], ShapeError,
     r'do not stack into a batch: sample\["x"\] has shape \(3, 4\) in sample 0 and \(2, 4\) in sample 1, expected the '
     "same shape in all; pad them, or batch them with a collate_fn"),
    ([[np.zeros(2)], [minidl.zeros(3)]], ShapeError,
     r"sample\[0\] has shape \(2,\) in sample 0 and \(3,\) in sample 1"),
    ([1.0, np.zeros(1)], ShapeError, r"sample has shape \(\) in sample 0 and \(1,\) in sample 1"),
    ([np.zeros(2)] * 19 + [np.zeros(3)], ShapeError, r"13, 14, 15, ...\] do not .* sample 0 and \(3,\) in sample 19"),
])  # fmt: skip
def test_what_does_not_batch_is_named(torch: Any, samples: list[Any], error: type, message: str) -> None:
    with pytest.raises(error, match=f"default_collate: .*{message}"):
        default_collate(samples)
    with pytest.raises(error, match=f"DataLoader: .*{message}") as caught:
        list(DataLoader(samples, batch_size=len(samples)))
    assert isinstance(caught.value, MinidlError)


def test_errors_name_samples_by_their_numbers_in_the_data_set() -> None:
    samples = [(i, i if i != 6 else None) for i in range(8)]
    with pytest.raises(DTypeError, match=r"DataLoader: sample\[1\] .*got None in sample 6"):
        list(DataLoader(samples, batch_size=4, shuffle=True, generator=1))


class Picture:
    """An object of another library that gives an array, or an error of its own."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


def test_what_gives_an_array() -> None:
    batch = default_collate([Picture(np.uint8([1, 2])), np.uint8([3, 4])])
    assert batch.tolist() == [[1, 2], [3, 4]] and batch.dtype == np.uint8
    with pytest.raises(
        DTypeError, match=r"sample\[0\] must be .*, got Picture in sample 1 \(the file is gone\); leave"
    ):
        default_collate([(np.ones(2),), (Picture(RuntimeError("the file is gone")),)])
    with pytest.raises(MemoryError):
        default_collate([Picture(MemoryError())])


def test_nests_that_hold_themselves() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ArgumentError, match="DataLoader: samples are nested too deep, or hold themselves"):
        list(DataLoader([endless], batch_size=1))


@pytest.mark.parametrize("batch", ["ab", {"a": 1}, 3, None, np.array(0.5)])
def test_default_collate_wants_samples(batch: Any) -> None:
    with pytest.raises(DTypeError, match="default_collate: batch must be a list of samples, got"):
        default_collate(batch)


def test_default_collate_of_nothing() -> None:
    with pytest.raises(ArgumentError, match="default_collate: batch is empty"):
        default_collate([])


class Columns(Dataset):
    """Whole batches at once, as whatever `make` makes of the numbers of samples."""

    array_indexing = True

    def __init__(self, make: Any) -> None:
        self._make = make

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: Any) -> Any:
        return self._make(index)


def test_whole_batches_may_be_nested() -> None:
    names = np.array(["a", "b", "c", "d"])
    assert list(DataLoader(ArrayDataset(np.arange(4), names), batch_size=2))[1][1] == ["c", "d"]
    (batch,) = DataLoader(Columns(lambda at: {"x": at * 2.0, "more": (at, names[at])}), batch_size=4)
    assert batch["x"].tolist() == [0, 2, 4, 6] and batch["more"][0].tolist() == [0, 1, 2, 3]
    assert batch["more"][1] == list("abcd")
    (batch,) = DataLoader(Columns(lambda at: Point(at, minidl.tensor(at))), batch_size=4)
    assert type(batch) is Point and type(batch.x) is minidl.Tensor and batch.y.tolist() == [0, 1, 2, 3]
    # Lists of numbers are data here, where nothing was collated.
    (batch,) = DataLoader(Columns(lambda at: [at, [[float(i), 1.0] for i in at]]), batch_size=4)
    assert type(batch) is tuple and batch[1].shape == (4, 2) and batch[1].dtype == np.float32


@pytest.mark.parametrize(("make", "message"), [
    (lambda at: (at, None), r"batch\[1\] must be .*, got None"),
    (lambda at: {"x": at, "y": {"z": at * 1j}}, r'batch\["y"\]\["z"\] must be .*, got an array of dtype complex128'),
    (lambda at: (at, np.array([["a"]])), r"batch\[1\] must be .*, got an array of dtype <U1"),
    (lambda at: None, r"batch\[0\] must be .*, got None"),
])  # fmt: skip
def test_whole_batches_that_are_none(make: Any, message: str) -> None:
    with pytest.raises(DTypeError, match=f"DataLoader: {message}"):
        list(DataLoader(Columns(make), batch_size=4))


def test_an_error_of_a_data_set_says_which_sample() -> None:
    class Broken(Dicts):
        def __getitem__(self, index: int) -> Any:
            return {1: 1}[index] if index == 3 else index

    with pytest.raises(KeyError) as caught:
        list(DataLoader(Broken(), batch_size=2))
    assert caught.value.__notes__ == ["DataLoader: this came of sample 3 of the data set"]
    assert pickle.loads(pickle.dumps(caught.value)).__notes__ == caught.value.__notes__
