"""A detector of anomalies, learned from normal images alone.

    features of images or of their patches -> a method, chosen on artificial anomalies -> scores of held-out normal
    images -> the far outliers set aside as probable anomalies -> the model fitted to all others, and its calibration

Every normal image is scored by a detector that had not seen it, in cross-validation; these scores are what p-values
and the threshold rest on (`tasks.anomaly`). A few anomalies among the training images are the far outliers of these
scores; what was fitted with them is fitted again without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.data.cache import Progress
from clearsight.data.cached_pixels import CachedPixels
from clearsight.data.loader import to_float
from clearsight.errors import ModelError
from clearsight.metrics.ranking import auroc
from clearsight.models.anomaly_model import AnomalyModel, places_of, score_of
from clearsight.models.base import ModelNetwork, capture
from clearsight.models.initialization import skip_init
from clearsight.models.network import Backbone, tap_points
from clearsight.tasks import Anomaly, Classification
from clearsight.train.choices import ANOMALIES
from clearsight.train.context import TrainContext, TrainResult
from clearsight.train.cutpaste import pasted
from clearsight.train.features import Timed, outputs
from clearsight.train.label_issues import LabelIssue, LabelIssues
from clearsight.train.one_class_heads import FAR, distances, far_out, fit_head, usual
from clearsight.train.strategies.from_scratch import from_scratch
from clearsight.train.strategies.probe import new_probe, say_idle
from clearsight.wording import count, percent

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]

PATCHES = ("padim", "patchcore")
"""Methods that look at places of an image; the others look at the whole of it."""

MOST = 2000
"""Normal images that are learned from at most, drawn at random: more make patches' features large and gain little."""

CHANNELS = 192
"""Channels of patches that are kept at most, drawn at random [Defard et al. 2020, section III]."""

MADE_UP = 200
"""Anomalies made up to choose a method by, at most."""

FOLDS = 5
"""Parts of the cross-validation at most; each is a fit."""

ROUNDS = 2
"""How often what is left is fitted again."""


@dataclass(frozen=True)
class _Trunk:
    """What features come from: a network that is done, or None for pixels; how it was trained, if it was."""

    network: ModelNetwork | None
    words: str
    trained: TrainResult | None = None


def train_one_class(context: TrainContext) -> TrainResult:
    """Choose a method, fit it to the normal images, and say what its scores mean."""
    task = context.task
    assert isinstance(task, Anomaly)
    trunk = _trunk(context, task)
    rows, folds = _rows(context, trunk)
    methods = _methods(context, task, trunk)
    bodies = {patches: _body(context, trunk, patches) for patches in sorted({m in PATCHES for m in methods})}
    timed = Timed(context.console.stage("features"))
    maps = {k: _maps(context, body, context.data.pixels, rows, timed) for k, body in bodies.items()}
    method = _chosen(context, methods, bodies, maps, rows, folds[0]) if len(methods) > 1 else methods[0]
    patches = method in PATCHES
    kept, away, level, spread = _held_out(context, method, maps[patches], folds)
    validation_indices = np.sort(np.concatenate([val_rows for _, val_rows in folds]))
    everything = np.arange(len(rows)) if trunk.trained is None else folds[0][0]
    detector, head = (
        bodies[patches],
        fit_head(method, maps[patches], everything[kept[everything]], context.config.run.seed),
    )
    detector.set_head(head)
    detector.level.copy_(torch.from_numpy(level))
    detector.spread.copy_(torch.from_numpy(spread))
    scores = score_of(torch.from_numpy((away[validation_indices] - level) / spread)).double().numpy()
    normal = kept[validation_indices]
    fitted = task.calibrated(scores[normal], np.zeros((int(normal.sum()), 1), np.float32))
    if (groups := context.data.dataset.groups) is not None:
        fitted = fitted.with_group_scores(scores[normal], groups[rows[validation_indices[normal]]])
    _say(context, method, trunk, fitted, int((~normal).sum()))
    found = _label_issues(context, rows[validation_indices[~normal]], fitted.decode(scores[~normal])[:, 0])
    result = trunk.trained
    return TrainResult(
        network=detector, task=fitted, validation_indices=rows[validation_indices[normal]], logits=scores[normal],
        history=result.history if result else (), candidates=(),
        images_per_second=timed.rate, training=result.training if result else None,
        label_issues=LabelIssues(rows[validation_indices], "detectors that were fitted without them", found),
    )  # fmt: skip


