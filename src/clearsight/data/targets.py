"""What images are labelled with where it is not one class each: several labels, or numbers.

A table says it in its cells: `label` holds names joined by one of `SEPARATORS`, or columns of 0 and 1 are labels and
columns of other numbers are what to predict. Where the data leaves it open, a task may be asked for.

Shapes: N images, T targets; values (N, T) float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import DataError

Task = Literal["classification", "multilabel", "regression", "anomaly"]

SEPARATORS = ("|", ";", ",")
"""What joins the labels of an image in one cell."""

BINS = 10
"""Parts of the range of a number that are spread evenly over the splits."""

FEWEST = 10
"""Images in each of these parts at least."""

MOSTLY = 0.1
"""Share of other values up to which columns of 0 and 1 look like labels."""

COUNTS = 20
"""Whole numbers of which there are more look like counts, not names of classes."""


@dataclass(frozen=True)
class TargetTable:
    """task: multilabel, regression or anomaly. names (T,): of the labels or of the numbers. values (N, T): 1 where a
    label holds and 0 where not; or the numbers. normal: the classes whose images are no anomalies.
    """

    task: Task
    names: tuple[str, ...]
    values: NDArray[np.float32]
    normal: tuple[str, ...] = ()

    def strata(self) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """A group for each image (N,) and the groups' names: what is spread evenly over the splits. Of labels, the
        rarest that the image has; of numbers, the tenth of the first one's range by rank.
        """
        if self.task == "multilabel":
            return _rarest(self.values, self.names)
        first = self.values[:, 0].astype(np.float64)
        if is_direction(self.values):
            first = np.degrees(np.arctan2(self.values[:, 1], self.values[:, 0]))
        return _tenths(first, self.names[0])

    @property
    def said(self) -> str:
        """What is to be predicted, in words, and by what images are spread over the splits."""
        some = ", ".join(self.names[:6]) + (", ..." if len(self.names) > 6 else "")
        if self.task == "multilabel":
            return f"{len(self.names)} labels ({some}), counted by the rarest that an image has"
        way = "direction" if is_direction(self.values) else self.names[0]
        return f"{len(self.names)} number{'s' * (len(self.names) > 1)} ({some}), counted by {way}"

    def words(self, i: int) -> str:
        """What image i shows, in words: its labels, or its numbers, with their names where there are several."""
        row = self.values[i]
        if self.task == "multilabel":
            return ", ".join(name for name, holds in zip(self.names, row, strict=True) if holds) or "no label"
        if len(row) == 1:
            return f"{row[0]:.4g}"
        return ", ".join(f"{name} {value:.4g}" for name, value in zip(self.names, row, strict=True))


def is_direction(values: NDArray[np.floating]) -> bool:
    """Whether the targets are unit vectors in the plane, up to rounding to two digits."""
    return values.shape[1] == 2 and bool((np.abs(np.hypot(values[:, 0], values[:, 1]) - 1) < 0.01).all())


def several_labels(cells: Sequence[str], origin: str, asked: str) -> TargetTable | None:
    """The labels in cells such as "cat|dog", or None where each cell is rather one class.

    asked: a task, or "auto", which takes a separator for one if the parts it gives come back in other company: "crane,
    bird" alone is a class, beside "bird" or "bird, tree" it is two labels.
    """
    if asked not in ("auto", "multilabel"):
        return None
    found = next((s for s in SEPARATORS if any(s in cell for cell in cells)), None)
    parts = [_parts(cell, found) for cell in cells]
    names = sorted({name for part in parts for name in part})
    if asked == "auto" and (found is None or not _recur(cells, parts)):
        return None
    place = {name: k for k, name in enumerate(names)}
    values = np.zeros((len(cells), len(names)), np.float32)
    for i, part in enumerate(parts):
        values[i, [place[name] for name in part]] = 1
    return checked(TargetTable("multilabel", tuple(names), values), origin)


def from_numbers(columns: Sequence[str], rows: NDArray[Any], origin: str, asked: str) -> TargetTable:
    """Columns of numbers (N, T): labels if there are several and they hold 0 and 1 alone, else what to predict."""
    binary = bool(np.isin(rows, (0, 1)).all())
    task: Task = (
        "multilabel" if asked == "multilabel" or (asked == "auto" and binary and rows.shape[1] > 1) else "regression"
    )
    if task == "multilabel" and not binary:
        raise DataError(
            f"labels in columns of {origin} are 0 or 1",
            found=f"{float(rows[~np.isin(rows, (0, 1))][0]):g}",
            fix="use --task regression for numbers",
        )
    return checked(TargetTable(task, tuple(columns), rows.astype(np.float32)), origin)


def one_hot(rows: NDArray[Any]) -> bool:
    """Whether every row (N, T) marks one of several columns with a 1 and the others with 0: classes, not labels."""
    return rows.shape[1] > 1 and bool(np.isin(rows, (0, 1)).all() and (rows.sum(1) == 1).all())


def soft_labels(rows: NDArray[Any]) -> bool:
    """Whether every row (N, T) spreads a belief of 1 over several columns, and some do not give all of it to one."""
    if rows.shape[1] < 2 or not np.isfinite(rows).all() or is_direction(rows) or one_hot(rows):
        return False
    return bool((rows >= 0).all() and (np.abs(rows.sum(1) - 1) < 1e-3).all())


def believed(columns: Sequence[str], rows: NDArray[Any], origin: str) -> list[str]:
    """The likeliest class of each image by its soft labels; DataError for a class that is never the likeliest."""
    likeliest = rows.argmax(1)
    if never := [name for k, name in enumerate(columns) if not (likeliest == k).any()]:
        raise DataError(
            f"soft labels in {origin}: {len(never)} class(es) are never the likeliest",
            found=", ".join(map(repr, never[:5])),
            fix="leave these columns out and let the others add up to 1, or --task regression for shares to predict",
        )
    return [columns[k] for k in likeliest]


def checked(table: TargetTable, origin: str) -> TargetTable:
    """The table, if all its values are finite numbers; DataError where not."""
    values, names = table.values, table.names
    if not np.isfinite(values).all():
        i, k = (int(x[0]) for x in np.nonzero(~np.isfinite(values)))
        raise DataError(
            f"{int((~np.isfinite(values)).any(1).sum())} of {len(values)} targets in {origin} are no finite numbers",
            found=f"{values[i, k]} in column {names[k]!r} of image {i + 1}",
            fix="fill them in, or leave these images out",
        )
    return table


def require_variety(table: TargetTable, origin: str) -> None:
    """DataError for labels or numbers that are the same for all images: nothing can be learned of them."""
    values, names = table.values, table.names
    constant = [name for name, column in zip(names, values.T, strict=True) if column.min() == column.max()]
    if constant:
        if table.task == "multilabel":
            always = [n for n in constant if values[0, names.index(n)] == 1]
            words = "holds for every image" if always else "is never positive"
            raise DataError(
                f"{len(constant)} label(s) of {origin} tell no images apart",
                found=f"{(always or constant)[0]!r} {words}",
                fix="leave these labels out, or add images of the other kind",
            )
        raise DataError(
            f"{len(constant)} target(s) of {origin} never change",
            found=f"{constant[0]!r} is {values[0, names.index(constant[0])]:g} for all images",
            fix="leave these columns out",
        )


def hardly_numbers(table: TargetTable) -> str:
    """Where numbers are 0 and 1 but for a few, as labels with slips of the pen are: which, in words; else ""."""
    stray = ~np.isin(table.values, (0, 1))
    if table.task != "regression" or len(table.names) < 2 or not 0 < stray.mean() < MOSTLY:
        return ""
    i, k = (int(x[0]) for x in np.nonzero(stray))
    return f"all but {int(stray.sum())} are 0 or 1; the first is {table.values[i, k]:g} in column {table.names[k]!r}"


def like_counts(classes: Sequence[str]) -> bool:
    """Whether names of classes are whole numbers, and so many that they may be counts."""
    try:
        return len(classes) > COUNTS and all(float(name).is_integer() for name in classes)
    except ValueError:
        return False


def _parts(cell: str, separator: str | None) -> list[str]:
    pieces = cell.split(separator) if separator else [cell]
    return list(dict.fromkeys(p.strip() for p in pieces if p.strip()))


def _recur(cells: Sequence[str], parts: Sequence[Sequence[str]]) -> bool:
    """Whether every name that stands beside others also stands elsewhere in other company."""
    company: dict[str, set[tuple[str, ...]]] = {}
    for part in parts:
        for name in part:
            company.setdefault(name, set()).add(tuple(sorted(part)))
    together = {name for part in parts if len(part) > 1 for name in part}
    return bool(together) and sum(len(company[name]) > 1 for name in together) >= 0.5 * len(together)


def _rarest(values: NDArray[np.float32], names: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    counts = values.sum(0)
    order = np.argsort(counts, kind="stable")
    has = values[:, order] > 0
    group = np.where(has.any(1), order[has.argmax(1)], len(names))
    sizes = np.bincount(group, minlength=len(names) + 1)
    group[sizes[group] < FEWEST] = sizes.argmax()  # too few to be split evenly
    used = np.unique(group)
    if len(used) < 2:
        even = int(np.abs(counts - len(values) / 2).argmin())
        return values[:, even].astype(np.int64), (f"without {names[even]}", f"with {names[even]}")
    return np.searchsorted(used, group), tuple([*names, "no label"][g] for g in used)


def _tenths(numbers: NDArray[np.float64], name: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    bins = int(np.clip(len(numbers) // FEWEST, 1, BINS))
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, bins + 1)))
    if len(edges) < 3:  # nearly constant: below or above the mean
        group = (numbers > numbers.mean()).astype(np.int64)
        return group, (f"{name} low", f"{name} high")
    group = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    used = np.unique(group)
    words = [f"{name} {a:.4g} to {b:.4g}" for a, b in pairwise(edges)]
    return np.searchsorted(used, group).astype(np.int64), tuple(words[g] for g in used)
