"""The confusion matrix made readable: shades by share of the row, rare confusions merged, the commonest listed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FULL = 40
"""Classes up to which every class has a row; of more, the KEPT most confused ones do and the rest stand together."""

KEPT = 30
LISTED = {"few": 5, "some": 5, "many": 15}
"""Confused pairs listed beside a matrix of each size."""

SHADES = 8
"""Number of shades beyond white."""


@dataclass(frozen=True)
class Cell:
    """Images of one class that were called another (or, on the diagonal, by their own name)."""

    images: int
    kind: Literal["right", "wrong", "mixed"]
    shade: int
    words: str


@dataclass(frozen=True)
class Row:
    """One label: its cells and how many images have it."""

    name: str
    cells: tuple[Cell, ...]
    images: int


@dataclass(frozen=True)
class Pair:
    """Images of `label` that were called `predicted`, of how many images of `label`, and their share of these. cell:
    the numbers of both classes.
    """

    label: str
    predicted: str
    images: int
    total: int
    share: float
    cell: tuple[int, int]


@dataclass(frozen=True)
class Matrix:
    """Labels in rows, predictions in columns. merged: classes that share the last row and column, 0 for none. places:
    the row of each class.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    merged: int
    size: Literal["few", "some", "many"]
    pairs: tuple[Pair, ...]
    places: tuple[int, ...]


def matrix(counts: NDArray[np.integer], classes: Sequence[str]) -> Matrix:
    """counts (K, K): images by label and prediction."""
    names, shown, merged = list(classes), np.asarray(counts), 0
    places: NDArray[np.integer] = np.arange(len(classes))
    if len(names) > FULL:
        names, shown, merged, places = _merge(shown, names)
    rows = []
    for i, name in enumerate(names):
        total = int(shown[i].sum())
        cells = []
        for j, other in enumerate(names):
            n = int(shown[i, j])
            last = merged and i == j == len(names) - 1
            kind: Literal["right", "wrong", "mixed"] = "mixed" if last else "right" if i == j else "wrong"
            cells.append(Cell(n, kind, shade(n, total), f"labelled {name}, predicted as {other}: {n} of {total}"))
        rows.append(Row(name, tuple(cells), total))
    size: Literal["few", "some", "many"] = "few" if len(names) <= 6 else "some" if len(names) <= 15 else "many"
    pairs = most_confused(counts, classes, LISTED[size])
    return Matrix(tuple(names), tuple(rows), merged, size, pairs, tuple(places.tolist()))


def shade(n: int, total: int) -> int:
    """0 for none up to SHADES for all of the row; grows with the square root, so that 2 % can still be seen."""
    return math.ceil(SHADES * math.sqrt(n / total)) if n else 0


def most_confused(counts: NDArray[np.integer], classes: Sequence[str], most: int) -> tuple[Pair, ...]:
    """The pairs (label, prediction) with the most images off the diagonal; of equals, the larger share of its row."""
    wrong = np.array(counts)
    np.fill_diagonal(wrong, 0)
    totals = np.asarray(counts).sum(axis=1)
    share = wrong / np.maximum(totals, 1)[:, None]
    order = np.lexsort((-share.ravel(), -wrong.ravel()))[:most]
    found = []
    for place in order:
        i, j = divmod(int(place), len(classes))
        n = int(wrong[i, j])
        if n:
            found.append(Pair(classes[i], classes[j], n, int(totals[i]), float(share[i, j]), (i, j)))
    return tuple(found)


def _merge(
    counts: NDArray[np.integer], names: list[str]
) -> tuple[list[str], NDArray[np.integer], int, NDArray[np.integer]]:
    """The KEPT classes with the most confusions in their own order, then one row and column for all others; and the row
    of each class.
    """
    errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    kept = np.sort(np.argsort(-errors, kind="stable")[:KEPT])
    place = np.full(len(names), KEPT)
    place[kept] = np.arange(KEPT)
    merged = np.zeros((KEPT + 1, KEPT + 1), dtype=np.int64)
    np.add.at(merged, (place[:, None], place[None, :]), counts)
    others = len(names) - KEPT
    return [*(names[k] for k in kept), f"{others} other classes"], merged, others, place
