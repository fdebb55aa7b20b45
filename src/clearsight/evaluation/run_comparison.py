"""A run that continues another, against that one: what each class has gained and lost on the test images of both.

Both models are asked about the same images, those that the older run kept for its test and that are still there, and
are evaluated by the labels of now. The images are paired, so the intervals are those of differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.evaluation.paired import paired_difference
from clearsight.metrics.comparison import holm
from clearsight.predictor import ModelOutput
from clearsight.tasks import Task
from clearsight.tasks.image_scores import image_scores, names_right, score_words
from clearsight.wording import count, percent

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class ScoreChange:
    """The mean score of n images before and after, and the difference with its 95 % interval.

    name: of the class, "" for all. gained, lost: images on which the new model is better, and worse. p_value: of the
    difference, corrected for the number of classes [Holm 1979] where it is of one.
    """

    name: str
    n: int
    before: float
    after: float
    difference: float
    interval: tuple[float, float]
    gained: int
    lost: int
    p_value: float

    def words(self, share: bool = True) -> str:
        """The change, with its interval. share: the score is a share, not a number of another unit."""
        low, high = self.interval
        if not share:
            return (
                f"{self.before:.4g} -> {self.after:.4g}, {self.difference:+.3g} ({low:+.3g} to {high:+.3g}), "
                f"{self.gained} better, {self.lost} worse"
            )
        return (
            f"{percent(self.before)} -> {percent(self.after)}, {100 * self.difference:+.1f} points "
            f"({100 * low:+.1f} to {100 * high:+.1f}), {self.gained} newly correct, {self.lost} newly wrong"
        )


@dataclass(frozen=True)
class RunComparison:
    """The run that was continued against the one that continues it.

    run: the older one's folder. changes: of the data, as plain values. score: what is compared. share: it is a share.
    tested: test images of the older run, of which `overall.n` are still there; overall: None for none. classes: those
    that the older run knew, by their names of now. was: what they were called then, where that is another name.
    """

    run: str
    changes: Mapping[str, Any]
    score: str
    share: bool
    tested: int
    overall: ScoreChange | None
    classes: tuple[ScoreChange, ...] = ()
    was: Mapping[str, tuple[str, ...]] | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "run": self.run, **self.changes, "score": self.score, "tested": self.tested,
            "overall": None if self.overall is None else asdict(self.overall),
            "classes": [asdict(row) for row in self.classes],
            "was": {name: list(names) for name, names in (self.was or {}).items()},
        }  # fmt: skip

    def title_of(self, name: str) -> str:
        """The name of a class, and what it was called before."""
        then = (self.was or {}).get(name)
        return f"{name} (was {', '.join(then)})" if then else name

    @property
    def scope(self) -> str:
        """On which images this rests."""
        if self.overall is None and self.reason:
            return f"not compared with {self.run}: {self.reason}"
        if self.overall is None:
            return f"not compared: none of the {count(self.tested, 'test image')} of {self.run} can be used"
        of = "the" if self.overall.n == self.tested else f"{self.overall.n:,} of the"
        return f"{self.score} on {of} {count(self.tested, 'test image')} of {self.run}"

    def text(self) -> str:
        """All of it, a line for each class."""
        if self.overall is None:
            return self.scope
        lines = [f"{self.scope}: {self.overall.words(self.share)}"]
        width = max((len(self.title_of(row.name)) for row in self.classes), default=0)
        lines += [f"  {self.title_of(row.name):<{width}}  {row.words(self.share)}" for row in self.classes]
        return "\n".join(lines)


def compare_runs(
    old: Task,
    new: Task,
    before: ModelOutput,
    after: ModelOutput,
    *,
    shown: NDArray[np.str_],
    truth: tuple[NDArray[Any], NDArray[Any]],
    renamed: Mapping[str, str],
    run: str,
    changes: Mapping[str, Any],
    tested: int,
    columns: tuple[list[int], list[int]] | None = None,
    reason: str = "",
) -> RunComparison:
    """Compare the outputs of two models for the same N images.

    Args:
        old: what the older model predicts.
        new: what the newer one predicts.
        before: outputs of the older one.
        after: outputs of the newer one.
        shown: the name of what each image shows (N,), of now.
        truth: targets (N, T) as each task evaluates them, for tasks without one name per image.
        renamed: what the older model's names are called now; names that are gone are missing.
        run: folder of the older run.
        changes: of the data, as plain values.
        tested: test images of the older run.
        columns: those of the labels that both know, for each model; None for all.
        reason: why there are no images to compare, where that is not for want of test images.

    Returns:
        The comparison, over all images and, for one name per image, by class.
    """
    score, share = score_words(new), not score_words(new).startswith("minus")
    if not len(shown):
        return RunComparison(run, changes, score, share, tested, None, reason=reason)
    if not new.exclusive:
        of_old, of_new = columns or (None, None)
        if of_old is not None:
            score = f"{score} for the {count(len(of_old), 'label')} of both runs"
        pair = image_scores(old, before.logits, truth[0], of_old), image_scores(new, after.logits, truth[1], of_new)
        return RunComparison(run, changes, score, share, tested, _change("", *pair))
    first = names_right(old, before.logits, shown, renamed)
    second = names_right(new, after.logits, shown, {name: name for name in new.names})
    was = {name: tuple(then for then, now in renamed.items() if now == name) for name in new.names}
    known = [name for name in new.names if was[name] and (shown == name).any()]
    rows = [_change(name, first[shown == name], second[shown == name]) for name in known]
    corrected = holm([row.p_value for row in rows])
    return RunComparison(
        run, changes, score, share, tested, _change("", first, second),
        tuple(ScoreChange(**{**vars(row), "p_value": p}) for row, p in zip(rows, corrected, strict=True)),
        {name: names for name, names in was.items() if names and names != (name,)},
    )  # fmt: skip


def _change(name: str, before: Scores, after: Scores) -> ScoreChange:
    difference, interval, p_value = paired_difference(before, after)
    return ScoreChange(
        name, len(before), float(before.mean()), float(after.mean()), difference, interval,
        int((after > before).sum()), int((after < before).sum()), p_value,
    )  # fmt: skip


def worst(rows: Sequence[ScoreChange]) -> list[ScoreChange]:
    """The rows whose interval lies below zero, the largest loss first."""
    return sorted((row for row in rows if row.interval[1] < 0), key=lambda row: row.difference)
