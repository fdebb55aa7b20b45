"""Boxes, masks and points from class labels alone: digits in scenes of 128 pixels, on black and on photographs, and
cut-outs of photographs by ImageNet's classes.

cam: a network that learned which digits occur in a scene, as several labels per image, says where each of them is.
windows of scenes: one that learned scenes of a quarter of the area slides over the larger ones. windows of crops: one
that learned 28x28 pixels with a digit in the middle, or nothing there, does. Digits of the test scenes occur
in nothing that was learned from, and no box does.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import fresh_cache
from benchmarks.scenes import Scenes, compose

BARS = {"scenes on black": "pointing game >= 0.9 and mAP@0.5 >= 0.7, from class labels alone"}

SCENE: dict[str, Any] = {"side": 128, "size": 28, "kinds": 10, "most": 5, "apart": True}
SMALL: dict[str, Any] = {**SCENE, "side": 64, "most": 3}
"""Test scenes, and smaller training scenes."""

HALF = {"model": "resnet8", "opt": "muon"}
"""How scenes are learned; at half their size, as the digits have 8x8 pixels of their own."""

CENTRE = 5
"""Pixels from the middle of a crop within which a digit's middle makes it one of this digit."""


def measure() -> dict[str, Any]:
    return {
        "bars": BARS,
        "cam": cam(),
        "cam, photographs behind": cam(behind=True),
        "windows of scenes": windows_of_scenes(),
        "windows of crops": windows_of_crops(),
        "cut-outs": cut_outs(),
    }


def digits_apart() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Digits for training, and others for the test."""
    order = np.random.default_rng(0).permutation(1797)
    return order[:1400], order[1400:]


def cam(scenes: int = 3200, epochs: int = 9, test_images: int = 300, *, behind: bool = False) -> dict[str, Any]:
    """Learn scenes by their labels, and draw boxes by class activation. behind: photographs, not black."""
    learned, kept = digits_apart()
    photos = backgrounds() if behind else ((), ())
    train = compose(scenes, seed=1, which=learned, photos=photos[0], **SCENE)
    options = {**HALF, "model_arg": {"width": 12}, "img_size": 64, "epochs": epochs, "batch_size": 32}
    with _learned(train.images, train.labels, options) as run:
        test = compose(test_images, seed=2, which=kept, photos=photos[1], **SCENE)
        return {**_facts(run), **evaluated(run.predictor, test, method="cam")}


def windows_of_scenes(scenes: int = 4000, epochs: int = 10, test_images: int = 100) -> dict[str, Any]:
    """Learn small scenes by their labels, and slide over larger ones."""
    from clearsight.localisation import Settings

    learned, kept = digits_apart()
    train = compose(scenes, seed=1, which=learned, **SMALL)
    options = {**HALF, "model_arg": {"width": 16}, "img_size": 32, "epochs": epochs, "batch_size": 64}
    with _learned(train.images, train.labels, options) as run:
        test = compose(test_images, seed=2, which=kept, **SCENE)
        return {**_facts(run), **evaluated(run.predictor, test, method="window", settings=Settings(scales=(0.5,)))}


def windows_of_crops(count: int = 6000, epochs: int = 8, test_images: int = 100) -> dict[str, Any]:
    """Learn crops by their class, and slide over scenes."""
    from clearsight.localisation import Settings

    learned, kept = digits_apart()
    images, labels = crops(count, learned)
    options = {"model": "resnet8", "model_arg": {"patch": 2}, "epochs": epochs, "opt": "muon", "batch_size": 64}
    with _learned(images, labels, options) as run:
        test = compose(test_images, seed=2, which=kept, **SCENE)
        settings = Settings(background="nothing", scales=(1.0,), keep_ood=True)
        return {**_facts(run), **evaluated(run.predictor, test, method="window", settings=settings)}


def evaluated(predictor: Any, scenes: Scenes, *, method: str, settings: Any = None) -> dict[str, Any]:
    """Boxes and masks of the model's own answers, and the loudest places of the classes that are there."""
    from clearsight.evaluation import evaluate_boxes
    from clearsight.localisation import locate

    began = time.perf_counter()
    answers = list(locate(predictor, scenes.images, method=method, settings=settings))
    seconds = time.perf_counter() - began
    things = [[(box, str(kind)) for box, kind in image] for image in scenes.boxes]
    peaks, segments = [], []
    for image, known, answer in zip(scenes.images, things, answers, strict=True):
        names = sorted({name for _, name in known})
        if method == "cam" and names:
            (answer_to,) = locate(predictor, image, method="cam", target=names, settings=settings)
        else:
            answer_to = answer
        peaks.append({name: answer_to.peak(name) for name in names if name in answer_to.labels})
        segments.append(answer.segments)
    found = evaluate_boxes(
        [a.found for a in answers], things, peaks=peaks, segments=list(zip(scenes.pixels, segments, strict=True))
    )
    return {**found.to_dict(), "seconds_per_image": seconds / len(answers)}


