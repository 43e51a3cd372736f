"""Checkpoints that are damaged, hostile or old: noticed, refused by name at no cost, or read as ever."""

from __future__ import annotations

import json
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl
import minidl.functional as F
from minidl import nn, optim
from minidl.checkpoint import FORMAT, load_checkpoint, save_checkpoint
from minidl.data import ArrayDataset, DataLoader
from minidl.errors import CheckpointError, DTypeError

OLD = Path(__file__).parent / "files" / "old" / "version_1.safetensors"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.safetensors"


def parts() -> dict[str, Any]:
    """What `OLD` was written of, at its beginning."""
    minidl.manual_seed(1)
    model = nn.Sequential(nn.Dense(2, 3), nn.BatchNorm1d(3))
    optimizer = optim.Adam(model.parameters(), amsgrad=True)
    dataset = ArrayDataset(np.arange(12, dtype=np.float32).reshape(6, 2))
    return {
        "model": model, "optimizer": optimizer, "scheduler": optim.lr_scheduler.StepLR(optimizer, 2),
        "loader": DataLoader(dataset, 2, shuffle=True, generator=3),
        "generators": {"noise": np.random.Generator(np.random.MT19937(2))},
    }  # fmt: skip


def step(run: dict[str, Any]) -> None:
    for (x,) in run["loader"]:
        run["optimizer"].zero_grad()
        (run["model"](x) ** 2).sum().backward()
        run["optimizer"].step()
        run["scheduler"].step()
        break


def state(run: dict[str, Any]) -> str:
    generators = minidl.default_generator(), run["generators"]["noise"]
    tensors = {name: tensor.tolist() for name, tensor in run["model"].state_dict().items()}
    return repr((tensors, [run[p].state_dict() for p in ("optimizer", "scheduler", "loader")],
                 [generator.bit_generator.state for generator in generators]))  # fmt: skip


def test_files_from_before_there_was_a_checksum_load_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = parts()
        extra = load_checkpoint(OLD, **loaded)
    # The numbers that a step computes may be others on another machine.
    assert loaded["optimizer"].state[loaded["model"][0].weight]["step"] == 1
    assert loaded["model"][1].num_batches_tracked.item() == 1 and loaded["model"][1].num_batches_tracked.shape == ()
    assert (loaded["scheduler"].last_epoch, loaded["loader"].position) == (1, 1)
    assert extra["a"][0] == 1 and extra["a"][1][0] == 2.5 and extra["array"].tolist() == [0, 1, 2]
    expected = np.random.Generator(np.random.MT19937(2)).random()
    assert loaded["generators"]["noise"].random() == expected
    expected_weight = np.frombuffer(OLD.read_bytes(), np.uint8)
    assert loaded["model"][0].weight.data.tobytes() in expected_weight.tobytes()
    step(loaded)


def test_every_flipped_bit_is_noticed(path: Path) -> None:
    run = parts()
    step(run)
    save_checkpoint(path, **run, extra={"é": [1, (2.5, None)], "array": np.arange(3)})
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    random = np.random.default_rng(0)
    # Half of them in the header.
    places = [*random.integers(0, header * 8, 300), *random.integers(header * 8, len(content) * 8, 300)]
    fresh = parts()
    before = state(fresh)
    for place in map(int, places):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=f"load_checkpoint: {path}"):
            load_checkpoint(path, **fresh)
    assert state(fresh) == before
    path.write_bytes(content)
    load_checkpoint(path, **fresh)
    assert state(fresh) == state(run)


def test_the_model_alone_is_checked_with_all_that_is_beside_it(path: Path) -> None:
    run = parts()
    save_checkpoint(path, **run)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"is damaged: what it holds is not what its checksum \(SHA-256\)"):
        load_checkpoint(path, model=run["model"])


