"""Bad input is refused by name: what was expected, what came, and where; as an error a NumPy user would catch."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from bad_input import ROWS
from bad_input._row import ones

import minidl
import minidl.functional as F
from minidl import nn
from minidl.errors import ArgumentError, DTypeError, MinidlError, OutOfRangeError, ShapeError

W = ones(6, 3, 5, 5)


@pytest.mark.parametrize(("call", "error", "message"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_bad_input_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert isinstance(caught.value, MinidlError)
    assert isinstance(caught.value, ValueError | TypeError | IndexError), "not what a NumPy user would catch"


def test_every_function_has_bad_input() -> None:
    missing = [name for name in F.__all__ if not any(row[3].lstrip("^").startswith(f"{name}:") for row in ROWS)]
    assert not missing, f"no row in tests/bad_input for {missing}"


def layers_met(error: BaseException) -> set[type]:
    """The layers whose constructor or call an error came through."""
    met = set()
    trace = error.__traceback__
    while trace is not None:
        if isinstance(layer := trace.tb_frame.f_locals.get("self"), nn.Module):
            met.add(type(layer))
        trace = trace.tb_next
    return met


def test_every_layer_has_bad_input() -> None:
    met: set[type] = set()
    for _, call, error, _ in ROWS:
        with pytest.raises(error) as caught:
            call()
        met |= layers_met(caught.value)
    layers = {name for name in nn.__all__ if isinstance(getattr(nn, name), type)} - {"Module", "Parameter"}
    # What only hands its input on refuses nothing.
    missing = {name for name in layers if getattr(nn, name) not in met} - {"Identity"}
    assert not missing, f"no row in tests/bad_input comes through {sorted(missing)}"


def test_kinds_of_errors() -> None:
    assert issubclass(ShapeError, ValueError)
    assert issubclass(ArgumentError, ValueError)
    assert issubclass(DTypeError, TypeError)
    assert issubclass(OutOfRangeError, IndexError)


class LeNetLike(nn.Module):
    def __init__(self) -> None:
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 16, 5), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Dense(400, 10))

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(x))


def test_the_message_names_the_layer_inside_a_model() -> None:
    message = (
        "conv2d: input has 6 channels (axis 1 of (2, 6, 14, 14)), weight expects 5 (axis 1 of (16, 5, 5, 5))\n"
        "  in layer features.3 (Conv2d)"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        LeNetLike()(minidl.zeros(2, 1, 28, 28))


def test_the_message_names_the_layer_in_a_sequence_and_alone() -> None:
    with pytest.raises(ShapeError, match=r"linear: input has 3 features(.|\n)*in layer 1\.0 \(Dense\)$"):
        nn.Sequential(nn.ReLU(), nn.Sequential(nn.Dense(4, 2)))(minidl.zeros(1, 3))
    with pytest.raises(ShapeError, match=r"linear: input has 3 features(.|\n)*\(Dense\)$"):
        nn.Dense(4, 2)(minidl.zeros(1, 3))


def test_a_call_that_succeeds_after_an_error_says_nothing_of_it() -> None:
    model = LeNetLike()
    with pytest.raises(ShapeError, match=r"in layer features\.3"):
        model(minidl.zeros(2, 1, 28, 28))
    with pytest.raises(ShapeError, match="conv2d: input must have 4 dimensions") as caught:
        F.conv2d(ones(2), W)
    assert "layer" not in str(caught.value)


EMPTY = {
    "conv2d": lambda: F.conv2d(ones(0, 3, 8, 9), W, ones(6)),
    "unfold": lambda: F.unfold(ones(0, 3, 8, 9), 2),
    "fold": lambda: F.fold(ones(0, 4, 4), 3, 2),
    "max_pool2d": lambda: F.max_pool2d(ones(0, 3, 8, 9), 2),
    "avg_pool2d": lambda: F.avg_pool2d(ones(0, 3, 8, 9), 2),
    "linear": lambda: F.linear(ones(0, 3), ones(4, 3), ones(4)),
    "matmul": lambda: minidl.matmul(ones(0, 3), ones(3, 2)),
    "softmax": lambda: F.softmax(ones(0, 3), 1),
    "cross_entropy": lambda: F.cross_entropy(ones(0, 3), [], reduction="none"),
    "relu": lambda: F.relu(ones(0, 3)),
    "dropout": lambda: F.dropout(ones(0, 3)),
}


@pytest.mark.parametrize("name", EMPTY)
def test_empty_batches_work(name: str) -> None:
    y = EMPTY[name]()
    assert y.shape[0] == 0
    assert y.dtype == np.float32


def test_the_mean_loss_of_an_empty_batch_is_nan_and_its_sum_0() -> None:
    assert np.isnan(F.cross_entropy(ones(0, 3), []).item())
    assert F.cross_entropy(ones(0, 3), [], reduction="sum").item() == 0


def test_a_call_that_was_fine_lets_no_other_pass() -> None:
    """Checks of a convolution are remembered, by all that they look at."""
    x, w, b = minidl.ones(2, 3, 8, 9), minidl.ones(6, 3, 2, 2), minidl.ones(6)
    good = {"input": x, "weight": w, "bias": b, "stride": 1, "padding": 1, "dilation": 1, "groups": 1}
    pairs = {"stride": (1, 1), "padding": minidl.Padding(1, 1, 1, 1), "dilation": (1, 1)}
    for _ in range(2):
        assert F.conv2d(**good).shape == F.conv2d(**good | pairs).shape == (2, 6, 9, 10)
    bad: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"stride": True}, ArgumentError), ({"stride": 1.0}, ArgumentError), ({"padding": 1.0}, ArgumentError),
        ({"dilation": 1.0}, ArgumentError), ({"groups": True}, ArgumentError), ({"groups": 2}, ShapeError),
        ({"bias": minidl.ones(5)}, ShapeError), ({"bias": b.astype("float64")}, DTypeError),
        ({"weight": w.astype("float64")}, DTypeError), ({"input": x.astype("float64")}, DTypeError),
        ({"weight": minidl.ones(6, 2, 2, 2)}, ShapeError), ({"algorithm": "winograd"}, ArgumentError),
        ({"algorithm": "none"}, ArgumentError), ({"algorithm": ["auto"]}, ArgumentError),
        ({"stride": (True, True)}, ArgumentError), ({"dilation": (1, 1.0)}, ArgumentError),
        ({"padding": (1, 1, 1, 1)}, ArgumentError), ({"padding": minidl.Padding(1, 1, 1, True)}, ArgumentError),
    ]  # fmt: skip
    for change, error in bad:
        with pytest.raises(error, match="conv2d"):
            F.conv2d(**{**good, **change})
    assert F.conv2d(**{**good, "stride": 2}).shape == (2, 6, 5, 5)
    assert F.conv2d(**{**good, "dilation": 2}).shape == (2, 6, 8, 9)
    assert F.conv2d(x.data, w.data).shape == (2, 6, 7, 8)
