"""The error of a gradient over its input's shape, as a picture (matplotlib, imported on use).

Figures are `matplotlib.figure.Figure` objects of their own and never touch pyplot, as in `minidl.plot`.
"""

from __future__ import annotations

import os
import textwrap
from typing import Any

import numpy as np

from minidl.errors import ArgumentError, import_extra
from minidl.files import checked_target
from minidl.testing._canvas import Canvas, lay_out
from minidl.testing.findings import VERDICTS, InputReport

Array = np.ndarray
StrPath = str | os.PathLike[str]

# Powers of ten of the relative error between which the colours run.
_AGREES, _WRONG = -10, 0
# From pale blue over sand, where a mistake begins to show, to dark red.
_COLOURS = [
    (0.0, "#dce8f2"),
    (0.4, "#a9c8de"),
    (0.55, "#f3dfa8"),
    (0.7, "#f2a65a"),
    (0.85, "#d9482b"),
    (1.0, "#8c0d1c"),
]
_NAN, _NOT_COMPARED = "#7b3fa0", "#ffffff"
_TEXT, _FAINT, _OUTLINE = "#222222", "#666666", "#000000"
_MAX_MARKS = 400
_MAX_NUMBERS = 40


def heatmap(each: InputReport, path: StrPath | None = None) -> Any:
    """Draw the relative error over an input's shape.

    A cell is an element of the input; its colour is the largest relative error of the derivatives by it, on a scale of
    powers of ten. Wrong elements have an outline, kinks a triangle, unresolved ones a question mark. A vector is a
    strip, in rows if it is long; of an array of three or more axes the last two are blocks, set out by the axes before
    (the kernels of a convolution's weight, say). In large arrays a cell stands for several elements and shows the
    worst of them; the title says so.

    Parameters
    ----------
    each : InputReport
        What a check found about an input, with `error` and, for the marks, `state`.
    path : str or path-like, optional
        Save the figure there as PNG.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ArgumentError
        If nothing was compared element by element.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> error = np.full((6, 1, 5, 5), 1e-11)
    >>> error[2, 0, :, 4] = 0.5
    >>> state = np.where(error > 1e-4, VERDICTS.index("wrong"), VERDICTS.index("ok"))
    >>> figure = heatmap(InputReport("weight", error.shape, "float64", 150, 5, error=error, state=state))
    >>> figure.axes[0].get_title(loc="left")
    'weight (6, 1, 5, 5): 5 of 150 entries wrong'
    """
    if each.error is None:
        raise ArgumentError(f"heatmap: {each.name} was not compared element by element; mode='full' does")
    error = np.asarray(each.error, dtype=np.float64)
    guess = np.where(np.isnan(error), VERDICTS.index("not compared"), VERDICTS.index("ok"))
    state = guess if each.state is None else np.asarray(each.state)
    canvas = lay_out(error.shape)
    figure, axes = _figure(each, canvas)
    if error.size:
        _draw(figure, axes, canvas, error, state)
    else:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "empty: there is nothing to compare", ha="center", va="center", transform=axes.transAxes)
    if path is not None:
        figure.savefig(
            checked_target("heatmap", path),
            format="png",
            dpi=150,
            facecolor="white",
            bbox_inches="tight",
            pad_inches=0.15,
        )
    return figure


def _figure(each: InputReport, canvas: Canvas) -> tuple[Any, Any]:
    rows, columns = canvas.shape
    cell = _cell(canvas)
    width, height = max(columns * cell, 3.6), rows * cell
    remarks = _remarks(each, canvas, int(11.5 * (width + 2)))
    # The title, the axes' labels and the legend; a colour bar below with its numbers.
    size = (width + 2.3, height + 1.5 + 0.17 * len(remarks) + (0.9 if _is_low(canvas) else 0))
    figure = import_extra("matplotlib.figure", "plot", "heatmap").Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    shape = tuple(int(size) for size in each.shape)
    title = f"{each.name} {shape if shape else 'scalar'}: {each.verdict}"
    axes.set_title(title, fontsize=11, color=_TEXT, loc="left", pad=8 + 12.5 * len(remarks))
    if remarks:
        axes.annotate("\n".join(remarks), (0, 1), (0, 5), "axes fraction", "offset points", fontsize=8.5, color=_FAINT,
                      ha="left", va="bottom", linespacing=1.25)  # fmt: skip
    return figure, axes


