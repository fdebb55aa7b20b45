"""From the pixels of a file, whatever its format, to the form and size that a network takes.

Shapes: arrays (H, W, C) inside, pixels (C, H, W) outside.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clearsight.data.geometry import Geometry
from clearsight.data.pixel_format import Header, PixelFormat, Pixels
from clearsight.errors import ImageError

EXTRA = "install the extra with `pip install 'clearsight[formats]'`"
"""The advice where a library is missing."""

WHITE = 65_535
"""The largest level of 16 bits."""

STRIP = 250_000
"""Pixels that are composited at once."""


TURN: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a[::-1].transpose(1, 0, 2),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a[:, ::-1].transpose(1, 0, 2),
}
"""What brings (H, W, C) upright, by EXIF orientation."""


def reason(error: Exception) -> str:
    """The message of an error in one line.

    Args:
        error: of any library.

    Returns:
        At most 120 characters; the name of its type if it has no message.
    """
    return " ".join(str(error).split())[:120] or type(error).__name__


def check_size(name: str, width: int, height: int, max_pixels: int) -> None:
    """Refuse an image without pixels, or with too many.

    Args:
        name: name of the image, for messages.
        width: width in pixels.
        height: height in pixels.
        max_pixels: largest number of pixels that is decoded.

    Raises:
        ImageError: the image is empty or too large.
    """
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels", found=f"{width}x{height}")
    if width * height > max_pixels:
        needed = -(-width * height // 1_000_000)
        raise ImageError(
            f"{name} is too large to decode",
            found=f"{width}x{height} = {width * height / 1e6:.0f} million pixels",
            expected=f"at most {max_pixels / 1e6:.4g} million",
            fix=f"downscale it first, or raise the limit with --max-pixels {needed}",
        )


def value_header(
    values: NDArray[np.generic], name: str, width: int, height: int, file_format: str, channels: int
) -> Header:
    """The header of an image whose type does not define black and white.

    Args:
        values: its values, of any shape.
        name: name of the image, for messages.
        width: width of the file's image in pixels.
        height: height of the file's image in pixels.
        file_format: name of the format.
        channels: number of channels.

    Returns:
        The header, with the least and the largest value.

    Raises:
        ImageError: values are not finite, or are no real numbers.
    """
    check_kind(values, name)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        invalid = int((~np.isfinite(values)).sum())
        raise ImageError(
            f"{name} contains NaN or infinite values", found=f"{invalid:,} of {values.size:,} values",
            fix="replace them, for instance with `np.nan_to_num`",
        )  # fmt: skip
    return Header(width, height, str(values.dtype), file_format, 16, channels=channels, values=(low, high))


def check_kind(values: NDArray[np.generic], name: str) -> None:
    """Refuse an array whose elements are no real numbers.

    Args:
        values: the array.
        name: name of the image, for messages.

    Raises:
        ImageError: they are complex numbers, text or objects.
    """
    if values.dtype.kind not in "buif" or values.dtype.itemsize > 8:
        raise ImageError(
            f"{name} is not an image", found=f"elements of type {values.dtype}",
            expected="integers or floating-point numbers of at most 64 bits",
        )  # fmt: skip


def with_levels(array: NDArray[np.generic], form: PixelFormat, name: str) -> Pixels:
    """Values of any type as levels: the range of values that the form names becomes 0 to 65535.

    Without a range, integers of 8 and 16 bits are levels already, and floats are read as 0 (black) to 1 (white). Images
    of 8 bits have no other range.

    Args:
        array: values of any shape.
        form: the form; its `value_range` counts.
        name: name of the image, for messages.

    Returns:
        The levels, uint8 or uint16.

    Raises:
        ImageError: the values lie outside of what their type allows without a range.
    """
    if array.dtype == np.uint8 or (array.dtype == np.uint16 and form.value_range is None):
        return array
    check_kind(array, name)
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        raise ImageError(f"{name} contains NaN or infinite values", fix="replace them")
    if form.value_range is None:
        if array.dtype.kind != "f" or values.min(initial=0) < 0 or values.max(initial=0) > 1:
            raise ImageError(
                f"{name} has values of an unknown range",
                found=f"{array.dtype} values from {values.min():g} to {values.max():g}",
                expected="8 or 16 bits without sign, or floating-point values in [0, 1]",
                fix="train with --value-range LOW,HIGH, which states the values of black and white",
            )
        low, high = 0.0, 1.0
    else:
        low, high = form.value_range
    return np.asarray(np.rint(np.clip((values - low) / (high - low), 0, 1) * WHITE).astype(np.uint16))


def finished(array: Pixels, form: PixelFormat, geometry: Geometry, name: str) -> Pixels:
    """Bring levels to the channels, bits and size wanted.

    Args:
        array: levels (H, W, C), uint8 or uint16.
        form: channels and bits of the result.
        geometry: size of the result, and how the image is resized to it.
        name: name of the image, for messages.

    Returns:
        Pixels (C, H, W).

    Raises:
        ImageError: the image has other channels than the form, and neither is gray or RGB.
    """
    check_channels(array.shape[2], form, name)
    if array.shape[2] == 3 and form.channels == 1:  # luma of ITU-R BT.601; of 8 bits as Pillow rounds it for files
        if array.dtype == np.uint8:
            array = np.asarray(Image.fromarray(array).convert("L"))[:, :, None]
        else:
            luma = array @ np.array([0.299, 0.587, 0.114])
            array = np.rint(luma).astype(array.dtype)[:, :, None]
    array = geometry.apply(array)
    if array.dtype == np.uint8 and form.bits == 16:
        array = array.astype(np.uint16) * 257
    elif array.dtype == np.uint16 and form.bits == 8:
        array = np.rint(array / 257).astype(np.uint8)
    if array.shape[2] == 1 and form.channels == 3:
        array = np.repeat(array, 3, axis=2)
    return np.ascontiguousarray(array.transpose(2, 0, 1))


def check_channels(channels: int, form: PixelFormat, name: str) -> None:
    """Refuse an image whose channels cannot become those of the form: only gray and RGB become each other.

    Args:
        channels: number of channels of the image.
        form: the form wanted.
        name: name of the image, for messages.

    Raises:
        ImageError: they cannot.
    """
    if channels != form.channels and not {channels, form.channels} <= {1, 3}:
        raise ImageError(
            f"{name} has another number of channels than the training images",
            found=f"{channels}", expected=f"{form.channels}",
        )  # fmt: skip


def over_white(colour: Pixels, alpha: Pixels, multiplied: bool = False) -> NDArray[np.uint16]:
    """16-bit colour composited over white.

    Args:
        colour: levels (H, W, 3), uint16.
        alpha: opacity (H, W, 1), uint16.
        multiplied: the colour is multiplied by its alpha already.

    Returns:
        Levels (H, W, 3), uint16.
    """
    opaque = np.empty(colour.shape, np.uint16)
    rows = max(1, STRIP // colour.shape[1])
    for top in range(0, len(colour), rows):  # in strips: eight bytes a value would be several times the image
        part = slice(top, top + rows)
        share = alpha[part].astype(np.float64) / WHITE
        ink = colour[part] if multiplied else colour[part] * share
        opaque[part] = np.rint(np.clip(ink + WHITE * (1 - share), 0, WHITE))
    return opaque
