"""`train DATA --from RUN`: which images count, where they go, what training starts from, and what is compared."""

from __future__ import annotations

import importlib
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import norm

import clearsight as cs
from clearsight.bundle import Bundle
from clearsight.cli.main import main
from clearsight.data.dataset import Files
from clearsight.errors import BundleError, CheckpointError, ConfigError, DataError, OutputError
from clearsight.train import features
from clearsight.train.config import TrainConfig

SIDE = 8
QUICK = {"model": "pixels+softmax", "img_size": SIDE}
"""A model that is fitted in no time."""


def picture(number: int, kind: int) -> np.ndarray[Any, Any]:
    """Another picture for every number; its kind is where it is bright, more or less."""
    image = np.random.default_rng(number).integers(0, 150, (SIDE, SIDE), np.uint8)
    image[kind % 4 * 2 : kind % 4 * 2 + 2, kind // 4 * 4 :] += 60
    return image


def write(root: Path, kinds: dict[str, int], numbers: range) -> Path:
    """Class folders with a picture of each number, the classes in turn."""
    for number in numbers:
        name = list(kinds)[number % len(kinds)]
        (root / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number, kinds[name])).save(root / name / f"{number}.png")
    return root


OLD = {"a": 0, "b": 1, "c": 2}


@pytest.fixture(scope="module")
def base(once: Any) -> Path:
    """A folder with the data of a run, `data`, and the run, `run`."""

    def make(folder: Path) -> None:
        cs.fit(write(folder / "data", OLD, range(120)), out=folder / "run", seed=3, **QUICK)

    return once("continued", make)


@pytest.fixture
def old(base: Path, tmp_path: Path) -> Path:
    """A copy of it that the test may change; its run records where the copy lies."""
    folder = shutil.copytree(base, tmp_path / "old")
    card = folder / "run" / "model" / "card.json"
    about = json.loads(card.read_text())
    about["data"]["origin"] = str(folder / "data")
    card.write_text(json.dumps(about))
    return folder


def contents(run: Path, *parts: str) -> set[str]:
    """The contents of some parts of a run."""
    split = Bundle.load(run).split
    assert split is not None
    return {c for c, part in zip(split.contents, split.parts, strict=True) if part in parts}


def require_kept(before: Path, after: Path, gone: int = 0) -> None:
    """Every image of the older run is in the same part of the newer one, but for those that are gone."""
    for part in ("train", "val", "test"):
        assert len(contents(before, part) - contents(after, part)) <= gone
    assert not contents(before, "train", "val") & contents(after, "test")


def test_new_images_and_classes_join_those_of_the_run(old, tmp_path):
    new = write(tmp_path / "new", {"a": 0, "d": 3}, range(1000, 1040))
    run = cs.fit(new, from_run=old / "run", out=tmp_path / "run")
    require_kept(old / "run", run.folder)
    assert run.model.classes == ("a", "b", "c", "d")
    about = run.metrics["from"]
    assert (about["new"], about["relabelled"], about["gone"], about["names_added"]) == (40, 0, 0, ["d"])
    assert "New: d." in run.report.read_text()
    split = Bundle.load(run.folder).split
    parts = Counter(part for part, content in zip(split.parts, split.contents, strict=True)
                    if content not in contents(old / "run", "train", "val", "test"))  # fmt: skip
    assert sum(parts.values()) == 40
    assert min(parts[name] for name in ("train", "val", "test")) >= 2
    options = TrainConfig.from_options(**{
        k: v for s in json.loads((run.folder / "config.json").read_text())["options"].values() for k, v in s.items()
    })  # fmt: skip
    assert (options.model.model, options.run.seed, options.run.from_run) == ("pixels+softmax", 3, str(old / "run"))


def test_the_images_of_both_places_are_found_again(old, tmp_path):
    new = write(tmp_path / "new", {"a": 0, "d": 3}, range(1000, 1040))
    run = cs.fit(new, from_run=old / "run", out=tmp_path / "run")
    found = cs.evaluate(run.folder)
    assert (found.images.missing, found.n) == (0, run.test.n)
    assert found.accuracy == run.test.accuracy
    third = cs.fit(write(tmp_path / "more", OLD, range(2000, 2012)), from_run=run, out=tmp_path / "third")
    require_kept(run.folder, third.folder)
    assert len(contents(third.folder, "train", "val", "test")) == 172
    assert cs.evaluate(third).images.missing == 0