def _cell(canvas: Canvas) -> float:
    """The side of a cell in inches: half an inch, more where there are few, less where they would not fit."""
    rows, columns = canvas.shape
    return min(max(0.5, min(1.6, 3.6 / columns, 3.6 / rows)), 6.4 / columns, 6.0 / rows)


def _is_low(canvas: Canvas) -> bool:
    """Whether a colour bar beside the cells would be too short for its numbers."""
    return canvas.shape[0] * _cell(canvas) < 1.4 and canvas.shape[1] > 1


def _remarks(each: InputReport, canvas: Canvas, width: int) -> list[str]:
    """Write what stands below the title: the hint, the worst element, how the array was folded."""
    remarks = []
    if each.hint:
        remarks += textwrap.wrap(f"hint: {each.hint}", width)
    if each.worst and each.wrong:
        worst = each.worst[0]
        index = list(map(int, worst.index)) or ""
        remarks += textwrap.wrap(
            f"worst: {each.name}{index}, where the gradient is {worst.analytic:.6g}, numerically {worst.numeric:.6g}",
            width,
        )
    return remarks + [line for remark in canvas.remarks for line in textwrap.wrap(remark, width)]


def _draw(figure: Any, axes: Any, canvas: Canvas, error: Array, state: Array) -> None:
    shown, states, broken = canvas.spread(error, state)
    colours = import_extra("matplotlib.colors", "plot", "heatmap")
    scale = colours.LinearSegmentedColormap.from_list("gradient check", _COLOURS).with_extremes(bad=_NOT_COMPARED)
    with np.errstate(divide="ignore"):
        exponents = np.clip(np.log10(shown), _AGREES, _WRONG)
    compared = (states > VERDICTS.index("not compared")) & ~broken
    picture = np.ma.masked_where(~compared, exponents)
    rows, columns = canvas.shape
    # Cells are square as long as that leaves each of them room.
    aspect = "equal" if max(rows, columns) <= 8 * min(rows, columns) or max(rows, columns) <= 13 else "auto"
    image = axes.imshow(picture, cmap=scale, vmin=_AGREES, vmax=_WRONG, aspect=aspect, interpolation="nearest")
    axes.imshow(
        np.ma.masked_where(~broken, np.ones(canvas.shape)),
        cmap=colours.ListedColormap([_NAN]),
        aspect=aspect,
        interpolation="nearest",
    )
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    _grid(axes, canvas)
    is_low = _is_low(canvas)
    _legend(axes, _marks(axes, states, broken), is_low)
    if np.count_nonzero(canvas.place >= 0) <= _MAX_NUMBERS and columns <= 13:
        _numbers(axes, shown, compared)
    _bar(figure, axes, image, is_low)


def _bar(figure: Any, axes: Any, image: Any, is_low: bool) -> None:
    divider = import_extra("mpl_toolkits.axes_grid1", "plot", "heatmap").make_axes_locatable(axes)
    labels = ["1e-10 or less:\nagrees", "1e-8", "1e-6", "0.0001", "0.01", "1 or more:\nwrong"]
    if is_low:
        place = divider.append_axes("bottom", size=0.13, pad=0.62)
        bar = figure.colorbar(image, cax=place, orientation="horizontal")
    else:
        place = divider.append_axes("right", size=0.16, pad=0.14)
        bar = figure.colorbar(image, cax=place)
    bar.set_ticks([-10, -8, -6, -4, -2, 0], labels=labels)
    if not is_low:
        # The ends of the scale stay beside it, away from titles.
        bar.ax.get_yticklabels()[0].set(verticalalignment="bottom")
        bar.ax.get_yticklabels()[-1].set(verticalalignment="top")
    bar.ax.tick_params(labelsize=8, color=_FAINT, labelcolor=_TEXT)
    bar.set_label("relative error", fontsize=8.5, color=_TEXT)
    bar.outline.set_edgecolor("#999999")


