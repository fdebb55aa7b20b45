"""The files of a folder in the order of their paths, in memory that does not grow with their number.

Names of a large folder are sorted in runs on the disk and merged, as an external merge sort does.
"""

from __future__ import annotations

import heapq
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from clearsight.data.files import left_aside
from clearsight.errors import DataError

RUN = 20_000
"""Names that are sorted in memory."""

Folder = tuple[int, int]
"""Device and number of a folder."""


@dataclass
class Survey:
    """What is in a folder and below: number of images, and paths of other files that were asked for."""

    images: int = 0
    others: list[str] = field(default_factory=list)


def survey(folder: Path, wanted: Callable[[str], bool], other: Callable[[str], bool]) -> Survey:
    """Count the images in a folder, and list other files; DataError where the folder cannot be listed."""
    found = Survey()
    pending, seen = [str(folder)], _above(folder)
    while pending:
        place = pending.pop()
        try:
            if not _first_time(place, seen):
                continue
            for entry in os.scandir(place):
                if left_aside(entry.name):
                    continue
                if entry.is_dir():
                    pending.append(entry.path)
                elif wanted(entry.path):
                    found.images += 1
                elif other(entry.name):
                    found.others.append(entry.path)
        except OSError as error:
            if place == str(folder):
                raise DataError(f"{place} cannot be listed", found=error.strerror) from error
            found.images += 1  # the item that says so
    return found


def walked(folder: str, wanted: Callable[[str], bool], seen: set[Folder] | None = None) -> Iterator[tuple[str, str]]:
    """Paths of the image files in a folder and below, sorted as text, each with ""; and folders that cannot be listed,
    with the reason. Links to folders are followed, each folder once.
    """
    seen = _above(Path(folder)) if seen is None else seen
    try:
        if not _first_time(folder, seen):
            return
        names = _sorted(folder, wanted)
    except OSError as error:
        yield folder, error.strerror or str(error)
        return
    for name in names:
        if name.endswith("/"):
            yield from walked(os.path.join(folder, name[:-1]), wanted, seen)  # noqa: PTH118
        else:
            yield os.path.join(folder, name), ""  # noqa: PTH118


def _sorted(folder: str, wanted: Callable[[str], bool]) -> Iterator[str]:
    """Names in a folder, with a slash after those of folders, so that paths are sorted as text."""
    runs: list[IO[str]] = []
    names: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if left_aside(entry.name) or not (entry.is_dir() or wanted(entry.path)):
                continue
            names.append(f"{entry.name}/" if entry.is_dir() else entry.name)
            if len(names) == RUN:
                runs.append(_spilled(sorted(names)))
                names = []
    return heapq.merge(sorted(names), *map(_lines, runs))


def _spilled(names: Sequence[str]) -> IO[str]:
    stream: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the last name read
    stream.writelines(f"{json.dumps(name)}\n" for name in names)
    stream.seek(0)
    return stream


def _lines(stream: IO[str]) -> Iterator[str]:
    with stream:
        yield from map(json.loads, stream)


def _above(folder: Path) -> set[Folder]:
    return {(about.st_dev, about.st_ino) for about in (parent.stat() for parent in folder.resolve().parents)}


def _first_time(folder: str, seen: set[Folder]) -> bool:
    about = os.stat(folder)  # noqa: PTH116
    key = (about.st_dev, about.st_ino)
    if key in seen:
        return False
    seen.add(key)
    return True
