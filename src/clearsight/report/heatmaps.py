"""Heatmaps as pictures: the image, the map, and the map laid over the image, with its faithfulness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from clearsight.data.displayed import displayed
from clearsight.report.components.map_colours import colour_scale, colours, overlay
from clearsight.report.components.pictures import rgb, visible
from clearsight.report.drawings import wrapped
from clearsight.report.tiles import INK, SOFT

if TYPE_CHECKING:
    from clearsight.explanation import Explanation

Colours = NDArray[np.float64]

SIDE = 240
"""Longer side of a drawn image in pixels, at least."""

GAP = 8
"""Pixels between pictures and around them."""

SCALE_WIDTH, SCALE_HEIGHT = 140, 10
"""Size in pixels of the scale of colours below each map."""

LARGE, MIDDLE, SMALL = (ImageFont.load_default(size) for size in (17, 15, 12))


def heat_sheet(found: Sequence[Explanation]) -> Colours:
    """Explanations of one image below each other, under its answer (H, W, 3)."""
    seen = [visible(displayed(e.pixels, e.shown)) for e in found]
    parts = [
        [_enlarged(p) for p in (rgb(pixels), colours(e.heat), overlay(pixels, e.heat))]
        for e, pixels in zip(found, seen, strict=True)
    ]
    tall, wide = parts[0][0].size[1], parts[0][0].size[0]
    width = max(3 * wide + 4 * GAP, 620)
    blank = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    heading = wrapped(blank, found[0].heading, width - 2 * GAP, LARGE)
    captions = [wrapped(blank, e.remarks, width - 2 * GAP, SMALL) for e in found]
    height = 22 * len(heading) + sum(44 + 15 * len(lines) + tall + 2 * GAP for lines in captions) + 3 * GAP
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
        _draw_scale(sheet, e.heat, GAP, top + tall + 6)
        top += tall + 20 + 2 * GAP
    return np.asarray(sheet) / 255


def _draw_scale(sheet: Image.Image, heat: NDArray[np.floating], left: int, top: int) -> None:
    """What the colours of a map mean: a bar with a word at each end."""
    bar, low, high = colour_scale(heat, SCALE_WIDTH, SCALE_HEIGHT)
    pen = ImageDraw.Draw(sheet)
    pen.text((left, top - 2), low, fill=SOFT, font=SMALL)
    left += round(pen.textlength(low, SMALL)) + GAP
    sheet.paste(Image.fromarray(np.round(bar * 255).astype(np.uint8)), (left, top))
    pen.text((left + SCALE_WIDTH + GAP, top - 2), high, fill=SOFT, font=SMALL)


def _enlarged(picture: NDArray[np.floating]) -> Image.Image:
    """A picture (H, W, 3), each pixel so often that the longer side is about SIDE."""
    scale = max(1, round(SIDE / max(picture.shape[:2])))
    eight = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(eight.repeat(scale, 0).repeat(scale, 1))
