"""LeNet-5 and a small multilayer perceptron in every library, from the same weights (drawn by NumPy)."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

LENET = [(6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (120, 400), (120,), (84, 120), (84,), (10, 84), (10,)]
MLP = [(64, 8), (64,), (64, 64), (64,), (4, 64), (4,)]


def weights(shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """Weights as large as their inputs' number asks for, and small biases."""
    generator = np.random.default_rng(1)
    scales = [(2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.01 for shape in shapes]
    return [generator.normal(0, s, shape).astype(np.float32) for s, shape in zip(scales, shapes, strict=True)]


def images(batch_size: int) -> np.ndarray:
    """A batch in the form of MNIST's."""
    return np.random.default_rng(0).normal(size=(batch_size, 1, 28, 28)).astype(np.float32)


def digits(batch_size: int) -> np.ndarray:
    """Labels for a batch."""
    return np.random.default_rng(2).integers(0, 10, batch_size)


def minidl_model(shapes: list[tuple[int, ...]]) -> Any:
    """The model of these weights in minidl."""
    from minidl import nn

    if shapes is LENET:
        model = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Dense(400, 120), nn.ReLU(), nn.Dense(120, 84), nn.ReLU(), nn.Dense(84, 10),
        )  # fmt: skip
    else:
        model = nn.Sequential(nn.Dense(8, 64), nn.Tanh(), nn.Dense(64, 64), nn.Tanh(), nn.Dense(64, 4))
    for parameter, value in zip(model.parameters(), weights(shapes), strict=True):
        parameter.data[...] = value
    return model


def torch_model(shapes: list[tuple[int, ...]]) -> Any:
    """The model of these weights in PyTorch."""
    import torch
    from torch import nn

    if shapes is LENET:
        model = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )  # fmt: skip
    else:
        model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4))
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), weights(shapes), strict=True):
            parameter.copy_(torch.from_numpy(value))
    return model


def import_jax(threads: int) -> Any:
    """JAX with this many threads (XLA's CPU client reads it from its environment when it starts)."""
    # Told 2 it keeps one core busy (0.10.2), counting two cores itself both: as many as there are it is not told.
    if threads < len(os.sched_getaffinity(0)):
        os.environ["PJRT_NPROC"] = str(threads)
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    return jax


def jax_lenet(parameters: list[Any], x: Any) -> Any:
    """LeNet's logits in plain JAX."""
    import jax.numpy as jnp
    from jax import lax, nn

    kernel1, bias1, kernel2, bias2, *dense = parameters
    for kernel, bias, margin in ((kernel1, bias1, 2), (kernel2, bias2, 0)):
        pads = [(margin, margin)] * 2
        x = lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=("NCHW", "OIHW", "NCHW"))
        x = nn.relu(x + bias[:, None, None])
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    return _jax_dense(dense, x.reshape(x.shape[0], -1), nn.relu)


def jax_mlp(parameters: list[Any], x: Any) -> Any:
    """The perceptron's outputs in plain JAX."""
    import jax.numpy as jnp

    return _jax_dense(parameters, x, jnp.tanh)


def _jax_dense(parameters: list[Any], x: Any, activation: Any) -> Any:
    *hidden, weight, bias = parameters
    for hidden_weight, hidden_bias in zip(hidden[::2], hidden[1::2], strict=True):
        x = activation(x @ hidden_weight.T + hidden_bias)
    return x @ weight.T + bias


def onnx_lenet() -> bytes:
    """LeNet as an ONNX model."""
    from onnx import TensorProto, helper, numpy_helper

    names = [f"{kind}{layer}" for layer in range(1, 6) for kind in ("weight", "bias")]
    values = [numpy_helper.from_array(v, name) for v, name in zip(weights(LENET), names, strict=True)]
    nodes, at = [], "images"

    def add(kind: str, *extra: str, **attributes: Any) -> None:
        nonlocal at
        result = "logits" if extra == ("weight5", "bias5") else f"value{len(nodes)}"
        nodes.append(helper.make_node(kind, [at, *extra], [result], **attributes))
        at = result

    for layer, margin in ((1, 2), (2, 0)):
        add("Conv", f"weight{layer}", f"bias{layer}", pads=[margin] * 4)
        add("Relu")
        add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    add("Flatten")
    for layer in (3, 4, 5):
        add("Gemm", f"weight{layer}", f"bias{layer}", transB=1)
        if layer < 5:
            add("Relu")
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "lenet",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 1, 28, 28])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
            values,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    return model.SerializeToString()
