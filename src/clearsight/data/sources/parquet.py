"""Parquet and Arrow files of images: in a column of bytes, as Hugging Face's `datasets` write them, or as paths.

    data/train-00000-of-00002.parquet    shards; the splits are in their names
    train/data-00000-of-00001.arrow      what `save_to_disk` writes
    images.parquet                       one table; columns as those of a CSV

The type of a column (`Image`, `ClassLabel`) is in the metadata that `datasets` add. Bytes of images are copied into one
file of the cache, in batches, so that an image can be read on its own.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from clearsight.data.cache import entry, file_key
from clearsight.data.dataset import Listing, printable
from clearsight.data.files import files_below
from clearsight.data.packed import Packed
from clearsight.data.sources.archive import ALLOWED, RATIO
from clearsight.data.sources.selection import Selection
from clearsight.data.sources.split_names import splits_of
from clearsight.data.sources.table import read_frame
from clearsight.data.sources.table_columns import ABOUT, IMAGE, LABEL, choices
from clearsight.errors import DataError
from clearsight.json_values import from_json
from clearsight.wording import count

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

ENDINGS = (".parquet", ".pq", ".arrow", ".feather")
BATCH = 64
"""Rows of images in memory at once."""

ANY = "*"
"""In place of a column of labels where none is needed."""

KIND = "extracted"
"""Of the cache's entries."""


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are. image: the column of images. stored: whether it holds bytes, in a field of a
    struct or alone; else paths. classes: names of the classes by column. label: the column of labels, "" if its name
    is to say. others: columns to read beside the images.
    """

    image: str
    stored: bool
    classes: dict[str, list[str]]
    label: str
    others: list[str]


def read_parquet(path: Path, selection: Selection | None = None, base: str = "") -> Listing:
    """The images of a Parquet or Arrow file. base: URL of the file's folder; "" for one on this machine."""
    return _read([path], path.parent, path.stem, str(path.resolve()), selection or Selection(), base)


def shards_in(folder: Path) -> list[Path]:
    """The Parquet and Arrow files in a folder and below, without the caches that `datasets` leave there."""
    found = [file for file in files_below(folder) if file.suffix.lower() in ENDINGS]
    return sorted(file for file in found if not file.name.startswith("cache-"))


def read_shards(folder: Path, files: Sequence[Path], selection: Selection | None = None) -> Listing:
    """The images of the Parquet and Arrow files of a folder, which are one table."""
    return _read(files, folder, folder.resolve().name, str(folder.resolve()), selection or Selection())


def _read(files: Sequence[Path], root: Path, name: str, origin: str, selection: Selection, base: str = "") -> Listing:
    import pandas as pd

    selection.only(origin, "label", "image")
    columns = _columns(files[0], _schema(files[0]), selection, origin)
    frames, parts = [], []
    for file, split in zip(files, splits_of(files, root), strict=True):
        own = _columns(file, _schema(file), selection, origin)
        if (own.image, own.stored, own.classes) != (columns.image, columns.stored, columns.classes):
            raise DataError(
                f"the files of {origin} have different columns", found=f"{files[0].name} and {file.name}",
                expected="the same columns and classes in every file",
            )  # fmt: skip
        frame = _frame(file, own)
        if split and "split" not in frame.columns:
            frame["split"] = split
        if len(files) > 1:
            frame.index = pd.Index([f"{i} of {file.name}" for i in frame.index])
        frames.append(frame)
        if columns.stored:
            parts.append(_images(file, own))
    whole = frames[0] if len(frames) == 1 else pd.concat(frames)
    label = selection.label or columns.label
    chosen = Selection(label=label, image="" if columns.stored else columns.image)
    images = _packed(parts, root) if columns.stored else None
    return read_frame(whole, root=root, name=name, origin=origin, selection=chosen, images=images, base=base)


def shard_images(files: Sequence[Path], root: Path, origin: str, selection: Selection) -> Packed:
    """The images of Parquet and Arrow files, whatever else is in them; DataError where these are paths."""
    parts = []
    for file in files:
        columns = _columns(file, _schema(file), Selection(selection.label or ANY, selection.image), origin)
        if not columns.stored:
            raise DataError(
                f"{origin} contains paths of images", found=f"the column {columns.image!r}",
                expected="a column of image files as bytes", fix="pass the images themselves",
            )  # fmt: skip
        parts.append(_images(file, columns))
    return _packed(parts, root)


