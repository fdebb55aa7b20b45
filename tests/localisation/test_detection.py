"""Detection by a model trained on boxes: windows, shapes of boxes, masks, and average precision in whole images."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import ops

import clearsight as cs
from clearsight.cli.main import main
from clearsight.data.boxed import DetectionRecord
from clearsight.errors import DataError
from clearsight.localisation import Settings, locate
from clearsight.localisation.instances import instance_mask, laid, outline
from clearsight.localisation.locate import for_detection
from clearsight.metrics.localisation import box_iou
from clearsight.predictor import Predictor
from tests.localisation.conftest import Colours, made_of

RECORD = DetectionRecord("background", (20.0, 20.0), {"red": (0.8, 0.7), "green": (0.8, 0.8)})
RED, GREEN = (40, 30, 56, 44), (10, 50, 26, 66)
"""Boxes in the scene: 16x14 and 16x16 pixels."""


@pytest.fixture
def detector():
    """Knows red and green things, and the dark."""
    predictor = made_of(Colours(), ("red", "green", "background"))
    return Predictor(replace(predictor.bundle, data={"detection": RECORD.to_dict()}))


def scene(*things, size=(80, 100)):
    image = np.zeros((*size, 3), np.uint8)
    for (left, top, right, bottom), channel in things:
        image[top:bottom, left:right, channel] = 255
    return image


def overlap(one, other):
    return box_iou(np.array([one], float), np.array([other], float))[0, 0]


def test_objects_are_found_in_their_place(detector):
    (found,) = locate(detector, scene((RED, 0), (GREEN, 1)))
    assert found.method == "window"
    assert [f.label for f in sorted(found.found, key=lambda f: f.label)] == ["green", "red"]
    for one in found.found:
        assert overlap(one.box, RED if one.label == "red" else GREEN) > 0.75


def test_masks_follow_the_edges_of_the_image(detector):
    (found,) = locate(detector, scene((GREEN, 1)))
    truth = scene((GREEN, 1))[..., 1] > 0
    (one,) = found.found
    assert one.mask.shape == truth.shape
    assert (one.mask & truth).sum() / (one.mask | truth).sum() > 0.6
    assert not (one.mask & ~truth).any()


def test_objects_at_the_edge_of_the_image_are_found_in_their_place(detector):
    edge = (0, 60, 16, 76)
    (found,) = locate(detector, scene((edge, 1)))
    assert overlap(found.found[0].box, edge) > 0.5
    assert min(found.found[0].box) >= 0


def test_detections_are_those_that_torchvision_keeps(detector):
    rng = np.random.default_rng(0)
    image = scene(*(((x, y, x + 16, y + 16), 1) for x, y in rng.integers(0, 64, (6, 2)).tolist()))
    (found,) = locate(detector, image, settings=Settings(iou=0.2))
    boxes, scores = torch.tensor([f.box for f in found.found]), torch.tensor([f.score for f in found.found])
    assert len(boxes) > 1
    assert sorted(ops.nms(boxes, scores, 0.2).tolist()) == list(range(len(boxes)))


def test_scales_reach_from_the_largest_to_the_smallest_object():
    usual = for_detection(Settings(), RECORD, 32)
    assert (usual.scales, usual.background, usual.keep_ood) == (pytest.approx((1.6,)), "background", True)
    wide = for_detection(Settings(), replace(RECORD, sides=(16.0, 64.0)), 32)
    assert wide.scales == pytest.approx((2, 2**0.5, 1, 2**-0.5, 0.5))
    assert for_detection(Settings(scales=(1.0,), background="red"), RECORD, 32).scales == (1.0,)


def test_a_map_is_laid_where_its_window_is():
    heat = np.arange(16, dtype=np.float32).reshape(4, 4)
    shown = laid(np.array([-2.0, 1, 2, 5]), heat, (6, 5))
    assert shown[1:5, :2].tolist() == heat[:, 2:].tolist()
    assert shown.sum() == heat[:, 2:].sum()
    assert laid(np.array([1.0, 1, 3, 3]), None, (4, 4)).sum() == 4
    assert laid(np.array([9.0, 9, 12, 12]), heat, (6, 5)).sum() == 0


def test_an_instance_is_the_segment_under_the_peak():
    y, x = np.mgrid[:40, :40]
    disc = (y - 20) ** 2 + (x - 18) ** 2 <= 64
    image = np.where(disc, 200, 30).astype(np.uint8)[..., None]
    heat = np.exp(-((y - 22) ** 2 + (x - 19) ** 2) / 80).astype(np.float32)  # a little beside
    mask = instance_mask(image, heat, np.array([9.0, 11, 28, 30]), 0.5)
    assert (mask == disc).mean() > 0.99
    assert not instance_mask(image, 0 * heat, np.array([9.0, 11, 28, 30]), 0.5).any()
    assert not instance_mask(image, heat, np.array([9.0, 11, 9, 30]), 0.5).any()


def test_a_box_is_between_the_typical_one_and_that_around_the_mask_if_they_agree():
    image = np.full((40, 40, 1), 30, np.uint8)
    image[12:28, 10:26] = 200
    y, x = np.mgrid[:40, :40]
    heat = np.exp(-((y - 19.5) ** 2 + (x - 17.5) ** 2) / 120).astype(np.float32)
    window = np.array([4.0, 8, 30, 34])
    mask, box = outline(image, heat, window, np.array([8.0, 10, 28, 30]), 0.5)
    assert box.tolist() == [9, 11, 27, 29]
    assert (mask == (image[..., 0] == 200)).all()
    narrow = np.array([15.0, 10, 20, 30])
    mask, box = outline(image, heat, window, narrow, 0.5)
    assert box.tolist() == narrow.tolist()
    assert mask.sum() == 16 * 5


@pytest.fixture
def boxes(tmp_path):
    """A COCO file of three scenes, of which the last shows nothing, and a table of the same boxes."""
    things = [[(RED, 0), (GREEN, 1)], [((60, 10, 76, 24), 0), ((20, 20, 36, 36), 1)], []]
    images, annotations, rows = [], [], ["image,xmin,ymin,xmax,ymax,label"]
    for i, some in enumerate(things):
        Image.fromarray(scene(*some)).save(tmp_path / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png"})
        for (left, top, right, bottom), k in some:
            annotations.append({
                "id": len(annotations) + 1, "image_id": i, "category_id": k,
                "bbox": [left, top, right - left, bottom - top],
                "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
            })  # fmt: skip
            rows.append(f"{i}.png,{left},{top},{right},{bottom},{('red', 'green')[k]}")
    categories = [{"id": 0, "name": "red"}, {"id": 1, "name": "green"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "coco.json").write_text(json.dumps(content))
    (tmp_path / "boxes.csv").write_text("\n".join([*rows, "2.png,,,,,"]))
    return tmp_path


def test_evaluate_reports_average_precision_in_whole_images(detector, boxes):
    scores = cs.evaluate(detector, boxes / "coco.json")
    found = scores.detection
    assert (found.images, found.objects) == (3, 4)
    assert found.boxes.map50 == pytest.approx(1)
    assert 0.4 < found.boxes.map < 1
    assert found.masks.map50 == pytest.approx(1)
    assert set(found.boxes.per_class) == {"green", "red"}
    text = scores.text()
    assert "detection in 3 images: 4 objects" in text
    assert "masks: mAP@0.5 1.000" in text
    assert scores.to_dict()["detection"]["boxes"]["map50"] == found.boxes.map50


def test_masks_are_not_scored_where_none_are_given(detector, boxes):
    scores = cs.evaluate(detector, boxes / "boxes.csv").detection
    assert scores.masks is None
    assert scores.boxes.map50 == pytest.approx(1)


def test_a_label_that_the_model_does_not_know_is_an_error(detector, boxes):
    file = boxes / "boxes.csv"
    file.write_text(file.read_text().replace("red", "blue"))
    with pytest.raises(DataError, match="blue"):
        cs.evaluate(detector, file)


def test_a_model_of_whole_images_is_not_evaluated_as_a_detector(detector, boxes):
    other = Predictor(replace(detector.bundle, data={}))
    assert cs.evaluate(other, boxes / "boxes.csv").detection is None


@pytest.mark.long
def test_digits_are_detected_from_boxes(tmp_path, capsys):
    from benchmarks.detect import digit_scene, write_coco

    train, test = (
        write_coco(tmp_path / name, [digit_scene(np.random.default_rng([7, part, i]), bool(part)) for i in range(n)])
        for part, (name, n) in enumerate((("train", 150), ("test", 15)))
    )
    run = str(tmp_path / "run")
    words = ["--model", "resnet8", "--model-arg", "patch=2", "--opt", "muon", "--epochs", "8", "--out", run, "--quiet"]
    assert main(["train", str(train), *words]) == 0, capsys.readouterr().err
    assert "locate" in capsys.readouterr().out
    assert main(["evaluate", run, str(test), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["detection"]
    assert found["images"] == 15
    assert found["boxes"]["map50"] > 0.6
    assert found["masks"]["map50"] > 0.4
    assert cs.evaluate(run).detection.images < 150  # of its own test split alone
    with pytest.raises(DataError, match="no images are left"):
        cs.evaluate(run, train)
