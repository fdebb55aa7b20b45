"""Anomalies, learned from normal images alone: solar cells, a digit held out, machine hums, and dirty training data.

Solar cells: trained on cells that experts were sure are functional (defect probability 0), tested on a quarter of those
and on all cells whose probability is above 1/2. Digits: each of the ten in turn is the anomaly. Hums: see `hums`.
Contamination: defective cells are slipped in among the normal ones to learn from, as so many percent of them.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import fresh_cache
from benchmarks.hums import write_hums

BARS = {
    "cells": "AUROC: knn or mahalanobis >= 0.80, padim or patchcore >= 0.86; raw pixels and chance beside them",
    "digits": "mean AUROC of the ten >= 0.95",
    "hums": "AUROC >= 0.95",
}

SHARES = (0.0, 0.01, 0.05, 0.1)
"""Of anomalies among the images to learn from."""


def measure() -> dict[str, Any]:
    with fresh_cache():  # shared, so that the cells' features are computed once for all methods
        return {
            "bars": BARS, "cells": _cells(), "digits": _digits(), "hums": _hums(), "contamination": _contaminated(),
        }  # fmt: skip


def _run(data: Any, labels: Any = None, **options: Any) -> dict[str, Any]:
    from clearsight.api.fit import fit

    with tempfile.TemporaryDirectory() as folder:
        run = fit(data, labels, task="anomaly", out=f"{folder}/run", **options)
        about = ("auroc", "auroc_interval", "false_alarms", "found", "anomalies", "n")
        found = {name: run.metrics["test"][name] for name in about}
        decided = {d["what"]: d["choice"] for d in run.metrics["recipe"]}
        label_issues = [s.index for s in run.label_issues.found] if run.label_issues else []
        return {
            **found, "detector": decided["detector"], "seconds": run.metrics["train_seconds"],
            "label_issues": label_issues,
        }  # fmt: skip


def cells() -> Any:
    """The solar cells without the functional ones that the experts doubted."""
    from clearsight.data.sample import Chosen
    from clearsight.tasks import TaskOptions, read

    whole = read("elpv", task="anomaly", options=TaskOptions(normal="functional"))
    assert whole.weights is not None
    functional = whole.labels == whole.classes.index("functional")
    rows = np.flatnonzero(~functional | (whole.weights == 1))
    return replace(whole.rows(Chosen(whole.source, rows), rows), origin="elpv without doubted functional cells")


def _cells() -> dict[str, Any]:
    data, found = cells(), {}
    for method in ("auto", "knn", "mahalanobis", "padim", "patchcore"):
        found[method] = _run(data, normal="functional", anomaly=method)
    found["raw pixels, knn"] = _run(data, normal="functional", anomaly="knn", pretrained=False)
    test = found["auto"]
    rng, draws = np.random.default_rng(0), 20
    from clearsight.metrics.ranking import auroc

    normal = test["n"] - test["anomalies"]
    chance = [auroc(rng.random(normal), rng.random(test["anomalies"])) for _ in range(draws)]
    found["random scores"] = {"auroc": float(np.mean(chance)), "draws": draws}
    for one in found.values():
        one["label_issues"] = len(one.get("label_issues", ()))
    return found


def _digits() -> dict[str, Any]:
    each = {}
    for digit in range(10):
        normal = ",".join(str(d) for d in range(10) if d != digit)
        each[str(digit)] = _run("digits", normal=normal)["auroc"]
    return {"mean_auroc": float(np.mean(list(each.values()))), "each": each}


def _hums() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        root = write_hums(Path(folder) / "hums", normal=240, each=30)
        found = _run(root, normal="normal")
    return {**found, "label_issues": len(found["label_issues"])}


def _contaminated() -> dict[str, Any]:
    """AUROC when some defective cells are called functional, and how many of them are suspected."""
    data, found = cells(), {}
    functional = data.classes.index("functional")
    normal, sure = data.labels == functional, data.weights == 1
    for share in SHARES:
        rng = np.random.default_rng(0)
        count = round(share * int(normal.sum()) / (1 - share))
        slipped = rng.permutation(np.flatnonzero(~normal & sure))[:count]
        labels, given, values = data.labels.copy(), data.given.copy(), data.targets.copy()
        labels[slipped], given[slipped], values[slipped] = functional, "train", 0
        clean = rng.permutation(np.flatnonzero(normal))
        given[normal] = "train"
        given[clean[: len(clean) // 4]] = "test"
        given[(labels != functional)] = "test"
        mixed = replace(
            data, labels=labels, given=given, values=values, origin=f"{data.origin}, {share:.0%} slipped in"
        )
        one = _run(mixed, normal="functional", anomaly="padim")
        caught = len(set(one["label_issues"]) & set(slipped.tolist()))
        found[f"{share:.0%}"] = {
            **{k: one[k] for k in ("auroc", "false_alarms", "found")}, "slipped_in": count, "flagged": caught,
            "wrongly_flagged": len(one["label_issues"]) - caught,
        }  # fmt: skip
    return found
