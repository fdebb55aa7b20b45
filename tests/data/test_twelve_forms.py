"""The same 200 images in twelve forms give the same split, weights, calibration and scores."""

from __future__ import annotations

import csv
import json

import pytest
from safetensors.numpy import load_file

import clearsight as cs
from tests.data.twelve_forms import FORMS, digits, write

OPTIONS = {"model": "pixels+softmax", "seed": 3}


def facts(run):
    """What a run must have in common with others on the same images."""
    with (run.folder / "split.csv").open() as stream:
        split = sorted((row["content"], row["target"], row["part"]) for row in csv.DictReader(stream))
    weights = load_file(run.folder / "model" / "weights.safetensors")
    metrics = json.loads((run.folder / "metrics.json").read_text())
    card = json.loads((run.folder / "model" / "card.json").read_text())
    return {
        "split": split,
        "weights": {name: value.tobytes() for name, value in weights.items()},
        "calibration": card["task"],
        "scores": {"test": metrics["test"], "val": metrics["val"], "train": metrics["train"]},
    }


@pytest.fixture(scope="module")
def folder_facts(tmp_path_factory):
    root = tmp_path_factory.mktemp("folder")
    return facts(cs.fit(write("folder", root, *digits()), **OPTIONS))


@pytest.mark.parametrize("form", FORMS[1:])
def test_every_form_gives_the_same_run(form, tmp_path, folder_facts):
    found = facts(cs.fit(write(form, tmp_path, *digits()), **OPTIONS))
    for name, expected in folder_facts.items():
        assert found[name] == expected, name


def test_positions_in_results_are_those_of_the_arrays(tmp_path):
    """Images are put in another order for training, which users never see."""
    images, labels = digits()
    labels = labels.copy()
    labels[:12] = (labels[:12] + 1) % 10
    run = cs.fit(images, labels, **OPTIONS)
    issues, mistakes = run.label_issues, run.test.mistakes
    assert issues.found
    assert mistakes
    for one in (*issues.found, *mistakes):
        assert one.image == f"#{one.index}"
    assert len({int(i) for i in issues.rows} & set(range(12))) > 3
    assert all(0 <= i < len(images) for i in run.test.pictures)
    names = {one.index for one in mistakes}
    assert set(run.test.pictures) & names
