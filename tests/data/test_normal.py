"""Which images are normal, and which judge."""

import numpy as np
import pytest
from clearsight.data.normal import judging_images, require_normal, with_normal
from PIL import Image

from clearsight.data.geometry import Geometry
from clearsight.data.prepare import prepare
from clearsight.data.scan import scan
from clearsight.errors import DataError
from clearsight.tasks import read


def folder(root, layout):
    """PNG files of 8x8 pixels, all different: {"train/good": 12, ...}."""
    rng = np.random.default_rng(0)
    for place, count in layout.items():
        (root / place).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(root / place / f"{i}.png")
    return root


def splits(dataset):
    prepared = prepare(dataset, scan(dataset), Geometry(8, 8))
    return {name: [dataset.classes[k] for k in dataset.labels[rows]] for name, rows in prepared.split.parts().items()}


def test_the_classes_named_are_normal_and_the_others_are_for_the_test(tmp_path):
    dataset = read(folder(tmp_path, {"a": 20, "b": 20, "c": 6}), task="anomaly", normal="a, b")
    assert (dataset.task, dataset.answers, dataset.targets.normal) == ("anomaly", ("anomaly",), ("a", "b"))
    assert dataset.targets.values.sum() == 6
    parts = splits(dataset)
    assert set(parts["train"]) == set(parts["val"]) == {"a", "b"}
    assert parts["test"].count("c") == 6, "all of them: none can be learned from"
    assert parts["test"].count("a") == parts["test"].count("b") == 5


def test_one_class_or_a_flat_folder_is_normal(tmp_path):
    assert read(folder(tmp_path / "one", {"ok": 12}), task="anomaly").targets.normal == ("ok",)
    flat = read(folder(tmp_path, {"flat": 12}) / "flat", task="anomaly")
    assert (flat.classes, flat.targets.normal, len(flat)) == (("normal",), ("normal",), 12)


def test_a_training_folder_of_one_class_says_what_is_normal(tmp_path):
    root = folder(tmp_path, {"train/good": 15, "test/good": 5, "test/crack": 4, "test/hole": 3})
    dataset = read(root, task="anomaly")
    assert dataset.targets.normal == ("good",)
    parts = splits(dataset)
    assert sorted(parts["test"]) == ["crack"] * 4 + ["good"] * 5 + ["hole"] * 3
    assert set(parts["train"] + parts["val"]) == {"good"}
    with pytest.raises(DataError, match=r"the classes of .* differ"):
        read(root)


def test_anomalies_in_a_stated_training_split_are_left_out(tmp_path):
    root = folder(tmp_path, {"train/good": 15, "train/bad": 5, "test/good": 5, "test/bad": 4})
    dataset = read(root, task="anomaly", normal="good")
    assert int(judging_images(dataset).sum()) == 4
    assert "5 images of other classes stand in the splits to learn from" in dataset.notes[-1]
    assert splits(dataset)["test"].count("bad") == 4
    assert read(dataset, task="anomaly", normal="good").notes == dataset.notes, "said once, however often it is read"


def test_what_is_unclear_or_wrong_says_so(tmp_path):
    root = folder(tmp_path / "x", {"good": 12, "bad": 12})
    with pytest.raises(DataError, match="which classes are normal is not said; found 2 classes: bad, good"):
        read(root, task="anomaly")
    with pytest.raises(DataError, match=r"there is no class 'god' that could be normal.*[Dd]id you mean.*good"):
        read(root, task="anomaly", normal="god")
    with pytest.raises(DataError, match="too few normal images to learn what is usual; found 9; expected at least 10"):
        require_normal(read(folder(tmp_path / "y", {"good": 9, "bad": 12}), task="anomaly", normal="good"))
    table = read((np.zeros((4, 8, 8), np.uint8), np.array([[0, 1], [1, 1], [1, 0], [0, 0]])), task="multilabel")
    with pytest.raises(DataError, match="gives multilabel targets, and what is normal is a class"):
        with_normal(table, None)


def test_a_models_own_normal_classes_may_be_absent_when_it_is_judged(tmp_path):
    dataset = read(folder(tmp_path, {"crack": 5}), task="anomaly", normal=("good",), judging=True)
    assert dataset.targets.values.mean() == 1
