"""The graph and the backward pass."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest

import minidl
import minidl.functional as F
from minidl import nn, optim
from minidl.autograd import Op
from minidl.errors import ArgumentError, DTypeError, GraphError, ShapeError


def leaf(*values: float) -> minidl.Tensor:
    return minidl.tensor(list(values), dtype="float64", requires_grad=True)


def run(program: str, timeout: float = 300) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=timeout)


class TestBackward:
    def test_accumulates(self) -> None:
        x = leaf(1, 2)
        (x * 3).sum().backward()
        (x * x).sum().backward()
        assert x.grad.tolist() == [3 + 2, 3 + 4]

    def test_gradient_argument(self) -> None:
        x = leaf(1, 2)
        (x * x).backward(minidl.tensor([10.0, 100.0], dtype="float64"))
        assert x.grad.tolist() == [20, 400]

    def test_gradient_is_not_kept_or_changed(self) -> None:
        x, gradient = leaf(1, 2), minidl.tensor([1.0, 1.0], dtype="float64")
        for _ in range(2):
            (x + 1).backward(gradient)
        assert x.grad.tolist() == [2, 2] and gradient.tolist() == [1, 1]

    def test_a_gradient_must_be_given_for_several_numbers(self) -> None:
        with pytest.raises(ShapeError, match=r"backward: a gradient must be given for a result of shape \(2,\)"):
            (leaf(1, 2) * 2).backward()

    @pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
    def test_a_single_number_of_any_shape(self, shape: tuple) -> None:
        x = leaf(3)
        (x * x).reshape(*shape).backward()
        assert x.grad.tolist() == [6]

    def test_wrong_gradients(self) -> None:
        y = leaf(1, 2) * 2
        with pytest.raises(ShapeError, match=r"gradient has shape \(3,\), the result \(2,\)"):
            y.backward(minidl.zeros(3, dtype="float64"))
        with pytest.raises(DTypeError, match="gradient has dtype float32, the result float64"):
            y.backward(minidl.zeros(2, dtype="float32"))

    def test_nothing_recorded(self) -> None:
        with pytest.raises(GraphError, match="does not require gradients: nothing was recorded"):
            minidl.tensor(1.0).backward()

    def test_of_a_leaf(self) -> None:
        x = leaf(2)
        x.backward()
        assert x.grad.tolist() == [1]

    def test_twice(self) -> None:
        x = leaf(1, 2)
        y = (x * x).sum()
        y.backward()
        with pytest.raises(GraphError, match="Mul: backward through this graph a second time.*retain_graph=True"):
            y.backward()

    def test_retain_graph(self) -> None:
        x = leaf(1, 2)
        y = (x * x).sum()
        y.backward(retain_graph=True)
        y.backward()
        assert x.grad.tolist() == [4, 8]

    def test_inputs(self) -> None:
        x, w = leaf(1, 2), leaf(3, 4)
        hidden = x * w
        hidden.sum().backward(inputs=[x, hidden])
        assert x.grad.tolist() == [3, 4] and hidden.grad.tolist() == [1, 1] and w.grad is None

    def test_inputs_that_are_refused(self) -> None:
        x = leaf(1)
        with pytest.raises(ArgumentError, match="backward: inputs is empty"):
            (x * 1).backward(inputs=[])
        with pytest.raises(GraphError, match=r"backward: inputs\[1\] does not require gradients"):
            (x * 1).backward(inputs=[x, minidl.ones(1)])

    def test_diamond(self) -> None:
        x = leaf(3)
        y = x * x
        (y * y + y * x).backward()
        assert x.grad.tolist() == [4 * 27 + 3 * 9]

    def test_deep_diamonds_are_not_walked_path_by_path(self) -> None:
        x = leaf(1)
        y = x
        for _ in range(200):
            y = (y + y) * 0.5
        y.backward()
        assert x.grad.tolist() == [1]

    def test_one_tensor_twice_in_an_op(self) -> None:
        x = leaf(2, 3)
        minidl.concatenate([x, x, x * x]).sum().backward()
        assert x.grad.tolist() == [2 + 4, 2 + 6]
        a = minidl.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        (a @ a).sum().backward()
        ones = np.ones((2, 2))
        assert np.allclose(a.grad.data, np.dot(ones, a.data.T) + np.dot(a.data.T, ones))

    def test_unused_branch(self) -> None:
        x, w = leaf(2), leaf(3)
        unused = x * w
        (x * 5).backward()
        assert x.grad.tolist() == [5] and w.grad is None and unused.grad is None

    def test_leaf_without_gradient_stays_without(self) -> None:
        x, w = leaf(2), minidl.tensor([3.0], dtype="float64")
        (x * w).backward()
        assert w.grad is None

    def test_an_error_in_backward_leaves_the_mode_alone(self) -> None:
        x = leaf(1)
        x.register_hook(lambda grad: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            (x * 2).backward()
        assert minidl.is_grad_enabled() and x.grad is None

    def test_replaced_data_are_noticed_in_a_recorded_pass(self) -> None:
        x = leaf(2)
        y = x * x
        x.data = np.array([100.0])
        with pytest.raises(GraphError, match="the data of a leaf were replaced"):
            minidl.grad(y, x, create_graph=True)

    @pytest.mark.parametrize("recorded", [False, True])
    def test_gradients_of_another_shape_reach_no_operation(self, recorded: bool) -> None:
        """Kernels trust their shape."""

        class Wrong(Op):
            def forward(self, x):
                return x.copy()

            def backward(self, grad):
                return grad[1:]

        x = leaf(1, 2, 3)
        for y, match in (
            (Wrong()(x * 2), r"^Wrong: a gradient of shape \(2,\) came to Mul's result of shape \(3,\)"),
            (Wrong()(x), r"^backward: a gradient of shape \(2,\) came to a tensor of shape \(3,\)"),
            (Wrong()(x) + x, r"^Wrong: a gradient of shape \(2,\) came to a value that has one of shape \(3,\)"),
        ):
            with pytest.raises(GraphError, match=match):
                y.sum().backward(create_graph=recorded)
        y = leaf(1, 2, 3) * 2
        y.data = np.ones(2)
        with pytest.raises(GraphError, match=r"^backward: a result of shape \(3,\) has become one of \(2,\)"):
            y.backward(np.ones(2), create_graph=recorded)

    @pytest.mark.parametrize("recorded", [False, True])
    def test_too_few_gradients(self, recorded: bool) -> None:
        class Forgetful(Op):
            def forward(self, x, y):
                return x + y

            def backward(self, grad):
                return (grad,)

        with pytest.raises(GraphError, match=r"^Forgetful: backward gave 1 gradients for 2 inputs$"):
            Forgetful()(leaf(1, 2), leaf(3, 4)).sum().backward(create_graph=recorded)


class TestGradientsOwnTheirMemory:
    @pytest.mark.parametrize("create_graph", [False, True])
    @pytest.mark.parametrize("combine", [
        lambda a, b: a + b, lambda a, b: b - a, lambda a, b: a.reshape(1, 2) + b.reshape(1, 2),
        lambda a, b: minidl.concatenate([a, b]), lambda a, b: minidl.stack([a, b]), lambda a, b: a.clone() + b.T,
        lambda a, b: minidl.where(minidl.tensor([True, False]), a, b), lambda a, b: a[0:2] + b[:],
    ])  # fmt: skip
    def test_of_two_leaves(self, combine: Any, create_graph: bool) -> None:
        a, b = leaf(1, 2), leaf(3, 4)
        result = combine(a, b)
        gradient = minidl.tensor(np.ones(result.shape))
        result.backward(gradient, create_graph=create_graph)
        expected = b.grad.tolist()
        assert not np.shares_memory(a.grad.data, b.grad.data)
        assert not np.shares_memory(a.grad.data, gradient.data)
        assert not np.shares_memory(b.grad.data, gradient.data)
        with minidl.no_grad():
            a.grad.fill_(99)
        assert b.grad.tolist() == expected and (gradient.data == 1).all()

    def test_values_written_by_setitem(self) -> None:
        values, result, gradient = leaf(1, 2), minidl.zeros(3, dtype="float64"), minidl.tensor(np.ones(3))
        result[0:2] = values
        result.backward(gradient)
        assert not np.shares_memory(values.grad.data, gradient.data)

    def test_of_the_gradient_of_a_view(self) -> None:
        x, v, gradient = leaf(1, 2, 3), leaf(1, 1), minidl.tensor(np.ones(3))
        (gx,) = minidl.grad(x[0:2], x, v, create_graph=True)
        gx.backward(gradient)
        assert not np.shares_memory(v.grad.data, gradient.data)

    def test_retained_gradients(self) -> None:
        x = leaf(1, 2)
        a = x * 2
        b = a.reshape(2, 1)
        a.retain_grad()
        b.retain_grad()
        b.sum().backward()
        a.grad.fill_(9)
        assert b.grad.tolist() == [[1], [1]]


class TestGrad:
    def test_leaves_and_results(self) -> None:
        x = leaf(2)
        y = x * x
        z = y * x
        gx, gy = minidl.grad(z, [x, y])
        assert gx.tolist() == [12] and gy.tolist() == [2]
        assert x.grad is None and not gx.requires_grad

    def test_several_outputs_and_grad_outputs(self) -> None:
        x = leaf(1, 2)
        weights = [minidl.tensor([1.0, 10.0], dtype="float64"), minidl.tensor(2.0, dtype="float64")]
        (gx,) = minidl.grad([x * x, x.sum()], x, weights)
        assert gx.tolist() == [2 + 2, 40 + 2]

    def test_grad_outputs_that_do_not_fit(self) -> None:
        x = leaf(1, 2)
        with pytest.raises(ArgumentError, match="grad: 1 outputs, but 2 grad_outputs"):
            minidl.grad(x * x, x, [minidl.ones(2), minidl.ones(2)])
        with pytest.raises(ShapeError, match="grad: gradient has shape"):
            minidl.grad(x * x, x, np.ones(3))

    def test_unused(self) -> None:
        x, w = leaf(1), leaf(2)
        with pytest.raises(GraphError, match=r"grad: inputs\[1\] was not used.*allow_unused=True"):
            minidl.grad(x * x, [x, w])
        gx, gw = minidl.grad(x * x, [x, w], allow_unused=True)
        assert gx.tolist() == [2] and gw is None

    def test_of_what_does_not_require_gradients(self) -> None:
        with pytest.raises(GraphError, match=r"grad: inputs\[0\] does not require gradients"):
            minidl.grad(leaf(1) * 2, minidl.ones(1))

    def test_frees_the_graph(self) -> None:
        x = leaf(1)
        y = x * x
        minidl.grad(y, x, retain_graph=True)
        minidl.grad(y, x)
        with pytest.raises(GraphError, match="a second time"):
            minidl.grad(y, x)

    def test_higher_orders(self) -> None:
        x = leaf(0.5, -1.5, 2.0)
        values = x.numpy()
        result = (x**5).sum()
        for factor, power in ((5, 4), (20, 3), (60, 2), (120, 1)):
            (g,) = minidl.grad(result, x, create_graph=True)
            assert np.allclose(g.data, factor * values**power, rtol=1e-13)
            result = g.sum()

    @pytest.mark.parametrize(("compute", "derivatives"), [
        (lambda x: x.exp(), [np.exp, np.exp, np.exp]),
        (lambda x: x.log(), [lambda v: 1 / v, lambda v: -1 / v**2, lambda v: 2 / v**3]),
        (lambda x: x.sqrt(), [lambda v: 0.5 * v**-0.5, lambda v: -0.25 * v**-1.5, lambda v: 0.375 * v**-2.5]),
        (lambda x: 1 / x, [lambda v: -(v**-2), lambda v: 2 * v**-3, lambda v: -6 * v**-4]),
        (lambda x: F.tanh(x), [
            lambda v: 1 - np.tanh(v) ** 2, lambda v: -2 * np.tanh(v) * (1 - np.tanh(v) ** 2),
            lambda v: (1 - np.tanh(v) ** 2) * (6 * np.tanh(v) ** 2 - 2),
        ]),
    ])  # fmt: skip
    def test_third_order_against_formulas(self, compute: Any, derivatives: list) -> None:
        x = leaf(0.3, 1.1, 2.7)
        result = compute(x).sum()
        for derivative in derivatives:
            (g,) = minidl.grad(result, x, create_graph=True)
            assert np.allclose(g.data, derivative(x.data), rtol=1e-12)
            result = g.sum()

    def test_mixed_second_derivatives(self) -> None:
        x, y = leaf(2), leaf(3)
        gx, gy = minidl.grad(x**2 * y**3, [x, y], create_graph=True)
        (gxy,) = minidl.grad(gx, y, retain_graph=True)
        (gyx,) = minidl.grad(gy, x)
        assert gxy.tolist() == gyx.tolist() == [2 * 2 * 3 * 9]

    @pytest.mark.parametrize("order", [(0, 1), (1, 0), (1,)])
    def test_values_saved_in_any_order(self, order: tuple[int, ...]) -> None:
        class Scale(Op):
            """x * y, whose second gradients reach each factor through what was saved."""

            def forward(self, *factors: np.ndarray) -> np.ndarray:
                self.save(*[factors[i] for i in order])
                return factors[0] * factors[1]

            def backward(self, grad: Any) -> tuple:
                kept = dict(zip(order, self.saved, strict=True))
                return grad * kept[1], grad * kept[0] if 0 in kept else None

        x, y = leaf(2), leaf(3)
        (gx,) = minidl.grad(Scale()(x, y), x, create_graph=True)
        (gxy,) = minidl.grad(gx.pow(2), y)
        assert gx.tolist() == [3] and gxy.tolist() == [6]

    def test_create_graph_in_backward(self) -> None:
        x = leaf(3)
        (x**3).backward(create_graph=True)
        first = x.grad
        x.grad = None
        first.backward()
        assert first.tolist() == [27] and x.grad.tolist() == [18]


class TestGradMode:
    def test_context_managers(self) -> None:
        x = leaf(1)
        with minidl.no_grad():
            assert not (x * 2).requires_grad
            with minidl.enable_grad():
                assert (x * 2).requires_grad
            with minidl.set_grad_enabled(True):
                assert minidl.is_grad_enabled()
            assert not minidl.is_grad_enabled()
        assert (x * 2).requires_grad

    def test_restored_after_an_error(self) -> None:
        with pytest.raises(ZeroDivisionError), minidl.no_grad():
            raise ZeroDivisionError
        assert minidl.is_grad_enabled()

    def test_decorators(self) -> None:
        x = leaf(1)

        @minidl.no_grad()
        def quiet() -> bool:
            """Its docstring."""
            return (x * 2).requires_grad

        @minidl.set_grad_enabled(False)
        def also_quiet() -> bool:
            return (x * 2).requires_grad

        assert minidl.is_grad_enabled(), "decorating must not switch"
        assert not quiet() and not also_quiet() and quiet.__doc__ == "Its docstring."
        with minidl.no_grad():
            assert minidl.enable_grad()(lambda: (x * 2).requires_grad)()
        assert minidl.is_grad_enabled()

    def test_as_a_function(self) -> None:
        minidl.set_grad_enabled(False)
        assert not minidl.is_grad_enabled()
        minidl.set_grad_enabled(True)
        assert minidl.is_grad_enabled()

    @pytest.mark.parametrize("make", [minidl.no_grad, lambda: minidl.set_grad_enabled(False)])
    def test_one_object_used_again_and_nested(self, make: Any) -> None:
        context = make()
        for _ in range(2):
            with context:
                assert not minidl.is_grad_enabled()
                with context:
                    assert not minidl.is_grad_enabled()
                assert not minidl.is_grad_enabled()
            assert minidl.is_grad_enabled()

    def test_belongs_to_the_python_thread(self) -> None:
        seen = []
        with minidl.no_grad():
            worker = threading.Thread(target=lambda: seen.append(minidl.is_grad_enabled()))
            worker.start()
            worker.join()
            assert not minidl.is_grad_enabled()
        assert seen == [True]


class TestDetach:
    def test_no_gradient_passes(self) -> None:
        x = leaf(2)
        y = x * x
        d = y.detach()
        assert not d.requires_grad and d.is_leaf and np.shares_memory(d.data, y.data)
        (d * x).backward()
        assert x.grad.tolist() == [4]

    def test_in_place_changes_are_seen_through_it(self) -> None:
        x = leaf(2)
        y = x * x
        z = y * y
        y.detach().zero_()
        with pytest.raises(GraphError, match="modified in place"):
            z.backward()

    def test_a_recorded_result_cannot_stop_requiring_gradients(self) -> None:
        with pytest.raises(GraphError, match="use detach"):
            (leaf(1) * 2).requires_grad = False


class TestHooks:
    def test_on_a_leaf(self) -> None:
        x, seen = leaf(1, 2), []
        x.register_hook(lambda grad: seen.append(grad.tolist()))
        (x * x + x).sum().backward()
        assert seen == [[3, 5]], "called once, with the whole gradient"

    def test_on_a_result(self) -> None:
        x, seen = leaf(1, 2), []
        y = x * 2
        y.register_hook(lambda grad: seen.append(grad.tolist()))
        (y * y + y).sum().backward()
        assert seen == [[5, 9]]

    def test_replaces_the_gradient(self) -> None:
        x = leaf(1, 2)
        y = x * 2
        y.register_hook(lambda grad: grad * 10)
        x.register_hook(lambda grad: grad + 1)
        x.register_hook(lambda grad: -grad)
        y.sum().backward()
        assert x.grad.tolist() == [-21, -21]

    def test_removed(self) -> None:
        x = leaf(1)
        handle = x.register_hook(lambda grad: grad * 10)
        other = x.register_hook(lambda grad: grad * 3)
        handle.remove()
        handle.remove()
        (x * 1).backward()
        assert x.grad.tolist() == [3]
        other.remove()
        (x * 1).backward()
        assert x.grad.tolist() == [4]

    def test_one_function_registered_twice_is_removed_once(self) -> None:
        x, calls = leaf(1), []

        def hook(grad: Any) -> None:
            calls.append(1)

        first = x.register_hook(hook)
        x.register_hook(hook)
        first.remove()
        first.remove()
        (x * 1).backward()
        assert calls == [1]

    def test_in_a_recorded_pass(self) -> None:
        x = leaf(3)
        x.register_hook(lambda grad: grad * grad)
        (g,) = minidl.grad(x * x, x, create_graph=True)
        assert g.tolist() == [36] and g.requires_grad
        g.backward()
        # d/dx (2x)^2 = 8x, and the hook squares that as well.
        assert x.grad.tolist() == [24.0**2]

    @pytest.mark.parametrize("on_leaf", [True, False])
    def test_what_hooks_may_not_return(self, on_leaf: bool) -> None:
        for wrong, error, match in (
            (np.ones(2), DTypeError, "must return a tensor or None, got ndarray"),
            (minidl.ones(1, dtype="float64"), ShapeError, r"returned shape \(1,\) for a gradient of \(2,\)"),
            (minidl.ones(2, dtype="float32"), DTypeError, "returned float32 for a gradient of float64"),
        ):
            x = leaf(1, 2)
            y = F.relu(x)
            (x if on_leaf else y).register_hook(lambda grad, wrong=wrong: wrong)
            with pytest.raises(error, match=f"hook: {match}"):
                y.sum().backward()

    def test_only_where_gradients_are_required(self) -> None:
        with pytest.raises(GraphError, match="register_hook: the tensor does not require gradients"):
            minidl.ones(1).register_hook(print)

    def test_retain_grad(self) -> None:
        x = leaf(1, 2)
        y = x * 3
        y.retain_grad()
        (y * y).sum().backward(retain_graph=True)
        assert y.grad.tolist() == [6, 12] and x.grad.tolist() == [18, 36]
        (y * y).sum().backward()
        assert y.grad.tolist() == [12, 24]


class TestViewsAndInPlace:
    def test_gradients_through_views(self) -> None:
        x = minidl.tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
        (x.T[1:3].reshape(-1)[::2] * minidl.tensor([1.0, 10.0, 100.0], dtype="float64")).sum().backward()
        expected = np.zeros((3, 4))
        expected.T[1:3].flat[::2] = [1, 10, 100]
        assert np.array_equal(x.grad.data, expected)

    def test_scalars_in_place_on_a_result(self) -> None:
        x = leaf(1, 2)
        y = x * x
        y *= 3
        y += 1
        y /= 2
        y -= 5
        assert y.tolist() == [-3, 1.5]
        y.sum().backward()
        assert x.grad.tolist() == [3, 6]

    def test_writing_results_into_a_buffer(self) -> None:
        x, buffer = leaf(1, 2), minidl.zeros(2, 2, dtype="float64")
        buffer[0] = x * 2
        buffer[1] = x * x
        buffer.sum().backward()
        assert x.grad.tolist() == [4, 6] and buffer.requires_grad

    def test_overwritten_values_get_no_gradient(self) -> None:
        x, w = leaf(1, 2), leaf(5)
        y = x * 3
        y[0:1] = w
        (y * y).sum().backward()
        assert x.grad.tolist() == [0, 36] and w.grad.tolist() == [10]

    @pytest.mark.parametrize("change", [
        lambda y: y.add_(1), lambda y: y.mul_(2), lambda y: y.copy_(7), lambda y: y.zero_(), lambda y: y.sub_(1),
        lambda y: y.fill_(3), lambda y: y.__iadd__(1), lambda y: y.__setitem__(0, 5), lambda y: y[0:1].zero_(),
        lambda y: y.reshape(2, 1).div_(2), lambda y: minidl.Tensor(y).zero_(), lambda y: nn.init.uniform_(y),
    ])  # fmt: skip
    @pytest.mark.parametrize(("save", "saves_result"), [
        (lambda y: y * y, False), (lambda y: y.exp(), True), (lambda y: F.softmax(y, 0), True),
        (lambda y: y.reshape(1, 2) @ y.reshape(2, 1), False), (lambda y: y**3, False), (lambda y: 1 / y, False),
        (lambda y: y.log(), False), (lambda y: F.relu(y), True), (lambda y: y.sqrt(), True),
    ])  # fmt: skip
    def test_changing_a_saved_value_is_refused(self, change: Any, save: Any, saves_result: bool) -> None:
        y = leaf(1, 2) * 2
        z = save(y)
        with minidl.no_grad():
            change(z if saves_result else y)
        with pytest.raises(GraphError, match="a value saved for the backward pass was modified in place afterwards"):
            z.sum().backward()

    def test_changing_what_was_not_saved_is_allowed(self) -> None:
        x, factor = leaf(1, 2), minidl.tensor([3.0, 3.0], dtype="float64")
        y = x * factor
        with minidl.no_grad():
            x.zero_()
        y.sum().backward()
        assert x.grad.tolist() == [3, 3]

    def test_a_mask_or_index_changed_afterwards_gives_no_wrong_gradient(self) -> None:
        mask, index = minidl.tensor([True, False]), minidl.tensor([0])
        for compute, change in (
            (lambda x: minidl.where(mask, x, 0.0), lambda: mask.__setitem__(0, False)),
            (lambda x: x[index], lambda: index.fill_(1)),
        ):
            x = leaf(1, 2)
            y = compute(x).sum()
            change()
            try:
                y.backward()
            except GraphError:
                continue
            assert x.grad.tolist() == [1, 0]

    def test_an_optimiser_step_between_forward_and_backward(self) -> None:
        w, x = nn.Parameter([1.0, 2.0]), minidl.tensor([1.0, 1.0], requires_grad=True)
        optimizer = optim.SGD([w], lr=1.0)
        loss = (w * x).sum()
        w.grad = minidl.ones(2)
        optimizer.step()
        with pytest.raises(GraphError, match="modified in place"):
            loss.backward()

    def test_leaves(self) -> None:
        x = leaf(1, 2)
        with pytest.raises(GraphError, match="mul_: a leaf that requires gradients can't be changed in place"):
            x *= 2
        with pytest.raises(GraphError, match="indexing: a leaf that requires gradients"):
            x[0] = 2
        assert x.tolist() == [1, 2]
        with minidl.no_grad():
            x *= 2
        assert x.tolist() == [2, 4] and x.is_leaf and x.requires_grad

    def test_views_with_history(self) -> None:
        y = leaf(1, 2) * 2
        view = y[0:1]
        with pytest.raises(GraphError, match="views share can't be changed in place"):
            view.add_(1)
        with pytest.raises(GraphError, match="views share can't be changed in place"):
            y.add_(1)

    def test_history_does_not_enter_through_a_view(self) -> None:
        buffer, w = minidl.zeros(3, dtype="float64"), leaf(1)
        with pytest.raises(GraphError, match="views share can't be changed in place"):
            buffer[0:1].add_(w)
        assert buffer.tolist() == [0, 0, 0]


def test_a_chain_of_a_million_nodes() -> None:
    program = """
