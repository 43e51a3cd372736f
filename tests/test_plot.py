"""The pictures: they show what they are given, and refuse what doesn't fit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import plot
from minidl.errors import ArgumentError, DTypeError, MissingExtraError, OutOfRangeError, ShapeError

pytest.importorskip("matplotlib")
CLASSES = ["a", "b", "c"]


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_learning_curves(tmp_path: Path) -> None:
    history = [{"epoch": 1, "train_loss": 0.5, "test_loss": 0.4, "test_accuracy": 0.9},
               {"epoch": 2, "train_loss": 0.3, "test_loss": 0.2, "test_accuracy": 0.95}]  # fmt: skip
    path = tmp_path / "curves.png"
    figure = plot.learning_curves(history, path)
    loss, accuracy = figure.axes
    assert [line.get_ydata().tolist() for line in loss.lines] == [[0.5, 0.3], [0.4, 0.2]]
    assert accuracy.lines[0].get_ydata().tolist() == [90, 95]
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "matplotlib.pyplot" not in sys.modules
    with pytest.raises(ArgumentError, match="history is empty"):
        plot.learning_curves([])
    with pytest.raises(ArgumentError, match=r"history\[1\] lacks 'train_loss'"):
        plot.learning_curves([*history[:1], {"epoch": 2}])
    with pytest.raises(ArgumentError, match="no losses or accuracies"):
        plot.learning_curves([{"epoch": 1}])


@pytest.mark.parametrize("as_keras", [False, True])
def test_learning_curves_with_the_keys_of_keras(as_keras: bool) -> None:
    lists = {"loss": [0.5, 0.3], "accuracy": [0.8, 0.9], "val_loss": [0.6, 0.4], "val_accuracy": [0.7, 0.75],
             "learning_rate": [1e-3, 1e-4], "note": ["a", "b"]}  # fmt: skip
    entries = [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
    loss, accuracy = plot.learning_curves(lists if as_keras else entries).axes
    assert [line.get_ydata().tolist() for line in loss.lines] == [[0.5, 0.3], [0.6, 0.4]]
    assert [line.get_ydata().tolist() for line in accuracy.lines] == [[80, 90], [70, 75]]
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["train", "validation"]
    assert loss.lines[0].get_xdata().tolist() == [1, 2]
    assert len({line.get_color() for line in loss.lines}) == 2
    assert loss.get_title(loc="left") == "validation, last epoch: 0.4000"


def test_learning_curves_of_three_parts_and_what_does_not_fit() -> None:
    history = {"epoch": [3, 4], "train_loss": [1, 2], "val_loss": [3, 4], "test_loss": [5, 6]}
    (loss,) = plot.learning_curves(history).axes
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["train", "validation", "test"]
    assert loss.lines[2].get_xdata().tolist() == [3, 4]
    with pytest.raises(ArgumentError, match="history has 'train_loss' and 'loss', which mean the same"):
        plot.learning_curves({**history, "loss": [1, 2]})
    with pytest.raises(ArgumentError, match=r"sequences of different lengths: \{'loss': 2, 'val_loss': 1\}"):
        plot.learning_curves({"loss": [1, 2], "val_loss": [1]})
    for nothing in ({}, {"loss": []}):
        with pytest.raises(ArgumentError, match="history is empty"):
            plot.learning_curves(nothing)


def test_confusion_matrix(tmp_path: Path) -> None:
    figure = plot.confusion_matrix(minidl.tensor([0, 0, 0, 0, 2]), [0, 0, 0, 1, 2], CLASSES, tmp_path / "m.png")
    assert texts(figure.axes[0]) == ["3", "75.0 %", "1", "25.0 %", "1", "100.0 %"]
    assert figure.axes[0].get_title(loc="left") == "80.00 % of 5 right"
    with pytest.raises(ShapeError, match="2 labels and 1 predictions"):
        plot.confusion_matrix([0, 1], [0], CLASSES)
    with pytest.raises(OutOfRangeError, match="predictions has the class 3, there are classes 0 to 2"):
        plot.confusion_matrix([0], [3], CLASSES)
    with pytest.raises(DTypeError, match="labels must be class numbers"):
        plot.confusion_matrix([0.5], [0], CLASSES)
    with pytest.raises(ShapeError, match=r"predictions has shape \(1, 1\)"):
        plot.confusion_matrix([0], [[0]], CLASSES)
    with pytest.raises(ArgumentError, match="no predictions"):
        plot.confusion_matrix([], [], CLASSES)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (6, 1, 5, 5), (3, 4, 2, 5), (20, 40, 3, 3)])
def test_filters(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "filters.png"
    plot.filters(minidl.nn.Parameter(np.random.default_rng(0).normal(size=shape)), path)
    assert path.stat().st_size
    with pytest.raises(ShapeError, match=r"weight has shape \(2, 3\), expected \(out_channels"):
        plot.filters(np.ones((2, 3)))


@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 1, 5, 6), (4, 3, 5, 6)])
def test_mistakes(shape: tuple[int, ...], tmp_path: Path) -> None:
    images, labels, guesses = np.random.default_rng(0).random(shape), [0, 1, 2, 0], [0, 2, 1, 1]
    figure = plot.mistakes(
        images, labels, guesses, CLASSES, tmp_path / "m.png", limit=2, probabilities=[1, 0.5, 0.6, 0.7]
    )
    assert texts(figure.axes[0]) == ["a → b", "70 %", "c → b", "60 %"]
    assert figure.axes[0].get_title(loc="left").startswith("3 of 4 wrong; the 2 surest ones")
    probabilities = np.eye(3)[guesses]
    assert "100 %" in texts(plot.mistakes(images, labels, guesses, CLASSES, probabilities=probabilities).axes[0])
    assert texts(plot.mistakes(images, labels, labels, CLASSES).axes[0]) == ["No mistakes among 4 images"]
    with pytest.raises(ShapeError, match="images has shape"):
        plot.mistakes(images[0, 0], labels, guesses, CLASSES)
    with pytest.raises(ShapeError, match="there are 3 images and 4 labels"):
        plot.mistakes(images[:3], labels, guesses, CLASSES)
    with pytest.raises(ShapeError, match=r"probabilities has shape \(2,\), expected \(4,\) or \(4, 3\)"):
        plot.mistakes(images, labels, guesses, CLASSES, probabilities=[1, 2])
    with pytest.raises(ArgumentError, match="limit must be"):
        plot.mistakes(images, labels, guesses, CLASSES, limit=0)


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"filters: needs the package matplotlib.*minidl\[plot\]"):
        plot.filters(np.ones((1, 1, 2, 2)))
