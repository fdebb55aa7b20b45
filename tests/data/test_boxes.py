"""Images with boxes: what tables and COCO files state, the crops that come out, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from clearsight.data.boxed import BACKGROUND, BESIDE, DetectionRecord, cut, squares_around
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.data.sources.read import find
from clearsight.errors import BundleError, DataError
from clearsight.metrics.localisation import box_iou
from clearsight.tasks import read

HEADER = "image,xmin,ymin,xmax,ymax,label"
ROWS = ["a.png,10,10,30,40,cat", "a.png,60,50,80,70,dog", "b.png,5,5,25,25,cat"]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 256, (80, 100), np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path


def table(folder, *rows, header=HEADER):
    (folder / "boxes.csv").write_text("\n".join([header, *rows]))
    return folder / "boxes.csv"


def coco(folder, annotations, **changes):
    content = {
        "images": [{"id": i, "file_name": f"{name}.png", "width": 100, "height": 80} for i, name in enumerate("abc")],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [{"id": k, **one} for k, one in enumerate(annotations)],
        **changes,
    }
    (folder / "coco.json").write_text(json.dumps(content))
    return folder / "coco.json"


def coco_rows(**more):
    boxes = [(0, 1, [10, 10, 20, 30]), (0, 2, [60, 50, 20, 20]), (1, 1, [5, 5, 20, 20])]
    return [{"image_id": i, "category_id": k, "bbox": box, **more} for i, k, box in boxes]


def test_a_table_and_coco_give_the_same_crops(folder):
    one, other = read(table(folder, *ROWS)), read(coco(folder, coco_rows(), images=[
        {"id": 0, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}]))  # fmt: skip
    assert one.task.name == "classification"
    assert one.classes == other.classes == (BACKGROUND, "cat", "dog")
    assert one.source.squares.tolist() == other.source.squares.tolist()
    assert one.boxed.boxes.tolist() == [[10, 10, 30, 40], [60, 50, 80, 70], [5, 5, 25, 25]]
    assert [one.words(i) for i in range(6)] == ["cat"] * 3 + ["dog"] * 3
    assert len(np.unique(one.groups)) == 2


def test_a_frame_in_memory_is_read_as_its_file(folder):
    frame = pd.read_csv(table(folder, *ROWS))
    frame["image"] = [str(folder / name) for name in frame["image"]]
    assert find(frame).source.squares.tolist() == find(table(folder, *ROWS)).source.squares.tolist()


def test_crops_show_their_part_of_the_image(folder):
    source = read(table(folder, *ROWS)).source
    image = np.asarray(Image.open(folder / "a.png"))
    left, top, side = source.squares[0].tolist()
    assert (left, top, side) == (2, 7, 36)  # 1.2 times the longer side, around the middle (20, 25)
    digest, header, _ = source.inspect(0)
    assert (header.width, header.height) == (36, 36)
    got = source.decode(0, PixelFormat(1, 8), Geometry(36, 36), digest)
    assert (got[0] == image[7:43, 2:38]).all()
    padded = np.pad(image, 50, mode="edge")
    assert (cut(image[..., None], -20, 60, 45)[..., 0] == padded[110:155, 30:75]).all()
    Image.fromarray(image[::-1]).save(folder / "a.png")
    with pytest.raises(DataError, match="changed while"):
        source.decode(0, PixelFormat(1, 8), Geometry(36, 36), digest)


def test_background_crops_keep_off_objects(folder):
    data = read(table(folder, *ROWS))
    free = data.source.squares[[data.words(i) == BACKGROUND for i in range(len(data))]]
    of = data.source.image[[data.words(i) == BACKGROUND for i in range(len(data))]]
    assert len(free) >= 4
    boxes = np.concatenate([free[:, :2], free[:, :2] + free[:, 2:]], axis=1)
    apart = 0
    for box, i in zip(boxes, of, strict=True):
        own = data.boxed.boxes[data.boxed.image == i]
        squares = squares_around(own)
        corners = np.concatenate([squares[:, :2], squares[:, :2] + squares[:, 2:]], axis=1)
        overlap = box_iou(box[None], own).max()
        assert overlap == 0 or box_iou(box[None], corners).max() <= BESIDE
        apart += overlap == 0
        middle = (box[:2] + box[2:]) / 2
        assert (middle >= -0.5).all()
        assert (middle <= [100.5, 80.5]).all()
    assert apart >= 2


def test_crops_follow_from_an_image_alone(folder):
    one = find(table(folder, *ROWS)).source
    other = find(table(folder, *ROWS[::-1])).source
    names = [{source.name(i) for i in range(len(source)) if "b.png" in source.name(i)} for source in (one, other)]
    objects = [
        sorted(source.name(i) for i in range(len(source)) if source.labels[i] == "dog") for source in (one, other)
    ]
    assert len(names[0] & names[1]) >= 2
    assert objects[0] == objects[1]


def test_images_without_objects_give_background_alone(folder):
    in_table = find(table(folder, *ROWS, "c.png,,,,,"))
    in_coco = find(coco(folder, coco_rows()))
    for listing in (in_table, in_coco):
        assert {listing.source.labels[i] for i in np.flatnonzero(listing.source.image == 2)} == {BACKGROUND}
        assert any("1 image without objects" in note for note in listing.notes)


def test_shares_of_the_sides_are_read_as_such(folder):
    listing = find(table(folder, "a.png,0.1,0.125,0.3,0.5,cat", "b.png,0.5,0.5,1,1,dog"))
    assert listing.boxed.boxes.tolist() == [[10, 10, 30, 40], [50, 40, 100, 80]]
    assert "boxes are given as fractions of the image size" in listing.notes


def test_splits_and_groups_of_images_are_those_of_their_crops(folder):
    rows = [f"{row},{split},g" for row, split in zip(ROWS, ("train", "train", "test"), strict=True)]
    listing = find(table(folder, *rows, header=f"{HEADER},split,group"))
    assert {(k, str(g)) for k, g in zip(listing.source.image.tolist(), listing.given, strict=True)} == {
        (0, "train"), (1, "test")
    }  # fmt: skip
    assert len(set(listing.groups.tolist())) == 1
    with pytest.raises(DataError, match="two split values"):
        find(table(folder, f"{ROWS[0]},train", f"{ROWS[1]},test", header=f"{HEADER},split"))


def test_crowds_are_neither_objects_nor_background(folder):
    crowd = {"image_id": 2, "category_id": 1, "bbox": [0, 0, 100, 80], "iscrowd": 1}
    listing = find(coco(folder, [*coco_rows(), crowd]))
    assert listing.boxed.crowd.tolist() == [False, False, False, True]
    of = listing.source.image
    assert not (of == 2).any()  # the crowd fills this image
    assert any("1 crowd region" in note for note in listing.notes)


def test_repeated_rows_count_once(folder):
    listing = find(table(folder, *ROWS, ROWS[0]))
    assert len(listing.boxed.boxes) == 3
    assert "1 duplicate box ignored" in listing.notes


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["a.png,10,10,130,40,cat"],
            r"contains 1 box beyond the edges of the image; found \[10, 10, 130, 40\] in row 5.*100x80",
        ),
        (["a.png,30,10,10,40,cat"], "contains 1 box without area"),
        (["a.png,10,10,10,40,cat"], "without area"),
        (["a.png,10,10,nan,40,cat"], "with non-finite coordinates"),
        (["a.png,10,10,wide,40,cat"], "not a number; found 10, 10, wide, 40 in row 5"),
        (["a.png,10,10,,40,cat"], "not a number; found 10, 10, , 40 in row 5"),
        (["a.png,0.1,0.1,0.3,0.4,cat"], "fractions of the image size"),
        (["a.png,10,10,40,40,"], "without a label"),
        (["a.png,12,10,40,40,background"], "labelled 'background'"),
        (["a.png,10,10,30,40,dog"], "the same box two labels; found 'cat' in row 2 and 'dog' in row 5"),
        (["d.png,10,10,30,40,cat"], "1 of 3 images .* cannot be found"),
        ([",10,10,30,40,cat"], "a row without an image"),
    ],
)
def test_boxes_that_cannot_be_used_are_errors(folder, rows, message):
    with pytest.raises(DataError, match=message):
        find(table(folder, *ROWS, *rows))


def test_a_pixel_beyond_the_edge_is_cut_off(folder):
    assert find(table(folder, *ROWS[1:], "a.png,90,70,101,81,cat")).boxed.boxes[-1].tolist() == [90, 70, 100, 80]


def test_a_file_without_objects_is_an_error(folder):
    with pytest.raises(DataError, match="no objects to train on"):
        find(table(folder, "a.png,,,,,"))
    crowds = [{"image_id": i, "category_id": 1, "bbox": [0, 0, 100, 80], "iscrowd": 1} for i in range(3)]
    with pytest.raises(DataError, match="no part of these images is free of objects"):
        find(coco(folder, [*coco_rows(), *crowds]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": [{"image_id": 7, "category_id": 1, "bbox": [0, 0, 9, 9]}]}, "unknown image; found image_id 7"),
        ({"annotations": [{"image_id": 0, "category_id": 9, "bbox": [0, 0, 9, 9]}]}, "unknown category"),
        ({"annotations": [{"image_id": 0, "category_id": 1, "bbox": [0, 0, 9]}]}, "no usable bbox"),
        ({"annotations": [{"image_id": 0, "category_id": 1}, *coco_rows()[:1]]}, "only some annotations .* have a box"),
        ({"images": [{"id": 0, "file_name": "a.png", "width": 80, "height": 100}]}, "the size of a.png in .* differs"),
        ({"images": "none"}, "cannot be read as COCO"),
    ],
)
def test_damaged_coco_files_are_errors(folder, changes, message):
    with pytest.raises(DataError, match=message):
        find(coco(folder, **{"annotations": coco_rows()[:2], **changes}))


def test_json_that_is_not_coco_is_an_error(folder):
    (folder / "x.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="cannot be read as COCO annotations"):
        find(folder / "x.json")


def test_an_unreadable_image_is_left_out_with_its_boxes(folder):
    (folder / "c.png").write_bytes(b"no image")
    listing = find(table(folder, *ROWS, "c.png,5,5,25,25,dog"))
    assert len(listing.boxed.boxes) == 3
    assert "left out 1 unreadable image and the corresponding boxes" in listing.losses[0]


def test_the_record_of_boxes_survives_its_bundle_and_is_checked(folder):
    record = read(table(folder, *ROWS)).boxed.record()
    classes = (BACKGROUND, "cat", "dog")
    assert record.shapes["dog"] == pytest.approx((20 / 24, 20 / 24), abs=1e-4)
    kept = json.loads(json.dumps({"detection": record.to_dict()}))
    assert DetectionRecord.load(kept, classes) == record
    assert DetectionRecord.load({}, classes) is None
    for name, value in (("sides", [0, 1]), ("sides", "x"), ("shapes", {"cat": [1, 1]}), ("background", "sky")):
        with pytest.raises(BundleError, match="detection record is invalid"):
            DetectionRecord.load({"detection": {**kept["detection"], name: value}}, classes)
