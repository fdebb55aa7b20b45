"""Heatmaps of a model's predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clearsight.arguments import known_arguments
from clearsight.console import Console, usual_console
from clearsight.explanation import Explanation, Explanations, Settings
from clearsight.result import refuse_existing
from clearsight.runs.load import ModelSource, predictor_of


@known_arguments
def explain(
    model: ModelSource,
    images: Any,
    *,
    method: str | None = None,
    target: str | int | None = None,
    settings: Settings | None = None,
    faithfulness: bool = True,
    out: str | Path | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> Explanations:
    """Show which parts of images determine a model's predictions: `cs.explain("runs/photos", "new.jpg").plot()`.

    Args:
        model: a run, its folder, or a loaded model.
        images: in any form that `Predictor.predict` takes.
        method: a name of `explanation.METHODS`, or "all" for those the model has. None is smoothgrad, occlusion for a
            model without gradients, anomaly-map for an anomaly model that compares places.
        target: class to explain, by name, or by number where no class has that name; None is the predicted one.
        settings: samples, noise, layer and window of the methods.
        faithfulness: also measure how faithful each map is.
        out: folder to save to, each image as soon as it is explained; None writes nothing.
        overwrite: replace files that are in `out`.
        console: where progress is shown; by default below the cell of a notebook, nowhere elsewhere.

    Returns:
        A sequence of `Explanation`. `save` writes, for each image, a picture and an .npz with the map of each method.

    Raises:
        ModelError: the method does not suit the model.
        ConfigError: there is no such method or class.
        OutputError: `out` holds files of an earlier result.
    """
    from clearsight.explanation import explain as explained
    from clearsight.explanation import methods_of, usual_method
    from clearsight.explanation.results import image_stems

    predictor = predictor_of(model)
    methods = methods_of(predictor)
    chosen = methods if method == "all" else [method or usual_method(predictor)]
    called = method or chosen[0]
    given = predictor.inputs(images)
    stems = image_stems(given.names)
    folder = None if out is None else Path(out).expanduser()
    if folder is not None:
        from clearsight.report.picture_results import heat_files, write_heatmaps

        if not overwrite:
            refuse_existing(folder, heat_files(stems, called), "add --overwrite (overwrite=True in Python)")
    run = explained(
        predictor,
        given,
        method=chosen,
        target=target,
        settings=settings,
        faithfulness=faithfulness,
        console=console or usual_console(),
    )
    found: list[tuple[Explanation, ...]] = []
    for stem in stems:
        maps: list[Explanation] = []
        for _ in chosen:  # what is there is kept after each method: they may take minutes, and be stopped
            maps.append(next(run))
            if folder is not None:
                write_heatmaps(folder, stem, maps, called)
        found.append(tuple(maps))
    return Explanations(tuple(found), called)
