"""What a data source states about its images, before a task reads it: texts of a label column, or columns of numbers.

`clearsight.tasks` decides which task this is, and turns it into a `Dataset`.

Shapes: N images, T columns of numbers.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import ConfigError, DataError, TargetsError, nearest
from clearsight.wording import count

IN_MEMORY = "arrays in memory"
"""The origin of data that was handed over in Python."""


@dataclass(frozen=True)
class Stated:
    """What a source states about each of N images.

    origin: what the user asked for, in words that find it again. cells: the text of each image's label, "" where it has
    none; None where there is no label. listed: each label was a list of names, joined by "|" in its cell. column: name
    of the column of labels. classes: the order of classes, where the source fixes one. numbers (N, T): columns of
    numbers, called `columns`. weights (N,): how far each label is trusted, above 0 up to 1; None means fully;
    weight_note says why. where: what to call each image's row in front of the user.
    """

    origin: str
    cells: tuple[str, ...] | None = None
    listed: bool = False
    column: str = "label"
    classes: tuple[str, ...] | None = None
    columns: tuple[str, ...] = ()
    numbers: NDArray[np.float64] | None = None
    weights: NDArray[np.float32] | None = None
    weight_note: str = ""
    where: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Names that differ in their Unicode form alone are one class, and so are the spellings of true and false."""
        for name in ("cells", "classes", "columns"):
            texts = getattr(self, name)
            if texts is not None:
                object.__setattr__(self, name, tuple(class_name(text) for text in texts))

    def place(self, i: int) -> str:
        """What to call the row of image i: `line 3` of a table, `index 2` of an array."""
        return self.where[i] if self.where else f"index {i}"

    def text(self, i: int) -> str:
        """All that is stated about image i, as one text: equal for images that are labelled alike."""
        if self.cells is not None:
            return self.cells[i]
        assert self.numbers is not None
        return "|".join(f"{value:g}" for value in self.numbers[i])

    def rows(self, chosen: Sequence[int]) -> Stated:
        """The same about some of the images."""
        rows = list(chosen)
        return replace(
            self,
            cells=None if self.cells is None else tuple(self.cells[i] for i in rows),
            numbers=None if self.numbers is None else self.numbers[rows],
            weights=None if self.weights is None else self.weights[rows],
            where=tuple(self.where[i] for i in rows) if self.where else (),
        )

    def names(self) -> list[str]:
        """One name for each image; DataError where there is no label, or an image has none."""
        if self.cells is None:
            raise TargetsError(
                f"{self.origin} has no class column", found=", ".join(self.columns), expected="a column `label`"
            )
        if blank := [i for i, cell in enumerate(self.cells) if not cell]:
            raise DataError(
                f"labels are missing for {len(blank)} of {count(len(self.cells), 'image')} in {self.origin}",
                found=f"an empty label at {self.place(blank[0])}",
                expected="one class for each image",
                fix="fill in the missing labels, or remove these images; where images have several labels separated by "
                "|, or 0/1 columns, an image may have none",
            )
        return list(self.cells)

    def measured(self) -> bool:
        """Whether labels are measurements rather than names: all are numbers, and some have decimals."""
        try:
            values = [float(cell) for cell in self.cells or () if cell]
        except ValueError:
            return False
        return not self.listed and any(value != int(value) for value in values if math.isfinite(value))

    def as_numbers(self) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """Names of the columns of numbers and their values (N, T): the labels themselves where there are no others.
        DataError for a label that is no number.
        """
        if self.numbers is not None:
            return self.columns, self.numbers
        cells = self.cells or ()
        if cells and not any(map(is_number, cells)):
            raise TargetsError(
                f"labels in {self.origin} are names, not numbers",
                found=f"{cells[0]!r} at {self.place(0)}",
                expected="a number for every image",
                fix="pass images with numbers; to train a classifier on these classes, leave out --task",
            )
        places = [self.place(i) for i in range(len(cells))]
        return (self.column,), np.array([numbers_in(cells, self.column, self.origin, places)]).T


