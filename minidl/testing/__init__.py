"""Checks of gradients that people write themselves: against numeric ones, with a report of what was found."""

from minidl.testing.directions import miss_probability
from minidl.testing.report import Element, GradcheckReport, InputReport, Problem
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
