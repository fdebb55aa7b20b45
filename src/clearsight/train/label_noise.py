"""How probable it is that a label is wrong, and which labels to show so that the share of false flags is known.

Images between two classes contradict their label now and then although it is right, and the surer the prediction, the
rarer that is: with calibrated probabilities as often as these say. Wrong labels contradict sure predictions as often as
others. So the labels are taken to be drawn from a mixture,

    P(label | image) = (1 - e) s(label) + e r(label),    s = softmax(log p / T),

with the share e of wrong labels, drawn from r: uniformly from the other classes, or from those that the true class is
confused with, in proportions a and 1 - a [classification noise with a known error rate per class: Angluin, Laird 1988,
"Learning from noisy examples"; Natarajan, Dhillon, Ravikumar, Tewari 2013, "Learning with noisy labels"]. T, e and a
are not chosen but averaged over their posterior on a grid, so that e is not taken for more certain than it is. A label
is wrong with probability e r / ((1 - e) s + e r), its local false discovery rate is the rest, and the expected share of
false flags the mean of that [Efron, Tibshirani, Storey, Tusher 2001, "Empirical Bayes analysis of a microarray
experiment"].

Shapes: N images, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearsight.calibration.temperature import fit_temperature
from clearsight.metrics import softmax

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

NOISE = np.array([0, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.17, 0.22, 0.3])
"""Shares of wrong labels that are considered."""

USUAL_NOISE = 0.05
"""Mean of the exponential distribution of this share over data sets, as it is assumed: between 3 % and 6 % in ten
benchmarks [Northcutt, Athalye, Mueller 2021, "Pervasive label errors in test sets"].
"""

UNIFORM = np.array([0.02, 0.1, 0.3, 0.6, 0.9, 0.98])
"""Proportions of the wrong labels that are drawn uniformly."""

SHARPER = np.geomspace(0.1, 1.25, 18)
"""Temperatures relative to the one that fits best without wrong labels: wrong labels make it too high."""

LEAST = 1e-12
"""A right label has at least this probability; no classifier is that sure."""

FITTED = 10_000
"""Images that the posterior is computed from, at most."""

FALSE_SHARE = 0.1
"""Expected false discovery rate up to which a list counts as reliable."""

COST = 0.05
"""Expected F1 that is given up for a list that counts as reliable."""

ANY = 2 / 3
"""Share of data sets that have wrong labels, as it is assumed."""

PRESENT = 2 / 3
"""Probability that there are wrong labels at all from which some are shown."""


@dataclass(frozen=True)
class LabelNoise:
    """wrong (N,): the probability that each label is wrong, if any is. share: the expected share of wrong labels, if
    there are any. present: the probability that there are.
    """

    wrong: Floats
    share: float
    present: float


def label_noise(labels: Rows, probabilities: Floats) -> LabelNoise:
    """The posterior probability that each label is wrong.

    labels (N,); probabilities (N, K) by classifiers that were not fitted to the image, each class with some label.
    """
    classes = probabilities.shape[1]
    logits = np.log(np.maximum(probabilities, 1e-30))
    some = np.arange(len(labels))
    if len(labels) > FITTED:
        some = np.sort(np.random.default_rng(0).permutation(len(labels))[:FITTED])
    base = fit_temperature(logits[some], labels[some])
    prior = _prior()
    mixes = UNIFORM if classes > 2 else UNIFORM[-1:]  # of two classes there is one other
    evidence = np.empty((len(SHARPER), len(mixes), len(NOISE)))
    confusions = []
    for t, factor in enumerate(SHARPER):
        right, uniform, confused, confusion = _parts(logits[some], labels[some], base * factor)
        confusions.append(confusion)
        for m, mix in enumerate(mixes):
            total = np.outer(1 - NOISE, right) + np.outer(NOISE, mix * uniform + (1 - mix) * confused)
            evidence[t, m] = np.log(total).sum(1)
    joint = np.exp(evidence - evidence.max())
    some_wrong, none_wrong = float((joint.mean((0, 1)) * prior).sum()), float(joint[..., 0].mean())
    present = ANY * some_wrong / (ANY * some_wrong + (1 - ANY) * none_wrong)
    weight = joint * prior
    weight /= weight.sum()
    wrong = np.zeros(len(labels))
    for t, factor in enumerate(SHARPER):
        if weight[t].sum() < 1e-6:
            continue
        right, uniform, confused, _ = _parts(logits, labels, base * factor, confusions[t])
        for m, mix in enumerate(mixes):
            other = mix * uniform + (1 - mix) * confused
            for e in np.flatnonzero(weight[t, m] > 1e-6):
                false = NOISE[e] * other
                wrong += weight[t, m, e] * false / ((1 - NOISE[e]) * right + false)
    return LabelNoise(np.minimum(wrong, 1.0), float((weight.sum((0, 1)) * NOISE).sum()), present)


def _prior() -> Floats:
    """The prior probability of each share of wrong labels, if there are any."""
    prior = np.gradient(NOISE) * np.exp(-NOISE / USUAL_NOISE)
    prior[0] = 0
    return np.asarray(prior / prior.sum())


def _parts(
    logits: Floats, labels: Rows, temperature: float, confusion: Floats | None = None
) -> tuple[Floats, Floats, Floats, Floats]:
    """Of each label (N,) the probability if it is right, if it is wrong and drawn uniformly, and if it is wrong and
    drawn from the classes confused with the true one; and how classes are confused (K, K), from true to label.

    Confusion counts in both directions: an image labelled a that looks like b is evidence that b is given the label a,
    and where one class is taken for another, the reverse is probable as well.
    """
    p, rows = softmax(logits, temperature), np.arange(len(labels))
    own = p[rows, labels]
    if confusion is None:
        confusion = np.eye(p.shape[1])[labels].T @ p
        confusion += confusion.T.copy()
        np.fill_diagonal(confusion, 0)
        confusion /= np.maximum(confusion.sum(1, keepdims=True), 1e-300)
    confused = np.einsum("nk,kn->n", p, confusion[:, labels])
    return np.maximum(own, LEAST), (1 - own) / max(1, p.shape[1] - 1), confused, confusion


def select(noise: LabelNoise) -> tuple[Rows, float]:
    """Positions of the labels to show, the most probably wrong first, and the expected share of them that are right.

    Of the lists of the most suspicious labels, the one with the largest expected F1 = 2 hits / (flags + wrong labels)
    is shown; or the longest that counts as reliable, if its F1 is not much smaller. None where it is not clearly more
    probable that some labels are wrong than that none is.
    """
    if noise.present < PRESENT:
        return np.zeros(0, np.int64), 0.0
    order = np.argsort(-noise.wrong, kind="stable")
    flags, hits = np.arange(1, len(order) + 1), np.cumsum(noise.wrong[order])
    f1, false = 2 * hits / (flags + hits[-1]), 1 - hits / flags
    best = int(f1.argmax())
    reliable = np.flatnonzero((false <= FALSE_SHARE) & (f1 >= f1[best] - COST))
    if false[best] > FALSE_SHARE and len(reliable):
        best = int(reliable[-1])
    return order[: best + 1], float(false[best])
