"""What the fuzzer calls: every public callable, with valid calls of it."""

from __future__ import annotations

import ast
import builtins
import contextlib
import doctest
import importlib
import inspect
import io
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from types import ModuleType
from typing import Any

import numpy as np
from op_cases import CASES

import minidl
from minidl import grad_mode, nn, optim

# A function, its positional and its named arguments, made anew for each call.
Call = tuple[Callable[..., Any], list[Any], dict[str, Any]]
Template = Callable[[], Call]

# Public without being named in `minidl.__all__`, since they are imported when they are used.
MODULES = ("testing", "plot")
# Classes that read files or the network, and the errors. Of others, only the methods of their subclasses are called.
LEFT_OUT = {"data.Digits", "data.MNIST", "data.FashionMNIST", "MinidlError"}
ABSTRACT = {"data.Dataset", "optim.Optimizer", "optim.lr_scheduler.LRScheduler", "nn.Module"}
# It writes to the terminal.
LEFT_OUT |= {"show_config"}
# What takes a hundred times as long as others: pictures, files, whole models and gradient checks.
SLOW = (
    "plot.", "testing.GradcheckReport.plot", "gradcheck", "gradgradcheck", "testing.check_vjp", "save_", "load_",
    "summary",
)  # fmt: skip
# The special methods that have a public meaning of their own.
SPECIAL = (
    "__call__ __len__ __iter__ __getitem__ __setitem__ __delitem__ __contains__ __add__ __sub__ __mul__ __truediv__ "
    "__pow__ __matmul__ __radd__ __rsub__ __rmul__ __rtruediv__ __rpow__ __rmatmul__ __iadd__ __isub__ __imul__ "
    "__itruediv__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __and__ __or__ __xor__ __invert__ __neg__ __abs__ "
    "__bool__ __float__ __int__ __index__ __array__ __enter__"
).split()


@dataclass
class Target:
    """A public callable with valid calls of it."""

    name: str
    # What identifies it: the function itself, the one behind a method, or a layer's class for its call.
    function: Any
    # The class whose method it is.
    owner: type | None = None
    templates: list[Template] = field(default_factory=list)


def restore() -> None:
    """Undo what a call may have set for the whole process."""
    grad_mode.state.recording = True
    minidl.set_default_dtype("float32")
    minidl.set_precision("default")
    minidl.benchmark_algorithms(False)
    minidl.set_num_threads(2)
    minidl.manual_seed(0)


# The callables


def _names(module: ModuleType) -> list[str]:
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    own = module.__name__
    return sorted(n for n, v in vars(module).items() if n[0] != "_" and getattr(v, "__module__", "") == own)


