"""Predictions or features of any number of images, written to files in parts.

Memory does not grow with the number of images. A part is renamed when it is complete, so a process that is killed
loses the part that it was writing, and `resume` goes on with that one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearsight.arguments import at_least
from clearsight.console import Console, usual_console
from clearsight.data.sources.stream import ImageStream, chained
from clearsight.errors import DataError
from clearsight.result import Result
from clearsight.runs.load import ModelSource, predictor_of
from clearsight.scale.part_files import check_format, part_file
from clearsight.scale.record import Record, model_digest
from clearsight.scale.rows import ERROR, IMAGE, FeatureRows, PredictionRows, Row, Rows
from clearsight.scale.spans import Chunk, Work, computed, example, in_parts
from clearsight.tasks import PredictOptions
from clearsight.tasks.predict_options import check_coverage
from clearsight.wording import count

PART = 10_000
"""Images of a part."""

MANY = 1_000_000
"""Number of images that the engine is chosen for: the same one whatever their number, so that rows do not depend on it
and memory neither.
"""

NAMED = 20
"""Images that could not be read and that the result names."""

Engine = Callable[[Iterator[Work], Rows, int, bool], Iterator[Chunk]]
"""What computes the rows of images, as `spans.computed` does."""


@dataclass(frozen=True, repr=False)
class BulkResult(Result):
    """What was written. images: rows in all. errors: how many of them are of images that could not be read. failed: the
    first of these of this call, and why. computed: images of this call; the others were there before.
    """

    folder: Path
    images: int
    errors: int
    parts: int
    computed: int
    seconds: float
    failed: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain values.

        Returns:
            Plain values for JSON.
        """
        return {**vars(self), "folder": str(self.folder)}

    def text(self) -> str:
        """The numbers in words.

        Returns:
            One line of text.
        """
        words = [f"{count(self.images, 'image')} in {count(self.parts, 'part')} in {self.folder}"]
        if self.computed < self.images:
            words.append(f"{count(self.images - self.computed, 'image')} complete before")
        if self.computed and self.seconds:
            words.append(f"{self.computed / self.seconds:,.0f} images/s")
        if self.errors:
            words.append(f"{count(self.errors, 'image')} could not be read (column {ERROR!r})")
        return "; ".join(words)


def predict(
    model: ModelSource,
    data: str | Sequence[str],
    *,
    out: str | Path,
    format: str = "parquet",
    top: int | None = None,
    resume: bool = False,
    part_size: int = PART,
    options: PredictOptions | None = None,
    console: Console | None = None,
    compute: Engine = computed,
) -> BulkResult:
    """Predict all images of a source, and write the predictions to a folder.

    Args:
        model: a run, its folder, or a loaded model.
        data: a folder, a table, an archive, shards, a Parquet file, a pattern or a URL; or several of these.
        out: folder to write.
        format: "parquet", "jsonl" or "csv".
        top: number of classes whose probabilities are written; None for all.
        resume: go on with what is in the folder.
        part_size: images of a part; a process that is killed loses at most one.
        options: coverage and method of prediction sets and intervals.
        console: where progress is shown.
        compute: what computes the rows: this process, or the function of `ray_engine.on_ray`.

    Returns:
        What was written.

    Raises:
        DataError: there is no such data, or it is not the one of the results to go on with.
        ConfigError: an option is out of range, or differs from those of the results to go on with.
        OutputError: the folder is not empty, or cannot be written.

    Example:
        >>> from clearsight import scale
        >>> found = scale.predict("runs/digits", "new/", out="predicted/", format="jsonl")
        >>> found.images, found.errors
        (2, 0)
    """
    if top is not None:
        at_least(1, top=top)
    chosen = options or PredictOptions()
    check_coverage(chosen.coverage)
    rows = PredictionRows(predictor_of(model), chosen, top)
    return _written(rows, data, Path(out), format, resume, part_size, console or usual_console(), compute)


def embed(
    model: ModelSource,
    data: str | Sequence[str],
    *,
    out: str | Path,
    format: str = "parquet",
    resume: bool = False,
    part_size: int = PART,
    console: Console | None = None,
    compute: Engine = computed,
) -> BulkResult:
    """Compute the features below the head of all images of a source, and write them to a folder.

    Args:
        model: as for `predict`.
        data: as for `predict`.
        out: folder to write.
        format: "parquet", "jsonl" or "csv".
        resume: go on with what is in the folder.
        part_size: images of a part.
        console: where progress is shown.
        compute: as for `predict`.

    Returns:
        What was written; the column `embedding` holds D numbers (float32) for each image.

    Example:
        >>> from clearsight import scale
        >>> found = scale.embed("runs/digits", "new/", out="embedded/", format="jsonl")
        >>> found.images, found.errors
        (2, 0)
    """
    rows = FeatureRows(predictor_of(model))
    return _written(rows, data, Path(out), format, resume, part_size, console or usual_console(), compute)


def _written(
    rows: Rows,
    data: str | Sequence[str],
    out: Path,
    format: str,
    resume: bool,
    part_size: int,
    console: Console,
    compute: Engine,
) -> BulkResult:
    at_least(1, part_size=part_size)
    check_format(format)
    found = chained([data] if isinstance(data, str) else data)
    for note in found.notes:
        console.say(note)
    folder, nested = out.expanduser(), format == "jsonl"
    about = {
        "model": model_digest(rows.predictor.bundle), "data": found.origin, "part_size": part_size,
        "engine": rows.predictor.engine, "names": list(rows.predictor.classes), **rows.options,
    }  # fmt: skip
    record = Record(folder, format, about)
    failed: dict[str, str] = {}
    began, before = time.perf_counter(), 0
    with record.opened(resume) as log:
        before = record.rows
        advance = _progress(console, rows.title, found, before)
        chunks = compute(in_parts(found.items(), part_size, frozenset(record.parts), record.check), rows, MANY, nested)
        like: Row | None = None
        for first in chunks:  # none where everything is complete
            like = like or example(rows, MANY, nested)
            _write_part(first, chunks, record, like, failed, advance, log)
        if not record.parts:
            raise DataError(f"{found.origin} contains no images")
        record.finish()
    seconds = time.perf_counter() - began
    return BulkResult(folder, record.rows, record.errors, len(record.parts), record.rows - before, seconds, failed)


def _write_part(
    first: Chunk, chunks: Iterator[Chunk], record: Record, like: Row, failed: dict[str, str],
    advance: Callable[[int], None], log: Any,
) -> None:  # fmt: skip
    """Write the part that begins with a chunk."""
    errors, chunk, number = 0, first, record.missing()
    with part_file(record.path(number), record.format, like) as write:
        while True:
            write(chunk.rows)
            errors += chunk.errors
            for row in chunk.rows:
                if ERROR in row and len(failed) < NAMED:
                    failed[row[IMAGE]] = row[ERROR]
            advance(len(chunk.rows))
            if chunk.end is not None:
                break
            chunk = next(chunks)
    assert chunk.end.number == number
    record.add(chunk.end, errors, log)


def _progress(console: Console, title: str, found: ImageStream, before: int) -> Callable[[int], None]:
    """What moves the bar by a number of images."""
    advance, done = console.stage(title), before

    def by(images: int) -> None:
        nonlocal done
        done += images
        advance(done, found.total or 0)

    return by
