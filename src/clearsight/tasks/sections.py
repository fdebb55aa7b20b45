"""What a task puts into the report, as data: the report draws it.

Charts and pictures are values here, so that nothing in `tasks` depends on how a page looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clearsight.metrics.calibration import ReliabilityBin
from clearsight.metrics.curves import Curve

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bar:
    """A value with its interval, on a scale from 0 to 1; mark: what it is compared with."""

    value: float
    interval: tuple[float, float]
    mark: float | None = None


@dataclass(frozen=True)
class Tile:
    """One figure of the verdict, and what it means. alarming: it is drawn as a warning."""

    title: str
    figure: str
    words: str
    bar: Bar | None = None
    alarming: bool = False


@dataclass(frozen=True)
class Column:
    """A column of a table that does not hold numbers: intervals with their bars, or words."""

    title: str
    kind: Literal["interval", "words"]


@dataclass(frozen=True)
class Cell:
    """A cell with a bar beside its text."""

    text: str
    bar: Bar | None = None


@dataclass(frozen=True)
class Table:
    """Rows, the first cell of each its name. A column given by its title alone holds numbers, and sorts by them.

    words: how to read it. title: its caption. sortable: rows are of one kind. quantities: what each column holds that
    a threshold changes, of rows that are the classes in their order; empty where none does.
    """

    columns: tuple[str | Column, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
    words: str = ""
    title: str = ""
    sortable: bool = True
    quantities: tuple[str, ...] = ()


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
class CurveChart:
    """Curves over all thresholds, the first of several their mean. chance: the diagonal is what chance gives."""

    name: str
    curves: tuple[Curve, ...]
    x_name: str
    y_name: str
    chance: bool = False


@dataclass(frozen=True)
class ScatterChart:
    """A dot for each of N images. x (N,), y (N,): their places."""

    name: str
    x: Floats
    y: Floats
    x_name: str
    y_name: str


Chart = ParityChart | ScoreChart | ReliabilityChart | CurveChart | ScatterChart


@dataclass(frozen=True)
class Charts:
    """Charts side by side. words: how to read them."""

    charts: tuple[Chart, ...]
    words: str = ""


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix (K, K): counts of labels (rows) against predictions (columns)."""

    matrix: NDArray[np.int64]
    classes: tuple[str, ...]
    thing: str = "image"


@dataclass(frozen=True)
class Card:
    """An image, and lines about it: of each what stands in small print, and what in bold; either may be empty. index:
    its position among the images. mapped: show it under the model's own map, where it has one. shares: names and their
    probabilities, drawn as bars. flag: a word that warns of the prediction. explained: show a heatmap, the largest
    probabilities and the nearest training images beside it, where the page has them.
    """

    index: int
    image: str
    lines: tuple[tuple[str, str], ...]
    mapped: bool = False
    shares: tuple[tuple[str, float], ...] = ()
    flag: str = ""
    explained: bool = False


@dataclass(frozen=True)
class Cards:
    """Images side by side. words: which these are. none: the text if there are none. wrong: their first lines
    are mistakes, and drawn so.
    """

    cards: tuple[Card, ...]
    words: str = ""
    none: str = "There are no mistakes on the test images."
    wrong: bool = True


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    words: str


@dataclass(frozen=True)
class Folded:
    """Tables side by side that are hidden until asked for."""

    title: str
    tables: tuple[Table, ...]


Piece = Table | Charts | Confusion | Cards | Text | Folded


@dataclass(frozen=True)
class Section:
    """A section of the page. ident: its anchor. title: "" where the page's own says it. link: what leads there, the
    title unless given.
    """

    ident: str
    title: str
    pieces: tuple[Piece, ...]
    link: str = ""


@dataclass(frozen=True)
class Caveat:
    """A reason to trust the model less, and what to do about it."""

    text: str
    fix: str = ""


@dataclass(frozen=True)
class ReportParts:
    """The parts of the report that are about the task. In all words, `code` and **bold** stand out.

    verdict: the first sentences. table, charts: of the scores. sections: what follows them. ood_words: the text on
    out-of-distribution images for a task without an OOD detector.
    """

    verdict: str
    tiles: tuple[Tile, ...]
    table: Table
    charts: Charts | None = None
    sections: tuple[Section, ...] = ()
    caveats: tuple[Caveat, ...] = ()
    ood_words: str = ""

    def charted(self) -> list[tuple[str, Charts]]:
        """All charts, each with the title of its section.

        Returns:
            Titles and charts, in the order of the page.
        """
        own = [("Scores", self.charts)] if self.charts else []
        drawn = [(section.title, piece) for section in self.sections for piece in section.pieces]
        return [*own, *((title, piece) for title, piece in drawn if isinstance(piece, Charts))]
