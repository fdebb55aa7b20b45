"""Files written whole or not at all, files read from folders that others may have made, and disks that refuse."""

from __future__ import annotations

import contextlib
import csv
import ctypes
import errno
import io
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from clearsight.csv_cells import as_cell
from clearsight.errors import BundleError, OutputError
from clearsight.json_values import from_json, to_json

FULL = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "disk quota exceeded",
    errno.EFBIG: "a file larger than allowed",
}
"""Why a disk takes no more."""


@contextlib.contextmanager
def disk_errors(where: Path, what: str, fix: str, *, full_only: bool = False) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into one clear OutputError.

    full_only: only a full disk, where the block also reads files of the user, for which other errors have other words.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if error.errno is None or (full_only and error.errno not in FULL):  # libraries derive other errors from OSError
            raise
        found = FULL.get(error.errno, error.strerror or str(error))
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


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Context manager: create a folder if it does not exist, and keep other processes from writing to it.

    The lock is on the folder itself and belongs to the process: it needs no file, and ends with the process, however
    that ends. Where the file system has no locks, there is none.

    Args:
        folder: the folder.

    Yields:
        Nothing.

    Raises:
        OutputError: another process, or another thread, is writing to the folder.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        folder.mkdir(parents=True, exist_ok=True)
        yield
        return
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputError(
                    f"{folder} is in use", found="another process that is writing to it",
                    fix="wait until that process has finished, or choose another --out",
                ) from error  # fmt: skip
            except OSError:  # no locks here
                pass
            if not _is_at(descriptor, folder):  # it was replaced or removed before we had the lock
                continue
            yield
            return
        finally:
            os.close(descriptor)


def _is_at(descriptor: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


EXCHANGE = 2
"""RENAME_EXCHANGE of Linux."""


def replace_folder(new: Path, old: Path) -> None:
    """Put a folder in the place of another one, which is deleted.

    On Linux both are exchanged in one step. Where the file system cannot do that, there is a moment without either, and
    a process that is killed then leaves the old folder beside, with the name extension .old.

    Args:
        new: a complete folder, in the same parent folder.
        old: the folder to replace, if it exists.

    Raises:
        OSError: the disk refuses.
    """
    if not old.exists():
        new.rename(old)
        return
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    here = -100  # AT_FDCWD: paths are relative to the current folder, or absolute
    if rename is not None and rename(here, os.fsencode(new), here, os.fsencode(old), EXCHANGE) == 0:
        shutil.rmtree(new)
        return
    aside = new.with_suffix(".old")
    old.rename(aside)
    new.rename(old)
    shutil.rmtree(aside)


def reserve(path: Path) -> None:
    """Reserve the disk space of a sparse file that will be written through a memory map.

    A full disk then is an error here, instead of a signal that ends the process when the map is written.

    Args:
        path: the file, at its full size.

    Raises:
        OSError: no space left.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as stream:
            try:
                os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise  # other errors: the file system has no such function


def sync_folder(folder: Path) -> None:
    """Have the files of a folder written to the disk, before the folder gets its final name.

    Args:
        folder: the folder.
    """
    for file in folder.iterdir():
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


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


def object_within(folder: Path, name: str) -> dict[str, Any]:
    """The JSON object in `file_within`; BundleError as there, and for a file without one."""
    content = read_within(folder, name)
    try:
        found = from_json(content)
        if not isinstance(found, dict):
            raise ValueError(f"a {type(found).__name__} in place of an object")
    except ValueError as error:
        raise BundleError(
            f"{folder / name} cannot be read", found=str(error)[:120], fix="restore it from a backup, or train again"
        ) from error
    return found


def _no_file(path: Path) -> BundleError:
    return BundleError(f"{path} cannot be read", found="a folder, a pipe or a device", expected="a regular file")


def write_json(path: Path, content: Any) -> None:
    """Write whole or not at all; OutputError when the disk refuses."""
    with disk_errors(path, "the run", "free some space or choose another --out"), whole_file(path) as stream:
        stream.write(to_json(content).encode())


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Write rows of the same columns as CSV, whole or not at all; OutputError when the disk refuses. columns: their
    names, if there may be no rows. Text that a spreadsheet would run as a formula is escaped (`csv_cells`).
    """
    text = io.StringIO()
    cells = [{name: as_cell(value) for name, value in row.items()} for row in rows]
    returns = any("\r" in value for row in cells for value in row.values() if isinstance(value, str))
    quoting: Any = csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL  # which may leave carriage returns unquoted
    table = csv.DictWriter(text, list(columns or rows[0]), lineterminator="\n", quoting=quoting)
    table.writeheader()
    table.writerows(cells)
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
