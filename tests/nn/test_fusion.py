"""`Sequential` may compute layers together only where nobody can tell, but by the time that it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minidl
from minidl import kernels, nn
from minidl.errors import ShapeError
from minidl.ops.stack import ConvStack, DenseStack

rng = np.random.default_rng(0)


def model(dtype: str = "float64") -> nn.Sequential:
    generator = np.random.default_rng(3)
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2, generator=generator), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, bias=False, generator=generator), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dense(16, 10, generator=generator),
    ).to(dtype)  # fmt: skip


def images(dtype: str = "float64", n: int = 20) -> np.ndarray:
    return rng.normal(size=(n, 1, 14, 15)).astype(dtype)


def apart(net: nn.Sequential) -> nn.Sequential:
    """The same model, watched, so that its layers run one by one."""
    for layer in net.children():
        layer.register_forward_hook(lambda module, args, result: None)
    return net


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of stages of the operations that were computed together."""
    met: list[int] = []
    forward = ConvStack.forward

    def noting(self: ConvStack, *arrays: Any) -> Any:
        met.append(len(self.plan.stages))
        return forward(self, *arrays)

    monkeypatch.setattr(ConvStack, "forward", noting)
    return met


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
def test_together_equals_one_by_one(stacks: list[int], dtype: str, tolerance: float) -> None:
    x = images(dtype)
    results = []
    for net in (model(dtype), apart(model(dtype))):
        input = minidl.Tensor(x.copy(), requires_grad=True)
        loss = (net(input) ** 2).sum()
        loss.backward()
        results.append([loss.data, input.grad.data, *(p.grad.data for p in net.parameters())])
    assert stacks == [2]
    for a, b in zip(*results, strict=True):
        assert np.abs(a - b).max() <= tolerance * np.abs(b).max()


def test_second_gradients_equal_those_of_one_by_one(stacks: list[int]) -> None:
    x = images(n=9)
    results = []
    for net in (model(), apart(model())):
        input = minidl.Tensor(x.copy(), requires_grad=True)
        first = minidl.grad((net(input) ** 2).sum(), [input, *net.parameters()], create_graph=True)
        sum((g * g).sum() for g in first).backward()
        results.append([input.grad.data, *(p.grad.data for p in net.parameters())])
    assert stacks == [2]
    for a, b in zip(*results, strict=True):
        assert np.abs(a - b).max() <= 1e-11 * np.abs(b).max()


def test_a_weight_that_the_images_depend_on_gets_its_own_gradient_only(stacks: list[int]) -> None:
    net = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1))
    net.to("float64")
    x = minidl.Tensor(rng.normal(size=(8, 2, 4, 5)))
    weight = net[0].weight
    inner = minidl.functional.conv2d(x, weight, padding=1)
    y = net(inner)
    assert stacks == [1]
    (both,) = minidl.grad((y * y).sum(), [weight], create_graph=True)
    hook = net[0].register_forward_hook(lambda *_: None)
    (expected,) = minidl.grad((net(minidl.functional.conv2d(x, weight, padding=1)) ** 2).sum(), [weight])
    hook.remove()
    assert np.abs(both.data - expected.data).max() <= 1e-12 * np.abs(expected.data).max()


def test_whoever_looks_in_between_sees_the_layers(stacks: list[int]) -> None:
    x = images()
    for place, expected in ((0, [1]), (1, [1, 1]), (2, [1, 1]), (3, [1]), (4, [2]), (6, [2])):
        for register in ("register_forward_hook", "register_forward_pre_hook"):
            net, seen = model(), []
            getattr(net[place], register)(lambda *_, seen=seen: seen.append(1))
            stacks.clear()
            plain = model()(x).data
            stacks.clear()
            y = net(x).data
            assert seen == [1]
            assert stacks == expected, (place, register)
            assert np.abs(y - plain).max() <= 1e-12 * np.abs(plain).max()


