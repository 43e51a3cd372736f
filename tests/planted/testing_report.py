"""Mistakes in what a gradient check tells: the report, its picture, the hints, the pytest plugin's part of it."""

from __future__ import annotations

from planted._mutant import Mutant

REPORT = "testing/test_report.py"
HINTS = "testing/test_hints.py -k not chance"
CHANCE = "testing/test_hints.py -k chance or evidence or not_finite"
HEATMAP = "testing/test_heatmap.py"

MUTANTS = [
    Mutant(
        "report-true-with-problems",
        "Findings.__bool__",
        "return not any(problem.is_failure for problem in self.problems) and not",
        "return not",
        "a check that found no wrong element passes, though the function was not even deterministic",
        (REPORT,),
    ),
    Mutant(
        "report-estimate-of-infinity",
        "relative_error",
        "np.where(np.isfinite(e), e, 0)",
        "e",
        "a numeric value without any estimate explains every error away",
        (REPORT,),
    ),
    Mutant(
        "report-nan-agrees",
        "relative_error",
        "found[np.isnan(a) | np.isnan(n)] = np.nan",
        "found[np.isnan(a) | np.isnan(n)] = 0",
        "NaN shown as agreement",
        (REPORT,),
    ),
    Mutant(
        "report-json-with-nan",
        "json_number",
        "return number if np.isfinite(number) else str(number)",
        "return number",
        "NaN is no JSON",
        (REPORT,),
    ),
    Mutant(
        "report-kinks-of-failures",
        "Findings.failures",
        'if e.verdict.startswith("wrong")',
        'if e.verdict == "wrong"',
        "what is wrong at a kink is no failure",
        (REPORT,),
    ),
    Mutant(
        "report-too-wide",
        "_table",
        "left = _WIDTH - 2 * len(columns) - sum(widths[2:])",
        "left = _WIDTH - sum(widths[2:])",
        "the gaps between columns are forgotten",
        (REPORT,),
    ),
    Mutant(
        "hint-axis-of-the-wrong-side",
        "Evidence.axis",
        'return f"axis {axis - self.outputs} of the input"',
        'return f"axis {axis} of the input"',
        "axes of the Jacobian told as axes of the input",
        ("testing/test_hints.py -k planted",),
    ),
    Mutant(
        "hint-shift-the-other-way",
        "_shift",
        "{distance:+} along",
        "{-by:+} along",
        "says the direction in which to shift back",
        (HINTS,),
    ),
    Mutant(
        "hint-shift-with-the-edge",
        "_shift",
        "inside[axis] = slice(distance, None) if distance > 0 else slice(None, distance)",
        "inside[axis] = slice(distance, None)",
        "what comes in at the edge is compared for one of the directions",
        (HINTS,),
    ),
    Mutant(
        "hint-first-taken-for-last",
        "one_use",
        '"last": count - 1 - np.argmax(used_at[::-1], axis=0)',
        '"last": np.argmax(used_at[::-1], axis=0)',
        "the last use is counted from the end",
        (HINTS,),
    ),
    Mutant(
        "hint-without-evidence",
        "Evidence.fits",
        "if self.informative(met) < need:",
        "if self.informative(met) < 0:",
        "two equal numbers make a pattern",
        (CHANCE,),
    ),
    Mutant(
        "hint-moves-that-move-nothing",
        "Evidence.fits",
        "explained &= ~self.equal(found, base[region])",
        "pass",
        "a factor is told as a flip that changes nothing",
        (CHANCE,),
    ),
    Mutant(
        "hint-half-explained",
        "_LEFT_OVER",
        "_LEFT_OVER, _MUCH = 0.02, 50",
        "_LEFT_OVER, _MUCH = 0.5, 50",
        "half of the entries are exceptions",
        ("testing/test_hints.py -k exceptions or planted",),
    ),
    Mutant(
        "hint-mean-of-another-size",
        "_named",
        "if prod(sizes) == size and (not fewest or len(sizes) == fewest):",
        "if prod(sizes) >= size and (not fewest or len(sizes) == fewest):",
        "names the first axis that is large enough",
        (HINTS,),
    ),
    Mutant(
        "heatmap-mean-of-a-cell",
        "Canvas._worst",
        ".max(axis=(1, 3))",
        ".mean(axis=(1, 3))",
        "one wrong element of many fades in the mean of its cell",
        (HEATMAP,),
    ),
    Mutant(
        "heatmap-block-misplaced",
        "_blocks",
        "apart = np.pad(blocks, ((0, 0), (0, 0), (0, gap), (0, gap)), constant_values=-1)",
        "apart = np.pad(blocks, ((0, 0), (0, 0), (gap, 0), (gap, 0)), constant_values=-1)",
        "the gap is put before the blocks and cut off behind them",
        (HEATMAP,),
    ),
    Mutant(
        "heatmap-no-outline-at-kinks",
        "_marks",
        'wrong = states >= VERDICTS.index("wrong at a kink")',
        'wrong = states > VERDICTS.index("wrong")',
        "nothing is outlined",
        (HEATMAP,),
    ),
    Mutant(
        "heatmap-scale-backwards",
        "_draw",
        "image = axes.imshow(picture, cmap=scale, vmin=_AGREES, vmax=_WRONG,",
        "image = axes.imshow(picture, cmap=scale.reversed(), vmin=_AGREES, vmax=_WRONG,",
        "agreement is red",
        (HEATMAP,),
    ),
]
