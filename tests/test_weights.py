"""Plain safetensors files: what PyTorch wrote, by name and strictly."""

from __future__ import annotations

import json
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import nn, optim
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


class Tied(nn.Module):
    """A language model's form: what embeds words also scores them."""

    def __init__(self, words: int = 7, is_tied: bool = True) -> None:
        self.embed = nn.Embedding(words, 3)
        self.inner = nn.Dense(3, 3)
        self.score = nn.Dense(3, words, bias=False)
        if is_tied:
            self.score.weight = self.embed.weight


def tied_in_pytorch(torch: Any) -> Any:
    class Theirs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.inner = torch.nn.Embedding(7, 3), torch.nn.Linear(3, 3)
            self.score = torch.nn.Linear(3, 7, bias=False)
            self.score.weight = self.embed.weight

    return Theirs()


def test_a_tied_model_of_pytorch_loads(torch: Any, tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_model

    theirs, path = tied_in_pytorch(torch), str(tmp_path / "tied")
    save_model(theirs, path)
    with safe_open(path, framework="np") as file:
        assert sorted(file.keys()) == ["embed.weight", "inner.bias", "inner.weight"]
        assert file.metadata()["score.weight"] == "embed.weight"
    ours = Tied()
    assert minidl.load_weights(path, ours) == ([], [])
    assert ours.score.weight is ours.embed.weight
    for name, tensor in theirs.state_dict().items():
        assert np.array_equal(ours.state_dict()[name].data, tensor.numpy()), name
    # Our own files have both names, which load_state_dict asks for.
    minidl.save_weights(path, ours)
    again = tied_in_pytorch(torch)
    again.load_state_dict(load_file(path))
    assert torch.equal(again.score.weight, theirs.score.weight)
    minidl.load_weights(path, Tied())


def test_what_a_file_says_of_twins_is_compared_with_the_model(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    state = {name: tensor.data for name, tensor in Tied().state_dict().items()}
    one = {name: array for name, array in state.items() if name != "score.weight"}
    path = tmp_path / "file"
    # The model knows, whether the file says so (transformers' files don't) or not; and so for either name.
    for arrays in (one, {name: array for name, array in state.items() if name != "embed.weight"}):
        save_file(arrays, path)
        ours = Tied()
        minidl.load_weights(path, ours)
        assert np.array_equal(ours.score.weight.data, state["embed.weight"])
    save_file(one, path, {"score.weight": "embed.weight"})
    apart = Tied(is_tied=False)
    before = {name: tensor.tolist() for name, tensor in apart.state_dict().items()}
    says = "score.weight is missing: the file was written by a model in which it and embed.weight were one tensor, and "
    with pytest.raises(
        StateDictError, match=f"^load_weights: {path}: Tied does not fit; {says}in this model they are two"
    ):
        minidl.load_weights(path, apart)
    assert {name: tensor.tolist() for name, tensor in apart.state_dict().items()} == before
    assert minidl.load_weights(path, apart, strict=False).missing_keys == ["score.weight"]
    save_file(one, path, {"score.weight": "nowhere"})
    minidl.load_weights(path, Tied())
    with pytest.raises(
        StateDictError, match="score.weight is missing, and so is 'nowhere', which the file says stands"
    ):
        minidl.load_weights(path, apart)
    # The file's twin is another one than the model's.
    save_file(one, path, {"score.weight": "inner.weight"})
    with pytest.raises(StateDictError, match="it and inner.weight were one tensor, and in this model they are two"):
        minidl.load_weights(path, Tied())
    save_file({name: array for name, array in state.items() if "weight" not in name}, path)
    with pytest.raises(
        StateDictError, match=f"^load_weights: {path}: .*missing: embed.weight, inner.weight, score.weight"
    ):
        minidl.load_weights(path, Tied())


def test_what_does_not_fit_is_not_read(tmp_path: Path) -> None:
    """6 GB in a file that takes no room on the disk: too large, under another name, of another dtype."""
    path, large = tmp_path / "sparse", 3 * 2**29
    entries = {
        name: {"dtype": "F32", "shape": [large // 4], "data_offsets": [4 * large // 4 * i, 4 * large // 4 * (i + 1)]}
        for i, name in enumerate(("weight", "bias", "other"))
    }
    entries["half"] = {"dtype": "F16", "shape": [large // 2], "data_offsets": [3 * large, 4 * large]}
    header = json.dumps(entries).encode()
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        try:
            file.truncate(8 + len(header) + 4 * large)
        except OSError:
            pytest.skip("this file system has no sparse files")
    tracemalloc.start()
    try:
        for strict in (True, False):
            with pytest.raises(StateDictError, match=rf"weight has shape \({large // 4},\), the module's is \(3, 4\)"):
                minidl.load_weights(path, nn.Dense(4, 3), strict)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_what_float32_does_not_hold_becomes_infinite_as_in_pytorch(torch: Any, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    arrays = {"weight": np.array([[1e300, -1e300, 1e-300]]), "bias": np.zeros(1)}
    save_file(arrays, tmp_path / "file")
    ours, theirs = nn.Dense(3, 1), torch.nn.Linear(3, 1)
    optimizer = optim.SGD([ours.weight], momentum=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        minidl.load_weights(tmp_path / "file", ours)
        state = optimizer.state_dict()
        optimizer.load_state_dict({**state, "state": {0: {"momentum_buffer": arrays["weight"]}}})
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    assert ours.weight.tolist() == theirs.weight.tolist() == [[np.inf, -np.inf, 0]]
    assert optimizer.state[ours.weight]["momentum_buffer"].tolist() == [[np.inf, -np.inf, 0]]


def test_sizes_that_a_file_teaches_are_all_learned_or_none(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    minidl.save_weights(path, nn.Sequential(nn.Dense(4, 3), nn.Dense(3, 2)))
    lazy = nn.Sequential(nn.Dense(None, 3), nn.Dense(None, 4))
    generator = minidl.default_generator().bit_generator.state
    with pytest.raises(StateDictError, match="1.weight has shape"):
        minidl.load_weights(path, lazy)
    assert [p.is_initialised for p in lazy.parameters()] == [False, True, False, True]
    assert minidl.default_generator().bit_generator.state == generator


def test_bad_files_and_models(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="load_weights: .*there is no such file"):
        minidl.load_weights(tmp_path / "none.safetensors", model())
    (tmp_path / "cut.safetensors").write_bytes(b"\x99" * 40)
    with pytest.raises(CheckpointError, match="load_weights: .*is truncated, damaged"):
        minidl.load_weights(tmp_path / "cut.safetensors", model())
    for call in (minidl.load_weights, minidl.save_weights):
        with pytest.raises(DTypeError, match="model must be a Module, got dict"):
            call(tmp_path / "a.safetensors", {})  # type: ignore[arg-type]
