"""Numbers to predict: plain ones, angles, or directions in the plane, each with an interval.

A network learns plain numbers at zero mean and unit deviation; angles as cosine and sine, so that 359 degrees and 1 are
near; directions as they are. The interval around a prediction is as wide as the errors on validation images say: half
its width is the ceil((n + 1) coverage)-th smallest of n errors (split conformal regression [Lei et al. 2018, algorithm
2]). A network trained with `gaussian-nll` predicts a variance for each image too, and errors are taken over its root.

Shapes: N images, T numbers; outputs (N, O): T for plain numbers, twice as many with their logarithmic variances, 2 T
for angles, 2 for a direction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from clearsight.calibration.array_function import ArrayFunction
from clearsight.calibration.prediction_sets import thinned
from clearsight.data.audit import Finding
from clearsight.data.dataset import Dataset
from clearsight.data.targets import Stated, is_direction, one_hot
from clearsight.errors import ConfigError, DataError
from clearsight.schema import invalid, listed, number, optional, record, text, truth
from clearsight.tasks.angle_units import like_angles, reach, wrong_unit
from clearsight.tasks.classification import soft_labels
from clearsight.tasks.evaluation import Evaluation
from clearsight.tasks.losses import LEAST, gaussian_nll, huber, mean_squared_error
from clearsight.tasks.predictions import ANGLES, NumbersPrediction, half_widths, numbers_predictions
from clearsight.tasks.registry import register_task
from clearsight.tasks.regression_evaluation import NumbersEvaluation, evaluate_numbers
from clearsight.tasks.set_notes import beyond_training, interval_notes
from clearsight.tasks.strata import constant_finding, constant_names
from clearsight.tasks.task import (
    Explained,
    Floats,
    OODScores,
    Outputs,
    PredictOptions,
    Task,
    TaskOptions,
    Training,
    Words,
)
from clearsight.wording import count

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["number", "angle", "direction"]

MUON_FROM = 2000
"""Images from which numbers are learned with Muon. Measured on 2,500 and 6,000 views and 8,000 digits: three quarters
of AdamW's error after the same epochs.
"""

MOSTLY = 0.1
"""Share of other values up to which columns of 0 and 1 look like labels."""

ENOUGH_ANGLES = 20
"""Angles needed to infer their unit: fewer may all happen to be small."""

COVERAGES = (0.5, 0.8, 0.9, 0.95, 0.99)
"""Of the intervals whose widths an exported file's card gives."""

NEAR = 0.1
"""Numbers that differ by less, in their spread, are the same prediction to int8."""


