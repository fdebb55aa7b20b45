"""The loss landscape around a model's weights."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.api.results import saved
from clearsight.arguments import at_least, known_arguments
from clearsight.console import Console, usual_console
from clearsight.derivatives import Landscape, Landscapes, Rates, survey
from clearsight.disk import read_within
from clearsight.errors import BundleError, DataError
from clearsight.result import refuse_existing
from clearsight.runs.folder import run_options, run_recipe
from clearsight.runs.images import known_images
from clearsight.runs.load import ModelSource, folder_of, predictor_of


@known_arguments
def landscape(
    model: ModelSource,
    data: Any = None,
    *,
    against: Sequence[ModelSource] = (),
    weights: str = "auto",
    images: int | None = None,
    points: int | None = None,
    batch: int = 64,
    seed: int = 0,
    out: str | Path | None = None,
    data_dir: str | None = None,
    console: Console | None = None,
) -> Landscapes:
    """Measure the loss around a run's weights, and its largest curvature: `cs.landscape("runs/photos").plot()`.

    Args:
        model: a run, its folder, or a loaded model. It is measured on images of its own training and validation
            split; the test split stays closed.
        data: where these images are now, if they have moved.
        against: runs to draw beside it, on one scale.
        weights: "head", "all", or "auto": the head of a probe whose other layers were not trained, else all.
        images: maximum number of images per split, drawn at random by `seed`; None is 256, fewer where costly.
        points: along each side of the plane, odd; None is 21, fewer where that is costly.
        batch: images in memory at once.
        seed: random seed of directions and images.
        out: folder to save the result to, as `save` does; None writes nothing.
        data_dir: folder that holds the files of a built-in data set.
        console: where progress is shown; by default below the cell of a notebook, nowhere elsewhere.

    Returns:
        A sequence of `Landscape`: the model's, then those it is drawn against.

    Raises:
        ModelError: the model has no gradients.
        BundleError: the run's images are not recorded or gone.
        OutputError: `out` holds an earlier result.
    """
    if out is not None:
        refuse_existing(out, ("landscape.html", "landscape.json"))
    console = console or usual_console()
    at_least(1, images=images, batch_size=batch)
    at_least(0, seed=seed)
    options: dict[str, Any] = {"weights": weights, "images": images, "points": points, "batch": batch, "seed": seed}
    models = (model, *against)
    found = tuple(
        _surveyed(one, name, None if number else data, data_dir, console, **options)
        for number, (one, name) in enumerate(zip(models, _called(models), strict=True))
    )
    return saved(Landscapes(found), out)


def _surveyed(
    model: ModelSource,
    name: str,
    data: Any,
    data_dir: str | None,
    console: Console,
    *,
    weights: str,
    images: int | None,
    points: int | None,
    batch: int,
    seed: int,
) -> Landscape:
    """The landscape of one run."""
    from clearsight.derivatives.landscape import affordable_images, varied

    predictor, run = predictor_of(model), folder_of(model)
    options, recipe = ({}, {}) if run is None else (run_options(run), run_recipe(run))
    used = recipe.get("training") or options
    predictor.classifies("the landscape")
    if weights == "auto":
        head = predictor.network.feature_levels is not None and not recipe.get("tuned", False)
        weights = "head" if head else "all"
    varied(predictor, weights)  # fails before the images are read if there is nothing to plot
    bundle = predictor.bundle
    known = known_images(bundle, model, data, console=console, data_dir=data_dir)
    dataset = known.dataset
    if dataset.classes != bundle.classes:
        raise DataError(
            "the classes of the data differ from those of the model", found=", ".join(dataset.classes[:8]),
            expected=", ".join(bundle.classes[:8]), fix="pass the images that the model was trained on",
        )  # fmt: skip
    parts = known.rows("train"), known.rows("val")
    if not all(map(len, parts)):
        raise BundleError(
            f"the data does not contain both training and validation images of {name}",
            found=f"{len(parts[0])} training and {len(parts[1])} validation images of this model, matched by content",
            fix="pass the images that the model was trained on",
        )  # fmt: skip
    rates = None if weights == "head" or run is None else recorded_rates(run)
    rng = np.random.default_rng(seed)
    most = images or affordable_images(predictor, weights)
    train, val = (np.sort(rng.permutation(rows)[:most]) for rows in parts)
    return survey(
        predictor, known.pixels.view(train), dataset.labels[train], known.pixels.view(val),
        dataset.labels[val], name=name, weights=weights, loss=used.get("loss") or "cross-entropy",
        smoothing=used.get("label_smoothing") or 0.0, rates=rates,
        points=points, batch=batch, seed=seed, console=console,
    )  # fmt: skip


def recorded_rates(run: Path) -> Rates | None:
    """The rates in a run's history.csv; None if no network was trained by gradient descent.

    Args:
        run: folder of the run.

    Returns:
        The learning rates, or None.

    Raises:
        BundleError: history.csv cannot be read.
    """
    path = run / "history.csv"
    content = read_within(run, path.name) if path.is_file() else b""
    try:
        text = content.decode()
        rows = list(csv.DictReader(text.splitlines()))
        lines = [(float(row["lr"]), float(row["val_loss"])) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{path} cannot be read", found=repr(error), fix="restore it from a backup, or train again"
        ) from error
    if not lines:
        return None
    used = run_recipe(run).get("training") or run_options(run)
    kept = min(lines, key=lambda line: line[1])[0]
    return Rates(used.get("opt") or "adamw", used.get("momentum", 0.9), max(rate for rate, _ in lines), kept)


def _called(models: Sequence[ModelSource]) -> list[str]:
    """The folders' names, with more of their paths if two are equal; numbers for models without a folder."""
    folders = [folder_of(model) for model in models]
    names = [f"model {k + 1}" if folder is None else folder.resolve().name for k, folder in enumerate(folders)]
    if len(set(names)) == len(names):
        return names
    return [name if folder is None else str(folder) for name, folder in zip(names, folders, strict=True)]
