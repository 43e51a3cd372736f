"""The state of a random generator, as a file holds it, judged before NumPy takes it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from minidl.errors import ArgumentError

# NumPy takes these as they come. As positions in a buffer they would make it read memory that is not its own.
_LARGEST = {"pos": 624, "buffer_pos": 4, "has_uint32": 1, "uinteger": 2**32 - 1}


def set_generator_state(generator: np.random.Generator, state: Any) -> None:
    """Put a generator where another one was, wholly or not at all.

    Parameters
    ----------
    generator : numpy.random.Generator
        What is set.
    state : dict
        What `generator.bit_generator.state` gave; lists may stand for arrays.

    Raises
    ------
    ArgumentError
        If it is no state of a generator of this kind.
    """
    previous_state = generator.bit_generator.state
    kind = previous_state["bit_generator"]
    checked = _checked(state, previous_state, "state", kind)
    try:
        generator.bit_generator.state = checked
    except Exception as error:
        generator.bit_generator.state = previous_state
        raise ArgumentError(f"generator: the state is none of a {kind} ({error})") from error


def _checked(value: Any, like: Any, where: str, kind: str) -> Any:
    """`value` with the structure of `like`, which is a state that the generator had."""

    def refused(expected: str) -> ArgumentError:
        return ArgumentError(f"generator: {where} of a {kind} must be {expected}, got {value!r:.80}")

    if isinstance(like, dict):
        if not isinstance(value, dict) or not set(like) <= set(value):
            raise refused(f"a dict of {', '.join(like)}")
        return {name: _checked(value[name], entry, f"{where}[{name!r}]", kind) for name, entry in like.items()}
    if isinstance(like, np.ndarray):
        if isinstance(value, list) and all(type(number) is int for number in value):
            # NumPy would make floats of some lists of large numbers.
            with suppress(OverflowError):
                value = np.array(value, like.dtype)
        if not isinstance(value, np.ndarray) or (value.shape, value.dtype) != (like.shape, like.dtype):
            raise refused(f"{like.size} numbers of {like.dtype}")
        return value
    if isinstance(like, int | np.integer):
        largest = _LARGEST.get(where.rpartition("['")[2].removesuffix("']"))
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise refused("an int")
        if largest is not None and not 0 <= value <= largest:
            raise refused(f"an int from 0 to {largest}")
        return int(value)
    # Some values can't even be compared with a word.
    if type(value) is not type(like) or value != like:
        raise refused(f"{like!r}")
    return value
