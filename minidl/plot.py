"""Pictures of a training run: learning curves, confusion matrix, filters, mistakes (matplotlib, imported on use).

All functions make a `matplotlib.figure.Figure` of their own and never touch pyplot, so they need no display, change
no global state, and work in any thread.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from math import ceil, sqrt
from typing import Any

import numpy as np

from minidl.arguments import read_list
from minidl.autograd import TensorBase
from minidl.dtypes import to_array
from minidl.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError, import_extra
from minidl.files import checked_target

StrPath = str | os.PathLike[str]

# The keys of a history start with these, "" as Keras has it, and the curves of each part look so.
_PARTS = {"train": ("train_", ""), "validation": ("val_",), "test": ("test_",)}
_COLOURS = {"train": "#8a99ad", "validation": "#c8792b", "test": "#1f4e9c"}
_TEXT, _FAINT = "#222222", "#777777"
_MAX_CLASSES_WITH_NUMBERS = 20
_MAX_FILTERS = 256


def learning_curves(
    history: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]], path: StrPath | None = None
) -> Any:
    """Draw loss and accuracy over the epochs.

    Parameters
    ----------
    history : sequence of mapping, or mapping of sequences
        One mapping for each epoch, or one with a sequence for each key, as Keras has it. The keys are any of
        "train_loss", "val_loss", "test_loss" and likewise "train_accuracy" and so on (fractions); "loss" and
        "accuracy" are those of training. Epochs are numbered from 1, or by the key "epoch".
    path : str or path-like, optional
        Save the figure there as PNG.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ArgumentError
        If the history is empty, an epoch lacks a value that another one has, or two keys mean the same curve.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> figure = learning_curves([{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.2}])
    >>> figure.axes[0].get_ylabel()
    'loss'
    >>> figure = learning_curves({"loss": [0.5, 0.2], "val_loss": [0.6, 0.4]})
    >>> figure.axes[0].get_title(loc="left")
    'validation, last epoch: 0.4000'
    """
    entries = _entries(history)
    if not entries:
        raise ArgumentError("learning_curves: history is empty")
    panels: list[tuple[str, list[tuple[str, np.ndarray]]]] = []
    for what, scale in (("loss", 1.0), ("accuracy", 100.0)):
        curves = []
        for part, starts in _PARTS.items():
            names = [start + what for start in starts if any(start + what in entry for entry in entries)]
            if len(names) > 1:
                raise ArgumentError(f"learning_curves: history has {names[0]!r} and {names[1]!r}, which mean the same")
            curves += [(part, scale * _column(entries, name)) for name in names]
        if curves:
            panels.append((what, curves))
    if not panels:
        raise ArgumentError(f"learning_curves: history has no losses or accuracies, only {sorted(entries[0])}")
    are_numbered = any("epoch" in entry for entry in entries)
    epochs = _column(entries, "epoch") if are_numbered else np.arange(1.0, len(entries) + 1)
    figure = _figure("learning_curves", (4.8 * len(panels), 3.6))
    for axes, (what, curves) in zip(np.ravel(figure.subplots(1, len(panels))), panels, strict=True):
        for part, values in curves:
            axes.plot(epochs, values, "o-", color=_COLOURS[part], markersize=4, linewidth=1.8, label=part)
        last = curves[-1][1][-1]
        note = f"{curves[-1][0]}, last epoch: " + (f"{last:.4f}" if what == "loss" else f"{last:.2f} %")
        axes.set_title(note, fontsize=10, color=_TEXT, loc="left")
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss" if what == "loss" else "accuracy (%)")
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(epochs) == 1:
            axes.set_xticks(epochs)
        axes.grid(True, color="#e4e4e4", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="upper right" if what == "loss" else "lower right")
    return _finish(figure, path)


def confusion_matrix(labels: Any, predictions: Any, classes: Sequence[str], path: StrPath | None = None) -> Any:
    """Draw how often each class was taken for each other one, as counts and as percentages of the true class.

    Parameters
    ----------
    labels : array_like of int (N,)
        The right classes.
    predictions : array_like of int (N,)
        The guesses.
    classes : sequence of str
        What the classes are called.
    path : str or path-like, optional
        Save the figure there as PNG.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    DTypeError, ShapeError, OutOfRangeError
        If labels or predictions are not class numbers, one for each image.
    ArgumentError
        If there are none.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> figure = confusion_matrix([0, 0, 1], [0, 1, 1], ["cat", "dog"])
    >>> figure.axes[0].get_title(loc="left")
    '66.67 % of 3 right'
    """
    classes = read_list("confusion_matrix", "classes", classes, "a sequence of names")
    true, guessed = _class_numbers("confusion_matrix", labels, predictions, len(classes))
    if not true.size:
        raise ArgumentError("confusion_matrix: there are no predictions")
    number = len(classes)
    counts = np.bincount(true * number + guessed, minlength=number * number).reshape(number, number)
    part = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure("confusion_matrix", (max(4.5, 0.62 * number + 1.6), max(4.2, 0.58 * number + 1.4)))
    axes = figure.subplots()
    # Mistakes are rare and what one looks for: they get a colour and a scale of their own.
    wrong = np.where(np.eye(number, dtype=bool), 0, part)
    axes.imshow(np.ma.masked_equal(wrong, 0), cmap="Reds", vmin=0, vmax=2.5 * max(wrong.max(), 1e-9))
    right = np.ma.masked_where(~np.eye(number, dtype=bool), part)
    axes.imshow(right, cmap="Blues", vmin=0, vmax=1.6)
    for row, column in zip(*np.nonzero(counts), strict=True):
        if number <= _MAX_CLASSES_WITH_NUMBERS:
            weight = "bold" if row == column else "normal"
            axes.text(column, row - 0.13, f"{counts[row, column]:,}", ha="center", va="center", fontsize=8.5,
                      color=_TEXT, weight=weight)  # fmt: skip
            axes.text(column, row + 0.24, f"{100 * part[row, column]:.1f} %", ha="center", va="center", fontsize=6.5,
                      color="#444444")  # fmt: skip
    steps = range(0, number, ceil(number / 40))
    names = [str(classes[i]) for i in steps]
    axes.set_xticks(steps, names, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(steps, names)
    axes.set_xticks(np.arange(number + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(number + 1) - 0.5, minor=True)
    axes.grid(True, which="minor", color="#e4e4e4", linewidth=0.8)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("guess")
    axes.set_ylabel("true class")
    share = np.trace(counts) / true.size
    axes.set_title(f"{100 * share:.2f} % of {true.size:,} right", fontsize=11, color=_TEXT, loc="left")
    return _finish(figure, path)


def filters(weight: Any, path: StrPath | None = None) -> Any:
    """Draw the filters of a convolution, red for positive and blue for negative weights, on one scale.

    Parameters
    ----------
    weight : array_like (out_channels, in_channels, KH, KW)
        The weight, such as `layer.weight`. With one input channel the filters are set side by side; with more, each
        is a row with its channels.
    path : str or path-like, optional
        Save the figure there as PNG.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ShapeError
        If the weight does not have four axes, or is empty.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> figure = filters(np.ones((6, 1, 5, 5)))
    >>> len(figure.axes)
    7
    """
    array = _array(weight).astype(np.float64)
    if array.ndim != 4 or not array.size:
        raise ShapeError(f"filters: weight has shape {array.shape}, expected (out_channels, in_channels, KH, KW)")
    out, channels, height, width = array.shape
    columns = channels if channels > 1 else min(out, max(6, ceil(sqrt(2 * out))))
    tiles = array.reshape(-1, height, width)
    rows = min(ceil(len(tiles) / columns), max(1, _MAX_FILTERS // columns))
    figure = _figure("filters", (max(3.2, 1.1 * columns + 0.9), max(1.6, (1.1 * height / width + 0.12) * rows + 0.5)))
    grid = figure.subplots(rows, columns, squeeze=False)
    # Numbers that are not finite have no colour, and stay blank.
    tiles = np.where(np.isfinite(tiles), tiles, np.nan)
    limit = max(np.abs(array).max(where=np.isfinite(array), initial=0), 1e-12)
    image = None
    for number, axes in enumerate(grid.flat):
        if number >= len(tiles):
            axes.set_axis_off()
            continue
        image = axes.imshow(tiles[number], cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color("#bbbbbb")
        if channels > 1 and number % columns == 0:
            axes.set_ylabel(str(number // columns), rotation=0, ha="right", va="center", fontsize=8)
    shown = f", the first {rows * columns // channels} shown" if rows * columns < len(tiles) else ""
    suffix = f" of {channels} channels" if channels > 1 else ""
    figure.suptitle(f"{out} filters{suffix}, {height} x {width}{shown}", fontsize=10, color=_TEXT)
    figure.colorbar(image, ax=grid, fraction=0.03, pad=0.02).ax.tick_params(labelsize=8)
    return _finish(figure, path)


def mistakes(
    images: Any,
    labels: Any,
    predictions: Any,
    classes: Sequence[str],
    path: StrPath | None = None,
    limit: int = 60,
    *,
    probabilities: Any = None,
) -> Any:
    """Draw the misclassified images, each with its true class and the guess.

    Parameters
    ----------
    images : array_like (N, 1, H, W), (N, 3, H, W) or (N, H, W)
        All images; the right ones are passed over.
    labels : array_like of int (N,)
        The right classes.
    predictions : array_like of int (N,)
        The guesses.
    classes : sequence of str
        What the classes are called.
    path : str or path-like, optional
        Save the figure there as PNG.
    limit : int
        How many to draw at most.
    probabilities : array_like (N,) or (N, C), optional
        How sure each guess was, or the probability of each class; the surest mistakes then come first.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    DTypeError, ShapeError, OutOfRangeError
        If labels or predictions are not class numbers, one for each image, or the other shapes don't fit.
    ArgumentError
        If limit is less than 1.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> figure = mistakes(np.zeros((3, 8, 8)), [0, 1, 1], [0, 1, 0], ["cat", "dog"])
    >>> figure.axes[0].get_title(loc="left")
    '1 of 3 wrong'
    """
    if isinstance(limit, bool) or not isinstance(limit, int | np.integer) or limit < 1:
        raise ArgumentError(f"mistakes: limit must be a whole number of at least 1, got {limit!r}")
    classes = [str(name) for name in read_list("mistakes", "classes", classes, "a sequence of names")]
    true, guessed = _class_numbers("mistakes", labels, predictions, len(classes))
    pictures = _pictures(images, len(true))
    sure = _sureness(probabilities, guessed, len(classes))
    wrong = np.flatnonzero(true != guessed)
    if sure is not None:
        wrong = wrong[np.argsort(-sure[wrong], kind="stable")]
    chosen = wrong[:limit]
    columns = min(10, max(len(chosen), 4))
    rows = max(1, ceil(len(chosen) / columns))
    _, height, width = pictures.shape[:3]
    gap, size = (" ", 9.0) if max(map(len, classes), default=0) <= 4 else ("\n", 6.5)
    # In units of an image's width.
    tall = height / width + (0.55 if sure is not None else 0.36)
    figure = _figure("mistakes", (1.05 * columns + 0.3, 1.05 * tall * rows + 0.6))
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set(xlim=(-0.04, columns * 1.1 - 0.06), ylim=(rows * tall, -0.05), aspect="equal")
    for place, index in enumerate(chosen):
        row, column = divmod(place, columns)
        left, top = 1.1 * column, tall * row
        axes.imshow(
            pictures[index],
            cmap="gray_r",
            vmin=pictures[index].min(),
            vmax=pictures[index].max(),
            extent=(left, left + 1, top + height / width, top),
            interpolation="nearest",
        )
        text = f"{classes[true[index]]}{gap}\N{RIGHTWARDS ARROW} {classes[guessed[index]]}"
        axes.text(left + 0.5, top + height / width + 0.13, text, ha="center", va="center", fontsize=size, color=_TEXT)
        if sure is not None:
            axes.text(left + 0.5, top + height / width + 0.32, f"{100 * sure[index]:.0f} %", ha="center", va="center",
                      fontsize=6.5, color=_FAINT)  # fmt: skip
    axes.set(xlim=(-0.04, columns * 1.1 - 0.06), ylim=(rows * tall, -0.05), aspect="equal")
    if not len(wrong):
        axes.text(0.5, 0.5, f"No mistakes among {len(true):,} images", ha="center", va="center", fontsize=12,
                  color=_TEXT, transform=axes.transAxes)  # fmt: skip
        return _finish(figure, path)
    order = "surest" if sure is not None else "first"
    shown = f"; the {len(chosen)} {order} ones" if len(chosen) < len(wrong) else ""
    key = ": true \N{RIGHTWARDS ARROW} guess" + (", how sure" if sure is not None else "") if len(chosen) > 2 else ""
    axes.set_title(f"{len(wrong):,} of {len(true):,} wrong{shown}{key}", fontsize=10, color=_TEXT, loc="left")
    return _finish(figure, path)


def _figure(purpose: str, size: tuple[float, float]) -> Any:
    return import_extra("matplotlib.figure", "plot", purpose).Figure(figsize=size, layout="constrained")


def _finish(figure: Any, path: StrPath | None) -> Any:
    if path is not None:
        figure.savefig(checked_target("plot", path), format="png", dpi=150, facecolor="white")
    return figure


def _array(value: Any) -> np.ndarray:
    return value.data if isinstance(value, TensorBase) else to_array("plot", value)


def _entries(history: Any) -> list[Mapping[str, Any]]:
    """One mapping for each epoch, from these or from one mapping of sequences."""
    op = "learning_curves"
    if not isinstance(history, Mapping):
        entries = read_list(op, "history", history, "a sequence of mappings, one an epoch, or a mapping of sequences")
        for number, entry in enumerate(entries):
            if not isinstance(entry, Mapping):
                raise DTypeError(f"{op}: history[{number}] must be a mapping, got {type(entry).__name__}")
        return entries
    history = {name: read_list(op, f"history[{name!r}]", values, "a sequence") for name, values in history.items()}
    lengths = {name: len(values) for name, values in history.items()}
    if len(set(lengths.values())) > 1:
        raise ArgumentError(f"learning_curves: history has sequences of different lengths: {lengths}")
    return [dict(zip(history, values, strict=True)) for values in zip(*history.values(), strict=True)]


def _column(entries: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    for number, entry in enumerate(entries):
        if name not in entry:
            raise ArgumentError(f"learning_curves: history[{number}] lacks {name!r}; it has {sorted(entry)}")
    column = to_array(f"learning_curves: {name}", [entry[name] for entry in entries], np.float64)
    if column.ndim != 1:
        raise ShapeError(f"learning_curves: {name} must be a number for each epoch, got shape {column.shape[1:]} each")
    return column


def _class_numbers(op: str, labels: Any, predictions: Any, number: int) -> tuple[np.ndarray, np.ndarray]:
    arrays = []
    for name, value in (("labels", labels), ("predictions", predictions)):
        array = _array(value)
        if array.ndim != 1:
            raise ShapeError(f"{op}: {name} has shape {array.shape}, expected one class number for each image")
        if array.size and array.dtype.kind not in "iu":
            raise DTypeError(f"{op}: {name} must be class numbers of an integer dtype, got {array.dtype}")
        array = array.astype(np.int64)
        outside = array[(array < 0) | (array >= number)]
        if outside.size:
            raise OutOfRangeError(f"{op}: {name} has the class {outside[0]}, there are classes 0 to {number - 1}")
        arrays.append(array)
    if len(arrays[0]) != len(arrays[1]):
        raise ShapeError(f"{op}: there are {len(arrays[0])} labels and {len(arrays[1])} predictions")
    return arrays[0], arrays[1]


def _pictures(images: Any, number: int) -> np.ndarray:
    """The images as matplotlib takes them: (N, H, W), or (N, H, W, 3) from 0 to 1."""
    array = _array(images)
    is_colour = array.ndim == 4 and array.shape[1] == 3
    if not (array.ndim == 3 or (array.ndim == 4 and array.shape[1] in (1, 3))) or 0 in array.shape[1:]:
        raise ShapeError(f"mistakes: images has shape {array.shape}, expected (N, 1, H, W), (N, 3, H, W) or (N, H, W)")
    if len(array) != number:
        raise ShapeError(f"mistakes: there are {len(array)} images and {number} labels")
    if not is_colour:
        return array.reshape(number, *array.shape[-2:])
    moved = array.transpose(0, 2, 3, 1)
    return moved if array.dtype == np.uint8 else moved.clip(0, 1)


def _sureness(probabilities: Any, guessed: np.ndarray, number: int) -> np.ndarray | None:
    if probabilities is None:
        return None
    array = _array(probabilities)
    if array.shape == (len(guessed), number):
        return array[np.arange(len(guessed)), guessed]
    if array.shape != guessed.shape:
        raise ShapeError(
            f"mistakes: probabilities has shape {array.shape}, expected {guessed.shape} or {(len(guessed), number)}"
        )
    return array
