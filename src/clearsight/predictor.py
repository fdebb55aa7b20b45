"""The only road from images to answers: evaluation, explanation, attack and serving all go through a Predictor."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.bundle import Bundle
from clearsight.calibration.prediction_sets import Method
from clearsight.data.cache import Progress, threaded
from clearsight.data.decode import decode
from clearsight.data.inputs import ImageInputs, as_images, fits
from clearsight.data.loader import to_float
from clearsight.data.pixels import MAX_PIXELS, Pixels, quiet_pillow
from clearsight.data.sound import check_length, is_sound
from clearsight.errors import ConfigError, DataError, ImageError, ModelError, UnsuitedError
from clearsight.models.base import ModelNetwork, components
from clearsight.models.execution import BATCH, Engine, Hint, device_of, engine_for, on_device
from clearsight.models.network import Backbone, LayerOutput
from clearsight.ood.pixel_statistics import pixel_statistics
from clearsight.tasks import OODScores, PredictOptions
from clearsight.tasks.predict_options import check_coverage
from clearsight.tasks.task import COVERAGE

Images = Any
"""What `clearsight.data.inputs` recognises: paths, patterns, folders, bytes, PIL images, arrays, tensors, and lists of
these.
"""


@dataclass(frozen=True)
class ModelOutput:
    """What a model makes of N images: logits (N, K), features below the head (N, D), and simple statistics of their
    pixels (N, S).
    """

    logits: NDArray[np.float32]
    features: NDArray[np.float32]
    statistics: NDArray[np.float32]


class Predictor:
    """A bundle at work.

    engine: "auto" takes OpenVINO for much work on a CPU and PyTorch otherwise; "torch" or "openvino" fix it. The
    engines agree within 1e-4 in logits; one engine gives the same bits for the same batch of images.
    device: "cpu", "cuda", or "auto" for a GPU where there is one.
    hint: "latency" where answers are waited for one by one, as in serving.
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
        """Pickles hold the model's folder: its weights as safetensors."""
        return _unpickled, (self.bundle.to_bytes(), self.engine, self.device, self.hint)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.bundle.classes

    @cached_property
    def differentiable(self) -> ModelNetwork:
        """The network where gradients are to be taken: itself on a CPU, a copy on a GPU."""
        return on_device(self.network, self.device)

    @property
    def has_gradients(self) -> bool:
        """Whether the answer follows from the pixels by steps that have gradients: not that of trees, neighbours or
        classical descriptors.
        """
        return all(component.differentiable for _, component in components(self.network))

    @property
    def localises(self) -> bool:
        """Whether the model itself says where in an image its answer comes from, as some detectors of anomalies do."""
        return self.network.localises

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the network's input."""
        return self.bundle.form.channels, self.bundle.geometry.height, self.bundle.geometry.width

    def prepare(self, images: int) -> int:
        """Choose the engine for so many images to come, in however many calls; "auto" looks at one call alone else. The
        number of batches that it works on side by side.
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
        """The answer for each image; ImageError for an image that cannot be read.

        coverage: the share of prediction sets, or of intervals around numbers, that hold the truth; ConfigError outside
        (0, 1). sets: method of prediction sets, see `calibration.prediction_sets`. by_class: sets hold the truth with
        this probability within each class, not only on average over all images. back_off: the probability that the
        predicted class or parent of it reaches, where classes stand in a tree. group: a metadata column and the value
        of all these images, within which sets hold the truth.
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
        """One prediction for several images of one thing, such as the recordings of a speaker: of their mean output.

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
        """The predictions for images, so named, from the model's output; the options are those of `predict`."""
        check_coverage(coverage)
        options = PredictOptions(coverage, sets, by_class, back_off, group)
        return self.bundle.task.predictions(output.logits, list(names), self.ood(output), options)

    def ood(self, output: ModelOutput) -> OODScores | None:
        """How unlike the training images each image is; None where no detector was fitted."""
        detector = self.bundle.ood_detector
        if detector is None:
            return None
        percentile, flagged, score = detector.detect(output.logits, output.features, output.statistics)
        return OODScores(percentile, flagged, detector, score)

    def detect_ood(self, images: Images) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The OOD percentile of each image, the share of known images with a lower score (N,), and whether it is out of
        distribution (N,). ModelError for a model without an OOD detector.
        """
        found = self.ood(self.forward(images))
        if found is None:
            raise ModelError("this model has no OOD detector", fix="train it again with this version")
        return found.percentile, found.flagged

    def forward(self, images: Images, progress: Progress | None = None) -> ModelOutput:
        """Logits, features and pixel statistics of all images, in one pass."""
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
        """Calibrated probabilities (N, K) of each class or label, or of an anomaly (N, 1). ModelError for a model that
        predicts none.
        """
        if not self.bundle.task.probabilistic:
            raise ModelError(
                "this model gives numbers, not probabilities", fix="ask `values` in place of predict_proba"
            )
        return self.decoded_outputs(images, progress)

    def probabilities_and_ood(self, images: Images) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
        """Probabilities (N, K), and which images are out of distribution (N,), in one pass; None in place of these
        where no detector was fitted.
        """
        output = self.forward(images)
        found = self.ood(output)
        return self.bundle.task.decode(output.logits), None if found is None else found.flagged

    def values(self, images: Images, progress: Progress | None = None) -> NDArray[np.float64]:
        """The numbers (N, T), in the unit of the training data; probabilities of labels for a model of those.
        ModelError for a classifier.
        """
        if self.bundle.task.exclusive:
            raise ModelError("this model gives classes, not numbers", fix="ask `predict_proba` in place of values")
        return self.decoded_outputs(images, progress)

    def decoded_outputs(self, images: Images, progress: Progress | None = None) -> NDArray[np.float64]:
        """What is predicted, as an array (N, T): probabilities, or numbers."""
        return self.bundle.task.decode(self.logits(images, progress))

    def classifies(self, what: str) -> None:
        """UnsuitedError where the model does not give one class per image, which `what` is about."""
        task = self.bundle.task
        if not task.needs_classes:
            raise UnsuitedError(f"{what} is for models that give one class per image", found=f"a model of {task.name}")

    def viewed(self, images: Images, view: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> NDArray[np.float64]:
        """Calibrated class probabilities (N, K) of a view of each image: a function of batches (B, C, H, W)."""
        return np.concatenate([self.predict_proba(np.ascontiguousarray(view(batch))) for batch in self.pixels(images)])

    def logits(self, images: Images, progress: Progress | None = None) -> NDArray[np.float32]:
        """Outputs of the network before the temperature (N, K)."""
        return self._run(images, "logits", progress)

    def embed(self, images: Images, progress: Progress | None = None) -> NDArray[np.float32]:
        """Features below the head (N, D)."""
        return self._embedder._run(images, "features", progress)

    def embeddings(self, images: Images, layer: str = "") -> Iterator[NDArray[np.float32]]:
        """Embeddings of all images, a batch (B, D) at a time. layer: name of a module, whose output is averaged over
        its positions; "" is the features below the head. ModelError names near layers for an unknown one.
        """
        given = self.inputs(images)
        total = len(given)
        if not total:
            raise DataError("there are no images to look at", found="an empty list or array")
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
            raise DataError("there are no images to look at", found="an empty list or array")
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

    def inputs(self, images: Images, count: int | None = None) -> ImageInputs:
        """The images in one form, with their names; see `clearsight.data.inputs` for all that is recognised. An
        iterator is read to its end, so ask once and pass the result on. count: how many there must be, where that is
        known: an array of three gray images is then distinguished from one colour image.
        """
        return as_images(images, count=count, shape=self.shape)

    def names(self, images: Images) -> list[str]:
        """What to call each image: its path, or its number."""
        return self.inputs(images).names

    def originals(self, images: Images) -> Iterator[NDArray[Any]]:
        """Each image at its own size, in the form the network wants: (C, H, W) uint8 or uint16."""
        given = self.inputs(images)
        yield from (given.original(i, self.bundle.form) for i in range(len(given)))

    def decoded(self, content: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Pixels:
        """The pixels of a file as the network sees them; ImageError for what is not an image or sound, for a sound
        where the model learned from images alone, and the other way round, and for one much longer or shorter than
        those.
        """
        learned, sound = self.bundle.data.get("media", "both"), is_sound(content, name)
        if learned == ("images" if sound else "sounds"):
            raise ImageError(
                f"{name} is {'a sound' if sound else 'no sound'}", found=f"a model that learned from {learned}",
                expected="images" if sound else "WAV files",
            )  # fmt: skip
        known = self.bundle.data.get("sound", {}).get("columns")
        if sound and known and self.bundle.geometry.resize_mode == "squash":
            check_length(content, name, tuple(known))
        return decode(content, name, self.bundle.form, self.bundle.geometry, max_pixels)

    def pixels(self, images: Images) -> Iterable[NDArray[np.float32]]:
        """The images as the network sees them: batches (B, C, H, W) float32 in [0, 1]."""
        given = self.inputs(images)
        ready = given.ready(self.shape, self.bundle.form)
        if ready is None:
            yield from _grouped(threaded(lambda i: self._decoded(given, i), range(len(given))))
            return
        for start in range(0, len(ready), BATCH):
            yield to_float(ready[start : start + BATCH]).numpy()

    def _decoded(self, given: ImageInputs, i: int) -> NDArray[Any]:
        """One image as the network sees it (C, H, W): integers, or the floats that were given in the network's size."""
        content, item = given.content(i), given.items[i]
        if content is not None:
            return self.decoded(content, given.name(i))
        if isinstance(item, np.ndarray) and fits(item, self.shape, self.bundle.form):
            return item
        return given.decode(i, self.bundle.form, self.bundle.geometry)


def _unpickled(content: bytes, engine: str, device: str, hint: Hint) -> Predictor:
    return Predictor(Bundle.from_bytes(content), engine=engine, device=device, hint=hint)


def _grouped(images: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
    pending: list[NDArray[Any]] = []
    for image in images:
        pending.append(image)
        if len(pending) == BATCH:
            yield _batch(pending)
            pending = []
    if pending:
        yield _batch(pending)


def _batch(images: list[NDArray[Any]]) -> NDArray[np.float32]:
    """Images of any types as one batch (B, C, H, W) float32 in [0, 1]."""
    if len({image.dtype for image in images}) == 1:
        return np.asarray(to_float(np.stack(images)).numpy())
    return np.stack([to_float(image).numpy() for image in images])
