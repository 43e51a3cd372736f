"""Whole models beside PyTorch's: a state dict that PyTorch wrote is loaded by name, and training goes the same way.

A network with ReLUs has gradients that jump. Where a number is within rounding of a jump, two implementations may stand
on different sides of it, and deep networks then drift apart; so inputs are drawn until PyTorch, in float64, finds all
numbers before activations and in pools to lie off the jumps. For the same reason the weights that are saved are such
that activations see both of their sides, but mostly work on one: batch norm before half-open ReLUs multiplies every
difference by 1.2 a layer, which makes a hundredfold of rounding in MobileNetV2's 35.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import models
import numpy as np
import pytest
from parity import assert_close, counts

import minidl
import minidl.functional as F
from minidl import optim
from minidl.errors import StateDictError

# Arguments, and a batch.
MODELS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "LeNet": ({}, (8, 1, 28, 28)),
    "ResNet18": ({"width": 4, "classes": 10}, (8, 3, 64, 64)),
    "MobileNetV2": ({"width": 0.1, "classes": 10, "last": 32, "dropout": 0.0}, (8, 3, 64, 48)),
}
STEPS = 3
# Of the largest value.
TOLERANCE = {"float32": 1e-5, "float64": 1e-9}
every_model = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The bits are the same with any number; small layers on a busy machine are faster with one."""
    before = minidl.get_num_threads()
    minidl.set_num_threads(1)
    yield
    minidl.set_num_threads(before)


