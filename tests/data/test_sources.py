"""What `read` takes, and what it says to what it does not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from clearsight.data.dataset import Dataset
from clearsight.data.inputs import ImageInputs
from clearsight.data.sources.read import find
from clearsight.data.targets import class_index
from clearsight.errors import DataError
from clearsight.tasks import read

GRAY = np.random.default_rng(0).integers(0, 256, (6, 5, 4)).astype(np.uint8)
LABELS = np.array([0, 1, 0, 1, 10, 9])


def test_a_data_set_is_returned_as_it_is():
    found = read((GRAY, LABELS))
    assert isinstance(found, Dataset)
    assert read(found) is found


def test_a_pair():
    found = read((GRAY, LABELS))
    assert found.classes == ("0", "1", "9", "10")
    assert found.labels.tolist() == [0, 1, 0, 1, 3, 2]
    assert read((GRAY, LABELS[:, None])).labels.tolist() == found.labels.tolist()
    assert read((GRAY, ["a", "b"] * 3)).classes == ("a", "b")
    assert read((GRAY, [True, False] * 3)).classes == ("False", "True")


def test_a_source_lists_images_and_what_it_states_of_them():
    listing = find((GRAY, LABELS))
    assert (listing.name, len(listing.source), listing.given.tolist()) == ("arrays", 6, [""] * 6)
    assert listing.stated.cells == ("0", "1", "0", "1", "10", "9")
    rows = find((GRAY, np.arange(12).reshape(6, 2))).stated
    assert (rows.cells, rows.columns, rows.numbers[5].tolist()) == (None, ("0", "1"), [10, 11])


def test_labels_that_are_missing_are_counted():
    for labels in (["a", None, "b", "", "a", float("nan")], np.array(["a", "", "b", "a", "", ""])):
        with pytest.raises(
            DataError, match=r"labels are missing for 3 of 6 images in arrays in memory; found an empty label at index"
        ):
            read((GRAY, labels))


def test_a_pair_of_paths(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    found = read(([tmp_path / "a.png", str(tmp_path / "a.png")], ["x", "y"]))
    assert isinstance(found.source, ImageInputs)
    assert found.source.inspect(1)[1].width == 4


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (GRAY, LABELS[:5], "images and labels differ in number; found 6 and 5"),
        (GRAY[:0], LABELS[:0], "there are no labelled images"),
        (GRAY[:, :0], LABELS, r"the array contains no pixels; found an array of shape \(6, 0, 4\)"),
        (
            GRAY.astype(np.float32),
            LABELS,
            r"pixels are out of range; found values from 0 to 255; expected \[0, 1\]. Write `i",
        ),
        (np.full((6, 5, 4), np.nan), LABELS, "NaN or infinite values in 6 of 6 images"),
        (GRAY.astype(np.int64), LABELS, r"white is unknown for pixels of type int64; found int64 values from 0"),
        (GRAY.reshape(6, 20), LABELS, r"the array cannot be read as images; found shape \(6, 20\)"),
        (np.zeros((6, 4, 5, 5), np.uint8), LABELS, "with 1 or 3 channels"),
        (3, LABELS, r"the input cannot be read as images; found 3 \(int\)"),
        (GRAY, np.full((6, 2), "a"), r"labels have an unsupported shape; found \(6, 2\)"),
    ],
)
def test_faults_of_a_pair(images, labels, message):
    with pytest.raises(DataError, match=message):
        read((images, labels))


def test_names_that_do_not_exist(tmp_path):
    with pytest.raises(DataError, match=r"digitz does not exist. Did you mean digits\?"):
        read("digitz")
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=r"fotos does not exist. Did you mean `.*photos`\?"):
        read(tmp_path / "fotos")
    for name in (tmp_path / "no" / "where", "x" * 5000, "~no-such-user/photos", "a\0b"):
        with pytest.raises(DataError, match="does not exist"):
            read(name)
    with pytest.raises(DataError, match="a data set with an empty name does not exist"):
        read("")


def test_things_that_are_no_data(tmp_path):
    (tmp_path / "one.png").touch()
    with pytest.raises(
        DataError, match=r"found a file with the suffix \.png; expected a folder.*`clearsight predict RUN IMAGE`"
    ):
        read(tmp_path / "one.png")
    for thing, kind in ((3, "int"), (None, "NoneType"), ([1, 2], "list"), ((1, 2, 3), "tuple")):
        with pytest.raises(DataError, match=f"the input is not a data set; found an object of type {kind}"):
            read(thing)


# --- .npz ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("x", "y"), [("images", "labels"), ("X", "y"), ("data", "target")])
def test_npz(tmp_path, x, y):
    np.savez(tmp_path / "set.npz", **{x: GRAY, y: LABELS})
    found = read(tmp_path / "set.npz")
    assert (found.source.items[:, 0] == GRAY).all()
    assert found.labels.tolist() == [0, 1, 0, 1, 3, 2]
    assert found.name == "set"
    assert found.splits_given == frozenset()


@pytest.mark.parametrize("pattern", [("x_{}", "y_{}"), ("{}_images", "{}_labels")])
def test_npz_with_splits(tmp_path, pattern):
    arrays = {}
    for split, count in (("train", 6), ("val", 2), ("test", 3)):
        arrays[pattern[0].format(split)] = GRAY[:count]
        arrays[pattern[1].format(split)] = LABELS[:count, None]
    np.savez_compressed(tmp_path / "set.npz", **arrays)
    found = read(tmp_path / "set.npz")
    assert found.given.tolist() == ["train"] * 6 + ["val"] * 2 + ["test"] * 3
    assert (found.source.items[:, 0] == np.concatenate([GRAY, GRAY[:2], GRAY[:3]])).all()


def test_npz_that_names_its_arrays_twice_is_read_once(tmp_path):
    np.savez(tmp_path / "set.npz", images=GRAY, labels=LABELS, x=GRAY, y=LABELS)
    assert len(read(tmp_path / "set.npz")) == 6


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"pictures": GRAY},
            r"no pair of image and label arrays with known names; found pictures \(6, 5, 4\); expected arrays",
        ),
        ({}, "found nothing"),
        (
            {"images": GRAY, "labels": LABELS[:3]},
            r"shapes of images and labels do not match; found \(6, 5, 4\) and \(3,\)",
        ),
        ({"images": GRAY, "labels": np.eye(6)[None]}, r"do not match; found \(6, 5, 4\) and \(1, 6, 6\)"),
        ({"images": np.array(3), "labels": LABELS}, "do not match"),
        (
            {"x_train": GRAY, "y_train": LABELS, "x_test": GRAY[:, 1:], "y_test": LABELS},
            r"images of different shapes or types; found \(4, 4\) uint8 and \(5, 4\) uint8",
        ),
        (
            {"images": np.array([{}] * 6), "labels": LABELS},
            "contains pickled Python objects",
        ),
    ],
)
def test_faults_of_an_npz(tmp_path, arrays, message):
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "set.npz")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + bytes(50)])
def test_a_file_that_is_no_npz(tmp_path, content):
    (tmp_path / "set.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"set\.npz cannot be read as \.npz"):
        read(tmp_path / "set.npz")


def test_an_npy_called_npz(tmp_path):
    with (tmp_path / "set.npz").open("wb") as stream:
        np.save(stream, GRAY)
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        read(tmp_path / "set.npz")


def test_a_truncated_npz(tmp_path):
    np.savez(tmp_path / "set.npz", images=GRAY, labels=LABELS)
    content = (tmp_path / "set.npz").read_bytes()
    (tmp_path / "set.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        read(tmp_path / "set.npz")


@pytest.mark.parametrize("column", ["label", "site"])
def test_booleans_are_the_same_words_in_every_form(tmp_path, column):
    rows = {"image_path": [f"{k}.png" for k in range(6)], "label": ["a", "b"] * 3, column: [True, False] * 3}
    for k, image in enumerate(GRAY):
        Image.fromarray(image).save(tmp_path / f"{k}.png")
    frame = pd.DataFrame(rows)
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_csv(tmp_path / "python.csv", index=False)
    (tmp_path / "rows.jsonl").write_text(frame.to_json(orient="records", lines=True))
    (tmp_path / "rows.json").write_text(frame.to_json(orient="records"))
    for name, words in (("small", ("true", "false")), ("sheet", ("TRUE", "FALSE"))):
        frame.assign(**{column: list(words) * 3}).to_csv(tmp_path / f"{name}.csv", index=False)
    for form in (frame, "rows.parquet", "rows.jsonl", "rows.json", "python.csv", "small.csv", "sheet.csv"):
        data = (
            frame.assign(image_path=[str(tmp_path / p) for p in rows["image_path"]])
            if form is frame
            else tmp_path / form
        )
        found = find(data)
        cells = found.stated.cells if column == "label" else tuple(found.metadata["site"])
        assert cells == ("True", "False") * 3, form


def test_true_is_the_same_class_beside_others_and_in_arrays(tmp_path):
    Image.fromarray(GRAY[0]).save(tmp_path / "0.png")
    Image.fromarray(GRAY[1]).save(tmp_path / "1.png")
    (tmp_path / "rows.csv").write_text("image_path,label\n0.png,true\n1.png,unknown\n")
    assert find(tmp_path / "rows.csv").stated.cells == ("True", "unknown")
    for labels in ([True, False], np.array([True, False]), ["TRUE", "false"]):
        assert find((GRAY[:2], labels)).stated.cells == ("True", "False")
    assert class_index("true", ("False", "True")) == class_index("True", ("false", "true")) == 1


def test_folders_called_true_and_false_are_the_same_classes_as_booleans(tmp_path):
    for name, image in zip(("true", "false"), GRAY, strict=False):
        (tmp_path / name).mkdir()
        Image.fromarray(image).save(tmp_path / name / "0.png")
    assert set(find(tmp_path).stated.cells) == {"True", "False"}
