"""Draw the pictures of the pages in docs/, from what minidl computes:  python docs/pictures.py"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import minidl.functional as F
from minidl.geometry import sliding_window
from minidl.reference.toeplitz import toeplitz
from minidl.reference.winograd import WINOGRAD_POINTS, winograd_matrices
from minidl.tensor import Tensor
from minidl.testing import check_vjp

FOLDER = Path(__file__).parent / "pictures"

# One hue a channel; then what stands out, and text.
HUES = ("#c6dbef", "#fdd0a2", "#c7e9c0")
STRONG, TEXT, FAINT = "#c0392b", "#222222", "#dddddd"


def save(figure: Figure, name: str, dpi: int = 110) -> None:
    FOLDER.mkdir(exist_ok=True)
    figure.savefig(FOLDER / name, dpi=dpi, facecolor="white")


def cells(
    axes: Any,
    values: np.ndarray,
    colors: Any,
    *,
    size: float = 8.0,
    text: str = "{:g}",
    title: str = "",
    extent: int = 0,
) -> None:
    """A table of numbers in coloured cells; `colors` is one for all or an array of them."""
    rows, columns = values.shape
    colors = np.broadcast_to(np.asarray(colors, object), values.shape)
    for (i, j), value in np.ndenumerate(values):
        axes.add_patch(Rectangle((j, i), 1, 1, facecolor=colors[i, j], edgecolor="white", linewidth=0.8))
        axes.text(j + 0.5, i + 0.53, text.format(value), ha="center", va="center", size=size, color=TEXT)
    # So that cells of several tables have one size, each can have room for `extent` cells around its own.
    aside, above = max(extent - columns, 0) / 2 + 0.1, max(extent - rows, 0) / 2 + 0.1
    axes.set(xlim=(-aside, columns + aside), ylim=(rows + above, -above), aspect="equal")
    axes.axis("off")
    if title:
        axes.text(columns / 2, -0.25, title, ha="center", va="bottom", size=9.5, color=TEXT)


def box(axes: Any, left: float, top: float, width: float, height: float) -> None:
    """A frame around some cells."""
    axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=STRONG, linewidth=2.2, zorder=3))


def im2col() -> None:
    """An image of 3 channels, its columns for a 2x2 kernel, and how often each pixel stands in them."""
    C, H, W, K = 3, 4, 4, 2
    image = np.arange(C * H * W, dtype=np.float64).reshape(1, C, H, W)
    columns = F.unfold(Tensor(image), K)
    counts = F.fold(F.unfold(Tensor(np.ones_like(image)), K), (H, W), K).numpy()[0, 0]
    shown, position = columns.numpy()[0], 5
    row, column = divmod(position, W - K + 1)

    figure = Figure(figsize=(10, 5.2))
    grid = figure.add_gridspec(
        3, 3, width_ratios=(1, 2.3, 1.1), left=0.02, right=0.98, top=0.9, bottom=0.06, wspace=0.15
    )
    for c in range(C):
        axes = figure.add_subplot(grid[c, 0])
        cells(axes, image[0, c], HUES[c], title="image: 3 channels of 4 x 4" if c == 0 else "")
        box(axes, column, row, K, K)
    axes = figure.add_subplot(grid[:, 1])
    hues = np.repeat(np.array(HUES, object), K * K)[:, None]
    cells(axes, shown, hues, title="unfold(image, 2): 12 rows (c, kh, kw), 9 columns (oh, ow)")
    box(axes, position, 0, 1, C * K * K)
    axes = figure.add_subplot(grid[1, 2])
    greys = np.array(["#f2f2f2", "#f2f2f2", "#d9d9d9", "#bdbdbd", "#969696"], object)[counts.astype(int)]
    cells(axes, counts, greys, title="fold(unfold(ones)):\nhow many windows see a pixel")
    save(figure, "im2col.png")


def toeplitz_matrix() -> None:
    """The matrix of one 3x3 kernel on a 5x5 image, and that of document 000's layer."""
    kernel = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    matrix = toeplitz(kernel, sliding_window("conv2d", (5, 5), (3, 3)), 1).toarray()
    figure = Figure(figsize=(10, 4.3))
    grid = figure.add_gridspec(1, 2, width_ratios=(3.1, 1), left=0.05, right=0.965, top=0.88, bottom=0.12, wspace=0.14)
    axes = figure.add_subplot(grid[0])
    shades = [
        "#ffffff",
        *("#9ecae1", "#6baed6", "#4292c6"),
        *("#fdd0a2", "#fdae6b", "#fd8d3c"),
        *("#c7e9c0", "#a1d99b", "#74c476"),
    ]
    axes.imshow(matrix, cmap=ListedColormap(shades), vmin=-0.5, vmax=9.5)
    for (i, j), value in np.ndenumerate(matrix):
        if value:
            axes.text(j, i, f"{value:g}", ha="center", va="center", size=8, color=TEXT)
    lines(axes, matrix.shape, 5, 3)
    axes.set_title("A 3 x 3 kernel (1 to 9) on a 5 x 5 image: 9 outputs, 25 pixels", size=9.5, color=TEXT)
    axes.set_xlabel("pixel (image rows between grey lines)", size=8.5)
    axes.set_ylabel("output", size=8.5)
    axes.tick_params(labelsize=7.5, length=2)

    weight = np.random.default_rng(0).normal(size=(6, 3, 3, 3))
    layer = toeplitz(weight, sliding_window("conv2d", (28, 28), (3, 3)), 1)
    axes = figure.add_subplot(grid[1])
    # A point for each weight would be a smudge: each row of an image is one pixel of the picture.
    there = np.zeros((6 * 26, 3 * 28))
    entries = layer.tocoo()
    np.add.at(there, (entries.row // 26, entries.col // 28), 1)
    axes.imshow(
        there > 0, cmap=ListedColormap(["#ffffff", "#4292c6"]), interpolation="nearest", extent=(0, 2352, 4056, 0)
    )
    lines_at(axes, [784, 1568], [676 * f for f in range(1, 6)])
    share = layer.nnz / np.prod(layer.shape)
    axes.set_title(
        f"document 000's layer: {layer.shape[0]} x {layer.shape[1]},\n{share:.1%} of it not 0", size=9.5, color=TEXT
    )
    axes.set_xlabel("pixel (3 channels)", size=8.5)
    axes.set_ylabel("output (6 filters)", size=8.5)
    axes.tick_params(labelsize=7.5, length=2)
    save(figure, "toeplitz.png")


def lines(axes: Any, shape: tuple[int, int], across: int, down: int) -> None:
    """Between rows of the image, and of the output."""
    lines_at(axes, [x - 0.5 for x in range(across, shape[1], across)], [y - 0.5 for y in range(down, shape[0], down)])


def lines_at(axes: Any, across: Sequence[float], down: Sequence[float]) -> None:
    for x in across:
        axes.axvline(x, color="#999999", linewidth=0.8)
    for y in down:
        axes.axhline(y, color="#999999", linewidth=0.8)


def heat(axes: Any, values: np.ndarray, title: str, text: str = "{:.3g}") -> None:
    """A table coloured by value: red below 0, blue above."""
    top = max(np.abs(values).max(), 1e-9)

    def color(value: float) -> tuple[float, ...]:
        hue = np.array(to_rgb("#4292c6" if value > 0 else "#ef6548"))
        return tuple(1 - (1 - hue) * min(abs(value) / top, 1) * 0.8)

    colors = np.empty(values.shape, object)
    for index, value in np.ndenumerate(values):
        colors[index] = "#f4f4f4" if value == 0 else color(float(value))
    # Adding 0 leaves no zero negative.
    cells(axes, np.round(values, 6) + 0.0, colors, text=text, title=title, extent=6)


def winograd() -> None:
    """One tile of F(2x2, 3x3): what it reads, the two transforms, the 16 products, and the 4 outputs."""
    A, G, BT = winograd_matrices(WINOGRAD_POINTS[4])
    image = np.array(
        [
            [1, 2, 0, 1, 3, 1],
            [0, 1, 3, 2, 1, 0],
            [2, 1, 1, 0, 2, 1],
            [1, 0, 2, 1, 1, 3],
            [3, 1, 0, 2, 0, 1],
            [0, 2, 1, 1, 2, 0],
        ],
        float,
    )
    kernel = np.array([[1.0, 2, -1], [2, 0, -2], [3, 1, 1]])
    window = sliding_window("conv2d", (6, 6), (3, 3))
    whole = (toeplitz(kernel[None, None], window, 1) @ image.ravel()).reshape(4, 4)
    tile = image[:4, 2:6]
    V, U = BT @ tile @ BT.T, G @ kernel @ G.T
    y = A.T @ (U * V) @ A
    assert np.allclose(y, whole[:2, 2:])

    figure = Figure(figsize=(10, 5.4))
    grid = figure.add_gridspec(2, 4, left=0.01, right=0.99, top=0.92, bottom=-0.04, wspace=0.08, hspace=0.02)
    hues = np.full(image.shape, "#eeeeee", object)
    hues[:4, 2:6] = HUES[0]
    axes = figure.add_subplot(grid[0, 0])
    cells(axes, image, hues, title="image; a tile $d$ is 4 x 4,\ntiles are 2 apart", extent=6)
    box(axes, 2, 0, 4, 4)
    axes.add_patch(Rectangle((0, 0), 4, 4, fill=False, edgecolor="#777777", linewidth=1.2, linestyle="--"))
    heat(figure.add_subplot(grid[0, 1]), BT, "$B^T$ (points 0, 1, -1, $\\infty$)")
    heat(figure.add_subplot(grid[0, 2]), V, "$V = B^T d\\, B$")
    heat(figure.add_subplot(grid[0, 3]), U * V, "$M = U \\cdot V$: 16 products")
    heat(figure.add_subplot(grid[1, 0]), kernel, "kernel $g$")
    heat(figure.add_subplot(grid[1, 1]), G, "$G$")
    heat(figure.add_subplot(grid[1, 2]), U, "$U = G\\, g\\, G^T$ (once)")
    heat(figure.add_subplot(grid[1, 3]), y, "$A^T M A$: 4 outputs\n(loops: 36 products)")
    save(figure, "winograd.png")


def gradient_errors() -> None:
    """A blur with reflect padding, whose gradient forgets that the padding repeats pixels."""
    image = np.random.default_rng(0).normal(size=(9, 14))
    positions = list(np.ndindex(3, 3))

    def forward(x: np.ndarray) -> np.ndarray:
        padded = np.pad(x, 1, mode="reflect")
        return np.mean([padded[i : i + 9, j : j + 14] for i, j in positions], axis=0)

    def backward(upstream: np.ndarray, x: np.ndarray) -> np.ndarray:
        padded = np.zeros((11, 16))
        for i, j in positions:
            padded[i : i + 9, j : j + 14] += upstream / 9
        return padded[1:-1, 1:-1]

    report = check_vjp(forward, backward, [image], names=["x"], raise_exception=False)
    FOLDER.mkdir(exist_ok=True)
    report.plot(FOLDER / "gradient-errors.png")


# The layers of the code from the top: the storey, and its modules, each with what it holds. Imports go down, and within
# a storey to the right.
STOREYS: tuple[tuple[str, dict[str, str]], ...] = (
    ("the package", {"minidl": "public names"}),
    (
        "whole models",
        {
            "weights": "state dicts",
            "checkpoint": "resumed runs",
            "testing": "gradient checks",
            "summary": "tables",
            "plot": "figures",
            "config": "versions",
        },
    ),
    ("training", {"nn": "layers", "optim": "optimisers", "data": "data sets, loader"}),
    ("functions of tensors", {"functional": "signatures, checks", "creation": "new tensors", "tensor": "methods"}),
    (
        "graph",
        {
            "ops": "forward, backward",
            "backward": "walk back",
            "copies": "copy, pickle",
            "autograd": "Op, saved values",
        },
    ),
    ("arrays", {"reference": "slow twins", "kernels": "plans, layout", "memory": "kept blocks"}),
    ("compiled", {"_ext": "Cython and C over memoryviews"}),
    (
        "foundations",
        {
            "dtypes": "promotion",
            "geometry": "Window",
            "runtime": "threads, seeds",
            "grad_mode": "no_grad",
            "files": "safetensors",
            "arguments": "readers",
            "errors": "messages",
            "version": "",
        },
    ),
)
# A call's way down, and a gradient's.
CALL = ("nn", "functional", "ops", "kernels", "_ext")
GRADIENT = ("tensor", "backward", "ops", "kernels", "_ext")


def layers() -> None:
    """The layers of the code, a storey each, with the ways of a call and of a gradient through them."""
    figure = Figure(figsize=(10, 6.6))
    axes = figure.add_axes((0.01, 0.06, 0.98, 0.93))
    axes.set(xlim=(0, 100), ylim=(8 * len(STOREYS), 0))
    axes.axis("off")
    left, right = 15.5, 99.5
    centres: dict[str, tuple[float, float]] = {}
    widths: dict[str, float] = {}
    for number, (storey, modules) in enumerate(STOREYS):
        top = 8 * number + 0.6
        shade = "#f4f4f4" if number % 2 else "#fafafa"
        axes.add_patch(Rectangle((0, top), right, 6.8, facecolor=shade, edgecolor="none"))
        axes.text(1, top + 3.4, storey, va="center", size=10, color=TEXT, style="italic")
        gap = 1.2
        width = min((right - left - gap) / len(modules) - gap, 26)
        # A storey with room to spare is centred.
        start = left + gap + (right - left - gap - len(modules) * (width + gap)) / 2
        for place, (module, role) in enumerate(modules.items()):
            x = start + place * (width + gap)
            strong = module in CALL + GRADIENT
            colour = HUES[0] if strong else "#ffffff"
            axes.add_patch(Rectangle((x, top + 0.8), width, 5.2, facecolor=colour, edgecolor="#999999", linewidth=0.8))
            axes.text(
                x + width / 2, top + (2.7 if role else 3.4), module, ha="center", va="center", size=9.5, color=TEXT
            )
            axes.text(x + width / 2, top + 4.7, role, ha="center", va="center", size=6.9, color="#555555")
            centres[module], widths[module] = (x + width / 2, top + 3.4), width
    for path, colour, shift in ((CALL, "#2171b5", -2.5), (GRADIENT, STRONG, 2.5)):
        for above, below in pairwise(path):
            (x0, y0), (x1, y1) = centres[above], centres[below]
            if y0 == y1:
                # The walk back calls the operations of its own storey.
                tail, head = (x0 - widths[above] / 2, y0), (x1 + widths[below] / 2, y1)
            else:
                tail, head = (x0 + shift, y0 + 2.6), (x1 + shift, y1 - 2.6)
            axes.annotate(
                "",
                head,
                tail,
                arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0},
                zorder=3,
            )
    figure.text(0.155, 0.022, "blue: a layer's call", size=9.5, color="#2171b5")
    figure.text(0.32, 0.022, "red: Tensor.backward()", size=9.5, color=STRONG)
    figure.text(0.52, 0.022, "imports go down only, and from left to right", size=9.5, color=TEXT)
    save(figure, "layers.png", dpi=96)


def main() -> None:
    layers()
    gradient_errors()
    im2col()
    toeplitz_matrix()
    winograd()
    for path in sorted(FOLDER.glob("*.png")):
        print(f"{path.relative_to(FOLDER.parent)}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