def _public(module: ModuleType, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """All public functions and classes, each once, by the first name that leads to it."""
    inner = []
    for name in _names(module):
        value = getattr(module, name)
        if isinstance(value, ModuleType):
            inner.append((value, f"{prefix}{name}."))
        elif callable(value) and id(value) not in seen:
            seen.add(id(value))
            yield prefix + name, value
    for each, path in inner:
        yield from _public(each, path, seen)


def public_callables() -> dict[str, Target]:
    """Every public function, class and method by its name."""
    seen: set[int] = set()
    named = list(_public(minidl, "", seen))
    for name in MODULES:
        named += _public(importlib.import_module(f"minidl.{name}"), f"{name}.", seen)
    found: dict[str, Target] = {}
    classes: dict[type, str] = {}
    for name, value in named:
        if name in LEFT_OUT:
            continue
        if name not in ABSTRACT:
            found[name] = Target(name, value)
        if inspect.isclass(value):
            # Methods are those of the class that writes them, even if that has no public name.
            for cls in (c for c in value.__mro__[::-1] if c.__module__.startswith("minidl")):
                classes.setdefault(cls, f"{cls.__module__.removeprefix('minidl.')}:{cls.__name__}")
            classes[value] = name
            # A call is each layer's own, though it is written once.
            if issubclass(value, nn.Module) and value.forward is not nn.Module.forward:
                found[f"{name}.__call__"] = Target(f"{name}.__call__", value, value)
    for cls, name in classes.items():
        for key, method in vars(cls).items():
            is_public = (not key.startswith("_") or key in SPECIAL) and inspect.isfunction(method)
            if is_public and not (issubclass(cls, nn.Module) and key in ("__call__", "forward")):
                found[f"{name}.{key}"] = Target(f"{name}.{key}", method, cls)
    return found


# Valid calls from examples


class _Example:
    """A docstring's statements, up to one of which they are run before a call in it is taken apart."""

    def __init__(self, statements: list[ast.stmt], namespace: dict[str, Any]) -> None:
        self._before = compile(ast.Module(statements, []), "<example>", "exec")
        self._namespace = namespace

    def template(self, call: ast.Call) -> Template:
        def code(node: ast.expr) -> Any:
            return compile(ast.fix_missing_locations(ast.Expression(node)), "<example>", "eval")

        function = code(call.func)
        positional = [
            (code(a.value if isinstance(a, ast.Starred) else a), isinstance(a, ast.Starred)) for a in call.args
        ]
        named = [(k.arg, code(k.value)) for k in call.keywords]

        def make() -> Call:
            space = dict(self._namespace)
            with contextlib.redirect_stdout(io.StringIO()):
                exec(self._before, space)
            chosen = eval(function, space)
            args: list[Any] = []
            for each, is_starred in positional:
                value = eval(each, space)
                args += list(value) if is_starred else [value]
            kwargs: dict[str, Any] = {}
            for key, each in named:
                kwargs.update({key: eval(each, space)} if key is not None else eval(each, space))
            return chosen, args, kwargs

        return make


def _docstrings(targets: dict[str, Target]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    seen = set()
    for target in targets.values():
        text = inspect.getdoc(target.function) or ""
        module = inspect.getmodule(target.function)
        if ">>>" in text and text not in seen and module is not None:
            seen.add(text)
            yield target.name, text, vars(module)


def _is_closed(node: ast.expr, namespace: dict[str, Any]) -> bool:
    """Whether all names in an expression are known, which those that a `with` statement around it gives are not."""
    inner = {arg.arg for n in ast.walk(node) if isinstance(n, ast.arguments) for arg in (*n.args, *n.kwonlyargs)}
    inner |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} - inner
    return all(name in namespace or hasattr(builtins, name) for name in names)


def _add_examples(targets: dict[str, Target], quickly: bool) -> None:
    by_id = {id(t.function): t for t in targets.values() if not t.name.endswith(".__call__")}
    by_id |= {id(t.function): t for t in targets.values() if inspect.isfunction(t.function)}
    calls = {t.owner: t for t in targets.values() if t.name.endswith(".__call__")}
    for name, text, given in _docstrings(targets):
        if quickly and name.startswith(SLOW):
            continue
        statements: list[ast.stmt] = []
        # The example runs once, and each call in it is looked up when all before it has run.
        live = dict(given)
        for example in doctest.DocTestParser().get_examples(text):
            if example.exc_msg is not None or doctest.SKIP in example.options:
                continue
            for statement in ast.parse(example.source).body:
                so_far = _Example(list(statements), given)
                for node in (n for n in ast.walk(statement) if isinstance(n, ast.Call)):
                    if not _is_closed(node, live):
                        continue
                    try:
                        called = eval(compile(ast.Expression(node.func), "<example>", "eval"), live)
                    except Exception:
                        # A method of what this statement is still to make.
                        continue
                    function = called.__func__ if inspect.ismethod(called) else called
                    target = by_id.get(id(function)) or calls.get(type(called))
                    # What runs for long before a quick call is not worth it.
                    if target is not None and name.startswith(SLOW) <= target.name.startswith(SLOW):
                        target.templates.append(so_far.template(node))
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(ast.Module([statement], []), "<example>", "exec"), live)
                statements.append(statement)
        restore()


