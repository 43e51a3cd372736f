"""Data sets and the loader: batches, seeds, and going on from a saved state."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import minidl
from minidl.data import ArrayDataset, Compose, DataLoader, Dataset, Normalize, RandomShift, Subset, TensorDataset
from minidl.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError, StateDictError

IMAGES = np.random.default_rng(0).integers(0, 256, (23, 1, 6, 6), dtype=np.uint8)
LABELS = np.arange(23)
DATA = ArrayDataset(IMAGES, LABELS)
TRANSFORM = Compose([RandomShift(1), Normalize(0.1, 0.3)])


class Squares(Dataset):
    """A data set that knows single samples only."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        assert type(index) is int
        return np.full((2, 2), index, np.float32), index**2


def read(loader: DataLoader) -> list[tuple[np.ndarray, ...]]:
    return [tuple(np.array(part.data) for part in batch) for batch in loader]


def assert_same(left: list, right: list) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def test_in_order() -> None:
    loader = DataLoader(DATA, batch_size=5, generator=0)
    batches = read(loader)
    assert len(loader) == len(batches) == 5
    assert [len(labels) for _, labels in batches] == [5, 5, 5, 5, 3]
    np.testing.assert_array_equal(np.concatenate([images for images, _ in batches]), IMAGES)
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), LABELS)
    assert_same(read(loader), batches)


def test_batches_are_tensors_and_copies() -> None:
    images, labels = next(iter(DataLoader(DATA, batch_size=5)))
    assert isinstance(images, minidl.Tensor)
    assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
    assert not np.shares_memory(images.data, IMAGES)
    assert not np.shares_memory(labels.data, LABELS)


def test_shuffled() -> None:
    loader = DataLoader(DATA, batch_size=5, shuffle=True, generator=0)
    first, second = read(loader), read(loader)
    orders = [np.concatenate([labels for _, labels in batches]) for batches in (first, second)]
    assert orders[0].tolist() != orders[1].tolist() != LABELS.tolist()
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), LABELS)
    for images, labels in first:
        np.testing.assert_array_equal(images, IMAGES[labels])


@pytest.mark.parametrize("size, expected", [(5, 4), (23, 1), (24, 0), (1, 23)])
def test_drop_last(size: int, expected: int) -> None:
    loader = DataLoader(DATA, batch_size=size, shuffle=True, drop_last=True, generator=0)
    assert len(loader) == len(read(loader)) == expected


@pytest.mark.parametrize("drop_last", [False, True])
def test_fewer_samples_than_there_are(drop_last: bool) -> None:
    loader = DataLoader(DATA, batch_size=5, shuffle=True, num_samples=12, drop_last=drop_last, generator=0)
    epochs = [read(loader) for _ in range(40)]
    drawn = [np.concatenate([labels for _, labels in batches]) for batches in epochs]
    assert all(len(batches) == len(loader) == 3 - drop_last for batches in epochs)
    assert all(len(set(order.tolist())) == len(order) == (10 if drop_last else 12) for order in drawn)
    assert set(np.concatenate(drawn).tolist()) == set(LABELS.tolist())


@pytest.mark.parametrize("num_samples, shuffle, error, message", [
    (0, True, ArgumentError, "num_samples must be from 1 to 23, got 0"),
    (24, True, ArgumentError, "num_samples must be from 1 to 23, got 24"),
    (12, False, ArgumentError, "num_samples are drawn at random, which needs shuffle=True"),
    (2.0, True, DTypeError, "num_samples must be a whole number, got 2.0"),
    (True, True, DTypeError, "num_samples must be a whole number, got True"),
])  # fmt: skip
def test_bad_num_samples(num_samples: Any, shuffle: bool, error: type, message: str) -> None:
    with pytest.raises(error, match=f"DataLoader: {message}"):
        DataLoader(DATA, batch_size=5, shuffle=shuffle, num_samples=num_samples)


def test_same_seed_same_batches() -> None:
    def two_epochs(generator: Any) -> list:
        loader = DataLoader(DATA, batch_size=4, shuffle=True, generator=generator, transform=TRANSFORM)
        return read(loader) + read(loader)

    assert_same(two_epochs(3), two_epochs(3))
    assert_same(two_epochs(np.int64(3)), two_epochs(np.random.default_rng(3)))
    assert any((a[0] != b[0]).any() for a, b in zip(two_epochs(3), two_epochs(4), strict=True))


def test_global_seed() -> None:
    def epoch() -> list:
        return read(DataLoader(DATA, batch_size=4, shuffle=True))

    minidl.manual_seed(1)
    first, second = epoch(), epoch()
    minidl.manual_seed(1)
    assert_same(epoch(), first)
    assert first[0][1].tolist() != second[0][1].tolist()


