"""Many boxes around one thing become one."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.metrics.localisation import box_iou

Floats = NDArray[np.float64]

SAME = 0.5
"""Overlap from which boxes of a class are about the very same place, and vote on where it is."""


def suppressed(boxes: Floats, scores: Floats, kinds: NDArray[np.int64], iou: float) -> NDArray[np.int64]:
    """The boxes (P, 4) that stay, best score (P,) first: those that overlap no better one of their kind (P,) by more
    than `iou` [non-maximum suppression].
    """
    if not len(boxes):
        return np.zeros(0, np.int64)
    # here, not above: torchvision takes a second to load, and only windows need it
    from torchvision.ops import batched_nms

    kept = batched_nms(torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(kinds), iou)
    return np.asarray(kept.numpy(), np.int64)


def voted(boxes: Floats, scores: Floats, kinds: NDArray[np.int64], kept: NDArray[np.int64]) -> Floats:
    """The kept boxes (Q, 4), each moved to the mean, by score, of the boxes of its kind that overlap it by `SAME` or
    more [Gidaris, Komodakis 2015, section 5]. A classifier is as sure of a window a little beside a thing as of the
    one upon it; the middle of all such windows is nearer to the thing than any.
    """
    moved = boxes[kept].copy()
    for row, (i, overlap) in enumerate(zip(kept, box_iou(boxes[kept], boxes), strict=True)):
        near = (kinds == kinds[i]) & (overlap >= SAME)
        moved[row] = np.average(boxes[near], axis=0, weights=scores[near])
    return moved
