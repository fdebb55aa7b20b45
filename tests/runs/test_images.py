"""A run knows its images by content: no training image is scored, and every count is exact."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import clearsight as cs
from clearsight.bundle import Bundle
from clearsight.cli.main import main
from clearsight.data.cached_pixels import content_digest
from clearsight.data.pixels import from_array
from clearsight.data.split_record import SplitRecord, targets_digest
from clearsight.errors import BundleError, CheckpointError, DataError
from clearsight.runs.folder import require_targets, resumed
from clearsight.runs.images import held_out
from clearsight.tasks import read
from clearsight.train.config import TrainConfig

CLASSES = ("a", "b", "c")
SIDE = 8


def noise(number: int) -> np.ndarray[Any, Any]:
    """Another picture for every number."""
    return np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


@dataclass
class Pictures:
    """Labelled pictures by number, which sequences of changes are applied to. copies: numbers of which there is one
    more, as often as they stand here.
    """

    labels: dict[int, str] = field(default_factory=dict)
    copies: tuple[int, ...] = ()

    @property
    def numbers(self) -> list[int]:
        """Of every picture there is, copies included."""
        return [*self.labels, *self.copies]

    def folder(self, root: Path, rng: np.random.Generator) -> Path:
        """The pictures as class folders, under names that say nothing, in any order, written in other bytes."""
        shutil.rmtree(root, ignore_errors=True)
        for place, number in enumerate(rng.permutation(self.numbers)):
            file = root / self.labels[int(number)] / f"{place:04}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(int(number))).save(file, compress_level=int(rng.integers(0, 10)))
        return root

    def arrays(self, rng: np.random.Generator) -> tuple[np.ndarray[Any, Any], list[str]]:
        order = [int(n) for n in rng.permutation(self.numbers)]
        return np.stack([noise(n) for n in order]), [self.labels[n] for n in order]

    def table(self, root: Path, rng: np.random.Generator) -> pd.DataFrame:
        files = sorted(self.folder(root, rng).rglob("*.png"))
        frame = pd.DataFrame({"image_path": [str(f) for f in files], "label": [f.parent.name for f in files]})
        return frame.sample(frac=1, random_state=int(rng.integers(1000)))

    def form(self, kind: str, root: Path, rng: np.random.Generator) -> Any:
        """A folder, a CSV, a frame, or arrays."""
        if kind == "arrays":
            return self.arrays(rng)
        if kind == "folder":
            return self.folder(root / "folder", rng)
        frame = self.table(root / "files", rng)
        if kind == "frame":
            return frame
        frame.to_csv(root / "table.csv", index=False)
        return root / "table.csv"


@pytest.fixture(scope="module")
def trained(once: Any) -> tuple[Path, Pictures]:
    """A run on 90 pictures whose labels are chance, so that a score above chance gives away what was trained on."""
    pictures = Pictures({n: CLASSES[n % 3] for n in range(90)})

    def make(folder: Path) -> None:
        pictures.folder(folder / "data", np.random.default_rng(0))
        cs.fit(folder / "data", model="pixels+forest", img_size=SIDE, seed=3, out=folder / "run")

    return once("pictures", make), pictures


@pytest.fixture(scope="module")
def in_memory(tmp_path_factory: pytest.TempPathFactory, new_cache: Any) -> tuple[Any, Path]:
    """What training returns, with a seed that is not the usual one, and the folder of its 45 pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARSIGHT_CACHE", new_cache())
        root = tmp_path_factory.mktemp("in-memory")
        data = Pictures({n: CLASSES[n % 3] for n in range(45)}).folder(root / "data", np.random.default_rng(0))
        return cs.fit(data, model="pixels+softmax", img_size=SIDE, seed=3, out=root / "run"), data


def digest_of(bundle: Bundle, number: int) -> str:
    """The content digest of a picture as a model sees it."""
    return content_digest(from_array(noise(number).transpose(2, 0, 1), "", bundle.form, bundle.geometry))


def part_of(run: Path) -> dict[int, str]:
    """The part of each picture of the run, by its number."""
    bundle = cs.load(run).predictor.bundle
    assert bundle.split is not None
    return dict(enumerate(bundle.split.parts_of([digest_of(bundle, n) for n in range(90)]).tolist()))