def _grid(axes: Any, canvas: Canvas) -> None:
    axes.set_xticks(*canvas.x_ticks)
    axes.set_yticks(*canvas.y_ticks)
    axes.set_xlabel(canvas.x_label, fontsize=9, color=_TEXT)
    axes.set_ylabel(canvas.y_label, fontsize=9, color=_TEXT)
    axes.tick_params(length=0 if canvas.blocks else 2.5, labelsize=8, color=_FAINT, labelcolor=_TEXT)
    axes.spines[:].set_visible(False)
    if max(canvas.shape) <= 80:
        filled = canvas.place >= 0
        lines = _borders(filled, inner=True)
        collections = import_extra("matplotlib.collections", "plot", "heatmap")
        axes.add_collection(collections.LineCollection(lines, colors="#ffffff", linewidths=0.6))
        axes.add_collection(collections.LineCollection(_borders(filled), colors="#999999", linewidths=0.6))


def _marks(axes: Any, states: Array, broken: Array) -> list[tuple[Any, str]]:
    """Outlines and signs; returns what the legend says of them."""
    lines = import_extra("matplotlib.lines", "plot", "heatmap")
    patches = import_extra("matplotlib.patches", "plot", "heatmap")
    collections = import_extra("matplotlib.collections", "plot", "heatmap")
    legend: list[tuple[Any, str]] = []
    wrong = states >= VERDICTS.index("wrong at a kink")
    if wrong.any():
        width = 1.6 if max(states.shape) <= 80 else 0.9
        outline = collections.LineCollection(_borders(wrong), colors=_OUTLINE, linewidths=width, zorder=4)
        # Half of a line at the border lies outside.
        outline.set_clip_on(False)
        axes.add_collection(outline)
        legend.append((patches.Patch(facecolor="#d9482b", edgecolor=_OUTLINE, linewidth=1.6), "wrong"))
    signs = [("kink", "^", "kink, not wrong"), ("skipped", "s", "kink, skipped"), ("unresolved", "$?$", "unresolved")]
    wanted = [(states == VERDICTS.index(verdict), sign, name) for verdict, sign, name in signs]
    wanted.append((states == VERDICTS.index("wrong at a kink"), "^", "wrong at a kink"))
    for mask, sign, name in wanted:
        places = np.argwhere(mask)
        if not len(places):
            continue
        size = 36 if max(states.shape) <= 24 else 14 if max(states.shape) <= 80 else 5
        few = places[:: max(1, -(-len(places) // _MAX_MARKS))]
        axes.scatter(few[:, 1], few[:, 0], s=size, marker=sign, color=_TEXT, linewidths=0, zorder=5)
        handle = lines.Line2D([], [], marker=sign, color=_TEXT, linestyle="", markersize=6)
        legend.append((handle, name))
    if broken.any():
        legend.append((patches.Patch(facecolor=_NAN), "NaN"))
    return legend


def _legend(axes: Any, entries: list[tuple[Any, str]], low: bool) -> None:
    if entries:
        handles, labels = zip(*entries, strict=True)
        # Below the axes' labels, where it never covers a cell.
        down = import_extra("matplotlib.transforms", "plot", "heatmap").ScaledTranslation(
            0, -(1.45 if low else 0.5), axes.figure.dpi_scale_trans
        )
        axes.legend(handles, labels, loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=axes.transAxes + down,
                    borderaxespad=0, borderpad=0, ncols=len(entries), frameon=False, fontsize=8.5)  # fmt: skip


def _numbers(axes: Any, shown: Array, compared: Array) -> None:
    for row, column in np.argwhere(compared):
        value = shown[row, column]
        text = "0" if value == 0 else "inf" if np.isinf(value) else f"{value:.0e}"
        pale = value < 1e-3
        axes.text(column, row + 0.28, text.replace("e-0", "e-").replace("e+00", ""), ha="center", va="center",
                  fontsize=6.5, color=_TEXT if pale else "#ffffff", zorder=6)  # fmt: skip


def _borders(mask: Array, inner: bool = False) -> Array:
    """The lines around the cells of a mask, between them and others, or (inner) between each other: (N, 2, 2)."""
    padded = np.pad(mask, 1)
    across, down = (padded[:, 1:], padded[:, :-1]), (padded[1:], padded[:-1])
    is_line = (lambda pair: pair[0] & pair[1]) if inner else (lambda pair: pair[0] ^ pair[1])
    rows, columns = np.nonzero(is_line(across))
    upright = np.stack([columns - 0.5, rows - 1.5, columns - 0.5, rows - 0.5], axis=1)
    rows, columns = np.nonzero(is_line(down))
    lying = np.stack([columns - 1.5, rows - 0.5, columns - 0.5, rows - 0.5], axis=1)
    return np.concatenate([upright, lying]).reshape(-1, 2, 2)
