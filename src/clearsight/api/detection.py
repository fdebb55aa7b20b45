"""Detection by a model trained on boxes, evaluated on whole images that it was not trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clearsight.console import Console
from clearsight.data.boxed import BACKGROUND, BoxedImages, Crops, DetectionRecord
from clearsight.data.inputs import as_images
from clearsight.localisation import Settings, locate
from clearsight.metrics.detection import Annotation, DetectionScores, detection_scores
from clearsight.runs.images import HeldOut

LEAST = 0.05
"""Probability from which detections count in average precision, which needs the improbable ones too."""


def evaluate_detection(held: HeldOut, console: Console) -> DetectionScores | None:
    """Detect in the images of held-out crops.

    Args:
        held: crops that the model was not trained on.
        console: shows progress.

    Returns:
        Average precision of boxes, and of masks where every object has one; None for a model or data without boxes.
    """
    boxed, crops, predictor = held.dataset.boxed, held.dataset.source, held.predictor
    if boxed is None or not isinstance(crops, Crops):
        return None
    if DetectionRecord.load(predictor.bundle.data, predictor.classes) is None:
        return None
    images = _whole_images(crops, boxed, held.rows)
    if not np.isin(images, boxed.image[~boxed.crowd]).any():
        return None
    place = {int(i): k for k, i in enumerate(images)}
    known = [
        Annotation(place[i], label, (box[0], box[1], box[2], box[3]), mask, crowd=bool(crowd))
        for i, label, box, mask, crowd in zip(
            boxed.image.tolist(), boxed.labels, boxed.boxes.tolist(), boxed.masks, boxed.crowd, strict=True
        )
        if i in place
    ]
    files = as_images([boxed.files.paths[i] for i in images])
    advance, found = console.stage("detecting", "images"), []
    for k, one in enumerate(locate(predictor, files, method="window", settings=Settings(threshold=LEAST))):
        found += [Annotation(k, f.label, f.box, f.mask, f.score) for f in one.found]
        advance(k + 1, len(images))
    return detection_scores(boxed.sizes[images], known, found)


def _whole_images(crops: Crops, boxed: BoxedImages, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The images whose objects are all among the crops held out; of an image without objects, any of its crops."""
    scored = np.zeros(len(crops), bool)
    scored[rows] = True
    objects = np.array([label != BACKGROUND for label in crops.labels])
    new = np.isin(np.arange(len(boxed.files)), crops.image[scored])
    new[crops.image[objects & ~scored]] = False
    return np.flatnonzero(new)
