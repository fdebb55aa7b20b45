"""What a model's answers stand: graded changes that keep the class, and edits that change it."""

from clearsight.robustness.changes import CHANGES
from clearsight.robustness.report import RobustnessReport, audit

__all__ = [
    "CHANGES",
    "RobustnessReport",
    "audit",
]
