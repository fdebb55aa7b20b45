"""Decode once: the pixels of images at working size, from a store with one row per image (`data.store`).

Rows are found by the digest of an image's content, the pixel format, the geometry and this module's version, so nothing
is ever stale, and only images that no data set has had before are decoded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.cache import Progress, threaded
from clearsight.data.dataset import Source
from clearsight.data.geometry import Geometry
from clearsight.data.pixel_format import PixelFormat
from clearsight.data.pixels import digest, quiet_pillow
from clearsight.data.store import Compute, Recipe, Rows, rows_of
from clearsight.errors import ImageError

VERSION = 4
"""Raise when decoding or scaling changes what the same inputs give."""


@dataclass(frozen=True)
class CachedPixels:
    """Decoded images (N, C, H, W), read-only and memory-mapped, and what could not be decoded.

    failed: why, by position; the pixels of these images are zeros. key: names the images, their order, form and
    geometry. images (N,): a digest of the content of each image, "" for those that were not decoded on purpose.
    """

    array: NDArray[Any]
    failed: dict[int, str]
    key: str
    images: tuple[str, ...] = ()
    digests: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.array)

    @cached_property
    def contents(self) -> tuple[str, ...]:
        """A digest of the pixels of each image, "" for those that were not decoded."""
        if self.digests is not None:
            return self.digests
        return tuple("" if i in self.failed else content_digest(self.array[i]) for i in range(len(self)))

    def view(self, indices: NDArray[np.int64]) -> PixelView:
        """Some of the images, still on disk."""
        return PixelView(self.array, indices, self.digests or ())


@dataclass(frozen=True)
class PixelView:
    """Images of a larger array by index; only the batch asked for is read. digests: of the content of each image of the
    array, where these are known.
    """

    array: NDArray[Any]
    indices: NDArray[np.int64]
    digests: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, some: slice) -> NDArray[Any]:
        return self.array[self.indices[some]]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.indices), *self.array.shape[1:])


def cached_pixels(
    source: Source,
    digests: Sequence[str],
    form: PixelFormat,
    geometry: Geometry,
    *,
    skip: frozenset[int] = frozenset(),
    progress: Progress | None = None,
) -> CachedPixels:
    """The pixels of every image of the source, from the cache or decoded now.

    digests: content digest per image, "" for those in `skip`, which are known not to decode. progress: called with the
    images decoded so far, and the number of those that the cache lacks.

    Raises OutputError when the cache cannot be written, DataError when a file changes while it is being read.
    """

    def one(i: int) -> NDArray[Any] | str:
        if i in skip:
            return ""
        try:
            return source.decode(i, form, geometry, digests[i])
        except ImageError as error:
            return str(error)

    def decode(missing: Rows) -> Iterator[tuple[tuple[NDArray[Any]] | None, str]]:
        with quiet_pillow():
            for done, found in enumerate(threaded(one, missing.tolist()), 1):
                yield (None, found) if isinstance(found, str) else ((found,), content_digest(found))
                if progress:
                    progress(done, len(missing))

    recipe = pixel_recipe(form, geometry, decode)
    found = rows_of(recipe, digests)
    failed = {i: note for i, (kept, note) in enumerate(zip(found.sums, found.notes, strict=True)) if note and not kept}
    contents = tuple(note if kept else "" for kept, note in zip(found.sums, found.notes, strict=True))
    return CachedPixels(found.arrays["pixels"], failed, recipe.key(digests), found.keys, contents)


def pixel_recipe(form: PixelFormat, geometry: Geometry, decode: Compute) -> Recipe:
    """The store of pixels of a form and geometry."""
    shape = (form.channels, geometry.height, geometry.width)
    about = {"version": VERSION, "form": form.decoded, "geometry": geometry.to_dict()}
    return Recipe("pixels", json.dumps(about, sort_keys=True), lambda: (("pixels", shape, form.dtype),), decode)


def content_digest(pixels: NDArray[Any]) -> str:
    """Names the pixels (C, H, W) of an image as a model sees it: 128 bits of BLAKE2b, in hexadecimal."""
    return digest(np.ascontiguousarray(pixels).data)
