"""ImageNet's own layout: train/WNID/*.JPEG, and a flat val/ whose answers stand in a separate file.

The answers are `LOC_val_solution.csv` (`ImageId,PredictionString`, the first word of the second being the WNID) or the
development kit's `ILSVRC2012_validation_ground_truth.txt` with `meta.mat`. Both are looked for beside and above the
image folders, the archive's `ILSVRC/Data/CLS-LOC/` included.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from clearsight.data.dataset import Files, Listing
from clearsight.data.targets import Stated
from clearsight.errors import DataError
from clearsight.wording import count

_WNID = re.compile(r"n\d{8}")


def is_imagenet(root: Path) -> bool:
    """Whether train/ holds WordNet-named folders and val/ holds images directly."""
    base = _base(root)
    train, val = base / "train", base / "val"
    if not (train.is_dir() and val.is_dir()):
        return False
    return any(_WNID.fullmatch(p.name) for p in train.iterdir()) and any(p.suffix == ".JPEG" for p in val.iterdir())


def read_imagenet(root: Path) -> Listing:
    """Training and validation images; DataError when the validation answers are not found."""
    base = _base(root)
    rows = [
        (path, folder.name, "train")
        for folder in sorted((base / "train").iterdir())
        if folder.is_dir() and _WNID.fullmatch(folder.name)
        for path in sorted(folder.glob("*.JPEG"))
    ]
    validation_classes = _validation_classes(root, base)
    for path in sorted((base / "val").glob("*.JPEG")):
        if path.stem not in validation_classes:
            raise DataError(f"{path.name} is not listed in ImageNet's validation labels")
        rows.append((path, validation_classes[path.stem], "val"))
    train, val = ({name for _, name, split in rows if split == s} for s in ("train", "val"))
    if train != val:
        raise DataError(
            f"the classes of {base}/train and {base}/val differ: {count(len(train ^ val), 'class', 'classes')} in "
            "only one of them",
            found="; ".join(
                f"only in {where}: {', '.join(sorted(names)[:8])}{', ...' if len(names) > 8 else ''}"
                for where, names in (("train", train - val), ("val", val - train))
                if names
            ),
            expected="the same classes in both",
            fix="add images of the missing classes, or remove the classes that are in only one split",
        )
    given = np.array([split for _, _, split in rows], dtype="<U5")
    paths = tuple(path for path, _, _ in rows)
    stated = Stated(str(root.resolve()), tuple(name for _, name, _ in rows))
    return Listing(root.resolve().name, Files(paths, root), given, stated)


def _base(root: Path) -> Path:
    for inner in ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC"):
        if (root / inner).is_dir():
            return root / inner
    return root


def _validation_classes(root: Path, base: Path) -> dict[str, str]:
    places = [root, *(base.parents[i] for i in range(3) if base != root and len(base.parents) > i), base]
    for place in places:
        table = place / "LOC_val_solution.csv"
        if table.is_file():
            found = re.findall(r"^(\w+),(n\d{8})\b", table.read_text(), re.MULTILINE)
            if not found:
                raise DataError(
                    f"{table} contains no labels", expected="lines such as `ILSVRC2012_val_00000001,n01751748`"
                )
            return dict(found)
        for kit in (place, place / "data", place / "ILSVRC2012_devkit_t12" / "data"):
            truth, meta = kit / "ILSVRC2012_validation_ground_truth.txt", kit / "meta.mat"
            if truth.is_file() and meta.is_file():
                from scipy.io import loadmat

                synsets = loadmat(str(meta), squeeze_me=True)["synsets"]
                wnid = {int(row[0]): str(row[1]) for row in synsets}
                numbers = [int(n) for n in truth.read_text().split()]
                return {f"ILSVRC2012_val_{i:08d}": wnid[n] for i, n in enumerate(numbers, start=1)}
    raise DataError(
        f"{root} looks like ImageNet, but the validation labels are missing",
        expected="LOC_val_solution.csv, or ILSVRC2012_validation_ground_truth.txt with meta.mat",
        fix=f"place one of these in {root}",
    )
