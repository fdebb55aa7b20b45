"""What there was, what training made of it, or both as an ensemble: decided on images that neither had seen.

The mean of two probabilities is seldom worse than the better of the two, and a few hundred images cannot rank networks
that differ by a percent. So both are kept as an ensemble, unless one alone is right more often by over one standard
error of the difference, image by image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clearsight.calibration.temperature import fit_temperature
from clearsight.metrics import softmax
from clearsight.models.network import Ensemble
from clearsight.train.context import TrainContext, TrainResult
from clearsight.wording import count, percent

BEFORE, AFTER, BOTH = "not kept", "kept", "kept in an ensemble with the previous model"


@dataclass(frozen=True)
class Comparison:
    """Of images that both were validated on (n): whether each prediction was right (n,), by model."""

    right: Mapping[str, NDArray[np.bool_]]

    def accuracy(self, name: str) -> float:
        return float(self.right[name].mean())

    def margin(self, name: str) -> tuple[float, float]:
        """How much more often one alone is right than both together, and the standard error of that difference."""
        difference = self.right[name].astype(float) - self.right[BOTH]
        return float(difference.mean()), float(difference.std() / len(difference) ** 0.5)

    @property
    def choice(self) -> str:
        """Both, or the best of those that are clearly better alone."""
        clear = [name for name in (BEFORE, AFTER) if self.margin(name)[0] > self.margin(name)[1]]
        return max(clear, key=self.accuracy, default=BOTH)


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
        "unless either network alone is better by more than one standard error"
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
    return averaged, Comparison({name: p.argmax(1) == truth for name, p in probabilities.items()})
