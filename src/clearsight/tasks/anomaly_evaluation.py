"""Evaluation of anomaly detection: how well anomalies are ranked above normal images, and the false alarms.

Shapes: N images; scores (N, 1), larger for stranger; targets (N, 1), 1 for an anomaly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from clearsight.metrics import auroc_interval, wilson_interval
from clearsight.metrics.ranking import auroc, average_precision
from clearsight.tasks.evaluation import Evaluation, Mistake
from clearsight.tasks.panel import PanelEntry, chance_entry, false_alarms_entry
from clearsight.tasks.sections import Bar, Card, Cards, Charts, ReportParts, ScoreChart, Section, Table, Tile
from clearsight.wording import count, percent, probability

if TYPE_CHECKING:
    from clearsight.tasks.anomaly import Anomaly

SHOWN = 24
"""Mistakes in the report at most."""


@dataclass(frozen=True)
class GroupScore:
    """Images of one class. auroc: of an anomalous class against all normal images; None for a normal one. called: the
    share that is flagged as an anomaly. mean_probability: of an anomaly.
    """

    name: str
    normal: bool
    images: int
    auroc: float | None
    called: float
    mean_probability: float


@dataclass(frozen=True)
class AnomalyMistake(Mistake):
    """A missed anomaly or a false alarm."""

    kind: Literal["missed", "false alarm"]
    probability: float
    p_value: float


@dataclass(frozen=True, repr=False)
class AnomalyEvaluation(Evaluation):
    """Scores of N images. auroc: the probability that an anomaly scores above a normal image, with a bootstrap interval
    of 95 %; None where the images are all of one kind, as is average_precision. false_alarms: the share of normal
    images called anomalies, with its interval; promised: the share they were to keep to. found: of anomalies called so.
    probability_in_anomalies, probability_in_normal: mean probability of an anomaly among either.
    """

    task: ClassVar[str] = "anomaly"
    n: int
    anomalies: int
    auroc: float | None
    auroc_interval: tuple[float, float] | None
    average_precision: float | None
    promised: float
    false_alarms: float | None
    false_alarms_interval: tuple[float, float] | None
    found: float | None
    probability_in_anomalies: float | None
    probability_in_normal: float | None
    per_group: tuple[GroupScore, ...]
    mistakes: tuple[AnomalyMistake, ...]
    scores: NDArray[np.float64]
    truth: NDArray[np.bool_]
    threshold: float
    prior: float
    shape: float
    calibrated_on: int = 0

    def promises(self) -> tuple[PanelEntry, ...]:
        """Anomalies are ranked above normal images better than by chance, and false alarms keep to the stated rate."""
        found = []
        if self.auroc is not None:
            found.append(
                chance_entry(self.auroc, self.auroc_interval, "AUROC", 0.5, "the value for random scores", self.n)
            )
        if self.false_alarms is not None:
            normal = self.n - self.anomalies
            flagged = round(self.false_alarms * normal)
            found.append(false_alarms_entry(flagged, normal, self.calibrated_on, self.promised))
        return tuple(found)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the auroc."""
        return self.auroc_interval

    def summary(self) -> dict[str, Any]:
        """The numbers that go into metrics.json."""
        about = (
            "n", "anomalies", "auroc", "auroc_interval", "average_precision", "promised", "false_alarms",
            "false_alarms_interval", "found", "probability_in_anomalies", "probability_in_normal",
        )  # fmt: skip
        each = {g.name: {k: v for k, v in vars(g).items() if k != "name"} for g in self.per_group}
        return {**{name: getattr(self, name) for name in about}, "per_group": each}

    @staticmethod
    def headline(summary: dict[str, Any], thing: str = "image", new: str = "") -> str:
        """AUROC, anomalies found, false alarms."""
        lines = []
        if summary["auroc"] is not None:
            low, high = summary["auroc_interval"]
            lines.append(
                f"AUROC {summary['auroc']:.3f} ({low:.3f} to {high:.3f}): probability that an anomaly scores higher "
                f"than a normal {thing}{f'; no test {thing} was used in training' if new else ''}"
            )
            lines.append(f"anomalies flagged: {percent(summary['found'])} of {summary['anomalies']:,}")
        if summary["false_alarms"] is not None:
            low, high = summary["false_alarms_interval"]
            lines.append(
                f"normal {thing}s flagged: {percent(summary['false_alarms'])} of "
                f"{summary['n'] - summary['anomalies']:,} ({percent(low)} to {percent(high)}; stated rate "
                f"{percent(summary['promised'])})"
            )
        return "\n".join(lines)

    def details(self, thing: str) -> list[str]:
        """A line for each class that is normal or not."""
        names = [g.name + (" (normal)" if g.normal else "") for g in self.per_group]
        width = max(map(len, names), default=0)
        lines = [""]
        for name, g in zip(names, self.per_group, strict=True):
            more = "" if g.auroc is None else f", AUROC {g.auroc:.3f}"
            lines.append(f"{name:<{width}}  {thing}s {g.images:6d}, flagged {percent(g.called):>7}{more}")
        return [*lines, ""]

    def mistake_line(self, mistake: AnomalyMistake) -> str:
        """A missed anomaly or a false alarm."""
        m = mistake
        return f"{m.kind}: {m.image}, anomaly probability {probability(m.probability)}, p = {m.p_value:.3f}"

    def report(self, thing: str = "image", validation: Self | None = None) -> ReportParts:
        """AUROC, false alarms and anomalies found, a row for each class, the scores, and what went wrong."""
        normal = self.n - self.anomalies
        sentences = []
        if self.false_alarms is not None:
            sentences.append(
                f"Of **{count(normal, f'normal test {thing}')}**, "
                f"**{percent(self.false_alarms)}** are flagged as anomalies."
            )
        if self.found is not None:
            sentences.append(
                f"Of **{count(self.anomalies, 'anomaly', 'anomalies')}**, **{percent(self.found)}** are flagged."
            )
        cards = Cards(tuple(self._cards(thing)), none=f"There are no mistakes on the test {thing}s.")
        return ReportParts(
            verdict=" ".join(sentences) or f"There are no test {thing}s.",
            tiles=tuple(self._tiles(thing)),
            table=Table(
                ("Class", f"{thing.capitalize()}s", "AUROC", "Flagged", "Mean probability"),
                tuple(
                    (
                        g.name + (" (normal)" if g.normal else ""), f"{g.images:,}",
                        "–" if g.auroc is None else f"{g.auroc:.3f}", percent(g.called), percent(g.mean_probability),
                    )
                    for g in self.per_group
                ),
                f"AUROC is the probability that a random {thing} of the class scores higher than a random normal one. "
                f"The probability of an anomaly assumes that {percent(self.prior)} of all {thing}s are anomalies and "
                f"that anomalies are separated from normal {thing}s with an AUROC of {1 / (1 + self.shape):.2f}. "
                f"Because no anomalies were used in training, use this probability only to rank {thing}s; only the "
                "false alarm rate is guaranteed.",
            ),
            charts=Charts(
                (ScoreChart("Scores", self.scores[~self.truth], self.scores[self.truth], self.threshold),),
                f"Anomaly scores of the test {thing}s. Those with scores to the right of the line are flagged.",
            ),
            sections=(Section("mistakes", "Missed anomalies and false alarms", (cards,), link="Mistakes"),),
            ood_words=f"There is no separate OOD detector: {thing}s that differ too much from the normal ones are "
            "flagged as anomalies.",
        )  # fmt: skip

    def _tiles(self, thing: str) -> Iterator[Tile]:
        if self.auroc is not None and self.auroc_interval is not None:
            low, high = self.auroc_interval
            yield Tile(
                "AUROC",
                f"{self.auroc:.3f}",
                f"probability that an anomaly scores higher than a normal {thing}; "
                f"95 % interval {low:.3f} to {high:.3f}",
            )
        if self.false_alarms is not None and self.false_alarms_interval is not None:
            yield Tile(
                "False alarms",
                percent(self.false_alarms),
                f"of the normal test {thing}s; stated rate {percent(self.promised)}",
                Bar(self.false_alarms, self.false_alarms_interval, self.promised),
            )
        if self.found is not None:
            yield Tile("Anomalies found", percent(self.found), "of the test anomalies, at the stated false alarm rate")
        if self.anomalies == 0:
            yield Tile("Test anomalies", "none", "detection cannot be measured")

    def _cards(self, thing: str) -> Iterator[Card]:
        """Some missed anomalies and some false alarms."""
        halves = [[m for m in self.mistakes if m.kind == kind][: SHOWN // 2] for kind in ("missed", "false alarm")]
        for miss in [*halves[0], *halves[1]]:
            yield Card(
                miss.index,
                miss.image,
                (
                    ("", miss.kind),
                    (
                        f"anomaly probability {probability(miss.probability)}; "
                        f"{percent(miss.p_value)} of normal {thing}s score at least as high",
                        "",
                    ),
                ),
                mapped=True,
                explained=True,
            )


def evaluate_anomalies(
    task: Anomaly,
    outputs: NDArray[np.floating],
    targets: NDArray[np.float32],
    *,
    indices: NDArray[np.integer] | None = None,
    images: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
) -> AnomalyEvaluation:
    """Metrics of anomaly scores.

    Args:
        task: the task, with the scores of held-out normal images.
        outputs: anomaly scores (N, 1).
        targets: 1 for an anomaly, 0 for a normal image (N, 1).
        indices: positions of the images in the data set (N,); None counts from 0.
        images: names of the N images, for the list of mistakes, most certain first.
        groups: class name of each image, for scores by class.

    Returns:
        The evaluation; without anomalies or without normal images, the ranking metrics are None.
    """
    truth, scores = targets[:, 0] > 0, np.asarray(outputs, np.float64)[:, 0]
    called, probabilities, p = task.given(outputs), task.decode(outputs)[:, 0], task.p_values(outputs)
    area = auroc(scores[~truth], scores[truth]) if truth.any() and not truth.all() else None
    alarms = int((called & ~truth).sum())
    where = np.arange(len(truth)) if indices is None else indices
    wrong = np.flatnonzero(called != truth)
    surest = wrong[np.argsort(-np.where(truth, p, probabilities)[wrong], kind="stable")]
    return AnomalyEvaluation(
        n=len(truth),
        anomalies=int(truth.sum()),
        auroc=area,
        auroc_interval=None if area is None else auroc_interval(area, int((~truth).sum()), int(truth.sum())),
        average_precision=None if area is None else average_precision(truth, scores),
        promised=task.alarm_rate,
        false_alarms=_mean(called[~truth]),
        false_alarms_interval=None if truth.all() else wilson_interval(alarms, int((~truth).sum())),
        found=_mean(called[truth]),
        probability_in_anomalies=_mean(probabilities[truth]),
        probability_in_normal=_mean(probabilities[~truth]),
        per_group=_per_group(groups, truth, scores, called, probabilities),
        mistakes=tuple(
            AnomalyMistake(
                int(where[i]),
                images[i] if images is not None else f"#{where[i]}",
                "missed" if truth[i] else "false alarm",
                float(probabilities[i]),
                float(p[i]),
            )
            for i in surest.tolist()
        ),
        scores=scores,
        truth=truth,
        threshold=task.threshold,
        prior=task.prior,
        shape=task.shape,
        calibrated_on=len(task.known),
    )


def _per_group(
    groups: Sequence[str] | None,
    truth: NDArray[np.bool_],
    scores: NDArray[np.float64],
    called: NDArray[np.bool_],
    probabilities: NDArray[np.float64],
) -> tuple[GroupScore, ...]:
    names = np.array(groups if groups is not None else np.where(truth, "anomaly", "normal"))
    found = []
    for name in dict.fromkeys(names.tolist()):
        own = names == name
        anomalous = bool(truth[own].any())
        found.append(
            GroupScore(
                str(name), not anomalous, int(own.sum()),
                auroc(scores[~truth], scores[own]) if anomalous and not truth.all() else None,
                float(called[own].mean()), float(probabilities[own].mean()),
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda g: (not g.normal, g.name)))


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None
