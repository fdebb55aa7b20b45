"""A detector of anomalies, learned from normal images alone.

    features of images or of their patches -> a method, chosen on made-up anomalies -> scores of held-out normal images
    -> the strangest of them set aside as suspects -> the detector of all others, and what its scores mean

Every normal image is scored by a detector that had not seen it, in cross-validation; these scores are what p-values
and the threshold rest on (`tasks.anomaly`). A few anomalies among the training images are the far outliers of these
scores; what was fitted with them is fitted again without.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.data.cache import CachedPixels
from clearsight.data.loader import to_float
from clearsight.errors import ModelError
from clearsight.metrics.ranking import auroc
from clearsight.models.anomaly_model import AnomalyModel, places_of, score_of
from clearsight.models.base import ModelNetwork, capture
from clearsight.models.network import Backbone, tap_points
from clearsight.tasks import Anomaly, Classification
from clearsight.train.config import ANOMALIES
from clearsight.train.context import TrainContext, TrainResult
from clearsight.train.cutpaste import pasted
from clearsight.train.features import outputs
from clearsight.train.label_issues import LabelIssue, LabelIssues
from clearsight.train.one_class_heads import FAR, distances, far_out, fit_head, usual
from clearsight.train.strategies.from_scratch import from_scratch
from clearsight.train.strategies.probe import new_probe, say_idle

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


def train_one_class(job: TrainContext) -> TrainResult:
    """Choose a method, fit it to the normal images, and say what its scores mean."""
    answer = job.task
    assert isinstance(answer, Anomaly)
    trunk, began = _trunk(job, answer), time.perf_counter()
    rows, folds = _rows(job, trunk)
    wanted = _methods(job, answer, trunk)
    bodies = {patches: _body(job, trunk, patches) for patches in sorted({m in PATCHES for m in wanted})}
    maps = {k: _maps(job, body, job.data.pixels, rows, "features") for k, body in bodies.items()}
    speed = len(rows) / max(1e-9, time.perf_counter() - began)
    method = _chosen(job, wanted, bodies, maps, rows, folds[0]) if len(wanted) > 1 else wanted[0]
    patches = method in PATCHES
    kept, away, level, spread = _held_out(job, method, maps[patches], folds)
    judged = np.sort(np.concatenate([judge for _, judge in folds]))
    everything = np.arange(len(rows)) if trunk.trained is None else folds[0][0]
    detector, head = bodies[patches], fit_head(method, maps[patches], everything[kept[everything]], job.config.run.seed)
    detector.set_head(head)
    detector.level.copy_(torch.from_numpy(level))
    detector.spread.copy_(torch.from_numpy(spread))
    scores = score_of(torch.from_numpy((away[judged] - level) / spread)).double().numpy()
    normal = kept[judged]
    fitted = answer.calibrated(scores[normal], np.zeros((int(normal.sum()), 1), np.float32))
    _say(job, method, trunk, fitted, int((~normal).sum()))
    found = _suspects(job, rows[judged[~normal]], fitted.decode(scores[~normal])[:, 0])
    outcome = trunk.trained
    return TrainResult(
        network=detector, task=fitted, judged=rows[judged[normal]], logits=scores[normal],
        history=outcome.history if outcome else (), candidates=(),
        images_per_second=speed, training=outcome.training if outcome else None,
        label_issues=LabelIssues(rows[judged], "detectors fitted without them", found),
    )  # fmt: skip


def _suspects(job: TrainContext, rows: Rows, belief: NDArray[np.float64]) -> tuple[LabelIssue, ...]:
    """The images set aside, the likeliest anomaly first."""
    dataset = job.data.dataset
    return tuple(
        LabelIssue(
            int(rows[i]), dataset.source.name(int(rows[i])), dataset.classes[dataset.labels[rows[i]]], "anomaly",
            float(1 - belief[i]), float(belief[i]),
        )
        for i in np.argsort(-belief, kind="stable")
    )  # fmt: skip


def _trunk(job: TrainContext, answer: Anomaly) -> _Trunk:
    """A pretrained network; one trained to tell the normal classes apart, if the user names it; or the pixels."""
    if job.recipe.kind == "probe":
        say_idle(job, "the network's weights stay as they are: there is nothing but normal images to train them on")
        return _Trunk(new_probe(job.recipe), f"features of {job.recipe.model}, pretrained")
    if job.config.model.model != "auto":
        outcome = from_scratch(replace(job, data=replace(job.data, dataset=_only_normal(job, answer))))
        return _Trunk(outcome.network, f"features of {job.recipe.model}, trained to tell normal classes apart", outcome)
    say_idle(job, "images are compared pixel by pixel, and no network is trained")
    return _Trunk(None, "pixels")


def _only_normal(job: TrainContext, answer: Anomaly) -> Any:
    """The data set as one of the normal classes; anomalies, which no split to learn from holds, have no label."""
    dataset = job.data.dataset
    number = {name: k for k, name in enumerate(n for n in dataset.classes if n in answer.normal)}
    labels = np.array([number.get(name, -1) for name in dataset.classes])[dataset.labels]
    return replace(dataset, labels=labels, classes=tuple(number), names=tuple(number), values=None, task=Classification)


def _rows(job: TrainContext, trunk: _Trunk) -> tuple[Rows, list[tuple[Rows, Rows]]]:
    """The images that are learned from, sorted, none of a doubted label; and folds as positions among them. A network
    that was trained has seen all training images but those of the first fold.
    """
    split, draw = job.data.split, np.random.default_rng(job.config.run.seed)
    rows = np.concatenate([split.train, split.val])
    sure = rows[job.data.weights[rows] >= 1]
    rows = np.sort(draw.permutation(sure if len(sure) >= 2 else rows)[:MOST])
    folds = [(np.flatnonzero(np.isin(rows, fit)), np.flatnonzero(np.isin(rows, judge))) for fit, judge in split.folds]
    if trunk.trained is not None:
        folds = folds[:1]
    elif len(folds) > FOLDS:
        joined = [np.concatenate([judge for _, judge in folds[k::FOLDS]]) for k in range(FOLDS)]
        folds = [(np.setdiff1d(np.arange(len(rows)), judge), np.sort(judge)) for judge in joined]
    return rows, [(fit, judge) for fit, judge in folds if len(fit) > 1 and len(judge)]


def _methods(job: TrainContext, answer: Anomaly, trunk: _Trunk) -> tuple[str, ...]:
    """The method asked for, or those worth comparing."""
    asked = job.config.model.anomaly
    if asked != "auto":
        return (asked,)
    if len(answer.normal) > 1:
        job.note(
            "compared", "whole images", f"{len(answer.normal)} classes are normal, so places differ among normal images"
        )
        return ("knn",)
    return PATCHES if trunk.network is not None else ("knn", "padim")


def _body(job: TrainContext, trunk: _Trunk, patches: bool) -> AnomalyModel:
    """A detector still without a head."""
    spec: dict[str, Any] = {"kind": "detector", "trunk": None, "taps": [], "grid": [1, 1], "keep": 0, "head": None}
    example = to_float(job.data.pixels.array[:1])
    channels = 0
    if trunk.network is not None:
        spec["trunk"] = trunk.network.spec
    if patches and trunk.network is not None:
        inside = trunk.network.backbone_path
        points = tap_points(trunk.network.get_submodule(inside))
        spec["taps"] = [f"{inside}.{name}" for name in (points[1:3] if len(points) > 3 else points[:2])]
        with capture(trunk.network, spec["taps"]) as seen, torch.inference_mode():
            trunk.network.eval()(example)
        if not seen or any(m.ndim != 4 for m in seen.values()):
            raise ModelError(
                f"{job.recipe.model} has no inner maps whose places could be compared",
                fix="add --anomaly knn, or use another --model",
            )
        spec["grid"] = places_of(list(seen.values()))
        channels = sum(m.shape[1] for m in seen.values())
    elif patches:
        spec["grid"] = list(example.shape[2:])
    spec["keep"] = CHANNELS if channels > CHANNELS else 0
    body = AnomalyModel(spec)
    if trunk.network is not None:
        body.trunk = trunk.network
    if spec["keep"]:
        drawn = np.random.default_rng(job.config.run.seed).permutation(channels)[:CHANNELS]
        body.kept.copy_(torch.from_numpy(np.sort(drawn)))
    return body.eval()


def _maps(job: TrainContext, body: AnomalyModel, pixels: CachedPixels, rows: Rows, title: str) -> Floats:
    """Features (N, D, h, w) of some images, memory-mapped."""
    about = f"{body.spec['taps']} {body.spec['grid']}"
    return outputs(Backbone(body), about, pixels, rows, device=job.device, progress=job.console.stage(title))[0]


def _chosen(
    job: TrainContext,
    wanted: Sequence[str],
    bodies: dict[bool, AnomalyModel],
    maps: dict[bool, Floats],
    rows: Rows,
    fold: tuple[Rows, Rows],
) -> str:
    """The method that tells made-up anomalies from the held-out images they were made of best."""
    seed = job.config.run.seed
    fit, judge = fold
    judge = judge[:MADE_UP]
    made = CachedPixels(
        pasted(job.data.pixels.array[rows[judge]], seed), {}, f"{job.data.pixels.key} pasted {seed} {rows[judge][-1]}"
    )
    new = {k: _maps(job, body, made, np.arange(len(judge)), "made-up anomalies") for k, body in bodies.items()}
    found = {}
    for method in wanted:
        k = method in PATCHES
        head = fit_head(method, maps[k], fit, seed)
        held, made_up = distances(head, maps[k], judge), distances(head, new[k], np.arange(len(judge)))
        level, spread = usual(held)
        scores = [score_of(torch.from_numpy((d - level) / spread)).numpy()[:, 0] for d in (held, made_up)]
        found[method] = auroc(*scores)
    best = max(found, key=lambda m: found[m])
    job.note(
        "method",
        f"{best}: {ANOMALIES[best]}",
        "tells held-out normal images from the same with a part of them pasted elsewhere best, by AUROC "
        + ", ".join(f"{m} {v:.3f}" for m, v in found.items()),
    )
    return best


def _held_out(
    job: TrainContext, method: str, maps: Floats, folds: Sequence[tuple[Rows, Rows]]
) -> tuple[NDArray[np.bool_], Floats, Floats, Floats]:
    """Which images are no suspects (N,), the distances (N, P) of each judged image by heads that had not seen it, and
    their level and spread (P,) over images that are no suspects.
    """
    places = int(np.prod(maps.shape[2:]))
    kept, away = np.ones(len(maps), bool), np.zeros((len(maps), places), np.float32)
    judged = np.concatenate([judge for _, judge in folds])
    advance = job.console.stage("scoring normal images", "fits")
    done = 0
    for number in range(ROUNDS + 1):
        for fit, judge in folds:
            head = fit_head(method, maps, fit[kept[fit]], job.config.run.seed)
            away[judge] = distances(head, maps, judge)
            done += 1
            advance(done, (ROUNDS + 1) * len(folds))
        level, spread = usual(away[judged[kept[judged]]])
        scores = score_of(torch.from_numpy((away[judged] - level) / spread)).numpy()[:, 0]
        before = kept.copy()
        kept[judged] = ~far_out(scores)
        if number == ROUNDS or (kept == before).all():
            break
    advance(done, done)
    return before, away, level, spread


def _say(job: TrainContext, method: str, trunk: _Trunk, answer: Anomaly, suspects: int) -> None:
    places = "places of the image" if method in PATCHES else "whole images"
    job.note("detector", f"{method} on {trunk.words}", f"{ANOMALIES[method]}; compares {places}")
    more = (
        f"; {answer.false_alarms:.1%} cannot be promised by so few" if answer.alarm_rate > answer.false_alarms else ""
    )
    job.note(
        "threshold",
        f"{answer.alarm_rate:.1%} false alarms",
        f"from the scores of {len(answer.known):,} normal images by detectors that had not seen them{more}",
    )
    if suspects:
        job.note(
            "suspects",
            f"{suspects} images are not learned from",
            f"their scores lie more than {FAR:g} interquartile ranges above the upper quartile: they may be anomalies",
        )
    if job.config.run.budget is not None and trunk.trained is None:
        job.note("without effect", "--budget", "a detector is fitted in closed form")
