"""Which task data looks like, and what is refused: several labels, numbers, soft labels."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from clearsight.data.sources.read import find
from clearsight.errors import ConfigError, DataError
from clearsight.tasks import TaskOptions, read, read_exclusive, registered_tasks, task_named, task_names
from clearsight.tasks.classification import like_counts, soft_labels
from clearsight.tasks.reading import claimed
from clearsight.tasks.strata import rarest_label, tenths
from clearsight.train.config import TrainConfig

IMAGES = np.zeros((6, 4, 4), np.uint8)


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


def test_tasks_are_known_by_their_names():
    assert set(task_names()) == {"anomaly", "classification", "hierarchy", "multilabel", "ordinal", "regression"}
    assert task_names().index("multilabel") < task_names().index("regression"), "columns of 0 and 1 are labels first"
    assert [task.name for task in registered_tasks()] == list(task_names())
    assert task_named("ordinal").name == "ordinal"
    with pytest.raises(ConfigError, match="unknown task 'ordnal'"):
        task_named("ordnal")
    with pytest.raises(ConfigError, match="unknown task 'segmentation'"):
        read((IMAGES, range(6)), task="segmentation")


def test_a_data_set_knows_its_task_and_is_returned_as_it_is():
    found = read((IMAGES, np.linspace(0, 1, 6)))
    assert found.task is task_named("regression")
    assert read(found) is found
    assert read(found, task="regression") is found
    with pytest.raises(DataError, match=r"arrays was read for another task; found regression; expected classification"):
        read(found, task="classification")


@pytest.mark.parametrize("separator", ["|", ";", ", "])
def test_labels_that_come_back_in_other_company_are_several(pictures, separator):
    kinds = [["cat"], ["dog"], ["cat", "dog"], [], ["dog", "bird"]]
    found = read(pictures(label=[separator.join(kinds[i % 5]) for i in range(40)]))
    assert found.task.name == "multilabel"
    assert found.names == ("bird", "cat", "dog")
    assert found.values[:5].tolist() == [[0, 1, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0], [1, 0, 1]]


def test_names_with_a_comma_are_classes(pictures):
    found = read(pictures(label=["crane, bird", "crane, machine"] * 20))
    assert found.task.name == "classification"
    assert found.classes == found.names == ("crane, bird", "crane, machine")
    asked = read(pictures(label=["crane, bird", "crane, machine", "bird"] * 13 + ["bird"]), task="multilabel")
    assert asked.names == ("bird", "crane", "machine")


def test_names_in_lists_are_not_taken_apart():
    found = read((IMAGES, [["crane, bird"], ["crane, machine"], ["bird"], ["bird"], [], ["bird"]]))
    assert found.names == ("bird", "crane, bird", "crane, machine")
    assert found.values.sum(0).tolist() == [3, 1, 1]


def test_columns_of_numbers(pictures):
    found = read(pictures(x=np.linspace(-1, 1, 40), y=np.arange(40), split=["train"] * 30 + ["test"] * 10))
    assert (found.task.name, found.names) == ("regression", ("x", "y"))
    assert np.allclose(found.values[:, 1], np.arange(40))
    assert found.splits_given == {"train", "test"}
    assert len(found.classes) == 4, "the tenths of 40 images are four"
    assert np.bincount(found.labels).tolist() == [10, 10, 10, 10]


def test_columns_of_zero_and_one_are_labels_unless_each_image_has_one(pictures):
    labels = np.array([[1, 0], [1, 1], [0, 1], [0, 0]] * 10)
    assert read(pictures(cat=labels[:, 0], dog=labels[:, 1])).task.name == "multilabel"
    single = read(pictures(cat=[1, 0] * 20, dog=[0, 1] * 20))
    assert (single.task.name, single.classes) == ("classification", ("cat", "dog"))
    assert single.values is None


def test_measurements_as_labels_are_numbers_and_counts_are_classes(pictures):
    assert read(pictures(label=np.linspace(0, 3, 40))).task.name == "regression"
    assert read(pictures(label=np.arange(40) % 3)).task.name == "classification"
    counts = read(pictures(label=np.arange(40) % 3), task="regression")
    assert (counts.task.name, counts.names) == ("regression", ("label",))


@pytest.mark.parametrize(
    ("columns", "task", "message"),
    [
        (
            {"x": ["1.5"] * 39 + ["much"]},
            "auto",
            "column 'x' of .* lacks a number for 1 image; found 'much' in row 41.*Correct or delete row 41",
        ),
        ({"x": [1.5, *[0.5] * 38, float("nan")]}, "auto", "lacks a number for 1 image; found an empty cell in row 41"),
        ({"x": [1.5, *[0.5] * 38, "nan"]}, "auto", "non-finite targets for 1 of 40 .*; found nan in column 'x' of im"),
        ({"a": [1, 2] * 20, "b": [0, 1] * 20}, "multilabel", "label columns in .* must contain only 0 and 1; found 2"),
        ({"x": np.linspace(0, 1, 40)}, "classification", "has no class column; found x; expected a column"),
        ({"label": ["a", "b"] * 20}, "regression", "labels in .* are names, not numbers; found 'a' at row 2"),
        ({"label": ["1", "b"] * 20}, "regression", "column 'label' of .* mixes numbers.*; found 'b' in row 3"),
        ({"what": ["a", "b"] * 20}, "auto", "has no label or target column"),
    ],
)
def test_faults_are_named(pictures, columns, task, message):
    with pytest.raises(DataError, match=message):
        read(pictures(**columns), task=task)


@pytest.mark.parametrize(
    ("columns", "task", "message"),
    [
        ({"x": [2.5] * 40}, "auto", "1 constant target in .*; found 'x', which is 2.5 for all images"),
        ({"a": [1, 0] * 20, "b": [0] * 40}, "multilabel", "1 constant label in .*; found 'b', which is never positive"),
        ({"label": ["a|b", "a"] * 20}, "multilabel", "1 constant label in .*; found 'a', which is positive for every"),
    ],
)
def test_nothing_is_learned_of_what_never_changes_though_it_can_be_evaluated_by(pictures, columns, task, message):
    found = read(pictures(**columns), task=task)
    with pytest.raises(DataError, match=message):
        found.task.check(found, TrainConfig())
    (finding,) = found.task.findings(found)
    assert (finding.code, finding.severity) == ("constant-targets", "warning")
    assert "`train` rejects such data" in finding.message


def test_a_folder_of_classes_is_no_regression(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / name / "1.png")
    with pytest.raises(DataError, match=r"labels in .* are names, not numbers; found 'a' at index 0.*leave out --task"):
        read(tmp_path, task="regression")


def test_arrays():
    assert read((IMAGES, [["a"], ["a", "b"], [], ["b"], ["b"], ["a"]])).names == ("a", "b")
    assert read((IMAGES, np.eye(6))).classes == ("0", "1", "2", "3", "4", "5"), "one-hot rows are classes"
    assert read((IMAGES, np.linspace(0, 1, 6))).names == ("value",)
    two = read((IMAGES, np.arange(12).reshape(6, 2)))
    assert (two.task.name, two.names) == ("regression", ("0", "1"))
    assert read((IMAGES, np.arange(6))).task.name == "classification"
    assert claimed(find((IMAGES, np.arange(6))).stated).name == "classification"


def test_soft_labels_are_probabilities_of_classes(pictures):
    shares = np.array([[0.9, 0.1], [0.3, 0.7], [0.5, 0.5], [0, 1], [1, 0], [0.2, 0.8]])
    found = read((IMAGES, shares))
    assert (found.task.name, found.classes, found.names) == ("classification", ("0", "1"), ("0", "1"))
    assert found.labels.tolist() == [0, 1, 0, 1, 0, 1]
    np.testing.assert_allclose(found.values, shares, atol=1e-6)
    np.testing.assert_allclose(found.weights, shares.max(1), atol=1e-6)
    assert "soft labels" in found.notes[-1]
    many = np.tile(shares, (7, 1))[:40]
    table = read(pictures(wolf=many[:, 0], dog=many[:, 1]))
    assert table.classes == ("dog", "wolf"), "in natural order, as classes are everywhere"
    np.testing.assert_allclose(table.values, many[:, ::-1], atol=1e-6)
    assert read((IMAGES, shares), task="regression").task.name == "regression"
    assert soft_labels(shares)
    assert not soft_labels(2 * shares)
    assert not soft_labels(np.eye(3))
    with pytest.raises(DataError, match=r"1 class is never the most probable; found '2'.*--task regression"):
        read((IMAGES, np.c_[0.9 * shares, np.full(6, 0.1)]))


def test_strata_of_labels_are_the_rarest_and_of_numbers_their_tenths():
    labels = np.zeros((60, 3), np.float32)
    labels[:40, 0], labels[20:35, 1], labels[:3, 2] = 1, 1, 1
    group, names = rarest_label(labels, ("often", "seldom", "hardly"))
    assert names == ("often", "seldom", "no label")
    assert [names[g] for g in group[[0, 10, 25, 50]]] == ["often", "often", "seldom", "no label"]
    group, names = tenths(np.arange(200.0), "x")
    assert len(names) == 10
    assert names[0] == "x 0 to 19.9"
    assert np.bincount(group).tolist() == [20] * 10


def test_what_is_predicted_in_words():
    labels = read((IMAGES, [["a"], ["a", "b"], [], ["b"], ["b"], ["a"]]))
    assert [labels.words(i) for i in range(3)] == ["a", "a, b", "no label"]
    assert labels.task.describe(labels) == "2 labels (a, b); images are grouped by their rarest label"
    numbers = read((IMAGES, np.linspace(0, 1, 6)))
    assert (numbers.words(1), numbers.task.describe(numbers)) == (
        "0.2",
        "1 number to predict (value); images are grouped by value",
    )
    two = read((IMAGES, np.arange(12).reshape(6, 2)))
    assert (two.words(1), two.task.describe(two)) == (
        "0 2, 1 3",
        "2 numbers to predict (0, 1); images are grouped by 0",
    )
    turn = np.radians(np.arange(6) * 50)
    direction = read((IMAGES, np.stack([np.cos(turn), np.sin(turn)], 1)))
    assert direction.task.describe(direction) == "2 numbers to predict (0, 1); images are grouped by direction"
    classes = read((IMAGES, list("abcabc")))
    assert (classes.words(1), classes.task.describe(classes)) == ("b", "")


def test_a_lone_separator_is_part_of_a_name():
    assert claimed(find((IMAGES[:3], ["a, b", "a, b", "c"])).stated).name == "classification"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([["a"], 3] * 10, r"lists for some images but not for others; found 3 at index 1; .*Write \[3\]"),
        ([[]] * 20, "no image has a label; found empty lists"),
        ([[1.0, 2.0], [1.5]] * 10, "rows of labels differ in length; found lengths 1, 2"),
    ],
)
def test_faults_of_labels_in_python_are_named(labels, message):
    with pytest.raises(DataError, match=message):
        read((np.zeros((20, 8, 8), np.uint8), labels))


def test_lists_of_labels_are_no_classes():
    several = [["a", "b"], ["a"]] * 3
    with pytest.raises(DataError, match=r"lists of labels cannot be used as classes; found \['a', 'b'\].*leave out"):
        read((IMAGES, several), task="classification")
    assert read((IMAGES, [["a"], ["b"]] * 3), task="classification").classes == ("a", "b")


def test_many_whole_numbers_look_like_counts():
    assert like_counts([str(k) for k in range(21)])
    assert like_counts([f"{k}.0" for k in range(21)])
    assert not like_counts([str(k) for k in range(20)])
    assert not like_counts([*map(str, range(21)), "many"])


def test_what_is_for_classes_alone_refuses_other_data():
    assert read_exclusive((IMAGES, list("abcabc")), "this").classes == ("a", "b", "c")
    with pytest.raises(DataError, match=r"this needs data with one class per image; found arrays: numeric columns"):
        read_exclusive((IMAGES, np.linspace(0, 1, 6)), "this")


def test_options_are_read_by_the_task_they_concern():
    options = TaskOptions(normal="a", grades="c,b,a")
    assert read((IMAGES, list("abcabc")), options=options).classes == ("a", "b", "c")
    assert read((IMAGES, list("abcabc")), task="ordinal", options=options).names == ("c", "b", "a")
    assert read((IMAGES, list("abcabc")), task="anomaly", options=options).values[:, 0].tolist() == [0, 1, 1, 0, 1, 1]
