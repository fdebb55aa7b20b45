"""What follows from the outputs of a model, whatever computes them: predictions, OOD scores, probabilities, values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.bundle.image_reader import ImageReader
from clearsight.bundle.image_reader import Images as Images
from clearsight.calibration.prediction_sets import Method
from clearsight.data.cache import Progress
from clearsight.data.inputs import ImageInputs
from clearsight.errors import ModelError
from clearsight.tasks import OODScores, PredictOptions
from clearsight.tasks.predict_options import check_coverage
from clearsight.tasks.task import COVERAGE


@dataclass(frozen=True)
class ModelOutput:
    """The outputs of a model for N images: logits (N, K), features below the head (N, D), and simple statistics of
    their pixels (N, S).
    """

    logits: NDArray[np.float32]
    features: NDArray[np.float32]
    statistics: NDArray[np.float32]


class BasePredictor(ImageReader):
    """Base of predictors: everything but the computation of outputs, in `_outputs`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names."""
        return self.bundle.classes

    def predict(
        self,
        images: Images,
        progress: Progress | None = None,
        *,
        coverage: float = COVERAGE,
        sets: Method = "lac",
        by_class: bool = False,
        back_off: float = PredictOptions.back_off,
        group: tuple[str, str] | None = None,
    ) -> list[Any]:
        """The prediction for each image.

        Args:
            images: images in any form.
            progress: called as progress(done, total); None for none.
            coverage: coverage of prediction sets or intervals, in (0, 1).
            sets: method of prediction sets: "lac", "aps" or "raps".
            by_class: coverage holds within each class, not only on average.
            back_off: probability that the predicted class or its parent reaches, if classes form a tree.
            group: a metadata column and the value that all images have in it; coverage then holds within this group.

        Returns:
            One prediction per image.

        Raises:
            ImageError: an image cannot be read.
            ConfigError: an option is out of range.
        """
        given = self.inputs(images)
        names = given.names
        predictions: list[Any] = []
        for output in self._outputs(given):
            own = names[len(predictions) : len(predictions) + len(output.logits)]
            predictions += self.predictions_of(output, own, coverage, sets, by_class, back_off, group)
            if progress:
                progress(len(predictions), len(names))
        return predictions

    def predict_average(self, images: Images, name: str = "") -> Any:
        """Predict several images of one thing, such as the recordings of a speaker, from their mean output.

        Args:
            images: as `predict` takes them.
            name: what the prediction says it is of.

        Returns:
            The prediction, without a statement on images that are out of distribution.
        """
        mean = self.logits(images).mean(0, keepdims=True)
        return self.bundle.task.averaged().predictions(mean, [name], None, PredictOptions())[0]

    def predictions_of(
        self,
        output: ModelOutput,
        names: Sequence[str],
        coverage: float = COVERAGE,
        sets: Method = "lac",
        by_class: bool = False,
        back_off: float = PredictOptions.back_off,
        group: tuple[str, str] | None = None,
    ) -> list[Any]:
        """Predictions from the output of the model.

        Args:
            output: the output for the images.
            names: names of the images.
            coverage: as for `predict`.
            sets: as for `predict`.
            by_class: as for `predict`.
            back_off: as for `predict`.
            group: as for `predict`.

        Returns:
            One prediction per image.
        """
        check_coverage(coverage)
        options = PredictOptions(coverage, sets, by_class, back_off, group)
        return self.bundle.task.predictions(output.logits, list(names), self.ood(output), options)

    def ood(self, output: ModelOutput) -> OODScores | None:
        """OOD scores of each image.

        Args:
            output: the output for the images.

        Returns:
            OOD scores; None without an OOD detector.
        """
        detector = self.bundle.ood_detector
        if detector is None:
            return None
        percentile, flagged, score = detector.detect(output.logits, output.features, output.statistics)
        return OODScores(percentile, flagged, detector, score)

    def detect_ood(self, images: Images) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Which images are out of distribution.

        Args:
            images: images in any form.

        Returns:
            OOD percentile (N,), the share of known images with a lower score, and a boolean array (N,).

        Raises:
            ModelError: the model has no OOD detector.
        """
        found = self.ood(self.forward(images))
        if found is None:
            raise ModelError(
                "this model has no OOD detector", fix="train the model again with this version of Clearsight"
            )
        return found.percentile, found.flagged

    def forward(self, images: Images, progress: Progress | None = None) -> ModelOutput:
        """Run the model once on all images.

        Args:
            images: images in any form.
            progress: called as progress(done, total); None for none.

        Returns:
            Logits (N, K), features (N, D) and pixel statistics (N, S).
        """
        given = self.inputs(images)
        total, found, done = len(given), [], 0
        for look in self._outputs(given):
            found.append(look)
            done += len(look.logits)
            if progress:
                progress(done, total)
        return ModelOutput(
            *(np.concatenate([getattr(f, name) for f in found]) for name in ("logits", "features", "statistics"))
        )

    def predict_proba(self, images: Images, progress: Progress | None = None) -> NDArray[np.float64]:
        """Calibrated probabilities.

        Args:
            images: images in any form.
            progress: called as progress(done, total); None for none.

        Returns:
            Probabilities (N, K) of classes or labels, or (N, 1) of an anomaly.

        Raises:
            ModelError: the model predicts numbers.
        """
        if not self.bundle.task.probabilistic:
            raise ModelError(
                "this model predicts numeric targets, not probabilities", fix="use `values` instead of `predict_proba`"
            )
        return self.decoded_outputs(images, progress)

    def probabilities_and_ood(self, images: Images) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
        """Probabilities and out-of-distribution images in one pass.

        Args:
            images: images in any form.

        Returns:
            Probabilities (N, K), and a boolean array (N,), None without an OOD detector.
        """
        output = self.forward(images)
        found = self.ood(output)
        return self.bundle.task.decode(output.logits), None if found is None else found.flagged

    def values(self, images: Images, progress: Progress | None = None) -> NDArray[np.float64]:
        """Predicted numbers.

        Args:
            images: images in any form.
            progress: called as progress(done, total); None for none.

        Returns:
            Numbers (N, T) in the unit of the training data; probabilities for a model of labels.

        Raises:
            ModelError: the model is a classifier.
        """
        if self.bundle.task.exclusive:
            raise ModelError(
                "this model predicts classes, not numeric targets", fix="use `predict_proba` instead of `values`"
            )
        return self.decoded_outputs(images, progress)

    def decoded_outputs(self, images: Images, progress: Progress | None = None) -> NDArray[np.float64]:
        """Predictions as an array.

        Args:
            images: images in any form.
            progress: called as progress(done, total); None for none.

        Returns:
            Probabilities or numbers (N, T).
        """
        return self.bundle.task.decode(self.logits(images, progress))

    def logits(self, images: Images, progress: Progress | None = None) -> NDArray[np.float32]:
        """Outputs of the network before calibration.

        Args:
            images: images in any form.
            progress: called as progress(done, total); None for none.

        Returns:
            Logits (N, K), float32.
        """
        return self._run(images, "logits", progress)

    @abstractmethod
    def embed(self, images: Images, progress: Progress | None = None) -> NDArray[np.float32]:
        """Features below the head.

        Args:
            images: images in any form.
            progress: called as progress(done, total); None for none.

        Returns:
            Features (N, D), float32.
        """

    def _run(self, images: Images, output: str, progress: Progress | None) -> NDArray[np.float32]:
        """The logits or the features of all images, a batch at a time."""
        given = self.inputs(images)
        total = len(given)
        found = []
        done = 0
        for look in self._outputs(given, statistics=False):
            found.append(getattr(look, output))
            done += len(found[-1])
            if progress:
                progress(done, total)
        return np.concatenate(found)

    @abstractmethod
    def _outputs(self, images: ImageInputs, statistics: bool = True) -> Iterator[ModelOutput]:
        """All images, a batch at a time, with the statistics of their pixels where asked for."""
