"""A training step of a small perceptron (8-64-64-4, tanh, Adam, mean squared error, float32).

python benchmarks/mlp_step.py [--rounds 10] [--quick]
"""

from __future__ import annotations

from typing import Any

import networks
import numpy as np
import training
from cases import Options, main, measure_cases

TITLE = "MLP (8-64-64-4) training step"
SIDES = [("minidl", 2)] + [(name, n) for name in ("torch", "torch_compile", "jax") for n in (1, 2)]


def _arguments(batch_size: int) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    inputs, targets = (generator.normal(size=(batch_size, width)).astype(np.float32) for width in (8, 4))
    return {"shapes": networks.MLP, "arrays": (inputs, targets), "loss": "MSELoss"}


def minidl(threads: int, batch_size: int) -> Any:
    """The step in minidl."""
    return training.minidl(threads, **_arguments(batch_size))


def torch(threads: int, batch_size: int) -> Any:
    """The step in PyTorch eager."""
    return training.torch(threads, **_arguments(batch_size))


def torch_compile(threads: int, batch_size: int) -> Any:
    """The step with model and loss compiled by PyTorch."""
    return training.torch(threads, **_arguments(batch_size), compile=True)


def jax(threads: int, batch_size: int) -> Any:
    """The step compiled by JAX."""
    return training.jax(threads, **_arguments(batch_size))


def measure(options: Options, environment: dict[str, str]) -> list[Any]:
    """The one batch size."""
    return measure_cases("mlp_step", "step", SIDES, {"batch 32": {"batch_size": 32}}, options, environment)


if __name__ == "__main__":
    main(TITLE, measure, __doc__)
