"""Tables that name images: CSV, JSONL and pandas frames with `image_path`, `label` and perhaps `split` and `group`.

A label may hold several names, "cat|dog"; in place of a label there may be columns of numbers (`data.targets`).
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clearsight.data.dataset import Files, Listing, encode_labels
from clearsight.data.targets import Stated, number_in
from clearsight.errors import DataError
from clearsight.wording import count

if TYPE_CHECKING:
    import pandas as pd

_PATH = ("image_path", "path", "image", "file", "filename", "file_name")
_LABEL = ("label", "class", "target", "category")
_ABOUT = ("split", "group")
SHOWN = 12
"""Columns named at most in a note."""

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "": ""}


def read_csv(path: Path) -> Listing:
    """A table with a header, separated by commas, semicolons or tabs; paths are relative to the table's folder."""
    import csv

    import pandas as pd

    rows, numbers = [], []
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            separator = next((s for s in (",", ";", "\t") if s in first), ",")
            stream.seek(0)
            reader = csv.reader(stream, delimiter=separator, strict=True)
            header = next(reader, [])
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header) and (len(row) < len(header) or any(row[len(header) :])):
                    raise DataError(
                        f"line {reader.line_num} of {path} does not fit the header",
                        found=f"{len(row)} fields",
                        expected=f"{len(header)}: {', '.join(header)}",
                        fix='quote a field that holds a comma: "a, b"',
                    )
                rows.append(row[: len(header)])
                numbers.append(reader.line_num)
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        fix = "save it as UTF-8 (in Excel: CSV UTF-8)" if isinstance(error, UnicodeDecodeError) else None
        raise DataError(f"{path} cannot be read as CSV in UTF-8", found=str(error)[:160], fix=fix) from error
    frame = pd.DataFrame(rows, columns=header, index=numbers, dtype=object)
    return read_frame(frame, root=path.parent, name=path.stem, origin=str(path.resolve()))


def read_jsonl(path: Path) -> Listing:
    """One JSON object a line, with the same keys as a CSV has columns."""
    import json

    import pandas as pd

    rows, numbers = [], []
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"line {number} is no object: {line.strip()[:60]}")
                rows.append(row)
                numbers.append(number)
    except json.JSONDecodeError as error:
        raise DataError(f"line {number} of {path} is no JSON", found=str(error)) from error
    except (ValueError, RecursionError, OSError) as error:
        raise DataError(f"{path} cannot be read as JSON lines", found=str(error)[:160]) from error
    frame = pd.DataFrame(rows, index=numbers, dtype=object)
    return read_frame(frame, root=path.parent, name=path.stem, origin=str(path.resolve()), row="line")


