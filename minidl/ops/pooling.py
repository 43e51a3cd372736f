"""Max and mean pooling. Both are linear once the maxima are chosen, so their gradients are transposes."""

from __future__ import annotations

import numpy as np

from minidl import kernels
from minidl.autograd import Op
from minidl.geometry import Window


class MaxPool2d(Op):
    """The maximum over each window; its gradient goes to the first maximum alone."""

    owns_gradients = True

    def __init__(self, window: Window) -> None:
        self.window = window

    def forward(self, x):
        y, self.positions = kernels.max_pool2d(x, self.window)
        return y

    def backward(self, grad):
        return ScatterPositions(self.positions, self.window.input_size)(grad)

    def backward_arrays(self, grad):
        return kernels.scatter_positions(grad, self.positions, self.window.input_size)


class ScatterPositions(Op):
    """Zeros of a size, with values added at flat positions of each plane."""

    owns_gradients = True

    def __init__(self, positions: np.ndarray, size: tuple[int, int]) -> None:
        self.positions, self.size = positions, size

    def forward(self, values):
        return kernels.scatter_positions(values, self.positions, self.size)

    def backward(self, grad):
        return GatherPositions(self.positions, self.size)(grad)


class GatherPositions(Op):
    """The values at flat positions of each plane: the transpose of ScatterPositions."""

    owns_gradients = True

    def __init__(self, positions: np.ndarray, size: tuple[int, int]) -> None:
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
