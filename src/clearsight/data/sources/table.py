"""Frames that name images: `image_path`, `label` and perhaps `split` and `group`; tables in files become frames in
`delimited`.

Other usual names are taken too, the first there is of `_PATH` and `_LABEL`, and a note says which.

A label may be several names, "cat|dog" or a list; in place of a label there may be columns of numbers (`data.targets`).
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.dataset import Files, Listing, encode_labels
from clearsight.data.sources.boxes import BoxRows, corner_columns, read_boxes
from clearsight.data.sources.table_paths import located
from clearsight.data.targets import Stated, class_name, number_in
from clearsight.errors import DataError
from clearsight.wording import count

if TYPE_CHECKING:
    import pandas as pd

_PATH = (
    "image_path", "path", "image", "file", "filename", "file_name", "filepath", "file_path", "image_name", "img_path",
    "img_name", "img", "image_id", "id",
)  # fmt: skip
_LABEL = (
    "label", "class", "target", "category", "labels", "class_name", "classname", "class_id", "label_id", "category_id",
    "class_idx",
)  # fmt: skip
_ABOUT = ("split", "group")
_INDEX = re.compile(r"(unnamed: ?\d+(_level_\d+)?|index|idx|row|no|nr|#|uuid|(.*[ _])?id|)")
"""Names of columns of numbers that say which row this is, not what is to be predicted."""

SHOWN = 12
"""Columns named at most in a note."""

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "": ""}


def read_frame(
    frame: pd.DataFrame, *, root: Path, name: str, origin: str, row: str = "row", notes: Sequence[str] = ()
) -> Listing:
    """A table of image paths and labels; DataError lists missing files and images listed in two ways.

    row: what to call a row in front of the user, who finds it by the frame's index. notes: on how it was read.
    """
    columns = _by_name(frame, origin)
    path_column = next((columns[c] for c in _PATH if c in columns), None)
    label_column = next((columns[c] for c in _LABEL if c in columns), None)
    corners = corner_columns(list(columns))
    if corners is not None and path_column is not None and label_column is not None:
        positions = [path_column, label_column, *(columns[c] for c in corners)]
        return read_boxes(_box_rows(frame, positions, columns, root, origin, row), name, notes)
    others = [] if label_column is not None else _number_columns(frame, columns, path_column)
    if path_column is None or (label_column is None and not others):
        raise DataError(
            f"{origin} has no image column, or no label or target column",
            found=", ".join(map(str, frame.columns)) or "no columns",
            expected=f"one of {', '.join(_PATH)} and one of {', '.join(_LABEL)}, or numeric columns to predict",
        )
    if not len(frame):
        raise DataError(f"{origin} lists no images", found="0 rows")
    where = [f"{row} {i}" for i in frame.index]
    files = _texts(frame, path_column)
    stated, of_labels = _stated(frame, label_column, others, origin, where)
    if blank := [i for i, text in enumerate(files) if not text]:
        raise DataError(
            f"{origin} contains {count(len(blank), 'row')} without an image path",
            found=f"the first at {where[blank[0]]}",
        )
    paths, found_otherwise = located(files, root, origin)
    splits = [""] * len(paths)
    if "split" in columns:
        words = [text.lower() for text in _texts(frame, columns["split"])]
        if unknown := sorted(set(words) - set(_SPLITS)):
            raise DataError(
                f"{origin} contains unknown split names", found=", ".join(unknown), expected="train, val, test"
            )
        splits = [_SPLITS[word] for word in words]
    rows = _without_repeats(paths, [(stated.text(i), split) for i, split in enumerate(splits)], where, origin)
    groups = group_names = None
    if "group" in columns:
        words = _texts(frame, columns["group"])
        # an image without a group stands alone; a tab cannot begin a group's name, as names are stripped
        groups = encode_labels([words[i] or f"\t{i}" for i in rows])[0]
        group_names = np.array([words[i] for i in rows])
    given = np.array([splits[i] for i in rows], dtype="<U5")
    used = {path_column, columns.get("split"), label_column, *others}
    metadata = {
        str(frame.columns[i]).strip(): np.array(_texts(frame, i))[rows] for i in columns.values() if i not in used
    }
    source = Files(tuple(paths[i] for i in rows), root)
    taken = _columns_taken(frame, path_column, label_column, others, columns)
    unused = [column for column in metadata if column.lower() not in (*_PATH, *_LABEL, *_ABOUT)]
    about = (*notes, *taken, *_unused_words(unused), *of_labels, *found_otherwise)
    return Listing(name, source, given, stated.rows(rows), groups, about, metadata=metadata, group_names=group_names)


def _box_rows(
    frame: pd.DataFrame, taken: Sequence[int], columns: dict[str, int], root: Path, origin: str, row: str
) -> BoxRows:
    """A table with a box in each row. taken: positions of the image, the label and the four corners."""
    files, labels, *corners = (_texts(frame, column) for column in taken)
    about = {name: _texts(frame, columns[name]) if name in columns else [""] * len(frame) for name in _ABOUT}
    rows = BoxRows(origin, root)
    for i, index in enumerate(frame.index):
        where = f"{row} {index}"
        texts = [column[i] for column in corners]
        if not files[i]:
            raise DataError(f"{origin} has a row without an image path", found=where)
        box = None
        if any(texts) or labels[i]:
            try:
                box = tuple(map(float, texts))
            except ValueError:
                names = ", ".join(str(frame.columns[column]) for column in taken[2:])
                raise DataError(
                    f"a box in {origin} has a coordinate that is not a number",
                    found=f"{', '.join(texts)} in {where}",
                    expected=f"numbers in {names}, or empty cells and an empty label for an image without objects",
                ) from None
        split = about["split"][i].lower()
        if split not in _SPLITS:
            raise DataError(f"{origin} contains unknown split names", found=split, expected="train, val, test")
        rows.add(where, files[i], box, labels[i], split=_SPLITS[split], group=about["group"][i])
    return rows


def _unused_words(columns: list[str]) -> tuple[str, ...]:
    """Which columns are neither image nor target, nor name a split or group."""
    if not columns:
        return ()
    some = ", ".join(repr(column) for column in columns[:SHOWN]) + (", ..." if len(columns) > SHOWN else "")
    return (
        f"{count(len(columns), 'table column')} not used in training: {some}; "
        "`evaluate --group-by COLUMN` reports scores for each value of a column",
    )


def _by_name(frame: pd.DataFrame, origin: str) -> dict[str, int]:
    """Positions of columns by their names in lower case; DataError where one that has a meaning is there twice."""
    columns: dict[str, int] = {}
    for i, name in enumerate(frame.columns):
        word = str(name).strip().lower()
        if word in columns and word in (*_PATH, *_LABEL, *_ABOUT):
            raise DataError(
                f"{origin} has two columns named {word!r}",
                found=", ".join(map(str, frame.columns)),
                fix="rename one of them",
            )
        columns[word] = i
    return columns


def _columns_taken(
    frame: pd.DataFrame, path: int, label: int | None, others: list[int], columns: dict[str, int]
) -> tuple[str, ...]:
    """Which columns hold the images and what is to be predicted, where that is not plain from their names."""
    named = [str(name).strip() for name in frame.columns]
    taken, passed = [], []
    for column, what, names in ((path, "the images", _PATH), (label, "the labels", _LABEL)):
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


def _stated(
    frame: pd.DataFrame, label: int | None, others: list[int], origin: str, where: list[str]
) -> tuple[Stated, list[str]]:
    """What the column of labels states, or where there is none the columns of numbers; and how it was read."""
    if label is not None:
        column = str(frame.columns[label])
        lists = _lists(frame.iloc[:, label])
        if lists is None:
            return Stated(origin, tuple(_texts(frame, label)), column=column, where=tuple(where)), []
        if all(len(one) == 1 for one in lists):
            words = tuple(class_name(str(one[0])) for one in lists)
            note = f"each list in the column {column!r} contains a single name, which is read as the class"
            return Stated(origin, words, column=column, where=tuple(where)), [note]
        kinds = {type(x) for one in lists for x in one}
        if float in kinds <= {float, int} and len({len(one) for one in lists}) == 1:
            names = tuple(f"{column} {k}" for k in range(len(lists[0])))
            return Stated(origin, columns=names, numbers=np.array(lists, np.float64), where=tuple(where)), []
        cells = tuple("|".join(class_name(str(x)) for x in one) for one in lists)
        return Stated(origin, cells, listed=True, column=column, where=tuple(where)), []
    numbers = np.empty((len(frame), len(others)))
    for k, i in enumerate(others):
        for row, text in enumerate(_texts(frame, i)):
            numbers[row, k] = number_in(text, str(frame.columns[i]), origin, where[row])
    names = tuple(str(frame.columns[i]).strip() for i in others)
    return Stated(origin, columns=names, numbers=numbers, where=tuple(where)), []


def _lists(values: pd.Series[Any]) -> list[list[Any]] | None:
    """The lists that a column holds, as such or in words such as `['red', 'round']`; None where a cell is no list."""
    found = []
    for value in values:
        if isinstance(value, str) and value.strip().startswith("[") and value.strip().endswith("]"):
            try:
                value = ast.literal_eval(value.strip())
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                return None
        if not isinstance(value, list | tuple | set | frozenset | np.ndarray):
            return None
        found.append([x.item() if isinstance(x, np.generic) else x for x in value])
    return found or None


def _number_columns(frame: pd.DataFrame, columns: dict[str, int], path_column: int | None) -> list[int]:
    """Columns that hold a number somewhere, but for those that are about the image."""

    def number(text: str) -> bool:
        try:
            return math.isfinite(float(text))
        except ValueError:
            return False

    free = [i for word, i in columns.items() if i != path_column and word not in _ABOUT and not _INDEX.fullmatch(word)]
    return [i for i in free if any(map(number, _texts(frame, i)))]


def _texts(frame: pd.DataFrame, column: int) -> list[str]:
    """A column's values as stripped text, "" where there is none; a class may well be called "None" or "nan"."""
    values = frame.iloc[:, column]
    return ["" if absent else str(v).strip() for v, absent in zip(values, values.isna(), strict=True)]


def _without_repeats(paths: list[Path], stated: list[tuple[str, str]], where: list[str], origin: str) -> list[int]:
    """Row numbers with every image once; DataError when two rows give one image different labels or splits.

    stated: label and split of each row. where: what to call each row.
    """
    seen: dict[Path, int] = {}
    conflicts = []
    for i, path in enumerate(paths):
        first = seen.setdefault(path, i)
        for one, other in zip(stated[first], stated[i], strict=True):
            if one != other:
                conflicts.append(f"{path.name} with {one!r} in {where[first]} and {other!r} in {where[i]}")
    if conflicts:
        raise DataError(
            f"{origin} has contradictory rows for {count(len(conflicts), 'image')}",
            found="; ".join(conflicts[:3]),
            expected="one label and one split per image",
            fix="remove the incorrect rows",
        )
    return sorted(seen.values())
