"""Checkpoints: everything that a resumed run needs, in one safetensors file.

Arrays are tensors of the file; all else is JSON in its metadata, where a reference stands for each array. A file is
written beside its name and then renamed, so that under the name there is always a whole one, the old or the new.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import isfinite
from typing import Any

import numpy as np

from minidl.autograd import TensorBase
from minidl.errors import CheckpointError, DTypeError, StateDictError
from minidl.kernels import recall_algorithms, remembered_algorithms
from minidl.runtime import default_generator

FORMAT = "minidl.checkpoint"
VERSION = 1

StrPath = str | os.PathLike[str]


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """There is no checkpoint file of this name."""


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
    from safetensors.numpy import save

    tensors: dict[str, np.ndarray] = {}
    parts: dict[str, Any] = {}
    if model is not None:
        for key, tensor in _method("save_checkpoint", "model", model, "state_dict")().items():
            tensors[f"model.{key}"] = _storable(tensor.data, f"model.{key}")
        parts["model"] = {"type": type(model).__name__}
    for name, part in (("optimizer", optimizer), ("scheduler", scheduler), ("loader", loader)):
        if part is not None:
            state = _method("save_checkpoint", name, part, "state_dict")()
            parts[name] = {"type": type(part).__name__, "state": _pack(state, name, tensors)}
    named = _checked_generators("save_checkpoint", generators)
    for group, members in (("default_generator", {"": default_generator()}), ("generators", named)):
        states = {name: generator.bit_generator.state for name, generator in members.items()}
        parts[group] = {"state": _pack(states, group, tensors)}
    if extra is not None and not isinstance(extra, Mapping):
        raise DTypeError(f"save_checkpoint: extra must be a mapping, got {type(extra).__name__}")
    parts["extra"] = {"state": _pack(dict(extra or {}), "extra", tensors)}
    parts["algorithms"] = {"state": remembered_algorithms()}
    metadata = {"format": FORMAT, "version": str(VERSION), "state": json.dumps(parts, allow_nan=False)}
    write_whole(os.path.realpath(path), save(tensors, metadata))


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
        If the file is damaged, of another format or a newer version, or lacks something that was asked for. If there
        is no file, the error is a FileNotFoundError too.
    StateDictError
        If a part does not fit what it is loaded into, naming every key in question.

    Examples
    --------
    >>> load_checkpoint("no such file")
    Traceback (most recent call last):
    minidl.checkpoint.CheckpointNotFoundError: load_checkpoint: no such file: there is no such file
    """
    where = f"load_checkpoint: {os.fspath(path)}"
    named = _checked_generators("load_checkpoint", generators)
    given = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "loader": loader}
    wanted = {name: part for name, part in given.items() if part is not None}
    for name, part in wanted.items():
        _method("load_checkpoint", name, part, "load_state_dict")
    resumes = bool(named) or any(name != "model" for name in wanted)

    with opened_safetensors(path, where) as file:
        parts = _read_metadata(file, where)
        for name, part in wanted.items():
            if name not in parts:
                held = [name for name in given if name in parts]
                raise CheckpointError(f"{where}: holds no {name}; it holds {', '.join(held) or 'nothing of the kind'}")
            found = parts[name].get("type")
            if name in ("optimizer", "scheduler") and found != type(part).__name__:
                raise CheckpointError(f"{where}: holds the {name} {found}, asked for was {type(part).__name__}")
        states = {name: _unpack(parts[name]["state"], file, where) for name in wanted if name != "model"}
        if "model" in wanted:
            keys = [key for key in file.keys() if key.startswith("model.")]
            states["model"] = {key.removeprefix("model."): _unpack({"$array": key}, file, where) for key in keys}
        saved = _unpack(parts["generators"]["state"], file, where)
        default = _unpack(parts["default_generator"]["state"], file, where)
        extra = _unpack(parts["extra"]["state"], file, where)
        # Older files have none.
        algorithms = parts.get("algorithms", {"state": []})["state"]

    lacking = [name for name in named if name not in saved]
    if lacking:
        raise CheckpointError(f"{where}: holds no generators named {lacking}; it holds {list(saved)}")
    undo: list[Callable[[], None]] = []
    name = ""
    try:
        for name, part in wanted.items():
            undo.append((_remembered_model if name == "model" else _remembered)(part))
            part.load_state_dict(states[name])
        # Last, because inferring sizes draws from the default generator.
        to_set = [(named[name], saved[name], f"generator {name!r}") for name in named]
        to_set += [(default_generator(), default[""], "default generator")] if resumes else []
        for generator, state, label in to_set:
            name = label
            undo.append(_remembered_generator(generator))
            generator.bit_generator.state = state
        name = "algorithms"
        recall_algorithms(algorithms if resumes else [])
    except BaseException as error:
        for restore in reversed(undo):
            restore()
        if isinstance(error, StateDictError):
            raise StateDictError(f"{where}: {name}: {error.message}") from error
        if isinstance(error, Exception):
            raise CheckpointError(f"{where}: the {name} does not fit: {error}") from error
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


