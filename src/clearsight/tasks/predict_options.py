"""What a user may ask of predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clearsight.errors import ConfigError

COVERAGE = 0.9
"""Probability with which prediction sets and intervals hold the truth."""


@dataclass(frozen=True)
class PredictOptions:
    """What a user may ask of predictions.

    Args:
        coverage: probability with which sets and intervals hold the truth, in (0, 1).
        sets: method of prediction sets.
        by_class: sets hold the truth with this probability within each class.
        back_off: probability that the predicted class or a parent of it reaches, in a tree of classes.
        group: column of metadata and the value that all images have; sets hold the truth within that group.
    """

    coverage: float = COVERAGE
    sets: Literal["lac", "aps", "raps"] = "lac"
    by_class: bool = False
    back_off: float = 0.9
    group: tuple[str, str] | None = None


def check_coverage(coverage: float) -> None:
    """Raise ConfigError for a coverage outside (0, 1)."""
    if not 0 < coverage < 1:
        raise ConfigError(
            "the coverage is out of range", found=f"{coverage:g}", expected="a share between 0 and 1, such as 0.9",
            fix=f"write {coverage / 100:g} for {coverage:g}%" if 1 < coverage < 100 else None,
        )  # fmt: skip
