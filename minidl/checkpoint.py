"""Checkpoints: everything that a resumed run needs, in one safetensors file.

Arrays are tensors of the file; all else is JSON in its metadata, where a reference stands for each array. A file is
written beside its name and then renamed, so that under the name there is always a whole one, the old or the new.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from minidl.errors import CheckpointError, CheckpointNotFoundError, DTypeError, StateDictError
from minidl.files import (
    StrPath,
    TensorFile,
    Unpacker,
    checked_path,
    content_checksum,
    cut,
    opened_tensors,
    pack,
    read_json,
    set_generator_state,
    shortened,
    storable,
    tensor_bytes,
    write_whole,
)
from minidl.kernels import recall_algorithms, remembered_algorithms
from minidl.runtime import default_generator

__all__ = ["CheckpointNotFoundError", "load_checkpoint", "save_checkpoint"]

FORMAT = "minidl.checkpoint"
VERSION = 1


def save_checkpoint(
    path: StrPath,
    *,
    model: Any = None,
    optimizer: Any = None,
    scheduler: Any = None,
    loader: Any = None,
    generators: Mapping[str, np.random.Generator] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write the state of a run to one safetensors file, wholly or not at all.

    The file appears under its name only when it is complete and on the disk: until then, and if anything goes wrong,
    an older one stays as it was. The state of minidl's default generator is always part of it.

    Parameters
    ----------
    path : str or path-like
        The file; its folder must exist.
    model : Module, optional
        Its parameters and persistent buffers, as tensors "model.<path>".
    optimizer : Optimizer, optional
        Its options and what it remembers of each parameter.
    scheduler : LRScheduler, optional
        Where it is.
    loader : DataLoader, optional
        Its epoch, its position within the epoch, and its generator.
    generators : mapping from str to numpy.random.Generator, optional
        Further generators that the run draws from, such as a dropout layer's own.
    extra : mapping, optional
        Anything else: numbers, strings, None, arrays, and lists, tuples and dicts of them. NumPy scalars come back
        as Python numbers, tensors as arrays.

    Raises
    ------
    DTypeError
        If something can't be written, naming it.
    ArgumentError
        If `path` can't be a file's name, or an array has a name that can't be written.
    StateDictError
        If the shape of a parameter is not known yet.
    OSError
        If the file can't be written: no such folder, no permission, no space left.

    Examples
    --------
    >>> import tempfile
    >>> import minidl
    >>> model = minidl.nn.Dense(3, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/run.safetensors", model=model, extra={"epoch": 4})
    ...     load_checkpoint(f"{folder}/run.safetensors", model=model)
    {'epoch': 4}
    """
    op = "save_checkpoint"
    checked_path(op, path)
    tensors: dict[str, np.ndarray] = {}
    parts: dict[str, Any] = {}
    if model is not None:
        for key, tensor in _method(op, "model", model, "state_dict")().items():
            tensors[f"model.{key}"] = storable(tensor.data, f"{op}: model.{key}")
        parts["model"] = {"type": type(model).__name__}
    for name, part in (("optimizer", optimizer), ("scheduler", scheduler), ("loader", loader)):
        if part is not None:
            state = _method(op, name, part, "state_dict")()
            parts[name] = {"type": type(part).__name__, "state": pack(state, name, tensors, op)}
    named = _checked_generators(op, generators)
    for group, members in (("default_generator", {"": default_generator()}), ("generators", named)):
        states = {name: generator.bit_generator.state for name, generator in members.items()}
        parts[group] = {"state": pack(states, group, tensors, op)}
    if extra is not None and not isinstance(extra, Mapping):
        raise DTypeError(f"{op}: extra must be a mapping, got {type(extra).__name__}")
    parts["extra"] = {"state": pack(dict(extra or {}), "extra", tensors, op)}
    parts["algorithms"] = {"state": remembered_algorithms()}
    metadata = {"format": FORMAT, "version": str(VERSION), "state": json.dumps(parts, allow_nan=False)}
    metadata["sha256"] = content_checksum(tensors, metadata)
    write_whole(path, tensor_bytes(op, tensors, metadata))


