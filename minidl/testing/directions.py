"""mode="random": directional derivatives."""

from minidl.testing.report import GradcheckReport
from minidl.testing.subject import Options, Subject


def check_random(subject: Subject, options: Options, report: GradcheckReport) -> None:
    """Compare derivatives along random directions."""
    raise NotImplementedError
