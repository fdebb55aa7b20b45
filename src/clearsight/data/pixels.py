"""From a file to an array: the one place where an image is decoded, for training, prediction and serving alike.

What a file may hold and what becomes of it (rule D2, written into every bundle):

    gray, bilevel                           kept as 1 channel if the whole data set is gray, else repeated to 3
    RGB, palette, CMYK, YCbCr, Lab, HSV     RGB
    an alpha channel, a transparent colour  composited over white
    16 bits per channel                     kept if any image of the data set has them; 8-bit images times 257
    EXIF orientation                        applied
    an animation                            its first frame

Nothing but ImageError comes out of a broken file. Pillow's remarks on damaged metadata are warnings; `quiet_pillow`
silences them around a whole pass.

Shapes: H, W = height and width in pixels, C = channels (1 or 3).
"""

from __future__ import annotations

import contextlib
import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from clearsight.data.geometry import Geometry
from clearsight.data.pixel_format import Header as Header
from clearsight.data.pixel_format import PixelFormat as PixelFormat
from clearsight.data.pixel_format import Pixels as Pixels
from clearsight.data.pixel_format import digest as digest
from clearsight.data.pixel_format import levels as levels
from clearsight.data.pixel_format import read_bytes as read_bytes
from clearsight.errors import ImageError

MAX_PIXELS = 89_478_485
"""Images with more pixels than this are refused before they are decoded: a few kilobytes can unpack to gigabytes.
Pillow's own limit, above which it warns."""

MAX_SIDE = 65_535
"""Pixels a side, JPEG's own limit. Scaling needs memory for the longer side too, not for the pixels alone."""