def load_checkpoint(
    path: StrPath,
    *,
    model: Any = None,
    optimizer: Any = None,
    scheduler: Any = None,
    loader: Any = None,
    generators: Mapping[str, np.random.Generator] | None = None,
) -> dict[str, Any]:
    """Bring a run to where another one was when it wrote a checkpoint, wholly or not at all.

    Only what is asked for is loaded, and if any of it does not fit, everything stays as it was. minidl's default
    generator goes on from where it was too, unless only the model is asked for, or nothing.

    Parameters
    ----------
    path : str or path-like
        The file that `save_checkpoint` wrote.
    model : Module, optional
        A model with the same parameters and buffers; sizes that were given as None are learned from the file.
    optimizer, scheduler, loader : optional
        Of the same kind, built in the same way, as those that were saved.
    generators : mapping from str to numpy.random.Generator, optional
        The generators whose states to restore, by the names under which they were saved.

    Returns
    -------
    dict
        The `extra` that was saved.

    Raises
    ------
    CheckpointError
        If the file is damaged (all of it is under a checksum), of another format or a newer version, or lacks
        something that was asked for. If there is no file, the error is a FileNotFoundError too.
    StateDictError
        If a part does not fit what it is loaded into, naming every key in question.

    Examples
    --------
    >>> load_checkpoint("no such file")
    Traceback (most recent call last):
    minidl.errors.CheckpointNotFoundError: load_checkpoint: no such file: there is no such file
    """
    where = f"load_checkpoint: {checked_path('load_checkpoint', path)}"
    named = _checked_generators("load_checkpoint", generators)
    given = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "loader": loader}
    wanted = {name: part for name, part in given.items() if part is not None}
    for name, part in wanted.items():
        _method("load_checkpoint", name, part, "load_state_dict")
    resumes = bool(named) or any(name != "model" for name in wanted)

    with opened_tensors(path, "load_checkpoint") as file:
        parts = _read_metadata(file)
        for name, part in wanted.items():
            if name not in parts:
                held = [name for name in given if name in parts]
                raise CheckpointError(f"{where}: holds no {name}; it holds {', '.join(held) or 'nothing of the kind'}")
            found = parts[name].get("type")
            if name in ("optimizer", "scheduler") and found != type(part).__name__:
                shown = found if isinstance(found, str) and len(found) < 80 else shortened(found)
                raise CheckpointError(f"{where}: holds the {name} {shown}, asked for was {type(part).__name__}")
        unpacker = Unpacker(file)
        states = {name: unpacker.unpack(parts[name]["state"]) for name in wanted if name != "model"}
        if "model" in wanted:
            keys = [key for key in file.entries if key.startswith("model.")]
            states["model"] = {key.removeprefix("model."): unpacker.array(key) for key in keys}
        saved = _dict(unpacker, parts, "generators", where)
        default = _dict(unpacker, parts, "default_generator", where)
        extra = _dict(unpacker, parts, "extra", where)
        # Older files have none.
        algorithms = parts.get("algorithms", {"state": []})["state"]

    lacking = [name for name in named if name not in saved]
    if lacking:
        raise CheckpointError(f"{where}: holds no generators named {lacking}; it holds {shortened(list(saved))}")
    if resumes and "" not in default:
        raise CheckpointError(f"{where}: is damaged: it holds no state of the default generator")
    undo: list[Callable[[], None]] = []
    name = ""
    try:
        for name, part in wanted.items():
            undo.append((_remembered_model if name == "model" else _remembered)(part))
            part.load_state_dict(states[name])
        # Last, because inferring sizes draws from the default generator.
        pending = [(named[name], saved[name], f"generator {name!r}") for name in named]
        pending += [(default_generator(), default[""], "default generator")] if resumes else []
        for generator, state, label in pending:
            name = label
            undo.append(_remembered_generator(generator))
            set_generator_state(generator, state)
        name = "algorithms"
        recall_algorithms(algorithms if resumes else [])
    except BaseException as error:
        for restore in reversed(undo):
            restore()
        if isinstance(error, StateDictError):
            raise StateDictError(f"{where}: {name}: {cut(error.message)}") from error
        if isinstance(error, Exception):
            raise CheckpointError(f"{where}: the {name} does not fit: {cut(str(error))}") from error
        raise
    return extra


def _method(op: str, name: str, part: Any, method: str) -> Callable[..., Any]:
    if not callable(getattr(part, method, None)):
        raise DTypeError(f"{op}: {name} must have {method}(), got {type(part).__name__}")
    return getattr(part, method)


