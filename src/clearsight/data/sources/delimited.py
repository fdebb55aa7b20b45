"""Tables in files: CSV as spreadsheets, databases and pandas write it, and JSON lines, as frames of text."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearsight.csv_cells import from_cell
from clearsight.data.dataset import Listing
from clearsight.data.sources.label_studio import is_short, read_tasks, rows_of
from clearsight.data.sources.selection import Selection
from clearsight.data.sources.table import read_frame
from clearsight.errors import DataError
from clearsight.json_values import from_json
from clearsight.wording import count

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = (",", ";", "\t", "|")
"""Between the fields of a table; the first that is in the header, but for a line such as `sep=;` that says which."""

NUMBER = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)?(,\d+)?([eE][+-]?\d+)?")
"""A number with a decimal comma, perhaps with points between thousands."""


def read_csv(path: Path, selection: Selection | None = None, base: str = "") -> Listing:
    """A table with a header, separated by commas, semicolons, tabs or bars; paths are relative to the table's folder.

    selection: columns that the user chose. base: URL of the table's folder; "" for one on this machine.
    """
    selection = selection or Selection()
    selection.only(str(path), "label", "image")
    frame, notes = csv_frame(path)
    if is_short(list(frame.columns)) and len(frame):
        return read_tasks(path, rows_of(frame), selection, base)
    return read_frame(
        frame, root=path.parent, name=path.stem, origin=str(path.resolve()), notes=notes, selection=selection, base=base
    )


def csv_frame(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The cells of a table, and what to say of how it was read.

    Text is UTF-8, or UTF-16 with its mark at the beginning, or else Windows-1252, which a note says. Where fields are
    not separated by commas, numbers may have decimal commas.
    """
    import pandas as pd

    text, notes = _decoded(path)
    if not text.strip():
        raise DataError(
            f"{path} is empty",
            expected="a line with the names of the columns, such as image_path,label, and a line for each image",
        )  # fmt: skip
    stated = re.match(r"\ufeff?\"?sep=(.)\"?\r?\n", text)
    start = text[stated.end() :] if stated else text
    first = start.partition("\n")[0]
    separator = stated[1] if stated else next((s for s in SEPARATORS if s in first), ",")
    rows, numbers = [], []
    try:
        reader = csv.reader(io.StringIO(start, newline=""), delimiter=separator, strict=True)
        header = next(reader, [])
        for row in reader:
            if not row:
                continue
            if len(row) != len(header) and (len(row) < len(header) or any(row[len(header) :])):
                raise DataError(
                    f"line {reader.line_num + bool(stated)} of {path} does not match the header",
                    found=f"{len(row)} fields",
                    expected=f"{len(header)}: {', '.join(header)}",
                    fix='quote fields that contain the separator, such as "a, b"',
                )
            rows.append(row[: len(header)])
            numbers.append(reader.line_num + bool(stated))
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as CSV", found=str(error)[:160]) from error
    frame = pd.DataFrame(rows, columns=header, index=numbers, dtype=object)
    if separator != ",":
        notes += _with_points(frame)
    notes += _with_formulas(frame)
    return frame, tuple(notes)


def _decoded(path: Path) -> tuple[str, list[str]]:
    """The text of a file, and what to say of its encoding."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read", found=str(error)[:160]) from error
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            failed = error
            continue
        if "\0" in text:
            break
        if encoding != "cp1252":
            return text, []
        odd = next(word for word in re.findall(r"[^\s,;|\"]+", text) if not word.isascii())
        return text, [f"{path.name} is not UTF-8 and is read as Windows-1252; check words such as {odd!r}"]
    else:
        raise DataError(f"{path} cannot be read as text", found=str(failed)[:160], fix="save it as UTF-8") from failed
    raise DataError(
        f"{path} cannot be read as text", found="null bytes", expected="a table in UTF-8", fix="save it as UTF-8"
    )


def _with_points(frame: pd.DataFrame) -> list[str]:
    """Write numbers with decimal commas as others are, in columns of nothing else; and say so."""
    changed = []
    for column in range(frame.shape[1]):
        cells = [str(cell).strip() for cell in frame.iloc[:, column]]
        if any("," in cell for cell in cells) and all(NUMBER.fullmatch(cell) for cell in cells):
            frame.isetitem(column, [cell.replace(".", "").replace(",", ".") for cell in cells])
            changed.append(repr(str(frame.columns[column]).strip()))
    if not changed:
        return []
    return [f"{count(len(changed), 'column')} read with decimal commas: {', '.join(changed)}"]


def _with_formulas(frame: pd.DataFrame) -> list[str]:
    """Read text that is escaped against spreadsheets (`csv_cells`) as it was before; and say so."""
    frame.columns = [from_cell(name) if isinstance(name, str) else name for name in frame.columns]
    changed = 0
    for column in range(frame.shape[1]):
        cells = frame.iloc[:, column].tolist()
        read = [from_cell(cell) for cell in cells]
        if read != cells:
            changed += sum(a != b for a, b in zip(cells, read, strict=True))
            frame.isetitem(column, read)
    if not changed:
        return []
    words = count(changed, "cell that begins", "cells that begin")
    return [f"{words} with ' before =, +, - or @, as in tables for spreadsheets: read without the '"]


def read_jsonl(path: Path, selection: Selection | None = None, base: str = "") -> Listing:
    """One JSON object a line, with the same keys as a CSV has columns; labels may be lists.

    selection: keys that the user chose. base: as for `read_csv`.
    """
    selection = selection or Selection()
    selection.only(str(path), "label", "image")
    return read_frame(
        jsonl_frame(path), root=path.parent, name=path.stem, origin=str(path.resolve()), row="line",
        selection=selection, base=base,
    )  # fmt: skip


def jsonl_frame(path: Path) -> pd.DataFrame:
    """The objects of a file, one a line, as rows."""
    rows, numbers = [], []
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                row: Any = from_json(line)
                if not isinstance(row, dict):
                    raise ValueError(f"no JSON object in line {number}: {line.strip()[:60]}")
                rows.append(row)
                numbers.append(number)
    except json.JSONDecodeError as error:
        raise DataError(f"line {number} of {path} is not valid JSON", found=str(error)) from error
    except (ValueError, RecursionError, OSError) as error:
        raise DataError(f"{path} cannot be read as JSON Lines", found=str(error)[:160]) from error
    if not rows:
        raise DataError(f"{path} is empty", expected="a JSON object in each line, with the keys image_path and label")
    import pandas as pd

    return pd.DataFrame(rows, index=numbers, dtype=object)
