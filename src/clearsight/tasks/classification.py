"""One class per image.

Networks give logits z (N, K), and a calibrator, fitted on images that the network had not seen, makes probabilities of
them. Targets are one-hot, or soft labels: rows of probabilities that sum to 1.

Shapes: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from clearsight.calibration.array_function import ArrayFunction
from clearsight.calibration.calibrator import Calibrator
from clearsight.calibration.operating_points import OperatingPoint, Wishes, operating_point
from clearsight.calibration.prediction_sets import ConformalScores
from clearsight.calibration.selection import calibrate
from clearsight.data.dataset import Dataset, Listing, encode_labels
from clearsight.data.targets import Stated, is_direction, one_hot
from clearsight.errors import BundleError, DataError
from clearsight.metrics import accuracy, log_loss
from clearsight.tasks.classification_evaluation import ClassEvaluation, evaluate_classes
from clearsight.tasks.evaluation import Evaluation
from clearsight.tasks.losses import LOSSES
from clearsight.tasks.predictions import Prediction, class_predictions, unlike_words
from clearsight.tasks.registry import register_task
from clearsight.tasks.set_notes import few_calibration_images
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

SMOOTHING = 0.1
"""Label smoothing where many small images are seen a few times each: without it Muon has them by heart before the rate
has come down. Measured on clothes, ten epochs: 0.937 right in validation, and 0.931 without.
"""


@register_task
@dataclass(frozen=True)
class Classification(Task):
    """names (K,): the classes. calibrator: from logits to probabilities, None for softmax alone. conformal: what
    prediction sets follow from, None before calibration. operating_point: what decides which class is predicted; None
    for the most probable one.
    """

    names: tuple[str, ...]
    calibrator: Calibrator | None = None
    conformal: ConformalScores | None = None
    operating_point: OperatingPoint | None = None

    name: ClassVar[str] = "classification"
    words_used: ClassVar[Words] = Words(
        data="one class per image",
        names=("class", "classes"),
        group="class",
        score_curve=("Accuracy", "accuracy is the share of correct predictions"),
        head_scores=("Accuracy", "Log loss"),
        head_choice=(
            "The most accurate combination was chosen. Ties were broken by the lower log loss, which penalises "
            "confident mistakes."
        ),
    )
    training: ClassVar[Training] = Training(
        head="classifier", losses=LOSSES, smoothing=SMOOTHING, diagnosed=True, label_issues=True, ood="scores",
        flips_checked=True,
    )  # fmt: skip
    prediction: ClassVar[type[Any]] = Prediction
    evaluation: ClassVar[type[Evaluation]] = ClassEvaluation
    counted: ClassVar[tuple[str, str]] = ("class", "classes")
    needs_classes: ClassVar[bool] = True
    predict_options: ClassVar[frozenset[str]] = frozenset({"top", "coverage", "sets", "by_class", "group"})
    exclusive: ClassVar[bool] = True
    localises: ClassVar[bool] = True
    studio: ClassVar[str] = "classes"
    reader: ClassVar[str] = "classes"
    output_names: ClassVar[tuple[str, ...]] = ("probabilities", "logits")
    parity_words: ClassVar[tuple[str, str]] = ("class", "probabilities")
    int8_measure: ClassVar[tuple[str, bool] | None] = ("accuracy", True)

    @classmethod
    def read(cls, listing: Listing, options: TaskOptions) -> Dataset:
        """One class per image by its name, or columns that mark one class or share out probabilities among several."""
        stated = listing.stated
        soft: NDArray[np.float32] | None = None
        weights, notes = stated.weights, listing.notes
        if stated.cells is None and stated.numbers is not None:
            likeliest, soft = classes_in_columns(stated)
            labels, classes = encode_labels([stated.columns[k] for k in likeliest])
            if soft is not None:
                soft = soft[:, [stated.columns.index(name) for name in classes]].astype(np.float32)
                soft /= soft.sum(1, keepdims=True)
                weights = soft.max(1)
                note = (
                    "soft labels: networks are trained on the probability of each class, "
                    "other models on the most probable class, weighted by its probability"
                )
                notes = (*notes, note)
        else:
            if stated.listed and (several := [cell for cell in stated.cells or () if len(cell.split("|")) != 1]):
                raise DataError(
                    "lists of labels cannot be used as classes",
                    found=repr(several[0].split("|"))[:60],
                    expected="one class per image",
                    fix="for several labels per image, leave out --task",
                )
            labels, classes = encode_labels(stated.names())
            if stated.classes is not None:
                labels = np.array([stated.classes.index(name) for name in classes], np.int64)[labels]
                classes = stated.classes
            if stated.weight_note:
                notes = (*notes, stated.weight_note)
        return Dataset(
            listing.name, listing.source, labels, classes, listing.given, stated.origin, cls, groups=listing.groups,
            weights=weights, notes=notes, values=soft,
        )  # fmt: skip

    @classmethod
    def notes(cls, dataset: Dataset, config: Any) -> list[tuple[str, str, str]]:
        """Whole numbers are taken for names where they may be counts; names of folders are none."""
        if config.data.task != "auto" or dataset.values is not None or Path(dataset.origin).is_dir():
            return []
        if not like_counts(dataset.classes):
            return []
        why = "the labels are whole numbers and are treated as class names; use --task regression if they are counts"
        return [("labels", f"{len(dataset.classes)} classes", why)]

    @classmethod
    def words(cls, dataset: Dataset, i: int) -> str:
        """The class of image i."""
        return dataset.classes[dataset.labels[i]] if dataset.labels[i] >= 0 else ""

    @classmethod
    def truth(cls, dataset: Dataset) -> NDArray[Any]:
        """Labels (N,)."""
        return dataset.labels

    @property
    def calibration(self) -> Calibrator:
        """From logits to probabilities."""
        return self.calibrator or Calibrator.identity(len(self.names))

    @property
    def temperature(self) -> float:
        """T; of several the mean scale's."""
        return self.calibration.temperature

    @property
    def calibration_images(self) -> int:
        """As many as scores are kept."""
        return 0 if self.conformal is None else len(self.conformal.labels)

    @property
    def largest_probability(self) -> float:
        """As far as the number of calibration images goes."""
        return self.calibration.largest

    def encode(self, dataset: Dataset) -> NDArray[np.float32] | None:
        """Soft labels (N, K), or None."""
        return dataset.values

    def training_score(self, outputs: Tensor, encoded: Tensor, loss: str) -> Tensor:
        """1 where the likeliest class is the target's."""
        return (outputs.argmax(1) == encoded.argmax(1)).float()

    def validation_score(self, outputs: Outputs, encoded: Tensor, loss: str) -> tuple[float, float]:
        """Accuracy, and of equals the lower log loss."""
        target = encoded.argmax(1).numpy()
        return accuracy(target, outputs.argmax(1)), -log_loss(target, self.decode(outputs))

    def calibrated(self, outputs: Outputs, truth: NDArray[Any]) -> Classification:
        """The same, calibrated on logits (M, K) and labels (M,)."""
        made = calibrate(outputs, truth)
        conformal = ConformalScores.of(made(outputs), truth) if len(truth) and len(self.names) > 1 else None
        return replace(self, calibrator=made, conformal=conformal)

    def decoder(self) -> ArrayFunction:
        """Probabilities (N, K) and logits (N, K)."""
        return self.calibration.function()

    def predictions(
        self, outputs: Outputs, images: Sequence[str], ood: OODScores | None, options: PredictOptions
    ) -> list[Prediction]:
        """The most probable class of each image, and its prediction set."""
        in_set = self.prediction_sets(outputs, ood, options)
        facts: list[dict[str, Any]] = [{} if ood is None else ood.facts(i) for i in range(len(images))]
        if in_set is not None:
            facts = [{"set": in_set[i], **facts[i]} for i in range(len(images))]
        probabilities = self.decode(outputs)
        return class_predictions(probabilities, self.names, images, facts, self.decided(probabilities))

    def with_operating_point(
        self, outputs: Outputs, truth: NDArray[Any], wishes: Wishes
    ) -> tuple[Classification, tuple[str, ...]]:
        """By the lowest cost, or by a precision or recall of some classes."""
        found = operating_point(self.decode(outputs), truth, self.names, wishes)
        return replace(self, operating_point=found), (found.rule,)

    def with_groups(self, metadata: Mapping[str, NDArray[np.str_]]) -> Classification:
        """For prediction sets that hold within a group."""
        return self if self.conformal is None else replace(self, conformal=self.conformal.with_groups(metadata))

    def decided(self, probabilities: Floats) -> NDArray[np.int64]:
        """The most probable class, or what the operating point decides."""
        return (
            super().decided(probabilities)
            if self.operating_point is None
            else self.operating_point.decide(probabilities)
        )

    def prediction_sets(
        self, outputs: Outputs, ood: OODScores | None, options: PredictOptions
    ) -> NDArray[np.bool_] | None:
        """Conformal sets; None before calibration."""
        if self.conformal is None:
            return None
        return self.conformal.sets(
            self.decode(outputs), options.coverage, options.sets, options.by_class, options.group
        )

    def set_notes(self, options: PredictOptions) -> tuple[str, ...]:
        """Classes, or all of them, that are in every set, as too few calibration images can exclude them."""
        return () if self.conformal is None else few_calibration_images(self.conformal, self.names, options)

    def evaluate(
        self,
        outputs: Outputs,
        truth: NDArray[Any],
        *,
        indices: NDArray[np.integer] | None = None,
        images: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
    ) -> ClassEvaluation:
        """Accuracy, calibration and mistakes of logits (N, K) against labels (N,)."""
        raw = Classification(self.names).decode(outputs)
        probabilities, point = self.decode(outputs), self.operating_point
        return evaluate_classes(
            probabilities, raw, truth, self.names, calibration=self.calibration.words(),
            frequencies=None if self.calibrator is None else self.calibrator.frequencies, indices=indices,
            images=images,
            predicted=self.decided(probabilities), rule=point.rule if point else "",
        )  # fmt: skip

    def unlike_line(self, line: str, percentile: float, predicted: bool) -> str:
        """The predicted class is only the nearest one."""
        if predicted:
            return f"unknown: {unlike_words(percentile)}; nearest class {line}"
        return super().unlike_line(line, percentile, predicted)

    def thresholds_found(self) -> Floats:
        """Half the probability."""
        return np.full(len(self.names), 0.5)

    def aligned(self, dataset: Dataset) -> NDArray[Any]:
        """Labels as the model numbers its classes; DataError for a class it does not know."""
        unknown = sorted(set(dataset.classes) - set(self.names))
        if unknown:
            raise DataError(
                "the data has classes that the model was not trained on",
                found=", ".join(unknown[:8]),
                expected=", ".join(self.names[:8]) + (", ..." if len(self.names) > 8 else ""),
            )
        number = np.array([self.names.index(c) for c in dataset.classes])
        return np.where(dataset.labels >= 0, number[dataset.labels], -1)

    def same(self, expected: tuple[Outputs, ...], found: tuple[Outputs, ...]) -> NDArray[np.bool_]:
        """The same class."""
        return np.asarray(self.decided(np.asarray(expected[0])) == self.decided(np.asarray(found[0])))

    def undecided(self, expected: tuple[Outputs, ...]) -> NDArray[np.bool_]:
        """Equal probabilities, as those of a fair coin, have no class to agree on."""
        point = self.operating_point
        ranked = np.sort(expected[0] if point is None else np.asarray(expected[0]) @ np.array(point.weights), axis=1)
        return np.asarray(ranked[:, -1] - ranked[:, -2] < BAR)

    def int8_score(self, found: tuple[Outputs, ...], truth: NDArray[Any]) -> float:
        """Accuracy."""
        return float((self.decided(np.asarray(found[0])) == truth).mean())

    def export_facts(self) -> dict[str, Any]:
        """What decides which class is predicted."""
        return {} if self.operating_point is None else {"decision": self.operating_point.card()}

    def public_card(self) -> dict[str, Any] | None:
        """What decides which class is predicted."""
        return None if self.operating_point is None else {"task": self.name, "rule": self.operating_point.rule}

    def card(self) -> dict[str, Any]:
        """Plain values for the bundle."""
        return {
            "task": self.name,
            **{name: None if part is None else part.card() for name, part in self._fitted().items()},
        }

    def _fitted(self) -> dict[str, Calibrator | ConformalScores | OperatingPoint | None]:
        """What was fitted, by its field."""
        return {
            "calibrator": self.calibrator, "conformal": self.conformal, "operating_point": self.operating_point,
        }  # fmt: skip

    @classmethod
    def load(cls, card: Mapping[str, Any] | None, names: tuple[str, ...], temperature: float) -> Classification:
        """From what `card` gave; older bundles state a temperature alone, and have no prediction sets."""
        if card is None:
            return cls(names, Calibrator.identity(len(names), temperature))
        calibrator, conformal, point = (card.get(name) for name in ("calibrator", "conformal", "operating_point"))
        return cls(
            names,
            None if calibrator is None else Calibrator.load(calibrator, len(names)),
            None if conformal is None else _conformal(conformal, len(names)),
            None if point is None else OperatingPoint.load(point, len(names)),
        )


