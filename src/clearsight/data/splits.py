"""Which images train, which validate, which test (rule D4): seeded, stratified by class, groups kept whole.

A split that the data states is kept. Where only `train` and `val` are stated, `val` is the test split and validation is
carved out of `train`. Where no test split is stated, it is carved out of everything.

The development images (train and carved validation) are cut into folds; the first fold is the validation split, so
training once and cross-validating look at the same parts.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import DataError
from clearsight.wording import count, percent

Indices = NDArray[np.int64]

MANY = 2000
"""Images that are enough to validate on: on so many, an accuracy of 90 % has a standard error of 0.7 points."""


@dataclass(frozen=True)
class Split:
    """Indices of the images of each part, sorted.

    folds: pairs (fit, val), disjoint. With carved validation the val parts
    together are all development images and the first pair is (train, val); with a stated validation split there is that
    one pair.
    """

    train: Indices
    val: Indices
    test: Indices
    folds: tuple[tuple[Indices, Indices], ...]
    carved_validation: bool
    rule: str

    @property
    def development(self) -> Indices:
        """What a final model may learn from: train, and validation too where it was carved out by us."""
        return np.sort(np.concatenate([self.train, self.val])) if self.carved_validation else self.train

    def also_tested(self, more: Indices) -> Split:
        """The same with more images in the test split.

        Args:
            more: indices of images.

        Returns:
            A new split.
        """
        return replace(self, test=np.sort(np.concatenate([self.test, more])))

    def without(self, rows: Indices) -> Split:
        """The same without these images among those that may be learned from or validated on; the test split stays.

        Args:
            rows: indices of images.

        Returns:
            A new split.
        """
        train, val = (np.setdiff1d(part, rows) for part in (self.train, self.val))
        folds = tuple((np.setdiff1d(fit, rows), np.setdiff1d(val_rows, rows)) for fit, val_rows in self.folds)
        return replace(self, train=train, val=val, folds=folds)

    def parts(self) -> dict[str, Indices]:
        """The positions of images by the name of their part.

        Returns:
            Positions of "train", "val" and "test".
        """
        return {"train": self.train, "val": self.val, "test": self.test}


def assign(
    labels: Indices,
    given: NDArray[np.str_],
    classes: Sequence[str],
    *,
    usable: NDArray[np.bool_],
    groups: Indices | None = None,
    duplicates: Indices | None = None,
    seed: int = 0,
    test_fraction: float | None = 0.25,
    folds: int | None = None,
    strata: bool = False,
) -> Split:
    """Assign every usable image to training, validation or test.

    Images of the same group, and images of equal content, stay together wherever a split is carved.

    Args:
        labels: class indices (N,).
        given: the split that the data states, "train", "val", "test" or "" (N,).
        classes: class names.
        usable: False for images that are set aside (N,).
        groups: numbers (N,), equal for images that must stay together; None for no groups.
        duplicates: numbers (N,), equal for images of equal content; None if unknown.
        seed: random seed.
        test_fraction: share of images for the test split, in (0, 1); None carves no test split.
        folds: number of folds; None for 5, or 10 if a tenth is at least `MANY` images.
        strata: classes are only strata to spread evenly, so one that is too small joins the largest.

    Returns:
        The splits, and the rules that were applied.

    Raises:
        DataError: there are fewer than two classes, or a class is too small to be split.
    """
    rng = np.random.default_rng(seed)
    everything = np.flatnonzero(usable)
    stated = set(np.unique(given[everything])) - {""}
    if not strata:
        require_classes(labels[everything], classes)
    rules = []

    test = everything[given[everything] == "test"]
    val = everything[given[everything] == "val"]
    if not len(test) and len(val):
        test, val = val, val[:0]
        rules.append("the val split of the data is used as the test split")
    rest = np.setdiff1d(everything, np.concatenate([test, val]))
    carve_test = not len(test) and test_fraction is not None
    needed = 1 + carve_test + (not len(val))
    units = Units(labels, groups, duplicates)
    where = "train" if stated else "the data"
    if strata:
        alike = Units(np.zeros_like(labels), groups, duplicates)
        require_sizes(alike, rest, ("all images",), needed, where)
        labels = _joined(units, rest, len(classes), needed)
        units = Units(labels, groups, duplicates)
    else:
        require_sizes(units, rest, classes, needed, where)

    if carve_test and test_fraction is not None:
        test = units.fraction(rest, test_fraction, rng)
        require_classes_in_train(labels, np.setdiff1d(rest, test), rest, classes)
        rest = np.setdiff1d(rest, test)
        whole = ", in whole groups" if groups is not None else ""
        share = len(test) / (len(test) + len(rest))
        asked = f" (target {percent(test_fraction, 0)}; {_why_not_exactly(rest, groups, duplicates)})"
        meant = "" if abs(share - test_fraction) < 0.01 else asked
        rules.append(
            f"the test split is a stratified random sample of {percent(share, 0)} of the images{meant}{whole} "
            f"(seed {seed})"
        )
    if len(val):
        pairs: tuple[tuple[Indices, Indices], ...] = ((rest, val),)
        return Split(rest, val, test, pairs, False, "; ".join(rules) or "the splits are given in the data")
    if folds and not units.grouped:
        _require_folds(int(units.count(rest, len(classes)).max()), folds)
    folds = folds or (10 if len(rest) >= 10 * MANY else 5)
    number = units.folds(rest, folds, rng)
    require_classes_in_train(labels, rest[number != 0], rest, classes)
    pairs = tuple((rest[number != k], rest[number == k]) for k in range(folds) if (number == k).any())
    rules.append(f"the validation split is the first of {folds} folds of the remaining images")
    return Split(pairs[0][0], pairs[0][1], test, pairs, True, "; ".join(rules))


def _why_not_exactly(among: Indices, groups: Indices | None, duplicates: Indices | None) -> str:
    """Why a part of the images is not as large as it was meant to be: what may not be separated, if anything is there
    that may not.
    """
    whole = {"groups": groups, "copies": duplicates}
    there = [name for name, of in whole.items() if of is not None and len(np.unique(of[among])) < len(among)]
    if there:
        return f"{' and '.join(there)} are kept together"
    return "each class contributes a whole number of images, at least one"


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
            _require_folds(int(np.bincount(label).max()), count)
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


def _require_folds(largest: int, folds: int) -> None:
    if largest < folds:
        raise DataError(
            "every class has fewer images than there are folds",
            found=f"at most {count(largest, 'image')} per class",
            expected=f"at least {folds} in one class",
            fix="use a smaller --folds, or add images",
        )


def _joined(units: Units, among: Indices, classes: int, needed: int) -> Indices:
    """Labels (N,) in which groups of fewer units than `needed` have joined the largest one."""
    counts = units.count(among, classes)
    labels = units.labels.copy()
    labels[counts[labels] < needed] = counts.argmax()
    return labels


def require_classes(labels: Indices, classes: Sequence[str]) -> None:
    present = np.unique(labels[labels >= 0])
    if len(present) < 2:
        raise DataError(
            "a classifier needs at least two classes",
            found=f"1 class ({classes[present[0]]})" if len(present) else "no classes",
            expected="at least 2",
            fix="add images of another class",
        )


def require_sizes(units: Units, among: Indices, classes: Sequence[str], needed: int, where: str) -> None:
    images = np.bincount(units.labels[among], minlength=len(classes))
    counts = units.count(among, len(classes))
    what = "group" if units.grouped else "distinct image"
    small = [
        f"{classes[i]!r} with {count(int(images[i]), 'image')}"
        + (f" in {count(int(counts[i]), what)}" if counts[i] < images[i] else "")
        for i in range(len(classes))
        if counts[i] < needed
    ]
    if small:
        several = len(classes) > 1
        raise DataError(
            f"too few readable images to split {count(len(small), 'class', 'classes') if several else 'the images'} "
            f"in {where}",
            found=", ".join(small[:5]) + (", ..." if len(small) > 5 else ""),
            expected=f"at least {needed} {'groups' if units.grouped else 'images'}{' per class' if several else ''}",
            fix="add images, or remove or merge these classes" if several else "add images",
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