def changed(pictures: Pictures, rng: np.random.Generator) -> Pictures:
    """The pictures after some of: adding new ones, removing, relabelling, copying. Moving, renaming and another order
    and form follow from how they are written.
    """
    labels, copied = dict(pictures.labels), []
    for change in rng.choice(["add", "remove", "relabel", "copy"], size=int(rng.integers(0, 5))):
        if change == "add":
            labels |= {int(n): CLASSES[int(n) % 3] for n in rng.integers(1000, 9999, int(rng.integers(1, 9)))}
        elif change == "remove":
            for n in rng.choice(list(labels), size=int(rng.integers(1, 20)), replace=False):
                del labels[int(n)]
        elif change == "copy":
            copied += [int(n) for n in rng.choice(list(labels), size=int(rng.integers(1, 10)))]
        else:
            for n in rng.choice(list(labels), size=int(rng.integers(1, 10)), replace=False):
                labels[int(n)] = CLASSES[(CLASSES.index(labels[int(n)]) + 1) % 3]
    return Pictures(labels, tuple(n for n in copied if n in labels))


SEEDS = [pytest.param(seed, marks=() if seed < 4 else pytest.mark.long) for seed in range(100)]
"""The first four take the four forms of the data; more changes of them are in the long tier."""


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_done_to_the_data_no_training_image_is_scored(trained, tmp_path, seed):
    home, original = trained
    rng = np.random.default_rng(seed)
    part, pictures = part_of(home / "run"), changed(original, rng)
    run = shutil.move(shutil.copytree(home / "run", tmp_path / "run"), tmp_path / f"moved-{seed}")
    data = pictures.form(["folder", "csv", "frame", "arrays"][seed % 4], tmp_path, rng)
    scored = [n for n in pictures.numbers if part.get(n) not in ("train", "val")]
    found = cs.evaluate(run, data)
    assert found.n == found.images.scored == len(scored)
    assert found.images.given == len(pictures.numbers)
    assert found.images.training == sum(part.get(n) == "train" for n in pictures.numbers)
    assert found.images.validation == sum(part.get(n) == "val" for n in pictures.numbers)
    assert found.images.relabelled == sum(n < 90 and pictures.labels[n] != original.labels[n] for n in scored)
    assert found.images.overlap_checked
    everything = cs.evaluate(run, data, include_training=True)
    assert everything.n == len(pictures.numbers)
    held = held_out(cs.load(run), data)
    contents = sorted(content_digest(held.images[i : i + 1][0]) for i in range(len(held.rows)))
    assert contents == sorted(digest_of(held.predictor.bundle, n) for n in scored)
    assert {row.n for row in cs.compare_models(run, data, tta="mirror")} == {len(scored)}
    assert cs.robustness(run, data, changes=["blur"]).images == len(scored)
    assert cs.index(run, data, out=str(tmp_path / "index")).scores.queries == len(scored)


def test_every_verb_that_scores_leaves_training_images_out(trained, tmp_path):
    home, pictures = trained
    run, rng = home / "run", np.random.default_rng(0)
    data = pictures.folder(tmp_path / "again", rng)
    own = cs.evaluate(run)
    assert own.images.own_split
    assert cs.evaluate(run, data).n == own.n
    assert cs.robustness(run, data, changes=["blur"]).images == own.n
    assert {row.n for row in cs.compare_models(run, data, tta="mirror")} == {own.n}
    assert cs.index(run, data, out=str(tmp_path / "index")).scores.queries == own.n
    network = cs.fit(home / "data", model="linear", epochs=1, img_size=SIDE, seed=3, out=tmp_path / "network")
    assert cs.attack(network.folder, data, method="fgsm", epsilons=[0.1]).curve.images == network.metrics["test"]["n"]


def test_the_seed_of_a_run_in_memory_is_no_matter(in_memory):
    run, _ = in_memory
    assert cs.evaluate(run.predictor).accuracy == run.metrics["test"]["accuracy"]


def test_images_that_came_later_or_went_are_counted(trained, tmp_path):
    data = Path(shutil.copytree(trained[0] / "data", tmp_path / "data"))
    cs.fit(data, model="pixels+softmax", img_size=SIDE, out=tmp_path / "run")
    record = SplitRecord.load(tmp_path / "run")
    assert record is not None
    tested = [name for name, part in zip(record.names, record.parts, strict=True) if part == "test"]
    (data / tested[0]).unlink()
    Image.fromarray(noise(5000)).save(data / "a" / "new.png")
    found = cs.evaluate(tmp_path / "run")
    assert (found.n, found.images.missing, found.images.unlisted) == (len(tested) - 1, 1, 1)
    shutil.rmtree(data)
    with pytest.raises(BundleError, match="are no longer available"):
        cs.evaluate(tmp_path / "run")


