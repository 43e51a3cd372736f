"""The source documents' methods on the source documents' layers, and minidl's algorithms beside them.

    python benchmarks/methods.py [000 001 002 003 004] [--seconds 0.5]

Prints the machine and a Markdown table for each document: milliseconds forward and backward (the gradients of input
and weight), medians. The methods are NumPy implementations of ours (`numpy_methods.py`), corrected where the document's
are wrong. The document's own figure stands beside them; the machine it was measured on is unknown.
Results are compared with each other before anything is timed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from harness import machine
from numpy_methods import METHODS

import minidl
import minidl.functional as F
from minidl.config import config
from minidl.kernels import ALGORITHMS

Array = np.ndarray


@dataclass(frozen=True)
class Layer:
    """A document's layer: its shapes, the dtype that it computes in, the methods that make sense, and its figures."""

    input: tuple[int, int, int, int]
    weight: tuple[int, int, int, int]
    stride: int
    dtype: str
    methods: tuple[str, ...]
    # In milliseconds, forward and backward, as the document writes them.
    figures: dict[str, str] = field(default_factory=dict)
    does: str = ""


LAYERS = {
    "000": Layer(
        (1, 3, 28, 28), (6, 3, 3, 3), 1, "float64",
        ("loops", "Toeplitz, dense", "Toeplitz, sparse", "im2col, strided view"),
        does="convolution as one Toeplitz matrix (it has no figures)",
    ),
    "001": Layer(
        (1, 1, 28, 28), (6, 1, 3, 3), 1, "float32",
        ("full convolution", "scattering", "im2col, strided view"),
        {
            "full convolution": "- / 4.23 (v1), 3.21 (v2)",
            "scattering": "- / 0.317 (v3), 0.316 (v4), 0.130 (v5), 0.131 (v6)",
        },
        does="six direct backward passes, in Julia",
    ),
    "002": Layer(
        (16, 1, 28, 28), (6, 1, 5, 5), 1, "float64",
        ("loops", "im2col, window by window", "im2col, strided view"),
        {"loops": "484 / 132", "im2col, window by window": "28.4 / 66.2", "im2col, strided view": "3.63 / 19.6"},
        does="three layers in NumPy",
    ),
    "003": Layer(
        (1, 3, 227, 227), (96, 3, 11, 11), 4, "float64",
        ("loops", "im2col, window by window", "im2col, strided view"),
        {"im2col, window by window": '"200x or more" over loops'},
        does="im2col explained, on AlexNet's first layer",
    ),
    "004": Layer(
        (32, 32, 128, 128), (64, 32, 3, 3), 1, "float64",
        ("patches and matmul", "im2col, strided view"),
        {"patches and matmul": "2532 / -"},
        does="patches and matmul (beside it, PyTorch in float32: 690 forward)",
    ),
}  # fmt: skip


def median(seconds: float, work: Callable[..., Any], prepare: Callable[[], Any] | None = None) -> float:
    """Milliseconds of `work`, which has run before: again and again for so many seconds, at least once."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while True:
        given = () if prepare is None else (prepare(),)
        start = time.perf_counter()
        work(*given)
        now = time.perf_counter()
        times.append(now - start)
        if now > end:
            return statistics.median(times) * 1e3


def arrays(layer: Layer, dtype: str) -> tuple[Array, Array, Array]:
    """x, weight and the gradient of the output."""
    generator = np.random.default_rng(0)
    N, _, H, W = layer.input
    positions = [(n - k) // layer.stride + 1 for n, k in zip((H, W), layer.weight[2:], strict=True)]
    shapes = layer.input, layer.weight, (N, layer.weight[0], *positions)
    x, weight, dy = (generator.normal(size=shape).astype(dtype) for shape in shapes)
    return x, weight, dy


def ours(layer: Layer, dtype: str, algorithm: str) -> tuple[Callable[[], Any], Callable[[], Any], Callable[[Any], Any]]:
    """minidl's forward, forward to be followed by backward, and backward."""
    x, weight, dy = (minidl.Tensor(array) for array in arrays(layer, dtype))

    def forward() -> Any:
        with minidl.no_grad():
            return F.conv2d(x, weight, stride=layer.stride, algorithm=algorithm)

    def recorded() -> Any:
        x.requires_grad = weight.requires_grad = True
        x.grad = weight.grad = None
        return F.conv2d(x, weight, stride=layer.stride, algorithm=algorithm)

    def backward(y: Any) -> tuple[Array, Array]:
        y.backward(dy)
        return x.grad.numpy(), weight.grad.numpy()

    return forward, recorded, backward


def check(name: str, values: tuple[Array, ...], wanted: tuple[Array, ...]) -> None:
    """Stop if a method computes something else."""
    for what, value, right in zip(("y", "dx", "dweight"), values, wanted, strict=True):
        tolerance = 1e-9 if value.dtype == np.float64 else 1e-4
        error = np.abs(value - right).max() / np.abs(right).max()
        if error > tolerance:
            sys.exit(f"{name}: {what} is off by {error:.1e} of its largest value")


def measure(layer: Layer, seconds: float) -> None:
    """Print one document's table."""
    print("| method | dtype | forward, ms | backward, ms | the document's, forward / backward, ms |")
    print("| --- | --- | ---: | ---: | --- |")

    def row(name: str, dtype: str, *times: float) -> None:
        cells = [f"{t:.3g}" if t < 1000 else f"{t:.0f}" for t in times]
        print(f"| {name} | {dtype} | {cells[0]} | {cells[1]} | {layer.figures.get(name, '')} |", flush=True)

    forward, recorded, backward = ours(layer, "float64", "im2col")
    wanted = (forward().numpy(), *backward(recorded()))
    for name in (*layer.methods, "FFT"):
        x, weight, dy = arrays(layer, layer.dtype)
        method = METHODS[name]
        check(name, (method.forward(x, weight, layer.stride), *method.backward(x, weight, dy, layer.stride)), wanted)
        there = median(seconds, partial(method.forward, x, weight, layer.stride))
        back = median(seconds, partial(method.backward, x, weight, dy, layer.stride))
        row(name, layer.dtype, there, back)
    for dtype in dict.fromkeys((layer.dtype, "float32")):
        for algorithm in ALGORITHMS:
            try:
                forward, recorded, backward = ours(layer, dtype, algorithm)
                values = forward().numpy(), *backward(recorded())
            except minidl.errors.ArgumentError:
                # It does not apply to this layer.
                continue
            check(algorithm, values, wanted)
            row(f'minidl, "{algorithm}"', dtype, median(seconds, forward), median(seconds, backward, recorded))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", nargs="*", default=list(LAYERS), help="which of them (default: all)")
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each figure")
    options = parser.parse_args()
    facts = config()
    print(f"{machine()}; NumPy {np.__version__}; minidl {minidl.__version__}:", end=" ")
    print(", ".join(f"{key} {facts[key]}" for key in ("threads", "instruction set", "blas core")))
    for document in options.documents:
        layer = LAYERS[document]
        F_, C, KH, KW = layer.weight
        size = " x ".join(map(str, layer.input))
        print(f"\n**{document}**: {layer.does}; {size}, {F_} of {C} x {KH} x {KW}, stride {layer.stride}\n")
        measure(layer, options.seconds)


if __name__ == "__main__":
    main()
