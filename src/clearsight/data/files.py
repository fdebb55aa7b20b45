"""The files that a path means: one file, the images of a folder, or what matches a pattern."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from clearsight.data.dataset import printable
from clearsight.data.decode import EXTENSIONS
from clearsight.data.formats.dicom import SIGNATURE, SIGNED
from clearsight.errors import DataError

LEFT_FOLDERS = frozenset(
    {"@eadir", "__macosx", "#recycle", "@recycle", "$recycle.bin", "lost+found", "system volume information"}
)
"""What storage servers and other systems leave beside images: thumbnails, resource forks, deleted files."""

LEFT_FILES = frozenset({"thumbs.db", "desktop.ini"})
"""What Windows leaves in folders of images."""


def left_aside(name: str) -> bool:
    """Whether a file or folder of this name is never looked at: hidden, or made by a system, not by the user."""
    return name.startswith(".") or name.lower() in LEFT_FOLDERS or name.lower() in LEFT_FILES


def files_below(folder: Path, onerror: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """All files in a folder and below it but those `left_aside`. Links to folders are followed, each folder once, but
    not those to a folder that this one is in: there are images of other classes.
    """
    above = (parent.stat() for parent in folder.resolve().parents)
    seen: set[tuple[int, int]] = {(about.st_dev, about.st_ino) for about in above}
    for root, folders, files in os.walk(folder, onerror=onerror, followlinks=True):
        about = os.stat(root)  # noqa: PTH116
        if (about.st_dev, about.st_ino) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        folders[:] = sorted(name for name in folders if not left_aside(name))
        yield from (Path(root, name) for name in files if not left_aside(name))


def image_files(path: str | os.PathLike[Any]) -> list[str]:
    """The files that a path means: itself, all images in a folder and below, or those that match a glob pattern,
    sorted; hidden files and what systems leave in folders are left out. DataError where there are none.

    A file whose name has the characters of a pattern is meant itself.
    """
    text = os.fsdecode(path)
    place = local_path(text)
    if place.is_dir():
        found = sorted(str(path) for path in files_below(place) if named_as_image(path))
        if not found:
            raise DataError(f"{printable(text)} contains no images", expected="files ending in .jpg, .png or similar")
        return found
    if os.path.lexists(place) or not glob.has_magic(text):
        return [text]
    found = sorted(name for name in glob.glob(str(place), recursive=True) if not Path(name).is_dir())  # noqa: PTH207
    if not found:
        raise DataError(
            f"no file matches the pattern {printable(text)}", fix="check the folder name and the file suffix"
        )
    return found


def is_image_file(path: Any) -> bool:
    """Whether a path is that of one image file, by its ending; False for what is no path."""
    if not isinstance(path, str | os.PathLike):
        return False
    place = local_path(path)
    return named_as_image(place) and place.is_file()


def named_as_image(path: str | os.PathLike[str]) -> bool:
    """Whether a path has the ending of an image, or is a DICOM file by its signature: archives of hospitals name files
    by numbers, such as `IM0001` and `1.2.840.113619`. Files with other endings are not opened.
    """
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122 - a Path for each of a million files is slow
    if suffix in EXTENSIONS or suffix.strip(".0123456789"):
        return suffix in EXTENSIONS
    try:
        with open(path, "rb") as stream:  # noqa: PTH123
            return stream.read(SIGNED + len(SIGNATURE))[SIGNED:] == SIGNATURE
    except OSError:
        return False


def local_path(path: str | os.PathLike[Any]) -> Path:
    """A path with its `~` expanded where there is such a user."""
    return Path(os.path.expanduser(os.fsdecode(path)))  # noqa: PTH111 - leaves ~unknown as it is
