"""Initial values, written to a tensor in place and unrecorded.

Each function takes the tensor to fill and returns it. Those that draw take a `numpy.random.Generator`, minidl's own
(`manual_seed`) by default, and draw in float64 whatever the tensor's dtype, so that a seed means the same in both.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

import numpy as np

from minidl.dtypes import FLOAT64
from minidl.errors import ArgumentError
from minidl.nn._filling import checked, even, fans_of, fill, number
from minidl.ops._common import check_choice, read_number
from minidl.runtime import single_threaded_blas

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

Array = np.ndarray
Generator = np.random.Generator

_LAYERS = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_GAINS = {**dict.fromkeys((*_LAYERS, "sigmoid"), 1.0), "tanh": 5 / 3, "relu": sqrt(2), "selu": 3 / 4}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor on a weight's standard deviation that makes up for what a function after it takes away.

    Parameters
    ----------
    nonlinearity : str
        "linear", "sigmoid" and the names of convolutions (1), "tanh" (5 / 3), "relu" (sqrt(2)), "leaky_relu"
        (sqrt(2 / (1 + slope^2))) or "selu" (3 / 4).
    param : float, optional
        The slope below 0 of "leaky_relu", 0.01 by default.

    Returns
    -------
    float
        The factor.

    Raises
    ------
    ArgumentError
        If the name is another one, or `param` no number.

    References
    ----------
    He et al., "Delving deep into rectifiers", ICCV 2015, equations 10 and 15, for the rectifiers.

    Examples
    --------
    >>> import minidl
    >>> round(minidl.nn.init.calculate_gain("leaky_relu", 1.0), 4)
    1.0
    """
    check_choice("calculate_gain", "nonlinearity", nonlinearity, (*_GAINS, "leaky_relu"))
    if nonlinearity != "leaky_relu":
        return _GAINS[nonlinearity]
    slope = 0.01 if param is None else number("calculate_gain", "param", param)
    # Not a power, which overflows with an error of Python's where a product is infinite.
    return sqrt(2 / (1 + slope * slope))


def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Any:
    """Draw every element evenly from [a, b).

    Parameters
    ----------
    tensor : Tensor
        Float32 or float64; it is filled, and returned.
    a, b : float
        The limits.
    generator : numpy.random.Generator, optional
        minidl's own (`manual_seed`) by default.

    Returns
    -------
    Tensor
        The tensor itself.

    Raises
    ------
    ArgumentError
        If the limits are no numbers, or a is above b.

    Examples
    --------
    >>> import minidl
    >>> x = minidl.nn.init.uniform_(minidl.zeros(100), -1, 1)
    >>> bool((x.abs() <= 1).all())
    True
    """
    low, high = number("uniform_", "a", a), number("uniform_", "b", b)
    if low > high:
        raise ArgumentError(f"uniform_: a must be at most b, got {a!r} and {b!r}")
    return even("uniform_", tensor, low, high, generator)


def normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Any:
    """Draw every element from a normal distribution; arguments as in `uniform_`, errors too.

    Examples
    --------
    >>> import minidl
    >>> x = minidl.nn.init.normal_(minidl.zeros(10_000), 3, 0.1)
    >>> round(x.mean().item(), 1)
    3.0
    """
    centre, deviation = number("normal_", "mean", mean), number("normal_", "std", std, least=0)
    return fill("normal_", tensor, lambda shape, source: source.normal(centre, deviation, shape), generator)


