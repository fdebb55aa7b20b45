"""How much of a pretrained network to train, by short trainings: the head alone, or the blocks above a depth too.

Each short training is a whole schedule of a few steps on the training split. The depth that validates best is then
trained for as long as the --budget lasts, and kept if it is better than the head alone. Without a budget it is trained
for as long as the allowed work lasts, and only if the short training comes close to the head alone: where it does not,
a few epochs do not catch up.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from clearsight.models.backbone_split import can_be_cut, cut
from clearsight.models.execution import operations
from clearsight.models.network import AS_IT_IS
from clearsight.train.allowance import LIMIT, SPEED
from clearsight.train.context import TrainContext, TrainResult
from clearsight.train.ensembling import better
from clearsight.train.halving import Trial, preferred, trial_of
from clearsight.train.head_search import proportional_sample
from clearsight.train.strategies.fine_tune import Maps, train_upper, training_views, usual_epochs
from clearsight.train.strategies.probe import Frozen, say_idle
from clearsight.wording import count, percent

BATCH, STEPS = 32, 24
"""Images per batch and steps of a short training."""

LEAST_EPOCHS = 2
"""Epochs of training that must be affordable for a depth to be tried."""

ROUNDED = 0.25
"""Part of an epoch by which the work may exceed the budget."""

PROMISING = 3.0
"""Standard errors by which a short training may be less accurate than the head alone to be continued without a budget.

