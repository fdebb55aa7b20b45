"""Notes on prediction sets that are large because calibration images are few, and on intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clearsight.calibration.prediction_sets import ConformalScores
from clearsight.tasks.predict_options import PredictOptions
from clearsight.wording import count, listed, percent


def needed_images(coverage: float) -> int:
    """Calibration images from which sets of this coverage can leave a class out: n with ceil((n + 1) coverage) <= n.

    Example:
        >>> needed_images(0.9), needed_images(0.95)
        (9, 19)
    """
    return math.ceil(coverage / (1 - coverage) - 1e-9)


def few_calibration_images(scores: ConformalScores, names: Sequence[str], options: PredictOptions) -> tuple[str, ...]:
    """Which classes are in every prediction set with these options, and why; nothing where none is."""
    labels, needed = np.array(scores.labels), needed_images(options.coverage)
    among = ""
    if options.group is not None:
        column, value = options.group
        labels = labels[np.array(scores.groups[column]) == value]
        among = f" with {column} {value}"
    enough = f"than the {needed} required for a coverage of {100 * options.coverage:g} %"
    if not options.by_class:
        if len(labels) >= needed:
            return ()
        return (
            f"every set contains all classes, because there are fewer calibration images{among} ({len(labels)}) "
            f"{enough}",
        )
    counts = np.bincount(labels, minlength=len(names))
    few = [name for name, n in zip(names, counts, strict=True) if n < needed]
    if not few:
        return ()
    verbs = ("has", "it is") if len(few) == 1 else ("have", "they are")
    return (
        f"{count(len(few), 'class', 'classes')} ({listed(few)}) {verbs[0]} fewer calibration images{among} {enough}, "
        f"so {verbs[1]} in every set",
    )


def interval_notes(coverage: float, *, direction: bool = False) -> tuple[str, ...]:
    """What the intervals of predicted numbers mean. direction: they are angles to either side of a direction."""
    what = "the stated angle contains the true direction" if direction else "each range contains the true value"
    return (f"{what} with a probability of {percent(coverage, 0)}",)


def beyond_training(predictions: Sequence[Any], ends: Mapping[str, tuple[float, float]]) -> tuple[str, ...]:
    """For which numbers intervals reach beyond the values (least, largest) of the training images."""
    notes = []
    for name, (least, most) in ends.items():
        spans = [one.intervals[name] for one in predictions if one.intervals]
        if beyond := sum(low < least or high > most for low, high in spans):
            notes.append(
                f"{count(beyond, 'range')} of {name} {'extends' if beyond == 1 else 'extend'} beyond the values of the "
                f"training images, {least:.4g} to {most:.4g}; if values beyond a limit are impossible, train with "
                "--within LOW,HIGH"
            )
    return tuple(notes)
