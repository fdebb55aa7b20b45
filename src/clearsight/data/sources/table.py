"""Tables that name images: CSV, JSONL and pandas frames with `image_path`, `label` and perhaps `split` and `group`.

A label may hold several names, "cat|dog"; in place of a label there may be columns of numbers (`data.targets`).
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clearsight.data.dataset import Dataset, Files, encode_labels, softly
from clearsight.data.targets import TargetTable, believed, from_numbers, one_hot, several_labels, soft_labels
from clearsight.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_PATH = ("image_path", "path", "image", "file", "filename", "file_name")
_LABEL = ("label", "class", "target", "category")
_ABOUT = ("split", "group")
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "": ""}


def read_csv(path: Path, task: str = "auto") -> Dataset:
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
    return read_frame(frame, root=path.parent, name=path.stem, origin=str(path.resolve()), task=task)


def read_jsonl(path: Path, task: str = "auto") -> Dataset:
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
    return read_frame(frame, root=path.parent, name=path.stem, origin=str(path.resolve()), row="line", task=task)


def read_frame(
    frame: pd.DataFrame, *, root: Path, name: str, origin: str, row: str = "row", task: str = "auto"
) -> Dataset:
    """A table of image paths and labels; DataError lists missing files and images listed in two ways.

    row: what to call a row in front of the user, who finds it by the frame's index. task: of `config.TASKS`.
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
    table, labels, soft = _what_to_predict(frame, label_column, others, origin, where, task)
    for what, texts in (("label", labels), ("image", files)):
        if what == "label" and table is not None and table.task == "multilabel":
            continue  # an image may well show nothing
        if blank := [i for i, text in enumerate(texts) if not text]:
            raise DataError(f"{len(blank)} rows of {origin} have no {what}", found=f"the first in {where[blank[0]]}")
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
    rows = _without_repeats(paths, list(zip(labels, splits, strict=True)), where, origin)
    if soft is not None:
        said = softly([labels[i] for i in rows], [str(frame.columns[i]).strip() for i in others], soft[rows])
    elif table is None:
        said = dict(zip(("labels", "classes"), encode_labels([labels[i] for i in rows]), strict=True))
    else:
        table = replace(table, values=table.values[rows])
        said = dict(zip(("labels", "classes"), table.strata(), strict=True))
    groups = None
    if "group" in columns:
        words = _texts(frame, columns["group"])
        # an image without a group stands alone; a tab cannot begin a group's name, as names are stripped
        groups = encode_labels([words[i] or f"\t{i}" for i in rows])[0]
    return Dataset(
        name=name,
        source=Files(tuple(paths[i] for i in rows), root),
        given=np.array([splits[i] for i in rows], dtype="<U5"),
        origin=origin,
        groups=groups,
        targets=table,
        **said,
    )


def _what_to_predict(
    frame: pd.DataFrame, label: int | None, others: list[int], origin: str, where: list[str], task: str
) -> tuple[TargetTable | None, list[str], NDArray[np.float64] | None]:
    """The targets, None where each image has one class; what the label says of each image, as text; soft labels."""
    if label is not None:
        cells = _texts(frame, label)
        if task == "regression" or (task == "auto" and _measured(cells)):
            numbers = _numbers(frame, [label], origin, where)
            return from_numbers([str(frame.columns[label])], numbers, origin, "regression"), cells, None
        return several_labels(cells, origin, task), cells, None
    numbers = _numbers(frame, others, origin, where)
    names = [str(frame.columns[i]).strip() for i in others]
    if task in ("auto", "classification") and one_hot(numbers):
        return None, [names[k] for k in numbers.argmax(1)], None
    if task in ("auto", "classification") and soft_labels(numbers):
        return None, believed(names, numbers, origin), numbers
    if task == "classification":
        raise DataError(
            f"{origin} has no column of classes",
            found=", ".join(map(str, frame.columns)),
            expected=f"one of {', '.join(_LABEL)}",
        )
    cells = ["|".join(f"{v:g}" for v in row) for row in numbers]
    return from_numbers(names, numbers, origin, task), cells, None


def _number_columns(frame: pd.DataFrame, columns: dict[str, int], path_column: int | None) -> list[int]:
    """Columns that hold a number somewhere, but for those that are about the image."""

    def number(text: str) -> bool:
        try:
            return math.isfinite(float(text))
        except ValueError:
            return False

    free = [i for word, i in columns.items() if i != path_column and word not in _ABOUT]
    return [i for i in free if any(map(number, _texts(frame, i)))]


def _measured(cells: list[str]) -> bool:
    """Whether labels are measurements rather than names: all are numbers, and some have decimals."""
    try:
        values = [float(cell) for cell in cells if cell]
    except ValueError:
        return False
    return any(value != int(value) for value in values if math.isfinite(value))


def _numbers(frame: pd.DataFrame, chosen: list[int], origin: str, where: list[str]) -> NDArray[np.float64]:
    """Columns as numbers (N, T); DataError names a cell that is none."""
    found = np.empty((len(frame), len(chosen)))
    for k, column in enumerate(chosen):
        for i, text in enumerate(_texts(frame, column)):
            try:
                found[i, k] = float(text)
            except ValueError:
                raise DataError(
                    f"column {str(frame.columns[column])!r} of {origin} mixes numbers and other things",
                    found=f"{text!r} in {where[i]}" if text else f"nothing in {where[i]}",
                    expected="a number for every image",
                    fix="put classes in a column `label`, and leave out columns that are not to be predicted",
                ) from None
    return found


def _texts(frame: pd.DataFrame, column: int) -> list[str]:
    """A column's values as stripped text, "" where there is none; a class may well be called "None" or "nan"."""
    values = frame.iloc[:, column]
    return ["" if absent else str(v).strip() for v, absent in zip(values, values.isna(), strict=True)]


def _resolve(text: str, root: Path) -> Path:
    path = Path(os.path.expanduser(text))  # noqa: PTH111 - leaves ~unknown as it is, where pathlib raises
    return path if path.is_absolute() else root / path


def _without_repeats(paths: list[Path], said: list[tuple[str, str]], where: list[str], origin: str) -> list[int]:
    """Row numbers with every image once; DataError when two rows give one image different labels or splits.

    said: label and split of each row. where: what to call each row.
    """
    seen: dict[Path, int] = {}
    conflicts = []
    for i, path in enumerate(paths):
        first = seen.setdefault(path, i)
        for one, other in zip(said[first], said[i], strict=True):
            if one != other:
                conflicts.append(f"{path.name} is {one!r} in {where[first]} and {other!r} in {where[i]}")
    if conflicts:
        raise DataError(
            f"{origin} says two things of {len(conflicts)} image(s)",
            found="; ".join(conflicts[:3]),
            expected="one label and one split per image",
            fix="remove the wrong rows",
        )
    return sorted(seen.values())
