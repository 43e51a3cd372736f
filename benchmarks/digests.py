"""Digests (SHA-256) of what minidl computes, to show that a change that should move code alone moves no bit.

    python benchmarks/digests.py write FILE [--only REGEX] [--threads 1 2 3 4]
    python benchmarks/digests.py compare BEFORE AFTER

Written are, for each instruction set that the processor has: every layer of `layer_shapes.GRID`, forward and both
gradients, in float32 and float64, by each algorithm that applies; every row of the operations' test table with its
gradients; and LeNet and an MLP after a few steps of Adam. All of it through the public functions, so that the same
script runs on an older checkout: `PYTHONPATH=CHECKOUT python benchmarks/digests.py write FILE`.

Digests hold for one machine and one BLAS; they are compared, not kept. `compare` lists what differs, and exits with 1
if anything does, or if threads gave different bits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from layer_shapes import GRID, Layer
from networks import LENET, MLP, digits, images, minidl_model

INSTRUCTION_SETS = ("v2", "v3", "v4")
DTYPES = ("float32", "float64")
STEPS = 3
# Multiply-adds of a layer, from which on it is computed with fewer images: digests need not take an hour.
LARGEST = 2e9

Work = tuple[str, Any]


def digest(*arrays: Any) -> str:
    """Of arrays, with their dtypes and shapes."""
    found = hashlib.sha256()
    for array in arrays:
        array = np.asarray(array)
        found.update(f"{array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


@lru_cache(maxsize=1)
def _arrays(layer: Layer, dtype: str) -> list[np.ndarray]:
    """Of as many images as are computed."""
    batch = max(1, min(layer.batch, int(layer.batch * LARGEST / layer.flops)))
    generator = np.random.default_rng(0)
    shapes = [layer.shapes[name] for name in ("input", "weight", "bias", "output")]
    x, weight, bias, slope = (generator.standard_normal(shape, np.float32).astype(dtype) for shape in shapes)
    return [x[:batch], weight, bias, slope[:batch]]


def _convolve(layer: Layer, dtype: str, algorithm: str) -> Any:
    """The result and its gradients, or None if the algorithm does not apply."""
    import minidl
    import minidl.functional as F
    from minidl.errors import ArgumentError

    *arrays, slope = _arrays(layer, dtype)
    tensors = [minidl.tensor(array, requires_grad=True) for array in arrays]
    try:
        y = F.conv2d(*tensors, layer.stride, layer.padding, groups=layer.groups, algorithm=algorithm)
    except ArgumentError:
        return None
    return [y, *minidl.grad(y, tensors, minidl.tensor(slope))]


def _layer_works(layer: Layer) -> Iterator[Work]:
    from minidl.kernels import ALGORITHMS

    for dtype, algorithm in product(DTYPES, ALGORITHMS):
        yield f"{layer.name}, {dtype}, {algorithm}", partial(_convolve, layer, dtype, algorithm)


def _row_works() -> Iterator[Work]:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from op_cases import CASES
    from test_ops import arrays_of, value_and_gradients

    for name, case in CASES.items():
        for dtype in DTYPES:
            yield f"row {name}, {dtype}", lambda c=case, d=dtype: value_and_gradients(c, arrays_of(c, d))


def _network_works() -> Iterator[Work]:
    import minidl
    from minidl import nn

    def train(shapes: Any, inputs: Any, loss_of: Any, targets: Any) -> Any:
        model = minidl_model(shapes)
        optimizer = minidl.optim.Adam(model.parameters(), lr=1e-3)
        found = []
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = loss_of(model(minidl.tensor(inputs)), minidl.tensor(targets))
            loss.backward()
            optimizer.step()
            found.append(loss)
        with minidl.no_grad():
            found += [model(minidl.tensor(inputs[:count])) for count in (1, 7, len(inputs))]
        return [*found, *model.parameters()]

    for batch in (1, 5, 16, 64, 100):
        arrays = images(batch), digits(batch)
        yield f"LeNet, batch {batch}", lambda a=arrays: train(LENET, a[0], nn.CrossEntropyLoss(), a[1])
        points = np.random.default_rng(0).standard_normal((batch, MLP[0][1]), np.float32)
        targets = np.random.default_rng(1).standard_normal((batch, MLP[-2][0]), np.float32)
        yield f"MLP, batch {batch}", lambda x=points, y=targets: train(MLP, x, nn.MSELoss(), y)


def _works() -> Iterator[Work]:
    yield from _network_works()
    yield from _row_works()
    for layer in GRID:
        yield from _layer_works(layer)


def measure(only: str, threads: list[int]) -> None:
    """Print a line of JSON for each work: its name, and its digest for each number of threads."""
    import minidl

    for name, work in _works():
        if not re.search(only, name):
            continue
        found = {}
        for count in threads:
            minidl.set_num_threads(count)
            arrays = work()
            if arrays is None:
                break
            found[str(count)] = digest(*arrays)
        else:
            print(json.dumps([f"{os.environ['MINIDL_ISA']}: {name}", found]), flush=True)


def write(path: Path, only: str, threads: list[int]) -> None:
    """Run a process for each instruction set, and keep what they print."""
    found: dict[str, Any] = {}
    for isa in INSTRUCTION_SETS:
        environment = {**os.environ, "MINIDL_ISA": isa}
        known = subprocess.run([sys.executable, "-c", "import minidl"], env=environment, capture_output=True, text=True)
        if known.returncode:
            print(f"{isa}: left out, this processor does not have it", flush=True)
            continue
        begun = time.perf_counter()
        command = [sys.executable, __file__, "measure", "--only", only, "--threads", *map(str, threads)]
        lines = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
        rows = dict(json.loads(line) for line in lines.splitlines() if line.startswith("["))
        print(f"{isa}: {len(rows)} digests in {time.perf_counter() - begun:.0f} s", flush=True)
        found |= rows
    path.write_text(json.dumps(found, indent=0))


def compare(before: Path, after: Path) -> int:
    """Say what differs; the number of differences."""
    old, new = json.loads(before.read_text()), json.loads(after.read_text())
    both = old.keys() & new.keys()
    wrong = [f"{name}: threads differ" for name, found in new.items() if len(set(found.values())) > 1]
    wrong += [f"{name}: other bits" for name in sorted(both) if set(old[name].values()) != set(new[name].values())]
    for line in wrong:
        print(line)
    print(
        f"{len(both)} compared, {len(wrong)} differ; "
        f"{len(old) - len(both)} only before, {len(new) - len(both)} only after"
    )
    return len(wrong)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("write", "compare", "measure"))
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--only", default="", metavar="REGEX")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 3, 4])
    options = parser.parse_args()
    if options.action == "measure":
        measure(options.only, options.threads)
    elif options.action == "write" and len(options.files) == 1:
        write(options.files[0], options.only, options.threads)
    elif options.action == "compare" and len(options.files) == 2:
        sys.exit(bool(compare(*options.files)))
    else:
        parser.error("write takes one file, compare two")


if __name__ == "__main__":
    main()
