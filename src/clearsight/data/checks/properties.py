"""Properties of images that a network can learn instead of what the images show: file type, size, camera, borders,
colour and brightness.

Shapes: n images, F columns of a property.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.cached_pixels import CachedPixels
from clearsight.data.dataset import Dataset
from clearsight.data.pixels import Header
from clearsight.data.scan import Scan
from clearsight.data.thumbnails import LUMA

SAMPLED = 48
"""Pixels of each row and column that colour and brightness are measured on, at most."""

EVEN = 6
"""Range of the levels, of 255, within which a line of pixels counts as one colour."""

COMMON = 0.1
"""Share of the images of two classes from which a colour at the border is the background of the data, not a frame."""


@dataclass(frozen=True)
class Property:
    """A property of n images. values (n, F): numbers, or codes of words. evidence: whether it may be what distinguishes
    the classes, as colour may.
    """

    name: str
    values: NDArray[Any]
    evidence: bool = False


def properties(dataset: Dataset, scan: Scan, pixels: CachedPixels, rows: NDArray[np.int64]) -> list[Property]:
    """Everything that is compared with the classes, without what is the same for all images.

    Args:
        dataset: images and targets.
        scan: headers of the images.
        pixels: cached pixels of all images.
        rows: positions of the n images.

    Returns:
        The properties.
    """
    headers = [h for i in rows if (h := scan.headers[i]) is not None]
    sides = np.array([(h.width, h.height) for h in headers], float)
    suffixes = [PurePath(dataset.source.name(int(i))).suffix.lower() for i in rows]
    types = [f"{h.format} {h.mode} {suffix}" for h, suffix in zip(headers, suffixes, strict=True)]
    light, tint = _light_and_tint(pixels, rows)
    found = [
        Property("file type", _codes(types)),
        Property("image size", np.column_stack([sides, sides.prod(1)])),
        Property("aspect ratio", np.round(sides[:, :1] / sides[:, 1:], 3)),
        Property("camera (EXIF)", _codes([h.camera for h in headers])),
        Property("border", _borders(pixels, rows, dataset.labels[rows])),
        Property("brightness", light, evidence=True),
        Property("colour", tint, evidence=True),
    ]
    return [one for one in found if one.values.size and (one.values != one.values[0]).any()]


def described(name: str, header: Header, path: str) -> str:
    """The value of a property of one image in words.

    Args:
        name: name of the property.
        header: header of the image.
        path: name of the image.

    Returns:
        The value; "" for properties that have no short description.
    """
    return {
        "file type": f"{header.format} {header.mode} {PurePath(path).suffix.lower()}".strip(),
        "image size": f"{header.width} x {header.height}",
        "aspect ratio": f"{header.width / header.height:.2f}",
        "camera (EXIF)": header.camera or "no camera",
    }.get(name, "")


def _codes(words: list[str]) -> NDArray[np.int64]:
    """A number (n, 1) for each word."""
    return np.unique(words, return_inverse=True)[1].reshape(-1, 1).astype(np.int64)


def _light_and_tint(pixels: CachedPixels, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Brightness (n, 7): quantiles, mean and deviation of the gray levels. Tint (n, 6): red and blue minus green, of
    the mean, the median and the brightest tenth of the pixels, so that a tint shows on white and gray things too;
    (n, 0) of gray images.
    """
    height, width = pixels.array.shape[2:]
    scale = 1.0 if pixels.array.dtype == np.uint8 else 255 / 65535
    light, tint = [], []
    for i in rows:
        planes = pixels.array[i][:, :: -(-height // SAMPLED), :: -(-width // SAMPLED)].astype(np.float32) * scale
        planes = planes.reshape(len(planes), -1)
        gray = LUMA @ planes if len(planes) == 3 else planes.mean(0)
        light.append([*np.quantile(gray, (0, 0.02, 0.5, 0.98, 1)), gray.mean(), gray.std()])
        if len(planes) == 3:
            difference = planes[[0, 2]] - planes[1]
            bright = difference[:, gray >= np.quantile(gray, 0.9)]
            tint.append([*difference.mean(1), *np.median(difference, axis=1), *bright.mean(1)])
    return np.array(light), np.array(tint) if tint else np.zeros((len(rows), 0))


def _borders(pixels: CachedPixels, rows: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Colour codes (n, 4) of the outermost line of pixels at each side; 0 if it is not one colour, or if that colour is
    usual at the borders of several classes.
    """
    scale = 1 if pixels.array.dtype == np.uint8 else 257
    codes = np.zeros((len(rows), 4), np.int64)
    for k, i in enumerate(rows):
        image = pixels.array[i]
        for side, line in enumerate((image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1])):
            levels = np.asarray(line) // scale
            if (np.ptp(levels, axis=1) <= EVEN).all():
                steps = np.median(levels, axis=1).astype(int) // 24
                codes[k, side] = 1 + int(sum(step * 11**place for place, step in enumerate(steps)))
    for code in np.unique(codes[codes > 0]):
        shares = [(codes[labels == c] == code).any(1).mean() for c in np.unique(labels)]
        if np.sum(np.array(shares) >= COMMON) > 1:
            codes[codes == code] = 0
    return codes