def read_frame(frame: pd.DataFrame, *, root: Path, name: str, origin: str, row: str = "row") -> Listing:
    """A table of image paths and labels; DataError lists missing files and images listed in two ways.

    row: what to call a row in front of the user, who finds it by the frame's index.
    """
    columns = {str(c).strip().lower(): i for i, c in enumerate(frame.columns)}
    path_column = next((columns[c] for c in _PATH if c in columns), None)
    label_column = next((columns[c] for c in _LABEL if c in columns), None)
    others = [] if label_column is not None else _number_columns(frame, columns, path_column)
    if path_column is None or (label_column is None and not others):
        raise DataError(
            f"{origin} lacks a column",
            found=", ".join(map(str, frame.columns)) or "no columns",
            expected=f"one of {', '.join(_PATH)} and one of {', '.join(_LABEL)}, or columns of numbers to predict",
        )
    if not len(frame):
        raise DataError(f"{origin} lists no images", found="0 rows")
    where = [f"{row} {i}" for i in frame.index]
    files = _texts(frame, path_column)
    stated = _stated(frame, label_column, others, origin, where)
    if blank := [i for i, text in enumerate(files) if not text]:
        raise DataError(f"{len(blank)} rows of {origin} have no image", found=f"the first in {where[blank[0]]}")
    paths = [_resolve(text, root) for text in files]
    missing = [p for p in paths if not os.path.isfile(p)]  # noqa: PTH113 - False for names too long, where pathlib raises
    if missing:
        raise DataError(
            f"{len(missing)} of {len(paths)} images named by {origin} do not exist",
            found=", ".join(str(p)[:200] for p in missing[:3]) + (", ..." if len(missing) > 3 else ""),
            expected=f"paths relative to {root.resolve()}, or absolute ones",
        )
    splits = [""] * len(paths)
    if "split" in columns:
        words = [text.lower() for text in _texts(frame, columns["split"])]
        if unknown := sorted(set(words) - set(_SPLITS)):
            raise DataError(f"{origin} names unknown splits", found=", ".join(unknown), expected="train, val, test")
        splits = [_SPLITS[word] for word in words]
    rows = _without_repeats(paths, [(stated.text(i), split) for i, split in enumerate(splits)], where, origin)
    groups = None
    if "group" in columns:
        words = _texts(frame, columns["group"])
        # an image without a group stands alone; a tab cannot begin a group's name, as names are stripped
        groups = encode_labels([words[i] or f"\t{i}" for i in rows])[0]
    given = np.array([splits[i] for i in rows], dtype="<U5")
    used = {i for word, i in columns.items() if word in (*_PATH, "split")} | {label_column, *others}
    metadata = {
        str(frame.columns[i]).strip(): np.array(_texts(frame, i))[rows] for i in columns.values() if i not in used
    }
    source = Files(tuple(paths[i] for i in rows), root)
    idle = [str(frame.columns[i]).strip() for i in columns.values() if i not in {path_column, label_column, *others}]
    idle = [column for column in idle if column.lower() not in _ABOUT]
    notes = (_idle_words(idle),) if idle else ()
    return Listing(name, source, given, stated.rows(rows), groups, notes, metadata)


def _idle_words(columns: list[str]) -> str:
    """Which columns are neither image nor target, nor say a split or group."""
    some = ", ".join(repr(column) for column in columns[:SHOWN]) + (", ..." if len(columns) > SHOWN else "")
    return (
        f"{count(len(columns), 'column')} of the table not learned from: {some}; `evaluate --by COLUMN` scores by one"
    )


def _stated(frame: pd.DataFrame, label: int | None, others: list[int], origin: str, where: list[str]) -> Stated:
    """What the column of labels states, or where there is none the columns of numbers."""
    if label is not None:
        column = str(frame.columns[label])
        return Stated(origin, tuple(_texts(frame, label)), column=column, where=tuple(where))
    numbers = np.empty((len(frame), len(others)))
    for k, i in enumerate(others):
        for row, text in enumerate(_texts(frame, i)):
            numbers[row, k] = number_in(text, str(frame.columns[i]), origin, where[row])
    names = tuple(str(frame.columns[i]).strip() for i in others)
    return Stated(origin, columns=names, numbers=numbers, where=tuple(where))


def _number_columns(frame: pd.DataFrame, columns: dict[str, int], path_column: int | None) -> list[int]:
    """Columns that hold a number somewhere, but for those that are about the image."""

    def number(text: str) -> bool:
        try:
            return math.isfinite(float(text))
        except ValueError:
            return False

    free = [i for word, i in columns.items() if i != path_column and word not in _ABOUT]
    return [i for i in free if any(map(number, _texts(frame, i)))]


def _texts(frame: pd.DataFrame, column: int) -> list[str]:
    """A column's values as stripped text, "" where there is none; a class may well be called "None" or "nan"."""
    values = frame.iloc[:, column]
    return ["" if absent else str(v).strip() for v, absent in zip(values, values.isna(), strict=True)]


def _resolve(text: str, root: Path) -> Path:
    path = Path(os.path.expanduser(text))  # noqa: PTH111 - leaves ~unknown as it is, where pathlib raises
    return path if path.is_absolute() else root / path


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
                conflicts.append(f"{path.name} is {one!r} in {where[first]} and {other!r} in {where[i]}")
    if conflicts:
        raise DataError(
            f"{origin} has contradicting rows for {count(len(conflicts), 'image')}",
            found="; ".join(conflicts[:3]),
            expected="one label and one split per image",
            fix="remove the wrong rows",
        )
    return sorted(seen.values())
