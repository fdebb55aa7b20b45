"""The MNIST family's IDX files: magic (0, 0, type, dimensions), big-endian sizes, then the values."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearsight.data.dataset import Array, Listing
from clearsight.data.targets import Stated
from clearsight.errors import DataError

_SPLIT_PREFIX = {"train": "train", "t10k": "test", "test": "test", "val": "val"}


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, gzipped or not; uncompressed files are memory-mapped."""
    packed = path.suffix == ".gz"
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:3] != b"\0\0\x08":
                raise DataError(
                    f"{path} is not an IDX file of unsigned bytes",
                    found=f"magic {head.hex()}",
                    expected="000008 followed by the number of dimensions",
                )
            raw = stream.read(4 * head[3])
            shape = struct.unpack(f">{head[3]}I", raw)
            offset, size = 4 + len(raw), math.prod(shape)
            if not packed:
                have = path.stat().st_size - offset
                if have != size or not size:
                    raise _wrong_size(path, have, shape)
                return np.memmap(path, dtype=np.uint8, mode="r", offset=offset, shape=shape)
            content = stream.read()
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise DataError(f"{path} cannot be read as IDX", found=str(error)) from error
    if len(content) != size or not size:
        raise _wrong_size(path, len(content), shape)
    return np.frombuffer(content, np.uint8).reshape(shape)


def _wrong_size(path: Path, have: int, shape: tuple[int, ...]) -> DataError:
    size = math.prod(shape)
    state = "is empty" if not size else "is truncated" if have < size else "is longer than its header states"
    return DataError(f"{path} {state}", found=f"{have} bytes", expected=f"{size} for shape {shape}")


def is_idx_folder(root: Path) -> bool:
    """Whether MNIST's training images lie here."""
    return _find(root, "train", "images") is not None


def read_idx_folder(root: Path, name: str, origin: str, classes: tuple[str, ...] | None = None) -> Listing:
    """All splits of an MNIST-like folder; `classes` names the label numbers."""
    images, labels, given = [], [], []
    for prefix, split in _SPLIT_PREFIX.items():
        x, y = _find(root, prefix, "images"), _find(root, prefix, "labels")
        if x is None and y is None:
            continue
        if x is None or y is None:
            raise DataError(f"{root} has {prefix} images or labels, but not both", fix="add the missing IDX file")
        pixels, values = read_idx(x), read_idx(y)
        if pixels.ndim != 3 or values.shape != pixels.shape[:1]:
            raise DataError(f"{x.name} and {y.name} do not match", found=f"shapes {pixels.shape} and {values.shape}")
        images.append(pixels)
        labels.append(values)
        given.append(np.full(len(values), split, dtype="<U5"))
    if len(sizes := {x.shape[1:] for x in images}) > 1:
        raise DataError(
            f"the splits in {root} contain images of different sizes", found=sorted(sizes), expected="one size"
        )
    values = np.concatenate(labels)
    if classes is not None and values.max() >= len(classes):
        raise DataError(
            f"{root} does not contain {name}", found=f"label {values.max()}", expected=f"labels 0 to {len(classes) - 1}"
        )
    cells = tuple(str(v) if classes is None else classes[v] for v in values.tolist())
    return Listing(name, Array(np.concatenate(images)), np.concatenate(given), Stated(origin, cells, classes=classes))


def _find(root: Path, prefix: str, what: str) -> Path | None:
    rank = 3 if what == "images" else 1
    for joint in ("-", "."):
        for end in ("", ".gz"):
            path = root / f"{prefix}-{what}{joint}idx{rank}-ubyte{end}"
            if path.is_file():
                return path
    return None
