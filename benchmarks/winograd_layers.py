"""Winograd's convolution in float32, 3x3, 5x5 and strided: time beside other algorithms and PyTorch, or its error.

    python benchmarks/winograd_layers.py [--error] [--rounds 5] [--threads 2] [--layers 0,3]

With --error, layers of few channels follow, whose 5x5 kernels go along rows ("winograd_rows").

Times are medians in milliseconds of calls that take turns in one process; `ratio` is the better one of PyTorch's times
on one thread and on `--threads` over ours. Errors are against float64 and over im2col's: root mean square / largest;
of few channels over 8 draws, since they have few numbers.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minidl
from minidl import kernels
from minidl.geometry import Window, sliding_window


class Layer(NamedTuple):
    """Channels in and out, taps along an axis, height and width, batch, whether half the taps are padding, stride."""

    channels: int
    filters: int
    taps: int
    size: int
    batch: int
    padded: bool = True
    stride: int = 1

    def __str__(self) -> str:
        text = f"{self.channels:3}->{self.filters:3} {self.taps}x{self.taps} @{self.size} N={self.batch:2}"
        text += f" stride {self.stride}" if self.stride > 1 else ""
        return text if self.padded else f"{text} unpadded"

    @property
    def padding(self) -> int:
        return self.taps // 2 if self.padded else 0

    @property
    def window(self) -> Window:
        return sliding_window("benchmark", (self.size, self.size), self.taps, self.stride, self.padding)


def alike(taps: int, *layers: tuple[int, int, int]) -> list[Layer]:
    """Layers of as many filters as channels, from channels, size and batch."""
    return [Layer(channels, channels, taps, size, batch) for channels, size, batch in layers]


# The first is AlexNet's, the second document 003's.
STRIDED_LAYERS = [
    Layer(3, 96, 11, 227, 8, False, 4), Layer(3, 96, 11, 227, 1, False, 4), Layer(32, 64, 5, 56, 8, stride=2),
    Layer(64, 64, 5, 28, 8, stride=2),
]  # fmt: skip
# The 5x5 layers, from index 7 on, begin with AlexNet's second; the strided ones, from 11 on, with its first.
LAYERS = [
    *alike(3, (64, 56, 8), (128, 56, 8), (128, 28, 16), (256, 28, 8), (256, 14, 16), (512, 14, 16), (512, 28, 8)),
    Layer(96, 256, 5, 27, 8), *alike(5, (64, 28, 8), (32, 28, 8)), Layer(16, 32, 5, 28, 8), *STRIDED_LAYERS,
]  # fmt: skip
ERROR_LAYERS = [
    *alike(3, (16, 28, 8), (32, 28, 8), (64, 28, 8), (128, 28, 8), (256, 14, 8), (512, 14, 8)),
    *alike(5, (16, 28, 8), (32, 28, 8), (64, 28, 8), (128, 28, 8), (256, 14, 8)), Layer(96, 256, 5, 27, 8),
    *STRIDED_LAYERS,
]  # fmt: skip
# Of few channels, the first two as in LeNet.
ROW_LAYERS = [
    Layer(channels, filters, 5, size, batch, padded)
    for channels, filters, size, padded in [
        (1, 6, 28, True), (6, 16, 14, False), (3, 16, 28, True), (16, 16, 14, True), (16, 6, 14, True),
        (3, 16, 64, True),
    ]
    for batch in (16, 64)
]  # fmt: skip
DRAWS = 8
DIRECTIONS = ("forward", "input gradient", "weight gradient")


def by(algorithm: str, x: np.ndarray, weight: np.ndarray, grad: np.ndarray, window: Window) -> list[Callable[[], Any]]:
    """The three directions."""
    return [
        lambda: kernels.conv2d(x, weight, None, window, 1, algorithm),
        lambda: kernels.conv2d_input_gradient(grad, weight, window, 1, algorithm),
        lambda: kernels.conv2d_weight_gradient(x, grad, window, 1, algorithm),
    ]


def tiles(layer: Layer) -> list[str]:
    """The algorithms with Winograd's tiles that take the layer's kernels."""
    if layer in ROW_LAYERS:
        return ["winograd_rows"]
    how = (layer.channels, layer.filters, 1, layer.window, 4)
    return [name for name in ("winograd_4x4", "winograd_2x2") if kernels.refusal(name, *how) is None]


def torch_calls(
    x: np.ndarray, weight: np.ndarray, grad: np.ndarray, layer: Layer, threads: int
) -> list[Callable[[], Any]]:
    """The three directions, without the graph around them."""
    import torch

    tensors = [torch.from_numpy(array) for array in (x, weight, grad)]
    stride, padding = layer.stride, layer.padding

    def forward() -> None:
        torch.set_num_threads(threads)
        with torch.no_grad():
            torch.nn.functional.conv2d(tensors[0], tensors[1], stride=stride, padding=padding)

    def backward(wanted: list[bool]) -> Callable[[], None]:
        def call() -> None:
            torch.set_num_threads(threads)
            torch.ops.aten.convolution_backward(
                tensors[2], tensors[0], tensors[1], None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, wanted
            )

        return call

    return [forward, backward([True, False, False]), backward([False, True, False])]


def arrays(layer: Layer, draw: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, weights and the output's gradient."""
    rng = np.random.default_rng(draw)
    shapes = (
        (layer.batch, layer.channels, layer.size, layer.size),
        (layer.filters, layer.channels, layer.taps, layer.taps),
        (layer.batch, layer.filters, *layer.window.output_size),
    )
    x, weight, grad = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    return x, weight, grad


