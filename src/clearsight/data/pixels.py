"""From a file to an array: the one place where an image is decoded, for training, prediction and serving alike.

What a file may hold and what becomes of it (rule D2, written into every bundle):

    gray, bilevel                        kept as 1 channel if the whole data set is gray, else repeated to 3
    RGB, palette, CMYK, YCbCr, Lab, HSV  RGB
    an alpha channel                     composited over white
    16 bits per channel                  kept as 16 bits if any image of the data set has them, 8-bit images times 257
    EXIF orientation                     applied
    an animation                         its first frame

Shapes: H, W = height and width in pixels, C = channels (1 or 3).
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from clearsight.data.geometry import Geometry
from clearsight.errors import ImageError

MAX_PIXELS = 100_000_000
"""Images with more pixels than this are refused before they are decoded: a few kilobytes can unpack to gigabytes."""

GRAY_MODES = {"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I"}
EXTENSIONS = {
    ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip

Pixels = NDArray[Any]
"""uint8 or uint16."""


@dataclass(frozen=True)
class Header:
    """What is known of an image before its pixels are decoded."""

    width: int
    height: int
    mode: str
    format: str
    bits: Literal[8, 16]
    frames: int = 1
    oriented: bool = False

    @property
    def gray(self) -> bool:
        return self.mode in GRAY_MODES


@dataclass(frozen=True)
class PixelFormat:
    """The form in which every image of a data set reaches the network: channels (1 or 3) and bits (8 or 16)."""

    channels: int
    bits: int

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)

    def to_dict(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def covering(cls, headers: list[Header]) -> PixelFormat:
        """The smallest format that holds every image without loss: 3 channels if any has colour, 16 bits if any has."""
        return cls(
            channels=1 if all(h.gray for h in headers) else 3,
            bits=16 if any(h.bits == 16 for h in headers) else 8,
        )


def digest(content: bytes) -> str:
    """Name of a content: 128 bits of BLAKE2b, in hexadecimal."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def read_bytes(path: str | Path) -> bytes:
    """The bytes of an image file; ImageError when it is missing, unreadable or empty."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(f"{path} cannot be read", found=error.strerror or str(error)) from error
    if not content:
        raise ImageError(f"{path} is empty", found="0 bytes", expected="an image")
    return content


def read_header(content: bytes, name: str) -> Header:
    """Read size, mode and bit depth without decoding; ImageError for what is no image or too large to decode."""
    with _open(content, name) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ImageError(
                f"{name} is too large to decode",
                found=f"{width}x{height} = {width * height / 1e6:.0f} million pixels",
                expected=f"at most {MAX_PIXELS / 1e6:.0f} million",
                fix="scale it down first",
            )
        if image.mode == "F":
            raise ImageError(
                f"{name} holds floating-point pixels, whose range is not known",
                found="mode F",
                expected="8 or 16 bits per channel",
                fix="convert it to 16-bit PNG with a range of your choice",
            )
        deep = _deep_colour(content) or image.mode.startswith("I")
        # of a PNG without this chunk Pillow would decode every pixel in search of it
        orientation = image.getexif().get(0x0112, 1) if image.format != "PNG" or b"eXIf" in content else 1
        return Header(
            width=width,
            height=height,
            mode=_true_mode(image),
            format=image.format or "",
            bits=16 if deep else 8,
            frames=getattr(image, "n_frames", 1),
            oriented=orientation not in (0, 1),
        )


def decode(content: bytes, name: str, form: PixelFormat, geometry: Geometry) -> Pixels:
    """Decode one image to (C, H, W) at the geometry's size and in the given form.

    Raises ImageError, naming the image, for anything that does not decode to the end.
    """
    header = read_header(content, name)
    if _deep_colour(content):
        return _finish(_decode_deep_colour(content, name), form, geometry)
    with _open(content, name) as image:
        try:
            if image.format == "JPEG":  # decode at 1/2, 1/4 or 1/8 scale where that still exceeds the size needed
                image.draft(None, geometry.needed(image.size))
            image.load()
        except Exception as error:  # Pillow's plug-ins raise many kinds for broken files
            raise ImageError(
                f"{name} does not decode", found=_reason(error), expected=f"a whole {header.format} file"
            ) from error
        turned = ImageOps.exif_transpose(image) if header.oriented else image
        return _finish(_to_array(turned, form), form, geometry)


def from_array(array: NDArray[Any], name: str, form: PixelFormat, geometry: Geometry) -> Pixels:
    """Bring an array (H, W) or (C, H, W) of uint8 or uint16 to the given form and geometry, as `decode` does a file."""
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.shape[0] not in (1, 3) or array.dtype not in (np.uint8, np.uint16):
        raise ImageError(
            f"{name} is no image",
            found=f"an array of shape {array.shape}, {array.dtype}",
            expected="(H, W) or (C, H, W) with 1 or 3 channels, uint8 or uint16",
        )
    return _finish(np.ascontiguousarray(array.transpose(1, 2, 0)), form, geometry)


def _open(content: bytes, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the bomb warning: our own limit above is stricter and says more
            return Image.open(io.BytesIO(content))
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{name} is too large to decode",
            found=_reason(error),
            expected=f"at most {MAX_PIXELS / 1e6:.0f} million pixels",
            fix="scale it down first",
        ) from error
    except UnidentifiedImageError as error:
        start = content[:12]
        kind = "text" if start.isascii() and all(b >= 32 or b in (9, 10, 13) for b in start) else repr(start)
        raise ImageError(f"{name} is not an image", found=kind, expected="JPEG, PNG, TIFF, ...") from error
    except Exception as error:  # a broken header can fail anywhere inside a plug-in
        raise ImageError(f"{name} does not open", found=_reason(error)) from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _true_mode(image: Image.Image) -> str:
    """The mode, telling a gray palette (as many GIFs have) from a coloured one."""
    if image.mode == "P" and "transparency" not in image.info and image.palette is not None:
        raw = bytes(image.palette.getdata()[1])
        rgb = np.frombuffer(raw[: len(raw) // 3 * 3], np.uint8).reshape(-1, 3)
        if image.palette.mode == "RGB" and len(rgb) and (rgb == rgb[:, :1]).all():
            return "L"
    return image.mode


def _deep_colour(content: bytes) -> bool:
    """Whether this is a PNG of 16 bits with colour or alpha, which Pillow would cut to 8 bits without a word."""
    if content[:8] != b"\x89PNG\r\n\x1a\n" or content[12:16] != b"IHDR" or len(content) < 26:
        return False
    bits, colour_type = struct.unpack(">BB", content[24:26])
    return bits == 16 and colour_type in (2, 4, 6)


def _decode_deep_colour(content: bytes, name: str) -> NDArray[np.uint16]:
    import cv2

    array = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        raise ImageError(f"{name} does not decode", found="a broken 16-bit PNG", expected="a whole file")
    if array.ndim == 2:
        return np.asarray(array[:, :, None])
    colour = array[:, :, :3][:, :, ::-1]
    if array.shape[2] == 4:  # over white
        alpha = array[:, :, 3:].astype(np.float64) / 65535
        colour = np.rint(colour * alpha + 65535 * (1 - alpha)).astype(np.uint16)
    return np.ascontiguousarray(colour)


def _to_array(image: Image.Image, form: PixelFormat) -> Pixels:
    """A Pillow image as (H, W, C), its own bit depth, alpha laid over white."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise ImageError(
                "an image holds integers beyond 16 bits",
                found=f"{values.min()} to {values.max()}",
                expected="0 to 65535",
            )
        return values.astype(np.uint16)[:, :, None]
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    if form.channels == 1:
        return np.asarray(image.convert("L"))[:, :, None]
    return np.asarray(image.convert("RGB"))


def _finish(array: Pixels, form: PixelFormat, geometry: Geometry) -> Pixels:
    """(H, W, C) of any depth and channels to (C, H, W) in the form and size wanted."""
    if array.shape[2] == 3 and form.channels == 1:  # luma of ITU-R BT.601, as Pillow's "L"
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
