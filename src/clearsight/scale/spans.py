"""From images to rows: decoded by threads, computed in batches, in the order of the images.

Batches do not cross the border of a part, so a part has the same rows whoever computes it and whenever. An image that
cannot be read is a row with the reason, and the batch goes on without it.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.bundle.image_reader import batch_of
from clearsight.data.cache import threaded
from clearsight.data.sources.stream_items import Item
from clearsight.errors import DataError
from clearsight.models.execution import BATCH
from clearsight.predictor import ModelOutput, Predictor
from clearsight.scale.rows import ERROR, IMAGE, Row, Rows

SPANS = 16
"""Spans whose rows are made together at most."""

LONGEST = 8 * BATCH
"""Images of a span at most, however many of them cannot be read."""


@dataclass(frozen=True)
class PartEnd:
    """The end of a part. number: its place among the parts. images: in it. names: digest of their names."""

    number: int
    images: int
    names: str


Work = Item | PartEnd
"""An image to read, or the end of the part that it is in."""


@dataclass
class Span:
    """Neighbouring images that are computed together. entries: name of each, and why it cannot be read, "" if it can.
    end: of the part, where this is its last span.
    """

    entries: list[tuple[str, str]] = field(default_factory=list)
    pixels: list[NDArray[Any]] = field(default_factory=list)
    end: PartEnd | None = None

    @property
    def readable(self) -> list[str]:
        """Names of the images that can be read."""
        return [name for name, error in self.entries if not error]


@dataclass(frozen=True)
class Chunk:
    """Rows of neighbouring images. errors: number of those that could not be read. end: as for a span."""

    rows: list[Row]
    errors: int
    end: PartEnd | None


def in_parts(
    items: Iterable[Item], size: int, done: Container[int], check: Callable[[PartEnd], None]
) -> Iterator[Work]:
    """Divide images into parts, and leave out those that are done.

    Args:
        items: all images.
        size: images of a part.
        done: numbers of the parts that need not be computed.
        check: called at the end of each of these.

    Yields:
        The images of the other parts, and the end of each part.
    """
    number, images, names = 0, 0, hashlib.blake2b(digest_size=16)

    def ended() -> Iterator[Work]:
        end = PartEnd(number, images, names.hexdigest())
        if number in done:
            check(end)
        else:
            yield end

    for item in items:
        names.update(item.name.encode() + b"\0")
        images += 1
        if number not in done:
            yield item
        if images == size:
            yield from ended()
            number, images, names = number + 1, 0, hashlib.blake2b(digest_size=16)
    if images:
        yield from ended()


def computed(work: Iterable[Work], rows: Rows, total: int, nested: bool) -> Iterator[Chunk]:
    """The rows of images.

    Args:
        work: images and ends of parts.
        rows: what is computed of them.
        total: number of images, by which the engine is chosen.
        nested: as for `Rows.of`.

    Yields:
        Rows in the order of the images.
    """
    predictor, pending = rows.predictor, deque[Span]()

    def batches() -> Iterator[NDArray[np.float32]]:
        for span in _spans(threaded(lambda one: _read(predictor, one), work)):
            pixels, span.pixels = span.pixels, []
            pending.append(span)
            if pixels:
                yield batch_of(pixels)

    group: list[tuple[Span, ModelOutput | None]] = []

    def chunk() -> Chunk:
        found = _chunk(group, rows, nested)
        group.clear()
        return found

    for output in predictor.stream(batches(), total, rows.statistics):
        while not pending[0].readable:
            group.append((pending.popleft(), None))
            if _is_full(group):
                yield chunk()
        group.append((pending.popleft(), output))
        if _is_full(group):
            yield chunk()
    while pending:  # without any readable image
        group.append((pending.popleft(), None))
        if _is_full(group):
            yield chunk()


def _is_full(group: list[tuple[Span, ModelOutput | None]]) -> bool:
    """Whether spans are enough to make rows of them: together, which costs less, but never beyond the end of a part."""
    return group[-1][0].end is not None or len(group) == SPANS


def example(rows: Rows, total: int, nested: bool) -> Row:
    """A row of an image of zeros, which shows the columns."""
    output: ModelOutput = next(
        rows.predictor.stream([np.zeros((1, *rows.predictor.shape), np.float32)], total, rows.statistics)
    )
    return rows.of(output, ["example"], nested)[0]


def _read(predictor: Predictor, one: Work) -> tuple[str, NDArray[Any] | str] | PartEnd:
    """An image's name with its pixels (C, H, W), or with the reason why it has none."""
    if isinstance(one, PartEnd):
        return one
    name = one.name
    try:
        content = one.content()
        if content is not None:
            return name, predictor.decoded(content, name)
        return name, one.pixels(predictor.bundle.form, predictor.bundle.geometry)
    except DataError as error:
        return name, str(error)


def _spans(images: Iterable[tuple[str, NDArray[Any] | str] | PartEnd]) -> Iterator[Span]:
    span = Span()
    for image in images:
        if isinstance(image, PartEnd):
            span.end = image
        else:
            name, pixels = image
            span.entries.append((name, pixels if isinstance(pixels, str) else ""))
            if not isinstance(pixels, str):
                span.pixels.append(pixels)
        if span.end or len(span.pixels) == BATCH or len(span.entries) == LONGEST:
            yield span
            span = Span()


def _chunk(group: list[tuple[Span, ModelOutput | None]], rows: Rows, nested: bool) -> Chunk:
    """The rows of neighbouring spans."""
    outputs = [output for _, output in group if output is not None]
    found: Iterator[Row] = iter(())
    if outputs:
        arrays = ([getattr(one, name) for one in outputs] for name in ("logits", "features", "statistics"))
        names = [name for span, _ in group for name in span.readable]
        found = iter(rows.of(ModelOutput(*map(np.concatenate, arrays)), names, nested))
    merged: list[Row] = []
    for span, _ in group:
        merged += [{IMAGE: name, ERROR: error} if error else next(found) for name, error in span.entries]
    return Chunk(merged, sum(bool(row.get(ERROR)) for row in merged), group[-1][0].end)