def rows_of_images(
    path: Path, selection: Selection, stream: IO[bytes] | None = None
) -> Iterator[tuple[bytes | None, str]]:
    """The images of a Parquet or Arrow file, row by row.

    Args:
        path: of the file.
        selection: the column of images that the user chose.
        stream: content of the file, where it is on another machine.

    Yields:
        The content and the name that is stated of it, or None and a path.

    Raises:
        DataError: the file cannot be read.
    """
    file: Any = path if stream is None else _Elsewhere(path, stream)
    columns = _columns(path, _schema(file), Selection(selection.label or ANY, selection.image), str(path))
    for batch in _batches(file, [columns.image]):
        for value in _values(batch.column(0), columns.image, path):
            if not columns.stored:
                yield None, "" if value is None else str(value)
            elif isinstance(value, dict):
                yield value.get("bytes") or b"", str(value.get("path") or "")
            else:
                yield value or b"", ""


@dataclass(frozen=True)
class _Elsewhere:
    """A file on another machine: the part of `Path` that reading needs."""

    path: Path
    stream: IO[bytes]

    @property
    def suffix(self) -> str:
        return self.path.suffix

    def __str__(self) -> str:
        return str(self.path)


def _opened(path: Any) -> Any:
    """What pyarrow opens for a file here or elsewhere."""
    import pyarrow as pa

    if isinstance(path, _Elsewhere):
        path.stream.seek(0)
        return contextlib.nullcontext(pa.PythonFile(path.stream, mode="r"))  # not closed: it is read again
    whole = path.suffix.lower() in (".parquet", ".pq")  # whose pages are copied, so that a map gains nothing
    return pa.OSFile(str(path)) if whole else pa.memory_map(str(path))