def edited(old: Path, tmp_path: Path) -> Path:
    return shutil.copytree(old / "data", tmp_path / "edited")


def test_classes_are_renamed_merged_and_removed_by_their_folders(old, tmp_path):
    data = edited(old, tmp_path)
    (data / "a").rename(data / "A")
    for file in (data / "c").iterdir():
        file.rename(data / "b" / file.name)
    (data / "c").rmdir()
    (data / "b").rename(data / "bc")
    run = cs.fit(data, from_run=old / "run", out=tmp_path / "run")
    require_kept(old / "run", run.folder)
    about = run.metrics["from"]
    assert about["names_renamed"] == {"a": "A", "b": "bc", "c": "bc"}
    assert (about["new"], about["relabelled"], about["gone"]) == (0, 0, 0)
    assert about["was"] == {"A": ["a"], "bc": ["b", "c"]}
    model, names = cs.load(old / "run"), {"a": "A", "b": "bc", "c": "bc"}
    tested = contents(old / "run", "test")
    split = Bundle.load(run.folder).split
    files = {f.name: f for f in data.rglob("*.png")}
    right = [
        names[model.predict(files[Path(name).name])[0].label] == files[Path(name).name].parent.name
        for name, content in zip(split.names, split.contents, strict=True) if content in tested
    ]  # fmt: skip
    assert about["overall"]["before"] == pytest.approx(np.mean(right))


def test_what_is_left_out_is_gone(old, tmp_path):
    for number in range(300, 306):  # so that without a class nearly all images are still there
        write(old / "data", {"a": 0}, range(number, number + 1))
    data = edited(old, tmp_path)
    shutil.rmtree(data / "c")
    with pytest.raises(ConfigError, match=r"it is unclear whether .* adds images"):
        cs.fit(data, from_run=old / "run", out=tmp_path / "run")
    run = cs.fit(data, from_run=old / "run", old_images=False, out=tmp_path / "run")
    about = run.metrics["from"]
    assert (about["new"], about["gone"], about["names_removed"]) == (6, 40, ["c"])
    assert run.model.classes == ("a", "b")
    assert {row["name"] for row in about["classes"]} == {"a", "b"}
    assert about["overall"]["n"] < about["tested"]
    require_kept(old / "run", run.folder, gone=40)


def test_labels_of_the_data_win(old, tmp_path):
    data = edited(old, tmp_path)
    moved = sorted((data / "a").iterdir())[:4]
    for file in moved:
        file.rename(data / "b" / file.name)
    run = cs.fit(data, from_run=old / "run", out=tmp_path / "run")
    assert (run.metrics["from"]["relabelled"], run.metrics["from"]["names_renamed"]) == (4, {})
    again = cs.fit(write(tmp_path / "some", {"c": 1}, range(1, 4, 3)), from_run=old / "run", old_images=True,
                   out=tmp_path / "again")  # fmt: skip
    assert again.metrics["from"]["relabelled"] == 1, "image 1 is of class c now"
    assert len(contents(again.folder, "train", "val", "test")) == 120


