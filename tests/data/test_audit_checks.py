"""The checks of the audit: each fault planted in clean data is named, and clean data has none."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.audit.changes import CHANGES, changed
from PIL import Image
from skimage import data as photographs

from clearsight.data.cached_pixels import CachedPixels
from clearsight.data.checks.class_names import spelling_variants
from clearsight.data.checks.copies import find_copies
from clearsight.data.checks.one_property import class_scores, score_of
from clearsight.data.checks.registration import _scaled, registered
from clearsight.data.checks.views import Views, inverse, turned
from clearsight.data.geometry import Geometry
from clearsight.data.prepare import prepare
from clearsight.data.scan import scan
from clearsight.tasks import read

SIDE = 64


def tiles(n: int = 60) -> list[np.ndarray]:
    """Parts of photographs that do not overlap (64, 64, 3)."""
    found = []
    for name in ("chelsea", "coffee", "astronaut"):
        picture = getattr(photographs, name)()
        places = [
            (y, x) for y in range(0, picture.shape[0] - SIDE, SIDE) for x in range(0, picture.shape[1] - SIDE, SIDE)
        ]
        found += [picture[y : y + SIDE, x : x + SIDE] for y, x in places]
    order = np.random.default_rng(0).permutation([k for k, tile in enumerate(found) if tile.std() > 20])
    return [found[k] for k in order[:n]]


def table(root, images, labels, splits, **columns):
    """A table of images, with one file each."""
    lines = [",".join(["image_path", "label", "split", *columns])]
    for k, image in enumerate(images):
        Image.fromarray(image).save(root / f"{k}.png")
        lines.append(",".join([f"{k}.png", labels[k], splits[k], *(column[k] for column in columns.values())]))
    (root / "table.csv").write_text("\n".join(lines))
    found = read(str(root / "table.csv"))
    return prepare(found, scan(found), Geometry(SIDE, SIDE)).audit


def spread(n: int, classes: tuple[str, ...] = ("cat", "dog", "fox")):
    """Labels and splits that are independent of each other."""
    return [classes[k % len(classes)] for k in range(n)], [
        ("train", "train", "val", "test")[k // 3 % 4] for k in range(n)
    ]


def one(audit, code):
    (found,) = [f for f in audit.findings if f.code == code]
    return found


def stacked(images) -> CachedPixels:
    resized = [np.asarray(Image.fromarray(image).resize((SIDE, SIDE))) for image in images]
    return CachedPixels(np.stack(resized).transpose(0, 3, 1, 2).copy(), {}, "")


def test_every_kind_of_copy_is_found_and_nothing_else():
    images, rng = tiles(), np.random.default_rng(1)
    copies = [changed(images[k], kind, rng) for k, kind in enumerate(CHANGES)]
    found = find_copies(stacked(images + copies), np.arange(len(images) + len(copies)), side=SIDE)
    assert {(c.first, c.second) for c in found} == {(k, len(images) + k) for k in range(len(copies))}
    kinds = {c.first: c.kind for c in found}
    assert [kinds[list(CHANGES).index(kind)] for kind in ("mirrored", "shifted", "cropped")] == [
        "mirrored", "shifted", "cropped",
    ]  # fmt: skip


def test_a_picture_in_another_colour_is_no_copy():
    images = tiles(20)
    red = (images[0] * [1, 0.3, 0.3]).astype(np.uint8)
    gray = np.repeat((images[1] @ [0.299, 0.587, 0.114])[..., None], 3, axis=2).astype(np.uint8)
    found = find_copies(stacked([*images, red, gray]), np.arange(22), side=SIDE)
    assert {(c.first, c.second) for c in found} == {(1, 21)}


def test_what_is_left_after_registration_of_a_part_is_small():
    picture = np.asarray(Image.fromarray(photographs.coffee()[:300, :300]).resize((192, 192)))
    part = picture[20:181, 10:171]  # 70 % of the area, shown 1.2 times larger, so with more detail
    shifted = np.zeros_like(picture)
    shifted[15:, 20:] = picture[:-15, :-20]
    images = np.stack([np.asarray(Image.fromarray(i).resize((192, 192))) for i in (picture, part, shifted)])
    views = Views.of(images.transpose(0, 3, 1, 2), np.arange(3), side=192, top=255.0, boxes={})
    errors = {(m.first, m.second): (m.kind, m.error) for m in registered(views, moved=True)}
    kind, error = errors.get((1, 0)) or errors[0, 1]
    assert (kind, error < 0.0005) == ("cropped", True)
    kind, error = errors.get((0, 2)) or errors[2, 0]
    assert (kind, error < 0.001) == ("shifted", True)


def test_a_map_between_larger_views_moves_the_same_places():
    warp = np.array([[0.8, 0, 3], [0, 0.8, 5]], np.float32)
    half = _scaled(warp, 0.5)
    x, y = (warp @ [10.5, 20.5, 1]).tolist()  # the middle of the pixel (5, 10) in views of half the side
    assert half @ [5, 10, 1] == pytest.approx([(x - 0.5) / 2, (y - 0.5) / 2])
    assert _scaled(half, 2) == pytest.approx(warp)


@pytest.mark.parametrize("turn", range(8))
def test_inverse_turns(turn):
    image = np.arange(16).reshape(1, 4, 4)
    assert (turned(turned(image, turn), inverse(turn)) == image).all()


def test_padding_makes_no_copies(tmp_path):
    for k, tile in enumerate(tiles(24)):
        path = tmp_path / ("cat", "dog")[k % 2] / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(tile[:12]).save(path)
    found = read(tmp_path)
    audit = prepare(found, scan(found), Geometry(SIDE, SIDE, "pad")).audit
    assert not [f for f in audit.findings if "duplicates" in f.code]


def test_padding_makes_no_copies_where_only_thumbnails_are_compared(tmp_path):
    for k, tile in enumerate(tiles(24)):
        path = tmp_path / ("cat", "dog")[k % 2] / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.clip(tile[:6] // 8 + 200, 0, 255).astype(np.uint8)).save(path)  # bright strips on black
    found = read(tmp_path)
    audit = prepare(found, scan(found), Geometry(SIDE, SIDE, "pad"), copies_limit=0).audit
    assert not [f for f in audit.findings if "duplicates" in f.code]


def test_a_mark_at_the_usual_level_of_a_textured_class_is_found(tmp_path):
    labels, splits = spread(60)
    images = tiles(60)
    usual = int(np.median([image for image, label in zip(images, labels, strict=True) if label == "fox"]))
    for image, label in zip(images, labels, strict=True):
        if label == "fox":
            image[20:34, 30:44] = usual
    found = one(table(tmp_path, [image.copy() for image in images], labels, splits), "shortcut")
    assert (found.evidence["feature"], found.evidence["classes"]) == ("mark", ["fox"])


def test_what_may_be_evidence_is_a_note(tmp_path):
    """Brightness separates two of four classes alike, which may be what distinguishes them."""
    labels, splits = spread(160, ("cat", "dog", "fox", "hen"))
    light = {"cat": 40, "dog": 120, "fox": 120, "hen": 200}
    rng = np.random.default_rng(0)
    images = [np.clip(rng.normal(light[name], 12, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8) for name in labels]
    audit = table(tmp_path, images, labels, splits)
    found = one(audit, "predictive-property")
    assert found.severity == "note"
    assert found.message.startswith("brightness alone predicts")
    assert {"cat", "hen"} <= set(found.evidence["classes"])
    assert "shortcut" not in [f.code for f in audit.findings]


@pytest.mark.parametrize(("known", "new"), [("train", "val"), ("val", "test"), ("train", "test")])
def test_leaks_between_any_two_splits(tmp_path, known, new):
    images = tiles()
    labels, splits = spread(len(images))
    source, place = splits.index(known), splits.index(new)
    images[place] = images[source][:, ::-1].copy()
    audit = table(tmp_path, images, labels, splits)
    found = one(audit, "near-duplicates-across-splits")
    assert found.evidence["splits"] == [known, new]
    assert found.evidence["images"] == [f"{place}.png"]
    assert found.evidence["pairs"][0][:3] == [f"{place}.png", f"{source}.png", "mirrored"]
    assert audit.near_duplicates == ({f"{place}.png"} if new == "test" else set())
    assert f"{place}.png and {source}.png (mirrored)" in audit.text()


def test_near_duplicates_with_two_labels(tmp_path):
    images = tiles()
    labels, splits = ["cat", "dog"] * 30, ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    images[1] = changed(images[0], "re-encoded", np.random.default_rng(0))
    found = one(table(tmp_path, images, labels, splits), "near-duplicates-with-two-labels")
    assert found.evidence["labels"] == {"0.png": "cat", "1.png": "dog"}


def test_groups_on_both_sides_and_missing_classes(tmp_path):
    images = tiles()
    labels, splits = spread(len(images))
    groups = [f"g{k}" for k in range(len(images))]
    train, test = splits.index("train"), splits.index("test")
    groups[test] = groups[train]
    kept = [k for k in range(len(images)) if not (splits[k] == "val" and labels[k] == "fox")]
    chosen = [[column[k] for k in kept] for column in (images, labels, splits, groups)]
    audit = table(tmp_path, *chosen[:3], group=chosen[3])
    found = one(audit, "groups-across-splits")
    assert found.evidence["splits"] == ["train", "test"]
    assert found.message.startswith("1 group of 15 in the test split also in the training split")
    missing = one(audit, "class-missing-from-split")
    assert missing.evidence == {"classes": ["fox"], "splits": ["val"]}


def test_blank_images_are_named(tmp_path):
    images = tiles()
    labels, splits = spread(len(images))
    noise = np.random.default_rng(0).normal(100, 2, images[0].shape).astype(np.uint8)
    images[3], images[7] = np.zeros_like(images[3]), noise
    assert set(one(table(tmp_path, images, labels, splits), "blank-images").evidence["files"]) == {"3.png", "7.png"}


def watermark(image):
    marked = image.copy()
    marked[6:16, 40:52] = (230, 40, 200)
    return marked


def frame(image):
    framed = np.full_like(image, 250)
    framed[4:-4, 4:-4] = image[4:-4, 4:-4]
    return framed


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("mark", watermark),
        ("border", frame),
        ("image size", lambda image: np.asarray(Image.fromarray(image).resize((80, 80)))),
        ("colour", lambda image: (image * [1, 0.4, 1]).astype(np.uint8)),
    ],
)
def test_shortcuts_of_one_class(tmp_path, name, change):
    images = tiles(90)
    labels, splits = spread(len(images))
    audit = table(
        tmp_path, [change(i) if label == "fox" else i for i, label in zip(images, labels, strict=True)], labels, splits
    )
    found = [f.evidence for f in audit.findings if f.code == "shortcut"]
    assert [(f["feature"], f["classes"]) for f in found] == [(name, ["fox"])]
    assert found[0]["interval"][0] <= found[0]["balanced_accuracy"] <= found[0]["interval"][1]


def test_unmodified_data_has_no_shortcuts_and_no_copies(tmp_path):
    images = tiles(90)
    audit = table(tmp_path, images, *spread(len(images)))
    assert not [f for f in audit.findings if f.code == "shortcut" or "duplicates" in f.code]


def test_a_score_is_that_of_hand_counts():
    truth = np.arange(20) < 10
    predicted = np.concatenate([np.arange(10) < 9, np.arange(10) < 2])
    score = score_of(predicted, truth)
    assert score.balanced_accuracy == pytest.approx((0.9 + 0.8) / 2)
    # Wilson: 0.9 in (0.5958, 0.9821), 0.8 in (0.4902, 0.9433)
    assert score.interval[0] == pytest.approx(0.85 - np.hypot(0.3042, 0.3098) / 2, abs=1e-3)
    assert score.interval[1] == pytest.approx(0.85 + np.hypot(0.0821, 0.1433) / 2, abs=1e-3)


def test_chance_is_half():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 2000)
    scores = class_scores(rng.normal(size=(2000, 3)), labels, 4)
    assert all(abs(s.balanced_accuracy - 0.5) < 0.06 and s.p_value > 1e-3 for s in scores)


def test_spelling_variants():
    def found(*names):
        return [f.evidence["classes"] for f in spelling_variants(names, np.array([100, 5, 50, 50][: len(names)]))]

    assert found("T-Shirt", "t shirt") == [[["T-Shirt", "t shirt"]]]
    assert found("cafe", "café") == [[["cafe", "café"]]]
    assert found("cat", "cats") == [[["cat", "cats"]]]
    assert found("defective", "defectiv") == [[["defective", "defectiv"]]]
    for different in (("cat", "car"), ("class 1", "class 2"), ("1.5", "15"), ("type A", "type B"), ("lion", "tiger")):
        assert found(*different) == []
