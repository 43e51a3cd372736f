"""States of generators: NumPy trusts them, and would read memory that is not its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl.checkpoint import load_checkpoint, save_checkpoint
from minidl.data import ArrayDataset, DataLoader
from minidl.errors import ArgumentError, CheckpointError, StateDictError
from minidl.files import set_generator_state

KINDS = [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])


def generator(kind: Any, seed: int = 0) -> np.random.Generator:
    made = np.random.Generator(kind(seed))
    # So that it holds half of a number back.
    made.integers(0, 9, 3, dtype=np.uint32)
    return made


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


@every_kind
@pytest.mark.parametrize("as_lists", [False, True])
def test_a_state_is_taken(kind: Any, as_lists: bool) -> None:
    first, second = generator(kind), generator(kind, 1)
    state = first.bit_generator.state
    set_generator_state(second, plain(state) if as_lists else state)
    assert second.integers(0, 1000, 700, dtype=np.uint32).tolist() == first.integers(0, 1000, 700, np.uint32).tolist()


WRONG: list[tuple[str, Any]] = [
    ("pos", -1), ("pos", 625), ("pos", 10**8), ("pos", -(10**5)), ("pos", 1.5), ("pos", True), ("pos", None),
    ("buffer_pos", -1), ("buffer_pos", 5), ("buffer_pos", -(10**8)), ("buffer_pos", "1"),
    ("has_uint32", 2), ("has_uint32", None), ("uinteger", 2**32), ("uinteger", -1), ("uinteger", [1]),
    ("key", [1]), ("key", [1] * 10_000), ("key", [1.5] * 624), ("key", [-1] * 624), ("key", [2**70] * 2), ("key", 3),
    ("key", np.zeros((624, 1), np.uint32)), ("key", np.zeros(624)), ("key", [[1], 2]), ("key", "a"), ("key", None),
    ("counter", [1]), ("buffer", [1, 2]), ("buffer", np.zeros(4, np.uint32)), ("state", [1]), ("state", [1, 2, 3, -4]),
    ("state", 2**128), ("state", -1), ("state", 1.5), ("state", {}), ("state", "a"), ("inc", 2**200), ("inc", None),
    ("bit_generator", "PCG65"), ("bit_generator", None), ("bit_generator", ["PCG64"]),
]  # fmt: skip


def replaced(value: Any, name: str, by: Any) -> Any:
    """A state with all entries of a name replaced, but the dict of the name "state"."""
    if not isinstance(value, dict):
        return value
    return {
        key: by if key == name and not isinstance(item, dict) else replaced(item, name, by)
        for key, item in value.items()
    }


@every_kind
def test_wrong_states_are_refused_and_change_nothing(kind: Any) -> None:
    made = generator(kind)
    before = made.bit_generator.state
    tried = 0
    for name, value in WRONG:
        state = replaced(before, name, value)
        if repr(state) == repr(before):
            continue
        tried += 1
        with pytest.raises(ArgumentError, match="^generator: "):
            set_generator_state(made, state)
        assert repr(made.bit_generator.state) == repr(before), (name, value)
    assert tried > 5
    for state in ({}, None, 3, [], {"bit_generator": kind.__name__}, {**before, "state": {}}):
        with pytest.raises(ArgumentError, match="^generator: state"):
            set_generator_state(made, state)


def test_a_file_with_a_wrong_state_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MT19937 with a position of 10**8 was a segmentation fault at the next number."""
    noise = generator(np.random.MT19937)
    loader = DataLoader(ArrayDataset(np.arange(4)), generator=generator(np.random.MT19937))
    wrong = replaced(noise.bit_generator.state, "pos", 10**8)
    monkeypatch.setattr("minidl.data.DataLoader._random_state", lambda self: plain(wrong))
    save_checkpoint(tmp_path / "loader", loader=loader)
    monkeypatch.undo()

    class Hostile(np.random.Generator):
        bit_generator = type("Bits", (), {"state": wrong})  # type: ignore[assignment]

    save_checkpoint(tmp_path / "noise", generators={"noise": Hostile(np.random.MT19937(0))})
    before = repr(noise.bit_generator.state), loader.state_dict()
    with pytest.raises(CheckpointError, match=r"noise: the generator 'noise' does not fit: .*\['pos'\] of a MT19937"):
        load_checkpoint(tmp_path / "noise", generators={"noise": noise})
    with pytest.raises(StateDictError, match=r"loader: .*generator is no state of a MT19937 .*\['pos'\]"):
        load_checkpoint(tmp_path / "loader", loader=loader)
    assert (repr(noise.bit_generator.state), loader.state_dict()) == before
    noise.random(700)
