"""Whatever a file holds, it is read, or refused by an error of minidl's that names it, and nothing has changed then.

`python tests/files/test_file_fuzz.py 100000` goes on for so many files of each kind, from a seed that it prints.
"""

from __future__ import annotations

import gzip
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest
from file_mutations import changed_idx, changed_tensors

import minidl
import minidl.functional as F
from minidl import kernels, nn, optim
from minidl.checkpoint import load_checkpoint, save_checkpoint
from minidl.data import ArrayDataset, DataLoader, read_idx
from minidl.errors import MinidlError

SCHEDULES: list[Callable[[Any], Any]] = [
    lambda o: optim.lr_scheduler.OneCycleLR(o, 0.01, total_steps=40),
    lambda o: optim.lr_scheduler.SequentialLR(
        o, [optim.lr_scheduler.LinearLR(o), optim.lr_scheduler.MultiStepLR(o, [3, 9])], [5]
    ),
    lambda o: optim.lr_scheduler.ReduceLROnPlateau(o),
    lambda o: optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2),
    lambda o: optim.lr_scheduler.CosineAnnealingLR(o, 7),
]
OPTIMIZERS: list[Callable[[Any], Any]] = [
    lambda p: optim.Adam(p, amsgrad=True), lambda p: optim.SGD(p, momentum=0.9), lambda p: optim.RAdam(p),
    lambda p: optim.RMSprop(p, momentum=0.5, centered=True), lambda p: optim.Adagrad(p),
]  # fmt: skip
BITS = [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64, np.random.PCG64DXSM]
CLOCKED = [
    [["forward", 2, 20, 24, 1, 9, 8, 3, 3, 1, 1, 0, 0, 0, 0, 1, 1, 7, 6, 4, "v3", 2, "default"], "fft"],
    [["weight", 4, 1, 2, 1, 6, 6, 3, 3, 1, 1, 0, 0, 0, 0, 1, 1, 4, 4, 4, "v3", 2, "fast"], "winograd_4x4"],
]  # fmt: skip


class Run:
    """All that a checkpoint holds, of the kinds that `number` says."""

    def __init__(self, number: int) -> None:
        minidl.manual_seed(number)
        images = np.random.default_rng(0).integers(0, 256, (12, 1, 6, 6)).astype(np.float32) / 256
        bits = BITS[number % len(BITS)]
        self.noise = np.random.Generator(bits(5))
        self.loader = DataLoader(
            ArrayDataset(images, np.arange(12) % 3), 4, shuffle=True, generator=np.random.Generator(bits(6))
        )
        self.model = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Dropout(0.2, generator=self.noise),
            nn.Dense(None if number % 2 else 32, 3),
        )  # fmt: skip
        self.optimizer: Any = OPTIMIZERS[number % len(OPTIMIZERS)](self.model.parameters())
        self.scheduler = SCHEDULES[number // 2 % len(SCHEDULES)](self.optimizer)

    @property
    def parts(self) -> dict[str, Any]:
        return {
            "model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler, "loader": self.loader,
            "generators": {"noise": self.noise},
        }  # fmt: skip

    def step(self) -> None:
        for images, labels in self.loader:
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(images), labels).backward()
            self.optimizer.step()
            if not isinstance(self.scheduler, optim.lr_scheduler.ReduceLROnPlateau):
                self.scheduler.step()
            break

    def state(self) -> str:
        """All of it as text, the same if and only if nothing has changed."""
        tensors = [(t.data.dtype, t.data.tobytes(), vars_of(t)) for t in (*_tensors(self.model),)]
        generators = [minidl.default_generator(), self.noise, self.loader.generator]
        return repr((
            tensors, [vars(m) for m in self.model.modules() if isinstance(m, nn.Dense)],
            self.optimizer.state_dict(), self.scheduler.state_dict(), self.loader.state_dict(),
            [g.bit_generator.state for g in generators], kernels.remembered_algorithms(),
        ))  # fmt: skip


def _tensors(model: nn.Module) -> list[Any]:
    return [*model.parameters(), *model.buffers()]


def vars_of(tensor: Any) -> Any:
    return getattr(tensor, "is_initialised", None), tensor.requires_grad


class Reader:
    """A kind of files: a valid one, how it is changed, and what reads it."""

    change: Callable[[bytes, np.random.Generator], bytes] = staticmethod(changed_tensors)
    content: bytes

    def __init__(self, folder: Path, number: int) -> None:
        self.path = folder / "the file"

    def read(self) -> Any:
        raise NotImplementedError

    def state(self) -> str:
        return ""


class Checkpoint(Reader):
    """A checkpoint, into parts of the same kinds; what could be loaded takes a step."""

    def __init__(self, folder: Path, number: int) -> None:
        super().__init__(folder, number)
        self.number = number
        run = Run(number)
        run.step()
        kernels.recall_algorithms(CLOCKED)
        save_checkpoint(
            self.path, **run.parts, extra={"array": np.arange(3), "deep": [1, (2.5, float("inf")), {3: "x"}]}
        )
        minidl.benchmark_algorithms(False)
        self.content = self.path.read_bytes()
        self.run = Run(number)

    def read(self) -> None:
        load_checkpoint(self.path, **self.run.parts)
        run, self.run = self.run, Run(self.number)
        with np.errstate(all="ignore"):
            minidl.benchmark_algorithms(True)
            try:
                run.step()
            except MinidlError as error:
                # It is of what was loaded, and can't know from which file.
                error.args = error.message, str(self.path)
            finally:
                minidl.benchmark_algorithms(False)
        self.run = Run(self.number)

    def state(self) -> str:
        return self.run.state()


