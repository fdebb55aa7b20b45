"""Whether an image is an anomaly, where none was ever seen: how rare its score is among normal images.

A model gives each image a score, larger for stranger. Held-out normal images, V of them, say what it means:

    p = (1 + how many of them score at least as high) / (V + 1)

is a p-value: among normal images it falls below any a in at most the share a, whatever the model
[Vovk et al. 2005; Bates et al. 2023]. An image is called an anomaly where p is at most the false alarm rate asked
for; with V images no share below 1 / (V + 1) can be promised.

No anomaly was seen in training, so the probability of one rests on two assumptions, both stored in the card:
the share PRIOR of all images are anomalies, and their p-values crowd near 0 as Beta(SHAPE, 1) does, the usual family
for p-values under an alternative [Sellke, Bayarri, Berger 2001]. Then

    probability = prior f / (prior f + 1 - prior),  f = shape p^(shape - 1)

SHAPE = 0.1 corresponds to a model that separates the two with AUROC 1 / (1 + SHAPE) = 0.91.

Normal are the classes that the user names; else the one class there is; else, where the data states splits, the one
class in its training folder, as in the layout of MVTec AD (train/good, test/good, test/broken) [Bergmann et al. 2019].
All others are for evaluation, never for training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from clearsight.calibration.array_function import ArrayFunction
from clearsight.calibration.prediction_sets import thinned
from clearsight.data.dataset import Dataset, Listing
from clearsight.errors import ConfigError, DataError, nearest
from clearsight.schema import listed, number, record, text
from clearsight.tasks.anomaly_evaluation import AnomalyEvaluation, evaluate_anomalies
from clearsight.tasks.classification import Classification
from clearsight.tasks.evaluation import Evaluation
from clearsight.tasks.losses import LOSSES
from clearsight.tasks.predictions import AnomalyPrediction
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

if TYPE_CHECKING:
    from torch import Tensor

NAMES = ("anomaly",)
"""What the one output is called."""

NORMAL = "normal"
"""The class of images in a folder without class folders."""

USUAL = ("normal", "good", "ok", "okay", "fine", "healthy", "functional", "intact")
"""Names that speak for a normal class."""

FEWEST = 10
"""Normal images to learn from, at least: fewer say nothing of what is usual."""

FALSE_ALARMS = 0.05
"""Share of normal images that may be called anomalies, unless another is asked for."""

PRIOR = 0.5
SHAPE = 0.1


@register_task
@dataclass(frozen=True)
class Anomaly(Task):
    """What a score means. normal: classes it learned from. false_alarms: share asked for. known (V,): sorted scores of
    normal images that it had not seen; known_groups: means of these over the groups that the data states, such as the
    recordings of a speaker, sorted; none where it states none.
    """

    normal: tuple[str, ...]
    false_alarms: float = FALSE_ALARMS
    prior: float = PRIOR
    shape: float = SHAPE
    known: tuple[float, ...] = ()
    known_groups: tuple[float, ...] = ()
    names: tuple[str, ...] = NAMES

    name: ClassVar[str] = "anomaly"
    words_used: ClassVar[Words] = Words(
        data="normal images, with any anomalies in other classes",
        names=("anomaly score", "anomaly scores"),
        group="class",
        score_curve=("Accuracy", "accuracy is measured on the normal classes"),
        recipe="Images were scaled to {size} and compared with normal images (features: {model}). Only normal "
        "images were used for training and model selection.",
        issues="{n} training {thing}{s} may be anomalies",
        issues_meaning="A normal image is listed if its score is far above those of the other normal images. Listed "
        "images were excluded from training.",
    )
    training: ClassVar[Training] = Training(
        head="one-class",
        losses=LOSSES,
        unsupported=frozenset({"class_weight", "adversarial", "freeze", "auto_fix", "resize_mode"}),
        ood=None,
        small_from_scratch=False,
        tries_sizes=False,
    )
    prediction: ClassVar[type[Any]] = AnomalyPrediction
    evaluation: ClassVar[type[Evaluation]] = AnomalyEvaluation
    counted: ClassVar[tuple[str, str]] = ("class", "classes")
    own_options: ClassVar[tuple[str, ...]] = ("normal", "anomaly", "false_alarms")
    faithfulness: ClassVar[bool] = False  # a place that is taken away, blurred, is an anomaly too
    studio: ClassVar[str] = "anomalies"
    reader: ClassVar[str] = "anomaly"
    output_names: ClassVar[tuple[str, ...]] = ("probabilities", "p_values", "scores")
    parity_words: ClassVar[tuple[str, str]] = ("decision", "scores (in standard deviations over normal images)")
    any_classes: ClassVar[str | None] = NORMAL

    @classmethod
    def read(cls, listing: Listing, options: TaskOptions) -> Dataset:
        """Images with the classes of the data; anomalous are those of classes that are not normal.

        Where a finished model is evaluated the data may lack normal classes, or be images without classes, which then
        are normal. DataError for a class that does not exist, or where it is open what is normal.
        """
        dataset = Classification.read(listing, options)
        if dataset.values is not None or listing.stated.listed:
            given = "lists of labels" if listing.stated.listed else "probabilities"
            raise DataError(
                f"{dataset.name} has {given}, but --task anomaly needs classes",
                expected="one class per image",
                fix="leave out --task anomaly",
            )
        names = normal_classes(dataset, options)
        usual = np.array([name in names for name in dataset.classes])
        anomalous = (~usual)[dataset.labels]
        notes = dataset.notes
        stated = anomalous & np.isin(dataset.given, _learned_from(dataset))
        if stated.any() and not options.evaluating:
            left = f"images of anomalous classes in the training splits are left out: {int(stated.sum())}"
            notes = tuple(dict.fromkeys((*notes, left)))
        return replace(dataset, task=cls, names=NAMES, values=anomalous[:, None].astype(np.float32), notes=notes)

    @classmethod
    def words(cls, dataset: Dataset, i: int) -> str:
        """The class of image i."""
        return Classification.words(dataset, i)

    @classmethod
    def learnable(cls, dataset: Dataset) -> NDArray[np.bool_]:
        """Normal images."""
        return np.asarray(dataset.targets[:, 0] == 0)

    @classmethod
    def only_tested(cls, dataset: Dataset) -> NDArray[np.bool_]:
        """Anomalies that no stated split keeps for learning."""
        return np.asarray(~dataset.learnable & ~np.isin(dataset.given, _learned_from(dataset)))

    @classmethod
    def check(cls, dataset: Dataset, config: Any) -> None:
        """Refuse too few normal images, and a network that would have to learn from one class."""
        count = int((dataset.learnable & (dataset.labels >= 0)).sum())
        if count < FEWEST:
            raise DataError(
                f"{dataset.name} has too few normal images to train on",
                found=str(count),
                expected=f"at least {FEWEST}",
                fix="add normal images",
            )
        normal = normal_classes(dataset, TaskOptions(normal=config.data.normal))
        if config.model.model != "auto" and config.model.pretrained is False and len(normal) == 1:
            raise ConfigError(
                f"training {config.model.model} from random weights requires at least two normal classes",
                found=f"one normal class, {normal[0]}",
                fix="leave out --model, or choose a network with published weights",
            )

    @classmethod
    def of(cls, dataset: Dataset, train: NDArray[np.int64], options: TaskOptions) -> Anomaly:
        """Before anything is learned."""
        return cls(normal_classes(dataset, options), options.false_alarms)

    @property
    def alarm_rate(self) -> float:
        """The false alarm rate that is promised: the one asked for, or the least that so few images allow."""
        return max(self.false_alarms, 1 / (len(self.known) + 1))

    @property
    def threshold(self) -> float:
        """The score above which an image is called an anomaly."""
        allowed = int(self.alarm_rate * (len(self.known) + 1) + 1e-9) - 1  # held-out images that may score as high
        return self.known[len(self.known) - 1 - allowed] if allowed < len(self.known) else -np.inf

    @property
    def outputs(self) -> int:
        """One score."""
        return 1

    def training_score(self, outputs: Tensor, encoded: Tensor, loss: str) -> Tensor:
        """Accuracy on the normal classes, which a network learns if it starts from random weights."""
        return (outputs.argmax(1) == encoded.argmax(1)).float()

    def calibrated(self, outputs: Outputs, truth: NDArray[Any]) -> Anomaly:
        """The same with the scores (V, 1) of images the model had not seen; anomalies among them are passed over."""
        known = np.sort(np.asarray(outputs, np.float64)[truth[:, 0] == 0, 0])
        return replace(self, known=tuple(thinned(known).tolist()))

    def with_group_scores(self, scores: Outputs, groups: NDArray[np.integer]) -> Anomaly:
        """The same with mean scores of groups, such as the recordings of a speaker.

        Args:
            scores: scores (V, 1) of images the model had not seen, from groups that it was not trained on.
            groups: group number (V,) of each image.

        Returns:
            The task with the means of the groups.
        """
        number, count = np.unique(groups, return_inverse=True, return_counts=True)[1:]
        means = np.bincount(number, np.asarray(scores, np.float64)[:, 0]) / count
        return replace(self, known_groups=tuple(thinned(np.sort(means)).tolist()))

    def averaged(self) -> Anomaly:
        """The same for mean scores of groups: what is rare among those."""
        return replace(self, known=self.known_groups or self.known)

    def decoder(self) -> ArrayFunction:
        """Probability of an anomaly (N, 1), p-value (N, 1), from 1 / (V + 1) to 1, and score (N, 1)."""
        return _Rareness(self)

    def p_values(self, outputs: Outputs) -> Floats:
        """The p-value of each image.

        Args:
            outputs: anomaly scores (N, 1).

        Returns:
            p-values (N,), in (0, 1].
        """
        return self.decoded(outputs)[1][:, 0]

    def given(self, outputs: Outputs) -> NDArray[np.bool_]:
        """Which images are flagged as anomalies.

        Args:
            outputs: anomaly scores (N, 1).

        Returns:
            Boolean array (N,).
        """
        return np.asarray(np.asarray(outputs, np.float64)[:, 0] > self.threshold)

    def predictions(
        self, outputs: Outputs, images: Sequence[str], ood: OODScores | None, options: PredictOptions
    ) -> list[AnomalyPrediction]:
        """Whether each image is an anomaly; an image that is unlike the normal ones is one."""
        columns = self.given(outputs), self.decode(outputs)[:, 0], self.p_values(outputs), outputs[:, 0]
        return [
            AnomalyPrediction(image, *row) for image, *row in zip(images, *(c.tolist() for c in columns), strict=True)
        ]

    def evaluate(
        self,
        outputs: Outputs,
        truth: NDArray[Any],
        *,
        indices: NDArray[np.integer] | None = None,
        images: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
    ) -> AnomalyEvaluation:
        """AUROC, false alarms and mistakes of scores (N, 1) against targets (N, 1)."""
        return evaluate_anomalies(self, outputs, truth, indices=indices, images=images, groups=groups)

    def explained(self, outputs: Outputs, target: int | None) -> Explained:
        """The score itself: the probability moves in steps, from one held-out image to the next."""
        return Explained(
            name=NAMES[0],
            value=float(self.decode(outputs[None])[0, 0]),
            weights=np.ones(1),
            score=lambda several: np.asarray(several, np.float64)[:, 0],
        )

    def read_options(self) -> TaskOptions:
        """Normal is what was normal in training."""
        return TaskOptions(normal=self.normal, evaluating=True)

    def aligned(self, dataset: Dataset) -> NDArray[Any]:
        """The targets (N, 1)."""
        return dataset.targets

    @property
    def _spread(self) -> float:
        return float(np.std(self.known)) or 1.0

    def difference(self, expected: tuple[Outputs, ...], found: tuple[Outputs, ...]) -> Outputs:
        """Of scores, in their deviation among normal images."""
        return np.asarray(np.abs(expected[2] - found[2]).max(1) / self._spread)

    def same(self, expected: tuple[Outputs, ...], found: tuple[Outputs, ...]) -> NDArray[np.bool_]:
        """Both are called anomalies, or neither."""
        return np.asarray(self.given(expected[2]) == self.given(found[2]))

    def undecided(self, expected: tuple[Outputs, ...]) -> NDArray[np.bool_]:
        """A score at the threshold."""
        return np.asarray(np.abs(expected[2][:, 0] - self.threshold) < BAR * self._spread)

    def card(self) -> dict[str, Any]:
        """Plain values for the bundle."""
        return {
            "task": self.name, "normal": list(self.normal), "false_alarms": self.false_alarms, "prior": self.prior,
            "shape": self.shape, "known": list(self.known), "known_groups": list(self.known_groups),
            "threshold": self.threshold if self.known else None,
        }  # fmt: skip

    @classmethod
    def load(cls, card: Mapping[str, Any] | None, names: tuple[str, ...], temperature: float) -> Anomaly:
        """From what `card` gave."""
        assert card is not None
        share = number(0, 1)
        record(
            {
                "normal": listed(text()), "false_alarms": share, "prior": number(1e-12, 1 - 1e-12),
                "shape": number(1e-12, 1), "known": listed(number()),
            },
            {"known_groups": listed(number())},
        )(card, "card.json: task_card")  # fmt: skip
        known, of_groups = tuple(card["known"]), tuple(card.get("known_groups", ()))
        return cls(tuple(card["normal"]), card["false_alarms"], card["prior"], card["shape"], known, of_groups)

    def public_card(self) -> dict[str, Any]:
        """What is called an anomaly."""
        return {
            "task": self.name, "normal": list(self.normal), "false_alarms": self.alarm_rate,
            "held_out": len(self.known), "threshold": self.threshold, "prior": self.prior,
        }  # fmt: skip


class _Rareness(ArrayFunction):
    def __init__(self, anomaly: Anomaly) -> None:
        super().__init__(known=anomaly.known)
        self.odds, self.shape = anomaly.prior / (1 - anomaly.prior), anomaly.shape

    def compute(self, ops: Any, c: Any, x: Any) -> tuple[Any, ...]:
        p = ops.share(1 + ops.total(c.known >= x), 1 + len(c.known))
        odds = self.odds * self.shape * p ** (self.shape - 1)
        return odds / (1 + odds), p, x


def normal_classes(dataset: Dataset, options: TaskOptions) -> tuple[str, ...]:
    """The classes that count as normal.

    Args:
        dataset: images with their classes.
        options: names of the normal classes in `normal`, None to infer them; `evaluating` for data of a finished model.

    Returns:
        Names of the normal classes.

    Raises:
        DataError: a class does not exist, or the normal class cannot be inferred.
    """
    names = _asked(options.normal, dataset.classes) if options.normal is not None else _only(dataset)
    if unknown := [] if options.evaluating else [name for name in names if name not in dataset.classes]:
        raise DataError(
            f"unknown normal class {unknown[0]!r}",
            found=", ".join(dataset.classes[:8]) + (", ..." if len(dataset.classes) > 8 else ""),
            fix=nearest(unknown[0], dataset.classes, "classes"),
        )
    return (*names, NORMAL) if options.evaluating else names


def _learned_from(dataset: Dataset) -> tuple[str, ...]:
    """The splits that the data states for learning; a stated val without a test is the test."""
    return ("train", "val") if "test" in dataset.splits_given else ("train",)


def _likely(dataset: Dataset, labels: NDArray[np.int64]) -> str:
    """The class that is normal by its name, or else the largest: an example for the user to think about."""
    usual = next((name for name in dataset.classes if name.lower() in USUAL), None)
    counts = np.bincount(labels[labels >= 0], minlength=len(dataset.classes))
    return usual or (dataset.classes[int(counts.argmax())] if len(dataset.classes) else "CLASS")


def _asked(normal: str | Sequence[str], classes: Sequence[str]) -> tuple[str, ...]:
    if isinstance(normal, str):
        normal = [normal] if normal in classes else [word.strip() for word in normal.split(",") if word.strip()]
    return tuple(str(name) for name in normal)


def _only(dataset: Dataset) -> tuple[str, ...]:
    """The one class that can only be the normal one."""
    labels = dataset.labels[dataset.given == "train"] if "train" in dataset.splits_given else dataset.labels
    present = np.unique(labels[labels >= 0])
    if len(present) != 1:
        some = ", ".join(dataset.classes[i] for i in present[:8]) + (", ..." if len(present) > 8 else "")
        raise DataError(
            "the normal classes are not specified",
            found=f"{len(present)} classes: {some}",
            fix=f"specify them, for example with --normal {_likely(dataset, labels)}",
        )
    return (dataset.classes[int(present[0])],)
