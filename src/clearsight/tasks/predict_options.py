"""Options of predictions."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Literal

from clearsight.errors import ConfigError

COVERAGE = 0.9
"""Probability with which prediction sets and intervals hold the truth."""


@dataclass(frozen=True)
class PredictOptions:
    """Options of predictions.

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


def check_effect(given: Iterable[str], known: Container[str], task: str) -> None:
    """Raise ConfigError for options without effect.

    Args:
        given: what the user asked for.
        known: options that have an effect, as `Task.predict_options`.
        task: name of the model's task.
    """
    if idle := [name for name in given if name.removeprefix("--").replace("-", "_") not in known]:
        raise ConfigError(
            f"{', '.join(idle)} {'has' if len(idle) == 1 else 'have'} no effect with this model",
            found=f"a model trained with --task {task}", fix=f"leave {'it' if len(idle) == 1 else 'them'} out",
        )  # fmt: skip


def group_of(words: str, option: str) -> tuple[str, str]:
    """The column and the value that COLUMN=VALUE names; ConfigError where it names none. option: what to call it."""
    column, sign, value = words.partition("=")
    if not (sign and column and value):
        raise ConfigError(f"{option} {words} does not specify a group", expected="COLUMN=VALUE, such as site=A")
    return column, value


def check_coverage(coverage: float) -> None:
    """Raise ConfigError for a coverage outside (0, 1)."""
    if not 0 < coverage < 1:
        raise ConfigError(
            "the coverage is out of range", found=f"{coverage:g}", expected="a share between 0 and 1, such as 0.9",
            fix=f"write {coverage / 100:g} for {coverage:g} %" if 1 < coverage < 100 else None,
        )  # fmt: skip
