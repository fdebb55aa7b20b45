"""What there was, what training made of it, or both as an ensemble: decided on images that neither had seen.

The mean of two beliefs is seldom worse than the better of the two, and a few hundred images cannot tell networks apart
that differ by a percent. So both answer, unless one alone is right more often by over one standard error of the
difference, image by image.
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

BEFORE, AFTER, BOTH = "not kept", "kept", "kept, beside what there was"


@dataclass(frozen=True)
class Comparison:
    """Of images that both were judged on (n): whether each answer was right (n,), by what gave it."""

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
    job: TrainContext, before: TrainResult, after: TrainResult | None, what: str, *, forced: bool
) -> TrainResult:
    """The choice between both, noted. forced: what training made of it, however it does."""
    if after is None:
        return before
    both, comparison = together(job, before, after)
    word = AFTER if forced else comparison.choice
    old, new, joined = (f"{comparison.accuracy(name):.1%}" for name in (BEFORE, AFTER, BOTH))
    job.note(
        f"training {what}",
        word,
        f"validation accuracy {new} against {old} before, and {joined} when both answer, which costs their time "
        f"together and is preferred unless one alone is better by over one standard error, on {len(both.judged):,} "
        "images" + (", as --freeze asks" if word != comparison.choice else ""),
    )
    chosen = {BEFORE: before, AFTER: after, BOTH: both}[word]
    return replace(chosen, history=chosen.history or after.history, training=after.training)


def together(job: TrainContext, before: TrainResult, after: TrainResult) -> tuple[TrainResult, Comparison]:
    """An ensemble of both with the same say each, and how it and they do on the images that both were judged on."""
    judged, first, second = np.intersect1d(before.judged, after.judged, return_indices=True)
    truth = job.data.labels[judged]
    logits_of = {BEFORE: before.logits[first], AFTER: after.logits[second]}
    temperatures = {name: fit_temperature(z, truth) for name, z in logits_of.items()}
    beliefs = {name: softmax(z, temperatures[name]) for name, z in logits_of.items()}
    beliefs[BOTH] = (beliefs[BEFORE] + beliefs[AFTER]) / 2
    unseen, *places = np.intersect1d(before.for_calibration[0], after.for_calibration[0], return_indices=True)
    parts = [result.for_calibration[1][place] for result, place in zip((before, after), places, strict=True)]
    joint = np.mean([softmax(z, t) for z, t in zip(parts, temperatures.values(), strict=True)], axis=0)
    unseen_logits = np.log(np.maximum(joint, 1e-30))
    outcome = replace(
        after,
        network=Ensemble.of([before.network, after.network], list(temperatures.values())),
        task=job.task.calibrated(unseen_logits, job.data.labels[unseen]),
        judged=judged,
        logits=np.log(np.maximum(beliefs[BOTH], 1e-30)),
        unseen=unseen,
        unseen_logits=unseen_logits,
    )
    return outcome, Comparison({name: belief.argmax(1) == truth for name, belief in beliefs.items()})
