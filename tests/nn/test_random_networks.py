"""Networks that nobody chose: computed together, layer by layer and by PyTorch, with all gradients.

`MINIDL_EXAMPLES=20000 python -m pytest tests/nn/test_random_networks.py` tries more than the 150 networks that there
are otherwise. Each is run with three batches: one that is too small to fill half a block, one of up to a block, and one
that is empty or larger.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import parity
import pytest
from bits import bits
from geometries import EXAMPLES
from parity import assert_close
from random_networks import Network, apart, draw_network

import minidl
import minidl.functional as F
from minidl import nn
from minidl.ops.stack import ConvStack, DenseStack

Array = np.ndarray
pytestmark = pytest.mark.usefixtures("threads_everywhere")

# Of the largest value. In float64 a value can't lie within rounding of where a gradient jumps, but by a rare accident.
TOLERANCE = 1e-10
# Times the error of the layers one by one, and of the largest value: what float32 may be off by.
WORSE, LEAST = 16, 3e-6
# Of the largest value before an activation or a pool: how near to a jump of the gradient a float32 may come that is
# to lie on the same side in both.
NEAR_A_JUMP = 3e-5


class Case:
    """A network with parameters, a batch and an upstream gradient; all in float64, some of it without gradients."""

    def __init__(self, seed: int, batch: int) -> None:
        rng = np.random.default_rng([seed, 1])
        self.network: Network = draw_network(np.random.default_rng([seed, 0]))
        self.together = self.network.build(nn).to("float64")
        state = {name: rng.normal(size=t.shape) / max(t.shape[-1], 2) for name, t in self.together.state_dict().items()}
        self.together.load_state_dict(state)
        self.state = state
        self.x = rng.normal(size=(batch, *self.network.shape))
        self.wants_input = bool(rng.random() < 0.5)
        self.frozen = {name for name in state if rng.random() < 0.1}
        self.start = rng.normal(size=self.together(self.x).shape)

    def ours(self, dtype: str, watched: bool) -> nn.Sequential:
        """A copy of the network, computed layer by layer if it is watched."""
        network = self.network.build(nn).to(dtype)
        network.load_state_dict({name: value.astype(dtype) for name, value in self.state.items()})
        for name, parameter in network.named_parameters():
            parameter.requires_grad = name not in self.frozen
        return apart(network) if watched else network

    def results(self, network: nn.Sequential, dtype: str) -> tuple[Array, Array, list[Array]]:
        """The output without recording and with it, and the gradients of all that has some."""
        x = minidl.tensor(self.x.astype(dtype), requires_grad=self.wants_input)
        with minidl.no_grad():
            alone = network(x).numpy().copy()
        y = network(x)
        wanted = [t for t in (x, *network.parameters()) if t.requires_grad]
        if wanted:
            y.backward(minidl.tensor(self.start.astype(dtype)))
        return alone, y.numpy().copy(), [t.grad.numpy() for t in wanted]

    def peers(self, torch: Any) -> tuple[Array, list[Array]]:
        """PyTorch's output and gradients."""
        network = self.network.build(torch.nn).double()
        network.load_state_dict({name: torch.tensor(value) for name, value in self.state.items()})
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name not in self.frozen)
        x = torch.tensor(self.x, requires_grad=self.wants_input)
        y = network(x)
        wanted = [t for t in (x, *network.parameters()) if t.requires_grad]
        if wanted:
            y.backward(torch.tensor(self.start))
        return y.detach().numpy(), [t.grad.numpy() for t in wanted]

    def comes_near_a_jump(self) -> bool:
        """Whether a number before a ReLU is nearly 0, or two in a window of max pooling nearly equal."""
        nearest = np.inf

        def look(layer: Any, arguments: tuple[Any, ...], result: Any) -> None:
            nonlocal nearest
            x = arguments[0].numpy()
            scale = np.abs(x).max(initial=0.0)
            if not scale:
                return
            if isinstance(layer, nn.ReLU):
                nearest = min(nearest, np.abs(x[x != 0]).min(initial=np.inf) / scale)
            elif isinstance(layer, nn.MaxPool2d):
                images = x.reshape(-1, 1, *x.shape[2:])
                padding, least = layer.padding, x.min() - scale
                windows = F.unfold(images - least, layer.kernel_size, 1, padding, layer.stride).numpy() + least
                if windows.shape[1] > 1:
                    second, first = np.sort(windows, axis=1)[:, -2:].swapaxes(0, 1)
                    # Zeros behind a ReLU are exactly equal in every precision, and no gradient comes through them.
                    gaps = (first - second)[(first > 0) | (second < 0)]
                    nearest = min(nearest, gaps.min(initial=np.inf) / scale)

        network = self.ours("float64", False)
        for layer in network.children():
            layer.register_forward_hook(look)
        with minidl.no_grad():
            network(minidl.tensor(self.x))
        return bool(nearest < NEAR_A_JUMP)


