"""IDX files put together by hand, plain and gzipped, whole and broken."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from clearsight.data.sources.idx import is_idx_folder, read_idx
from clearsight.errors import DataError
from clearsight.tasks import read

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 5, 4)).astype(np.uint8)
LABELS = np.array([3, 1, 3, 1, 10, 3, 1], np.uint8)


def idx(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def folder(root: Path, end: str = "", splits: tuple[str, ...] = ("train", "t10k")) -> Path:
    for split in splits:
        put(root / f"{split}-images-idx3-ubyte{end}", idx(IMAGES))
        put(root / f"{split}-labels-idx1-ubyte{end}", idx(LABELS))
    return root


@pytest.mark.parametrize("end", ["", ".gz"])
def test_one_file(tmp_path, end):
    assert (read_idx(put(tmp_path / f"x{end}", idx(IMAGES))) == IMAGES).all()


@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_folder(tmp_path, end):
    found = read(folder(tmp_path, end))
    assert found.classes == ("1", "3", "10")
    assert [found.classes[i] for i in found.labels[:7]] == [str(v) for v in LABELS]
    assert found.given.tolist() == ["train"] * 7 + ["test"] * 7
    assert (found.source.images == np.concatenate([IMAGES, IMAGES])).all()


def test_dots_in_names(tmp_path):
    put(tmp_path / "train-images.idx3-ubyte", idx(IMAGES))
    put(tmp_path / "train-labels.idx1-ubyte", idx(LABELS))
    assert is_idx_folder(tmp_path)
    assert len(read(tmp_path)) == 7


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(IMAGES)[:-1], r"is truncated; found 139 bytes; expected 140 for shape \(7, 5, 4\)"),
        (idx(IMAGES) + b"x", "is longer than its header states; found 141 bytes"),
        (idx(IMAGES)[:9], "cannot be read as IDX"),
        (b"\0\0\x08", "is not an IDX file of unsigned bytes; found magic 000008"),
        (b"", "is not an IDX file of unsigned bytes"),
        (b"\0\0\x0d\x01" + bytes(20), "found magic 00000d01; expected 000008"),
        (idx(IMAGES[:0]), "is empty"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "is truncated"),
    ],
)
def test_broken_files(tmp_path, end, content, message):
    with pytest.raises(DataError, match=message):
        read_idx(put(tmp_path / f"x{end}", content))


def test_broken_archives(tmp_path):
    packed = gzip.compress(idx(IMAGES))
    flipped = packed[:40] + bytes(b ^ 255 for b in packed[40:60]) + packed[60:]
    for content in (packed[: len(packed) // 2], flipped, b"no archive at all", packed[:-4] + b"abcd"):
        (tmp_path / "x.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"x\.gz (cannot be read as IDX|is truncated)"):
            read_idx(tmp_path / "x.gz")


def test_one_of_two_files(tmp_path):
    folder(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"has t10k images or labels, but not both. Add the missing IDX file"):
        read(tmp_path)


def test_files_that_do_not_fit(tmp_path):
    folder(tmp_path)
    put(tmp_path / "t10k-labels-idx1-ubyte", idx(LABELS[:3]))
    with pytest.raises(
        DataError, match=r"t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte do not match; found shapes \(7, 5, 4\)"
    ):
        read(tmp_path)
    put(tmp_path / "t10k-labels-idx1-ubyte", idx(LABELS))
    put(tmp_path / "t10k-images-idx3-ubyte", idx(IMAGES[:, 1:]))
    with pytest.raises(DataError, match=r"images of different sizes; found \[\(4, 4\), \(5, 4\)\]"):
        read(tmp_path)
