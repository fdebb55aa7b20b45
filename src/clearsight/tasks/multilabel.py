"""Any number of labels per image: each an independent binary prediction.

Each label has a calibrated probability of its own (`calibration.binary`), and is given where that reaches its
threshold, the one from which validation images lead to expect the highest F1. The probabilities do not sum to 1: an
image may show everything, or nothing.

Shapes: N images, K labels; outputs z, probabilities and targets (N, K).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from clearsight.calibration.array_function import ArrayFunction
from clearsight.calibration.binary import BinaryCalibration
from clearsight.calibration.operating_points import Wishes, label_thresholds
from clearsight.data.audit import Finding
from clearsight.data.dataset import Dataset, Listing
from clearsight.data.targets import Stated, one_hot, refuse_spaces, require_finite
from clearsight.errors import ConfigError, DataError
from clearsight.schema import listed, number, record, text
from clearsight.tasks.evaluation import Evaluation
from clearsight.tasks.losses import binary_cross_entropy, mean_squared_error
from clearsight.tasks.multilabel_evaluation import LabelsEvaluation, evaluate_labels
from clearsight.tasks.predictions import LabelsPrediction, labels_predictions
from clearsight.tasks.registry import register_task
from clearsight.tasks.strata import constant_finding, constant_names, rarest_label
from clearsight.tasks.task import (
    BAR,
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

SEPARATORS = ("|", ";", ",")
"""What joins the labels of an image in one cell."""


@register_task
@dataclass(frozen=True)
class Multilabel(Task):
    """names (K,): the labels. calibration, thresholds (K,): how outputs become probabilities, and labels given. rule:
    what chose thresholds, if not the highest F1.
    """

    names: tuple[str, ...]
    calibration: BinaryCalibration
    thresholds: tuple[float, ...]
    rule: str = ""

    name: ClassVar[str] = "multilabel"
    words_used: ClassVar[Words] = Words(
        data="several labels per image, in one cell or in 0/1 columns",
        names=("label", "labels"),
        group="rarest label",
        score_curve=("Correct labels", "the second curve is the share of correct labels"),
    )
    training: ClassVar[Training] = Training(
        head="regression",
        losses={"bce": binary_cross_entropy, "mse": mean_squared_error},
        unsupported=frozenset({"class_weight", "adversarial", "freeze", "auto_fix"}),
    )
    prediction: ClassVar[type[Any]] = LabelsPrediction
    evaluation: ClassVar[type[Evaluation]] = LabelsEvaluation
    counted: ClassVar[tuple[str, str]] = ("label", "labels")
    imbalance_advice: ClassVar[str] = "per-label F1"
    predict_options: ClassVar[frozenset[str]] = frozenset({"top"})
    localises: ClassVar[bool] = True
    studio: ClassVar[str] = "labels"
    reader: ClassVar[str] = "labels"
    output_names: ClassVar[tuple[str, ...]] = ("probabilities", "logits")
    parity_words: ClassVar[tuple[str, str]] = ("labels", "probabilities")
    int8_measure: ClassVar[tuple[str, bool] | None] = ("mean average precision", True)

    @classmethod
    def claims(cls, stated: Stated) -> bool:
        """Lists of names, cells that join names which come back in other company, several columns of 0 and 1."""
        if stated.listed:
            return True
        if stated.cells is not None:
            separator = _separator(stated.cells)
            return separator is not None and _recur([_parts(cell, separator) for cell in stated.cells])
        binary = stated.numbers is not None and bool(np.isin(stated.numbers, (0, 1)).all())
        return binary and len(stated.columns) > 1 and stated.numbers is not None and not one_hot(stated.numbers)

    @classmethod
    def read(cls, listing: Listing, options: TaskOptions) -> Dataset:
        """Names in cells such as "cat|dog", or columns of 0 and 1."""
        stated = listing.stated
        if stated.cells is not None:
            separator = SEPARATORS[0] if stated.listed else _separator(stated.cells)
            refuse_spaces(stated, "if each is one label, write every cell as a list, such as ['red car']")
            parts = [_parts(cell, separator) for cell in stated.cells]
            names = tuple(sorted({name for part in parts for name in part}))
            if not names:
                raise DataError("no image has a label", found="empty lists")
            place = {name: k for k, name in enumerate(names)}
            values = np.zeros((len(parts), len(names)), np.float32)
            for i, part in enumerate(parts):
                values[i, [place[name] for name in part]] = 1
        else:
            names, numbers = stated.as_numbers()
            if stray := numbers[~np.isin(numbers, (0, 1))].tolist():
                raise DataError(
                    f"label columns in {stated.origin} must contain only 0 and 1",
                    found=f"{stray[0]:g}",
                    fix="use --task regression for numeric targets",
                )
            values = numbers.astype(np.float32)
        require_finite(values, names, stated.origin)
        labels, classes = rarest_label(values, names)
        return Dataset(
            listing.name, listing.source, labels, classes, listing.given, stated.origin, cls, groups=listing.groups,
            notes=listing.notes, names=names, values=values,
        )  # fmt: skip

    def joinable(self, listing: Listing, options: TaskOptions) -> Listing:
        """Cells whose labels are joined by "|", whatever separator the source uses; a cell that is a known label is
        not split.
        """
        stated = listing.stated
        if stated.cells is None or stated.listed:
            return listing
        separator = _separator([cell for cell in stated.cells if cell not in self.names])
        parts = [[cell] if cell in self.names else _parts(cell, separator) for cell in stated.cells]
        cells = tuple(SEPARATORS[0].join(part) for part in parts)
        return replace(listing, stated=replace(stated, cells=cells, listed=True))

    @classmethod
    def words(cls, dataset: Dataset, i: int) -> str:
        """The labels of image i."""
        row = dataset.targets[i]
        return ", ".join(name for name, holds in zip(dataset.names, row, strict=True) if holds) or "no label"

    @classmethod
    def describe(cls, dataset: Dataset) -> str:
        """How many labels, and by what images are counted."""
        some = ", ".join(dataset.names[:6]) + (", ..." if len(dataset.names) > 6 else "")
        return f"{len(dataset.names)} labels ({some}); images are grouped by their rarest label"

    @classmethod
    def balance(cls, dataset: Dataset, known: NDArray[np.int64]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Images of each label."""
        return dataset.names, dataset.targets[known].sum(0).astype(np.int64)

    @classmethod
    def findings(cls, dataset: Dataset) -> list[Finding]:
        """Labels that are the same for all images."""
        return constant_finding(cls._constant(dataset))

    @classmethod
    def check(cls, dataset: Dataset, config: Any) -> None:
        """Refuse labels that are the same for all images."""
        if error := cls._constant(dataset):
            raise error

    @classmethod
    def _constant(cls, dataset: Dataset) -> DataError | None:
        constant = constant_names(dataset)
        if not constant:
            return None
        always = [name for name in constant if dataset.targets[0, dataset.names.index(name)] == 1]
        return DataError(
            f"{count(len(constant), 'constant label')} in {dataset.name}",
            found=f"{(always or constant)[0]!r}, which is {'positive for every image' if always else 'never positive'}",
            fix="leave constant labels out, or add images with the missing value",
        )

    @classmethod
    def of(cls, dataset: Dataset, train: NDArray[np.int64], options: TaskOptions) -> Multilabel:
        """Before anything is learned."""
        return cls.unfitted(dataset.names)

    @classmethod
    def unfitted(cls, names: Sequence[str]) -> Multilabel:
        """The task before calibration.

        Args:
            names: the K labels.

        Returns:
            A task that predicts labels from a probability of 0.5.
        """
        k = len(names)
        return cls(tuple(names), BinaryCalibration.identity(k), (0.5,) * k)

    def smoothed(self, encoded: Tensor, smoothing: float) -> Tensor:
        """Towards 1/2, as each label is a binary prediction."""
        return encoded * (1 - smoothing) + smoothing / 2

    def head_targets(self, encoded: NDArray[np.float32]) -> Floats:
        """-1 and 1."""
        return 2 * encoded.astype(np.float64) - 1

    def training_score(self, outputs: Tensor, encoded: Tensor, loss: str) -> Tensor:
        """The share of labels that are right; mse leads outputs to 0 and 1, any other loss to below and above 0."""
        return ((outputs > (0.5 if loss == "mse" else 0)) == (encoded > 0.5)).float().mean(1)

    def calibrated(self, outputs: Outputs, truth: NDArray[Any]) -> Multilabel:
        """Calibration and thresholds from validation images (M, K); a label that none or all of them have keeps its
        own.
        """
        fitted = replace(self, calibration=BinaryCalibration.of(outputs, truth))
        probabilities, thresholds = fitted.decode(outputs), list(self.thresholds)
        for k in range(len(self.names)):
            if 0 < (truth[:, k] > 0).sum() < len(truth):
                thresholds[k] = best_threshold(probabilities[:, k])
        return replace(fitted, thresholds=tuple(thresholds))

    def with_operating_point(
        self, outputs: Outputs, truth: NDArray[Any], wishes: Wishes
    ) -> tuple[Multilabel, tuple[str, ...]]:
        """The thresholds that keep a precision or recall of some labels."""
        if wishes.costs:
            raise ConfigError("--costs requires one class per image", fix="use --min-precision or --min-recall")
        found, reached = label_thresholds(self.decode(outputs), truth > 0, self.names, self.thresholds, wishes)
        rules = tuple(r.words() for r in reached)
        return replace(self, thresholds=found, rule="; ".join(rules)), rules

    def decoder(self) -> ArrayFunction:
        """Probabilities (N, K) and logits (N, K)."""
        return self.calibration.function()

    def given(self, probabilities: Floats) -> NDArray[np.bool_]:
        """Which labels are predicted.

        Args:
            probabilities: calibrated probabilities (N, K).

        Returns:
            Boolean array (N, K).
        """
        return np.asarray(probabilities >= np.array(self.thresholds))

    def predictions(
        self, outputs: Outputs, images: Sequence[str], ood: OODScores | None, options: PredictOptions
    ) -> list[LabelsPrediction]:
        """The labels given to each image."""
        facts = [ood.facts(i) if ood is not None else {} for i in range(len(images))]
        return labels_predictions(self.decode(outputs), self.names, self.thresholds, images, facts)

    def evaluate(
        self,
        outputs: Outputs,
        truth: NDArray[Any],
        *,
        indices: NDArray[np.integer] | None = None,
        images: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
    ) -> LabelsEvaluation:
        """Ranking, F1 and mistakes of outputs (N, K) against targets (N, K)."""
        raw = sigmoid(np.asarray(outputs, np.float64))
        return evaluate_labels(
            self.decode(outputs), raw, truth, self.names, self.thresholds, indices=indices, images=images,
            rule=self.rule,
        )  # fmt: skip

    def thresholds_found(self) -> Floats:
        """The labels' own thresholds."""
        return np.array(self.thresholds, np.float64)

    def aligned(self, dataset: Dataset) -> NDArray[Any]:
        """Targets (N, K) in the model's order; a label that the data lacks never holds."""
        if not set(dataset.names) <= set(self.names):
            raise DataError(
                "the targets of the data differ from those of the model",
                found=", ".join(dataset.names[:8]),
                expected=", ".join(self.names[:8]),
            )
        found = np.zeros((len(dataset), len(self.names)), np.float32)
        for k, name in enumerate(dataset.names):
            found[:, self.names.index(name)] = dataset.targets[:, k]
        return found

    def same(self, expected: tuple[Outputs, ...], found: tuple[Outputs, ...]) -> NDArray[np.bool_]:
        """The same labels given."""
        given = [self.given(np.asarray(decoded[0], np.float64)) for decoded in (expected, found)]
        return np.asarray((given[0] == given[1]).all(1))

    def undecided(self, expected: tuple[Outputs, ...]) -> NDArray[np.bool_]:
        """A probability at its threshold."""
        return np.asarray((np.abs(expected[0] - np.array(self.thresholds)) < BAR).any(1))

    def int8_score(self, found: tuple[Outputs, ...], truth: NDArray[Any]) -> float:
        """Mean average precision."""
        return self.evaluate(found[-1], truth).mean_average_precision

    def export_facts(self) -> dict[str, Any]:
        """The threshold of each label."""
        return {"thresholds": dict(zip(self.names, self.thresholds, strict=True))}

    def card(self) -> dict[str, Any]:
        """Plain values for the bundle."""
        return {
            "task": self.name, "names": list(self.names), **self.calibration.card(),
            "thresholds": list(self.thresholds), "rule": self.rule,
        }  # fmt: skip

    @classmethod
    def load(cls, card: Mapping[str, Any] | None, names: tuple[str, ...], temperature: float) -> Multilabel:
        """From what `card` gave."""
        assert card is not None
        share = number(0, 1)
        record({"names": listed(text(), len(names), unique=True), "thresholds": listed(share, len(names))})(
            card, "card.json: task_card"
        )
        thresholds, rule = tuple(card["thresholds"]), str(card.get("rule", ""))
        return cls(tuple(card["names"]), BinaryCalibration.load(card, len(names)), thresholds, rule)

    def public_card(self) -> dict[str, Any]:
        """The probability from which each label is given, and what chose it."""
        rule = {"rule": self.rule} if self.rule else {}
        return {"task": self.name, "thresholds": dict(zip(self.names, self.thresholds, strict=True)), **rule}


