"""Checkpoints: what goes in comes out, broken files are refused, and a resumed run gives the same bits."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bits import bits

import minidl
import minidl.functional as F
from minidl import nn, optim
from minidl.checkpoint import FORMAT, load_checkpoint, save_checkpoint
from minidl.data import ArrayDataset, Compose, DataLoader, Normalize, RandomShift
from minidl.errors import CheckpointError, DTypeError, StateDictError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.safetensors"


class Run:
    """A small training run with everything random that there is."""

    def __init__(self, kind: str) -> None:
        minidl.manual_seed(3)
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (40, 1, 6, 6), dtype=np.uint8)
        dataset = ArrayDataset(images, random.integers(0, 3, 40))
        self.noise = np.random.Generator(np.random.MT19937(5))
        self.model = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Dropout(0.2, generator=self.noise),
            nn.Dense(None, 3),
        )  # fmt: skip
        transform = Compose([RandomShift(1), Normalize(0.5, 0.5)])
        self.loader = DataLoader(dataset, 6, shuffle=True, transform=transform)
        parameters = self.model.parameters()
        self.optimizer: Any = (
            optim.Adam(parameters, amsgrad=True) if kind == "adam" else optim.SGD(parameters, momentum=0.9)
        )
        self.scheduler = optim.lr_scheduler.OneCycleLR(self.optimizer, 0.01, total_steps=40)

    @property
    def parts(self) -> dict[str, Any]:
        return {
            "model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler, "loader": self.loader,
            "generators": {"noise": self.noise},
        }  # fmt: skip

    def train(self, steps: int) -> None:
        while steps:
            for images, labels in self.loader:
                self.optimizer.zero_grad()
                F.cross_entropy(self.model(images), labels).backward()
                self.optimizer.step()
                self.scheduler.step()
                steps -= 1
                if not steps:
                    break

    def bits(self) -> tuple[str, str]:
        state = (self.loader.state_dict(), minidl.default_generator().bit_generator.state)
        return bits(*self.model.parameters()), repr(state)


@pytest.mark.parametrize("kind", ["adam", "sgd"])
@pytest.mark.parametrize("steps", [1, 7, 10])
def test_a_resumed_run_gives_the_same_bits(kind: str, steps: int, path: Path) -> None:
    whole = Run(kind)
    whole.train(steps)
    save_checkpoint(path, **whole.parts)
    # Straight on, as one loop would: the position of the loader goes on from its own state.
    whole.loader.load_state_dict(whole.loader.state_dict())
    whole.train(12)
    expected = whole.bits()
    resumed = Run(kind)
    minidl.manual_seed(99)
    load_checkpoint(path, **resumed.parts)
    resumed.train(12)
    assert resumed.bits() == expected


def test_extra_comes_back(path: Path) -> None:
    extra = {
        "numbers": [1, 2**127 + 1, -0.1, float("inf"), float("-inf"), None, True],
        "nan": float("nan"),
        "betas": (0.9, (1, [2])),
        3: {"$x": "y"},
        "numpy": [np.float32(0.1), np.int8(3), np.bool_(True)],
        "arrays": [np.array(2.5), np.empty((0, 3), np.float32), np.arange(6).reshape(2, 3).T, np.array([True])],
        "tensor": minidl.tensor([1.0]),
        "a.b": np.ones(1),
        "a": {"b": np.zeros(1)},
    }
    save_checkpoint(path, extra=extra)
    back = load_checkpoint(path)
    assert list(back) == list(extra)
    assert back["numbers"] == extra["numbers"] and type(back["numbers"][-1]) is bool
    assert np.isnan(back["nan"])
    assert back["betas"] == extra["betas"] and isinstance(back["betas"], tuple)
    assert back[3] == {"$x": "y"}
    assert back["numpy"] == [float(np.float32(0.1)), 3, True]
    for array, expected in zip(back["arrays"], extra["arrays"], strict=True):  # type: ignore[arg-type]
        assert array.dtype == expected.dtype and array.shape == expected.shape
        np.testing.assert_array_equal(array, expected)
    assert (back["a.b"], back["a"]["b"]) == (1, 0)
    assert back["tensor"] == 1


class Holder(nn.Module):
    """Tied parameters, and buffers of every kind."""

    def __init__(self, fill: float) -> None:
        self.a = nn.Parameter(np.full((2, 3), fill))
        self.b = self.a
        self.scalar = nn.Parameter(np.float64(fill))
        self.register_buffer("count", minidl.tensor(int(fill)))
        self.register_buffer("mask", minidl.tensor([fill > 1, False]))
        self.register_buffer("none", minidl.zeros(0, 4))
        self.register_buffer("temporary", minidl.tensor([fill]), persistent=False)


def test_tied_parameters_and_buffers(path: Path) -> None:
    save_checkpoint(path, model=Holder(2.0))
    model = Holder(1.0)
    load_checkpoint(path, model=model)
    assert model.a is model.b and (model.a.data == 2).all() and model.a.dtype == np.float64
    assert (model.scalar.item(), model.count.item(), model.mask.tolist()) == (2.0, 2, [True, False])  # type: ignore
    assert model.temporary.item() == 1  # type: ignore[attr-defined]


def test_inferred_sizes_are_learned(path: Path) -> None:
    save_checkpoint(path, model=nn.Sequential(nn.Dense(5, 2)))
    model = nn.Sequential(nn.Dense(None, 2))
    load_checkpoint(path, model=model)
    assert model(minidl.zeros(1, 5)).shape == (1, 2)


def test_loading_a_model_leaves_the_default_generator_alone(path: Path) -> None:
    model = nn.Dense(2, 2)
    save_checkpoint(path, model=model)
    before = minidl.manual_seed(8).bit_generator.state
    load_checkpoint(path, model=model)
    assert minidl.default_generator().bit_generator.state == before


def test_a_refused_checkpoint_changes_nothing(path: Path) -> None:
    run = Run("adam")
    run.train(4)
    save_checkpoint(path, **run.parts)
    other = Run("adam")
    other.loader.drop_last = True
    before = other.bits(), repr(other.optimizer), other.optimizer.state_dict(), other.scheduler.state_dict()
    with pytest.raises(StateDictError, match=r"run.safetensors: loader: .*drop_last is False in the state, True"):
        load_checkpoint(path, **other.parts)
    assert (other.bits(), repr(other.optimizer), other.optimizer.state_dict(), other.scheduler.state_dict()) == before
    assert not list(other.model.parameters())[2].is_initialised
    other.loader.drop_last = False
    bits = other.bits()
    other.loader.drop_last = False
    bits = other.bits()
    wrong = {**other.parts, "generators": {"noise": np.random.default_rng(0)}}
    with pytest.raises(CheckpointError, match="the generator 'noise' does not fit"):
        load_checkpoint(path, **wrong)
    assert other.bits() == bits
    load_checkpoint(path, **other.parts)
    with pytest.raises(StateDictError, match="model: load_state_dict: Dense does not fit; .*"):
        load_checkpoint(path, model=nn.Dense(3, 2))
    with pytest.raises(CheckpointError, match="holds the optimizer Adam, asked for was SGD"):
        load_checkpoint(path, optimizer=optim.SGD(other.model.parameters()))
    with pytest.raises(CheckpointError, match=r"holds no generators named \['x'\]; it holds \['noise'\]"):
        load_checkpoint(path, generators={"x": other.noise})


def _file(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def _metadata(**changes: str) -> bytes:
    state = json.dumps({name: {"state": {}} for name in ("default_generator", "generators", "extra")})
    return _file({"__metadata__": {"format": FORMAT, "version": "1", "state": state, **changes}})


BROKEN = {
    "empty": (b"", "is empty"),
    "short": (b"abc", "is truncated, damaged or no safetensors file"),
    "noise": (bytes(range(200)), "is truncated, damaged or no safetensors file"),
    "header": (_file(b"{a:}"), "is truncated, damaged or no safetensors file .*JSON"),
    "truncated": (_file({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"123"), "is truncated"),
    "other": (_file({}), r"no checkpoint of minidl: its format is None, expected 'minidl.checkpoint'"),
    "newer": (_metadata(version="2"), r"newer minidl: its format version is 2, this one reads up to 1"),
    "version": (_metadata(version="x"), "its format version is 'x', expected a number"),
    "json": (_metadata(state="{"), "its metadata can't be read .*JSONDecodeError"),
    "deep": (_metadata(state="[" * 10_000), "its metadata can't be read"),
    "list": (_metadata(state="[]"), "its metadata can't be read"),
    "lacking": (_metadata(state="{}"), "its metadata can't be read .*default_generator"),
    "reference": (
        _metadata(
            state='{"default_generator": {"state": {}}, "generators": {"state": {}}, '
            '"extra": {"state": {"a": {"$array": "none"}}}}'
        ),
        "'none'.* in its metadata can't be read",
    ),
    "kind": (
        _metadata(
            state='{"default_generator": {"state": {}}, "generators": {"state": {}}, '
            '"extra": {"state": {"a": {"$b": 1}}}}'
        ),
        r"its metadata holds the unknown '\$b'",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused(name: str, path: Path) -> None:
    content, message = BROKEN[name]
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"load_checkpoint: .*run.safetensors: .*{message}"):
        load_checkpoint(path)


def test_every_truncation_is_refused(path: Path) -> None:
    save_checkpoint(path, model=nn.Dense(2, 2))
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="is truncated|is empty"):
            load_checkpoint(path)


def test_a_missing_file_or_part(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match="can't be opened"):
        load_checkpoint(path.parent)
    model = nn.Dense(2, 2)
    save_checkpoint(path, model=model)
    with pytest.raises(CheckpointError, match="holds no optimizer; it holds model"):
        load_checkpoint(path, optimizer=optim.SGD(model.parameters()))


def test_wrong_arguments(path: Path) -> None:
    with pytest.raises(DTypeError, match=r"extra\.a\.0 is a set, which can't be stored"):
        save_checkpoint(path, extra={"a": [set()]})
    with pytest.raises(DTypeError, match="extra.a is an array of dtype complex128"):
        save_checkpoint(path, extra={"a": np.ones(1, complex)})
    with pytest.raises(DTypeError, match=r"model must have state_dict\(\), got int"):
        save_checkpoint(path, model=3)
    with pytest.raises(DTypeError, match="extra must be a mapping, got list"):
        save_checkpoint(path, extra=[1])  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="generators must map str to Generator, got 'a': int"):
        save_checkpoint(path, generators={"a": 1})  # type: ignore[dict-item]
    assert not list(path.parent.iterdir())


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(path, extra={"a": 1})

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    for function in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, fail)
            with pytest.raises(OSError, match="No space left"):
                save_checkpoint(path, extra={"a": 2})
    assert load_checkpoint(path) == {"a": 1}
    assert list(path.parent.iterdir()) == [path]


def test_permissions_are_those_of_a_plain_open(path: Path) -> None:
    plain = path.with_name("plain")
    plain.write_bytes(b"")
    save_checkpoint(path)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    path.chmod(0o640)
    save_checkpoint(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
