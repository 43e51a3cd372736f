"""The subject of a check: a function of flat arrays with a gradient, whatever it was translated from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.arguments import check_choice
from minidl.dtypes import to_dtype
from minidl.errors import ArgumentError, DTypeError, GradcheckError, MinidlError
from minidl.testing.findings import NOTHING_TO_CHECK, InputReport, Problem
from minidl.testing.report import GradcheckReport

Array = np.ndarray

METHODS = ("auto", "central", "richardson")
# A Jacobian and its numeric twin are held whole.
_MAX_ENTRIES = 2**27


@dataclass
class Options:
    """The options of a check; see `minidl.gradcheck`."""

    method: str = "auto"
    mode: str = "full"
    directions: int | None = None
    eps: float | None = None
    atol: float | None = None
    rtol: float | None = None
    nondet_tol: float = 0.0
    kinks: str = "detect"
    generator: np.random.Generator | None = None

    def check(self, name: str, methods: Sequence[str] = METHODS) -> None:
        """Refuse what these can't be, by name."""
        for option, value, allowed in (
            ("method", self.method, methods),
            ("mode", self.mode, ("full", "random")),
            ("kinks", self.kinks, ("detect", "fail", "skip")),
        ):
            check_choice(name, option, value, allowed)
        for option, number in (("eps", self.eps), ("atol", self.atol), ("rtol", self.rtol)):
            _check_number(name, option, number, optional=True)
        _check_number(name, "nondet_tol", self.nondet_tol, optional=False)
        if self.eps == 0:
            raise ArgumentError(f"{name}: eps must be more than 0")
        count = self.directions
        if count is not None and (isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1):
            raise ArgumentError(f"{name}: directions must be a whole number from 1, got {count!r}")
        if self.generator is not None and not isinstance(self.generator, np.random.Generator):
            raise ArgumentError(
                f"{name}: generator must be a numpy.random.Generator or None, got {type(self.generator).__name__}"
            )

    @property
    def random(self) -> np.random.Generator:
        """The generator of random directions: never a global one."""
        if self.generator is None:
            self.generator = np.random.default_rng(0)
        return self.generator

    @property
    def has_tolerances(self) -> bool:
        """Whether the user says what may lie between the two."""
        return self.atol is not None or self.rtol is not None

    def allowed(self, numeric: Array) -> Array:
        """Give how much an analytic value may be off, with the user's tolerances."""
        return (self.atol or 0.0) + (self.rtol or 0.0) * np.abs(numeric)


def _check_number(name: str, option: str, number: object, *, optional: bool) -> None:
    if number is None and optional:
        return
    is_number = isinstance(number, int | float | np.integer | np.floating) and not isinstance(number, bool)
    if not is_number or not 0 <= float(number) < np.inf:  # type: ignore[arg-type]
        raise ArgumentError(f"{name}: {option} must be a number from 0, got {number!r}")


def _is_float64(dtype: str | type | np.dtype) -> bool:
    try:
        return to_dtype("gradcheck", dtype) == np.float64
    except DTypeError:
        return False


def working_dtype(name: str, own: np.dtype, wanted: object) -> np.dtype:
    """Choose the dtype that an array is checked in."""
    if wanted is not None and (not isinstance(wanted, str | type | np.dtype) or not _is_float64(wanted)):
        raise ArgumentError(f"{name}: dtype must be 'float64' or None, got {wanted!r}")
    if own.kind != "f":
        return own
    if wanted is None and own.itemsize not in (4, 8):
        raise ArgumentError(f"{name}: dtype=None takes float32 and float64, got {own}")
    return own if wanted is None else np.dtype(np.float64)


class Found(Exception):
    """A problem was found that ends the check."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass
class Input:
    """An array that is stepped in place; `dtype` is what the user's had."""

    name: str
    array: Array
    dtype: str


