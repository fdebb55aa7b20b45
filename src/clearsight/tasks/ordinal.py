"""Ordered grades, such as none, mild, severe: one grade per image, and a near miss is better than a far one.

A network gives K - 1 cumulative logits z_k for K grades, one for each boundary between neighbours:

    P(grade > k) = sigmoid(scale_k z_k + shift_k)                            [McCullagh 1980]

Each boundary is learned as a binary question of its own [Li, Lin 2007, "Ordinal regression by extended binary
classification"]; a boundary is never more probable than the one below it, so that grades have probabilities of at
least 0 that sum to 1. Prediction sets are intervals of grades, grown from the likeliest grade towards the likelier
neighbour until they hold enough probability; how much is enough follows from validation images [Lu, Angelopoulos,
Pomerantz 2022].

Shapes: N images, K grades; outputs z (N, K - 1), probabilities (N, K), grades (N,) from 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from clearsight.calibration.array_function import ArrayFunction
from clearsight.calibration.binary import BinaryCalibration, Sigmoids
from clearsight.calibration.prediction_sets import interval_scores, thinned, threshold_of
from clearsight.data.dataset import Dataset, Listing, natural_key
from clearsight.data.targets import Stated, is_finite_number, require_finite
from clearsight.errors import DataError
from clearsight.metrics import entropy, wilson_interval
from clearsight.schema import invalid, listed, number, record, text
from clearsight.tasks.calibration_scores import flat_scores
from clearsight.tasks.evaluation import Evaluation
from clearsight.tasks.losses import binary_cross_entropy
from clearsight.tasks.ordinal_evaluation import (
    GradeMistake,
    GradesEvaluation,
    absolute_error,
    bootstrap_interval,
    kappa,
)
from clearsight.tasks.predictions import Prediction
from clearsight.tasks.registry import register_task
from clearsight.tasks.task import (
    BAR,
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

MOST_GRADES = 20
"""Different numbers of which there are more are no grades."""


@register_task
@dataclass(frozen=True)
class Ordinal(Task):
    """names (K,): the grades, lowest first. calibration: how outputs become probabilities of being above each of the
    K - 1 boundaries. scores: sorted conformal scores of validation images.
    """

    names: tuple[str, ...]
    calibration: BinaryCalibration
    scores: tuple[float, ...] = ()

    name: ClassVar[str] = "ordinal"
    words_used: ClassVar[Words] = Words(
        data="ordered grades, given as numbers or as names with --grades",
        names=("grade", "grades"),
        group="grade",
        score_curve=("Correct grades", "the second curve is the share of correct grades"),
    )
    training: ClassVar[Training] = Training(
        head="regression",
        losses={"bce": binary_cross_entropy},
        unsupported=frozenset({"class_weight", "adversarial", "label_smoothing", "freeze", "auto_fix"}),
    )
    prediction: ClassVar[type[Any]] = Prediction
    evaluation: ClassVar[type[Evaluation]] = GradesEvaluation
    counted: ClassVar[tuple[str, str]] = ("grade", "grades")
    imbalance_advice: ClassVar[str] = "quadratic weighted kappa and mean absolute error"
    own_options: ClassVar[tuple[str, ...]] = ("grades",)
    predict_options: ClassVar[frozenset[str]] = frozenset({"top", "coverage"})
    exclusive: ClassVar[bool] = True
    studio: ClassVar[str] = "classes"
    reader: ClassVar[str] = "classes"
    output_names: ClassVar[tuple[str, ...]] = ("probabilities", "logits")
    parity_words: ClassVar[tuple[str, str]] = ("grade", "probabilities")
    int8_measure: ClassVar[tuple[str, bool] | None] = ("accuracy", True)

    @classmethod
    def read(cls, listing: Listing, options: TaskOptions) -> Dataset:
        """Grades by name, in the order that --grades states, or by number."""
        stated = listing.stated
        given = _listed(options.grades)
        cells = stated.names() if stated.cells is not None else []
        if not cells or not set(cells) <= set(given):
            cells = _as_numbers(stated, cells) or cells
        if not given and not all(map(is_finite_number, cells)):
            raise DataError(
                f"the order of the grades in {stated.origin} is unknown",
                found=", ".join(sorted(set(cells), key=natural_key)[:8]),
                fix="list them, lowest first, for example with --grades none,mild,severe",
            )
        names = given or tuple(sorted(set(cells), key=float))
        if unknown := sorted(set(cells) - set(names), key=natural_key):
            raise DataError(
                f"{stated.origin} has grades that are missing from {'the model' if options.evaluating else '--grades'}",
                found=", ".join(unknown[:8]),
                expected=", ".join(names[:8]),
            )
        if not 2 <= len(names) <= MOST_GRADES:
            raise DataError(
                f"{stated.origin} contains {count(len(names), 'distinct grade')}",
                expected=f"2 to {MOST_GRADES}",
                fix="use --task regression for numeric targets" if len(names) > 2 else None,
            )
        labels = np.array([names.index(cell) for cell in cells], np.int64)
        return Dataset(
            listing.name, listing.source, labels, names, listing.given, stated.origin, cls, groups=listing.groups,
            notes=listing.notes,
        )  # fmt: skip

    @classmethod
    def words(cls, dataset: Dataset, i: int) -> str:
        """The grade of image i."""
        return dataset.names[int(dataset.labels[i])]

    @classmethod
    def describe(cls, dataset: Dataset) -> str:
        """The grades in their order."""
        return f"{len(dataset.names)} grades, from {dataset.names[0]} to {dataset.names[-1]}"

    @classmethod
    def check(cls, dataset: Dataset, config: Any) -> None:
        """Refuse data of one grade alone."""
        if len(np.unique(dataset.labels)) < 2:
            raise DataError(f"all images of {dataset.name} have the same grade", found=dataset.names[dataset.labels[0]])

    @classmethod
    def truth(cls, dataset: Dataset) -> NDArray[Any]:
        """Grades (N,), from 0."""
        return dataset.labels

    @classmethod
    def of(cls, dataset: Dataset, train: NDArray[np.int64], options: TaskOptions) -> Ordinal:
        """Before anything is learned."""
        return cls(dataset.names, BinaryCalibration.identity(len(dataset.names) - 1))

    @property
    def outputs(self) -> int:
        """One for each boundary."""
        return len(self.names) - 1

    def encode(self, dataset: Dataset) -> NDArray[np.float32]:
        """Whether the grade lies above each boundary (N, K - 1)."""
        return (dataset.labels[:, None] > np.arange(self.outputs)).astype(np.float32)

    def head_targets(self, encoded: NDArray[np.float32]) -> Floats:
        """-1 and 1."""
        return 2 * encoded.astype(np.float64) - 1

    def training_score(self, outputs: Tensor, encoded: Tensor, loss: str) -> Tensor:
        """1 where as many boundaries lie below the image as should."""
        return ((outputs > 0).sum(1) == encoded.sum(1)).float()

    def calibrated(self, outputs: Outputs, truth: NDArray[Any]) -> Ordinal:
        """Calibration of each boundary, and the conformal scores of the images (M,)."""
        fitted = replace(self, calibration=BinaryCalibration.of(outputs, truth[:, None] > np.arange(self.outputs)))
        scores = np.sort(interval_scores(fitted.decode(outputs))[np.arange(len(truth)), truth])
        return replace(fitted, scores=tuple(thinned(scores).tolist()))

    @property
    def calibration_images(self) -> int:
        """As many as scores are kept."""
        return len(self.scores)

    def decoder(self) -> ArrayFunction:
        """Probabilities (N, K) and cumulative logits (N, K - 1)."""
        return _Grades(self.calibration)

    def prediction_sets(
        self, outputs: Outputs, ood: OODScores | None, options: PredictOptions
    ) -> NDArray[np.bool_] | None:
        """Intervals of grades (N, K); None before calibration. All grades where so few images were kept that less
        cannot be promised.
        """
        if not self.scores:
            return None
        enough = threshold_of(np.array(self.scores), options.coverage)
        return np.asarray(interval_scores(self.decode(outputs)) <= enough)

    def predictions(
        self, outputs: Outputs, images: Sequence[str], ood: OODScores | None, options: PredictOptions
    ) -> list[Prediction]:
        """The likeliest grade of each image, and an interval of grades."""
        probabilities, inside = self.decode(outputs), self.prediction_sets(outputs, ood, options)
        uncertainty = entropy(probabilities) / np.log(len(self.names))
        found = []
        for i, (image, p) in enumerate(zip(images, probabilities, strict=True)):
            order = np.argsort(-p, kind="stable")
            best = int(order[0])
            facts: dict[str, Any] = {} if ood is None else ood.facts(i)
            if inside is not None:
                facts["set"] = tuple(name for name, holds in zip(self.names, inside[i], strict=True) if holds)
            ranked = {self.names[k]: float(p[k]) for k in order.tolist()}
            found.append(Prediction(image, self.names[best], float(p[best]), float(uncertainty[i]), ranked, **facts))
        return found

    def evaluate(
        self,
        outputs: Outputs,
        truth: NDArray[Any],
        *,
        indices: NDArray[np.integer] | None = None,
        images: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
    ) -> GradesEvaluation:
        """Quadratic weighted kappa, mean absolute error and mistakes of outputs (N, K - 1) against grades (N,)."""
        from sklearn.metrics import confusion_matrix

        probabilities = self.decode(outputs)
        predicted = probabilities.argmax(1)
        off, right = np.abs(predicted - truth), int((predicted == truth).sum())
        where = np.arange(len(truth)) if indices is None else indices
        wrong = np.flatnonzero(off)
        worst = wrong[np.lexsort((-probabilities[wrong, predicted[wrong]], -off[wrong]))]
        return GradesEvaluation(
            n=len(truth),
            kappa=float(kappa(truth, predicted)),
            kappa_interval=bootstrap_interval(kappa, truth, predicted),
            mean_absolute_error=float(off.mean()),
            mean_absolute_error_interval=bootstrap_interval(absolute_error, truth, predicted),
            accuracy=right / len(truth),
            accuracy_interval=wilson_interval(right, len(truth)),
            usual_error=float(np.abs(truth - np.median(truth)).mean()),
            confusion=confusion_matrix(truth, predicted, labels=range(len(self.names))),
            mistakes=tuple(
                GradeMistake(
                    int(where[i]),
                    images[i] if images is not None else f"#{where[i]}",
                    self.names[truth[i]],
                    self.names[predicted[i]],
                    int(off[i]),
                    float(probabilities[i, predicted[i]]),
                )
                for i in worst.tolist()
            ),
            names=self.names,
            **flat_scores(probabilities, truth),
        )

    def explained(self, outputs: Outputs, target: int | None) -> Explained:
        """That the image lies above the lower boundary of a grade and below its upper one."""
        probabilities = self.decode(outputs[None])[0]
        best = int(probabilities.argmax())
        k = best if target is None else target
        weights = np.zeros(self.outputs)
        if k > 0:
            weights[k - 1] = 1
        if k < self.outputs:
            weights[k] = -1
        return Explained(
            name=self.names[k],
            value=float(probabilities[k]),
            weights=weights,
            score=lambda several: self.decode(several)[:, k],
            predicted=k == best,
        )

    def read_options(self) -> TaskOptions:
        """The grades in the model's order."""
        return TaskOptions(grades=self.names, evaluating=True)

    def aligned(self, dataset: Dataset) -> NDArray[Any]:
        """Grades (N,) as the model numbers them."""
        if unknown := [name for name in dataset.names if name not in self.names]:
            raise DataError(
                "the data has grades that the model was not trained on",
                found=", ".join(unknown[:8]),
                expected=", ".join(self.names[:8]),
            )
        number = np.array([self.names.index(name) for name in dataset.names])
        return np.asarray(number[dataset.labels])

    def same(self, expected: tuple[Outputs, ...], found: tuple[Outputs, ...]) -> NDArray[np.bool_]:
        """The same grade."""
        return np.asarray(expected[0].argmax(1) == found[0].argmax(1))

    def undecided(self, expected: tuple[Outputs, ...]) -> NDArray[np.bool_]:
        """Two grades that are equally likely."""
        ranked = np.sort(expected[0], axis=1)
        return np.asarray(ranked[:, -1] - ranked[:, -2] < BAR)

    def int8_score(self, found: tuple[Outputs, ...], truth: NDArray[Any]) -> float:
        """Accuracy."""
        return float((found[0].argmax(1) == truth).mean())

    def card(self) -> dict[str, Any]:
        """Plain values for the bundle."""
        return {"task": self.name, "names": list(self.names), **self.calibration.card(), "scores": list(self.scores)}

    @classmethod
    def load(cls, card: Mapping[str, Any] | None, names: tuple[str, ...], temperature: float) -> Ordinal:
        """From what `card` gave."""
        assert card is not None
        record({"names": listed(text(), len(names)), "scores": listed(number())})(card, "card.json: task_card")
        if card["names"] != list(names):
            invalid("card.json: task_card.names", card["names"], f"{list(names)!r}, as in classes"[:200])
        return cls(names, BinaryCalibration.load(card, len(names) - 1), tuple(card["scores"]))


