"""Every layer's state through both kinds of files and back, bit for bit, and through PyTorch's hands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bits import bits
from test_layer_gradients import LAYERS

import minidl
from minidl import nn
from minidl.checkpoint import load_checkpoint, save_checkpoint


class Scalars(nn.Module):
    """State without axes, and without elements."""

    def __init__(self) -> None:
        self.scale = nn.Parameter(np.float64(1.5))
        self.empty = nn.Parameter(np.ones((0, 3)))
        self.register_buffer("steps", minidl.tensor(7))
        self.register_buffer("is_ready", minidl.tensor(True))
        self.register_buffer("bytes", minidl.Tensor(np.array(200, np.uint8)))


def layer(name: str) -> nn.Module:
    if name == "Scalars":
        return Scalars()
    made = LAYERS[name][0]()
    # Losses are there as functions of their input.
    return made if isinstance(made, nn.Module) else getattr(nn, name)()


def filled(name: str) -> nn.Module:
    """A layer whose state is of other values than it begins with, NaN and -0 among them."""
    made, random = layer(name), np.random.default_rng(0)
    for tensor in (*made.parameters(), *made.buffers()):
        array = tensor.data
        array[...] = random.integers(0, 2, array.shape) if array.dtype.kind != "f" else random.normal(size=array.shape)
        if array.dtype.kind == "f" and array.size > 1:
            array.flat[0], array.flat[1] = np.nan, -0.0
    return made


def state_bits(module: nn.Module) -> dict[str, str]:
    return {name: bits(tensor.data) for name, tensor in module.state_dict().items()}


every_layer = pytest.mark.parametrize("name", [*LAYERS, "Scalars"])


@every_layer
def test_through_both_files_and_back(name: str, tmp_path: Path) -> None:
    saved = filled(name)
    minidl.save_weights(tmp_path / "weights", saved)
    save_checkpoint(tmp_path / "checkpoint", model=saved)
    for kind in ("weights", "checkpoint"):
        loaded = layer(name)
        if kind == "weights":
            assert minidl.load_weights(tmp_path / kind, loaded) == ([], [])
        else:
            load_checkpoint(tmp_path / kind, model=loaded)
        assert state_bits(loaded) == state_bits(saved), kind


@every_layer
def test_through_pytorch_and_back(torch: Any, name: str, tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    saved = filled(name)
    minidl.save_weights(tmp_path / "weights", saved)
    save_checkpoint(tmp_path / "checkpoint", model=saved)
    for kind, prefix in (("weights", ""), ("checkpoint", "model.")):
        with safe_open(tmp_path / kind, framework="pt") as file:
            metadata = file.metadata()
        tensors = load_file(tmp_path / kind)
        theirs = {key.removeprefix(prefix): bits(tensor.numpy()) for key, tensor in tensors.items()}
        assert theirs == state_bits(saved), kind
        # What PyTorch writes of it lies in the file in another way, and is the same.
        save_file(dict(reversed(tensors.items())), tmp_path / kind, metadata)
        loaded = layer(name)
        if kind == "weights":
            minidl.load_weights(tmp_path / kind, loaded)
        else:
            load_checkpoint(tmp_path / kind, model=loaded)
        assert state_bits(loaded) == state_bits(saved), kind


WITH_STATE: list[tuple[str, tuple, dict]] = [
    ("Conv1d", (4, 6, 3), {"groups": 2}),
    ("Conv2d", (4, 6, (3, 2)), {}),
    ("ConvTranspose1d", (4, 6, 3), {}),
    ("ConvTranspose2d", (4, 6, 3), {"groups": 2}),
    ("BatchNorm1d", (3,), {}),
    ("BatchNorm2d", (3,), {}),
    ("InstanceNorm2d", (3,), {"affine": True, "track_running_stats": True}),
    ("GroupNorm", (2, 4), {}),
    ("LayerNorm", ((4, 5),), {}),
    ("Linear", (4, 3), {}),
    ("Embedding", (5, 3), {}),
    ("PReLU", (3,), {}),
]


@pytest.mark.parametrize(("name", "arguments", "options"), WITH_STATE, ids=[row[0] for row in WITH_STATE])
def test_into_pytorchs_layer_and_out_of_it(
    torch: Any, name: str, arguments: tuple, options: dict, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, load_model, save_file, save_model

    ours, theirs = getattr(nn, name)(*arguments, **options), getattr(torch.nn, name)(*arguments, **options)
    minidl.save_weights(tmp_path / "ours", ours)
    theirs.load_state_dict(load_file(tmp_path / "ours"))
    assert {key: bits(tensor.numpy()) for key, tensor in theirs.state_dict().items()} == state_bits(ours)
    theirs = getattr(torch.nn, name)(*arguments, **options)
    for write in (
        lambda: save_file(theirs.state_dict(), tmp_path / "theirs"),
        lambda: save_model(theirs, str(tmp_path / "theirs")),
    ):
        write()
        minidl.load_weights(tmp_path / "theirs", ours)
        assert state_bits(ours) == {key: bits(tensor.numpy()) for key, tensor in theirs.state_dict().items()}
    minidl.save_weights(tmp_path / "ours", ours)
    load_model(theirs, tmp_path / "ours")


def test_the_same_state_is_the_same_file_but_for_the_order_of_its_metadata(tmp_path: Path) -> None:
    contents = []
    for path in (tmp_path / "a", tmp_path / "b"):
        save_checkpoint(path, model=filled("BatchNorm2d"), extra={"a": np.arange(3)})
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        contents.append((json.loads(content[8 : 8 + length]), content[8 + length :]))
    assert contents[0] == contents[1]
