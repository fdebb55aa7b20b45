"""The same measures by other libraries on the same arrays of a run.

Calibration: netcal's temperature scaling, and scikit-learn's. Prediction sets: MAPIE; intervals: crepes. Classes left
out: pytorch-ood on the same features. Wrong labels: cleanlab on the same probabilities. A library that is not installed
is left out of the result (`pip install -e '.[bench]'`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from benchmarks.promises.measures import COVERAGES, METHODS, scores
from benchmarks.promises.store import Record
from clearsight.metrics import expected_calibration_error, log_loss, softmax
from clearsight.metrics.ranking import auroc

Floats = NDArray[np.float64]

RANDOM = {"include_last_label": "randomized"}
"""How MAPIE makes sets of APS and RAPS whose coverage is the stated one."""


def compare(record: Record) -> dict[str, Any]:
    """What other libraries make of a run, by subject and library."""
    found: dict[str, Any] = {}
    task = record.facts["task"]
    with _quiet():
        if task == "classification" and "test.raw" in record:
            found["calibration"] = calibration(record)
            found["coverage"] = sets(record)
        if task == "regression" and "test.low.0.9" in record:
            found["coverage"] = intervals(record)
        if "gone.features" in record:
            found["ood"] = left_out(record)
        if "issues.probabilities" in record:
            found["issues"] = wrong_labels(record)
    return found


def calibration(record: Record) -> dict[str, Any]:
    """Log loss and ECE on the test split after calibration on the same validation outputs."""
    truth, known = record["test.truth"], record["val.truth"]
    raw, seen = (record[f"{part}.raw"].astype(np.float64) for part in ("test", "val"))
    found = {}
    if _there("netcal"):
        from netcal.scaling import TemperatureScaling

        made = TemperatureScaling().fit(softmax(seen), known)
        moved = np.asarray(made.transform(softmax(raw)))
        p = np.stack([1 - moved, moved], 1) if moved.ndim == 1 else moved
        found["netcal temperature"] = p / p.sum(1, keepdims=True)
    if len(np.unique(known)) == raw.shape[1]:
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.frozen import FrozenEstimator

        with contextlib.suppress(ValueError):  # of a version that has no temperature
            made = CalibratedClassifierCV(FrozenEstimator(Logits(raw.shape[1])), method="temperature", cv=2)
            found["scikit-learn temperature"] = made.fit(seen, known).predict_proba(raw)
    return {
        name: {"log loss": log_loss(truth, p), "ece": expected_calibration_error(truth, p)} for name, p in found.items()
    }


def sets(record: Record) -> dict[str, Any]:
    """Coverage and mean size of MAPIE's sets, from the run's own calibrated probabilities; and the same with the most
    probable class in every set, as ours have it.
    """
    if not _there("mapie"):
        return {}
    from mapie.classification import SplitConformalClassifier

    known, truth = record["val.truth"], record["test.truth"]
    seen, new = record["val.decoded"], record["test.decoded"]
    found = {}
    for method in METHODS:
        if len(known) < 25 or (new.shape[1] < 3 and method != "lac"):
            continue  # too few for sets at 0.95; of two classes MAPIE makes sets by LAC alone
        if method == "raps" and len(known) < max(105, 10 * new.shape[1]):
            continue  # MAPIE sets a fifth aside for the penalty, of every class some, and enough for sets at 0.95
        levels = [float(c) for c in COVERAGES]
        made = SplitConformalClassifier(
            Probabilities(new.shape[1]), confidence_level=levels, conformity_score=method, prefit=True, random_state=0
        )
        made.conformalize(seen, known)
        _, inside = made.predict_set(new, **({} if method == "lac" else {"conformity_score_params": RANDOM}))
        for k, level in enumerate(COVERAGES):
            held = inside[:, :, k]
            filled = held | (np.arange(new.shape[1]) == new.argmax(1)[:, None])
            rows = np.arange(len(truth))
            found[f"{method} {level}"] = {
                "covered": float(held[rows, truth].mean()),
                "size": float(held.sum(1).mean()),
                "empty": float((held.sum(1) == 0).mean()),
                "covered with first": float(filled[rows, truth].mean()),
                "size with first": float(filled.sum(1).mean()),
            }
    return {"MAPIE": found}


def intervals(record: Record) -> dict[str, Any]:
    """Coverage and width of crepes' intervals around the run's own numbers; of angles by the way round."""
    if not _there("crepes"):
        return {}
    from crepes import ConformalRegressor

    card = record.facts["task_card"]
    turn = {"degrees": 360.0, "radians": 2 * np.pi}.get(card.get("unit", ""), 0)

    def apart(part: str) -> Floats:
        off = record[f"{part}.decoded"] - record[f"{part}.truth"]
        return np.asarray((off + turn / 2) % turn - turn / 2 if card.get("kind") == "angle" else off)[:, 0]

    made = ConformalRegressor().fit(residuals=apart("val"))
    found = {}
    for level in COVERAGES:
        ends = made.predict_int(np.zeros(1), confidence=float(level))[0]
        off = apart("test")
        width = float(min(ends[1] - ends[0], turn or np.inf))
        found[f"interval {level}"] = {
            "covered": float(((off >= ends[0]) & (off <= ends[1])).mean()), "width": width,
        }  # fmt: skip
    return {"crepes": found}


def left_out(record: Record) -> dict[str, Any]:
    """AUROC of images of classes left out against test images, by pytorch-ood on the run's features; energy on its
    logits. ViM takes the last layer from a logistic regression on the features, as the run's head may be no layer.
    """
    if not _there("pytorch_ood"):
        return {}
    import torch
    from pytorch_ood.detector import KNN, EnergyBased, Mahalanobis, ViM
    from sklearn.linear_model import LogisticRegression

    z = {part: torch.from_numpy(record[f"{part}.features"].astype(np.float64)) for part in ("train", "test", "gone")}
    labels = record["train.truth"]
    y = torch.from_numpy(np.searchsorted(np.unique(labels), labels))
    spread = z["train"].std(0).clamp(min=1e-6)
    scaled = {part: (values - z["train"].mean(0)) / spread for part, values in z.items()}
    found = {}
    knn = KNN(None, k=min(50, len(y) // 10)).fit_features(z["train"], y)
    found["knn"] = auroc(*(knn.predict_features(z[part]).numpy() for part in ("test", "gone")))
    normal = Mahalanobis(None)
    with _doubles():
        normal.fit_features(scaled["train"], y)
        found["mahalanobis"] = auroc(*(normal.predict_features(scaled[part]).numpy() for part in ("test", "gone")))
    head = LogisticRegression(C=0.1, max_iter=300).fit(scaled["train"].numpy(), y.numpy())
    w, b = torch.from_numpy(np.atleast_2d(head.coef_)).float(), torch.from_numpy(head.intercept_).float()
    if len(w) == 1:
        w, b = torch.cat([-w, w]) / 2, torch.cat([-b, b]) / 2
    width = z["train"].shape[1]
    d = 1000 if width >= 2048 else 512 if width >= 768 else width // 2
    floats = {part: values.float() for part, values in scaled.items()}
    vim = ViM(None, d=min(d, len(y) // 2), w=w, b=b).fit_features(floats["train"], y)
    found["vim"] = auroc(*(vim.predict_features(floats[part]).numpy() for part in ("test", "gone")))
    logits = [torch.from_numpy(record[f"{part}.raw"].astype(np.float64)) for part in ("test", "gone")]
    found["energy"] = auroc(*(EnergyBased.score(some).numpy() for some in logits))
    return {"pytorch-ood": {**found, "best": max(found.values())}}


@contextlib.contextmanager
def _doubles() -> Iterator[None]:
    """Tensors made inside the block are float64: covariances of thousands of features are singular in float32."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def wrong_labels(record: Record) -> dict[str, Any]:
    """Share flagged by cleanlab on the probabilities that the run itself looked at, and how right that is."""
    if not _there("cleanlab"):
        return {}
    from cleanlab.filter import find_label_issues

    rows, labels, p = record["issues.rows"], record["issues.labels"], record["issues.probabilities"]
    flagged = rows[find_label_issues(labels, p, n_jobs=1)]
    found: dict[str, Any] = {"flagged": len(flagged) / max(1, len(rows))}
    if "planted.rows" in record:
        found |= scores(flagged, np.intersect1d(record["planted.rows"], rows))
    return {"cleanlab": found}


class Probabilities(ClassifierMixin, BaseEstimator):
    """A classifier whose input is its probabilities (N, K)."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.classes_ = np.arange(classes)

    def fit(self, X: Floats, y: NDArray[Any]) -> Probabilities:
        """Nothing to learn."""
        return self

    def predict_proba(self, X: Floats) -> Floats:
        """The input."""
        return X / X.sum(1, keepdims=True)

    def predict(self, X: Floats) -> NDArray[Any]:
        """The most probable class."""
        return np.asarray(X.argmax(1))


class Logits(ClassifierMixin, BaseEstimator):
    """A classifier whose input is its logits (N, K)."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.classes_ = np.arange(classes)

    def fit(self, X: Floats, y: NDArray[Any]) -> Logits:
        """Nothing to learn."""
        return self

    def decision_function(self, X: Floats) -> Floats:
        """The input; of two classes the difference."""
        return X[:, 1] - X[:, 0] if X.shape[1] == 2 else X

    def predict(self, X: Floats) -> NDArray[Any]:
        """The class with the largest logit."""
        return np.asarray(X.argmax(1))


def _there(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
