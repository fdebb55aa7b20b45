"""Which images are normal: what a detector of anomalies learns from. All others are for judging it, never for training.

Normal are the classes that the user names; else the one class there is; else, where the data states splits, the one
class in its training folder, as in the layout of MVTec AD (train/good, test/good, test/broken) [Bergmann et al. 2019].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clearsight.data.dataset import Dataset
from clearsight.data.targets import TargetTable
from clearsight.errors import DataError, nearest

NAMES = ("anomaly",)
"""What a detector's one output is called."""

NORMAL = "normal"
"""The class of images in a folder without class folders."""

USUAL = ("normal", "good", "ok", "okay", "fine", "healthy", "functional", "intact")
"""Names that speak for a normal class."""

FEWEST = 10
"""Normal images that a detector learns from, at least: fewer say nothing of what is usual."""


def with_normal(dataset: Dataset, normal: str | Sequence[str] | None, *, judging: bool = False) -> Dataset:
    """The data set with 0 for normal images and 1 for the others as its targets; classes stay what splits are spread
    over.

    normal: names of the normal classes, as a list or joined by commas. judging: they are a finished model's, and
    the data may lack some of them, or be images without classes, which then are normal. DataError for a class that
    does not exist, or where it is open what is normal.
    """
    if dataset.targets is not None and dataset.task != "anomaly":
        raise DataError(
            f"{dataset.name} gives {dataset.task} targets, and what is normal is a class",
            expected="one class per image",
            fix="leave out --task anomaly",
        )
    names = _asked(normal, dataset.classes) if normal is not None else _only(dataset)
    if unknown := [] if judging else [name for name in names if name not in dataset.classes]:
        raise DataError(
            f"there is no class {unknown[0]!r} that could be normal",
            found=", ".join(dataset.classes[:8]) + (", ..." if len(dataset.classes) > 8 else ""),
            fix=nearest(unknown[0], dataset.classes),
        )
    if judging:
        names = (*names, NORMAL)
    usual = np.array([name in names for name in dataset.classes])
    strange = (~usual)[dataset.labels]
    notes = dataset.notes
    stated = strange & np.isin(dataset.given, _learned_from(dataset))
    if stated.any() and not judging:
        left = f"{int(stated.sum())} images of other classes stand in the splits to learn from, and are left out"
        notes = tuple(dict.fromkeys((*notes, left)))
    return replace(
        dataset, targets=TargetTable("anomaly", NAMES, strange[:, None].astype(np.float32), names), notes=notes
    )


def require_normal(dataset: Dataset) -> None:
    """DataError for fewer normal images than can be learned from."""
    count = int((dataset.learned & (dataset.labels >= 0)).sum())
    if count < FEWEST:
        raise DataError(
            f"{dataset.name} has too few normal images to learn what is usual",
            found=str(count),
            expected=f"at least {FEWEST}",
            fix="add normal images",
        )


def judging_images(dataset: Dataset) -> NDArray[np.bool_]:
    """Which images that are not learned from judge the model (N,): all that no stated split keeps for learning."""
    return np.asarray(~dataset.learned & ~np.isin(dataset.given, _learned_from(dataset)))


def _learned_from(dataset: Dataset) -> tuple[str, ...]:
    """The splits that the data states for learning; a stated val without a test is the test."""
    return ("train", "val") if "test" in dataset.splits_given else ("train",)


def _likely(dataset: Dataset, labels: NDArray[np.int64]) -> str:
    """The class that is normal by its name, or else the largest: an example for the user to think about."""
    usual = next((name for name in dataset.classes if name.lower() in USUAL), None)
    counts = np.bincount(labels[labels >= 0], minlength=len(dataset.classes))
    return usual or (dataset.classes[int(counts.argmax())] if len(dataset.classes) else "CLASS")


def _asked(normal: str | Sequence[str], classes: Sequence[str]) -> tuple[str, ...]:
    if isinstance(normal, str):
        normal = [normal] if normal in classes else [word.strip() for word in normal.split(",") if word.strip()]
    return tuple(str(name) for name in normal)


def _only(dataset: Dataset) -> tuple[str, ...]:
    """The one class that can only be the normal one."""
    labels = dataset.labels[dataset.given == "train"] if "train" in dataset.splits_given else dataset.labels
    present = np.unique(labels[labels >= 0])
    if len(present) != 1:
        some = ", ".join(dataset.classes[i] for i in present[:8]) + (", ..." if len(present) > 8 else "")
        raise DataError(
            "which classes are normal is not said",
            found=f"{len(present)} classes: {some}",
            fix=f"name them, such as --normal {_likely(dataset, labels)}",
        )
    return (dataset.classes[int(present[0])],)
