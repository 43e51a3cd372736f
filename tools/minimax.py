"""The polynomials of `minidl/_ext/core/vector_math.h`: minimax ones, by the exchange algorithm of Remez.

    pip install mpmath
    python tools/minimax.py

Each line is what a polynomial approximates, on which interval, its degree and its largest weighted error as a power of
2; the coefficients follow, from the constant one up. The weight makes the error relative to what the result needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
from mpmath import mpf

Function = Callable[[Any], Any]
# Points between two extrema that errors are looked for at.
DENSITY = 40
TINY = mpf("1e-30")


def extrema(errors: list[Any]) -> list[int]:
    """The place of the largest error in each run of errors of one sign."""
    places: list[int] = []
    for at, error in enumerate(errors):
        if not places or (error > 0) != (errors[places[-1]] > 0):
            places.append(at)
        elif abs(error) > abs(errors[places[-1]]):
            places[-1] = at
    return places


def minimax(f: Function, weight: Function, low: Any, high: Any, degree: int) -> tuple[list[Any], Any]:
    """Coefficients of the polynomial whose largest weighted error on [low, high] is smallest, and that error."""
    count = degree + 2

    def chebyshev(i: int, n: int) -> Any:
        return (low + high) / 2 + (high - low) / 2 * mpmath.cos(mpmath.pi * (n - i) / n)

    points = [chebyshev(i, count - 1) for i in range(count)]
    grid = [chebyshev(i, DENSITY * count) for i in range(DENSITY * count + 1)]
    values, weights = [f(x) for x in grid], [weight(x) for x in grid]
    for _ in range(12):
        # The polynomial whose weighted errors at the points are equal, with signs in turn.
        system = mpmath.matrix(count, count)
        for i, x in enumerate(points):
            for j in range(degree + 1):
                system[i, j] = x**j
            system[i, degree + 1] = (-1) ** i / weight(x)
        solution = mpmath.lu_solve(system, mpmath.matrix([f(x) for x in points]))
        coefficients = [solution[j] for j in range(degree + 1)]
        errors = [
            w * (v - mpmath.polyval(coefficients[::-1], x)) for x, v, w in zip(grid, values, weights, strict=True)
        ]
        places = extrema(errors)
        while len(places) > count:
            places.pop(0 if abs(errors[places[0]]) < abs(errors[places[-1]]) else -1)
        largest, smallest = max(map(abs, errors)), min(abs(errors[at]) for at in places)
        if len(places) < count or largest < smallest * mpf("1.01"):
            break
        points = [grid[at] for at in places]
    return coefficients, largest


def exp_rest(r: Any) -> Any:
    """(exp(r) - 1 - r) / r^2."""
    return sum(r**k / mpmath.factorial(k + 2) for k in range(30))


def atanh_rest(z: Any) -> Any:
    """(2 atanh(s) - 2 s) / s^3 for z = s^2."""
    s = mpmath.sqrt(z)
    return mpf(2) / 3 if z < TINY else (2 * mpmath.atanh(s) - 2 * s) / s**3


def tanh_rest(z: Any) -> Any:
    """(tanh(s) / s - 1) / z for z = s^2."""
    s = mpmath.sqrt(z)
    return -mpf(1) / 3 if z < TINY else (mpmath.tanh(s) / s - 1) / z


def erf_rest(z: Any) -> Any:
    """erf(s) / s - 1 for z = s^2."""
    s = mpmath.sqrt(z)
    return 2 / mpmath.sqrt(mpmath.pi) - 1 if z < TINY else mpmath.erf(s) / s - 1


def sin_rest(z: Any) -> Any:
    """(sin(r) / r - 1) / z for z = r^2."""
    return sum((-1) ** (k + 1) * z**k / mpmath.factorial(2 * k + 3) for k in range(25))


def cos_rest(z: Any) -> Any:
    """(cos(r) - 1 + z / 2) / z^2 for z = r^2."""
    return sum((-1) ** k * z**k / mpmath.factorial(2 * k + 4) for k in range(25))


def scaled_tail(centre: int) -> Function:
    """(x + centre) exp(x^2 / 2) erfc(x / sqrt(2)) / 2 for u = (x - centre) / (x + centre)."""

    def of_u(u: Any) -> Any:
        x = centre * (1 + u) / (1 - u)
        return (x + centre) * mpmath.exp(x * x / 2) * mpmath.erfc(x / mpmath.sqrt(2)) / 2

    return of_u


def main() -> None:
    """Print all of them."""
    mpmath.mp.dps = 60
    half_log = mpmath.log(2) / 2 * mpf("1.01")
    narrow, wide = scaled_tail(3), scaled_tail(5)
    quarter = (mpmath.pi / 4 * mpf("1.01")) ** 2
    table: list[tuple[str, Function, Function, Any, Any, tuple[int, ...]]] = [
        ("exp_rest", exp_rest, lambda r: abs(r) + mpf("1e-3"), -half_log, half_log, (4, 5, 11)),
        ("atanh_rest", atanh_rest, lambda z: z + mpf("1e-5"), mpf(0), mpf("0.0296"), (3, 7)),
        ("log1p_of_unit", atanh_rest, lambda z: z + mpf("1e-5"), mpf(0), mpf(1) / 9, (4, 11)),
        ("tanh", tanh_rest, lambda z: z + mpf("1e-5"), mpf(0), mpf("0.4"), (4, 11)),
        ("erf", erf_rest, lambda z: mpf(1), mpf(0), mpf(1), (6, 13)),
        ("sin", sin_rest, lambda z: z + mpf("1e-4"), mpf(0), quarter, (3, 6)),
        ("cos", cos_rest, lambda z: z * z + mpf("1e-6"), mpf(0), quarter, (2, 5)),
        ("scaled_tail around 3", narrow, lambda u: 1 / narrow(u), mpf(-1), mpf("10.2") / mpf("16.2"), (8,)),
        ("scaled_tail around 5", wide, lambda u: 1 / wide(u), mpf(-1), mpf(34) / mpf(44), (23,)),
    ]  # fmt: skip
    for name, f, weight, low, high, degrees in table:
        for degree in degrees:
            coefficients, error = minimax(f, weight, low, high, degree)
            print(
                f"{name} on [{float(low):.4g}, {float(high):.4g}], degree {degree}: 2^{float(mpmath.log(error, 2)):.1f}"
            )
            print("   ", ", ".join(float(c).hex() for c in coefficients))


if __name__ == "__main__":
    main()
