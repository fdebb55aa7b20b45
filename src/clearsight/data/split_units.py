"""Units of a split: images that may not be separated, such as copies and members of a group, and whether there are
enough of them.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import DataError
from clearsight.wording import count

Indices = NDArray[np.int64]


class Units:
    """Images that may not be separated, as one unit each; most units are single images."""

    def __init__(self, labels: Indices, groups: Indices | None, duplicates: Indices | None) -> None:
        self.labels = labels
        self.grouped = groups is not None
        n = len(labels)
        links = [np.unique(x, return_inverse=True)[1] for x in (groups, duplicates) if x is not None]
        if not links:
            self.unit = np.arange(n)
        elif len(links) == 1:
            self.unit = links[0]
        else:  # two groups that share an image by content are one
            from scipy.sparse import coo_array
            from scipy.sparse.csgraph import connected_components

            offset = links[0].max() + 1
            size = offset + links[1].max() + 1
            graph = coo_array((np.ones(n, np.int8), (links[0], offset + links[1])), shape=(size, size))
            self.unit = connected_components(graph, directed=False)[1][links[0]].astype(np.int64)

    def renamed(self, number: Indices) -> Units:
        """The same units with labels by other numbers. number (K,): of each label."""
        other = copy.copy(self)
        other.labels = number[self.labels]
        return other

    def count(self, among: Indices, classes: int) -> Indices:
        """Units of each class (K,); a unit of two classes counts in both."""
        pairs = np.unique(np.stack([self.labels[among], self.unit[among]]), axis=1)
        return np.bincount(pairs[0], minlength=classes)

    def fraction(self, among: Indices, fraction: float, rng: np.random.Generator) -> Indices:
        """About `fraction` of the images; without groups, of every class: at least one unit and never all but one."""
        if self.grouped:
            share = Fraction(fraction).limit_denominator(max(2, min(20, len(np.unique(self.unit[among])))))
            parts = max(2, share.denominator)
            taken = min(max(1, share.numerator), parts - 1)
            return among[self.folds(among, parts, rng) < taken]
        units, first = np.unique(self.unit[among], return_index=True)
        label = self.labels[among][first]
        chosen: list[Any] = []
        for c in np.unique(label):
            members = rng.permutation(units[label == c])
            count = min(max(1, round(fraction * len(members))), max(1, len(members) - 2))
            chosen.extend(members[:count])
        return among[np.isin(self.unit[among], chosen)]

    def folds(self, among: Indices, count: int, rng: np.random.Generator) -> Indices:
        """A fold number for each of `among`; classes are spread evenly."""
        if self.grouped:
            from sklearn.model_selection import StratifiedGroupKFold

            n_groups = len(np.unique(self.unit[among]))
            if n_groups < count:
                raise DataError(
                    "there are too few groups to split",
                    found=f"{n_groups} group{'s' * (n_groups != 1)}",
                    expected=f"at least {count}",
                    fix="use a smaller --folds, or a group column with more values",
                )
            _, label = np.unique(self.labels[among], return_inverse=True)
            require_folds(int(np.bincount(label).max()), count)
            splitter = StratifiedGroupKFold(count, shuffle=True, random_state=int(rng.integers(2**31)))
            number = np.zeros(len(among), dtype=np.int64)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # the audit says so
                for k, (_, val_rows) in enumerate(splitter.split(among, label, self.unit[among])):
                    number[val_rows] = k
            return number
        units, first = np.unique(self.unit[among], return_index=True)
        label = self.labels[among][first]
        fold_of_unit = np.zeros(len(units), dtype=np.int64)
        for c in np.unique(label):
            members = rng.permutation(np.flatnonzero(label == c))
            fold_of_unit[members] = np.arange(len(members)) % count
        return fold_of_unit[np.searchsorted(units, self.unit[among])]


def require_folds(largest: int, folds: int) -> None:
    """DataError if the largest class has fewer images than there are folds."""
    if largest < folds:
        raise DataError(
            "every class has fewer images than there are folds",
            found=f"at most {count(largest, 'image')} per class",
            expected=f"at least {folds} in one class",
            fix="use a smaller --folds, or add images",
        )


def require_classes(labels: Indices, classes: Sequence[str]) -> None:
    """DataError if images have fewer than two classes."""
    present = np.unique(labels[labels >= 0])
    if len(present) < 2:
        raise DataError(
            "a classifier needs at least two classes",
            found=f"1 class ({classes[present[0]]})" if len(present) else "no classes",
            expected="at least 2",
            fix="add images of another class",
        )


def require_sizes(
    units: Units, among: Indices, classes: Sequence[str], needed: int, where: str, one_class: bool = False
) -> None:
    """DataError if a class has fewer units than `needed` among some images.

    where: what these are called. one_class: whether the class stands for all images, as there are no classes.
    """
    images = np.bincount(units.labels[among], minlength=len(classes))
    counts = units.count(among, len(classes))
    what = "group" if units.grouped else "distinct image"
    small = [
        f"{classes[i]!r} with {count(int(images[i]), 'image')}"
        + (f" in {count(int(counts[i]), what)}" if counts[i] < images[i] else "")
        for i in range(len(classes))
        if counts[i] < needed
    ]
    absent = [repr(name) for name, n in zip(classes, images.tolist(), strict=True) if not n]
    if 0 < len(absent) < len(classes) and not one_class and where != "the data":
        raise DataError(
            f"{where} has no readable image of {count(len(absent), 'class', 'classes')}, so the model cannot learn it",
            found="no image of " + ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else ""),
            expected="images of every class in the training split",
            fix="add images of these classes to the training split, or remove the classes from the other splits",
        )
    if small:
        of = "the images" if one_class else count(len(small), "class", "classes")
        raise DataError(
            f"too few readable images to split {of} in {where}",
            found=", ".join(small[:5]) + (", ..." if len(small) > 5 else ""),
            expected=f"at least {needed} {'groups' if units.grouped else 'images'}{'' if one_class else ' per class'}",
            fix="add images" if one_class else "add images, or remove or merge these classes",
        )


def require_classes_in_train(labels: Indices, train: Indices, among: Indices, classes: Sequence[str]) -> None:
    """Groups and copies with two labels can take all images of a class to one side."""
    lost = np.setdiff1d(labels[among], labels[train])
    if len(lost):
        raise DataError(
            "the groups cannot be split so that every class has training images",
            found=f"no training images of {', '.join(repr(classes[i]) for i in lost[:5])}",
            expected="groups that contain a smaller share of each class",
            fix="try another --seed, or define the splits in a `split` column",
        )
