"""The value of --class-weight: a word, a file, or weights by class, all kept as text so that a run records them."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clearsight.errors import ConfigError
from clearsight.json_values import from_json

WORDS = ("none", "balanced")

EXPECTED = "none, balanced, or a CSV or JSON file with a weight for each class, such as a line `cat,2.5`"


def class_weight_text(value: Any) -> Any:
    """A value of the option as it is recorded.

    Args:
        value: a word, the path of a file, weights by class as JSON or as a mapping.

    Returns:
        The word, or the weights as JSON; a value of another type as it is.

    Raises:
        ConfigError: a file that cannot be read, a class named twice, or a weight that is not a number above 0.

    Example:
        >>> class_weight_text({"cat": 2, "dog": 1})
        '{"cat": 2.0, "dog": 1.0}'
    """
    if isinstance(value, Mapping):
        return _text((str(name), weight) for name, weight in value.items())
    if not isinstance(value, str) or value in WORDS:
        return value
    if value.lstrip().startswith("{"):
        return _text(_of_json(value, "the text"))
    path = Path(value).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"--class-weight {value} cannot be read", found=reason, expected=EXPECTED) from error
    return _text(_of_json(text, value) if path.suffix.lower() == ".json" else _of_csv(text, value))


def _of_json(text: str, source: str) -> Iterable[tuple[str, Any]]:
    try:
        content = from_json(text, object_pairs_hook=list)  # pairs, so that a class named twice is seen
    except ValueError as error:
        raise _unreadable(source, f"it is not valid JSON: {error}") from error
    if not isinstance(content, list) or not all(isinstance(pair, tuple) for pair in content):
        raise _unreadable(source, "the JSON is not an object of classes and weights")
    return content


def _of_csv(text: str, source: str) -> Iterable[tuple[str, Any]]:
    """Rows of a class and its weight, separated by a comma, semicolon or tab, with or without a header."""
    lines = [line for line in text.splitlines() if line.strip()]
    head = lines[0] if lines else ""
    separator = next((mark for mark in ("\t", ";") if mark in head), ",")
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    for number, row in enumerate(rows, 1):
        if len(row) != 2:
            raise _unreadable(source, f"line {number} has {len(row)} cells: {lines[number - 1]!r}")
    if rows and rows[0][1].lower() in ("weight", "weights"):
        rows = rows[1:]
    return [(name, _number(cell if separator == "," else cell.replace(",", "."))) for name, cell in rows]


def _number(cell: str) -> float | str:
    """The number in a cell; the cell itself where it holds none, which `_text` refuses by name."""
    try:
        return float(cell)
    except ValueError:
        return cell


def _text(pairs: Iterable[tuple[str, Any]]) -> str:
    weights: dict[str, float] = {}
    for name, weight in pairs:
        if name in weights:
            raise ConfigError(f"--class-weight: class {name!r} is named twice", fix="keep one weight for each class")
        number = not isinstance(weight, bool) and isinstance(weight, int | float)
        if not number or not (0 < float(weight) < math.inf):
            raise ConfigError(
                f"--class-weight: the weight of class {name!r} must be a finite number above 0", found=repr(weight),
                fix="to ignore a class, remove its images from the data",
            )  # fmt: skip
        weights[name] = float(weight)
    if not weights:
        raise ConfigError("--class-weight: no classes and weights given", expected=EXPECTED)
    return json.dumps(weights, ensure_ascii=False)


def _unreadable(source: str, reason: str) -> ConfigError:
    return ConfigError(f"--class-weight {source} cannot be read", found=reason, expected=EXPECTED)
