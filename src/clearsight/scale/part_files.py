"""Files of rows, written row by row under another name and renamed when complete: Parquet, JSON Lines or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from clearsight.disk import disk_errors, whole_file
from clearsight.errors import ConfigError
from clearsight.json_values import json_values, to_json
from clearsight.scale.rows import ERROR, IMAGE, Row

Write = Callable[[Sequence[Row]], None]
"""Adds rows to a file."""

GROUP = 1024
"""Rows of a group in a Parquet file, which are in memory together."""

FORMATS = {"parquet": ".parquet", "jsonl": ".jsonl", "csv": ".csv"}
"""Formats and their suffixes."""


def columns_of(example: Row) -> list[str]:
    """The columns of a file: those of an example, with the name of the image first and the error last."""
    return [IMAGE, *(name for name in example if name not in (IMAGE, ERROR)), ERROR]


def check_format(name: str) -> None:
    """Raise ConfigError for a format that cannot be written."""
    if name not in FORMATS:
        raise ConfigError(f"unknown format {name!r}", expected=", ".join(FORMATS))
    if name == "parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                "Parquet files cannot be written without pyarrow",
                fix="install the extra with `pip install 'clearsight[parquet]'`, or use --format jsonl",
            ) from error


@contextmanager
def part_file(path: Path, format: str, example: Row) -> Iterator[Write]:
    """A file whose rows have the columns of an example; it is there once the block ends without an error.

    Raises:
        OutputError: the disk refuses.
    """
    advice = "free some space, then repeat the command with --resume"
    with (
        disk_errors(path, "the results", advice),
        whole_file(path) as stream,
        _WRITERS[format](stream, example) as write,
    ):
        yield write


@contextmanager
def _parquet(stream: BinaryIO, example: Row) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = arrow_schema(example)
    pending: list[Row] = []
    with pq.ParquetWriter(pa.PythonFile(stream), schema, compression="zstd") as writer:

        def write(rows: Sequence[Row]) -> None:
            pending.extend(rows)
            if len(pending) >= GROUP:
                flush()

        def flush() -> None:
            writer.write_table(arrow_table(pending, schema))
            pending.clear()

        yield write
        if pending:
            flush()


def arrow_table(rows: Sequence[Row], schema: Any) -> Any:
    """Rows as a table of Arrow."""
    import pyarrow as pa

    return pa.table([pa.array([row.get(name) for row in rows], schema.field(name).type) for name in schema.names],
                    schema=schema)  # fmt: skip


def arrow_schema(example: Row) -> Any:
    """The types of the columns, by an example of a row; a field that this model leaves empty has the type null."""
    import pyarrow as pa

    kinds = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64(), type(None): pa.null()}

    def kind(name: str) -> Any:
        value = example.get(name)
        if name == ERROR:
            return pa.string()
        if isinstance(value, np.ndarray):
            return pa.list_(pa.from_numpy_dtype(value.dtype), len(value))
        return pa.list_(pa.string()) if isinstance(value, list) else kinds[type(value)]

    return pa.schema([(name, kind(name)) for name in columns_of(example)])


@contextmanager
def _jsonl(stream: BinaryIO, example: Row) -> Iterator[Write]:
    columns = columns_of(example)

    def write(rows: Sequence[Row]) -> None:
        for row in rows:
            stream.write(to_json({name: row.get(name) for name in columns}, indent=None).encode() + b"\n")

    yield write


@contextmanager
def _csv(stream: BinaryIO, example: Row) -> Iterator[Write]:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    writer = csv.DictWriter(text, [key for key, _ in _cells(example, example)], lineterminator="\n")
    writer.writeheader()

    def write(rows: Sequence[Row]) -> None:
        writer.writerows(dict(_cells(row, example)) for row in rows)

    try:
        yield write
    finally:
        text.detach()


def _cells(row: Row, example: Row) -> Iterator[tuple[str, Any]]:
    """The cells of a row: lists of texts with | between them, a column for each number of an array."""
    for name in columns_of(example):
        value, like = row.get(name), example.get(name)
        if isinstance(like, np.ndarray):
            for i in range(len(like)):
                yield f"{name}_{i}", "" if value is None else value[i]
        else:
            yield name, "|".join(map(str, value)) if isinstance(value, list) else json_values(value)


_WRITERS = {"parquet": _parquet, "jsonl": _jsonl, "csv": _csv}
