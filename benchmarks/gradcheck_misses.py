"""How many wrong gradients random directions miss, beside the probability that is stated for it.

    python benchmarks/gradcheck_misses.py [--errors 300] [--seeds 50] [--parts sine lenet] [--parameters NAME ...]

The first part adds random errors to the gradient of ``sin(x).sum()``, x of 1,000 normal numbers, of a given size
relative to it (norms), and checks along a given number of directions. The second multiplies the gradient of one of
LeNet-5's parameters (`gradcheck_lenet`: the example's model and its loss, on MNIST) elementwise by 1 + error, so that
it is off by a given size relative to its norm, and checks the whole model at the default setting: each seed draws the
error and the directions anew.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import gradcheck_lenet
import numpy as np

import minidl
import minidl.functional as F
from minidl.testing import GradcheckReport, check_vjp, gradcheck, miss_probability

TOLERANCE = 1e-6
SINE = ((1e-6, 1), (1e-6, 3), (3e-6, 1), (3e-6, 3), (1e-5, 1))
LENET = (1e-2, 1e-3, 1e-4)


def sine(relative: float, directions: int, seed: int) -> GradcheckReport:
    """One wrong gradient of ``sin(x).sum()``."""
    random = np.random.default_rng([seed, 30])
    x, error = random.normal(size=1_000), random.normal(size=1_000)
    error *= relative * np.linalg.norm(np.cos(x)) / np.linalg.norm(error)
    return check_vjp(
        lambda x: np.sin(x).sum(), lambda u, x: u * (np.cos(x) + error), x, mode="random", directions=directions,
        generator=random, raise_exception=False,
    )  # fmt: skip


class Lenet:
    """The model with its loss, a parameter of which may have a wrong gradient."""

    def __init__(self) -> None:
        self.net = gradcheck_lenet.model()
        images, labels = gradcheck_lenet.batch(4, "mnist")
        self.images, self.labels = minidl.tensor(images), minidl.tensor(labels)
        self.loss(self.images).backward()
        self.gradients = {name: p.grad.numpy().astype(np.float64) for name, p in self.net.named_parameters()}

    def loss(self, x: Any) -> Any:
        """Of the labels that belong to these images."""
        return F.cross_entropy(self.net(x), self.labels)

    def check(self, generator: np.random.Generator) -> GradcheckReport:
        """Along random directions, at the default setting."""
        return gradcheck(
            self.loss, self.images, params=self.net, mode="random", generator=generator, raise_exception=False
        )

    def wrong(self, name: str, relative: float, seed: int) -> GradcheckReport:
        """One wrong gradient of a parameter."""
        random = np.random.default_rng([seed, 31])
        gradient = self.gradients[name]
        factor = random.normal(size=gradient.shape)
        factor *= relative * np.linalg.norm(gradient) / np.linalg.norm(gradient * factor)
        # In the precision of what comes, so that the check's float64 copies get all of it.
        parameter = dict(self.net.named_parameters())[name]
        handle = parameter.register_hook(lambda grad: grad * minidl.tensor((1 + factor).astype(grad.dtype)))
        try:
            return self.check(random)
        finally:
            handle.remove()


def show_sine(errors: int) -> None:
    """The table of both probabilities."""
    print(f"sin(x).sum() of 1,000 elements, {errors} random errors each, tolerance {TOLERANCE:g}")
    print("| d | K | P | missed |\n| ---: | ---: | ---: | ---: |")
    for relative, directions in SINE:
        missed = sum(bool(sine(relative, directions, seed)) for seed in range(errors))
        stated = miss_probability(relative, TOLERANCE, directions)
        print(f"| {relative:.0e} | {directions} | {stated:.3f} | {missed / errors:.3f} |", flush=True)


def show_lenet(seeds: int, parameters: list[str] | None) -> int:
    """How often an error in each parameter is found, and named; returns how many were missed or made up."""
    lenet = Lenet()
    alarms = sum(not lenet.check(np.random.default_rng([seed, 32])) for seed in range(seeds))
    print(f"\nLeNet-5 and its loss, right gradients: {alarms} alarms at {seeds} seeds")
    print("| parameter |", " | ".join(f"{relative:.0e}" for relative in LENET), "|")
    print("| --- |", " | ".join("---:" for _ in LENET), "|")
    lost = alarms
    for name in parameters or lenet.gradients:
        print(f"| {name} |", end="", flush=True)
        for relative in LENET:
            reports = [lenet.wrong(name, relative, seed) for seed in range(seeds)]
            found = sum(not report for report in reports)
            named = sum({problem.input for problem in report.problems} == {name} for report in reports)
            lost += seeds - found
            print(f" {found} of {seeds}" + f" (named {named})" * (named < found), end=" |", flush=True)
        print()
    return lost


def main(argv: list[str] | None = None) -> int:
    """Run and print; the exit code says whether LeNet's check missed or made up a mistake."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--errors", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--parts", nargs="+", choices=("sine", "lenet"), default=["sine", "lenet"])
    parser.add_argument("--parameters", nargs="+", help="of LeNet, instead of all")
    options = parser.parse_args(argv)
    start, lost = time.perf_counter(), 0
    works: dict[str, Callable[[], int | None]] = {
        "sine": lambda: show_sine(options.errors), "lenet": lambda: show_lenet(options.seeds, options.parameters),
    }  # fmt: skip
    for part in options.parts:
        lost += works[part]() or 0
    print(f"{time.perf_counter() - start:.0f} s")
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
