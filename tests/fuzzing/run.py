"""Calls made by seed and number, in a child process; what comes out that should not."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import inspect
import io
import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import minidl
from fuzzing import targets, values
from fuzzing.targets import Target, restore
from minidl import data, nn, optim
from minidl.autograd import TensorBase
from minidl.errors import MinidlError

# Address space that calls may take on top of what there is when they begin, in bytes.
MEMORY = 2 * 1024**3
# A call that takes longer is stopped and reported; one that can't be stopped is killed, and reported too.
SECONDS, SECONDS_TO_KILL = 10, 60
_MISSING = object()


class TookTooLongError(BaseException):
    """A call was stopped by the clock."""


class Plan:
    """The calls of a seed: which target the call of a number has, and with which arguments."""

    def __init__(self, seed: int, only: str = "", quickly: bool = False) -> None:
        self.seed = seed
        self.targets = [t for t in targets.found(quickly) if t.templates and t.name.startswith(only)]
        # Slow ones come a tenth as often.
        self._quick = [t for t in self.targets if not t.name.startswith(targets.SLOW)] or self.targets

    def call(self, number: int) -> tuple[Target, Any, inspect.BoundArguments | None, list, dict]:
        """The target, function and arguments of a call."""
        restore()
        random = Random(f"{self.seed} {number}")
        target = random.choice(self.targets if random.random() < 0.1 else self._quick)
        function, args, kwargs = random.choice(target.templates)()
        restore()
        return target, function, *_with_hostile_arguments(random, function, args, kwargs)


def _with_hostile_arguments(random: Random, function: Any, args: list, kwargs: dict) -> tuple[Any, list, dict]:
    try:
        signature = inspect.signature(_written(function))
        bound = signature.bind(*args, **kwargs)
    except (TypeError, ValueError):
        return None, args, kwargs
    parameters = [p for p in signature.parameters.values() if p.kind != p.VAR_KEYWORD]
    for _ in range(random.choice((1, 1, 1, 2, 2, 3)) if parameters else 0):
        p = random.choice(parameters)
        if p.kind == p.VAR_POSITIONAL:
            several = list(bound.arguments.get(p.name, ()))
            if several and random.random() < 0.8:
                at = random.randrange(len(several))
                several[at] = _other(random, several[at], bound)
            elif several and random.random() < 0.5:
                several.pop()
            else:
                several.append(values.hostile(random))
            bound.arguments[p.name] = tuple(several)
            if not several:
                del bound.arguments[p.name]
        else:
            now = bound.arguments.get(p.name, p.default if p.default is not p.empty else _MISSING)
            bound.arguments[p.name] = _other(random, now, bound)
    # What stands before several of them has to be there, to go by position.
    if any(p.kind == p.VAR_POSITIONAL and bound.arguments.get(p.name) for p in parameters):
        before = [p for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD and p.default is not p.empty]
        bound.arguments = {p.name: p.default for p in before} | bound.arguments
    # Arguments go by position as long as there is one for each.
    bound.arguments = {n: bound.arguments[n] for n in signature.parameters if n in bound.arguments}
    return bound, list(bound.args), dict(bound.kwargs)


def _written(function: Any) -> Any:
    """The function whose signature says what a call takes: a module's `forward`, since its call takes anything."""
    owner = getattr(function, "__self__", None) if getattr(function, "__name__", "") == "__call__" else function
    return owner.forward if isinstance(owner, nn.Module) else function


def _other(random: Random, now: Any, bound: inspect.BoundArguments) -> Any:
    draw = random.random()
    if now is _MISSING or draw < 0.45:
        return values.hostile(random)
    if draw < 0.95 or not bound.arguments:
        return values.mutated(random, now)
    return random.choice(list(bound.arguments.values()))


def describe(target: Target, bound: Any, args: list, kwargs: dict) -> str:
    """A call in a line."""
    named = bound.arguments if bound is not None else {**{str(i): v for i, v in enumerate(args)}, **kwargs}
    return f"{target.name}({', '.join(f'{name}={values.described(value)}' for name, value in named.items())})"