def is_number(text: str) -> bool:
    """Whether a cell is a number, which may be infinite."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def is_finite_number(text: str) -> bool:
    """Whether a cell is a number that is neither infinite nor NaN."""
    return is_number(text) and math.isfinite(float(text))


FEW_WRONG = 0.1
"""Share of cells without a number up to which a column is one of numbers with mistakes."""


def numbers_in(cells: Sequence[str], column: str, origin: str, places: Sequence[str]) -> list[float]:
    """The cells of a column as numbers; DataError names the first that is none. places: what to call their rows."""
    wrong = [i for i, text in enumerate(cells) if not is_number(text)]
    if not wrong:
        return list(map(float, cells))
    first = wrong[0]
    found = f"{cells[first]!r} in {places[first]}" if cells[first] else f"an empty cell in {places[first]}"
    if len(wrong) > max(1, FEW_WRONG * len(cells)):
        raise DataError(
            f"column {column!r} of {origin} mixes numbers and other values",
            found=f"{found}, and {count(len(wrong) - 1, 'more such cell')}",
            expected="a number for every image",
            fix="put class names in a column `label`, and remove columns that are not targets",
        )
    more = f", the first of {len(wrong):,} such cells" if len(wrong) > 1 else ""
    raise DataError(
        f"column {column!r} of {origin} lacks a number for {count(len(wrong), 'image')}",
        found=found + more,
        expected="a number for every image",
        fix=f"correct or delete {places[first] if len(wrong) == 1 else 'these rows'}",
    )


def refuse_spaces(stated: Stated, alternative: str) -> None:
    """DataError for cells that look like several labels separated by spaces, which would be read as one name.

    stated: what the source states. alternative: what to do if they are single names.
    """
    if stated.cells is None or stated.listed or not _spaced(stated.cells):
        return
    example = next(cell for cell in stated.cells if " " in cell)
    joined = "|".join(example.split())
    raise DataError(
        f"the column {stated.column!r} of {stated.origin} looks like several labels separated by spaces",
        found=f"{example!r} at {stated.place(stated.cells.index(example))}, and its words in other combinations",
        expected="labels separated by | or ;",
        fix=f"if these are several labels, write {joined!r}; {alternative}",
    )


def _spaced(cells: Sequence[str]) -> bool:
    """Whether words of cells are combined freely, alone too: more different cells than different words by a half."""
    different = {tuple(sorted(set(cell.split()))) for cell in cells if cell}
    words = {word for cell in different for word in cell}
    return (
        any(len(cell) == 1 for cell in different)
        and any(len(cell) > 1 for cell in different)
        and len(different) >= 1.5 * len(words)
        and not any(mark in cell for cell in cells for mark in "|;,")
    )


def one_hot(rows: NDArray[Any]) -> bool:
    """Whether every row (N, T) marks one of several columns with a 1 and the others with 0: classes, not labels."""
    return rows.shape[1] > 1 and bool(np.isin(rows, (0, 1)).all() and (rows.sum(1) == 1).all())


def is_direction(values: NDArray[np.floating]) -> bool:
    """Whether the targets are unit vectors in the plane, up to rounding to two digits."""
    return values.shape[1] == 2 and bool((np.abs(np.hypot(values[:, 0], values[:, 1]) - 1) < 0.01).all())


def require_finite(values: NDArray[np.floating], names: Sequence[str], origin: str) -> None:
    """DataError unless all targets (N, T) are finite numbers."""
    if np.isfinite(values).all():
        return
    i, k = (int(x[0]) for x in np.nonzero(~np.isfinite(values)))
    raise DataError(
        f"non-finite targets for {int((~np.isfinite(values)).any(1).sum())} of {count(len(values), 'image')} in "
        f"{origin}",
        found=f"{values[i, k]} in column {names[k]!r} of image {i + 1}",
        fix="correct these targets, or remove the images",
    )


BOOLEANS = {"true": "True", "false": "False"}
"""As Python writes them; JSON writes true, and spreadsheets write TRUE."""


def boolean_name(text: str) -> str:
    """A text that is true or false, in upper or lower case, as Python writes it; others as they are."""
    return BOOLEANS.get(text.lower(), text)


def class_name(label: str | bytes) -> str:
    """The name of a class as text to compare by: bytes are UTF-8, and composed and decomposed letters are the same
    (Unicode NFC): `é` may be one character or two, as macOS writes it in the names of folders. So are the spellings of
    true and false, of which each form of data has its own.
    """
    text = label.decode("utf-8", "backslashreplace") if isinstance(label, bytes) else str(label)
    return boolean_name(unicodedata.normalize("NFC", text))


def class_index(target: Any, names: Sequence[str], words: tuple[str, str] = ("class", "classes")) -> int:
    """The index of a class.

    Args:
        target: its name, as text or bytes; or its index, as a number or, where no class has that name, as digits.
        names: of all classes.
        words: what to call one, and several, in errors.

    Raises:
        ConfigError: there is no such class, or a number is the index of one class and the name of another.

    Example:
        >>> class_index("dog", ("cat", "dog")), class_index(1, ("cat", "dog"))
        (1, 1)
    """
    word, many = words
    if isinstance(target, bool | np.bool_) or not isinstance(target, str | bytes | int | np.integer):
        raise ConfigError(f"invalid {word}", found=repr(target)[:60], expected="a name or an index")
    number = not isinstance(target, str | bytes)
    text = target if isinstance(target, str | bytes) else str(int(target))
    spelled = {class_name(text), str(text)}  # of labels that were bytes, the name is their `str`
    named = [i for i, name in enumerate(names) if name == target]
    named = named or [i for i, name in enumerate(names) if name in spelled or class_name(name) in spelled]
    index = int(text) if number or class_name(text).isdecimal() else -1
    indexed = 0 <= index < len(names)
    if number and indexed and named and named != [index]:
        raise ConfigError(
            f"{index} is ambiguous",
            found=f"{word} {names[index]!r} at index {index}, and {word} {names[named[0]]!r} at index {named[0]}",
            fix=f"pass the name as text: {names[index]!r} or {names[named[0]]!r}",
        )
    if named:
        return named[0]
    if indexed:
        return index
    if number or index >= 0:
        raise ConfigError(
            f"unknown {word} {class_name(text)}",
            found=f"{count(len(names), word, many)}, with indices 0 to {len(names) - 1}",
        )
    raise ConfigError(f"unknown {word} {class_name(text)!r}", fix=nearest(class_name(text), names, many))
