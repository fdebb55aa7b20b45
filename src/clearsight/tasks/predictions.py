"""Predictions as objects, and in words: what a model predicts of one image, for each kind of prediction.

The script beside an exported file holds this module too, so it needs NumPy alone.

Shapes: N images, K names, T numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.wording import percent, probability

ANGLES = {"degrees": 360.0, "radians": 2 * math.pi}
"""A full turn in each unit."""


def _in(low: float | None, high: float | None, **more: Any) -> Any:
    """A field whose values lie in a range, which the server's description states."""
    return field(metadata={"ge": low, "le": high}, **more)


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image of a model of classes: the most probable one, or what an operating point decides.

    probabilities: class to calibrated probability, most probable first. uncertainty: normalised entropy, the entropy of
    the probabilities over log K, 0 to 1. set: the prediction set, which holds the true class with the given coverage
    and always the most probable class; None without calibration. ood_percentile: the share of known images with a lower
    OOD score. is_ood: whether the image is out of distribution. The last two are None without an OOD detector.
    """

    image: str
    label: str
    probability: float = _in(0, 1)
    uncertainty: float = _in(None, None)
    probabilities: dict[str, float] = field(default_factory=dict)
    set: tuple[str, ...] | None = None
    ood_percentile: float | None = None
    is_ood: bool | None = None

    def line(self, top: int = 3, coverage: float | None = None, thing: str = "image") -> str:
        """The prediction in words.

        Args:
            top: number of classes to list.
            coverage: coverage of the prediction set to list, 0 to 1; None lists no set.
            thing: what was classified, "image" or "sound".

        Returns:
            One line of text.

        Example:
            >>> Prediction("cat.png", "cat", 0.9, 0.47, {"cat": 0.9, "dog": 0.1}).line(top=2)
            'cat 90.0 %  dog 10.0 %  (uncertainty 0.47)'
        """
        words = "  ".join(f"{name} {probability(p)}" for name, p in list(self.probabilities.items())[:top])
        if self.probability < max(self.probabilities.values(), default=0.0):  # by costs, or a precision or recall
            words = f"{self.label} at the operating point; {words}"
        if self.is_ood:
            words = f"unknown: {unlike_words(self.ood_percentile or 0.0, thing)}; nearest class {words}"
        line = f"{words}  (uncertainty {self.uncertainty:.2f})"
        if coverage is None:
            return line
        if self.set is None:
            return f"{line}  no prediction set: this model is not calibrated"
        return f"{line}  prediction set at {percent(coverage, 0)}: {', '.join(self.set)}"


@dataclass(frozen=True)
class LabelsPrediction:
    """The prediction for one image of a model of labels. labels: the predicted ones, most probable first.
    probabilities: of every label, most probable first; they do not sum to 1. uncertainty: normalised entropy, the mean
    over labels, 0 to 1. ood_percentile, is_ood: as for classes.
    """

    image: str
    labels: tuple[str, ...]
    probabilities: dict[str, float]
    uncertainty: float
    ood_percentile: float | None = None
    is_ood: bool | None = None

    def line(self, top: int = 3, coverage: float | None = None, thing: str = "image") -> str:
        """The predicted labels, and the probabilities of the most probable ones.

        Args:
            top: number of labels whose probability is listed.
            coverage: not used: labels have no prediction sets.
            thing: what was classified, "image" or "sound".

        Returns:
            One line of text.
        """
        words = "  ".join(f"{name} {probability(p)}" for name, p in list(self.probabilities.items())[:top])
        line = f"{', '.join(self.labels) or 'no label'}  ({words}; uncertainty {self.uncertainty:.2f})"
        return _led(line, self.ood_percentile, self.is_ood, thing)


@dataclass(frozen=True)
class NumbersPrediction:
    """The prediction for one image of a model of numbers. values: of every number. intervals: of every number, from low
    to high, each of which holds the truth with the coverage asked for; for angles the low end may lie beyond the high
    one, across the turn; a direction has none, and `within` says by how many degrees it may be off.
    """

    image: str
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]] | None = field(metadata={"infinite": True})
    within: float | None = None
    ood_percentile: float | None = None
    is_ood: bool | None = None

    def line(self, top: int = 3, coverage: float | None = None, thing: str = "image") -> str:
        """The numbers and their intervals in words.

        Args:
            top: not used: all numbers are listed.
            coverage: not used: a note on all predictions states it.
            thing: what the numbers were predicted for, "image" or "sound".

        Returns:
            One line of text.
        """
        spans = self.intervals or {}
        words = "  ".join(
            f"{name} {value:.4g}" + (f" ({spans[name][0]:.4g} to {spans[name][1]:.4g})" if name in spans else "")
            for name, value in self.values.items()
        )
        within = f"  within {self.within:.3g} degrees" if self.within is not None else ""
        return _led(f"{words}{within}", self.ood_percentile, self.is_ood, thing)


@dataclass(frozen=True)
class AnomalyPrediction:
    """The prediction for one image of an anomaly model. anomaly: its p-value is at most the false alarm rate asked
    for. p_value: the share of normal images with a score at least as high. probability: of an anomaly, if the share
    `prior` of all images are anomalies. score: the anomaly score of the model.
    """

    image: str
    anomaly: bool
    probability: float = _in(0, 1)
    p_value: float = _in(0, 1)
    score: float = _in(None, None)

    def line(self, top: int = 3, coverage: float | None = None, thing: str = "image") -> str:
        """Whether it is an anomaly, in words.

        Args:
            top: not used.
            coverage: not used.
            thing: what was examined, "image" or "sound".

        Returns:
            One line of text.
        """
        word = "anomaly" if self.anomaly else "normal"
        rare = f"{percent(self.p_value)} of normal {thing}s score at least as high"
        return f"{word}  (anomaly probability {probability(self.probability)}; {rare})"


@dataclass(frozen=True)
class OutputsPrediction:
    """The prediction for one image of a task without a kind of its own. outputs: of each output, its values by name, or
    by number if they are not one for each name. ood_percentile, is_ood: as for classes.
    """

    image: str
    outputs: dict[str, dict[str, float]]
    ood_percentile: float | None = None
    is_ood: bool | None = None

    def line(self, top: int = 3, coverage: float | None = None, thing: str = "image") -> str:
        """Every output and its values.

        Args:
            top: not used: all values are listed.
            coverage: not used.
            thing: what the outputs belong to, "image" or "sound".

        Returns:
            One line of text.
        """
        line = "  ".join(
            f"{output}: {', '.join(f'{name} {value:.4g}' for name, value in values.items())}"
            for output, values in self.outputs.items()
        )
        return _led(line, self.ood_percentile, self.is_ood, thing)


def class_predictions(
    probabilities: NDArray[np.floating],
    names: Sequence[str],
    images: Sequence[str],
    known: Sequence[dict[str, Any]],
    decided: Sequence[int] | NDArray[np.integer] | None = None,
) -> list[Prediction]:
    """The predicted class of each image.

    Args:
        probabilities: calibrated probabilities (N, K), rows sum to 1.
        names: the K class names.
        images: names of the N images.
        known: the other fields of each prediction; `set`, if given, is a row (K,) that marks the classes in the set.
        decided: predicted class indices (N,) of an operating point; None takes the most probable classes.

    Returns:
        One prediction per image, in their order.
    """
    p = np.asarray(probabilities, np.float64)
    uncertainty = -(p * np.log(np.maximum(p, 1e-300))).sum(1) / np.log(max(2, len(names)))
    found = []
    for i, image in enumerate(images):
        order = np.argsort(-p[i], kind="stable").tolist()
        ranked = dict(zip((names[k] for k in order), p[i][order].tolist(), strict=True))
        facts = dict(known[i])
        if facts.get("set") is not None:
            facts["set"] = tuple(names[k] for k in order if facts["set"][k])
        k = order[0] if decided is None else int(decided[i])
        found.append(Prediction(image, names[k], float(p[i, k]), float(uncertainty[i]), ranked, **facts))
    return found


def outputs_predictions(
    outputs: Mapping[str, NDArray[np.floating]],
    names: Sequence[str],
    images: Sequence[str],
    known: Sequence[dict[str, Any]],
) -> list[OutputsPrediction]:
    """The predictions of a task without a prediction type of its own.

    Args:
        outputs: arrays (N, ...) by the name of the output.
        names: names of the values, used for outputs that have as many values per image.
        images: names of the N images.
        known: the other fields of each prediction.

    Returns:
        One prediction per image, in their order.
    """

    def named(row: NDArray[np.floating]) -> dict[str, float]:
        values = row.ravel().tolist()
        return dict(zip(names if len(values) == len(names) else map(str, range(len(values))), values, strict=True))

    return [
        OutputsPrediction(image, {output: named(rows[i]) for output, rows in outputs.items()}, **known[i])
        for i, image in enumerate(images)
    ]


def labels_predictions(
    probabilities: NDArray[np.floating],
    names: Sequence[str],
    thresholds: Sequence[float],
    images: Sequence[str],
    known: Sequence[dict[str, Any]],
) -> list[LabelsPrediction]:
    """The predicted labels of each image.

    Args:
        probabilities: calibrated probabilities (N, K).
        names: the K labels.
        thresholds: probability from which each label is predicted (K,).
        images: names of the N images.
        known: the other fields of each prediction.

    Returns:
        One prediction per image, in their order.
    """
    given, uncertainty = probabilities >= np.array(thresholds), binary_entropy(probabilities).mean(1)
    found = []
    for i, image in enumerate(images):
        order = np.argsort(-probabilities[i], kind="stable")
        found.append(
            LabelsPrediction(
                image,
                tuple(names[k] for k in order if given[i, k]),
                {names[k]: float(probabilities[i, k]) for k in order},
                float(uncertainty[i]),
                **known[i],
            )
        )
    return found


def numbers_predictions(
    values: NDArray[np.floating],
    widths: NDArray[np.floating],
    names: Sequence[str],
    kind: str,
    unit: str,
    within: tuple[float, float],
    images: Sequence[str],
    known: Sequence[dict[str, Any]],
) -> list[NumbersPrediction]:
    """The predicted numbers of each image, with intervals.

    Args:
        values: predicted numbers (N, T), in the user's unit.
        widths: half the width of each interval (N, T); (N, 1) degrees for a direction. Infinite values are allowed.
        names: the T names of the numbers.
        kind: "number", "angle" or "direction", as in `Regression`.
        unit: "degrees" or "radians" for angles, else "".
        within: range (low, high) that intervals of plain numbers are clipped to.
        images: names of the N images.
        known: the other fields of each prediction.

    Returns:
        One prediction per image, in their order.
    """
    found = []
    for i, image in enumerate(images):
        found_values = dict(zip(names, values[i].tolist(), strict=True))
        if kind == "direction":
            found.append(NumbersPrediction(image, found_values, None, float(widths[i, 0]), **known[i]))
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
        found.append(NumbersPrediction(image, found_values, spans, **known[i]))
    return found


def half_widths(errors: Sequence[Sequence[float]], coverage: float) -> NDArray[np.float64]:
    """Half the width of conformal intervals, from the errors on validation images.

    Args:
        errors: T sorted rows of n absolute errors.
        coverage: coverage of the intervals, 0 to 1.

    Returns:
        Half widths (T,); infinite where n is too small for this coverage.

    Example:
        >>> half_widths([[0.1, 0.2, 0.3, 0.4]], coverage=0.8)
        array([0.4])

    Reference:
        Lei et al., "Distribution-free predictive inference for regression", 2018, algorithm 2.
    """
    places = [math.ceil((len(row) + 1) * coverage) for row in errors]
    return np.array([row[at - 1] if at <= len(row) else math.inf for row, at in zip(errors, places, strict=True)])


def binary_entropy(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """Entropy of a binary prediction, divided by log 2.

    Args:
        p: probabilities, any shape.

    Returns:
        Entropies in [0, 1], of the same shape.

    Example:
        >>> binary_entropy(np.array([0.5])).tolist()
        [1.0]
    """
    q = np.clip(np.asarray(p, np.float64), 1e-12, 1 - 1e-12)
    return np.asarray(-(q * np.log2(q) + (1 - q) * np.log2(1 - q)))


def unlike_words(percentile: float, thing: str = "image") -> str:
    """The OOD percentile of an image in words.

    Args:
        percentile: share of known images with a lower OOD score, 0 to 1.
        thing: what the images are, "image" or "sound".

    Returns:
        A part of a sentence.
    """
    return f"OOD score higher than for {'all' if percentile > 0.995 else f'{percent(percentile, 0)} of'} known {thing}s"


def _led(line: str, percentile: float | None, flagged: bool | None, thing: str) -> str:
    """A prediction in words, after the warning that it cannot be relied on where the image is out of distribution."""
    return f"unknown: {unlike_words(percentile or 0.0, thing)}; prediction {line}" if flagged else line
