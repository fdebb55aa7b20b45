"""All images of a source one after another, without labels, in memory that does not grow with their number.

    a folder, a pattern          image files in the order of their paths; or the shards in the folder
    .tar, .tar.gz, ...           members in their order; those of a plain tar file are read from where they lie
    .zip                         members in their order
    .parquet, .arrow             rows in their order: images as bytes, or paths
    .csv, .tsv, .jsonl           rows in their order: paths or URLs
    a URL of any of these        read as it arrives; tables are downloaded
    everything else              as `read.find` reads it, as a whole

Nothing is extracted. The same source gives the same images in the same order, on which resuming relies.
"""

from __future__ import annotations

import csv
import glob
import itertools
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from clearsight.data.dataset import printable
from clearsight.data.decode import EXTENSIONS
from clearsight.data.files import left_aside, named_as_image
from clearsight.data.sources.archive import Info, is_archive, readable, refuse_unread
from clearsight.data.sources.builtin import BUILTIN
from clearsight.data.sources.contained import images_in
from clearsight.data.sources.delimited import SEPARATORS
from clearsight.data.sources.folder_walk import survey, walked
from clearsight.data.sources.parquet import ENDINGS as PARQUET
from clearsight.data.sources.parquet import rows_of_images
from clearsight.data.sources.places import exists, is_file, local
from clearsight.data.sources.read import PREFIX, find
from clearsight.data.sources.remote import downloaded, is_url, opened_url, unreachable, without_query
from clearsight.data.sources.selection import Selection, selected
from clearsight.data.sources.stream_items import (
    BytesItem,
    FileItem,
    Item,
    RemoteItem,
    SliceItem,
    SourceItem,
    UnreadItem,
    ZipItem,
)
from clearsight.data.sources.table_columns import by_name, image_column
from clearsight.data.sources.table_paths import below, named_path
from clearsight.data.sources.webdataset import is_tar, shards_of
from clearsight.errors import ClearsightError, DataError, ImageError
from clearsight.json_values import from_json
from clearsight.wording import count

Items = Iterator[Item]


@dataclass(frozen=True)
class ImageStream:
    """The images of a source. origin: what the user asked for, with absolute paths. items: begins to read. total: their
    number, None where it is not known before reading. notes: on what is left out.
    """

    origin: str
    items: Callable[[], Items]
    total: int | None = None
    notes: tuple[str, ...] = ()


def stream(data: str) -> ImageStream:
    """The images of a source.

    Args:
        data: a path, a pattern or a URL, perhaps with a selection such as `#image=COLUMN`; or a built-in name.

    Returns:
        The stream. What cannot be read of a source that can be opened is an item that says why.

    Raises:
        DataError: there is no such source, or it contains no images.
    """
    place, selection = selected(data)
    if is_url(place):
        return _remote(place, selection)
    path = local(place)
    if place.removeprefix(PREFIX) in BUILTIN and not exists(path):
        return _whole(data)
    refuse_unread(path)
    origin = selection.of(str(path.absolute()))
    if path.is_dir():
        return _folder(path, place, origin, selection)
    if is_file(path):
        return _file(path, place, origin, selection, data)
    if shards := shards_of(place, path):
        return _shards(shards, [str(shard) for shard in shards], origin, selection)
    if glob.has_magic(place):
        names = sorted(name for name in glob.iglob(str(path), recursive=True) if is_file(Path(name)))  # noqa: PTH207
        if not names:
            raise DataError(f"no file matches the pattern {printable(place)}", fix="check the folder and the suffix")
        return _shards([Path(name) for name in names], names, origin, selection)
    if (found := images_in(data)) is not None:  # inside an archive
        pairs = list(zip(*found, strict=True))
        return ImageStream(origin, lambda: (FileItem(name, str(item)) for item, name in pairs), len(pairs))
    raise DataError(f"{printable(place)} does not exist", fix="check the path")


def chained(data: Sequence[str]) -> ImageStream:
    """The images of several sources, one after another.

    Args:
        data: as for `stream`.

    Returns:
        The stream.

    Raises:
        DataError: as for `stream`.
    """
    found = [stream(one) for one in data]
    totals = [one.total for one in found]
    total = None if None in totals else sum(n for n in totals if n is not None)
    notes = tuple(note for one in found for note in one.notes)
    origin = " ".join(one.origin for one in found)
    return ImageStream(origin, lambda: itertools.chain.from_iterable(one.items() for one in found), total, notes)


