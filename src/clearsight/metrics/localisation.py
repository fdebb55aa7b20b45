"""Are the boxes and masks where the things are?

Boxes are [x0, y0, x1, y1] in pixels, the far edges not included: a box of one pixel is [0, 0, 1, 1].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def box_iou(a: Floats, b: Floats) -> NDArray[np.float64]:
    """Overlap of each box (N, 4) with each of (M, 4): the area of the intersection over that of the union, (N, M)."""
    import torch  # here, not above: only detections need PyTorch and torchvision
    from torchvision import ops

    one, two = (torch.from_numpy(np.asarray(boxes, np.float64).reshape(-1, 4)) for boxes in (a, b))
    return np.asarray(np.nan_to_num(ops.box_iou(one, two).numpy()))  # 0 / 0 between two boxes without area


def matched(boxes: Floats, scores: Floats, truth: Floats, iou: float = 0.5) -> NDArray[np.bool_]:
    """Whether each box (P, 4) of one image and class finds a thing (M, 4), best score first. A box belongs to the
    thing it overlaps most; it finds it with an overlap of `iou` or more, if no better box did before, and is a false
    alarm otherwise [Everingham et al. 2010, section 4.4].
    """
    right = np.zeros(len(boxes), bool)
    if not len(truth):
        return right
    overlap, free = box_iou(boxes, truth), np.ones(len(truth), bool)
    for i in np.argsort(-np.asarray(scores), kind="stable"):
        thing = int(overlap[i].argmax())
        right[i] = overlap[i, thing] >= iou and free[thing]
        free[thing] &= not right[i]
    return right


def detection_average_precision(right: NDArray[np.bool_], scores: Floats, total: int) -> float:
    """Area under precision against recall of the boxes of one class in all images; NaN where there is nothing to find.

    right, scores (P,): as `matched` says, and larger for likelier. total: things to be found. Precision at a recall is
    the highest at that or any larger one, and every point counts [Everingham et al. 2010, section 4.2, as the challenge
    measured from 2010 on].
    """
    if not total:
        return float("nan")
    order = np.argsort(-np.asarray(scores), kind="stable")
    hits = np.cumsum(np.asarray(right, np.int64)[order])
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / total
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * highest))


def points_in_boxes(points: Floats, boxes: list[Floats]) -> float:
    """The pointing game: the share of points (Q, 2), x and y, that lie in any of the boxes (M_q, 4) of what they point
    at [Zhang et al. 2016, section 4]. A point that is not a number is a miss. NaN without points.
    """
    hits = [
        bool(((point >= box[:, :2]) & (point < box[:, 2:])).all(1).any())
        for point, box in ((np.asarray(p), np.asarray(b).reshape(-1, 4)) for p, b in zip(points, boxes, strict=True))
    ]
    return float(np.mean(hits)) if hits else float("nan")


def overlap_counts(truth: NDArray[np.integer], given: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Pixels of each class in the intersection and in the union of two label maps of one shape, (classes, 2). Counts
    of several images add up.
    """
    flat = np.asarray(truth, np.int64).ravel() * classes + np.asarray(given, np.int64).ravel()
    table = np.bincount(flat, minlength=classes * classes).reshape(classes, classes)
    common = table.diagonal()
    return np.stack([common, table.sum(0) + table.sum(1) - common], axis=1)


def mean_iou(counts: NDArray[np.integer]) -> float:
    """Mean over classes of intersection over union, from `overlap_counts` added up over all images [Everingham et al.
    2010, section 4.3]; classes that occur in neither are left out. NaN where none occurs.
    """
    some = counts[:, 1] > 0
    return float(np.mean(counts[some, 0] / counts[some, 1])) if some.any() else float("nan")
