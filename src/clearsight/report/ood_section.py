"""What the page says of the model's limits: images unlike the training data, prediction sets, labels to doubt."""

from __future__ import annotations

from dataclasses import dataclass

from clearsight.evaluation import Evaluation, OODCheck
from clearsight.report.pictures import Picture, picture
from clearsight.train.fit import Fitted
from clearsight.wording import count, listed, percent

SCORE_WORDS = {
    "max-softmax": "how small the largest belief is",
    "energy": "how small all outputs together are",
    "knn": "how far its features are from those of training images",
    "mahalanobis": "how far its features are from every class, by the spread within classes",
    "pixels": "how far its pixels are from those of training images",
    "joint": "the stranger of features and pixels",
}

SHOWN = 24
"""Pictures of suspects at most."""

STRANGE = 8
"""Pictures of the strangest test images at most."""

SIDE = 120
"""Longest side of a picture in pixels."""


@dataclass(frozen=True)
class Shown:
    """A picture and the words beneath it."""

    picture: Picture
    name: str
    words: str


@dataclass(frozen=True)
class ScoreRow:
    """An outlier score, what it looks at, and how well it told classes left out from known ones."""

    name: str
    words: str
    auroc: str
    chosen: bool


@dataclass(frozen=True)
class LimitsSection:
    """When the model does not know."""

    scores: tuple[ScoreRow, ...]
    how: str
    false_alarms: str
    allowed: str
    strangest: tuple[Shown, ...]
    coverage: str
    interval: str
    stated: str
    mean_size: str
    sizes: tuple[tuple[str, str], ...]
    empty_words: str


@dataclass(frozen=True)
class SuspectsSection:
    """Labels to doubt."""

    words: str
    shown: tuple[Shown, ...]
    more: int


def limits_section(fitted: Fitted, check: OODCheck | None, test: Evaluation) -> LimitsSection | None:
    """Collect the section; None where the model does not know its limits."""
    limits, prepared = fitted.bundle.limits, fitted.prepared
    if limits is None or check is None:
        return None
    rows = prepared.split.test
    left_out = limits.left_out
    measured: dict[str, float | None] = {**left_out.auroc} or {limits.score: None}
    return LimitsSection(
        scores=tuple(
            ScoreRow(n, SCORE_WORDS[n], f"{v:.3f}" if v is not None else "not measured", n == limits.score)
            for n, v in measured.items()
        ),
        how=_how(left_out.classes, left_out.why),
        false_alarms=f"{percent(check.false_alarms)} of {count(check.n, 'test image')}",
        allowed=percent(check.allowed),
        strangest=tuple(
            Shown(
                picture(prepared, int(rows[i]), SIDE, prepared.dataset.source.name(int(rows[i]))),
                prepared.dataset.source.name(int(rows[i])),
                f"labelled {prepared.dataset.classes[prepared.labels[rows[i]]]}",
            )
            for i in check.strangest[:STRANGE]
        ),
        coverage=percent(check.coverage),
        interval=" to ".join(map(percent, check.coverage_interval)),
        stated=percent(check.stated),
        mean_size=f"{check.mean_size:.2f}",
        sizes=tuple(
            (f"sets of {count(size, 'class', 'classes')}" if size else "empty sets", percent(n / check.n))
            for size, n in enumerate(check.sizes)
            if n
        ),
        empty_words=_empty(check, test),
    )


def _how(groups: tuple[tuple[str, ...], ...], why: str) -> str:
    if not groups:
        return f"Not measured here ({why})."
    words = "; ".join(listed(list(group)) for group in groups)
    return f"Measured by {why}, whose images should then look strange: {words}."


def _empty(check: OODCheck, test: Evaluation) -> str:
    """Why sets are empty, where they are."""
    if not check.empty:
        return ""
    said = f"{percent(check.empty)} of the sets are empty"
    if test.accuracy <= check.stated:
        return f"{said}: no class was likely enough."
    return (
        f"{said}. The model is right on {percent(test.accuracy)}, more often than {percent(check.stated)}, so sets of "
        "that coverage can be had only by leaving out its least sure answers. Ask for more with predict --coverage "
        f"{min(0.999, round(test.accuracy, 3)):g}, and they fill."
    )


def suspects_section(fitted: Fitted) -> SuspectsSection | None:
    """Collect the section; None where no label was looked at."""
    suspects = fitted.suspects
    if suspects is None:
        return None
    found = suspects.found
    words = (
        f"Of {count(len(suspects.rows), 'image')} looked at by {suspects.by}, "
        + (f"{len(found):,} may be labelled wrongly." if found else "none seems to be labelled wrongly.")
    )  # fmt: skip
    shown = tuple(
        Shown(
            picture(fitted.prepared, s.index, SIDE, f"{s.image}: labelled {s.label}, suggested {s.suggested}"),
            s.image,
            f"labelled {s.label} ({percent(s.belief_in_label)}), rather {s.suggested} "
            f"({percent(s.belief_in_suggested)})",
        )
        for s in found[:SHOWN]
    )
    return SuspectsSection(words, shown, len(found) - len(shown))
