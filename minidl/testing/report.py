"""The report of a gradient check: a true or false answer that prints as a table.

A report prints the worst elements of each input. `to_dict` and `to_json` give the same to programs, and `plot` draws
the error over an input's shape.
"""

from __future__ import annotations

import json
import os
from typing import Any

from minidl.arguments import read_int
from minidl.errors import ArgumentError, check_flag
from minidl.testing._layout import header, text
from minidl.testing.findings import Findings, json_number
from minidl.testing.heatmap import heatmap

StrPath = str | os.PathLike[str]


class GradcheckReport(Findings):
    """The findings of a gradient check. True when all gradients agree, and there were any; prints as a table.

    Attributes
    ----------
    name : str
        The check: "gradcheck", "gradgradcheck" or "check_vjp".
    order : int
        1 for gradients, 2 for gradients of gradients.
    method, mode : str
        How the numeric side was computed, and whether of all elements ("full") or along random directions.
    inputs : list of InputReport
        What was found about each input.
    problems : list of Problem
        What needed no comparison of numbers, or concerns more than one element.
    kinks : list of Element
        The kinks found, those among the worst elements included.
    notes : list of str
        What one should know of how it was checked.
    evaluations : int
        How often the function was called.
    seconds : float
        How long it took.

    Examples
    --------
    >>> from minidl.testing import Element, GradcheckReport, InputReport
    >>> report = GradcheckReport("check_vjp", 1, "richardson", "full", evaluations=4, seconds=0.01)
    >>> element = Element("x", (1,), "y", (), analytic=3.0, numeric=1.5, error_estimate=2e-13, verdict="wrong")
    >>> hint = "the gradient is 2 times the numeric one: a factor of 1/2 is missing, or something is counted twice"
    >>> report.inputs.append(InputReport("x", (2,), "float64", compared=2, wrong=1, worst=[element], hint=hint))
    >>> print(report)  # doctest: -NORMALIZE_WHITESPACE
    check_vjp FAILED (order 1, method richardson, mode full, 4 evaluations, 0.01 s)
    <BLANKLINE>
    x (2,) float64: 1 of 2 entries wrong
      index  output  analytic  numeric      +/-  abs. error  rel. error  verdict
      [1]    y       3         1.5      2.0e-13     1.5e+00     5.0e-01  wrong
      hint: the gradient is 2 times the numeric one: a factor of 1/2 is missing, or something is counted twice
    >>> bool(report), report.failures == [element]
    (False, True)
    """

    def __str__(self) -> str:
        return text(self)

    # It stands in failed assertions and behind >>>, so it is short.
    def __repr__(self) -> str:
        return f"<{header(self)}>"

    def to_dict(self, *, errors: bool = False) -> dict[str, Any]:
        """Give all of it in types that JSON has.

        Parameters
        ----------
        errors : bool
            Also the relative error and the verdict of every element of each input, flat in row-major order.

        Returns
        -------
        dict
            Its keys are the attributes and "ok", `bool(report)`. Numbers that JSON has not are the strings "nan",
            "inf" and "-inf", which `float` reads.

        Examples
        --------
        >>> from minidl.testing import GradcheckReport, InputReport
        >>> report = GradcheckReport("gradcheck", 2, "auto", "full", [InputReport("x", (), "float64", compared=1)])
        >>> found = report.to_dict()
        >>> found["ok"], found["order"], found["inputs"][0]["shape"]
        (True, 2, [])
        """
        check_flag("to_dict", "errors", errors)
        return {
            "ok": bool(self),
            "name": self.name,
            "order": int(self.order),
            "method": self.method,
            "mode": self.mode,
            "evaluations": int(self.evaluations),
            "seconds": json_number(self.seconds),
            "notes": list(self.notes),
            "problems": [problem.to_dict() for problem in self.problems],
            "inputs": [each.to_dict(errors=errors) for each in self.inputs],
            "kinks": [element.to_dict() for element in self.kinks],
        }

    def to_json(self, *, indent: int | None = None, errors: bool = False) -> str:
        """Give all of it as JSON, see `to_dict`.

        Parameters
        ----------
        indent : int, optional
            Spaces of each level; all on one line by default.
        errors : bool
            As in `to_dict`.

        Returns
        -------
        str
            JSON by RFC 8259, in which there is no NaN.

        Examples
        --------
        >>> GradcheckReport("gradcheck", 1, "auto", "full").to_json()[:31]
        '{"ok": true, "name": "gradcheck'
        """
        if indent is not None:
            indent = read_int("to_json", "indent", indent, 0, 100)
        return json.dumps(self.to_dict(errors=errors), indent=indent, allow_nan=False)

    def plot(self, path: StrPath | None = None, input: str | None = None) -> Any:
        """Draw the error over an input's shape, see `minidl.testing.heatmap.heatmap`.

        Parameters
        ----------
        path : str or path-like, optional
            Save the figure there as PNG.
        input : str, optional
            Which input; by default the one with the largest share of wrong entries.

        Returns
        -------
        matplotlib.figure.Figure
            The figure.

        Raises
        ------
        ArgumentError
            If there is no such input, or nothing was compared element by element (random mode).
        MissingExtraError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from minidl.testing import GradcheckReport, InputReport
        >>> x = InputReport("x", (3,), "float64", 3, error=np.zeros(3), state=np.ones(3, np.int8))
        >>> figure = GradcheckReport("gradcheck", 1, "auto", "full", [x]).plot()
        >>> figure.axes[0].get_title(loc="left")
        'x (3,): 3 entries, ok'
        """
        drawable = [each for each in self.inputs if each.error is not None]
        if input is not None:
            chosen = [each for each in self.inputs if isinstance(input, str) and each.name == input]
            if not chosen:
                raise ArgumentError(f"plot: there is no input {input!r}, only {[each.name for each in self.inputs]}")
        else:
            chosen = sorted(drawable, key=lambda each: -each.wrong / max(each.compared, 1))
        if not chosen or chosen[0].error is None:
            what = f"the input {input!r}" if input is not None else "no input"
            raise ArgumentError(
                f"plot: {what} {'was not' if input is not None else 'was'} compared element by element "
                f"(mode={self.mode!r}); mode='full' does"
            )
        return heatmap(chosen[0], path)
