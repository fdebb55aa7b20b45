"""Which images are normal, and which anomalies are evaluated."""

import numpy as np
import pytest
from PIL import Image

from clearsight.data.geometry import Geometry
from clearsight.data.prepare import prepare
from clearsight.data.scan import scan
from clearsight.errors import ConfigError, DataError
from clearsight.tasks import Anomaly, TaskOptions, read
from clearsight.train.config import TrainConfig


def folder(root, layout):
    """PNG files of 8x8 pixels, all different: {"train/good": 12, ...}."""
    rng = np.random.default_rng(0)
    for place, count in layout.items():
        (root / place).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(root / place / f"{i}.png")
    return root


def read_anomalies(data, normal=None, **options):
    return read(data, task="anomaly", options=TaskOptions(normal=normal, **options))


def learned(dataset, normal=None):
    """The normal classes of the task that is learned from a data set."""
    return Anomaly.of(dataset, np.arange(len(dataset)), TaskOptions(normal=normal)).normal


def splits(dataset):
    prepared = prepare(dataset, scan(dataset), Geometry(8, 8))
    return {name: [dataset.classes[k] for k in dataset.labels[rows]] for name, rows in prepared.split.parts().items()}


@pytest.mark.parametrize("normal", ["a, b", ["a", "b"]])
def test_the_classes_named_are_normal_and_the_others_are_for_the_test(tmp_path, normal):
    dataset = read_anomalies(folder(tmp_path, {"a": 20, "b": 20, "c": 6}), normal)
    assert (dataset.task, dataset.names, learned(dataset, normal)) == (Anomaly, ("anomaly",), ("a", "b"))
    assert dataset.values.sum() == 6
    assert [dataset.words(i) for i in (0, 25, 45)] == ["a", "b", "c"]
    parts = splits(dataset)
    assert set(parts["train"]) == set(parts["val"]) == {"a", "b"}
    assert parts["test"].count("c") == 6, "all of them: none can be learned from"
    assert parts["test"].count("a") == parts["test"].count("b") == 5


def test_a_class_whose_name_has_a_comma_can_be_normal(tmp_path):
    dataset = read_anomalies(folder(tmp_path, {"a, b": 12, "c": 6}), "a, b")
    assert dataset.values.sum() == 6


def test_one_class_or_a_flat_folder_is_normal(tmp_path):
    assert learned(read_anomalies(folder(tmp_path / "one", {"ok": 12}))) == ("ok",)
    flat = read_anomalies(folder(tmp_path, {"flat": 12}) / "flat")
    assert (flat.classes, learned(flat), len(flat)) == (("normal",), ("normal",), 12)


def test_a_training_folder_of_one_class_says_what_is_normal(tmp_path):
    root = folder(tmp_path, {"train/good": 15, "test/good": 5, "test/crack": 4, "test/hole": 3})
    dataset = read_anomalies(root)
    assert learned(dataset) == ("good",)
    parts = splits(dataset)
    assert sorted(parts["test"]) == ["crack"] * 4 + ["good"] * 5 + ["hole"] * 3
    assert set(parts["train"] + parts["val"]) == {"good"}
    with pytest.raises(DataError, match=r"the classes of .* differ"):
        read(root)


def test_anomalies_in_a_stated_training_split_are_left_out(tmp_path):
    root = folder(tmp_path, {"train/good": 15, "train/bad": 5, "test/good": 5, "test/bad": 4})
    dataset = read_anomalies(root, "good")
    assert int(Anomaly.only_tested(dataset).sum()) == 4
    assert (~dataset.learnable).sum() == 9
    assert "images of anomalous classes in the training splits are left out: 5" in dataset.notes[-1]
    assert splits(dataset)["test"].count("bad") == 4
    assert read(dataset, task="anomaly") is dataset, "noted once, however often it is read"
    evaluated = read_anomalies(root, ("good",), evaluating=True)
    assert evaluated.notes == (), "which is of no concern when a finished model is evaluated"


def test_what_is_unclear_or_wrong_says_so(tmp_path):
    root = folder(tmp_path / "x", {"good": 12, "bad": 12})
    with pytest.raises(
        DataError, match=r"the normal classes are not specified; found 2 classes: bad, good.*--normal go"
    ):
        read_anomalies(root)
    with pytest.raises(DataError, match=r"unknown normal class 'god'.* [Dd]id you mean.*good"):
        read_anomalies(root, "god")
    few = read_anomalies(folder(tmp_path / "y", {"good": 9, "bad": 12}), "good")
    config = TrainConfig.from_options(task="anomaly", normal="good")
    with pytest.raises(DataError, match="too few normal images to train on; found 9; expected at least 10"):
        Anomaly.check(few, config)
    enough = read_anomalies(root, "good")
    Anomaly.check(enough, config)
    with pytest.raises(
        ConfigError, match=r"training resnet8 from random weights requires .*; found one normal class, good"
    ):
        Anomaly.check(
            enough, TrainConfig.from_options(task="anomaly", normal="good", model="resnet8", pretrained=False)
        )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([[0, 1], [1, 1], [1, 0], [0, 0]]), "has no class column; found 0, 1"),
        (np.linspace(0, 1, 8).reshape(4, 2), "has no class column; found 0, 1"),
        (np.array([[0.9, 0.1], [0.2, 0.8]] * 2), "has probabilities, but --task anomaly needs classes"),
        ([["a"], ["b"], ["a"], ["a"]], "has lists of labels, but --task anomaly needs classes"),
        ([["a"], ["a", "b"], ["a"], ["a"]], "lists of labels cannot be used as classes"),
    ],
)
def test_what_is_normal_is_a_class(labels, message):
    with pytest.raises(DataError, match=message):
        read_anomalies((np.zeros((4, 8, 8), np.uint8), labels), "a")


def test_a_models_own_normal_classes_may_be_absent_when_it_is_evaluated(tmp_path):
    root = folder(tmp_path, {"crack": 5})
    options = Anomaly(("good",)).read_options()
    assert read(root, task="anomaly", options=options).values.mean() == 1
    flat = read(root / "crack", task="anomaly", options=options)
    assert flat.values.mean() == 0, "images without classes are normal"