def _whole(data: str) -> ImageStream:
    """A source that is listed as a whole, with its labels."""
    source = find(data).source
    return ImageStream(data, lambda: (SourceItem(source, i) for i in range(len(source))), len(source))


def _folder(path: Path, place: str, origin: str, selection: Selection) -> ImageStream:
    """The images in a folder and below; where there are none, its shards."""
    found = survey(path, named_as_image, lambda name: is_archive(name) or name.lower().endswith(PARQUET))
    if not found.images and not found.others:
        raise DataError(f"{printable(place)} contains no images", expected="files ending in .jpg, .png or similar")
    if not found.images:
        shards = [Path(name) for name in sorted(found.others) if not Path(name).name.startswith("cache-")]
        return _shards(shards, [str(shard) for shard in shards], origin, selection)
    selection.only(place, "label", "format")
    notes: tuple[str, ...] = ()
    if found.others:
        notes = (f"left out {count(len(found.others), 'file')} that may hold images, such as {found.others[0]}; "
                 "for these, pass them or a pattern",)  # fmt: skip
    return ImageStream(origin, lambda: _walk(path), found.images, notes)


def _walk(path: Path) -> Items:
    for name, error in walked(str(path), named_as_image):
        yield UnreadItem(printable(name), error) if error else FileItem(printable(name), name)


def _file(path: Path, place: str, origin: str, selection: Selection, data: str) -> ImageStream:
    suffix = path.suffix.lower()
    if named_as_image(path):
        return ImageStream(origin, lambda: iter([FileItem(printable(place), str(path))]), 1)
    if is_archive(path) or suffix in PARQUET:
        return _shards([path], [place], origin, selection)
    if suffix in (".csv", ".tsv", ".jsonl"):
        return ImageStream(origin, lambda: _table(path, place, selection, ""), _rows(path))
    return _whole(data)


def _shards(paths: Sequence[Path], names: Sequence[str], origin: str, selection: Selection) -> ImageStream:
    """Archives, Parquet files and image files, one after another."""
    if len(paths) == 1:  # all there is: what is wrong with it is an error, not a row
        first = _of_file(paths[0], names[0], selection)
        head = list(itertools.islice((item for item in first), 1))
        if not head:
            raise DataError(f"{printable(names[0])} contains no images", expected="images of the usual formats")
        if isinstance(head[0], UnreadItem):
            raise DataError(f"{printable(names[0])} cannot be read", found=head[0].why)

    def items() -> Items:
        for path, name in zip(paths, names, strict=True):
            yield from _of_file(path, name, selection)

    totals = [_images_in(path) for path in paths]
    return ImageStream(origin, items, None if None in totals else sum(n for n in totals if n is not None))


def _of_file(path: Path, name: str, selection: Selection) -> Items:
    """The images of a file that may hold many. Where it is damaged, the last item says so."""
    try:
        if is_tar(path):
            yield from _tar(path, name)
        elif is_archive(path):
            yield from _zip(path, name)
        elif path.suffix.lower() in PARQUET:
            yield from _parquet(path, name, selection)
        else:
            yield FileItem(printable(name), str(path))
    except (DataError, OSError) as error:
        yield UnreadItem(f"the rest of {printable(name)}", _reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, ClearsightError):
        return f"{error.happened}: {error.found}" if error.found else error.happened
    return str(getattr(error, "strerror", None) or error)


def _images_in(path: Path) -> int | None:
    """The number of images in a file, where that is quickly known; a damaged one has an item that says so too."""
    try:
        if is_tar(path):
            return sum(1 for _ in _tar(path, "")) if _is_plain(path) else None
        if is_archive(path):
            return sum(1 for _ in _zip(path, ""))
        if path.suffix.lower() in (".parquet", ".pq"):
            import pyarrow.parquet as pq

            return int(pq.read_metadata(path).num_rows)
    except (DataError, OSError, ValueError):
        return None
    return None if path.suffix.lower() in PARQUET else 1


