"""Several labels per image, and numbers: how they are recognised, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from clearsight.data.targets import (
    TargetTable,
    from_numbers,
    is_direction,
    like_counts,
    one_hot,
    require_variety,
    several_labels,
    soft_labels,
)
from clearsight.errors import DataError
from clearsight.tasks import read


@pytest.fixture
def pictures(tmp_path):
    """A function that writes a table of 40 images beside them: columns to values."""
    for i in range(40):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / f"{i}.png")

    def table(**columns):
        path = tmp_path / "table.csv"
        pd.DataFrame({"image_path": [f"{i}.png" for i in range(40)], **columns}).to_csv(path, index=False)
        return path

    return table


@pytest.mark.parametrize("separator", ["|", ";", ", "])
def test_labels_that_come_back_in_other_company_are_several(pictures, separator):
    kinds = [["cat"], ["dog"], ["cat", "dog"], [], ["dog", "bird"]]
    found = read(pictures(label=[separator.join(kinds[i % 5]) for i in range(40)]))
    assert found.task == "multilabel"
    assert found.answers == ("bird", "cat", "dog")
    assert found.targets.values[:5].tolist() == [[0, 1, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0], [1, 0, 1]]


def test_names_with_a_comma_are_classes(pictures):
    found = read(pictures(label=["crane, bird", "crane, machine"] * 20))
    assert found.task == "classification"
    assert found.classes == ("crane, bird", "crane, machine")
    asked = read(pictures(label=["crane, bird", "crane, machine", "bird"] * 13 + ["bird"]), task="multilabel")
    assert asked.answers == ("bird", "crane", "machine")


def test_columns_of_numbers(pictures):
    found = read(pictures(x=np.linspace(-1, 1, 40), y=np.arange(40), split=["train"] * 30 + ["test"] * 10))
    assert (found.task, found.answers) == ("regression", ("x", "y"))
    assert np.allclose(found.targets.values[:, 1], np.arange(40))
    assert found.splits_given == {"train", "test"}
    assert len(found.classes) == 4, "the tenths of 40 images are four"
    assert np.bincount(found.labels).tolist() == [10, 10, 10, 10]


def test_columns_of_zero_and_one_are_labels_unless_each_image_has_one(pictures):
    labels = np.array([[1, 0], [1, 1], [0, 1], [0, 0]] * 10)
    assert read(pictures(cat=labels[:, 0], dog=labels[:, 1])).task == "multilabel"
    single = read(pictures(cat=[1, 0] * 20, dog=[0, 1] * 20))
    assert (single.task, single.classes) == ("classification", ("cat", "dog"))


def test_measurements_as_labels_are_numbers_and_counts_are_classes(pictures):
    assert read(pictures(label=np.linspace(0, 3, 40))).task == "regression"
    assert read(pictures(label=np.arange(40) % 3)).task == "classification"
    assert read(pictures(label=np.arange(40) % 3), task="regression").task == "regression"


@pytest.mark.parametrize(
    ("columns", "task", "message"),
    [
        (
            {"x": ["1.5"] * 39 + ["much"]},
            "auto",
            "column 'x' of .* mixes numbers and other things; found 'much' in row 41",
        ),
        ({"x": [1.5, *[0.5] * 38, float("nan")]}, "auto", "mixes numbers and other things; found nothing in row 41"),
        ({"x": [1.5, *[0.5] * 38, "nan"]}, "auto", "mixes numbers|no finite numbers"),
        ({"a": [1, 2] * 20, "b": [0, 1] * 20}, "multilabel", "labels in columns of .* are 0 or 1; found 2"),
        ({"x": np.linspace(0, 1, 40)}, "classification", "has no column of classes"),
        ({"label": ["a", "b"] * 20}, "regression", "mixes numbers and other things; found 'a' in row 2"),
        ({"what": ["a", "b"] * 20}, "auto", "lacks a column"),
    ],
)
def test_faults_are_named(pictures, columns, task, message):
    with pytest.raises(DataError, match=message):
        read(pictures(**columns), task=task)


@pytest.mark.parametrize(
    ("columns", "task", "message"),
    [
        ({"x": [2.5] * 40}, "auto", "1 target.* never change; found 'x' is 2.5 for all images"),
        ({"a": [1, 0] * 20, "b": [0] * 40}, "multilabel", "tell no images apart; found 'b' is never positive"),
        ({"label": ["a|b", "a"] * 20}, "multilabel", "tell no images apart; found 'a' holds for every image"),
    ],
)
def test_nothing_is_learned_of_what_never_changes_though_it_can_be_judged_by(pictures, columns, task, message):
    found = read(pictures(**columns), task=task)
    with pytest.raises(DataError, match=message):
        require_variety(found.targets, found.name)


def test_a_folder_of_classes_is_no_regression(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / name / "1.png")
    with pytest.raises(DataError, match="gives one class per image, which is no regression"):
        read(tmp_path, task="regression")


def test_arrays():
    images = np.zeros((6, 4, 4), np.uint8)
    assert read((images, [["a"], ["a", "b"], [], ["b"], ["b"], ["a"]])).answers == ("a", "b")
    assert read((images, np.eye(6))).classes == ("0", "1", "2", "3", "4", "5"), "one-hot rows are classes"
    assert read((images, np.linspace(0, 1, 6))).answers == ("value",)
    two = read((images, np.arange(12).reshape(6, 2)))
    assert (two.task, two.answers) == ("regression", ("0", "1"))
    assert read((images, np.arange(6))).task == "classification"


def test_directions_and_one_hot_rows():
    angle = np.linspace(0, 6, 30)
    assert is_direction(np.stack([np.cos(angle), np.sin(angle)], 1).round(2))
    assert not is_direction(np.stack([angle, angle], 1))
    assert one_hot(np.eye(3))
    assert not one_hot(np.ones((3, 2)))


def test_soft_labels_are_beliefs_in_classes(pictures):
    shares = np.array([[0.9, 0.1], [0.3, 0.7], [0.5, 0.5], [0, 1], [1, 0], [0.2, 0.8]])
    found = read((np.zeros((6, 4, 4), np.uint8), shares))
    assert (found.task, found.classes, found.targets) == ("classification", ("0", "1"), None)
    assert found.labels.tolist() == [0, 1, 0, 1, 0, 1]
    np.testing.assert_allclose(found.soft, shares, atol=1e-6)
    np.testing.assert_allclose(found.weights, shares.max(1), atol=1e-6)
    many = np.tile(shares, (7, 1))[:40]
    table = read(pictures(wolf=many[:, 0], dog=many[:, 1]))
    assert table.classes == ("dog", "wolf"), "in natural order, as classes are everywhere"
    np.testing.assert_allclose(table.soft, many[:, ::-1], atol=1e-6)
    assert read((np.zeros((6, 4, 4), np.uint8), shares), task="regression").task == "regression"
    assert soft_labels(shares)
    assert not soft_labels(2 * shares)
    assert not soft_labels(np.eye(3))
    with pytest.raises(DataError, match=r"1 class.* never the likeliest; found '2'.*--task regression"):
        read((np.zeros((6, 4, 4), np.uint8), np.c_[0.9 * shares, np.full(6, 0.1)]))


def test_strata_of_labels_are_the_rarest_and_of_numbers_their_tenths():
    labels = np.zeros((60, 3), np.float32)
    labels[:40, 0], labels[20:35, 1], labels[:3, 2] = 1, 1, 1
    group, names = TargetTable("multilabel", ("often", "seldom", "hardly"), labels).strata()
    assert names == ("often", "seldom", "no label")
    assert [names[g] for g in group[[0, 10, 25, 50]]] == ["often", "often", "seldom", "no label"]
    group, names = from_numbers(("x",), np.arange(200.0)[:, None], "here", "auto").strata()
    assert len(names) == 10
    assert names[0] == "x 0 to 19.9"
    assert np.bincount(group).tolist() == [20] * 10


def test_a_lone_separator_is_part_of_a_name():
    assert several_labels(["a, b", "a, b", "c"], "here", "auto") is None


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([["a"], 3] * 10, r"lists for some images and not for others; found 3 at index 1; .*Write \[3\]"),
        ([[]] * 20, "no image has a label; found empty lists"),
        ([[1.0, 2.0], [1.5]] * 10, "rows of labels differ in length; found 1, 2 numbers"),
    ],
)
def test_faults_of_labels_in_python_are_named(labels, message):
    with pytest.raises(DataError, match=message):
        read((np.zeros((20, 8, 8), np.uint8), labels))


def test_many_whole_numbers_look_like_counts():
    assert like_counts([str(k) for k in range(21)])
    assert like_counts([f"{k}.0" for k in range(21)])
    assert not like_counts([str(k) for k in range(20)])
    assert not like_counts([*map(str, range(21)), "many"])
