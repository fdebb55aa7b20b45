"""What every test shares: a cache of its own, and the digits as arrays."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run in one process per core, each with one thread

import numpy as np
import pytest
from PIL import Image

from clearsight.data.builtin import digits

ROOT = Path(__file__).parent.parent


class Page:
    """A page of the documentation, and the blocks in it that a reader may copy."""

    def __init__(self, name: str) -> None:
        self.name, self.text = name, (ROOT / name).read_text()

    def blocks(self, kind: str) -> list[str]:
        """Fenced blocks of a kind, such as python or bash."""
        return re.findall(rf"^```{kind}\n(.*?)^```", self.text, re.S | re.M)

    def commands(self, *programs: str) -> list[str]:
        """Lines of its bash blocks that call one of these programs, without comments."""
        lines = [line.split("#")[0].strip() for block in self.blocks("bash") for line in block.splitlines()]
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


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees what another, or the user, has cached."""
    monkeypatch.setenv("CLEARSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def digits_arrays() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits: pixels (1797, 1, 8, 8) uint8 and labels (1797,)."""
    found = digits(None)
    return np.asarray(found.source.images)[:, None], found.labels


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real photographs in class folders: 24 crops of 96x80 pixels each from four of scikit-image's pictures."""
    from skimage import data

    root = tmp_path_factory.mktemp("data") / "photos"
    pictures = {"cat": data.chelsea(), "coffee": data.coffee(), "rocket": data.rocket(), "space": data.astronaut()}
    rng = np.random.default_rng(0)
    for name, picture in pictures.items():
        folder = root / name
        folder.mkdir(parents=True)
        for i in range(24):
            top = rng.integers(0, picture.shape[0] - 80)
            left = rng.integers(0, picture.shape[1] - 96)
            Image.fromarray(picture[top : top + 80, left : left + 96]).save(folder / f"{i}.jpg", quality=90)
    return root


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the digits, short but real."""
    from clearsight.workflow import fit

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        return fit("digits", out=str(tmp_path_factory.mktemp("runs") / "digits"), epochs=12).folder


@pytest.fixture(scope="session")
def photos_run(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A finished run on the photographs: a head on frozen EfficientNet-Lite0 features."""
    from clearsight.workflow import fit

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        return fit(photos, out=str(tmp_path_factory.mktemp("runs") / "photos"), img_size=96).folder


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