def _checked_generators(op: str, generators: Any) -> dict[str, np.random.Generator]:
    if generators is not None and not isinstance(generators, Mapping):
        raise DTypeError(f"{op}: generators must be a mapping from names, got {type(generators).__name__}")
    named = dict(generators or {})
    for name, generator in named.items():
        if not isinstance(name, str) or not isinstance(generator, np.random.Generator):
            raise DTypeError(f"{op}: generators must map str to Generator, got {name!r}: {type(generator).__name__}")
    return named


# The file's contents


def _read_metadata(file: TensorFile) -> dict[str, Any]:
    """The parts that a checkpoint's metadata tell of, once it is known to be what was written."""
    where, metadata = file.where, file.metadata
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{where}: is a safetensors file but no checkpoint of minidl: its format is "
            f"{shortened(metadata.get('format'))}, expected {FORMAT!r}"
        )
    version = metadata.get("version", "")
    if not version.isdecimal():
        raise CheckpointError(f"{where}: is damaged: its format version is {shortened(version)}, expected a number")
    # Python refuses to read thousands of digits.
    if len(version) > 9 or int(version) > VERSION:
        raise CheckpointError(
            f"{where}: was written by a newer minidl: its format version is {version:.20}, "
            f"this one reads up to {VERSION}"
        )
    # Files from before there was a checksum have none. One whose name is damaged must not count as such.
    unknown = sorted(set(metadata) - {"format", "version", "state", "sha256"})
    if unknown:
        raise CheckpointError(f"{where}: is damaged: its metadata holds the unknown {shortened(unknown[0])}")
    if "sha256" in metadata and file.content_checksum() != metadata["sha256"]:
        raise CheckpointError(f"{where}: is damaged: what it holds is not what its checksum (SHA-256) was made of")
    try:
        parts = read_json(metadata["state"])
        for name in ("default_generator", "generators", "extra"):
            if not isinstance(parts[name]["state"], dict):
                raise TypeError(f"{name} is no object")
        for name, part in parts.items():
            if not isinstance(part, dict) or (name != "model" and "state" not in part):
                raise TypeError(f"{name} has no state")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{where}: is damaged: its metadata can't be read ({error!r:.200})") from error
    return parts


def _dict(unpacker: Unpacker, parts: dict[str, Any], name: str, where: str) -> dict[Any, Any]:
    """The state of a part that is always a dict."""
    state = unpacker.unpack(parts[name]["state"])
    if not isinstance(state, dict):
        raise CheckpointError(f"{where}: is damaged: its {name} is no dict but {shortened(state)}")
    return state


# The way back


def _remembered(part: Any) -> Callable[[], None]:
    """A function that undoes `part.load_state_dict`, which replaces attributes, options of groups, and a generator."""
    attributes = dict(vars(part))
    undo = []
    optimizer = getattr(part, "optimizer", part)
    groups = [(group, dict(group)) for group in getattr(optimizer, "param_groups", ())]
    if isinstance(getattr(part, "generator", None), np.random.Generator):
        undo.append(_remembered_generator(part.generator))

    def restore() -> None:
        vars(part).clear()
        vars(part).update(attributes)
        for group, options in groups:
            group.clear()
            group.update(options)
        for step in undo:
            step()

    return restore


def _remembered_model(model: Any) -> Callable[[], None]:
    """A function that undoes `model.load_state_dict`, the inferring of sizes included."""
    modules = [(module, dict(vars(module))) for module in model.modules()]
    tensors = [(t, t.data, t.data.copy(), getattr(t, "is_initialised", None)) for t in _tensors_of(model)]
    undo = _remembered_generator(default_generator())

    def restore() -> None:
        for module, attributes in modules:
            vars(module).clear()
            vars(module).update(attributes)
        for tensor, array, values, is_initialised in tensors:
            tensor._data = array
            if array.flags.writeable:
                array[...] = values
            if is_initialised is not None:
                tensor.is_initialised = is_initialised
        undo()

    return restore


def _tensors_of(model: Any) -> Iterator[Any]:
    yield from model.parameters()
    yield from model.buffers()


def _remembered_generator(generator: np.random.Generator) -> Callable[[], None]:
    state = generator.bit_generator.state

    def restore() -> None:
        generator.bit_generator.state = state

    return restore
