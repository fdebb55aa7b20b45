"""A head on a pretrained network's frozen features, of several depths and, with a budget, of several views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.arguments import flag
from clearsight.data.channel_statistics import channel_statistics
from clearsight.data.prepare import Prepared
from clearsight.models.execution import operations
from clearsight.models.initialization import skip_init
from clearsight.models.network import AS_IT_IS, VIEWS, Probe, tap_points
from clearsight.models.pretrained import load_backbone
from clearsight.train.allowance import searches
from clearsight.train.class_weight import weights_of
from clearsight.train.config import TrainConfig
from clearsight.train.context import TrainContext, TrainResult
from clearsight.train.features import Averaged, Timed, extract
from clearsight.train.head_search import MIXED, Candidate, ProbeResult, Targets, at_edge, choose_head
from clearsight.train.hidden_head import with_hidden_layers
from clearsight.train.recipe import Recipe
from clearsight.wording import count, percent

MIRRORED: tuple[tuple[str, ...], ...] = (tuple(VIEWS)[:2], tuple(VIEWS))
"""Views worth averaging features over, beside the image alone: left and right exchanged; up and down too."""

VIEWS_LIMIT = 20_000
"""Images up to which features of mirror images are tried, with a budget: each view costs as much as the images."""

VIEW_SHARE = 0.1
"""Share of the allowed work that features of mirror images may cost without a budget."""

LAST_FEATURES, ALL_DEPTHS = "last features", "all depths"
"""Names of the set of features that the network itself classifies by, and of those of every tap beside them."""

NO_LAYER = tuple(name for name in TrainConfig().training() if name != "class_weight")
"""Options without effect where no layer is trained."""


@dataclass(frozen=True)
class Frozen:
    """The probe with its head, the features it stands on, and what the head was chosen from.

    parts: features of the images as they are, for the images of `rows`, in order.
    """

    probe: Probe
    result: ProbeResult
    parts: list[NDArray[np.float32]]
    rows: NDArray[np.int64]
    trained: TrainResult

    def positions(self, images: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of some images among the rows of the features."""
        return np.searchsorted(self.rows, images)

    def targets(self, context: TrainContext) -> Targets:
        """What heads on these features learn."""
        return weighted_targets(context, self.rows)


def weighted_targets(context: TrainContext, rows: NDArray[np.int64]) -> Targets:
    """What heads on features of some images learn; labels are weighted by their confidence and by --class-weight."""
    data = context.data
    labels, weights = data.labels[rows], data.weights[rows]
    choice = context.config.regularization.class_weight
    if choice != "none":
        weights = weights * weights_of(choice, data.labels[data.split.train], context.task.names).numpy()[labels]
    return Targets(labels, weights, context.classes)


def frozen_head(context: TrainContext, features: str | None = None, reuse: bool = False) -> Frozen:
    """Choose a head on frozen features by cross-validation; one with hidden layers where --head-widths asks for it.

    features: name of the only set of features to be tried, under a linear head; None for all sets and heads. reuse: try
    only the kind of head that the continued run has chosen, if there is one.
    """
    data, split = context.data, context.data.split
    probe = new_probe(context.recipe, context.data)
    rows = np.sort(np.concatenate([split.train, split.val]))
    timed = Timed(context.console.stage("features"))
    parts = extract(probe, data.pixels, rows, device=context.device, progress=timed)

    def seen_from(views: tuple[str, ...]) -> list[Averaged]:
        of_each = [parts]
        for view in views[1:]:
            context.work.spent += work
            advance = context.console.stage(f"features, {view}")
            of_each.append(extract(probe, data.pixels, rows, device=context.device, view=view, progress=advance))
        return [Averaged(same) for same in zip(*of_each, strict=True)]

    shape, budget = (probe.input.channels, *data.pixels.array.shape[2:]), context.config.run.budget
    work = operations(probe.backbone, shape) * len(rows)
    context.work.spent += work
    worth = searches(context.config) and work <= VIEW_SHARE * context.work.limit
    asked = (budget is not None or worth) and context.config.augmentation.augment != "none" and len(rows) <= VIEWS_LIMIT
    again = None if not reuse or context.previous is None else context.previous.head_for(len(rows))
    if again is not None:
        asked = again.views != AS_IT_IS
    tried = [again.views] if again is not None else MIRRORED if budget is not None else MIRRORED[:1]
    widths, seed = context.config.transfer.widths, context.config.run.seed
    sets = feature_sets(probe)
    targets, everything = weighted_targets(context, rows), np.searchsorted(rows, split.development)
    folds = [(np.searchsorted(rows, a), np.searchsorted(rows, b)) for a, b in split.folds]
    result = choose_head(
        parts,
        sets if features is None else {features: sets[features]},
        targets,
        folds,
        everything,
        views={views: partial(seen_from, views) for views in tried} if asked else None,
        seed=seed,
        kernels=features is None and not widths,
        only=again,
        progress=context.console.stage("choosing the head", "candidates"),
    )
    if again is None:
        _say_head(context, result)
    else:
        why = "same kind of head as in the continued run, refitted; validation accuracy"
        context.note("head", result.chosen.words(), f"{why} {percent(result.chosen.accuracy)}")
    if widths:
        linear = result.chosen
        seen = parts if result.chosen.views == AS_IT_IS else seen_from(result.chosen.views)
        advance = context.console.stage("training the head", "strengths")
        result = with_hidden_layers(result, seen, widths, targets, folds, everything, seed=seed, progress=advance)
        reached, without = percent(result.chosen.accuracy), percent(linear.accuracy)
        why = f"as requested by --head-widths; validation accuracy {reached}, {without} without hidden layers"
        context.note("hidden layers", result.chosen.words(), why)
    probe.set_views(result.chosen.views)
    probe.set_head(result.head_spec, result.head, result.chosen.parts)
    validation_indices = rows[result.validation_indices]
    context.note_folds(
        "scores of the folds",
        validation_indices,
        result.logits.argmax(1) == data.labels[validation_indices],
        "accuracy",
    )
    trained = TrainResult(
        network=probe,
        task=context.task.calibrated(result.logits, data.labels[validation_indices]),
        validation_indices=validation_indices,
        logits=result.logits,
        history=(),
        candidates=result.candidates,
        images_per_second=timed.rate,
    )
    return Frozen(probe, result, parts, rows, trained)


