"""What training saw: a few training images beside changed versions of them, made as the training loop makes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.data.augment import augment
from clearsight.data.displayed import displayed
from clearsight.data.loader import to_float
from clearsight.data.mix import mix
from clearsight.data.prepare import Prepared
from clearsight.report.components.pictures import Picture, data_thumbnail, picture
from clearsight.train.augmentation_config import AugmentationConfig
from clearsight.train.choices import AUGMENTATIONS
from clearsight.train.fit import Fitted
from clearsight.wording import percent

ROWS = 4
"""Training images shown at most, of as many classes as there are."""

VERSIONS = 7
"""Changed versions of each."""

SIDE = 120
"""Longest side in pixels of a version; it is shown smaller, so that it is crisp on dense screens too."""


@dataclass(frozen=True)
class Preview:
    """How images were changed, in words, and rows of pictures: a training image, then versions of it."""

    words: str
    rows: tuple[tuple[Picture, ...], ...]


def preview(fitted: Fitted, seed: int) -> Preview | None:
    """Change some training images as training did; None where it took them as they are, or no network was trained.

    The same seed gives the same pictures. Reads the pixels of the training split alone.
    """
    return None if fitted.training is None else augmented(fitted.prepared, fitted.training.augmentation, seed)


def augmented(prepared: Prepared, how: AugmentationConfig, seed: int) -> Preview | None:
    """Change some training images as an augmentation does; None where it leaves them as they are."""
    if set(how.augment.split("+")) == {"none"} and not how.mixup and not how.cutmix:
        return None
    rows = _spread(prepared)
    versions = list(_versions(prepared, rows, how, seed))
    names = [prepared.dataset.source.name(int(i)) for i in rows]
    labels = [prepared.dataset.classes[prepared.labels[i]] for i in rows]
    return Preview(
        _words(how),
        tuple(
            (
                picture(prepared, int(index), SIDE, f"labelled {label}: {name}"),
                *(
                    picture(
                        prepared,
                        int(index),
                        SIDE,
                        f"{name} as used in training: {target}",
                        pixels=displayed(pixels, prepared.form.shown),
                    )
                    for pixels, target in (version[place] for version in versions)
                ),
            )
            for place, (index, name, label) in enumerate(zip(rows, names, labels, strict=True))
        ),
    )


def augmented_images(
    prepared: Prepared, how: AugmentationConfig, seed: int
) -> tuple[str, list[tuple[str, NDArray[np.uint8]]]]:
    """Some training images, each followed by augmented versions: what is done in words, then names and pictures."""
    if set(how.augment.split("+")) == {"none"} and not how.mixup and not how.cutmix:
        return "Training images are not augmented.", []
    rows = _spread(prepared)
    versions = list(_versions(prepared, rows, how, seed))
    shown = []
    for place, i in enumerate(rows.tolist()):
        name = prepared.dataset.source.name(i)
        shown.append((name, data_thumbnail(prepared, i, SIDE)))
        for pixels, target in (version[place] for version in versions):
            shown.append(
                (
                    f"augmented: {target}",
                    data_thumbnail(prepared, i, SIDE, pixels=displayed(pixels, prepared.form.shown)),
                )
            )
    return _words(how).partition(" The left column")[0], shown


def _spread(prepared: Prepared) -> NDArray[np.int64]:
    """Positions of up to `ROWS` training images from classes spread evenly over all, equally many of each."""
    train = np.sort(prepared.split.train)
    labels = prepared.labels[train]
    present = np.unique(labels)
    shown = present[_places(len(present), ROWS)]
    members = [train[labels == c] for c in shown]
    each = [m[_places(len(m), max(1, ROWS // len(shown)))] for m in members]
    turns = max(map(len, each))  # one of each class in turn, so that mixing joins images of different classes
    return np.array([m[turn] for turn in range(turns) for m in each if turn < len(m)], dtype=np.int64)


def _places(n: int, most: int) -> NDArray[np.int64]:
    """Up to `most` of n places in even distances."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))


def _versions(
    prepared: Prepared, rows: NDArray[np.int64], how: AugmentationConfig, seed: int
) -> Iterator[list[tuple[NDArray[np.uint8] | NDArray[np.uint16], str]]]:
    """Batches of the same images, each changed anew: pixels (C, H, W) in the cache's format, target in words."""
    classes = prepared.dataset.classes
    stored = prepared.pixels.array[rows]
    target = torch.from_numpy(np.eye(len(classes), dtype=np.float32)[prepared.labels[rows]])
    chance = torch.Generator().manual_seed(seed)
    for _ in range(VERSIONS):
        images = augment(to_float(stored), how.augment, chance)
        images, targets = mix(images, target, chance, mixup=how.mixup, cutmix=how.cutmix)
        whole = (images * (65535 if stored.dtype == np.uint16 else 255)).round().numpy().astype(stored.dtype)
        yield [(pixels, _target_words(row.tolist(), classes)) for pixels, row in zip(whole, targets, strict=True)]


def _target_words(target: list[float], classes: tuple[str, ...]) -> str:
    """One class by its name, several with their shares, the largest first."""
    shares = sorted(
        ((share, name) for share, name in zip(target, classes, strict=True) if share >= 0.005), reverse=True
    )
    return shares[0][1] if len(shares) == 1 else ", ".join(f"{percent(share, 0)} {name}" for share, name in shares)


def _words(how: AugmentationConfig) -> str:
    """What was done to the images, as sentences."""
    names = [name for name in how.augment.split("+") if name != "none"]
    done = [f"{name} ({AUGMENTATIONS[name]})" for name in names]
    if how.mixup:
        done.append("mixup (blended with another image, with labels mixed in the same proportion)")
    if how.cutmix:
        done.append("cutmix (a part of another image pasted in, with labels mixed in proportion to the area)")
    return (
        f"Each time an image is used in training, it is augmented at random: {', then '.join(done)}. "
        "The left column shows the original training images; the other columns show augmented versions of them."
    )
