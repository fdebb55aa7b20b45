"""--class-weight: what files and mappings may say, and the weights that follow."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from clearsight.errors import ConfigError
from clearsight.train.class_weight import balanced_weights, check_class_weight, weights_of
from clearsight.train.class_weight_option import class_weight_text
from clearsight.train.config import TrainConfig

LABELS = np.array([0, 0, 0, 1])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("w.csv", "cat,2\ndog,0.5\n"),
        ("w.csv", "class,weight\ncat,2\ndog,0.5\n"),
        ("w.csv", "\ufeffclass;weight\ncat;2\ndog;0,5\n"),
        ("w.tsv", "cat\t2\n\ndog\t0.5"),
        ("w.json", '{"cat": 2, "dog": 0.5}'),
    ],
)
def test_files(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    for value in (str(path), path):
        kept = TrainConfig.from_options(class_weight=value).regularization.class_weight
        assert json.loads(kept) == {"cat": 2.0, "dog": 0.5}
    assert TrainConfig.from_options(class_weight=kept).regularization.class_weight == kept  # as config.json has it


def test_a_mapping_and_words():
    assert class_weight_text({"cat": 2, 7: 1}) == '{"cat": 2.0, "7": 1.0}'
    assert [class_weight_text(word) for word in ("none", "balanced")] == ["none", "balanced"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"cat": -1}, "'cat' must be a finite number above 0; found -1"),
        ({"cat": 0}, "'cat' must be a finite number above 0; found 0"),
        ({"cat": float("nan")}, "'cat' must be a finite number above 0; found nan"),
        ({"cat": float("inf")}, "found inf"),
        ({"cat": "many"}, "found 'many'"),
        ({"cat": True}, "found True"),
        ({}, "no classes and weights given"),
        ('{"cat": 1, "cat": 2}', "'cat' is named twice"),
        ("{cat", "not valid JSON"),
        ('{"cat": [1]}', "must be a finite number"),
        ("balance", "balance cannot be read; found No such file"),
        (3, "--class-weight must be text, not 3"),
    ],
)
def test_values_that_are_refused(value, message):
    with pytest.raises(ConfigError) as error:
        TrainConfig.from_options(class_weight=value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("cat,1,2\n", "line 1 has 3 cells"), ("cat,1\ndog,heavy\n", "'dog' must be a finite number"), ("", "no classes")],
)
def test_tables_that_are_refused(tmp_path, text, message):
    (tmp_path / "w.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        class_weight_text(str(tmp_path / "w.csv"))


def test_classes_are_those_of_the_data():
    data = SimpleNamespace(classes=("cat", "dog"))
    for choice in ("none", "balanced", '{"cat": 1.0, "dog": 3.0}'):
        check_class_weight(choice, data)
    with pytest.raises(ConfigError, match=r"unknown class 'dgo'.*[Dd]id you mean dog"):
        check_class_weight('{"cat": 1.0, "dgo": 3.0}', data)
    with pytest.raises(ConfigError, match="no weight for class 'dog'"):
        check_class_weight('{"cat": 1.0}', data)


def test_weights_have_a_mean_of_one_over_the_images():
    weights = weights_of('{"dog": 6.0, "cat": 2.0}', LABELS, ("cat", "dog"))
    assert weights.tolist() == pytest.approx([2 / 3, 2.0])
    assert weights.numpy()[LABELS].mean() == pytest.approx(1)
    assert weights_of("none", LABELS, ("cat", "dog")).tolist() == [1, 1]
    assert weights_of("balanced", LABELS, ("cat", "dog")).tolist() == balanced_weights(LABELS, 2).tolist()
