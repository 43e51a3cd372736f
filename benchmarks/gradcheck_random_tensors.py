"""False alarms of `minidl.gradcheck` on random compositions of minidl's operations, of both orders, in both modes.

    python benchmarks/gradcheck_random_tensors.py [--first 0] [--count 200] [--verbose]

The gradients are minidl's own, and right: what is called wrong is a mistake of the checker, or a find.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

import minidl
import minidl.functional as F
from minidl import Tensor
from minidl.testing import gradcheck

Function = Callable[..., Tensor]

# Of one value of shape (rows, columns).
UNARY: dict[str, Function] = {
    "tanh": F.tanh, "sigmoid": F.sigmoid, "softplus": F.softplus, "gelu": F.gelu, "elu": F.elu, "silu": F.silu,
    "mish": F.mish, "relu": F.relu, "leaky_relu": F.leaky_relu, "log_sigmoid": F.logsigmoid, "abs": minidl.abs,
    "clip": lambda x: minidl.clip(x, -0.7, 0.9), "exp": lambda x: minidl.exp(F.tanh(x)), "square": lambda x: x * x,
    "sqrt": lambda x: minidl.sqrt(x * x + 0.3), "power": lambda x: minidl.pow(F.softplus(x), 1.7),
    "log": lambda x: minidl.log(F.softplus(x) + 0.1), "reciprocal": lambda x: 1 / (x * x + 0.5),
    "softmax": lambda x: F.softmax(x, -1), "log_softmax": lambda x: F.log_softmax(x, 0),
    "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:]), "transpose": lambda x: x.T,
    "turned": lambda x: minidl.concatenate([x[1:], x[:1]], 0), "pad": lambda x: F.pad(x, (1, 1))[:, 1:],
    "centred": lambda x: x - x.mean(0, keepdim=True), "spread": lambda x: x / (minidl.var(x, correction=0) + 0.1),
    "largest": lambda x: x + minidl.amax(x, 1, keepdim=True),
    "chosen": lambda x: x[np.array([0, 0, -1])],
    "pooled": lambda x: F.max_pool1d(x.reshape(1, 1, -1), 2, stride=1, padding=1).reshape(1, -1),
}  # fmt: skip
BINARY: dict[str, Function] = {
    "add": lambda a, b: a + b.mean(0, keepdim=True).mean(1, keepdim=True),
    "multiply": lambda a, b: a * F.tanh(b).sum(),
    "divide": lambda a, b: a / (1 + (b * b).mean()),
    "matmul": lambda a, b: (a.T @ a) * b.mean(),
    "maximum": lambda a, b: minidl.maximum(a, b.mean()),
    "concatenate": lambda a, b: minidl.concatenate([a.reshape(1, -1), b.reshape(1, -1)], 1),
}


def make(random: np.random.Generator) -> tuple[Function, list[Tensor], list[str]]:
    """A random function, its inputs, and the names of what it does."""
    scales, arrays = [], []
    for _ in range(int(random.integers(1, 4))):
        scales.append(float(10 ** random.uniform(-9, 7)))
        shape = tuple(int(n) for n in random.integers(1, 5, size=2))
        arrays.append(scales[-1] * (random.normal(size=shape) + (random.random() < 0.2) * 100))
    names = [str(random.choice(list(UNARY))) for _ in range(int(random.integers(2, 5)))]
    joins = [str(random.choice(list(BINARY))) for _ in arrays[1:]]
    factor = float(10 ** random.uniform(-9, 7))
    reduced = bool(random.random() < 0.5)

    def function(*inputs: Tensor) -> Tensor:
        values = [x / scale for x, scale in zip(inputs, scales, strict=True)]
        y = UNARY[names[0]](values[0])
        for name, other in zip(joins, values[1:], strict=True):
            y = BINARY[name](y, other)
        for name in names[1:]:
            y = UNARY[name](y)
        return (y.mean() if reduced else y) * factor

    return function, [minidl.tensor(x, requires_grad=True) for x in arrays], [*names[:1], *joins, *names[1:]]


def main(argv: list[str] | None = None) -> int:
    """Run and print; the exit code says whether there was an alarm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=200, help="of functions")
    parser.add_argument("--verbose", action="store_true", help="what each alarm said")
    options = parser.parse_args(argv)
    counts, start = Counter[str](), time.perf_counter()
    ways = [(order, mode) for order in (1, 2) for mode in ("full", "random")]
    for seed in range(options.first, options.first + options.count):
        function, inputs, names = make(np.random.default_rng([seed, 21]))
        for order, mode in ways:
            key = f"order {order}, {mode}"
            report = gradcheck(function, inputs, order=order, mode=mode, raise_exception=False)
            counts[key] += not report
            counts[f"{key}, entries"] += sum(each.compared for each in report.inputs)
            counts[f"{key}, unresolved"] += sum(each.unresolved for each in report.inputs)
            if options.verbose and not report:
                print(f"seed {seed}, {key}: {', '.join(names)}\n{report}", flush=True)
    for order, mode in ways:
        key = f"order {order}, {mode}"
        print(f"{key}: {counts[key]} alarms of {options.count}; {counts[f'{key}, entries']:,} entries, "
              f"{counts[f'{key}, unresolved']:,} unresolved")  # fmt: skip
    print(f"{time.perf_counter() - start:.0f} s")
    return int(any(counts[f"order {order}, {mode}"] for order, mode in ways))


if __name__ == "__main__":
    sys.exit(main())