def _add_cases(targets: dict[str, Target]) -> None:
    by_id = {id(t.function): t for t in targets.values()}
    for case in CASES.values():
        target = by_id.get(id(case.function))
        # Large rows take long.
        if target is None or sum(x.size for x in case.inputs if x is not None) > 2000:
            continue

        def make(case: Any = case) -> Call:
            inputs = [None if x is None else minidl.tensor(x, requires_grad=x.dtype.kind == "f") for x in case.inputs]
            return case.function, inputs, dict(case.kwargs)

        target.templates.append(make)


# Valid calls by search: values by the parameter's name, or any of a list


def _trained() -> Any:
    model = nn.Dense(3, 2)
    (model(minidl.ones(1, 3)) ** 2).sum().backward()
    return model


def _optimizer() -> Any:
    return optim.SGD(_trained().parameters(), lr=0.1, momentum=0.9)


def _file() -> str:
    minidl.save_checkpoint("file.safetensors", model=_trained())
    return "file.safetensors"


_TENSORS: list[Callable[[], Any]] = [
    lambda: minidl.ones(2, 4, 8, 9, requires_grad=True), lambda: minidl.ones(2, 4, 8, requires_grad=True),
    lambda: minidl.ones(3, 4, requires_grad=True), lambda: minidl.ones(4, requires_grad=True),
    lambda: minidl.tensor([[0, 1], [1, 0]]), lambda: minidl.tensor([0, 1, 1]), lambda: minidl.tensor([1, -1, 1]),
    lambda: minidl.tensor(2.0, requires_grad=True), lambda: minidl.tensor([True, False]), lambda: minidl.tensor(1),
    lambda: minidl.tensor([[0.5, 0.25]]), lambda: minidl.ones(2, 3), lambda: minidl.ones(2), lambda: minidl.ones(3, 2),
]  # fmt: skip
_NUMBERS: list[Callable[[], Any]] = [lambda: 1, lambda: 2, lambda: 0, lambda: 0.5, lambda: (2, 2), lambda: 4]
_OTHERS: list[Callable[[], Any]] = [
    lambda: "float32", lambda: "x", lambda: np.random.default_rng(0), lambda: np.ones((2, 1, 4, 4), "uint8"),
    lambda: [minidl.ones(2)], lambda: ["0", "1"], lambda: lambda *a, **k: a[0] if a else None, nn.ReLU, _trained,
    _optimizer, lambda: True, lambda: [{"epoch": 1, "train_loss": 1.0, "val_loss": 1.0}], lambda: [nn.ReLU()],
    lambda: {"a": nn.ReLU()}, lambda: minidl.data.ArrayDataset(np.ones((4, 2))), lambda: None, lambda: [1, 2],
]  # fmt: skip
# These take the object whose method is called.
_OF_INSTANCE: list[Callable[[Any], Any]] = [
    lambda instance: instance.state_dict(), lambda instance: next(iter(instance)),
    lambda instance: instance.data.copy(),
]  # fmt: skip
NAMED: dict[str, list[Callable[..., Any]]] = {
    "dim": [lambda: 0, lambda: 1], "dim0": [lambda: 0], "dim1": [lambda: 0], "index": [lambda: 0],
    "dtype": [lambda: "float64"], "bias": [lambda: True], "optimizer": [_optimizer], "model": [_trained],
    "params": [lambda: list(_trained().parameters())], "parameters": [lambda: list(_trained().parameters())],
    "module": [nn.ReLU], "in_channels": [lambda: 4], "in_features": [lambda: 3], "out_channels": [lambda: 2],
    "kernel_size": [lambda: 2], "num_features": [lambda: 4], "num_channels": [lambda: 4], "num_groups": [lambda: 2],
    "path": [_file], "generator": [lambda: np.random.default_rng(0)], "shape": [lambda: (2, 3)],
    "size": [lambda: (2, 3)], "sizes": [lambda: (2, 2)], "input": _TENSORS, "other": _TENSORS, "target": _TENSORS,
    "tensor": _TENSORS, "input1": _TENSORS[8:], "input2": _TENSORS[8:], "condition": [lambda: minidl.tensor(True)],
    "hook": [lambda: lambda *a: None], "closure": [lambda: lambda: 1.0], "fn": [lambda: lambda *a: a[0]],
    "state_dict": _OF_INSTANCE[:1], "state": _OF_INSTANCE[:1], "key": _OF_INSTANCE[1:2], "array": _OF_INSTANCE[2:],
    "name": [*_OF_INSTANCE[1:2], lambda: "b"], "group": [lambda: {"params": [nn.Parameter([1.0])]}],
}  # fmt: skip


