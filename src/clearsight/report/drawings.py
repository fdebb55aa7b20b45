"""Arrays as picture files: what filters and template matching show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from clearsight.classical.copies import Copy
from clearsight.classical.matching import Match
from clearsight.disk import disk_errors
from clearsight.errors import OutputError

BOX = (255, 60, 60)


def as_drawn(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values as pixels in [0, 1]: those of both signs around 0.5, all others as they are, cut to the range."""
    lowest = float(values.min())
    if lowest < -0.25:
        return np.asarray(0.5 + values / (2 * np.abs(values).max()))
    return np.clip(values, 0, 1)


def draw_match(image: NDArray[np.float32], found: Match, size: tuple[int, ...]) -> NDArray[np.float64]:
    """The picture with a box around the best place, and beside it the score of every place, bright for good."""
    height, width = image.shape[:2]
    colour = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    picture = Image.fromarray(np.round(np.clip(colour, 0, 1) * 255).astype(np.uint8))
    corner = found.column, found.row
    far = corner[0] + size[1] - 1, corner[1] + size[0] - 1
    ImageDraw.Draw(picture).rectangle((corner, far), outline=BOX, width=max(1, round(min(height, width) / 150)))
    scores = np.zeros((height, width))
    low, high = float(found.scores.min()), float(found.scores.max())
    top, left = size[0] // 2, size[1] // 2  # a score stands at the middle of its window
    rows, columns = found.scores.shape
    scores[top : top + rows, left : left + columns] = (found.scores - low) / max(1e-12, high - low)
    gap = np.ones((height, max(2, width // 50), 3))
    return np.concatenate([np.asarray(picture) / 255, gap, np.repeat(scores[..., None], 3, axis=2)], axis=1)


def draw_copies(image: NDArray[np.float32], found: Sequence[Copy]) -> NDArray[np.float64]:
    """The picture with a box around every copy, turned as it is, and its number in the middle."""
    height, width = image.shape[:2]
    colour = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    picture = Image.fromarray(np.round(np.clip(colour, 0, 1) * 255).astype(np.uint8))
    pen, thick = ImageDraw.Draw(picture), max(2, round(min(height, width) / 150))
    for number, copy in enumerate(found, 1):
        corners = [tuple(corner) for corner in copy.corners.tolist()]
        pen.line([*corners, corners[0]], fill=BOX, width=thick, joint="curve")
        font = ImageFont.load_default(max(11, round(min(height, width) / 25)))
        pen.text((copy.x, copy.y), str(number), fill="white", font=font, anchor="mm", stroke_width=2, stroke_fill=BOX)
    return np.asarray(picture) / 255


MARK = (192, 57, 43)
"""Colour of the frame around an image that is marked."""


def draw_neighbours(
    query: NDArray[np.uint8],
    found: Sequence[NDArray[np.uint8]],
    words: Sequence[str],
    marked: Sequence[bool],
    columns: int = 5,
) -> NDArray[np.float64]:
    """A sheet: the query on the left, its neighbours (3, S, S) in rows beside it, words below each, and a dashed frame
    around marked ones.
    """
    side, text, columns = query.shape[1], 16, max(1, min(columns, len(found)))
    rows = -(-len(found) // columns)
    sheet = Image.new("RGB", ((columns + 1) * (side + 8) + 24, max(1, rows) * (side + text + 8) + 8), "white")
    pen = ImageDraw.Draw(sheet)

    def place(image: NDArray[np.uint8], left: int, top: int, below: str) -> None:
        sheet.paste(Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))), (left, top))
        pen.text((left, top + side + 2), fitting(pen, below, side), fill="black")

    place(query, 8, 8, "query")
    for i, (image, below, mark) in enumerate(zip(found, words, marked, strict=True)):
        row, column = divmod(i, columns)
        left, top = (column + 1) * (side + 8) + 24, 8 + row * (side + text + 8)
        place(image, left, top, below)
        for start in range(0, side if mark else 0, 8):
            end = min(start + 4, side)
            for x, y in ((left - 3, top), (left + side + 1, top)):
                pen.line((x, y + start, x, y + end), fill=MARK, width=2)
            for x, y in ((left, top - 3), (left, top + side + 1)):
                pen.line((x + start, y, x + end, y), fill=MARK, width=2)
    pen.line((side + 20, 8, side + 20, sheet.height - 8), fill="gray")
    return np.asarray(sheet) / 255


def fitting(pen: ImageDraw.ImageDraw, text: str, width: int, font: Any = None) -> str:
    """The text, cut where it is too wide."""
    while len(text) > 1 and pen.textlength(text, font) > width:
        text = text[:-2].rstrip() + "…"
    return text


def wrapped(pen: ImageDraw.ImageDraw, text: str, width: int, font: Any = None) -> list[str]:
    """The text in lines that are not too wide; a single word that is gets cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or pen.textlength(longer, font) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return [fitting(pen, line, width, font) for line in lines]


def save_picture(pixels: NDArray[Any], path: Path) -> Path:
    """Write (H, W) or (H, W, 1 or 3) pixels in [0, 1] as a picture; OutputError where that cannot be."""
    eight = np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(eight[..., 0] if eight.ndim == 3 and eight.shape[2] == 1 else eight)
    with disk_errors(path.parent, "the picture", "free some space or choose another --out"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            image.save(path)
        except ValueError as error:
            raise OutputError(
                f"the picture cannot be saved as {path.name}", expected="a file name ending in .png or .jpg"
            ) from error
    return path
