"""An option: a dataclass field with its help line, its choices and its range, and the check of a value against them."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable, Mapping
from typing import Any, Union, get_args, get_origin

from clearsight.arguments import flag

Choices = Mapping[str, str] | tuple[str, ...]
"""Allowed values, where a mapping with a word on each."""


def option(
    default: Any,
    help: str,
    *,
    choices: Choices | Callable[[], Choices] = (),
    within: str | None = None,
    joined: bool = False,
    best_of: bool = False,
    gain: bool = False,
    shares: bool = False,
) -> Any:
    """A dataclass field that is an option.

    Args:
        default: the value where the user gives none; a dict is copied for each config.
        help: one line, with the unit.
        choices: the allowed values, or a function that returns them, called when they are needed: a registry may grow.
        within: the allowed range as an interval, such as "(0, 1]".
        joined: several choices may be joined by +.
        best_of: `best-of:` followed by several choices is allowed as well.
        gain: a choice may be followed by a colon and a number above 0.
        shares: a dict from names of classes, which are kept as they are, to shares.
    """
    metadata = {
        "help": help, "choices": choices, "within": within, "joined": joined, "best_of": best_of, "gain": gain,
        "shares": shares,
    }  # fmt: skip
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def option_fields(section: type) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass that are options."""
    return [f for f in dataclasses.fields(section) if f.metadata]


def choices_of(field: dataclasses.Field[Any]) -> Choices:
    """The allowed values of an option, empty where any is."""
    choices: Choices | Callable[[], Choices] = field.metadata["choices"]
    return choices() if callable(choices) else choices


def value_type(annotation: Any) -> tuple[type, bool]:
    """The plain type behind an option's annotation, and whether None is allowed."""
    if get_origin(annotation) in (types.UnionType, Union):
        inner = [a for a in get_args(annotation) if a is not type(None)]
        return get_origin(inner[0]) or inner[0], True
    return get_origin(annotation) or annotation, False


def fault(f: dataclasses.Field[Any], value: Any, annotation: Any) -> str | None:
    """What is wrong with the value of an option, or None."""
    kind, optional = value_type(annotation)
    if value is None and optional:
        return None
    good = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if not good and not (kind is float and isinstance(value, int) and not isinstance(value, bool)):
        return f"{flag(f.name)} {value!r} should be a {kind.__name__}"
    choices, within = choices_of(f), f.metadata["within"]
    if choices:
        words = [value]
        if f.metadata["joined"]:
            words = value.split("+")
        elif f.metadata["best_of"] and value.startswith("best-of:"):
            words = value.removeprefix("best-of:").split(",")
        for word in words:
            if f.metadata["gain"] and ":" in word:
                word, _, number = word.partition(":")
                if not _above_zero(number):
                    faulty = f"{flag(f.name)} {word}:{number}: the gain {number!r}"
                    return f"{faulty} must be a number above 0, as in {word}:0.1"
            if word not in choices:
                return f"{flag(f.name)} {word!r} is not one of {', '.join(choices)}"
    if within and math.isinf(value):
        return f"{flag(f.name)} {value} must be a finite number"
    if within and not _in_interval(value, within):
        return f"{flag(f.name)} {value} must " + _range_words(within)
    return None


def _above_zero(text: str) -> bool:
    """Whether a text is a finite number above 0."""
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _range_words(interval: str) -> str:
    """ "[1, inf)" is "be 1 or more", "(0, inf)" is "be above 0", "(0, 1)" is "lie in (0, 1)"."""
    low, high = interval[1:-1].split(",")
    if high.strip() != "inf":
        return f"lie in {interval}"
    return f"be {low} or more" if interval[0] == "[" else f"be above {low}"


def _in_interval(value: float, interval: str) -> bool:
    """Whether a number lies in an interval such as "(0, 1]"."""
    low, high = (float(x) for x in interval[1:-1].split(","))
    if math.isnan(value):
        return False
    above = value >= low if interval[0] == "[" else value > low
    return above and (value <= high if interval[-1] == "]" else value < high)
