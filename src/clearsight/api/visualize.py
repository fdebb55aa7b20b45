"""Filters, feature maps, patches and class images of a network, written as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from clearsight.api.results import model_name, result_folder
from clearsight.arguments import at_least
from clearsight.console import Console, Silent
from clearsight.data.cache import PixelView
from clearsight.disk import disk_errors, write_json
from clearsight.errors import BundleError
from clearsight.feature_vis import Sample, Visualization
from clearsight.feature_vis import Settings as VisualizationSettings
from clearsight.predictor import Predictor
from clearsight.runs.images import (
    training_images,
)
from clearsight.runs.load import ModelSource, load


def see(
    model: ModelSource,
    image: Any = None,
    *,
    what: str = "all",
    data: Any = None,
    images: int = 500,
    settings: VisualizationSettings | None = None,
    out: str | Path | None = None,
    data_dir: str | None = None,
    console: Console | None = None,
) -> tuple[Visualization, dict[str, Path]]:
    """Look into a network: `cs.see("runs/photos", "new.jpg")`. What was seen, and the files written: the picture of
    each part and the page.

    what: as `feature_vis.PARTS` names the parts, or "all" that this model and data have. image: for maps and inversion,
    one in any form that `Predictor.predict` takes; the first of the images searched unless given. data: labelled images
    to search for patches, gates and starts of class pictures, at most so many drawn by the seed; the model's own
    training images unless given. out: the folder to write, RUN/see unless given.
    """
    from clearsight.feature_vis import check, visualize
    from clearsight.report.visualization_page import write_inside_page

    console, settings = console or Silent(), settings or VisualizationSettings()
    at_least(1, images=images)
    predictor = model if isinstance(model, Predictor) else load(model)
    predictor.classifies("looking inside")
    check(predictor, what, settings)
    one = None if image is None else predictor.inputs(image).single()
    sample = _searched(predictor, model, data, what, image is None, console, data_dir)
    if sample:
        some = np.sort(np.random.default_rng(settings.seed).permutation(len(sample.labels))[:images])
        sample = Sample(
            PixelView(sample.images.array, sample.images.indices[some]), sample.labels[some],
            [sample.names[i] for i in some], [sample.words[i] for i in some],
        )  # fmt: skip
    pixels, name = None, None
    if one is not None:
        pixels, name = next(iter(predictor.pixels(one)))[0], one.names[0]
    elif sample:
        pixels, name = next(iter(predictor.pixels(sample.images)))[0], sample.names[0]
    sight = visualize(predictor, pixels, image=name, what=what, sample=sample, settings=settings, console=console)
    folder = result_folder(model, "see", out)
    with disk_errors(folder, "what was seen", "free some space or choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        files = write_inside_page(folder, sight, model_name(model), predictor.bundle.form.bits == 16)
        write_json(folder / "see.json", sight.to_dict())
    return sight, files


def _searched(
    predictor: Predictor, model: Any, data: Any, what: str, imageless: bool, console: Console, data_dir: str | None
) -> Sample | None:
    """The images to search, where the parts asked for need them and the model or the user names some."""
    if not (what in ("all", "patches", "gates", "classes") or (imageless and what in ("maps", "inversion"))):
        return None
    try:
        return Sample(*training_images(predictor, model, data, console=console, data_dir=data_dir))
    except BundleError as error:
        if data is not None:
            raise
        console.say(f"no images to search: {error}")
        return None
