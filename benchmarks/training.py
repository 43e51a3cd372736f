"""A training step with Adam (forward, backward, update) in every library."""

from __future__ import annotations

import re
from typing import Any

import networks
import numpy as np

# Steps before the loss is compared: enough to run through every gradient and the optimiser's state.
STEPS = 4
LR = 1e-3

Arrays = tuple[np.ndarray, np.ndarray]


def minidl_facts(threads: int) -> dict[str, Any]:
    """Set minidl's threads, and say what it runs on."""
    import minidl
    from minidl.config import config

    minidl.set_num_threads(threads)
    facts = config()
    names = {"version": "minidl", "instruction set": "instruction set", "BLAS core": "blas core"}
    return {key: facts[name] for key, name in names.items()}


def torch_facts(threads: int) -> dict[str, Any]:
    """Set PyTorch's threads, and say what it runs on."""
    import torch

    torch.set_num_threads(threads)
    blas = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    return {
        "version": torch.__version__, "instruction set": torch.backends.cpu.get_cpu_capability(),
        "BLAS": blas[1] if blas else "unknown",
    }  # fmt: skip


def minidl(threads: int, shapes: list[tuple[int, ...]], arrays: Arrays, loss: str) -> Any:
    """The step in minidl, through its public API."""
    facts = minidl_facts(threads)
    import minidl
    from minidl import nn

    model = networks.minidl_model(shapes)
    loss_of, optimizer = getattr(nn, loss)(), minidl.optim.Adam(model.parameters(), lr=LR)
    inputs, targets = (minidl.Tensor(array) for array in arrays)

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of(model(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss

    return _served(step, facts)


def torch(threads: int, shapes: list[tuple[int, ...]], arrays: Arrays, loss: str, compile: bool = False) -> Any:
    """The step in PyTorch with its fused Adam; `compile` compiles model and loss together, both directions."""
    facts = torch_facts(threads)
    import torch
    from torch import nn

    model = networks.torch_model(shapes)
    criterion, optimizer = getattr(nn, loss)(), torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    inputs, targets = (torch.from_numpy(array) for array in arrays)

    def loss_of(inputs: Any, targets: Any) -> Any:
        return criterion(model(inputs), targets)

    if compile:
        torch._dynamo.reset()
        loss_of = torch.compile(loss_of)

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of(inputs, targets)
        loss.backward()
        optimizer.step()
        return loss

    return _served(step, facts)


def jax(threads: int, shapes: list[tuple[int, ...]], arrays: Arrays, loss: str) -> Any:
    """The step in JAX: one jitted function, which may overwrite parameters and moments."""
    jax = networks.import_jax(threads)
    import jax.numpy as jnp

    model = networks.jax_lenet if shapes is networks.LENET else networks.jax_mlp

    def loss_of(parameters: Any, inputs: Any, targets: Any) -> Any:
        outputs = model(parameters, inputs)
        if loss == "MSELoss":
            return jnp.mean((outputs - targets) ** 2)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(outputs), targets[:, None], axis=1))

    def update(state: Any, inputs: Any, targets: Any) -> Any:
        parameters, means, squares, count = state
        value, grads = jax.value_and_grad(loss_of)(parameters, inputs, targets)
        count = count + 1
        means = [0.9 * m + 0.1 * g for m, g in zip(means, grads, strict=True)]
        squares = [0.999 * s + 0.001 * g * g for s, g in zip(squares, grads, strict=True)]
        rate, unbias = LR / (1 - 0.9**count), 1 / (1 - 0.999**count)
        parameters = [
            p - rate * m / (jnp.sqrt(s * unbias) + 1e-8) for p, m, s in zip(parameters, means, squares, strict=True)
        ]
        return (parameters, means, squares, count), value

    update = jax.jit(update, donate_argnums=0)
    parameters = [jnp.array(value) for value in networks.weights(shapes)]
    zeros = [[jnp.zeros_like(value) for value in parameters] for _ in range(2)]
    state = (parameters, *zeros, jnp.zeros((), jnp.float32))
    inputs, targets = jnp.array(arrays[0]), jnp.array(arrays[1])

    def step() -> Any:
        nonlocal state
        state, value = update(state, inputs, targets)
        jax.block_until_ready(state)
        return value

    return _served(step, {"version": jax.__version__})


def _served(step: Any, facts: dict[str, Any]) -> Any:
    losses = [step().item() for _ in range(STEPS)]
    return {"step": step}, facts | {"results": {"step": losses[-1]}}
