"""Findings about the splits: groups that are on both sides, and classes that a split lacks."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from clearsight.data.dataset import Dataset
from clearsight.data.findings import PART_NAMES, Finding
from clearsight.data.splits import Split
from clearsight.wording import count, listed


def groups_across_splits(dataset: Dataset, split: Split) -> list[Finding]:
    """Findings about groups with images in two splits, which happens where the data states both groups and splits.

    Args:
        dataset: images and targets.
        split: the training, validation and test images.

    Returns:
        A finding for each pair of splits that share groups.
    """
    if dataset.groups is None:
        return []
    found = []
    parts = split.parts()
    for known, new in combinations(PART_NAMES, 2):
        shared = np.intersect1d(dataset.groups[parts[known]], dataset.groups[parts[new]])
        if not len(shared):
            continue
        groups = []
        for group in shared:
            both = [(part, i) for part in (known, new) for i in parts[part] if dataset.groups[i] == group]
            groups.append([f"{part}: {dataset.source.name(int(i))}" for part, i in both])
        in_new = len(np.unique(dataset.groups[parts[new]]))
        found.append(
            Finding(
                "groups-across-splits",
                "warning",
                f"{count(len(shared), 'group')} of {in_new} in the {PART_NAMES[new]} split also in the "
                f"{PART_NAMES[known]} split; scores on known groups are too high",
                "keep each group in one split, or remove the `split` column so that whole groups are assigned",
                {"groups": groups, "splits": [known, new]},
            )
        )
    return found


def missing_classes(dataset: Dataset, split: Split) -> list[Finding]:
    """Findings about classes of which a split has no image. Of test labels only the list of classes is used.

    Args:
        dataset: images and targets.
        split: the training, validation and test images.

    Returns:
        A finding for each split that lacks classes.
    """
    if not dataset.task.needs_classes:
        return []
    found = []
    for part, rows in split.parts().items():
        present = np.unique(dataset.labels[rows])
        missing = [name for c, name in enumerate(dataset.classes) if c not in present]
        if not missing or not len(rows):
            continue
        words = listed([repr(name) for name in missing], 10)
        use = {
            "train": "the model cannot learn it",
            "val": "model selection and calibration ignore it",
            "test": "its accuracy is not measured",
        }[part]
        found.append(
            Finding(
                "class-missing-from-split",
                "warning",
                f"no image of {'class' if len(missing) == 1 else 'classes'} {words} in the {PART_NAMES[part]} split: "
                + use,
                f"add images of {words} to the {PART_NAMES[part]} split, or remove the {part} split so that one is "
                "made of every class",
                {"classes": missing, "splits": [part]},
            )
        )
    return found