class Weights(Reader):
    """Weights, into a model whose sizes are known, or not, or that has one tensor under two names."""

    def __init__(self, folder: Path, number: int) -> None:
        super().__init__(folder, number)

        def model() -> nn.Module:
            channels, features = (3, 2) if number % 2 else (None, None)
            is_tied = number % 3 == 2
            layers = nn.Sequential(
                nn.Conv2d(channels, 4, 3),
                nn.BatchNorm2d(4),
                nn.Embedding(5, 2),
                nn.Dense(2 if is_tied else features, 5),
            )
            if is_tied:
                layers[3].weight = layers[2].weight
            return layers

        self.new, self.strict = model, bool(number % 5)
        first = model()
        first[0](minidl.zeros(1, 3, 4, 4))
        first[3](minidl.zeros(1, 2))
        minidl.save_weights(self.path, first)
        self.content, self.model = self.path.read_bytes(), model()

    def read(self) -> None:
        minidl.load_weights(self.path, self.model, strict=self.strict)
        self.model = self.new()

    def state(self) -> str:
        tensors = [(t.data.dtype, t.data.tobytes(), vars_of(t)) for t in _tensors(self.model)]
        generator = minidl.default_generator().bit_generator.state
        return repr((tensors, [repr(m) for m in self.model.modules()], generator))


class Idx(Reader):
    """An IDX file of some dtype, compressed or not."""

    change = staticmethod(changed_idx)

    def __init__(self, folder: Path, number: int) -> None:
        super().__init__(folder, number)
        code = (8, 9, 0x0B, 0x0C, 0x0D, 0x0E)[number % 6]
        size = (1, 1, 2, 4, 4, 8)[number % 6]
        body = np.random.default_rng(number).bytes(60 * size)
        self.content = bytes([0, 0, code, 3]) + b"".join(n.to_bytes(4, "big") for n in (3, 4, 5)) + body
        if number % 2:
            self.content = gzip.compress(self.content, mtime=0)

    def read(self) -> None:
        array = read_idx(self.path)
        assert array.flags.writeable and array.dtype.isnative


READERS = {"checkpoint": Checkpoint, "weights": Weights, "idx": Idx}


def fuzz(kind: str, folder: Path, seed: int, files: int, seconds: float) -> tuple[dict[str, int], list[str]]:
    """Read changed files; returns how many were read and refused, and what went wrong, with how to make it again."""
    counts, wrong = {"read": 0, "refused": 0}, []
    end, number = monotonic() + seconds, 0
    reader: Any = None
    before = ""
    while number < files and monotonic() < end:
        if number % 50 == 0 or reader is None:
            # Of other kinds, and with the file as it is, which must be read.
            reader = READERS[kind](folder, number // 50)
            reader.path.write_bytes(reader.content)
            reader.read()
            before = reader.state()
        reader.path.write_bytes(reader.change(reader.content, np.random.default_rng([seed, number])))
        fault = ""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                reader.read()
            counts["read"] += 1
            before = reader.state()
        except (MinidlError, OSError) as error:
            counts["refused"] += 1
            text = str(error)
            if not isinstance(error, MinidlError) and not error.filename or str(reader.path) not in text:
                fault = f"{error!r:.300} does not name the file"
            elif len(text) > 3000:
                fault = f"a message of {len(text)} characters: {text:.300}"
            elif reader.state() != before:
                fault = f"something has changed, although it was refused: {text:.300}"
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            fault = f"{error!r:.300}"
        if fault:
            wrong.append(f"{kind}, seed {seed}, number {number}: {fault}")
            reader = None
        number += 1
    return counts, wrong


# Whether there is time or not.
FEW = {"checkpoint": 100, "weights": 200, "idx": 300}


@pytest.mark.parametrize("kind", READERS)
def test_changed_files_are_read_or_refused_by_name(kind: str, tmp_path: Path) -> None:
    counts, wrong = fuzz(kind, tmp_path, 0, FEW[kind], 60)
    assert not wrong, "\n".join(wrong)
    assert counts["read"] > 3 and counts["refused"] > 20


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
def test_many_changed_files_are_read_or_refused_by_name(kind: str, tmp_path: Path) -> None:
    counts, wrong = fuzz(kind, tmp_path, 1, 100_000, 9)
    assert not wrong, "\n".join(wrong)
    assert counts["read"] and counts["refused"]


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(np.random.default_rng().integers(2**31))
    with TemporaryDirectory() as folder:
        for kind in sys.argv[3:] or READERS:
            counts, wrong = fuzz(kind, Path(folder), seed, int(sys.argv[1]), 1e9)
            print(kind, "seed", seed, counts, *wrong, sep="\n  ", flush=True)
