"""Data that can be read in several ways: an error with a command for each, and the selections in them."""

from __future__ import annotations

import re
import shlex

import numpy as np
import pytest

from clearsight.data.sources.read import find, recorded_place
from clearsight.data.sources.selection import Selection, selected
from clearsight.errors import DataError
from clearsight.tasks import read
from tests.data.twelve_forms import png


def commands(error) -> list[str]:
    """DATA of each command in an error."""
    return [shlex.split(text)[2] for text in re.findall(r"`(clearsight train [^`]+)`", str(error))]


@pytest.fixture
def root(tmp_path):
    for k in range(6):
        (tmp_path / f"{k}.png").write_bytes(png(np.full((4, 4), 40 * k, np.uint8)))
    return tmp_path


def table(root, header, *columns, name="pets.csv"):
    rows = zip([f"{k}.png" for k in range(6)], *columns, strict=True)
    (root / name).write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]))
    return root / name


def test_every_command_of_an_ambiguous_table_works(root):
    path = table(root, "image_path,class,target", "aabbcc", [0, 1, 0, 1, 0, 1])
    with pytest.raises(DataError, match="2 columns that may contain the labels, and they differ") as caught:
        find(path)
    first, second = commands(caught.value)
    assert find(first).stated.cells == tuple("aabbcc")
    assert find(second).stated.cells == ("0", "1") * 3
    assert recorded_place(find(second).stated.origin, "x") == find(second).stated.origin == f"{path}#label=target"


def test_columns_that_name_the_same_classes_are_one(root):
    path = table(root, "image_path,class_id,class_name", [0, 0, 1, 1, 2, 2], "aabbcc")
    assert find(path).stated.cells is not None
    assert set(find(path).stated.cells) == {"a", "b", "c"}


def test_a_column_called_label_is_the_label(root):
    assert find(table(root, "image_path,label,category", "aabbcc", "xyxyxy")).stated.cells == tuple("aabbcc")


def test_unknown_columns_are_offered(root):
    path = table(root, "image_path,breed,colour", "aabbcc", "xyxyxy")
    with pytest.raises(DataError, match="no label or target column") as caught:
        find(path)
    assert [find(data).stated.cells for data in commands(caught.value)] == [tuple("aabbcc"), ("x", "y") * 3]
    with pytest.raises(DataError, match=r"has no column 'bred'; found image_path, breed, colour. Did you mean"):
        find(f"{path}#label=bred")


def test_a_frame_is_renamed(root):
    import pandas as pd

    frame = pd.DataFrame({"image_path": ["0.png"], "class": ["a"], "target": [1]})
    with pytest.raises(DataError, match=r"2 columns") as caught:
        find(pd.concat([frame, frame.assign(target=2)]))
    assert "frame.rename(columns={'class': 'label'})" in str(caught.value)


def test_unclear_arrays_have_a_command_for_each_pair(tmp_path):
    images = np.zeros((6, 5, 4), np.uint8)
    np.savez(tmp_path / "set.npz", images, np.arange(6) % 2, np.arange(6) % 3)
    with pytest.raises(DataError, match="no pair of image and label arrays with known names") as caught:
        find(tmp_path / "set.npz")
    assert [set(find(data).stated.cells) for data in commands(caught.value)] == [{"0", "1"}, {"0", "1", "2"}]
    with pytest.raises(DataError, match="has no array 'pixels'"):
        find(f"{tmp_path / 'set.npz'}#image=pixels&label=arr_1")


def test_arrays_without_labels_are_reported(tmp_path):
    images = np.zeros((6, 5, 4), np.uint8)
    np.savez(tmp_path / "set.npz", x_train=images, y_train=np.arange(6) % 2, x_test=images[:3])
    assert find(tmp_path / "set.npz").losses == (
        "left out the array x_test, which has no labels of its own, with shape (3, 5, 4)",
    )


@pytest.mark.parametrize(("colours", "many"), [(1, 1), (3, 1), (1, 14)])
def test_medmnist(tmp_path, colours, many):
    """Three splits, labels (N, 1) or (N, 14) of 0 and 1, gray or RGB."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 40), ("val", 10), ("test", 12)):
        shape = (n, 28, 28) if colours == 1 else (n, 28, 28, 3)
        arrays[f"{split}_images"] = rng.integers(0, 256, shape, np.uint8)
        arrays[f"{split}_labels"] = rng.integers(0, 2, (n, many), np.uint8)
    np.savez_compressed(tmp_path / "mnist.npz", **arrays)
    found = read(tmp_path / "mnist.npz")
    assert [int((found.given == split).sum()) for split in ("train", "val", "test")] == [40, 10, 12]
    assert found.task.name == ("classification" if many == 1 else "multilabel")
    assert len(found.source) == 62


def test_volumes_are_no_images(tmp_path):
    np.savez(tmp_path / "set.npz", train_images=np.zeros((8, 28, 28, 28), np.uint8), train_labels=np.zeros((8, 1)))
    with pytest.raises(DataError):
        find(tmp_path / "set.npz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.csv#labl=x", "'labl=x'.*Did you mean"),
        ("a.csv#label=", "'label='"),
        ("a.csv#label=x&label=y", "'label=y'"),
        ("a.csv#format=fodler", "unknown format 'fodler'.*folder"),
    ],
)
def test_selections_that_cannot_be_read(text, message):
    with pytest.raises(DataError, match=message):
        selected(text)


def test_selections(tmp_path):
    assert selected("a#b.csv") == ("a#b.csv", Selection())
    assert selected("a#b.csv#label=x") == ("a#b.csv", Selection(label="x"))
    odd = tmp_path / "a#label=x"
    odd.touch()
    assert selected(str(odd)) == (str(odd), Selection())
    assert Selection(label="x y").command("a.csv") == "`clearsight train 'a.csv#label=x y'`"
