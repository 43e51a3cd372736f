"""LeNet-5's logits for a batch: a plain Sequential in eval mode under no_grad, beside its like.

python benchmarks/lenet_inference.py [--only 1000] [--rounds 10] [--quick]
"""

from __future__ import annotations

from typing import Any

import networks
import numpy as np
import training
from cases import Options, main, measure_cases

TITLE = "LeNet-5 inference"
BATCH_SIZES = (1, 64, 1000)
SIDES = [("minidl", 2)] + [(name, n) for name in ("torch", "torch_compile", "jax", "onnxruntime") for n in (1, 2)]


def _served(infer: Any, facts: dict[str, Any]) -> Any:
    logits = np.asarray(infer())
    return {"infer": infer}, facts | {"results": {"infer": float(np.abs(logits).mean())}}


def minidl(threads: int, batch_size: int) -> Any:
    """Inference in minidl."""
    facts = training.minidl_facts(threads)
    import minidl

    model = networks.minidl_model(networks.LENET).eval()
    images = minidl.Tensor(networks.images(batch_size))
    # A program enters it once, not once a batch.
    minidl.no_grad().__enter__()
    return _served(lambda: model(images).data, facts)


def torch(threads: int, batch_size: int, compile: bool = False) -> Any:
    """Inference in PyTorch."""
    facts = training.torch_facts(threads)
    import torch

    model: Any = networks.torch_model(networks.LENET).eval()
    if compile:
        torch._dynamo.reset()
        model = torch.compile(model)
    images = torch.from_numpy(networks.images(batch_size))
    torch.no_grad().__enter__()
    return _served(lambda: model(images), facts)


def torch_compile(threads: int, batch_size: int) -> Any:
    """Inference compiled by PyTorch."""
    return torch(threads, batch_size, compile=True)


def jax(threads: int, batch_size: int) -> Any:
    """Inference compiled by JAX."""
    jax = networks.import_jax(threads)
    parameters = [jax.numpy.array(value) for value in networks.weights(networks.LENET)]
    images, model = jax.numpy.array(networks.images(batch_size)), jax.jit(networks.jax_lenet)
    return _served(lambda: jax.block_until_ready(model(parameters, images)), {"version": jax.__version__})


def onnxruntime(threads: int, batch_size: int) -> Any:
    """Inference in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(networks.onnx_lenet(), options, providers=["CPUExecutionProvider"])
    feed = {"images": networks.images(batch_size)}
    return _served(lambda: session.run(None, feed)[0], {"version": onnxruntime.__version__})


def measure(options: Options, environment: dict[str, str]) -> list[Any]:
    """All batch sizes."""
    cases = {f"batch {size}": {"batch_size": size} for size in BATCH_SIZES}
    return measure_cases("lenet_inference", "infer", SIDES, cases, options, environment)


if __name__ == "__main__":
    main(TITLE, measure, __doc__)
