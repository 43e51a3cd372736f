"""Checks of gradients that people write themselves: against numeric ones, with a report of what was found."""

from minidl.testing.report import Element, GradcheckReport, InputReport, Problem

__all__ = ["Element", "GradcheckReport", "InputReport", "Problem"]
