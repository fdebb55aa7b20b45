"""Detection and instance masks by classifiers trained on boxes: mAP and mask AP by pycocotools on held-out scenes.

digits: scenes of 128 pixels with up to five digits on black, of two sizes. cut-outs: ellipses cut from four
photographs, laid on grass, gravel and brick. Boxes and masks are those of COCO files; test scenes show other digits,
other parts of the grounds, and other sizes and turns of the photographs. Masks are evaluated, never learned from.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.harness import fresh_cache, spread
from benchmarks.locate import digits_apart
from benchmarks.scenes import drawn_digits

BARS = {"boxes": "mAP@0.5 >= 0.85 by pycocotools", "masks": "mask AP@0.5 >= 0.6, both on held-out scenes, 3 seeds"}

SIDE = 128
"""Pixels of a scene."""

Scores = dict[str, float]

Scene = tuple[NDArray[np.uint8], list[tuple[str, NDArray[np.bool_]]]]
"""An image (H, W) or (H, W, 3), and its objects, each with its class and its mask (H, W)."""


SEEDS = (1, 2, 3)
"""Of scenes and trainings. Parameters of the detector were chosen on scenes of seed 0."""

OPTIONS: dict[str, Any] = {"model": "resnet8", "model_arg": {"patch": 2}, "opt": "muon", "epochs": 12}
"""How crops are learned, from scratch."""


def measure() -> dict[str, Any]:
    """Both kinds of scenes over three seeds."""
    found: dict[str, Any] = {"bars": BARS}
    for name, (draw, scenes) in KINDS.items():
        runs = [detected(draw, seed, scenes) for seed in SEEDS]
        found[name] = {key: spread([run[key] for run in runs]) for key in runs[0]}
    return found


def detected(draw: Callable[[np.random.Generator, bool], Scene], seed: int, train: int, test: int = 40) -> Scores:
    """Train on the boxes of scenes, and detect in others."""
    import clearsight as cs

    with fresh_cache(), tempfile.TemporaryDirectory() as folder:
        files = [
            write_coco(
                Path(folder) / name, [draw(np.random.default_rng([seed, part, i]), bool(part)) for i in range(n)]
            )
            for part, (name, n) in enumerate((("train", train), ("test", test)))
        ]
        run = cs.fit(str(files[0]), out=f"{folder}/run", seed=seed, **OPTIONS)
        began = time.perf_counter()
        scores = cs.evaluate(run, str(files[1]))
        seconds = time.perf_counter() - began
        found = scores.detection
        assert found is not None
        assert found.masks is not None
        return {
            "mAP@0.5": found.boxes.map50, "mAP@[.5:.95]": found.boxes.map, "mask AP@0.5": found.masks.map50,
            "mask AP@[.5:.95]": found.masks.map, "accuracy of crops": scores.accuracy,
            "train_seconds": run.metrics["train_seconds"], "seconds_per_image": seconds / test,
        }  # fmt: skip


def digit_scene(rng: np.random.Generator, test: bool) -> Scene:
    """Up to five digits that do not touch, 22 to 34 pixels large."""
    from benchmarks.scenes import INK

    ink, taken, objects = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE), bool), []
    pool = digits_apart()[int(test)]
    for _ in range(rng.integers(1, 6)):
        size = int(rng.choice([22, 28, 34]))
        drawn, target = drawn_digits(size)
        which = int(rng.choice(pool))
        for _ in range(50):
            y, x = rng.integers(0, SIDE - size + 1, 2)
            part = np.s_[y : y + size, x : x + size]
            if not taken[part].any():
                taken[part], ink[part] = True, drawn[which]
                mask = np.zeros((SIDE, SIDE), bool)
                mask[part] = drawn[which] >= INK
                objects.append((str(target[which]), mask))
                break
    return (255 * ink).astype(np.uint8), objects


@cache
def cut_out_sources() -> tuple[dict[str, NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Photographs to cut from, and grounds to lay them on."""
    from skimage import data

    photos = {
        "cat": data.chelsea(), "coffee": data.coffee(), "rocket": data.rocket(), "astronaut": data.astronaut(),
    }  # fmt: skip
    return photos, [data.grass(), data.gravel(), data.brick()]


def cut_out_scene(rng: np.random.Generator, test: bool) -> Scene:
    """One to four ellipses cut from the middle of photographs, 24 to 44 pixels long, that do not touch."""
    from skimage.draw import ellipse
    from skimage.transform import resize

    photos, grounds = cut_out_sources()
    ground = grounds[int(rng.integers(len(grounds)))]
    half = ground[:, ground.shape[1] // 2 :] if test else ground[:, : ground.shape[1] // 2]
    y, x = (int(rng.integers(0, n - SIDE + 1)) for n in half.shape)
    scene = np.repeat(half[y : y + SIDE, x : x + SIDE, None], 3, axis=2).copy()
    taken, objects = np.zeros((SIDE, SIDE), bool), []
    for _ in range(rng.integers(1, 5)):
        name = str(rng.choice(list(photos)))
        photo = photos[name]
        side = min(photo.shape[:2])
        top, left = ((n - side) // 2 for n in photo.shape[:2])
        length = int(rng.integers(24, 45))
        height, width = (length, round(length * rng.uniform(0.6, 1)))[:: int(rng.choice([-1, 1]))]
        small = resize(photo[top : top + side, left : left + side], (length, length), anti_aliasing=True)
        small = (255 * small).round().astype(np.uint8)
        for _ in range(50):
            y, x = rng.integers(0, SIDE - length + 1, 2)
            part = np.s_[y : y + length, x : x + length]
            if not taken[part].any():
                taken[part] = True
                mask = np.zeros((SIDE, SIDE), bool)
                rows, columns = ellipse(y + length / 2, x + length / 2, height / 2, width / 2, shape=mask.shape)
                mask[rows, columns] = True
                scene[mask] = small[rows - y, columns - x]
                objects.append((name, mask))
                break
    return scene, objects


def write_coco(folder: Path, scenes: list[Scene]) -> Path:
    """Scenes as PNG files and COCO's JSON with boxes and masks."""
    from pycocotools import mask as rle

    folder.mkdir(parents=True)
    names = sorted({name for _, objects in scenes for name, _ in objects})
    images, annotations = [], []
    for number, (pixels, objects) in enumerate(scenes, 1):
        file = f"{number:04}.png"
        Image.fromarray(pixels).save(folder / file)
        images.append({"id": number, "file_name": file, "width": pixels.shape[1], "height": pixels.shape[0]})
        for name, mask in objects:
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            box = [int(v) for v in (columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1)]
            packed = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
            annotations.append({
                "id": len(annotations) + 1, "image_id": number, "category_id": names.index(name) + 1, "bbox": box,
                "area": int(mask.sum()), "iscrowd": 0,
                "segmentation": {"size": packed["size"], "counts": packed["counts"].decode()},
            })  # fmt: skip
    categories = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    file = folder / "annotations.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return file


KINDS: dict[str, tuple[Callable[[np.random.Generator, bool], Scene], int]] = {
    "digits": (digit_scene, 400), "cut-outs": (cut_out_scene, 400),
}  # fmt: skip
"""How scenes are drawn, and how many are learned from."""
