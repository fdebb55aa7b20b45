"""What the page says of images unlike the training data and of prediction sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clearsight.evaluation import OODCheck
from clearsight.evaluation.ood import SetsCheck
from clearsight.ood.detector import CHANGED_ALARMS, FALSE_ALARMS
from clearsight.report.components.pictures import picture
from clearsight.train.fit import Fitted
from clearsight.wording import count, listed, percent

SCORE_WORDS = {
    "combined": "combination of the scores below, each converted to a p-value using held-out images",
    "knn": "distance to the nearest training images in feature space",
    "mahalanobis": "Mahalanobis distance to the nearest training images, with the within-class covariance",
    "max-softmax": "negative logarithm of the largest probability",
    "pixels": "how unusual the contrast, sharpness and colours are",
    "other": "log-odds that the image belongs to no class",
}

FLAGGED = 8
"""Pictures of flagged test images at most."""

SIDE = 120
"""Longest side of a picture in pixels."""


Row = dict[str, Any]
"""What a row or card of the page shows, by the names that the template knows."""


@dataclass(frozen=True)
class OODSection:
    """Images out of distribution, and prediction sets where the task has any.

    scores: each OOD score, what it measures, and how well it separated classes left out from known ones. flagged:
    pictures with the words beneath them. sets: how prediction sets did on the test images, and shares of sets by size.
    """

    words: str
    scores: tuple[Row, ...] = ()
    flagged: tuple[Row, ...] = ()
    sets: Row | None = None


def ood_section(fitted: Fitted, check: OODCheck | None, words: str) -> OODSection:
    """Collect the section. words: what the task says where it has no detector."""
    detector, prepared = fitted.bundle.ood_detector, fitted.prepared
    if detector is None or check is None:
        return OODSection(words or "This model has no OOD detector.")
    rows, dataset = prepared.split.test, prepared.dataset
    left_out = detector.left_out
    names = ("combined", *detector.tails)
    return OODSection(
        f"An image is flagged as unknown if its OOD score is higher than those of all but {percent(check.allowed)} of "
        f"{count(len(detector.reference), 'held-out image')}. The test images come from the same data as the "
        f"training images, so every flag is a false alarm: {percent(check.false_alarms)} of "
        f"{count(check.n, 'test image')} were flagged. "
        f"{_raised(check.allowed)}"
        f"{_measured(left_out.classes, left_out.why)}",
        tuple(
            {
                "name": n,
                "words": SCORE_WORDS[n],
                "auroc": f"{left_out.auroc[n]:.3f}" if n in left_out.auroc else "not measured",
                "chosen": n == "combined",
            }
            for n in names
        ),
        tuple(
            {
                "picture": picture(prepared, i, SIDE, dataset.source.name(i)),
                "name": dataset.source.name(i),
                "words": f"labelled {description}" if (description := dataset.words(i)) else "",
            }
            for i in rows[list(check.most_ood[:FLAGGED])].tolist()
        ),
        _sets(check.sets, check.n, fitted.bundle.task.words_used.names) if check.sets else None,
    )


def _measured(groups: tuple[tuple[str, ...], ...], why: str) -> str:
    if not groups:
        return f"The detection of unknown images was not measured ({why})."
    words = "; ".join(listed(list(group)) for group in groups)
    return (
        f"AUROC is the probability that an image of a left-out class has a higher score than one of a known "
        f"class: 0.5 is chance level, 1 is perfect. It was measured by {why}: {words}."
    )


def _sets(check: SetsCheck, n: int, names: tuple[str, str]) -> Row:
    words = (
        f"A prediction set contains the true {names[0]} with a given probability, the coverage (split conformal "
        f"prediction). The target coverage is {percent(check.stated)}. On the test images, coverage is "
        f"{percent(check.coverage)} (95 % interval {' to '.join(map(percent, check.coverage_interval))}), with "
        f"{check.mean_size:.2f} {names[1]} per set on average."
    )
    if check.empty:
        words += (
            f" {percent(check.empty)} of the sets are empty because no {names[0]} is probable enough. If the accuracy "
            f"is above the target coverage, the target can be met only by leaving out the least confident "
            f"predictions. To avoid empty sets, set a higher coverage with `predict --coverage`."
        )
    sizes = [
        (f"sets of {count(size, *names)}" if size else "empty sets", percent(number / n))
        for size, number in enumerate(check.sizes)
        if number
    ]
    return {"words": words, "sizes": sizes}


def _raised(allowed: float) -> str:
    """Why the threshold allows fewer false alarms than usual; nothing where it allows as many."""
    if allowed >= FALSE_ALARMS:
        return ""
    most, usual = percent(CHANGED_ALARMS), percent(FALSE_ALARMS)
    return (
        f"The threshold is higher than usual: at a false alarm rate of {usual}, "
        f"more than {most} of slightly changed images would be flagged. "
    )
