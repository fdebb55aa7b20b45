"""Small pictures for a page that asks for them one by one: many maps in one file, a map to lay over an image, what an
attack changed. All are PNG data URIs, pixel by pixel; the page enlarges them.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clearsight.data.displayed import displayed_as_rgb
from clearsight.report.components.map_colours import colours, strength
from clearsight.report.components.pictures import image_uri
from clearsight.report.tiles import Colours, bright, signed

Floats = NDArray[np.floating]


def png(picture: Colours) -> str:
    """(H, W, 3) or (H, W, 4) in [0, 1] as a PNG data URI of as many pixels."""
    eight = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return image_uri(Image.fromarray(eight), compress_level=6)


def fitted(picture: Colours, side: int) -> Colours:
    """A picture (H, W, 3) with no side above so many pixels."""
    longer = max(picture.shape[:2])
    if longer <= side:
        return picture
    height, width = (max(1, round(n * side / longer)) for n in picture.shape[:2])
    return np.asarray(
        cv2.resize(np.ascontiguousarray(picture, np.float32), (width, height), interpolation=cv2.INTER_AREA)
    )


def heat_layer(heat: Floats) -> Colours:
    """A map (H, W) in its colours (H, W, 4), as opaque as it is strong."""
    return np.concatenate([colours(heat), strength(heat)[..., None]], axis=2)


def unit_colours(values: Floats, top: float | None = None) -> Colours:
    """Values of units (h, w) in colours (h, w, 3): dark at zero, or red above and blue below where some are negative.
    top: the absolute value of full colour, the largest of the map unless given.
    """
    top = top if top is not None else float(np.abs(values).max())
    return signed(values, top or 1.0) if (values < 0).any() else bright(values, 0.0, top or 1.0)


def sprite(
    maps: Sequence[Floats], columns: int, side: int, *, below_zero: Sequence[bool], tops: Sequence[float]
) -> Colours:
    """Maps (h, w) as tiles of side x side in rows of `columns`, each to its own top and in the colours of its kind.

    Larger maps are averaged down, smaller ones enlarged to squares, so that every tile shows its whole map.
    """
    rows = max(1, -(-len(maps) // columns))
    sheet = np.zeros((rows * side, columns * side, 3))
    for number, (values, both, top) in enumerate(zip(maps, below_zero, tops, strict=True)):
        small = np.asarray(values, np.float32)
        if max(small.shape) > side:
            small = cv2.resize(small, (side, side), interpolation=cv2.INTER_AREA)
        tile = signed(small, top or 1.0) if both else bright(small, 0.0, top or 1.0)
        if tile.shape[:2] != (side, side):
            tile = cv2.resize(tile, (side, side), interpolation=cv2.INTER_NEAREST)
        y, x = number // columns * side, number % columns * side
        sheet[y : y + side, x : x + side] = tile
    return sheet


def difference(before: Floats, after: Floats) -> tuple[Colours, float]:
    """What changed between two images (C, H, W), gray where nothing did (H, W, 3), and how often it was enlarged so
    that the largest change is seen at full strength.
    """
    change = np.asarray(after - before, np.float64)
    largest = float(np.abs(change).max())
    gain = 0.5 / largest if largest > 0 else 1.0
    return np.moveaxis(0.5 + gain * displayed_as_rgb(change), 0, 2), gain
