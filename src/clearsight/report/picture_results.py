"""Results that are pictures of images: heatmaps, boxes and masks, neighbours; the files of each image, and how a
notebook shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from clearsight.disk import disk_errors, own_name, write_json
from clearsight.explanation import Explanation, Explanations
from clearsight.localisation import Located, Locations
from clearsight.report.detections import caption, located_sheet
from clearsight.report.drawings import draw_neighbours, save_picture
from clearsight.report.heatmaps import heat_sheet
from clearsight.report.renderer import PicturesRenderer
from clearsight.retrieval import SearchResult
from clearsight.tasks.sections import Section, Table

Sheets = Sequence[tuple[NDArray[np.floating], str]]

SHOWN = 12
"""Images that a notebook shows at most."""

FIX = "free some space or choose another --out"


class ExplanationsRenderer(PicturesRenderer[Explanations]):
    """For each image the map of each method, and its faithfulness."""

    title = "Explanations"

    def files(self) -> tuple[str, ...]:
        return heat_files(self.result.stems, self.result.method)

    def write(self, folder: Path) -> Path:
        for stem, maps in zip(self.result.stems, self.result.by_image, strict=True):
            write_heatmaps(folder, stem, maps, self.result.method)
        return folder

    def sheets(self) -> Sheets:
        return [
            (heat_sheet(maps), f"{maps[0].image}, {maps[0].heading}: " + "; ".join(_heat_words(m) for m in maps))
            for maps in self.result.by_image[:SHOWN]
        ]


def _heat_words(e: Explanation) -> str:
    return f"{e.method}, {e.remarks}" if e.remarks else e.method


def heat_files(stems: Sequence[str], method: str) -> tuple[str, ...]:
    """The picture and the maps of each image."""
    return tuple(name for stem in stems for name in (f"{stem}.{method}.png", f"{stem}.npz"))


def write_heatmaps(folder: Path, stem: str, maps: Sequence[Explanation], method: str) -> Path:
    """Write an image's picture and its maps; maps of other methods that are there of the same image are kept."""
    file = folder / f"{stem}.npz"
    heats: dict[str, Any] = {**_maps_of(file, maps[0].pixels), **{m.method: m.heat for m in maps}}
    with disk_errors(folder, "the heatmaps", FIX):
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(file, pixels=maps[0].pixels, **heats)
    return save_picture(heat_sheet(maps), folder / f"{stem}.{method}.png")


def _maps_of(file: Path, pixels: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The maps of other methods that a file already has of the same image."""
    try:
        with np.load(file) as kept:
            if np.array_equal(kept["pixels"], pixels):
                return {name: kept[name] for name in kept.files if name != "pixels"}
    except (OSError, ValueError, KeyError, BadZipFile):  # none there, or not one of ours
        pass
    return {}


class LocationsRenderer(PicturesRenderer[Locations]):
    """For each image its boxes and masks."""

    title = "Locations"

    def files(self) -> tuple[str, ...]:
        return tuple(file for name in self.result.pictures for file in (name, str(Path(name).with_suffix(".npz"))))

    def write(self, folder: Path) -> Path:
        for name, one in zip(self.result.pictures, self.result, strict=True):
            write_located(one, folder / name)
        return folder

    def sheets(self) -> Sheets:
        return [(located_sheet(one), f"{one.image}: {caption(one)}") for one in self.result[:SHOWN]]


def write_located(one: Located, file: Path) -> Path:
    """Write the picture of one image, and its masks beside it as .npz."""
    save_picture(located_sheet(one), file)
    with disk_errors(file.parent, "the masks", FIX):
        np.savez_compressed(
            file.with_suffix(".npz"), labels=np.array(one.labels, str), heat=one.heat.astype(np.float16),
            masks=one.heat >= one.share, segments=one.segments.astype(np.int32), instances=one.instances,
        )  # fmt: skip
    return file


class SearchRenderer(PicturesRenderer[SearchResult]):
    """The query beside its neighbours; a table where the indexed images are gone."""

    title = "Similar images"

    def files(self) -> tuple[str, ...]:
        stem = search_stem(self.result)
        return (f"{stem}.json", *([f"{stem}.png"] if self.result.pictures is not None else []))

    def write(self, folder: Path) -> Path:
        stem = search_stem(self.result)
        write_json(folder / f"{stem}.json", self.result.to_dict())
        if self.result.pictures is not None:
            save_picture(neighbour_sheet(self.result), folder / f"{stem}.png")
        return folder

    def sheets(self) -> Sheets:
        found = self.result
        words = "; ".join(f"{n.image}, {n.label}, {n.likeness:.2f}" for n in found)
        return [(neighbour_sheet(found), f"images most similar to {found.query}: {words}")]

    def sections(self) -> Sequence[Section]:
        marks = {True: "no", False: "yes", None: ""}
        rows = tuple((n.image, f"{n.likeness:.3f}", n.label, marks[n.other_class]) for n in self.result)
        columns = ("Image", "Cosine similarity", "Label", "As predicted")
        return (Section("neighbours", "In numbers", (Table(columns, rows),)),)


def search_stem(found: SearchResult) -> str:
    """The name of the files of a search, without their endings."""
    return f"{own_name(found.query, 0, [found.query])}.similar"


def neighbour_sheet(found: SearchResult) -> NDArray[np.float64]:
    """The query and its neighbours; gray where the indexed images are gone."""
    gone = np.full_like(found.pixels, 200)
    pictures = [gone] * len(found) if found.pictures is None else found.pictures
    words = [f"{n.likeness:.2f} {n.label}" for n in found]
    return draw_neighbours(found.pixels, pictures, words, [bool(n.other_class) for n in found])
