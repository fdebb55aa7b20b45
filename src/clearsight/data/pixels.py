"""From a file to an array: the one place where an image is decoded, for training, prediction and serving alike.

What a file may hold and what becomes of it (rule D2, written into every bundle); each format is read by a module of
`data.formats`:

    gray, bilevel                           kept as 1 channel if the whole data set is gray, else repeated to 3
    RGB, palette, CMYK, YCbCr, Lab, HSV     RGB
    2 or more channels of other kinds       kept, if all images have as many (TIFF, .npy)
    an alpha channel, a transparent colour  composited over white
    16 bits per channel                     kept if any image of the data set has them; 8-bit images times 257
    white is zero (TIFF, DICOM)             inverted
    floats                                  [0, 1], or the range of --value-range, as 16 bits
    DICOM                                   the window of the file, or the range of --value-range, as 16 bits
    EXIF orientation                        applied
    an animation                            its first frame
    more than FULL_PIXELS                   means of blocks of pixels, at least twice as large as needed

Nothing but ImageError comes out of a broken file. Pillow's remarks on damaged metadata are warnings; `quiet_pillow`
silences them around a whole pass.

Shapes: H, W = height and width in pixels, C = channels.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clearsight.data.formats import dicom, heif, jxl, npy, pillow, tiff
from clearsight.data.formats.conversion import check_size, finished, over_white
from clearsight.data.formats.limits import TRAINING, Limits, counted
from clearsight.data.formats.pillow import MAX_SIDE as MAX_SIDE
from clearsight.data.formats.pillow import decode_pillow as decode_pillow
from clearsight.data.formats.pillow import header_of as header_of
from clearsight.data.formats.pillow import opened_content as opened_content
from clearsight.data.formats.pillow import quiet_pillow as quiet_pillow
from clearsight.data.geometry import Geometry
from clearsight.data.pixel_format import FULL_PIXELS as FULL_PIXELS
from clearsight.data.pixel_format import MAX_PIXELS as MAX_PIXELS
from clearsight.data.pixel_format import Header as Header
from clearsight.data.pixel_format import PixelFormat as PixelFormat
from clearsight.data.pixel_format import PixelOptions as PixelOptions
from clearsight.data.pixel_format import Pixels as Pixels
from clearsight.data.pixel_format import digest as digest
from clearsight.data.pixel_format import levels as levels
from clearsight.data.pixel_format import read_bytes as read_bytes
from clearsight.errors import ImageError

IMAGE_EXTENSIONS = {
    ".avif", ".bmp", ".dcm", ".dicom", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".jxl", ".npy",
    ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip


class Reader(Protocol):
    """A module that reads a format; `clearsight.data.formats` has one for each."""

    def matches(self, content: bytes, name: str) -> bool:
        """Whether a file is of this format.

        Args:
            content: bytes of the file.
            name: name of the image.

        Returns:
            True where this module is to read it.
        """

    def header(self, content: bytes, name: str) -> Header:
        """As `image_header`, whatever the number of pixels.

        Args:
            content: bytes of the file.
            name: name of the image, for messages.

        Returns:
            The header.
        """

    def decode(self, content: bytes, name: str, form: PixelFormat, geometry: Geometry) -> Pixels:
        """As `decode_image`.

        Args:
            content: bytes of the file.
            name: name of the image, for messages.
            form: channels and bits of the result, and the limit of pixels.
            geometry: size of the result, and how the image is resized to it.

        Returns:
            Pixels (C, H, W).
        """


READERS: tuple[Reader, ...] = (tiff, npy, dicom, heif, jxl)
"""What is asked for each file, in this order, before Pillow."""


def _reader(content: bytes, name: str) -> Any:
    return next((reader for reader in READERS if reader.matches(content, name)), pillow)


def image_header(content: bytes, name: str, max_pixels: int | None = MAX_PIXELS) -> Header:
    """Size, mode and bit depth of an image, without decoding it where they are known without.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.
        max_pixels: largest number of pixels; None for any.

    Returns:
        The header.

    Raises:
        ImageError: it is not an image, is too large to decode, or has too many parts.
    """
    counted(content, name, TRAINING)
    found: Header = _reader(content, name).header(content, name)
    if max_pixels is not None:
        check_size(name, found.width, found.height, max_pixels)
    return found


def decode_image(
    content: bytes, name: str, form: PixelFormat, geometry: Geometry, max_pixels: int | None = None,
    limits: Limits = TRAINING,
) -> Pixels:  # fmt: skip
    """Decode one image.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.
        form: channels and bits of the result.
        geometry: size of the result, and how the image is resized to it.
        max_pixels: largest number of pixels that is decoded; None for that of the form.
        limits: largest numbers of the parts of a file, such as scans and tags.

    Returns:
        Pixels (C, H, W).

    Raises:
        ImageError: the image does not decode to its end, is too large, or has too many parts.
    """
    counted(content, name, limits)
    if max_pixels is not None:
        form = replace(form, max_pixels=max_pixels)
    decoded: Pixels = _reader(content, name).decode(content, name, form, geometry)
    return decoded


def read_image(path: str | Path, form: PixelFormat | None = None) -> Pixels:
    """Decode an image file at its own size.

    Args:
        path: the file.
        form: channels and bits of the result; None for the smallest that holds the image.

    Returns:
        Pixels (C, H, W).

    Raises:
        ImageError: as for `decode_image`.
    """
    return whole_image(read_bytes(path), str(path), form)


def whole_image(content: bytes, name: str, form: PixelFormat | None = None) -> Pixels:
    """As `read_image`, from the content of a file.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.
        form: channels and bits of the result; None for the smallest that holds the image.

    Returns:
        Pixels (C, H, W).
    """
    width, height = oriented_size(content, name)
    return decode_image(
        content, name, form or PixelFormat.covering([image_header(content, name)]), Geometry(height, width)
    )


def oriented_size(content: bytes, name: str) -> tuple[int, int]:
    """Size of an image after its EXIF orientation is applied.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.

    Returns:
        Width and height in pixels.

    Raises:
        ImageError: it is not an image, or is too large to decode.
    """
    header = image_header(content, name)
    return (header.height, header.width) if header.turned else (header.width, header.height)


def from_array(array: NDArray[Any], name: str, form: PixelFormat, geometry: Geometry) -> Pixels:
    """Convert an array by the rules of `decode_image`.

    Args:
        array: levels (H, W) or (C, H, W), uint8 or uint16; 4 channels are RGBA unless the form has 4.
        name: name of the image, for messages.
        form: channels and bits of the result.
        geometry: size of the result, and how the image is resized to it.

    Returns:
        Pixels (C, H, W).

    Raises:
        ImageError: the array is not an image.
    """
    if array.ndim == 2:
        array = array[None]
    channels = (1, 3, 4) if form.channels in (1, 3) else (form.channels,)
    if array.ndim != 3 or array.shape[0] not in channels or array.dtype not in (np.uint8, np.uint16):
        raise ImageError(
            f"{name} is not an image",
            found=f"an array of shape {array.shape}, {array.dtype}",
            expected="(H, W) or (C, H, W) with 1, 3 or 4 channels, uint8 or uint16"
            if form.channels in (1, 3)
            else f"(C, H, W) with {form.channels} channels, uint8 or uint16",
        )
    pixels = np.ascontiguousarray(array.transpose(1, 2, 0))
    if pixels.shape[2] == 4 and form.channels in (1, 3):
        deep = pixels.dtype == np.uint16
        rgba = None if deep else Image.fromarray(pixels)
        pixels = over_white(pixels[:, :, :3], pixels[:, :, 3:]) if rgba is None else pillow.to_array(rgba, form)
    return finished(pixels, form, geometry, name)
