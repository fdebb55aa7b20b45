"""The predictions that a run keeps: every number of its report follows from them, by scikit-learn alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from clearsight.calibration.binary import BinaryCalibration
from clearsight.csv_cells import from_cell
from clearsight.runs.predictions import write_predictions
from clearsight.tasks import Anomaly, Classification, Multilabel, Regression
from clearsight.tasks.outcomes import ThresholdCounts, outcomes

RNG = np.random.default_rng(0)
NAMES = [f"#{i}" for i in range(60)]


def kept(folder: Path, task, outputs, truth) -> pd.DataFrame:
    """The predictions of a task, written and read back; both files hold the same."""
    write_predictions(folder, NAMES, outcomes(task, outputs, truth))
    table = pd.read_csv(folder / "predictions.csv")
    same = pd.read_parquet(folder / "predictions.parquet")
    assert list(table) == list(same)  # no name begins with a sign that a spreadsheet would run
    for name in table:
        if table[name].dtype.kind == "f":
            assert table[name].to_numpy() == pytest.approx(same[name].to_numpy(), rel=1e-15, abs=1e-300)
        else:
            kind = same[name].dtype.kind
            assert [from_cell(str(v)) for v in table[name]] == [str(int(v) if kind == "b" else v) for v in same[name]]
    assert table["image"].tolist() == NAMES
    return table


def matrix(table: pd.DataFrame, word: str) -> np.ndarray:
    return table[[name for name in table if name.startswith(f"{word}:")]].to_numpy(float)


def test_scores_of_a_run_follow_from_its_predictions(digits_run: Path) -> None:
    table = pd.read_csv(digits_run / "predictions.csv", dtype={"label": str, "predicted": str})
    given = json.loads((digits_run / "metrics.json").read_text())["test"]
    names = [name.removeprefix("probability:") for name in table if name.startswith("probability:")]
    chances, raw = matrix(table, "probability"), matrix(table, "uncalibrated")
    assert len(table) == given["n"]
    assert metrics.accuracy_score(table.label, table.predicted) == pytest.approx(given["accuracy"])
    assert metrics.balanced_accuracy_score(table.label, table.predicted) == pytest.approx(given["balanced_accuracy"])
    assert metrics.f1_score(table.label, table.predicted, average="macro") == pytest.approx(given["macro_f1"])
    assert metrics.log_loss(table.label, chances, labels=names) == pytest.approx(given["log_loss"])
    assert metrics.log_loss(table.label, raw, labels=names) == pytest.approx(given["log_loss_uncalibrated"])
    assert metrics.roc_auc_score(table.label, chances, multi_class="ovr") == pytest.approx(given["auroc"])
    present = np.array(names)[None] == table.label.to_numpy()[:, None]
    assert ((chances - present) ** 2).sum(1).mean() == pytest.approx(given["brier"])
    assert table.confidence.mean() == pytest.approx(given["mean_confidence"])


def test_classes(tmp_path: Path) -> None:
    task, truth = Classification(("=a", "b", "木")), RNG.integers(0, 3, 60)
    outputs = RNG.normal(size=(60, 3)) + 2 * np.eye(3)[truth]
    table, found = kept(tmp_path, task, outputs, truth), task.evaluate(outputs, truth)
    assert set(table.label) == {"'=a", "b", "木"}
    assert (table.label == table.predicted).mean() == pytest.approx(found.accuracy)
    assert table.correct.mean() == pytest.approx(found.accuracy)
    assert table.confidence.to_numpy() == pytest.approx(matrix(table, "probability").max(1))


def test_labels(tmp_path: Path) -> None:
    task, truth = Multilabel(("a", "b"), BinaryCalibration.identity(2), (0.3, 0.6)), RNG.integers(0, 2, (60, 2))
    outputs = RNG.normal(size=(60, 2)) + 2 * truth - 1
    table, found = kept(tmp_path, task, outputs, truth), task.evaluate(outputs, truth)
    label, given, chances = (matrix(table, word) for word in ("label", "predicted", "probability"))
    assert metrics.accuracy_score(label, given) == pytest.approx(found.exact)
    assert metrics.hamming_loss(label, given) == pytest.approx(found.hamming)
    assert metrics.f1_score(label, given, average="macro") == pytest.approx(found.macro_f1)
    assert metrics.average_precision_score(label, chances) == pytest.approx(found.mean_average_precision)


@pytest.mark.parametrize("kind", ["number", "angle"])
def test_numbers(tmp_path: Path, kind: str) -> None:
    if kind == "number":
        task = Regression(("a", "b"), "number", mean=(0.0, 0.0), std=(1.0, 1.0), errors=((0.1, 0.2), (0.1, 0.2)))
        outputs = RNG.normal(size=(60, 2))
    else:
        task = Regression(("heading",), "angle", unit="degrees", errors=((1.0, 5.0),))
        outputs = RNG.normal(size=(60, 2))
    truth = RNG.normal(size=(60, len(task.names)))
    table, found = kept(tmp_path, task, outputs, truth), task.evaluate(outputs, truth.astype(np.float32))
    off = np.abs(matrix(table, "error"))
    for k, score in enumerate(found.per_number):
        assert off[:, k].mean() == pytest.approx(score.mean_error, rel=1e-5)
        assert np.median(off[:, k]) == pytest.approx(score.median_error, rel=1e-5)
        if kind == "number":
            true, predicted = matrix(table, "true")[:, k], matrix(table, "predicted")[:, k]
            assert metrics.root_mean_squared_error(true, predicted) == pytest.approx(score.root_mean_square, rel=1e-5)
            assert metrics.r2_score(true, predicted) == pytest.approx(score.explained, rel=1e-5)


def test_anomalies(tmp_path: Path) -> None:
    task, truth = Anomaly(("good",), known=tuple(np.linspace(-1, 1, 40).tolist())), RNG.integers(0, 2, (60, 1))
    outputs = RNG.normal(size=(60, 1)) + 2 * truth
    table, found = kept(tmp_path, task, outputs, truth), task.evaluate(outputs, truth)
    assert metrics.roc_auc_score(table.label == "anomaly", table.score) == pytest.approx(found.auroc)
    assert (table.predicted[table.label == "normal"] == "anomaly").mean() == pytest.approx(found.false_alarms)
    assert (table.predicted[table.label == "anomaly"] == "anomaly").mean() == pytest.approx(found.found)


@pytest.mark.parametrize("place", [0, 37, 50, 100])
def test_counts_of_thresholds_are_those_of_scikit_learn(place: int) -> None:
    """Each name against the others; predictions kept by their confidence."""
    task, truth = Classification(("a", "b", "c")), RNG.integers(0, 3, 60)
    outputs = RNG.normal(size=(60, 3)) + 2 * np.eye(3)[truth]
    chances = task.decode(outputs)
    kept_ones, each = outcomes(task, outputs, truth).thresholds

    def at(counts: ThresholdCounts) -> tuple[float, int, int]:
        return counts.thresholds[place], int(counts.positives[place]), int(counts.negatives[place])

    for k, counts in enumerate(each.counts):
        threshold, right, wrong = at(counts)
        (_, fp), (_, tp) = metrics.confusion_matrix(truth == k, chances[:, k] >= threshold, labels=[False, True])
        assert (tp, fp) == (right, wrong)
        assert counts.totals == ((truth == k).sum(), (truth != k).sum())
    threshold, right, wrong = at(kept_ones.counts[0])
    sure = chances.max(1) >= threshold
    assert (right, wrong) == tuple((sure & ((chances.argmax(1) == truth) == good)).sum() for good in (True, False))


@pytest.mark.parametrize("name", ["labels", "anomaly"])
def test_the_threshold_in_use_gives_the_predictions(name: str) -> None:
    if name == "labels":
        task = Multilabel(("a", "b"), BinaryCalibration.identity(2), (0.31234, 0.6))
        truth = RNG.integers(0, 2, (60, 2))
    else:
        task, truth = Anomaly(("good",), known=tuple(np.linspace(-1, 1, 40).tolist())), RNG.integers(0, 2, (60, 1))
    outputs = RNG.normal(size=truth.shape) + 2 * truth - 1
    given = np.atleast_2d(task.given(task.decode(outputs)) if name == "labels" else task.given(outputs)[:, None])
    for k, counts in enumerate(outcomes(task, outputs, truth).thresholds[0].counts):
        place = int(np.flatnonzero(counts.thresholds == counts.used)[0])
        assert counts.positives[place] == (given[:, k] & (truth[:, k] > 0)).sum()
        assert counts.negatives[place] == (given[:, k] & (truth[:, k] == 0)).sum()
