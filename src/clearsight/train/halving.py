"""Successive halving [Jamieson, Talwalkar 2016, arXiv:1502.07943]: candidates are compared on few images, the better
half of them again on more, all on the same validation images.

What a candidate costs is counted in operations, not in seconds, so that the same data, options and seed give the same
choice on any machine. A more expensive candidate is chosen only where it is better by more than the noise: one standard
error of the paired difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.calibration.temperature import fit_temperature
from clearsight.metrics import softmax, wilson_interval

EXPECTED_GAIN = 0.25
"""Share of the errors that a further step of the search removes, if it is good."""

NOISE = 1.5
"""Standard errors that the expected gain must exceed for the search to go on."""


@dataclass(frozen=True)
class Trial:
    """A candidate, and how it did on validation images that it was not fitted to.

    work: operations behind one image in this way of training. images: that the trial used. right (M,): whether each
    validation image is classified correctly. losses (M,): its log loss.
    """

    name: str
    work: float
    images: int
    right: NDArray[np.bool_]
    losses: NDArray[np.float64]

    @property
    def accuracy(self) -> float:
        """Share of the validation images that are classified correctly."""
        return float(self.right.mean())

    @property
    def log_loss(self) -> float:
        """Mean log loss."""
        return float(self.losses.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy."""
        return wilson_interval(int(self.right.sum()), len(self.right))

    def gain_over(self, other: Trial) -> tuple[float, float]:
        """By how much its log loss is lower than another's on the same images, and the standard error of that."""
        difference = other.losses - self.losses
        return float(difference.mean()), float(difference.std() / len(difference) ** 0.5)

    def beats(self, other: Trial) -> bool:
        """Whether it is better by more than one standard error, and no less accurate."""
        gain, error = self.gain_over(other)
        return gain > error and self.accuracy >= other.accuracy

    @property
    def may_improve(self) -> bool:
        """Whether the gain that can be expected exceeds the noise, which it does not where few errors are left.

        Of E errors, a good step removes a share g; the standard error of a difference of g E answers is (g E)^(1/2).
        """
        expected = EXPECTED_GAIN * float((~self.right).sum())
        return bool(expected > NOISE * expected**0.5)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        low, high = self.interval
        return {
            "name": self.name, "work": self.work, "images": self.images, "validated": len(self.right),
            "accuracy": self.accuracy, "interval": [low, high], "log_loss": self.log_loss,
        }  # fmt: skip


Measure = Callable[[str, int], Trial]
"""Gives the trial of a candidate, by its name, on so many images."""


def halve(
    candidates: Sequence[str], rounds: Sequence[int], measure: Measure, affordable: Callable[[str, int], bool]
) -> tuple[str, tuple[Trial, ...]]:
    """The candidate to use, and every trial.

    Args:
        candidates: names, the cheapest first; this one is always tried.
        rounds: numbers of images, ascending; half of the candidates reach the next.
        measure: tries a candidate.
        affordable: whether so many images of a candidate may be spent.

    Returns:
        The cheapest candidate that no other beats on the last round, and the trials in order.
    """
    remaining, tried = list(candidates), []
    best = candidates[0]
    for images in rounds:
        trials: list[Trial] = []
        for name in remaining:
            if trials and not affordable(name, images):
                continue
            trials.append(measure(name, images))
            if len(trials) == 1 and not trials[0].may_improve:
                break
        tried += trials
        best = preferred(trials).name
        ranked = sorted(trials, key=lambda trial: trial.log_loss)[: (len(trials) + 1) // 2]
        kept = {trial.name for trial in ranked} | {best}
        remaining = [name for name in remaining if name in kept]
        if len(remaining) < 2:
            break
    return best, tuple(tried)


def preferred(trials: Sequence[Trial]) -> Trial:
    """The cheapest of the trials that the best of all does not beat. trials: on the same validation images."""
    best = min(trials, key=lambda trial: trial.log_loss)
    return min((t for t in trials if not best.beats(t)), key=lambda trial: trial.work, default=best)


def trial_of(
    name: str,
    work: float,
    images: int,
    logits: NDArray[np.float64],
    truth: NDArray[np.int64],
    temperature: float | None = None,
) -> Trial:
    """The trial of a candidate that gives these logits (M, K) for images of these classes (M,).

    temperature: that the logits are divided by; None for the one that suits them best.
    """
    probabilities = softmax(logits, fit_temperature(logits, truth) if temperature is None else temperature)
    losses = -np.log(np.maximum(probabilities[np.arange(len(truth)), truth], 1e-12))
    return Trial(name, work, images, logits.argmax(1) == truth, losses)
