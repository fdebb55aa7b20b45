"""The files that a path means: one file, the images of a folder, or what matches a pattern."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clearsight.data.dataset import printable
from clearsight.data.decode import EXTENSIONS
from clearsight.errors import DataError


def image_files(path: str | os.PathLike[Any]) -> list[str]:
    """The files that a path means: itself, all images in a folder and below, or those that match a glob pattern,
    sorted; hidden files and folders are left out. DataError where there are none.

    A file whose name has the characters of a pattern is meant itself.
    """
    text = os.fsdecode(path)
    place = local_path(text)
    if place.is_dir():
        found = sorted(_files_below(place))
        if not found:
            raise DataError(f"{printable(text)} holds no images", expected="files ending in .jpg, .png or the like")
        return found
    if os.path.lexists(place) or not glob.has_magic(text):
        return [text]
    found = sorted(name for name in glob.glob(str(place), recursive=True) if not Path(name).is_dir())  # noqa: PTH207
    if not found:
        raise DataError(
            f"no file matches the pattern {printable(text)}", fix="check the folder and the ending of its files"
        )
    return found


def is_image_file(path: Any) -> bool:
    """Whether a path is that of one image file, by its ending; False for what is no path."""
    if not isinstance(path, str | os.PathLike):
        return False
    place = local_path(path)
    return place.suffix.lower() in EXTENSIONS and place.is_file()


def _files_below(folder: Path) -> Iterator[str]:
    """The image files in a folder and below it."""
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS:
                yield str(Path(root) / name)


def local_path(path: str | os.PathLike[Any]) -> Path:
    """A path with its `~` expanded where there is such a user."""
    return Path(os.path.expanduser(os.fsdecode(path)))  # noqa: PTH111 - leaves ~unknown as it is
