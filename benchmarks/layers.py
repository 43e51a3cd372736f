"""Convolutions of many shapes: forward, input gradient and weight gradient, each timed alone, ours and PyTorch's.

    python benchmarks/layers.py [--only 'LeNet|004'] [--rounds 5] [--seconds 0.05] [--quick]

Through the layers of both, as models call them: forward is `nn.Conv2d` with a bias, recorded; a gradient is `grad` of
the recorded output with respect to the input or the weight alone, the graph retained. One process a library and number
of threads serves all shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import report
import training
from cases import Options, main
from harness import Bench, Side
from layer_shapes import DIRECTIONS, GRID, Layer

TITLE = "Convolutions"
SIDES = [("minidl", 2), ("torch", 1), ("torch", 2)]
LAYERS = {layer.name: layer for layer in GRID}
# A grid has so many shapes that each gets less time than a case of its own.
ROUNDS, SECONDS = 5, 0.05
# Numbers after which the arrays repeat themselves; no size of theirs is a multiple.
BLOCK = 65_537


def arrays(layer: Layer) -> dict[str, np.ndarray]:
    """Input, weight, bias, and a gradient of the output."""
    # Drawing 100 million numbers would take longer than the measurement.
    block = np.random.default_rng(0).standard_normal(BLOCK, np.float32)
    return {name: np.resize(block, shape) for name, shape in layer.shapes.items()}


def _served(layer: Layer, facts: dict[str, Any], works: dict[str, Callable[[], Any]], to_array: Any) -> Any:
    results = {}
    for name, work in works.items():
        flat = to_array(work()).reshape(-1)
        results[name] = float(np.abs(flat[:: max(1, flat.size // 4096)]).mean())
    return works, facts | {"results": results}


def _layer(shape: Layer, tensor: Callable[..., Any], nn: Any) -> tuple[Any, Any, Any, Any]:
    """The input, the output's gradient, the weight and the layer of a library."""
    x, weight, bias, slope = arrays(shape).values()
    layer = nn.Conv2d(
        shape.channels, shape.filters, shape.kernel, shape.stride, shape.padding, groups=shape.groups
    )  # fmt: skip
    layer.weight, layer.bias = nn.Parameter(tensor(weight)), nn.Parameter(tensor(bias))
    return tensor(x, requires_grad=True), tensor(slope), layer.weight, layer


def minidl(threads: int, layer: str) -> Any:
    """The three directions in minidl."""
    facts = training.minidl_facts(threads)
    import minidl
    from minidl import nn

    shape = LAYERS[layer]
    x, slope, weight, convolve = _layer(shape, minidl.tensor, nn)

    def forward() -> Any:
        return convolve(x)

    output = forward()
    works = {
        "forward": forward,
        "input gradient": lambda: minidl.grad(output, x, slope, retain_graph=True)[0],
        "weight gradient": lambda: minidl.grad(output, weight, slope, retain_graph=True)[0],
    }
    return _served(shape, facts, works, lambda tensor: tensor.data)


def torch(threads: int, layer: str) -> Any:
    """The three directions in PyTorch."""
    facts = training.torch_facts(threads)
    import torch

    shape = LAYERS[layer]
    x, slope, weight, convolve = _layer(shape, torch.tensor, torch.nn)

    def forward() -> Any:
        return convolve(x)

    output = forward()
    works = {
        "forward": forward,
        "input gradient": lambda: torch.autograd.grad(output, x, slope, retain_graph=True)[0],
        "weight gradient": lambda: torch.autograd.grad(output, weight, slope, retain_graph=True)[0],
    }
    return _served(shape, facts, works, lambda tensor: tensor.detach().numpy())


def compare(
    layers: Sequence[Layer], sides: list[Side], options: Options, environment: dict[str, str]
) -> list[report.Comparison]:
    """Time all directions of the layers that were asked for."""
    turns = options.turns(ROUNDS, SECONDS)
    found = []
    with Bench("layers", sides, environment) as bench:
        for layer in layers:
            if not options.wants(f"{layer.name} ({layer.family})"):
                continue
            bench.prepare(layer=layer.name)
            for direction in DIRECTIONS:
                about = {"family": layer.family, "direction": direction}
                found.append(bench.compare(layer.name, direction, *turns, drop=True, **about))
    return found


def measure(options: Options, environment: dict[str, str]) -> list[report.Comparison]:
    """The whole grid."""
    return compare(GRID, SIDES, options, environment)


def show(comparisons: list[report.Comparison], memory: dict[str, dict[str, float]] | None = None) -> str:
    """Tables by layer and by family, and what is slower than the peer."""
    return "\n\n".join(
        [
            f"Geometric means of the peer's time over ours:\n\n{report.families(comparisons)}",
            f"Slower than the peer by more than the spread:\n\n{report.slower(comparisons)}",
            f"{report.grid(comparisons, memory)}",
        ]
    )


if __name__ == "__main__":
    main(TITLE, measure, __doc__, show)
