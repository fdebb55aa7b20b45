"""How well are anomalies told from normal images, and do false alarms keep to what was promised?

Shapes: N images; scores (N, 1), larger for stranger; targets (N, 1), 1 for an anomaly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from clearsight.data.targets import Task
from clearsight.metrics import auroc_interval, wilson_interval
from clearsight.metrics.ranking import auroc, average_precision
from clearsight.tasks import Anomaly


@dataclass(frozen=True)
class GroupScore:
    """Images of one class. auroc: of an anomalous class against all normal images; None for a normal one. called: the
    share that is called an anomaly. belief: mean probability of one.
    """

    name: str
    normal: bool
    images: int
    auroc: float | None
    called: float
    belief: float


@dataclass(frozen=True)
class AnomalyMistake:
    """An anomaly that was missed, or a normal image called one. index: its position in the data set."""

    index: int
    image: str
    kind: Literal["missed", "false alarm"]
    probability: float
    p_value: float


@dataclass(frozen=True)
class AnomalyEvaluation:
    """Scores of N images. auroc: the probability that an anomaly scores above a normal image, with a bootstrap interval
    of 95 %; None where the images are all of one kind, as is average_precision. false_alarms: the share of normal
    images called anomalies, with its interval; promised: the share they were to keep to. found: of anomalies called so.
    belief_in_anomalies, belief_in_normal: mean probability of an anomaly among either.
    """

    task: ClassVar[Task] = "anomaly"
    n: int
    anomalies: int
    auroc: float | None
    auroc_interval: tuple[float, float] | None
    average_precision: float | None
    promised: float
    false_alarms: float | None
    false_alarms_interval: tuple[float, float] | None
    found: float | None
    belief_in_anomalies: float | None
    belief_in_normal: float | None
    per_group: tuple[GroupScore, ...]
    mistakes: tuple[AnomalyMistake, ...]
    scores: NDArray[np.float64]
    truth: NDArray[np.bool_]

    def summary(self) -> dict[str, Any]:
        """The numbers that go into metrics.json."""
        about = (
            "n", "anomalies", "auroc", "auroc_interval", "average_precision", "promised", "false_alarms",
            "false_alarms_interval", "found", "belief_in_anomalies", "belief_in_normal",
        )  # fmt: skip
        each = {g.name: {k: v for k, v in vars(g).items() if k != "name"} for g in self.per_group}
        return {**{name: getattr(self, name) for name in about}, "per_group": each}


def evaluate_anomalies(
    answer: Anomaly,
    outputs: NDArray[np.floating],
    targets: NDArray[np.float32],
    *,
    indices: NDArray[np.integer] | None = None,
    images: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
) -> AnomalyEvaluation:
    """Judge scores (N, 1). indices, images: positions and names, for the list of mistakes, surest first. groups: the
    class of each image.
    """
    truth, scores = targets[:, 0] > 0, np.asarray(outputs, np.float64)[:, 0]
    called, belief, p = answer.given(outputs), answer.values(outputs)[:, 0], answer.p_values(outputs)
    area = auroc(scores[~truth], scores[truth]) if truth.any() and not truth.all() else None
    alarms = int((called & ~truth).sum())
    where = np.arange(len(truth)) if indices is None else indices
    wrong = np.flatnonzero(called != truth)
    surest = wrong[np.argsort(-np.where(truth, p, belief)[wrong], kind="stable")]
    return AnomalyEvaluation(
        n=len(truth),
        anomalies=int(truth.sum()),
        auroc=area,
        auroc_interval=None if area is None else auroc_interval(area, int((~truth).sum()), int(truth.sum())),
        average_precision=None if area is None else average_precision(truth, scores),
        promised=answer.alarm_rate,
        false_alarms=_mean(called[~truth]),
        false_alarms_interval=None if truth.all() else wilson_interval(alarms, int((~truth).sum())),
        found=_mean(called[truth]),
        belief_in_anomalies=_mean(belief[truth]),
        belief_in_normal=_mean(belief[~truth]),
        per_group=_per_group(groups, truth, scores, called, belief),
        mistakes=tuple(
            AnomalyMistake(
                int(where[i]),
                images[i] if images is not None else f"#{where[i]}",
                "missed" if truth[i] else "false alarm",
                float(belief[i]),
                float(p[i]),
            )
            for i in surest.tolist()
        ),
        scores=scores,
        truth=truth,
    )


def _per_group(
    groups: Sequence[str] | None,
    truth: NDArray[np.bool_],
    scores: NDArray[np.float64],
    called: NDArray[np.bool_],
    belief: NDArray[np.float64],
) -> tuple[GroupScore, ...]:
    names = np.array(groups if groups is not None else np.where(truth, "anomaly", "normal"))
    found = []
    for name in dict.fromkeys(names.tolist()):
        own = names == name
        strange = bool(truth[own].any())
        found.append(
            GroupScore(
                str(name), not strange, int(own.sum()),
                auroc(scores[~truth], scores[own]) if strange and not truth.all() else None,
                float(called[own].mean()), float(belief[own].mean()),
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda g: (not g.normal, g.name)))


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None
