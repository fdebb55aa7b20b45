"""Files written whole or not at all, and disks that refuse."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from clearsight.errors import OutputError
from clearsight.json_values import to_json


@contextlib.contextmanager
def disk_errors(where: Path, what: str, fix: str) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into one clear OutputError."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if error.errno is None:  # no fault of the disk: libraries derive other errors from OSError too
            raise
        reasons = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
        found = reasons.get(error.errno, error.strerror or str(error))
        raise OutputError(f"{what} cannot be written to {where}", found=found, fix=fix) from error


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A stream to a file beside, which takes the path's place once it is on the disk; whatever stood there stays till
    then.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write whole or not at all; OutputError when the disk refuses."""
    with disk_errors(path, "the run", "free some space or choose another --out"), whole_file(path) as stream:
        stream.write(to_json(content).encode())


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Write rows of the same columns as CSV, whole or not at all; OutputError when the disk refuses. columns: their
    names, where there may be no row to tell them.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, list(columns or rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    with disk_errors(path, "the run", "free some space or choose another --out"), whole_file(path) as stream:
        stream.write(text.getvalue().encode(errors="replace"))


def own_name(name: str, number: int, names: Sequence[str]) -> str:
    """A file name for an image among others: its stem, and its number where another has the same."""
    stems = [Path(n).stem.replace("#", "image-") for n in names]
    stem = Path(name).stem.replace("#", "image-")
    own = stem if stems.count(stem) == 1 else f"{stem}-{number}"
    while own != stem and own in stems:
        own += "-"
    return own
