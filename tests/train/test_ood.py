"""The OOD detector as it is trained: false alarms as stated, far-OOD images flagged, classes left out honestly."""

import json
import shutil

import numpy as np
import pytest

import clearsight as cs
from clearsight.data.exclusion import other_class
from clearsight.errors import ConfigError
from clearsight.metrics.ranking import auroc
from clearsight.ood.probes import far_probes
from clearsight.ood.scores import SCORES
from clearsight.tasks import read
from clearsight.train.ood import _KINDS, _changed, _groups


@pytest.mark.parametrize(("classes", "rounds", "size"), [(2, 2, 1), (3, 3, 1), (10, 5, 2), (23, 5, 4)])
def test_every_class_is_left_out_at_most_once(classes, rounds, size):
    groups = _groups(classes, 5, seed=0)
    assert len(groups) == rounds
    assert all(len(g) == size for g in groups)
    flat = [c for g in groups for c in g]
    assert len(set(flat)) == len(flat)


def test_copies_are_moved_by_a_pixel_or_given_light():
    import torch

    images = torch.rand(len(_KINDS), 1, 8, 8)
    copies = dict(zip(_KINDS, _changed(images, _KINDS, "light", 0), strict=True))
    given = dict(zip(_KINDS, images.numpy(), strict=True))
    np.testing.assert_array_equal(copies["left"][0, :, :-1], given["left"][0, :, 1:])
    np.testing.assert_array_equal(copies["down"][0, 1:], given["down"][0, :-1])
    np.testing.assert_array_equal(copies["down"][0, 0], given["down"][0, 0])  # the edge goes on
    for kind, (low, high) in {"darker": (0.85, 0.925), "brighter": (1.075, 1.15)}.items():
        ratio = copies[kind] / given[kind]
        assert ratio[copies[kind] < 1] == pytest.approx(float(np.median(ratio)), rel=1e-4)
        assert low <= np.median(ratio) <= high
    assert not np.allclose(copies["augmented"], given["augmented"])


def test_a_network_from_scratch(digits_run):
    card = json.loads((digits_run / "model" / "card.json").read_text())["ood_detector"]["outliers"]
    assert card["scores"] == ["knn", "mahalanobis", "pixels", "max-softmax"]
    assert card["auroc"] == {}, "the network would have to be trained again"
    metrics = json.loads((digits_run / "metrics.json").read_text())
    assert 0.7 < metrics["test"]["ood_check"]["coverage"] <= 1, "0.9 is meant"
    assert metrics["test"]["ood_check"]["false_alarms"] < 0.12, "0.05 is meant"
    assert metrics["ood_seconds"] > 0
    predictor = cs.load(digits_run).predictor
    for name, images in far_probes(predictor.shape).items():
        assert predictor.detect_ood(images)[1].mean() >= 0.85, name
    assert (digits_run / "model" / "ood.safetensors").stat().st_size < 3e6


def test_a_head_on_frozen_features(photos_run, photos):
    detector = cs.load(photos_run).predictor.bundle.ood_detector
    assert set(detector.left_out.auroc) == {*SCORES, "combined"}
    assert detector.left_out.auroc["combined"] > 0.8
    assert [len(group) for group in detector.left_out.classes] == [1, 1, 1, 1]


def test_far_images_score_above_known_ones(photos_run, photos):
    """Every built-in far probe against photographs like those it learned."""
    predictor = cs.load(photos_run).predictor
    known = predictor.ood(predictor.forward(sorted(photos.rglob("*.jpg"))[:20]))
    for images in far_probes(predictor.shape, count=4).values():
        far = predictor.ood(predictor.forward(images))
        assert auroc(known.score, far.score) > 0.95


def test_an_old_bundle_loads_without_its_detector(digits_run, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(digits_run / "model", folder)
    card = json.loads((folder / "card.json").read_text())
    card["ood_detector"]["outliers"] = {"score": "joint", "threshold": 0.9, "auroc": {}, "left_out": [], "why": ""}
    del card["digest"], card["files"]  # which it did not have
    (folder / "card.json").write_text(json.dumps(card))
    assert cs.load(folder).predictor.bundle.ood_detector is None


def test_the_other_class_is_no_class():
    digits = read("digits")
    known, other = other_class(digits, "3")
    assert known.classes == ("0", "1", "2", "4", "5", "6", "7", "8", "9")
    assert len(known) + len(other) == len(digits)
    assert [known.words(i) for i in range(8)] == [w for i in range(9) if (w := digits.words(i)) != "3"]
    assert {other.source.name(i) for i in range(5)} <= {
        digits.source.name(i) for i in np.flatnonzero(digits.labels == 3)
    }
    with pytest.raises(ConfigError, match="unknown class"):
        other_class(digits, "30")


@pytest.mark.long
def test_images_like_those_of_the_other_class_are_flagged(tmp_path):
    digits = read("digits")
    images, labels = np.asarray(digits.source.images)[:900], digits.labels[:900]
    aside = (labels == 8) & (np.arange(900) % 2 == 0)
    words = [str(label) for label in labels[~aside]]
    run = cs.fit(images[~aside], words, out=tmp_path / "run", epochs=3, other="8")
    assert "8" not in run.predictor.classes
    _, flagged = run.predictor.detect_ood(images[aside])
    assert flagged.mean() > 0.5
    note = next(d for d in run.metrics["recipe"] if d["what"] == "other")
    assert "flagged as unknown" in note["choice"]
    known = images[~aside][np.array(words) != "8"]
    assert run.predictor.detect_ood(known)[1].mean() < 0.2
