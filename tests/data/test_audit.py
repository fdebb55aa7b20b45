"""Every finding fires on data made for it, and none on data without fault."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from clearsight.data.audit import Audit, duplicate_groups
from clearsight.data.cached_pixels import CachedPixels
from clearsight.data.geometry import Geometry
from clearsight.data.prepare import prepare
from clearsight.data.scan import scan
from clearsight.data.thumbnails import NEAR, thumbnails, unit_thumbnails
from clearsight.tasks import read

SIDE = 96


def picture(seed: int, level: float = 128) -> np.ndarray:
    """A smooth random picture (96, 96, 3), unlike every other."""
    noise = np.random.default_rng(seed).normal(0, 1, (8, 8, 3))
    smooth = cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    smooth = (smooth - smooth.mean()) / smooth.std() * 40
    return np.clip(smooth + level, 0, 255).astype(np.uint8)


def put(path: Path, array: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def clean(root: Path, per_class: int = 25) -> Path:
    """Split folders without fault: 2 classes, 25 training and 10 test pictures of each."""
    seed = 0
    for split, count in (("train", per_class), ("test", 10)):
        for name in ("cat", "dog"):
            for i in range(count):
                seed += 1
                put(root / split / name / f"{i}.png", picture(seed))
    return root


def audited(data: object, **options: object) -> Audit:
    found = read(data)
    return prepare(found, scan(found), Geometry(SIDE, SIDE), **options).audit


def codes(found: Audit) -> list[str]:
    return [f.code for f in found.findings]


def finding(found: Audit, code: str):
    (one,) = [f for f in found.findings if f.code == code]
    return one


def test_clean_data(tmp_path):
    found = audited(clean(tmp_path / "pets"))
    assert codes(found) == []
    assert (found.name, found.images, found.usable, found.classes) == ("pets", 70, 70, ("cat", "dog"))
    assert found.counts == {"train": {"cat": 20, "dog": 20}, "val": {"cat": 5, "dog": 5}, "test": {"images": 20}}
    assert found.set_aside == {}
    assert found.pixels["modes"] == {"RGB 8-bit": 70}
    assert found.to_dict()["counts"] == found.counts


def test_unreadable(tmp_path):
    clean(tmp_path)
    (tmp_path / "train" / "cat" / "0.png").write_bytes(b"")
    path = tmp_path / "test" / "dog" / "1.png"
    path.write_bytes(path.read_bytes()[:-100])
    found = audited(tmp_path)
    one = finding(found, "unreadable")
    assert one.severity == "error"
    assert one.message == "2 files cannot be read (cat 1, dog 1): test/dog/1.png, train/cat/0.png"
    assert found.errors == 1
    assert "error: 2 files cannot be read" in found.text()
    assert set(one.evidence["files"]) == {"train/cat/0.png", "test/dog/1.png"}
    assert found.usable == 68
    assert "0 bytes" in found.set_aside["train/cat/0.png"]
    assert "cannot be decoded" in found.set_aside["test/dog/1.png"]


def test_exact_copies_within_a_split(tmp_path):
    clean(tmp_path)
    put(tmp_path / "train" / "cat" / "again.png", picture(1))
    found = audited(tmp_path)
    one = finding(found, "duplicates")
    assert codes(found) == ["duplicates"]
    assert one.severity == "note"
    (group,) = one.evidence["groups"]
    assert [g.split(": ")[1] for g in group] == ["train/cat/0.png", "train/cat/again.png"]
    assert len({g.split(": ")[0] for g in group}) == 1  # both train, or both validate


FILES = ("again.png", "again.bmp", "again.tif")
"""Files of the same pixels: of equal content, and in other formats without loss."""


@pytest.mark.parametrize("again", FILES)
def test_exact_copies_across_splits(tmp_path, again):
    clean(tmp_path)
    put(tmp_path / "test" / "cat" / again, picture(1))
    found = audited(tmp_path)
    assert codes(found) == ["duplicates-across-splits"]
    one = finding(found, "duplicates-across-splits")
    assert one.severity == "warning"
    assert {g.split("/")[0] for g in one.evidence["groups"][0]} & {"test: test"}


@pytest.mark.parametrize("again", FILES)
def test_exact_copies_with_two_labels(tmp_path, again):
    clean(tmp_path)
    put(tmp_path / "train" / "dog" / again, picture(1))
    found = audited(tmp_path)
    (group,) = finding(found, "duplicates-with-two-labels").evidence["groups"]
    assert {g.split(": ")[1] for g in group} == {"train/cat/0.png", f"train/dog/{again}"}
    assert len(codes(found)) == 2


def test_a_copy_in_the_test_split_under_another_label_shows_no_test_label(tmp_path):
    clean(tmp_path)
    put(tmp_path / "test" / "dog" / "again.png", picture(1))
    assert codes(audited(tmp_path)) == ["duplicates-across-splits"]


def test_an_image_set_aside_is_no_copy(tmp_path):
    clean(tmp_path)
    for name in ("x", "y"):
        (tmp_path / "train" / "cat" / f"{name}.png").write_bytes(b"")
    assert codes(audited(tmp_path)) == ["unreadable"]


@pytest.mark.parametrize("change", ["jpeg 85", "jpeg 50", "brighter", "darker", "smaller", "noise", "gray"])
def test_near_duplicates_across_splits(tmp_path, change):
    clean(tmp_path)
    array = picture(1)
    path = tmp_path / "test" / "cat" / "near.png"
    if change.startswith("jpeg"):
        path = path.with_suffix(".jpg")
        put(path, array, quality=int(change[5:]))
    else:
        changed = {
            "brighter": np.clip(array.astype(int) + 12, 0, 255),
            "darker": array * 0.8,
            "smaller": cv2.resize(array, (80, 80), interpolation=cv2.INTER_AREA),
            "noise": np.clip(array + np.random.default_rng(0).normal(0, 5, array.shape), 0, 255),
            "gray": np.repeat((array @ [0.299, 0.587, 0.114])[:, :, None], 3, axis=2),
        }[change]
        put(path, changed.astype(np.uint8))
    one = finding(audited(tmp_path), "near-duplicates-across-splits")
    ((test_name, train_name, kind, likeness),) = one.evidence["pairs"]
    assert (test_name, train_name, kind) == (f"test/cat/{path.name}", "train/cat/0.png", "nearly identical")
    assert 0.99 <= likeness <= 1


def test_beyond_the_limit_only_aligned_copies_are_searched():
    """In blocks of 2,048, so that memory does not grow with the data; the audit states what it did not search."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2100, 16, 16)).astype(np.uint8)
    images[2099] = np.clip(images[5].astype(int) * 0.9 + 3, 0, 255)
    images[2098] = images[6][:, ::-1]
    labels = np.arange(2100) % 2
    given = np.array(["train"] * 1100 + ["test"] * 1000)
    found = replace(read((images, labels)), given=given)
    result = prepare(found, scan(found), Geometry(16, 16), copies_limit=2000).audit
    assert [pair[:2] for pair in finding(result, "near-duplicates-across-splits").evidence["pairs"]] == [
        ["#2099", "#5"]
    ]
    assert "were not searched among 2,100 images" in finding(result, "not-searched").message