class Subject:
    """A function of `inputs`, which the engine changes in place and puts back.

    Parameters
    ----------
    inputs : list of Input
        Where to check.
    run : callable
        Gives the outputs, as arrays, at what the inputs hold now.
    pull_back : callable
        From one upstream gradient for each output (None: not started from there) to one gradient an input, at the
        inputs' first values.
    output_names : callable
        Their names, once they are known.
    """

    def __init__(
        self,
        inputs: list[Input],
        run: Callable[[], list[tuple[str, Array]]],
        pull_back: Callable[[list[Array | None]], list[Array | None]],
    ) -> None:
        self.inputs = inputs
        self._run = run
        self._pull_back = pull_back
        self.evaluations = 0
        self.output_names: list[str] = []
        self.output_shapes: list[tuple[int, ...]] = []
        self.start = [each.array.copy() for each in inputs]

    def outputs(self) -> list[tuple[str, Array]]:
        """The outputs by their names, as they come."""
        self.evaluations += 1
        # Copies, since a function may give a view of its input, or the same buffer again.
        return [(name, np.array(value)) for name, value in self._run()]

    def first(self, nondet_tol: float) -> Array:
        """Run the function twice at the point; take down the outputs' shapes, and return their values."""
        found = self.outputs()
        self.look_for_changes()
        again = self.outputs()
        self.look_for_changes()
        self.output_names = [name for name, _ in found]
        self.output_shapes = [value.shape for _, value in found]
        if [(name, value.shape) for name, value in again] != [(name, value.shape) for name, value in found]:
            raise Found(Problem("nondeterministic", "fn gives outputs of other shapes when it is called again"))
        for (name, one), (_, other) in zip(found, again, strict=True):
            # Written so that NaN in one of them alone is a difference.
            differs = ~((np.abs(one - other) <= nondet_tol) | (one == other) | (np.isnan(one) & np.isnan(other)))
            if differs.any():
                entry = np.unravel_index(int(np.argmax(differs)), one.shape)
                raise Found(
                    Problem(
                        "nondeterministic",
                        f"fn gives {_place(name, entry)} = {one[entry]:.9g} in one call and {other[entry]:.9g} in "
                        "the next, at the same inputs: something random is in it, such as dropout without a generator "
                        "of a fixed "
                        "state (make the generator anew in each call, or put the layer in eval mode)",
                    )
                )
        for name, value in found:
            if not np.isfinite(value).all():
                entry = np.unravel_index(int(np.argmax(~np.isfinite(value))), value.shape)
                raise Found(
                    Problem("nan output", f"{_place(name, entry)} is {value[entry]}: there is no slope to compare with")
                )
        return _flat(found)

    def has_something_to_check(self, report: GradcheckReport) -> bool:
        """Whether there is an entry to compare; where there is none, say so in the report.

        An empty input explains empty outputs, if there are others. Their gradients are then looked at: what is pulled
        back from no number at all is 0.
        """
        sizes = [each.array.size for each in self.inputs]
        if any(sizes) and any(0 not in shape for shape in self.output_shapes):
            return True
        if not any(sizes):
            reason = "every input is empty" if len(sizes) > 1 else f"{self.inputs[0].name} is empty"
        elif not self.output_shapes:
            reason = "no output is of floating numbers; integers and booleans, as of argmax and of >, have no gradient"
        elif all(sizes):
            reason = f"{' and '.join(self.output_names)} {'is' if len(self.output_names) == 1 else 'are'} empty"
        else:
            report.problems += self._empty_outputs()
            return False
        report.problems.append(Problem(NOTHING_TO_CHECK, reason))
        return False

    def _empty_outputs(self) -> Iterator[Problem]:
        found = self.pull_back([np.zeros(shape) for shape in self.output_shapes])
        for each, g in zip(self.inputs, found, strict=True):
            if g is not None and not (g == 0).all():
                entry = np.unravel_index(int(np.argmax(~(g == 0))), g.shape)
                wrong = f"the gradient of {_place(each.name, entry)} is {g[entry]:.9g}"
                yield Problem("upstream", f"{wrong}, of outputs that are empty; it must be 0", each.name)

    def look_for_changes(self) -> None:
        """Whether the function left its inputs as they were."""
        for each, start in zip(self.inputs, self.start, strict=True):
            if not np.array_equal(each.array, start, equal_nan=True):
                entry = np.unravel_index(int(np.argmax(~(each.array == start))), start.shape)
                change = f"from {start[entry]:.9g} to {each.array[entry]:.9g}"
                message = f"fn changes {_place(each.name, entry)} in place, {change}"
                each.array[...] = start
                raise Found(Problem("modified input", message, each.name))

    def values(self) -> Array:
        """All outputs, flat, at what the inputs hold now; NaN where the function refuses them."""
        try:
            found = self.outputs()
        except (MinidlError, ArithmeticError, ValueError) as error:
            if isinstance(error, GradcheckError):
                raise
            return np.full(sum(int(np.prod(shape)) for shape in self.output_shapes), np.nan)
        if [value.shape for _, value in found] != self.output_shapes:
            return np.full(sum(int(np.prod(shape)) for shape in self.output_shapes), np.nan)
        return _flat(found)

    def element_line(self, number: int, element: int) -> Callable[[float], tuple[float, Array]]:
        """The values along one element of one input."""
        flat = self.inputs[number].array.reshape(-1)
        previous = flat[element]

        def line(t: float) -> tuple[float, Array]:
            flat[element] = previous + t
            try:
                return float(flat[element]) - float(previous), self.values()
            finally:
                flat[element] = previous

        return line

    def line(self, directions: Sequence[Array | None]) -> Callable[[float], tuple[float, Array]]:
        """The values along a direction: one array an input, None where it stays."""

        def line(t: float) -> tuple[float, Array]:
            try:
                for each, start, direction in zip(self.inputs, self.start, directions, strict=True):
                    if direction is not None:
                        each.array[...] = start + t * direction
                return t, self.values()
            finally:
                for each, start, direction in zip(self.inputs, self.start, directions, strict=True):
                    if direction is not None:
                        each.array[...] = start

        return line

    def pull_back(self, upstream: list[Array | None]) -> list[Array | None]:
        """Gradients of the inputs, each of its input's shape; what else comes is a problem."""
        kept = [None if u is None else u.copy() for u in upstream]
        found = self._pull_back(upstream)
        for name, previous, now in zip(self.output_names, kept, upstream, strict=True):
            if previous is not None and now is not None and not np.array_equal(previous, now):
                raise Found(Problem("modified input", f"backward changes the upstream gradient of {name} in place"))
        for each, start in zip(self.inputs, self.start, strict=True):
            if not np.array_equal(each.array, start, equal_nan=True):
                each.array[...] = start
                raise Found(Problem("modified input", f"backward changes {each.name} in place", each.name))
        for each, g in zip(self.inputs, found, strict=True):
            if g is None:
                continue
            if g.shape != each.array.shape:
                message = f"the gradient of {each.name} has shape {g.shape}, the input {each.array.shape}"
                raise Found(Problem("shape", message, each.name))
            if g.dtype != each.array.dtype:
                message = f"the gradient of {each.name} has dtype {g.dtype}, the input {each.array.dtype}"
                raise Found(Problem("dtype", message, each.name))
        return found

    def jacobian(self, upstream_size: float = 1.0) -> tuple[list[Array], list[bool]]:
        """The analytic Jacobian [output, input] of each input, and whether a gradient ever came for it.

        It is pulled back from upstream gradients of one element of this size each, and is to be divided by it.
        """
        entries = sum(int(np.prod(s)) for s in self.output_shapes)
        total = entries * sum(each.array.size for each in self.inputs)
        if total > _MAX_ENTRIES:
            raise ArgumentError(
                f"mode='full' would hold a Jacobian of {total:,} entries; sum the outputs, or use mode='random'"
            )
        rows = [np.zeros((entries, each.array.size)) for each in self.inputs]
        came = [False] * len(rows)
        entry = 0
        for k, shape in enumerate(self.output_shapes):
            for o in range(int(np.prod(shape))):
                unit = np.zeros(int(np.prod(shape)))
                unit[o] = upstream_size
                upstream: list[Array | None] = [None] * len(self.output_shapes)
                upstream[k] = unit.reshape(shape)
                for i, g in enumerate(self.pull_back(upstream)):
                    if g is None:
                        continue
                    came[i] = True
                    rows[i][entry] = g.reshape(-1)
                    if not np.isfinite(rows[i][entry]).all():
                        j = int(np.argmax(~np.isfinite(rows[i][entry])))
                        place = _place(self.inputs[i].name, np.unravel_index(j, g.shape))
                        y = _place(self.output_names[k], np.unravel_index(o, shape))
                        message = f"the gradient of {y} with respect to {place} is {rows[i][entry][j]}"
                        raise Found(Problem("nan gradient", message, self.inputs[i].name))
                entry += 1
        return rows, came

    def split(self, flat: Array) -> list[Array]:
        """A flat vector over all outputs as one array an output."""
        parts, entry = [], 0
        for shape in self.output_shapes:
            size = int(np.prod(shape))
            parts.append(flat[entry : entry + size].reshape(shape))
            entry += size
        return parts

    def output_place(self, row: int) -> tuple[int, tuple[int, ...]]:
        """Find the output that a row of the Jacobian belongs to, and the index in it."""
        for k, shape in enumerate(self.output_shapes):
            size = int(np.prod(shape))
            if row < size:
                return k, tuple(int(a) for a in np.unravel_index(row, shape)) if shape else ()
            row -= size
        raise IndexError(row)

    def report_inputs(self, report: GradcheckReport) -> None:
        """Put a line for each input into a report."""
        report.inputs = [InputReport(each.name, each.array.shape, each.dtype) for each in self.inputs]


def _flat(found: list[tuple[str, Array]]) -> Array:
    parts = [np.asarray(value, np.float64).reshape(-1) for _, value in found]
    return np.concatenate(parts) if parts else np.zeros(0)


def _place(name: str, index: Sequence[Any]) -> str:
    return f"{name}[{', '.join(str(int(i)) for i in index)}]" if len(index) else name
