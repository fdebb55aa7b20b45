"""Evaluation of classes in a tree: how often a class, a parent or nothing is predicted, how often that is right, and
how far mistakes lead.

Shapes: N images, K classes; probabilities (N, K), targets (N,).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from clearsight.metrics import wilson_interval
from clearsight.tasks.class_tree import BACK_OFF, ClassTree
from clearsight.tasks.classification_evaluation import ClassEvaluation
from clearsight.tasks.sections import Bar, Cell, Column, ReportParts, Section, Table, Text
from clearsight.wording import count, percent

STATED = (0.8, BACK_OFF, 0.95)
"""Probabilities that the predicted class or parent shall reach."""


@dataclass(frozen=True)
class LevelScore:
    """Images answered alike: with a class, with a parent of one depth, or with either.

    level: which, in words. n: how many images. right: of them the share whose true class is the one named or below it,
    with its 95 % interval. stated: the mean probability of what is named. These are None for no image.
    """

    level: str
    n: int
    right: float | None
    interval: tuple[float, float] | None
    stated: float | None


@dataclass(frozen=True)
class BackOffScores:
    """What is predicted where the class or parent must reach a probability.

    stated: that probability. levels: a score for the images answered with a class, and for each depth of parents, the
    deepest first. answered: for all of these. backed_off: for those answered with a parent. unanswered: images for
    which no class or parent reaches it. information: mean share of the bits that naming the class would give, of right
    answers, 0 for wrong ones [Deng et al. 2012].
    """

    stated: float
    levels: tuple[LevelScore, ...]
    answered: LevelScore
    backed_off: LevelScore
    unanswered: int
    information: float

    def verdict(self) -> str:
        """Whether answers are right as often as stated, by the interval."""
        interval = self.answered.interval
        if interval is None or interval[0] < self.stated <= interval[1]:
            return "too few images"
        return "kept" if interval[0] >= self.stated else "not kept"


@dataclass(frozen=True)
class HierarchyScores:
    """at: scores for several stated probabilities. distance: mean number of levels from the true class up to the first
    parent of it and the most probable class, over all images, right ones at 0; mistake_distance: over mistakes, None
    without any. levels: of the tree.
    """

    at: tuple[BackOffScores, ...]
    distance: float
    mistake_distance: float | None
    levels: int

    @property
    def usual(self) -> BackOffScores:
        """With the probability that `predict` takes unless another is asked for."""
        return next(scores for scores in self.at if scores.stated == BACK_OFF)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = asdict(self)
        for values, scores in zip(found["at"], self.at, strict=True):
            values["verdict"] = scores.verdict()
        return found

    def lines(self, thing: str) -> list[str]:
        """A table for the terminal."""
        usual, width = self.usual, 24
        found = [f"{f'predicted at {percent(usual.stated, 0)}':<{width}}  {thing}s   share  correct"]
        n = usual.answered.n + usual.unanswered
        found += [
            f"{score.level:<{width}}  {score.n:6d}  {percent(score.n / n):>7}  {_right(score)}"
            for score in (*usual.levels, usual.answered)
        ]
        found.append(f"{'none':<{width}}  {usual.unanswered:6d}  {percent(usual.unanswered / n):>7}")
        found.append(f"promise of at least {percent(usual.stated, 0)} correct: {usual.verdict()}")
        mean = "" if self.mistake_distance is None else f"; {self.mistake_distance:.2f} over mistakes only"
        found.append(f"mean distance in the tree: {self.distance:.2f} of {count(self.levels, 'level')}{mean}")
        found += [
            f"at {percent(s.stated, 0)}: {percent(s.levels[0].n / n)} predicted as a class, "
            f"{percent(s.backed_off.n / n)} as a parent; correct {_right(s.answered)}; information gain "
            f"{percent(s.information)} of the maximum"
            for s in self.at
        ]
        return found


def evaluate_hierarchy(
    p: NDArray[np.floating], targets: NDArray[np.integer], predicted: NDArray[np.integer], tree: ClassTree
) -> HierarchyScores:
    """Scores of calibrated probabilities (N, K), and of the predicted classes (N,), against targets (N,)."""
    distances = tree.distances[targets, predicted]
    wrong = distances[distances > 0]
    return HierarchyScores(
        tuple(back_off_scores(p, targets, tree, stated) for stated in STATED),
        float(distances.mean()) if len(targets) else 0.0,
        float(wrong.mean()) if len(wrong) else None,
        int(tree.depths.max()),
    )


def back_off_scores(
    p: NDArray[np.floating], targets: NDArray[np.integer], tree: ClassTree, stated: float
) -> BackOffScores:
    """What is predicted where a class or parent must reach a probability, and whether it is right."""
    chosen, each = tree.deepest(p, stated), tree.probabilities(p)
    rows, answered = np.arange(len(chosen)), chosen >= 0
    right = answered & tree.members[chosen, targets]
    named = each[rows, chosen]
    of_parent = chosen >= len(tree.classes)
    depths = tree.depths[chosen]

    def score(level: str, own: NDArray[np.bool_]) -> LevelScore:
        n = int(own.sum())
        if not n:
            return LevelScore(level, 0, None, None, None)
        interval = wilson_interval(int(right[own].sum()), n)
        return LevelScore(level, n, float(right[own].mean()), interval, float(named[own].mean()))

    parents = sorted(set(tree.depths[len(tree.classes) :].tolist()), reverse=True)
    words = {depth: f"parent at level {depth}" + (" (top)" if depth == 1 else "") for depth in parents}
    bits = np.log2(max(2, len(tree.classes))) - np.log2(tree.members[chosen].sum(1))
    return BackOffScores(
        stated,
        (
            score("class", answered & ~of_parent),
            *(score(words[depth], of_parent & (depths == depth)) for depth in parents),
        ),
        score("class or parent", answered),
        score("parent", of_parent),
        int((~answered).sum()),
        float((bits * right).mean() / np.log2(max(2, len(tree.classes)))) if len(targets) else 0.0,
    )


@dataclass(frozen=True, repr=False)
class HierarchyEvaluation(ClassEvaluation):
    """As of classes. hierarchy: how often parents are predicted and right."""

    task: ClassVar[str] = "hierarchy"
    hierarchy: HierarchyScores | None = None

    def summary(self) -> dict[str, Any]:
        """The numbers that go into metrics.json."""
        return super().summary() | ({} if self.hierarchy is None else {"hierarchy": self.hierarchy.to_dict()})

    @staticmethod
    def headline(summary: dict[str, Any], thing: str = "image", new: str = "") -> str:
        """As of classes, and how often the class or parent predicted is right."""
        line = ClassEvaluation.headline(summary, thing, new)
        usual = next((s for s in summary.get("hierarchy", {}).get("at", ()) if s["stated"] == BACK_OFF), None)
        if usual is None or usual["answered"]["interval"] is None:
            return line
        answered, (low, high) = usual["answered"], usual["answered"]["interval"]
        return (
            f"{line}\nat {percent(BACK_OFF, 0)}: {count(usual['levels'][0]['n'], thing)} predicted as a class, "
            f"{usual['backed_off']['n']:,} as a parent, {usual['unanswered']:,} as neither; correct "
            f"{percent(answered['right'])} ({percent(low)} to {percent(high)})"
        )

    def text(self, thing: str = "image", new: str = "") -> str:
        """As of classes, and a table of the answers at each level."""
        lines = [super().text(thing, new)]
        if self.hierarchy is not None:
            lines += ["", *self.hierarchy.lines(thing)]
        return "\n".join(lines)

    def report(self, thing: str = "image", validation: Self | None = None) -> ReportParts:
        """As of classes, with a section on the hierarchy after the classes."""
        parts = super().report(thing, validation)
        if self.hierarchy is None:
            return parts
        at = next(i for i, section in enumerate(parts.sections) if section.ident == "classes") + 1
        own = hierarchy_section(self.hierarchy, thing)
        return replace(parts, sections=(*parts.sections[:at], own, *parts.sections[at:]))


def hierarchy_section(scores: HierarchyScores, thing: str) -> Section:
    """The report's section on answers with a class or a parent."""
    usual = scores.usual
    n = usual.answered.n + usual.unanswered
    mistakes = "" if scores.mistake_distance is None else f"; the mean over mistakes is {scores.mistake_distance:.2f}"
    words = (
        f"The predicted class or parent is the deepest one whose probability is at least {percent(usual.stated)}; "
        f"`predict --back-off X` sets a different probability. A prediction is correct if the true class is the "
        f"predicted one or lies below it in the tree. Promise of at least {percent(usual.stated)} correct "
        f"predictions: **{usual.verdict()}**. For {usual.unanswered:,} of {count(n, thing)}, no class or parent "
        "reaches the required probability."
    )
    levels = Table(
        (
            "Prediction", f"{thing.capitalize()}s", "Share", "Correct", Column("95 % interval", "interval"),
            "Mean probability",
        ),
        tuple(_row(score, n) for score in (*usual.levels, usual.answered)),
        words, sortable=False,
    )  # fmt: skip
    several = Table(
        ("Required probability", "Class", "Parent", "None", "Correct", "Information"),
        tuple(
            (
                percent(s.stated), percent(s.levels[0].n / n), percent(s.backed_off.n / n), percent(s.unanswered / n),
                "–" if s.answered.right is None else percent(s.answered.right), percent(s.information),
            )
            for s in scores.at
        ),
        "**Information**: information gain of the predictions, as a share of the gain from predicting the true class "
        f"for every {thing}; wrong and missing predictions count as 0.",
        sortable=False,
    )  # fmt: skip
    distance = Text(
        f"The mean distance from the true class to its lowest common ancestor with the most probable class is "
        f"{scores.distance:.2f} levels, where the distance is 0 if both classes are the same{mistakes}. "
        f"The tree has {count(scores.levels, 'level')}."
    )
    return Section("hierarchy", "Hierarchy", (levels, several, distance))


def _row(score: LevelScore, n: int) -> tuple[str | Cell, ...]:
    head = (score.level, f"{score.n:,}", percent(score.n / n))
    if score.right is None or score.interval is None or score.stated is None:
        return (*head, "–", Cell("–"), "–")
    span = " to ".join(map(percent, score.interval))
    return (*head, percent(score.right), Cell(span, Bar(score.right, score.interval)), percent(score.stated))


def _right(score: LevelScore) -> str:
    if score.right is None or score.interval is None:
        return "-"
    return f"{percent(score.right)} ({percent(score.interval[0])} to {percent(score.interval[1])})"