def test_only_training_images_are_an_error_that_says_how_to_score_them(trained):
    home, pictures = trained
    part = part_of(home / "run")
    chosen = [n for n in range(90) if part[n] == "train"]
    data = np.stack([noise(n) for n in chosen]), [pictures.labels[n] for n in chosen]
    with pytest.raises(DataError, match=r"no images are left.*training images of this model.*--include-training"):
        cs.evaluate(home / "run", data)
    assert cs.evaluate(home / "run", data, include_training=True).accuracy > 0.9


def test_a_run_without_its_split_file_has_it_drawn_again(trained, tmp_path):
    home, _ = trained
    run = Path(shutil.copytree(home / "run", tmp_path / "run"))
    data = Path(json.loads((run / "config.json").read_text())["data"])
    before = cs.evaluate(run)
    (run / "split.csv").unlink()
    assert data.is_dir()
    assert cs.evaluate(run).n == before.n
    moved = cs.evaluate(run, shutil.copytree(home / "data", tmp_path / "moved"))
    assert not moved.images.overlap_checked
    assert "could not be checked" in " ".join(moved.images.lines())


def test_a_changed_split_file_is_refused(trained, tmp_path):
    run = Path(shutil.copytree(trained[0] / "run", tmp_path / "run"))
    text = (run / "split.csv").read_text()
    (run / "split.csv").write_text(text.replace(",train\n", ",test\n", 1))
    with pytest.raises(BundleError, match=r"split.csv does not belong to this model"):
        cs.load(run)
    (run / "split.csv").write_text("name\nx\n")
    with pytest.raises(BundleError, match=r"split.csv cannot be read"):
        cs.load(run)


def test_a_folder_named_like_a_built_in_data_set_is_ambiguous(digits_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Pictures({n: CLASSES[n % 3] for n in range(30)}).folder(tmp_path / "digits", np.random.default_rng(0))
    assert main(["audit", "digits"]) == 2
    assert "digits is ambiguous" in capsys.readouterr().err
    assert main(["audit", "./digits", "--img-size", "8"]) == 0
    assert read("builtin:digits").origin == json.loads((digits_run / "config.json").read_text())["data"]
    metrics = json.loads((digits_run / "metrics.json").read_text())
    assert cs.evaluate(digits_run).n == metrics["test"]["n"]


def test_resuming_with_other_labels_is_refused(tmp_path):
    data = Pictures({n: CLASSES[n % 3] for n in range(30)}).folder(tmp_path / "data", np.random.default_rng(0))
    begun, config = read(data), TrainConfig.from_options(resume=True, out=str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    about = {"options": config.to_dict(), "data": begun.origin, "targets": targets_digest(begun)}
    (tmp_path / "run" / "config.json").write_text(json.dumps(about))
    assert resumed(config, {"resume": True}, begun.origin).run.resume
    require_targets(config, begun)
    moved = next((data / "a").glob("*.png"))
    moved.rename(data / "b" / moved.name)
    with pytest.raises(CheckpointError, match="the images or labels have changed"):
        require_targets(config, read(data))


def test_test_images_with_the_pixels_of_a_training_image_are_left_out(tmp_path):
    for part, numbers in (("train", range(60)), ("test", [*range(57, 60), *range(100, 112)])):
        for n in numbers:
            file = tmp_path / "data" / part / CLASSES[n % 3] / f"{n}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(n)).save(file, compress_level=9 if part == "test" else 1)
    run = cs.fit(tmp_path / "data", model="pixels+softmax", img_size=SIDE, out=tmp_path / "run")
    assert run.metrics["test"]["n"] == cs.evaluate(run.folder).n == 12
    assert (
        "left out of the test split: 3 images with the same pixels as a training"
        in (tmp_path / "run" / "audit.json").read_text()
    )
    shutil.rmtree(tmp_path / "data" / "test")
    shutil.copytree(tmp_path / "data" / "train", tmp_path / "data" / "test")
    with pytest.raises(DataError, match="every test image is also a training or validation image"):
        cs.fit(tmp_path / "data", model="pixels+softmax", img_size=SIDE, out=tmp_path / "other")


def test_a_run_is_taken_wherever_a_model_is(in_memory, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run, data = in_memory
    assert cs.evaluate(run).accuracy == cs.evaluate(run.folder).accuracy == run.metrics["test"]["accuracy"]
    assert run.test.accuracy == run.metrics["test"]["accuracy"]
    assert run.test.interval[0] <= run.test.accuracy <= run.test.interval[1]
    assert run.model.predictor is run.predictor
    image = next((data / "a").glob("*.png"))
    assert cs.load(run).predict(image)[0].label == run.predictor.predict(image)[0].label
    assert cs.explain(run, image, method="occlusion")[0].method == "occlusion"
    assert cs.index(run).index.card.names
    assert len(cs.search(run, image, k=3)) == 3
