"""Max and mean pooling. Both are linear once the maxima are chosen, so their gradients are transposes."""

from __future__ import annotations

import numpy as np

from minidl import kernels
from minidl.autograd import Op
from minidl.geometry import Pair, Window


class _Maxima(Op):
    """The maxima of windows, and their flat positions in each plane; the gradient goes there alone."""

    owns_gradients = True

    def choose(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the maxima and their positions."""
        raise NotImplementedError

    def forward(self, x):
        self.size = x.shape[2:]
        y, self.positions = self.choose(x)
        return y

    def backward(self, grad):
        return ScatterPositions(self.positions, self.size)(grad)

    def backward_arrays(self, grad):
        return kernels.scatter_positions(grad, self.positions, self.size)


class MaxPool2d(_Maxima):
    """The maximum over each place of a sliding window, the first of equal ones."""

    def __init__(self, window: Window) -> None:
        self.window = window

    def choose(self, x):
        return kernels.max_pool2d(x, self.window)


class AdaptiveMaxPool2d(_Maxima):
    """The maximum over each of output_size windows that share the image out."""

    def __init__(self, output_size: Pair) -> None:
        self.output_size = output_size

    def choose(self, x):
        return kernels.adaptive_max_pool2d(x, self.output_size)


class ScatterPositions(Op):
    """Zeros of a size, with values added at flat positions of each plane."""

    owns_gradients = True

    def __init__(self, positions: np.ndarray, size: Pair) -> None:
        self.positions, self.size = positions, size

    def forward(self, values):
        return kernels.scatter_positions(values, self.positions, self.size)

    def backward(self, grad):
        return GatherPositions(self.positions, self.size)(grad)


class GatherPositions(Op):
    """The values at flat positions of each plane: the transpose of ScatterPositions."""

    owns_gradients = True

    def __init__(self, positions: np.ndarray, size: Pair) -> None:
        self.positions, self.size = positions, size

    def forward(self, x):
        return kernels.gather_positions(x, self.positions)

    def backward(self, grad):
        return ScatterPositions(self.positions, self.size)(grad)


class AvgPool2d(Op):
    """The sum over each window times scale (OH, OW), one over the number of terms."""

    owns_gradients = True

    def __init__(self, window: Window, scale: np.ndarray) -> None:
        self.window, self.scale = window, scale

    def forward(self, x):
        return kernels.avg_pool2d(x, self.window, self.scale)

    def backward(self, grad):
        return AvgPool2dGradient(self.window, self.scale)(grad)


class AvgPool2dGradient(Op):
    """The transpose of AvgPool2d."""

    owns_gradients = True

    def __init__(self, window: Window, scale: np.ndarray) -> None:
        self.window, self.scale = window, scale

    def forward(self, grad):
        return kernels.avg_pool2d_gradient(grad, self.window, self.scale)

    def backward(self, grad):
        return AvgPool2d(self.window, self.scale)(grad)


class AdaptiveAvgPool2d(Op):
    """The mean over each of output_size windows that share the image out."""

    owns_gradients = True

    def __init__(self, output_size: Pair) -> None:
        self.output_size = output_size

    def forward(self, x):
        self.input_size = x.shape[2:]
        return kernels.adaptive_avg_pool2d(x, self.output_size)

    def backward(self, grad):
        return AdaptiveAvgPool2dGradient(self.input_size)(grad)


class AdaptiveAvgPool2dGradient(Op):
    """The transpose of AdaptiveAvgPool2d, for images of input_size."""

    owns_gradients = True

    def __init__(self, input_size: Pair) -> None:
        self.input_size = input_size

    def forward(self, grad):
        self.output_size = grad.shape[2:]
        return kernels.adaptive_avg_pool2d_gradient(grad, self.input_size)

    def backward(self, grad):
        return AdaptiveAvgPool2d(self.output_size)(grad)