def crops(count: int, which: NDArray[np.int64], side: int = 28) -> tuple[NDArray[np.uint8], list[str]]:
    """Parts of scenes: half with a digit in the middle, named by it, half with none there, named nothing."""
    rng = np.random.default_rng(3)
    scenes = compose(count // 4, seed=3, which=which, **SCENE)
    images, labels = [], []
    for number in range(count):
        scene = scenes.images[number % len(scenes.images)]
        boxes = scenes.boxes[number % len(scenes.images)]
        middles = np.array([[(b[1] + b[3]) / 2, (b[0] + b[2]) / 2] for b, _ in boxes]).reshape(-1, 2) - side / 2
        limit = len(scene) - side
        if number % 2 and len(boxes):
            chosen = int(rng.integers(len(boxes)))
            corner = np.clip(np.rint(middles[chosen] + rng.integers(-2, 3, 2)), 0, limit).astype(int)
            label = str(boxes[chosen][1])
        else:
            corner = rng.integers(0, limit + 1, 2)
            while len(boxes) and np.abs(middles - corner).max(1).min() <= CENTRE:
                corner = rng.integers(0, limit + 1, 2)
            label = "nothing"
        images.append(scene[corner[0] : corner[0] + side, corner[1] : corner[1] + side])
        labels.append(label)
    return np.stack(images), labels


def backgrounds() -> tuple[tuple[NDArray[np.uint8], ...], tuple[NDArray[np.uint8], ...]]:
    """Photographs for training, and others for the test."""
    from skimage import data

    return (data.astronaut(), data.coffee(), data.rocket()), (data.chelsea(), data.stereo_motorcycle()[0])


def cut_outs(places: int = 8, side: int = 130) -> dict[str, Any]:
    """Photographs made small and laid on grass, gravel and brick; ImageNet's network is asked where the class is that
    it gives the photograph alone. Evaluated on all of them, and on those where the class is among its five likeliest.
    """
    from skimage import data
    from skimage.transform import resize

    from clearsight.evaluation import evaluate_boxes
    from clearsight.localisation import locate
    from clearsight.runs.load import load_predictor

    predictor, rng = load_predictor("efficientnet_lite0"), np.random.default_rng(0)
    grounds = [data.grass(), data.gravel(), data.brick()]
    found, things, peaks, known = [], [], [], []
    for photo in (data.chelsea(), data.coffee(), data.rocket(), data.stereo_motorcycle()[0]):
        name = predictor.predict(photo)[0].label
        height, width = (round(n * side / max(photo.shape[:2])) for n in photo.shape[:2])
        small = np.rint(resize(photo, (height, width), anti_aliasing=True) * 255).astype(np.uint8)
        for i in range(places):
            y, x = int(rng.integers(0, 224 - height + 1)), int(rng.integers(0, 224 - width + 1))
            image = np.repeat(grounds[i % 3][:224, :224, None], 3, axis=2)
            image[y : y + height, x : x + width] = small
            (answer,) = locate(predictor, image, method="cam", target=name)
            found.append(answer.found)
            things.append([((x, y, x + width, y + height), name)])
            peaks.append({name: answer.peak(name)})
            known.append(name in list(predictor.predict(image)[0].probabilities)[:5])
    rows = np.flatnonzero(known)
    return {
        "all": evaluate_boxes(found, things, peaks=peaks).to_dict(),
        "recognised": evaluate_boxes(
            [found[i] for i in rows], [things[i] for i in rows], peaks=[peaks[i] for i in rows]
        ).to_dict(),
    }


@contextmanager
def _learned(images: Any, labels: Any, options: dict[str, Any]) -> Iterator[Any]:
    from clearsight.api.fit import fit

    with fresh_cache(), tempfile.TemporaryDirectory() as folder:
        yield fit(images, labels, out=f"{folder}/run", **options)


def _facts(run: Any) -> dict[str, Any]:
    test = run.metrics["test"]
    score = "accuracy" if "accuracy" in test else "mean_average_precision"
    return {"train_seconds": run.metrics["train_seconds"], f"labels' {score.replace('_', ' ')}": test[score]}