def test_other_layers_are_not_taken_for_these(stacks: list[int]) -> None:
    class Twice(nn.ReLU):
        def forward(self, input: Any) -> Any:
            return super().forward(input) * 2

    class Doubled(nn.Conv2d):
        def forward(self, input: Any) -> Any:
            return super().forward(input) * 2

    x = images()
    generator = np.random.default_rng(3)
    net = nn.Sequential(Doubled(1, 6, 5, padding=2, generator=generator), Twice())
    net.to("float64")
    assert not stacks or not stacks.clear()
    y = net(x).data
    assert stacks == []
    own = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2, generator=np.random.default_rng(3)), nn.ReLU()).to("float64")
    assert np.allclose(y, 4 * own(x).data)
    own[0].forward = lambda input: minidl.zeros(1)  # type: ignore[method-assign]
    assert own(x).shape == (1,)


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.ReLU()),
        nn.Sequential(nn.Conv2d(2, 64, 3), nn.Conv2d(64, 64, 3)),
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.MaxPool2d(3, 2)),
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.MaxPool2d(2, padding=1)),
        nn.Sequential(nn.Conv2d(None, 4, 3), nn.ReLU()),
        nn.Sequential(nn.Conv2d(2, 4, 3, padding="same"), nn.ReLU(), nn.MaxPool2d((1, 2))),
        nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU()),
        nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.MaxPool2d(3, ceil_mode=True)),
        nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.MaxPool2d(3, dilation=2)),
    ],
)
def test_what_does_not_fit_runs_as_ever(net: nn.Sequential) -> None:
    x = rng.normal(size=(9, 2, 10, 11)).astype("float32")
    y = net(x)
    expected: Any = x
    for layer in net.children():
        expected = layer(expected)
    assert y.shape == expected.shape
    assert np.abs(y.data - expected.data).max() <= 1e-5 * np.abs(expected.data).max()


def test_errors_name_the_layer_as_ever() -> None:
    net = model()
    with pytest.raises(ShapeError, match=r"(?s)conv2d: input has 3 channels .*in layer 0"):
        net(np.zeros((20, 3, 14, 15)))
    with pytest.raises(ShapeError, match=r"(?s)conv2d: the kernel of 5 x 5 is larger.*in layer 3"):
        net(np.zeros((20, 1, 6, 7)))
    with pytest.raises(minidl.MinidlError, match="float32"):
        net(np.zeros((20, 1, 14, 15), "float32"))


def test_nothing_is_kept_without_gradients(stacks: list[int]) -> None:
    net = model()
    x = images()
    with minidl.no_grad():
        y = net(x)
    assert stacks == [2]
    assert not y.requires_grad
    # Recorded, convolutions with 5 columns may go by Winograd's method.
    assert np.abs(y.data - net(x).data).max() < 1e-12


def test_frozen_layers_get_no_gradients(stacks: list[int]) -> None:
    net = model()
    net[0].requires_grad_(False)
    net(images()).sum().backward()
    assert stacks == [2]
    assert net[0].weight.grad is None
    assert net[3].weight.grad is not None


def test_a_weight_changed_before_backward_is_noticed(stacks: list[int]) -> None:
    net = model()
    y = net(images()).sum()
    with minidl.no_grad():
        net[0].weight.mul_(2.0)
    with pytest.raises(minidl.MinidlError, match="modified in place"):
        y.backward()


