"""Scores of a detector against scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from clearsight.tasks import Anomaly


@pytest.fixture
def evaluated():
    rng = np.random.default_rng(0)
    known = rng.standard_normal((199, 1))
    task = Anomaly(("good",)).calibrated(known, np.zeros((199, 1), np.float32))
    groups = ["good"] * 100 + ["crack"] * 40 + ["hole"] * 20
    scores = np.concatenate([rng.normal(m, 1, (n, 1)) for m, n in ((0, 100), (1.5, 40), (4, 20))])
    targets = np.array([[g != "good"] for g in groups], np.float32)
    return task.evaluate(scores, targets, groups=groups), scores[:, 0], targets[:, 0], task


def test_scores_are_scikit_learns(evaluated):
    found, scores, truth, task = evaluated
    assert found.auroc == pytest.approx(roc_auc_score(truth, scores))
    assert found.average_precision == pytest.approx(average_precision_score(truth, scores))
    low, high = found.auroc_interval
    assert low < found.auroc < high
    assert 0.02 < high - low < 0.2
    called = task.p_values(scores[:, None]) <= 0.05
    assert found.false_alarms == pytest.approx(called[truth == 0].mean())
    assert found.found == pytest.approx(called[truth == 1].mean())
    assert found.probability_in_anomalies > 0.5 > found.probability_in_normal


def test_each_class_is_evaluated_by_itself(evaluated):
    found, scores, truth, _ = evaluated
    good, crack, hole = found.per_group
    assert (good.name, good.normal, good.auroc) == ("good", True, None)
    assert (crack.name, hole.name) == ("crack", "hole")
    keep = np.r_[0:100, 100:140]
    assert crack.auroc == pytest.approx(roc_auc_score(truth[keep], scores[keep]))
    assert hole.auroc > crack.auroc


def test_mistakes_are_the_surest_first(evaluated):
    found, _, _, _ = evaluated
    missed = [m for m in found.mistakes if m.kind == "missed"]
    assert [m.p_value for m in missed] == sorted((m.p_value for m in missed), reverse=True)
    assert all(m.index >= 100 for m in missed)
    assert all(m.index < 100 for m in found.mistakes if m.kind == "false alarm")


def test_without_anomalies_there_are_false_alarms_alone():
    task = Anomaly(("good",)).calibrated(np.arange(30.0)[:, None], np.zeros((30, 1), np.float32))
    found = task.evaluate(np.arange(10.0)[:, None], np.zeros((10, 1), np.float32))
    assert (found.auroc, found.average_precision, found.found) == (None, None, None)
    assert found.false_alarms == 0
    turned = task.evaluate(np.arange(40.0, 50)[:, None], np.ones((10, 1), np.float32))
    assert (turned.auroc, turned.false_alarms, turned.found) == (None, None, 1.0)
