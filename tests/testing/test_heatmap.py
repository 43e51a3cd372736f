"""The heat map: every element has a cell, what is wrong can be seen, and nothing global is touched."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl.errors import ArgumentError, MissingExtraError
from minidl.testing._canvas import lay_out
from minidl.testing.findings import VERDICTS, Element, InputReport
from minidl.testing.heatmap import heatmap
from minidl.testing.report import GradcheckReport

pytest.importorskip("matplotlib")

OK, WRONG, KINK = (VERDICTS.index(verdict) for verdict in ("ok", "wrong", "kink"))
SHAPES = [
    (),
    (1,),
    (7,),
    (40,),
    (41,),
    (1000,),
    (61_706,),
    (3, 4),
    (1, 500),
    (500, 2),
    (700, 900),
    (5, 3, 4),
    (1, 1, 1),
    (64, 1, 3, 3),
    (6, 4, 5, 5),
    (200, 100, 3, 3),
    (2, 3, 4, 5, 6),
    (2, 1, 1, 3, 1, 2),
    (0,),
    (3, 0, 2),
]


def report_on(shape: tuple[int, ...], **changes: Any) -> InputReport:
    error = np.full(shape, 1e-12)
    found: dict[str, Any] = {"error": error, "state": np.full(shape, OK, np.int8), "compared": error.size}
    return InputReport("weight", shape, "float64", **found | changes)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_element_has_one_cell(shape: tuple[int, ...]) -> None:
    canvas = lay_out(shape)
    shown = canvas.place[canvas.place >= 0]
    assert sorted(shown.tolist()) == list(range(int(np.prod(shape))))
    assert max(canvas.shape) <= 320
    for ticks, cells in ((canvas.x_ticks, canvas.shape[1]), (canvas.y_ticks, canvas.shape[0])):
        assert len(ticks[0]) == len(ticks[1]) <= 13
        assert all(-0.5 <= place <= cells - 0.5 for place in ticks[0])


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if 0 not in shape], ids=str)
def test_one_wrong_element_is_seen_whatever_the_size(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    canvas = lay_out(shape)
    for flat in rng.integers(0, int(np.prod(shape)), 3):
        error, state = np.full(shape, 1e-12), np.full(shape, OK)
        error.reshape(-1)[flat], state.reshape(-1)[flat] = 0.5, WRONG
        errors, states, broken = canvas.spread(error, state)
        assert errors.shape == canvas.shape and not broken.any()
        assert np.argwhere(errors == 0.5).tolist() == np.argwhere(states == WRONG).tolist()
        (cell,) = np.argwhere(states == WRONG).tolist()
        (place,) = np.argwhere(canvas.place == flat).tolist()
        assert cell == [place[0] // canvas.step[0], place[1] // canvas.step[1]]


def test_kernels_stand_in_a_grid() -> None:
    canvas = lay_out((3, 2, 4, 5))
    numbers = np.arange(120).reshape(3, 2, 4, 5)
    assert canvas.shape == (3 * 5 - 1, 2 * 6 - 1)
    np.testing.assert_array_equal(canvas.place[5:9, 6:11], numbers[1, 1])
    assert (canvas.place[4] == -1).all() and (canvas.place[:, 5] == -1).all()
    # Ticks are at the middles of the blocks.
    assert canvas.x_ticks == ([2.0, 8.0], ["0", "1"]) and canvas.y_ticks == ([1.5, 6.5, 11.5], ["0", "1", "2"])


def test_what_is_folded_is_said() -> None:
    assert "folded: each row is 50 elements of axis 0" in lay_out((400,)).remarks
    assert "inside a block, axis 2 runs down and axis 3 across" in lay_out((3, 2, 4, 5)).remarks
    assert lay_out((2, 3, 4, 5, 6)).y_label == "axes 0, 1, folded together"
    assert lay_out((2, 3, 4, 5, 6)).y_ticks[1][-1] == "[1, 2]"
    assert "each cell shows the worst of 3 x 3 elements" in lay_out((700, 900)).remarks


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape_draws(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "map.png"
    each = report_on(shape)
    if each.compared:
        each.error.reshape(-1)[0], each.state.reshape(-1)[0], each.wrong = 0.25, WRONG, 1
    figure = heatmap(each, path)
    assert figure.axes[0].get_title(loc="left").startswith(f"weight {shape if shape else 'scalar'}: ")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "matplotlib.pyplot" not in sys.modules


def test_wrong_elements_are_outlined_and_kinks_marked() -> None:
    error, state = np.full((3, 4), 1e-12), np.full((3, 4), OK)
    error[1, 1:3], state[1, 1:3] = 1.0, WRONG
    error[0, 0], state[0, 0] = np.nan, WRONG
    state[2, 3] = KINK
    worst = [Element("weight", (1, 1), "y", (), 2.0, 1.0, 1e-12, "wrong")]
    each = report_on((3, 4), error=error, state=state, wrong=3, kinks=1, worst=worst, hint="half of it")
    axes = heatmap(each).axes[0]
    outline = next(lines for lines in axes.collections if lines.get_zorder() == 4)
    # Around one cell and around two together.
    assert len(outline.get_segments()) == 4 + 6
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["wrong", "kink, not wrong", "NaN"]
    (marks,) = [scatter for scatter in axes.collections if len(scatter.get_offsets()) and scatter.get_zorder() == 5]
    assert marks.get_offsets().tolist() == [[3, 2]]
    remarks = " ".join(text.get_text() for text in axes.texts)
    assert "hint: half of it" in remarks and "worst: weight[1, 1], where the gradient is 2, numerically 1" in remarks


def test_colours_run_from_agreement_to_wrong() -> None:
    error = np.array([[0.0, 1e-30, 1e-4], [1.0, 2.0, np.inf]])
    axes = heatmap(report_on((2, 3), error=error)).axes[0]
    shown = axes.images[0]
    assert shown.get_array().tolist() == [[-10, -10, -4], [0, 0, 0]]
    assert shown.get_clim() == (-10, 0)
    assert not axes.images[0].get_array().mask.any()


def test_what_was_not_compared_has_no_colour() -> None:
    error = np.array([1e-12, np.nan, 1e-12])
    axes = heatmap(report_on((3,), error=error, state=None)).axes[0]
    assert axes.images[0].get_array().mask.tolist() == [[False, True, False]]


def test_the_reports_plot_chooses_the_worst_input(tmp_path: Path) -> None:
    good, bad = report_on((3,)), report_on((4,), wrong=2)
    good.name, bad.name = "good", "bad"
    random = InputReport("huge", (9,), "float64", wrong=1)
    report = GradcheckReport("gradcheck", 1, "auto", "full", [good, bad, random])
    assert report.plot().axes[0].get_title(loc="left").startswith("bad (4,)")
    assert report.plot(tmp_path / "x.png", "good").axes[0].get_title(loc="left").startswith("good (3,)")
    assert (tmp_path / "x.png").exists()
    with pytest.raises(ArgumentError, match=r"no input 'other', only \['good', 'bad', 'huge'\]"):
        report.plot(input="other")
    with pytest.raises(ArgumentError, match="the input 'huge' was not compared element by element"):
        report.plot(input="huge")
    with pytest.raises(ArgumentError, match="mode='full' does"):
        heatmap(random)
    with pytest.raises(ArgumentError, match="no input was compared element by element"):
        GradcheckReport("gradcheck", 1, "auto", "random", [random]).plot()


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"heatmap: needs the package matplotlib.*minidl\[plot\]"):
        heatmap(report_on((3,)))


@pytest.mark.parametrize("make", [lambda: (3, 4), lambda: (6, 4, 5, 5)])
def test_the_outline_is_drawn_in_the_picture(make: Callable[[], tuple[int, ...]]) -> None:
    """Not only asked for: a wrong element changes pixels to black and dark red, a right one has neither."""
    image = pytest.importorskip("PIL.Image")

    def dark_red(each: InputReport) -> int:
        buffer = io.BytesIO()
        heatmap(each, buffer)  # type: ignore[arg-type]
        pixels = np.asarray(image.open(buffer).convert("RGB")).astype(int)
        # Right of the cells is the colour bar, whose colours are always there.
        cells = pixels[:, : int(0.7 * pixels.shape[1])]
        return int(((cells[..., 0] > 120) & (cells[..., 1] < 40) & (cells[..., 2] < 60)).sum())

    shape = make()
    right, wrong = report_on(shape), report_on(shape, wrong=1)
    index = (1,) * len(shape)
    wrong.error[index], wrong.state[index] = 1.0, WRONG
    assert dark_red(right) == 0 < dark_red(wrong)
