"""What a model predicts, as one object: `Task`, the base of every task.

A task owns everything that depends on what is predicted: how targets are read and encoded, the loss, what outputs mean,
predictions, metrics, calibration, what heatmaps explain, and the words and sections of reports. Nothing outside this
package asks which task a model has. Adding a task is one file with a class under `register_task`.

The class itself stands for the task of data that is not read yet (`Ordinal.read`, `Ordinal.of`); an instance is the
task of one data set or model, with names and calibration, and is kept in the bundle's card.

Shapes: N images, T targets as the data states them, E numbers a network learns of each, O outputs of a network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from clearsight.calibration.operating_points import Wishes
from clearsight.data.dataset import Dataset
from clearsight.data.targets import class_index
from clearsight.errors import ConfigError, DataError, ModelError
from clearsight.tasks.decoding import Decoding
from clearsight.tasks.error_evaluation import ErrorEvaluation, evaluate_errors
from clearsight.tasks.export_parity import BAR as BAR
from clearsight.tasks.export_parity import ExportParity
from clearsight.tasks.predict_options import COVERAGE as COVERAGE
from clearsight.tasks.predict_options import PredictOptions as PredictOptions
from clearsight.tasks.predictions import OutputsPrediction, outputs_predictions, unlike_words
from clearsight.tasks.target_reader import TargetReader
from clearsight.tasks.task_parts import Explained as Explained
from clearsight.tasks.task_parts import Floats as Floats
from clearsight.tasks.task_parts import Loss as Loss
from clearsight.tasks.task_parts import OODScores as OODScores
from clearsight.tasks.task_parts import Outputs as Outputs
from clearsight.tasks.task_parts import TaskOptions as TaskOptions
from clearsight.tasks.task_parts import Training as Training
from clearsight.tasks.words import Words as Words
from clearsight.wording import probability

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.tasks.evaluation import Evaluation


class Task(TargetReader, ExportParity, Decoding):
    """What a model predicts: the base of every task. Subclasses are frozen dataclasses with a field `names`.

    The defaults suit plain numbers. A task of its own sets `name`, `words_used`, `training`, `output_names` and
    `decoder`, and overrides what differs.
    """

    prediction: ClassVar[type[Any]] = OutputsPrediction
    """Dataclass of one prediction, with `image` as its first field and a method `line(top, coverage, thing)`."""

    evaluation: ClassVar[type[Evaluation]] = ErrorEvaluation
    """What `evaluate` returns."""

    own_options: ClassVar[tuple[str, ...]] = ()
    """Names of training options that only this task reads."""

    predict_options: ClassVar[frozenset[str]] = frozenset()
    """Options of `predict` that have an effect: some of top, coverage, sets."""

    exclusive: ClassVar[bool] = False
    """Each image has exactly one of the names; probabilities sum to 1."""

    probabilistic: ClassVar[bool] = True
    """Decoded outputs are probabilities in [0, 1]."""

    faithfulness: ClassVar[bool] = True
    """Faithfulness of heatmaps can be measured by blurring places."""

    localises: ClassVar[bool] = False
    """`locate` can find the names within an image."""

    any_classes: ClassVar[str | None] = None
    """Class of images outside class folders; the splits of a folder may then hold different classes."""

    studio: ClassVar[str] = "generic"
    """The view of predictions in the studio: classes, labels, numbers, anomalies or generic."""

    reader: ClassVar[str] = "outputs"
    """Key in `exporting.runtime.READERS` of the function that reads the outputs of an exported file."""

    names: tuple[str, ...]
    # The task of one data set or model.

    @classmethod
    def of(cls, dataset: Dataset, train: NDArray[np.int64], options: TaskOptions) -> Self:
        """The task of a data set, before training.

        Args:
            dataset: the data set.
            train: positions of the training images (n,).
            options: what the user states about the targets.

        Returns:
            The task, not calibrated.

        Raises:
            DataError: the targets contradict the options, such as their unit or range.
        """
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

    def drift_values(self, outputs: Outputs) -> NDArray[np.float64]:
        """One number per prediction, whose distribution is monitored in use: the index of the class, or the mean of
        the outputs.

        Args:
            outputs: outputs of the network (N, O).

        Returns:
            Numbers (N,).
        """
        found = np.asarray(outputs, np.float64)
        return found.argmax(1).astype(np.float64) if self.exclusive else np.asarray(found.mean(1))

    def encode(self, dataset: Dataset) -> NDArray[np.float32] | None:
        """What a network learns to output.

        Args:
            dataset: the data set of N images.

        Returns:
            Encoded targets (N, E), float32; None where labels give the classes.
        """
        return dataset.targets

    def smoothed(self, encoded: Tensor, smoothing: float) -> Tensor:
        """Label smoothing of encoded targets.

        Args:
            encoded: encoded targets (B, E).
            smoothing: share of the target spread over all names, in [0, 1).

        Returns:
            Smoothed targets (B, E).
        """
        return encoded * (1 - smoothing) + smoothing / encoded.shape[1] if smoothing else encoded

    def head_targets(self, encoded: NDArray[np.float32]) -> Floats:
        """What a linear head is fitted to by least squares.

        Args:
            encoded: encoded targets (N, E).

        Returns:
            Regression targets (N, O'), float64.
        """
        return encoded.astype(np.float64)

    def training_score(self, outputs: Tensor, encoded: Tensor, loss: str) -> Tensor:
        """A score of each image for training curves, larger is better: minus the loss by default.

        Args:
            outputs: outputs of the network (B, O).
            encoded: encoded targets (B, E).
            loss: name of the loss.

        Returns:
            Scores (B,).
        """
        return -self.training.losses[loss](outputs, encoded)

    def validation_score(self, outputs: Outputs, encoded: Tensor, loss: str) -> tuple[float, float]:
        """The score by which epochs and candidates are compared on validation images.

        Args:
            outputs: outputs of the network (M, O).
            encoded: encoded targets (M, E).
            loss: name of the loss.

        Returns:
            The score to show and the score to compare by; larger is better.
        """
        import torch

        score = float(self.training_score(torch.from_numpy(np.asarray(outputs)).float(), encoded, loss).mean())
        return score, score

    def calibrated(self, outputs: Outputs, truth: NDArray[Any]) -> Self:
        """The task with calibration fitted to images that the network was not trained on.

        Args:
            outputs: outputs of the network (M, O).
            truth: the true targets, as `evaluate` takes them.

        Returns:
            The calibrated task.
        """
        return self

    def with_operating_point(
        self, outputs: Outputs, truth: NDArray[Any], wishes: Wishes
    ) -> tuple[Self, tuple[str, ...]]:
        """The task with an operating point chosen on validation images.

        Args:
            outputs: outputs of the network (M, O).
            truth: the true targets, as `evaluate` takes them.
            wishes: costs, least precision or least recall asked for.

        Returns:
            The task with its operating point, and lines that describe the decision rule.

        Raises:
            ConfigError: the task has no classes or labels to decide between.
        """
        raise ConfigError(
            "--costs, --min-precision and --min-recall require a model that predicts classes or labels",
            found=f"a model that predicts {self.words_used.names[1]}", fix="leave them out",
        )  # fmt: skip

    def with_groups(self, metadata: Mapping[str, NDArray[np.str_]]) -> Self:
        """The task with the metadata of its calibration images, for coverage within groups.

        Args:
            metadata: columns (M,) by name.

        Returns:
            The task; unchanged if it has no use for metadata.
        """
        return self

    def averaged(self) -> Self:
        """The same task for outputs that are means over several images of one thing, such as recordings of a speaker.

        Returns:
            The task; unchanged if means are treated like single outputs.
        """
        return self

    def decided(self, probabilities: Floats) -> NDArray[np.int64]:
        """The name predicted for each image.

        Args:
            probabilities: probabilities (N, K) of exclusive names.

        Returns:
            Indices of the names (N,).
        """
        return np.asarray(probabilities.argmax(1))

    def predictions(
        self, outputs: Outputs, images: Sequence[str], ood: OODScores | None, options: PredictOptions
    ) -> list[Any]:
        """The prediction for each image.

        Args:
            outputs: outputs of the network (N, O).
            images: names of the N images.
            ood: OOD scores of the images; None without an OOD detector.
            options: options of `predict`, such as the coverage of prediction sets.

        Returns:
            One instance of `prediction` per image.
        """
        facts = [ood.facts(i) if ood is not None else {} for i in range(len(images))]
        named = dict(zip(self.output_names, self.decoded(outputs), strict=True))
        return list(outputs_predictions(named, self.names, images, facts))

    def prediction_sets(
        self, outputs: Outputs, ood: OODScores | None, options: PredictOptions
    ) -> NDArray[np.bool_] | None:
        """The prediction set of each image.

        Args:
            outputs: outputs of the network (N, O).
            ood: OOD scores of the images; None without an OOD detector.
            options: coverage and method of the sets.

        Returns:
            Boolean array (N, K), True for names in the set; None if the task has no prediction sets.
        """
        return None

    def set_notes(self, options: PredictOptions) -> tuple[str, ...]:
        """Warnings about prediction sets with these options.

        Args:
            options: coverage and method of the sets.

        Returns:
            Lines of text, such as a note on sets that are large for lack of calibration images.
        """
        return ()

    def notes_on(self, predictions: Sequence[Any], options: PredictOptions) -> tuple[str, ...]:
        """What holds for all predictions of a command, and is therefore stated once below them.

        Args:
            predictions: of the task's own kind.
            options: the coverage.

        Returns:
            Lines of text; none by default.
        """
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
        """Metrics on images with known targets.

        Args:
            outputs: outputs of the network (N, O).
            truth: class indices (N,), or targets (N, T).
            indices: positions of the images in the data set (N,), for the list of mistakes; None counts from 0.
            images: names of the N images.
            groups: class name of each image, for scores by class.

        Returns:
            The evaluation, an instance of `evaluation`.
        """
        return evaluate_errors(self.decode(outputs), truth, self.names, indices=indices, images=images)

    def explained(self, outputs: Outputs, target: int | None) -> Explained:
        """What a heatmap of one image explains.

        Args:
            outputs: outputs of the network (O,).
            target: index of the name to explain; None for the most probable name, or the first number.

        Returns:
            The target, its value and the weights of the outputs.
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
        """A target and its value in words.

        Args:
            name: name of the target.
            value: probability, 0 to 1, or number.

        Returns:
            One line of text.
        """
        return f"{name} {probability(value)}" if self.probabilistic else f"{name} {value:.4g}"

    def unlike_line(self, line: str, percentile: float, predicted: bool) -> str:
        """Add to a line that the image is out of distribution.

        Args:
            line: the line about the image.
            percentile: share of known images with a lower OOD score, 0 to 1.
            predicted: the line is about the model's prediction.

        Returns:
            One line of text.
        """
        return f"{line}  (out of distribution: {unlike_words(percentile)})"

    def index_of(self, target: str | bytes | int) -> int:
        """The index of a name.

        Args:
            target: the name, or its index.

        Returns:
            The index, from 0.

        Raises:
            ConfigError: there is no such name or index; similar names are suggested.
        """
        return class_index(target, self.names, self.words_used.names)

    def thresholds_found(self) -> Floats:
        """Probability thresholds for `locate`.

        Returns:
            The probability from which each name counts as present (K,).

        Raises:
            ModelError: the task cannot locate anything.
        """
        raise ModelError(
            f"a model that predicts {self.words_used.names[1]} cannot locate objects",
            expected="a model that predicts classes or labels",
        )

    # Data for a finished model.

    def read_options(self) -> TaskOptions:
        """Options that read other data as this model needs it.

        Returns:
            What `read` takes as its options.
        """
        return TaskOptions(evaluating=True)

    def aligned(self, dataset: Dataset) -> NDArray[Any]:
        """The true targets of a data set in the order of this model's names.

        Args:
            dataset: a data set of the same task.

        Returns:
            Targets as `evaluate` takes them.

        Raises:
            DataError: the data has names that the model does not know.
        """
        if set(dataset.names) != set(self.names):
            raise DataError(
                "the targets of the data differ from those of the model",
                found=", ".join(dataset.names[:8]),
                expected=", ".join(self.names[:8]),
            )
        order = [dataset.names.index(name) for name in self.names]
        return np.asarray(dataset.targets[:, order])

    # The card of the bundle, and of the server.

    def card(self) -> dict[str, Any] | None:
        """Plain values from which `load` restores the task.

        Returns:
            A dictionary for JSON; None if names and temperature suffice.
        """
        return None

    @classmethod
    def load(cls, card: Mapping[str, Any] | None, names: tuple[str, ...], temperature: float) -> Self:
        """Restore a task from its card.

        Args:
            card: what `card` returned.
            names: the model's names.
            temperature: the number that logits are divided by, above 0.

        Returns:
            The task.

        Raises:
            KeyError: a value is missing.
            TypeError: a value has the wrong type.
        """
        return cls(names)  # type: ignore[call-arg]  # of the dataclass that it is

    def public_card(self) -> dict[str, Any] | None:
        """What a client of the server needs besides the names to read predictions.

        Returns:
            Plain values for JSON; None if there is nothing to add.
        """
        return None