@register_task
@dataclass(frozen=True)
class Regression(Task):
    """Numbers and how outputs become them.

    unit: of angles, degrees or radians. mean, std (T,): of plain numbers in the training split. low, high: the range
    that predictions are kept in. spread: the network gives variances too. errors (T, n), or (1, n) for a direction, in
    degrees: sorted errors of validation images, over the deviation where there are variances. ends (T, 2): the lowest
    and the highest of plain numbers in the training split.
    """

    names: tuple[str, ...]
    kind: Kind
    unit: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    spread: bool = False
    errors: tuple[tuple[float, ...], ...] = ()
    ends: tuple[tuple[float, float], ...] = ()

    name: ClassVar[str] = "regression"
    words_used: ClassVar[Words] = Words(
        data="numeric columns",
        names=("numeric target", "numeric targets"),
        group="range",
        evidence="prediction in standard deviations",
        score_curve=("Variance explained", "the second curve is the share of variance explained by the predictions"),
    )
    training: ClassVar[Training] = Training(
        head="regression",
        losses={"huber": huber, "mse": mean_squared_error, "gaussian-nll": gaussian_nll},
        light_augmentation=False,
        muon_from=MUON_FROM,
        unsupported=frozenset({"class_weight", "adversarial", "label_smoothing", "freeze", "auto_fix"}),
    )
    prediction: ClassVar[type[Any]] = NumbersPrediction
    evaluation: ClassVar[type[Evaluation]] = NumbersEvaluation
    own_options: ClassVar[tuple[str, ...]] = ("angle", "within")
    predict_options: ClassVar[frozenset[str]] = frozenset({"coverage"})
    probabilistic: ClassVar[bool] = False
    studio: ClassVar[str] = "numbers"
    reader: ClassVar[str] = "numbers"
    parity_words: ClassVar[tuple[str, str]] = ("numbers", "standardised values")
    int8_measure: ClassVar[tuple[str, bool] | None] = ("mean standardised error", False)

    @classmethod
    def claims(cls, stated: Stated) -> bool:
        """Labels with decimals, or columns of numbers that mark no classes and share out no probabilities."""
        if stated.cells is not None:
            return stated.measured()
        return stated.numbers is not None and not one_hot(stated.numbers) and not soft_labels(stated.numbers)

    @classmethod
    def order(cls, values: NDArray[np.float32]) -> Floats:
        """The first number, or the angle of a direction."""
        return np.degrees(np.arctan2(values[:, 1], values[:, 0])) if is_direction(values) else super().order(values)

    @classmethod
    def describe(cls, dataset: Dataset) -> str:
        """How many numbers, and by what images are counted."""
        names = dataset.names
        some = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
        way = "direction" if is_direction(dataset.targets) else names[0]
        return f"{len(names)} number{'s' * (len(names) > 1)} to predict ({some}); images are grouped by {way}"

    @classmethod
    def findings(cls, dataset: Dataset) -> list[Finding]:
        """Numbers that look like labels with slips of the pen, and such as never change."""
        found, stray = [], ~np.isin(dataset.targets, (0, 1))
        if len(dataset.names) > 1 and 0 < stray.mean() < MOSTLY:
            i, k = (int(x[0]) for x in np.nonzero(stray))
            words = (
                f"all but {count(int(stray.sum()), 'value')} are 0 or 1; the first exception is "
                f"{dataset.targets[i, k]:g} in column {dataset.names[k]!r}"
            )
            fix = "if the columns are labels, correct these cells; if they are numeric targets, use --task regression"
            found.append(
                Finding("hardly-numbers", "warning", f"the columns are treated as numeric, although {words}", fix)
            )
        return found + constant_finding(cls._constant(dataset))

    @classmethod
    def check(cls, dataset: Dataset, config: Any) -> None:
        """Refuse numbers that never change, and options of plain numbers for a direction."""
        plain = [flag for flag, given in (("--angle", config.data.angle), ("--within", config.data.within)) if given]
        plain += ["--loss gaussian-nll"] if config.optimization.loss == "gaussian-nll" else []
        if plain and is_direction(dataset.targets):
            raise ConfigError(
                f"{', '.join(plain)} {'is' if len(plain) == 1 else 'are'} not supported for directions in the plane",
                found=f"unit vectors in {' and '.join(dataset.names)}",
                fix=f"omit {'it' if len(plain) == 1 else 'them'}",
            )
        if error := cls._constant(dataset):
            raise error

    @classmethod
    def notes(cls, dataset: Dataset, config: Any) -> list[tuple[str, str, str]]:
        """Numbers that fill a full turn are taken for plain ones."""
        if config.data.angle is not None or (found := like_angles(dataset)) is None:
            return []
        name, unit = found
        return [("numbers", "plain", f"{name!r} covers a full turn: if it is an angle, use --angle {unit}")]

    @classmethod
    def _constant(cls, dataset: Dataset) -> DataError | None:
        constant = constant_names(dataset)
        if not constant:
            return None
        return DataError(
            f"{count(len(constant), 'constant target')} in {dataset.name}",
            found=f"{constant[0]!r}, which is {dataset.targets[0, dataset.names.index(constant[0])]:g} for all images",
            fix="leave constant columns out",
        )

    @classmethod
    def of(cls, dataset: Dataset, train: NDArray[np.int64], options: TaskOptions) -> Regression:
        """Before anything is learned. train: positions of the images that mean and deviation are taken of. Raises
        DataError for numbers outside of the range the user states, or not of the unit.
        """
        values, angle, names = dataset.targets.astype(np.float64), options.angle, dataset.names
        if angle is not None:
            if wrong := wrong_unit(values, angle):
                other = "degrees" if angle == "radians" else "radians"
                raise DataError(wrong, found=reach(values), fix=f"use --angle {other}")
            return cls(names, "angle", unit=angle)
        if is_direction(values):
            return cls(names, "direction", unit="degrees")
        low, high = options.within or (-math.inf, math.inf)
        if values.min() < low or values.max() > high:
            raise DataError(
                "targets lie outside the range given by --within",
                found=f"{values.min():g} to {values.max():g}",
                expected=f"{low:g} to {high:g}",
            )
        mean, std = values[train].mean(0), values[train].std(0)
        std = np.where(std > 0, std, 1.0)
        ends = tuple(zip(values[train].min(0).tolist(), values[train].max(0).tolist(), strict=True))
        return cls(
            names, "number", mean=tuple(mean.tolist()), std=tuple(std.tolist()), low=low, high=high,
            spread=options.variances, ends=ends,
        )  # fmt: skip

    @property
    def outputs(self) -> int:
        return len(self.names) * (2 if self.kind == "angle" or self.spread else 1)

    def encode(self, dataset: Dataset) -> NDArray[np.float32]:
        """What a network learns (N, E): standardised numbers, cosines and sines, or unit vectors."""
        targets = dataset.targets
        if self.kind == "number":
            return np.asarray((targets - np.array(self.mean)) / np.array(self.std), np.float32)
        if self.kind == "direction":
            return np.asarray(targets / np.hypot(*targets.T)[:, None], np.float32)
        turned = targets.astype(np.float64) * (2 * math.pi / ANGLES[self.unit])
        return np.concatenate([np.cos(turned), np.sin(turned)], axis=1).astype(np.float32)

    def smoothed(self, encoded: Tensor, smoothing: float) -> Tensor:
        """As they are: numbers are not smoothed."""
        return encoded

    def training_score(self, outputs: Tensor, encoded: Tensor, loss: str) -> Tensor:
        """1 less the squared error of standardised numbers, whose mean is the variance explained, R^2."""
        return 1 - (outputs[:, : encoded.shape[1]] - encoded).square().mean(1)

    def decoder(self) -> ArrayFunction:
        """Numbers in the user's unit (N, T), angles in [0, one turn); deviations (N, T) where the network gives
        variances; outputs.
        """
        return _Values(self)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Of an exported file."""
        return ("values", *(["deviations"] if self.spread else []), "outputs")

    def deviations(self, outputs: Outputs) -> Floats:
        """The standard deviation that the network predicts for each number.

        Args:
            outputs: outputs of the network (N, O).

        Returns:
            Deviations (N, T) in the user's unit; ones if the network predicts no variance, (N, 1) for a direction.
        """
        if not self.spread:
            return np.ones((len(outputs), 1 if self.kind == "direction" else len(self.names)))
        return self.decoded(outputs)[1]

    def differences(self, values: Floats, targets: NDArray[np.floating]) -> Floats:
        """Prediction less truth.

        Args:
            values: predicted numbers (N, T).
            targets: true numbers (N, T).

        Returns:
            Differences (N, T), for angles along the shorter arc; for a direction the angle between (N, 1) in degrees.
        """
        if self.kind == "number":
            return np.asarray(values - targets)
        if self.kind == "direction":
            a, b = np.asarray(values, np.float64), np.asarray(targets, np.float64)
            cross, dot = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], (a * b).sum(1)
            return np.asarray(np.degrees(np.abs(np.arctan2(cross, dot)))[:, None])
        turn = ANGLES[self.unit]
        return np.asarray((values - targets + turn / 2) % turn - turn / 2)

    def calibrated(self, outputs: Outputs, truth: NDArray[Any]) -> Regression:
        """The same with the errors of images the network had not seen."""
        wrong = np.abs(self.differences(self.decode(outputs), truth)) / self.deviations(outputs)
        ordered = thinned(np.sort(wrong, axis=0).T)
        return replace(self, errors=tuple(tuple(row.tolist()) for row in ordered))

    def widths(self, outputs: Outputs, coverage: float) -> Floats:
        """Half the width of each interval.

        Args:
            outputs: outputs of the network (N, O).
            coverage: coverage of the intervals, in (0, 1).

        Returns:
            Half widths (N, T), or (N, 1) degrees for a direction; infinite if there are too few validation images for
            this coverage.
        """
        return half_widths(self.errors, coverage) * self.deviations(outputs)

    def predictions(
        self, outputs: Outputs, images: Sequence[str], ood: OODScores | None, options: PredictOptions
    ) -> list[NumbersPrediction]:
        """The numbers of each image, with intervals of the coverage asked for."""
        facts = [ood.facts(i) if ood is not None else {} for i in range(len(images))]
        values, widths = self.decode(outputs), self.widths(outputs, options.coverage)
        within = self.low, self.high
        return numbers_predictions(values, widths, self.names, self.kind, self.unit, within, images, facts)

    def notes_on(self, predictions: Sequence[Any], options: PredictOptions) -> tuple[str, ...]:
        """The coverage of the intervals, and for which numbers they reach beyond the training images."""
        about = interval_notes(options.coverage, direction=self.kind == "direction")
        limited = self.kind != "number" or math.isfinite(self.low) or math.isfinite(self.high)
        return (
            about
            if limited
            else (*about, *beyond_training(predictions, dict(zip(self.names, self.ends, strict=False))))
        )

    def evaluate(
        self,
        outputs: Outputs,
        truth: NDArray[Any],
        *,
        indices: NDArray[np.integer] | None = None,
        images: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
    ) -> NumbersEvaluation:
        """Errors and intervals of outputs (N, O) against targets (N, T)."""
        return evaluate_numbers(self, outputs, truth, indices=indices, images=images)

    def explained(self, outputs: Outputs, target: int | None) -> Explained:
        """A plain number's own output, in deviations; of an angle or direction how far the vector that it is read from
        reaches towards the prediction, as cosine or sine alone would not move at 0 or 90 degrees.
        """
        z, t, k = np.asarray(outputs, np.float64), len(self.names), target or 0
        places = {"number": [k], "angle": [k, t + k], "direction": [0, 1]}[self.kind]
        length = float(np.linalg.norm(z[places]))
        weights = np.zeros(len(z))
        weights[places] = z[places] / length if self.kind != "number" and length else 1
        return Explained(
            name=self.names[k],
            value=float(self.decode(outputs[None])[0, k]),
            weights=weights,
            score=lambda several: np.asarray(np.asarray(several, np.float64) @ weights),
        )

    def aligned(self, dataset: Dataset) -> NDArray[Any]:
        """Targets (N, T) in the model's order; DataError for other names, or angles in another unit."""
        found = super().aligned(dataset)
        enough = self.kind == "angle" and len(found) >= ENOUGH_ANGLES
        if enough and (wrong := wrong_unit(found.astype(np.float64), self.unit)):
            raise DataError(
                f"wrong unit in {dataset.name}: {wrong}",
                found=reach(found),
                expected=self.unit,
                fix="convert the angles",
            )
        return found

    @property
    def scale(self) -> Floats:
        """What is 1 to the network, in the user's unit: a deviation of the training numbers, or a radian."""
        if self.kind == "number":
            return np.array(self.std)
        if self.kind == "direction":
            return np.array([math.degrees(1)])
        return np.full(len(self.names), ANGLES[self.unit] / (2 * math.pi))

    def difference(self, expected: tuple[Outputs, ...], found: tuple[Outputs, ...]) -> Outputs:
        """Angles along the shorter arc. Where the vector behind an angle or direction is shorter than 1, a turn of it
        counts by that length.
        """
        off = self._off(expected[0], found[0]) * np.minimum(1, self._lengths(expected[-1]))
        if self.spread:
            off = np.maximum(off, np.abs(found[1] - expected[1]) / np.maximum(self.scale, expected[1]))
        return np.asarray(off.max(1))

    def same(self, expected: tuple[Outputs, ...], found: tuple[Outputs, ...]) -> NDArray[np.bool_]:
        """Nearly the same numbers."""
        return np.asarray(self._off(expected[0], found[0]).max(1) < NEAR)

    def undecided(self, expected: tuple[Outputs, ...]) -> NDArray[np.bool_]:
        """A vector so short that its angle says little."""
        return np.asarray((self._lengths(expected[-1]) < 1).any(1))

    def int8_score(self, found: tuple[Outputs, ...], truth: NDArray[Any]) -> float:
        """Mean error, in the spread."""
        return float(self._off(found[0], truth).mean())

    def export_facts(self) -> dict[str, Any]:
        """Half the width of an interval for each coverage, in the unit of the numbers, to be multiplied with the
        deviations where the file gives them; null where so much cannot be promised.
        """
        names = self.names if self.kind != "direction" else ("degrees",)
        rows = {c: half_widths(self.errors, c) for c in COVERAGES}
        known = {c: [w if math.isfinite(w) else None for w in row.tolist()] for c, row in rows.items()}
        return {"half_widths": {f"{c:g}": dict(zip(names, row, strict=True)) for c, row in known.items()}}

    def _off(self, values: Outputs, truth: Outputs) -> Floats:
        """Differences in the spread (N, T), of a direction (N, 1)."""
        apart = self.differences(np.asarray(values, np.float64), np.asarray(truth, np.float64))
        return np.asarray(np.abs(apart) / self.scale)

    def _lengths(self, outputs: Outputs) -> Floats:
        """Of the vectors that angles (N, T) or a direction (N, 1) are read from; of plain numbers 1."""
        z, t = np.asarray(outputs, np.float64), len(self.names)
        if self.kind == "number":
            return np.ones((len(z), t))
        return np.hypot(z[:, :t], z[:, t:]) if self.kind == "angle" else np.hypot(*z.T)[:, None]

    @property
    def calibration_images(self) -> int:
        """As many as there are errors."""
        return len(self.errors[0]) if self.errors else 0

    def card(self) -> dict[str, Any]:
        """Plain values for the bundle; null stands for no limit."""
        return {
            "task": self.name, "names": list(self.names), "kind": self.kind, "unit": self.unit,
            "mean": list(self.mean), "std": list(self.std), "spread": self.spread,
            "low": self.low if math.isfinite(self.low) else None,
            "high": self.high if math.isfinite(self.high) else None,
            "errors": [list(row) for row in self.errors], "ends": [list(pair) for pair in self.ends],
        }  # fmt: skip

    @classmethod
    def load(cls, card: Mapping[str, Any] | None, names: tuple[str, ...], temperature: float) -> Regression:
        """From what `card` gave."""
        assert card is not None
        _check(card, len(names))
        low, high = card["low"], card["high"]
        return cls(
            tuple(card["names"]), cast(Kind, card["kind"]), card["unit"], tuple(card["mean"]), tuple(card["std"]),
            -math.inf if low is None else low, math.inf if high is None else high, card["spread"],
            tuple(tuple(row) for row in card["errors"]), tuple((a, b) for a, b in card.get("ends", [])),
        )  # fmt: skip

    def public_card(self) -> dict[str, Any]:
        """Kind, unit and range of the numbers."""
        ends = dict(zip(self.names, self.ends, strict=True)) if self.ends else None
        about = {"kind": self.kind, "unit": self.unit, "low": self.low, "high": self.high}
        return {"task": self.name, **about, "ends": ends}


