"""Plain safetensors files: what PyTorch wrote, by name and strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.errors import CheckpointError, DTypeError, StateDictError


def model(features: int | None = 4) -> nn.Sequential:
    return nn.Sequential(nn.Dense(features, 3), nn.BatchNorm1d(3))


def test_pytorchs_file_loads(torch: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    theirs = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    theirs(torch.randn(5, 4))
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    for ours in (model(), model(None)):
        result = minidl.load_weights(tmp_path / "theirs.safetensors", ours)
        assert result == ([], [])
        for name, tensor in theirs.state_dict().items():
            assert np.array_equal(ours.state_dict()[name].data, tensor.numpy()), name


def test_our_file_loads_there(torch: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    ours = model()
    minidl.save_weights(tmp_path / "ours.safetensors", ours)
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    theirs.load_state_dict(load_file(tmp_path / "ours.safetensors"))
    assert np.array_equal(theirs[0].weight.detach().numpy(), ours[0].weight.data)


def test_half_precision_is_widened(torch: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = torch.nn.Linear(4, 3).state_dict()
    save_file({name: tensor.half() for name, tensor in state.items()}, tmp_path / "half.safetensors")
    dense = nn.Dense(4, 3)
    minidl.load_weights(tmp_path / "half.safetensors", dense)
    assert np.array_equal(dense.weight.data, state["weight"].half().float().numpy())


def test_bfloat16_is_refused_by_name(torch: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = torch.nn.Linear(4, 3).state_dict()
    save_file({name: tensor.bfloat16() for name, tensor in state.items()}, tmp_path / "b.safetensors")
    with pytest.raises(CheckpointError, match="(bias|weight) has a dtype that NumPy does not know"):
        minidl.load_weights(tmp_path / "b.safetensors", nn.Dense(4, 3))


def test_names_and_shapes_are_strict(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    minidl.save_weights(path, nn.Sequential(nn.Dense(4, 3)))
    ours = model()
    before = {name: tensor.data.copy() for name, tensor in ours.state_dict().items()}
    with pytest.raises(StateDictError, match=r"missing: 1\.weight"):
        minidl.load_weights(path, ours)
    assert all(np.array_equal(before[name], tensor.data) for name, tensor in ours.state_dict().items())
    assert minidl.load_weights(path, ours, strict=False).missing_keys[0] == "1.weight"
    with pytest.raises(StateDictError, match="0.weight has shape"):
        minidl.load_weights(path, nn.Sequential(nn.Dense(5, 3)), strict=False)


def test_bad_files_and_models(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="load_weights: .*there is no such file"):
        minidl.load_weights(tmp_path / "none.safetensors", model())
    (tmp_path / "cut.safetensors").write_bytes(b"\x99" * 40)
    with pytest.raises(CheckpointError, match="load_weights: .*is truncated, damaged"):
        minidl.load_weights(tmp_path / "cut.safetensors", model())
    for call in (minidl.load_weights, minidl.save_weights):
        with pytest.raises(DTypeError, match="model must be a Module, got dict"):
            call(tmp_path / "a.safetensors", {})  # type: ignore[arg-type]
