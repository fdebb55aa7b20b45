"""What Pillow decodes: BMP, GIF, JPEG, PNG, PPM, TIFF, WebP and AVIF; and PIL images in memory.

Files are opened without Pillow's global registry and limits, which belong to the program around. Shapes: H, W = height
and width in pixels, C = channels (1 or 3).
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import struct
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from clearsight.data.formats.conversion import TURN, check_size, finished, over_white, reason, with_levels
from clearsight.data.formats.reduction import BlockMeans, reduction
from clearsight.data.geometry import Geometry
from clearsight.data.pixel_format import FULL_PIXELS, Header, PixelFormat, Pixels
from clearsight.errors import ImageError

MAX_SIDE = 65_535
"""Pixels a side, JPEG's own limit. Scaling needs memory for the longer side too, not for the pixels alone."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP", "AVIF")
"""What is opened, whatever the file is called: Pillow knows more, among them some that start other programs (EPS)."""

STRIP = 2_000_000
"""Pixels of a large image that are converted at once."""

LARGE = threading.Lock()
"""Held while an image of more than `FULL_PIXELS` is decoded: each may take a gigabyte."""


def header(content: bytes, name: str) -> Header:
    """Size, mode and bit depth of an image, without decoding it.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.

    Returns:
        The header.

    Raises:
        ImageError: it is not an image, or has too long a side.
    """
    with opened(content, name) as image:
        return header_of(image, content, name)


def header_of(image: Image.Image, content: bytes, name: str) -> Header:
    """As `header`, of an opened image.

    Args:
        image: the image, not loaded.
        content: bytes of the file; empty for pixels in memory and formats whose depth Pillow knows.
        name: name of the image, for messages.

    Returns:
        The header.

    Raises:
        ImageError: the image is damaged, or has too long a side.
    """
    _check_image(image, name)
    width, height = image.size
    try:
        orientation = orientation_of(image, content)
        return Header(
            width=width,
            height=height,
            mode=_true_mode(image, content),
            format=image.format or "PIL",
            bits=_bits(image, content),
            frames=_frames(image) if image.format else 1,
            oriented=orientation != 1,
            turned=orientation >= 5,
            alpha=has_alpha(image),
            camera=_camera(image, content) if content else "",
        )
    except Exception as error:  # a broken header can fail anywhere inside a plug-in
        raise ImageError(f"{name} cannot be opened", found=reason(error)) from error


def decode(content: bytes, name: str, form: PixelFormat, geometry: Geometry) -> Pixels:
    """Decode one image.

    The frames of an animation are not counted: a small file can hold a million.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.
        form: channels and bits of the result, and the limit of pixels.
        geometry: size of the result, and how the image is resized to it.

    Returns:
        Pixels (C, H, W).

    Raises:
        ImageError: the image does not decode to its end, or is too large.
    """
    with opened(content, name) as image:
        return decode_opened(image, content, name, form, geometry)


def decode_opened(image: Image.Image, content: bytes, name: str, form: PixelFormat, geometry: Geometry) -> Pixels:
    """As `decode`, of an opened image.

    Args:
        image: the image, not loaded.
        content: bytes of the file; empty for formats whose depth Pillow knows.
        name: name of the image, for messages.
        form: channels and bits of the result, and the limit of pixels.
        geometry: size of the result, and how the image is resized to it.

    Returns:
        Pixels (C, H, W).

    Raises:
        ImageError: the image does not decode to its end, or is too large.
    """
    _check_image(image, name)
    check_size(name, *image.size, form.max_pixels)
    try:
        bits = _bits(image, content)
    except Exception as error:  # a broken header can fail anywhere inside a plug-in
        raise ImageError(f"{name} cannot be opened", found=reason(error)) from error
    kind = image.format
    try:
        if kind in ("JPEG", "MPO"):  # decode at 1/2, 1/4 or 1/8 scale where that still exceeds the need
            image.draft(None, geometry.needed(image.size))
        large = image.width * image.height > FULL_PIXELS
        with LARGE if large else contextlib.nullcontext():
            image.load()
            deep = bits == 16 and not image.mode.startswith("I")
            if deep:
                array = _decode_deep_colour(image, content)
            else:
                array = _reduced(image, form, geometry) if large else to_array(image, form)
        if kind == "TIFF" and bits == 16 and image.tag_v2.get(262) == 0:  # type: ignore[attr-defined]
            array = 65535 - array  # Pillow inverts white-is-zero of 8 bits alone
        # asked after loading: a TIFF is turned by then, and says so
        array = TURN[orientation_of(image, content)](array)
    except Exception as error:  # Pillow's plug-ins raise many kinds for broken files
        raise ImageError(
            f"{name} cannot be decoded", found=reason(error), expected=f"a complete {kind} file"
        ) from error
    return finished(with_levels(array, form, name), form, geometry, name)


