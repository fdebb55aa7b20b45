"""The only road from images to answers: evaluation, explanation, attack and serving all go through a Predictor."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.bundle import Bundle
from clearsight.bundle.image_reader import ImageReader
from clearsight.bundle.image_reader import Images as Images
from clearsight.calibration.prediction_sets import Method
from clearsight.data.cache import Progress
from clearsight.data.inputs import ImageInputs
from clearsight.data.pixels import quiet_pillow
from clearsight.errors import BundleError, ConfigError, DataError, ModelError, UnsuitedError
from clearsight.models.base import ModelNetwork, components
from clearsight.models.execution import Engine, Hint, device_of, engine_for, on_device
from clearsight.models.layer_probe import LayerOutput
from clearsight.models.network import Backbone
from clearsight.ood.pixel_statistics import pixel_statistics
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


class Predictor(ImageReader):
    """A bundle in use: prediction, embeddings and OOD scores of images.

    The engines agree within 1e-4 in logits; one engine gives the same bits for the same batch of images.

    Args:
        bundle: the model.
        engine: "torch", "openvino", or "auto" for OpenVINO if there is much work for a CPU and PyTorch otherwise.
        device: "cpu", "cuda", or "auto" for a GPU if there is one.
        hint: "latency" if images come one by one, as in serving; else "throughput".

    Raises:
        ConfigError: unknown engine or device.
    """

    def __init__(
        self, bundle: Bundle, *, engine: str = "auto", device: str = "auto", hint: Hint = "throughput"
    ) -> None:
        if engine not in ("auto", "torch", "openvino"):
            raise ConfigError(f"unknown engine {engine!r}", expected="auto, torch or openvino")
        self.bundle, self.engine, self.device, self.hint = bundle, engine, device_of(device), hint
        self.network = bundle.network.cpu().eval()
        self._engines: dict[str, Engine] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles contain the model's folder, with its weights as safetensors.

        Returns:
            The function that restores the predictor, and its arguments.
        """
        return _unpickled, (self.bundle.to_bytes(), self.engine, self.device, self.hint)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names."""
        return self.bundle.classes

    @cached_property
    def differentiable(self) -> ModelNetwork:
        """The network for gradients.

        Returns:
            The network itself on a CPU, a copy on a GPU.
        """
        return on_device(self.network, self.device)

    @property
    def has_gradients(self) -> bool:
        """Whether the outputs have gradients with respect to the pixels: not for trees, nearest neighbours or classical
        descriptors.
        """
        return all(component.differentiable for _, component in components(self.network))

    @property
    def localises(self) -> bool:
        """Whether the model itself locates its prediction in an image, as some anomaly models do."""
        return self.network.localises

    def prepare(self, images: int) -> int:
        """Choose the engine for a number of images, in however many calls they come.

        Without it, "auto" considers each call alone.

        Args:
            images: number of images.

        Returns:
            Number of batches that the engine processes side by side.
        """
        return self._engine(images).lanes

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

    def classifies(self, what: str) -> None:
        """Require a model of one class per image.

        Args:
            what: the feature that needs it, for the error message.

        Raises:
            UnsuitedError: the model does not predict one class per image.
        """
        task = self.bundle.task
        if not task.needs_classes:
            raise UnsuitedError(
                f"{what} needs a model with one class per image", found=f"a model trained with --task {task.name}"
            )

    def viewed(self, images: Images, view: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> NDArray[np.float64]:
        """Calibrated class probabilities of a transformed version of each image.

        Args:
            images: images in any form.
            view: function of batches (B, C, H, W) in [0, 1].

        Returns:
            Probabilities (N, K).
        """
        return np.concatenate([self.predict_proba(np.ascontiguousarray(view(batch))) for batch in self.pixels(images)])

    def logits(self, images: Images, progress: Progress | None = None) -> NDArray[np.float32]:
        """Outputs of the network before calibration.

        Args:
            images: images in any form.
            progress: called as progress(done, total); None for none.

        Returns:
            Logits (N, K), float32.
        """
        return self._run(images, "logits", progress)

    def embed(self, images: Images, progress: Progress | None = None) -> NDArray[np.float32]:
        """Features below the head.

        Args:
            images: images in any form.
            progress: called as progress(done, total); None for none.

        Returns:
            Features (N, D), float32.
        """
        return self._embedder._run(images, "features", progress)

    def embeddings(self, images: Images, layer: str = "") -> Iterator[NDArray[np.float32]]:
        """Embeddings of all images, batch by batch.

        Args:
            images: images in any form.
            layer: name of a module whose output is averaged over positions; "" for the features below the head.

        Yields:
            Embeddings (B, D).

        Raises:
            ModelError: there is no such layer; similar names are suggested.
            DataError: there are no images.
        """
        given = self.inputs(images)
        total = len(given)
        if not total:
            raise DataError("there are no images", found="an empty list or array")
        with quiet_pillow():
            if not layer:
                embedder = self._embedder
                for outputs in embedder._engine(total).stream(embedder.pixels(given)):
                    yield embedder._finish(outputs)[1]
                return
            network = LayerOutput(self.network, layer)
            engine = engine_for(network, self.shape, total, self.device, self.engine)
            for outputs in engine.stream(self.pixels(given)):
                yield outputs[0]

    @cached_property
    def _embedder(self) -> Predictor:
        """What features are asked of: of several networks that answer together the first alone, whose they are."""
        network = self.network.embedding_network
        if network is self.network:
            return self
        return Predictor(replace(self.bundle, network=network), engine=self.engine, device=self.device, hint=self.hint)

    @cached_property
    def _core(self) -> torch.nn.Module:
        return Backbone(self.network)

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

    def _outputs(self, images: ImageInputs, statistics: bool = True) -> Iterator[ModelOutput]:
        """All images, a batch at a time, with the statistics of their pixels where asked for."""
        total = len(images)
        if not total:
            raise DataError("there are no images", found="an empty list or array")
        pending: deque[NDArray[np.float32]] = deque()

        def watched() -> Iterator[NDArray[np.float32]]:
            for batch in self.pixels(images):
                pending.append(pixel_statistics(batch) if statistics else batch[:0])
                yield batch

        with quiet_pillow():
            for outputs in self._engine(total).stream(watched()):
                yield ModelOutput(*self._finish(outputs), pending.popleft())

    def _finish(self, outputs: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with torch.inference_mode():
            logits, features = self.network.finish([torch.from_numpy(output) for output in outputs])
        if not bool(logits.isfinite().all()):  # the weights are, but huge ones overflow
            raise BundleError(
                "the outputs of the network are not finite", found="NaN or infinite numbers",
                fix="train again, or restore the model from a backup",
            )  # fmt: skip
        return logits.numpy(), features.numpy()

    def _engine(self, images: int) -> Engine:
        name = self.engine
        if name == "auto" and "openvino" in self._engines:
            name = "openvino"
        if name == "auto":
            made = engine_for(self._core, self.shape, images, self.device, hint=self.hint)
            name = "torch" if type(made).__name__ == "TorchEngine" else "openvino"
            return self._engines.setdefault(name, made)
        if name not in self._engines:
            self._engines[name] = engine_for(self._core, self.shape, images, self.device, name, self.hint)
        return self._engines[name]


def _unpickled(content: bytes, engine: str, device: str, hint: Hint) -> Predictor:
    return Predictor(Bundle.from_bytes(content), engine=engine, device=device, hint=hint)
