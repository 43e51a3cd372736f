"""The weights of a model alone, as a plain safetensors file that any framework reads or has written."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.errors import DTypeError, StateDictError
from minidl.files import (
    StrPath,
    TensorFile,
    checked_path,
    cut,
    opened_tensors,
    shortened,
    storable,
    tensor_bytes,
    write_whole,
)
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
    op = "save_weights"
    _check_model(op, model)
    checked_path(op, path)
    arrays = {key: storable(tensor.data, f"{op}: {key}") for key, tensor in model.state_dict().items()}
    write_whole(path, tensor_bytes(op, arrays))


def load_weights(path: StrPath, model: Module, strict: bool = True) -> LoadResult:
    """Read a safetensors file, such as PyTorch's state dict saved with ``safetensors.torch``, into a model by name.

    Parameters
    ----------
    path : str or path-like
        The file. Of a tensor that the model has under several names, as with tied weights, it may hold just one, as
        files of ``safetensors.torch.save_model`` do.
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
    op = "load_weights"
    _check_model(op, model)
    where = f"{op}: {checked_path(op, path)}"
    with opened_tensors(path, op) as file:
        twins = _twins(model, file, strict)
        expected = model._expected_shapes()
        arrays = {name: _array(file, name, expected.get(name)) for name in file.entries}
    arrays |= {name: arrays[twin] for name, twin in twins.items()}
    try:
        return model.load_state_dict(arrays, strict)
    except (StateDictError, DTypeError) as error:
        raise type(error)(f"{where}: {cut(error.message)}") from error


def _array(file: TensorFile, name: str, expected: tuple[int | None, ...] | None) -> np.ndarray:
    """An array of a file, or what will be refused like it, or passed over, without being read."""
    shape, dtype = file.entries[name].shape, file.dtype(name)
    fits = expected is not None and len(shape) == len(expected)
    if fits and all(e is None or e == n for n, e in zip(shape, expected or (), strict=True)):
        return file.array(name)
    return np.broadcast_to(np.zeros((), np.float32 if dtype == np.float16 else dtype), shape)


def _twins(model: Module, file: TensorFile, strict: bool) -> dict[str, str]:
    """Names that the file lacks, with the names under which it has the same tensors of the model.

    `safetensors.torch.save_model` stores a tensor that a model has under several names only once, and says in the
    metadata which name stands for the others. The model knows best which of its tensors are one; what the file says
    only explains why a name is missing.
    """
    own = dict(model._state())
    held = {id(tensor): name for name, tensor in own.items() if name in file.entries}
    twins, problems = {}, []
    for name, tensor in own.items():
        if name in file.entries:
            continue
        said = file.metadata.get(name)
        if said in file.entries and said in own and own[said] is not tensor:
            problems.append(
                f"{name} is missing: the file was written by a model in which it and {said} were one tensor, and in "
                "this model they are two; make them one"
            )
        elif id(tensor) in held:
            twins[name] = held[id(tensor)]
        elif said is not None:
            problems.append(f"{name} is missing, and so is {shortened(said)}, which the file says stands for it")
    if problems and strict:
        raise StateDictError(f"{file.where}: {type(model).__name__} does not fit; " + cut("\n  ".join(problems)))
    return twins


def _check_model(op: str, model: Any) -> None:
    if not isinstance(model, Module):
        raise DTypeError(f"{op}: model must be a Module, got {type(model).__name__}")