@pytest.fixture
def dense_stacks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The activations of the dense layers that were computed together."""
    met: list[tuple[str, ...]] = []
    forward = DenseStack.forward

    def noting(self: DenseStack, *arrays: Any) -> Any:
        met.append(self.plan.activations)
        return forward(self, *arrays)

    monkeypatch.setattr(DenseStack, "forward", noting)
    return met


def mlp(dtype: str = "float64") -> nn.Sequential:
    generator = np.random.default_rng(4)
    return nn.Sequential(
        nn.Flatten(), nn.Dense(12, 9, generator=generator), nn.Tanh(), nn.Dense(9, 7, bias=False, generator=generator),
        nn.Sigmoid(), nn.Dense(7, 5, generator=generator), nn.ReLU(), nn.Dense(5, 3, generator=generator),
        nn.Softmax(-1),
    ).to(dtype)  # fmt: skip


@pytest.mark.parametrize("n", [1, 5, 8, 16, 40])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
def test_dense_layers_together_equal_one_by_one(
    dense_stacks: list[tuple[str, ...]], dtype: str, tolerance: float, n: int
) -> None:
    x = rng.normal(size=(n, 3, 4)).astype(dtype)
    results = []
    for net in (mlp(dtype), apart(mlp(dtype))):
        input = minidl.Tensor(x.copy(), requires_grad=True)
        first = minidl.grad((net(input) ** 2).sum(), [input, *net.parameters()], create_graph=True)
        sum((g * g).sum() for g in first).backward()
        results.append([*(g.data for g in first), input.grad.data, *(p.grad.data for p in net.parameters())])
    assert dense_stacks == [("tanh", "sigmoid", "relu", "linear")]
    for a, b in zip(*results, strict=True):
        assert np.abs(a - b).max() <= tolerance * max(np.abs(b).max(), 1e-3)


def test_changes_of_the_model_are_seen(dense_stacks: list[tuple[str, ...]]) -> None:
    x = rng.normal(size=(9, 12))
    net = mlp()
    net(x)
    handle = net[3].register_forward_hook(lambda *_: None)
    net(x)
    handle.remove()
    net(x)
    net[2] = nn.ReLU()
    net(x)
    del net[2]
    net(x)
    net[1].forward = lambda input: minidl.zeros(9, 9, dtype="float64")  # type: ignore[method-assign]
    net(x)
    everything = ("tanh", "sigmoid", "relu", "linear")
    assert dense_stacks == [
        everything, ("tanh",), ("relu", "linear"), everything, ("relu", *everything[1:]), ("linear", *everything[1:]),
        everything[1:],
    ]  # fmt: skip
    with minidl.no_grad():
        assert np.array_equal(net(x).data, net(x).data)


def test_a_hook_is_seen_where_another_was_removed(dense_stacks: list[tuple[str, ...]]) -> None:
    x = rng.normal(size=(9, 12))
    net = mlp()
    layer, seen = net[3], []
    for register in (layer.register_forward_hook, layer.register_forward_pre_hook):
        for _ in range(2):
            # Between the two, the layers are computed together, and that is remembered.
            register(lambda *_: None).remove()
            net(x)
            handle = register(lambda *_: seen.append(1))
            net(x)
            handle.remove()
    assert len(seen) == 4


def test_a_forward_of_its_own_that_is_taken_away_is_called_no_longer(stacks: list[int]) -> None:
    net, x = model(), images()
    expected = net(x).data
    net[0].forward = lambda input: minidl.zeros(len(input), 6, 14, 15, dtype="float64")  # type: ignore[method-assign]
    assert not np.array_equal(net(x).data, expected)
    del net[0].forward
    assert np.array_equal(net(x).data, expected)
    assert stacks == [2, 1, 2]


def test_a_layer_that_is_deleted_is_run_no_longer(dense_stacks: list[tuple[str, ...]]) -> None:
    net, x = mlp(), rng.normal(size=(9, 12))
    assert np.allclose(net(x).data.sum(1), 1)
    delattr(net, "8")
    assert not np.allclose(net(x).data.sum(1), 1)
    delattr(net, "7")
    assert net(x).shape == (9, 5)
    assert [len(activations) for activations in dense_stacks] == [4, 4, 3]


def test_a_plan_is_for_one_number_of_channels() -> None:
    net = model()
    net(images())
    with pytest.raises(ShapeError, match=r"(?s)conv2d: input has 3 channels .*in layer 0"):
        net(np.zeros((20, 3, 14, 15)))


def test_a_flattening_of_other_axes_is_its_own(dense_stacks: list[tuple[str, ...]]) -> None:
    for first in (nn.Flatten(0, -1), nn.Flatten(0)):
        assert nn.Sequential(first, nn.Dense(12, 3))(np.zeros((1, 3, 4), "float32")).shape == (3,)
    with pytest.raises(ShapeError, match=r"(?s)linear: .*in layer 1"):
        nn.Sequential(nn.Flatten(1, -2), nn.Dense(12, 3))(np.zeros((5, 1, 3, 4), "float32"))
    assert dense_stacks == []


def test_dense_layers_that_do_not_fit_are_left_to_say_so() -> None:
    net = nn.Sequential(nn.Dense(4, 3), nn.Tanh(), nn.Dense(5, 2))
    with pytest.raises(ShapeError, match=r"(?s)linear: .*in layer 2"):
        net(np.zeros((9, 4), "float32"))


@pytest.mark.parametrize("layer", [nn.ReLU, nn.Tanh, nn.Sigmoid])
@pytest.mark.parametrize("n", [3, 19])
def test_an_activation_at_the_end_gets_its_slope(n: int, layer: Any) -> None:
    """The last layer's values are a result, which the gradient needs as well."""
    x, results = rng.normal(size=(n, 6)), []
    for together in (True, False):
        net = nn.Sequential(nn.Dense(6, 7, generator=np.random.default_rng(5), dtype="float64"), layer())
        (net if together else apart(net))(x).sum().backward()
        results.append([p.grad.data for p in net.parameters()])
    for a, b in zip(*results, strict=True):
        assert np.abs(a - b).max() <= 1e-12 * np.abs(b).max()


