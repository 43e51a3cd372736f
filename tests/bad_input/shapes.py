"""Padding, interpolation, embeddings, layers that move values, containers and initialisers."""

from __future__ import annotations

from typing import Any

import numpy as np

import minidl
import minidl.functional as F
from bad_input._row import Row, ones
from minidl import nn
from minidl.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError
from minidl.nn import init

IMAGES, SIGNALS, TABLE = ones(2, 3, 4, 5), ones(2, 3, 5), ones(4, 3)


def read_only() -> Any:
    array = ones(3, 4)
    array.flags.writeable = False
    return minidl.Tensor(array)


def items(container: Any) -> Any:
    """Sets an entry, which a lambda can't."""
    container[0] = 3


def names(container: Any, name: Any, module: Any) -> Any:
    container[name] = module


def deletes(container: Any, index: Any) -> Any:
    del container[index]


def three() -> nn.ModuleList:
    return nn.ModuleList([nn.ReLU(), nn.Tanh(), nn.ReLU()])


def fill(name: str, tensor: Any) -> Any:
    return getattr(init, name)(tensor, *([1.0] if name == "constant_" else []))


INITIALISERS = [name for name in init.__all__ if name != "calculate_gain"]
NOT_CONSTANT = ("reflect", "replicate", "circular")
ROWS: list[Row] = [
    # pad
    ("an odd number of widths", lambda: F.pad(SIGNALS, (1,)), ArgumentError,
     r"pad: pad must have two widths for each dimension, got 1 in all: \(1,\)"),
    ("more widths than dimensions", lambda: F.pad(ones(2), (1, 1, 1, 1)), ShapeError,
     r"pad: pad has widths for 2 dimensions, input has 1"),
    *[(f"pad {pad!r}", lambda pad=pad: F.pad(SIGNALS, pad), ArgumentError, r"pad: pad must be a sequence of ints, got ")
      for pad in (1, None, "12", (1.0, 1), (True, 1), ("1", "2"), np.array([1, 1]), {1: 1})],
    ("pad without a tensor", lambda: F.pad(None, (1, 1)), DTypeError, r"pad: input must be a tensor"),
    ("pad mode", lambda: F.pad(SIGNALS, (1, 1), mode="edge"), ArgumentError,
     r"pad: mode must be one of 'constant', 'reflect', 'replicate', 'circular', got 'edge'"),
    ("cropped too much", lambda: F.pad(SIGNALS, (-3, -3)), ShapeError,
     r"pad: pad takes 3 and 3 positions from axis 2, which has 5"),
    ("cropped too much, then padded", lambda: F.pad(SIGNALS, (0, 0, -4, 9)), ShapeError,
     r"pad: pad takes 4 and 0 positions from axis 1, which has 3"),
    *[(f"pad value {value!r}", lambda value=value: F.pad(SIGNALS, (1, 1), value=value), ArgumentError,
       r"pad: value must be a number, got ") for value in ("0", [1.0], minidl.ones(1), 1j)],
    *[(f"pad value {value:.3g} of {dtype}", lambda v=value, d=dtype: F.pad(ones(2, dtype=d), (1, 1), value=v),
       ArgumentError, rf"pad: value must be a number that {dtype} holds, got ")
      for value, dtype in ((300, "uint8"), (-1, "uint8"), (float("nan"), "int64"), (float("inf"), "int32"),
                           (2**63, "int64"), (1e39, "float32"))],
    ("pad value 10**400", lambda: F.pad(ones(2), (1, 1), value=10**400), ArgumentError,
     r"pad: value must be a number that float32 holds"),
    *[(f"pad value in mode {mode}", lambda mode=mode: F.pad(SIGNALS, (1, 1), mode, 2.0), ArgumentError,
       rf"pad: value goes with mode='constant' alone, got 2\.0 with mode='{mode}'") for mode in NOT_CONSTANT],
    *[(f"{mode} of {shape} by {count}", lambda m=mode, s=shape, n=count: F.pad(ones(*s), (1,) * n, m), ShapeError,
       rf"pad: mode='{mode}' pads all dimensions after the channels, 1 to 3.* widths for {count // 2}")
      for mode in NOT_CONSTANT
      for shape, count in (((2,), 2), ((2, 3), 0), ((2, 3), 4), ((2, 3, 4, 5), 2), ((2, 3, 4), 6), ((1, 1, 2, 3, 4), 4),
                           ((1, 1, 1, 2, 3, 4), 6), ((1, 1, 2, 3, 4), 8))],
    *[(f"{mode} of {shape}", lambda mode=mode, shape=shape: F.pad(ones(*shape), (1, 1), mode), ShapeError,
       rf"pad: with mode='{mode}' only N may be 0, input has shape ")
      for mode in ("reflect", "replicate") for shape in ((0, 3), (2, 0, 3), (2, 3, 0), (3, 0))],
    *[(f"{mode} of booleans", lambda mode=mode: F.pad(ones(2, 3, dtype=bool), (1, 1), mode), DTypeError,
       rf"pad: mode='{mode}' takes no booleans") for mode in ("reflect", "replicate")],
    *[(f"{mode} leaves nothing", lambda mode=mode: F.pad(SIGNALS, (-2, -3), mode), ShapeError,
       rf"pad: mode='{mode}' leaves nothing of axis 2") for mode in ("reflect", "replicate")],
    ("reflect too far", lambda: F.pad(SIGNALS, (1, 5), "reflect"), ShapeError,
     r"pad: mode='reflect' adds fewer positions than axis 2 has, 5, got 1 and 5"),
    ("reflect too far above", lambda: F.pad(IMAGES, (1, 1, 4, 0), "reflect"), ShapeError,
     r"pad: mode='reflect' adds fewer positions than axis 2 has, 4, got 4 and 0"),
    ("wrap too far", lambda: F.pad(SIGNALS, (6, 0), "circular"), ShapeError,
     r"pad: mode='circular' adds at most as many positions as axis 2 has, 5, got 6 and 0"),
    ("wrap more than is left", lambda: F.pad(SIGNALS, (-3, 3), "circular"), ShapeError,
     r"pad: mode='circular' adds at most as many positions as axis 2 has, 2, got -3 and 3"),
    ("wrap nothing", lambda: F.pad(ones(2, 3, 0), (1, 0), "circular"), ShapeError,
     r"pad: mode='circular' adds at most"),
    ("wrap what is cropped", lambda: F.pad(SIGNALS, (-3, -3), "circular"), ShapeError, r"pad: pad takes 3 and 3"),
    # padding layers
    *[(f"{layer.__name__} of {padding!r}", lambda layer=layer, padding=padding: layer(padding), ArgumentError,
       rf"{layer.__name__}: padding must be ")
      for layer in (nn.ZeroPad1d, nn.ReflectionPad1d, nn.ReplicationPad1d, nn.CircularPad1d)
      for padding in (None, True, 1.0, (1,), (1, 2, 3), (1, 1, 1, 1), "11", (1, 2.0))],
    *[(f"{layer.__name__} of {padding!r}", lambda layer=layer, padding=padding: layer(padding), ArgumentError,
       rf"{layer.__name__}: padding must be an int or 4 of them")
      for layer in (nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d)
      for padding in ((1,), (1, 2), (1, 1, 1, 1, 1))],
    ("ConstantPad1d's padding", lambda: nn.ConstantPad1d((1, 2, 3), 0.0), ArgumentError,
     r"ConstantPad1d: padding must be"),
    ("ConstantPad2d's padding", lambda: nn.ConstantPad2d((1, 2), 0.0), ArgumentError,
     r"ConstantPad2d: padding must be"),
    ("ConstantPad1d's value", lambda: nn.ConstantPad1d(1, "0"), ArgumentError,
     r"ConstantPad1d: value must be a number"),
    ("ConstantPad2d's value", lambda: nn.ConstantPad2d(1, None), ArgumentError,
     r"ConstantPad2d: value must be a number"),
    ("a padding layer's input", lambda: nn.ReflectionPad2d(1)(SIGNALS[0]), ShapeError,
     r"pad: mode='reflect' pads all.*\n  in layer .*\(ReflectionPad2d\)"),
    ("a reflection that is too far", lambda: nn.ReflectionPad1d(5)(SIGNALS), ShapeError,
     r"pad: mode='reflect' adds fewer.*\n  in layer .*\(ReflectionPad1d\)"),
    ("a layer that crops too much", lambda: nn.ZeroPad1d(-3)(SIGNALS), ShapeError, r"pad: pad takes 3 and 3 positions"),
    # interpolate
    *[(f"interpolate {shape} by {mode}", lambda shape=shape, mode=mode: F.interpolate(ones(*shape), 2, mode=mode),
       ShapeError, rf"interpolate: input must have .* with mode='{mode}', got {len(shape)}: ")
      for shape, mode in (((2, 3), "nearest"), ((1, 1, 2, 2, 2), "nearest"), ((1, 2, 3), "bilinear"),
                          ((2, 3), "bilinear"), ((1, 2, 3, 4), "linear"), ((2, 3), "linear"), ((), "nearest"))],
    *[(f"interpolate nothing, {shape}", lambda shape=shape: F.interpolate(ones(*shape), 2), ShapeError,
       r"interpolate: input has no channels or no pixels") for shape in ((1, 0, 3), (1, 1, 0, 4), (1, 1, 4, 0))],
    ("interpolate's mode", lambda: F.interpolate(IMAGES, 2, mode="bicubic"), ArgumentError,
     r"interpolate: mode must be one of 'nearest', 'linear', 'bilinear', got 'bicubic'"),
    ("interpolate by nothing", lambda: F.interpolate(IMAGES), ArgumentError,
     r"interpolate: either size or scale_factor must be given, got neither"),
    ("interpolate by both", lambda: F.interpolate(IMAGES, 2, 2.0), ArgumentError,
     r"interpolate: either size or scale_factor must be given, got 2 and 2\.0"),
    *[(f"interpolate to {size!r}", lambda size=size: F.interpolate(IMAGES, size), ArgumentError,
       r"interpolate: size must be one int or 2, one for each axis after the channels, got ")
      for size in (2.0, True, "2", (2,), (2, 3, 4), (2.0, 3), (2, True), {2, 3})],
    *[(f"interpolate by {factor!r}", lambda factor=factor: F.interpolate(IMAGES, scale_factor=factor), ArgumentError,
       r"interpolate: scale_factor must be one number or 2, one for each axis after the channels, got ")
      for factor in ("2", True, (2.0,), (1.0, 2.0, 3.0), (None, 2.0), 1j)],
    *[(f"interpolate by {factor!r}", lambda factor=factor: F.interpolate(IMAGES, scale_factor=factor), ArgumentError,
       r"interpolate: scale_factor must be positive and finite, got ")
      for factor in (0, -1.0, float("nan"), float("inf"), (2.0, -2.0))],
    *[(f"interpolate to {kwargs}", lambda kwargs=kwargs: F.interpolate(IMAGES, **kwargs), ShapeError,
       r"interpolate: input of size \(4, 5\) would get the size .*; at least 1 each is needed")
      for kwargs in ({"size": 0}, {"size": (3, -1)}, {"scale_factor": 0.1}, {"scale_factor": (1.0, 0.1)})],
    ("nearest with align_corners", lambda: F.interpolate(IMAGES, 2, align_corners=False), ArgumentError,
     r"interpolate: align_corners does not go with mode='nearest', got False"),
    ("align_corners 1", lambda: F.interpolate(IMAGES, 2, mode="bilinear", align_corners=1), ArgumentError,
     r"interpolate: align_corners must be True, False or None, got 1"),
    ("recompute_scale_factor 1", lambda: F.interpolate(IMAGES, scale_factor=2, recompute_scale_factor=1), ArgumentError,
     r"interpolate: recompute_scale_factor must be True, False or None, got 1"),
    ("recompute_scale_factor with a size", lambda: F.interpolate(IMAGES, 2, recompute_scale_factor=True), ArgumentError,
     r"interpolate: recompute_scale_factor goes with scale_factor, not with size"),
    ("interpolate integers", lambda: F.interpolate(ones(1, 1, 2, 2, dtype=int), 2), DTypeError,
     r"interpolate: input must be float32 or float64, got int64"),
    ("Upsample of nothing", lambda: nn.Upsample()(IMAGES), ArgumentError,
     r"interpolate: either size or scale_factor(.|\n)*\(Upsample\)"),
    ("Upsample of a signal", lambda: nn.Upsample(2, mode="bilinear")(SIGNALS), ShapeError,
     r"interpolate: input must have 4 dimensions \(N, C, H, W\) with mode='bilinear', got 3"),
    # one_hot
    ("one_hot of a negative class", lambda: F.one_hot([[0, 1], [-1, 0]]), OutOfRangeError,
     r"one_hot: tensor\[1, 0\] is -1, there are the classes 0 to 1"),
    ("one_hot of a class too many", lambda: F.one_hot([0, 3], 3), OutOfRangeError,
     r"one_hot: tensor\[1\] is 3, there are the classes 0 to 2"),
    ("one_hot of one number", lambda: F.one_hot(np.int64(3), 3), OutOfRangeError, r"one_hot: tensor is 3, there are"),
    ("one_hot into none", lambda: F.one_hot([0], 0), OutOfRangeError, r"one_hot: tensor\[0\] is 0, there are none of"),
    *[(f"one_hot into {count!r}", lambda count=count: F.one_hot([0], count), ArgumentError,
       r"one_hot: num_classes must be an int of at least 1, or -1, got ") for count in (-2, 3.0, None, True, "3")],
    *[(f"one_hot of nothing into {count}", lambda count=count: F.one_hot([], count), ArgumentError,
       r"one_hot: an empty tensor has no largest class; num_classes must be given") for count in (-1, 0)],
    ("one_hot of floats", lambda: F.one_hot(ones(2), 3), DTypeError,
     r"one_hot: tensor must be of an integer dtype, got float32"),
    ("one_hot of booleans", lambda: F.one_hot([True], 3), DTypeError, r"one_hot: tensor must be of an integer dtype"),
    ("one_hot of None", lambda: F.one_hot(None, 3), DTypeError, r"one_hot: tensor must be a tensor"),
    # embedding
    ("a row too many", lambda: F.embedding([[0, 1], [2, 4]], TABLE), OutOfRangeError,
     r"embedding: input\[1, 1\] is 4, there are the rows 0 to 3"),
    ("a negative row", lambda: F.embedding(-1, TABLE), OutOfRangeError,
     r"embedding: input is -1, there are the rows 0"),
    ("a row of nothing", lambda: F.embedding([0], ones(0, 3)), OutOfRangeError, r"embedding: .* none of the rows"),
    ("floating rows", lambda: F.embedding(ones(2), TABLE), DTypeError, r"embedding: input must be of an integer dtype"),
    ("boolean rows", lambda: F.embedding([True], TABLE), DTypeError, r"embedding: input must be of an integer dtype"),
    ("an embedding of None", lambda: F.embedding(None, TABLE), DTypeError, r"embedding: input must be a tensor"),
    ("an embedding in None", lambda: F.embedding([0], None), DTypeError, r"embedding: weight must be a tensor"),
    ("an integer table", lambda: F.embedding([0], ones(4, 3, dtype=int)), DTypeError,
     r"embedding: weight must be float"),
    *[(f"a table of shape {shape}", lambda shape=shape: F.embedding([0], ones(*shape)), ShapeError,
       r"embedding: weight must have 2 dimensions \(num_embeddings, embedding_dim\), got shape ")
      for shape in ((3,), (1, 4, 3), ())],
    *[(f"padding_idx {row}", lambda row=row: F.embedding([0], TABLE, row), OutOfRangeError,
       rf"embedding: padding_idx is {row}, there are 4 rows") for row in (4, -5)],
    *[(f"padding_idx {row!r}", lambda row=row: F.embedding([0], TABLE, row), ArgumentError,
       r"embedding: padding_idx must be an int or None, got ") for row in (1.0, True, "1")],
    *[(f"max_norm {norm!r}", lambda norm=norm: F.embedding([0], TABLE, max_norm=norm), ArgumentError,
       r"embedding: max_norm must be ") for norm in ("1", True, -1.0, float("nan"))],
    *[(f"norm_type {norm!r}", lambda norm=norm: F.embedding([0], TABLE, max_norm=1.0, norm_type=norm), ArgumentError,
       r"embedding: norm_type must be a number") for norm in ("2", None, float("nan"))],
    ("scale_grad_by_freq 1", lambda: F.embedding([0], TABLE, scale_grad_by_freq=1), ArgumentError,
     r"embedding: scale_grad_by_freq must be True or False, got 1"),
    ("a read-only table", lambda: F.embedding([0], read_only(), max_norm=0.5), ArgumentError,
     r"embedding: weight must be writeable, since max_norm changes it"),
    # Embedding
    *[(f"Embedding of {size!r} rows", lambda size=size: nn.Embedding(size, 3), ArgumentError,
       r"Embedding: num_embeddings must be an int of at least 1, got ") for size in (0, -1, 2.0, None, True)],
    ("Embedding of no columns", lambda: nn.Embedding(3, 0), ArgumentError, r"Embedding: embedding_dim must be an int"),
    ("Embedding's padding_idx", lambda: nn.Embedding(3, 2, padding_idx=3), OutOfRangeError,
     r"Embedding: padding_idx is 3, there are 3 rows"),
    ("Embedding's max_norm", lambda: nn.Embedding(3, 2, max_norm=-1), ArgumentError, r"Embedding: max_norm must be"),
    ("Embedding's norm_type", lambda: nn.Embedding(3, 2, norm_type="2"), ArgumentError,
     r"Embedding: norm_type must be"),
    ("Embedding's scale_grad_by_freq", lambda: nn.Embedding(3, 2, scale_grad_by_freq=None), ArgumentError,
     r"Embedding: scale_grad_by_freq must be"),
    ("Embedding's dtype", lambda: nn.Embedding(3, 2, dtype="complex64"), DTypeError, r"Embedding: dtype must be"),
    ("Embedding's input", lambda: nn.Embedding(3, 2)([3]), OutOfRangeError,
     r"embedding: input\[0\] is 3(.|\n)*\(Embedding\)"),
    ("a pretrained vector", lambda: nn.Embedding.from_pretrained(ones(3)), ShapeError,
     r"Embedding: embeddings must have 2 dimensions"),
    ("pretrained integers", lambda: nn.Embedding.from_pretrained(ones(3, 2, dtype=int)), DTypeError,
     r"Embedding: embeddings must be float"),
    ("a pretrained table's padding_idx", lambda: nn.Embedding.from_pretrained(ones(3, 2), padding_idx=-4),
     OutOfRangeError, r"Embedding: padding_idx is -4"),
    # unflatten, and the layers that move values
    ("unflatten", lambda: minidl.unflatten(ones(2, 6), 1, (4, 2)), ShapeError,
     r"unflatten: dimension 1 has 6 positions, which don't fit \(4, 2\)"),
    ("unflatten into what divides not", lambda: minidl.unflatten(ones(2, 6), 1, (-1, 4)), ShapeError,
     r"unflatten: dimension 1 has 6 positions, which don't fit \(-1, 4\)"),
    ("unflatten into 0 and anything", lambda: minidl.unflatten(ones(0, 6), 0, (0, -1)), ShapeError,
     r"unflatten: dimension 0 has 0"),
    ("unflatten -1 twice", lambda: minidl.unflatten(ones(2, 6), 1, (-1, -1)), ShapeError,
     r"unflatten: at most one size may be -1"),
    ("unflatten -2", lambda: minidl.unflatten(ones(2, 6), 1, (-2, -3)), ShapeError,
     r"unflatten: at most one size may be"),
    *[(f"unflatten into {sizes!r}", lambda sizes=sizes: minidl.unflatten(ones(2, 6), 1, sizes), ArgumentError,
       r"unflatten: sizes must be a sequence") for sizes in ((), 6, None)],
    ("unflatten into floats", lambda: minidl.unflatten(ones(2, 6), 1, (2.0, 3)), ArgumentError,
     r"unflatten: sizes must be"),
    ("unflatten's dim", lambda: minidl.unflatten(ones(2, 6), 2, (6,)), OutOfRangeError,
     r"unflatten: dim 2 is out of range"),
    ("unflatten dim 1.0", lambda: minidl.unflatten(ones(2, 6), 1.0, (6,)), ArgumentError,
     r"unflatten: dim must be an int"),
    ("unflatten a number", lambda: minidl.unflatten(np.float32(1), 0, (1,)), ShapeError,
     r"unflatten: input has no dimension to split"),
    ("Unflatten's size", lambda: nn.Unflatten(1, 6), ArgumentError, r"Unflatten: sizes must be a sequence"),
    ("Unflatten's sizes", lambda: nn.Unflatten(1, (2.0, 3)), ArgumentError, r"Unflatten: sizes must be ints"),
    ("Unflatten's input", lambda: nn.Unflatten(1, (2, 2))(ones(2, 6)), ShapeError,
     r"unflatten: dimension 1 has 6 (.|\n)*\(Unflatten\)"),
    ("Flatten's dims", lambda: nn.Flatten(2, 1)(SIGNALS), ArgumentError, r"flatten: start_dim 2 comes after end_dim 1"),
    ("Identity of None", lambda: nn.Identity()(None), DTypeError, r"Identity: input must be a tensor"),
    ("Unfold's window", lambda: nn.Unfold(5)(IMAGES), ShapeError, r"unfold: the kernel of 5 x 5 (.|\n)*\(Unfold\)"),
    ("Unfold's stride", lambda: nn.Unfold(2, stride=0)(IMAGES), ArgumentError, r"unfold: stride must be at least 1"),
    ("Fold's columns", lambda: nn.Fold((4, 5), 2)(ones(1, 8, 3)), ShapeError, r"fold: (.|\n)*\(Fold\)"),
    # containers
    ("a list of functions", lambda: nn.ModuleList([nn.ReLU(), F.relu]), DTypeError,
     r"ModuleList: module 1 must be a Module, got function"),
    *[(f"a list of {value!r:.10}", lambda value=value: nn.ModuleList(value), DTypeError,
       r"ModuleList: Modules must come in an iterable, got ") for value in (3, nn.ReLU(), {"a": nn.ReLU()}, "ab")],
    ("append", lambda: three().append(3), DTypeError, r"ModuleList: append takes a Module, got int"),
    ("extend", lambda: three().extend(nn.ReLU()), DTypeError,
     r"ModuleList: Modules must come in an iterable, got ReLU"),
    ("extend by numbers", lambda: three().extend([3]), DTypeError, r"ModuleList: module 0 must be a Module, got int"),
    ("insert", lambda: three().insert(0, None), DTypeError, r"ModuleList: insert takes a Module, got NoneType"),
    *[(f"insert at {index}", lambda index=index: three().insert(index, nn.ReLU()), OutOfRangeError,
       rf"ModuleList: no place {index} among 3") for index in (4, -4)],
    ("insert at 1.0", lambda: three().insert(1.0, nn.ReLU()), ArgumentError, r"ModuleList: an index must be an int"),
    *[(f"item {index}", lambda index=index: three()[index], OutOfRangeError, rf"ModuleList: no module {index} among 3")
      for index in (3, -4)],
    *[(f"item {index!r}", lambda index=index: three()[index], ArgumentError, r"ModuleList: an index must be an int or")
      for index in ("0", 1.0, True, None)],
    ("delete", lambda: deletes(three(), 3), OutOfRangeError, r"ModuleList: no module 3 among 3"),
    ("pop", lambda: three().pop(3), OutOfRangeError, r"ModuleList: no module 3 among 3"),
    ("set", lambda: items(three()), DTypeError, r"ModuleList: module 0 must be a Module, got int"),
    ("add", lambda: three() + 3, DTypeError, r"ModuleList: Modules must come in an iterable, got int"),
    ("set in a Sequential", lambda: items(nn.Sequential(nn.ReLU())), DTypeError,
     r"Sequential: module 0 must be a Module"),
    ("pop from a Sequential", lambda: nn.Sequential().pop(0), OutOfRangeError, r"Sequential: no module 0 among 0"),
    ("a name of its own", lambda: nn.Sequential({"forward": nn.ReLU()}), ArgumentError,
     r"Sequential: the name 'forward' is taken by an attribute of its own"),
    ("no such key", lambda: nn.ModuleDict({"a": nn.ReLU()})["b"], OutOfRangeError,
     r"ModuleDict: no module 'b' among a"),
    ("no such key of none", lambda: nn.ModuleDict().pop("b"), OutOfRangeError, r"ModuleDict: no module 'b' among none"),
    ("delete no such key", lambda: deletes(nn.ModuleDict(), "b"), OutOfRangeError, r"ModuleDict: no module 'b'"),
    *[(f"the key {name!r}", lambda name=name: names(nn.ModuleDict(), name, nn.ReLU()), ArgumentError,
       r"ModuleDict: a name must be a word without a dot, got ") for name in (3, "", "a.b", None)],
    ("the key 'keys'", lambda: names(nn.ModuleDict(), "keys", nn.ReLU()), ArgumentError,
     r"ModuleDict: the name 'keys' is taken by an attribute of its own"),
    ("a dictionary of numbers", lambda: nn.ModuleDict({"a": 3}), DTypeError,
     r"ModuleDict: module a must be a Module, got int"),
    *[(f"a dictionary from {value!r:.10}", lambda value=value: nn.ModuleDict(value), DTypeError,
       r"ModuleDict: modules must be a mapping or an iterable of pairs, got ")
      for value in (3, "ab", [("a", nn.ReLU()), ("b",)], nn.ReLU())],
    ("a list of parameters from numbers", lambda: nn.ParameterList([3]), DTypeError,
     r"ParameterList: value 0 must be a Parameter, got int"),
    ("a list of parameters from one", lambda: nn.ParameterList(minidl.ones(2)), DTypeError,
     r"ParameterList: Parameters must come in an iterable, got Tensor"),
    ("no such parameter", lambda: nn.ParameterList()[0], OutOfRangeError, r"ParameterList: no parameter 0 among 0"),
    ("Residual of nothing", lambda: nn.Residual(), ArgumentError, r"Residual: modules must be at least one, got none"),
    ("Residual of a function", lambda: nn.Residual(F.relu), DTypeError, r"Residual: module 0 must be a Module"),
    ("Residual's shortcut", lambda: nn.Residual(nn.ReLU(), shortcut=F.relu), DTypeError,
     r"Residual: shortcut must be None or a Module, got function"),
    ("Residual that would broadcast", lambda: nn.Residual(nn.Dense(3, 1))(ones(2, 3)), ShapeError,
     r"Residual: the modules give shape \(2, 1\), the input has \(2, 3\); both must be the same(.|\n)*\(Residual\)"),
    ("Residual with a shortcut that would broadcast",
     lambda: nn.Residual(nn.Dense(3, 2), shortcut=nn.Dense(3, 1))(ones(2, 3)), ShapeError,
     r"Residual: the modules give shape \(2, 2\), the shortcut has \(2, 1\); both must be the same"),
    ("Residual of None", lambda: nn.Residual(nn.ReLU())(None), DTypeError, r"Residual: input must be a tensor"),
    ("inside a Residual", lambda: nn.Residual(nn.ReLU(), nn.Dense(4, 3))(ones(2, 3)), ShapeError,
     r"linear: (.|\n)*in layer body\.1 \(Dense\)"),
    # initialisers
    *[(f"{name} of an array", lambda name=name: fill(name, ones(3, 3)), DTypeError,
       rf"{name}: tensor must be a Tensor, got ndarray") for name in INITIALISERS],
    *[(f"{name} of integers", lambda name=name: fill(name, minidl.tensor([[1]])), DTypeError,
       rf"{name}: tensor must be float32 or float64, got int64") for name in INITIALISERS],
    *[(f"{name} of a vector", lambda name=name: getattr(init, name)(minidl.zeros(3)), ShapeError,
       rf"{name}: a weight of shape \(3,\) has no fan; at least 2 dimensions are needed")
      for name in ("xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_")],
    ("orthogonal_ of a vector", lambda: init.orthogonal_(minidl.zeros(3)), ShapeError,
     r"orthogonal_: tensor must have at least 2 dimensions, got shape \(3,\)"),
    ("eye_ of a filter", lambda: init.eye_(minidl.zeros(2, 2, 2)), ShapeError, r"eye_: tensor must have 2 dimensions"),
    *[(f"dirac_ of {shape}", lambda shape=shape: init.dirac_(minidl.zeros(*shape)), ShapeError,
       r"dirac_: tensor must have 3 or 4 or 5 dimensions, got shape ") for shape in ((2, 2), (1, 1, 1, 1, 1, 1))],
    ("dirac_'s groups", lambda: init.dirac_(minidl.zeros(4, 2, 3), 3), ArgumentError,
     r"dirac_: 4 filters \(axis 0 of tensor\) can't be split into 3 groups"),
    *[(f"dirac_ in {groups!r} groups", lambda groups=groups: init.dirac_(minidl.zeros(4, 2, 3), groups), ArgumentError,
       r"dirac_: groups must be an int of at least 1, got ") for groups in (0, 1.0, True, None)],
    ("uniform_ backwards", lambda: init.uniform_(minidl.zeros(2), 1, 0), ArgumentError,
     r"uniform_: a must be at most b"),
    *[(f"uniform_ from {a!r}", lambda a=a: init.uniform_(minidl.zeros(2), a), ArgumentError, r"uniform_: a must be a")
      for a in ("0", None, True, float("nan"), -float("inf"))],
    ("normal_'s std", lambda: init.normal_(minidl.zeros(2), 0, -1), ArgumentError,
     r"normal_: std must be a finite number of at least 0, got -1"),
    ("normal_'s mean", lambda: init.normal_(minidl.zeros(2), float("nan")), ArgumentError,
     r"normal_: mean must be a finite"),
    ("trunc_normal_ backwards", lambda: init.trunc_normal_(minidl.zeros(2), a=1, b=1), ArgumentError,
     r"trunc_normal_: std must be above 0, and a below b, got std=1\.0, a=1 and b=1"),
    ("trunc_normal_'s std", lambda: init.trunc_normal_(minidl.zeros(2), std=0), ArgumentError,
     r"trunc_normal_: std must be above 0"),
    ("trunc_normal_'s limit", lambda: init.trunc_normal_(minidl.zeros(2), b=float("nan")), ArgumentError,
     r"trunc_normal_: b must be a number, got nan"),
    ("constant_'s word", lambda: init.constant_(minidl.zeros(2), "1"), ArgumentError,
     r"constant_: val must be a number"),
    ("xavier_uniform_'s gain", lambda: init.xavier_uniform_(minidl.zeros(2, 2), "1"), ArgumentError,
     r"xavier_uniform_: gain must be a number"),
    ("xavier_normal_'s gain", lambda: init.xavier_normal_(minidl.zeros(2, 2), None), ArgumentError,
     r"xavier_normal_: gain must be a number"),
    ("orthogonal_'s gain", lambda: init.orthogonal_(minidl.zeros(2, 2), float("inf")), ArgumentError,
     r"orthogonal_: gain must be a finite number"),
    *[(f"{name}'s mode", lambda name=name: getattr(init, name)(minidl.zeros(2, 2), mode="fan"), ArgumentError,
       rf"{name}: mode must be one of 'fan_in', 'fan_out', got 'fan'")
      for name in ("kaiming_uniform_", "kaiming_normal_")],
    *[(f"{name}'s slope", lambda name=name: getattr(init, name)(minidl.zeros(2, 2), "0"), ArgumentError,
       rf"{name}: a must be a number") for name in ("kaiming_uniform_", "kaiming_normal_")],
    ("a nonlinearity", lambda: init.kaiming_normal_(minidl.zeros(2, 2), nonlinearity="gelu"), ArgumentError,
     r"calculate_gain: nonlinearity must be one of 'linear', .*, got 'gelu'"),
    ("a gain's slope", lambda: init.calculate_gain("leaky_relu", "0"), ArgumentError,
     r"calculate_gain: param must be a"),
    ("a gain's slope True", lambda: init.calculate_gain("leaky_relu", True), ArgumentError,
     r"calculate_gain: param must be"),
    *[(f"{name}'s generator", lambda name=name: getattr(init, name)(minidl.zeros(2, 2), generator=3), DTypeError,
       rf"{name}: generator must be a numpy\.random\.Generator, got int")
      for name in ("uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_",
                   "kaiming_normal_", "orthogonal_")],
    ("a read-only tensor", lambda: init.zeros_(read_only()), ArgumentError,
     r"zeros_: tensor must be writeable, this one's memory is read-only"),
    ("a parameter without a shape", lambda: init.normal_(nn.Parameter(None)), DTypeError,
     r"normal_: the parameter has no shape yet"),
]  # fmt: skip
