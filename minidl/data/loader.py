"""Batches out of a data set, in an order that a seed fixes and a saved state continues."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from minidl.data.collate import has_parts, stack_samples, to_arrays, to_tensors
from minidl.data.dataset import length_of
from minidl.data.transforms import Transform
from minidl.errors import ArgumentError, DTypeError, StateDictError, check_flag
from minidl.files import set_generator_state
from minidl.runtime import default_generator, fork_safe
from minidl.tensor import Tensor


class DataLoader:
    """Iterate over a data set in batches.

    All happens in this process and in memory: a batch is `dataset[indices]` with an array of indices for a data set
    that takes one (`Dataset.array_indexing`), else single samples, stacked by `default_collate`: samples that are
    tuples or dicts give tuples or dicts of tensors, with lists for strings. A sample that is a single array or number
    gives a tuple of one tensor. Batches are copies, never views.

    Parameters
    ----------
    dataset : Dataset
        Anything with `__len__` and `__getitem__`.
    batch_size : int, optional
        Samples in a batch; the last one may have fewer.
    shuffle : bool, optional
        Draw a new order for every epoch.
    drop_last : bool, optional
        Leave out a last batch that is not full.
    num_samples : int, optional
        How many samples an epoch has, with `shuffle`: those are drawn anew for every epoch. All by default.
    generator : numpy.random.Generator or int, optional
        Where order and transforms draw from, or its seed. By default seeded from what `minidl.manual_seed` set.
    transform : callable, optional
        Called for each batch as `transform(*arrays, generator=generator)`, returns a tuple of arrays; see
        `minidl.data.transforms`. Where samples are dicts, it is called with the dict of arrays, and returns one.
    collate_fn : callable, optional
        Called with the list of a batch's samples in the place of `default_collate`; what it returns is the batch.

    Attributes
    ----------
    epoch : int
        How many epochs have ended, or been left early for a new one.
    position : int
        How many batches of the current epoch have been handed out.

    Raises
    ------
    ArgumentError
        If `batch_size` is not positive, a seed is negative, or `num_samples` is more than there are or without
        `shuffle`.
    DTypeError
        If an argument has a wrong type; in the loop, if a sample holds something that can't be batched, such as None.
    ShapeError
        In the loop, if arrays or tuples of several shapes or lengths stand in the same place of samples.

    Notes
    -----
    `state_dict()` may be taken at any time, also within the loop. The next `iter()` of a loader that loaded it goes
    on with the batch after the last one handed out, and everything random is as if it had never stopped. Without
    that, each `iter()` begins a new epoch. The state follows the iterator that was used last.

    Examples
    --------
    >>> from minidl.data import ArrayDataset, DataLoader
    >>> loader = DataLoader(ArrayDataset(np.arange(5)), batch_size=2)
    >>> [batch.shape for (batch,) in loader]
    [(2,), (2,), (1,)]
    >>> samples = [{"image": np.zeros((1, 4, 4)), "name": "a"}, {"image": np.ones((1, 4, 4)), "name": "b"}]
    >>> for batch in DataLoader(samples, batch_size=2):
    ...     print(batch["image"].shape, batch["name"])
    (2, 1, 4, 4) ['a', 'b']
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool | None = False,
        *,
        drop_last: bool = False,
        num_samples: int | None = None,
        generator: np.random.Generator | int | None = None,
        transform: Transform | None = None,
        collate_fn: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer):
            raise DTypeError(f"DataLoader: batch_size must be a whole number, got {batch_size!r}")
        if batch_size <= 0:
            raise ArgumentError(f"DataLoader: batch_size must be positive, got {batch_size}")
        length = length_of("DataLoader", dataset)
        if num_samples is not None:
            if isinstance(num_samples, bool) or not isinstance(num_samples, int | np.integer):
                raise DTypeError(f"DataLoader: num_samples must be a whole number, got {num_samples!r}")
            if not 0 < num_samples <= length:
                raise ArgumentError(f"DataLoader: num_samples must be from 1 to {length}, got {num_samples}")
            if shuffle is None or not check_flag("DataLoader", "shuffle", shuffle):
                raise ArgumentError("DataLoader: num_samples are drawn at random, which needs shuffle=True")
        for name, function in (("transform", transform), ("collate_fn", collate_fn)):
            if function is not None and not callable(function):
                raise DTypeError(f"DataLoader: {name} must be callable, got {function!r}")
        self.dataset = dataset
        self.batch_size = int(batch_size)
        # PyTorch's default for shuffle is None.
        self.shuffle = shuffle is not None and check_flag("DataLoader", "shuffle", shuffle)
        self.drop_last = check_flag("DataLoader", "drop_last", drop_last)
        self.num_samples = None if num_samples is None else int(num_samples)
        self.generator = fork_safe(_make_generator(generator))
        self.transform = transform
        self.collate_fn = collate_fn
        self.epoch = 0
        self.position = 0
        # The generator's state before it drew the order of the epoch that runs; None between epochs.
        self._epoch_start: dict[str, Any] | None = None
        self._loaded = False

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        samples = len(self.dataset) if self.num_samples is None else self.num_samples
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        """Begin an epoch, or go on with the one whose state was loaded."""
        if self._loaded and self._epoch_start is not None:
            now = self._random_state()
            self.generator.bit_generator.state = self._epoch_start
            order = self._draw_order()
            self.generator.bit_generator.state = now
        else:
            self.epoch += self._epoch_start is not None
            self.position = 0
            self._epoch_start = self._random_state()
            order = self._draw_order()
        self._loaded = False
        return self._batches(order, self.position)

    def state_dict(self) -> dict[str, Any]:
        """Return where the loader stands, in values that JSON knows.

        Returns
        -------
        dict
            Epoch, position, the generator's state now and at the start of the epoch, and what it belongs to.
        """
        return {
            "epoch": self.epoch,
            "position": self.position,
            "generator": self._random_state(),
            "epoch_start": self._epoch_start,
            **self._identity(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand where another loader over the same data stood when it gave this state.

        Parameters
        ----------
        state : dict
            What `state_dict()` returned, also after a way through JSON.

        Raises
        ------
        StateDictError
            If keys are missing or unexpected, or the state is of a loader over other data or with other settings.
        """
        where = "DataLoader.load_state_dict"
        expected = {"epoch", "position", "generator", "epoch_start", *self._identity()}
        if not isinstance(state, dict) or set(state) != expected:
            keys = set(state) if isinstance(state, dict) else set()
            raise StateDictError(
                f"{where}: missing keys {sorted(expected - keys)}, unexpected keys {sorted(map(str, keys - expected))}"
            )
        for key, value in self._identity().items():
            if type(state[key]) is not type(value) or state[key] != value:
                raise StateDictError(f"{where}: {key} is {state[key]!r:.80} in the state, {value!r} in this loader")
        for key, most in (("epoch", 2**63), ("position", len(self))):
            if isinstance(state[key], bool) or not isinstance(state[key], int) or not 0 <= state[key] <= most:
                raise StateDictError(f"{where}: {key} is {state[key]!r:.80}, expected a whole number from 0 to {most}")
        if state["epoch_start"] is None and state["position"]:
            raise StateDictError(f"{where}: position is {state['position']} between epochs, expected 0")
        previous_state = self._random_state()
        key = "epoch_start"
        try:
            if state[key] is not None:
                set_generator_state(self.generator, state[key])
            key = "generator"
            set_generator_state(self.generator, state[key])
        except ArgumentError as error:
            self.generator.bit_generator.state = previous_state
            raise StateDictError(
                f"{where}: {key} is no state of a {previous_state['bit_generator']} generator ({error})"
            ) from error
        self.epoch, self.position = state["epoch"], state["position"]
        self._epoch_start = state["epoch_start"]
        self._loaded = True

    def _identity(self) -> dict[str, Any]:
        return {
            "samples": len(self.dataset),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
            # States from before there was such a setting are those of whole epochs.
            **({} if self.num_samples is None else {"num_samples": self.num_samples}),
        }

    def _random_state(self) -> dict[str, Any]:
        return _plain(self.generator.bit_generator.state)

    def _draw_order(self) -> np.ndarray:
        samples = len(self.dataset)
        return self.generator.permutation(samples)[: self.num_samples] if self.shuffle else np.arange(samples)

    def _batches(self, order: np.ndarray, position: int) -> Iterator[Any]:
        for number in range(position, len(self)):
            gathered = self._gather(order[number * self.batch_size : (number + 1) * self.batch_size])
            if self.transform is not None:
                gathered = self._transformed(gathered)
            is_finished = self.collate_fn is not None and self.transform is None
            batch = gathered if is_finished else _wrap_tensors(gathered)
            self.position = number + 1
            yield batch
        self.epoch += 1
        self.position = 0
        self._epoch_start = None

    def _gather(self, indices: np.ndarray) -> Any:
        if self.collate_fn is not None:
            return self.collate_fn(self._samples(indices))
        if getattr(self.dataset, "array_indexing", False):
            batch = self.dataset[indices]
            return tuple(batch) if type(batch) is list else batch if isinstance(batch, tuple | Mapping) else (batch,)
        samples = self._samples(indices)
        batch = stack_samples(samples, indices, "DataLoader")
        return batch if has_parts(samples[0]) else (batch,)

    def _samples(self, indices: np.ndarray) -> list[Any]:
        samples = []
        index = None
        try:
            for index in indices.tolist():
                samples.append(self.dataset[index])
        except Exception as error:
            error.add_note(f"DataLoader: this came of sample {index} of the data set")
            raise
        return samples

    def _transformed(self, batch: Any) -> Any:
        batch = to_arrays(batch) if self.collate_fn is not None else batch
        parts = batch if isinstance(batch, tuple | list) else (batch,)
        result = self.transform(*parts, generator=self.generator)  # type: ignore[misc]
        if not isinstance(result, tuple | list | Mapping):
            raise DTypeError(f"DataLoader: transform returned {type(result).__name__}, expected a tuple of arrays")
        if type(result) is list:
            result = tuple(result)
        # Transforms return plain tuples, also for the parts of a named one.
        is_named = type(result) is tuple and hasattr(batch, "_make") and len(result) == len(batch)
        return batch._make(result) if is_named else result


def _wrap_tensors(batch: Any) -> Any:
    if type(batch) is not tuple:
        return to_tensors(batch, "DataLoader")
    # Arrays of numbers, which batches are made of as a rule, without a call for each.
    return tuple([
        Tensor(part) if type(part) is np.ndarray and part.dtype.kind in "biuf"
        else to_tensors(part, "DataLoader", f"batch[{i}]")
        for i, part in enumerate(batch)
    ])  # fmt: skip


def _make_generator(generator: np.random.Generator | int | None) -> np.random.Generator:
    if generator is None:
        return np.random.default_rng(default_generator().integers(2**63))
    if isinstance(generator, np.random.Generator):
        return generator
    if isinstance(generator, bool) or not isinstance(generator, int | np.integer):
        raise DTypeError(f"DataLoader: generator must be a numpy Generator or a seed, got {generator!r}")
    if generator < 0:
        raise ArgumentError(f"DataLoader: a seed must not be negative, got {generator}")
    return np.random.default_rng(int(generator))


def _plain(value: Any) -> Any:
    """Return a bit generator's state with lists in the place of arrays."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
