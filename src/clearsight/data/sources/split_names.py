"""Which split the names of files mean: train-00000.parquet, test-00000.parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clearsight.data.sources.folder import split_in
from clearsight.errors import DataError
from clearsight.wording import count


def splits_of(files: Sequence[Path], root: Path) -> list[str]:
    """The split that each file of a data set is of, by its name, or that of the folder it is in.

    Args:
        files: below the folder.
        root: the folder.

    Returns:
        "train", "val" or "test" for each; "" for all where they are not of several splits.

    Raises:
        DataError: only some have the name of a split.
    """
    found = [split_of(file.relative_to(root)) for file in files]
    if len(set(found) - {""}) < 2:
        return [""] * len(files)
    if unclear := [file.name for file, split in zip(files, found, strict=True) if not split]:
        raise DataError(
            f"it is unclear to which split {count(len(unclear), 'file')} in {root} belong{'s' * (len(unclear) == 1)}",
            found=", ".join(unclear[:5]), expected="train, val or test in the name of every file",
            fix="rename these files, or move them elsewhere",
        )  # fmt: skip
    return found


def split_of(path: Path) -> str:
    """The split that a path means by its last part, or by that of its folders which is closest; "" where none does."""
    for name in (path.name.split(".")[0], *reversed(path.parts[:-1])):
        if meant := split_in(name):
            return meant[0]
    return ""
