"""Bad input is refused by name: what was expected, what came, and where; as an error a NumPy user would catch."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import minidl
import minidl.functional as F
from minidl import nn
from minidl.errors import ArgumentError, DTypeError, MinidlError, OutOfRangeError, ShapeError
from minidl.geometry import Padding


def ones(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.ones(shape, dtype)


X, W = ones(8, 3, 28, 28), ones(6, 3, 5, 5)
ROWS: list[tuple[str, Any, type[Exception], str]] = [
    # conv2d: shapes
    ("channels", lambda: F.conv2d(X, ones(6, 4, 5, 5)), ShapeError,
     r"^conv2d: input has 3 channels \(axis 1 of \(8, 3, 28, 28\)\), weight expects 4 \(axis 1 of \(6, 4, 5, 5\)\)$"),
    ("channels in groups", lambda: F.conv2d(ones(1, 5, 9, 9), ones(6, 2, 3, 3), groups=3), ShapeError,
     r"conv2d: input has 5 channels .*weight expects 2 in each of 3 groups"),
    ("filters in groups", lambda: F.conv2d(ones(1, 6, 9, 9), ones(4, 2, 3, 3), groups=3), ShapeError,
     r"conv2d: 4 filters \(axis 0 of weight\) can't be split into 3 groups"),
    ("input of 2 axes", lambda: F.conv2d(ones(28, 28), W), ShapeError,
     r"conv2d: input must have 4 dimensions \(N, C, H, W\) or 3 \(C, H, W\), got 2: \(28, 28\)"),
    ("input of 5 axes", lambda: F.conv2d(ones(1, 1, 1, 28, 28), W), ShapeError, r"conv2d: input must have .* got 5"),
    ("weight of 3 axes", lambda: F.conv2d(X, ones(3, 5, 5)), ShapeError,
     r"conv2d: weight must have 4 dimensions.*\(3, 5, 5\)"),
    ("empty weight", lambda: F.conv2d(X, ones(0, 3, 5, 5)), ShapeError, r"conv2d: weight must .* none of them 0"),
    ("no pixels", lambda: F.conv2d(ones(2, 3, 0, 4), W), ShapeError, r"conv2d: input has no channels or no pixels"),
    ("bias", lambda: F.conv2d(X, W, ones(5)), ShapeError,
     r"conv2d: bias must have shape \(6,\), one a filter, got \(5,\)"),
    ("bias of 2 axes", lambda: F.conv2d(X, W, ones(6, 1)), ShapeError, r"conv2d: bias must have shape \(6,\)"),
    ("kernel too large", lambda: F.conv2d(ones(1, 3, 4, 9), W), ShapeError,
     r"conv2d: the kernel of 5 x 5 is larger than the input of 4 x 9, padded to 4 x 9"),
    ("dilated kernel too large", lambda: F.conv2d(ones(1, 3, 9, 9), W, dilation=(1, 3)), ShapeError,
     r"conv2d: the kernel of 5 x 5 \(dilated to 5 x 13\) is larger"),
    # conv2d: arguments
    ("stride 0", lambda: F.conv2d(X, W, stride=0), ArgumentError, r"conv2d: stride must be at least 1, got 0"),
    ("stride -1", lambda: F.conv2d(X, W, stride=(1, -1)), ArgumentError,
     r"conv2d: stride must be at least 1, got \(1, -1\)"),
    ("stride True", lambda: F.conv2d(X, W, stride=True), ArgumentError,
     r"conv2d: stride must be an int or a pair of ints, got True"),
    ("stride '2'", lambda: F.conv2d(X, W, stride="2"), ArgumentError,
     r"conv2d: stride must be an int or a pair of ints, got '2'"),
    ("stride None", lambda: F.conv2d(X, W, stride=None), ArgumentError, r"conv2d: stride must be an int.*got None"),
    ("stride 1.0", lambda: F.conv2d(X, W, stride=1.0), ArgumentError, r"conv2d: stride must be an int.*got 1\.0"),
    ("stride of three", lambda: F.conv2d(X, W, stride=(1, 2, 3)), ArgumentError,
     r"conv2d: stride must be .* pair of ints"),
    ("stride as an array", lambda: F.conv2d(X, W, stride=np.array([1, 2])), ArgumentError, r"conv2d: stride must be"),
    ("dilation 0", lambda: F.conv2d(X, W, dilation=0), ArgumentError, r"conv2d: dilation must be at least 1, got 0"),
    ("padding -1", lambda: F.conv2d(X, W, padding=-1), ArgumentError, r"conv2d: padding must be at least 0, got -1"),
    ("padding 'full'", lambda: F.conv2d(X, W, padding="full"), ArgumentError,
     r"conv2d: padding must be an int, a pair of ints, 'same' or 'valid', got 'full'"),
    ("padding None", lambda: F.conv2d(X, W, padding=None), ArgumentError, r"conv2d: padding must be an int.*got None"),
    ("a negative side", lambda: F.conv2d(X, W, padding=Padding(0, -1, 0, 0)), ArgumentError,
     r"conv2d: padding must be four"),
    ("groups 0", lambda: F.conv2d(X, W, groups=0), ArgumentError,
     r"conv2d: groups must be an int of at least 1, got 0"),
    ("groups True", lambda: F.conv2d(X, W, groups=True), ArgumentError, r"conv2d: groups must be an int.*got True"),
    ("groups 1.5", lambda: F.conv2d(X, W, groups=1.5), ArgumentError, r"conv2d: groups must be an int.*got 1\.5"),
    # conv2d: dtypes
    ("mixed dtypes", lambda: F.conv2d(X, ones(6, 3, 5, 5, dtype=np.float64)), DTypeError,
     r"conv2d: input is float32 and weight is float64; convert one with astype\(\)"),
    ("bias of another dtype", lambda: F.conv2d(X, W, ones(6, dtype=np.float64)), DTypeError,
     r"input is float32 and bias is float64"),
    ("integers", lambda: F.conv2d(ones(8, 3, 28, 28, dtype=np.int64), W), DTypeError,
     r"conv2d: input must be float32 or float64, got int64"),
    ("integer weight", lambda: F.conv2d(X, W.astype(int)), DTypeError,
     r"conv2d: weight must be float32 or float64, got int64"),
    ("complex", lambda: F.conv2d(X.astype(complex), W), DTypeError, r"conv2d: .*complex128"),
    ("objects", lambda: F.conv2d(X.astype(object)[:1, :1, :1], W), DTypeError, r"conv2d: .*object"),
    ("None", lambda: F.conv2d(None, W), DTypeError, r"conv2d: input must be a tensor or an array, got NoneType"),
    ("weight None", lambda: F.conv2d(X, None), DTypeError,
     r"conv2d: weight must be a tensor or an array, got NoneType"),
    ("a word", lambda: F.conv2d("image", W), DTypeError, r"conv2d: input must be a tensor or an array, got str"),
    # unfold and fold
    ("unfold's rank", lambda: F.unfold(ones(4, 4), 2), ShapeError, r"unfold: input must have 4 dimensions"),
    ("unfold's kernel", lambda: F.unfold(ones(1, 1, 2, 2), 3), ShapeError, r"unfold: the kernel of 3 x 3 is larger"),
    ("unfold's kernel 0", lambda: F.unfold(ones(1, 1, 2, 2), 0), ArgumentError,
     r"unfold: kernel_size must be at least 1"),
    ("fold's rank", lambda: F.fold(ones(4), 2, 1), ShapeError,
     r"fold: input must have 3 dimensions .* got shape \(4,\)"),
    ("fold's rows", lambda: F.fold(ones(1, 5, 4), 3, 2), ShapeError,
     r"fold: input has 5 rows \(axis -2 of \(1, 5, 4\)\), no multiple of the kernel's 4"),
    ("fold's columns", lambda: F.fold(ones(1, 4, 5), 3, 2), ShapeError,
     r"fold: input has 5 columns \(axis -1 of \(1, 4, 5\)\), an output of 3 x 3 takes 2 \* 2 = 4"),
    ("fold's size", lambda: F.fold(ones(1, 4, 5), (3, 0), 2), ArgumentError, r"fold: output_size must be at least 1"),
    ("fold's dtype", lambda: F.fold(ones(1, 4, 4, dtype=np.int32), 3, 2), DTypeError,
     r"fold: input must be float32 or float64"),
    # pooling
    ("max padding", lambda: F.max_pool2d(X, 3, padding=2), ArgumentError,
     r"max_pool2d: padding must be at most half of kernel_size \(3, 3\)"),
    ("avg padding", lambda: F.avg_pool2d(X, (4, 2), padding=2), ArgumentError,
     r"avg_pool2d: padding must be at most half"),
    ("padding below", lambda: F.max_pool2d(X, 2, padding=Padding(0, 90, 0, 0)), ArgumentError,
     r"max_pool2d: padding must be at most"),
    ("padding 'same'", lambda: F.max_pool2d(X, 2, padding="same"), ArgumentError,
     r"max_pool2d: padding must be an int"),
    ("nothing but padding", lambda: F.max_pool2d(ones(1, 1, 1, 1), 2, stride=1, padding=1, dilation=2), ShapeError,
     r"max_pool2d: .* sees nothing but padding"),
    ("kernel 0", lambda: F.max_pool2d(X, 0), ArgumentError, r"max_pool2d: kernel_size must be at least 1, got 0"),
    ("kernel None", lambda: F.avg_pool2d(X, None), ArgumentError, r"avg_pool2d: kernel_size must be an int"),
    ("stride False", lambda: F.max_pool2d(X, 2, stride=False), ArgumentError,
     r"max_pool2d: stride must be an int.*got False"),
    ("pool rank", lambda: F.max_pool2d(ones(4, 4), 2), ShapeError, r"max_pool2d: input must have 4 dimensions"),
    ("pool too large", lambda: F.avg_pool2d(ones(1, 1, 2, 3), (2, 4)), ShapeError,
     r"avg_pool2d: the kernel of 2 x 4 is larger"),
    ("pool integers", lambda: F.max_pool2d(ones(1, 1, 4, 4, dtype=np.uint8), 2), DTypeError,
     r"max_pool2d: input must be float"),
    # linear and matmul
    ("features", lambda: F.linear(ones(2, 3), ones(4, 5)), ShapeError,
     r"linear: input has 3 features \(axis -1 of \(2, 3\)\), weight expects 5 \(axis 1 of \(4, 5\)\)"),
    ("a number", lambda: F.linear(np.float32(1), ones(4, 5)), ShapeError, r"linear: input has no features"),
    ("linear's weight", lambda: F.linear(ones(2, 3), ones(3)), ShapeError, r"linear: weight must have 2 dimensions"),
    ("linear's bias", lambda: F.linear(ones(2, 3), ones(4, 3), ones(3)), ShapeError,
     r"linear: bias must have shape \(4,\)"),
    ("linear's dtypes", lambda: F.linear(ones(2, 3), ones(4, 3, dtype=np.float64)), DTypeError,
     r"linear: input is float32 and weight is float64"),
    ("linear of ints", lambda: F.linear(ones(2, 3, dtype=int), ones(4, 3)), DTypeError,
     r"linear: input must be float32 or"),
    ("inner sizes", lambda: minidl.matmul(ones(2, 3), ones(4, 5)), ShapeError,
     r"matmul: input has 3 columns \(axis -1 of \(2, 3\)\), other 4 rows \(axis -2 of \(4, 5\)\)"),
    ("inner sizes of vectors", lambda: minidl.matmul(ones(3), ones(4)), ShapeError,
     r"matmul: .* 4 rows \(axis 0 of \(4,\)\)"),
    ("a number in matmul", lambda: minidl.matmul(np.float32(2), ones(4)), ShapeError,
     r"matmul: both must have at least 1"),
    ("batches", lambda: minidl.matmul(ones(2, 3, 4), ones(3, 4, 5)), ShapeError,
     r"matmul: the leading dimensions of .* don't broadcast"),
    ("matmul's dtypes", lambda: minidl.matmul(ones(2, 2), ones(2, 2, dtype=np.float64)), DTypeError,
     r"matmul: input is float32 and other is float64"),
    ("matmul of ints", lambda: minidl.matmul(ones(2, 2, dtype=int), ones(2, 2, dtype=int)), DTypeError,
     r"matmul: input must be float"),
    # activations
    ("relu of ints", lambda: F.relu([1, 2]), DTypeError, r"relu: input must be float32 or float64, got int64"),
    ("tanh of booleans", lambda: F.tanh([True]), DTypeError, r"tanh: input must be float32 or float64, got bool"),
    ("sigmoid of None", lambda: F.sigmoid(None), DTypeError, r"sigmoid: input must be a tensor"),
    ("softmax's dim", lambda: F.softmax(ones(2, 3), 2), OutOfRangeError,
     r"softmax: dim 2 is out of range for a tensor of 2"),
    ("softmax's dim None", lambda: F.softmax(ones(2, 3), None), ArgumentError,
     r"softmax: dim must be an int, got None"),
    ("log_softmax's dim", lambda: F.log_softmax(ones(2, 3), -3), OutOfRangeError,
     r"log_softmax: dim -3 is out of range"),
    ("log_softmax's word", lambda: F.log_softmax(ones(2, 3), "1"), ArgumentError,
     r"log_softmax: dim must be an int, got '1'"),
    *[(f"p = {p}", lambda p=p: F.dropout(ones(2), p), ArgumentError, r"dropout: p must be a number from 0 to 1, got ")
      for p in (-0.1, 1.1, float("nan"), "0.5", None, True)],
    # cross_entropy
    ("target too large", lambda: F.cross_entropy(ones(2, 3), [0, 3]), OutOfRangeError,
     r"cross_entropy: target\[1\] is 3, input has the classes 0 to 2"),
    ("target below 0", lambda: F.cross_entropy(ones(2, 3), [-1, 0]), OutOfRangeError,
     r"cross_entropy: target\[0\] is -1"),
    ("floating target", lambda: F.cross_entropy(ones(2, 3), ones(2)), DTypeError,
     r"cross_entropy: target must be class numbers of an integer dtype, got float32"),
    ("boolean target", lambda: F.cross_entropy(ones(2, 3), [True, False]), DTypeError,
     r"cross_entropy: target must be .* bool"),
    ("target's length", lambda: F.cross_entropy(ones(2, 3), [0, 1, 2]), ShapeError,
     r"cross_entropy: target must have shape \(2,\), one a row of input \(2, 3\), got \(3,\)"),
    ("target's rank", lambda: F.cross_entropy(ones(2, 3), [[0, 1]]), ShapeError,
     r"cross_entropy: target must have shape \(2,\)"),
    ("target None", lambda: F.cross_entropy(ones(2, 3), None), DTypeError, r"cross_entropy: target must be a tensor"),
    ("no classes", lambda: F.cross_entropy(ones(2, 0), [0, 0]), ShapeError,
     r"cross_entropy: input must have .* got shape \(2, 0\)"),
    ("three axes", lambda: F.cross_entropy(ones(2, 3, 4), [0, 0]), ShapeError,
     r"cross_entropy: input must have 2 dimensions"),
    ("reduction", lambda: F.cross_entropy(ones(2, 3), [0, 0], reduction="avg"), ArgumentError,
     r"cross_entropy: reduction must be one of 'mean', 'sum', 'none', got 'avg'"),
    ("integer logits", lambda: F.cross_entropy([[1, 2]], [0]), DTypeError, r"cross_entropy: input must be float32 or"),
    ("ignore_index None", lambda: F.cross_entropy(ones(1, 3), [1], ignore_index=None), ArgumentError,
     r"cross_entropy: ignore_index must be an int"),
    ("ignore_index 0.5", lambda: F.cross_entropy(ones(1, 3), [1], ignore_index=0.5), ArgumentError,
     r"cross_entropy: ignore_index must be an int"),
    ("ignore_index 2**70", lambda: F.cross_entropy(ones(1, 3), [1], ignore_index=2**70), ArgumentError,
     r"cross_entropy: ignore_index must be an int"),
    ("huge unsigned target", lambda: F.cross_entropy(ones(1, 3), np.array([2**64 - 100], np.uint64)), OutOfRangeError,
     r"cross_entropy: target\[0\] is 18446744073709551516"),
    ("dropout's generator", lambda: F.dropout(ones(2), 0.5, generator=3), DTypeError, r"dropout: generator must be"),
    # arithmetic, shapes and indices
    ("clip by a word", lambda: minidl.clip(ones(2), "a"), MinidlError, r"clip: min must be a number"),
    ("clip by a tensor", lambda: minidl.clip(ones(2), max=minidl.ones(2)), MinidlError, r"clip: max must be a number"),
    ("floating dim", lambda: minidl.ones(2).sum(1.5), ArgumentError, r"sum: dim must be an int or several, got 1\.5"),
    ("concatenate a number", lambda: minidl.concatenate(3), MinidlError, r"concatenate: tensors must be"),
    ("broadcast", lambda: minidl.add(ones(2, 3), ones(2, 4)), ShapeError,
     r"add: input of shape \(2, 3\) and other of shape \(2, 4\) don't broadcast: axis -1 has 3 and 4 entries"),
    ("operators", lambda: minidl.ones(2, 3) * minidl.ones(3, 2), ShapeError,
     r"mul: .* don't broadcast: axis -1 has 3 and 2"),
    ("div", lambda: minidl.ones(2) / minidl.ones(3), ShapeError, r"div: .*don't broadcast"),
    ("pow", lambda: minidl.ones(2) ** minidl.ones(3), ShapeError, r"pow: .*don't broadcast"),
    ("maximum", lambda: minidl.maximum(ones(2), ones(3)), ShapeError, r"maximum: .*don't broadcast"),
    ("minimum", lambda: minidl.minimum(ones(2), ones(3)), ShapeError, r"minimum: .*don't broadcast"),
    ("where", lambda: minidl.where(np.array([True, False]), ones(3), ones(3)), ShapeError, r"where: .*don't broadcast"),
    ("where's condition", lambda: minidl.where([1, 0], ones(2), ones(2)), DTypeError,
     r"where: condition must be boolean, got int64"),
    ("comparison", lambda: minidl.ones(2) == minidl.ones(3), ShapeError, r"eq: .*don't broadcast"),
    ("None in add", lambda: minidl.add(None, ones(2)), DTypeError,
     r"add: input must be a tensor or an array, got NoneType"),
    ("reshape", lambda: minidl.ones(2, 3).reshape(4), ShapeError,
     r"reshape: input of shape \(2, 3\) has 6 values, which don't fit \(4,\)"),
    ("reshape -1 twice", lambda: minidl.ones(2, 3).reshape(-1, -1), ShapeError, r"reshape: at most one size may be -1"),
    ("reshape 1.0", lambda: minidl.ones(2, 3).reshape(6.0), MinidlError, r"reshape: sizes must be ints"),
    ("permute", lambda: minidl.ones(2, 3).permute(0), ShapeError, r"permute: input has 2 dimensions, but 1"),
    ("permute twice", lambda: minidl.ones(2, 3).permute(0, 0), ArgumentError,
     r"permute: dim .* names a dimension twice"),
    ("transpose", lambda: minidl.ones(2, 3).transpose(0, 2), OutOfRangeError, r"transpose: dim 2 is out of range"),
    ("broadcast_to", lambda: minidl.broadcast_to(ones(2, 3), (2, 4)), ShapeError,
     r"broadcast_to: input of shape \(2, 3\) does not"),
    ("flatten", lambda: minidl.flatten(ones(2, 3), 1, 0), ArgumentError, r"flatten: start_dim 1 comes after end_dim 0"),
    ("sum's dim", lambda: minidl.ones(2).sum(1), OutOfRangeError,
     r"sum: dim 1 is out of range for a tensor of 1 dimensions"),
    ("mean of ints", lambda: minidl.tensor([1, 2]).mean(), DTypeError,
     r"mean: input must be float32 or float64, got int64"),
    ("amax of nothing", lambda: minidl.amax(ones(0, 3), 0), ShapeError, r"amax: no value to choose"),
    ("argmax of nothing", lambda: minidl.argmax(ones(0)), ShapeError, r"argmax: no value to choose"),
    ("concatenate", lambda: minidl.concatenate([ones(2, 3), ones(2, 4)]), ShapeError,
     r"concatenate: tensors\[1\] has shape \(2, 4\)"),
    ("concatenate nothing", lambda: minidl.concatenate([]), ArgumentError,
     r"concatenate: tensors must hold at least one"),
    ("stack", lambda: minidl.stack([ones(2), ones(3)]), ShapeError,
     r"stack: tensors\[1\] has shape \(3,\), tensors\[0\] \(2,\)"),
    ("stack nothing", lambda: minidl.stack([]), ArgumentError, r"stack: tensors must hold at least one|concatenate: "),
    ("index", lambda: minidl.ones(2)[2], OutOfRangeError,
     r"indexing: index 2 is out of bounds.*the tensor has shape \(2,\)"),
    ("index list", lambda: minidl.ones(2)[[0, 5]], OutOfRangeError, r"indexing: index 5 is out of bounds"),
    ("too many indices", lambda: minidl.ones(2)[0, 0], OutOfRangeError, r"indexing: too many indices"),
    ("floating index", lambda: minidl.ones(2)[np.array([0.5])], DTypeError,
     r"indexing: indices must be integers or booleans"),
    ("take_along_dim", lambda: minidl.take_along_dim(ones(2, 3), ones(2, 3), 0), DTypeError,
     r"take_along_dim: indices must be"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_bad_input_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert isinstance(caught.value, MinidlError)
    assert isinstance(caught.value, ValueError | TypeError | IndexError), "not what a NumPy user would catch"


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
