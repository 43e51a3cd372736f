"""Networks drawn at random, of the layers that `Sequential` may compute together and of some between which it may not.

Sizes are drawn around the kernels' blocks (16 samples, 16 filters), and small ones often: a size of 1 and an image that
a window just covers are where buffers and steps go wrong.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minidl import nn

CHANNELS = (1, 1, 2, 3, 5, 8, 15, 16, 17, 24, 32, 33)
FEATURES = (1, 2, 5, 10, 15, 16, 17, 33, 64)
IMAGES = (1, 2, 3, 5, 7, 8, 11, 13, 14, 16, 17)
KERNELS = (1, 1, 2, 3, 3, 3, 5, 5, 7)
# Numbers of pixels times channels, beyond which a network would take long for nothing.
LARGEST = 6000
BATCHES = (0, *range(1, 34))


class Network(NamedTuple):
    """A batch's shape without its first axis, and layers as their names and arguments, which PyTorch has alike."""

    shape: tuple[int, ...]
    layers: tuple[tuple[str, dict[str, Any]], ...]

    def build(self, library: Any) -> Any:
        """The network in `minidl.nn` or `torch.nn`."""
        return library.Sequential(*[getattr(library, name)(**arguments) for name, arguments in self.layers])

    def __str__(self) -> str:
        layers = (f"{name}({', '.join(f'{k}={v}' for k, v in how.items())})" for name, how in self.layers)
        return f"{self.shape}: {', '.join(layers)}"


def _pick(rng: np.random.Generator, options: tuple[int, ...]) -> int:
    return int(options[rng.integers(len(options))])


def _pair(rng: np.random.Generator, options: tuple[int, ...]) -> tuple[int, int]:
    first = _pick(rng, options)
    return (first, first) if rng.random() < 0.6 else (first, _pick(rng, options))


def _convolution(rng: np.random.Generator, channels: int, size: tuple[int, int]) -> dict[str, Any] | None:
    """Arguments of a convolution that fits, or None if the draw does not."""
    kernel, filters = _pair(rng, KERNELS), _pick(rng, CHANNELS)
    stride = (1, 1) if rng.random() < 0.7 else _pair(rng, (1, 2, 3))
    padding = (0, 0) if rng.random() < 0.4 else _pair(rng, (0, 1, 2, 3))
    dilation = (1, 1) if rng.random() < 0.85 else _pair(rng, (1, 2))
    if any(n + 2 * p < d * (k - 1) + 1 for n, p, d, k in zip(size, padding, dilation, kernel, strict=True)):
        return None
    groups = channels if rng.random() < 0.05 else 1
    return {
        "in_channels": channels, "out_channels": filters * groups if groups > 1 else filters, "kernel_size": kernel,
        "stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": bool(rng.random() < 0.8),
    }  # fmt: skip


def _after(size: tuple[int, int], how: dict[str, Any]) -> tuple[int, int]:
    dilation = how.get("dilation", (1, 1))
    rows, columns = (
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(size, how["padding"], dilation, how["kernel_size"], how["stride"], strict=True)
    )
    return rows, columns


def _pooling(rng: np.random.Generator, size: tuple[int, int]) -> tuple[str, dict[str, Any]] | None:
    kernel = _pair(rng, (1, 2, 2, 3))
    if any(k > n for k, n in zip(kernel, size, strict=True)):
        return None
    plain = rng.random() < 0.85
    how: dict[str, Any] = {"kernel_size": kernel, "stride": kernel, "padding": (0, 0)}
    if not plain:
        how |= {"stride": _pair(rng, (1, 2)), "padding": (min(kernel) // 2,) * 2}
    return ("MaxPool2d" if rng.random() < 0.9 else "AvgPool2d"), how


def draw_network(rng: np.random.Generator) -> Network:
    """A network of up to 5 convolutions and up to 4 dense layers, with an output of at least one number."""
    layers: list[tuple[str, dict[str, Any]]] = []
    if rng.random() < 0.15:
        features = _pick(rng, FEATURES)
        shape: tuple[int, ...] = (features,)
    else:
        channels, size = _pick(rng, CHANNELS), _pair(rng, IMAGES)
        shape = channels, *size
        for _ in range(int(rng.integers(0, 6))):
            how = _convolution(rng, channels, size)
            after = None if how is None else _after(size, how)
            if how is None or after is None or how["out_channels"] * after[0] * after[1] > LARGEST:
                continue
            layers.append(("Conv2d", how))
            channels, size = how["out_channels"], after
            if rng.random() < 0.75:
                layers.append(("ReLU" if rng.random() < 0.85 else "Tanh", {}))
            if rng.random() < 0.4:
                pooling = _pooling(rng, size)
                if pooling is not None:
                    layers.append(pooling)
                    size = _after(size, pooling[1])
        features = channels * size[0] * size[1]
        if rng.random() < 0.6 or not layers:
            layers.append(("Flatten", {}))
    if not layers or layers[-1][0] == "Flatten":
        for _ in range(int(rng.integers(not layers, 5))):
            outputs = _pick(rng, FEATURES)
            layers.append(("Linear", {"in_features": features, "out_features": outputs, "bias": rng.random() < 0.8}))
            features = outputs
            activation = ("ReLU", "Tanh", "Sigmoid", None)[rng.integers(4)]
            if activation is not None:
                layers.append((activation, {}))
    return Network(shape, tuple(layers))


def apart(network: nn.Sequential) -> nn.Sequential:
    """The same modules, watched, so that they run one by one."""
    for layer in network.children():
        layer.register_forward_hook(lambda module, arguments, result: None)
    return network
