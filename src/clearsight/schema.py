"""The structure of JSON that may come from someone else: types, ranges and lengths of all values, checked before use.

    check = record({"width": integer(1, 4096), "names": listed(text(), unique=True)})
    check(content, "card.json")          BundleError names the value, what was found and what was expected

A check is a function of a value and of its place. Numbers are finite: `read_json` refuses NaN and infinity everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from clearsight.errors import BundleError
from clearsight.json_values import from_json

Check = Callable[[Any, str], None]

FIX = "restore the folder from a backup, or create it again"


def invalid(place: str, found: object, expected: str) -> NoReturn:
    """Refuse a value.

    Args:
        place: where the value is, such as "card.json: geometry.width".
        found: the value, or a description of it.
        expected: what is valid.

    Raises:
        BundleError: always.
    """
    shown = found if isinstance(found, str) else repr(found)
    raise BundleError(f"{place} is invalid", found=ascii(shown)[1:-1][:100], expected=expected, fix=FIX)


def read_json(content: bytes, place: str) -> Any:
    """Parse JSON without NaN, infinite numbers and repeated keys.

    Args:
        content: the text in UTF-8.
        place: name of the file, for errors.

    Returns:
        Plain values.

    Raises:
        ValueError: the text is not JSON.
        BundleError: it contains such values.
    """

    def number(text: str) -> float:
        if not math.isfinite(value := float(text)):
            invalid(f"a number in {place}", text[:40], "finite numbers")
        return value

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(unique := dict(found)) < len(found):
            names = [name for name, _ in found]
            invalid(place, f"the repeated key {next(n for n in names if names.count(n) > 1)!r}", "each key once")
        return unique

    return from_json(content, parse_constant=number, parse_float=number, object_pairs_hook=pairs)


def anything(value: Any, place: str) -> None:
    """Accept every value."""


def integer(low: int, high: int | None = None) -> Check:
    """Accept whole numbers in a range, both ends included."""
    expected = f"an integer of at least {low}" if high is None else f"an integer from {low:,} to {high:,}"

    def check(value: Any, place: str) -> None:
        if type(value) is not int or value < low or (high is not None and value > high):
            invalid(place, value, expected)

    return check


def number(low: float = -math.inf, high: float = math.inf, *, above: float | None = None) -> Check:
    """Accept finite numbers in a range, both ends included. above: a bound that is not included."""
    bounds = [f"above {above:g}"] if above is not None else [f"at least {low:g}"] if low > -math.inf else []
    expected = " and ".join(["a finite number", *bounds, *([f"at most {high:g}"] if high < math.inf else [])])

    def check(value: Any, place: str) -> None:
        good = type(value) in (int, float) and math.isfinite(value) and low <= value <= high
        if not good or (above is not None and value <= above):
            invalid(place, value, expected)

    return check


def truth(value: Any, place: str) -> None:
    """Accept true and false."""
    if type(value) is not bool:
        invalid(place, value, "true or false")


def text(*choices: str) -> Check:
    """Accept text, or one of some words."""
    expected = f"one of {', '.join(map(repr, choices))}" if choices else "text"

    def check(value: Any, place: str) -> None:
        if not isinstance(value, str) or (choices and value not in choices):
            invalid(place, value, expected)

    return check


def optional(check: Check) -> Check:
    """Accept null, or what another check accepts."""
    return lambda value, place: None if value is None else check(value, place)


def listed(check: Check, *lengths: int, least: int = 0, unique: bool = False) -> Check:
    """Accept lists of values. lengths: the lengths allowed, of all if none is given. unique: no value twice."""

    def checked(value: Any, place: str) -> None:
        if not isinstance(value, list):
            invalid(place, value, "a list")
        if (lengths and len(value) not in lengths) or len(value) < least:
            expected = " or ".join(map(str, lengths)) if lengths else f"at least {least}"
            invalid(place, f"{len(value):,} values", f"{expected} values")
        for number, item in enumerate(value):
            check(item, f"{place}[{number}]")
        if unique and len(set(value)) < len(value):
            repeated = next(item for item in value if value.count(item) > 1)
            invalid(place, f"{repeated!r} more than once", "each value once")

    return checked


def mapping(check: Check) -> Check:
    """Accept objects with any keys, all of whose values another check accepts."""

    def checked(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            invalid(place, value, "an object")
        for name, item in value.items():
            check(item, f"{place}.{name}")

    return checked


def record(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """Accept objects with some keys. Other keys are ignored.

    Args:
        required: checks of the values that must be there.
        optional: checks of values that may be there.

    Returns:
        The check.
    """

    def checked(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            invalid(place, value, "an object")
        if missing := [name for name in required if name not in value]:
            invalid(place, f"no {', '.join(missing)}", f"the keys {', '.join(required)}")
        for name, check in {**(optional or {}), **required}.items():
            if name in value:
                check(value[name], f"{place}.{name}")

    return checked
