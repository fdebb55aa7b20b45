"""The split of a training that continues a run: its images keep their part, and new ones join by the same rule.

Images that the run tested stay test images, and those it learned from or validated on stay where they are, so nothing
that a weight was fitted to is ever tested. New images go where the data states. Where it states nothing, they are drawn
by class, with the run's seed and shares; copies and groups of known images go where these are.

A class that is all new is drawn as in a first training. Of others any number of new images will do: how many of them
are tested is rounded up or down at random, so that many small additions give the same share as a large one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clearsight.data.split_units import Indices, Units, require_classes, require_sizes
from clearsight.data.splits import MANY, Split
from clearsight.errors import DataError
from clearsight.wording import count

Strings = NDArray[np.str_]

RANK = ("train", "val", "test")
"""The part that decides for new copies and group members of known images, first to last."""

HELD_OUT = ("val", "test")


def assign_added(
    labels: Indices,
    given: Strings,
    classes: Sequence[str],
    *,
    known: Strings,
    usable: NDArray[np.bool_],
    groups: Indices | None = None,
    duplicates: Indices | None = None,
    seed: int = 0,
    test_fraction: float | None = 0.25,
    folds: int | None = None,
    strata: bool = False,
) -> Split:
    """Assign every usable image to a part.

    known (N,): "train", "val" or "test", where the image stands in the run; "unused" for one to be left out; "" for a
    new one. The others as of `splits.assign`. Raises DataError for fewer than two classes, for a class that is all new
    and too small to be split, for one without an image to learn from, and where no image is left to validate or test.
    """
    part = np.where(usable, known, "unused")
    everything = np.flatnonzero(part != "unused")
    if not strata:
        require_classes(labels[everything], classes)
    rng = np.random.default_rng([seed, int((part[everything] != "").sum())])
    units = Units(labels, groups, duplicates)
    new = np.flatnonzero(part == "")
    _follow(part, units.unit, new)
    free = new[part[new] == ""]
    fresh = np.setdiff1d(labels[free], labels[everything[part[everything] != ""]]) if not strata else labels[:0]
    stated, all_stated = given[free], given[everything]
    if "val" in stated and "test" not in all_stated:  # as in a first training
        stated = np.where(stated == "val", "test", stated)
    validated = "val" in all_stated and "test" in all_stated
    draws_test = "test" not in stated and test_fraction is not None
    part[free] = stated
    _follow(part, units.unit, free[stated == ""])
    rest = free[part[free] == ""]
    drawn = np.intersect1d(labels[rest], fresh)
    _require_fresh(units, free[~np.isin(part[free], HELD_OUT)], classes, drawn, 1 + draws_test + (not validated))
    if draws_test and test_fraction is not None:
        part[_drawn(units, rest, test_fraction, fresh, rng)] = "test"
        rest = rest[part[rest] == ""]
    number = folds or (10 if (part[everything] != "test").sum() >= 10 * MANY else 5)
    if validated:
        if "val" not in stated:
            part[_drawn(units, rest, 1 / number, fresh, rng)] = "val"
        part[rest[part[rest] == ""]] = "train"
        train, val, test = (np.flatnonzero(part == name) for name in RANK)
        pairs: tuple[tuple[Indices, Indices], ...] = ((train, val),)
    else:
        development, test = everything[part[everything] != "test"], np.flatnonzero(part == "test")
        of = _fold_numbers(part, units, development, number, fresh, rng)
        train, val = development[of != 0], development[of == 0]
        others = (k for k in range(1, number) if (of == k).any())
        pairs = ((train, val), *((development[of != k], development[of == k]) for k in others))
    _require_parts(labels, train, val, test, everything, classes, test_fraction is not None, strata)
    shares = ", ".join(
        f"{len(np.intersect1d(new, rows)):,} in {name}" for name, rows in zip(RANK, (train, val, test), strict=True)
    )
    rule = f"images of the run keep their split; {count(len(new), 'new image')}: {shares}"
    return Split(train, val, test, pairs, not validated, rule)


def _follow(part: Strings, unit: Indices, new: Indices) -> None:
    """Put copies and group members of known images where these are."""
    beside = {name: np.isin(unit[new], unit[part == name]) for name in RANK}
    for name in reversed(RANK):  # the one that decides comes last
        part[new[beside[name]]] = name


def _require_fresh(units: Units, among: Indices, classes: Sequence[str], fresh: Indices, needed: int) -> None:
    """DataError for classes that are all new and have too few images."""
    if len(fresh):
        names = [classes[k] for k in fresh]
        number = np.full(len(classes), -1)
        number[fresh] = np.arange(len(fresh))
        mine = among[np.isin(units.labels[among], fresh)]
        require_sizes(units.renamed(number), mine, names, needed, "the new images")


def _drawn(units: Units, among: Indices, share: float, fresh: Indices, rng: np.random.Generator) -> Indices:
    """About a share of the images, in whole units, by class; of a class that is all new one unit at least."""
    chosen: list[int] = []
    for label, members in _by_class(units, among, rng):
        exact = share * len(members)
        number = int(exact) + int(rng.random() < exact % 1)
        if label in fresh:
            number = min(max(1, round(exact)), max(1, len(members) - 2))
        chosen.extend(members[:number])
    return among[np.isin(units.unit[among], chosen)]


def _fold_numbers(
    part: Strings, units: Units, among: Indices, number: int, fresh: Indices, rng: np.random.Generator
) -> Indices:
    """A fold for each of `among`, spread by class: 0 for validation images of the run, above 0 for its training images,
    any for new ones.
    """
    of = np.zeros(len(among), np.int64)
    for name, first in (("train", 1), ("", 0)):
        mine = np.flatnonzero(part[among] == name)
        fold_of = {}
        for label, members in _by_class(units, among[mine], rng):
            start = 0 if label in fresh else int(rng.integers(number - first))
            for place, unit in enumerate(members.tolist()):
                fold_of[unit] = first + (start + place) % (number - first)
        of[mine] = [fold_of[unit] for unit in units.unit[among[mine]].tolist()]
    return of


def _by_class(units: Units, among: Indices, rng: np.random.Generator) -> list[tuple[int, Indices]]:
    """Classes, and the units of each in random order; a unit of several classes is of that of its first image."""
    numbers, first = np.unique(units.unit[among], return_index=True)
    label = units.labels[among][first]
    return [(int(c), rng.permutation(numbers[label == c])) for c in np.unique(label)]


def _require_parts(
    labels: Indices,
    train: Indices,
    val: Indices,
    test: Indices,
    everything: Indices,
    classes: Sequence[str],
    tested: bool,
    strata: bool,
) -> None:
    """DataError where a class has no image to learn from, or nothing is left to validate or test."""
    lost = np.setdiff1d(labels[everything], labels[train])
    if len(lost) and not strata:
        raise DataError(
            f"{count(len(lost), 'class', 'classes')} without training images",
            found=f"no images of {', '.join(repr(classes[i]) for i in lost[:5])} that can be used for training",
            expected="training images of every class",
            fix="add images of these classes, or remove the classes",
        )
    gone = [
        name for name, rows, needed in (("validation", val, True), ("test", test, tested)) if needed and not len(rows)
    ]
    if gone or not len(train):
        raise DataError(
            f"no {' or '.join(gone or ['training'])} images are left",
            found="that those of the run are missing, and no new images replace them",
            expected="images in every split",
            fix="restore the images of the run, or start a new run without --from",
        )
