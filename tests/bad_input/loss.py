"""Losses: functions and layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minidl
import minidl.functional as F
from bad_input._row import Row, ones
from minidl import nn
from minidl.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError, StateDictError

X, P, T = ones(2, 3), ones(2, 3) / 2, np.array([0, 1])
IMAGES = ones(2, 3, 4, 5)
SIGNS = np.array([1, -1])
NAN = float("nan")
learned = minidl.tensor([1.0, 2.0, 3.0], requires_grad=True)

# What takes input and target of one shape, with arguments that are fine.
PAIRS: dict[str, Callable[..., Any]] = {
    "mse_loss": F.mse_loss, "l1_loss": F.l1_loss, "smooth_l1_loss": F.smooth_l1_loss, "huber_loss": F.huber_loss,
    "kl_div": F.kl_div, "binary_cross_entropy": F.binary_cross_entropy,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
}  # fmt: skip
CLASSES: dict[str, Callable[..., Any]] = {
    "nll_loss": F.nll_loss, "cross_entropy": F.cross_entropy, "multi_margin_loss": F.multi_margin_loss,
}  # fmt: skip
# A call that is fine, of every function.
FINE: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    **{name: (function, (P, P)) for name, function in PAIRS.items()},
    **{name: (function, (X, T)) for name, function in CLASSES.items()},
    "cosine_embedding_loss": (F.cosine_embedding_loss, (X, X, SIGNS)),
    "hinge_embedding_loss": (F.hinge_embedding_loss, (ones(2), SIGNS)),
    "margin_ranking_loss": (F.margin_ranking_loss, (ones(2), ones(2), SIGNS)),
    "triplet_margin_loss": (F.triplet_margin_loss, (X, X, X)),
}
WITH_MARGIN = (
    "cosine_embedding_loss", "hinge_embedding_loss", "margin_ranking_loss", "multi_margin_loss", "triplet_margin_loss",
)  # fmt: skip


def refused(op: str, message: str, error: type[Exception], *arguments: Any, **kwargs: Any) -> Row:
    """A call of an operation, by its name."""
    function, fine = FINE[op]
    return (
        f"{op}, {message[:40]}", lambda: function(*(arguments or fine), **kwargs), error, rf"^{op}: {message}"
    )  # fmt: skip


ROWS: list[Row] = []

for name in FINE:
    words = "'mean', 'batchmean', 'sum', 'none'" if name == "kl_div" else "'mean', 'sum', 'none'"
    ROWS += [
        refused(name, f"reduction must be one of {words}, got {value!r}", ArgumentError, reduction=value)
        for value in ("avg", None, *(() if name == "kl_div" else ("batchmean",)))
    ]

for name in PAIRS:
    ROWS += [
        refused(name, r"target must have the shape of input, \(2, 3\), got \(3,\)", ShapeError, P, ones(3)),
        refused(name, r"target must have the shape of input, \(2, 3\), got \(2, 1\)", ShapeError, P, ones(2, 1)),
        refused(name, r"target must have the shape of input, \(2, 3\), got \(\)", ShapeError, P, np.float32(0)),
        refused(name, r"target must have the shape of input, \(2,\), got \(2, 2\)", ShapeError, ones(2), ones(2, 2)),
        refused(name, "input is float32 and target is float64; convert one", DTypeError, P, P.astype(float)),
        refused(name, "target must be float32 or float64, got int64", DTypeError, P, np.ones((2, 3), int)),
        refused(name, "target must be float32 or float64, got bool", DTypeError, P, np.ones((2, 3), bool)),
        refused(name, "input must be float32 or float64, got int64", DTypeError, np.ones((2, 3), int), P),
        refused(name, "input must be a tensor or an array, got NoneType", DTypeError, None, P),
        refused(name, "target must be a tensor or an array, got NoneType", DTypeError, P, None),
    ]

for name in ("mse_loss", "l1_loss", "huber_loss"):
    ROWS += [
        refused(name, r"weight must have the shape of input, \(2, 3\), got \(3,\)", ShapeError, weight=ones(3)),
        refused(name, "input is float32 and weight is float64", DTypeError, weight=P.astype(float)),
        refused(name, "weight must be float32 or float64, got int64", DTypeError, weight=np.ones((2, 3), int)),
    ]

for name in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
    for weight in ("weight",) if name == "binary_cross_entropy" else ("weight", "pos_weight"):
        ROWS += [
            refused(name, rf"{weight} of shape \(2,\) does not broadcast to input's, \(2, 3\)", ShapeError,
                    **{weight: ones(2)}),
            refused(name, rf"{weight} of shape \(4, 2, 3\) does not broadcast to input's", ShapeError,
                    **{weight: ones(4, 2, 3)}),
            refused(name, rf"{weight} of shape \(2, 3\) does not broadcast to input's, \(1, 3\)", ShapeError,
                    P[:1], P[:1], **{weight: ones(2, 3)}),
            refused(name, f"input is float32 and {weight} is float64", DTypeError, **{weight: np.ones(3)}),
            refused(name, f"{weight} must be float32 or float64, got int64", DTypeError, **{weight: [1, 2, 3]}),
            refused(name, rf"{weight} gets no gradient, but requires one; use detach\(\)", ArgumentError,
                    **{weight: learned}),
        ]  # fmt: skip

for value, shown in ((1.5, r"1\.5"), (-0.25, r"-0\.25"), (NAN, "nan"), (float("inf"), "inf")):
    wrong = np.array([[0.5, 1.0, value]], np.float32)
    ROWS += [
        refused("binary_cross_entropy", f"input must be from 0 to 1, got {shown}", ArgumentError, wrong, P[:1]),
        refused("binary_cross_entropy", f"target must be from 0 to 1, got {shown}", ArgumentError, P[:1], wrong),
    ]

for name in CLASSES:
    ROWS += [
        refused(name, r"target\[1\] is 3, input has the classes 0 to 2", OutOfRangeError, X, [0, 3]),
        refused(name, r"target\[0\] is -1, input has the classes 0 to 2", OutOfRangeError, X, [-1, 0]),
        refused(name, r"target\[0\] is 18446744073709551516", OutOfRangeError, X,
                np.array([2**64 - 100, 0], np.uint64)),
        refused(name, r"target\[0\] is 5, input has the classes 0 to 2", OutOfRangeError, ones(3), 5),
        refused(name, "target must be class numbers of an integer dtype, got float32", DTypeError, X, ones(2)),
        refused(name, "target must be class numbers of an integer dtype, got bool", DTypeError, X, [True, False]),
        refused(name, r"target must have shape \(2,\), one a row of input \(2, 3\), got \(3,\)", ShapeError,
                X, [0, 1, 2]),
        refused(name, r"target must have shape \(2,\), one a row of input \(2, 3\), got \(1, 2\)", ShapeError,
                X, [[0, 1]]),
        refused(name, r"target must have shape \(\), one a row of input \(3,\), got \(1,\)", ShapeError, ones(3), [1]),
        refused(name, r"target must have shape \(2,\), .* got \(\)", ShapeError, X, 1),
        refused(name, "target must be a tensor or an array, got NoneType", DTypeError, X, None),
        refused(name, r"input must have 2 .* or 1 \(C,\), and classes, got shape \(2, 0\)", ShapeError,
                ones(2, 0), [0, 0]),
        refused(name, r"input must have 2 .* and classes, got shape \(0,\)", ShapeError, ones(0), 0),
        refused(name, r"input must have 2 .* and classes, got shape \(\)", ShapeError, np.float32(1), 0),
        refused(name, "input must be float32 or float64, got int64", DTypeError, [[1, 2, 3]], [0]),
        refused(name, "input must be a tensor or an array, got str", DTypeError, "scores", [0]),
        refused(name, r"weight must have shape \(3,\), one a class, got \(2,\)", ShapeError, weight=ones(2)),
        refused(name, r"weight must have shape \(3,\), one a class, got \(1, 3\)", ShapeError, weight=ones(1, 3)),
        refused(name, r"weight must have shape \(3,\), one a class, got \(\)", ShapeError, weight=np.float32(1)),
        refused(name, "input is float32 and weight is float64", DTypeError, weight=np.ones(3)),
        refused(name, "weight must be float32 or float64, got int64", DTypeError, weight=[1, 2, 3]),
        refused(name, r"weight gets no gradient, but requires one; use detach\(\)", ArgumentError, weight=learned),
    ]  # fmt: skip

for name in ("nll_loss", "cross_entropy"):
    ROWS += [
        refused(name, r"target must have shape \(2, 4, 5\), one a position of input \(2, 3, 4, 5\), got \(2,\)",
                ShapeError, IMAGES, T),
        refused(name, r"target must have shape \(2, 4, 5\), .*, got \(2, 5, 4\)", ShapeError, IMAGES,
                np.zeros((2, 5, 4), int)),
        refused(name, r"target\[1, 3, 4\] is 9, input has the classes 0 to 2", OutOfRangeError, IMAGES,
                np.where(np.arange(40).reshape(2, 4, 5) == 39, 9, 0)),
        *[refused(name, f"ignore_index must be an int of 64 bits, got {value!r}", ArgumentError, ignore_index=value)
          for value in (None, 0.5, True, 2**70, "0")],
    ]  # fmt: skip

ROWS += [
    *[refused("cross_entropy", f"label_smoothing must be a number from 0 to 1, got {value!r}", ArgumentError,
              label_smoothing=value) for value in (-0.1, 1.5, NAN, "0.1", None, True)],
    refused("cross_entropy", r"target must be class probabilities, .* input's shape \(2, 3\), got int64", DTypeError,
            X, np.ones((2, 3), int)),
    refused("cross_entropy", r"target must be class probabilities, .* input's shape \(1,\), got int64", DTypeError,
            ones(1), [0]),
    refused("cross_entropy", "input is float32 and target is float64", DTypeError, X, np.ones((2, 3))),
    refused("cross_entropy", "ignore_index 0 has no meaning for class probabilities", ArgumentError, X, P,
            ignore_index=0),
    refused("cross_entropy", r"weight must have shape \(3,\), one a class, got \(2,\)", ShapeError, X, P, ones(2)),
    refused("cross_entropy", "label_smoothing must be a number from 0 to 1, got 1.5", ArgumentError, X, P,
            label_smoothing=1.5),
    refused("multi_margin_loss", r"input must have 2 dimensions \(N, C\) or 1 \(C,\), and classes, got shape",
            ShapeError, IMAGES, T),
    *[refused("multi_margin_loss", f"p must be one of 1, 2, got {value!r}", ArgumentError, p=value)
      for value in (0, 3, 1.5, None)],
    *[refused("smooth_l1_loss", f"beta must be a number of at least 0, got {value!r}", ArgumentError, beta=value)
      for value in (-1.0, NAN, "1", None, True)],
    *[refused("huber_loss", f"delta must be a number above 0, got {value!r}", ArgumentError, delta=value)
      for value in (0, -1.0, NAN, "1", None, True)],
    *[refused("kl_div", f"log_target must be True or False, got {value!r}", ArgumentError, log_target=value)
      for value in (1, None, "yes")],
    *[refused(name, f"margin must be a number.*, got {value!r}", ArgumentError, margin=value)
      for name in WITH_MARGIN for value in (NAN, "1", None, True)],
    # pairs
    refused("cosine_embedding_loss", r"input2 must have the shape of input1, \(2, 3\), got \(1, 3\)", ShapeError,
            X, ones(1, 3), SIGNS),
    refused("cosine_embedding_loss", r"input2 must have the shape of input1, \(2, 3\), got \(2, 4\)", ShapeError,
            X, ones(2, 4), SIGNS),
    refused("cosine_embedding_loss", r"input1 must have 2 dimensions \(N, D\) or 1 \(D,\), got shape \(2, 3, 4, 5\)",
            ShapeError, IMAGES, IMAGES, SIGNS),
    refused("cosine_embedding_loss", r"input1 must have 2 dimensions .* got shape \(\)", ShapeError,
            np.float32(1), np.float32(1), 1),
    *[refused("cosine_embedding_loss", rf"target must have shape \(2,\), .* got {shape}", ShapeError, X, X, target)
      for shape, target in ((r"\(1,\)", [1]), (r"\(\)", 1), (r"\(1, 2\)", [[1, -1]]), (r"\(3,\)", [1, 1, 1]))],
    refused("cosine_embedding_loss", r"target must have shape \(\), one a vector of input1 \(3,\), got \(1,\)",
            ShapeError, ones(3), ones(3), [1]),
    refused("cosine_embedding_loss", "input1 is float32 and input2 is float64", DTypeError, X, X.astype(float), SIGNS),
    refused("cosine_embedding_loss", "input1 must be float32 or float64, got int64", DTypeError, [[1]], [[1]], [1]),
    refused("cosine_embedding_loss", "input2 must be a tensor or an array, got NoneType", DTypeError, X, None, SIGNS),
    refused("hinge_embedding_loss", r"target must have the shape of input, \(2, 3\), got \(2,\)", ShapeError, X, SIGNS),
    refused("hinge_embedding_loss", r"target must have the shape of input, \(2,\), got \(2, 2\)", ShapeError,
            ones(2), [[1, 1], [1, 1]]),
    refused("hinge_embedding_loss", "input must be float32 or float64, got int64", DTypeError, [1], [1]),
    refused("hinge_embedding_loss", "input must be a tensor or an array, got NoneType", DTypeError, None, [1]),
    refused("margin_ranking_loss", r"input2 must have the shape of input1, \(2, 3\), got \(3,\)", ShapeError,
            X, ones(3), [1, 1, 1]),
    refused("margin_ranking_loss", r"input2 must have the shape of input1, \(2,\), got \(1,\)", ShapeError,
            ones(2), ones(1), SIGNS),
    refused("margin_ranking_loss", r"target must have the shape of input1, \(2,\), got \(1,\)", ShapeError,
            ones(2), ones(2), [1]),
    refused("margin_ranking_loss", r"target must have the shape of input1, \(2,\), got \(2, 1\)", ShapeError,
            ones(2), ones(2), [[1], [1]]),
    refused("margin_ranking_loss", "input1 is float32 and input2 is float64", DTypeError, ones(1), np.ones(1), [1]),
    refused("margin_ranking_loss", "input1 must be float32 or float64, got int64", DTypeError, [1], [1], [1]),
    *[refused(name, rf"target must be float32 as the input, or of an integer dtype, got {dtype}", DTypeError,
              *FINE[name][1][:-1], SIGNS.astype(dtype))
      for name in ("cosine_embedding_loss", "hinge_embedding_loss", "margin_ranking_loss")
      for dtype in ("bool", "float64")],
    *[refused(name, "target must be a tensor or an array, got NoneType", DTypeError, *FINE[name][1][:-1], None)
      for name in ("cosine_embedding_loss", "hinge_embedding_loss", "margin_ranking_loss")],
    # triplets
    refused("triplet_margin_loss", r"positive must have the shape of anchor, \(2, 3\), got \(3,\)", ShapeError,
            X, ones(3), X),
    refused("triplet_margin_loss", r"positive must have the shape of anchor, \(2, 3\), got \(1, 3\)", ShapeError,
            X, ones(1, 3), X),
    refused("triplet_margin_loss", r"negative must have the shape of anchor, \(2, 3\), got \(2, 4\)", ShapeError,
            X, X, ones(2, 4)),
    refused("triplet_margin_loss", r"anchor must have 1 or more dimensions .* got shape \(\)", ShapeError,
            *[np.float32(1)] * 3),
    refused("triplet_margin_loss", r"anchor must have .* features, got shape \(2, 0\)", ShapeError,
            *[ones(2, 0)] * 3, p=float("inf")),
    refused("triplet_margin_loss", "anchor is float32 and negative is float64", DTypeError, X, X, X.astype(float)),
    refused("triplet_margin_loss", "anchor must be float32 or float64, got int64", DTypeError, [1], [1], [1]),
    refused("triplet_margin_loss", "positive must be a tensor or an array, got NoneType", DTypeError, X, None, X),
    *[refused("triplet_margin_loss", f"margin must be a number above 0, got {value!r}", ArgumentError, margin=value)
      for value in (0, -1.0)],
    *[refused("triplet_margin_loss", f"p must be a number of at least 0, got {value!r}", ArgumentError, p=value)
      for value in (-1, NAN, "2", None, True)],
    *[refused("triplet_margin_loss", f"eps must be a number, got {value!r}", ArgumentError, eps=value)
      for value in (NAN, "0", None)],
    *[refused("triplet_margin_loss", f"swap must be True or False, got {value!r}", ArgumentError, swap=value)
      for value in (1, None)],
]  # fmt: skip

# Layers: every setting of every one, and a call.
SETTINGS: dict[str, Any] = {
    "reduction": "avg", "ignore_index": 0.5, "label_smoothing": 2, "beta": -1, "delta": 0, "margin": "1", "p": -1,
    "eps": None, "swap": 2, "log_target": None,
}  # fmt: skip
LAYERS: dict[str, tuple[str, str]] = {
    "NLLLoss": ("ignore_index", "nll_loss"),
    "CrossEntropyLoss": ("ignore_index label_smoothing", "cross_entropy"),
    "BCELoss": ("", "binary_cross_entropy"),
    "BCEWithLogitsLoss": ("", "binary_cross_entropy_with_logits"),
    "KLDivLoss": ("log_target", "kl_div"),
    "MSELoss": ("", "mse_loss"),
    "L1Loss": ("", "l1_loss"),
    "SmoothL1Loss": ("beta", "smooth_l1_loss"),
    "HuberLoss": ("delta", "huber_loss"),
    "HingeEmbeddingLoss": ("margin", "hinge_embedding_loss"),
    "MultiMarginLoss": ("p margin", "multi_margin_loss"),
    "CosineEmbeddingLoss": ("margin", "cosine_embedding_loss"),
    "MarginRankingLoss": ("margin", "margin_ranking_loss"),
    "TripletMarginLoss": ("margin p eps swap", "triplet_margin_loss"),
}
ROWS += [
    (f"{name}'s {setting}", lambda name=name, setting=setting: getattr(nn, name)(**{setting: SETTINGS[setting]}),
     ArgumentError, rf"^{name}: {setting} must be ")
    for name, (settings, _) in LAYERS.items() for setting in ["reduction", *settings.split()]
]  # fmt: skip
ROWS += [
    (f"{name}'s inputs", lambda name=name, op=op: getattr(nn, name)()(*[np.ones((2, 0), int)] * len(FINE[op][1])),
     DTypeError, rf"^{op}: (input|input1|anchor) must be float32 or float64, got int64\n  in layer .* \({name}\)$")
    for name, (_, op) in LAYERS.items()
]  # fmt: skip
ROWS += [
    (f"{name}'s weight", lambda name=name: getattr(nn, name)("heavy"), DTypeError,
     rf"^{name}: weight must be a tensor or an array, got str")
    for name in ("NLLLoss", "CrossEntropyLoss", "BCELoss", "BCEWithLogitsLoss")
]  # fmt: skip
ROWS += [
    ("BCEWithLogitsLoss's pos_weight", lambda: nn.BCEWithLogitsLoss(pos_weight={}), DTypeError,
     r"^BCEWithLogitsLoss: pos_weight must be a tensor or an array, got dict"),
    ("TripletMarginLoss's margin 0", lambda: nn.TripletMarginLoss(0), ArgumentError,
     r"^TripletMarginLoss: margin must be a number above 0, got 0"),
    ("MultiMarginLoss's p 3", lambda: nn.MultiMarginLoss(3), ArgumentError,
     r"^MultiMarginLoss: p must be one of 1, 2, got 3"),
    ("HuberLoss's word", lambda: nn.HuberLoss(delta="1"), ArgumentError,
     r"^HuberLoss: delta must be a number above 0, got '1'"),
    ("MSELoss's batchmean", lambda: nn.MSELoss(reduction="batchmean"), ArgumentError,
     r"^MSELoss: reduction must be one of 'mean', 'sum', 'none'"),
    ("CrossEntropyLoss's weight of another size", lambda: nn.CrossEntropyLoss(ones(4))(X, T), ShapeError,
     r"^cross_entropy: weight must have shape \(3,\), one a class, got \(4,\)\n  in layer .* \(CrossEntropyLoss\)$"),
    ("MultiMarginLoss's weight of 2 axes", lambda: nn.MultiMarginLoss(weight=ones(1, 3))(X, T), ShapeError,
     r"^multi_margin_loss: weight must have shape \(3,\), one a class, got \(1, 3\)\n"),
    ("a loss's reduction, set later", lambda: set_later(nn.MSELoss(), reduction="all")(P, P), ArgumentError,
     r"^mse_loss: reduction must be one of 'mean', 'sum', 'none', got 'all'\n  in layer .* \(MSELoss\)$"),
    ("a weight that is no buffer", lambda: set_later(nn.NLLLoss(ones(3)), weight=[1.0]), DTypeError,
     r"^NLLLoss: weight is a buffer; assign a tensor or None, not list"),
    ("a weight's state", lambda: nn.NLLLoss().load_state_dict({"weight": ones(3)}), StateDictError,
     r"unexpected: weight"),
]  # fmt: skip


def set_later(layer: nn.Module, **attributes: Any) -> nn.Module:
    """The layer, with other attributes than it was made with."""
    for name, value in attributes.items():
        setattr(layer, name, value)
    return layer
