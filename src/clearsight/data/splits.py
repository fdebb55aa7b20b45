"""Which images train, which validate, which test (rule D4): seeded, stratified by class, groups kept whole.

A split that the data states is kept. Where only `train` and `val` are stated, `val` is the test split and validation is
carved out of `train`. Where no test split is stated, it is carved out of everything.

The development images (train and carved validation) are cut into folds; the first fold is the validation split, so
training once and cross-validating look at the same parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clearsight.data.split_units import (
    Indices,
    Units,
    require_classes,
    require_classes_in_train,
    require_folds,
    require_sizes,
)
from clearsight.wording import percent

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
        require_sizes(alike, rest, ("all images",), needed, where, one_class=True)
        labels = _joined(units, rest, len(classes), needed)
        units = Units(labels, groups, duplicates)
    else:
        require_sizes(units, rest, classes, needed, where)

    if carve_test and test_fraction is not None:
        test = units.fraction(rest, test_fraction, rng)
        require_classes_in_train(labels, np.setdiff1d(rest, test), rest, classes)
        rest = np.setdiff1d(rest, test)
        share = len(test) / (len(test) + len(rest))
        why = _why_not_exactly(rest, groups, duplicates, "range or group" if strata else "class")
        rules.append(_sampling_rule(share, test_fraction, why, groups, seed))
    if len(val):
        pairs: tuple[tuple[Indices, Indices], ...] = ((rest, val),)
        return Split(rest, val, test, pairs, False, "; ".join(rules) or "the splits are given in the data")
    if folds and not units.grouped:
        require_folds(int(units.count(rest, len(classes)).max()), folds)
    folds = folds or (10 if len(rest) >= 10 * MANY else 5)
    number = units.folds(rest, folds, rng)
    require_classes_in_train(labels, rest[number != 0], rest, classes)
    pairs = tuple((rest[number != k], rest[number == k]) for k in range(folds) if (number == k).any())
    rules.append(f"the validation split is the first of {folds} folds of the remaining images")
    return Split(pairs[0][0], pairs[0][1], test, pairs, True, "; ".join(rules))


def _sampling_rule(share: float, target: float, why: str, groups: Indices | None, seed: int) -> str:
    """How the test split was carved, and why its share is not the target where it is a percent off or more."""
    meant = "" if abs(share - target) < 0.01 else f"; the target is {percent(target, 0)}, but {why}"
    whole = ", in whole groups" if groups is not None else ""
    return (
        f"the test split is a stratified random sample of {percent(share, 0)} of the images{whole} (seed {seed}{meant})"
    )


def _why_not_exactly(among: Indices, groups: Indices | None, duplicates: Indices | None, stratum: str) -> str:
    """Why a part of the images is not as large as it was meant to be: what may not be separated, if anything is there
    that may not. stratum: what images are spread evenly over.
    """
    whole = {"groups": groups, "copies": duplicates}
    there = [name for name, of in whole.items() if of is not None and len(np.unique(of[among])) < len(among)]
    if there:
        return f"{' and '.join(there)} are kept together"
    return f"each {stratum} contributes a whole number of images, at least one"


def _joined(units: Units, among: Indices, classes: int, needed: int) -> Indices:
    """Labels (N,) in which groups of fewer units than `needed` have joined the largest one."""
    counts = units.count(among, classes)
    labels = units.labels.copy()
    labels[counts[labels] < needed] = counts.argmax()
    return labels