def test_a_parameter_of_another_shape_is_left_to_its_layer(dense_stacks: list[tuple[str, ...]]) -> None:
    for net, x in ((mlp(), np.zeros((9, 12))), (model(), np.zeros((9, 1, 14, 15)))):
        weight = next(net.parameters())
        weight.data = weight.data[:-1]
        with pytest.raises(ShapeError):
            net(x)


def test_what_is_no_row_of_features_runs_as_ever(dense_stacks: list[tuple[str, ...]]) -> None:
    net = nn.Sequential(nn.Dense(4, 3), nn.Tanh())
    assert net(np.zeros((2, 5, 4), "float32")).shape == (2, 5, 3)
    assert net(np.zeros(4, "float32")).shape == (3,)
    assert dense_stacks == []
    with pytest.raises(ShapeError, match=r"(?s)linear: .*in layer 0"):
        net(np.zeros((2, 5), "float32"))
    assert net(np.zeros((0, 4), "float32")).shape == (0, 3)
    for layer in (nn.Dense(4, 40_000), nn.Dense(None, 3)):
        nn.Sequential(layer)(np.zeros((2, 4), "float32"))
    assert dense_stacks == [("tanh",)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_keep_their_values_at_the_ends(dtype: str) -> None:
    tiny = np.finfo(dtype).tiny
    values = np.array(
        [-np.inf, -200, -30, -1e-4, -tiny, -0.0, 0, tiny, 1e-4, 0.3, 19.9, 30, 200, np.inf, np.nan], dtype
    )
    for layer in (nn.ReLU(), nn.Tanh(), nn.Sigmoid()):
        dense = nn.Dense(1, 1, bias=False, dtype=dtype)
        with minidl.no_grad():
            dense.weight.fill_(1)
        together, expected = nn.Sequential(dense, layer)(values[:, None]).data[:, 0], layer(values).data
        assert np.array_equal(np.isnan(together), np.isnan(expected))
        np.testing.assert_array_max_ulp(together[:-1], expected[:-1], 2)


@pytest.mark.parametrize("n", [0, 1, 3, 7])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
def test_a_few_samples_without_gradients(stacks: list[int], dtype: str, tolerance: float, n: int) -> None:
    x = images(dtype, n)
    with minidl.no_grad():
        expected = apart(model(dtype))(x).data
        assert stacks == []
        for threads in (1, 2, 3):
            minidl.set_num_threads(threads)
            y = model(dtype)(x).data
            assert np.abs(y - expected).max(initial=0) <= tolerance * np.abs(expected).max(initial=0)
    assert stacks == [2, 2, 2]
    assert model(dtype)(x).requires_grad
    assert stacks == [2, 2, 2]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_few_samples_that_are_not_finite(value: float) -> None:
    x = images("float64", 2)
    x[0, 0, 3, 4] = value
    net = nn.Sequential(nn.Conv2d(1, 3, (2, 3), padding=1), nn.ReLU(), nn.MaxPool2d((3, 2)))
    net.to("float64")
    with minidl.no_grad():
        together = net(x).data
        assert np.allclose(together, apart(net)(x).data, equal_nan=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("where", ["input", "weight", "bias", "gradient"])
def test_runs_choose_as_the_layers_do_among_what_is_not_finite(stacks: list[int], where: str, dtype: str) -> None:
    """Values and all gradients: NaN and infinities before and behind ReLU, max pooling and the other activations."""
    convolutions = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 2),
                                 nn.MaxPool2d(2), nn.Conv2d(2, 4, 1), nn.ReLU())  # fmt: skip
    dense = nn.Sequential(nn.Dense(9, 8), nn.ReLU(), nn.Dense(8, 7), nn.Tanh(), nn.Dense(7, 5), nn.Sigmoid())
    draws = np.random.default_rng(0)

    def spoil(values: np.ndarray, share: float) -> np.ndarray:
        chosen = draws.random(values.shape) < share
        return np.where(chosen, draws.choice([np.nan, np.inf, -np.inf], values.shape), values).astype(dtype)

    for net, shape in ((convolutions.to(dtype), (19, 1, 10, 11)), (dense.to(dtype), (19, 9))):
        for layer in net:
            if where in ("weight", "bias") and hasattr(layer, where):
                parameter = getattr(layer, where)
                parameter.data[...] = spoil(parameter.data, 0.05)
        x = spoil(draws.normal(size=shape), 0.01 if where == "input" else 0)
        results = []
        for are_apart in (False, True):
            if are_apart:
                apart(net)
            net.zero_grad()
            inputs = minidl.Tensor(x, requires_grad=True)
            y = net(inputs)
            if not are_apart:
                start = spoil(np.random.default_rng(1).normal(size=y.shape), 0.05 if where == "gradient" else 0)
            y.backward(start)
            with minidl.no_grad():
                few = net(x[:3]).data
            results.append([y.data, few, inputs.grad.data, *(p.grad.data for p in net.parameters())])
        for together, expected in zip(*results, strict=True):
            tolerance = 1e-4 if dtype == "float32" else 1e-10
            np.testing.assert_allclose(together, expected, tolerance, tolerance)
    assert stacks == [3, 3]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("channels", "filters", "kernel", "stride", "padding", "dilation", "pool"),
    [
        (1, 6, 5, 1, 2, 1, 2),
        (6, 16, 5, 1, 0, 1, 2),
        (3, 8, (3, 2), (2, 3), (1, 2), 1, (1, 2)),
        (2, 9, 3, (1, 2), 0, (2, 3), (3, 1)),
        (4, 21, (1, 3), 1, minidl.Padding(0, 0, 0, 1), 1, 1),
        (19, 5, 3, 1, minidl.Padding(1, 0, 2, 0), 2, 2),
        (2, 1, (2, 16), 2, 0, 1, (2, 3)),
    ],
)
def test_a_sample_gives_the_same_bits_alone_and_among_others(
    stacks: list[int], dtype: str, channels: int, filters: int, kernel: Any, stride: Any, padding: Any, dilation: Any,
    pool: Any,
) -> None:  # fmt: skip
    conv = nn.Conv2d(channels, filters, kernel, stride, padding, dilation)
    net = nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(pool), nn.Conv2d(filters, 3, 1)).to(dtype)
    x = rng.normal(size=(9, channels, 9, 21)).astype(dtype)
    with minidl.no_grad():
        among = net(x).data
        assert np.array_equal(net(x[2:3]).data, among[2:3])
        assert np.array_equal(net(x[4:9]).data, among[4:9])
        assert stacks == [2, 2, 2]
        expected = apart(net)(x).data
        assert np.abs(among - expected).max() <= (2e-5 if dtype == "float32" else 1e-12) * np.abs(expected).max()


