"""The trust panel of a model on its test images: every promise that applies to its task, measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.cached_pixels import CachedPixels, PixelView
from clearsight.data.stable_sample import stable_sample
from clearsight.evaluation.ood import OODCheck
from clearsight.evaluation.robustness import Retained, retained
from clearsight.ood import probes
from clearsight.predictor import Predictor
from clearsight.tasks.evaluation import Evaluation
from clearsight.tasks.panel import (
    TITLES,
    PanelEntry,
    TrustPanel,
    coverage_entry,
    label_issues_entry,
    ood_entry,
    robustness_entry,
)
from clearsight.train.features import model_output
from clearsight.train.label_issues import LabelIssues
from clearsight.wording import count

SAMPLE = 200
"""Test images that are changed for the entry on robustness."""

SEED = 0


def trust_panel(
    predictor: Predictor,
    test: Evaluation,
    *,
    images: Any,
    truth: NDArray[Any],
    check: OODCheck | None = None,
    issues: LabelIssues | None = None,
    without: Evaluation | None = None,
    measured: Retained | None = None,
) -> TrustPanel:
    """Collect the promises of a model and whether its test images show that they are kept.

    Args:
        predictor: the model.
        test: its evaluation on the test images.
        images: these, as the model sees them (N, C, H, W).
        truth: what they show, as the task evaluates it.
        check: false alarms and prediction sets on them; None where there is no detector.
        issues: labels of the training images that may be wrong; None where they were not examined.
        without: the evaluation without test images that nearly equal a training image, which counts in place of `test`
            for the accuracy; None where there are none.
        measured: what mild changes leave of the accuracy; None measures it.
    """
    entries = list(test.promises())
    if without is not None:
        entries = [_without_duplicates(entry, test, without) for entry in entries]
    if check is not None:
        entries += _of_check(predictor, test, check)
    if issues is not None:
        share = getattr(issues, "expected_false_share", None)
        entries.append(label_issues_entry(len(issues.found), len(issues.rows), share))
    measured = measured or mildly_changed(predictor, images, truth)
    if measured is not None:
        entries.append(robustness_entry(measured.right_before, measured.right_after, measured.changes))
    order = list(TITLES)
    return TrustPanel(tuple(sorted(entries, key=lambda entry: order.index(entry.name))))


def mildly_changed(predictor: Predictor, images: Any, truth: NDArray[Any]) -> Retained | None:
    """What mild changes leave of the accuracy on a sample of test images; None for a task of other than one class."""
    if not predictor.bundle.task.exclusive:
        return None
    rows = _sample(images, len(truth))
    return retained(predictor, _some(images, rows), np.asarray(truth)[rows], SEED)


def far_images_flagged(predictor: Predictor) -> tuple[int, int]:
    """How many of how many far-OOD images, such as noise and constants, are flagged."""
    flagged, tried = 0, 0
    for images in probes.far_probes(predictor.shape, SEED).values():
        found = predictor.ood(model_output(predictor, CachedPixels(images, {}, ""), np.arange(len(images))))
        assert found is not None
        flagged, tried = flagged + int(found.flagged.sum()), tried + len(found.flagged)
    return flagged, tried


def _of_check(predictor: Predictor, test: Evaluation, check: OODCheck) -> Sequence[PanelEntry]:
    found = []
    if check.sets is not None:
        sets = check.sets
        found.append(
            coverage_entry(
                sets.stated, round(sets.coverage * check.n), check.n, sets.calibrated_on, sets.mean_size,
                getattr(test, "accuracy", None),
            )
        )  # fmt: skip
    flagged = round(check.false_alarms * check.n)
    found.append(ood_entry(flagged, check.n, check.calibrated_on, check.allowed, far_images_flagged(predictor)))
    return found


def _without_duplicates(entry: PanelEntry, test: Evaluation, without: Evaluation) -> PanelEntry:
    """The entry on accuracy from the images that are no near duplicates; any other as it is."""
    if entry.name != "accuracy":
        return entry
    other = next(e for e in without.promises() if e.name == "accuracy")
    text = (
        f"{other.words} on {count(without.n, 'image')}, excluding {count(test.n - without.n, 'near duplicate')} of "
        "training images"
    )
    return replace(other, words=f"{text}; including them, {entry.words}")


def _some(images: Any, rows: NDArray[np.int64]) -> Any:
    """Those at some positions."""
    return replace(images, indices=images.indices[rows]) if isinstance(images, PixelView) else images[rows]


def _sample(images: Any, n: int) -> NDArray[np.int64]:
    """Positions of the images that are changed, where these are known by content those that a model of more images
    changes too.
    """
    digests = getattr(images, "digests", ())
    if digests:
        return stable_sample([digests[i] for i in images.indices.tolist()], np.arange(n), SAMPLE, SEED)
    return np.sort(np.random.default_rng(SEED).permutation(n)[:SAMPLE])