def test_data_with_some_of_the_images_may_mean_two_things(old, tmp_path, capsys):
    data = edited(old, tmp_path)
    for file in list(data.rglob("*.png"))[::2]:
        file.unlink()
    write(data, OLD, range(500, 510))
    assert main(["train", str(data), "--from", str(old / "run"), "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "found 60 of the run's 120 images" in said
    for option in ("--old-images", "--no-old-images"):
        assert f"clearsight train {data} --from {old / 'run'} {option}" in said
    both = cs.fit(data, from_run=old / "run", old_images=True, out=tmp_path / "both")
    assert len(contents(both.folder, "train", "val", "test")) == 130
    alone = cs.fit(data, from_run=old / "run", old_images=False, out=tmp_path / "alone")
    assert len(contents(alone.folder, "train", "val", "test")) == 70
    require_kept(old / "run", alone.folder, gone=60)


def test_images_of_the_run_that_are_gone_are_counted(old, tmp_path):
    new = write(tmp_path / "new", OLD, range(1000, 1010))
    for file in list((old / "data" / "a").iterdir())[:3]:
        file.unlink()
    with pytest.raises(BundleError, match=r"3 images of the run .* are missing or changed.*--no-old-images"):
        cs.fit(new, from_run=old / "run")
    shutil.rmtree(old / "data")
    with pytest.raises(BundleError, match=r"the 120 images of the run .* cannot be found"):
        cs.fit(new, from_run=old / "run")


def test_what_is_no_finished_run_of_this_task_is_refused(old, tmp_path):
    new = write(tmp_path / "new", OLD, range(1000, 1010))
    with pytest.raises(BundleError, match=r"--from .*nowhere is not a finished run; found no such folder"):
        cs.fit(new, from_run=tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"is not a finished run; found no metrics\.json"):
        cs.fit(new, from_run=old / "data")
    with pytest.raises(ConfigError, match=r"trained for another task; found --task anomaly; expected classification"):
        cs.fit(new, from_run=old / "run", task="anomaly")
    table = tmp_path / "numbers.csv"
    rows = [f"{file},{k}.5" for k, file in enumerate(new.rglob("*.png"))]
    table.write_text("\n".join(["image_path,label", *rows]))
    with pytest.raises(DataError, match=r"a different task than the run .*regression.*expected one class per image"):
        cs.fit(table, from_run=old / "run")
    with pytest.raises(ConfigError, match=r"--old-images has an effect only with --from: add --from RUN"):
        cs.fit(new, old_images=True)
    (old / "run" / "split.csv").unlink()
    with pytest.raises(BundleError, match=r"the run has no record of its images; found no split.csv"):
        cs.fit(new, from_run=old / "run")


def test_the_comparison_is_that_of_the_predictions(old, tmp_path):
    """Gains, losses and intervals follow from what both models predict for the test images of the first."""
    new = write(tmp_path / "new", OLD, range(1000, 1120))
    run = cs.fit(new, from_run=old / "run", out=tmp_path / "run")
    split = Bundle.load(old / "run").split
    files = [old / "data" / name for name, part in zip(split.names, split.parts, strict=True) if part == "test"]
    then, now = ([p.label for p in cs.load(one).predict(files)] for one in (old / "run", run.folder))
    truth = [file.parent.name for file in files]
    about = run.metrics["from"]
    assert about["tested"] == len(files)
    for row in (about["overall"], *about["classes"]):
        chosen = [k for k, name in enumerate(truth) if row["name"] in ("", name)]
        right, right_now = ([labels[k] == truth[k] for k in chosen] for labels in (then, now))
        gained = sum(n and not t for t, n in zip(right, right_now, strict=True))
        lost = sum(t and not n for t, n in zip(right, right_now, strict=True))
        assert (row["n"], row["gained"], row["lost"]) == (len(chosen), gained, lost)
        assert (row["before"], row["after"]) == (pytest.approx(np.mean(right)), pytest.approx(np.mean(right_now)))
        p12, p21 = (gained + 1) / (len(chosen) + 2), (lost + 1) / (len(chosen) + 2)  # Bonett and Price [2012]
        half = norm.ppf(0.975) * np.sqrt((p12 + p21 - (p12 - p21) ** 2) / (len(chosen) + 2))
        assert row["interval"] == pytest.approx((p12 - p21 - half, p12 - p21 + half))
    page = run.report.read_text()
    assert "Comparison with the earlier run" in page
    assert run.compared.text() in run.text()


@pytest.fixture(scope="module")
def network(once: Any) -> Path:
    """As `base`, with a network that was trained from random weights for eight epochs."""

    def make(folder: Path) -> None:
        data = write(folder / "data", OLD, range(120))
        cs.fit(data, out=folder / "run", model="mlp", img_size=SIDE, epochs=8, augment="none")

    return once("continued-network", make)


def test_a_network_goes_on_from_the_weights_of_the_run(network, tmp_path):
    data = shutil.copytree(network / "data", tmp_path / "data")
    write(data, {"aa": 3, "a": 0}, range(1000, 1030))  # a class that comes before others, and one that is new
    (data / "c").rename(data / "z")
    run = cs.fit(data, from_run=network / "run", lr=1e-9, epochs=1, out=tmp_path / "run")
    old, new = (Bundle.load(one) for one in (network / "run", run.folder))
    assert new.classes == ("a", "aa", "b", "z")
    then, now = old.network.state_dict(), new.network.state_dict()
    assert old.network.spec["input"] == new.network.spec["input"]
    last = list(then)[-2].rpartition(".")[0]
    for name in then:
        if not name.startswith(last):
            assert torch.allclose(then[name], now[name], atol=1e-6), name
    for row, k in ((0, 0), (2, 1), (3, 2)):
        assert torch.allclose(then[f"{last}.weight"][k], now[f"{last}.weight"][row], atol=1e-6)
    decided = {d["what"]: d["choice"] for d in run.metrics["recipe"]}
    assert decided["continued from"] == str(network / "run")


def test_a_network_is_trained_for_a_quarter_of_the_epochs(network, tmp_path):
    new = write(tmp_path / "new", OLD, range(1000, 1012))
    data = shutil.copytree(network / "data", tmp_path / "data")
    for file in new.rglob("*.png"):
        shutil.copy(file, data / file.parent.name / file.name)
    run = cs.fit(data, from_run=network / "run", out=tmp_path / "run")
    assert len((run.folder / "history.csv").read_text().splitlines()) == 1 + 2
    other = cs.fit(data, from_run=network / "run", model="linear", epochs=1, out=tmp_path / "other")
    assert other.metrics["model"] == "linear"
    require_kept(network / "run", other.folder)


def test_an_interrupted_training_is_resumed(network, tmp_path, monkeypatch):
    data = shutil.copytree(network / "data", tmp_path / "data")
    write(data, {"d": 3}, range(1000, 1012))
    whole = cs.fit(data, from_run=network / "run", epochs=3, out=tmp_path / "whole")
    module = importlib.import_module("clearsight.api.fit")

    def interrupted(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_compared", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cs.fit(data, from_run=network / "run", epochs=3, checkpoint_every=0, out=tmp_path / "run")
    with pytest.raises(CheckpointError, match="--epochs"):
        cs.fit(data, resume=True, epochs=5, out=tmp_path / "run")
    with pytest.raises(OutputError, match="contains an unfinished run"):
        cs.fit(data, from_run=network / "run", out=tmp_path / "run")
    run = cs.fit(data, resume=True, out=tmp_path / "run")
    assert run.metrics["from"] == whole.metrics["from"]
    for a, b in zip(*(Bundle.load(r.folder).network.state_dict().values() for r in (whole, run)), strict=True):
        assert torch.equal(a, b)


def test_the_command_prints_gains_and_losses(old, tmp_path, capsys):
    new = write(tmp_path / "new", OLD, range(1000, 1010))
    command = ["train", str(new), "--from", str(old / "run"), "--out", str(tmp_path / "run")]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert f"accuracy on the 30 test images of {old / 'run'}" in said
    assert "newly correct" in said
    assert f"--from {old / 'run'}" in (tmp_path / "run" / "report.html").read_text()


def test_one_new_image_is_decoded_and_embedded_alone(photos, tmp_path, monkeypatch):
    """A head on frozen features: the images of the run come from the store, changed copies of them too."""
    data = shutil.copytree(photos, tmp_path / "data")
    first = cs.fit(data, img_size=96, out=tmp_path / "first")  # fills this test's store
    image = next((data / "cat").iterdir())
    new = tmp_path / "new" / "cat" / "new.png"
    new.parent.mkdir(parents=True)
    Image.fromarray(255 - np.asarray(Image.open(image))).save(new)
    decoded, embedded = [], []
    decode, batches = Files.decode, features._batches

    def counted(self: Files, i: int, *rest: Any) -> Any:
        decoded.append(self.name(i))
        return decode(self, i, *rest)

    def seen(pixels: Any, indices: Any, turned: Any) -> Any:
        embedded.extend(pixels.contents[i] for i in indices.tolist())
        return batches(pixels, indices, turned)

    monkeypatch.setattr(Files, "decode", counted)
    monkeypatch.setattr(features, "_batches", seen)
    run = cs.fit(new.parent.parent, from_run=first, out=tmp_path / "run")
    assert decoded == ["new.png"] or decoded == ["cat/new.png"]
    own = contents(run.folder, "train", "val", "test")
    assert len([one for one in embedded if one in own]) == 1
    copies = len(embedded) - 1
    assert copies <= 1 + 6, "of the new image: one for the OOD detector, six for robustness"
    head = next(d for d in run.metrics["recipe"] if d["what"] == "head")
    assert "same kind of head as in the continued run" in head["why"]


@pytest.mark.long
@pytest.mark.parametrize(
    "options",
    [
        {"freeze": "lower"},
        {"freeze": "lower", "head_widths": "16"},
        {"freeze": "none", "head_widths": "16,8"},
        {"freeze_to": "blocks.4"},
    ],
    ids=lambda options: " ".join(f"{name} {value}" for name, value in options.items()),
)
def test_trained_layers_of_a_pretrained_network_go_on(options, photos, tmp_path):
    """At a rate of nearly nothing the continued run answers as the run does, and new classes have outputs."""
    run = cs.fit(photos, img_size=64, pretrained=True, epochs=1, out=tmp_path / "run", **options)
    new = shutil.copytree(next(photos.iterdir()), tmp_path / "new" / "another").parent
    for file in (new / "another").iterdir():
        Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
    more = cs.fit(new, from_run=run, lr=1e-9, epochs=1, out=tmp_path / "more")
    before, after = (one.model.predictor.network for one in (run, more))
    assert more.model.classes == ("another", *run.model.classes)
    assert before.spec["head"].get("widths") == after.spec["head"].get("widths")
    files = sorted(photos.rglob("*.*"))[::5]
    old, new_ones = (one.model.predictor.logits([str(file) for file in files]) for one in (run, more))
    assert np.abs(new_ones[:, 1:] - old).max() < 1e-3 * np.abs(old).max()


def test_other_commands_refuse_a_run_to_continue(old, tmp_path, capsys):
    for command in (
        ["doctor", str(old / "data")],
        ["tune", str(old / "data"), "--trials", "1", "--out", str(tmp_path / "t")],
    ):
        assert main([*command, "--from", str(old / "run")]) == 2
        assert "has an effect only in `clearsight train`" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["labels", "numbers"])
def test_labels_and_numbers_are_continued_too(kind, tmp_path, scenes, pointers):
    def table(name: str, count: int, seed: int) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        images, truth = scenes(count, seed) if kind == "labels" else pointers(count, seed)
        rows = ["image_path,label"]
        for i, image in enumerate(images):
            image[:2, :2], image[:2, 2:4] = i, 100 * seed  # no two are the same, as empty ones would be
            Image.fromarray(image).save(folder / f"{i}.png")
            words = "|".join(str(k) for k in np.flatnonzero(truth[i])) if kind == "labels" else f"{truth[i]:.2f}"
            rows.append(f"{i}.png,{words}")
        (folder / "table.csv").write_text("\n".join(rows))
        return folder / "table.csv"

    run = cs.fit(table("old", 160, 0), model="mlp", epochs=2, out=tmp_path / "run")
    more = cs.fit(table("new", 40, 1), from_run=run, out=tmp_path / "more")
    about = more.metrics["from"]
    assert (about["new"], about["relabelled"], about["gone"], about["classes"]) == (40, 0, 0, [])
    require_kept(run.folder, more.folder)
    overall, outputs = about["overall"], []
    files = [tmp_path / "old" / name for name, part in zip(run.model.predictor.bundle.split.names,
             run.model.predictor.bundle.split.parts, strict=True) if part == "test"]  # fmt: skip
    assert overall["n"] == len(files) == about["tested"]
    if kind == "numbers":
        lines = (tmp_path / "old" / "table.csv").read_text().splitlines()[1:]
        truth = {line.split(",")[0]: float(line.split(",")[1]) for line in lines}
        for one in (run, more):
            predicted = one.model.predictor.values([str(file) for file in files])[:, 0]
            outputs.append(-np.abs(predicted - [truth[file.name] for file in files]))
        assert (overall["before"], overall["after"]) == pytest.approx([o.mean() for o in outputs], rel=1e-3)
        assert overall["gained"] == int((outputs[1] > outputs[0]).sum())
