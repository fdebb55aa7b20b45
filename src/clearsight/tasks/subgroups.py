"""Scores of the images of each value of a metadata column, such as a site, a camera or a module."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from clearsight.result import Result
from clearsight.wording import count, percent, points


@dataclass(frozen=True)
class Measured:
    """A number with its 95 % interval."""

    value: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class SubgroupScore:
    """Images of one value. score: accuracy, or the measure of the task instead. calibration: debiased calibration
    error. coverage: of prediction sets or intervals. false_alarms: share flagged as out of distribution. None where it
    is not measured.
    """

    value: str
    n: int
    score: Measured | None
    calibration: Measured | None
    coverage: Measured | None
    false_alarms: Measured | None


@dataclass(frozen=True, repr=False)
class SubgroupTable(Result):
    """Scores of every value of a column, the most common first. score_name: of the first score. few: values left out,
    as they have fewer images than `least`.

    Example:
        >>> table = cs.evaluate("runs/digits", "more.csv", by="site").subgroups[0]
        >>> [row.value for row in table.rows]
        ['A', 'B']
    """

    by: str
    score_name: str
    rows: tuple[SubgroupScore, ...]
    least: int = 1
    few: int = 0

    @property
    def worst(self) -> SubgroupScore | None:
        """The value with the lowest score; None where none has one."""
        return min((r for r in self.rows if r.score), key=lambda r: r.score.value if r.score else 1.0, default=None)

    def lines(self) -> list[str]:
        """A table for the terminal, and the worst value."""
        width = max(len(self.by), *(len(r.value) for r in self.rows)) if self.rows else len(self.by)
        heads = (self.score_name, "calibration error", "coverage", "OOD false alarms")
        found = [f"{self.by:<{width}}  images  " + "  ".join(f"{head:<24}" for head in heads).rstrip()]
        for r in self.rows:
            cells = [shown(r.score), shown(r.calibration, in_points=True), shown(r.coverage), shown(r.false_alarms)]
            found.append(f"{r.value:<{width}}  {r.n:6d}  " + "  ".join(f"{cell:<24}" for cell in cells).rstrip())
        if self.few:
            found.append(f"{count(self.few, 'less common value')} not listed (at least {self.least} images required)")
        if (worst := self.worst) and len(self.rows) > 1:
            found.append(f"worst: {worst.value}, {self.score_name.lower()} {shown(worst.score)}")
        return found

    def text(self) -> str:
        """The table as plain text."""
        return "\n".join(self.lines())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "worst": self.worst.value if self.worst else None}


def shown(measured: Measured | None, *, in_points: bool = False) -> str:
    """A number with its interval."""
    if measured is None:
        return "-"
    low, high = measured.interval
    if in_points:
        return f"{points(measured.value)} ({100 * low:.1f} to {100 * high:.1f})"
    return f"{percent(measured.value)} ({percent(low)} to {percent(high)})"
