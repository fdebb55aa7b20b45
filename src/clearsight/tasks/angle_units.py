"""Columns of numbers that are angles, and their unit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clearsight.data.dataset import Dataset
from clearsight.data.targets import is_direction
from clearsight.tasks.predictions import ANGLES
from clearsight.tasks.task import Floats


def wrong_unit(values: Floats, unit: str) -> str:
    """Check the unit of angles.

    Args:
        values: angles (N, T).
        unit: "degrees" or "radians".

    Returns:
        What is wrong with the angles in this unit; "" if nothing is.
    """
    largest = float(np.abs(values).max())
    if unit == "radians" and largest > 2 * ANGLES[unit]:
        return "these angles are not in radians"
    if unit == "degrees" and largest <= ANGLES["radians"] and (values % 1 != 0).any():
        return "these angles are probably not in degrees"
    return ""


def reach(values: NDArray[np.floating]) -> str:
    """The largest absolute value in words.

    Args:
        values: numbers, any shape.

    Returns:
        A part of a sentence.
    """
    return f"values up to {float(np.abs(values).max()):.4g}"


def like_angles(dataset: Dataset) -> tuple[str, str] | None:
    """Find a column of numbers that fills a full turn.

    Args:
        dataset: images with columns of numbers.

    Returns:
        Name of the first such column and its unit; None if there is none.
    """
    if is_direction(dataset.targets):
        return None
    for name, column in zip(dataset.names, dataset.targets.T.astype(np.float64), strict=True):
        for unit, turn in ANGLES.items():
            low, high = column.min(), column.max()
            fills = 0.95 * turn <= high - low <= 1.001 * turn
            if fills and (low >= 0 or (-0.501 * turn <= low and high <= 0.501 * turn)):
                return name, unit
    return None