# To and from JSON


def _storable(array: np.ndarray, where: str) -> np.ndarray:
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise DTypeError(f"save_checkpoint: {where} is an array of dtype {array.dtype}, which can't be stored")
    # safetensors copies the memory as it lies. Unlike ascontiguousarray, this leaves 0-d arrays 0-d.
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


def _pack(value: Any, where: str, tensors: dict[str, np.ndarray]) -> Any:
    """`value` in terms of JSON; its arrays go into `tensors`. What JSON lacks becomes {"$kind": content}."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        return number if isfinite(number) else {"$float": repr(number)}
    if isinstance(value, np.ndarray | TensorBase):
        key = where
        while key in tensors:
            key += "_"
        tensors[key] = _storable(value.data if isinstance(value, TensorBase) else value, where)
        return {"$array": key}
    if isinstance(value, list | tuple):
        items = [_pack(item, f"{where}.{i}", tensors) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, Mapping):
        pairs = [(_pack(k, f"a key of {where}", tensors), _pack(v, f"{where}.{k}", tensors)) for k, v in value.items()]
        if all(isinstance(key, str) and not key.startswith("$") for key, _ in pairs):
            return dict(pairs)
        return {"$dict": pairs}
    raise DTypeError(f"save_checkpoint: {where} is a {type(value).__name__}, which can't be stored")


def _unpack(value: Any, file: Any, where: str) -> Any:
    """What `_pack` packed."""
    if isinstance(value, list):
        return [_unpack(item, file, where) for item in value]
    if not isinstance(value, dict):
        return value
    kind = next(iter(value), "")
    if not kind.startswith("$"):
        return {key: _unpack(item, file, where) for key, item in value.items()}
    try:
        if kind == "$float":
            return float(value[kind])
        if kind == "$tuple":
            return tuple(_unpack(value[kind], file, where))
        if kind == "$dict":
            return {_unpack(key, file, where): _unpack(item, file, where) for key, item in value[kind]}
        if kind == "$array":
            return file.get_tensor(value[kind])
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"{where}: is damaged: {value!r:.80} in its metadata can't be read ({error})") from error
    raise CheckpointError(f"{where}: is damaged: its metadata holds the unknown {kind!r}")


# To and from the disk


def write_whole(path: str, content: bytes) -> None:
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f".minidl-{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A plain open() for writing would leave the permissions of an older file as they are.
        with suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    # The new name is on the disk only when the folder is. Some file systems can't do that to a folder.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def opened_safetensors(path: StrPath, where: str) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        # What safetensors says about files that can't be opened is less clear.
        with open(path, "rb") as plain:
            size = os.fstat(plain.fileno()).st_size
    except FileNotFoundError as error:
        raise CheckpointNotFoundError(f"{where}: there is no such file") from error
    except OSError as error:
        raise CheckpointError(f"{where}: can't be opened: {error.strerror}") from error
    if size == 0:
        raise CheckpointError(f"{where}: is empty")
    try:
        with safe_open(os.fspath(path), framework="np") as file:
            yield file
    except (SafetensorError, OSError) as error:
        reason = str(error).removeprefix("Error while deserializing header: ")
        raise CheckpointError(f"{where}: is truncated, damaged or no safetensors file ({reason})") from error


def _read_metadata(file: Any, where: str) -> dict[str, Any]:
    metadata = file.metadata() or {}
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{where}: is a safetensors file but no checkpoint of minidl: its format is "
            f"{metadata.get('format')!r}, expected {FORMAT!r}"
        )
    version = metadata.get("version", "")
    if not version.isdecimal():
        raise CheckpointError(f"{where}: is damaged: its format version is {version!r}, expected a number")
    if int(version) > VERSION:
        raise CheckpointError(
            f"{where}: was written by a newer minidl: its format version is {version}, this one reads up to {VERSION}"
        )
    try:
        parts = json.loads(metadata["state"])
        for name in ("default_generator", "generators", "extra"):
            if not isinstance(parts[name]["state"], dict):
                raise TypeError(f"{name} is no object")
        for name, part in parts.items():
            if not isinstance(part, dict) or (name != "model" and "state" not in part):
                raise TypeError(f"{name} has no state")
    except (KeyError, TypeError, ValueError, RecursionError, AttributeError) as error:
        raise CheckpointError(f"{where}: is damaged: its metadata can't be read ({error!r})") from error
    return parts


# What it takes to go back


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
            tensor.data = array
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
