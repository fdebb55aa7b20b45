"""Boxes and masks evaluated against ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import DataError
from clearsight.metrics.localisation import (
    detection_average_precision,
    matched,
    mean_iou,
    overlap_counts,
    points_in_boxes,
)

Thing = tuple[Sequence[float], str]
"""A known box [x0, y0, x1, y1], and what is in it."""


class Scored(Protocol):
    """A box found, as `localisation.Found`: corners (x0, y0, x1, y1) in pixels, class and score."""

    @property
    def box(self) -> tuple[float, float, float, float]: ...

    @property
    def label(self) -> str: ...

    @property
    def score(self) -> float: ...


@dataclass(frozen=True)
class LocalisationEvaluation:
    """How well things were found.

    n: images. things: known boxes. boxes: found ones. average_precision: of each class that occurs, at an overlap of
    `iou`; mean_average_precision over them. pointing: share of the classes of each image whose loudest place lies in a
    box of theirs. mean_iou: over classes and background, of the labels of pixels. The last two are None without
    ground truth for them.
    """

    n: int
    things: int
    boxes: int
    iou: float
    mean_average_precision: float
    average_precision: dict[str, float]
    pointing: float | None
    mean_iou: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Returns:
            A dictionary.
        """
        return asdict(self)


def evaluate_boxes(
    found: Sequence[Sequence[Scored]],
    things: Sequence[Sequence[Thing]],
    *,
    iou: float = 0.5,
    peaks: Sequence[dict[str, tuple[float, float]]] | None = None,
    segments: Sequence[tuple[NDArray[np.integer], NDArray[np.integer]]] | None = None,
) -> LocalisationEvaluation:
    """Compare boxes found in N images with ground truth.

    Args:
        found: boxes with scores for each image.
        things: true boxes with their classes for each image.
        iou: least intersection over union of a correct box, 0 to 1.
        peaks: for each image the maximum (x, y) of each class's map, in pixels; a missing one counts as a miss. None
            leaves out the pointing game.
        segments: for each image the true and the predicted label of each pixel (H, W), 0 for the background. None
            leaves out the mean IoU.

    Returns:
        Average precision per class, and the other metrics.

    Raises:
        DataError: the arguments are of different numbers of images.
    """
    for what, given in (("found", found), ("peaks", peaks), ("segments", segments)):
        if given is not None and len(given) != len(things):
            raise DataError(
                f"`{what}` and `things` have different lengths", found=f"{len(given)} and {len(things)} images"
            )
    classes = sorted({label for image in things for _, label in image})
    each = {label: _precision(found, things, label, iou) for label in classes}
    return LocalisationEvaluation(
        n=len(things),
        things=sum(map(len, things)),
        boxes=sum(map(len, found)),
        iou=iou,
        mean_average_precision=float(np.mean(list(each.values()))) if each else float("nan"),
        average_precision=each,
        pointing=None if peaks is None else _pointing(peaks, things),
        mean_iou=None if segments is None else _overlap(segments),
    )


def _precision(found: Sequence[Sequence[Scored]], things: Sequence[Sequence[Thing]], label: str, iou: float) -> float:
    right, scores, total = [], [], 0
    for boxes, known in zip(found, things, strict=True):
        own = [f for f in boxes if f.label == label]
        truth = _boxes(known, label)
        score = np.array([f.score for f in own], np.float64)
        right.append(matched(np.array([f.box for f in own], np.float64).reshape(-1, 4), score, truth, iou))
        scores.append(score)
        total += len(truth)
    return detection_average_precision(np.concatenate(right), np.concatenate(scores), total)


def _boxes(known: Sequence[Thing], label: str) -> NDArray[np.float64]:
    return np.array([box for box, name in known if name == label], np.float64).reshape(-1, 4)


def _pointing(peaks: Sequence[dict[str, tuple[float, float]]], things: Sequence[Sequence[Thing]]) -> float:
    nowhere = (float("nan"), float("nan"))
    asked = [(i, label) for i, known in enumerate(things) for label in sorted({name for _, name in known})]
    points = np.array([peaks[i].get(label, nowhere) for i, label in asked], np.float64).reshape(-1, 2)
    return points_in_boxes(points, [_boxes(things[i], label) for i, label in asked])


def _overlap(segments: Sequence[tuple[NDArray[np.integer], NDArray[np.integer]]]) -> float:
    classes = 1 + max((int(max(known.max(), given.max())) for known, given in segments), default=0)
    counts = np.zeros((classes, 2), np.int64)
    for known, given in segments:
        counts += overlap_counts(known, given, classes)
    return mean_iou(counts)