import minidl
def chain(n):
    x = minidl.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(n):
        y = -y
    return x, y
x, y = chain(1_000_000)
y.backward()
assert x.grad.item() == 1.0
del x, y
x, y = chain(1_000_000)
del y
print("done")
"""
    result = run(program)
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr[-2000:]


class TestMemory:
    @staticmethod
    def training_step() -> Any:
        generator = np.random.default_rng(0)
        model = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.1), nn.Dense(18, 3)
        )
        optimizer = optim.Adam(model.parameters(), lr=1e-3)
        x = generator.standard_normal((4, 1, 8, 8)).astype(np.float32)

        def step(second_order: bool = False) -> None:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(minidl.Tensor(x)), [0, 1, 2, 0])
            if second_order:
                grads = minidl.grad(loss, list(model.parameters()), create_graph=True)
                loss = loss + sum((g * g).sum() for g in grads)
            hidden = loss * 1
            hidden.retain_grad()
            hidden.backward()
            optimizer.step()

        return step

    def test_constant_over_1000_steps_without_the_garbage_collector(self) -> None:
        step = self.training_step()
        gc.collect()
        gc.disable()
        try:
            tracemalloc.start()
            for i in range(100):
                step(second_order=i % 10 == 0)
            before = tracemalloc.get_traced_memory()[0]
            for i in range(1000):
                step(second_order=i % 10 == 0)
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
            gc.enable()
        # One forgotten graph a step would be megabytes. Python's free lists of tuples fill up to some 100 kB.
        assert grown < 300_000

    def test_no_cycles(self) -> None:
        step = self.training_step()
        step()
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for i in range(10):
                step(second_order=i % 2 == 0)
            gc.collect()
            found = [type(o).__name__ for o in gc.garbage if type(o).__module__.startswith(("minidl", "numpy"))]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert found == []

    def test_a_dropped_graph_goes_at_once(self) -> None:
        import weakref

        x = leaf(1, 2)
        y = (x * x).exp()
        gone = weakref.ref(y)
        gc.disable()
        try:
            del y
            assert gone() is None
        finally:
            gc.enable()


def test_two_threads_train_as_if_alone() -> None:
    def train(seed: int) -> list:
        generator = np.random.default_rng(seed)
        model = nn.Sequential(nn.Dense(6, 16, generator=generator), nn.Tanh(), nn.Dense(16, 3, generator=generator))
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(60):
            x, target = generator.standard_normal((8, 6)).astype(np.float32), generator.integers(0, 3, 8)
            optimizer.zero_grad()
            F.cross_entropy(model(x), target).backward()
            optimizer.step()
            with minidl.no_grad():
                model(x)
        return [p.tolist() for p in model.parameters()]

    alone = {seed: train(seed) for seed in (1, 2)}
    assert alone[1] != alone[2]
    together: dict[int, list] = {}
    workers = [threading.Thread(target=lambda s=s: together.update({s: train(s)})) for s in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert together == alone