def saved_model(torch: Any, name: str, dtype: str) -> Any:
    """A PyTorch model as it may be after some training: running statistics and batch norm's parameters are not those
    that it starts from."""
    torch.manual_seed(0)
    model = models.in_pytorch(torch)[name](**MODELS[name][0])
    for module in model.modules():
        children = list(module.children())
        for layer, following in zip(children, [*children[1:], None], strict=False):
            if isinstance(layer, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(layer.weight, 0.5, 1.0)
                torch.nn.init.normal_(layer.bias, 0.0, 0.3)
                if isinstance(following, torch.nn.ReLU6):
                    # Two or so standard deviations above 0, or below 6.
                    shift = torch.rand(layer.num_features) + 1
                    layer.bias.data.copy_(torch.where(torch.rand(layer.num_features) < 1 / 3, shift + 3, shift))
                layer.momentum = None
    model.train()
    with torch.no_grad():
        for _ in range(5):
            model(torch.randn(MODELS[name][1]))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.1
    return model.to(getattr(torch, dtype))


def loaded_model(torch: Any, name: str, dtype: str, theirs: Any, folder: Path) -> Any:
    """minidl's model with what PyTorch's wrote to a file."""
    from safetensors.numpy import load_file
    from safetensors.torch import save_file

    save_file(theirs.state_dict(), folder / "model.safetensors")
    ours = getattr(models, name)(**MODELS[name][0]).to(dtype)
    assert ours.load_state_dict(load_file(folder / "model.safetensors")) == ([], [])
    return ours


def distance_from_jumps(torch: Any, model: Any, x: np.ndarray) -> float:
    """How far the numbers before activations and within pools are from where a gradient jumps."""
    twin = deepcopy(model).double().train()
    distances = []

    def note(module: Any, args: tuple) -> None:
        (value,) = args
        if isinstance(module, torch.nn.MaxPool2d):
            pad = torch.nn.functional.pad(value, (module.padding,) * 4, value=-1.0)
            windows = pad.unfold(2, module.kernel_size, module.stride).unfold(3, module.kernel_size, module.stride)
            first, second = windows.flatten(4).topk(2)[0].unbind(-1)
            # Where all are 0 after a ReLU nothing is near.
            distances.append((first - second)[first > 0].min())
        elif isinstance(module, torch.nn.ReLU6):
            distances.append(torch.minimum(value.abs(), (value - 6).abs()).min())
        elif isinstance(module, torch.nn.ReLU):
            distances.append(value.abs().min())

    for module in twin.modules():
        module.register_forward_pre_hook(note)
    with torch.no_grad():
        twin(torch.tensor(x, dtype=torch.float64))
    assert distances
    return min(float(d) for d in distances)


def batches(torch: Any, name: str, model: Any, dtype: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A batch for each step of training, off the jumps of the model as it is then."""
    rng, shape = np.random.default_rng(0), MODELS[name][1]
    for _ in range(STEPS):
        for _ in range(100):
            x = rng.normal(size=shape).astype(dtype)
            if distance_from_jumps(torch, model, x) > 1e-5:
                break
        else:
            pytest.fail("no inputs off the jumps")
        yield x, rng.integers(0, 10, shape[0])


def assert_gradients_close(ours: Any, theirs: Any, dtype: str, note: str) -> set[str]:
    """All parameters' gradients, beside the largest of them; returns the names of those that vanish.

    Some are sums of which little or, as a shift's before a convolution and batch norm, nothing is left. So in float32
    each is compared with the largest gradient of the model, and (less strictly) with its own largest value; in float64
    all but those of which nothing is left with their own.
    """
    expected = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
    assert [name for name, _ in ours.named_parameters()] == list(expected)
    largest = max(float(np.abs(g).max()) for g in expected.values())
    vanishing = set()
    for name, parameter in ours.named_parameters():
        found, what = parameter.grad.data, f"gradient of {name}, {note}"
        assert found.dtype == dtype
        assert_close(found, expected[name], TOLERANCE[dtype], what, largest)
        if np.abs(expected[name]).max() < {"float32": 1e-5, "float64": 1e-12}[dtype] * largest:
            vanishing.add(name)
        else:
            assert_close(found, expected[name], {"float32": 1e-4, "float64": TOLERANCE[dtype]}[dtype], what)
        counts["arrays of whole models beside PyTorch's"] += 1
    # A shift at the end of each of MobileNetV2's 17 blocks.
    assert len(vanishing) == (17 if isinstance(ours, models.MobileNetV2) else 0)
    return vanishing


def assert_states_close(ours: Any, theirs: Any, dtype: str, note: str) -> None:
    """Parameters and running statistics."""
    expected = theirs.state_dict()
    assert list(ours.state_dict()) == list(expected)
    for name, value in ours.state_dict().items():
        assert_close(value.data, expected[name].numpy(), TOLERANCE[dtype], f"{name}, {note}")
        counts["arrays of whole models beside PyTorch's"] += 1


def compare_in_evaluation_mode(torch: Any, ours: Any, theirs: Any, x: np.ndarray, dtype: str, note: str) -> None:
    ours.eval()
    theirs.eval()
    y, z = ours(x), theirs(torch.tensor(x))
    assert y.dtype == dtype
    assert_close(y.data, z.detach().numpy(), TOLERANCE[dtype], note)
    ours.train()
    theirs.train()


@pytest.mark.parametrize("dtype", TOLERANCE)
@every_model
def test_outputs_gradients_and_statistics_equal_pytorchs(torch: Any, name: str, dtype: str, tmp_path: Path) -> None:
    theirs = saved_model(torch, name, dtype)
    ours = loaded_model(torch, name, dtype, theirs, tmp_path)
    assert_states_close(ours, theirs, dtype, "as loaded")
    mine = optim.SGD(ours.parameters(), lr=0.01, momentum=0.9)
    other = torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.9)
    before = {key: value.data.copy() for key, value in ours.state_dict().items()}
    for step, (x, target) in enumerate(batches(torch, name, theirs, dtype)):
        note = f"step {step}"
        if step == 0:
            compare_in_evaluation_mode(torch, ours, theirs, x, dtype, "evaluation before training")
        a, b = minidl.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = ours(a), theirs(b)
        assert y.dtype == dtype
        assert_close(y.data, z.detach().numpy(), TOLERANCE[dtype], f"output, {note}")
        mine.zero_grad()
        other.zero_grad()
        F.cross_entropy(y, target).backward()
        torch.nn.functional.cross_entropy(z, torch.tensor(target)).backward()
        vanishing = assert_gradients_close(ours, theirs, dtype, note)
        assert_close(a.grad.data, b.grad.numpy(), TOLERANCE[dtype], f"gradient of the input, {note}")
        mine.step()
        other.step()
        assert_states_close(ours, theirs, dtype, note)
    compare_in_evaluation_mode(torch, ours, theirs, x, dtype, "evaluation after training")
    still = {key for key, value in ours.state_dict().items() if np.array_equal(value.data, before[key])}
    assert still <= vanishing, f"training left {still - vanishing} as it was"


@every_model
def test_a_wrong_weight_is_noticed(torch: Any, name: str, tmp_path: Path) -> None:
    """Each array of the state plays its part: outputs in evaluation mode are others if a tenth is added to it."""
    theirs = saved_model(torch, name, "float64")
    ours = loaded_model(torch, name, "float64", theirs, tmp_path).eval()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *MODELS[name][1][1:]))
    expected = ours(x).data
    for key, value in ours.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            before = value.data.copy()
            value.data += (0.1 * np.abs(before).max() + 0.05) * rng.uniform(0.5, 1, before.shape)
            change = np.abs(ours(x).data - expected).max() / np.abs(expected).max()
            assert change > 100 * TOLERANCE["float32"], f"{key} changes the output by {change:.1g}"
            value.data[...] = before


@every_model
def test_loading_is_strict(torch: Any, name: str) -> None:
    state = {key: value.numpy() for key, value in saved_model(torch, name, "float32").state_dict().items()}
    ours = getattr(models, name)(**MODELS[name][0])
    before = {key: value.data.copy() for key, value in ours.state_dict().items()}
    last = list(state)[-1]
    renamed = {("other" if key == last else key): value for key, value in state.items()}
    with pytest.raises(StateDictError, match=rf"missing: {last}\n  unexpected: other"):
        ours.load_state_dict(renamed)
    with pytest.raises(StateDictError, match=rf"misshapen: {last} has shape \(1, .*, the module's is \("):
        ours.load_state_dict({**state, last: state[last][None]})
    assert all(np.array_equal(value.data, before[key]) for key, value in ours.state_dict().items())
    assert ours.load_state_dict(renamed, strict=False) == ([last], ["other"])


@pytest.mark.parametrize(("name", "parameters", "entries", "some"), [
    ("LeNet", 61_706, 10, ["conv1.weight", "conv2.bias", "fc3.weight"]),
    ("ResNet18", 11_689_512, 122, [
        "conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.num_batches_tracked", "layer4.1.bn2.running_var", "fc.bias",
    ]),
    ("MobileNetV2", 3_504_872, 314, [
        "features.0.0.weight", "features.0.1.weight", "features.1.conv.0.0.weight", "features.1.conv.1.weight",
        "features.2.conv.0.1.running_var", "features.17.conv.3.num_batches_tracked", "features.18.1.bias",
        "classifier.1.weight",
    ]),
])  # fmt: skip
def test_they_are_the_published_models(torch: Any, name: str, parameters: int, entries: int, some: list[str]) -> None:
    """By the number of parameters at full width, and by torchvision's names."""
    ours, theirs = getattr(models, name)(), models.in_pytorch(torch)[name]()
    assert sum(p.numel() for p in ours.parameters()) == parameters
    state = ours.state_dict()
    assert len(state) == entries and set(some) <= set(state)
    assert {key: value.shape for key, value in state.items()} == {
        key: tuple(value.shape) for key, value in theirs.state_dict().items()
    }