def rewritten(path: Path, change: Any, text: Any = None) -> None:
    """Change the metadata's state, and leave the checksum away, as in a file from before there was one."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata = header["__metadata__"]
    del metadata["sha256"]
    if change is not None:
        parts = json.loads(metadata["state"])
        change(parts)
        metadata["state"] = json.dumps(parts)
    if text is not None:
        text(metadata)
    stored = json.dumps(header).encode()
    path.write_bytes(len(stored).to_bytes(8, "little") + stored + content[8 + length :])


def test_each_array_is_read_once_however_often_it_is_referred_to(path: Path) -> None:
    """1.2 MB with 6,000 references to one array took 6 GB."""
    save_checkpoint(path, extra={"a": np.zeros(250_000, np.float32)})
    rewritten(path, lambda parts: parts["extra"]["state"].update(b=[{"$array": "extra.a"}] * 6000))
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"'extra.a'.* can't be read \(the array is referred to twice\)"):
            load_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 6 * 2**20
    finally:
        tracemalloc.stop()


HOSTILE: dict[str, tuple[Any, str]] = {
    "generators float": (lambda p: p["generators"].update(state={"$float": "0.5"}), "generators is no dict but 0.5"),
    "generators tuple": (lambda p: p["generators"].update(state={"$tuple": []}), "its generators is no dict"),
    "generator None": (lambda p: p["generators"]["state"].update(noise=None), "generator 'noise' does not fit"),
    "generator list": (lambda p: p["generators"]["state"].update(noise=[1]), "generator 'noise' does not fit"),
    "default float": (lambda p: p["default_generator"].update(state={"$float": "1"}), "default_generator is no dict"),
    "default lacks": (lambda p: p["default_generator"].update(state={}), "no state of the default generator"),
    "extra": (lambda p: p["extra"].update(state={"$tuple": [1]}), "its extra is no dict"),
    "unhashable": (lambda p: p["extra"].update(state={"$dict": [[[1], 1]]}), "can't be read .*unhashable"),
    "pairs": (lambda p: p["extra"].update(state={"$dict": [[1]]}), "can't be read"),
    "float": (lambda p: p["extra"]["state"].update(a={"$float": "x"}), "can't be read"),
    "float list": (lambda p: p["extra"]["state"].update(a={"$float": [1]}), "can't be read"),
    "tuple": (lambda p: p["extra"]["state"].update(a={"$tuple": 3}), "can't be read"),
    "more": (lambda p: p["extra"]["state"].update(a={"$tuple": [], "b": 1}), "can't be read .*further names"),
    "array": (lambda p: p["extra"]["state"].update(a={"$array": [1]}), "can't be read .*no such array"),
    "type": (lambda p: p["optimizer"].update(type={"a": "x" * 5000}), "holds the optimizer {'a': 'xxx"),
    "step": (lambda p: p["optimizer"]["state"]["state"]["$dict"][0][1].update(step=10**400), "step of parameter 0"),
    "lr": (lambda p: p["optimizer"]["state"]["param_groups"][0].update(lr=10**400), "Adam: lr must be a number"),
    "key": (lambda p: p["optimizer"]["state"].update(state={"1e999": {}}), "not an optimiser's state dict"),
    "last_epoch": (lambda p: p["scheduler"]["state"].update(last_epoch=10**400), "last_epoch must be"),
    "epoch": (lambda p: p["loader"]["state"].update(epoch=True), "epoch is True, expected a whole number"),
    "samples": (lambda p: p["loader"]["state"].update(samples=[6]), r"samples is \[6\] in the state"),
    "algorithms": (lambda p: p.update(algorithms={"state": 3}), "the algorithms does not fit: .*must be a list"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_wrong_types_and_values_are_refused_and_change_nothing(name: str, path: Path) -> None:
    change, reason = HOSTILE[name]
    run = parts()
    step(run)
    save_checkpoint(path, **run)
    rewritten(path, change)
    fresh = parts()
    before = state(fresh)
    with pytest.raises(ValueError, match=f"^load_checkpoint: {path}: (?s:.*){reason}") as caught:
        load_checkpoint(path, **fresh)
    assert isinstance(caught.value, minidl.MinidlError) and len(str(caught.value)) < 3000
    assert state(fresh) == before


METADATA: dict[str, tuple[Any, str]] = {
    "digits": (lambda m: m.update(version="1" * 5000), "newer minidl: its format version is 1{20}, this one"),
    "no digit": (lambda m: m.update(version="²"), "its format version is '²', expected a number"),
    "format": (lambda m: m.update(format="x" * 5000), "its format is 'xxx"),
    "unknown": (lambda m: m.update(sha257="0" * 64), "its metadata holds the unknown 'sha257'"),
    "checksum": (lambda m: m.update(sha256="0" * 64), "is not what its checksum"),
    "deep": (lambda m: m.update(state='{"extra": ' + "[" * 100_000), "its metadata can't be read .*too deeply"),
    "NaN": (lambda m: m.update(state=m["state"].replace('"extra"', '"a": NaN, "extra"')), "JSON has no NaN"),
    "twice": (lambda m: m.update(state=m["state"].replace('"extra"', '"extra": {}, "extra"')), "'extra' twice"),
}  # fmt: skip


@pytest.mark.parametrize("name", METADATA)
def test_wrong_metadata_is_refused(name: str, path: Path) -> None:
    save_checkpoint(path)
    rewritten(path, None, METADATA[name][0])
    with pytest.raises(CheckpointError, match=f"^load_checkpoint: {path}: .*{METADATA[name][1]}") as caught:
        load_checkpoint(path)
    assert len(str(caught.value)) < 1000


def nested(levels: int, kind: str) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"list": [value], "tuple": (value,), "dict": {"a": value}, "odd": {1: value}}[kind]
    return value


@pytest.mark.parametrize("kind", ["list", "tuple", "dict", "odd"])
def test_what_can_be_saved_can_be_loaded_however_deep_it_is(kind: str, path: Path) -> None:
    save_checkpoint(path, extra={"a": nested(199, kind)})
    assert load_checkpoint(path) == {"a": nested(199, kind)}
    with pytest.raises(
        DTypeError, match=r"^save_checkpoint: .*extra.a.*\.\.\. is nested more than 200 deep, or holds itself"
    ):
        save_checkpoint(path, extra={"a": nested(5000, kind)})
    itself: list[Any] = []
    itself.append(itself)
    with pytest.raises(DTypeError, match="is nested more than 200 deep, or holds itself"):
        save_checkpoint(path, extra={"a": itself})


def test_what_could_not_be_loaded_is_not_saved(path: Path) -> None:
    for value, match in (
        ({minidl.tensor([1.0]): 1}, "a key of extra.a is a Tensor, which can't be stored"),
        (10**5000, r"extra.a is an int of \d+ bits, which can't be stored"),
    ):
        with pytest.raises(DTypeError, match=f"^save_checkpoint: {match}"):
            save_checkpoint(path, extra={"a": value})
    assert not path.exists()
    extra = {"\ud800": np.arange(2), "\udc00$": {"$array": 1}, "large": 10**4000, (1, "a"): None, "array": np.ones(1)}
    save_checkpoint(path, extra=extra)
    loaded = load_checkpoint(path)
    assert list(loaded) == list(extra) and loaded["large"] == 10**4000 and loaded["\ud800"].tolist() == [0, 1]


def test_sizes_that_a_file_teaches_are_forgotten_when_it_is_refused(path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Dense(16, 2))
    save_checkpoint(path, model=model, optimizer=optim.SGD(model.parameters()))
    rewritten(path, lambda p: p["optimizer"]["state"]["param_groups"][0].update(momentum=-1))
    fresh = nn.Sequential(nn.Conv2d(None, 4, 3), nn.Flatten(), nn.Dense(None, 2))
    before = minidl.default_generator().bit_generator.state
    with pytest.raises(CheckpointError, match="momentum must be"):
        load_checkpoint(path, model=fresh, optimizer=optim.SGD(fresh.parameters()))
    assert [p.is_initialised for p in fresh.parameters()] == [False, True, False, True]
    assert fresh[0].in_channels is None and minidl.default_generator().bit_generator.state == before
    assert F.relu(fresh(minidl.ones(1, 1, 4, 4))).shape == (1, 2)
    assert FORMAT in path.read_text(errors="replace")
