#!/usr/bin/env python3
"""Train LeNet-5 on MNIST with minidl.

    python examples/lenet.py                    five epochs; the files go to runs/lenet
    python examples/lenet.py --fast             two epochs of 48,000 images
    python examples/lenet.py --resume           go on after Ctrl-C or a crash, as if it had not happened

The digits are looked for in --data-dir, in MINIDL_DATA and in the user's cache, and else downloaded into that cache.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field, fields
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

import minidl
import minidl.functional as F
from minidl import data, nn, optim
from minidl.checkpoint import load_checkpoint, save_checkpoint
from minidl.errors import DataNotFoundError, MinidlError

IMPORTED_AT = time.perf_counter()


@dataclass(frozen=True)
class Recipe:
    """How to train: what a resumed run must not change."""

    epochs: int = 5
    batch_size: int = 64
    optimizer: str = "adamw"
    lr: float = 4e-3  # the peak of the one-cycle schedule
    warm_up: float = 0.3  # the part of the run in which the learning rate rises
    anneal: str = "cos"  # how it rises and falls
    shift: int = 1  # every image moves by up to so many pixels along each axis
    samples: int | None = None  # the images of an epoch, drawn anew for each; all by default
    seed: int = 0
    fast: bool = False
    data: str = "MNIST"


DEFAULT = Recipe()
FAST = Recipe(epochs=2, batch_size=128, lr=1.6e-2, warm_up=0.2, anneal="linear", samples=48_000, fast=True)
# One pass over scikit-learn's few digits is over in a moment.
DIGITS_EPOCHS = {False: 30, True: 15}
SGD_LR = 0.1
OPTIMIZERS: dict[str, Any] = {
    "adamw": optim.AdamW,
    "adam": optim.Adam,
    "sgd": lambda parameters, lr: optim.SGD(parameters, lr, momentum=0.9),
}


class LeNet5(nn.Module):
    """LeCun et al. (1998), with ReLU and max pooling: 61,706 parameters."""

    def __init__(self) -> None:
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),  # (N, 6, 14, 14)
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),  # (N, 16 * 5 * 5)
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Dense(400, 120), nn.ReLU(), nn.Dense(120, 84), nn.ReLU(), nn.Dense(84, 10)
        )  # fmt: skip

    def forward(self, images: Any) -> Any:
        """Map images (N, 1, 28, 28) to logits (N, 10)."""
        return self.classifier(self.features(images))


class Stop(Exception):
    """Ends the program with one line and an exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Progress:
    """How far a run has come: the epochs that ended, and the running sums of the one under way."""

    history: list[dict[str, Any]] = field(default_factory=list)
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0
    elapsed: float = 0.0


