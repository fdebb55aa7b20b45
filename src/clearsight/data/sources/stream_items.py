"""Images that are read one at a time, each from where it lies: the items of a stream.

An item is small and can be pickled, so another process can read it. Its content is read when it is needed.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from clearsight.data.dataset import Source
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat, Pixels, read_bytes
from clearsight.data.sources.archive import readable
from clearsight.data.sources.remote import LARGEST_IMAGE, opened_url, without_query
from clearsight.data.sources.table_paths import Spelled
from clearsight.errors import DataError, ImageError

A = TypeVar("A")

WAITS = (0.5, 2.0, 8.0)
"""Seconds before each further attempt to read from another machine."""


class Item(Protocol):
    """One image of a stream."""

    @property
    def name(self) -> str: ...

    def content(self) -> bytes | None:
        """The bytes of the image file; None for an image that is given as pixels.

        Raises:
            ImageError: it cannot be read.
        """

    def pixels(self, form: PixelFormat, geometry: Geometry) -> Pixels:
        """The pixels (C, H, W) of an image that is given as such."""


class FileContent:
    """Base of the items that are image files."""

    def pixels(self, form: PixelFormat, geometry: Geometry) -> Pixels:
        raise NotImplementedError  # `content` is never None


@dataclass(frozen=True)
class FileItem(FileContent):
    """An image file on this machine. root: folder of the table that names it, "" for none: names in tables are also
    found in other spellings.
    """

    name: str
    path: str
    root: str = ""

    def content(self) -> bytes:
        path = Path(self.path)
        if self.root and not path.is_file():
            spelled = Path(self.path.replace("\\", "/"))
            path = _spelled(self.root).file(spelled, Path(self.root)) or path
        return read_bytes(path)


@lru_cache(4)
def _spelled(root: str) -> Spelled:
    """What finds files in other spellings below a folder, whose listings it keeps."""
    return Spelled()


@dataclass(frozen=True)
class SliceItem(FileContent):
    """An image in a file that holds many: `size` bytes from `start`."""

    name: str
    path: str
    start: int
    size: int

    def content(self) -> bytes:
        _check_size(self.name, self.size)
        try:
            with Path(self.path).open("rb") as stream:
                stream.seek(self.start)
                found = stream.read(self.size)
        except OSError as error:
            raise ImageError(f"{self.name} cannot be read from {self.path}", found=error.strerror) from error
        if len(found) != self.size:
            raise ImageError(f"{self.name} cannot be read from {self.path}", found="a truncated file")
        return _not_empty(found, self.name)


@dataclass(frozen=True)
class ZipItem(FileContent):
    """A member of a zip archive on this machine."""

    name: str
    path: str
    member: str

    def content(self) -> bytes:
        try:
            with readable(Path(self.path)):
                archive = _zip(self.path)
                _check_size(self.name, archive.getinfo(self.member).file_size)
                return _not_empty(archive.read(self.member), self.name)
        except ImageError:
            raise
        except (DataError, KeyError, OSError) as error:
            raise ImageError(f"{self.name} cannot be read", found=getattr(error, "found", None) or error) from error


@lru_cache(4)
def _zip(path: str) -> zipfile.ZipFile:
    """An archive that stays open, since its list of members is read each time it is opened."""
    return zipfile.ZipFile(path)


@dataclass(frozen=True)
class BytesItem(FileContent):
    """An image file in memory."""

    name: str
    data: bytes

    def content(self) -> bytes:
        return _not_empty(self.data, self.name)


@dataclass(frozen=True)
class RemoteItem(FileContent):
    """An image file at a URL, which is read again when that fails for a moment."""

    name: str
    url: str

    def content(self) -> bytes:
        try:
            system, path = opened_url(self.url)
            found = persistent(lambda: system.cat_file(path))
        except DataError as error:
            raise ImageError(f"{self.name} cannot be read", found=error.found) from error
        except Exception as error:  # of any protocol's library
            found_ = "nothing there" if isinstance(error, FileNotFoundError) else str(error)
            found_ = found_.replace(self.url, without_query(self.url))[:160] or type(error).__name__
            raise ImageError(f"{self.name} cannot be read", found=found_) from error
        return _not_empty(bytes(found), self.name)


@dataclass(frozen=True)
class SourceItem:
    """An image of a source that is read as a whole, such as an array."""

    source: Source
    i: int

    @property
    def name(self) -> str:
        return self.source.name(self.i)

    def content(self) -> bytes | None:
        read: Any = getattr(self.source, "content", None)
        return None if read is None else read(self.i)

    def pixels(self, form: PixelFormat, geometry: Geometry) -> Pixels:
        return self.source.decode(self.i, form, geometry)


@dataclass(frozen=True)
class UnreadItem(FileContent):
    """What cannot be read, and why: the rest of a damaged archive, or a member that is no regular file."""

    name: str
    why: str

    def content(self) -> bytes:
        raise ImageError(f"{self.name} cannot be read", found=self.why)


def persistent(read: Callable[[], A]) -> A:
    """Read from another machine, again after a while where that fails; a file that is not there is not asked again."""
    for wait in WAITS:
        try:
            return read()
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # of any protocol's library
            if 400 <= (getattr(error, "status", None) or 0) < 500:
                raise
            time.sleep(wait)
    return read()


def _check_size(name: str, size: int) -> None:
    if size > LARGEST_IMAGE:
        raise ImageError(f"{name} is too large", found=f"{size / 1e9:.1f} GB", expected=f"{LARGEST_IMAGE / 1e9:.1f} GB")


def _not_empty(content: bytes, name: str) -> bytes:
    if not content:
        raise ImageError(f"{name} is empty", found="0 bytes", expected="an image")
    return content
