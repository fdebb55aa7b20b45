"""Images as small pictures inside a page: from pixels, or single rows of the pixel cache, to data URIs."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clearsight.data.displayed import displayed, displayed_as_rgb
from clearsight.data.pixels import Header, levels
from clearsight.data.prepare import Prepared

PIXEL_ART = 48
"""Images with no side above this many pixels are kept pixel by pixel and enlarged by the browser without blur."""


Thumbnail = NDArray[np.uint8]
"""(H, W) in gray or (H, W, 3): an image as small as a page shows it."""


@dataclass(frozen=True)
class Picture:
    """A picture for an <img>: its data URI, size in pixels, and whether its pixels are to be shown as squares."""

    uri: str
    width: int
    height: int
    pixelated: bool
    alt: str


def picture(prepared: Prepared, index: int, side: int, alt: str, *, pixels: NDArray[Any] | None = None) -> Picture:
    """Image `index` of the data set as a picture; see `data_thumbnail`."""
    return encoded(data_thumbnail(prepared, index, side, pixels=pixels), alt)


def data_thumbnail(prepared: Prepared, index: int, side: int, *, pixels: NDArray[Any] | None = None) -> Thumbnail:
    """Image `index` of the data set with no side above `side` pixels; a squashed one gets its own proportions back.

    pixels: the displayed channels of a changed version of it (C, H, W), of the same type, to show instead.
    """
    own = displayed(prepared.pixels.array[index], prepared.form.shown)
    header = prepared.scan.headers[index] if prepared.geometry.resize_mode == "squash" else None
    return thumbnail(eight_bits(own if pixels is None else pixels, like=own), side, header)


def thumbnail(image: Thumbnail, side: int, header: Header | None = None) -> Thumbnail:
    """An image with no side above `side` pixels; a small one stays as it is. header: of the file it was squashed from,
    whose proportions it gets back.
    """
    height, width = image.shape[:2]
    if max(width, height) <= PIXEL_ART:
        return image
    if header is not None and not header.oriented:
        width, height = header.width, header.height
    factor = min(1.0, side / max(width, height))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    if size == image.shape[1::-1]:
        return image
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def encoded(image: Thumbnail, alt: str) -> Picture:
    """A thumbnail inside the page: small images as they are, others as JPEG."""
    height, width = image.shape[:2]
    small = max(height, width) <= PIXEL_ART
    made = Image.fromarray(image)
    uri = image_uri(made, optimize=True) if small else image_uri(made, "JPEG", quality=80)
    return Picture(uri, width, height, small, alt)


def eight_bits(pixels: NDArray[Any], like: NDArray[Any] | None = None) -> NDArray[np.uint8]:
    """Displayed channels (C, H, W) as (H, W) or (H, W, 3) uint8. 16-bit images are stretched between their darkest and
    brightest permille: divided by 257, the 12 bits that many microscopes use would be almost black. like: an image
    whose own darkest and brightest count instead, so that a change of light is seen.
    """
    pixels = displayed(pixels)
    if pixels.dtype != np.uint8:
        low, high = np.percentile(pixels if like is None else displayed(like), (0.1, 99.9))
        scaled = (pixels.astype(np.float32) - low) / max(float(high - low), 1.0)
        pixels = np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    picked: NDArray[np.uint8] = pixels[0] if pixels.shape[0] == 1 else pixels.transpose(1, 2, 0)
    return np.ascontiguousarray(picked)


def image_uri(image: Image.Image, kind: str = "PNG", **options: Any) -> str:
    """An image as a data URI; kind and options as Pillow's `save` takes them."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def data_uri(pixels: NDArray[np.floating]) -> str:
    """(C, H, W) in [0, 1] as a PNG data URI, small images enlarged pixel by pixel."""
    eight = np.round(np.clip(rgb(pixels), 0, 1) * 255).astype(np.uint8)
    scale = max(1, math.ceil(96 / max(eight.shape[:2])))
    return image_uri(Image.fromarray(eight.repeat(scale, 0).repeat(scale, 1)))


def rgb(pixels: NDArray[np.floating]) -> NDArray[np.floating]:
    """(C, H, W) as (H, W, 3); of other than three channels those that are displayed."""
    return np.moveaxis(displayed_as_rgb(pixels), 0, 2)


def visible(pixels: NDArray[np.floating]) -> NDArray[np.floating]:
    """(C, H, W) in [0, 1]; of 16 bits stretched as `eight_bits` does, since few instruments use their whole range."""
    if levels(pixels).dtype == np.uint8:
        return pixels
    low, high = np.percentile(displayed(pixels), (0.1, 99.9))
    return np.asarray(np.clip((pixels - low) / max(1e-6, float(high - low)), 0, 1), pixels.dtype)


def rgb_thumbnail(image: Thumbnail) -> NDArray[np.float64]:
    """A thumbnail as (H, W, 3) in [0, 1]."""
    return np.asarray((image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)) / 255.0)
