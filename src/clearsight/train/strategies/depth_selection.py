"""How much of a pretrained network to train, by short trainings: the head alone, or the blocks above a depth too.

Each short training is a whole schedule of a few steps on the training split. The depth that validates best is then
trained for as long as the --budget lasts, and kept if it is better than the head alone. Without a budget the head alone
is used.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from clearsight.models.backbone_split import can_be_cut, cut
from clearsight.models.execution import operations
from clearsight.models.network import AS_IT_IS
from clearsight.train.allowance import SPEED
from clearsight.train.context import TrainContext, TrainResult
from clearsight.train.ensembling import better
from clearsight.train.halving import Trial, preferred, trial_of
from clearsight.train.head_search import proportional_sample
from clearsight.train.strategies.fine_tune import Maps, train_upper
from clearsight.train.strategies.probe import Frozen, say_idle
from clearsight.wording import count, percent

BATCH, STEPS = 32, 24
"""Images per batch and steps of a short training."""

LEAST_EPOCHS = 2
"""Epochs of training that must be affordable for a depth to be tried."""

ROUNDED = 0.25
"""Part of an epoch by which the work may exceed the budget."""

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
    result = _fully(context, frozen, place, best)
    _say_more(context, result)
    return result


def head_for_now(context: TrainContext, frozen: Frozen) -> TrainResult:
    """The head alone, where no --budget asks for more; and how more time is used, where errors are left."""
    alone = _of_head(context, frozen)
    context.trials.append(alone)
    say_idle(context, "the network's weights are frozen; use --budget or --freeze none to train them")
    if alone.may_improve:
        _say_more(context, frozen.trained)
    return frozen.trained


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


def _fully(context: TrainContext, frozen: Frozen, place: int, trial: Trial) -> TrainResult:
    """Train above a tap for as long as the budget lasts; the better of the result and the head alone."""
    after = train_upper(context, frozen, place=place)
    return better(context, frozen.trained, after, trial.name.removeprefix("training "), forced=False)


def _say_more(context: TrainContext, result: TrainResult) -> None:
    """By which option more time is used, and how many errors are left that it may remove."""
    wrong = int((result.logits.argmax(1) != context.data.labels[result.validation_indices]).sum())
    limit = context.work.limit / SPEED
    minutes = math.ceil((limit if context.budget is None else 3 * limit) / 60)
    longer = "layers are trained too" if context.budget is None else "layers are trained for longer, on more folds"
    crossed = len(result.validation_indices) > len(context.data.split.val)
    by = "predicted in cross-validation" if crossed else "of the validation split"
    context.note(
        "more time",
        f"--budget {minutes}m",
        f"{longer}, and kept if they validate better; so far {wrong:,} of {len(result.logits):,} images {by} are "
        "classified incorrectly",
    )
