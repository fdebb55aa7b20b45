"""NumPy archives (.npz) of images and labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from clearsight.data.dataset import Listing
from clearsight.data.sources.archive import ALLOWED, RATIO
from clearsight.data.sources.arrays import read_pair
from clearsight.data.sources.selection import Selection
from clearsight.errors import DataError

PAIRS = (("images", "labels"), ("x", "y"), ("data", "target"))
SPLITS = (("", ("",)), ("train", ("_train",)), ("val", ("_val", "_valid")), ("test", ("_test",)))


def read_npz(path: Path, selection: Selection | None = None) -> Listing:
    """An .npz with images and labels: (images|X|x|x_train..., labels|y|y_train...), and x_test/y_test where given; the
    splits of MedMNIST (train_images, train_labels, ...); or the arrays that the user selects.
    """
    selection = selection or Selection()
    selection.only(str(path), "label", "image")
    try:
        # opened here, as NumPy leaves a broken archive open
        with path.open("rb") as stream:
            if stream.read(6) == b"\x93NUMPY":
                raise _single(path)
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            _require_size(path, archive)
            names = {key.lower(): key for key in archive.files}
            if len(names) < len(archive.files):
                raise DataError(f"{path} has arrays whose names differ in case alone", found=", ".join(archive.files))
            members = {member.filename.removesuffix(".npy"): member for member in archive.zip.infolist()}
            contents = {key: (members[name].CRC, members[name].file_size) for key, name in names.items()}
            pairs = _pairs(path, names, contents, selection)
            used = [key for _, x, y in pairs for key in (x, y)]
            arrays = {key: archive[names[key]] for key in used}
            if not pairs:
                raise _no_pairs(path, {key: archive[name].shape for key, name in names.items()}, selection)
            losses = [
                f"left out the array {key}, which has no labels of its own, with shape {archive[name].shape}"
                for key, name in names.items()
                if key not in used and _about_images(key) and archive[name].ndim in (3, 4)
            ]
    except DataError:
        raise
    except Exception as error:  # zipfile, format and pickle faults
        if "Object arrays" in str(error):
            raise DataError(
                f"{path} contains pickled Python objects, which can execute arbitrary code when loaded",
                fix="save plain arrays, such as `labels.astype(str)`",
            ) from error
        raise DataError(f"{path} cannot be read as .npz", found=str(error)[:120]) from error

    parts: list[tuple[str, Any, Any]] = [(split, arrays[x], arrays[y]) for split, x, y in pairs]
    for split, images, labels in parts:
        if images.ndim not in (3, 4) or labels.ndim not in (1, 2) or labels.shape[:1] != images.shape[:1]:
            raise DataError(
                f"{path}: the shapes of {split + ' ' if split else ''}images and labels do not match",
                found=f"{images.shape} and {labels.shape}",
                expected="(N, H, W), (N, H, W, C) or (N, C, H, W), and one label, or one row of numbers, per image",
            )
    if len(kinds := {(images.shape[1:], images.dtype) for _, images, _ in parts}) > 1:
        raise DataError(
            f"the splits in {path} contain images of different shapes or types",
            found=" and ".join(sorted(f"{shape} {dtype}" for shape, dtype in kinds)),
            expected="one shape and one data type",
        )
    whole = read_pair(np.concatenate([p[1] for p in parts]), np.concatenate([_flat(p[2]) for p in parts]))
    given = np.concatenate([np.full(len(p[1]), p[0], dtype="<U5") for p in parts])
    stated = replace(whole.stated, origin=str(path.resolve()))
    return replace(whole, name=path.stem, given=given, stated=stated, losses=tuple(losses))


def _pairs(
    path: Path, names: dict[str, str], contents: dict[str, tuple[int, int]], selection: Selection
) -> list[tuple[str, str, str]]:
    """Split, name of the images and name of the labels of each pair of arrays, in lower case. contents: checksum and
    size of each array; a pair that is there twice, under two names, is one.
    """
    if selection.image or selection.label:
        chosen = [name.lower() for name in (selection.image, selection.label)]
        if not all(chosen):
            raise DataError(
                f"the selection for {path} is incomplete", found=", ".join(names) or "nothing",
                expected="both arrays: #image=ARRAY&label=ARRAY",
            )  # fmt: skip
        if missing := [repr(name) for name in chosen if name not in names]:
            raise DataError(
                f"{path} has no array {' or '.join(missing)}", found=", ".join(names) or "nothing",
                expected="#image=ARRAY&label=ARRAY",
            )  # fmt: skip
        return [("", chosen[0], chosen[1])]
    found = []
    for split, suffixes in SPLITS:
        ways = [(x + end, y + end) for end in suffixes for x, y in PAIRS]
        ways += [(f"{split}_images", f"{split}_labels")] if split else []
        there = [(x, y) for x, y in ways if x in names and y in names]
        known = [*{(contents[x], contents[y]): (x, y) for x, y in reversed(there)}.values()][::-1]
        if len(known) > 1:
            fix = "; ".join(f"for {y!r}, use {selection.command(str(path), image=x, label=y)}" for x, y in known)
            raise DataError(
                f"{path} has several pairs of images and labels", found=", ".join(f"{x} and {y}" for x, y in known),
                expected=f"one pair{f' for {split}' * bool(split)}", fix=fix,
            )  # fmt: skip
        found += [(split, *known[0])] if known else []
    return found


def _single(path: Path) -> DataError:
    return DataError(
        f"{path} cannot be read as .npz", found="a single array", expected="images and labels",
        fix="write both with `np.savez(path, images=images, labels=labels)`",
    )  # fmt: skip


def _require_size(path: Path, archive: NpzFile) -> None:
    """DataError for arrays that are far larger than their file: these would fill the memory."""
    total = sum(one.file_size for one in (archive.zip.infolist() if archive.zip else []))
    allowed = max(ALLOWED, RATIO * path.stat().st_size)
    if total > allowed:
        raise DataError(
            f"{path} is refused", found=f"{total / 1e9:.1f} GB of arrays",
            expected=f"at most {RATIO} times the size of the file",
        )  # fmt: skip


def _about_images(name: str) -> bool:
    """Whether an array is called as images are."""
    words = {word for pair in PAIRS for word in pair[:1]}
    return any(word in words for word in name.split("_"))


def _no_pairs(path: Path, shapes: dict[str, tuple[int, ...]], selection: Selection) -> DataError:
    """The error for arrays whose names do not say what they are, with those that fit each other by their shapes."""
    fitting = [
        (x, y)
        for x, shape in shapes.items()
        for y, other in shapes.items()
        if len(shape) in (3, 4) and len(other) in (1, 2) and shape[0] == other[0]
    ]
    ways = [f"for {x} with {y}, use {selection.command(str(path), image=x, label=y)}" for x, y in fitting[:4]]
    return DataError(
        f"{path} contains no pair of image and label arrays with known names",
        found=", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "nothing",
        expected="arrays named images and labels, or x_train, y_train, x_test and y_test",
        fix="; ".join(ways) or None,
    )


def _flat(labels: NDArray[Any]) -> NDArray[Any]:
    """One column of labels (N, 1) as (N,)."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
