"""Convolution, ReLU and max pooling as one operation, for where nobody looks at what lies between."""

from __future__ import annotations

from minidl import kernels
from minidl.autograd import Op
from minidl.backward import grad as gradients
from minidl.geometry import sliding_window
from minidl.kernels import Stage, stack_plan
from minidl.ops.activation import ReLU
from minidl.ops.conv import Conv2d
from minidl.ops.pooling import MaxPool2d
from minidl.ops.shapes import Reshape


class ConvStack(Op):
    """Stages one after the other; inputs are the images, then a weight and a bias (or None) for each stage."""

    owns_gradients = True

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        self.plan = stack_plan(stages)

    def forward(self, x, *parameters):
        self.save(x, *parameters)
        y, self.images, self.index = kernels.conv_stack(
            x, parameters[0::2], parameters[1::2], self.plan, bool(self.needs)
        )
        return y

    def one_by_one(self, x, *parameters):
        """The same as separate operations."""
        for i, stage in enumerate(self.plan.stages):
            x = Conv2d(stage.window, 1)(x, parameters[2 * i], parameters[2 * i + 1])
            if stage.relu:
                x = ReLU()(x)
            if stage.pool != (1, 1):
                x = MaxPool2d(sliding_window("max_pool2d", stage.window.output_size, stage.pool, stage.pool))(x)
        return x

    def backward(self, grad):
        # Views of their own: what comes before an input may well use another one.
        own = [None if t is None else Reshape(t.data.shape)(t) for t in self.saved]
        wanted = [t for t, need in zip(own, self.needs, strict=True) if need]
        found = iter(gradients(self.one_by_one(*own), wanted, grad, create_graph=True))
        return tuple(next(found) if need else None for need in self.needs)

    def backward_arrays(self, grad):
        x, *parameters = self.saved_arrays()
        image, weights, biases = kernels.conv_stack_gradients(
            grad, parameters[0::2], self.plan, self.images, self.index, self.needs[0]
        )
        of_parameters = [g for pair in zip(weights, biases, strict=True) for g in pair]
        return (image, *(g if need else None for g, need in zip(of_parameters, self.needs[1:], strict=True)))

    def free(self):
        super().free()
        self.images = self.index = None