def test_similar_digits_are_not_near_duplicates():
    found = read("digits")
    images, labels = np.kron(found.source.images[:400], np.ones((1, 3, 3), np.uint8)), found.labels[:400]
    result = audited((images, labels))
    assert "near-duplicates-across-splits" not in codes(result)
    assert "shortcut" not in codes(result)
    assert "duplicates-across-splits" not in codes(result)


def test_flat_images_are_not_near_duplicates(tmp_path):
    clean(tmp_path)
    ripple = np.add.outer(np.arange(SIDE) % 4, np.arange(SIDE) % 3)[:, :, None].repeat(3, 2)
    for i, split in enumerate(("train", "train", "test", "test")):
        put(tmp_path / split / "cat" / f"flat{i}.png", np.full((SIDE, SIDE, 3), 60 + 20 * i, np.uint8))
        put(tmp_path / split / "dog" / f"ripple{i}.png", (ripple + 30 * i).astype(np.uint8))
    found = audited(tmp_path)
    assert codes(found) == ["blank-images"]
    assert len(finding(found, "blank-images").evidence["files"]) == 8


def test_imbalance(tmp_path):
    for name, count in (("common", 220), ("rare", 21)):
        for i in range(count):
            put(tmp_path / name / f"{i}.png", picture(1000 * (name == "rare") + i)[::4, ::4])
    found = audited(tmp_path, test_fraction=None)
    assert codes(found) == ["imbalance"]
    assert finding(found, "imbalance").message == "class 'common' has 10 times as many images as 'rare' (220 and 21)"


def test_tiny_classes(tmp_path):
    clean(tmp_path, per_class=19)
    one = finding(audited(tmp_path), "tiny-classes")
    assert "2 classes with fewer than 20 images outside the test split: cat (19), dog (19)" in one.message
    assert one.evidence == {"counts": {"cat": 19, "dog": 19}}


@pytest.mark.parametrize("feature", ["brightness", "image size", "file type"])
def test_shortcuts(tmp_path, feature):
    for name in ("cat", "dog"):
        for i in range(40):
            other = name == "dog"
            array = picture(i + 1000 * other, level=150 if other and feature == "brightness" else 110)
            if feature == "image size" and other:
                array = array[:80]
            suffix = "bmp" if feature == "file type" and other else "png"
            put(tmp_path / name / f"{i}.{suffix}", array)
    found = [f for f in audited(tmp_path).findings if f.code == "shortcut"]
    (one,) = found  # nor do bytes count: what is drawn plainly makes a small file
    assert one.evidence["feature"] == feature
    assert f"{feature} alone predicts classes 'cat' and 'dog' with a balanced accuracy of " in one.message
    assert one.evidence["interval"][0] > 0.85
    assert one.evidence["balanced_accuracy"] > 0.9
    assert one.evidence["chance"] == 0.5


