"""What was computed before, and with which precision, makes no difference to a convolution's bits.

Plans are kept from call to call; each order of calls runs in a process of its own, where nothing is kept yet.
"""

from __future__ import annotations

import numpy as np
import pytest
from bits import bits
from by_algorithm import let_the_last_be_fastest
from fresh_process import printed_by

import minidl
import minidl.functional as F
from minidl import nn

# Sets a precision: d, f. Runs all networks forward, F; their gradients, G, or recorded gradients, R.
ORDERS = ("", "dFfG", "dFfR", "dFfGfFG", "fFdG", "fFdR", "fFG", "fFR", "dFGfFGdFfG")


def networks() -> list[nn.Module]:
    """Convolutions whose gradients go by another algorithm under "fast", alone, transposed and in a run of layers."""
    generator = np.random.default_rng(1)
    return [
        nn.Conv2d(32, 32, 3, padding=1, generator=generator),
        nn.ConvTranspose2d(32, 32, 3, padding=1, generator=generator),
        nn.Sequential(nn.Conv2d(2, 6, 5, padding=2, generator=generator), nn.ReLU()),
        nn.Sequential(nn.Conv2d(32, 32, 3, padding=1, generator=generator), nn.Tanh()),
    ]


def run(order: str) -> list[str]:
    """The digest of what was computed last of each network: its output, and all gradients."""
    pairs = []
    for network in networks():
        channels = next(network.parameters()).shape[1]
        x = np.random.default_rng(2).normal(size=(32, channels, 14, 14)).astype(np.float32)
        pairs.append((network, minidl.tensor(x, requires_grad=True)))
    outputs: list = []
    digests: list[str] = []
    for word in order:
        if word in "df":
            minidl.set_precision({"d": "default", "f": "fast"}[word])
        elif word == "F":
            outputs = [network(x) for network, x in pairs]
        else:
            digests = []
            for (network, x), y in zip(pairs, outputs, strict=True):
                wanted = [x, *network.parameters()]
                grads = minidl.grad((y * y).sum(), wanted, retain_graph=True, create_graph=word == "R")
                digests.append(bits(y, *[g.numpy() for g in grads]))
    return digests


def digests_of(order: str) -> list[str]:
    program = f"import test_precision_history as t; print(*t.run({order!r}))"
    return printed_by(program).split()


@pytest.fixture(scope="module")
def fresh() -> dict[str, list[str]]:
    """What a process gives that has computed nothing else, with each precision, plain and recorded."""
    return {order: digests_of(order) for order in ("dFG", "fFG", "dFR")}


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_of_precisions(fresh: dict[str, list[str]], order: str) -> None:
    assert digests_of(order + "dFG") == fresh["dFG"]


def test_recorded_gradients_have_the_precision_of_their_call(fresh: dict[str, list[str]]) -> None:
    assert digests_of("dFfR") == fresh["dFR"]
    assert digests_of("dFfG") == fresh["dFG"]
    assert digests_of("fFdG") == fresh["fFG"]


def test_a_precision_makes_a_difference(fresh: dict[str, list[str]]) -> None:
    assert all(a != b for a, b in zip(fresh["dFG"], fresh["fFG"], strict=True))


def test_by_the_clock_each_precision_has_its_own_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = minidl.ones(4, 32, 9, 9, requires_grad=True), minidl.ones(32, 32, 3, 3)
    let_the_last_be_fastest(monkeypatch)
    minidl.benchmark_algorithms(True)
    try:
        found = {}
        for precision in ("fast", "default"):
            minidl.set_precision(precision)
            F.conv2d(x, weight).sum().backward()
            found[precision] = [name for key, name in minidl.kernels.remembered_algorithms() if precision in key]
        assert len(found["fast"]) == len(found["default"]) == 2
    finally:
        minidl.set_precision("default")
        minidl.benchmark_algorithms(False)