def _conformal(card: Mapping[str, Any], classes: int) -> ConformalScores:
    """Scores of calibration images from a card; BundleError where its lists are not of the same images."""
    found = ConformalScores.load(card)
    images = len(found.labels)
    lists = {**found.scores, **{f"groups by {name}": row for name, row in found.groups.items()}}
    if wrong := [
        f"{count(len(row), 'entry', 'entries')} for {name}" for name, row in lists.items() if len(row) != images
    ]:
        raise BundleError(
            "the model's card is inconsistent: its lists of calibration images differ in "
            "length", found=", ".join(wrong),
            expected=f"{images} entries, one per label", fix="restore the folder from a backup, or train again",
        )  # fmt: skip
    if outside := sorted({k for k in found.labels if not (isinstance(k, int) and 0 <= k < classes)}, key=str):
        raise BundleError(
            "the model's card is inconsistent: it has calibration images of unknown classes",
            found=", ".join(map(str, outside[:5])), expected=f"0 to {classes - 1}",
            fix="restore the folder from a backup, or train again",
        )  # fmt: skip
    return found


def soft_labels(rows: NDArray[Any]) -> bool:
    """Whether rows of numbers are soft labels.

    Args:
        rows: numbers (N, K).

    Returns:
        True if every row is a probability distribution over several columns and the rows are neither one-hot nor
        directions.
    """
    if rows.shape[1] < 2 or not np.isfinite(rows).all() or is_direction(rows) or one_hot(rows):
        return False
    return bool((rows >= 0).all() and (np.abs(rows.sum(1) - 1) < 1e-3).all())


