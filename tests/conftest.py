"""What every test shares: a cache of its own, and the digits as arrays."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run in one process per core, each with one thread

import hypothesis
import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from PIL import Image
from scipy.io import wavfile
from sklearn.datasets import load_digits

from clearsight.api.run import Run
from clearsight.bundle import Bundle
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.models.network import from_spec
from clearsight.ood import probes
from clearsight.predictor import Predictor
from clearsight.runs.load import load_predictor
from clearsight.tasks import Multilabel, Regression, read

hypothesis.settings.register_profile("untimed", deadline=None)  # on a busy machine an example may take any time
hypothesis.settings.load_profile("untimed")

sys.modules["openvino_telemetry"] = None  # as `openvino_without_telemetry`, for tests that import OpenVINO themselves

TASKS = {
    "labels": Multilabel.unfitted(("cat", "dog", "fox")),
    "numbers": Regression(
        ("size", "age"),
        "number",
        mean=(40.0, -3.0),
        std=(12.0, 0.5),
        low=-5.0,
        high=45.0,
        ends=((20.0, 60.0), (-4.0, -2.0)),
    ),
    "numbers with deviations": Regression(("size",), "number", mean=(4.0,), std=(2.0,), spread=True),
    "angles": Regression(("heading", "tilt"), "angle", unit="degrees"),
    "radians": Regression(("heading",), "angle", unit="radians"),
    "direction": Regression(("x", "y"), "direction", unit="degrees"),
}

pytest_plugins = ["tests.long"]

ROOT = Path(__file__).parent.parent

Once = Callable[[str, Callable[[Path], object]], Path]

SHARED = ("openvino", "features")
"""Parts of the cache that tests share."""


def pytest_collection_finish() -> None:
    """What the tests have imported stays to the end: the garbage collector need not look through it again."""
    gc.collect()
    gc.freeze()


class Page:
    """A page of the documentation, and the blocks in it that a reader may copy."""

    def __init__(self, name: str) -> None:
        self.name, self.text = name, (ROOT / name).read_text()

    def blocks(self, kind: str) -> list[str]:
        """Fenced blocks of a kind, such as python or bash."""
        return re.findall(rf"^```{kind}\n(.*?)^```", self.text, re.S | re.M)

    def commands(self, *programs: str) -> list[str]:
        """Lines of its bash blocks that call one of these programs, without comments."""
        written = [line for block in self.blocks("bash") for line in block.splitlines()]
        lines = [re.split(r"(?:^|\s)#", line)[0].strip() for line in written]
        return [line for line in lines if line.startswith(tuple(f"{program} " for program in programs))]

    def run(self, names: dict[str, Any], changed: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
        """Run its Python blocks in order in one namespace. changed: what is written, and what to run instead."""
        for number, block in enumerate(self.blocks("python")):
            for written, instead in changed:
                block = block.replace(written, instead)
            exec(compile(block, f"{self.name}, block {number + 1}", "exec"), names)
        return names


@pytest.fixture(scope="session")
def page() -> Callable[[str], Page]:
    """A page by its path from the root: page("docs/export.md")."""
    return Page


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what the workers share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def once(shared: Path, tmp_path_factory: pytest.TempPathFactory, new_cache: Callable[[], str]) -> Once:
    """once(name, make): a folder that `make` fills once for all workers. Each gets a copy that its tests may change."""

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed half-way
                folder.mkdir()
                with pytest.MonkeyPatch.context() as patch:
                    patch.setenv("CLEARSIGHT_CACHE", new_cache())
                    make(folder)
                done.touch()
        return shutil.copytree(folder, tmp_path_factory.mktemp(name) / name)

    return made


@pytest.fixture(scope="session")
def new_cache(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Callable[[], str]:
    """Makes an empty cache, but for the networks that any test has converted for OpenVINO and the features that any has
    computed of its images: they are the same whoever asks, and take longest.
    """
    for kind in SHARED:
        (shared / kind).mkdir(exist_ok=True)

    def made() -> str:
        folder = tmp_path_factory.mktemp("cache")
        for kind in SHARED:
            (folder / kind).symlink_to(shared / kind)
        return str(folder)

    return made


@pytest.fixture(scope="session", autouse=True)
def far_probes_drawn_once() -> Iterator[None]:
    """Far-OOD images are the same for every run of a shape, and drawing their pages of text takes a fifth of a short
    training: a process draws them once.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probes, "far_probes", lru_cache(maxsize=32)(probes.far_probes))
        yield


