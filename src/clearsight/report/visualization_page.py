"""The page of what was seen inside a network, and its sheets as picture files beside it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearsight.feature_vis import PARTS, Visualization
from clearsight.report.drawings import save_picture
from clearsight.report.render import write_page
from clearsight.report.visualization_sheets import (
    class_sheet,
    filter_sheet,
    gate_sheet,
    inversion_sheet,
    map_sheet,
    patch_sheet,
)

TITLES = {
    "filters": "The first weights",
    "maps": "What each layer makes of an image",
    "patches": "What excites a unit",
    "classes": "What a class looks like to it",
    "inversion": "What a layer keeps",
    "gates": "Which channels each class opens",
}


def write_inside_page(folder: Path, sight: Visualization, name: str, deep: bool) -> dict[str, Path]:
    """Write a sheet for each part and the page that shows them all, which loads nothing; the files by part, and the
    page as "page". name: of the model. deep: whether its images have 16 bits.
    """
    files = {part: save_picture(sheet, folder / f"{part}.png") for part, sheet in _sheets(sight, deep)}
    files["page"] = folder / "see.html"
    write_page(
        files["page"],
        "inside.html",
        name=name,
        sight=sight,
        parts=PARTS,
        titles=TITLES,
        uris={
            part: "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
            for part, path in files.items()
            if part != "page"
        },
    )
    return files


def _sheets(sight: Visualization, deep: bool) -> Iterator[tuple[str, NDArray[np.float64]]]:
    if sight.filters:
        yield "filters", filter_sheet(sight.filters)
    if sight.maps and sight.pixels is not None:
        yield "maps", map_sheet(sight.maps, sight.pixels, deep)
    if sight.patches:
        yield "patches", patch_sheet(sight.patches, deep)
    if sight.classes:
        yield "classes", class_sheet(sight.classes, deep)
    if sight.inversion and sight.pixels is not None:
        yield "inversion", inversion_sheet(sight.inversion, sight.pixels, deep)
    if sight.gates:
        yield "gates", gate_sheet(sight.gates)
