"""Winograd's convolution on 3x3 layers in float32: time beside im2col's and PyTorch's, or error beside im2col's.

    python benchmarks/winograd_layers.py [--error] [--rounds 5] [--threads 2] [--layers 0,3]

Times are medians in milliseconds of calls that take turns in one process; `ratio` is the better one of PyTorch's times
on one thread and on `--threads` over ours. Errors are against float64 and over im2col's: root mean square / largest.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import minidl
from minidl import kernels
from minidl.geometry import sliding_window

# Channels (in and out), height and width, batch.
LAYERS = [(64, 56, 8), (128, 56, 8), (128, 28, 16), (256, 28, 8), (256, 14, 16), (512, 14, 16), (512, 28, 8)]
ERROR_LAYERS = [(16, 28, 8), (32, 28, 8), (64, 28, 8), (128, 28, 8), (256, 14, 8), (512, 14, 8)]
DIRECTIONS = ("forward", "input gradient", "weight gradient")


def winograd(x: np.ndarray, weight: np.ndarray, grad: np.ndarray, window: Any, m: int) -> list[Callable[[], Any]]:
    """The three directions."""
    return [
        lambda: kernels.winograd_conv2d(x, weight, None, window, m),
        lambda: kernels.winograd_input_gradient(grad, weight, window, m),
        lambda: kernels.winograd_weight_gradient(x, grad, window, m),
    ]


def im2col(x: np.ndarray, weight: np.ndarray, grad: np.ndarray, window: Any) -> list[Callable[[], Any]]:
    """The three directions."""
    return [
        lambda: kernels.conv2d(x, weight, None, window, 1),
        lambda: kernels.conv2d_input_gradient(grad, weight, window, 1),
        lambda: kernels.conv2d_weight_gradient(x, grad, window, 1),
    ]


def torch_calls(x: np.ndarray, weight: np.ndarray, grad: np.ndarray, threads: int) -> list[Callable[[], Any]]:
    """The three directions, without the graph around them."""
    import torch

    tensors = [torch.from_numpy(array) for array in (x, weight, grad)]

    def forward() -> None:
        torch.set_num_threads(threads)
        with torch.no_grad():
            torch.nn.functional.conv2d(tensors[0], tensors[1], padding=1)

    def backward(wanted: list[bool]) -> Callable[[], None]:
        def call() -> None:
            torch.set_num_threads(threads)
            torch.ops.aten.convolution_backward(
                tensors[2], tensors[0], tensors[1], None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
            )

        return call

    return [forward, backward([True, False, False]), backward([False, True, False])]


def arrays(channels: int, size: int, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, weights and the output's gradient."""
    rng = np.random.default_rng(0)
    shapes = (batch, channels, size, size), (channels, channels, 3, 3), (batch, channels, size, size)
    x, weight, grad = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    return x, weight, grad


def times(layers: list[tuple[int, int, int]], rounds: int, threads: int) -> None:
    """Print a line for each layer and direction, and the geometric means."""
    ratios: dict[str, list[float]] = {"m=2": [], "m=4": []}
    for channels, size, batch in layers:
        given = arrays(channels, size, batch)
        window = sliding_window("benchmark", (size, size), 3, 1, 1)
        calls = {
            "m=4": winograd(*given, window, 4),
            "m=2": winograd(*given, window, 2),
            "im2col": im2col(*given, window),
            f"torch({threads})": torch_calls(*given, threads),
            "torch(1)": torch_calls(*given, 1),
        }
        for which, direction in enumerate(DIRECTIONS):
            measured: dict[str, list[float]] = {name: [] for name in calls}
            for turn in range(rounds + 1):
                for name, functions in calls.items():
                    start = time.perf_counter()
                    functions[which]()
                    if turn:
                        measured[name].append(1e3 * (time.perf_counter() - start))
            median = {name: statistics.median(values) for name, values in measured.items()}
            peer = min(value for name, value in median.items() if name.startswith("torch"))
            for name in ratios:
                ratios[name].append(peer / median[name])
            line = "  ".join(f"{name} {value:7.2f}" for name, value in median.items())
            ours = "  ".join(f"{name} {values[-1]:.2f}" for name, values in ratios.items())
            print(f"{channels:3}@{size} N={batch:2} {direction:15}  {line}  ratio {ours}", flush=True)
    for name, values in ratios.items():
        print(f"{name}: geometric mean {np.exp(np.mean(np.log(values))):.2f}, least {min(values):.2f}")


def errors(layers: list[tuple[int, int, int]]) -> None:
    """Print a line for each layer and direction."""
    for channels, size, batch in layers:
        given = arrays(channels, size, batch)
        window = sliding_window("benchmark", (size, size), 3, 1, 1)
        exact = [call() for call in im2col(*(a.astype(np.float64) for a in given), window)]  # type: ignore[call-arg]
        found = {
            "im2col": im2col(*given, window),
            "m=2": winograd(*given, window, 2),
            "m=4": winograd(*given, window, 4),
        }
        for which, direction in enumerate(DIRECTIONS):
            off = {name: calls[which]() - exact[which] for name, calls in found.items()}
            size_of = {name: (np.sqrt(np.mean(e**2)), np.abs(e).max()) for name, e in off.items()}
            base = size_of["im2col"]
            line = "  ".join(
                f"{name} {size_of[name][0] / base[0]:.2f} / {size_of[name][1] / base[1]:.2f}" for name in ("m=2", "m=4")
            )
            print(f"{channels:3}@{size} N={batch:2} {direction:15}  {line}", flush=True)


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--error", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layers", default="")
    options = parser.parse_args()
    minidl.set_num_threads(options.threads)
    layers = ERROR_LAYERS if options.error else LAYERS
    if options.layers:
        layers = [layers[int(i)] for i in options.layers.split(",")]
    if options.error:
        errors(layers)
    else:
        times(layers, options.rounds, options.threads)


if __name__ == "__main__":
    main()
