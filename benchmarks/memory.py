"""Peak memory of a convolution's three directions above its tensors, and page faults of a LeNet training step.

    python benchmarks/memory.py [--only '^004|step']

Each layer runs in a process of its own, forked before the library computed anything. Its peak is the system's
(VmHWM, reset beforehand); from it go the process's memory before the layer's arrays were made, when the library had
computed a tiny layer and so set itself up, and the arrays: input, weight, bias, output, and the gradients of all four.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layers
import lenet_step
import report
from cases import Options, main
from harness import Bench
from layer_shapes import GRID, Layer

TITLE = "Memory"
SIDES = [("minidl", 2), ("torch", 2)]
TINY = Layer("tiny", 1, 1, (8, 8), 1, (3, 3))
WARM_UP, STEPS, BATCH_SIZE = 20, 200, 64


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def _in_child(function: Callable[[], Any]) -> Any:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(function()).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    os.waitpid(child, 0)
    if not text:
        raise RuntimeError("the measuring process failed")
    return json.loads(text)


def _above(compute: Callable[[Layer], Any], layer: Layer) -> dict[str, float]:
    compute(TINY)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    held = compute(layer)
    peak = _status("VmHWM")
    # Of each array there is its gradient too.
    tensors = 2 * sum(array.nbytes for array in held)
    return {"above": peak - before - tensors, "tensors": tensors}


def _faults(step: Callable[[], Any]) -> dict[str, float]:
    faults = []
    for _ in range(WARM_UP + STEPS):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        step()
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return {"faults": statistics.median(faults[WARM_UP:])}


def minidl(threads: int, layer: str = "") -> Any:
    """Memory of a layer, or without one page faults of a step, in minidl."""
    import minidl
    import minidl.functional as F

    def compute(layer: Layer) -> list[Any]:
        tensors = [minidl.Tensor(a, requires_grad=i < 3) for i, a in enumerate(layers.arrays(layer).values())]
        output = F.conv2d(*tensors[:3], layer.stride, layer.padding, groups=layer.groups)
        output.backward(tensors[3])
        return [tensor.data for tensor in tensors]

    def measure() -> dict[str, float]:
        minidl.set_num_threads(threads)
        if layer:
            return _above(compute, layers.LAYERS[layer])
        return _faults(lenet_step.minidl(threads, BATCH_SIZE)[0]["step"])

    return {}, _in_child(measure)


def torch(threads: int, layer: str = "") -> Any:
    """Memory of a layer, or without one page faults of a step, in PyTorch."""
    import torch
    import torch.nn.functional as F

    def compute(layer: Layer) -> list[Any]:
        tensors = [torch.from_numpy(a).requires_grad_(i < 3) for i, a in enumerate(layers.arrays(layer).values())]
        output = F.conv2d(*tensors[:3], layer.stride, layer.padding, groups=layer.groups)
        torch.autograd.backward(output, tensors[3])
        return tensors

    def measure() -> dict[str, float]:
        torch.set_num_threads(threads)
        if layer:
            return _above(compute, layers.LAYERS[layer])
        return _faults(lenet_step.torch(threads, BATCH_SIZE)[0]["step"])

    return {}, _in_child(measure)


def measure(options: Options, environment: dict[str, str]) -> dict[str, dict[str, float]]:
    """Bytes above the tensors by layer and library; and page faults, under "step"."""
    found: dict[str, dict[str, float]] = {}
    with Bench("memory", SIDES, environment) as bench:
        for name in ["step", *(layer.name for layer in GRID)]:
            if options.wants(name):
                workers = bench.prepare(layer="" if name == "step" else name)
                key = "faults" if name == "step" else "above"
                found[name] = {worker.library: worker.facts[key] for worker in workers}
    return found


def show(found: dict[str, dict[str, float]]) -> str:
    """Tables of page faults and of memory."""
    parts = []
    if step := found.get("step"):
        said = ", ".join(f"{report.NAMES[library]} {value:g}" for library, value in step.items())
        parts.append(f"Page faults of a LeNet training step, batch {BATCH_SIZE}, median of {STEPS} steps: {said}")
    rows = [
        [name, *(report.megabytes(values.get(library)) for library, _ in SIDES)]
        for name, values in found.items()
        if name != "step"
    ]
    if rows:
        parts.append(report.table(["layer", *(f"{report.NAMES[library]}, MB above" for library, _ in SIDES)], rows))
    return "\n\n".join(parts)


if __name__ == "__main__":
    main(TITLE, measure, __doc__, show)