def _check(card: Any, count: int) -> None:
    """BundleError unless a card is of so many numbers."""
    place, standard = "card.json: task_card", count if isinstance(card, Mapping) and card.get("mean") else 0
    record(
        {
            "names": listed(text(), count, unique=True), "kind": text(*get_args(Kind)), "unit": text("", *ANGLES),
            "mean": listed(number(-1e100, 1e100), standard), "std": listed(number(1e-100, 1e100), standard),
            "spread": truth,
            "low": optional(number()), "high": optional(number()), "errors": listed(listed(number(0)), 0, 1, count),
        },
        {"ends": listed(listed(number(), 2), 0, count)},
    )(card, place)  # fmt: skip
    if card["kind"] == "number" and not standard:
        invalid(f"{place}.mean", "no values", f"{count} values")
    if card["kind"] == "angle" and not card["unit"]:
        invalid(f"{place}.unit", "", f"one of {', '.join(ANGLES)}")
    if card["low"] is not None and card["high"] is not None and card["low"] > card["high"]:
        invalid(f"{place}.low", card["low"], f"at most {card['high']}, which is the largest value")


class _Values(ArrayFunction):
    """Numbers of each kind, and their deviations."""

    def __init__(self, numbers: Regression) -> None:
        super().__init__(mean=numbers.mean, std=numbers.std)
        self.kind, self.t, self.spread = numbers.kind, len(numbers.names), numbers.spread
        self.low, self.high = numbers.low, numbers.high
        self.turn = ANGLES.get(numbers.unit, 0.0)

    def compute(self, ops: Any, c: Any, x: Any) -> tuple[Any, ...]:
        values = {"number": self._numbers, "angle": self._angles, "direction": self._direction}[self.kind](ops, c, x)
        if not self.spread:
            return values, x
        return values, ops.exp(0.5 * ops.at_least(x[:, self.t :], LEAST)) * c.std, x

    def _numbers(self, ops: Any, c: Any, z: Any) -> Any:
        values = z[:, : self.t] * c.std + c.mean
        return ops.within(values, self.low, self.high)

    def _angles(self, ops: Any, c: Any, z: Any) -> Any:
        angle = ops.arctan2(z[:, self.t :], z[:, : self.t]) * (self.turn / (2 * math.pi))
        angle = ops.where(angle < 0, angle + self.turn, angle)
        return ops.where(angle >= self.turn, ops.zeros_like(angle), angle)  # what rounding takes to a whole turn

    def _direction(self, ops: Any, c: Any, z: Any) -> Any:
        length = ops.sqrt(ops.total(z * z))
        right = ops.beside([ops.ones_like(length), ops.zeros_like(length)])
        return ops.where(length > 0, z / ops.at_least(length, 1e-30), right)
