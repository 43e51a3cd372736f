"""Modules: what they hold, save, load, copy and say."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.errors import ArgumentError, DTypeError, MinidlError, OutOfRangeError, ShapeError, StateDictError


class Scaled(nn.Module):
    def __init__(self) -> None:
        self.inner = nn.Sequential(nn.Dense(3, 4), nn.ReLU(), nn.Dense(4, 2, bias=False))
        self.scale = nn.Parameter([2.0])
        self.register_buffer("offset", minidl.tensor([1.0, 2.0]))
        self.register_buffer("scratch", minidl.tensor([0.0]), persistent=False)
        self.register_buffer("nothing", None)

    def forward(self, x: Any) -> Any:
        return self.inner(x) * self.scale + self.offset


class Tied(nn.Module):
    def __init__(self) -> None:
        self.first, self.second = nn.Dense(3, 3), nn.Dense(3, 3)
        self.second.weight = self.first.weight

    def forward(self, x: Any) -> Any:
        return self.second(self.first(x))


def lenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dense(400, 120), nn.ReLU(), nn.Dense(120, 84), nn.ReLU(), nn.Dense(84, 10),
    )  # fmt: skip


class TestContents:
    def test_names(self) -> None:
        model = Scaled()
        assert [n for n, _ in model.named_parameters()] == [
            "scale", "inner.0.weight", "inner.0.bias", "inner.2.weight"]  # fmt: skip
        assert [n for n, _ in model.named_parameters("m", recurse=False)] == ["m.scale"]
        assert [n for n, _ in model.named_buffers()] == ["offset", "scratch"]
        assert [n for n, _ in model.named_children()] == ["inner"]
        assert [n for n, _ in model.named_modules()] == ["", "inner", "inner.0", "inner.1", "inner.2"]
        assert len(list(model.parameters())) == 4 and len(list(model.buffers())) == 2
        assert list(model.modules())[0] is model

    def test_lenets_parameters(self) -> None:
        assert sum(p.numel() for p in lenet().parameters()) == 61_706

    def test_tied_parameters_are_counted_once(self) -> None:
        model = Tied()
        assert [n for n, _ in model.named_parameters()] == ["first.weight", "first.bias", "second.bias"]
        assert sorted(model.state_dict()) == ["first.bias", "first.weight", "second.bias", "second.weight"]

    def test_a_parameter_is_replaced_only_by_a_parameter(self) -> None:
        model = Scaled()
        for value in (minidl.ones(1), 3.0, np.ones(1)):
            with pytest.raises(DTypeError, match="Scaled: scale is a parameter; assign a Parameter or None, not"):
                model.scale = value
        model.scale = nn.Parameter([5.0])
        assert model.scale.item() == 5
        model.scale = None
        assert "scale" not in dict(model.named_parameters())

    def test_buffers(self) -> None:
        model = Scaled()
        with pytest.raises(DTypeError, match="Scaled: offset is a buffer; assign a tensor or None, not int"):
            model.offset = 3
        model.offset = minidl.zeros(2)
        assert model.state_dict()["offset"].tolist() == [0, 0]
        for name in ("", "a.b", 3):
            with pytest.raises(ArgumentError, match="register_buffer: name must be a word without a dot"):
                model.register_buffer(name, None)
        with pytest.raises(DTypeError, match="register_buffer: new must be a tensor or None, got list"):
            model.register_buffer("new", [1.0])
        with pytest.raises(DTypeError, match="scale is a parameter"):
            model.register_buffer("scale", minidl.ones(1))
        assert "scale" not in dict(model.named_buffers())

    def test_train_and_eval(self) -> None:
        model = Scaled()
        assert all(m.training for m in model.modules())
        assert model.eval() is model
        assert not any(m.training for m in model.modules())
        model.inner.train()
        assert model.inner[0].training and not model.training

    def test_apply_reaches_children_first(self) -> None:
        seen: list[str] = []
        nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh())).apply(lambda m: seen.append(type(m).__name__))
        assert seen == ["ReLU", "Tanh", "Sequential", "Sequential"]

    def test_requires_grad_and_zero_grad(self) -> None:
        model = Scaled().requires_grad_(False)
        assert not model(minidl.ones(1, 3)).requires_grad
        model.requires_grad_()
        model(minidl.ones(1, 3)).sum().backward()
        assert all(p.grad is not None for p in model.parameters())
        model.zero_grad(set_to_none=False)
        assert all((p.grad.data == 0).all() for p in model.parameters())
        model.zero_grad()
        assert all(p.grad is None for p in model.parameters())

    def test_repr(self) -> None:
        assert repr(nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Sequential(nn.ReLU()), nn.Dense(None, 2))) == (
            "Sequential(\n"
            "  (0): Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))\n"
            "  (1): Sequential(\n"
            "    (0): ReLU()\n"
            "  )\n"
            "  (2): Dense(in_features=None, out_features=2)\n"
            ")"
        )

    def test_without_forward(self) -> None:
        with pytest.raises(NotImplementedError, match="Module has no forward"):
            nn.Module()(1)


class TestHooks:
    def test_forward_pre_hooks(self) -> None:
        module, seen = nn.ReLU(), []
        first = module.register_forward_pre_hook(lambda m, args: seen.append("first"))
        second = module.register_forward_pre_hook(lambda m, args: -args[0])
        assert module(minidl.tensor([-1.0, 2.0])).tolist() == [1, 0] and seen == ["first"]
        first.remove()
        assert module(minidl.tensor([-1.0, 2.0])).tolist() == [1, 0] and seen == ["first"]
        second.remove()
        second.remove()
        assert module(minidl.tensor([-1.0, 2.0])).tolist() == [0, 2]

    def test_forward_hooks(self) -> None:
        module, seen = nn.ReLU(), []
        first = module.register_forward_hook(lambda m, args, result: seen.append((m, args[0].item(), result.item())))
        second = module.register_forward_hook(lambda m, args, result: result + 10)
        assert module(minidl.tensor([-1.0])).tolist() == [10] and seen == [(module, -1, 0)]
        first.remove()
        assert module(minidl.tensor([1.0])).tolist() == [11] and len(seen) == 1
        second.remove()
        assert module(minidl.tensor([1.0])).tolist() == [1]

    def test_hooks_belong_to_one_instance(self) -> None:
        module, other = nn.ReLU(), nn.ReLU()
        module.register_forward_hook(lambda m, args, result: result + 1)
        assert other(minidl.tensor([1.0])).tolist() == [1]

    def test_a_hook_may_remove_itself(self) -> None:
        module, calls = nn.ReLU(), []
        handle = module.register_forward_hook(lambda *args: (calls.append(1), handle.remove())[1])
        for _ in range(3):
            module(minidl.ones(1))
        assert calls == [1]


class TestStateDict:
    def test_contents_share_memory(self) -> None:
        model = Scaled()
        state = model.state_dict()
        assert list(state) == ["scale", "offset", "inner.0.weight", "inner.0.bias", "inner.2.weight"]
        assert all(not t.requires_grad for t in state.values())
        assert np.shares_memory(state["scale"].data, model.scale.data)

    def test_round_trip(self) -> None:
        model, other = Scaled(), Scaled()
        x = minidl.ones(2, 3)
        assert not np.array_equal(model(x).data, other(x).data)
        result = other.load_state_dict(model.state_dict())
        assert result.missing_keys == result.unexpected_keys == []
        assert np.array_equal(model(x).data, other(x).data)
        assert not np.shares_memory(model.scale.data, other.scale.data)

    def test_every_problem_is_named_and_nothing_changes(self) -> None:
        model = Scaled()
        before = {k: v.data.copy() for k, v in model.state_dict().items()}
        state: dict[str, Any] = {k: v.data + 1 for k, v in before.items() for v in [minidl.Tensor(v)]}
        del state["inner.0.bias"], state["offset"]
        state["scale"], state["inner.2.weight"] = np.zeros((2, 2)), np.zeros((4, 2))
        state["extra.weight"] = state["more"] = np.zeros(1)
        with pytest.raises(StateDictError) as caught:
            model.load_state_dict(state)
        message = str(caught.value)
        for part in (
            "load_state_dict: Scaled does not fit", "missing: offset, inner.0.bias", "unexpected: extra.weight, more",
            "scale has shape (2, 2), the module's is (1,)",
            "inner.2.weight has shape (4, 2), the module's is (2, 4)",
        ):  # fmt: skip
            assert part in message
        assert all(np.array_equal(v, model.state_dict()[k].data) for k, v in before.items())

    def test_not_strict(self) -> None:
        model = Scaled()
        result = model.load_state_dict({"scale": [7.0], "more": [1.0]}, strict=False)
        assert model.scale.item() == 7
        assert result.missing_keys == ["offset", "inner.0.weight", "inner.0.bias", "inner.2.weight"]
        assert result.unexpected_keys == ["more"]
        with pytest.raises(StateDictError, match="misshapen: scale has shape"):
            model.load_state_dict({"scale": [7.0, 8.0]}, strict=False)

    @pytest.mark.parametrize("state", [None, [("scale", 1)], 3])
    def test_what_is_no_mapping(self, state: Any) -> None:
        with pytest.raises(StateDictError, match="state_dict must be a mapping"):
            Scaled().load_state_dict(state)

    def test_values_that_are_no_arrays(self) -> None:
        with pytest.raises(DTypeError, match="load_state_dict: scale: data must be real numbers"):
            Scaled().load_state_dict({"scale": "text"}, strict=False)

    def test_dtypes_are_converted(self) -> None:
        model = Scaled()
        model.load_state_dict({"scale": np.array([3])}, strict=False)
        assert model.scale.dtype == np.float32 and model.scale.item() == 3

    def test_pytorchs_lenet_loads_as_it_is(self, torch: Any) -> None:
        t = torch.nn
        theirs = t.Sequential(
            t.Conv2d(1, 6, 5, padding=2), t.ReLU(), t.MaxPool2d(2), t.Conv2d(6, 16, 5), t.ReLU(), t.MaxPool2d(2),
            t.Flatten(), t.Linear(400, 120), t.ReLU(), t.Linear(120, 84), t.ReLU(), t.Linear(84, 10),
        )  # fmt: skip
        ours = lenet()
        ours.load_state_dict(theirs.state_dict())
        x = np.random.default_rng(0).standard_normal((5, 1, 28, 28)).astype(np.float32)
        expected = theirs(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(ours(minidl.Tensor(x)).numpy(), expected, rtol=1e-4, atol=1e-5)

    def test_a_saved_value_that_was_overwritten_by_loading(self) -> None:
        model = Scaled()
        loss = model(minidl.ones(1, 3)).sum()
        model.load_state_dict(model.state_dict())
        with pytest.raises(MinidlError, match="modified in place"):
            loss.backward()


class TestCopiesAndConversions:
    def test_deepcopy(self) -> None:
        model = Scaled()
        model(minidl.ones(1, 3)).sum().backward()
        twin = copy.deepcopy(model)
        for (name, p), (_, q) in zip(model.named_parameters(), twin.named_parameters(), strict=True):
            assert type(q) is nn.Parameter and q.requires_grad and np.array_equal(p.data, q.data), name
            assert not np.shares_memory(p.data, q.data) and not np.shares_memory(p.grad.data, q.grad.data)
        with minidl.no_grad():
            twin.scale.zero_()
        assert model.scale.item() == 2

    def test_tied_parameters_stay_tied(self) -> None:
        for model in (copy.deepcopy(Tied()), Tied().to("float64"), copy.deepcopy(Tied().double())):
            assert model.first.weight is model.second.weight
            state = {k: np.full(v.shape, 3.0) for k, v in model.state_dict().items()}
            model.load_state_dict(state)
            assert model.first.weight is model.second.weight
            assert (model.second.weight.data == 3).all()

    def test_a_tied_parameter_gets_both_gradients_and_steps_once(self) -> None:
        model, x = Tied(), minidl.ones(1, 3)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        before = model.first.weight.data.copy()
        model(x).sum().backward()
        gradient = model.first.weight.grad.data.copy()
        hidden = model.first(x).data
        from_second = np.outer(np.ones(3), hidden[0])
        assert not np.allclose(gradient, from_second) and np.allclose(
            gradient - from_second, np.outer(before.sum(0), x.data[0]), atol=1e-6
        )
        optimizer.step()
        assert np.allclose(model.second.weight.data, before - 0.1 * gradient)

    def test_to(self) -> None:
        model = Scaled()
        model.register_buffer("count", minidl.tensor([3]))
        model(minidl.ones(1, 3)).sum().backward()
        assert model.to("float64") is model
        assert {p.dtype for p in model.parameters()} == {p.grad.dtype for p in model.parameters()} == {np.dtype("f8")}
        assert model.offset.dtype == np.float64 and model.count.dtype == np.int64
        assert model(minidl.ones(1, 3, dtype="float64")).dtype == np.float64
        assert model.float().scale.dtype == np.float32 and model.double().scale.dtype == np.float64

    def test_to_the_dtype_that_it_has_copies_nothing(self) -> None:
        model = Scaled()
        memory = model.scale.data
        model.to("float32")
        assert model.scale.data is memory

    @pytest.mark.parametrize("dtype", ["int32", "float16", None, "nonsense"])
    def test_to_others(self, dtype: Any) -> None:
        with pytest.raises(DTypeError, match="Module.to: dtype must"):
            Scaled().to(dtype)


class TestSizesThatAreInferred:
    def test_at_the_first_call_with_an_optimiser_built_before(self) -> None:
        model = nn.Sequential(nn.Conv2d(None, 4, 3, groups=2), nn.Flatten(), nn.Dense(None, 2))
        optimizer = optim.Adam(model.parameters(), lr=0.1)
        held = list(model.parameters())
        assert repr(model[0].weight) == "Parameter(shape not known yet)"
        x = minidl.Tensor(np.random.default_rng(0).standard_normal((3, 6, 5, 5)).astype(np.float32))
        model(x).sum().backward()
        assert model[0].in_channels == 6 and model[0].weight.shape == (4, 3, 3, 3)
        assert model[2].in_features == 36 and model[2].weight.shape == (2, 36)
        before = [p.data.copy() for p in held]
        optimizer.step()
        assert all(p is q for p, q in zip(held, model.parameters(), strict=True))
        assert all(not np.array_equal(p.data, b) for p, b in zip(held, before, strict=True))

    def test_by_load_state_dict(self) -> None:
        full = nn.Sequential(nn.Conv2d(6, 4, 3, groups=2), nn.Flatten(), nn.Dense(36, 2))
        model = nn.Sequential(nn.Conv2d(None, 4, 3, groups=2), nn.Flatten(), nn.Dense(None, 2))
        held = list(model.parameters())
        model.load_state_dict(full.state_dict())
        assert model[0].in_channels == 6 and model[2].in_features == 36
        x = minidl.ones(1, 6, 5, 5)
        assert np.array_equal(model(x).data, full(x).data)
        assert all(p is q for p, q in zip(held, model.parameters(), strict=True))

    def test_load_state_dict_checks_what_is_known(self) -> None:
        with pytest.raises(StateDictError, match=r"weight has shape \(3, 5\), the module's is \(2, None\)"):
            nn.Dense(None, 2).load_state_dict({"weight": np.ones((3, 5)), "bias": np.ones(2)})

    def test_a_weight_that_was_replaced_counts(self) -> None:
        layer = nn.Dense(4, 3)
        layer.weight, layer.bias = nn.Parameter(np.zeros((5, 2), np.float32)), None
        layer.load_state_dict({"weight": np.ones((5, 2))})
        assert layer(minidl.ones(1, 2)).tolist() == [[2] * 5]
        with pytest.raises(StateDictError, match=r"the module's is \(5, 2\)"):
            layer.load_state_dict({"weight": np.ones((3, 4))})

    def test_saving_before(self) -> None:
        with pytest.raises(StateDictError, match="state_dict: the shape of 0.weight is not known yet"):
            nn.Sequential(nn.Dense(None, 2)).state_dict()

    def test_copies_and_conversions_before(self) -> None:
        layer = copy.deepcopy(nn.Dense(None, 2)).to("float64")
        assert layer(minidl.ones(1, 3, dtype="float64")).dtype == np.float64
        assert layer.weight.dtype == layer.bias.dtype == np.float64
        assert nn.Dense(None, 2, dtype="float64")(minidl.ones(1, 3, dtype="float64")).dtype == np.float64

    def test_the_same_values_as_if_it_had_been_known(self) -> None:
        known = nn.Dense(7, 3, generator=np.random.default_rng(5))
        inferred = nn.Dense(None, 3, generator=np.random.default_rng(5))
        inferred(minidl.ones(1, 7))
        assert np.array_equal(known.weight.data, inferred.weight.data)
        assert np.array_equal(known.bias.data, inferred.bias.data)

    def test_once_only(self) -> None:
        layer = nn.Dense(None, 2)
        layer(minidl.ones(1, 3))
        with pytest.raises(ShapeError, match="linear: input has 4 features"):
            layer(minidl.ones(1, 4))
        with pytest.raises(MinidlError, match="Parameter: it has values already"):
            layer.weight.initialise(np.ones((2, 3)))

    def test_nothing_to_infer_from(self) -> None:
        with pytest.raises(ArgumentError, match="linear: no number of features to infer"):
            nn.Dense(None, 2)(minidl.ones(3, 0))
        with pytest.raises(ArgumentError, match="conv2d: no number of channels to infer"):
            nn.Conv2d(None, 2, 3)(minidl.ones(5, 5))
        with pytest.raises(ArgumentError, match="conv2d: no number of channels to infer"):
            nn.Conv2d(None, 4, 3, groups=2)(minidl.ones(1, 3, 5, 5))

    def test_using_the_parameter_before(self) -> None:
        with pytest.raises(DTypeError, match="the parameter has no shape yet"), minidl.no_grad():
            nn.Dense(None, 2).weight.zero_()


class TestWhereErrorsHappen:
    def test_the_path_is_named(self) -> None:
        model = nn.Sequential({"features": nn.Sequential(nn.ReLU(), nn.Sequential(nn.Conv2d(4, 6, 5)))})
        with pytest.raises(ShapeError) as caught:
            model(minidl.ones(8, 3, 28, 28))
        assert str(caught.value) == (
            "conv2d: input has 3 channels (axis 1 of (8, 3, 28, 28)), weight expects 4 (axis 1 of (6, 4, 5, 5))\n"
            "  in layer features.1.0 (Conv2d)"
        )

    def test_without_a_parent(self) -> None:
        with pytest.raises(ShapeError, match=r"in layer \(the model itself\) \(Dense\)"):
            nn.Dense(3, 2)(minidl.ones(1, 4))

    def test_of_a_layer_that_failed_before_and_was_caught(self) -> None:
        class Careful(nn.Module):
            def __init__(self) -> None:
                self.narrow, self.wide = nn.Dense(3, 2), nn.Dense(5, 2)

            def forward(self, x: Any) -> Any:
                try:
                    return self.narrow(x)
                except ShapeError:
                    return self.wide(x)

        assert nn.Sequential(Careful())(minidl.ones(1, 5)).shape == (1, 2)
        with pytest.raises(ShapeError, match=r"in layer 0\.wide \(Dense\)"):
            nn.Sequential(Careful())(minidl.ones(1, 4))


class TestSequential:
    def test_indexing(self) -> None:
        a, b, c = nn.ReLU(), nn.Tanh(), nn.Sigmoid()
        model = nn.Sequential(a, b, c)
        assert model[0] is a and model[-1] is c and list(model) == [a, b, c] and len(model) == 3
        assert list(model[1:]) == [b, c] and isinstance(model[1:], nn.Sequential)
        for index in (3, -4):
            with pytest.raises(OutOfRangeError, match=f"Sequential: no module {index} among 3"):
                model[index]

    def test_append_to_a_slice_keeps_all(self) -> None:
        a, b, c = nn.ReLU(), nn.Tanh(), nn.Sigmoid()
        model = nn.Sequential(nn.ReLU(), a, b)[1:].append(c)
        assert list(model) == [a, b, c]

    def test_names(self) -> None:
        model = nn.Sequential({"first": nn.ReLU(), "second": nn.Tanh()})
        assert [n for n, _ in model.named_children()] == ["first", "second"]
        for name in ("a.b", "", 3):
            with pytest.raises(ArgumentError, match="Sequential: a name must be a word without a dot"):
                nn.Sequential({name: nn.ReLU()})

    def test_what_is_no_module(self) -> None:
        with pytest.raises(DTypeError, match="Sequential: module 1 must be a Module, got function"):
            nn.Sequential(nn.ReLU(), minidl.functional.relu)
        with pytest.raises(DTypeError, match="Sequential: append takes a Module, got int"):
            nn.Sequential().append(3)

    def test_one_module_twice(self) -> None:
        layer = nn.Dense(2, 2)
        model = nn.Sequential(layer, layer)
        assert len(list(model.parameters())) == 2
        x = minidl.ones(1, 2)
        # Computed as one operation or as two, whose sums round differently.
        assert np.abs(model(x).data - layer(layer(x)).data).max() < 1e-6


class TestParameter:
    def test_dtypes_and_memory(self) -> None:
        array = np.ones(3)
        assert np.shares_memory(nn.Parameter(array).data, array) and nn.Parameter(array).dtype == np.float64
        assert nn.Parameter([1, 2]).dtype == np.float32
        fortran = np.asfortranarray(np.arange(6.0).reshape(2, 3))
        fortran.flags.writeable = False
        p = nn.Parameter(fortran)
        assert p.data.flags.c_contiguous and p.data.flags.writeable and np.array_equal(p.data, fortran)

    def test_repr(self) -> None:
        assert repr(nn.Parameter([[1.0, 2.0]])) == "Parameter([[1., 2.]], requires_grad=True)"

    def test_results_are_plain_tensors(self) -> None:
        assert type(nn.Parameter([1.0]) * 2) is minidl.Tensor
