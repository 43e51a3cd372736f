"""The weights of a model alone, as a plain safetensors file that any framework reads or has written."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from minidl.checkpoint import StrPath, opened_safetensors, write_whole
from minidl.errors import CheckpointError, DTypeError
from minidl.nn.module import LoadResult, Module


def save_weights(path: StrPath, model: Module) -> None:
    """Write a model's state dict to a safetensors file, wholly or not at all.

    PyTorch reads it with ``model.load_state_dict(safetensors.torch.load_file(path))``.

    Parameters
    ----------
    path : str or path-like
        The file; its folder must exist.
    model : Module
        Its parameters and persistent buffers are written under their paths.

    Raises
    ------
    DTypeError
        If `model` is no Module.
    OSError
        If the file can't be written.

    Examples
    --------
    >>> import os, tempfile
    >>> import minidl
    >>> from minidl import nn
    >>> path = os.path.join(tempfile.mkdtemp(), "dense.safetensors")
    >>> minidl.save_weights(path, nn.Dense(4, 3))
    >>> minidl.load_weights(path, nn.Dense(4, 3))
    LoadResult(missing_keys=[], unexpected_keys=[])
    """
    from safetensors.numpy import save

    _check_model("save_weights", model)
    arrays = {key: np.ascontiguousarray(tensor.data) for key, tensor in model.state_dict().items()}
    write_whole(os.path.realpath(path), save(arrays))


def load_weights(path: StrPath, model: Module, strict: bool = True) -> LoadResult:
    """Read a safetensors file, such as PyTorch's state dict saved with ``safetensors.torch``, into a model by name.

    Parameters
    ----------
    path : str or path-like
        The file.
    model : Module
        Takes over all values, or (if anything is wrong) none; they are converted to the dtype that it has.
    strict : bool
        Whether names that are missing or unexpected are errors. A wrong shape always is.

    Returns
    -------
    LoadResult
        The names that did not match.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such file.
    CheckpointError
        If the file is damaged, or has a dtype that NumPy has not (bfloat16).
    StateDictError
        If the names or shapes are not the model's.
    DTypeError
        If `model` is no Module.

    Examples
    --------
    See `save_weights`.
    """
    _check_model("load_weights", model)
    where = f"load_weights: {os.fspath(path)}"
    with opened_safetensors(path, where) as file:
        arrays = {}
        for name in file.keys():
            try:
                arrays[name] = file.get_tensor(name)
            except (TypeError, AttributeError) as error:
                raise CheckpointError(
                    f"{where}: {name} has a dtype that NumPy does not know ({error}); save it as float32"
                ) from error
    return model.load_state_dict(arrays, strict)


def _check_model(op: str, model: Any) -> None:
    if not isinstance(model, Module):
        raise DTypeError(f"{op}: model must be a Module, got {type(model).__name__}")