class Met:
    """How often the operations of several layers ran, by how they did."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: Counter[str] = Counter()
        counts = self.counts
        for kind in (ConvStack, DenseStack):

            def noting(op: Any, x: Array, *rest: Any, kind: Any = kind, forward: Any = kind.forward) -> Array:
                way = "recorded" if op.needs else "a few samples" if len(x) < 8 else "not recorded"
                counts[f"{kind.__name__}, {way}"] += 1
                return forward(op, x, *rest)

            monkeypatch.setattr(kind, "forward", noting)


def batches(seed: int) -> tuple[int, int, int]:
    rng = np.random.default_rng([seed, 2])
    return int(rng.integers(1, 8)), int(rng.integers(8, 17)), int(rng.choice([0, *range(17, 34)]))


def check_float64(case: Case, torch: Any, threads: int) -> None:
    minidl.set_num_threads(threads)
    alone, y, gradients = case.results(case.ours("float64", False), "float64")
    minidl.set_num_threads(3 - threads)
    again = case.results(case.ours("float64", False), "float64")
    assert bits(alone, y, *gradients) == bits(again[0], again[1], *again[2]), "two threads give other bits than one"
    expected_alone, expected, expected_gradients = case.results(case.ours("float64", True), "float64")
    compared = [(alone, expected_alone), (y, expected), *zip(gradients, expected_gradients, strict=True)]
    if torch is not None:
        theirs, their_gradients = case.peers(torch)
        compared += [(y, theirs), *zip(gradients, their_gradients, strict=True)]
    scale = np.abs(case.start).max(initial=0.0)
    for i, (a, b) in enumerate(compared):
        assert_close(a, b, TOLERANCE, f"number {i}", scale if i > 1 else 0.0)


def check_float32(case: Case) -> bool:
    """Whether gradients were compared, too."""
    found = case.results(case.ours("float32", False), "float32")
    layers = case.results(case.ours("float32", True), "float32")
    exact = case.results(case.ours("float64", True), "float64")
    jumps = case.comes_near_a_jump()
    compared = [*zip(found[:2], layers[:2], exact[:2], strict=True)]
    if not jumps:
        compared += zip(found[2], layers[2], exact[2], strict=True)
    for i, (a, b, c) in enumerate(compared):
        if a.size:
            error, usual = np.abs(a - c).max(), np.abs(b - c).max()
            scale = max(np.abs(c).max(), np.abs(case.start).max(initial=0.0) if i > 1 else 0.0)
            assert error <= WORSE * usual + LEAST * scale, (
                f"number {i}: {error:.3g}, of {scale:.3g}, layers {usual:.3g}"
            )
    return not jumps


def failing(seeds: range, check: Any) -> list[str]:
    """What went wrong, each with its seed."""
    found = []
    for seed in seeds:
        for batch in batches(seed):
            case = Case(seed, batch)
            try:
                check(seed, case)
            except AssertionError as error:
                found.append(f"seed {seed}, {batch} samples of {case.network}: {str(error)[:300]}")
                break
    return found


def test_float64_equals_layer_by_layer_and_pytorch(peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    met = Met(monkeypatch)
    failures = failing(range(EXAMPLES), lambda seed, case: check_float64(case, peer, 1 + seed % 2))
    assert not failures, "\n".join(failures[:20]) + f"\n{len(failures)} of {EXAMPLES} networks"
    for kind in ("ConvStack", "DenseStack"):
        for way in ("recorded", "a few samples", "not recorded"):
            assert met.counts[f"{kind}, {way}"] >= EXAMPLES // 5, (kind, way)
    parity.counts["random networks, each with all gradients, together beside layer by layer"] += EXAMPLES


def test_float32_rounds_as_layer_by_layer_does() -> None:
    compared: Counter[bool] = Counter()

    def check(seed: int, case: Case) -> None:
        compared[check_float32(case)] += 1

    failures = failing(range(EXAMPLES), check)
    assert not failures, "\n".join(failures[:20]) + f"\n{len(failures)} of {EXAMPLES} networks"
    assert compared[True] >= EXAMPLES
