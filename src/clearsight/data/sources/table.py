"""Frames that name images: `image_path`, `label` and perhaps `split` and `group`; tables in files become frames in
`delimited`.

Other usual names are taken too (`table_columns`), and a note says which.

A label may be several names, "cat|dog" or a list; in place of a label there may be columns of numbers (`data.targets`).
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.dataset import Listing, Source, encode_labels
from clearsight.data.sources.boxes import BoxRows, corner_columns, read_boxes
from clearsight.data.sources.selection import Selection
from clearsight.data.sources.table_columns import (
    ABOUT,
    IMAGE,
    LABEL,
    by_name,
    columns_taken,
    image_column,
    label_column,
    no_columns,
    number_columns,
    texts,
    unused_words,
)
from clearsight.data.sources.table_paths import Located, located
from clearsight.data.targets import Stated, boolean_name, class_name, numbers_in
from clearsight.errors import DataError
from clearsight.wording import count

if TYPE_CHECKING:
    import pandas as pd

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "": ""}


def read_frame(
    frame: pd.DataFrame,
    *,
    root: Path,
    name: str,
    origin: str,
    row: str = "row",
    notes: Sequence[str] = (),
    selection: Selection | None = None,
    images: Source | None = None,
    base: str = "",
) -> Listing:
    """A table of image paths and labels; DataError lists missing files and images listed in two ways.

    row: what to call a row in front of the user, who finds it by the frame's index. notes: on how it was read.
    selection: columns that the user chose. images: the image of each row, where the table itself holds them, so that
    it needs no column of paths. base: URL of the folder that paths are relative to; "" for `root`.
    """
    selection = selection or Selection()
    columns = by_name(frame, origin)
    path_column = None if images is not None else image_column(frame, columns, selection, origin)
    label = label_column(frame, columns, selection, origin, path_column)
    corners = corner_columns(list(columns))
    if corners is not None and path_column is not None and label is not None:
        positions = [path_column, label, *(columns[c] for c in corners)]
        return read_boxes(_box_rows(frame, positions, columns, root, origin, row, base), name, notes)
    others = [] if label is not None else number_columns(frame, columns, path_column)
    if (path_column is None and images is None) or (label is None and not others):
        raise no_columns(frame, columns, path_column if images is None else -1, origin, selection)
    if not len(frame):
        raise DataError(f"{origin} lists no images", found="0 rows")
    where = [f"{row} {i}" for i in frame.index]
    stated, of_labels = _stated(frame, label, others, origin, where)
    splits = _splits(frame, columns, origin)
    if images is None:
        assert path_column is not None
        files = _files(frame, path_column, root, origin, base, where)
        rows = _without_repeats(files.keys, [(stated.text(i), split) for i, split in enumerate(splits)], where, origin)
        rows = [i for i in rows if i not in files.failed]
        source: Source = files.source(rows)
        found = files.notes
        losses = files.losses()
    else:
        rows, source, found, losses = list(range(len(frame))), images, (), ()
    groups = group_names = None
    if "group" in columns:
        words = list(map(boolean_name, texts(frame, columns["group"])))
        # an image without a group stands alone; a tab cannot begin a group's name, as names are stripped
        groups = encode_labels([words[i] or f"\t{i}" for i in rows])[0]
        group_names = np.array([words[i] for i in rows])
    given = np.array([splits[i] for i in rows], dtype="<U5")
    used = {path_column, columns.get("split"), label, *others}
    metadata = {
        str(frame.columns[i]).strip(): np.array(list(map(boolean_name, texts(frame, i))))[rows]
        for i in columns.values()
        if i not in used
    }
    taken = columns_taken(frame, path_column, label, others, columns)
    unused = [column for column in metadata if column.lower() not in (*IMAGE, *LABEL, *ABOUT)]
    about = (*notes, *taken, *unused_words(unused), *of_labels, *found)
    return Listing(
        name, source, given, stated.rows(rows), groups, about, losses, metadata=metadata, group_names=group_names
    )


def _splits(frame: pd.DataFrame, columns: dict[str, int], origin: str) -> list[str]:
    """The split that the table states for each row, "" where it states none."""
    if "split" not in columns:
        return [""] * len(frame)
    words = [text.lower() for text in texts(frame, columns["split"])]
    if unknown := sorted(set(words) - set(_SPLITS)):
        raise DataError(f"{origin} contains unknown split names", found=", ".join(unknown), expected="train, val, test")
    return [_SPLITS[word] for word in words]


def _files(frame: pd.DataFrame, column: int, root: Path, origin: str, base: str, where: Sequence[str]) -> Located:
    """The files that a column names; DataError for a cell without a path."""
    files = texts(frame, column)
    if blank := [i for i, text in enumerate(files) if not text]:
        raise DataError(
            f"{origin} contains {count(len(blank), 'row')} without an image path",
            found=f"the first at {where[blank[0]]}",
        )
    return located(files, root, origin, base)


def _box_rows(
    frame: pd.DataFrame,
    taken: Sequence[int],
    columns: dict[str, int],
    root: Path,
    origin: str,
    row: str,
    base: str,
) -> BoxRows:
    """A table with a box in each row. taken: positions of the image, the label and the four corners."""
    files, labels, *corners = (texts(frame, column) for column in taken)
    about = {name: texts(frame, columns[name]) if name in columns else [""] * len(frame) for name in ABOUT}
    rows = BoxRows(origin, root, base)
    for i, index in enumerate(frame.index):
        where = f"{row} {index}"
        cells = [column[i] for column in corners]
        if not files[i]:
            raise DataError(f"{origin} has a row without an image path", found=where)
        box = None
        if any(cells) or labels[i]:
            try:
                box = tuple(map(float, cells))
            except ValueError:
                names = ", ".join(str(frame.columns[column]) for column in taken[2:])
                raise DataError(
                    f"a box in {origin} has a coordinate that is not a number",
                    found=f"{', '.join(cells)} in {where}",
                    expected=f"numbers in {names}, or empty cells and an empty label for an image without objects",
                ) from None
        split = about["split"][i].lower()
        if split not in _SPLITS:
            raise DataError(f"{origin} contains unknown split names", found=split, expected="train, val, test")
        rows.add(where, files[i], box, labels[i], split=_SPLITS[split], group=about["group"][i])
    return rows


def _stated(
    frame: pd.DataFrame, label: int | None, others: list[int], origin: str, where: list[str]
) -> tuple[Stated, list[str]]:
    """What the column of labels states, or where there is none the columns of numbers; and how it was read."""
    if label is not None:
        column = str(frame.columns[label])
        lists = _lists(frame.iloc[:, label])
        if lists is None:
            return Stated(origin, tuple(texts(frame, label)), column=column, where=tuple(where)), []
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
        numbers[:, k] = numbers_in(texts(frame, i), str(frame.columns[i]), origin, where)
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


def _without_repeats(
    paths: Sequence[Path | str], stated: list[tuple[str, str]], where: list[str], origin: str
) -> list[int]:
    """Row numbers with every image once; DataError when two rows give one image different labels or splits.

    stated: label and split of each row. where: what to call each row.
    """
    seen: dict[Path | str, int] = {}
    conflicts = []
    for i, path in enumerate(paths):
        first = seen.setdefault(path, i)
        for one, other in zip(stated[first], stated[i], strict=True):
            if one != other:
                conflicts.append(f"{PurePath(path).name} with {one!r} in {where[first]} and {other!r} in {where[i]}")
    if conflicts:
        raise DataError(
            f"{origin} has contradictory rows for {count(len(conflicts), 'image')}",
            found="; ".join(conflicts[:3]),
            expected="one label and one split per image",
            fix="remove the incorrect rows",
        )
    return sorted(seen.values())
