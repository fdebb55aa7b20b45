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
from clearsight.console import Terminal
from clearsight.errors import ConfigError
from tests.runs.test_continuation import OLD, QUICK, SIDE, contents, write

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


def part_of(run: cs.Run) -> dict[str, str]:
    """The part of each image of a run by the name of its file."""
    split = run.model.predictor.bundle.split
    return {Path(name).name: part for name, part in zip(split.names, split.parts, strict=True)}


def left_out(tmp_path: Path, names: list[str]) -> Path:
    table = tmp_path / "left_out.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["image"], *([name] for name in names)])
    return table


def test_images_that_come_back_are_where_they_were(old, tmp_path):
    some = shutil.copytree(old / "data", tmp_path / "some")
    shutil.rmtree(some / "c")
    without = cs.fit(some, from_run=old / "run", old_images=False, out=tmp_path / "without")
    shutil.copytree(old / "data" / "c", tmp_path / "gone" / "a")
    seen = cs.evaluate(without, tmp_path / "gone").images
    assert seen.training + seen.validation == 40 - seen.scored > 20, "the weights may be fitted to them"
    third = cs.fit(old / "data", from_run=without, out=tmp_path / "third")
    for part in ("train", "val", "test"):
        assert contents(third.folder, part) == contents(old / "run", part)
    about = third.metrics["from"]
    assert (about["new"], about["relabelled"], about["gone"], about["names_added"]) == (40, 0, 0, ["c"])
    assert about["tested"] == about["overall"]["n"] == len(contents(without.folder, "test"))


def test_left_out_images_are_learned_from_as_before_once_their_labels_are_corrected(old, tmp_path):
    first = {Path(n).name: p for n, p in zip(*vars_of(old / "run"), strict=True)}
    names = [f"a/{file.name}" for file in sorted((old / "data" / "a").iterdir()) if first[file.name] == "train"][:6]
    second = cs.fit(old / "data", from_run=old / "run", leave_out=left_out(tmp_path, names), out=tmp_path / "second")
    for name in names[:3]:
        shutil.move(old / "data" / name, old / "data" / "b" / Path(name).name)
    third = part_of(cs.fit(old / "data", from_run=second, out=tmp_path / "third"))
    assert [third[Path(name).name] for name in names] == ["train"] * 3 + ["unused"] * 3


def vars_of(run: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    split = Bundle.load(run).split
    return split.names, split.parts


def test_left_out_images_stay_left_out_when_classes_are_renamed_or_images_added(tmp_path):
    data = write(tmp_path / "data", OLD, range(120))
    tested = vars_of(cs.fit(data, out=tmp_path / "plain", **QUICK).folder)
    names = [name for name, part in zip(*tested, strict=True) if part != "test" and name.startswith("a/")][:6]
    run = cs.fit(data, leave_out=left_out(tmp_path, names), out=tmp_path / "run", **QUICK)
    more = cs.fit(write(tmp_path / "new", OLD, range(1000, 1010)), from_run=run, out=tmp_path / "more")
    everything = shutil.copytree(data, tmp_path / "everything")
    for file in (tmp_path / "new").rglob("*.png"):
        shutil.copy(file, everything / file.parent.name / file.name)
    (everything / "a").rename(everything / "A")
    both = cs.fit(everything, from_run=more, out=tmp_path / "both")
    for one in (more, both):
        parts = part_of(one)
        assert [parts[Path(name).name] for name in names] == ["unused"] * 6
    assert both.metrics["from"]["names_renamed"] == {"a": "A"}
    assert (both.metrics["from"]["new"], both.metrics["from"]["relabelled"]) == (0, 0)


@pytest.mark.parametrize("loss", [None, "gaussian-nll"])
def test_numbers_of_another_range_leave_the_outputs_of_the_network_as_they_are(loss, tmp_path, pointers):
    def table(name: str, seed: int, scale: float) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        images, truth = pointers(60, seed)
        rows = [f"{i}.png,{scale * float(truth[i]):.2f}" for i in range(len(images))]
        for i, image in enumerate(images):
            image[:2, :2], image[:2, 2:4] = i, 100 * seed
            Image.fromarray(image).save(folder / f"{i}.png")
        (folder / "table.csv").write_text("\n".join(["image_path,label", *rows]))
        return folder / "table.csv"

    options = {} if loss is None else {"loss": loss}
    run = cs.fit(table("old", 0, 1), model="mlp", epochs=1, out=tmp_path / "run", **options)
    more = cs.fit(table("new", 1, 6), from_run=run, lr=1e-9, epochs=1, out=tmp_path / "more")
    then, now = (one.model.predictor for one in (run, more))
    assert now.bundle.task.std[0] > 2 * then.bundle.task.std[0]
    files = [str(tmp_path / "old" / f"{i}.png") for i in range(20)]
    before, after = (p.bundle.task.decoded(p.logits(files)) for p in (then, now))
    for k in range(1 if loss is None else 2):
        assert np.allclose(before[k], after[k], rtol=1e-3, atol=1e-2 * then.bundle.task.std[0])


def test_what_the_run_asked_for_a_class_that_is_gone_is_left_out_before_training(tmp_path, capsys):
    data = write(tmp_path / "data", OLD, range(120))
    run = cs.fit(data, out=tmp_path / "run", min_recall={"a": 0.5, "c": 0.6}, **QUICK)
    for file in (data / "a").iterdir():
        file.rename(data / "b" / file.name)
    (data / "a").rmdir()
    (data / "b").rename(data / "ab")
    shutil.rmtree(data / "c")
    write(data, {"d": 3}, range(300, 320))
    more = cs.fit(data, from_run=run, old_images=False, out=tmp_path / "more", console=Terminal())
    assert "--min-recall of the run is not used for the removed class c" in capsys.readouterr().err
    options = json.loads((more.folder / "config.json").read_text())["options"]["decision"]
    assert options["min_recall"] == {"ab": 0.5}
    with pytest.raises(ConfigError, match=r"unknown class 'c'; expected ab, d"):
        cs.fit(data, from_run=run, old_images=False, out=tmp_path / "other", min_recall={"c": 0.6})
    assert not (tmp_path / "other" / "history.csv").exists()


def test_costs_of_the_run_have_to_fit_the_classes_of_the_data(tmp_path):
    data = write(tmp_path / "data", OLD, range(120))
    costs = tmp_path / "costs.json"
    costs.write_text(json.dumps({"a": {"b": 5.0}}))
    run = cs.fit(data, out=tmp_path / "run", costs=str(costs), **QUICK)
    (data / "a").rename(data / "A")
    with pytest.raises(ConfigError, match=r"of the run does not fit the classes.*found a; expected A, b, c.*--costs"):
        cs.fit(data, from_run=run, out=tmp_path / "more")
    (tmp_path / "now.json").write_text(json.dumps({"A": {"b": 5.0}}))
    cs.fit(data, from_run=run, out=tmp_path / "more", costs=str(tmp_path / "now.json"))
