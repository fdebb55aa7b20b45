"""Trust in predictions: OOD scores, coverage of prediction sets, label issues found.

OOD images: two classes are left out of training and validation; their images are compared with the test images of
the others, by every score and by all of them combined. Coverage: 20 splits of the digits. Wrong
labels: 5 % of the digits' labels are changed to another class, and the label issues compared with them.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.harness import fresh_cache, spread

PAIRS = ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))

IMAGES, EPOCHS = 13_000, 6
"""Of Fashion-MNIST, drawn at random, and how often they are seen: ten minutes for all pairs."""

BARS = {
    "digits": "mean AUROC of the combined score >= 0.95",
    "fashion-mnist": ">= max-softmax on average",
    "coverage": "0.885 to 0.92 on average",
    "wrong labels": "precision >= 0.90, recall >= 0.80",
}


def measure() -> dict[str, Any]:
    return {
        "bars": BARS,
        "digits": _ood("digits"),
        "coverage": _coverage(20),
        "wrong labels": [_labels(seed) for seed in range(3)],
        "fashion-mnist": _ood("fashion-mnist", IMAGES, epochs=EPOCHS),
    }


def _ood(name: str, images: int | None = None, **options: Any) -> dict[str, Any]:
    """AUROC of every score, and of all combined, by pair of classes left out."""
    from clearsight.api.fit import fit
    from clearsight.metrics.ranking import auroc
    from clearsight.ood.scores import SCORES
    from clearsight.runs.images import held_out
    from clearsight.tasks import read

    dataset = read(name)
    everything = np.asarray(dataset.source.images)
    some = np.random.default_rng(0).permutation(len(everything))[:images]
    pixels, labels = everything[some], dataset.labels[some]
    found: dict[str, Any] = {}
    for pair in PAIRS:
        with fresh_cache(), tempfile.TemporaryDirectory() as folder:
            known = ~np.isin(labels, pair)
            words = [str(label) for label in labels[known]]
            run = fit(pixels[known], words, out=f"{folder}/run", **options)
            detector = run.predictor.bundle.ood_detector
            assert detector is not None
            held = held_out(run.predictor, (pixels[known], words))
            outputs = [run.predictor.forward(held.images), run.predictor.forward(pixels[~known])]
            single = [detector.bank.scores(k.logits, k.features, k.statistics) for k in outputs]
            scores = {score: auroc(*(one[score] for one in single)) for score in SCORES}
            scores["combined"] = auroc(*(detector.detect(k.logits, k.features, k.statistics)[2] for k in outputs))
            found[f"without {pair}"] = {score: round(value, 4) for score, value in scores.items()}
    means = {s: float(np.mean([row[s] for row in found.values()])) for s in (*SCORES, "combined")}
    return {**found, "mean": {score: round(value, 4) for score, value in means.items()}}


def _coverage(splits: int) -> dict[str, Any]:
    """What 90 % sets cover on the test split, over splits."""
    from clearsight.api.fit import fit

    checks = []
    for seed in range(splits):
        with fresh_cache(), tempfile.TemporaryDirectory() as folder:
            checks.append(fit("digits", out=f"{folder}/run", seed=seed).metrics["test"]["ood_check"])
    return {
        name: {**spread([c[name] for c in checks]), "mean": float(np.mean([c[name] for c in checks]))}
        for name in ("coverage", "mean_size", "empty", "false_alarms")
    }


def _labels(seed: int) -> dict[str, Any]:
    """Precision and recall of the label issues when 5 % of the labels are changed."""
    from clearsight.api.fit import fit
    from clearsight.tasks import read

    dataset = read("digits")
    draw = np.random.default_rng(seed)
    labels = dataset.labels.copy()
    changed = draw.permutation(len(labels))[: round(0.05 * len(labels))]
    labels[changed] = (labels[changed] + draw.integers(1, 10, len(changed))) % 10
    with fresh_cache(), tempfile.TemporaryDirectory() as folder:
        run = fit(replace(dataset, labels=labels, origin="arrays in memory"), out=f"{folder}/run", seed=seed, epochs=2)
        assert run.label_issues is not None
        examined = set(run.label_issues.rows.tolist())
        issues = {s.index for s in run.label_issues.found}
    wrong = {int(i) for i in changed} & examined
    hits = len(issues & wrong)
    return {"label_issues": len(issues), "precision": hits / max(1, len(issues)), "recall": hits / len(wrong)}