def test_single_samples_are_stacked() -> None:
    batches = read(DataLoader(Squares(), batch_size=3))
    assert [values.shape for values, _ in batches] == [(3, 2, 2), (3, 2, 2), (1, 2, 2)]
    assert np.concatenate([squares for _, squares in batches]).tolist() == [0, 1, 4, 9, 16, 25, 36]
    assert batches[0][0].dtype == np.float32
    shuffled = read(DataLoader(Subset(Squares(), [6, 2, 2]), batch_size=2))
    assert np.concatenate([squares for _, squares in shuffled]).tolist() == [36, 4, 4]
    assert [part.shape for (part,) in read(DataLoader([1.5, 2.5, 3.5], batch_size=2))] == [(2,), (1,)]


def test_samples_that_do_not_stack() -> None:
    with pytest.raises(ShapeError, match=r"DataLoader: samples \[0, 1\] do not stack into a batch: .*same shape"):
        read(DataLoader([np.zeros(2), np.zeros(3)], batch_size=2))
    with pytest.raises(ShapeError, match="do not stack"):
        read(DataLoader([(1, 2), (3,)], batch_size=2))


def test_empty() -> None:
    for data in (ArrayDataset(IMAGES[:0], LABELS[:0]), []):
        loader = DataLoader(data, batch_size=4, shuffle=True)
        assert len(loader) == 0
        assert read(loader) == []


@pytest.mark.parametrize("arguments, error, message", [
    ({"batch_size": 0}, ArgumentError, "batch_size must be positive, got 0"),
    ({"batch_size": -4}, ArgumentError, "batch_size must be positive, got -4"),
    ({"batch_size": 2.0}, DTypeError, "batch_size must be a whole number, got 2.0"),
    ({"batch_size": True}, DTypeError, "batch_size must be a whole number, got True"),
    ({"generator": "seed"}, DTypeError, "generator must be a numpy Generator or a seed, got 'seed'"),
    ({"generator": -1}, ArgumentError, "a seed must not be negative, got -1"),
    ({"transform": 3}, DTypeError, "transform must be callable, got 3"),
])  # fmt: skip
def test_bad_arguments(arguments: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=f"DataLoader: {message}"):
        DataLoader(DATA, **arguments)


@pytest.mark.parametrize("dataset, found", [
    (5, "int"), (iter([1]), "list_iterator"), ({1, 2}, "set"), (None, "NoneType"), (Squares, "the class Squares"),
])  # fmt: skip
def test_what_is_no_data_set(dataset: Any, found: str) -> None:
    for make in (DataLoader, lambda dataset: Subset(dataset, [0])):
        with pytest.raises(DTypeError, match=f": dataset must have a length and be indexed by numbers, got {found};"):
            make(dataset)


def test_bad_transform() -> None:
    with pytest.raises(DTypeError, match="DataLoader: transform returned ndarray, expected a tuple of arrays"):
        read(DataLoader(DATA, transform=lambda images, labels, generator: images))


def make(seed: int = 0, generator: Any = None, **settings: Any) -> DataLoader:
    settings = {"batch_size": 4, "shuffle": True, "transform": TRANSFORM, **settings}
    return DataLoader(DATA, generator=seed if generator is None else generator, **settings)


