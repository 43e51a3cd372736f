"""What only a planted mistake showed to be untested; see `mutants.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from op_cases import CASES, Case
from parity import assert_close

import minidl
import minidl.functional as F
from minidl import kernels, nn, optim
from minidl.autograd import Op
from minidl.checkpoint import load_checkpoint, save_checkpoint
from minidl.errors import ArgumentError, GradcheckError, GraphError, StateDictError
from minidl.geometry import Padding, sliding_window
from minidl.testing import gradcheck


def a_gradient() -> tuple[minidl.Tensor, minidl.Tensor]:
    x = minidl.tensor([3.0, 4.0], requires_grad=True)
    (x * x).sum().backward()
    return x, x.grad


def test_a_gradient_that_was_saved_and_grew_is_noticed() -> None:
    x, gradient = a_gradient()
    weight = minidl.tensor([1.0, 1.0], requires_grad=True)
    y = (weight * gradient).sum()
    (x * x).sum().backward()
    with pytest.raises(GraphError, match="modified in place"):
        y.backward()


def test_a_gradient_that_was_saved_and_clipped_is_noticed() -> None:
    x, gradient = a_gradient()
    weight = minidl.tensor([1.0, 1.0], requires_grad=True)
    y = (weight * gradient).sum()
    optim.clip_grad_norm_(x, 1.0)
    with pytest.raises(GraphError, match="modified in place"):
        y.backward()


def test_backward_leaves_recording_off_where_it_was_off() -> None:
    x = minidl.tensor([1.0], requires_grad=True)
    y = x * x
    with minidl.no_grad():
        y.backward()
        assert not minidl.is_grad_enabled()
    assert minidl.is_grad_enabled()


def test_a_decorated_function_leaves_the_mode_of_its_caller() -> None:
    @minidl.no_grad()
    def double(x: minidl.Tensor) -> minidl.Tensor:
        return x * 2

    with minidl.no_grad():
        double(minidl.tensor(1.0))
        assert not minidl.is_grad_enabled()
    double(minidl.tensor(1.0))
    assert minidl.is_grad_enabled()


def test_gradcheck_takes_no_nan_beside_the_point() -> None:
    # Below 0 there is no root, and at 0 the value and the gradient that is claimed are finite.
    def root(x: minidl.Tensor) -> minidl.Tensor:
        return x * 0.0 if x.item() == 0 else minidl.sqrt(x)

    with np.errstate(invalid="ignore"), pytest.raises(GradcheckError, match="wrong"):
        gradcheck(root, minidl.tensor(0.0, dtype="float64", requires_grad=True))


def test_the_gradient_of_0_to_the_power_of_0_is_0() -> None:
    base, exponent = minidl.tensor([0.0, 0.0], requires_grad=True), minidl.tensor([0.0, 2.0], requires_grad=True)
    (base**exponent).sum().backward()
    assert base.grad.tolist() == [0, 0]
    assert exponent.grad.tolist() == [0, 0]


@pytest.mark.parametrize("choose", [minidl.maximum, minidl.minimum])
def test_two_that_are_equal_share_the_gradient(choose: Any) -> None:
    a, b = minidl.tensor([1.0, 2.0], requires_grad=True), minidl.tensor([1.0, 2.0], requires_grad=True)
    choose(a, b).sum().backward()
    assert a.grad.tolist() == b.grad.tolist() == [0.5, 0.5]


def test_the_gradient_of_clip_at_its_limits_is_1() -> None:
    x = minidl.tensor([-2.0, -1.0, 0.0, 1.0, 2.0], requires_grad=True)
    minidl.clip(x, -1, 1).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_a_window_that_is_known_lets_nothing_pass_that_equals_its_numbers() -> None:
    for value in (1, (1, 1)):
        sliding_window("op", (5, 6), 2, value, value, value)
    for wrong in (True, 1.0, (True, 1), (1, 1.0)):
        for position in range(3):
            values = [1, 1, 1]
            values[position] = wrong  # type: ignore[call-overload]
            with pytest.raises(ArgumentError):
                sliding_window("op", (5, 6), 2, *values)


def test_a_pair_of_paddings_is_rows_and_columns() -> None:
    # By hand, since what convolutions and pooling are compared with reads its paddings here as well.
    window = sliding_window("op", (5, 6), 2, padding=(2, 1))
    assert window.padding == Padding(top=2, bottom=2, left=1, right=1)
    assert window.output_size == (8, 7)


@pytest.mark.parametrize("padding", [(2, 0), (0, 2)])
@pytest.mark.parametrize("pool", [F.max_pool2d, F.avg_pool2d])
def test_padding_beyond_half_of_the_kernel_on_one_axis_alone_is_refused(pool: Any, padding: tuple[int, int]) -> None:
    with pytest.raises(ArgumentError, match="padding must be at most half of kernel_size"):
        pool(np.ones((1, 1, 6, 6), np.float32), 3, padding=padding)


def test_the_keys_of_a_state_dict_are_whole_paths() -> None:
    model = nn.Sequential(nn.Sequential(nn.Sequential(nn.Dense(2, 1))))
    assert list(model.state_dict()) == ["0.0.0.weight", "0.0.0.bias"]


def adam_after_a_step() -> optim.Adam:
    p = nn.Parameter(np.ones((2, 3)))
    optimizer = optim.Adam([p], lr=0.1)
    (p * p).sum().backward()
    optimizer.step()
    return optimizer


def test_an_optimisers_state_dict_does_not_go_on_changing() -> None:
    optimizer = adam_after_a_step()
    saved = optimizer.state_dict()["state"][0]["exp_avg"]
    before = saved.copy()
    optimizer.step()
    assert np.array_equal(saved, before)


def test_state_that_would_broadcast_into_a_parameter_is_refused() -> None:
    optimizer = adam_after_a_step()
    state = optimizer.state_dict()
    state["state"][0]["exp_avg"] = np.ones((1, 3))
    with pytest.raises(StateDictError, match=r"exp_avg of parameter 0 has shape \(1, 3\)"):
        optimizer.load_state_dict(state)


several = {name: case for name, case in CASES.items() if case.order and case.numeric and len(case.inputs) > 1}


@pytest.mark.parametrize("case", several.values(), ids=several)
def test_an_input_alone_gets_the_gradient_that_it_gets_beside_others(case: Case) -> None:
    def gradients(wanted: set[int]) -> list[np.ndarray | None]:
        tensors = [None if x is None else minidl.Tensor(x.copy()) for x in case.inputs]
        for i in wanted:
            tensors[i].requires_grad = True
        y = case.function(*tensors, **case.kwargs)
        y.backward(np.linspace(-1, 1, y.data.size).reshape(y.data.shape))
        assert all(t is None or t.grad is None for i, t in enumerate(tensors) if i not in wanted)
        return [tensors[i].grad.data for i in sorted(wanted)]

    floating = [i for i, x in enumerate(case.inputs) if x is not None and x.dtype.kind == "f"]
    together = gradients(set(floating))
    for i, expected in zip(floating, together, strict=True):
        (found,) = gradients({i})
        assert_close(found, expected, 1e-12, f"gradient {i}", scale=1.0)


def test_a_python_float_beside_a_tensor_takes_its_dtype_and_all_of_its_digits() -> None:
    assert (minidl.tensor([1.0], dtype="float64") * 0.1).item() == 0.1
    assert (0.1 + minidl.tensor(0.0, dtype="float64")).item() == 0.1
    minidl.set_default_dtype("float64")
    try:
        assert (minidl.tensor(1.0, dtype="float32") * 0.1).dtype == np.float32
    finally:
        minidl.set_default_dtype("float32")


@pytest.mark.parametrize("shape", [(403, 300, 50), (50, 300, 403), (7, 3000, 401)])
def test_products_whose_blocks_do_not_divide_them(shape: tuple[int, int, int]) -> None:
    M, K, N = shape
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(M, K)), rng.normal(size=(K, N))
    expected = a @ b
    # Memory is used again: what is left out must not be right by chance.
    kernels.matmul(-a, b)
    assert_close(kernels.matmul(a, b), expected, 1e-12)


def test_a_resumed_run_goes_on_with_the_default_generator(tmp_path: Path) -> None:
    parameter = nn.Parameter([1.0])
    optimizer = optim.SGD([parameter], lr=0.1)
    minidl.manual_seed(5)
    save_checkpoint(tmp_path / "run", optimizer=optimizer)
    expected = minidl.default_generator().random(3)
    minidl.manual_seed(6)
    load_checkpoint(tmp_path / "run", optimizer=optimizer)
    assert np.array_equal(minidl.default_generator().random(3), expected)


def test_a_gradient_that_was_not_asked_for_goes_nowhere() -> None:
    class Product(Op):
        def forward(self, a: Any, b: Any) -> Any:
            self.save(a, b)
            return a * b

        def backward(self, grad: Any) -> Any:
            a, b = self.saved
            return grad * b, grad * a

    a, b = minidl.tensor([2.0, 3.0], requires_grad=True), minidl.tensor([5.0, 7.0], requires_grad=True)
    twice, met = a * 2, []
    twice.register_hook(lambda grad: met.append(grad))
    y = Product()(twice, b).sum()
    assert minidl.grad(y, b, retain_graph=True)[0].tolist() == [4.0, 6.0]
    assert met == []
    assert minidl.grad(y, a)[0].tolist() == [10.0, 14.0]
    assert len(met) == 1


def test_a_pass_to_one_target_leaves_the_others_their_gradients() -> None:
    a, b = minidl.tensor([2.0, 3.0], requires_grad=True), minidl.tensor([5.0, 7.0], requires_grad=True)
    y = (a * b).sum()
    (of_a,) = minidl.grad(y, a, retain_graph=True)
    (of_b,) = minidl.grad(y, b, retain_graph=True)
    assert of_a.tolist() == [5.0, 7.0]
    assert of_b.tolist() == [2.0, 3.0]
    y.backward()
    assert a.grad.tolist() == [5.0, 7.0] and b.grad.tolist() == [2.0, 3.0]
