"""Images as the network of a bundle receives them: decoded, resized and batched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.cache import threaded
from clearsight.data.decode import DecodeRule
from clearsight.data.inputs import ImageInputs, fits
from clearsight.data.pixels import MAX_PIXELS, Pixels
from clearsight.data.sources.contained import as_inputs
from clearsight.data.unit_range import BATCH, unit_range

if TYPE_CHECKING:
    from clearsight.bundle import Bundle
    from clearsight.bundle.description import Description

Images = Any
"""What `clearsight.data.inputs` recognises: paths, patterns, folders, bytes, PIL images, arrays, tensors, and lists of
these.
"""


class ImageReader:
    """Base of predictors: reads images in any form for the model in `bundle`."""

    bundle: Bundle | Description

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the network's input."""
        return self.bundle.form.channels, self.bundle.geometry.height, self.bundle.geometry.width

    def inputs(self, images: Images, count: int | None = None) -> ImageInputs:
        """Images in any form as one object with names; `data.inputs` and `data.sources.contained` list the
        forms.

        An iterator is read to its end, so call this once and pass the result on.

        Args:
            images: images in any form.
            count: number of images, if known; it resolves whether an array is three gray images or one colour image.

        Returns:
            The images.
        """
        return as_inputs(images, count=count, shape=self.shape)

    def names(self, images: Images) -> list[str]:
        """Names of the images.

        Args:
            images: images in any form.

        Returns:
            Paths, or `#i` by position.
        """
        return self.inputs(images).names

    def originals(self, images: Images) -> Iterator[NDArray[Any]]:
        """Each image at its own size, with the network's channels and bits.

        Args:
            images: images in any form.

        Yields:
            Pixels (C, H, W), uint8 or uint16.
        """
        given = self.inputs(images)
        yield from (given.original(i, self.bundle.form) for i in range(len(given)))

    def decoded(self, content: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Pixels:
        """Decode a file as the network needs it.

        Args:
            content: bytes of the file.
            name: name of the file, for messages.
            max_pixels: largest number of pixels that is decoded.

        Returns:
            Pixels (C, H, W).

        Raises:
            ImageError: it is neither image nor sound, is of the kind that the model was not trained on, or is a sound
                of a very different length.
        """
        return self.decode_rule.decode(content, name, max_pixels)

    @property
    def decode_rule(self) -> DecodeRule:
        """How a file is decoded for the model."""
        data = self.bundle.data
        known = data.get("sound", {}).get("columns")
        media, columns = data.get("media", "both"), tuple(known) if known else None
        return DecodeRule(self.bundle.form, self.bundle.geometry, media, columns)

    def pixels(self, images: Images) -> Iterable[NDArray[np.float32]]:
        """The images as the network receives them.

        Args:
            images: images in any form.

        Yields:
            Batches (B, C, H, W), float32 in [0, 1].
        """
        given = self.inputs(images)
        ready = given.ready(self.shape, self.bundle.form)
        if ready is None:
            yield from _grouped(threaded(lambda i: self._decoded(given, i), range(len(given))))
            return
        for start in range(0, len(ready), BATCH):
            yield np.ascontiguousarray(unit_range(ready[start : start + BATCH]))

    def _decoded(self, given: ImageInputs, i: int) -> NDArray[Any]:
        """One image as the network sees it (C, H, W): integers, or the floats that were given in the network's size."""
        content, item = given.content(i), given.items[i]
        if content is not None:
            return self.decoded(content, given.name(i))
        if isinstance(item, np.ndarray) and fits(item, self.shape, self.bundle.form):
            return item
        return given.decode(i, self.bundle.form, self.bundle.geometry)


def _grouped(images: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
    pending: list[NDArray[Any]] = []
    for image in images:
        pending.append(image)
        if len(pending) == BATCH:
            yield batch_of(pending)
            pending = []
    if pending:
        yield batch_of(pending)


def batch_of(images: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Images of any types as one batch.

    Args:
        images: each (C, H, W).

    Returns:
        float32 (B, C, H, W) in [0, 1].
    """
    if len({image.dtype for image in images}) == 1:
        return unit_range(np.stack(images))
    return np.stack([unit_range(image) for image in images])
