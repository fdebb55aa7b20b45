"""Average precision of detections: hand-made cases, COCO's own loader, and our measure of a single overlap."""

import contextlib
import io
import json

import numpy as np
import pytest

from clearsight.errors import DataError
from clearsight.evaluation import evaluate_boxes
from clearsight.localisation import Found
from clearsight.metrics.detection import Annotation, detection_scores

SIZES = np.array([[100, 80], [100, 80]])


def of(image, label, box, score=0.0, mask=None, **more):
    return Annotation(image, label, box, mask, score, **more)


KNOWN = [of(0, "cat", (10, 10, 30, 30)), of(1, "cat", (40, 40, 60, 60)), of(1, "dog", (0, 0, 20, 20))]


def filled(box):
    mask = np.zeros((80, 100), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def test_perfect_detections_score_one_and_none_score_zero():
    found = [of(one.image, one.label, one.box, 0.9) for one in KNOWN]
    scores = detection_scores(SIZES, KNOWN, found)
    assert (scores.boxes.map50, scores.boxes.map) == pytest.approx((1, 1))
    assert list(scores.boxes.per_class) == ["cat", "dog"]
    assert scores.masks is None
    assert detection_scores(SIZES, KNOWN, []).boxes.map50 == 0


def test_average_precision_by_hand():
    # cats: right, wrong, right: precision 1 up to recall 1/2, then 2/3
    found = [
        of(0, "cat", (10, 10, 30, 30), 0.9), of(0, "cat", (70, 10, 90, 30), 0.8), of(1, "cat", (40, 40, 60, 60), 0.7),
    ]  # fmt: skip
    half = detection_scores(SIZES, KNOWN, found).boxes.per_class["cat"][0]
    assert half == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    assert detection_scores(SIZES, KNOWN, found).boxes.per_class["dog"] == (0, 0)


def test_overlaps_from_05_to_095_are_averaged():
    found = [of(0, "cat", (10, 10, 30, 24), 0.9)]  # IoU 0.7: right at 0.5, 0.55, 0.6, 0.65 and 0.7
    half, mean = detection_scores(SIZES, KNOWN[:1], found).boxes.per_class["cat"]
    assert (half, mean) == pytest.approx((1, 0.5))


def test_detections_in_crowds_count_neither_way():
    crowd = of(0, "cat", (50, 0, 100, 80), crowd=True)
    found = [of(0, "cat", (60, 10, 80, 30), 0.95), of(0, "cat", (10, 10, 30, 30), 0.9)]
    assert detection_scores(SIZES, [*KNOWN[:1], crowd], found).boxes.map50 == pytest.approx(1)
    assert detection_scores(SIZES, KNOWN[:1], found).boxes.map50 < 0.9


def test_masks_are_scored_as_arrays_polygons_and_run_lengths():
    box = (10, 10, 30, 30)
    polygon = [[10, 10, 30, 10, 30, 30, 10, 30]]
    found = [of(0, "cat", box, 0.9, filled((10, 10, 30, 26)))]  # IoU 0.8
    for mask in (filled(box), polygon):
        scores = detection_scores(SIZES, [of(0, "cat", box, mask=mask)], found)
        assert scores.masks.per_class["cat"] == pytest.approx((1, 0.7))


def test_no_object_is_an_error():
    with pytest.raises(DataError, match="none of the images has an annotated object"):
        detection_scores(SIZES, [], [])


def test_it_equals_pycocotools_on_files(tmp_path):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(0)

    def drawn(n):
        corner, size = rng.integers(0, 50, (n, 2)), rng.integers(10, 30, (n, 2))
        return np.concatenate([corner, corner + size], axis=1).astype(float)

    names = ["cat", "dog"]
    known = [of(i % 2, names[i % 2], tuple(box)) for i, box in enumerate(drawn(12))]
    near = [np.clip(np.array(one.box) + rng.integers(-4, 5, 4), 0, 80) for one in known]
    found = [
        of(one.image, one.label, tuple(box), float(s)) for one, box, s in zip(known, near, rng.random(12), strict=True)
    ]
    found += [of(i % 2, names[i % 2], tuple(box), float(rng.random())) for i, box in enumerate(drawn(8))]

    def coco(one, n):
        x0, y0, x1, y1 = one.box
        return {
            "id": n, "image_id": one.image + 1, "category_id": names.index(one.label) + 1, "score": one.score,
            "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0,
        }  # fmt: skip

    content = {
        "images": [{"id": i, "width": 100, "height": 80} for i in (1, 2)],
        "categories": [{"id": k, "name": name} for k, name in enumerate(names, 1)],
        "annotations": [coco(one, n) for n, one in enumerate(known, 1)],
    }
    (tmp_path / "known.json").write_text(json.dumps(content))
    (tmp_path / "found.json").write_text(json.dumps([coco(one, n) for n, one in enumerate(found, 1)]))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / "known.json"))
        theirs = COCOeval(truth, truth.loadRes(str(tmp_path / "found.json")), "bbox")
        theirs.evaluate()
        theirs.accumulate()
        theirs.summarize()
    ours = detection_scores(SIZES, known, found)
    assert (ours.boxes.map, ours.boxes.map50) == pytest.approx(tuple(theirs.stats[:2]))
    assert 0.1 < ours.boxes.map < ours.boxes.map50 < 1
    images = [[Found(one.box, one.label, one.score) for one in found if one.image == i] for i in (0, 1)]
    things = [[(one.box, one.label) for one in known if one.image == i] for i in (0, 1)]
    # the area under all points of the curve, not under 101
    assert evaluate_boxes(images, things).mean_average_precision == pytest.approx(ours.boxes.map50, abs=0.05)