class _Grades(Sigmoids):
    def compute(self, ops: Any, c: Any, x: Any) -> tuple[Any, ...]:
        above, _ = super().compute(ops, c, x)
        columns = [ops.ones_like(above[:, :1])]
        for k in range(above.shape[1]):  # never more probable than the boundary below
            columns.append(ops.minimum(columns[-1], above[:, k : k + 1]))
        columns.append(ops.zeros_like(above[:, :1]))
        held = ops.beside(columns)
        return held[:, :-1] - held[:, 1:], x


def _listed(grades: str | Sequence[str] | None) -> tuple[str, ...]:
    if grades is None:
        return ()
    words = grades.split(",") if isinstance(grades, str) else [str(grade) for grade in grades]
    return tuple(dict.fromkeys(word.strip() for word in words if word.strip()))


def _as_numbers(stated: Stated, cells: Sequence[str]) -> list[str]:
    """Numbers as names of grades, 1 and 1.0 alike; empty where neither cells nor a column are numbers."""
    if stated.numbers is None and not all(map(is_finite_number, cells)):
        return []
    columns, numbers = stated.as_numbers()
    if numbers.shape[1] > 1:
        raise DataError(f"{stated.origin} has several grades per image", expected="a single column of grades")
    require_finite(numbers, columns, stated.origin)
    return [str(int(value)) if value == int(value) else f"{value:.3g}" for value in numbers[:, 0].tolist()]