def use(result: Any) -> None:
    """Do with a result what users do: a strange argument that was let in may only show then."""
    if isinstance(result, TensorBase):
        if type(result.data) is not np.ndarray or result.data.dtype.kind not in "biuf":
            raise AssertionError(f"a tensor's data are {values.described(result.data)}")
        repr(result)
        if result.requires_grad and result._op is not None:
            result.sum().backward()
    elif isinstance(result, nn.Module):
        repr(result)
        _call(result)
    elif isinstance(result, optim.Optimizer):
        repr(result)
        for group in result.param_groups:
            for p in group["params"]:
                if p.data.dtype.kind == "f" and p.grad is None:
                    p.grad = minidl.Tensor(np.ones_like(p.data))
        result.step()
        result.load_state_dict(result.state_dict())
    elif isinstance(result, optim.lr_scheduler.LRScheduler):
        for _ in range(3):
            result.step(*((1.0,) if isinstance(result, optim.lr_scheduler.ReduceLROnPlateau) else ()))
        result.load_state_dict(result.state_dict())
    elif isinstance(result, data.DataLoader):
        list(itertools.islice(result, 3))
        result.state_dict()
    elif isinstance(result, data.Normalize | data.RandomShift):
        repr(result)
        result(np.ones((2, 1, 4, 4), np.uint8), generator=np.random.default_rng(0))
    elif isinstance(result, Iterator):
        list(itertools.islice(result, 3))
    elif isinstance(result, list | tuple):
        for each in result[:4]:
            use(each)


def _call(module: nn.Module) -> None:
    """Call a layer with an input that it takes, if one of a few is that."""
    if type(module).forward is nn.Module.forward:
        return
    taken = inspect.signature(module.forward).parameters.values()
    count = sum(p.default is p.empty and p.kind == p.POSITIONAL_OR_KEYWORD for p in taken)
    for inputs in _INPUTS:
        if len(inputs) == count:
            with contextlib.suppress(MinidlError):
                use(module(*map(minidl.Tensor, inputs)))
                return


_INPUTS = [
    (np.ones((2, 4, 8, 9), "float32"),), (np.ones((2, 4, 8), "float32"),), (np.ones((2, 3), "float32"),),
    (np.ones((2, 4), "float32"),), (np.zeros((2, 3), "int64"),), (np.ones((2, 3), "float32"),) * 2,
    (np.ones((2, 3), "float32"), np.zeros(2, "int64")), (np.ones((2, 3), "float32"),) * 3,
]  # fmt: skip


def _is_allowed(error: BaseException) -> bool:
    """Whether it is minidl's own, what the system says of a file by its name, or what an example's function raised."""
    if isinstance(error, MinidlError) or (isinstance(error, OSError) and error.filename is not None):
        return True
    last = traceback.extract_tb(error.__traceback__)[-1]
    is_wrongly_called = isinstance(error, TypeError) and re.match(r"(<lambda>|forward|backward)\(\)", str(error))
    return last.filename == "<example>" or is_wrongly_called is not None


def _stop(number: int, frame: Any) -> None:
    raise TookTooLongError


def make_call(plan: Plan, number: int) -> dict[str, Any] | None:
    """Make a call; what came of it, if that is neither a result nor an error of minidl's."""
    target, function, bound, args, kwargs = plan.call(number)
    line = describe(target, bound, args, kwargs)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("error")
            # Those are minidl's own words to a user.
            warnings.simplefilter("ignore", UserWarning)
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            try:
                use(function(*args, **kwargs))
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    except BaseException as error:
        if _is_allowed(error):
            return None
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "/minidl/" in f.filename]
        at = f"{frames[-1].filename.rpartition('/minidl/')[2]}:{frames[-1].lineno}" if frames else "the call"
        return {"number": number, "call": line, "kind": type(error).__name__, "error": f"{error!s:.200}", "at": at}
    return None


def _child(seed: int, start: int, stop: int, only: str, quickly: bool, progress: str, found: str) -> None:
    """Make calls; the number of the one that runs stands in `progress`."""
    faulthandler.enable(open(found + ".fault", "w"))
    signal.signal(signal.SIGALRM, _stop)
    plan = Plan(seed, only, quickly)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    at = os.open(progress, os.O_WRONLY)
    with open(found, "a") as out:
        for number in range(start, stop):
            os.pwrite(at, b"%20d" % number, 0)
            result = make_call(plan, number)
            if result is not None:
                out.write(json.dumps(result) + "\n")
                out.flush()
            if number % 500 == 0:
                for name in os.listdir():
                    with contextlib.suppress(OSError):
                        os.remove(name)
        os.pwrite(at, b"%20d" % stop, 0)


