"""`train DATA --from RUN` after the data has changed: labels, classes and images that come, go and come back."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import clearsight as cs
from clearsight.bundle import Bundle
from clearsight.errors import ConfigError
from tests.runs.test_continuation import OLD, QUICK, SIDE, contents, picture, require_kept, write

NETWORK = {"model": "mlp", "img_size": SIDE, "epochs": 1, "augment": "none"}


@pytest.fixture
def old(once: Any, tmp_path: Path) -> Path:
    """A folder with the data of a run, `data`, and the run, `run`, both for this test alone."""

    def make(folder: Path) -> None:
        cs.fit(write(folder / "data", OLD, range(120)), out=folder / "run", seed=3, **QUICK)

    folder = shutil.copytree(once("continued", make), tmp_path / "old")
    card = folder / "run" / "model" / "card.json"
    about = json.loads(card.read_text())
    about["data"]["origin"] = str(folder / "data")
    card.write_text(json.dumps(about))
    return folder


def test_an_image_of_several_places_counts_once_with_its_last_label(old, tmp_path):
    new = write(tmp_path / "new", OLD, range(30))  # copies of images of the run, half of them of another class now
    for file in sorted((new / "c").iterdir())[::2]:
        file.rename(new / "b" / file.name)
    run = cs.fit(new, from_run=old / "run", old_images=True, out=tmp_path / "run")
    assert len(run.model.predictor.bundle.split.contents) == 120
    found = cs.evaluate(run.folder)
    assert (found.n, found.accuracy, found.images.relabelled) == (run.test.n, run.test.accuracy, 0)
    third = cs.fit(write(tmp_path / "more", OLD, range(2000, 2012)), from_run=run, out=tmp_path / "third")
    split = Bundle.load(third.folder).split
    assert len(split.contents) == len(set(split.contents)) == 132
    assert third.metrics["from"]["relabelled"] == 0


def test_exact_duplicates_are_compared_once(tmp_path):
    data = write(tmp_path / "data", OLD, range(120))
    for file in list(data.rglob("*.png")):
        shutil.copy(file, file.with_name(f"copy-{file.name}"))
    run = cs.fit(data, out=tmp_path / "run", **QUICK)
    about = cs.fit(data, from_run=run, out=tmp_path / "more").metrics["from"]
    assert about["overall"]["n"] == about["tested"] == len(contents(run.folder, "test"))


def test_one_relabelled_image_does_not_merge_a_class_that_is_left_out(old, tmp_path):
    data = shutil.copytree(old / "data", tmp_path / "data")
    shutil.move(sorted((data / "c").iterdir())[0], data / "b" / "moved.png")
    shutil.rmtree(data / "c")
    about = cs.fit(data, from_run=old / "run", old_images=False, out=tmp_path / "run").metrics["from"]
    assert (about["names_removed"], about["names_renamed"], about["relabelled"]) == (["c"], {}, 1)


def test_a_class_that_others_are_merged_into_keeps_its_own_weights(tmp_path):
    data = write(tmp_path / "data", OLD, range(120))
    run = cs.fit(data, out=tmp_path / "run", **NETWORK)
    for file in (data / "a").iterdir():
        file.rename(data / "b" / file.name)
    (data / "a").rmdir()
    more = cs.fit(data, from_run=run, lr=1e-9, out=tmp_path / "more", epochs=1)
    then, now = (one.model.predictor.network.state_dict() for one in (run, more))
    last = list(then)[-2]
    assert more.model.classes == ("b", "c")
    assert torch.allclose(now[last], then[last][1:], atol=1e-6)


def test_runs_with_other_labels_are_compared_by_the_labels_of_both(tmp_path, scenes):
    images, truth = scenes(160, 0)
    folder = tmp_path / "images"
    folder.mkdir()
    for i, image in enumerate(images):
        image[:2, :2] = i
        Image.fromarray(image).save(folder / f"{i}.png")

    def table(name: str, also: int) -> Path:
        cells = ["|".join([*map(str, np.flatnonzero(row)), *["new"] * (i < also)]) for i, row in enumerate(truth)]
        (folder / name).write_text("\n".join(["image_path,label", *(f"{i}.png,{c}" for i, c in enumerate(cells))]))
        return folder / name

    run = cs.fit(table("old.csv", 0), model="mlp", epochs=1, out=tmp_path / "run")
    more = cs.fit(table("new.csv", 40), from_run=run, out=tmp_path / "more", epochs=1)
    about = more.metrics["from"]
    assert (about["relabelled"], about["names_added"], about["names_removed"]) == (40, ["new"], [])
    assert about["overall"]["n"] == about["tested"]
    assert f"for the {truth.shape[1]} labels of both runs" in run_text(more)
    back = cs.fit(table("old.csv", 0), from_run=more, out=tmp_path / "back", epochs=1)
    assert back.metrics["from"]["names_removed"] == ["new"]
    assert back.metrics["from"]["overall"]["n"] == back.metrics["from"]["tested"]


def run_text(run: cs.Run) -> str:
    assert run.compared is not None
    return run.compared.text()