def _works(template: Template) -> bool:
    try:
        function, args, kwargs = template()
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(*args, **kwargs)
    except Exception:
        return False
    finally:
        restore()
    return True


def _instances(targets: dict[str, Target]) -> dict[type, list[Callable[[], Any]]]:
    """How to make an object of each class that has methods."""

    def made(template: Template) -> Any:
        function, args, kwargs = template()
        return function(*args, **kwargs)

    makers: dict[type, list[Callable[[], Any]]] = {
        t.function: [lambda template=template: made(template) for template in t.templates]
        for t in targets.values()
        if t.owner is None and inspect.isclass(t.function)
    }
    makers[minidl.Tensor] = list(_TENSORS)
    for target in targets.values():
        if target.owner is not None and target.owner not in makers:
            makers[target.owner] = [m for cls in list(makers) if issubclass(cls, target.owner) for m in makers[cls]]
    return makers


def _add_search(target: Target, makers: dict[type, list[Callable[[], Any]]], wanted: int) -> None:
    """Find valid calls of a target that no example shows, by trying."""
    random = Random(target.name)
    owners = makers.get(target.owner, []) if target.owner is not None else []
    if target.owner is not None and not owners:
        return
    function = target.function
    if target.owner is not None and inspect.isclass(function):
        function = function.forward
    try:
        parameters = list(inspect.signature(function).parameters.values())[target.owner is not None :]
    except (TypeError, ValueError):
        return
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.kind == p.VAR_POSITIONAL or (p.default is p.empty and p.kind in by_position)]
    only_named = [p for p in parameters if p.kind == p.KEYWORD_ONLY and p.default is p.empty]
    for _ in range(400):
        choices = []
        for p in [*required, *only_named]:
            known = NAMED.get(p.name)
            if known is None or random.random() < 0.3:
                known = random.choice((_TENSORS, _NUMBERS, _OTHERS))
            choices.append(random.choice(known))
        owner = random.choice(owners) if owners else None

        def make(choices: list = choices, owner: Any = owner) -> Call:
            instance = None if owner is None else owner()
            called = target.function if owner is None else getattr(instance, target.name.rpartition(".")[2])
            values = [choice(instance) if choice in _OF_INSTANCE else choice() for choice in choices]
            named = {p.name: v for p, v in zip(only_named, values[len(required) :], strict=True)}
            return called, values[: len(required)], named

        if _works(make):
            target.templates.append(make)
            wanted -= 1
            if not wanted:
                return


def found(quickly: bool = False) -> list[Target]:
    """All targets, with valid calls where there are any; or quickly, those that examples or operations' rows have."""
    targets = public_callables()
    _add_examples(targets, quickly)
    _add_cases(targets)
    if not quickly:
        # Some calls that are tried write files.
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            _add_searched(targets)
    return list(targets.values())


def _add_searched(targets: dict[str, Target]) -> None:
    makers = _instances(targets)
    for target in targets.values():
        if target.owner is None and inspect.isclass(target.function) and not target.templates:
            _add_search(target, makers, 1)
    makers = _instances(targets)
    for target in targets.values():
        wanted = 1 if target.name.startswith(SLOW) else 3
        if len(target.templates) < wanted and (target.owner is not None or not inspect.isclass(target.function)):
            _add_search(target, makers, wanted - len(target.templates))
