"""PyTorch's gradient checker and minidl's, both with their defaults, on 40 wrong gradients and 40 correct ones.

    python benchmarks/gradcheck_comparison.py [--seeds 20] [--only WORD ...] [--markdown] [--verbose]

A case is a NumPy function with a gradient written by hand (`gradcheck_cases`). minidl's `check_vjp` takes it as it is;
for `torch.autograd.gradcheck` it becomes a `torch.autograd.Function`. Printed are, for every case, in how many seeds
each checker complained and what it said first, then the totals and the times.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gradcheck_cases import RIGHT, WRONG, Case, Made

from minidl.testing import check_vjp

Array = np.ndarray

# Words by which a hint names a pattern.
WORDS = {
    "transposed": "transpose",
    "sign": "opposite sign",
    "factor": "times the numeric|half of the numeric|1/[0-9.]+ of the numeric",
    "flipped": "flipped",
    "shifted": "shifted",
    "last use": "only the last use",
}
# What our kinds of problems are called in the cases.
KINDS = {
    "missing gradient": "missing",
    "nan gradient": "nan",
    "modified input": "modified",
    "direction": "wrong",
    "upstream": "wrong",
}


@dataclass
class Answer:
    """What a checker said about one case at one seed."""

    complained: bool
    text: str = ""
    findings: set[str] = field(default_factory=set)
    hints: list[str] = field(default_factory=list)
    unresolved: int = 0
    compared: int = 0


@dataclass
class Tally:
    """What a checker said about one case at all seeds."""

    case: Case
    answers: list[Answer] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def complaints(self) -> int:
        """In how many seeds the checker complained."""
        return sum(answer.complained for answer in self.answers)

    @property
    def mistaken(self) -> int:
        """Missed mistakes of a wrong gradient, false alarms of a right one."""
        return self.complaints if self.case.is_right else len(self.answers) - self.complaints

    @property
    def named(self) -> int:
        """In how many seeds the kind of the mistake was named."""
        return sum(self.case.finding in answer.findings for answer in self.answers)

    @property
    def hinted(self) -> int:
        """In how many seeds a hint named the pattern."""
        words = "|".join(WORDS[pattern] for pattern in self.case.patterns)
        return sum(any(re.search(words, hint) for hint in answer.hints) for answer in self.answers)

    @property
    def said(self) -> str:
        """The most frequent of what it said."""
        texts = Counter(answer.text for answer in self.answers if answer.text)
        return texts.most_common(1)[0][0] if texts else ""


def minidl(made: Made) -> Answer:
    """Our checker with its defaults."""
    report = check_vjp(made.forward, made.backward, made.arrays, raise_exception=False)
    findings = {
        KINDS.get(problem.kind, problem.kind) if hasattr(problem, "kind") else "wrong" for problem in report.failures
    }
    text = ""
    if problems := [problem for problem in report.failures if hasattr(problem, "kind")]:
        text = problems[0].message
    elif report.failures:
        worst = next(entry.worst[0] for entry in report.inputs if entry.wrong)
        text = f"{worst.input}{list(worst.index)}: {worst.analytic:.6g}, numeric {worst.numeric:.6g}"
    hints = [entry.hint for entry in report.inputs if entry.hint]
    return Answer(
        not report,
        f"{text}; {hints[0]}" if hints and text else text,
        findings,
        hints,
        sum(entry.unresolved for entry in report.inputs),
        sum(entry.compared for entry in report.inputs),
    )


def torch(made: Made) -> Answer:
    """PyTorch's checker with its defaults, on an autograd function that goes through NumPy."""
    import torch

    class FromNumPy(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            ctx.save_for_backward(*inputs)
            return torch.tensor(np.asarray(made.forward(*[x.detach().numpy() for x in inputs])))

        @staticmethod
        def backward(ctx: Any, upstream: Any) -> Any:
            found = made.backward(upstream.numpy(), *[x.detach().numpy() for x in ctx.saved_tensors])
            found = found if isinstance(found, tuple) else (found,)
            return tuple(None if gradient is None else torch.tensor(np.array(gradient)) for gradient in found)

    inputs = [torch.tensor(array, requires_grad=array.dtype.kind == "f") for array in made.arrays]
    try:
        torch.autograd.gradcheck(FromNumPy.apply, inputs)
    except Exception as error:
        return Answer(True, " ".join(str(error).split()))
    return Answer(False)


def run(cases: Iterable[Case], checker: Callable[[Made], Answer], seeds: int) -> list[Tally]:
    """Every case at every seed. A checker that breaks down has complained, and says how."""
    tallies = []
    for case in cases:
        tally = Tally(case)
        for seed in range(seeds):
            made = case.make(np.random.default_rng(seed))
            start = time.perf_counter()
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                try:
                    answer = checker(made)
                except Exception as error:
                    answer = Answer(True, f"CRASH {type(error).__name__}: {error}", {"crash"})
            tally.seconds += time.perf_counter() - start
            tally.answers.append(answer)
        tallies.append(tally)
    return tallies


def shorten(text: str, length: int = 70) -> str:
    """The beginning of a text, fit for a cell of a table."""
    text = re.sub(
        r"^Jacobian mismatch for output (\d) with respect to input (\d), .*", r"Jacobian mismatch, input \2", text
    )
    text = " ".join(text.replace("|", "/").split())
    return text if len(text) <= length else text[: length - 3] + "..."


def table(ours: list[Tally], theirs: list[Tally], markdown: bool) -> None:
    """A line a case: how often each complained, and what it said."""
    head = ["case", "PyTorch", "says", "minidl", "says", "hint"]
    rows = []
    for our, their in zip(ours, theirs, strict=True):
        seeds = len(our.answers)
        hint = f"{our.hinted}/{seeds}" if our.case.patterns else ""
        rows.append(
            [our.case.name, f"{their.complaints}/{seeds}", shorten(their.said), f"{our.complaints}/{seeds}",
             shorten(our.said), hint]
        )  # fmt: skip
    widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]
    if markdown:
        print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    for row in rows if markdown else [head, *rows]:
        cells = row if markdown else [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("| " + " | ".join(cells) + " |" if markdown else "  ".join(cells).rstrip())
    print()


def totals(name: str, wrong: list[Tally], right: list[Tally]) -> None:
    """Caught, missed, false alarms; for ours, whether kind and pattern were named as well."""
    checks, fine = (sum(len(tally.answers) for tally in tallies) for tallies in (wrong, right))
    missed, alarms = (sum(tally.mistaken for tally in tallies) for tallies in (wrong, right))
    cases = [sum(tally.mistaken > 0 for tally in tallies) for tallies in (wrong, right)]
    seconds = sum(tally.seconds for tally in (*wrong, *right))
    print(
        f"{name}: caught {checks - missed} of {checks}, missed {missed} ({cases[0]} of {len(wrong)} cases); "
        f"false alarms {alarms} of {fine} ({cases[1]} of {len(right)} cases); {seconds:.1f} s"
    )


def main(argv: list[str] | None = None) -> int:
    """Run and print; the exit code says whether ours missed nothing and raised no false alarm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", nargs="*", default=[], help="cases whose name or family contains a word")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="what ours said where it was mistaken")
    options = parser.parse_args(argv)
    groups = [
        [case for case in cases if not options.only or any(w in f"{case.name} {case.family}" for w in options.only)]
        for cases in (WRONG, RIGHT)
    ]
    ours = [run(cases, minidl, options.seeds) for cases in groups]
    theirs = [run(cases, torch, options.seeds) for cases in groups]
    for title, our, their in zip(("Wrong gradients", "Right gradients"), ours, theirs, strict=True):
        print(f"{'### ' if options.markdown else ''}{title}: complaints, of {options.seeds} seeds\n")
        table(our, their, options.markdown)
    totals("PyTorch", *theirs)
    totals("minidl ", *ours)
    named = sum(tally.named for tally in ours[0])
    patterned = [tally for tally in ours[0] if tally.case.patterns]
    hinted, of = sum(tally.hinted for tally in patterned), options.seeds * len(patterned)
    unresolved, compared = (sum(getattr(a, k) for t in ours[1] for a in t.answers) for k in ("unresolved", "compared"))
    print(
        f"minidl : kind of mistake named in {named} of {options.seeds * len(groups[0])}; hint right in {hinted} of {of}"
    )
    print(f"minidl : of {compared} entries of right gradients, {unresolved} could not be judged")
    if options.verbose:
        for tally in (*ours[0], *ours[1]):
            for seed, answer in enumerate(tally.answers):
                if answer.complained == tally.case.is_right or (
                    answer.complained and tally.case.finding not in answer.findings
                ):
                    print(f"{tally.case.name}, seed {seed}: {answer.findings or 'nothing'} {answer.text[:300]}")
    return int(any(tally.mistaken for tally in (*ours[0], *ours[1])))


if __name__ == "__main__":
    sys.exit(main())
