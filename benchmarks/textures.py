"""Fine textures: generated images of 250 pixels whose three classes differ in marks a few pixels wide.

Each image is a smooth, coloured background with sensor noise on which a hundred marks of 5x5 pixels are scattered, most
of them distractors that every class has. At 224 pixels and below, scaling blurs the marks.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom

from benchmarks.harness import command, fresh_cache

SIDE = 250

MARKS = {
    "bars": ("#####", ".....", "#####", ".....", "....."),
    "steps": ("###..", "..#..", "..###", ".....", "....."),
    "forks": ("#...#", ".#.#.", "..#..", "..#..", "..#.."),
}
"""The mark of each class."""

DISTRACTORS = (
    ("#####", ".....", ".....", ".....", "....."),
    ("..#..", "..#..", "#####", "..#..", "..#.."),
    ("###..", "#.#..", "###..", ".....", "....."),
    ("#....", ".#...", "..#..", "...#.", "....#"),
)

COUNT, SHARE = 100, 0.3
"""Marks of an image, and the share of them that its class has alone."""


def texture(rng: np.random.Generator, name: str) -> NDArray[np.uint8]:
    """An image (SIDE, SIDE, 3) of a class."""
    coarse = rng.uniform(60, 190, (5, 5, 3))
    canvas = np.asarray(zoom(coarse, (SIDE / 5, SIDE / 5, 1), order=1))
    canvas += gaussian_filter(rng.normal(0, 1, (SIDE, SIDE)), rng.uniform(1.5, 6))[:, :, None] * rng.uniform(20, 60)
    contrast = rng.uniform(18, 45) * rng.choice((-1, 1))
    own = rng.random(COUNT) < SHARE
    for is_own in own:
        rows = MARKS[name] if is_own else DISTRACTORS[rng.integers(len(DISTRACTORS))]
        mark = np.array([[c == "#" for c in row] for row in rows], float)
        mark = np.rot90(mark, rng.integers(4))
        y, x = rng.integers(0, SIDE - 5, 2)
        canvas[y : y + 5, x : x + 5] += contrast * mark[:, :, None]
    canvas += rng.normal(0, rng.uniform(3, 9), canvas.shape)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def write_textures(folder: Path, images: int, seed: int) -> None:
    """Class folders of PNG files.

    images: of all classes. seed: of everything random.
    """
    rng, names = np.random.default_rng(seed), list(MARKS)
    for number in range(images):
        name = names[number % len(names)]
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(texture(rng, name)).save(folder / name / f"{number:05}.png")


def measure(images: int = 2000, seeds: tuple[int, ...] = (0, 1, 2, 3, 4)) -> dict[str, Any]:
    """Test accuracy and training time by default and with --budget 10m, on one split for each seed."""
    found: dict[str, Any] = {"default": [], "budget 10m": [], "train_seconds": []}
    for seed in seeds:
        with fresh_cache(), tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "textures"
            write_textures(data, images, seed=0)
            options = ("train", str(data), "--seed", str(seed), "--out")
            usual, _ = command(*options, str(Path(folder) / "usual"))
            longer, _ = command(*options, str(Path(folder) / "longer"), "--budget", "10m")
        found["default"].append(usual["test"]["accuracy"])
        found["budget 10m"].append(longer["test"]["accuracy"])
        found["train_seconds"].append(usual["train_seconds"])
    return found
