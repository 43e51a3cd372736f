"""Several Python threads at one graph, one leaf, one layer: each gets what it would get alone."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.autograd import Op
from minidl.errors import GraphError
from minidl.ops.arithmetic import div, mul

TIMEOUT = 60


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads take turns as often as Python lets them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(*functions: Callable[[], Any]) -> list[Any]:
    """What each gives in a thread of its own; an error of one of them is raised here."""
    results: list[Any] = [None] * len(functions)
    errors: list[BaseException] = []

    def run(i: int) -> None:
        try:
            results[i] = functions[i]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


class Meeting(Op):
    """a * b, in whose backward pass two threads wait for one another."""

    def __init__(self, barrier: threading.Barrier) -> None:
        self.barrier = barrier

    def forward(self, a, b):
        self.save(a, b)
        return a * b

    def backward(self, grad):
        a, b = self.saved
        self.barrier.wait()
        needs = self.needs
        self.barrier.wait()
        return mul(grad, b) if needs[0] else None, mul(grad, a) if needs[1] else None


class Hypotenuse(Op):
    """c = sqrt(a^2 + b^2), whose gradients are of the result: a / c and b / c."""

    def forward(self, a, b):
        c = np.sqrt(a * a + b * b)
        self.save(a, b, c)
        return c

    def backward(self, grad):
        a, b, c = self.saved
        return mul(grad, div(a, c)) if self.needs[0] else None, mul(grad, div(b, c)) if self.needs[1] else None


def leaf(*values: float) -> Any:
    return minidl.tensor(values, "float64", requires_grad=True)


class TestBackward:
    @pytest.mark.parametrize("recorded", [False, True])
    def test_two_passes_want_different_gradients(self, recorded: bool) -> None:
        """`needs` was narrowed in the graph itself, where the other thread read it."""
        a, b = leaf(2, 3), leaf(5, 7)
        y = Meeting(threading.Barrier(2, timeout=TIMEOUT))(a, b).sum()
        of_a, of_b = together(
            lambda: minidl.grad(y, a, retain_graph=True, create_graph=recorded),
            lambda: minidl.grad(y, b, retain_graph=True, create_graph=recorded),
        )
        assert of_a[0].tolist() == [5, 7] and of_b[0].tolist() == [2, 3]
        a.grad = b.grad = None
        y._op.edges[0].barrier = threading.Barrier(1)
        y.backward()
        assert a.grad.tolist() == [5, 7] and b.grad.tolist() == [2, 3], "the graph is as it was"

    def test_an_error_leaves_the_graph_as_it_was(self) -> None:
        a, b = leaf(2), leaf(5)
        y = Meeting(threading.Barrier(1))(a, b)
        needs = y._op.needs
        y._op.barrier.abort()
        with pytest.raises(threading.BrokenBarrierError):
            minidl.grad(y, a)
        assert y._op.needs is needs

    def test_a_result_that_was_saved_keeps_its_history_in_a_narrowed_pass(self) -> None:
        """d/db of dc/da = a / c is -a b / c^3, along the result."""
        a, b = leaf(3), leaf(4)
        (slope,) = minidl.grad(Hypotenuse()(a, b), a, create_graph=True)
        (mixed,) = minidl.grad(slope, b, retain_graph=True)
        np.testing.assert_allclose(mixed.data, [-12 / 125])
        slope.backward()
        np.testing.assert_allclose(b.grad.data, [-12 / 125])
        np.testing.assert_allclose(a.grad.data, [1 / 5 - 9 / 125])

    def test_a_leaf_that_all_add_to(self, hurried: None) -> None:
        p, times = minidl.tensor(np.zeros(200_000, np.float32), requires_grad=True), 15
        for _ in range(4):
            p.grad = None
            together(*[lambda: [(p * 1.0).sum().backward() for _ in range(times)]] * 4)
            assert np.unique(p.grad.data).tolist() == [4 * times]

    def test_a_retained_gradient_that_all_add_to(self, hurried: None) -> None:
        p, times = minidl.tensor(np.zeros(100_000, np.float32), requires_grad=True), 15
        y = p * 1.0
        y.retain_grad()
        loss = y.sum()
        together(*[lambda: [loss.backward(retain_graph=True) for _ in range(times)]] * 4)
        assert np.unique(y.grad.data).tolist() == [4 * times]

    @pytest.mark.parametrize("recorded", [False, True])
    @pytest.mark.parametrize("kind", ["dense", "convolution", "product"])
    def test_another_pass_frees_the_graph_in_the_midst(
        self, kind: str, recorded: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever an op has read by then serves it, and of what is missing it says so."""
        x = minidl.ones(16, 1, 8, 8)
        y = {
            "dense": nn.Sequential(nn.Flatten(), nn.Dense(64, 5), nn.Tanh(), nn.Dense(5, 2)),
            "convolution": nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2)),
            "product": lambda x: x * nn.Parameter(2.0),
        }[kind](x)
        read = type(y._op).saved_arrays

        def read_and_free(op: Op) -> tuple:
            arrays = read(op)
            (op._node or op).free()
            return arrays

        monkeypatch.setattr(type(y._op), "saved_arrays", read_and_free)
        try:
            y.sum().backward(create_graph=recorded)
        except GraphError as error:
            assert "backward through this graph a second time" in str(error)

    def test_several_passes_through_a_graph_that_the_first_frees(self, hurried: None) -> None:
        model, x, outcomes = nn.Sequential(nn.Dense(20, 30), nn.ReLU(), nn.Dense(30, 5)), minidl.ones(33, 20), []

        def run(y: Any) -> None:
            try:
                outcomes.append(y.backward())
            except GraphError as error:
                outcomes.append(str(error))

        for _ in range(50):
            y = model(x).sum()
            together(*[lambda y=y: run(y)] * 3)  # type: ignore[misc]
        assert len(outcomes) == 150
        assert all(o is None or "a second time, after what it saved was freed" in o for o in outcomes)


