"""Runs made by hand, without training: pixels, predictions and counts are chosen, so the page's numbers are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from clearsight.bundle import Bundle
from clearsight.calibration.calibrator import Calibrator
from clearsight.data.dataset import Array, Dataset
from clearsight.data.geometry import Geometry
from clearsight.data.prepare import prepare
from clearsight.data.scan import scan
from clearsight.models.base import ModelNetwork
from clearsight.tasks import Classification
from clearsight.tasks.classification_evaluation import ClassEvaluation
from clearsight.train.config import TrainConfig
from clearsight.train.fit import Fitted
from clearsight.train.observer import Epoch
from clearsight.train.recipe import Decision, Recipe

Parts = dict[str, Any]


def _outputs(counts: Sequence[Sequence[int]], confidence: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels whose confusion matrix is `counts`; every prediction has the same confidence."""
    k = len(counts)
    pairs = [(i, j) for i in range(k) for j in range(k) for _ in range(counts[i][j])]
    logits = np.zeros((len(pairs), k))
    logits[np.arange(len(pairs)), [j for _, j in pairs]] = np.log(confidence * (k - 1) / (1 - confidence))
    return logits, np.array([i for i, _ in pairs])


def _evaluated(
    counts: Sequence[Sequence[int]], classes: Sequence[str], temperature: float = 1.0, **options: Any
) -> ClassEvaluation:
    """The evaluation of `_outputs`, its images numbered from 0."""
    return Classification(tuple(classes), Calibrator.identity(len(classes), temperature)).evaluate(
        *_outputs(counts), **options
    )


def _history(losses: Sequence[float]) -> tuple[Epoch, ...]:
    """Epochs with these validation losses."""
    return tuple(Epoch(i + 1, 10 * i, 0.1, 2.0 / (i + 1), 0.5, v, 0.6, 1.5 * i) for i, v in enumerate(losses))


@pytest.fixture
def evaluated() -> Callable[..., ClassEvaluation]:
    """A function from a confusion matrix and class names to an evaluation with a confidence of 0.9 throughout."""
    return _evaluated


@pytest.fixture
def make_run() -> Callable[..., Parts]:
    """The arguments of `write_report` for images of any classes, counts of predictions and validation `losses`."""

    def make(
        classes: Sequence[str] = ("cat", "dog"),
        *,
        images: np.ndarray | None = None,
        counts: Sequence[Sequence[int]] | None = None,
        side: int = 8,
        each: int = 12,
        **changes: Any,
    ) -> Parts:
        k = len(classes)
        rng = np.random.default_rng(0)
        if images is None:
            images = rng.integers(0, 256, (k * each, side, side), dtype=np.uint8)
        labels = np.arange(len(images)) % k
        dataset = Dataset(
            name=changes.pop("name", "digits"),
            source=Array(images),
            labels=labels,
            classes=tuple(classes),
            given=np.full(len(images), "", dtype="<U5"),
            origin=changes.pop("origin", "digits"),
            task=Classification,
        )
        prepared = prepare(dataset, scan(dataset), Geometry(side, side))
        counts = counts or (np.eye(k, dtype=int) * 20 + np.eye(k, k=1, dtype=int)).tolist()
        wrong_at = np.resize(prepared.split.test, int(np.sum(counts)))
        test = _evaluated(counts, classes, indices=wrong_at, images=[f"#{i}" for i in wrong_at])
        fitted = Fitted(
            bundle=Bundle(
                ModelNetwork({}),
                Classification(tuple(classes), Calibrator.identity(len(classes), 1.25)),
                prepared.form,
                prepared.geometry,
            ),
            prepared=prepared,
            recipe=Recipe("scratch", "resnet8", {}, side, ()),
            decisions=(Decision("network", "resnet8 from scratch", "the images are small"),),
            validation_indices=prepared.split.val,
            val_logits=np.zeros((len(prepared.split.val), k)),
            history=_history(changes.pop("losses", ())),
            candidates=(),
            tuned=False,
            seconds=12.3,
            ood_seconds=1.5,
            images_per_second=456.0,
        )
        config = changes.pop("config", TrainConfig())
        findings = changes.pop("findings", None)
        if findings is not None:
            audit = replace(prepared.audit, findings=findings)
            fitted = replace(fitted, prepared=replace(prepared, audit=audit))
        return {
            "fitted": replace(fitted, **changes),
            "evaluation": test,
            "validation": _evaluated(np.eye(k, dtype=int).tolist(), classes),
            "config": config,
        }

    return make
