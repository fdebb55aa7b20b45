"""Results as JSON, and JSON that others wrote. JSON has no NaN and no infinity: numbers that are not finite become
null, here and nowhere else.
"""

from __future__ import annotations

import json
import math
from typing import Any


def json_values(value: Any, digits: int | None = None) -> Any:
    """What JSON can hold: arrays, tuples and sets as lists, keys as strings, numbers that are not finite as None.

    digits: significant digits to round floats to.
    """
    if isinstance(value, dict):
        return {str(key): json_values(inner, digits) for key, inner in value.items()}
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars, without loading NumPy for those who have none
        return json_values(value.tolist(), digits)
    if isinstance(value, list | tuple | set | frozenset):
        return [json_values(inner, digits) for inner in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return value if digits is None else float(f"{value:.{digits}g}")
    return value


def to_json(value: Any, indent: int | None = 1) -> str:
    """JSON text of a result, by the rule of `json_values`."""
    return json.dumps(json_values(value), indent=indent, allow_nan=False)


def from_json(text: str | bytes | bytearray, **hooks: Any) -> Any:
    """The values of a JSON text; ValueError for any text that is none, also for one nested too deeply to be read.

    hooks: of `json.loads`.
    """
    try:
        return json.loads(text, **hooks)
    except RecursionError:
        raise ValueError("brackets nested too deeply") from None