def _reduced(image: Image.Image, form: PixelFormat, geometry: Geometry) -> Pixels:
    """As `to_array`, in means of blocks: a large image is converted in strips, so that it is in memory only once."""
    side = reduction(*image.size, geometry)
    if side == 1:
        return to_array(image, form)
    rows, parts = side * max(1, STRIP // image.width // side), []
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(image.height, top + rows)))
        strip.info = image.info
        if strip.mode.startswith("I"):
            deep = to_array(strip, form)
            means = BlockMeans(deep.shape, side, deep.dtype)
            means.add(deep, 0, 0)
            parts.append(means.result())
        else:  # means of premultiplied colours, which alpha does not distort
            strip = strip.convert("RGBA" if has_alpha(strip) else "L" if form.channels == 1 else "RGB")
            parts.append(to_array(strip.reduce(side), form))
    return np.concatenate(parts)


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
        with _plugin(content) as again:
            # a tile is a part of the file still to be decoded: another frame has others
            opened, given = ((one.format, one.size, one.mode, getattr(one, "tile", None)) for one in (again, image))
    except (OSError, ValueError, AttributeError, TypeError):  # a stream that is closed or does not seek
        return None
    return content if given == opened else None


def decode_pillow(image: Image.Image, name: str, form: PixelFormat, geometry: Geometry | None) -> Pixels:
    """Convert a PIL image of any mode by the rules of `decode`.

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
    _check_image(image, name)
    check_size(name, *image.size, form.max_pixels)
    try:
        with _PILLOW:
            image.load()
        array = TURN[orientation_of(image)](to_array(image, form))
    except Exception as error:  # as for files
        raise ImageError(f"{name} cannot be decoded", found=reason(error), expected="a complete PIL image") from error
    return finished(with_levels(array, form, name), form, geometry or Geometry(*array.shape[:2]), name)


_PILLOW = threading.Lock()
"""Held while a PIL image of the user's is loaded: one may be in a list twice, and Pillow loads without a lock."""


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Within it, remarks of Pillow, pydicom, tifffile and OpenCV on damaged metadata and large images are not printed,
    nor SciPy's on chunks of WAV files that hold no sound.

    For the main thread around a whole pass: warning filters and loggers are the process's, so threads must not change
    them.
    """
    loggers = [logging.getLogger(name) for name in ("PIL", "pydicom", "tifffile")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.|pydicom|clearsight\.data\.sound$")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        opencv: Any = getattr(sys.modules.get("cv2"), "utils", None)  # where the program has imported it
        before = opencv.logging.setLogLevel(opencv.logging.LOG_LEVEL_SILENT) if opencv else None
        try:
            yield
        finally:
            if opencv:
                opencv.logging.setLogLevel(before)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def opened(content: bytes, name: str) -> Image.Image:
    """Open an image file without decoding its pixels.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.

    Returns:
        A PIL image.

    Raises:
        ImageError: it is no image of a supported format, or its header is broken.
    """
    try:
        return _with_bmp_alpha(_plugin(content), content)
    except UnidentifiedImageError as error:
        start = content[:12]
        text = start.isascii() and all(b >= 32 or b in (9, 10, 13) for b in start)
        raise ImageError(
            f"{name} is not an image",
            found="text" if text else f"a file that begins with {start!r}",
            expected="BMP, GIF, JPEG, PNG, PPM, TIFF, WebP, AVIF, HEIC, JPEG XL, DICOM or .npy",
        ) from error
    except Exception as error:  # a broken header can fail anywhere inside a plug-in
        raise ImageError(f"{name} cannot be opened", found=reason(error)) from error


def _plugin(content: bytes) -> Image.Image:
    """The image, from the first of Pillow's plug-ins that accepts it. As `Image.open`, but for its limit of pixels,
    which is a global of the process, and for text chunks, which Pillow limits likewise."""
    Image.preinit()
    if not set(FORMATS) <= set(Image.OPEN):
        Image.init()
    prefix, remarks = content[:16], []
    for name in FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        verdict = accept(prefix) if accept and factory else factory is not None
        if isinstance(verdict, str):
            remarks.append(verdict)
        elif verdict and factory is not None:
            try:
                return factory(io.BytesIO(_without_texts(content) if name == "PNG" else content), "")
            except (SyntaxError, IndexError, TypeError, struct.error) as error:
                remarks.append(reason(error))
    raise UnidentifiedImageError("; ".join(remarks))


def _with_bmp_alpha(image: Image.Image, content: bytes) -> Image.Image:
    """A BMP of 32 bits whose fourth bytes are alpha exactly where they are not all 0, whatever its header says: many
    programs write alpha without a mask for it, or a mask without alpha.
    """
    tile = getattr(image, "tile", None)
    if image.format != "BMP" or not tile or tile[0].codec_name != "raw" or tile[0].args[0] not in ("BGRX", "BGRA"):
        return image
    fourth = np.frombuffer(content, np.uint8)[tile[0].offset + 3 :: 4][: image.width * image.height]
    raw, mode = ("BGRA", "RGBA") if fourth.any() else ("BGRX", "RGB")
    image.tile = [tile[0]._replace(args=(raw, *tile[0].args[1:]))]  # type: ignore[attr-defined]
    image._mode = mode
    return image


TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")


def _without_texts(content: bytes) -> bytes:
    """A PNG without its text and colour profile, which are not used, and of which Pillow refuses large ones."""
    if not content.startswith(b"\x89PNG") or not any(kind in content for kind in TEXTS):
        return content
    kept, start = [content[:8]], 8
    while start + 12 <= len(content):
        length = int.from_bytes(content[start : start + 4], "big")
        end = start + 12 + length
        if end > len(content):
            break
        if content[start + 4 : start + 8] not in TEXTS:
            kept.append(content[start:end])
        start = end
    return b"".join([*kept, content[start:]])


def _check_image(image: Image.Image, name: str) -> None:
    """Raise ImageError for an image without pixels, with too long a side, or of a kind whose range is not known."""
    width, height = image.size
    if max(width, height) > MAX_SIDE:
        raise ImageError(
            f"{name} is too large to decode",
            found=f"{width}x{height} = {width * height / 1e6:.0f} million pixels",
            expected=f"at most {MAX_SIDE} pixels per side",
            fix="downscale it first, or save it as a tiled TIFF",
        )
    check_size(name, width, height, MAX_SIDE**2)
    if image.mode == "F":
        raise ImageError(
            f"{name} contains floating-point pixels, whose range is unknown",
            found="mode F",
            expected="8 or 16 bits per channel",
            fix="rescale its pixels and convert it to a 16-bit PNG",
        )


def _bits(image: Image.Image, content: bytes = b"") -> Literal[8, 16]:
    return 16 if image.mode.startswith("I") or _deep_colour(image, content) else 8


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


def has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _frames(image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # a frame behind the first is broken; only the first is used
        return 1


def orientation_of(image: Image.Image, content: bytes = b"") -> int:
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
    if array.shape[2] == 4 and has_alpha(image):
        multiplied = image.format == "TIFF" and 1 in image.tag_v2.get(338, ())  # type: ignore[attr-defined]
        colour = over_white(colour, array[:, :, 3:], multiplied)
    return np.ascontiguousarray(colour)


def _decode_deep_ppm(content: bytes) -> NDArray[np.uint16]:
    """A binary portable pixmap (P6) of more than 8 bits, its maximum scaled to 65535."""
    found = re.match(rb"P6(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s", content)
    if found is None:
        raise ValueError("16 bits per channel in a variant of PPM that cannot be read at full bit depth")
    width, height, maximum = (int(word) for word in found.groups())
    values = np.frombuffer(content, ">u2", width * height * 3, found.end()).reshape(height, width, 3)
    return np.asarray(np.rint(np.minimum(values, maximum) * (65535 / maximum)).astype(np.uint16))


def to_array(image: Image.Image, form: PixelFormat) -> Pixels:
    """A Pillow image as (H, W, C), its own bit depth, alpha laid over white."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise ValueError(f"integers from {values.min()} to {values.max()}, outside the 16-bit range")
        deep = values.astype(np.uint16)[:, :, None]
        clear = image.info.get("transparency")
        return np.where(deep == clear, np.uint16(65535), deep) if isinstance(clear, int) else deep
    if has_alpha(image):
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    if form.channels == 1:
        return np.asarray(image.convert("L"))[:, :, None]
    return np.asarray(image.convert("RGB"))
