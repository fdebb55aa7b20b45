"""TIFFs that Pillow does not read as they are: any number of channels, floats, signed integers, and large ones, whose
tiles are decoded one by one. Read with tifffile.

    RGB with a fourth sample that no tag calls alpha, gray with more than one   channels
    several pages that OME or ImageJ metadata call channels                     channels
    several pages that tifffile wrote from one array                            an error: frames or channels
    smaller versions of the first page (pyramids of slides and satellites)      the smallest that is large enough, where
                                                                                the image is decoded at a reduced scale
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from clearsight.data.formats.conversion import EXTRA, TURN, check_size, finished, reason, value_header, with_levels
from clearsight.data.formats.reduction import BlockMeans, is_large, reduction
from clearsight.data.geometry import Geometry
from clearsight.data.pixel_format import Header, PixelFormat, Pixels
from clearsight.errors import ImageError

BIG = (b"II+\0", b"MM\0+")
SIGNATURES = (b"II*\0", b"MM\0*", *BIG)

GRAY, RGB = (0, 1), 2
"""Photometric interpretations: white is zero, black is zero; RGB."""

UNSIGNED = 1
"""Sample format of unsigned integers."""

RATIO = 2_000
"""Bytes of pixels that a byte of a compressed file makes, at most."""

SAME_SHAPE = 0.05
"""Relative difference of the proportions of two versions of an image: their sides are rounded."""

SLIDES = frozenset({"bif", "ndpi", "philips", "scn", "svs"})
"""Formats of slide scanners, as tifffile calls them, in which smaller versions are recognised by their place."""

COARSE = 16
"""Side of the blocks in which the range of the values of large images is looked for."""


def matches(content: bytes, name: str) -> bool:
    """Whether a file is a TIFF that Pillow would not read as it is.

    Args:
        content: bytes of the file.
        name: name of the image.

    Returns:
        True where this module is to read it.
    """
    if content[:4] not in SIGNATURES:
        return False
    try:
        tags = _Tags.of(content)
    except Exception:  # damaged: Pillow says what is wrong
        return False
    if tags.photometric not in (*GRAY, RGB):
        return False
    usual = tags.samples - tags.alpha == (3 if tags.photometric == RGB else 1)
    plain = set(tags.formats) <= {UNSIGNED} and max(tags.bits) <= 16
    large = content[:4] == BIG[1] or is_large(tags.width, tags.height)
    return not usual or not plain or large or tags.is_array


@dataclass(frozen=True)
class _Tags:
    """Tags of the first page. is_array: metadata describe several pages as one array."""

    width: int
    height: int
    samples: int
    photometric: int
    bits: tuple[int, ...]
    formats: tuple[int, ...]
    alpha: bool
    is_array: bool

    @classmethod
    def of(cls, content: bytes) -> _Tags:
        """Of a file; any exception where it is damaged."""
        stream = io.BytesIO(content)
        tags = ImageFileDirectory_v2(content[:16] if content[:4] == BIG[0] else content[:8])
        if content[:4] == BIG[1]:  # which Pillow takes for a small one
            tags._bigtiff, tags.next = True, int.from_bytes(content[8:16], "big")
        stream.seek(tags.next)
        tags.load(stream)
        extra, words = tags.get(338, ()), str(tags.get(270, ""))
        shaped = '"shape":' in words or words.startswith("ImageJ=") or "<OME" in words[:1000]
        return cls(
            width=int(tags[256]), height=int(tags[257]), samples=int(tags.get(277, 1)),
            photometric=int(tags.get(262, -1)), bits=tuple(tags.get(258, (1,))), formats=tuple(tags.get(339, (1,))),
            alpha=len(extra) == 1 and extra[0] in (1, 2), is_array=shaped and tags.next != 0,
        )  # fmt: skip


def header(content: bytes, name: str) -> Header:
    """Size, type and channels of an image, and the range of its values if its type does not define black and white.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.

    Returns:
        The header.

    Raises:
        ImageError: the file is damaged, or its pages are not one image.
    """
    with _Image(content, name) as image:
        height, width, channels = image.shape
        if image.dtype in (np.uint8, np.uint16):
            mode = {1: "L", 3: "RGB"}.get(channels, f"{channels} channels")
            bits: Any = 8 * image.dtype.itemsize
            found = Header(width, height, mode, "TIFF", bits, channels=channels, alpha=image.alpha)
        else:
            values = image.read(COARSE if is_large(width, height, channels) else 1)
            found = value_header(values, name, width, height, "TIFF", channels)
        return replace(found, oriented=image.orientation != 1, turned=image.orientation >= 5)


def decode(content: bytes, name: str, form: PixelFormat, geometry: Geometry) -> Pixels:
    """Decode one image.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.
        form: channels and bits of the result, and the range of values.
        geometry: size of the result, and how the image is resized to it.

    Returns:
        Pixels (C, H, W).

    Raises:
        ImageError: as for `header`; or the values or channels are others than in the training images.
    """
    with _Image(content, name) as image:
        height, width, channels = image.shape
        check_size(name, width, height, form.max_pixels)
        side = image.reduced(reduction(width, height, geometry, channels))
        array = with_levels(image.read(side), form, name)
        if image.inverted:
            array = np.iinfo(array.dtype).max - array
        array = TURN[image.orientation](array)
    return finished(array, form, geometry, name)


class _Image:
    """The first image of a TIFF, open while the object is used as a context manager.

    shape: height, width and channels. dtype: of the values. alpha: it has an alpha channel, which is not counted.
    inverted: white is zero. orientation: as in EXIF.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self.content, self.name = content, name

    def __enter__(self) -> _Image:
        import tifffile

        try:
            self.file = tifffile.TiffFile(io.BytesIO(self.content))
            self._describe()
        except ImageError:
            raise
        except Exception as error:  # tifffile raises whatever its arithmetic on a damaged header leads to
            raise ImageError(f"{self.name} cannot be opened", found=reason(error)) from error
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def _describe(self) -> None:
        page, tags = self.file.pages[0], _Tags.of(self.content)
        self.page: Any = page
        self.pages: Any = self.file.series[0] if tags.is_array and len(self.file.pages) > 1 else None
        if self.pages is not None and len(self.pages.pages) == 1:
            self.pages = None
        array = page if self.pages is None else self.pages
        self.axes = str(array.axes)
        if sorted(self.axes) not in (["X", "Y"], ["S", "X", "Y"], ["C", "X", "Y"]):
            raise self._several(array)
        sizes = dict(zip(self.axes, array.shape, strict=True))
        self.alpha = tags.alpha and tags.samples in (2, 4)
        channels = sizes.get("S", sizes.get("C", 1)) - self.alpha
        self.shape = int(sizes["Y"]), int(sizes["X"]), int(channels)
        self.dtype = np.dtype(page.dtype).newbyteorder("=")
        self.inverted = tags.photometric == 0
        turned = page.tags.valueof(274)
        self.orientation = int(turned) if turned in TURN else 1
        height, width, channels = self.shape
        check_size(self.name, width, height, sys.maxsize)
        size, most = width * height * channels * self.dtype.itemsize, len(self.content)
        if size > most * (1 if page.compression == 1 else RATIO):
            raise ImageError(
                f"{self.name} is truncated",
                found=f"{most:,} bytes",
                expected=f"{size:,} bytes of pixels, as its header states",
            )

    def _several(self, array: Any) -> ImageError:
        axes = f" with axes {array.axes}" if array.axes[0] not in "QI" else ""
        return ImageError(
            f"{self.name} is not one image",
            found=f"{len(self.file.pages):,} pages, which are an array of shape {tuple(array.shape)}{axes}",
            expected="one page",
            fix="if the pages are channels, write `tifffile.imwrite(path, pixels, photometric='minisblack', "
            "planarconfig='separate')`; if they are images, save each in its own file",
        )

    def reduced(self, side: int) -> int:
        """Go on with the smallest version of the image in the file whose pixels are blocks of at most so many.

        Args:
            side: the side of the blocks that the image is averaged over.

        Returns:
            The side of the blocks that this version is averaged over.
        """
        if side == 1 or self.pages is not None:
            return side
        best = side, self.page, self.shape
        try:
            for page in self._versions():
                height, width = int(page.imagelength), int(page.imagewidth)
                scale = max(self.shape[0] / height, self.shape[1] / width)
                left = int(side / scale + SAME_SHAPE)
                alike = abs(self.shape[0] / height - self.shape[1] / width) <= SAME_SHAPE * scale
                same = (page.dtype, page.axes, page.samplesperpixel, page.photometric) == (
                    self.page.dtype, self.page.axes, self.page.samplesperpixel, self.page.photometric,
                )  # fmt: skip
                if alike and same and scale > 1 and 1 <= left < best[0]:
                    best = left, page, (height, width, self.shape[2])
        except Exception:  # of damaged versions: the first page is the image
            return side
        left, self.page, self.shape = best
        return left

    def _versions(self) -> Iterator[Any]:
        """Pages that the file calls reduced versions of the first one."""
        yield from self.page.pages or ()
        if self.file.flags & SLIDES:
            for level in self.file.series[0].levels[1:]:
                yield level.pages[0]
        for page in self.file.pages[1:]:
            if page.is_reduced:
                yield page

    def read(self, side: int) -> NDArray[Any]:
        """Values (H, W, C), for a side above 1 the means of blocks."""
        try:
            if side == 1 or self.pages is not None:
                array = (self.page if self.pages is None else self.pages).asarray()
                last = (
                    array
                    if array.ndim == 2
                    else np.moveaxis(array, self.axes.find("S" if "S" in self.axes else "C"), 2)
                )
                whole = self._opaque(np.atleast_3d(last))
                if side == 1:
                    return whole
            means = BlockMeans(self.shape, side, self.dtype)
            for part, top, left, channel in [(whole, 0, 0, 0)] if self.pages is not None else self._parts():
                means.add(part, top, left, channel)
            return means.result()
        except Exception as error:
            raise ImageError(
                f"{self.name} cannot be decoded", found=reason(error), expected="a complete TIFF file",
                fix=EXTRA if "imagecodecs" in str(error) else None,
            ) from error  # fmt: skip

    def _parts(self) -> Iterator[tuple[NDArray[Any], int, int, int]]:
        """Tiles or strips (h, w, C) with the place of their first pixel, and their first channel."""
        for part, place, size in self.page.segments():
            sample, _, top, left, _ = place
            if part is None:
                part = np.full((1, *size[1:]), self.page.nodata, self.dtype)
            yield self._opaque(part[0, : size[1], : size[2]]), top, left, sample

    def _opaque(self, array: NDArray[Any]) -> NDArray[Any]:
        """Without its alpha channel, composited over white."""
        if not self.alpha or array.shape[2] == 1:
            return array
        white, share = np.iinfo(self.dtype).max, array[:, :, -1:] / np.iinfo(self.dtype).max
        ink = array[:, :, :-1] if 1 in self.page.extrasamples else array[:, :, :-1] * share
        return np.asarray(np.rint(np.clip(ink + white * (1 - share), 0, white)).astype(self.dtype))
