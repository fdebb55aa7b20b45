"""How good are answers of any number of labels per image?

Shapes: N images, K labels; outputs (N, K), targets (N, K) of 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from clearsight.data.targets import Task
from clearsight.metrics import expected_calibration_error
from clearsight.metrics.ranking import average_precision, f1_of
from clearsight.tasks import Labels
from clearsight.tasks.multilabel import sigmoid


@dataclass(frozen=True)
class LabelScore:
    """One label. images: how many have it. f1_at_half: what a threshold of 1/2 would give."""

    name: str
    images: int
    average_precision: float
    threshold: float
    precision: float
    recall: float
    f1: float
    f1_at_half: float


@dataclass(frozen=True)
class LabelMistake:
    """An image not given exactly its labels. surprise: the sum over labels of -log of the belief in the truth."""

    index: int
    image: str
    missing: tuple[str, ...]
    wrong: tuple[str, ...]
    surprise: float


@dataclass(frozen=True)
class LabelsEvaluation:
    """Scores of N images. mean_average_precision: over the labels that occur. macro: mean over labels; micro: over all
    questions. exact: share of images given exactly their labels. hamming: share of all questions answered wrongly.
    """

    task: ClassVar[Task] = "multilabel"
    n: int
    mean_average_precision: float
    macro_f1: float
    macro_f1_at_half: float
    micro_f1: float
    exact: float
    hamming: float
    log_loss: float
    ece: float
    ece_uncalibrated: float
    per_label: tuple[LabelScore, ...]
    mistakes: tuple[LabelMistake, ...]
    names: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """The numbers that go into metrics.json."""
        about = (
            "n", "mean_average_precision", "macro_f1", "macro_f1_at_half", "micro_f1", "exact", "hamming", "log_loss",
            "ece", "ece_uncalibrated",
        )  # fmt: skip
        each = {s.name: {k: v for k, v in vars(s).items() if k != "name"} for s in self.per_label}
        for score in each.values():
            score["average_precision"] = score["average_precision"] if score["images"] else None
        return {**{name: getattr(self, name) for name in about}, "per_label": each}


def evaluate_labels(
    answer: Labels,
    outputs: NDArray[np.floating],
    targets: NDArray[np.float32],
    *,
    indices: NDArray[np.integer] | None = None,
    images: Sequence[str] | None = None,
) -> LabelsEvaluation:
    """Judge outputs (N, K). indices, images: positions and names, for the list of mistakes, most surprising first."""
    belief, truth = answer.values(outputs), targets > 0
    given, half = answer.given(belief), belief >= 0.5
    right = np.clip(np.where(truth, belief, 1 - belief), 1e-15, 1)
    surprise = -np.log(right).sum(1)
    labels = [
        LabelScore(
            name,
            int(t.sum()),
            average_precision(t, p),
            answer.thresholds[k],
            _share(t & g, g),
            _share(t & g, t),
            f1_of(t, g),
            f1_of(t, h),
        )
        for k, (name, t, p, g, h) in enumerate(zip(answer.names, truth.T, belief.T, given.T, half.T, strict=True))
    ]
    present = [s for s in labels if s.images]
    where = np.arange(len(truth)) if indices is None else indices
    wrong = np.flatnonzero((truth != given).any(1))
    raw = sigmoid(np.asarray(outputs, np.float64))
    return LabelsEvaluation(
        n=len(truth),
        mean_average_precision=_mean([s.average_precision for s in present]),
        macro_f1=_mean([s.f1 for s in present]),
        macro_f1_at_half=_mean([s.f1_at_half for s in present]),
        micro_f1=f1_of(truth.ravel(), given.ravel()),
        exact=float((truth == given).all(1).mean()),
        hamming=float((truth != given).mean()),
        log_loss=float(-np.log(right).mean()),
        ece=_gap(truth, belief),
        ece_uncalibrated=_gap(truth, raw),
        per_label=tuple(labels),
        mistakes=tuple(
            LabelMistake(
                int(where[i]),
                images[i] if images is not None else f"#{where[i]}",
                tuple(answer.names[k] for k in np.flatnonzero(truth[i] & ~given[i])),
                tuple(answer.names[k] for k in np.flatnonzero(given[i] & ~truth[i])),
                float(surprise[i]),
            )
            for i in wrong[np.argsort(-surprise[wrong], kind="stable")].tolist()
        ),
        names=answer.names,
    )


def _gap(truth: NDArray[np.bool_], belief: NDArray[np.float64]) -> float:
    """Expected calibration error of all yes-or-no questions together."""
    both = np.stack([1 - belief.ravel(), belief.ravel()], axis=1)
    return expected_calibration_error(truth.ravel().astype(np.int64), both)


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else 0.0


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
