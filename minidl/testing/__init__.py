"""Checks of gradients that people write themselves: against numeric ones, with a report of what was found."""

from minidl.testing.directions import miss_probability
from minidl.testing.findings import Element, InputReport, Problem
from minidl.testing.report import GradcheckReport
from minidl.testing.tensors import gradcheck, gradgradcheck
from minidl.testing.vjp import check_vjp

__all__ = [
    "Element",
    "GradcheckReport",
    "InputReport",
    "Problem",
    "check_vjp",
    "gradcheck",
    "gradgradcheck",
    "miss_probability",
]