class Run:
    """A training run: all that a checkpoint holds, and the files that it writes."""

    def __init__(self, recipe: Recipe, train_set: Any, test_set: Any, out: Path) -> None:
        minidl.manual_seed(recipe.seed)
        normalize = data.Normalize(0.1307, 0.3081)
        transform = data.Compose([data.RandomShift(recipe.shift), normalize]) if recipe.shift else normalize
        self.recipe, self.out = recipe, out
        self.model = LeNet5()
        self.loader = data.DataLoader(
            train_set, recipe.batch_size, shuffle=True, num_samples=recipe.samples, transform=transform
        )
        self.test_loader = data.DataLoader(test_set, 1000, transform=normalize)
        self.optimizer = OPTIMIZERS[recipe.optimizer](self.model.parameters(), lr=recipe.lr)
        self.schedule = optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            recipe.lr,
            total_steps=recipe.epochs * len(self.loader),
            pct_start=recipe.warm_up,
            anneal_strategy=recipe.anneal,
        )
        self.progress = Progress()
        self.steps = 0
        self._clock = time.perf_counter()
        self._elapsed_before = 0.0

    @property
    def checkpoint(self) -> Path:
        """The file that this run can be resumed from."""
        return self.out / "checkpoint.safetensors"

    @property
    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model, "optimizer": self.optimizer, "scheduler": self.schedule, "loader": self.loader,
        }  # fmt: skip

    def save(self) -> None:
        """Write the checkpoint, unless it would replace a good one by a broken one."""
        if not all(np.isfinite(p.data).all() for p in self.model.parameters()):
            raise Stop("The weights are no longer finite; no checkpoint was written. A smaller --lr may help.")
        self._read_clock()
        save_checkpoint(self.checkpoint, **self._state, extra={"recipe": asdict(self.recipe), **asdict(self.progress)})

    def load(self) -> None:
        """Go to where the checkpoint's run was."""
        extra = load_checkpoint(self.checkpoint, **self._state)
        self.progress = Progress(**{f.name: extra[f.name] for f in fields(Progress)})
        self._elapsed_before = self.progress.elapsed

    def _read_clock(self) -> None:
        now = time.perf_counter()
        self.progress.seconds += now - self._clock
        self._clock = now
        self.progress.elapsed = self._elapsed_before + seconds_since_process_start()

    def step(self, images: Any, labels: Any) -> None:
        """Train on one batch."""
        logits = self.model(images)
        loss = F.cross_entropy(logits, labels)
        value = loss.item()
        if not isfinite(value):
            raise Stop(
                f"The loss became {value} in epoch {len(self.progress.history) + 1}; a smaller --lr may help.\n"
                f"{self.checkpoint} holds the last checkpoint that was written, if any."
            )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.steps += 1
        self.progress.loss_sum += value * len(labels)
        self.progress.correct += int((logits.data.argmax(axis=1) == labels.data).sum())
        self.progress.seen += len(labels)

    def train_epoch(self, interrupt: Interrupt, checkpoint_every: int | None) -> None:
        """Train on what the current epoch still has; a checkpoint is written if that is interrupted."""
        self._clock = time.perf_counter()
        with progress_bar(self) as bar:
            for images, labels in self.loader:
                self.step(images, labels)
                bar.update()
                if interrupt.requested:
                    self.save()
                    raise interrupt.stop()
                if checkpoint_every and self.steps % checkpoint_every == 0:
                    self.save()
        self._read_clock()

    def end_epoch(self) -> dict[str, Any]:
        """Test the model, and take the epoch down into the history."""
        done = self.progress
        logits, labels = self.predict()
        record = {
            "epoch": len(done.history) + 1,
            "train_loss": done.loss_sum / done.seen,
            "train_accuracy": done.correct / done.seen,
            "test_loss": F.cross_entropy(logits, labels).item(),
            "test_accuracy": float((logits.argmax(axis=1) == labels).mean()),
            "seconds": done.seconds,
            "elapsed": self._elapsed_before + seconds_since_process_start(),
        }
        self.progress = Progress(history=[*done.history, record])
        self._clock = time.perf_counter()
        return record

    def predict(self) -> tuple[np.ndarray, np.ndarray]:
        """The logits and the labels of the test set."""
        self.model.eval()
        with minidl.no_grad():
            pairs = [(self.model(images).data, labels.data) for images, labels in self.test_loader]
        self.model.train()
        logits, labels = zip(*pairs, strict=True)
        return np.concatenate(logits), np.concatenate(labels)