def _is_plain(path: Path) -> bool:
    return path.suffix.lower() == ".tar" and tarfile.is_tarfile(path) and not _compressed(path)


def _compressed(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"))


def _tar(path: Path, name: str) -> Items:
    """The images of a tar file: places in a plain one, the content of those in a compressed one."""
    plain = path.suffix.lower() == ".tar" and not _compressed(path)
    with readable(path), tarfile.open(path, "r:" if plain else "r|*", tarinfo=Info) as archive:
        yield from _members(archive, name, str(path) if plain else None)


def _members(archive: tarfile.TarFile, name: str, path: str | None) -> Items:
    """The images of an open tar file, in `path` where each can be read from there."""
    for info in archive:
        if info.isdir() or not _is_image(info.name):
            continue
        called = printable(f"{name}/{info.name.removeprefix('./')}")
        if not info.isreg():
            yield UnreadItem(called, "a link or a device in an archive")
        elif path is not None:
            yield SliceItem(called, path, info.offset_data, info.size)
        else:
            stream = archive.extractfile(info)
            assert stream is not None
            yield BytesItem(called, stream.read())
        archive.members = []  # type: ignore[attr-defined]  # which would grow with the archive


def _zip(path: Path, name: str) -> Items:
    with readable(path), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir() and _is_image(info.filename):
                yield ZipItem(printable(f"{name}/{info.filename}"), str(path), info.filename)


def _is_image(name: str) -> bool:
    parts = name.split("/")
    return Path(parts[-1]).suffix.lower() in EXTENSIONS and not any(map(left_aside, (p for p in parts if p != ".")))


def _parquet(path: Path, name: str, selection: Selection) -> Items:
    for row, (content, text) in enumerate(rows_of_images(path, selection)):
        if content is not None:
            yield BytesItem(printable(text or f"{name}#{row}"), content)
        else:
            yield _named(text, path.parent, "", f"{name}#{row}")


def _named(text: str, root: Path, base: str, where: str) -> Item:
    """The image that a cell of a table names. base: URL of the folder of a table from elsewhere."""
    if not text:
        return UnreadItem(where, "an empty cell")
    text = below(base, text) if base else text
    if is_url(text):
        return RemoteItem(printable(without_query(text)), text)
    if base:
        return UnreadItem(printable(text), "a table from a URL names a file of this machine")
    return FileItem(printable(text), str(named_path(text, root)), str(root))


def _rows(path: Path) -> int | None:
    """About the number of rows of a table: its lines."""
    lines = 0
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            lines += chunk.count(b"\n")
    return lines or None


def _table(path: Path, name: str, selection: Selection, base: str) -> Items:
    """The images that a table names, row by row; a row that repeats the image of the one before is passed over."""
    selection.only(name, "image", "label")
    rows = _objects(path) if path.suffix.lower() == ".jsonl" else _cells(path)
    before = None
    try:
        header = next(rows)[1]
        column = _column_of(header, selection, name)
        for line, row in rows:
            if len(row) <= column:
                yield UnreadItem(f"line {line} of {name}", f"{len(row)} fields where the header has {len(header)}")
            elif not row[column] or row[column] != before:
                before = row[column]
                yield _named(before.strip(), path.parent, base, f"line {line} of {name}")
    except (csv.Error, UnicodeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        yield UnreadItem(f"the rest of {name}", str(error)[:160])
    except StopIteration:
        raise DataError(f"{name} lists no images", found="an empty file") from None


def _column_of(header: Sequence[str], selection: Selection, name: str) -> int:
    import pandas as pd

    frame = pd.DataFrame([], columns=list(header))
    found = image_column(frame, by_name(frame, name), selection, name)
    if found is None:
        raise DataError(
            f"{name} has no column of images", found=", ".join(header), expected="a column such as image_path",
            fix=f"select one: `{Selection(image='COLUMN').of(name)}`",
        )  # fmt: skip
    return found


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row of a table, the header first."""
    with path.open(encoding=_encoding(path), newline="") as stream:
        first = stream.readline()
        stated = re.match(r"\"?sep=(.)\"?\r?\n", first)
        header = stream.readline() if stated else first
        separator = stated[1] if stated else next((s for s in SEPARATORS if s in header), ",")
        reader = csv.reader(itertools.chain([header], stream), delimiter=separator, strict=True)
        for row in reader:
            if row:
                yield reader.line_num + bool(stated), row


def _encoding(path: Path) -> str:
    """How a table is encoded, by the rule of `delimited`: UTF-16 with its mark, UTF-8, or else Windows-1252."""
    with path.open("rb") as stream:
        if stream.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return "utf-16"
    try:
        with path.open(encoding="utf-8-sig") as stream:
            while stream.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _objects(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and values of each object, in the order of the keys of the first, which come first."""
    keys: list[str] = []
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            row = from_json(line)
            if not isinstance(row, dict):
                raise ValueError(f"no JSON object in line {number}")
            if not keys:
                keys = list(row)
                yield 0, keys
            yield number, ["" if row.get(key) is None else str(row[key]) for key in keys]


def _remote(url: str, selection: Selection) -> ImageStream:
    """The images at a URL."""
    shown, ending = without_query(url), Path(urlsplit(url).path).suffix.lower()
    refuse_unread(Path(urlsplit(url).path))
    if ending in (".csv", ".tsv", ".jsonl"):
        path, base = downloaded(url), url.rpartition("/")[0]
        return ImageStream(selection.of(shown), lambda: _table(path, shown, selection, base), _rows(path))
    system, path_there = opened_url(url)
    try:
        kind = system.info(path_there).get("type")
    except Exception as error:  # of any protocol's library
        raise unreachable(url, error) from error
    if ending in EXTENSIONS and kind != "directory":
        return ImageStream(shown, lambda: iter([RemoteItem(shown, url)]), 1)
    if kind == "directory":
        return _remote_folder(system, path_there, url, selection)
    return ImageStream(selection.of(shown), lambda: _remote_file(system, path_there, shown, selection))


def _remote_folder(system: Any, path: str, url: str, selection: Selection) -> ImageStream:
    def files() -> Iterator[str]:
        for folder, folders, names in system.walk(path, on_error="raise"):
            folders = folders if isinstance(folders, dict) else {}
            for name in sorted(names):
                yield f"{folder.rstrip('/')}/{name}"

    def items() -> Items:
        for file in files():
            place = system.unstrip_protocol(file)
            if _is_image(file.removeprefix(path)):
                yield RemoteItem(printable(without_query(place)), place)
            elif is_archive(file) or file.lower().endswith(PARQUET):
                yield from _remote_file(system, file, without_query(place), selection)

    if next(items(), None) is None:
        raise DataError(f"{without_query(url)} contains no images", expected="image files, archives or Parquet files")
    return ImageStream(selection.of(without_query(url)), items)


def _remote_file(system: Any, path: str, shown: str, selection: Selection) -> Items:
    """The images of an archive or Parquet file on another machine, read as it arrives. A connection that breaks is an
    error, not a row: the images after it are still there.
    """
    try:
        stream: IO[bytes] = system.open(path, "rb")
        with stream:
            if is_archive(path) and not path.lower().endswith(".zip"):
                with tarfile.open(fileobj=stream, mode="r|*", tarinfo=Info) as archive:
                    yield from _members(archive, shown, None)
            elif is_archive(path):
                with zipfile.ZipFile(stream) as packed:
                    for info in packed.infolist():
                        if not info.is_dir() and _is_image(info.filename):
                            yield BytesItem(printable(f"{shown}/{info.filename}"), packed.read(info))
            elif path.lower().endswith(PARQUET):
                for row, (content, text) in enumerate(rows_of_images(Path(path), selection, stream)):
                    name = f"{shown}#{row}"
                    if content is None:
                        yield _named(text, Path(), shown.rpartition("/")[0], name)
                    else:
                        yield BytesItem(printable(text or name), content)
            else:
                raise DataError(
                    f"{shown} contains no images", found=f"a file ending in {Path(path).suffix or 'nothing'}",
                    expected="an image, a folder, an archive, a table or a Parquet file",
                )  # fmt: skip
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        yield UnreadItem(f"the rest of {shown}", str(error)[:160])
    except (DataError, ImageError):
        raise
    except Exception as error:  # of any protocol's library
        raise unreachable(shown, error) from error
