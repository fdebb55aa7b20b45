"""Sheets of small pictures: rows of tiles under headings, words below each tile, few pixels enlarged to squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from clearsight.report.drawings import fitting

Colours = NDArray[np.floating]

GAP = 10
INK, SOFT, ABSENT = (28, 32, 36), (90, 97, 105), (226, 226, 218)
"""Colours of headings, of words below them, and of what lies beyond an image."""


@dataclass(frozen=True)
class Tile:
    """A picture (H, W, 3) in [0, 1] with lines of words below. boxes: (top, left, bottom, right) in its pixels, each
    drawn as an outline. exact: drawn in its own size.
    """

    pixels: Colours
    words: tuple[str, ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    exact: bool = False


@dataclass(frozen=True)
class Row:
    """Tiles that belong together, under a heading and a line that explains it."""

    heading: str
    tiles: Sequence[Tile]
    words: str = ""


def tile_sheet(rows: Sequence[Row], *, side: int = 96, width: int = 1160) -> NDArray[np.float64]:
    """The rows below each other as one picture (H, W, 3). side: about a tile's longer one; rows wrap at `width`."""
    large, small, tiny = (ImageFont.load_default(size) for size in (17, 13, 12))
    placed: list[tuple[Row, list[list[tuple[Tile, Image.Image]]]]] = []
    for row in rows:
        lines: list[list[tuple[Tile, Image.Image]]] = [[]]
        used = 0
        for tile in row.tiles:
            picture = _drawn(tile, side)
            if lines[-1] and used + picture.width + GAP > width - GAP:
                lines.append([])
                used = 0
            lines[-1].append((tile, picture))
            used += picture.width + GAP
        placed.append((row, lines))
    text = 16 * max((len(t.words) for row in rows for t in row.tiles), default=0)
    heights = [
        [26, 20 * bool(row.words), *(max(p.height for _, p in line) + text + GAP for line in lines if line), 8]
        for row, lines in placed
    ]
    sheet = Image.new("RGB", (width, sum(map(sum, heights)) + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    top = GAP
    for row, lines in placed:
        pen.text((GAP, top), row.heading, fill=INK, font=large)
        top += 26
        if row.words:
            pen.text((GAP, top - 3), row.words, fill=SOFT, font=small)
            top += 20
        for line in lines:
            left = GAP
            for tile, picture in line:
                sheet.paste(picture, (left, top))
                for number, words in enumerate(tile.words):
                    spot = left, top + picture.height + 2 + 15 * number
                    pen.text(spot, fitting(pen, words, picture.width, tiny), fill=SOFT if number else INK, font=tiny)
                left += picture.width + GAP
            if line:
                top += max(p.height for _, p in line) + text + GAP
        top += 8
    return np.asarray(sheet) / 255


def _drawn(tile: Tile, side: int) -> Image.Image:
    height, width = tile.pixels.shape[:2]
    picture = Image.fromarray(np.round(np.clip(tile.pixels, 0, 1) * 255).astype(np.uint8))
    longer = max(height, width)
    factor = float(max(1, round(side / longer))) if longer <= side else side / longer
    factor = 1.0 if tile.exact else factor
    size = max(1, round(width * factor)), max(1, round(height * factor))
    resampling = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
    picture = picture.resize(size, resampling)
    pen = ImageDraw.Draw(picture)
    for top, left, bottom, right in tile.boxes:
        corners = (round(left * factor), round(top * factor), round(right * factor) - 1, round(bottom * factor) - 1)
        pen.rectangle(corners, outline=(20, 20, 20), width=3)
        pen.rectangle(corners, outline=(255, 214, 10), width=1)
    return picture


def signed(values: Colours, top: float | None = None) -> Colours:
    """Values (H, W) in colours (H, W, 3): red above zero, white at zero, blue below. top: the value of full colour."""
    top = top or float(np.abs(values).max()) or 1.0
    return np.asarray(matplotlib.colormaps["RdBu_r"](0.5 + np.clip(values / top, -1, 1) / 2))[..., :3]


def bright(values: Colours, low: float = 0.0, high: float | None = None) -> Colours:
    """Values (H, W) in colours (H, W, 3), dark at `low` to bright at `high`, their largest unless given."""
    high = float(values.max()) if high is None else high
    return np.asarray(matplotlib.colormaps["inferno"](np.clip((values - low) / ((high - low) or 1.0), 0, 1)))[..., :3]
