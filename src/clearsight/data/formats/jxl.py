"""JPEG XL, read with imagecodecs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.formats.conversion import (
    EXTRA,
    check_size,
    finished,
    over_white,
    reason,
    value_header,
    with_levels,
)
from clearsight.data.geometry import Geometry
from clearsight.data.pixel_format import Header, PixelFormat, Pixels
from clearsight.errors import ImageError

SIGNATURES = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")


def matches(content: bytes, name: str) -> bool:
    """Whether a file is of this format, by its signature.

    Args:
        content: bytes of the file.
        name: name of the image.

    Returns:
        True for JPEG XL.
    """
    return content.startswith(SIGNATURES)


def header(content: bytes, name: str) -> Header:
    """Size and type of an image, which is decoded for them.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.

    Returns:
        The header.

    Raises:
        ImageError: the file is damaged, or imagecodecs is missing.
    """
    image = _image(content, name)
    height, width, samples = image.shape
    channels = samples - (samples in (2, 4))
    if image.dtype not in (np.uint8, np.uint16):
        return value_header(image, name, width, height, "JXL", channels)
    bits: Any = 8 * image.dtype.itemsize
    return Header(width, height, "L" if channels == 1 else "RGB", "JXL", bits, alpha=channels < samples)


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
        ImageError: the file is damaged, too large, or imagecodecs is missing.
    """
    image = _image(content, name)
    check_size(name, image.shape[1], image.shape[0], form.max_pixels)
    array = with_levels(image, form, name)
    if array.shape[2] in (2, 4):
        deep = array.astype(np.uint16) * (257 if array.dtype == np.uint8 else 1)
        opaque = over_white(deep[:, :, :-1], deep[:, :, -1:])
        array = opaque if array.dtype == np.uint16 else np.rint(opaque / 257).astype(np.uint8)
    return finished(array, form, geometry, name)


def _image(content: bytes, name: str) -> NDArray[Any]:
    """The image (H, W, C), alpha included; it is upright already."""
    try:
        from imagecodecs import jpegxl_decode
    except ImportError as error:
        raise ImageError(
            f"{name} is a JPEG XL image, which needs imagecodecs", found="no imagecodecs", fix=EXTRA
        ) from error
    try:
        return np.atleast_3d(jpegxl_decode(content))
    except Exception as error:  # imagecodecs raises its own error, and those of NumPy
        raise ImageError(
            f"{name} cannot be decoded", found=reason(error), expected="a complete JPEG XL file"
        ) from error
