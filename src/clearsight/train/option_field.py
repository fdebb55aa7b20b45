"""An option: a dataclass field with its help line, its choices and its range, and the check of a value against them."""

from __future__ import annotations

import dataclasses
import math
import re
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from clearsight.arguments import flag
from clearsight.errors import ConfigError

Choices = Mapping[str, str] | tuple[str, ...]
"""Allowed values, where a mapping with a word on each."""

if TYPE_CHECKING:
    Auto = Any
else:
    Auto = None
"""None: training decides. Type checkers take it for Any, since a resolved config holds the value itself."""


TYPE_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
"""What a value of a type is called in messages."""


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
        default: the value if the user gives none; a dict is copied for each config.
        help: one line, with the unit.
        choices: the allowed values, or a function that returns them, which is called when they are needed, as a
            registry may grow.
        within: the allowed range as an interval, such as "(0, 1]".
        joined: several choices may be joined by +.
        best_of: `best-of:` followed by several choices is also allowed.
        gain: a choice may be followed by a colon and a number above 0.
        shares: the value is a dict from class names, which are kept as they are, to shares.

    Returns:
        The field.
    """
    metadata = {
        "help": help, "choices": choices, "within": within, "joined": joined, "best_of": best_of, "gain": gain,
        "shares": shares,
    }  # fmt: skip
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def option_fields(section: type) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass that are options.

    Args:
        section: the dataclass.

    Returns:
        Its option fields, in order.
    """
    return [f for f in dataclasses.fields(section) if f.metadata]


def choices_of(field: dataclasses.Field[Any]) -> Choices:
    """The allowed values of an option.

    Args:
        field: the field of the option.

    Returns:
        The values; empty if any value is allowed.
    """
    choices: Choices | Callable[[], Choices] = field.metadata["choices"]
    return choices() if callable(choices) else choices


def value_type(annotation: Any) -> tuple[type, bool]:
    """The plain type behind an option's annotation.

    Args:
        annotation: the annotation, such as `int | None`.

    Returns:
        The type, and whether None is allowed.
    """
    if get_origin(annotation) in (types.UnionType, Union):
        inner = [a for a in get_args(annotation) if a is not type(None)]
        return get_origin(inner[0]) or inner[0], True
    return get_origin(annotation) or annotation, False


def fault(f: dataclasses.Field[Any], value: Any, annotation: Any) -> str | None:
    """Check the value of an option.

    Args:
        f: the field of the option.
        value: the value to check.
        annotation: the annotation of the field.

    Returns:
        What is wrong with the value; None if it is allowed.
    """
    kind, optional = value_type(annotation)
    if value is None and optional:
        return None
    good = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if not good and not (kind is float and isinstance(value, int) and not isinstance(value, bool)):
        return f"{flag(f.name)} must be {TYPE_WORDS.get(kind, f'of type {kind.__name__}')}, not {value!r}"
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
                    faulty = f"{flag(f.name)} {word}:{number}: the gain"
                    return f"{faulty} must be a number above 0, as in {word}:0.1, not {number!r}"
            if word not in choices:
                return f"{flag(f.name)} {word!r} is not one of {', '.join(choices)}"
    if within and math.isinf(value):
        return f"{flag(f.name)} must be a finite number, not {value}"
    if within and not _in_interval(value, within):
        return f"{flag(f.name)} must {_range_words(within)}, not {value:g}" + _as_share(value, within)
    return None


def _as_share(value: float, within: str) -> str:
    """How to write a percentage as a share, where a share is expected; "" elsewhere."""
    percentage = 2 <= value <= 100 and _in_interval(value / 100, within) and within[1:-1].split(",")[1].strip() == "1"
    return f"; write {value / 100:g} for {value:g} %" if percentage else ""


def _above_zero(text: str) -> bool:
    """Whether a text is a finite number above 0."""
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _range_words(interval: str) -> str:
    """ "[1, inf)" is "be 1 or more", "(0, inf)" is "be above 0", "(0, 1]" is "be above 0 and at most 1"."""
    low, high = (end.strip() for end in interval[1:-1].split(","))
    if high == "inf":
        return f"be {low} or more" if interval[0] == "[" else f"be above {low}"
    ends = (
        f"at least {low}" if interval[0] == "[" else f"above {low}",
        f"at most {high}" if interval[-1] == "]" else f"below {high}",
    )
    return f"be {' and '.join(ends)}"


def _in_interval(value: float, interval: str) -> bool:
    """Whether a number lies in an interval such as "(0, 1]"."""
    low, high = (float(x) for x in interval[1:-1].split(","))
    if math.isnan(value):
        return False
    above = value >= low if interval[0] == "[" else value > low
    return above and (value <= high if interval[-1] == "]" else value < high)


def low_high(text: str, option: str = "--within") -> tuple[float, float]:
    """Read a range.

    Args:
        text: two numbers, such as `-30,30`.
        option: the option whose value it is, for messages.

    Returns:
        Low and high end.

    Raises:
        ConfigError: the text is no range, or its ends are not in order.

    Example:
        >>> low_high("-30,30")
        (-30.0, 30.0)
    """
    try:
        low, high = (float(x) for x in text.split(","))
    except ValueError:
        low = high = math.nan
    if not low < high:
        raise ConfigError(
            f"{option} is not a valid range", found=repr(text), expected=f"low,high, such as {option}=-30,30"
        )
    return low, high


def bands_of(text: str) -> tuple[int, ...]:
    """Read the numbers of the channels to display.

    Args:
        text: one number or three, such as `4,3,2`.

    Returns:
        The numbers, counted from 1.

    Raises:
        ConfigError: the text is neither one nor three numbers above 0.

    Example:
        >>> bands_of("4,3,2")
        (4, 3, 2)
    """
    words = text.split(",")
    if len(words) not in (1, 3) or not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        raise ConfigError(
            "--bands is not valid", found=repr(text),
            expected="one channel to display in gray, or three for red, green and blue, such as --bands 4,3,2",
        )  # fmt: skip
    return tuple(int(word) for word in words)


def seconds(text: str) -> float:
    """Read a length of time.

    Args:
        text: a number with its unit, such as `90s`, `5m` or `1.5h`.

    Returns:
        Seconds.

    Raises:
        ConfigError: the text is no length of time above 0.

    Example:
        >>> seconds("1.5h")
        5400.0
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip())
    if not match or float(match[1]) <= 0:
        raise ConfigError(
            "--budget is not a valid duration", found=repr(text), expected="a positive duration, such as 90s, 5m or 1h"
        )
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]
