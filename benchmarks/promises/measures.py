"""What the acceptance table asks, measured on the stored arrays of one run: numbers by name, plain values for JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.promises.store import Record
from clearsight.metrics import accuracy, brier_score, expected_calibration_error, log_loss, softmax
from clearsight.metrics.ranking import auroc
from clearsight.tasks.multilabel import sigmoid

COVERAGES = ("0.8", "0.9", "0.95")
METHODS = ("lac", "aps", "raps")
Floats = NDArray[np.float64]


def measure(record: Record) -> dict[str, Any]:
    """All measures of a run, by subject."""
    facts = record.facts
    found: dict[str, Any] = {key: facts[key] for key in ("set", "kind", "seed", "code", "seconds", "n", "members")}
    found["panel"] = _numbers(facts.get("panel"))
    if "test.raw" in record:
        found["calibration"] = calibration(record)
        found["coverage"] = coverage(record)
        found["ood"] = ood(record)
    if "issues.rows" in record:
        found["issues"] = issues(record)
    return found


def _numbers(panel: dict[str, Any] | None) -> dict[str, Any] | None:
    """The trust panel without its words."""
    if panel is None:
        return None
    kept = ("value", "interval", "low", "high", "beyond", "enough")
    return {
        "entries": [
            {**{k: e[k] for k in ("name", "status")}, "checks": [{k: c.get(k) for k in kept} for c in e["checks"]]}
            for e in panel["entries"]
        ]
    }


def calibration(record: Record) -> dict[str, float]:
    """Log loss, Brier score and ECE on the test split before and after calibration, and log loss of the frequencies of
    classes among development images; of labels as the mean over labels. Nothing for numbers.
    """
    task, truth, raw = record.facts["task"], record["test.truth"], record["test.raw"].astype(np.float64)
    after, known = record["test.decoded"], record["train.labels_all"]
    if task == "classification":
        frequencies = np.bincount(known, minlength=raw.shape[1]) / len(known)
        before = softmax(raw)
        usual = np.tile(frequencies, (len(truth), 1))
        found = {"accuracy": accuracy(truth, after.argmax(1))}
        found |= {"majority": float((truth == frequencies.argmax()).mean())}
        for name, p in (("before", before), ("after", after), ("frequencies", usual)):
            found |= {f"log loss {name}": log_loss(truth, p), f"brier {name}": brier_score(truth, p)}
            found[f"ece {name}"] = expected_calibration_error(truth, p)
            found[f"debiased ece {name}"] = debiased_ece(p.max(1), p.argmax(1) == truth)
        return found
    if task == "multilabel":
        found = {}
        usual = np.tile(known.mean(0), (len(truth), 1))
        for name, p in (("before", sigmoid(raw)), ("after", after), ("frequencies", usual)):
            found[f"log loss {name}"] = binary_log_loss(truth, p)
            found[f"brier {name}"] = float(np.mean((p - truth) ** 2))
            for measure, of in (("ece", _binary_ece), ("debiased ece", lambda t, q: debiased_ece(q, t > 0))):
                values = [of(t, q) for t, q in zip(truth.T, p.T, strict=True)]
                found[f"{measure} {name}"] = float(np.mean(values))
        return found
    return {}


def binary_log_loss(truth: NDArray[Any], p: Floats) -> float:
    """Mean over images and labels (N, K), in nats."""
    q = np.clip(p, 1e-15, 1 - 1e-15)
    return float(-np.mean(truth * np.log(q) + (1 - truth) * np.log(1 - q)))


def _binary_ece(truth: NDArray[Any], p: Floats) -> float:
    """Of one label, over 15 bins of its probability."""
    places = np.minimum((p * 15).astype(int), 14)
    count = np.bincount(places, minlength=15)
    gap = np.bincount(places, truth - p, minlength=15)
    return float(np.abs(gap).sum() / count.sum())


def debiased_ece(confidence: Floats, right: NDArray[np.bool_]) -> float:
    """The project's own, once it has one; squared errors of bins of equal mass, less their variance, else: the root is
    the debiased l2 error [Kumar, Liang, Ma 2019], an upper bound of the l1 error on average.
    """
    try:
        from clearsight.metrics import debiased_ece as own
    except ImportError:
        order = np.argsort(confidence, kind="stable")
        parts = np.array_split(order, max(1, min(15, len(order) // 20)))
        total = 0.0
        for part in parts:
            gap, share = right[part].mean() - confidence[part].mean(), right[part].mean()
            total += len(part) * (gap**2 - share * (1 - share) / max(1, len(part) - 1))
        return float(max(0.0, total / len(order)) ** 0.5)
    found = own(confidence, right)
    return float(getattr(found, "value", found))


def coverage(record: Record) -> dict[str, Any]:
    """Of every method and coverage: share of test images covered, size of sets or width of intervals, empty sets."""
    found: dict[str, Any] = {
        "calibration": record.facts.get("calibrated on", {}).get("sets", len(record["val.rows"])),
        "test": len(record["test.rows"]),
    }
    truth = record["test.truth"]
    for level in COVERAGES:
        for method in METHODS:
            name = f"test.sets.{method}.{level}"
            if name in record:
                inside = record[name]
                found[f"{method} {level}"] = {
                    "covered": float(inside[np.arange(len(truth)), truth].mean()),
                    "size": float(inside.sum(1).mean()),
                    "empty": float((inside.sum(1) == 0).mean()),
                    "first alone": float((record["test.decoded"].argmax(1) == truth).mean()),
                }
        if f"test.low.{level}" in record:
            low, high = record[f"test.low.{level}"], record[f"test.high.{level}"]
            turn = {"degrees": 360.0, "radians": 2 * np.pi}.get(record.facts["task_card"].get("unit", ""), 0)
            width, place = high - low, truth - low
            if record.facts["task_card"].get("kind") == "angle":
                width, place = np.where(width < 0, width + turn, width), place % turn
            covered = (place >= 0) & (place <= width)
            found[f"interval {level}"] = {"covered": float(covered.mean()), "width": float(np.mean(width))}
    return found


def ood(record: Record) -> dict[str, Any]:
    """Shares flagged: of test images, of changed ones, of far ones by set, of fooling images; AUROC of classes left
    out. worst class: the false alarm rate of the class with the highest.
    """
    if "test.flagged" not in record:
        return {}
    flagged = record["test.flagged"]
    found: dict[str, Any] = {"false alarms": float(flagged.mean()), "known": _known(record)}
    truth = record["test.truth"]
    if record.facts["task"] == "classification":
        shares = {str(k): float(flagged[truth == k].mean()) for k in np.unique(truth)}
        found["worst class"] = max(shares.values())
    for part in ("shifted", "darker", "brighter", "fooling"):
        if f"{part}.flagged" in record:
            found[part] = float(record[f"{part}.flagged"].mean())
    if "fooling.probabilities" in record:
        sure = record["fooling.probabilities"] >= 0.99
        found["fooling"] = float(record["fooling.flagged"][sure].mean()) if sure.any() else None
        found["fooling images"] = int(sure.sum())
    far = {name[4:-8]: float(record[name].mean()) for name in record.names("far.", ".flagged")}
    if far:
        found["far"] = far
        found["far mean"], found["far least"] = float(np.mean(list(far.values()))), min(far.values())
    if "gone.score" in record:
        found["auroc"] = auroc(record["test.score"], record["gone.score"])
        found["auroc of percentiles"] = auroc(record["test.percentile"], record["gone.percentile"])
    return found


def _known(record: Record) -> int:
    """Images that the threshold follows from."""
    return int(record.facts.get("calibrated on", {}).get("ood", record.facts["n"]["val"]))


def issues(record: Record) -> dict[str, Any]:
    """Share of labels flagged; where labels were changed, precision, recall and F1 of the flags."""
    looked, flagged = record["issues.rows"], record["issues.found"]
    found: dict[str, Any] = {"looked at": len(looked), "flagged": len(flagged) / max(1, len(looked))}
    if "planted.rows" in record:
        found |= scores(flagged, np.intersect1d(record["planted.rows"], looked))
    return found


def scores(flagged: NDArray[np.integer], wrong: NDArray[np.integer]) -> dict[str, float]:
    """Precision, recall and F1 of flagged rows, of which `wrong` should be."""
    hits = len(np.intersect1d(flagged, wrong))
    precision, recall = hits / max(1, len(flagged)), hits / max(1, len(wrong))
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}