class Waiting:
    """A layer's `reset_parameters`, in the midst of which another thread calls the layer."""

    def __init__(self, layer: Any) -> None:
        self.layer, self.reset = layer, layer.reset_parameters
        self.inside, self.go_on = threading.Event(), threading.Event()
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        self.inside.set()
        self.go_on.wait(0.1)
        self.reset()


SIZED: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "Dense": (lambda: nn.Dense(None, 3), (2, 4)),
    "Conv2d": (lambda: nn.Conv2d(None, 3, 2), (1, 2, 5, 5)),
    "Conv1d": (lambda: nn.Conv1d(None, 3, 2), (1, 2, 5)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(None, 3, 2), (1, 2, 5, 5)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(None, 3, 2), (1, 2, 5)),
}


class TestSizesThatAreInferred:
    @pytest.mark.parametrize("in_sequential", [False, True])
    @pytest.mark.parametrize("name", SIZED)
    def test_a_call_while_another_thread_draws(
        self, name: str, in_sequential: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make, shape = SIZED[name]
        layer, x = make(), minidl.ones(*shape)
        model = nn.Sequential(layer, nn.ReLU()) if in_sequential else layer
        waiting = Waiting(layer)
        object.__setattr__(layer, "reset_parameters", waiting)

        def second() -> Any:
            assert waiting.inside.wait(TIMEOUT)
            return model(x)

        one, other = together(lambda: model(x), second)
        assert waiting.calls == 1
        np.testing.assert_allclose(one.data, other.data, rtol=1e-6)
        np.testing.assert_allclose(model(x).data, one.data, rtol=1e-6)

    def test_what_an_interrupt_has_left_is_drawn_by_the_next_call(self, monkeypatch: pytest.MonkeyPatch) -> None:
        layer, reset = nn.Dense(None, 3), nn.Dense.reset_parameters
        object.__setattr__(layer, "reset_parameters", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            layer(minidl.ones(1, 2))
        layer.weight.data[...] = np.nan
        object.__setattr__(layer, "reset_parameters", lambda: reset(layer))
        assert np.isfinite(layer(minidl.ones(1, 2)).data).all() and layer.weight.shape == (3, 2)

    def test_four_threads(self, hurried: None) -> None:
        for i in range(20):
            model = nn.Sequential(nn.Conv2d(None, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dense(None, 8), nn.Dense(None, 3))
            x = minidl.tensor(np.random.default_rng(i).normal(size=(3, 2, 6, 6)).astype(np.float32))
            results = together(*[lambda model=model, x=x: model(x).data] * 4)  # type: ignore[misc]
            for found in results:
                np.testing.assert_allclose(found, model(x).data, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_batches_of_several_threads_are_all_counted(momentum: float | None, hurried: None) -> None:
    layer = nn.BatchNorm1d(50, momentum=momentum)
    x = minidl.tensor(np.random.default_rng(0).normal(3, 1, size=(8, 50)).astype(np.float32))
    together(*[lambda: [layer(x) for _ in range(40)]] * 4)
    assert layer.num_batches_tracked.item() == 160
    mean = x.data.mean(axis=0)
    expected = mean if momentum is None else mean * (1 - 0.9**160)
    np.testing.assert_allclose(layer.running_mean.data, expected, rtol=1e-5)


def test_setting_the_number_of_threads_while_another_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default was found, which takes time, and then written over what had been set."""
    before = minidl.get_num_threads()
    monkeypatch.setattr(minidl.runtime._Threads, "wanted", None)
    monkeypatch.setattr(minidl.runtime._Threads, "otherwise", None)
    monkeypatch.setattr(minidl.runtime._Threads, "environment", None)

    def slow() -> int:
        minidl.set_num_threads(3)
        return 2

    monkeypatch.setattr(minidl.runtime, "available_cores", slow)
    minidl.get_num_threads()
    assert minidl.get_num_threads() == 3
    minidl.set_num_threads(before)
