"""Files written whole or not at all, files read from folders that others may have made, and disks that refuse."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from clearsight.errors import BundleError, OutputError
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
        reasons = {errno.ENOSPC: "no space left on the disk", errno.EDQUOT: "disk quota exceeded"}
        found = reasons.get(error.errno, error.strerror or str(error))
        raise OutputError(f"{what} cannot be written to {where}", found=found, fix=fix) from error


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A stream to a file beside, which takes the path's place once it is on the disk; whatever stood there stays till
    then.
    """
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)  # a link of this name would have another file written
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def file_within(folder: Path, name: str) -> Path:
    """The path of a regular file in a run, a model or an index, which may come from someone else. name: its path below
    the folder.

    BundleError where it is missing, is a device, a pipe or a folder, or where a symbolic link leads out of the folder:
    a received link must not have files of this machine read, shown or served.
    """
    try:
        root = folder.resolve(strict=True)
        path = (root / name).resolve(strict=True)
        regular = stat.S_ISREG(path.stat().st_mode)
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of links
        raise BundleError(
            f"{folder / name} cannot be read", found=getattr(error, "strerror", None) or str(error)
        ) from error
    if not path.is_relative_to(root):
        raise BundleError(
            f"{folder / name} is a symbolic link that points outside its folder",
            found=f"a link to {path}",
            expected=f"a file in {root}",
            fix="if you trust the file, replace the link with a copy of it",
        )
    if not regular:
        raise _no_file(folder / name)
    return path


def read_within(folder: Path, name: str, limit: int | None = None) -> bytes:
    """The content of `file_within`; BundleError as there, and for a file of more than `limit` bytes."""
    path = file_within(folder, name)
    # what was checked may be replaced before it is opened: no link is followed, and no pipe waited for
    flags = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
    try:
        with open(os.open(path, flags), "rb") as stream:  # noqa: PTH123 - a descriptor, which pathlib does not open
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise _no_file(folder / name)
            if limit is not None and (size := os.fstat(stream.fileno()).st_size) > limit:
                raise BundleError(
                    f"{folder / name} is too large", found=f"{size:,} bytes", expected=f"at most {limit:,} bytes"
                )
            return stream.read()
    except OSError as error:
        raise BundleError(f"{folder / name} cannot be read", found=error.strerror or str(error)) from error


def _no_file(path: Path) -> BundleError:
    return BundleError(f"{path} cannot be read", found="a folder, a pipe or a device", expected="a regular file")


def write_json(path: Path, content: Any) -> None:
    """Write whole or not at all; OutputError when the disk refuses."""
    with disk_errors(path, "the run", "free some space or choose another --out"), whole_file(path) as stream:
        stream.write(to_json(content).encode())


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Write rows of the same columns as CSV, whole or not at all; OutputError when the disk refuses. columns: their
    names, if there may be no rows.
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
