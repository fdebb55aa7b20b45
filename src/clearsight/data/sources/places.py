"""Where data is on this machine: paths as they are, archives extracted, URLs downloaded.

A path or URL may lead into an archive: `photos.zip/labels.csv`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from clearsight.data.sources.archive import extracted, is_archive, refuse_unread
from clearsight.data.sources.remote import downloaded, file_path, is_url
from clearsight.errors import ClearsightError, DataError

A = TypeVar("A")


def local(place: str) -> Path:
    """A path as the file system has it; nothing is downloaded or extracted.

    Args:
        place: a path, which may begin with `~`, or a file:// URL.

    Returns:
        The path.
    """
    if (path := file_path(place)) is not None:
        return path
    return Path(os.path.expanduser(place))  # noqa: PTH111 - leaves ~unknown as it is, where pathlib raises


def exists(path: Path) -> bool:
    """Whether something is there; False for names that the file system cannot have."""
    return os.path.exists(path)  # noqa: PTH110 - False for names too long, where pathlib raises


def is_file(path: Path) -> bool:
    """Whether a file is there; False for names that the file system cannot have."""
    return os.path.isfile(path)  # noqa: PTH113 - False for names too long, where pathlib raises


def in_archive(path: Path) -> tuple[Path, str] | None:
    """The archive that a path leads into, and the path inside it; None for other paths."""
    for parent in path.parents:
        if is_archive(parent) and is_file(parent):
            return parent, path.relative_to(parent).as_posix()
    return None


def url_in_archive(url: str) -> tuple[str, str] | None:
    """The URL of the archive that a URL leads into, and the path inside it; None for other URLs."""
    parts = urlsplit(url)
    names = parts.path.split("/")
    for k in range(1, len(names)):
        if is_archive(Path(names[k - 1])) and any(names[k:]):
            archive = parts._replace(path="/".join(names[:k])).geturl()
            return archive, unquote("/".join(name for name in names[k:] if name))
    return None


def fetched(url: str) -> Path:
    """Where a URL was downloaded to.

    Args:
        url: of a file or folder, or of something in an archive: `https://example.org/photos.zip/labels.csv`.

    Returns:
        The path in the cache; it leads into the archive where the server has nothing else at that URL.

    Raises:
        DataError: nothing is there, or it cannot be reached.
    """
    try:
        return downloaded(url)
    except DataError:
        if (leads := url_in_archive(url)) is None:
            raise
    archive = downloaded(leads[0])
    return archive / leads[1]


def archived(path: Path) -> bool:
    """Whether a path is an archive, or leads into one."""
    return (is_archive(path) and is_file(path)) or (not exists(path) and in_archive(path) is not None)


def opened(place: str, path: Path) -> tuple[Path, str]:
    """The files that a place means.

    Args:
        place: what the user wrote, a URL or a path.
        path: the same as `local` has it, or where a URL was downloaded to.

    Returns:
        A path of this machine: that of the user, or one in the cache; and the part of it that stands for `place` where
        it is in the cache, else "".

    Raises:
        DataError: it cannot be extracted.
    """
    refuse_unread(path)
    if not exists(path) and (leads := in_archive(path)) is not None:
        folder = extracted(leads[0])
        found = (folder / leads[1]).resolve()
        return (found, str(found)) if found.is_relative_to(folder.resolve()) else (path, "")
    if is_archive(path) and is_file(path):
        folder = extracted(path)
        return folder, str(folder)
    return path, str(path) if is_url(place) else ""


def naming(function: Callable[[], A], within: str, place: str) -> A:
    """Call a function, and name a place in the cache as the user does in its errors."""
    try:
        return function()
    except ClearsightError as error:
        if not within:
            raise

        names = [(within, place)]
        if leads := in_archive(local(place)):
            names.append((within.removesuffix(f"/{leads[1]}"), str(leads[0])))

        def renamed(text: Any) -> Any:
            for one, other in names:
                text = text if text is None else str(text).replace(one, other)
            return text

        raise type(error)(
            renamed(error.happened), found=renamed(error.found), expected=renamed(error.expected),
            fix=renamed(error.fix),
        ) from error  # fmt: skip