def _schema(path: Path) -> pa.Schema:
    """The columns of a file, and what is stated about them; DataError where it is no such file."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DataError(
            f"{path} cannot be read without pyarrow", fix="install the extra with `pip install 'clearsight[parquet]'`"
        ) from error
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            with _opened(path) as source:
                schema = pq.read_schema(source)
        else:
            with _opened(path) as source:
                schema = _ipc(source).schema
        str(schema.names), schema.to_string()  # decodes the names, also of fields
        return schema
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as {'Parquet' if path.suffix.lower() in ('.parquet', '.pq') else 'Arrow'}",
            found=str(error)[:160],
        ) from error


def _ipc(source: Any) -> Any:
    """An Arrow file in either of its forms, with random access or as a stream."""
    import pyarrow as pa

    try:
        return pa.ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_stream(source)


def _batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows of some columns, a few at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            with _opened(path) as source, pq.ParquetFile(source) as file:
                yield from file.iter_batches(BATCH, columns=columns)
            return
        with _opened(path) as source:
            opened = _ipc(source)
            many = isinstance(opened, pa.RecordBatchFileReader)
            for batch in map(opened.get_batch, range(opened.num_record_batches)) if many else opened:
                for start in range(0, batch.num_rows, BATCH):
                    part = batch.select(columns).slice(start, BATCH)
                    part.validate(full=True)  # offsets of a damaged file lead anywhere in memory
                    yield part
    except (pa.ArrowException, ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read to its end", found=str(error)[:160]) from error


def _features(schema: pa.Schema) -> dict[str, Any]:
    """What `datasets` state about columns, by name."""
    try:
        found = from_json((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _columns(path: Path, schema: pa.Schema, selection: Selection, origin: str) -> Columns:
    """What the columns of a table are; DataError where it has several of images or of classes."""
    import pyarrow as pa

    features = _features(schema)

    def is_binary(kind: pa.DataType) -> bool:
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    def holds_bytes(kind: pa.DataType) -> bool:
        return is_binary(kind) or bool(
            pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 and is_binary(kind.field("bytes").type)
        )

    texts = {field.name for field in schema if is_binary(field.type) and _is_text(field.name, selection)}
    stored = [field.name for field in schema if holds_bytes(field.type) and field.name not in texts]
    if selection.image and selection.image not in schema.names:
        raise DataError(f"{origin} has no column {selection.image!r}", found=", ".join(schema.names))
    marked = [name for name in stored if dict(features.get(name) or {}).get("_type") == "Image"] or stored
    if not selection.image and len(marked) > 1:
        ways = "; ".join(f"for {name!r}, use {selection.command(origin, image=name)}" for name in marked[:4])
        raise DataError(f"{origin} has several columns of images", found=", ".join(marked), fix=ways)
    named = next((name for word in IMAGE for name in schema.names if name.lower() == word), "")
    image = selection.image or (marked[0] if marked else named)
    if not image:
        raise DataError(
            f"{path} has no column of images", found=", ".join(schema.names) or "no columns",
            expected=f"a column of image files as bytes, or of paths called {', '.join(IMAGE[:4])}, ...",
        )  # fmt: skip
    classes = {name: names for name in schema.names if (names := _class_names(features.get(name)))}
    label = ""
    if classes and not selection.label and "label" not in [name.lower() for name in schema.names]:
        if len(classes) > 1:
            raise DataError(
                f"{origin} has {count(len(classes), 'column')} of classes", found=", ".join(classes),
                expected="one label column", fix=choices(origin, list(classes), selection),
            )  # fmt: skip
        label = next(iter(classes))
    others = [
        field.name
        for field in schema
        if field.name in texts
        or (not holds_bytes(field.type) and not pa.types.is_struct(field.type) and not pa.types.is_map(field.type))
    ]
    return Columns(image, image in stored, classes, label, others)


def _is_text(name: str, selection: Selection) -> bool:
    """Whether a column of bytes holds words: it is called as columns of labels are, or was selected as such."""
    return name == selection.label or (name.strip().lower() in (*LABEL, *ABOUT) and name != selection.image)


def _class_names(feature: Any) -> list[str]:
    """The names of classes that a column holds the numbers of, or lists of numbers; none for other columns."""
    if isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    elif isinstance(feature, dict) and feature.get("_type") in ("Sequence", "List", "LargeList"):
        feature = feature.get("feature")
    names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
    return [str(name) for name in names] if isinstance(names, list) else []


def _frame(path: Path, columns: Columns) -> pd.DataFrame:
    """The rows without the images, with classes by their names."""
    import pandas as pd
    import pyarrow as pa

    batches = list(_batches(path, columns.others))
    table = pa.Table.from_batches(batches) if batches else pa.table({})
    frame = pd.DataFrame(
        {name: pd.Series(_values(table[name], name, path), dtype=object) for name in table.column_names}
    )
    for name, names in columns.classes.items():
        frame[name] = pd.Series([_named(value, names, name, path) for value in frame[name]], dtype=object)
    if columns.stored and not len(columns.others):
        frame.index = pd.RangeIndex(sum(batch.num_rows for batch in batches))
    return frame


def _values(column: pa.ChunkedArray | pa.Array, name: str, path: Path) -> list[Any]:
    """The cells of a column; DataError for texts that are not UTF-8, and times that no calendar has."""
    import pyarrow as pa

    try:
        return list(column.to_pylist())
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise DataError(f"the column {name!r} of {path} cannot be read", found=str(error)[:160]) from error


def _named(value: Any, names: list[str], column: str, path: Path) -> Any:
    """A number of a class, or a list of such, by name; None for one that is missing, which `datasets` write as -1."""
    if isinstance(value, list):
        return [_named(one, names, column, path) for one in value]
    if value is None or value == -1:
        return None
    if not isinstance(value, int) or not 0 <= value < len(names):
        raise DataError(
            f"a value in the column {column!r} of {path} is no class", found=repr(value)[:40],
            expected=f"0 to {len(names) - 1}",
        )  # fmt: skip
    return names[value]


@dataclass(frozen=True)
class Part:
    """The images of a file, copied into the cache: their place there, and their names, "" for none."""

    file: Path
    path: Path
    sizes: list[int]
    names: list[str]


def _images(path: Path, columns: Columns) -> Part:
    """Copy the images of a file into the cache."""

    def build(folder: Path) -> None:
        sizes, names = [], []
        total, allowed = 0, max(ALLOWED, RATIO * path.stat().st_size)
        with (folder / "images").open("wb") as output:
            for batch in _batches(path, [columns.image]):
                for value in _values(batch.column(0), columns.image, path):
                    content = value.get("bytes") if isinstance(value, dict) else value
                    total += len(content or b"")
                    if total > allowed:
                        raise DataError(
                            f"{path} is refused", found=f"more than {allowed / 1e9:.1f} GB of images",
                            expected=f"at most {RATIO} times the size of the file",
                        )  # fmt: skip
                    output.write(content or b"")
                    sizes.append(len(content or b""))
                    names.append(str(value.get("path") or "") if isinstance(value, dict) else "")
        (folder / "images.json").write_text(json.dumps({"sizes": sizes, "names": names}))

    folder = entry(KIND, file_key(path, columns.image), build, path.stat().st_size)
    about = json.loads((folder / "images.json").read_text())
    return Part(path, folder / "images", about["sizes"], about["names"])


def _packed(parts: Sequence[Part], root: Path) -> Packed:
    """The images of several files as one source."""
    sizes = [np.array(part.sizes, np.int64) for part in parts]
    starts = [np.cumsum(size) - size for size in sizes]
    stated = [name for part in parts for name in part.names]
    use = len(set(stated)) == len(stated) and all(stated)
    names = [
        printable(name) if use else f"{part.file.relative_to(root).as_posix()}#{row}"
        for part in parts
        for row, name in enumerate(part.names)
    ]
    return Packed(
        tuple(part.path for part in parts), np.repeat(np.arange(len(parts)), [len(size) for size in sizes]),
        np.concatenate(starts), np.concatenate(sizes), tuple(names),
    )  # fmt: skip


def plain_frame(path: Path) -> pd.DataFrame:
    """All columns of a Parquet file that holds no images, as a frame."""
    columns = Columns("", False, {}, "", list(_schema(path).names))
    return _frame(path, columns)
