"""Where things are, as a picture: the image, and beside it the same with masks tinted and boxes named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from clearsight.data.displayed import displayed
from clearsight.report.components.pictures import eight_bits
from clearsight.report.drawings import fitting
from clearsight.wording import percent

if TYPE_CHECKING:
    from clearsight.localisation import Found, Located

Colour = tuple[int, int, int]

COLOURS: tuple[Colour, ...] = (
    (86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (204, 121, 167), (213, 94, 0), (0, 114, 178),
)  # fmt: skip
"""Colours of the classes in turn, safe for colour-blind readers [Okabe, Ito 2008]."""

LEAST, MOST = 480, 1280
"""Longer side of the drawn image in pixels: small ones are enlarged by a whole number, large ones made smaller."""

TINT = 0.45
"""Opacity of a mask where its class speaks loudest."""

GAP = 12


def located_sheet(found: Located) -> NDArray[np.float64]:
    """The image as it is, and with what was found in it (H, W, 3) in [0, 1]."""
    image = Image.fromarray(eight_bits(displayed(found.pixels, found.shown))).convert("RGB")
    scale = _scale(max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    plain = image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
    drawn = _tinted(plain, found)
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(max(13, round(max(size) / 40)))
    for one in reversed(found.found):  # the best last, on top of the others
        _draw(pen, font, one, scale, size, COLOURS[found.labels.index(one.label) % len(COLOURS)])
    head = 30
    sheet = Image.new("RGB", (2 * size[0] + 3 * GAP, size[1] + head + GAP), "white")
    sheet.paste(plain, (GAP, head))
    sheet.paste(drawn, (size[0] + 2 * GAP, head))
    words = ImageDraw.Draw(sheet)
    own = ImageFont.load_default(15)
    words.text((GAP, 7), fitting(words, caption(found), sheet.width - 2 * GAP, own), fill="black", font=own)
    return np.asarray(sheet) / 255


def caption(found: Located) -> str:
    """What was found, in a line."""
    if not found.found:
        nothing = "nothing found" if not found.labels else f"no {' or '.join(found.labels)} found"
        return f"{nothing} ({found.method})"
    counts = {label: sum(f.label == label for f in found.found) for label in found.labels}
    words = [f"{label} x {n}" if n > 1 else label for label, n in counts.items() if n]
    return f"{', '.join(words)} ({found.method})"


def _scale(longer: int) -> float:
    return max(1, round(LEAST / longer)) if longer < MOST else MOST / longer


def _tinted(plain: Image.Image, found: Located) -> Image.Image:
    """The picture, a little faded, with each class's mask in its colour, as opaque as the class speaks loudly there."""
    base = np.asarray(plain, np.float64)
    if not found.labels:
        return plain.copy()
    faded = 0.75 * base + 0.25 * base.mean(2, keepdims=True)
    segments = found.segments
    for t, number in enumerate(found.numbers):
        heat = np.where(segments == number + 1, found.heat[t], 0).astype(np.float32)
        masks = [f.mask for f in found.found if f.label == found.labels[t] and f.mask is not None]
        if masks:
            heat = np.any(masks, axis=0).astype(np.float32)
        soft = np.asarray(Image.fromarray(heat).resize(plain.size, Image.Resampling.BILINEAR))[..., None]
        faded = (1 - TINT * soft) * faded + TINT * soft * np.array(COLOURS[t % len(COLOURS)])
    return Image.fromarray(np.round(np.clip(faded, 0, 255)).astype(np.uint8))


def _draw(pen: ImageDraw.ImageDraw, font: Any, one: Found, scale: float, size: tuple[int, int], colour: Colour) -> None:
    """A box, with its name and score on a plate above it, or inside it at the upper edge."""
    x0, y0, x1, y1 = (v * scale for v in one.box)
    thick = max(2, round(max(size) / 240))
    corners = max(0, round(x0)), max(0, round(y0)), min(size[0], round(x1)) - 1, min(size[1], round(y1)) - 1
    if corners[2] <= corners[0] or corners[3] <= corners[1]:
        return
    pen.rectangle(corners, outline=colour, width=thick)
    words = f"{one.label} {percent(one.score, 0)}"
    left, top, right, bottom = pen.textbbox((0, 0), words, font)
    wide, tall = right - left + 8, bottom - top + 6
    x = min(corners[0], max(0, size[0] - wide))
    y = corners[1] - tall if corners[1] >= tall else corners[1]
    pen.rectangle((x, y, x + wide, y + tall), fill=colour)
    pen.text((x + 4 - left, y + 3 - top), words, fill=_ink(colour), font=font)


def _ink(colour: Colour) -> str:
    """Black or white, whichever reads better on a colour."""
    return "black" if 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 120 else "white"
