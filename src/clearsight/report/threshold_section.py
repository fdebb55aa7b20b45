"""What the page says of thresholds: the counts behind its sliders, and a table of those of the confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.tasks.outcomes import Outcomes, ThresholdCounts, Thresholds
from clearsight.wording import percent

ROWS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Confidences in the table."""

SHARES = ("confidence", "probability")
"""Scores that are shown in percent."""

MOST = 200_000
"""Numbers of counts on the page at most; of more names, the commonest are kept."""

TITLES = {
    "kept": "Confidence threshold: use only confident predictions",
    "found": "{} threshold: one name against the others",
    "within": "Tolerance: predictions close enough to the true value",
}

WORDS = {
    "kept": "Predictions with a confidence below the threshold are left to a person. A higher threshold leaves more "
    "images undecided, and makes fewer mistakes on the others.",
    "found": "An image is predicted as the chosen name if its {} reaches the threshold. A higher threshold gives fewer "
    "false alarms and misses more.",
    "within": "A prediction counts as correct if its {} is at most the tolerance.",
}


@dataclass(frozen=True)
class Slider:
    """A slider of the page: kind and data for the script, words around it, and rows of the table."""

    kind: str
    title: str
    words: str
    score: str
    names: tuple[str, ...]
    left_out: int
    data: dict[str, Any]
    rows: tuple[tuple[str, ...], ...] = ()


def sliders(found: Outcomes) -> tuple[Slider, ...]:
    """Collect the sliders of a report, one for each kind of threshold that the task has."""
    return tuple(_slider(each, found) for each in found.thresholds if each.counts)


def confidence_steps(found: Outcomes) -> NDArray[np.int64] | None:
    """The highest threshold that the confidence of each image reaches (N,), by its number; None without confidences."""
    counts = next((each.counts[0] for each in found.thresholds if each.kind == "kept"), None)
    if counts is None or found.confidence is None:
        return None
    return np.asarray(np.searchsorted(counts.thresholds, found.confidence, "right") - 1)


def _slider(given: Thresholds, found: Outcomes) -> Slider:
    room = max(1, MOST // max(1, 2 * len(given.counts[0].thresholds)))
    ranked = np.argsort([-c.totals[0] for c in given.counts], kind="stable")[:room]
    kept = [given.counts[i] for i in np.sort(ranked)]
    data: dict[str, Any] = {"kind": given.kind, "percent": given.score in SHARES, "counts": [_counts(c) for c in kept]}
    steps = confidence_steps(found)
    if given.kind == "kept" and steps is not None and found.codes is not None:
        data["counts"][0]["start"] = 0
        labels, predicted = found.codes.T
        data["cells"] = {"labels": labels.tolist(), "predicted": predicted.tolist(), "bins": steps.tolist()}
    rows = tuple(_row(kept[0], at) for at in ROWS) if given.kind == "kept" else ()
    return Slider(
        given.kind, TITLES[given.kind].format(given.score.capitalize()), WORDS[given.kind].format(given.score),
        given.score, tuple(c.name for c in kept), len(given.counts) - len(kept), data, rows,
    )  # fmt: skip


def _counts(counts: ThresholdCounts) -> dict[str, Any]:
    """What the script needs of one name."""
    start = (
        len(counts.thresholds) // 2 if counts.used is None else int(np.argmin(np.abs(counts.thresholds - counts.used)))
    )
    return {
        "thresholds": [float(f"{t:.6g}") for t in counts.thresholds], "positives": counts.positives.tolist(),
        "negatives": counts.negatives.tolist(), "totals": list(counts.totals), "start": start,
    }  # fmt: skip


def _row(counts: ThresholdCounts, at: float) -> tuple[str, ...]:
    """Threshold, share decided, accuracy of these, mistakes left."""
    place = int(np.argmin(np.abs(counts.thresholds - at)))
    right, wrong = int(counts.positives[place]), int(counts.negatives[place])
    decided = right + wrong
    accuracy = percent(right / decided) if decided else "–"
    return percent(at, 0), f"{decided:,}", percent(decided / sum(counts.totals)), accuracy, f"{wrong:,}"
