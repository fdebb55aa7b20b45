"""What a task puts into the report, as data: the report draws it.

Charts and pictures are values here, so that nothing in `tasks` depends on how a page looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clearsight.metrics.calibration import ReliabilityBin

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bar:
    """A value with its interval, on a scale from 0 to 1; mark: what it is compared with."""

    value: float
    interval: tuple[float, float]
    mark: float | None = None


@dataclass(frozen=True)
class Tile:
    """One figure of the verdict, and what it means."""

    title: str
    figure: str
    words: str
    bar: Bar | None = None


@dataclass(frozen=True)
class Table:
    """Scores, a row each, the first cell its name. title: of its section, "" for the main one."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: str
    title: str = ""


@dataclass(frozen=True)
class ParityChart:
    """Predicted against true numbers (N,), with errors (N,) and half the width of an interval."""

    name: str
    truth: Floats
    predicted: Floats
    errors: Floats
    width: float


@dataclass(frozen=True)
class ScoreChart:
    """Anomaly scores of normal images (A,) and of anomalies (B,), and the threshold."""

    name: str
    normal: Floats
    anomalies: Floats
    threshold: float


@dataclass(frozen=True)
class ReliabilityChart:
    """A reliability diagram: accuracy against confidence by bin."""

    name: str
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class ConfusionChart:
    """A confusion matrix (K, K): counts of labels (rows) against predictions (columns)."""

    name: str
    matrix: NDArray[np.int64]
    classes: tuple[str, ...]


Chart = ParityChart | ScoreChart | ReliabilityChart | ConfusionChart


@dataclass(frozen=True)
class Card:
    """An image that is predicted wrongly, and two lines about it. index: its position in the data set. mapped: show it
    under the model's own map, where it has one.
    """

    index: int
    image: str
    predicted: str
    truth: str
    mapped: bool = False


@dataclass(frozen=True)
class Caveat:
    """A reason to trust the model less, and what to do about it."""

    text: str
    fix: str = ""


@dataclass(frozen=True)
class ReportParts:
    """The parts of the report that are about the task. verdict: the first sentence. ood_words: what is said of
    out-of-distribution images where the task answers that itself.
    """

    verdict: str
    tiles: tuple[Tile, ...]
    table: Table
    charts: tuple[Chart, ...] = ()
    charts_words: str = ""
    cards_title: str = "The worst mistakes"
    cards: tuple[Card, ...] = ()
    more_tables: tuple[Table, ...] = ()
    caveats: tuple[Caveat, ...] = field(default=())
    ood_words: str = ""
