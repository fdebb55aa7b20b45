"""Heatmaps as pictures: the image, the map, and the map laid over the image, with what says whether to believe it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from clearsight.report.pictures import rgb

if TYPE_CHECKING:
    from clearsight.explanation import Explanation

Colours = NDArray[np.float64]

SIDE = 240
"""Longer side of a drawn image in pixels, at least."""

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
    """Explanations of one image below each other (H, W, 3)."""
    return np.concatenate(_padded([_row(e) for e in found]), axis=0)


def _row(e: Explanation) -> Colours:
    height, width = e.heat.shape
    scale = max(1, round(SIDE / max(height, width)))
    parts = [
        np.repeat(np.repeat(p, scale, 0), scale, 1) for p in (rgb(e.pixels), colours(e.heat), overlay(e.pixels, e.heat))
    ]
    gap, text = 8, 44
    tall, wide = parts[0].shape[:2]
    sheet = Image.new("RGB", (max(3 * wide + 4 * gap, 620), tall + text + 2 * gap), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((gap, 4), f"{e.method}: {e.target} {e.strength}", fill="black", font=ImageFont.load_default(15))
    pen.text((gap, 25), words(e), fill="#555555", font=ImageFont.load_default(12))
    for i, part in enumerate(parts):
        drawn = Image.fromarray(np.round(np.clip(part, 0, 1) * 255).astype(np.uint8))
        sheet.paste(drawn, (gap + i * (wide + gap), text + gap))
    return np.asarray(sheet) / 255


def words(e: Explanation) -> str:
    """What says whether to believe a map, in a line."""
    said = []
    if e.faithfulness:
        f = e.faithfulness
        verdict = (
            "better than chance"
            if f.score > 0.02
            else "worse than chance: misleading"
            if f.score < -0.02
            else "no better than chance"
        )
        said.append(f"faithfulness {f.score:+.2f}, {verdict} (deletion {f.deletion:.2f}, insertion {f.insertion:.2f})")
    if e.randomised is not None:
        said.append(
            f"with shuffled weights it correlates {e.randomised:.2f}"
            + (": it shows the image, not the model" if e.randomised > 0.7 else "")
        )
    return "; ".join(said)


def _padded(parts: Sequence[Colours]) -> list[Colours]:
    width = max(p.shape[1] for p in parts)
    return [np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0)), constant_values=1) for p in parts]
