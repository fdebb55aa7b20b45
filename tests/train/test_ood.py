"""Outlier scores are compared by leaving classes out, honestly: what judged has not seen them."""

import json

import numpy as np
import pytest

import clearsight as cs
from clearsight.metrics.ranking import auroc
from clearsight.ood.scores import SCORES
from clearsight.train.ood import _chosen, _groups


def test_joint_is_preferred_unless_another_is_clearly_better():
    assert _chosen([]) == "joint"
    assert _chosen([{"joint": 0.5, "knn": 0.96}]) == "joint"  # one round tells nothing
    assert _chosen([{"joint": 0.95, "knn": 0.96}, {"joint": 0.93, "knn": 0.95}]) == "joint"
    assert _chosen([{"joint": 0.90, "knn": 0.96}, {"joint": 0.88, "knn": 0.95}]) == "knn"
    assert _chosen([{"joint": 0.70, "knn": 0.96}, {"joint": 0.95, "knn": 0.90}]) == "joint"  # by chance, perhaps
    assert _chosen([{"max-softmax": 0.9, "joint": 0.95}, {"max-softmax": 0.9, "joint": 0.95}]) == "joint"


@pytest.mark.parametrize(("classes", "rounds", "size"), [(2, 2, 1), (3, 3, 1), (10, 5, 2), (23, 5, 4)])
def test_every_class_is_left_out_at_most_once(classes, rounds, size):
    groups = _groups(classes, 5, seed=0)
    assert len(groups) == rounds
    assert all(len(g) == size for g in groups)
    flat = [c for g in groups for c in g]
    assert len(set(flat)) == len(flat)


def test_a_network_from_scratch_has_its_scores_measured_and_written(digits_run):
    card = json.loads((digits_run / "model" / "card.json").read_text())["limits"]["outliers"]
    assert set(card["auroc"]) == set(SCORES)
    assert card["auroc"][card["score"]] > 0.7, "0.5 tells nothing"
    assert len(card["left_out"]) == 2
    assert len({name for group in card["left_out"] for name in group}) == 4
    metrics = json.loads((digits_run / "metrics.json").read_text())
    assert 0.7 < metrics["test"]["limits"]["coverage"] <= 1, "0.9 is meant"
    assert metrics["test"]["limits"]["false_alarms"] < 0.2, "0.05 is meant"
    assert metrics["limits_seconds"] > 0


def test_a_head_on_frozen_features_too(photos_run, photos):
    limits = cs.load(photos_run).predictor.bundle.limits
    assert set(limits.left_out.auroc) == set(SCORES)
    assert limits.left_out.auroc[limits.score] > 0.8
    assert [len(group) for group in limits.left_out.classes] == [1, 1, 1, 1]


def test_strange_images_are_told_from_known_ones(photos_run, photos):
    """Flat colour and noise against photographs like those it learned."""
    predictor = cs.load(photos_run).predictor
    known, _ = predictor.strangeness(sorted(photos.rglob("*.jpg"))[:20])
    noise = np.random.default_rng(0).integers(0, 256, (20, 96, 96, 3), dtype=np.uint8)
    assert auroc(known, predictor.strangeness(noise)[0]) > 0.95
