"""Heatmaps as pictures: the image, the map, and the map laid over the image, with what says whether to believe it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from clearsight.report.components.pictures import rgb
from clearsight.report.drawings import wrapped
from clearsight.report.tiles import INK, SOFT

if TYPE_CHECKING:
    from clearsight.explanation import Explanation

Colours = NDArray[np.float64]

SIDE = 240
"""Longer side of a drawn image in pixels, at least."""

GAP = 8
"""Pixels between pictures and around them."""

LARGE, MIDDLE, SMALL = (ImageFont.load_default(size) for size in (17, 15, 12))

PERCENTILE = 99
"""Percentile of a map that is drawn as its strongest colour, so that single pixels do not hide the rest."""


def colours(heat: NDArray[np.floating]) -> Colours:
    """A map (H, W) in colours (H, W, 3): dark to bright; where it is signed, blue (against) over white to red (for)."""
    top = float(np.percentile(np.abs(heat), PERCENTILE)) or float(np.abs(heat).max()) or 1.0
    if heat.min() < 0:
        return np.asarray(matplotlib.colormaps["RdBu_r"](0.5 + np.clip(heat / top, -1, 1) / 2))[..., :3]
    return np.asarray(matplotlib.colormaps["inferno"](np.clip(heat / top, 0, 1)))[..., :3]


def overlay(pixels: NDArray[np.floating], heat: NDArray[np.floating], opacity: float = 0.6) -> Colours:
    """The image in gray (C, H, W) under the map's colours, as opaque as the map is strong: (H, W, 3)."""
    share = opacity * strength(heat)[..., None]
    gray = np.repeat(rgb(pixels).mean(2, keepdims=True), 3, axis=2)
    return np.asarray((1 - share) * gray + share * colours(heat))


def strength(heat: NDArray[np.floating]) -> Colours:
    """How strong a map (H, W) is at each place, from 0 to 1."""
    top = float(np.percentile(np.abs(heat), PERCENTILE)) or 1.0
    return np.asarray(np.clip(np.abs(heat) / top, 0, 1), np.float64)


def heat_sheet(found: Sequence[Explanation]) -> Colours:
    """Explanations of one image below each other, under its answer (H, W, 3)."""
    parts = [[_enlarged(p) for p in (rgb(e.pixels), colours(e.heat), overlay(e.pixels, e.heat))] for e in found]
    tall, wide = parts[0][0].size[1], parts[0][0].size[0]
    width = max(3 * wide + 4 * GAP, 620)
    blank = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    heading = wrapped(blank, found[0].said, width - 2 * GAP, LARGE)
    captions = [wrapped(blank, e.remarks, width - 2 * GAP, SMALL) for e in found]
    height = 22 * len(heading) + sum(24 + 15 * len(lines) + tall + 2 * GAP for lines in captions) + 3 * GAP
    sheet = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(sheet)
    top = GAP
    for line in heading:
        pen.text((GAP, top), line, fill=INK, font=LARGE)
        top += 22
    top += GAP
    for e, lines, row in zip(found, captions, parts, strict=True):
        pen.text((GAP, top), e.method, fill=INK, font=MIDDLE)
        top += 24
        for line in lines:
            pen.text((GAP, top - 4), line, fill=SOFT, font=SMALL)
            top += 15
        for i, part in enumerate(row):
            sheet.paste(part, (GAP + i * (wide + GAP), top))
        top += tall + 2 * GAP
    return np.asarray(sheet) / 255


def _enlarged(picture: NDArray[np.floating]) -> Image.Image:
    """A picture (H, W, 3), each pixel so often that the longer side is about SIDE."""
    scale = max(1, round(SIDE / max(picture.shape[:2])))
    eight = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(eight.repeat(scale, 0).repeat(scale, 1))