@pytest.fixture(autouse=True)
def own_cache(new_cache: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees what another, or the user, has cached."""
    monkeypatch.setenv("CLEARSIGHT_CACHE", new_cache())


@pytest.fixture
def few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training from scratch lasts 8 epochs instead of up to 40, for tests of pages that leave their number open."""
    monkeypatch.setattr(import_module("clearsight.train.strategies.from_scratch"), "WORK", 1)


@pytest.fixture(scope="session")
def digits_arrays() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits: pixels (1797, 1, 8, 8) uint8 and labels (1797,)."""
    found = read("digits")
    return np.asarray(found.source.images)[:, None], found.labels


@pytest.fixture(scope="session")
def photos(once: Once) -> Path:
    """Real photographs in class folders: 24 crops of 96x80 pixels each from four of scikit-image's pictures."""
    from skimage import data

    def make(root: Path) -> None:
        pictures = {"cat": data.chelsea(), "coffee": data.coffee(), "rocket": data.rocket(), "space": data.astronaut()}
        rng = np.random.default_rng(0)
        for name, picture in pictures.items():
            (root / name).mkdir()
            for i in range(24):
                top = rng.integers(0, picture.shape[0] - 80)
                left = rng.integers(0, picture.shape[1] - 96)
                Image.fromarray(picture[top : top + 80, left : left + 96]).save(root / name / f"{i}.jpg", quality=90)

    return once("photos", make)


@pytest.fixture(scope="session")
def digits_run(once: Once) -> Path:
    """A finished run on the digits, short but real."""
    from clearsight.api.fit import fit

    return once("digits-run", lambda folder: fit("digits", out=folder / "digits", epochs=12)) / "digits"


@pytest.fixture(scope="session")
def photos_run(once: Once, photos: Path) -> Path:
    """A finished run on the photographs, which lie beside it: a head on frozen EfficientNet-Lite0 features. It was
    trained by the command line, without a name; what that printed is `train.json` beside the folder `runs`.
    """
    from clearsight.cli.main import main

    def make(folder: Path) -> None:
        data = shutil.copytree(photos, folder / "data" / "photos")  # the run names where its images are
        printed = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
            assert main(["train", str(data), "--img-size", "96", "--json"]) == 0
        (folder / "train.json").write_text(printed.getvalue())

    return once("photos-run", make) / "runs" / "photos"


@pytest.fixture(scope="session")
def classical_run(once: Once) -> Path:
    """A finished run of oriented gradients and a support vector machine on the digits."""
    from clearsight.api.fit import fit

    return once("classical-run", lambda folder: fit("digits", model="hog+svm", out=folder / "hog")) / "hog"


@pytest.fixture
def digit_folders(tmp_path, digits_arrays):
    """20 digits of each of three classes as PNG files in class folders."""
    images, labels = digits_arrays
    root = tmp_path / "data"
    for c in range(3):
        (root / f"digit {c}").mkdir(parents=True)
        for k, i in enumerate(np.flatnonzero(labels == c)[:20]):
            Image.fromarray(images[i, 0]).save(root / f"digit {c}" / f"{k}.png")
    return root


@pytest.fixture(scope="session")
def noise():
    """A function that gives so many gray images of 12x12 pixels (N, 1, 12, 12)."""

    def images(n, seed=0):
        return np.random.default_rng(seed).integers(0, 256, (n, 1, 12, 12), dtype=np.uint8)

    return images


@pytest.fixture(scope="session")
def answering(noise):
    """A function that gives a predictor of a kind of `TASKS`: a network with random weights for such images, its
    task calibrated on noise.
    """

    def made(kind, network="linear"):
        task = TASKS[kind]
        torch.manual_seed(1)
        spec = {
            "kind": "network", "name": network, "classes": task.outputs, "img_size": 12, "model_args": {},
            "input": {"mean": [0.5], "std": [0.3]},
        }  # fmt: skip
        body, form = from_spec(spec).eval(), PixelFormat(1, 8)
        with torch.no_grad():
            for parameter in body.parameters():
                parameter.copy_(torch.randn(parameter.shape) * 0.12)
        unfitted = Bundle(body, task, form, Geometry(12, 12))
        outputs, rng = Predictor(unfitted, engine="torch").logits(noise(60, seed=1)), np.random.default_rng(2)
        values = task.decode(outputs)
        targets = rng.random(values.shape) < values if kind == "labels" else values + rng.normal(0, 0.05, values.shape)
        fitted = task.calibrated(outputs, targets.astype(np.float32))
        return Predictor(Bundle(body, fitted, form, Geometry(12, 12)), engine="torch")

    return made


def _scenes(count, seed=0):
    """Two digits of four kinds side by side, or one, or none: (N, 12, 20) and labels (N, 4)."""
    rng, digits = np.random.default_rng(seed), load_digits()
    images, labels = np.zeros((count, 12, 20), np.uint8), np.zeros((count, 4), int)
    for i in range(count):
        for left in (0, 10):
            kind = int(rng.integers(0, 6))
            if kind < 4:
                shown = digits.images[rng.choice(np.flatnonzero(digits.target == kind))]
                y, x = rng.integers(0, 5), left + rng.integers(0, 3)
                images[i, y : y + 8, x : x + 8] = np.maximum(images[i, y : y + 8, x : x + 8], shown * 15)
                labels[i, kind] = 1
    return images, labels


def _pointers(count, seed=0):
    """A bright line from the centre: (N, 16, 16), and where it points in degrees, counted from the right upwards."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-7.5:8, -7.5:8]
    degrees = rng.uniform(0, 360, count)
    a = np.radians(degrees)[:, None, None]
    along, across = x * np.cos(a) - y * np.sin(a), x * np.sin(a) + y * np.cos(a)
    bright = np.exp(-(across**2)) * (along > 0) * 220
    return (bright + rng.uniform(0, 30, bright.shape)).astype(np.uint8), degrees


@pytest.fixture(scope="session")
def scenes():
    """`_scenes`, images with several labels."""
    return _scenes


@pytest.fixture(scope="session")
def pointers():
    """`_pointers`, images of an angle."""
    return _pointers


def _filed(folder: Path, images: np.ndarray, columns: dict[str, Any]) -> Path:
    """A table, pictures.csv, of images as files beside it."""
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}.png")
    table = pd.DataFrame({"image_path": [f"{i}.png" for i in range(len(images))], **columns})
    table.to_csv(folder / "pictures.csv", index=False)
    return folder / "pictures.csv"


@pytest.fixture(scope="session")
def labels_run(once: Once) -> Path:
    """The run, with an index, of a model of four labels; its images lie beside it."""
    from clearsight.api import retrieve
    from clearsight.api.fit import fit

    def make(folder: Path) -> None:
        images, truth = _scenes(700)
        cells = ["|".join(str(k) for k in np.flatnonzero(row)) for row in truth]
        retrieve.index(fit(_filed(folder, images, {"label": cells}), epochs=12, out=folder / "run").folder)

    return once("labels", make) / "run"


@pytest.fixture(scope="session")
def angle_run(once: Once) -> Path:
    """The run, with an index, of a model of an angle in degrees; its images lie beside it, with pictures.csv."""
    from clearsight.api import retrieve
    from clearsight.api.fit import fit

    def make(folder: Path) -> None:
        images, degrees = _pointers(500)
        table = _filed(folder, images, {"heading": degrees.round(2)})
        retrieve.index(fit(table, angle="degrees", epochs=15, out=folder / "run").folder)

    return once("angle", make) / "run"


@pytest.fixture(scope="session")
def reopened() -> Callable[[Path], Run]:
    """Makes the object that training returns from the folder of a finished run."""

    def made(folder: Path) -> Run:
        metrics = json.loads((folder / "metrics.json").read_text())
        return Run(folder, load_predictor(folder), metrics, folder / "report.html")

    return made


def _plates(count, seed=0, spotted=False):
    """Plates in noise: gray (N, 64, 64), or with a bright spot each."""
    rng = np.random.default_rng(seed)
    images = rng.integers(90, 130, (count, 64, 64)).astype(np.uint8)
    for image in images if spotted else ():
        y, x = rng.integers(8, 44, 2)
        image[y : y + 12, x : x + 12] = 250
    return images


def _tone(seed, high=False):
    """A tone in noise as the bytes of a WAV file, about 400 Hz, or with one of 3 kHz beside it."""
    rng, t = np.random.default_rng(seed), np.arange(4000) / 8000
    sound = 0.3 * np.sin(2 * np.pi * rng.normal(400, 5) * t) + 0.05 * rng.standard_normal(len(t))
    if high:
        sound += 0.2 * np.sin(2 * np.pi * 3000 * t)
    buffer = io.BytesIO()
    wavfile.write(buffer, 8000, np.rint(20_000 * sound).astype(np.int16))
    return buffer.getvalue()


@pytest.fixture(scope="session")
def plates():
    """`_plates`, images to find anomalies in."""
    return _plates


@pytest.fixture(scope="session")
def tone():
    """`_tone`, a sound as a file."""
    return _tone


@pytest.fixture(scope="session")
def detector_run(once: Once) -> Path:
    """The run of an anomaly model that localises anomalies on plates, with an index; its images lie in `data` beside
    it.
    """
    from clearsight.api import retrieve
    from clearsight.api.fit import fit

    def make(folder: Path) -> None:
        for place, images in (
            ("train/whole", _plates(24)), ("test/whole", _plates(6, 1)), ("test/spot", _plates(6, 2, spotted=True)),
        ):  # fmt: skip
            (folder / "data" / place).mkdir(parents=True)
            for i, image in enumerate(images):
                Image.fromarray(image).save(folder / "data" / place / f"{i}.png")
        run = fit(folder / "data", task="anomaly", anomaly="padim", img_size=64, out=folder / "run").folder
        retrieve.index(run)

    return once("plates", make) / "run"


@pytest.fixture(scope="session")
def tones(once: Once) -> Path:
    """A folder of sounds of two classes, low and high."""

    def make(folder: Path) -> None:
        for name, count in (("low", 24), ("high", 12)):
            (folder / name).mkdir()
            for i in range(count):
                (folder / name / f"{i}.wav").write_bytes(_tone(i, name == "high"))

    return once("tones", make)


@pytest.fixture(scope="session")
def hearing_run(once: Once, tones: Path) -> Path:
    """The run of a detector of sounds, which compares them as they are."""
    from clearsight.api.fit import fit

    def make(folder: Path) -> None:
        data = shutil.copytree(tones, folder / "tones")
        fit(data, task="anomaly", normal="low", anomaly="knn", img_size=32, out=folder / "run")

    return once("hearing", make) / "run"


@pytest.fixture(scope="module")
def own_task():
    """The module of a task that `tests/own_task.py` defines, registered while a module's tests run."""
    from clearsight.tasks import register_task, registry

    spec = spec_from_file_location("own_task", Path(__file__).parent / "own_task.py")
    found = module_from_spec(spec)
    sys.modules["own_task"] = found
    spec.loader.exec_module(found)
    register_task(found.Counts)
    yield found
    del registry._REGISTRY.tasks[found.Counts.name], sys.modules["own_task"]


@pytest.fixture(scope="module")
def own_run(own_task, once):
    """A finished run of that task, its images beside it."""
    from clearsight.api.fit import fit

    def make(folder: Path) -> None:
        np.savez(folder / "spots.npz", images=(data := own_task.spotted(400))[0], labels=data[1])
        fit(folder / "spots.npz", task="counts", out=str(folder / "run"), epochs=15)

    return once("own", make) / "run"


@pytest.fixture(scope="session")
def chromium():
    """The path of Chromium."""
    from tests.browser import find

    path = find()
    if path is None:
        pytest.fail("no Chromium or Chrome that starts: install one with `python tests/browser.py`")
    return path


@pytest.fixture(scope="module")
def browser(chromium):
    """Chromium. Of a module, not of the session: while it runs, its event loop is this thread's."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()
