"""Images in the order of their content, so that training does not depend on how they are stored.

A split is drawn, and networks are trained, by the positions of images. Files in a folder, rows of a table and arrays
list the same images in different orders. Sorted by the digest of their decoded pixels, they give the same split, the
same weights and the same scores.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.cache import Progress
from clearsight.data.cached_pixels import VERSION, cached_pixels
from clearsight.data.dataset import Dataset, Source
from clearsight.data.geometry import Geometry
from clearsight.data.pixel_format import PixelFormat
from clearsight.data.sample import Chosen
from clearsight.data.scan import Scan
from clearsight.data.split_record import target_digest
from clearsight.data.store import Recipe, Rows, rows_of

BYTES = 16
"""Of a digest of pixels, which is written in twice as many hexadecimal digits."""


def by_content(
    dataset: Dataset,
    scanned: Scan,
    geometry: Geometry,
    *,
    form: PixelFormat | None = None,
    progress: Progress | None = None,
) -> tuple[Dataset, Scan]:
    """A data set with its images in the order of their content.

    Images of equal content are ordered by their targets and stated splits. Groups are numbered in the new order. Crops
    of boxes stay as they are, because they are positions in larger images.

    Args:
        dataset: images and targets; one that is in this order already is returned as it is.
        scanned: digests and headers of the images.
        geometry: size at which the pixels are compared, that of the training, so that they are decoded only once.
        form: channels and bits of the pixels; None for those that hold all images without loss.
        progress: called as images are decoded.

    Returns:
        The data set and the scan in the new order.
    """
    if dataset.contents is not None or dataset.boxed is not None:
        return dataset, scanned
    contents = _contents(dataset.source, scanned, geometry, form or scanned.form, progress)
    keys = [
        (content == "", content, target_digest(dataset, i), str(dataset.given[i]), i)
        for i, content in enumerate(contents)
    ]
    order = np.array([key[-1] for key in sorted(keys)], np.int64)
    ordered = replace(dataset, contents=contents).rows(Chosen(dataset.source, order), order)
    if ordered.groups is not None:
        ordered = replace(ordered, groups=_renumbered(ordered.groups))
    return ordered, scanned.rows(order)


def listed_positions(dataset: Dataset) -> NDArray[np.int64]:
    """The position of each image in the data as the user gave it, before `by_content`.

    Args:
        dataset: in the order of its content, or of its source.

    Returns:
        Positions (N,).
    """
    if dataset.contents is None or not isinstance(dataset.source, Chosen):
        return np.arange(len(dataset))
    return dataset.source.rows


def _contents(
    source: Source, scanned: Scan, geometry: Geometry, form: PixelFormat, progress: Progress | None
) -> tuple[str, ...]:
    """A digest of the pixels of each image, "" for those that cannot be decoded; from the store or computed now."""
    skip = frozenset(scanned.failed)

    def compute(missing: Rows) -> Iterator[tuple[tuple[NDArray[Any]] | None, str]]:
        digests = [scanned.digests[i] for i in missing.tolist()]
        skipped = frozenset(np.flatnonzero(np.isin(missing, list(skip))).tolist())
        pixels = cached_pixels(Chosen(source, missing), digests, form, geometry, skip=skipped, progress=progress)
        for content in pixels.contents:
            yield ((np.frombuffer(bytes.fromhex(content), np.uint8),), "") if content else (None, "")

    about = {"version": VERSION, "form": form.decoded, "geometry": geometry.to_dict()}
    shapes = (("content", (BYTES,), np.dtype(np.uint8)),)
    found = rows_of(Recipe("contents", json.dumps(about, sort_keys=True), lambda: shapes, compute), scanned.digests)
    digests = (row.tobytes().hex() for row in found.arrays["content"])
    return tuple(digest if kept else "" for kept, digest in zip(found.sums, digests, strict=True))


def _renumbered(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of groups by their first images."""
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(int(group), len(numbers)) for group in groups], np.int64)