def times(layers: list[Layer], rounds: int, threads: int) -> None:
    """Print a line for each layer and direction, and the geometric means."""
    ratios: dict[str, list[float]] = {}
    for layer in layers:
        given = arrays(layer)
        calls = {name: by(name, *given, layer.window) for name in (*tiles(layer), "implicit_gemm", "im2col")}
        calls[f"torch({threads})"] = torch_calls(*given, layer, threads)
        calls["torch(1)"] = torch_calls(*given, layer, 1)
        for which, direction in enumerate(DIRECTIONS):
            measured: dict[str, list[float]] = {name: [] for name in calls}
            for turn in range(rounds + 1):
                for name, functions in calls.items():
                    # While PyTorch's threads still spin and the caches are others'.
                    functions[which]()
                    functions[which]()
                    start = time.perf_counter()
                    functions[which]()
                    if turn:
                        measured[name].append(1e3 * (time.perf_counter() - start))
            median = {name: statistics.median(values) for name, values in measured.items()}
            peer = min(value for name, value in median.items() if name.startswith("torch"))
            for name in tiles(layer):
                kind = f"{name} of {layer.taps}x{layer.taps}, stride {layer.stride}"
                ratios.setdefault(kind, []).append(peer / median[name])
            line = "  ".join(f"{name} {value:7.2f}" for name, value in median.items())
            ours = "  ".join(f"{name} {peer / median[name]:.2f}" for name in tiles(layer))
            print(f"{layer} {direction:15}  {line}  ratio {ours}", flush=True)
    for name, values in ratios.items():
        print(f"{name}: geometric mean {np.exp(np.mean(np.log(values))):.2f}, least {min(values):.2f}")


def differences(layer: Layer, draw: int) -> list[dict[str, np.ndarray]]:
    """For each direction, by how much every algorithm's numbers are off."""
    given = arrays(layer, draw)
    doubles = [array.astype(np.float64) for array in given]
    exact = [call() for call in by("im2col", *doubles, layer.window)]  # type: ignore[call-arg]
    found = {name: by(name, *given, layer.window) for name in ("im2col", *tiles(layer))}
    return [{name: calls[which]() - exact[which] for name, calls in found.items()} for which in range(len(DIRECTIONS))]


def errors(layers: list[Layer]) -> None:
    """Print a line for each layer and direction."""
    for layer in layers:
        draws = [differences(layer, draw) for draw in range(DRAWS if layer in ROW_LAYERS else 1)]
        for which, direction in enumerate(DIRECTIONS):
            off = {name: np.array([draw[which][name] for draw in draws]) for name in ("im2col", *tiles(layer))}
            size_of = {name: (np.sqrt(np.mean(e**2)), np.abs(e).max()) for name, e in off.items()}
            base = size_of["im2col"]
            line = "  ".join(
                f"{name} {size_of[name][0] / base[0]:.2f} / {size_of[name][1] / base[1]:.2f}" for name in tiles(layer)
            )
            print(f"{layer} {direction:15}  {line}", flush=True)


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--error", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layers", default="")
    options = parser.parse_args()
    minidl.set_num_threads(options.threads)
    layers = ERROR_LAYERS + ROW_LAYERS if options.error else LAYERS
    if options.layers:
        layers = [layers[int(i)] for i in options.layers.split(",")]
    if options.error:
        errors(layers)
    else:
        times(layers, options.rounds, options.threads)


if __name__ == "__main__":
    main()
