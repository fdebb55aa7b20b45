"""What answers say once a network's outputs have become beliefs or numbers: labels given, intervals, and the words.

The runner beside an exported file is made of this code too (`exporting.runner`), so that it says what the model says.

Shapes: N images, K labels, T numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ANGLES = {"degrees": 360.0, "radians": 2 * math.pi}
"""A full turn in each unit."""


@dataclass(frozen=True)
class LabelsPrediction:
    """The answer for one image. labels: those given, likeliest first. probabilities: of every label, likeliest first.
    doubt: the mean over labels of the entropy of each, 0 = sure, 1 = no idea. strangeness, none_of_these: as for
    classes.
    """

    image: str
    labels: tuple[str, ...]
    probabilities: dict[str, float]
    doubt: float
    strangeness: float | None = None
    none_of_these: bool | None = None


@dataclass(frozen=True)
class NumbersPrediction:
    """The answer for one image. values: of every number. intervals: of every number, from low to high, each of which
    holds the truth with the coverage asked for; for angles the low end may lie beyond the high one, across the turn; a
    direction has none, and `within` says by how many degrees it may be off.
    """

    image: str
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]] | None
    within: float | None = None
    strangeness: float | None = None
    none_of_these: bool | None = None


@dataclass(frozen=True)
class AnomalyPrediction:
    """The answer for one image. anomaly: its p-value is at most the share of false alarms asked for. p_value: of normal
    images, the share that look at least so strange. probability: of an anomaly, as `answers.anomaly` has it. score: the
    detector's.
    """

    image: str
    anomaly: bool
    probability: float
    p_value: float
    score: float


def labels_said(
    beliefs: NDArray[np.floating],
    names: Sequence[str],
    thresholds: Sequence[float],
    images: Sequence[str],
    known: Sequence[dict[str, Any]],
) -> list[LabelsPrediction]:
    """The answer for each image, from beliefs (N, K) and thresholds (K,). known: strangeness and none_of_these."""
    given, doubt = beliefs >= np.array(thresholds), binary_entropy(beliefs).mean(1)
    found = []
    for i, image in enumerate(images):
        order = np.argsort(-beliefs[i], kind="stable")
        found.append(
            LabelsPrediction(
                image,
                tuple(names[k] for k in order if given[i, k]),
                {names[k]: float(beliefs[i, k]) for k in order},
                float(doubt[i]),
                **known[i],
            )
        )
    return found


def numbers_said(
    values: NDArray[np.floating],
    widths: NDArray[np.floating],
    names: Sequence[str],
    kind: str,
    unit: str,
    within: tuple[float, float],
    images: Sequence[str],
    known: Sequence[dict[str, Any]],
) -> list[NumbersPrediction]:
    """The answer for each image, from values (N, T) and half the widths of their intervals (N, T), of a direction
    (N, 1). kind, unit: as of `Numbers`. within: the range that plain numbers are kept in.
    """
    found = []
    for i, image in enumerate(images):
        said = dict(zip(names, values[i].tolist(), strict=True))
        if kind == "direction":
            found.append(NumbersPrediction(image, said, None, float(widths[i, 0]), **known[i]))
            continue
        if kind == "angle":
            turn = ANGLES[unit]
            half = np.minimum(widths[i], turn / 2)  # which may be infinite
            whole = half == turn / 2
            low = np.where(whole, 0, (values[i] - half) % turn)
            high = np.where(whole, turn, (values[i] + half) % turn)
        else:
            low, high = np.maximum(values[i] - widths[i], within[0]), np.minimum(values[i] + widths[i], within[1])
        spans = dict(zip(names, zip(low.tolist(), high.tolist(), strict=True), strict=True))
        found.append(NumbersPrediction(image, said, spans, **known[i]))
    return found


def half_widths(errors: Sequence[Sequence[float]], coverage: float) -> NDArray[np.float64]:
    """Half the width of an interval that holds the truth with this probability (T,), from sorted errors of validation
    images (T, n); infinite where so few were kept that so much cannot be promised.
    """
    places = [math.ceil((len(row) + 1) * coverage) for row in errors]
    return np.array([row[at - 1] if at <= len(row) else math.inf for row, at in zip(errors, places, strict=True)])


def binary_entropy(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """Entropy of a yes-or-no question over log 2, in [0, 1]."""
    q = np.clip(np.asarray(p, np.float64), 1e-12, 1 - 1e-12)
    return np.asarray(-(q * np.log2(q) + (1 - q) * np.log2(1 - q)))


def strange_line(strangeness: float, thing: str = "image") -> str:
    """How strange an image is, in words: by the share of known images that look less so."""
    return f"stranger than {'all' if strangeness > 0.995 else f'{strangeness:.0%} of'} known {thing}s"


def labels_line(answer: LabelsPrediction, top: int) -> str:
    """The labels, and of the likeliest `top` the beliefs, in words."""
    words = "  ".join(f"{name} {p:.1%}" for name, p in list(answer.probabilities.items())[:top])
    return f"{', '.join(answer.labels) or 'none of its labels'}  (of {words}; doubt {answer.doubt:.2f})"


def anomaly_line(answer: AnomalyPrediction, thing: str = "image") -> str:
    """Whether it is an anomaly, in words. thing: what it was asked of, an image or a sound."""
    said = "anomaly" if answer.anomaly else "normal"
    normal = "images look" if thing == "image" else f"{thing}s are"
    return f"{said}  (anomaly {answer.probability:.1%}; {answer.p_value:.1%} of normal {normal} as strange)"


def numbers_line(answer: NumbersPrediction, coverage: float) -> str:
    """The numbers and their intervals in words."""
    spans = answer.intervals or {}
    said = "  ".join(
        f"{name} {value:.4g}" + (f" ({spans[name][0]:.4g} to {spans[name][1]:.4g})" if name in spans else "")
        for name, value in answer.values.items()
    )
    within = f"  within {answer.within:.3g} degrees" if answer.within is not None else ""
    return f"{said}{within}  at {coverage:.0%}"
