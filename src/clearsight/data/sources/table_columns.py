"""Which columns of a table hold the images, what is to be predicted, the splits and the groups.

Columns are recognised by their usual names, the first there is of `IMAGE` and of `LABEL`, unless the user selects them
by `TABLE#label=COLUMN&image=COLUMN`. Where several columns may hold the labels and they differ, the user has to choose.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.decode import EXTENSIONS
from clearsight.data.sources.selection import Selection
from clearsight.data.targets import is_finite_number, is_number
from clearsight.errors import DataError, nearest
from clearsight.wording import count

if TYPE_CHECKING:
    import pandas as pd

IMAGE = (
    "image_path", "path", "image", "file", "filename", "file_name", "filepath", "file_path", "image_name", "img_path",
    "img_name", "img", "image_id", "id",
)  # fmt: skip
LABEL = (
    "label", "class", "target", "category", "labels", "class_name", "classname", "class_id", "label_id", "category_id",
    "class_idx", "cls",
)  # fmt: skip
ABOUT = ("split", "group")
_INDEX = re.compile(r"(unnamed: ?\d+(_level_\d+)?|index|idx|row|no|nr|#|uuid|(.*[ _])?id|)")
"""Names of columns of numbers that say which row this is, not what is to be predicted."""

SHOWN = 12
"""Columns named at most in a note."""

LARGEST = 2.0**53
"""Below which a whole number is exact."""

COMMANDS = 4
"""Interpretations named at most in an error."""


class ColumnsError(DataError):
    """A table has no column of images or of labels."""


def by_name(frame: pd.DataFrame, origin: str) -> dict[str, int]:
    """Positions of columns by their names in lower case; DataError where one that has a meaning is there twice."""
    columns: dict[str, int] = {}
    for i, name in enumerate(frame.columns):
        word = str(name).strip().lower()
        if word in columns and word in (*IMAGE, *LABEL, *ABOUT):
            raise DataError(
                f"{origin} has two columns named {word!r}",
                found=", ".join(map(str, frame.columns)),
                fix="rename one of them",
            )
        columns[word] = i
    return columns


def image_column(frame: pd.DataFrame, columns: dict[str, int], selection: Selection, origin: str) -> int | None:
    """The column of images: the one that was selected, or the first with a usual name."""
    if selection.image:
        return _asked(frame, columns, selection.image, origin)
    return next((columns[c] for c in IMAGE if c in columns), None)


def label_column(
    frame: pd.DataFrame, columns: dict[str, int], selection: Selection, origin: str, image: int | None
) -> int | None:
    """The column of labels: the one that was selected, or `label`, or the one with a usual name.

    Columns that name the same classes differently, such as `class_id` and `class_name`, are one; the names are taken.
    DataError where columns with usual names say different things.
    """
    if selection.label:
        return _asked(frame, columns, selection.label, origin)
    found = [columns[c] for c in LABEL if c in columns and columns[c] != image]
    if len(found) < 2 or "label" in columns:
        return found[0] if found else None
    first = texts(frame, found[0])
    others = [i for i in found[1:] if not same_classes(first, texts(frame, i))]
    if others:
        names = [str(frame.columns[i]).strip() for i in (found[0], *others)]
        raise DataError(
            f"{origin} has {count(len(names), 'column')} that may contain the labels, and they differ",
            found=", ".join(map(repr, names)),
            expected="one label column",
            fix=choices(origin, names, selection),
        )
    named = [i for i in found if not all(map(is_number, texts(frame, i)))]
    return (named or found)[0]


def choices(origin: str, names: list[str], selection: Selection) -> str:
    """How to choose one of several columns of labels, for error messages."""
    if origin == "a DataFrame":
        return "rename the right one, such as `frame.rename(columns={" + f"{names[0]!r}: 'label'" + "})`"
    commands = [f"for {name!r}, use {selection.command(origin, label=name)}" for name in names[:COMMANDS]]
    return "; ".join(commands)


def no_columns(
    frame: pd.DataFrame, columns: dict[str, int], image: int | None, origin: str, selection: Selection
) -> DataError:
    """The error for a table without a column of images, or of what is to be predicted."""
    free = [
        str(frame.columns[i]).strip()
        for word, i in columns.items()
        if i != image and word not in (*ABOUT, *IMAGE) and not _INDEX.fullmatch(word)
    ]
    named = ", ".join(map(str, frame.columns)) or "no columns"
    if any(Path(str(name)).suffix.lower() in EXTENSIONS or is_number(str(name)) for name in frame.columns):
        return ColumnsError(
            f"the first row of {origin} looks like data, not like the names of columns", found=named,
            fix="add a first line with the names of the columns, such as image_path,label",
        )  # fmt: skip
    if image is None:
        return ColumnsError(
            f"{origin} has no image column", found=named, expected=f"a column {' or '.join(IMAGE[:4])}",
            fix="rename the column of the paths to `image_path`"
            + ("" if origin == "a DataFrame" else f", or select it, as in {selection.command(origin, image='COLUMN')}"),
        )  # fmt: skip
    return ColumnsError(
        f"{origin} has no label or target column", found=named,
        expected=f"a column {' or '.join(LABEL[:4])}, or numeric columns to predict",
        fix=choices(origin, free, selection) if free else "add a column `label`",
    )  # fmt: skip


def _asked(frame: pd.DataFrame, columns: dict[str, int], name: str, origin: str) -> int:
    if name.strip().lower() not in columns:
        raise DataError(
            f"{origin} has no column {name!r}", found=", ".join(map(str, frame.columns)) or "no columns",
            fix=nearest(name, [str(column).strip() for column in frame.columns], "columns"),
        )  # fmt: skip
    return columns[name.strip().lower()]


def same_classes(one: list[str], other: list[str]) -> bool:
    """Whether two columns name the same classes, perhaps by other names."""
    return len(set(zip(one, other, strict=True))) == len(set(one)) == len(set(other))


def unused_words(columns: list[str]) -> tuple[str, ...]:
    """Which columns are neither image nor target, nor name a split or group."""
    if not columns:
        return ()
    some = ", ".join(repr(column) for column in columns[:SHOWN]) + (", ..." if len(columns) > SHOWN else "")
    return (
        f"{count(len(columns), 'table column')} not used in training: {some}; "
        "`evaluate --group-by COLUMN` reports scores for each value of a column",
    )


def columns_taken(
    frame: pd.DataFrame, image: int | None, label: int | None, others: list[int], columns: dict[str, int]
) -> tuple[str, ...]:
    """Which columns hold the images and what is to be predicted, where that is not plain from their names."""
    named = [str(name).strip() for name in frame.columns]
    taken, passed = [], []
    for column, what, names in ((image, "the images", IMAGE), (label, "the labels", LABEL)):
        if column is None:
            continue
        same = [named[columns[word]] for word in names if word in columns and columns[word] != column]
        if named[column].lower() != names[0] or same:
            taken.append(f"{what} are taken from the column {named[column]!r}")
        passed += same
    if label is None:
        taken.append(
            f"the targets are taken from the numeric column{'s' * (len(others) > 1)} "
            f"{', '.join(repr(named[i]) for i in others)}"
        )
    beside = f"; candidate columns not used: {', '.join(map(repr, passed))}" if passed else ""
    return (" and ".join(taken) + beside,) if taken else ()


def number_columns(frame: pd.DataFrame, columns: dict[str, int], image: int | None) -> list[int]:
    """Columns that hold a number somewhere, but for those that are about the image."""
    free = [i for word, i in columns.items() if i != image and word not in ABOUT and not _INDEX.fullmatch(word)]
    return [i for i in free if any(map(is_finite_number, texts(frame, i)))]


def texts(frame: pd.DataFrame, column: int) -> list[str]:
    """A column's values as stripped text, "" where there is none; a class may well be called "None" or "nan"."""
    values = frame.iloc[:, column]
    return ["" if absent else _text(v) for v, absent in zip(values, values.isna(), strict=True)]


def _text(value: Any) -> str:
    """A cell as text; whole numbers without decimals, as pandas writes 1 as 1.0 where a column lacks a value."""
    if isinstance(value, float | np.floating) and float(value).is_integer() and abs(float(value)) < LARGEST:
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace").strip()
    return str(value).strip()
