"""Colours of heatmaps, alone and laid over the image."""

from __future__ import annotations

import matplotlib
import numpy as np
from numpy.typing import NDArray

from clearsight.report.components.pictures import rgb

Colours = NDArray[np.float64]

PERCENTILE = 99
"""Percentile of a map that is drawn as its strongest colour, so that single pixels do not hide the rest."""


def colours(heat: NDArray[np.floating]) -> Colours:
    """A map (H, W) in colours (H, W, 3): dark to bright; where it is signed, blue (against) over white to red (for)."""
    top = float(np.percentile(np.abs(heat), PERCENTILE)) or float(np.abs(heat).max()) or 1.0
    if heat.min() < 0:
        return np.asarray(matplotlib.colormaps["RdBu_r"](0.5 + np.clip(heat / top, -1, 1) / 2))[..., :3]
    return np.asarray(matplotlib.colormaps["inferno"](np.clip(heat / top, 0, 1)))[..., :3]


def colour_scale(heat: NDArray[np.floating], width: int, height: int) -> tuple[Colours, str, str]:
    """The colours of a map from its lowest to its highest value (height, width, 3), and what the two ends mean."""
    signed = bool(heat.min() < 0)
    values = np.tile(np.linspace(-1 if signed else 0, 1, width), (height, 1))
    drawn = matplotlib.colormaps["RdBu_r"](0.5 + values / 2) if signed else matplotlib.colormaps["inferno"](values)
    ends = ("lowers the output", "raises the output") if signed else ("weakest", "strongest")
    return np.asarray(drawn)[..., :3], *ends


def overlay(pixels: NDArray[np.floating], heat: NDArray[np.floating], opacity: float = 0.6) -> Colours:
    """The image in gray (C, H, W) under the map's colours, as opaque as the map is strong: (H, W, 3)."""
    share = opacity * strength(heat)[..., None]
    gray = np.repeat(rgb(pixels).mean(2, keepdims=True), 3, axis=2)
    return np.asarray((1 - share) * gray + share * colours(heat))


def strength(heat: NDArray[np.floating]) -> Colours:
    """How strong a map (H, W) is at each place, from 0 to 1."""
    top = float(np.percentile(np.abs(heat), PERCENTILE)) or 1.0
    return np.asarray(np.clip(np.abs(heat) / top, 0, 1), np.float64)
