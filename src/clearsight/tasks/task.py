"""What a model predicts, as one object: `Task`, the base of every task.

A task owns everything that depends on what is predicted: how targets are read and encoded, the loss, what outputs mean,
predictions, metrics, calibration, what heatmaps explain, and the words and sections of reports. Nothing outside this
package asks which task a model has. Adding a task is one file with a class under `register_task`.

The class itself stands for the task of data that is not read yet (`Ordinal.read`, `Ordinal.of`); an instance is the
task of one data set or model, with names and calibration, and is kept in the bundle's card.

Shapes: N images, T targets as the data states them, E numbers a network learns of each, O outputs of a network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clearsight.calibration.operating_points import Wishes
from clearsight.data.audit import Finding
from clearsight.data.dataset import Dataset, Listing
from clearsight.data.targets import Stated, class_index, require_finite
from clearsight.errors import ConfigError, DataError, ModelError
from clearsight.tasks.error_evaluation import ErrorEvaluation, evaluate_errors
from clearsight.tasks.predict_options import COVERAGE as COVERAGE
from clearsight.tasks.predict_options import PredictOptions as PredictOptions
from clearsight.tasks.predictions import OutputsPrediction, outputs_predictions, unlike_words
from clearsight.tasks.strata import tenths
from clearsight.tasks.words import Words as Words
from clearsight.wording import probability

if TYPE_CHECKING:
    from clearsight.ood.detector import OODDetector
    from clearsight.tasks.evaluation import Evaluation

Floats = NDArray[np.float64]
Outputs = NDArray[np.floating]
Loss = Callable[[Tensor, Tensor], Tensor]
"""(outputs (N, O), target (N, E)) -> losses (N,)."""

BAR = 1e-4
"""Largest difference between two computations of one output that counts as rounding."""


@dataclass(frozen=True)
class TaskOptions:
    """What the user says about the targets; each task takes what concerns it.

    normal: names of the normal classes. false_alarms: share of normal images that may be called anomalies. angle: unit
    of numbers that are angles. within: range of the numbers. variances: the network gives a variance for each number.
    grades: names of the grades, lowest first. hierarchy: "folders", a CSV file of parents, or the parent of each name.
    evaluating: the data is for evaluating a finished model, and may lack some of its classes.
    """

    normal: str | Sequence[str] | None = None
    false_alarms: float = 0.05
    angle: str | None = None
    within: tuple[float, float] | None = None
    variances: bool = False
    grades: str | Sequence[str] | None = None
    hierarchy: str | Mapping[str, str] | None = None
    evaluating: bool = False


@dataclass(frozen=True)
class OODScores:
    """How unlike the training images each of N images is: percentile (N,), the share of known images with a lower
    score; flagged (N,), out of distribution. detector: what found it. score (N,): larger for images that are further
    from those known, without ties.
    """

    percentile: Floats
    flagged: NDArray[np.bool_]
    detector: OODDetector
    score: Floats | None = None

    def at(self, rows: NDArray[np.int64]) -> OODScores:
        """Those of some of the images."""
        return OODScores(self.percentile[rows], self.flagged[rows], self.detector)

    def facts(self, i: int) -> dict[str, Any]:
        """Of image i, as fields of its prediction."""
        return {"ood_percentile": float(self.percentile[i]), "is_ood": bool(self.flagged[i])}


@dataclass(frozen=True)
class Training:
    """What training needs to know of a task.

    head: how a head on frozen features is fitted: "classifier", "regression" or "one-class". losses: those that suit
    it by name, the default first. light_augmentation: images may be moved a little without changing the target.
    smoothing: label smoothing where many small images are seen a few times. muon_from: images from which a network is
    trained with Muon; None for never. unsupported: options that mean nothing here. why_unsupported: what they are for.
    diagnosed: the doctor knows this task. label_issues: wrong labels are searched for. ood: how out-of-distribution
    images are detected: "scores" chooses between scores by leaving classes out, "joint" takes one, None does not.
    small_from_scratch: small images are learned from random weights. tries_sizes: a larger input is tried where a
    budget leaves time. flips_checked: mirror images are tried for prediction and training.
    """

    head: Literal["classifier", "regression", "one-class"]
    losses: Mapping[str, Loss]
    light_augmentation: bool = True
    smoothing: float = 0.0
    muon_from: int | None = None
    unsupported: frozenset[str] = frozenset()
    diagnosed: bool = False
    label_issues: bool = False
    ood: Literal["scores", "joint"] | None = "joint"
    small_from_scratch: bool = True
    tries_sizes: bool = True
    flips_checked: bool = False


@dataclass(frozen=True)
class Explained:
    """What heatmaps explain: `weights` (O,), the weighted sum of outputs that stands for the prediction of `target`.

    name: of the target. value: probability of it, or the number. predicted: the target is what the model predicts.
    opposite: of two exclusive classes the other, else "". score: from outputs (B, O) to how far each predicts the
    target (B,).
    """

    name: str
    value: float
    weights: Floats
    score: Callable[[Outputs], NDArray[np.floating]]
    predicted: bool = True
    opposite: str = ""


class Task(ABC):
    """What a model predicts. Subclasses are frozen dataclasses with a field `names`, of what is predicted.

    The defaults are those of numbers, learned as they are: a task with a link and a loss of its own states `name`,
    `words_used`, `training`, `output_names` and `activation`.
    """

    name: ClassVar[str]
    """Of the task: `--task NAME`, "task" in JSON and the card."""

    words_used: ClassVar[Words]
    training: ClassVar[Training]
    prediction: ClassVar[type[Any]] = OutputsPrediction
    """The dataclass of one prediction; its field `image` is first; `line(top, coverage, thing)` puts it into words."""

    evaluation: ClassVar[type[Evaluation]] = ErrorEvaluation
    """What `evaluate` returns."""

    counted: ClassVar[tuple[str, str]] = ("group", "groups")
    """What images are counted by in the audit, one and several."""

    imbalance_advice: ClassVar[str] = "balanced accuracy and per-class recall"
    needs_classes: ClassVar[bool] = False
    """Every class needs images enough to be split; else the classes are groups to spread evenly."""

    own_options: ClassVar[tuple[str, ...]] = ()
    """Options of training that only this task reads, by their field."""

    predict_options: ClassVar[frozenset[str]] = frozenset()
    """Options of `predict` that mean something: of top, coverage, sets."""

    exclusive: ClassVar[bool] = False
    """An image is of exactly one of the names; their probabilities sum to 1."""

    probabilistic: ClassVar[bool] = True
    """Decoded outputs are probabilities in [0, 1]."""

    faithfulness: ClassVar[bool] = True
    """Faithfulness of heatmaps can be measured by blurring places."""

    localises: ClassVar[bool] = False
    """Names can be looked for at places of an image, by `locate`."""

    any_classes: ClassVar[str | None] = None
    """The splits of a folder may hold different classes, and images in no class folder are of this one."""

    studio: ClassVar[str] = "generic"
    """The view of predictions in the studio: classes, labels, numbers, anomalies or generic."""

    reader: ClassVar[str] = "outputs"
    """What makes predictions of an exported file's outputs, by name in `exporting.runtime.READERS`."""

    names: tuple[str, ...]

    # Data: methods of the class, before a model exists.

    @classmethod
    def claims(cls, stated: Stated) -> bool:
        """Whether data looks like this task where the user names none."""
        return False

    @classmethod
    def read(cls, listing: Listing, options: TaskOptions) -> Dataset:
        """The data set of what a source lists, columns of numbers; DataError where it does not suit the task."""
        stated = listing.stated
        names, numbers = stated.as_numbers()
        values = numbers.astype(np.float32)
        require_finite(values, names, stated.origin)
        labels, classes = tenths(cls.order(values), names[0])
        return Dataset(
            listing.name, listing.source, labels, classes, listing.given, stated.origin, cls, groups=listing.groups,
            notes=listing.notes, names=names, values=values,
        )  # fmt: skip

    @classmethod
    def order(cls, values: NDArray[np.float32]) -> Floats:
        """The number (N,) whose range is spread evenly over the splits, of targets (N, T)."""
        return values[:, 0].astype(np.float64)

    @classmethod
    def learnable(cls, dataset: Dataset) -> NDArray[np.bool_]:
        """Which images may be learned from (N,)."""
        return np.ones(len(dataset), bool)

    @classmethod
    def only_tested(cls, dataset: Dataset) -> NDArray[np.bool_]:
        """Which of the others join the test split (N,)."""
        return np.zeros(len(dataset), bool)

    @classmethod
    def words(cls, dataset: Dataset, i: int) -> str:
        """What image i shows, in words: its class where labels say it all, else its numbers, with their names where
        there are several.
        """
        if dataset.values is None:
            return dataset.classes[dataset.labels[i]] if dataset.labels[i] >= 0 else ""
        row = dataset.targets[i]
        if len(row) == 1:
            return f"{row[0]:.4g}"
        return ", ".join(f"{name} {value:.4g}" for name, value in zip(dataset.names, row, strict=True))

    @classmethod
    def describe(cls, dataset: Dataset) -> str:
        """What is to be predicted, in words; "" for what the classes say."""
        return ""

    @classmethod
    def balance(cls, dataset: Dataset, known: NDArray[np.int64]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Names that the known images are counted by, and how many each has."""
        return dataset.classes, np.bincount(dataset.labels[known], minlength=len(dataset.classes))

    @classmethod
    def findings(cls, dataset: Dataset) -> list[Finding]:
        """What the audit says of the targets."""
        return []

    @classmethod
    def check(cls, dataset: Dataset, config: Any) -> None:
        """Raise DataError or ConfigError for data that cannot be learned, and options that mean nothing for it. config:
        `pretrained` is False where training starts from random weights.
        """
        return

    @classmethod
    def notes(cls, dataset: Dataset, config: Any) -> list[tuple[str, str, str]]:
        """How data is read that the user left open: what, how, and why or what to say otherwise."""
        return []

    @classmethod
    def truth(cls, dataset: Dataset) -> NDArray[Any]:
        """The targets as `evaluate` takes them: (N, T), or labels (N,) of classes."""
        return dataset.targets

    # The task of one data set or model.

    @classmethod
    def of(cls, dataset: Dataset, train: NDArray[np.int64], options: TaskOptions) -> Self:
        """Before anything is learned. train: positions of the images that are learned from."""
        return cls.load(None, dataset.names, 1.0)

    @property
    def outputs(self) -> int:
        """Numbers O that the network gives for an image."""
        return len(self.names)

    @property
    def temperature(self) -> float:
        """What logits are divided by; 1 where the task knows no temperature."""
        return 1.0

    @property
    def largest_probability(self) -> float:
        """The largest that is given."""
        return 1.0

    @property
    def calibration_images(self) -> int:
        """Images that prediction sets or intervals were calibrated on; 0 where that is not known."""
        return 0

    def encode(self, dataset: Dataset) -> NDArray[np.float32] | None:
        """What a network learns (N, E), the targets themselves; None for the classes that labels say."""
        return dataset.targets

    def smoothed(self, encoded: Tensor, smoothing: float) -> Tensor:
        """Encoded targets (B, E), of which the share `smoothing` is spread over all names."""
        return encoded * (1 - smoothing) + smoothing / encoded.shape[1] if smoothing else encoded

    def head_targets(self, encoded: NDArray[np.float32]) -> Floats:
        """What a head is fitted to by least squares (N, O'), from encoded targets (N, E)."""
        return encoded.astype(np.float64)

    def training_score(self, outputs: Tensor, encoded: Tensor, loss: str) -> Tensor:
        """How right each image's outputs (B, O) are (B,), more is better, for curves: minus the loss."""
        return -self.training.losses[loss](outputs, encoded)

    def validation_score(self, outputs: Outputs, encoded: Tensor, loss: str) -> tuple[float, float]:
        """How good outputs (M, O) are on validation images with encoded targets (M, E); of two the larger is better."""
        score = float(self.training_score(torch.from_numpy(np.asarray(outputs)).float(), encoded, loss).mean())
        return score, score

    def calibrated(self, outputs: Outputs, truth: NDArray[Any]) -> Self:
        """The same with calibration fitted to outputs (M, O) of images that the network had not seen."""
        return self

    def with_operating_point(
        self, outputs: Outputs, truth: NDArray[Any], wishes: Wishes
    ) -> tuple[Self, tuple[str, ...]]:
        """The same, deciding as wished for, by outputs (M, O) of validation images; and what decides, in words.
        ConfigError where the task has no classes or labels to decide between.
        """
        raise ConfigError(
            "--costs, --min-precision and --min-recall decide between classes or labels",
            found=f"a model of {self.words_used.names[1]}", fix="leave them out",
        )  # fmt: skip

    def with_groups(self, metadata: Mapping[str, NDArray[np.str_]]) -> Self:
        """The same, knowing the metadata (M,) of the images that it was calibrated on, where it has a use for it."""
        return self

    def averaged(self) -> Self:
        """The same for outputs that are means over several images of one thing, such as the recordings of a speaker."""
        return self

    def decided(self, probabilities: Floats) -> NDArray[np.int64]:
        """Which name is predicted of each image (N,), from probabilities (N, K) of exclusive names."""
        return np.asarray(probabilities.argmax(1))

    @abstractmethod
    def activation(self) -> nn.Module:
        """From outputs (N, O) to what `output_names` says, the prediction first: the one definition of what outputs
        mean. Its buffers are float64; `decode` runs it so, and an exported file holds it in float32.
        """

    @property
    @abstractmethod
    def output_names(self) -> tuple[str, ...]:
        """Names of what `activation` gives, which are those of an exported file's outputs."""

    def decoded(self, outputs: Outputs) -> tuple[Floats, ...]:
        """What `activation` gives for outputs (N, O), in float64."""
        with torch.inference_mode():
            found = self._activation(torch.from_numpy(np.array(outputs, np.float64)))
        return tuple(part.numpy() for part in found)

    @cached_property
    def _activation(self) -> nn.Module:
        return self.activation().double().eval()

    def decode(self, outputs: Outputs) -> Floats:
        """What outputs (N, O) mean: probabilities, or numbers in the user's unit (N, T)."""
        return self.decoded(outputs)[0]

    def predictions(
        self, outputs: Outputs, images: Sequence[str], ood: OODScores | None, options: PredictOptions
    ) -> list[Any]:
        """A `prediction` for each image. images: what to call them. ood: None where no detector was fitted."""
        facts = [ood.facts(i) if ood is not None else {} for i in range(len(images))]
        named = dict(zip(self.output_names, self.decoded(outputs), strict=True))
        return list(outputs_predictions(named, self.names, images, facts))

    def prediction_sets(
        self, outputs: Outputs, ood: OODScores | None, options: PredictOptions
    ) -> NDArray[np.bool_] | None:
        """Which names the prediction set of each image holds (N, K); None where the task has no sets."""
        return None

    def set_notes(self, options: PredictOptions) -> tuple[str, ...]:
        """What a user should know of prediction sets with these options: those that are large for want of images."""
        return ()

    def evaluate(
        self,
        outputs: Outputs,
        truth: NDArray[Any],
        *,
        indices: NDArray[np.integer] | None = None,
        images: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
    ) -> Evaluation:
        """Metrics of outputs (N, O) against the truth. indices, images: positions and names of the images, to list
        mistakes by. groups: the class of each.
        """
        return evaluate_errors(self.decode(outputs), truth, self.names, indices=indices, images=images)

    def explained(self, outputs: Outputs, target: int | None) -> Explained:
        """What heatmaps explain of one image with outputs (O,): the output of the name at position `target`; else of
        the likeliest, or of the first number.
        """
        decoded = self.decode(outputs[None])[0]
        best = int(decoded.argmax()) if self.probabilistic else 0
        k = best if target is None else target
        return Explained(
            name=self.names[k],
            value=float(decoded[k]),
            weights=np.asarray(np.eye(len(outputs))[k]),
            score=lambda several: self.decode(several)[:, k],
            predicted=k == best or not self.probabilistic,
            opposite=self.names[1 - k] if self.exclusive and len(self.names) == 2 else "",
        )

    def explained_line(self, name: str, value: float) -> str:
        """A target and its value in words."""
        return f"{name} {probability(value)}" if self.probabilistic else f"{name} {value:.4g}"

    def unlike_line(self, line: str, percentile: float, predicted: bool) -> str:
        """A line about an image that is out of distribution."""
        return f"{line}  (out of distribution: {unlike_words(percentile)})"

    def index_of(self, target: str | bytes | int) -> int:
        """The index of a name, given as itself or as an index; ConfigError as `class_index`."""
        return class_index(target, self.names, self.words_used.names)

    def thresholds_found(self) -> Floats:
        """The probability from which each name counts as there (K,), for `locate`."""
        raise ModelError(
            f"a model of {self.words_used.names[1]} cannot locate anything", expected="a model of classes or of labels"
        )

    # Data for a finished model.

    def read_options(self) -> TaskOptions:
        """How other data is read for this model."""
        return TaskOptions(evaluating=True)

    def aligned(self, dataset: Dataset) -> NDArray[Any]:
        """The truth of a data set as this model numbers or orders its names; DataError for names it does not know."""
        if set(dataset.names) != set(self.names):
            raise DataError(
                "the targets of the data differ from those of the model",
                found=", ".join(dataset.names[:8]),
                expected=", ".join(self.names[:8]),
            )
        order = [dataset.names.index(name) for name in self.names]
        return np.asarray(dataset.targets[:, order])

    # Exported files.

    @property
    def parity_words(self) -> tuple[str, str]:
        """What two computations must agree on, and the quantity whose difference is measured."""
        return "prediction", self.output_names[0]

    def difference(self, expected: tuple[Outputs, ...], found: tuple[Outputs, ...]) -> Outputs:
        """The largest difference of two decoded outputs for each image (N,), where 1e-4 is rounding."""
        return np.asarray(np.abs(expected[0] - found[0]).max(axis=1))

    def same(self, expected: tuple[Outputs, ...], found: tuple[Outputs, ...]) -> NDArray[np.bool_]:
        """For which images both are the same prediction (N,)."""
        return np.asarray(self.difference(expected, found) <= BAR)

    def undecided(self, expected: tuple[Outputs, ...]) -> NDArray[np.bool_]:
        """For which images rounding may change the prediction (N,)."""
        return np.zeros(len(expected[0]), bool)

    int8_measure: ClassVar[tuple[str, bool] | None] = None
    """By what the loss of int8 is measured, and whether more is better; None where it cannot be."""

    def int8_score(self, found: tuple[Outputs, ...], truth: NDArray[Any]) -> float:
        """That measure of decoded outputs against the truth."""
        raise NotImplementedError

    def export_facts(self) -> dict[str, Any]:
        """What a program needs to use an exported file's outputs, for its card."""
        return {}

    # The card of the bundle, and of the server.

    def card(self) -> dict[str, Any] | None:
        """Plain values, from which `load` makes it again with names and temperature; None where these are all."""
        return None

    @classmethod
    def load(cls, card: Mapping[str, Any] | None, names: tuple[str, ...], temperature: float) -> Self:
        """From what `card` gave; KeyError or TypeError where something is missing."""
        return cls(names)  # type: ignore[call-arg]  # of the dataclass that it is

    def public_card(self) -> dict[str, Any] | None:
        """What a client of the server needs to know to read predictions, beside the names."""
        return None
