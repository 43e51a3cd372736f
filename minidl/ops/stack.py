"""Several layers as one operation, for where nobody looks at what lies between."""

from __future__ import annotations

from math import prod
from typing import Any

from minidl import kernels
from minidl.autograd import Op
from minidl.backward import grad as gradients
from minidl.errors import GraphError
from minidl.geometry import sliding_window
from minidl.kernels import LANES, DensePlan, StackPlan
from minidl.ops.activation import ReLU, Sigmoid, Tanh
from minidl.ops.conv import Conv2d
from minidl.ops.matmul import Linear
from minidl.ops.pooling import MaxPool2d
from minidl.ops.shapes import Reshape


class Stack(Op):
    """Layers one after the other; inputs are the first one's, then a weight and a bias (or None) for each layer."""

    owns_gradients = True
    # The kernels measure what they are given themselves; there may be many arrays.
    checks_saved = False
    plan: Any
    # The kernels keep this for the gradients; it is freed together with what was saved, which backward reads first.
    state: Any = None

    def one_by_one(self, x, *parameters):
        """Compute it as separate operations."""
        raise NotImplementedError

    def input_shape(self, samples, x):
        """Give the shape that x had, which is so many samples."""
        raise NotImplementedError

    def stack_gradients(self, grad, x, weights, biases, state):
        """That of x (or None), and those of each weight and bias in turn, with what the kernels kept."""
        raise NotImplementedError

    def backward(self, grad):
        x, *parameters = self.saved
        shapes = [self.input_shape(len(grad._data), x), *[shape for _, shape in self.plan.gradients]]
        for t, shape in zip((x, *parameters), shapes, strict=True):
            if t is not None and (t._data.shape != shape or t._data.dtype != grad._data.dtype):
                raise GraphError(
                    f"{self.name}: a value saved for the backward pass was {grad._data.dtype} of shape {shape}, and "
                    f"has been made {t._data.dtype} of shape {t._data.shape} in place; clone() it first"
                )
        # Views of their own: what comes before an input may well use another one.
        own = [None if t is None else Reshape(t._data.shape)(t) for t in (x, *parameters)]
        wanted = [t for t, need in zip(own, self.needs, strict=True) if need]
        found = iter(gradients(self.one_by_one(*own), wanted, grad, create_graph=True))
        return tuple(next(found) if need else None for need in self.needs)

    def free(self):
        super().free()
        self.state = None

    def backward_arrays(self, grad):
        x, *parameters = self.saved_arrays()
        # Read once, since a pass in another thread may free it; the kernels would not look.
        state = self.state
        if state is None and len(grad):
            raise self.freed()
        try:
            grad_x, grad_parameters = self.stack_gradients(grad, x, parameters[0::2], parameters[1::2], state)
        except ValueError as error:
            raise GraphError(
                f"{self.name}: a value saved for the backward pass was resized in place; clone() it first ({error})"
            ) from None
        return (grad_x, *[g if need else None for g, need in zip(grad_parameters, self.needs[1:], strict=True)])


class ConvStack(Stack):
    """Convolution, ReLU and max pooling, several times."""

    def __init__(self, plan: StackPlan) -> None:
        self.plan = plan

    def forward(self, x, *parameters):
        if not self.needs and len(x) < LANES // 2:
            return kernels.conv_stack_samples(x, parameters[0::2], parameters[1::2], self.plan)
        self.save(x, *parameters)
        y, self.state = kernels.conv_stack(x, parameters[0::2], parameters[1::2], self.plan, bool(self.needs))
        return y

    def one_by_one(self, x, *parameters):
        for i, stage in enumerate(self.plan.stages):
            plans = kernels.conv_plans(
                x.data.shape[0], stage.channels, stage.filters, 1, stage.window, x.data.dtype,
                precision=self.plan.precision,
            )  # fmt: skip
            x = Conv2d(plans)(x, parameters[2 * i], parameters[2 * i + 1])
            if stage.relu:
                x = ReLU()(x)
            if stage.pool != (1, 1):
                x = MaxPool2d(sliding_window("max_pool2d", stage.window.output_size, stage.pool, stage.pool))(x)
        return x

    def input_shape(self, samples, x):
        first = self.plan.stages[0]
        return (samples, first.channels, *first.window.input_size)

    def stack_gradients(self, grad, x, weights, biases, state):
        return kernels.conv_stack_gradients(grad, weights, self.plan, state, self.needs[0])


_ACTIVATIONS = {"relu": ReLU, "tanh": Tanh, "sigmoid": Sigmoid}


class DenseStack(Stack):
    """Affine maps and activations, several times; all dimensions of x but the first are one to them."""

    def __init__(self, plan: DensePlan) -> None:
        self.plan = plan

    def forward(self, x, *parameters):
        self.save(x, *parameters)
        y, self.state = kernels.dense_stack(
            x.reshape(x.shape[0], self.plan.sizes[0]), parameters[0::2], parameters[1::2], self.plan, bool(self.needs)
        )
        return y

    def one_by_one(self, x, *parameters):
        if x.data.ndim > 2:
            x = Reshape((x.data.shape[0], prod(x.data.shape[1:])))(x)
        for i, activation in enumerate(self.plan.activations):
            x = Linear()(x, parameters[2 * i], parameters[2 * i + 1])
            if activation in _ACTIVATIONS:
                x = _ACTIVATIONS[activation]()(x)
        return x

    def input_shape(self, samples, x):
        # However many dimensions it has, they are one to a dense layer.
        shape = (samples, *x._data.shape[1:])
        return shape if prod(shape[1:]) == self.plan.sizes[0] else (samples, self.plan.sizes[0])

    def stack_gradients(self, grad, x, weights, biases, state):
        rows = x.reshape(len(grad), self.plan.sizes[0])
        grad_x, rest = kernels.dense_stack_gradients(grad, rows, weights, biases, self.plan, state, self.needs[0])
        return None if grad_x is None else grad_x.reshape(x.shape), rest
