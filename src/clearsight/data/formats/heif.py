"""HEIC and HEIF, the photos of phones: read with pillow-heif, whose images Pillow treats like its own."""

from __future__ import annotations

import io
from typing import Any

from clearsight.data.formats import pillow
from clearsight.data.formats.conversion import EXTRA, reason
from clearsight.data.geometry import Geometry
from clearsight.data.pixel_format import Header, PixelFormat, Pixels
from clearsight.errors import ImageError

BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def matches(content: bytes, name: str) -> bool:
    """Whether a file is of this format, by its brand [ISO/IEC 23008-12].

    Args:
        content: bytes of the file.
        name: name of the image.

    Returns:
        True for HEIC and HEIF; False for AVIF, whose main brand may be that of HEIF.
    """
    return content[4:8] == b"ftyp" and content[8:12] in BRANDS and b"avif" not in content[8:64]


def header(content: bytes, name: str) -> Header:
    """Size and mode of an image.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.

    Returns:
        The header.

    Raises:
        ImageError: the file is damaged, or pillow-heif is missing.
    """
    with _opened(content, name) as image:
        return pillow.header_of(image, b"", name)


def decode(content: bytes, name: str, form: PixelFormat, geometry: Geometry) -> Pixels:
    """Decode one image.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.
        form: channels and bits of the result.
        geometry: size of the result, and how the image is resized to it.

    Returns:
        Pixels (C, H, W).

    Raises:
        ImageError: the file is damaged, or pillow-heif is missing.
    """
    with _opened(content, name) as image:
        return pillow.decode_opened(image, b"", name, form, geometry)


def _opened(content: bytes, name: str) -> Any:
    """A PIL image; the plug-in is not registered with Pillow, which belongs to the program around."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise ImageError(
            f"{name} is a HEIC image, which needs pillow-heif", found="no pillow-heif", fix=EXTRA
        ) from error
    try:
        return HeifImageFile(io.BytesIO(content), "")
    except Exception as error:  # libheif's errors are of several types
        raise ImageError(f"{name} cannot be opened", found=reason(error), expected="a complete HEIC file") from error
