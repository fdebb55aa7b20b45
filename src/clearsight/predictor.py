"""The only road from images to answers: evaluation, explanation, attack and serving all go through a Predictor."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.base_predictor import BasePredictor
from clearsight.base_predictor import Images as Images
from clearsight.base_predictor import ModelOutput as ModelOutput
from clearsight.bundle import Bundle
from clearsight.data.cache import Progress
from clearsight.data.inputs import ImageInputs
from clearsight.data.pixels import quiet_pillow
from clearsight.errors import BundleError, ConfigError, DataError, UnsuitedError
from clearsight.models.base import ModelNetwork, components
from clearsight.models.execution import Engine, Hint, device_of, engine_for, on_device
from clearsight.models.layer_probe import LayerOutput
from clearsight.models.network import Backbone
from clearsight.ood.pixel_statistics import pixel_statistics


class Predictor(BasePredictor):
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

    bundle: Bundle

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

    def embed(self, images: Images, progress: Progress | None = None) -> NDArray[np.float32]:
        return self.embedder._run(images, "features", progress)

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
                embedder = self.embedder
                for outputs in embedder._engine(total).stream(embedder.pixels(given)):
                    yield embedder._finish(outputs)[1]
                return
            network = LayerOutput(self.network, layer)
            engine = engine_for(network, self.shape, total, self.device, self.engine)
            for outputs in engine.stream(self.pixels(given)):
                yield outputs[0]

    @cached_property
    def embedder(self) -> Predictor:
        """What computes the features: of an ensemble its first network alone, whose they are.

        Returns:
            A predictor.
        """
        network = self.network.embedding_network
        if network is self.network:
            return self
        return Predictor(replace(self.bundle, network=network), engine=self.engine, device=self.device, hint=self.hint)

    @cached_property
    def _core(self) -> torch.nn.Module:
        return Backbone(self.network)

    def _outputs(self, images: ImageInputs, statistics: bool = True) -> Iterator[ModelOutput]:
        """All images, a batch at a time, with the statistics of their pixels where asked for."""
        total = len(images)
        if not total:
            raise DataError("there are no images", found="an empty list or array")
        yield from self.stream(self.pixels(images), total, statistics)

    def stream(
        self, batches: Iterable[NDArray[np.float32]], total: int, statistics: bool = True
    ) -> Iterator[ModelOutput]:
        """Run the model on batches of pixels, several at a time.

        Args:
            batches: images (B, C, H, W) in [0, 1]; they are read ahead of the outputs.
            total: number of images, by which the engine is chosen.
            statistics: also compute the pixel statistics, which OOD scores need.

        Returns:
            The output for each batch, in order.
        """
        return self._streamed(batches, total, statistics)

    def _streamed(self, batches: Iterable[NDArray[np.float32]], total: int, statistics: bool) -> Iterator[ModelOutput]:
        pending: deque[NDArray[np.float32]] = deque()

        def watched() -> Iterator[NDArray[np.float32]]:
            for batch in batches:
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
