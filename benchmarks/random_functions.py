"""Random functions of arrays with exact gradients: expression graphs, and reverse mode over them by hand.

The graph is evaluated in float64, as what a gradient checker sees, and in long double, as what is true.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Primitive:
    """``forward(*values, **constants)``, and ``backward(upstream, result, *values, **constants)`` for each value."""

    forward: Callable[..., Array]
    backward: Callable[..., tuple[Array, ...]]
    kinked: bool = False


def _unbroadcast(u: Array, like: Array) -> Array:
    u = u.sum(axis=tuple(range(u.ndim - like.ndim)))
    return u.sum(axis=tuple(i for i, n in enumerate(like.shape) if n == 1 and u.shape[i] != 1), keepdims=True)


def _elementwise(forward: Callable, slope: Callable, kinked: bool = False) -> Primitive:
    return Primitive(forward, lambda u, y, x, **c: (u * slope(y, x, **c),), kinked)


def _with_broadcasting(forward: Callable, slopes: Callable, kinked: bool = False) -> Primitive:
    def backward(u: Array, y: Array, a: Array, b: Array) -> tuple[Array, Array]:
        one, other = slopes(y, a, b)
        return _unbroadcast(u * one, a), _unbroadcast(u * other, b)

    return Primitive(forward, backward, kinked)


def _sigmoid(x: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def _softmax(x: Array, axis: int) -> Array:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _logsumexp(x: Array, axis: int) -> Array:
    top = x.max(axis=axis, keepdims=True)
    return (np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top).squeeze(axis)


def _normalise(x: Array, axis: int) -> Array:
    centred = x - x.mean(axis=axis, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=axis, keepdims=True) + 1e-3)


def _normalise_back(u: Array, y: Array, x: Array, axis: int) -> tuple[Array]:
    deviation = np.sqrt(((x - x.mean(axis=axis, keepdims=True)) ** 2).mean(axis=axis, keepdims=True) + 1e-3)
    inner = u - u.mean(axis=axis, keepdims=True) - y * (u * y).mean(axis=axis, keepdims=True)
    return (inner / deviation,)


def _max_back(u: Array, y: Array, x: Array, axis: int, share: bool) -> tuple[Array]:
    top = x == np.expand_dims(y, axis)
    first = top & (np.cumsum(top, axis=axis) == 1)
    chosen = top / top.sum(axis=axis, keepdims=True) if share else first
    return (np.expand_dims(u, axis) * chosen,)


def _gather_back(u: Array, y: Array, x: Array, at: Array) -> tuple[Array]:
    g = np.zeros(x.size, x.dtype)
    np.add.at(g, at, u)
    return (g.reshape(x.shape),)


def _scatter(x: Array, at: Array, size: int) -> Array:
    y = np.zeros(size, x.dtype)
    np.add.at(y, at, x.reshape(-1))
    return y


def _float32(x: Array) -> Array:
    # What is true has no rounding.
    return x.astype(np.float32).astype(np.float64) if x.dtype == np.float64 else x


def _ones(y: Array, *values: Array) -> tuple[float, float]:
    return 1.0, 1.0


PRIMITIVES: dict[str, Primitive] = {
    "affine": _elementwise(lambda x, a, b: (x - a) * b, lambda y, x, a, b: b),
    "float32": _elementwise(_float32, lambda y, x: 1.0),
    "exp": _elementwise(np.exp, lambda y, x: y),
    "tanh": _elementwise(np.tanh, lambda y, x: 1 - y * y),
    "sin": _elementwise(np.sin, lambda y, x: np.cos(x)),
    "sigmoid": _elementwise(_sigmoid, lambda y, x: y * (1 - y)),
    "softplus": _elementwise(lambda x: np.logaddexp(x, np.zeros_like(x)), lambda y, x: _sigmoid(x)),
    "square": _elementwise(lambda x: x * x, lambda y, x: 2 * x),
    "cube": _elementwise(lambda x: x**3, lambda y, x: 3 * x * x),
    "log": _elementwise(np.log, lambda y, x: 1 / x),
    "log of size": _elementwise(lambda x: np.log(np.abs(x)), lambda y, x: 1 / x),
    "sqrt": _elementwise(np.sqrt, lambda y, x: 0.5 / y),
    "reciprocal": _elementwise(lambda x: 1 / x, lambda y, x: -y * y),
    "power": _elementwise(lambda x, p: x**p, lambda y, x, p: p * x ** (p - 1)),
    "relu": _elementwise(lambda x: np.maximum(x, 0), lambda y, x: x > 0, True),
    "abs": _elementwise(np.abs, lambda y, x: np.sign(x), True),
    "clip": _elementwise(
        lambda x, low, high: np.clip(x, low, high), lambda y, x, low, high: (x >= low) & (x <= high), True
    ),
    "sum": Primitive(
        lambda x, axis: x.sum(axis=axis), lambda u, y, x, axis: (np.expand_dims(u, axis) * np.ones_like(x),)
    ),
    "mean": Primitive(
        lambda x, axis: x.mean(axis=axis),
        lambda u, y, x, axis: (np.expand_dims(u, axis) * np.ones_like(x) / x.shape[axis],),
    ),
    "max": Primitive(lambda x, axis, share: x.max(axis=axis), _max_back, True),
    "logsumexp": Primitive(
        _logsumexp, lambda u, y, x, axis: (np.expand_dims(u, axis) * np.exp(x - np.expand_dims(y, axis)),)
    ),
    "softmax": Primitive(_softmax, lambda u, y, x, axis: (y * (u - (u * y).sum(axis=axis, keepdims=True)),)),
    "normalise": Primitive(_normalise, _normalise_back),
    "cumsum": Primitive(
        lambda x, axis: np.cumsum(x, axis=axis),
        lambda u, y, x, axis: (np.flip(np.cumsum(np.flip(u, axis), axis=axis), axis),),
    ),
    "gather": Primitive(lambda x, at: x.reshape(-1)[at], _gather_back),
    "scatter": Primitive(_scatter, lambda u, y, x, at, size: (u[at].reshape(x.shape),)),
    "transpose": Primitive(lambda x: x.T, lambda u, y, x: (u.T,)),
    "add": _with_broadcasting(lambda a, b: a + b, _ones),
    "subtract": _with_broadcasting(lambda a, b: a - b, lambda y, a, b: (1.0, -1.0)),
    "multiply": _with_broadcasting(lambda a, b: a * b, lambda y, a, b: (b, a)),
    "maximum": _with_broadcasting(np.maximum, lambda y, a, b: (a >= b, a < b), True),
    "concatenate": Primitive(
        lambda a, b: np.concatenate([a.reshape(-1), b.reshape(-1)]),
        lambda u, y, a, b: (u[: a.size].reshape(a.shape), u[a.size :].reshape(b.shape)),
    ),
    "matmul": Primitive(lambda a, b: a @ b, lambda u, y, a, b: (u @ b.T, a.T @ u)),
}
_UNARY = ("exp", "tanh", "sin", "sigmoid", "softplus", "square", "cube", "log", "sqrt", "reciprocal", "power", "relu",
          "abs", "clip")  # fmt: skip
_POSITIVE = ("log", "sqrt", "reciprocal", "power")
_ALONG = ("sum", "mean", "max", "logsumexp", "softmax", "normalise", "cumsum")
_MOVING = ("gather", "scatter", "transpose")
_BINARY = ("add", "subtract", "multiply", "maximum", "concatenate", "matmul")


@dataclass
class Step:
    """A node of the graph: a primitive, which values it takes, and its constants."""

    name: str
    sources: tuple[int, ...]
    constants: dict[str, Any] = field(default_factory=dict)


@dataclass
class Function:
    """A function with its gradient, and the point at which it is looked at.

    `kinks` says which elements of each array were put on a kink. `dropped`, if set, is (step, which of its sources):
    that term of the gradient is multiplied by `scaled`.
    """

    arrays: list[Array]
    steps: list[Step]
    kinks: list[Array] = field(default_factory=list)
    dropped: tuple[int, int] | None = None
    scaled: float = 0.0

    def values(self, *arrays: Array) -> list[Array]:
        """All values of the graph, the last of which is the result."""
        values = list(arrays)
        for step in self.steps:
            taken = [values[i] for i in step.sources]
            values.append(np.asarray(PRIMITIVES[step.name].forward(*taken, **step.constants)))
        return values

    def forward(self, *arrays: Array) -> Array:
        """The result alone."""
        return self.values(*arrays)[-1]

    def backward(self, upstream: Array, *arrays: Array) -> tuple[Array, ...]:
        """The gradients of all arrays."""
        values = self.values(*arrays)
        found: list[Any] = [np.zeros_like(value) for value in values]
        found[-1] = found[-1] + upstream
        for number in range(len(self.steps) - 1, -1, -1):
            step, place = self.steps[number], len(arrays) + number
            taken = [values[i] for i in step.sources]
            parts = PRIMITIVES[step.name].backward(found[place], values[place], *taken, **step.constants)
            for which, (source, part) in enumerate(zip(step.sources, parts, strict=True)):
                found[source] = found[source] + (part * self.scaled if self.dropped == (number, which) else part)
        return tuple(found[: len(arrays)])

    def jacobian(self, dtype: Any = np.float64, backward: Callable | None = None) -> list[Array]:
        """[output, element] of each array."""
        arrays = [x.astype(dtype) for x in self.arrays]
        shape = self.forward(*arrays).shape
        rows: list[list[Array]] = [[] for _ in arrays]
        for k in range(int(np.prod(shape))):
            unit = np.zeros(int(np.prod(shape)), dtype)
            unit[k] = 1
            for row, g in zip(rows, (backward or self.backward)(unit.reshape(shape), *arrays), strict=True):
                row.append(np.asarray(g).reshape(-1))
        return [np.stack(row) for row in rows]

    @property
    def at_kinks(self) -> bool:
        """Whether some element is on a kink."""
        return any(mask.any() for mask in self.kinks)

    @property
    def has_float32(self) -> bool:
        """Whether it computes in float32 in the middle."""
        return any(step.name == "float32" for step in self.steps)


class _Builder:
    """Grows a graph from inputs, keeping its values where the primitives are at home."""

    def __init__(self, arrays: list[Array], random: np.random.Generator) -> None:
        self.arrays, self.random = arrays, random
        self.steps: list[Step] = []
        self.known = list(arrays)

    def add(self, name: str, *sources: int, **constants: Any) -> int:
        step = Step(name, sources, constants)
        taken = [self.known[i] for i in sources]
        self.known.append(np.asarray(PRIMITIVES[name].forward(*taken, **constants)))
        self.steps.append(step)
        return len(self.known) - 1

    def tame(self, i: int) -> int:
        """Bring a value to ordinary numbers, by constants."""
        size = float(np.abs(self.known[i]).max(initial=0))
        if 1e-2 < size < 5:
            return i
        factor = float(self.random.uniform(0.5, 3)) / size if size else 1.0
        return self.add("affine", i, a=0.0, b=factor)

    def positive(self, i: int) -> int:
        return i if self.known[i].min() > 0.05 else self.add("softplus", i)

    def one(self, i: int, smooth: bool) -> int:
        """A random primitive of one value."""
        random, x = self.random, self.known[i]
        kind = random.choice(4, p=[0.5, 0.3, 0.12, 0.08])
        names = [_UNARY, _ALONG if x.ndim else _UNARY, _MOVING, ("float32",) if random.random() < 0.3 else _UNARY][kind]
        name = str(random.choice([n for n in names if not (smooth and PRIMITIVES[n].kinked)]))
        if name in _POSITIVE:
            i = self.positive(i)
        constants: dict[str, Any] = {}
        if name in _ALONG:
            constants["axis"] = int(random.integers(x.ndim))
        if name == "max":
            constants["share"] = bool(random.random() < 0.5)
        elif name == "power":
            constants["p"] = float(random.uniform(-1.5, 3))
        elif name == "clip":
            constants |= {"low": float(random.uniform(-1.5, 0)), "high": float(random.uniform(0.1, 1.5))}
        elif name == "gather":
            constants["at"] = random.integers(x.size, size=int(random.integers(1, 13)))
        elif name == "scatter":
            size = int(random.integers(1, 9))
            constants |= {"at": random.integers(size, size=x.size), "size": size}
        return self.tame(self.add(name, i, **constants))

    def two(self, i: int, j: int, smooth: bool) -> int:
        """A random primitive of two values, whatever fits their shapes."""
        a, b = self.known[i], self.known[j]
        fitting = []
        for name in _BINARY:
            if (smooth and PRIMITIVES[name].kinked) or (name == "matmul" and (a.ndim != 2 or b.ndim != 2)):
                continue
            try:
                size = PRIMITIVES[name].forward(a, b).size
            except ValueError:
                continue
            if size <= 40:
                fitting.append(name)
        return self.tame(self.add(str(self.random.choice(fitting)), i, j)) if fitting else i


def _array(random: np.random.Generator) -> tuple[Array, float]:
    """An array of up to some 40 elements, and the size of what a function should see of it as 1."""
    shape = tuple(int(n) for n in random.integers(1, 7, size=int(random.choice(4, p=[0.1, 0.35, 0.4, 0.15]))))
    while np.prod(shape) > 40:
        shape = shape[:-1]
    scale = float(10 ** random.uniform(-9, 7))
    return np.asarray(scale * random.normal(size=shape)), scale


def make(random: np.random.Generator) -> tuple[Function, list[float]] | None:
    """A random function and the scales of its arrays; None if what came about is of no use."""
    made = [_array(random) for _ in range(int(random.integers(1, 4)))]
    arrays, scales = [x for x, _ in made], [scale for _, scale in made]
    at_kinks = bool(random.random() < 0.15)
    plans = []
    for x, scale in made:
        plan = "kink" if at_kinks and (not plans or random.random() < 0.5) else "plain"
        if plan == "plain":
            plan = str(random.choice(["plain", "offset", "magnitudes", "raw"], p=[0.6, 0.15, 0.15, 0.1]))
        if plan == "offset":
            x += scale * 10 ** random.uniform(-1, 4) * random.choice([-1, 1])
        elif plan == "magnitudes":
            x *= 10 ** random.uniform(-6, 6, size=x.shape)
        plans.append(plan)
    builder = _Builder(arrays, random)
    live, kinks = [], [np.zeros(x.shape, bool) for x in arrays]
    for i, (x, scale, plan) in enumerate(zip(arrays, scales, plans, strict=True)):
        if plan == "kink":
            live.append(_first_kink(builder, i, x, scale, kinks[i]))
        elif plan == "offset":
            live.append(builder.add("affine", i, a=float(x.mean() - scale * random.normal()), b=1 / scale))
        elif plan == "magnitudes":
            live.append(builder.add("log of size", i) if random.random() < 0.7 else builder.tame(i))
        else:
            live.append(builder.tame(i) if plan == "raw" else builder.add("affine", i, a=0.0, b=1 / scale))
    live = [builder.tame(i) for i in live]
    for _ in range(int(random.integers(2, 6))):
        if len(live) > 1 and random.random() < 0.5:
            i, j = (int(k) for k in random.choice(len(live), 2, replace=False))
            live[i] = builder.two(live[i], live[j], at_kinks)
        else:
            i = int(random.integers(len(live)))
            new = builder.one(live[i], at_kinks)
            # Sometimes what went in stays of use.
            live = [*live, new] if random.random() < 0.3 else [*live[:i], new, *live[i + 1 :]]
    last = live[0]
    for other in live[1:]:
        joined = builder.two(last, other, at_kinks)
        last = joined if joined != last else builder.tame(builder.add("concatenate", last, other))
    while builder.known[last].size > 12 and builder.known[last].ndim:
        last = builder.add("mean" if random.random() < 0.5 else "sum", last, axis=0)
    if random.random() < 0.1:
        last = builder.add("affine", last, a=float(10 ** random.uniform(0, 5)), b=1.0)
    builder.add("affine", last, a=0.0, b=float(10 ** random.uniform(-9, 7)))
    function = Function(arrays, builder.steps, kinks)
    return (function, scales) if all(np.isfinite(value).all() for value in builder.known) else None


def _first_kink(builder: _Builder, i: int, x: Array, scale: float, kinked: Array) -> int:
    """Put some elements on a kink of the first primitive. What follows is smooth, so that the chain rule holds."""
    random = builder.random
    name = str(random.choice(["relu", "abs", "clip", "max"]))
    at = random.random(x.shape) < 0.3
    if name == "max" and x.ndim:
        axis = int(random.integers(x.ndim))
        x[...] = np.where(at, x.max(axis=axis, keepdims=True), x)
        kinked[...] = x == x.max(axis=axis, keepdims=True)
        i = builder.add("max", i, axis=axis, share=bool(random.random() < 0.5))
    elif name == "clip":
        low, high = -0.5 * scale, 0.75 * scale
        x[...] = np.where(at, np.where(random.random(x.shape) < 0.5, low, high), x)
        kinked[...] = at
        i = builder.add("clip", i, low=low, high=high)
    else:
        x[...] = np.where(at, 0, x)
        kinked[...] = at
        i = builder.add("abs" if name == "abs" else "relu", i)
    return builder.add("affine", i, a=0.0, b=1 / scale)


def is_exact(function: Function) -> bool:
    """Whether the gradient in float64 is that in long double, to 1e-6, or to 1e-12 of an output's largest effect."""
    with np.errstate(all="ignore"):
        own, true = function.jacobian(), function.jacobian(np.longdouble)
    if not all(np.isfinite(rows).all() for rows in (*own, *true)):
        return False
    sizes = [np.abs(x.reshape(-1)) for x in function.arrays]
    sizes = [np.where(size > 0, size, size.max(initial=0) or 1.0) for size in sizes]
    effect = np.max([(np.abs(t) * s).max(axis=1) for t, s in zip(true, sizes, strict=True)], axis=0)
    return all(
        bool((np.abs(o - t) <= 1e-6 * np.abs(t) + 1e-12 * effect[:, None] / s).all())
        for o, t, s in zip(own, true, sizes, strict=True)
    )