def classes_in_columns(stated: Stated) -> tuple[NDArray[np.intp], NDArray[Any] | None]:
    """The class of each image, where columns of numbers mark it.

    Args:
        stated: what the source states, with columns of numbers (N, K).

    Returns:
        Column of the most probable class (N,), and the soft labels (N, K); None in place of these for one-hot columns.

    Raises:
        DataError: the columns hold no classes, or some class is that are never the most probable.
    """
    assert stated.numbers is not None
    likeliest = stated.numbers.argmax(1)
    if one_hot(stated.numbers):
        return likeliest, None
    if not soft_labels(stated.numbers):
        raise DataError(
            f"{stated.origin} has no class column",
            found=", ".join(stated.columns),
            expected="a column `label`, or one column per class, either one-hot or with probabilities",
        )
    if never := [name for k, name in enumerate(stated.columns) if not (likeliest == k).any()]:
        raise DataError(
            f"soft labels in {stated.origin}: {count(len(never), 'class is', 'classes are')} never the most probable",
            found=", ".join(map(repr, never[:5])),
            fix="remove these columns and rescale the others to sum to 1, or use --task regression to predict the "
            "values",
        )
    return likeliest, stated.numbers


COUNTS = 20
"""Whole numbers of which there are more look like counts, not names of classes."""


def like_counts(classes: Sequence[str]) -> bool:
    """Whether class names look like counts of something.

    Args:
        classes: the class names.

    Returns:
        True if all names are whole numbers and there are many of them.
    """
    try:
        return len(classes) > COUNTS and all(float(name).is_integer() for name in classes)
    except ValueError:
        return False