def _label_issues(context: TrainContext, rows: Rows, probability: NDArray[np.float64]) -> tuple[LabelIssue, ...]:
    """The images set aside, the likeliest anomaly first."""
    dataset = context.data.dataset
    return tuple(
        LabelIssue(
            int(rows[i]), dataset.source.name(int(rows[i])), dataset.classes[dataset.labels[rows[i]]], "anomaly",
            float(1 - probability[i]), float(probability[i]),
        )
        for i in np.argsort(-probability, kind="stable")
    )  # fmt: skip


def _trunk(context: TrainContext, task: Anomaly) -> _Trunk:
    """A pretrained network; one trained to classify the normal classes, if the user names it; or the pixels."""
    if context.recipe.kind == "probe":
        say_idle(context, "the network's weights are frozen, because there are only normal images to train on")
        return _Trunk(new_probe(context.recipe, context.data), f"features of pretrained {context.recipe.model}")
    if context.config.model.model != "auto":
        result = from_scratch(replace(context, data=replace(context.data, dataset=_only_normal(context, task))))
        return _Trunk(
            result.network, f"features of {context.recipe.model} trained to classify the normal classes", result
        )
    say_idle(context, "images are compared by their pixels, so no network is trained")
    return _Trunk(None, "pixels")


def _only_normal(context: TrainContext, task: Anomaly) -> Any:
    """The data set as one of the normal classes; anomalies, which no split to learn from holds, have no label."""
    dataset = context.data.dataset
    number = {name: k for k, name in enumerate(n for n in dataset.classes if n in task.normal)}
    labels = np.array([number.get(name, -1) for name in dataset.classes])[dataset.labels]
    return replace(dataset, labels=labels, classes=tuple(number), names=tuple(number), values=None, task=Classification)


def _rows(context: TrainContext, trunk: _Trunk) -> tuple[Rows, list[tuple[Rows, Rows]]]:
    """The images that are learned from, sorted, none of a doubted label; and folds as positions among them. A network
    that was trained has seen all training images but those of the first fold.
    """
    split, draw = context.data.split, np.random.default_rng(context.config.run.seed)
    rows = np.concatenate([split.train, split.val])
    sure = rows[context.data.weights[rows] >= 1]
    rows = np.sort(draw.permutation(sure if len(sure) >= 2 else rows)[:MOST])
    folds = [
        (np.flatnonzero(np.isin(rows, fit)), np.flatnonzero(np.isin(rows, val_rows))) for fit, val_rows in split.folds
    ]
    if trunk.trained is not None:
        folds = folds[:1]
    elif len(folds) > FOLDS:
        joined = [np.concatenate([val_rows for _, val_rows in folds[k::FOLDS]]) for k in range(FOLDS)]
        folds = [(np.setdiff1d(np.arange(len(rows)), val_rows), np.sort(val_rows)) for val_rows in joined]
    return rows, [(fit, val_rows) for fit, val_rows in folds if len(fit) > 1 and len(val_rows)]


def _methods(context: TrainContext, task: Anomaly, trunk: _Trunk) -> tuple[str, ...]:
    """The method asked for, or those worth comparing."""
    asked = context.config.model.anomaly
    if asked != "auto":
        return (asked,)
    if len(task.normal) > 1:
        context.note(
            "compared",
            "whole images",
            f"there are {len(task.normal)} normal classes, so positions are not comparable between images",
        )
        return ("knn",)
    return PATCHES if trunk.network is not None else ("knn", "padim")


def _body(context: TrainContext, trunk: _Trunk, patches: bool) -> AnomalyModel:
    """A detector still without a head."""
    spec: dict[str, Any] = {"kind": "detector", "trunk": None, "taps": [], "grid": [1, 1], "keep": 0, "head": None}
    example = to_float(context.data.pixels.array[:1])
    channels = 0
    if trunk.network is not None:
        spec["trunk"] = trunk.network.spec
    if patches and trunk.network is not None:
        path = trunk.network.backbone_path
        points = tap_points(trunk.network.get_submodule(path))
        spec["taps"] = [f"{path}.{name}" for name in (points[1:3] if len(points) > 3 else points[:2])]
        with capture(trunk.network, spec["taps"]) as seen, torch.inference_mode():
            trunk.network.eval()(example)
        if not seen or any(m.ndim != 4 for m in seen.values()):
            raise ModelError(
                f"{context.recipe.model} has no intermediate feature maps to compare",
                fix="add --anomaly knn, or choose a different --model",
            )
        spec["grid"] = places_of(list(seen.values()))
        channels = sum(m.shape[1] for m in seen.values())
    elif patches:
        spec["grid"] = list(example.shape[2:])
    spec["keep"] = CHANNELS if channels > CHANNELS else 0
    with skip_init():
        body = AnomalyModel(spec)
    if trunk.network is not None:
        body.trunk = trunk.network
    if spec["keep"]:
        drawn = np.random.default_rng(context.config.run.seed).permutation(channels)[:CHANNELS]
        body.kept.copy_(torch.from_numpy(np.sort(drawn)))
    return body.eval()