def trunc_normal_(
    tensor: Any,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Any:
    """Draw every element from a normal distribution, again and again until it lies in [a, b].

    (What is drawn is an even share of the probability between a and b, of which this is the quantile.) The limits
    are values of the result, not multiples of `std`. Other arguments and errors are those of `normal_`.

    Examples
    --------
    >>> import minidl
    >>> x = minidl.nn.init.trunc_normal_(minidl.zeros(10_000), std=0.02, a=-0.04, b=0.04)
    >>> bool((x.abs() <= 0.04).all())
    True
    """
    from scipy.special import ndtr, ndtri

    op = "trunc_normal_"
    centre, deviation = number(op, "mean", mean), number(op, "std", std, least=0)
    low, high = number(op, "a", a, finite=False), number(op, "b", b, finite=False)
    if low >= high or deviation == 0:
        raise ArgumentError(f"{op}: std must be above 0, and a below b, got std={std!r}, a={a!r} and b={b!r}")
    # Near 1 probabilities lose their digits; so the side that has less of the distribution is made the left one.
    side = -1.0 if low + high > 2 * centre else 1.0
    first, last = sorted((ndtr(side * (low - centre) / deviation), ndtr(side * (high - centre) / deviation)))

    def draw(shape: tuple[int, ...], source: Generator) -> Array:
        values = centre + side * deviation * ndtri(source.uniform(first, last, shape))
        return np.clip(values, low, high)

    return fill(op, tensor, draw, generator)


def constant_(tensor: Any, val: float) -> Any:
    """Set every element to one number.

    Examples
    --------
    >>> import minidl
    >>> minidl.nn.init.constant_(minidl.zeros(2), 0.5)
    tensor([0.5, 0.5])
    """
    value = read_number("constant_", "val", val, FLOAT64)
    return fill("constant_", tensor, lambda shape, _: np.full(shape, value))


def ones_(tensor: Any) -> Any:
    """Set every element to 1.

    Examples
    --------
    >>> import minidl
    >>> minidl.nn.init.ones_(minidl.zeros(2))
    tensor([1., 1.])
    """
    return fill("ones_", tensor, lambda shape, _: np.ones(shape))


def zeros_(tensor: Any) -> Any:
    """Set every element to 0.

    Examples
    --------
    >>> import minidl
    >>> minidl.nn.init.zeros_(minidl.ones(2))
    tensor([0., 0.])
    """
    return fill("zeros_", tensor, lambda shape, _: np.zeros(shape))


def eye_(tensor: Any) -> Any:
    """Make a matrix the identity, so that a dense layer hands on as many inputs as it can.

    Examples
    --------
    >>> import minidl
    >>> minidl.nn.init.eye_(minidl.zeros(2, 3))
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    return fill("eye_", tensor, lambda shape, _: np.eye(*shape), ranks=(2,))


def dirac_(tensor: Any, groups: int = 1) -> Any:
    """Make a convolution hand on as many channels as it can: a 1 in the middle of a filter for each.

    Parameters
    ----------
    tensor : Tensor (F, C / groups, ...)
        A weight of 1 to 3 spatial dimensions; it is filled, and returned.
    groups : int
        Of the convolution; divides F.

    Returns
    -------
    Tensor
        The tensor itself.

    Raises
    ------
    ShapeError
        If the tensor has not 3 to 5 dimensions.
    ArgumentError
        If groups does not divide the filters.

    Examples
    --------
    >>> import minidl
    >>> minidl.nn.init.dirac_(minidl.zeros(1, 1, 3))
    tensor([[[0., 1., 0.]]])
    """
    if isinstance(groups, bool) or not isinstance(groups, int | np.integer) or groups < 1:
        raise ArgumentError(f"dirac_: groups must be an int of at least 1, got {groups!r}")

    def draw(shape: tuple[int, ...], _: Generator) -> Array:
        if shape[0] % groups:
            raise ArgumentError(f"dirac_: {shape[0]} filters (axis 0 of tensor) can't be split into {groups} groups")
        values, filters = np.zeros(shape), shape[0] // groups
        if not values.size:
            return values
        middle = [size // 2 for size in shape[2:]]
        for f in range(shape[0]):
            if f % filters < shape[1]:
                values[(f, f % filters, *middle)] = 1
        return values

    return fill("dirac_", tensor, draw, ranks=(3, 4, 5))


def xavier_uniform_(tensor: Any, gain: float = 1.0, generator: Generator | None = None) -> Any:
    """Draw a weight evenly from (-b, b) with b = gain sqrt(6 / (fan_in + fan_out)).

    Parameters
    ----------
    tensor : Tensor (out, in, ...)
        Float32 or float64; it is filled, and returned. Each output sums over fan_in inputs, each input goes to fan_out
        outputs.
    gain : float
        See `calculate_gain`.
    generator : numpy.random.Generator, optional
        minidl's own (`manual_seed`) by default.

    Returns
    -------
    Tensor
        The tensor itself.

    Raises
    ------
    ShapeError
        If the tensor has fewer than 2 dimensions.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010,
    equation 16.

    Examples
    --------
    >>> import minidl
    >>> weight = minidl.nn.init.xavier_uniform_(minidl.zeros(2, 4))
    >>> bool((weight.abs() <= 1).all())
    True
    """
    bound = sqrt(3) * _xavier_std("xavier_uniform_", tensor, gain)
    return even("xavier_uniform_", tensor, -bound, bound, generator)


def xavier_normal_(tensor: Any, gain: float = 1.0, generator: Generator | None = None) -> Any:
    """Draw a weight from a normal distribution with std = gain sqrt(2 / (fan_in + fan_out)); see `xavier_uniform_`.

    Examples
    --------
    >>> import minidl
    >>> weight = minidl.nn.init.xavier_normal_(minidl.zeros(100, 100))
    >>> round(weight.std().item(), 2)
    0.1
    """
    std = _xavier_std("xavier_normal_", tensor, gain)
    return fill("xavier_normal_", tensor, lambda shape, source: source.normal(0, std, shape), generator)


def kaiming_uniform_(
    tensor: Any,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Any:
    """Draw a weight evenly from (-b, b) with b = gain sqrt(3 / fan).

    Parameters
    ----------
    tensor : Tensor (out, in, ...)
        Float32 or float64; it is filled, and returned.
    a : float
        The slope below 0 of a leaky ReLU; sqrt(5) gives the bounds 1 / sqrt(fan_in) that PyTorch's layers start from.
    mode : {'fan_in', 'fan_out'}
        Whether values keep their size on the way forward or gradients on the way back: the fan is the number of
        inputs that an output sums over, or of outputs that an input goes to.
    nonlinearity : str
        What comes after the weight, for the gain; see `calculate_gain`.
    generator : numpy.random.Generator, optional
        minidl's own (`manual_seed`) by default.

    Returns
    -------
    Tensor
        The tensor itself.

    Raises
    ------
    ShapeError
        If the tensor has fewer than 2 dimensions.
    ArgumentError
        If an option has no allowed value.

    References
    ----------
    He et al., "Delving deep into rectifiers", ICCV 2015, equations 10, 14 and 15.

    Examples
    --------
    >>> import minidl
    >>> weight = minidl.nn.init.kaiming_uniform_(minidl.zeros(8, 6))
    >>> bool((weight.abs() <= 1).all())
    True
    """
    bound = sqrt(3) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return even("kaiming_uniform_", tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Any,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Any:
    """Draw a weight from a normal distribution with std = gain / sqrt(fan); see `kaiming_uniform_`.

    Examples
    --------
    >>> import minidl
    >>> weight = minidl.nn.init.kaiming_normal_(minidl.zeros(100, 200), nonlinearity="relu")
    >>> round(weight.std().item(), 2)
    0.1
    """
    std = _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity)
    return fill("kaiming_normal_", tensor, lambda shape, source: source.normal(0, std, shape), generator)


def orthogonal_(tensor: Any, gain: float = 1.0, generator: Generator | None = None) -> Any:
    """Draw a weight whose rows, or else columns, have length `gain` and are orthogonal, all such being as likely.

    Parameters
    ----------
    tensor : Tensor (rows, ...)
        Float32 or float64; it is filled, and returned. All dimensions but the first count as columns. Where there are
        more rows than columns, the columns are orthogonal, else the rows.
    gain : float
        See `calculate_gain`.
    generator : numpy.random.Generator, optional
        minidl's own (`manual_seed`) by default.

    Returns
    -------
    Tensor
        The tensor itself.

    Raises
    ------
    ShapeError
        If the tensor has fewer than 2 dimensions.

    References
    ----------
    Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", ICLR 2014;
    Mezzadri, "How to generate random matrices from the classical compact groups", Notices of the AMS 54, 2007.

    Examples
    --------
    >>> import minidl
    >>> weight = minidl.nn.init.orthogonal_(minidl.zeros(2, 3, dtype="float64"))
    >>> (weight @ weight.T - minidl.nn.init.eye_(minidl.zeros(2, 2, dtype="float64"))).abs().max().item() < 1e-12
    True
    """
    scale = number("orthogonal_", "gain", gain)

    def draw(shape: tuple[int, ...], source: Generator) -> Array:
        from scipy.linalg import qr

        rows, columns = shape[0], prod(shape[1:])
        values = source.normal(size=(rows, columns))
        if values.size == 0:
            return values.reshape(shape)
        with single_threaded_blas:
            q, r = qr(values if rows >= columns else values.T, mode="economic")
        # LAPACK's choice of signs alone would not make all matrices as likely.
        q *= np.where(np.diag(r) < 0, -scale, scale)
        return (q if rows >= columns else q.T).reshape(shape)

    return fill("orthogonal_", tensor, draw, generator, ranks=None)


def _xavier_std(op: str, tensor: Any, gain: float) -> float:
    factor = number(op, "gain", gain, least=0)
    return factor * sqrt(2 / max(sum(fans_of(op, checked(op, tensor).shape)), 1))


def _kaiming_std(op: str, tensor: Any, a: float, mode: str, nonlinearity: str) -> float:
    check_choice(op, "mode", mode, ("fan_in", "fan_out"))
    fan = fans_of(op, checked(op, tensor).shape)[0 if mode == "fan_in" else 1]
    return calculate_gain(nonlinearity, number(op, "a", a)) / sqrt(max(fan, 1))
