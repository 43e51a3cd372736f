"""A training step of LeNet-5 (Adam, cross-entropy, float32): forward, backward, update.

python benchmarks/lenet_step.py [--only 64] [--rounds 10] [--quick]
"""

from __future__ import annotations

from typing import Any

import networks
import training
from cases import Options, main, measure_cases

TITLE = "LeNet-5 training step"
BATCH_SIZES = (32, 64, 256)
SIDES = [("minidl", 2)] + [(name, n) for name in ("torch", "torch_compile", "jax") for n in (1, 2)]


def _arguments(batch_size: int) -> dict[str, Any]:
    arrays = networks.images(batch_size), networks.digits(batch_size)
    return {"shapes": networks.LENET, "arrays": arrays, "loss": "CrossEntropyLoss"}


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
    """All batch sizes."""
    cases = {f"batch {size}": {"batch_size": size} for size in BATCH_SIZES}
    return measure_cases("lenet_step", "step", SIDES, cases, options, environment)


if __name__ == "__main__":
    main(TITLE, measure, __doc__)
