"""Filters, feature maps, patches and class images of a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.api.results import model_name, saved
from clearsight.arguments import at_least, known_arguments
from clearsight.console import Console, usual_console
from clearsight.data.cached_pixels import PixelView
from clearsight.errors import BundleError
from clearsight.feature_vis import Sample, Visualization
from clearsight.feature_vis import Settings as VisualizationSettings
from clearsight.predictor import Predictor
from clearsight.result import refuse_existing
from clearsight.runs.images import (
    training_images,
)
from clearsight.runs.load import ModelSource, predictor_of


@known_arguments
def visualize(
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
) -> Visualization:
    """Visualise the parts of a network: `cs.visualize("runs/photos", "new.jpg").save("inside/")`.

    Args:
        model: a run, its folder, or a loaded model.
        image: for maps and inversion, one in any form that `Predictor.predict` takes; None is the first of the images
            searched.
        what: a name of `feature_vis.PARTS`, or "all" that this model and data have.
        data: labelled images to search for patches, gates and starts of class pictures; None is the model's own
            training images.
        images: maximum number of images to search, drawn at random by the seed.
        settings: layer, units, classes, steps and seed.
        out: folder to save the result to, as `save` does; None writes nothing.
        data_dir: folder that holds the files of a built-in data set.
        console: where progress is shown; by default below the cell of a notebook, nowhere elsewhere.

    Returns:
        Filters, maps, patches, class images, inversions and gates as arrays. `save` writes pictures and a page.

    Raises:
        ModelError: the model does not have the part.
        ConfigError: there is no such part, layer or class.
        OutputError: `out` holds an earlier result.
    """
    from clearsight.feature_vis import check
    from clearsight.feature_vis import visualize as visualized

    if out is not None:
        refuse_existing(out, ("visualization.html", "visualization.json"))
    console, settings = console or usual_console(), settings or VisualizationSettings()
    at_least(1, images=images)
    predictor = predictor_of(model)
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
    found = visualized(predictor, pixels, image=name, what=what, sample=sample, settings=settings, console=console)
    return saved(replace(found, name=model_name(model), form=predictor.bundle.form), out)


def _searched(
    predictor: Predictor, model: Any, data: Any, what: str, imageless: bool, console: Console, data_dir: str | None
) -> Sample | None:
    """The images to search, if the requested parts need them and the model or the user provides some."""
    if not (what in ("all", "patches", "gates", "classes") or (imageless and what in ("maps", "inversion"))):
        return None
    try:
        return Sample(*training_images(predictor, model, data, console=console, data_dir=data_dir))
    except BundleError as error:
        if data is not None:
            raise
        console.say(f"parts that need training images are left out: {error}")
        return None
