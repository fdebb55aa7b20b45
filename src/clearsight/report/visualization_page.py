"""The page of what was seen inside a network, and its sheets as picture files beside it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clearsight.data.pixel_format import PixelFormat
from clearsight.feature_vis import PARTS, Visualization
from clearsight.report.components.pictures import image_uri
from clearsight.report.drawings import save_picture
from clearsight.report.figures import sheet_image, stacked
from clearsight.report.renderer import Renderer
from clearsight.report.visualization_sheets import (
    class_sheet,
    filter_sheet,
    gate_sheet,
    inversion_sheet,
    map_sheet,
    patch_sheet,
)

TITLES = {
    "filters": "First-layer weights",
    "maps": "Feature maps",
    "patches": "Patches with the largest activations",
    "classes": "Class images",
    "inversion": "Feature inversion",
    "gates": "Squeeze-and-excitation gates",
}


class VisualizationRenderer(Renderer[Visualization]):
    """A sheet for each part, and the page that shows them all."""

    template, page, numbers = "visualization.html", "visualization.html", "visualization.json"

    def files(self) -> tuple[str, ...]:
        return (*super().files(), *(f"{part}.png" for part in self._sheets))

    def write(self, folder: Path) -> Path:
        for part, sheet in self._sheets.items():
            save_picture(sheet, folder / f"{part}.png")
        return super().write(folder)

    def values(self) -> dict[str, Any]:
        return {
            "name": self.result.name, "found": self.result, "parts": PARTS, "titles": TITLES,
            "uris": {part: image_uri(sheet_image(sheet)) for part, sheet in self._sheets.items()},
        }  # fmt: skip

    def figure(self) -> Image.Image:
        """The sheets below each other."""
        return stacked([sheet_image(sheet) for sheet in self._sheets.values()])

    @cached_property
    def _sheets(self) -> dict[str, NDArray[np.float64]]:
        return dict(_sheets(self.result, self.result.form))


def _sheets(found: Visualization, form: PixelFormat) -> Iterator[tuple[str, NDArray[np.float64]]]:
    if found.filters:
        yield "filters", filter_sheet(found.filters)
    if found.maps and found.pixels is not None:
        yield "maps", map_sheet(found.maps, found.pixels, form)
    if found.patches:
        yield "patches", patch_sheet(found.patches, form)
    if found.classes:
        yield "classes", class_sheet(found.classes, form)
    if found.inversion and found.pixels is not None:
        yield "inversion", inversion_sheet(found.inversion, found.pixels, form)
    if found.gates:
        yield "gates", gate_sheet(found.gates)
