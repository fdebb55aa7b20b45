"""Zip and tar archives, extracted into the cache once, as archives from others are to be: nothing in them is trusted.

Only regular files are extracted. An archive with a link, a device, a path that leads out of it, two files of one name,
an encrypted file, or far more content than its size allows is refused as a whole. What systems leave in archives
(`files.left_aside`) is passed over.
"""

from __future__ import annotations

import contextlib
import errno
import lzma
import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Self

from clearsight.data.cache import cache_limit, entry, file_key
from clearsight.data.files import left_aside
from clearsight.errors import ClearsightError, DataError

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""Of archives that are read."""

UNREAD = (".7z", ".rar", ".tar.zst", ".tar.lz4")
"""Of archives that are not."""

RATIO = 100
"""Times its size that an archive may hold. Images hardly compress; files of zeros compress a thousand times."""

ALLOWED = 1 << 30
"""Bytes that any archive may hold."""

MEMBERS = 5_000_000
"""Files that an archive may hold."""

EXTENDED = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
"""Headers of a tar archive that may have any size."""

LARGEST_HEADER = 1 << 20
"""Bytes of such a header."""

CHUNK = 1 << 20
KIND = "extracted"
"""Of the cache's entries."""

DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, LookupError, NotImplementedError,
    OverflowError, ValueError, struct.error,
)  # fmt: skip
"""What the libraries raise for archives that are no longer whole."""

Member = tuple[str, "IO[bytes]"]


class Info(tarfile.TarInfo):
    """A file in a tar archive. tarfile takes a damaged header for the end of the archive, and loses the rest."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.type in EXTENDED and info.size > LARGEST_HEADER:  # which tarfile reads into memory
            raise tarfile.ReadError(f"a file header of {info.size:,} bytes")
        if info.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError(f"a sparse file: {info.name[:120]!r}")
        return info

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if type(error).__name__ in ("TruncatedHeaderError", "InvalidHeaderError"):  # not the end's own marks
                raise tarfile.ReadError(f"a damaged file header: {error}") from error
            raise


def is_archive(path: str | Path) -> bool:
    """Whether a path is that of an archive, by its ending."""
    return str(path).lower().endswith(ENDINGS)


def refuse_unread(path: Path) -> None:
    """DataError for an archive of a kind that is not read."""
    if str(path).lower().endswith(UNREAD):
        raise DataError(
            f"{path} cannot be read", found=f"an archive ending in {path.suffix}", expected=", ".join(ENDINGS),
            fix="unpack it, and pass the folder",
        )  # fmt: skip


def extracted(path: Path) -> Path:
    """The folder in the cache with the files of an archive.

    Args:
        path: the archive. It is extracted again when its path, size or time changes.

    Returns:
        The folder.

    Raises:
        DataError: the archive cannot be read, or is refused.
        OutputError: the cache cannot be written.
    """
    packed = path.stat().st_size
    zipped = zipfile.is_zipfile(path) and not str(path).lower().endswith(ENDINGS[1:])

    def build(folder: Path) -> None:
        content = folder / "content"
        content.mkdir()
        with readable(path), _zip(path) if zipped else _tar(path) as members:
            size = _extract(path, members, content, max(ALLOWED, RATIO * packed))
        (folder / "size").write_text(str(size))

    return entry(KIND, file_key(path), build, packed) / "content"


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the libraries raise for a damaged archive into one DataError."""
    try:
        yield
    except ClearsightError:
        raise
    except DAMAGED as error:
        raise DataError(
            f"the archive {path} cannot be read", found=str(error)[:160] or type(error).__name__,
            expected="a complete zip or tar archive", fix="download or pack it again",
        ) from error  # fmt: skip
    except RuntimeError as error:  # zipfile, for a password
        raise DataError(f"the archive {path} cannot be read", found=str(error)[:160]) from error
    except OSError as error:
        if error.errno is not None:  # of the disk, not of the compression
            raise
        raise DataError(f"the archive {path} cannot be read", found=str(error)[:160]) from error


