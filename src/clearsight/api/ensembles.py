"""Test-time augmentation and ensembles, compared with the single model image by image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clearsight.console import Console, Silent
from clearsight.errors import DataError
from clearsight.evaluation import (
    Paired,
    compare_paired,
    mean_of,
    views_of,
)
from clearsight.predictor import Predictor
from clearsight.runs.images import (
    as_seen_by,
    held_out,
    knows,
)
from clearsight.runs.load import load


def together(
    model: str | Path | Predictor,
    data: Any = None,
    *,
    views: str | None = None,
    others: Sequence[str | Path | Predictor] = (),
    console: Console | None = None,
    data_dir: str | None = None,
) -> list[Paired]:
    """Whether several views of each image, or several models, do better than one model on one view:
    `cs.together("runs/a", others=["runs/b"])`.

    Each row is compared, image by image, with the model alone, on the images `evaluate` would take: first the model
    itself, then its views together, each other model, and all models together. Views apply to every model.
    """
    console = console or Silent()
    held = held_out(model, data, console=console, data_dir=data_dir)
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
    alone = held.predictor.predict_proba(held.images, console.stage("judging"))
    rows = [compare_paired(_short(model), alone, alone, held.labels)]
    beliefs = []
    known = [bool(number) and knows(predictor, held) for number, predictor in enumerate(predictors.values())]
    for number, (name, predictor) in enumerate(predictors.items()):
        images = held.images if not number else as_seen_by(predictor, held, console)
        own = alone if not number else predictor.predict_proba(images, console.stage(f"judging {name}"))
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


def _short(model: str | Path | Predictor) -> str:
    return "the model" if isinstance(model, Predictor) else Path(model).name