def _maps(context: TrainContext, body: AnomalyModel, pixels: CachedPixels, rows: Rows, progress: Progress) -> Floats:
    """Features (N, D, h, w) of some images, memory-mapped."""
    about = f"{body.spec['taps']} {body.spec['grid']}"
    return outputs(Backbone(body), about, pixels, rows, device=context.device, progress=progress)[0]


def _chosen(
    context: TrainContext,
    methods: Sequence[str],
    bodies: dict[bool, AnomalyModel],
    maps: dict[bool, Floats],
    rows: Rows,
    fold: tuple[Rows, Rows],
) -> str:
    """The method that best separates synthetic anomalies from the held-out images they were made of."""
    seed = context.config.run.seed
    fit, val_rows = fold
    val_rows = val_rows[:MADE_UP]
    made = CachedPixels(pasted(context.data.pixels.array[rows[val_rows]], seed), {}, "")
    new = {
        k: _maps(context, body, made, np.arange(len(val_rows)), context.console.stage("artificial anomalies"))
        for k, body in bodies.items()
    }
    found = {}
    for method in methods:
        k = method in PATCHES
        head = fit_head(method, maps[k], fit, seed)
        held, made_up = distances(head, maps[k], val_rows), distances(head, new[k], np.arange(len(val_rows)))
        level, spread = usual(held)
        scores = [score_of(torch.from_numpy((d - level) / spread)).numpy()[:, 0] for d in (held, made_up)]
        found[method] = auroc(*scores)
    best = max(found, key=lambda m: found[m])
    context.note(
        "method",
        f"{best}: {ANOMALIES[best]}",
        "best AUROC for separating held-out normal images from copies with a pasted patch (CutPaste): "
        + ", ".join(f"{m} {v:.3f}" for m, v in found.items()),
    )
    return best


def _held_out(
    context: TrainContext, method: str, maps: Floats, folds: Sequence[tuple[Rows, Rows]]
) -> tuple[NDArray[np.bool_], Floats, Floats, Floats]:
    """Which images are kept (N,), the distances (N, P) of each validation image by heads that had not seen it, and
    their level and spread (P,) over the kept images.
    """
    places = int(np.prod(maps.shape[2:]))
    kept, away = np.ones(len(maps), bool), np.zeros((len(maps), places), np.float32)
    validation_indices = np.concatenate([val_rows for _, val_rows in folds])
    advance = context.console.stage("scoring normal images", "fits")
    done = 0
    for number in range(ROUNDS + 1):
        for fit, val_rows in folds:
            head = fit_head(method, maps, fit[kept[fit]], context.config.run.seed)
            away[val_rows] = distances(head, maps, val_rows)
            done += 1
            advance(done, (ROUNDS + 1) * len(folds))
        level, spread = usual(away[validation_indices[kept[validation_indices]]])
        scores = score_of(torch.from_numpy((away[validation_indices] - level) / spread)).numpy()[:, 0]
        before = kept.copy()
        kept[validation_indices] = ~far_out(scores)
        if number == ROUNDS or (kept == before).all():
            break
    advance(done, done)
    return before, away, level, spread


def _say(context: TrainContext, method: str, trunk: _Trunk, task: Anomaly, set_aside: int) -> None:
    places = "positions in the image" if method in PATCHES else "whole images"
    context.note("detector", f"{method} on {trunk.words}", f"{ANOMALIES[method]}; compares {places}")
    more = (
        f"; a false alarm rate of {percent(task.false_alarms)} cannot be guaranteed with so few images"
        if task.alarm_rate > task.false_alarms
        else ""
    )
    context.note(
        "threshold",
        f"false alarm rate of {percent(task.alarm_rate)}",
        f"based on the scores of {count(len(task.known), 'normal image')}, computed by models that were not "
        f"trained on them{more}",
    )
    if set_aside:
        context.note(
            "label issues",
            f"{count(set_aside, 'image')} excluded from training",
            f"possible anomalies, with scores more than {FAR:g} interquartile ranges above the upper quartile",
        )
    if context.config.run.budget is not None and trunk.trained is None:
        context.note("without effect", "--budget", "an anomaly model is fitted in closed form")
