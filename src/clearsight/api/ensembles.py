"""Test-time augmentation and ensembles, compared with the single model image by image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.console import Console, Silent
from clearsight.data.cache import PixelView
from clearsight.errors import DataError
from clearsight.evaluation import (
    Paired,
    compare_paired,
    mean_of,
    views_of,
)
from clearsight.predictor import Predictor
from clearsight.runs.images import HeldOut, held_out, seen_by
from clearsight.runs.load import ModelSource, load


def together(
    model: ModelSource,
    data: Any = None,
    *,
    views: str | None = None,
    others: Sequence[ModelSource] = (),
    include_training: bool = False,
    console: Console | None = None,
    data_dir: str | None = None,
) -> list[Paired]:
    """Whether several views of each image, or several models, do better than one model on one view:
    `cs.together("runs/a", others=["runs/b"])`.

    Each row is compared, image by image, with the model alone, on the images `evaluate` would take: first the model
    itself, then its views together, each other model, and all models together. Views apply to every model.
    """
    console = console or Silent()
    held = held_out(model, data, include_training=include_training, console=console, data_dir=data_dir)
    held.predictor.classifies("comparing views and models")
    predictors = {_short(model): held.predictor}
    for other in others:
        name = _short(other)
        while name in predictors:
            name += "'"
        predictors[name] = other if isinstance(other, Predictor) else load(other)
        if predictors[name].classes != held.predictor.classes:
            raise DataError(
                f"{name} knows other classes than {_short(model)}",
                found=", ".join(predictors[name].classes[:8]),
                expected=", ".join(held.predictor.classes[:8]),
            )
    held, views_by_model, known = _unseen_by_all(held, list(predictors.values()), include_training, console)
    alone = held.predictor.predict_proba(held.images, console.stage("evaluating"))
    rows = [compare_paired(_short(model), alone, alone, held.labels)]
    beliefs = []
    for number, (name, predictor) in enumerate(predictors.items()):
        images = views_by_model[number]
        own = alone if not number else predictor.predict_proba(images, console.stage(f"evaluating {name}"))
        if views is None:
            beliefs.append(own)
        else:
            functions = views_of(views)
            advance = console.stage(f"{views} of {name}", "views")
            seen = [own]
            for k, view in enumerate(functions[1:], 1):
                advance(k, len(functions))
                seen.append(predictor.viewed(images, view))
            advance(len(functions), len(functions))
            beliefs.append(mean_of(seen))
            rows.append(compare_paired(f"{name}, {views}", alone, beliefs[-1], held.labels, known[number]))
        if number and views is None:
            rows.append(compare_paired(name, alone, own, held.labels, known[number]))
    if len(beliefs) > 1:
        rows.append(compare_paired("together", alone, mean_of(beliefs), held.labels, any(known)))
    return rows


def _unseen_by_all(
    held: HeldOut, predictors: Sequence[Predictor], include_training: bool, console: Console
) -> tuple[HeldOut, list[PixelView], list[bool]]:
    """The images that no model was trained on, as each model sees them; and for each model whether it was trained on
    some of them, which only happens where training images are included.
    """
    found = [(held.images, np.zeros(len(held.rows), bool))]
    found += [seen_by(predictor, held, console) for predictor in predictors[1:]]
    known = np.any([mask for _, mask in found], axis=0)
    if include_training or not known.any():
        return held, [view for view, _ in found], [bool(mask.any()) for _, mask in found]
    if known.all():
        raise DataError(
            "no image is left that none of these models was trained on", found=f"{len(known)} images",
            fix="name other data, compare runs of the same --seed, or add --include-training",
        )  # fmt: skip
    console.say(f"data: {known.sum()} images that another of these models was trained on, excluded")
    kept = np.flatnonzero(~known)
    return held.at(kept), [PixelView(view.array, view.indices[kept]) for view, _ in found], [False] * len(found)


def _short(model: ModelSource) -> str:
    return "the model" if isinstance(model, Predictor) else Path(model).name