def _separator(cells: Sequence[str]) -> str | None:
    return next((s for s in SEPARATORS if any(s in cell for cell in cells)), None)


def _parts(cell: str, separator: str | None) -> list[str]:
    pieces = cell.split(separator) if separator else [cell]
    return list(dict.fromkeys(p.strip() for p in pieces if p.strip()))


def _recur(parts: Sequence[Sequence[str]]) -> bool:
    """Whether every name that stands beside others also stands elsewhere in other company: "crane, bird" alone is a
    class, beside "bird" or "bird, tree" it is two labels.
    """
    company: dict[str, set[tuple[str, ...]]] = {}
    for part in parts:
        for name in part:
            company.setdefault(name, set()).add(tuple(sorted(part)))
    joined = {name for part in parts if len(part) > 1 for name in part}
    return bool(joined) and sum(len(company[name]) > 1 for name in joined) >= 0.5 * len(joined)


def sigmoid(z: Floats) -> Floats:
    """The logistic function 1 / (1 + exp(-z)), without overflow.

    Args:
        z: real numbers, any shape.

    Returns:
        Values in [0, 1], of the same shape.

    Example:
        >>> sigmoid(np.array([-1000.0, 0.0])).tolist()
        [0.0, 0.5]
    """
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z)))


def best_threshold(probabilities: Floats) -> float:
    """The threshold with the highest expected F1, from calibrated probabilities alone.

    The expected number of true positives is the sum of the probabilities above the threshold. Counting labels instead
    would follow the noise of few images.

    Args:
        probabilities: calibrated probabilities of one label (M,).

    Returns:
        A threshold halfway between two of the probabilities; of several with the same F1 the one nearest to 0.5.

    Example:
        >>> round(best_threshold(np.array([0.9, 0.8, 0.1])), 3)
        0.45

    Reference:
        Lipton, Elkan and Narayanaswamy, "Optimal thresholding of classifiers to maximize F1 measure", 2014.
    """
    p = np.sort(probabilities)[::-1]
    f1 = 2 * np.cumsum(p) / (np.arange(1, len(p) + 1) + p.sum())
    ends = np.append(p[1:] < p[:-1], True)  # a threshold cannot part equal ones
    halfway = np.append((p[1:] + p[:-1]) / 2, p[-1] / 2)
    best = np.flatnonzero(ends & (f1 >= f1[ends].max() - 1e-12))
    return float(halfway[best[np.argmin(np.abs(halfway[best] - 0.5))]])