IMAGE_EXTENSIONS = {
    ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What is opened, whatever the file is called: Pillow knows more, among them some that start other programs (EPS)."""


def image_header(content: bytes, name: str) -> Header:
    """Size, mode and bit depth of an image, without decoding it.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.

    Returns:
        The header.

    Raises:
        ImageError: it is not an image, or is too large to decode.
    """
    with _open(content, name) as image:
        _check_size(image, name, MAX_PIXELS)
        width, height = image.size
        try:
            return Header(
                width=width,
                height=height,
                mode=_true_mode(image, content),
                format=image.format or "",
                bits=_bits(image, content),
                frames=_frames(image),
                oriented=_orientation(image, content) != 1,
                alpha=_has_alpha(image),
                camera=_camera(image, content),
            )
        except Exception as error:  # a broken header can fail anywhere inside a plug-in
            raise ImageError(f"{name} cannot be opened", found=_reason(error)) from error


def decode_image(
    content: bytes, name: str, form: PixelFormat, geometry: Geometry, max_pixels: int = MAX_PIXELS
) -> Pixels:
    """Decode one image.

    The frames of an animation are not counted: a small file can hold a million.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.
        form: channels and bits of the result.
        geometry: size of the result, and how the image is resized to it.
        max_pixels: largest number of pixels that is decoded.

    Returns:
        Pixels (C, H, W).

    Raises:
        ImageError: the image does not decode to its end, or is too large.
    """
    with _open(content, name) as image:
        _check_size(image, name, max_pixels)
        try:
            bits = _bits(image, content)
        except Exception as error:  # a broken header can fail anywhere inside a plug-in
            raise ImageError(f"{name} cannot be opened", found=_reason(error)) from error
        kind = image.format
        try:
            if kind in ("JPEG", "MPO"):  # decode at 1/2, 1/4 or 1/8 scale where that still exceeds the need
                image.draft(None, geometry.needed(image.size))
            image.load()
            deep = bits == 16 and not image.mode.startswith("I")
            array = _decode_deep_colour(image, content) if deep else _to_array(image, form)
            # asked after loading: a TIFF is turned by then, and says so
            array = _TURN[_orientation(image, content)](array)
        except Exception as error:  # Pillow's plug-ins raise many kinds for broken files
            raise ImageError(
                f"{name} cannot be decoded", found=_reason(error), expected=f"a complete {kind} file"
            ) from error
    return _finish(array, form, geometry)


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
    with _open(content, name) as image:
        on_its_side = _orientation(image, content) >= 5
    return (header.height, header.width) if on_its_side else (header.width, header.height)


def opened_content(image: Image.Image) -> bytes | None:
    """The content of the file that a PIL image was opened from.

    Args:
        image: the PIL image.

    Returns:
        The bytes; None if there is no file, or if the image was loaded or moved to another frame, after which its
        pixels may have been changed.
    """
    stream = getattr(image, "fp", None)
    if image.format not in (*FORMATS, "MPO") or not getattr(image, "tile", None) or stream is None:
        return None
    try:
        with _PILLOW:
            place = stream.seek(0, io.SEEK_CUR)
            stream.seek(0)
            content = bytes(stream.read())
            stream.seek(place)
        with Image.open(io.BytesIO(content), formats=FORMATS) as again:
            # a tile is a part of the file still to be decoded: another frame has others
            opened, given = ((one.format, one.size, one.mode, getattr(one, "tile", None)) for one in (again, image))
    except (OSError, ValueError, AttributeError, TypeError):  # a stream that is closed or does not seek
        return None
    return content if given == opened else None


def pillow_header(image: Image.Image, name: str) -> Header:
    """As `image_header`, for a PIL image in memory.

    Args:
        image: the PIL image.
        name: name of the image, for messages.

    Returns:
        The header.

    Raises:
        ImageError: the image is damaged or too large.
    """
    _check_size(image, name, MAX_PIXELS)
    try:
        return Header(
            width=image.width, height=image.height, mode=_true_mode(image), format=image.format or "PIL",
            bits=_bits(image), oriented=_orientation(image) != 1, alpha=_has_alpha(image),
        )  # fmt: skip
    except Exception as error:  # as for files
        raise ImageError(f"{name} is a damaged PIL image", found=_reason(error)) from error


def decode_pillow(image: Image.Image, name: str, form: PixelFormat, geometry: Geometry | None) -> Pixels:
    """Convert a PIL image of any mode by the rules of `decode_image`.

    Args:
        image: the PIL image.
        name: name of the image, for messages.
        form: channels and bits of the result.
        geometry: size of the result; None keeps the image's own size.

    Returns:
        Pixels (C, H, W).

    Raises:
        ImageError: the image cannot be loaded, is empty or too large.
    """
    _check_size(image, name, MAX_PIXELS)
    try:
        with _PILLOW:
            image.load()
        array = _TURN[_orientation(image)](_to_array(image, form))
    except Exception as error:  # as for files
        raise ImageError(f"{name} cannot be decoded", found=_reason(error), expected="a complete PIL image") from error
    return _finish(array, form, geometry or Geometry(*array.shape[:2]))


_PILLOW = threading.Lock()
"""Held while a PIL image of the user's is loaded: one may be in a list twice, and Pillow loads without a lock."""


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Within it, Pillow's warnings about damaged metadata and large images are not printed, nor SciPy's about chunks of
    WAV files that hold no sound.

    For the main thread around a whole pass: warning filters are the process's, so threads must not change them.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.|clearsight\.data\.sound$")
        yield


def from_array(array: NDArray[Any], name: str, form: PixelFormat, geometry: Geometry) -> Pixels:
    """Convert an array by the rules of `decode_image`.

    Args:
        array: pixels (H, W) or (C, H, W), uint8 or uint16; 4 channels are RGBA.
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
    if array.ndim != 3 or array.shape[0] not in (1, 3, 4) or array.dtype not in (np.uint8, np.uint16):
        raise ImageError(
            f"{name} is not an image",
            found=f"an array of shape {array.shape}, {array.dtype}",
            expected="(H, W) or (C, H, W) with 1, 3 or 4 channels, uint8 or uint16",
        )
    pixels = np.ascontiguousarray(array.transpose(1, 2, 0))
    if pixels.shape[2] == 4:
        deep = pixels.dtype == np.uint16
        pixels = _over_white(pixels[:, :, :3], pixels[:, :, 3:]) if deep else _to_array(Image.fromarray(pixels), form)
    return _finish(pixels, form, geometry)


def _open(content: bytes, name: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{name} is too large to decode",
            found=_reason(error),
            expected=f"at most {MAX_PIXELS // 10**6} million pixels",
            fix="downscale it first",
        ) from error
    except UnidentifiedImageError as error:
        start = content[:12]
        text = start.isascii() and all(b >= 32 or b in (9, 10, 13) for b in start)
        raise ImageError(
            f"{name} is not an image",
            found="text" if text else f"a file that begins with {start!r}",
            expected="BMP, GIF, JPEG, PNG, PPM, TIFF or WebP with 8 or 16 bits per channel",
        ) from error
    except Exception as error:  # a broken header can fail anywhere inside a plug-in
        raise ImageError(f"{name} cannot be opened", found=_reason(error)) from error


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    """Raise ImageError for an image too large to decode, without pixels, or of a kind whose range is not known."""
    width, height = image.size
    if not width or not height:
        raise ImageError(f"{name} has no pixels", found=f"{width}x{height}")
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise ImageError(
            f"{name} is too large to decode",
            found=f"{width}x{height} = {width * height / 1e6:.0f} million pixels",
            expected=f"at most {max_pixels / 1e6:.4g} million, and {MAX_SIDE} per side",
            fix="downscale it first",
        )
    if image.mode == "F":
        raise ImageError(
            f"{name} contains floating-point pixels, whose range is unknown",
            found="mode F",
            expected="8 or 16 bits per channel",
            fix="rescale its pixels and convert it to a 16-bit PNG",
        )


def _bits(image: Image.Image, content: bytes = b"") -> Literal[8, 16]:
    return 16 if image.mode.startswith("I") or _deep_colour(image, content) else 8


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _true_mode(image: Image.Image, content: bytes = b"") -> str:
    """The mode, also where Pillow does not distinguish gray from colour: gray palettes, which many GIFs have, and PNGs
    of 16-bit gray with alpha."""
    if image.mode == "P" and "transparency" not in image.info and image.palette is not None:
        raw = bytes(image.palette.getdata()[1])
        rgb = np.frombuffer(raw[: len(raw) // 3 * 3], np.uint8).reshape(-1, 3)
        if image.palette.mode == "RGB" and len(rgb) and (rgb == rgb[:, :1]).all():
            return "L"
    if content and image.format == "PNG" and content[25] == 4:
        return "LA"
    return image.mode


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _frames(image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # a frame behind the first is broken; only the first is used
        return 1


def _orientation(image: Image.Image, content: bytes = b"") -> int:
    """EXIF orientation, 1 to 8; 1, as it lies, where there is none or the metadata is damaged."""
    value = _exif(image, content, 0x0112)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _camera(image: Image.Image, content: bytes) -> str:
    """Make and model of the camera; "" where EXIF names none."""
    words = (_exif(image, content, tag) for tag in (0x010F, 0x0110))
    return " ".join(word.strip(" \0") for word in words if isinstance(word, str))[:100].strip()


def _exif(image: Image.Image, content: bytes, tag: int) -> Any:
    """The value of an EXIF tag; None where it is not given or the metadata is damaged."""
    if content and image.format == "PNG" and b"eXIf" not in content:
        return None  # without this chunk Pillow would decode every pixel in search of it
    try:
        return image.getexif().get(tag)
    except Exception:  # the pixels of such an image are as good as any
        return None


_TURN: dict[int, Callable[[Pixels], Pixels]] = {  # what brings (H, W, C) upright, per EXIF orientation
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a[::-1].transpose(1, 0, 2),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a[:, ::-1].transpose(1, 0, 2),
}


def _deep_colour(image: Image.Image, content: bytes) -> bool:
    """Whether the file holds 16-bit colour or alpha, which Pillow would cut to 8 bits without a word."""
    if not content:  # pixels that Pillow holds already
        return False
    if image.format == "PNG":
        return content[24] == 16 and content[25] in (2, 4, 6)
    if image.format == "TIFF":
        return image.mode in ("RGB", "RGBA", "CMYK") and 16 in image.tag_v2.get(258, ())  # type: ignore[attr-defined]
    return image.format == "PPM" and image.mode == "RGB" and _ppm_maximum(image) > 255


def _ppm_maximum(image: Image.Image) -> int:
    return max((a for a in image.tile[0].args if isinstance(a, int)), default=255)  # type: ignore[attr-defined]


def _decode_deep_colour(image: Image.Image, content: bytes) -> NDArray[np.uint16]:
    """16-bit colour as (H, W, 3), alpha laid over white. Pillow has loaded the image, so the file is known to be whole;
    ValueError for what cannot be read at full depth."""
    if image.format == "PPM":
        return _decode_deep_ppm(content)
    import cv2

    array = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16 or array.shape[:2] != image.size[::-1] or image.mode == "CMYK":
        raise ValueError(f"16 bits per channel in a variant of {image.format} that cannot be read at full bit depth")
    if array.ndim == 2:
        return np.asarray(array[:, :, None])
    colour = array[:, :, :3][:, :, ::-1]
    if array.shape[2] == 4 and _has_alpha(image):
        multiplied = image.format == "TIFF" and 1 in image.tag_v2.get(338, ())  # type: ignore[attr-defined]
        colour = _over_white(colour, array[:, :, 3:], multiplied)
    return np.ascontiguousarray(colour)


def _over_white(colour: Pixels, alpha: Pixels, multiplied: bool = False) -> NDArray[np.uint16]:
    """16-bit colour (H, W, 3) under its alpha (H, W, 1), by which it may be multiplied already, laid over white."""
    share = alpha.astype(np.float64) / 65535
    ink = colour if multiplied else colour * share
    return np.asarray(np.rint(np.clip(ink + 65535 * (1 - share), 0, 65535)).astype(np.uint16))


def _decode_deep_ppm(content: bytes) -> NDArray[np.uint16]:
    """A binary portable pixmap (P6) of more than 8 bits, its maximum scaled to 65535."""
    found = re.match(rb"P6(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s", content)
    if found is None:
        raise ValueError("16 bits per channel in a variant of PPM that cannot be read at full bit depth")
    width, height, maximum = (int(word) for word in found.groups())
    values = np.frombuffer(content, ">u2", width * height * 3, found.end()).reshape(height, width, 3)
    return np.asarray(np.rint(np.minimum(values, maximum) * (65535 / maximum)).astype(np.uint16))


def _to_array(image: Image.Image, form: PixelFormat) -> Pixels:
    """A Pillow image as (H, W, C), its own bit depth, alpha laid over white."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise ValueError(f"integers from {values.min()} to {values.max()}, outside the 16-bit range")
        deep = values.astype(np.uint16)[:, :, None]
        clear = image.info.get("transparency")
        return np.where(deep == clear, np.uint16(65535), deep) if isinstance(clear, int) else deep
    if _has_alpha(image):
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    if form.channels == 1:
        return np.asarray(image.convert("L"))[:, :, None]
    return np.asarray(image.convert("RGB"))


def _finish(array: Pixels, form: PixelFormat, geometry: Geometry) -> Pixels:
    """(H, W, C) of any depth and channels to (C, H, W) in the form and size wanted."""
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