class Interrupt:
    """Takes down the first Ctrl-C, to be acted on between steps; a second one aborts."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.requested = False

    def __enter__(self) -> Interrupt:
        self._before = signal.signal(signal.SIGINT, self._take_down)
        return self

    def __exit__(self, *exc_info: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _take_down(self, *_: object) -> None:
        self.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def stop(self) -> Stop:
        """What to raise once the checkpoint is written."""
        return Stop(f"Interrupted; the checkpoint is written. To go on: {self.command}", 130)


class NoBar:
    """Stands in where there is no terminal to draw a progress bar on."""

    def __enter__(self) -> NoBar:
        return self

    def __exit__(self, *exc_info: object) -> None: ...

    def update(self) -> None:
        """Do nothing."""


def progress_bar(run: Run) -> Any:
    """A progress bar over the rest of the epoch's batches, where there is a terminal and tqdm."""
    if not sys.stderr.isatty() or find_spec("tqdm") is None:
        return NoBar()
    from tqdm import tqdm

    start = -(-run.progress.seen // run.recipe.batch_size)
    title = f"epoch {len(run.progress.history) + 1}/{run.recipe.epochs}"
    return tqdm(desc=title, total=len(run.loader), initial=start, unit="batch", leave=False)


def seconds_since_process_start() -> float:
    """How old this process is; where the system does not say, how long ago this file was run."""
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - started
        if age >= 0:
            return age
    except (OSError, ValueError, IndexError, AttributeError):
        pass
    return time.perf_counter() - IMPORTED_AT


def load_data(folder: Path | None) -> tuple[Any, Any]:
    """Training and test set: MNIST, or the digits of scikit-learn where there are no files and no network."""
    try:
        return data.MNIST(folder), data.MNIST(folder, train=False)
    except DataNotFoundError as error:
        reason = error.message.rpartition("download: ")[2].partition("; ")[0]
        print(f"MNIST is not on this machine, and no download worked ({reason}).")
        print("Training on scikit-learn's digits instead; for MNIST, name the folder with its files by --data-dir.")
        return data.Digits(), data.Digits(train=False)


def number(kind: type, low: float, high: float = float("inf")) -> Any:
    """An argparse type: a number from `low` to `high`."""

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high or not isfinite(value):
            what = "a whole number" if kind is int else "a number"
            limit = f" to {high}" if isfinite(high) else ""
            raise argparse.ArgumentTypeError(f"must be {what} from {low}{limit}, got {text!r}")
        return value

    return parse


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """Read the command line; what was not given is None."""
    parser = argparse.ArgumentParser(
        prog="lenet.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="the folder with MNIST's files, gzip or not")
    parser.add_argument("--epochs", type=number(int, 1), help=f"default {DEFAULT.epochs}, fast {FAST.epochs}")
    parser.add_argument("--batch-size", type=number(int, 1), help=f"default {DEFAULT.batch_size}")
    peaks = f"default {DEFAULT.lr:g}, fast {FAST.lr:g}, with sgd {SGD_LR:g}"
    parser.add_argument("--lr", type=number(float, 1e-12), help=f"the peak of the one-cycle schedule; {peaks}")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, help=f"default {DEFAULT.optimizer}")
    parser.add_argument("--fast", action="store_true", default=None, help="a recipe of two short epochs")
    parser.add_argument("--seed", type=number(int, 0), help="default 0; all that is random follows from it")
    parser.add_argument("--threads", type=number(int, 1, 1024), help="default all cores; the results stay the same")
    parser.add_argument("--out", type=Path, default=Path("runs/lenet"), metavar="DIR", help="default runs/lenet")
    parser.add_argument("--metrics", type=Path, metavar="FILE", help="write one JSON object for each epoch")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--checkpoint-every", type=number(int, 1), metavar="STEPS", help="besides each epoch's end")
    parser.add_argument("--no-plots", action="store_true", help="draw no pictures (they need matplotlib)")
    return parser.parse_args(argv)


def choose_recipe(args: argparse.Namespace, data_name: str) -> Recipe:
    """The recipe that the command line asks for, or on --resume the checkpoint's, which it must not contradict."""
    asked = {f.name: v for f in fields(Recipe) if (v := getattr(args, f.name, None)) is not None}
    asked["data"] = data_name
    if args.resume:
        extra = load_checkpoint(args.out / "checkpoint.safetensors")
        if set(extra) != {"recipe", *(f.name for f in fields(Progress))}:
            raise Stop(f"{args.out / 'checkpoint.safetensors'} is not a checkpoint of this script.")
        recipe = Recipe(**extra["recipe"])
        for name, value in asked.items():
            if value != getattr(recipe, name):
                flag = "the data" if name == "data" else f"--{name.replace('_', '-')}"
                raise Stop(
                    f"Can't resume: {flag} is {value} now, but {getattr(recipe, name)} in the checkpoint. "
                    "Leave it as it was, or start anew without --resume."
                )
        return recipe
    base = asdict(FAST if args.fast else DEFAULT)
    if args.optimizer == "sgd":
        base["lr"] = SGD_LR
    if data_name == "Digits":
        base |= {"epochs": DIGITS_EPOCHS[bool(args.fast)], "samples": None}
    return Recipe(**{**base, **asked})


def prepare_folder(out: Path) -> None:
    """Make the folder, and see that there is room in it for the files, before an hour of training goes to waste."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out) as probe:
        probe.write(bytes(4 << 20))


def write_metrics(path: Path | None, history: list[dict[str, Any]]) -> None:
    """Write all epochs so far: a resumed run's file then is that of one that never stopped."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        names = ("epoch", "train_loss", "test_loss", "test_accuracy", "seconds", "elapsed")
        with open(path, "w") as file:
            file.writelines(json.dumps({name: record[name] for name in names}) + "\n" for record in history)


def draw(run: Run, test_set: Any) -> list[Path]:
    """Draw the pictures of a finished run."""
    from minidl import plot

    logits, labels = run.predict()
    guesses, probabilities = logits.argmax(axis=1), F.softmax(logits, dim=1)
    names = ("curves", "confusion", "filters", "mistakes")
    curves, confusion, filters, mistakes = paths = [run.out / f"{name}.png" for name in names]
    plot.learning_curves(run.progress.history, curves)
    plot.confusion_matrix(labels, guesses, test_set.classes, confusion)
    plot.filters(next(run.model.parameters()), filters)
    plot.mistakes(test_set.images, labels, guesses, test_set.classes, mistakes, probabilities=probabilities)
    return paths


def train(args: argparse.Namespace, command: str) -> None:
    """Do what the command line says."""
    prepare_folder(args.out)
    train_set, test_set = load_data(args.data_dir)
    recipe = choose_recipe(args, type(train_set).__name__)
    if args.threads:
        minidl.set_num_threads(args.threads)
    run = Run(recipe, train_set, test_set, args.out)
    if args.resume:
        run.load()
    history = run.progress.history
    write_metrics(args.metrics, history)
    print(f"LeNet-5 on {len(train_set):,} images of {recipe.data}: {recipe}")
    if len(history) == recipe.epochs:
        print("This run is complete already.")
    with Interrupt(command) as interrupt:
        while len(run.progress.history) < recipe.epochs:
            run.train_epoch(interrupt, args.checkpoint_every)
            record = run.end_epoch()
            run.save()
            write_metrics(args.metrics, run.progress.history)
            print(
                f"epoch {record['epoch']}/{recipe.epochs}  "
                f"train: loss {record['train_loss']:.4f}, accuracy {record['train_accuracy']:.2%}  "
                f"test: loss {record['test_loss']:.4f}, accuracy {record['test_accuracy']:.2%}  "
                f"{record['seconds']:.1f} s, {len(train_set) / record['seconds']:,.0f} images/s",
                flush=True,
            )
            if interrupt.requested:
                raise interrupt.stop()
    last = run.progress.history[-1]
    print(f"Accuracy on the {len(test_set):,} test images after the last epoch: {last['test_accuracy']:.2%}")
    paths = [run.checkpoint] + ([args.metrics] if args.metrics else [])
    if not args.no_plots:
        try:
            paths += draw(run, test_set)
        except minidl.errors.MissingExtraError as error:
            print(f"No pictures: {error}")
    print("Files:", *paths, sep="\n  ")


def main(argv: list[str] | None = None) -> int:
    """Run the script, and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    args = parse_arguments(argv)
    words = ["python", sys.argv[0], *(word for word in argv if word != "--resume"), "--resume"]
    try:
        train(args, shlex.join(words))
    except Stop as stop:
        print(stop, file=sys.stderr)
        return stop.code
    except (MinidlError, OSError) as error:
        print(f"lenet.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Aborted.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