def run(
    seed: int, calls: int, only: str = "", quickly: bool = False, seconds: float = float("inf"), start: int = 0
) -> tuple[int, list[dict[str, Any]]]:
    """Make calls in child processes; how many were made, and what came out of them that should not."""
    deadline, began, stop = time.monotonic() + seconds, start, start + calls
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        progress, found, work = Path(folder, "progress"), Path(folder, "found"), Path(folder, "work")
        work.mkdir()
        own = map(str, Path(__file__).resolve().parents[1:3])
        paths = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), *own])
        environment = {**os.environ, "PYTHONPATH": paths, "MPLBACKEND": "Agg", "TMPDIR": str(work)}
        while start < stop and time.monotonic() < deadline:
            progress.write_bytes(b"%20d" % start)
            found.write_text("")
            command = [sys.executable, "-m", "fuzzing", "--child", str(progress), str(found), "--only", only]
            command += ["--quickly"] * quickly
            child = subprocess.Popen(
                [*command, "--seed", str(seed), "--start", str(start), "--calls", str(stop - start)],
                cwd=work, env=environment, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            why = _watch(child, progress, deadline)
            complaint = child.communicate()[1]
            results += [json.loads(text) for text in found.read_text().splitlines()]
            at = int(progress.read_bytes())
            if at >= stop or not why and time.monotonic() > deadline:
                start = at
                break
            if not why and child.returncode >= 0:
                raise RuntimeError(f"call {at} of seed {seed}: the fuzzer itself failed\n{complaint}")
            why = why or f"ends the process with {child.returncode}"
            where = Path(f"{found}.fault").read_text()
            results.append(
                {"number": at, "kind": "crash", "at": "", "error": f"{why}: {complaint[-800:]}{where[-1500:]}"}
            )
            start = at + 1
    crashes = [each for each in results if each["kind"] == "crash"]
    if crashes:
        plan = Plan(seed, only, quickly)
        for each in crashes:
            target, _, bound, args, kwargs = plan.call(each["number"])
            each["call"] = describe(target, bound, args, kwargs)
    return start - began, results


def _watch(child: subprocess.Popen, progress: Path, deadline: float) -> str:
    """Wait for a child, and end it at the deadline or where it does not go on; why, if that is the call's fault."""
    last, since = b"", time.monotonic()
    while child.poll() is None:
        time.sleep(0.02)
        now = progress.read_bytes()
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > SECONDS_TO_KILL:
            child.kill()
            return "hangs"
        if time.monotonic() > deadline:
            child.kill()
            break
    return ""


def report(results: list[dict[str, Any]], most: int = 3) -> str:
    """What was found, by the place that it comes from."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for each in results:
        groups.setdefault((each["kind"], each["at"]), []).append(each)
    lines = []
    for (kind, at), members in sorted(groups.items(), key=lambda item: -len(item[1])):
        lines.append(f"{len(members):5d} {kind} at {at}")
        for each in members[:most]:
            lines += [f"      {each['number']}: {each['call'][:400]}", f"          {each['error']}"]
    return "\n".join(lines)


def main() -> None:
    """Run from the command line; see the package's docstring."""
    parser = argparse.ArgumentParser(prog="python tests/fuzzing", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--call", type=int, help="make one call again, here")
    parser.add_argument("--only", default="", help="what the names of targets begin with")
    parser.add_argument("--quickly", action="store_true", help="only what examples and operations' rows call")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        _child(asked.seed, asked.start, asked.start + asked.calls, asked.only, asked.quickly, *asked.child)
    elif asked.call is not None:
        target, function, bound, args, kwargs = Plan(asked.seed, asked.only, asked.quickly).call(asked.call)
        print(describe(target, bound, args, kwargs))
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", UserWarning)
        result = function(*args, **kwargs)
        print("gives", values.described(result))
        use(result)
    else:
        began = time.perf_counter()
        made, results = run(asked.seed, asked.calls, asked.only, asked.quickly, start=asked.start)
        print(report(results))
        share, seconds = len(results) / max(made, 1), time.perf_counter() - began
        print(f"{made:,} calls of seed {asked.seed} in {seconds:.0f} s: {len(results):,} ({share:.2%}) came to no good")
