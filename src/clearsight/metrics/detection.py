"""Average precision of detected boxes and masks by pycocotools, COCO's own implementation.

At an overlap (IoU) of t a detection is right if it overlaps an object of its class by t or more that no better one has
found. AP is the mean precision at 101 recalls; mAP its mean over classes [Lin et al. 2014].
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import DataError
from clearsight.wording import count

MOST = 100
"""Detections of an image that count, as in COCO: the best."""


@dataclass(frozen=True)
class Annotation:
    """A known or a detected object of an image.

    image: position of the image. box: x0, y0, x1, y1. mask: bool (H, W), or as in COCO (polygons, run lengths); None
    without one. score: of a detection. crowd: a known region of many objects, in which detections do not count.
    """

    image: int
    label: str
    box: tuple[float, float, float, float]
    mask: Any = None
    score: float = 0.0
    crowd: bool = False


@dataclass(frozen=True)
class AveragePrecision:
    """map50: mAP at IoU 0.5. map: mean over IoU 0.5 to 0.95 in steps of 0.05. per_class: both, in this order."""

    map50: float
    map: float
    per_class: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class DetectionScores:
    """How well objects are detected in some images.

    images, objects, detections: counts; crowds are not objects. boxes: average precision of boxes. masks: that of
    masks; None if not every object has a mask.
    """

    images: int
    objects: int
    detections: int
    boxes: AveragePrecision
    masks: AveragePrecision | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Returns:
            A dictionary.
        """
        return asdict(self)

    def lines(self) -> list[str]:
        """What the terminal prints of them.

        Returns:
            Lines of text.
        """
        found = [
            f"detection in {count(self.images, 'image')}: {count(self.objects, 'object')}, "
            f"{count(self.detections, 'detection')}"
        ]
        for what, ap in (("boxes", self.boxes), ("masks", self.masks)):
            if ap is not None:
                found.append(f"  {what}: mAP@0.5 {ap.map50:.3f}, mAP@[.5:.95] {ap.map:.3f}")
        wide = max((len(name) for name in self.boxes.per_class), default=0)
        for name, (half, mean) in self.boxes.per_class.items():
            mask = "" if self.masks is None else "; masks {:.3f}, {:.3f}".format(*self.masks.per_class[name])
            found.append(f"  {name:<{wide}}  AP@0.5 {half:.3f}, AP@[.5:.95] {mean:.3f}{mask}")
        return found


def detection_scores(
    sizes: NDArray[np.integer], known: Sequence[Annotation], found: Sequence[Annotation]
) -> DetectionScores:
    """Average precision of detections.

    Args:
        sizes: width and height of each image (M, 2) in pixels.
        known: the objects of the images.
        found: the detections.

    Returns:
        The scores; masks are scored if every object has one and detections have.

    Raises:
        DataError: there is no object, or pycocotools is not installed.
    """
    objects = [one for one in known if not one.crowd]
    if not objects:
        raise DataError("none of the images has an annotated object", found=count(len(sizes), "image"))
    classes = sorted({one.label for one in objects})
    masked = all(one.mask is not None for one in known) and all(one.mask is not None for one in found)
    boxes, masks = (
        _average_precision(sizes, known, found, classes, kind) if wanted else None
        for kind, wanted in (("bbox", True), ("segm", masked))
    )
    assert boxes is not None
    return DetectionScores(len(sizes), len(objects), len(found), boxes, masks)


def _average_precision(
    sizes: NDArray[np.integer],
    known: Sequence[Annotation],
    found: Sequence[Annotation],
    classes: list[str],
    kind: str,
) -> AveragePrecision:
    """AP of each class that occurs among the objects, of boxes (bbox) or masks (segm)."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise DataError(
            "computing the average precision of detections requires pycocotools, which is not installed",
            fix="install it with `pip install 'clearsight[detection]'`",
        ) from error
    images = [{"id": i, "width": int(w), "height": int(h)} for i, (w, h) in enumerate(sizes, 1)]
    categories = [{"id": k, "name": name} for k, name in enumerate(classes, 1)]

    def indexed(some: Sequence[Annotation]) -> Any:
        coco = COCO()
        chosen = [one for one in some if one.label in classes]
        annotations = [_as_coco(one, n, classes, sizes, kind) for n, one in enumerate(chosen, 1)]
        coco.dataset = {"images": images, "categories": categories, "annotations": annotations}
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        evaluator = COCOeval(indexed(known), indexed(found), kind)
        evaluator.params.areaRng, evaluator.params.areaRngLbl = evaluator.params.areaRng[:1], ["all"]
        evaluator.params.maxDets = [MOST]
        evaluator.evaluate()
        evaluator.accumulate()
    precision = evaluator.eval["precision"][:, :, :, 0, 0]  # (IoU, recall, class)
    each = {
        name: (float(precision[0, :, k].mean()), float(precision[:, :, k].mean())) for k, name in enumerate(classes)
    }
    half, mean = np.mean(list(each.values()), axis=0)
    return AveragePrecision(float(half), float(mean), each)


def _as_coco(one: Annotation, number: int, classes: list[str], sizes: NDArray[np.integer], kind: str) -> dict[str, Any]:
    """An annotation as COCO has it; its area decides nothing here, as areas of every size count."""
    left, top, right, bottom = one.box
    found = {
        "id": number, "image_id": one.image + 1, "category_id": classes.index(one.label) + 1, "score": one.score,
        "bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top),
        "iscrowd": int(one.crowd),
    }  # fmt: skip
    if kind == "segm":
        found["segmentation"] = _run_lengths(one.mask)
    return found


def _run_lengths(mask: Any) -> Any:
    """A mask as COCO has it; polygons and run lengths stay as they are."""
    from pycocotools import mask as rle

    return rle.encode(np.asfortranarray(mask.astype(np.uint8))) if isinstance(mask, np.ndarray) else mask