def test_padding_before_an_image_whose_last_rows_go_unseen(stacks: list[int]) -> None:
    """As many rows and columns are seen as there are, but the first are zeros; memory held other numbers before."""
    net = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Conv2d(3, 4, 2, 3, minidl.Padding(1, 0, 1, 0))).to("float64")
    x = minidl.Tensor(rng.normal(size=(32, 2, 8, 8)))
    net(x * np.nan).sum().backward()
    y = net(x)
    net.zero_grad()
    y.sum().backward()
    got = [y.data, *(p.grad.data for p in net.parameters())]
    assert stacks == [2, 2]
    net.zero_grad()
    expected = apart(net)(x)
    expected.sum().backward()
    for one, other in zip(got, [expected.data, *(p.grad.data for p in net.parameters())], strict=True):
        assert np.allclose(one, other, rtol=1e-12)


def test_kernels_refuse_arrays_of_another_size() -> None:
    """Lists of arrays are read by their addresses."""
    weight, bias, x = np.ones((3, 4)), np.ones(3), np.ones((2, 4))
    plan = kernels.dense_plan((4, 3), ("linear",))
    assert kernels.dense_stack(x, [weight], [bias], plan, False)[0].tolist() == [[5.0] * 3] * 2
    for wrong in (weight[:2], weight.astype("float32")):
        with pytest.raises(ValueError, match="instead of 12 numbers"):
            kernels.dense_stack(x, [wrong], [bias], plan, False)
    with pytest.raises(ValueError, match="instead of 3 numbers"):
        kernels.dense_stack(x, [weight], [bias[:2]], plan, False)


def test_what_dense_layers_kept_of_another_batch_is_refused() -> None:
    weights, x, grad = [np.ones((3, 4))], np.ones((33, 4)), np.ones((33, 3))
    plan = kernels.dense_plan((4, 3), ("relu",))
    for N in (16, 49):
        kept = kernels.dense_stack(np.ones((N, 4)), weights, [None], plan, True)[1]
        with pytest.raises(ValueError, match="bytes were kept, not of 33 samples"):
            kernels.dense_stack_gradients(grad, x, weights, [None], plan, kept, True)