Measured on one split each: on fine textures with EfficientNet-Lite0, training loses 2 standard errors to the head after
24 steps and gains 4 points in two epochs; on clip art it loses 5 and has not caught up after an epoch, nor with
Lite2 after two.
"""

HEAD_ALONE = "head on frozen features"


def train_as_measured(context: TrainContext, frozen: Frozen) -> TrainResult:
    """The head alone, or blocks above the depth that does best in short trainings; and how more time is used."""
    alone = _of_head(context, frozen)
    context.trials.append(alone)
    if not alone.may_improve:
        wrong = count(int((~alone.right).sum()), "error")
        say_idle(context, "the network's weights are frozen")
        context.note(
            "training layers",
            "left out",
            f"with {wrong} on {len(alone.right):,} validation images, a gain would be within the noise",
        )
        return frozen.trained
    trials = _short_trainings(context, frozen)
    context.trials.extend(trials.values())
    if not trials:
        words = "training would exceed the work allowed, or the network cannot be cut at its depths"
        context.note("training layers", "left out", words)
        _say_more(context, frozen.trained)
        return frozen.trained
    words = ", ".join(f"{trial.name} {percent(trial.accuracy)}" for trial in (alone, *trials.values()))
    best = preferred(list(trials.values()))
    place = next(place for place, trial in trials.items() if trial is best)
    why = f"validation accuracy after {count(STEPS, 'step')} of training: {words}"
    context.note("depth of training", best.name, why)
    if context.budget is None and not _promising(best, alone):
        words = "the short training is clearly less accurate than the head, which a few more epochs do not make up for"
        say_idle(context, "the network's weights are frozen; use --budget or --freeze none to train them")
        context.note("training layers", "left out", words)
        _say_more(context, frozen.trained)
        return frozen.trained
    result = _fully(context, frozen, place, best)
    _say_more(context, result)
    return result


def _of_head(context: TrainContext, frozen: Frozen) -> Trial:
    """The head alone on the validation split, by heads that had not seen it."""
    val = context.data.split.val
    rows, known, _ = np.intersect1d(frozen.trained.validation_indices, val, return_indices=True)
    logits = frozen.trained.logits[known]
    return trial_of(HEAD_ALONE, 0.0, len(context.data.split.train), logits, context.data.labels[rows])


def _short_trainings(context: TrainContext, frozen: Frozen) -> dict[int, Trial]:
    """A trial of each depth at which training may begin, by the number of its tap; those that the work allows."""
    split, found = context.data.split, {}
    images = min(len(split.train), BATCH * STEPS)
    fit = proportional_sample(split.train, context.data.labels, images, context.config.run.seed)
    quiet = replace(context, on_epoch=None, watch=None, folder=None, notes=[])
    for place in _places(len(frozen.probe.taps)):
        if not can_be_cut(frozen.probe, frozen.probe.taps[place]):
            continue
        lower, upper = _work(context, frozen, place)
        cost = len(frozen.rows) * lower + 3 * upper * BATCH * STEPS
        full = 3 * upper * LEAST_EPOCHS * len(split.train)
        if cost + full > context.work.left * (1 + ROUNDED / LEAST_EPOCHS):
            continue
        context.work.spent += cost
        maps = Maps.of(quiet, frozen, place, AS_IT_IS)
        epochs = max(1, round(BATCH * STEPS / len(fit)))
        name = f"training the blocks above {maps.at}"
        config = maps.config(BATCH).with_options(epochs=epochs)
        one = maps.train((fit, split.val), 0, config, f"comparing depths, {maps.at}", context.validation_halves[1])
        order = np.argsort(one.rows)
        logits = one.logits[order]
        found[place] = trial_of(name, 3 * upper, len(fit), logits, context.data.labels[one.rows[order]])
    return found


def _places(taps: int) -> list[int]:
    """Numbers of the taps to compare: the first, above which most of the network is trained, and the one before the
    last.
    """
    return sorted({max(0, taps - 2), 0}, reverse=True) if taps else []


def _work(context: TrainContext, frozen: Frozen, place: int) -> tuple[float, float]:
    """Operations of one image below and above a tap."""
    shape = context.data.pixels.array.shape[1:]
    lower, _ = cut(frozen.probe, frozen.probe.taps[place])
    whole, below = (
        operations(frozen.probe.backbone, (frozen.probe.input.channels, *shape[1:])),
        operations(lower, shape),
    )
    return below, whole - below


def _promising(trial: Trial, alone: Trial) -> bool:
    """Whether a short training comes close enough to the head alone for more epochs to surpass it."""
    lost = alone.right.astype(float) - trial.right
    return bool(lost.mean() <= PROMISING * lost.std() / len(lost) ** 0.5)


def _fully(context: TrainContext, frozen: Frozen, place: int, trial: Trial) -> TrainResult:
    """Train above a tap for as long as the budget or the allowed work lasts; the better of the result and the head
    alone.
    """
    before, title = frozen.trained, trial.name.removeprefix("training ")
    if context.budget is not None:
        return better(context, before, train_upper(context, frozen, place=place), title, forced=False)
    images = len(context.data.split.train)
    for views in (training_views(context, frozen), AS_IT_IS):
        each = trial.work * images * len(views)
        epochs = min(int(context.work.left / each + ROUNDED), usual_epochs(images * len(views)))
        if epochs >= LEAST_EPOCHS:
            break
    epochs = max(epochs, LEAST_EPOCHS)
    if context.config.optimization.epochs is None:
        why = f"the work allowed without --budget, about {LIMIT / SPEED / 60:.0f} minutes on two cores"
        context.note("epochs", str(epochs), why)
    context.work.spent += each * epochs
    after = train_upper(context, frozen, place=place, views=views, epochs=epochs)
    return better(context, before, after, title, forced=False)


def _say_more(context: TrainContext, result: TrainResult) -> None:
    """By which option more time is used, and how many errors are left that it may remove."""
    wrong = int((result.logits.argmax(1) != context.data.labels[result.validation_indices]).sum())
    limit = context.work.limit / SPEED
    minutes = math.ceil((2 if context.budget is None else 3) * limit / 60)
    longer = "layers are trained for longer, on more folds" if result.tuned else "layers are trained too"
    crossed = len(result.validation_indices) > len(context.data.split.val)
    by = "predicted in cross-validation" if crossed else "of the validation split"
    context.note(
        "more time",
        f"--budget {minutes}m",
        f"{longer}, and kept if they validate better; so far {wrong:,} of {len(result.logits):,} images {by} are "
        "classified incorrectly",
    )
