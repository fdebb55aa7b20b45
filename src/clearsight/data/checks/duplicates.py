"""Findings about images that are in the data more than once: across splits, with two labels, within a split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

from clearsight.data.checks.copies import Copy
from clearsight.data.dataset import Dataset
from clearsight.data.findings import PART_NAMES, Finding
from clearsight.data.scan import Scan
from clearsight.data.splits import Split
from clearsight.wording import count, listed

INFLATES = "; such leakage inflates the scores"
"""End of the messages on copies across splits."""

TURNED = ("mirrored", "rotated")
"""Words of copies whose label may differ for a reason: a 6 turned around is a 9."""


def part_of_images(split: Split, n: int) -> NDArray[np.str_]:
    """The part of each of N images, "" for those in none.

    Args:
        split: the training, validation and test images.
        n: number of images.

    Returns:
        Names of parts (N,).
    """
    part = np.full(n, "", dtype="<U5")
    for name, indices in split.parts().items():
        part[indices] = name
    return part


def exact_duplicates(dataset: Dataset, contents: Sequence[str], split: Split) -> list[Finding]:
    """Findings about images of equal pixels, whatever their files.

    Args:
        dataset: images and targets.
        contents: digests of the pixels, "" for images that cannot be read.
        split: the training, validation and test images.

    Returns:
        Findings on copies across splits, with two labels, and within a split.
    """
    part = part_of_images(split, len(dataset))
    copies: dict[str, list[int]] = {}
    for i, digest in enumerate(contents):
        if digest and part[i]:
            copies.setdefault(digest, []).append(i)
    groups = [group for group in copies.values() if len(group) > 1]

    def named(chosen: list[list[int]]) -> dict[str, object]:
        return {"groups": [[f"{part[i]}: {dataset.source.name(i)}" for i in group] for group in chosen]}

    crossing = [group for group in groups if len({part[i] for i in group}) > 1]
    contradicting = [group for group in groups if len({dataset.labels[i] for i in group if part[i] != "test"}) > 1]
    within = [group for group in groups if group not in crossing]
    found = []
    if crossing:
        message = f"{_groups(crossing)} in several splits{INFLATES}"
        fix = "keep the copies of an image in one split only"
        found.append(Finding("duplicates-across-splits", "warning", message, fix, named(crossing)))
    if contradicting:
        message = f"{_groups(contradicting)} with different labels"
        found.append(
            Finding(
                "duplicates-with-two-labels", "warning", message, "correct the wrong labels",
                named(contradicting) | {"labels": _labels(dataset, list(chain(*contradicting)), part)},
            )
        )  # fmt: skip
    if within:
        message = f"{_groups(within)}, each kept in one split"
        found.append(Finding("duplicates", "note", message, "", named(within)))
    return found


def _groups(groups: Sequence[Sequence[int]]) -> str:
    """Groups of copies in words: pairs, or groups and how many images are in them.

    Example:
        >>> _groups([[0, 1], [2, 3]]), _groups([[0, 1, 2]])
        ('2 pairs of identical images', '1 group of 3 identical images')
    """
    if all(len(group) == 2 for group in groups):
        return f"{count(len(groups), 'pair')} of identical images"
    if len(groups) == 1:
        return f"1 group of {len(groups[0]):,} identical images"
    return f"{len(groups):,} groups of identical images ({sum(map(len, groups)):,} images)"


def near_duplicates(dataset: Dataset, scan: Scan, split: Split, copies: Sequence[Copy]) -> list[Finding]:
    """Findings about images that are copies although their files differ.

    Args:
        dataset: images and targets.
        scan: digests of the images.
        split: the training, validation and test images.
        copies: pairs of copies.

    Returns:
        For each pair of splits a finding on copies across them; contradictions; copies within a split.
    """
    part = part_of_images(split, len(dataset))
    pairs = [c for c in copies if scan.digests[c.first] != scan.digests[c.second] and part[c.first] and part[c.second]]
    found = list(_across(dataset, part, pairs))
    within = [c for c in pairs if part[c.first] == part[c.second]]
    contradicting = [
        c
        for c in pairs
        if not c.kind.startswith(TURNED)
        and "test" not in (part[c.first], part[c.second])
        and dataset.labels[c.first] != dataset.labels[c.second]
    ]
    if contradicting:
        message = f"{count(len(contradicting), 'pair')} of near duplicates with different labels"
        rows = [i for c in contradicting for i in (c.first, c.second)]
        found.append(
            Finding(
                "near-duplicates-with-two-labels", "warning", message, "correct the wrong labels",
                {"pairs": _pairs(dataset, contradicting), "labels": _labels(dataset, rows, part)},
            )
        )  # fmt: skip
    if within:
        message = f"{count(len(within), 'pair')} of near duplicates within a split ({_kinds(within)})"
        found.append(Finding("near-duplicates", "note", message, "", {"pairs": _pairs(dataset, within)}))
    return found


def _across(dataset: Dataset, part: NDArray[np.str_], pairs: Sequence[Copy]) -> Iterator[Finding]:
    for known, new in combinations(PART_NAMES, 2):
        some = [c for c in pairs if {part[c.first], part[c.second]} == {known, new}]
        if not some:
            continue
        ordered = [c if part[c.first] == new else Copy(c.second, c.first, c.kind, c.similarity) for c in some]
        images = list(dict.fromkeys(dataset.source.name(c.first) for c in ordered))
        yield Finding(
            "near-duplicates-across-splits",
            "warning",
            f"{count(len(images), f'{PART_NAMES[new]} image')} nearly identical to, or changed copies of, "
            f"{PART_NAMES[known]} images ({_kinds(some)}){INFLATES}",
            "inspect the pairs with `clearsight audit DATA --out FOLDER`, and keep the copies of an image in one "
            "split: give them the same value in a `group` column",
            {"pairs": _pairs(dataset, ordered), "images": images, "splits": [known, new]},
        )


def _kinds(copies: Sequence[Copy]) -> str:
    return listed([f"{n} {kind}" for kind, n in Counter(c.kind for c in copies).most_common()], 6)


def _pairs(dataset: Dataset, copies: Sequence[Copy]) -> list[list[object]]:
    return [[dataset.source.name(c.first), dataset.source.name(c.second), c.kind, c.similarity] for c in copies]


def _labels(dataset: Dataset, rows: Sequence[int], part: NDArray[np.str_]) -> dict[str, str]:
    """The labels of images by name; those of test images are not shown."""
    return {dataset.source.name(i): dataset.words(i) for i in rows if part[i] != "test"}