def say_idle(context: TrainContext, why: str, names: Sequence[str] = NO_LAYER) -> None:
    """Say which of these options of training the user gave for nothing; to change no image needs no saying."""
    given, usual = context.config.training(), TrainConfig().training()
    idle = [flag(name) for name in names if given[name] not in (usual[name], "none")]
    if idle:
        context.note("without effect", ", ".join(idle), why)


def _say_head(context: TrainContext, result: ProbeResult) -> None:
    alone = [c for c in result.candidates if c.views == AS_IT_IS and c.head != MIXED]
    more_views = [c for c in result.candidates if c.views != AS_IT_IS]
    chosen = max(alone, key=lambda c: (c.accuracy, -c.log_loss))
    equals = sum(c.accuracy == chosen.accuracy for c in alone)
    tie = f"; lowest log loss of the {equals} with this accuracy" if equals > 1 else ""
    more = (
        f" computed from unchanged images (with averages over mirror images: {count(len(more_views), 'more', 'more')})"
        if more_views
        else ""
    )
    words = f"highest validation accuracy of {len(alone)} candidates{more}: {percent(chosen.accuracy)}{tie}"
    if any(c.features == LAST_FEATURES for c in alone):
        last = best_of(result, LAST_FEATURES).accuracy
        words += f"; best with only the last features: {percent(last)}"
    context.note("head", chosen.words(), words)
    if at_edge(chosen, alone):
        strengths = sorted({c.setting["L2"] for c in alone if c.head == "softmax" and c.features == chosen.features})
        context.note(
            "warning",
            f"the L2 strength of the head, {chosen.setting['L2']:g}, is at the edge of the range tried",
            f"{strengths[0]:g} to {strengths[-1]:g}; a better value may lie outside this range",
        )
    if result.chosen.head == MIXED:
        context.note(
            "head of two kinds",
            result.chosen.words(),
            "the mean of the probabilities of the best head of each kind lowers the log loss by more than one standard "
            f"error, to {result.chosen.log_loss:.3f}; validation accuracy {percent(result.chosen.accuracy)}",
        )
    same = [chosen, *(c for c in more_views if c.head == chosen.head)]
    if len(same) == 1:
        return
    scores = ", ".join(f"{len(c.views)}: {c.log_loss:.3f} ({percent(c.accuracy)})" for c in same)
    chosen_views = result.chosen.views
    context.note(
        "views",
        "unchanged images only" if chosen_views == AS_IT_IS else f"average over views: {', '.join(chosen_views)}",
        f"features are averaged over mirror images if that lowers the validation log loss by more than one standard "
        f"error; prediction then takes longer; log loss and accuracy by number of views: {scores}",
    )


def new_probe(recipe: Recipe, data: Prepared | None = None) -> Probe:
    """The pretrained backbone, tapped at the ends of its stages, still without a head.

    data: what it is trained on. Images of other than 1 or 3 channels are normalised by their own mean and deviation,
    and the first layer is adapted to them.
    """
    if data is None or data.form.channels in (1, len(recipe.weight_facts.mean)):
        return probe_of(recipe)
    return probe_of(recipe, *channel_statistics(data))


def probe_of(recipe: Recipe, mean: Sequence[float] = (), std: Sequence[float] = ()) -> Probe:
    """The same, with the mean and deviation of each channel of the pixels; those of the pretrained weights if empty."""
    facts = recipe.weight_facts
    mean, std = list(mean or facts.mean), list(std or facts.std)
    spec: dict[str, Any] = {
        "kind": "probe",
        "name": recipe.model,
        "img_size": recipe.img_size,
        "model_args": recipe.model_args,
        "input": {"mean": mean, "std": std, "mode": "fixed"},
        "taps": [],
        "parts": [0],
        "head": None,
    }
    with skip_init():
        probe = Probe(spec)
    probe.set_taps(tap_points(probe.backbone))
    load_backbone(probe, recipe.weights)
    return probe.eval()


def feature_sets(probe: Probe) -> dict[str, tuple[int, ...]]:
    """The joins of parts worth trying: the last features, all depths, the later stages without the last."""
    n = len(probe.taps)
    sets: dict[str, tuple[int, ...]] = {LAST_FEATURES: (n,)}
    if n >= 2:
        sets[ALL_DEPTHS] = tuple(range(n + 1))
        sets["later stages"] = tuple(range(n // 2 - 1 if n > 2 else 0, n))
    return sets


def best_of(result: ProbeResult, features: str) -> Candidate:
    """The best candidate on one set of features."""
    return max((c for c in result.candidates if c.features == features), key=lambda c: c.accuracy)
