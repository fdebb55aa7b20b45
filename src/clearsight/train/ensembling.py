"""What there was, what training made of it, or both as an ensemble: decided on images that neither had seen.

An ensemble takes as long to predict as its members together. It is kept only if its log loss is lower than that of the
better of them by more than one standard error, image by image, and its accuracy is no lower. Otherwise the more
accurate network alone is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from clearsight.calibration.temperature import fit_temperature
from clearsight.metrics import softmax
from clearsight.models.network import Ensemble
from clearsight.train.context import TrainContext, TrainResult
from clearsight.train.halving import Trial, trial_of
from clearsight.wording import count, percent

BEFORE, AFTER, BOTH = "not kept", "kept", "kept in an ensemble with the previous model"


@dataclass(frozen=True)
class Comparison:
    """The models on the images that both were validated on, by name."""

    trials: Mapping[str, Trial]

    def accuracy(self, name: str) -> float:
        """Share of the images that a model classifies correctly."""
        return self.trials[name].accuracy

    @property
    def choice(self) -> str:
        """The better network alone, unless both together are better than it by more than the noise."""
        before, after, both = (self.trials[name] for name in (BEFORE, AFTER, BOTH))
        alone = min((before, after), key=lambda trial: (-trial.accuracy, trial.log_loss))
        return BOTH if both.beats(alone) else alone.name


def better(
    context: TrainContext, before: TrainResult, after: TrainResult | None, what: str, *, forced: bool
) -> TrainResult:
    """The choice between both, noted. forced: what training made of it, however it does."""
    if after is None:
        return before
    both, comparison = average_outputs(context, before, after)
    word = AFTER if forced else comparison.choice
    old, new, joined = (f"{percent(comparison.accuracy(name))}" for name in (BEFORE, AFTER, BOTH))
    context.note(
        f"training {what}",
        word,
        f"validation accuracy on {count(len(both.validation_indices), 'image')}: {old} before, {new} after, and "
        f"{joined} for the ensemble, which takes as long to predict as both networks together; the ensemble is kept "
        "only if its log loss is lower than that of the better network by more than one standard error"
        + ("; only the trained network is kept, as requested by the options" if word != comparison.choice else ""),
    )
    chosen = {BEFORE: before, AFTER: after, BOTH: both}[word]
    return replace(chosen, history=chosen.history or after.history, training=after.training)


def average_outputs(context: TrainContext, before: TrainResult, after: TrainResult) -> tuple[TrainResult, Comparison]:
    """An ensemble of both with equal weights, and the results of all three on the images validated by both."""
    validation_indices, first, second = np.intersect1d(
        before.validation_indices, after.validation_indices, return_indices=True
    )
    truth = context.data.labels[validation_indices]
    logits_of = {BEFORE: before.logits[first], AFTER: after.logits[second]}
    temperatures = {name: fit_temperature(z, truth) for name, z in logits_of.items()}
    probabilities = {name: softmax(z, temperatures[name]) for name, z in logits_of.items()}
    probabilities[BOTH] = (probabilities[BEFORE] + probabilities[AFTER]) / 2
    unseen, *places = np.intersect1d(before.for_calibration[0], after.for_calibration[0], return_indices=True)
    parts = [result.for_calibration[1][place] for result, place in zip((before, after), places, strict=True)]
    joint = np.mean([softmax(z, t) for z, t in zip(parts, temperatures.values(), strict=True)], axis=0)
    unseen_logits = np.log(np.maximum(joint, 1e-30))
    averaged = replace(
        after,
        network=Ensemble.of([before.network, after.network], list(temperatures.values())),
        task=context.task.calibrated(unseen_logits, context.data.labels[unseen]),
        validation_indices=validation_indices,
        logits=np.log(np.maximum(probabilities[BOTH], 1e-30)),
        unseen=unseen,
        unseen_logits=unseen_logits,
    )
    trials = {
        name: trial_of(name, 0.0, len(truth), np.log(np.maximum(p, 1e-30)), truth, 1.0)
        for name, p in probabilities.items()
    }
    return averaged, Comparison(trials)
