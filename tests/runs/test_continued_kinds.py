"""`train DATA --from RUN` on tables, trees of classes, built-in data, boxes and anomalies, and its options."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import clearsight as cs
from clearsight.api import fit as api
from clearsight.cli.main import main
from clearsight.console import Silent
from clearsight.data.dataset import Array, Listing
from clearsight.data.joined import joined
from clearsight.data.scan import scan
from clearsight.data.targets import Stated
from clearsight.errors import CheckpointError, ConfigError, DataError
from clearsight.runs.continuation import continuation
from clearsight.tasks import read
from clearsight.train.config import TrainConfig
from clearsight.train.recipe import checked, plan

SIDE = 8
NETWORK = {"model": "mlp", "img_size": SIDE, "epochs": 1, "augment": "none"}


def write(path: Path, number: int, bright: int) -> None:
    """Another picture for every number, bright in one of four rows."""
    image = np.random.default_rng(number).integers(0, 150, (SIDE, SIDE), np.uint8)
    image[2 * bright : 2 * bright + 2] += 60
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def folders(root: Path, names: list[str], numbers: range) -> Path:
    """Class folders, the classes in turn."""
    for number in numbers:
        write(root / names[number % len(names)] / f"{number}.png", number, number % len(names))
    return root


def table(root: Path, cells: list[str], numbers: range) -> Path:
    """A table with a column `label`, the cells in turn."""
    rows = ["image,label"]
    for number in numbers:
        write(root / f"{number}.png", number, number % len(cells))
        rows.append(f'{number}.png,"{cells[number % len(cells)]}"')
    (root / "table.csv").write_text("\n".join(rows))
    return root / "table.csv"


@pytest.fixture(scope="module")
def network(once: Any) -> Path:
    """A folder with class folders, `data`, and a run of a network from random weights on them, `run`."""

    def make(folder: Path) -> None:
        cs.fit(folders(folder / "data", ["a", "b"], range(40)), out=folder / "run", **NETWORK)

    return once("continued-kinds", make)


def test_label_separators_may_differ_between_the_sources(tmp_path):
    cells = ["cat|dog", "cat", "dog", "cat|fox", "fox, red"]
    run = cs.fit(table(tmp_path / "old", cells, range(100)), out=tmp_path / "run", **NETWORK)
    names = ("cat", "dog", "fox", "fox, red")
    assert run.model.predictor.bundle.task.names == names
    others = [cell.replace("|", ";") for cell in cells]
    more = cs.fit(table(tmp_path / "new", others, range(100, 130)), from_run=run, out=tmp_path / "more")
    assert more.model.predictor.bundle.task.names == names
    again = cs.evaluate(more.folder)
    assert (again.images.missing, again.n) == (0, more.test.n)
    lines = [json.dumps({"image": f"{i}.png", "label": ["dog", "fox"][: 1 + i % 2]}) for i in range(200, 220)]
    for i in range(200, 220):
        write(tmp_path / "lists" / f"{i}.png", i, i % 2)
    (tmp_path / "lists" / "table.jsonl").write_text("\n".join(lines))
    third = cs.fit(tmp_path / "lists" / "table.jsonl", from_run=more, out=tmp_path / "third")
    assert third.model.predictor.bundle.task.names == names


def test_nested_folders_are_added_to_a_tree(tmp_path):
    kinds = ["animal/cat", "animal/dog", "plant/oak"]
    old = folders(tmp_path / "old", kinds, range(60))
    run = cs.fit(old, hierarchy="folders", out=tmp_path / "run", **NETWORK)
    new = folders(tmp_path / "new", [*kinds, "plant/elm"], range(100, 140))
    more = cs.fit(new, from_run=run, out=tmp_path / "more")
    assert more.model.classes == ("animal/cat", "animal/dog", "plant/elm", "plant/oak")
    assert more.metrics["from"]["names_added"] == ["plant/elm"]
    again = cs.evaluate(more.folder)
    assert (again.images.missing, again.n) == (0, more.test.n)


def test_built_in_data_with_classes_and_numbers_takes_images_with_classes():
    def listing(origin: str, **stated: Any) -> Listing:
        images = Array(np.zeros((2, SIDE, SIDE), np.uint8))
        return Listing(origin, images, np.full(2, ""), Stated(origin, **stated))

    numbers = np.array([[0.0], [1.0]])
    elpv = listing("elpv", cells=("good", "bad"), columns=("defect",), numbers=numbers, weights=np.full(2, 0.5))
    found = joined([elpv, listing("folder", cells=("bad", "bad"))]).stated
    assert (found.cells, found.numbers, found.columns) == (("good", "bad", "bad", "bad"), None, ())
    assert found.weights.tolist() == [0.5, 0.5, 1, 1]
    found = joined([elpv, listing("table", columns=("defect",), numbers=numbers)]).stated
    assert found.cells is None
    assert found.numbers.tolist() == [[0], [1], [0], [1]]
    with pytest.raises(DataError, match=r"expected columns defect in both\. Label the images of folder like those of"):
        joined([listing("table", columns=("defect",), numbers=numbers), listing("folder", cells=("bad", "bad"))])


def test_boxes_are_refused(network, tmp_path):
    for number in range(6):
        image = np.random.default_rng(number).integers(0, 256, (40, 40), np.uint8)
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    rows = [f"{k}.png,5,5,15,15,{'ab'[k % 2]}" for k in range(6)]
    (tmp_path / "boxes.csv").write_text("\n".join(["image,xmin,ymin,xmax,ymax,label", *rows]))
    with pytest.raises(ConfigError, match=r"does not support detectors.*found boxes in .*boxes\.csv.*without --from"):
        cs.fit(tmp_path / "boxes.csv", from_run=network / "run")
    run = shutil.copytree(network / "run", tmp_path / "run")
    card = run / "model" / "card.json"
    about = json.loads(card.read_text())
    shapes = {"a": [0.5, 0.5], "b": [0.5, 0.5]}
    about["data"]["detection"] = {"background": "a", "sides": [5, 9], "shapes": shapes}
    card.write_text(json.dumps(about))
    with pytest.raises(ConfigError, match=r"does not support detectors.*found boxes in the run"):
        cs.fit(folders(tmp_path / "new", ["a", "b"], range(100, 110)), from_run=run)


def test_options_that_the_network_of_the_run_cannot_use_are_refused(network, tmp_path):
    new = folders(tmp_path / "new", ["a", "b"], range(100, 110))
    for given in ({"head_widths": "8"}, {"freeze": "lower"}, {"freeze_to": "blocks.1"}):
        with pytest.raises(
            ConfigError, match=r"mlp was trained from random weights, but pretrained weights are needed"
        ):
            cs.fit(new, from_run=network / "run", **given)


def test_a_retry_with_another_network_starts_without_the_one_of_the_run(network, tmp_path):
    new = folders(tmp_path / "new", ["a", "b"], range(100, 110))
    given = {"from_run": str(network / "run")}
    begun = continuation(str(new), TrainConfig.given(**given), given, Silent())
    slower = begun.config.with_options(lr=0.001)
    assert api._with_options(begun, begun.config, slower).previous is begun.previous
    for change in ({"model_arg": {"norm": "batch"}}, {"init": "he"}, {"model": "linear"}):
        again = api._with_options(begun, begun.config, begun.config.with_options(**change))
        assert again.previous is None
        assert again.dataset is begun.dataset


def test_anomalies_join_a_run_on_normal_images(tmp_path, monkeypatch):
    options = {"task": "anomaly", "img_size": SIDE, "pretrained": False}
    run = cs.fit(folders(tmp_path / "old", ["good"], range(40)), out=tmp_path / "run", **options)
    new = folders(tmp_path / "new", ["good", "scratch"], range(100, 120))
    more = cs.fit(new, from_run=run, out=tmp_path / "more")
    task = more.model.predictor.bundle.task
    assert (task.name, task.normal) == ("anomaly", ("good",))
    both = cs.fit(new, from_run=run, normal="good,scratch", out=tmp_path / "both")
    assert both.model.predictor.bundle.task.normal == ("good", "scratch")
    assert main(["train", str(new), "--from", str(run.folder), "--normal", "good", "--out", str(tmp_path / "c")]) == 0


def test_a_continued_anomaly_run_is_resumed_without_naming_its_task(tmp_path, monkeypatch):
    old, new = tmp_path / "old", tmp_path / "new"
    for number in range(60):
        write((old if number < 40 else new) / f"{number}.png", number, 0)
    run = cs.fit(old, task="anomaly", img_size=SIDE, pretrained=False, out=tmp_path / "run")

    def interrupted(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    (tmp_path / "more").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(api, "_evaluate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cs.fit(new, from_run=run, out=tmp_path / "more")
    with pytest.raises(CheckpointError, match="--false-alarms"):
        cs.fit(new, resume=True, false_alarms=0.2, out=tmp_path / "more")
    more = cs.fit(new, resume=True, out=tmp_path / "more")
    assert more.metrics["from"]["new"] == 20


def test_options_about_layers_that_were_trained_are_checked(network, tmp_path):
    facts = scan(read("builtin:digits"))
    recipe = plan(TrainConfig.from_options(pretrained=True), facts)
    with pytest.raises(ConfigError, match=r"--adversarial needs a network trained from random weights"):
        checked(recipe, TrainConfig.from_options(adversarial="pgd"))
    run = shutil.copytree(network / "run", tmp_path / "run")
    about = json.loads((run / "config.json").read_text())
    about["recipe"]["tuned"] = True
    about["options"]["transfer"]["freeze_to"] = "blocks.1"
    (run / "config.json").write_text(json.dumps(about))
    with pytest.raises(ConfigError, match=r"--freeze lower is not available.*found --freeze auto in the run"):
        cs.fit(folders(tmp_path / "new", ["a", "b"], range(100, 110)), from_run=run, freeze="lower")


@pytest.mark.long
def test_options_about_layers_of_a_pretrained_network_count_in_a_continued_run(photos, tmp_path):
    def some(name: str, numbers: range) -> Path:
        for path in (p for p in photos.glob("[cr]*/*.jpg") if int(p.stem) in numbers):
            (tmp_path / name / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / name / path.parent.name)
        return tmp_path / name

    options = {"img_size": 64, "pretrained": True, "freeze": "lower", "epochs": 1}
    run = cs.fit(some("old", range(8)), out=tmp_path / "run", **options)
    new = some("new", range(8, 10))
    with pytest.raises(ConfigError, match=r"--adversarial needs a network trained from random weights"):
        cs.fit(new, from_run=run, adversarial="pgd")

    def decided(name: str, **given: Any) -> dict[str, str]:
        more = cs.fit(new, from_run=run, out=tmp_path / name, **given)
        return {d["what"]: f"{d['choice']}: {d['why']}" for d in more.metrics["recipe"]}

    found = decided("budget", budget="1s", mixup=0.5)
    assert found["epochs"].startswith("1: the minimum: one epoch takes")
    assert found["without effect"] == "--mixup: the upper blocks are trained on cached outputs"
    assert "--budget" in decided("both", budget="1s", epochs=1)["without effect"]
    assert "training all layers" in decided("none", freeze="none", epochs=1)
    assert "as requested by --freeze-to" in decided("to", freeze_to="blocks.4", epochs=1)["frozen"]
