"""Errors go through pickle and copy as they are, and a worker's message arrives; layers stay behind."""

from __future__ import annotations

import copy
import pickle
import pkgutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import errors, nn
from minidl.checkpoint import CheckpointNotFoundError
from minidl.errors import GradcheckError, MinidlError, MissingExtraError, ShapeError


def all_errors() -> list[type[MinidlError]]:
    """Every error that minidl has, wherever it is defined."""
    for module in pkgutil.walk_packages(minidl.__path__, "minidl."):
        if "._ext" not in module.name:
            import_module(module.name)
    found, waiting = [], [MinidlError]
    while waiting:
        cls = waiting.pop()
        found.append(cls)
        waiting += cls.__subclasses__()
    return [cls for cls in found if cls.__module__.startswith("minidl.")]


ERRORS = all_errors()
COPIES: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    *(lambda e, p=p: pickle.loads(pickle.dumps(e, protocol=p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)),
]


class Raising(nn.Module):
    """Raises what it is told to, and can't be pickled."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.not_to_be_pickled = lambda: None

    def forward(self, x: Any) -> Any:
        raise self.error


def raised_in_a_model(cls: type[MinidlError]) -> MinidlError:
    model = nn.Sequential(nn.Identity(), nn.Sequential(Raising(cls("op: what went wrong"))))
    with pytest.raises(cls) as caught:
        model(minidl.ones(1))
    return caught.value


def test_all_errors_are_tried() -> None:
    in_module = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)}
    assert in_module <= set(ERRORS) and len(ERRORS) > len(in_module)


@pytest.mark.parametrize("cls", ERRORS, ids=[cls.__name__ for cls in ERRORS])
def test_errors_are_pickled_and_copied(cls: type[MinidlError]) -> None:
    alone, inside = cls("op: what went wrong"), raised_in_a_model(cls)
    inside.add_note("a note")
    assert str(inside) == "op: what went wrong\n  in layer 1.0 (Raising)" and inside.layer is not None
    for error in (alone, inside):
        for way in COPIES:
            twin = way(error)
            assert type(twin) is cls and str(twin) == str(error) and twin.message == error.message
            assert twin.args == error.args and twin.layer is None
            assert repr(twin) == repr(error)
            # A second time, as from a worker's worker.
            assert str(way(twin)) == str(error)
    assert pickle.loads(pickle.dumps(inside)).__notes__ == ["a note"]


def test_attributes_go_along() -> None:
    with pytest.raises(GradcheckError) as caught:
        minidl.gradcheck(lambda x: x.detach() * x, minidl.tensor([1.0, 2.0], dtype="float64", requires_grad=True))
    twin = pickle.loads(pickle.dumps(caught.value))
    assert str(twin) == str(caught.value) and str(twin.report) == str(caught.value.report)
    assert twin.report.to_dict() == caught.value.report.to_dict()
    inside = raised_in_a_model(ShapeError)
    inside.sample = 17  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(inside)).sample == 17


def test_what_errors_of_the_system_know() -> None:
    missing = CheckpointNotFoundError("load: no such file")
    missing.errno, missing.filename = 2, "run.safetensors"
    extra = MissingExtraError("plot: needs matplotlib")
    extra.name = "matplotlib"
    for way in COPIES:
        twin = way(missing)
        assert (twin.errno, twin.filename, str(twin)) == (2, "run.safetensors", "load: no such file")
        assert way(extra).name == "matplotlib"


class TwoArgumentsError(ShapeError):
    """An error of a user, whose arguments are not its message."""

    def __init__(self, op: str, *, size: int) -> None:
        super().__init__(f"{op}: {size} is too large")
        self.size = size


def test_errors_of_users() -> None:
    error = TwoArgumentsError("op", size=3)
    for way in COPIES:
        twin = way(error)
        assert type(twin) is TwoArgumentsError and str(twin) == "op: 3 is too large" and twin.size == 3


def test_a_path_goes_on_in_another_process() -> None:
    sent = pickle.loads(pickle.dumps(raised_in_a_model(ShapeError)))
    model = nn.Sequential(nn.Sequential(nn.Identity(), Raising(sent)))
    with pytest.raises(ShapeError) as caught:
        model(minidl.ones(1))
    # What is known of the layers here stands before what was known there.
    assert str(caught.value).splitlines()[1] == "  in layer 0.1.1.0 (Raising)"


def fail(number: int) -> None:
    """What a worker does: raises an error, of one of all classes or by a wrong call inside a model."""
    if number < len(ERRORS):
        raise raised_in_a_model(ERRORS[number])
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Sequential(nn.Conv2d(5, 4, 3)))
    model(np.ones((1, 3, 9, 9), np.float32))


@pytest.fixture(scope="module", params=["spawn", "fork"])
def pool(request: Any) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=get_context(request.param)) as executor:
        yield executor


def test_errors_of_a_worker_arrive(pool: ProcessPoolExecutor) -> None:
    futures = [pool.submit(fail, number) for number in range(len(ERRORS) + 1)]
    for cls, future in zip(ERRORS, futures, strict=False):
        error = future.exception(timeout=120)
        assert type(error) is cls and str(error) == "op: what went wrong\n  in layer 1.0 (Raising)"
    error = futures[-1].exception(timeout=120)
    assert type(error) is ShapeError
    assert str(error) == (
        "conv2d: input has 4 channels (axis 1 of (1, 4, 7, 7)), weight expects 5 (axis 1 of (4, 5, 3, 3))\n"
        "  in layer 2.0 (Conv2d)"
    )