@contextlib.contextmanager
def _zip(path: Path) -> Iterator[Iterable[Member]]:
    """The files of a zip archive. Names without a mark are UTF-8, as macOS writes them, or else code page 437."""
    try:
        archive = zipfile.ZipFile(path, metadata_encoding="utf-8")
    except UnicodeDecodeError:
        archive = zipfile.ZipFile(path)
    with archive:

        def members() -> Iterator[Member]:
            for info in archive.infolist():
                kind = info.external_attr >> 28  # of Unix: 4 a folder, 8 a file, 10 a link
                if kind not in (0, 4, 8):
                    raise _refused(path, "a link or a device", info.filename)
                if not info.is_dir() and not _passed(info.filename):
                    with archive.open(info) as stream:
                        yield info.filename, stream

        yield members()


@contextlib.contextmanager
def _tar(path: Path) -> Iterator[Iterable[Member]]:
    """The files of a tar archive, compressed or not."""
    with tarfile.open(path, "r|*", tarinfo=Info) as archive:  # in one pass

        def members() -> Iterator[Member]:
            for info in archive:
                if info.isdir() or _passed(info.name):
                    continue
                stream = archive.extractfile(info) if info.isreg() else None
                if stream is None:
                    raise _refused(path, "a link or a device", info.name)
                yield info.name, stream
                archive.members = []  # type: ignore[attr-defined]  # which would grow with the archive

        yield members()


def _extract(path: Path, members: Iterable[Member], folder: Path, allowed: int) -> int:
    """Write files below a folder; the number of bytes."""
    total, made, seen = 0, {folder}, set()
    for number, (name, stream) in enumerate(members):
        if number >= MEMBERS:
            raise _refused(path, f"more than {MEMBERS:,} files", name)
        inner = member_path(name)
        if inner is None:
            raise _refused(path, "a path that leads out of the archive", name)
        target = folder / inner
        if inner in seen or os.path.isdir(target):  # noqa: PTH112 - False for names too long
            raise _refused(path, "two files of the same name", name)
        seen.add(inner)
        try:
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            with target.open("xb") as output:
                while chunk := stream.read(CHUNK):
                    total += len(chunk)
                    if total > allowed or total > cache_limit():
                        raise _too_large(path, total, allowed)
                    output.write(chunk)
        except (FileExistsError, NotADirectoryError) as error:
            raise _refused(path, "a file with the name of a folder", name) from error
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise _refused(path, f"a path of {len(name):,} characters", name) from error
    return total


def member_path(name: str) -> str | None:
    """The path of a file in an archive below the folder it is extracted to; None for one that leads out of it.

    Example:
        >>> member_path("./cat/1.png"), member_path("../1.png"), member_path("/etc/1.png")
        ('cat/1.png', None, None)
    """
    text = name.replace("\\", "/")  # of Windows
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or text.startswith("/") or "\0" in text or re.match(r"[A-Za-z]:", text):
        return None
    if any(len(part.encode("utf-8", "surrogateescape")) > 255 for part in parts):
        return None
    return "/".join(parts)


def _passed(name: str) -> bool:
    return any(left_aside(part) for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def _refused(path: Path, what: str, name: str) -> DataError:
    return DataError(
        f"the archive {path} is refused", found=f"{what}: {name[:120]!r}",
        expected="an archive of regular files, each with a name of its own below the archive's root",
        fix="if you trust it, unpack it and pass the folder",
    )  # fmt: skip


def _too_large(path: Path, total: int, allowed: int) -> DataError:
    limit = cache_limit()
    if total > limit:
        return DataError(
            f"the archive {path} is too large for the cache", found=f"more than {limit / 1e9:.0f} GB of files",
            fix="set CLEARSIGHT_CACHE_GB to a larger number, or unpack it and pass the folder",
        )  # fmt: skip
    return DataError(
        f"the archive {path} is refused", found=f"more than {allowed / 1e9:.1f} GB of files",
        expected=f"at most {RATIO} times the size of the archive",
        fix="if you trust it, unpack it and pass the folder",
    )  # fmt: skip
