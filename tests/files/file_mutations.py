"""Files that are wrong in ways that nobody chose: valid ones, changed at random, by a seed.

A safetensors file is changed as bytes, in its header, and where the header holds JSON in a string, in that.
"""

from __future__ import annotations

import gzip
import json
from copy import deepcopy
from typing import Any

import numpy as np

Random = np.random.Generator


class Pairs(list):
    """A JSON object as pairs, so that a name may be there twice."""


def parse(text: str) -> Any:
    return json.loads(text, object_pairs_hook=lambda pairs: Pairs([list(pair) for pair in pairs]))


def dump(value: Any) -> str:
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(str(name))}: {dump(item)}" for name, item in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dump, value)) + "]"
    return value if isinstance(value, Raw) else json.dumps(value)


class Raw(str):
    """Text that goes into JSON as it is."""


def _deep(kind: str, levels: int) -> Raw:
    before, after = {"list": ("[", "]"), "dict": ('{"a": ', "}"), "tuple": ('{"$tuple": [', "]}")}[kind]
    return Raw(before * levels + "1" + after * levels)


def _values(random: Random, found: list[Any]) -> Any:
    """Something else for a place in JSON."""
    number = int(random.integers(2**62))
    fixed: list[Any] = [
        None, True, False, 0, 1, -1, 2, 3, 7, 600, 10**6, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 2**128, 10**300,
        10**400, number, -number, 0.0, -0.5, 1.5, 1e-300, 1e308, "", "a", "1", "x" * 300, "\0", "é", "params",
        "forward", "model.0.weight", "winograd_4x4", "MT19937", "1" * 5000, [], [[]], [1, 2, 3], [0] * 70,
        [1] * 70, [None], ["a"], Pairs(), Pairs([["a", 1]]), Raw("NaN"), Raw("Infinity"), Raw("-Infinity"),
        Raw("1e999"), Raw("-0"), Raw(""), Raw("1" * 5000), Raw('"\\ud800"'), Raw("nonsense"), _deep("list", 50),
        _deep("list", 990), _deep("list", 100_000), _deep("dict", 300), _deep("tuple", 300),
    ]  # fmt: skip
    names = ("$float", "$tuple", "$dict", "$array", "$other", "$")
    if random.random() < 0.25:
        kind = names[random.integers(len(names))]
        inner = fixed[random.integers(len(fixed))]
        inside = [
            inner,
            "nan",
            "inf",
            [inner, inner],
            [[inner, 1]],
            [[[], 1]],
            "extra.array",
            "optimizer.state.0.exp_avg",
        ]
        return Pairs([[kind, inside[random.integers(len(inside))]]])
    if found and random.random() < 0.4:
        return deepcopy(found[random.integers(len(found))])
    return fixed[random.integers(len(fixed))]


def _walk(value: list, random: Random) -> tuple[list, int]:
    """A place in a JSON value that another value may be put into: a list, or the pair of a name, and an index.

    A walk from the root that stops somewhere, since of all places most are deep inside, and much alike.
    """
    while True:
        at = int(random.integers(len(value)))
        holder, index = (value[at], 1) if isinstance(value, Pairs) else (value, at)
        inner = holder[index]
        if not isinstance(inner, list) or not inner or random.random() < 0.25:
            return holder, index
        value = inner


def changed_json(text: str, random: Random) -> str:
    """JSON with one to three values, names or lists changed."""
    root = [parse(text)]
    for _ in range(random.integers(1, 4)):
        holder, at = _walk(root, random)
        inner = holder[at]
        way = random.random()
        if way < 0.6 or not isinstance(inner, list) or not inner:
            other, i = _walk(root, random)
            holder[at] = _values(random, [other[i]])
        else:
            at = int(random.integers(len(inner)))
            if way < 0.7:
                del inner[at]
            elif way < 0.8:
                is_small = not isinstance(inner[at], list)
                inner[at:at] = deepcopy(inner[at : at + 1]) * ([1, 70, 700][random.integers(3)] if is_small else 1)
            elif way < 0.9 and isinstance(inner, Pairs):
                inner[at][0] = ["", "$array", "$dict", "a", "params", "__metadata__", inner[0][0]][random.integers(7)]
            else:
                inner[:] = [inner[i] for i in random.permutation(len(inner))]
    return dump(root[0])


def changed_bytes(content: bytes, random: Random) -> bytes:
    """A file with some of its bytes changed, lost, doubled or added."""
    data = bytearray(content)
    at, other = sorted(int(i) for i in random.integers(0, len(data) + 1, 2))
    # Most of what matters is at the beginning.
    if random.random() < 0.3:
        at = int(at * random.random() ** 4)
    way = random.integers(8)
    if way <= 2:
        for _ in range(random.integers(1, 9)):
            place = int(len(data) * random.random() ** (3 if way else 1))
            data[place] ^= 1 << int(random.integers(8))
    elif way == 3:
        del data[at:]
    elif way == 4:
        data += random.bytes(int(random.integers(1, 40)))
    elif way == 5:
        del data[at : min(other, at + 50)]
    elif way == 6:
        data[at:at] = data[at : min(other, at + 50)]
    else:
        data[at : at + 8] = [0, 255, 1, 127][random.integers(4)].to_bytes(1, "little") * 8
    return bytes(data)


def changed_tensors(content: bytes, random: Random) -> bytes:
    """A safetensors file that is changed in one of these ways; its checksum is taken out where JSON is changed."""
    if random.random() < 0.25:
        return changed_bytes(content, random)
    length = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    metadata = header.get("__metadata__", {})
    if random.random() < 0.9:
        metadata.pop("sha256", None)
    way = random.random()
    if "state" in metadata and way < 0.6:
        metadata["state"] = changed_json(metadata["state"], random)
    if metadata and 0.6 <= way < 0.8:
        others = {name: part for name, part in header.items() if name != "__metadata__"}
        text = json.dumps({"__metadata__": "?", **others}).replace('"?"', changed_json(json.dumps(metadata), random), 1)
    else:
        text = json.dumps(header) if way < 0.6 else changed_json(json.dumps(header), random)
    stored = text.encode("utf-8", "surrogatepass")
    return len(stored).to_bytes(8, "little") + stored + body


def changed_idx(content: bytes, random: Random) -> bytes:
    """An IDX file that is changed before it is compressed, or after, or both, or isn't compressed."""
    if random.random() < 0.5:
        content = changed_bytes(content, random)
    if random.random() < 0.3:
        # Each size is four bytes.
        data, at = bytearray(content), int(4 * random.integers(0, 4))
        data[at : at + 4] = int(random.integers(2 ** int(random.integers(1, 33)))).to_bytes(4, "big")
        content = bytes(data)
    if random.random() < 0.7:
        cuts = sorted(int(i) for i in random.integers(0, len(content) + 1, random.integers(0, 4)))
        pieces = [content[i:j] for i, j in zip([0, *cuts], [*cuts, len(content)], strict=True)]
        content = b"".join(gzip.compress(piece, mtime=0) for piece in pieces)
        if random.random() < 0.6:
            content = changed_bytes(content, random)
    return content