KINDS = [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("stop", [0, 1, 5, 6, 7, 11, 12, 13])
def test_resumed_run_gives_the_same_batches(kind: type, shuffle: bool, stop: int) -> None:
    loader, states, batches = make(generator=np.random.Generator(kind(5)), shuffle=shuffle), [], []
    states.append(loader.state_dict())
    for _ in range(4):
        for batch in loader:
            batches.append(tuple(part.data.copy() for part in batch))
            states.append(loader.state_dict())

    resumed = make(generator=np.random.Generator(kind(99)), shuffle=shuffle)
    resumed.load_state_dict(json.loads(json.dumps(states[stop])))
    assert resumed.state_dict() == states[stop]
    rest = []
    # The epoch that the state is from, even if all its batches had been handed out, then the ones after it.
    for _ in range(4 - resumed.epoch):
        rest += read(resumed)
    assert_same(rest, batches[stop:])
    assert resumed.epoch == loader.epoch == 4
    assert resumed.state_dict() == loader.state_dict()


@pytest.mark.parametrize("stop", [0, 1, 3, 4])
def test_resumed_run_of_fewer_samples(stop: int) -> None:
    loader, states, batches = make(num_samples=11), [], []
    states.append(loader.state_dict())
    for _ in range(2):
        for batch in loader:
            batches.append(tuple(part.data.copy() for part in batch))
            states.append(loader.state_dict())
    resumed = make(num_samples=11, seed=9)
    resumed.load_state_dict(json.loads(json.dumps(states[stop])))
    rest = [batch for _ in range(2 - resumed.epoch) for batch in read(resumed)]
    assert_same(rest, batches[stop:])
    with pytest.raises(StateDictError, match="num_samples is 11 in the state, 12 in this loader"):
        make(num_samples=12).load_state_dict(states[stop])
    with pytest.raises(StateDictError, match=r"unexpected keys \['num_samples'\]"):
        make().load_state_dict(states[stop])


def test_state_between_epochs() -> None:
    loader = make()
    read(loader)
    loader.generator.random(3)
    state = json.loads(json.dumps(loader.state_dict()))
    assert (state["epoch"], state["position"]) == (1, 0)
    resumed = make(seed=9)
    resumed.load_state_dict(state)
    assert_same(read(resumed), read(loader))


def test_state_after_the_order_was_drawn() -> None:
    loader = make()
    iterator = iter(loader)
    resumed = make(seed=9)
    resumed.load_state_dict(loader.state_dict())
    assert_same(read(resumed), [tuple(part.data for part in batch) for batch in iterator])


def test_position_within_the_loop() -> None:
    loader = make()
    for number, _ in enumerate(loader):
        assert (loader.epoch, loader.position) == (0, number + 1)
    assert (loader.epoch, loader.position) == (1, 0)


def test_loop_that_was_left_early_begins_a_new_epoch() -> None:
    loader = make()
    for _ in loader:
        break
    assert loader.position == 1
    assert len(read(loader)) == 6
    assert loader.epoch == 2


def test_bad_states() -> None:
    loader = make()
    for _ in loader:
        break
    good = loader.state_dict()

    def refused(message: str, **changes: Any) -> None:
        state = {key: value for key, value in {**good, **changes}.items() if value != "gone"}
        before = loader.state_dict()
        with pytest.raises(StateDictError, match=f"DataLoader.load_state_dict: {message}"):
            loader.load_state_dict(state)
        assert loader.state_dict() == before

    refused(r"missing keys \['epoch', 'position'\], unexpected keys \[\]", epoch="gone", position="gone")
    refused(r"missing keys \[\], unexpected keys \['extra'\]", extra=1)
    refused("samples is 24 in the state, 23 in this loader", samples=24)
    refused("batch_size is 8 in the state, 4 in this loader", batch_size=8)
    refused("shuffle is False in the state, True in this loader", shuffle=False)
    refused("drop_last is True in the state, False in this loader", drop_last=True)
    refused("position is 7, expected a whole number from 0 to 6", position=7)
    refused("position is -1, expected", position=-1)
    refused("epoch is 1.5, expected", epoch=1.5)
    refused("generator is no state of a PCG64 generator", generator={})
    refused("generator is no state of a PCG64 generator", generator=None)
    other = np.random.Generator(np.random.SFC64(0)).bit_generator.state
    refused("epoch_start is no state of a PCG64 generator", epoch_start=other)
    refused("position is 3 between epochs", epoch_start=None, position=3)
    with pytest.raises(StateDictError, match="missing keys"):
        loader.load_state_dict([])  # type: ignore[arg-type]


def test_array_dataset() -> None:
    assert TensorDataset is ArrayDataset
    data = ArrayDataset([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], (7, 8, 9))
    assert len(data) == 3
    assert data[1][0].tolist() == [3.0, 4.0]
    assert data[1:][1].tolist() == [8, 9]
    assert data[np.array([2, 0])][1].tolist() == [9, 7]
    assert ArrayDataset(minidl.Tensor(np.ones(4)))[2] == (1.0,)
    with pytest.raises(ArgumentError, match="ArrayDataset: needs at least one array"):
        ArrayDataset()
    with pytest.raises(ShapeError, match=r"array 1 has length 3 \(axis 0 of \(3,\)\), array 0 has 2"):
        ArrayDataset([1, 2], [1, 2, 3])
    with pytest.raises(ShapeError, match="array 1 has no axes"):
        ArrayDataset([1, 2], 3)
    with pytest.raises(DTypeError, match="array 0 holds Python objects"):
        ArrayDataset([None, "a"])


def test_subset() -> None:
    part = Subset(DATA, [4, -1, 2])
    assert len(part) == 3
    assert part[1][1] == 22
    assert part[:2][1].tolist() == [4, 22]
    assert [labels.tolist() for _, labels in read(DataLoader(part, batch_size=2))] == [[4, 22], [2]]
    assert len(Subset(DATA, [])) == 0
    with pytest.raises(OutOfRangeError, match="Subset: index 23 lies outside a data set of length 23"):
        Subset(DATA, [0, 23])
    with pytest.raises(DTypeError, match="Subset: indices have dtype float64, expected integers"):
        Subset(DATA, [0.5])
    with pytest.raises(ShapeError, match=r"Subset: indices have shape \(1, 2\), expected one axis"):
        Subset(DATA, [[0, 1]])
