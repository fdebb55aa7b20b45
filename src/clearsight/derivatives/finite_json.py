"""Measurements as they are written into JSON, which knows no infinity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def finite(value: float) -> float | None:
    """The number, None where it is not finite."""
    return value if math.isfinite(value) else None


def listed(values: NDArray[np.floating]) -> Any:
    """Nested lists, with None for what is not finite."""
    return [listed(row) for row in values] if values.ndim > 1 else [finite(float(v)) for v in values]