def test_a_weak_hint_is_no_shortcut(tmp_path):
    """Brightness that overlaps between the classes, as in most real data."""
    rng = np.random.default_rng(0)
    for name, level in (("cat", 110), ("dog", 125)):
        for i in range(40):
            put(tmp_path / name / f"{i}.png", picture(i + 1000 * (name == "dog"), level=level + rng.normal(0, 15)))
    assert codes(audited(tmp_path)) == []


def test_labels_of_the_test_split_are_never_read(tmp_path):
    """The same pictures with test labels shuffled give the same audit, word for word."""
    images = load_digits().images[:600].astype(np.uint8) * 15
    labels = load_digits().target[:600]
    images[550] = images[3]  # a copy across splits
    results = []
    for seed in (None, 1):
        tested = labels[500:].copy()
        if seed is not None:
            np.random.default_rng(seed).shuffle(tested)
            assert (tested != labels[500:]).any()
        given = {"x_train": images[:500], "y_train": labels[:500], "x_test": images[500:], "y_test": tested}
        np.savez(tmp_path / "set.npz", **given)
        results.append(audited(tmp_path / "set.npz").to_dict())
    assert results[0] == results[1]
    warnings = [f["code"] for f in results[0]["findings"] if f["severity"] == "warning"]
    assert warnings == ["duplicates-across-splits"]


def test_rules_and_notes_are_passed_on(tmp_path):
    clean(tmp_path)
    put(tmp_path / "train" / "cat" / "gray.png", picture(500)[:, :, 0])
    (tmp_path / "train" / "cat" / "notes.txt").write_text("x")
    found = audited(tmp_path)
    assert [(f.code, f.severity) for f in found.findings] == [("pixels", "note"), ("source", "note")]
    assert found.findings[0].message == "gray images are expanded to 3 channels"
    assert "left out 1 file without a supported suffix (.txt)" in found.findings[1].message


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(32, 48), (48, 32), (16, 16), (50, 37)])
def test_thumbnails_are_block_means(dtype, channels, height, width):
    array = np.random.default_rng(0).integers(0, 256, (300, channels, height, width)).astype(dtype)
    array *= 1 if dtype == np.uint8 else 257
    out = thumbnails(CachedPixels(array, {}, ""))
    rows = [int(height * i / 16) for i in range(17)]
    cols = [int(width * i / 16) for i in range(17)]
    scale = 257 if dtype == np.uint8 else 1
    for i in (0, 255, 256, 299):
        for r, c in ((0, 0), (3, 7), (15, 15)):
            block = array[i, :, rows[r] : rows[r + 1], cols[c] : cols[c + 1]]
            expected = block.mean(axis=(1, 2)) @ ([0.299, 0.587, 0.114] if channels == 3 else [1])
            assert abs(int(out[i, r, c]) - expected * scale) <= 1


def test_thumbnails_of_images_smaller_than_they_are():
    array = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8)
    assert (thumbnails(CachedPixels(array, {}, ""))[0] == np.kron(array[0, 0].astype(int), np.ones((2, 2))) * 257).all()


def test_duplicate_groups(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(picture(1)).save(buffer, "PNG")
    for name, content in (("a/1", buffer.getvalue()), ("a/2", b""), ("b/1", buffer.getvalue()), ("b/2", b"")):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    groups = duplicate_groups(scan(read(tmp_path)))
    assert groups[0] == groups[2]
    assert len(set(groups.tolist())) == 3  # two unreadable files are not copies of each other


def test_elpv_has_no_near_duplicates():
    """Cells of one module look alike (correlation up to 0.9986), but no picture is there twice."""
    paths = read("elpv").source.paths[1480:1620]  # where the likest pairs are, cell1579 and cell1580 among them
    small = np.empty((len(paths), 16, 16), np.uint16)
    for i, path in enumerate(paths):
        with Image.open(path) as image:
            small[i] = np.rint(
                np.asarray(image, np.float32)[:288, :288].reshape(16, 18, 16, 18).mean(axis=(1, 3)) * 257
            )
    units, flat = unit_thumbnails(small)
    likeness = units[~flat] @ units[~flat].T
    np.fill_diagonal(likeness, 0)
    assert 0.998 < likeness.max() < NEAR


def test_long_sounds_are_not_stretched_images(tones):
    found = audited(tones)
    assert "long-images" not in codes(found)
    assert "tiny-classes" in codes(found)


def test_the_imbalance_of_labels_is_reported():
    rng = np.random.default_rng(0)
    labels = np.zeros((300, 2), int)
    labels[:250, 0], labels[280:, 1] = 1, 1
    found = audited((rng.integers(0, 256, (300, 12, 12), dtype=np.uint8), labels), test_fraction=None)
    one = finding(found, "imbalance")
    assert one.message == "label '0' has 12 times as many images as '1' (250 and 20)"
    assert one.fix == "evaluate with per-label F1, and collect more images of the rare label"
    found = audited((rng.integers(0, 256, (150, 12, 12), dtype=np.uint8), labels[::2]), test_fraction=None)
    assert "1 label with fewer than 20 images outside the test split: 1 (10)" in finding(found, "tiny-classes").message
