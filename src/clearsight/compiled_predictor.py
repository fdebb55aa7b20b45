"""Predictions of a few images from a folder, without importing PyTorch, which takes longer than predicting.

The whole network is compiled once per machine and kept in the cache, under the digest of its weights; the next process
loads the compiled model alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.base_predictor import BasePredictor, Images, ModelOutput
from clearsight.bundle.description import Description
from clearsight.data.cache import Progress, entry
from clearsight.data.inputs import ImageInputs
from clearsight.data.pixels import quiet_pillow
from clearsight.errors import DataError, ModelError
from clearsight.models.openvino_import import openvino_without_telemetry
from clearsight.ood.pixel_statistics import pixel_statistics

FEW = 16
"""Images from which loading PyTorch is no longer what takes longest."""

LARGEST = 400e6
"""Bytes of weights from which a network is not compiled: that would take longer than it saves."""

AGREEMENT = 1e-3
"""Largest difference of logits and features between the compiled network and PyTorch, relative to the largest."""

REVISION = 1
"""Of what is compiled: raised when the same weights give another graph."""


class CompiledPredictor(BasePredictor):
    """A model in a folder, compiled by OpenVINO: predictions, OOD scores and features of images.

    Args:
        folder: folder of a run or model.

    Raises:
        BundleError: there is no model in the folder, or a file of it is damaged.
        ModelError: the network cannot be compiled, or the result differs from the network.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).expanduser()
        self.bundle = self.description = Description.load(self.folder)
        if self.description.weights.stat().st_size > LARGEST:
            raise ModelError("the network is too large to be compiled for a few images")
        self._compiled = self._loaded(entry("compiled", self._key(), self._build))

    def embed(self, images: Images, progress: Progress | None = None) -> NDArray[np.float32]:
        return self._run(images, "features", progress)

    def _outputs(self, images: ImageInputs, statistics: bool = True) -> Iterator[ModelOutput]:
        if not len(images):
            raise DataError("there are no images", found="an empty list or array")
        with quiet_pillow():
            for batch in self.pixels(images):
                logits, features = self._run_batch(self._compiled, batch)
                yield ModelOutput(logits, features, pixel_statistics(batch) if statistics else batch[:0])

    @staticmethod
    def _run_batch(compiled: Any, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        found = compiled([np.ascontiguousarray(batch)])
        return [found[port].copy() for port in compiled.outputs]

    def _key(self) -> str:
        versions = {name: version(name) for name in ("clearsight", "numpy", "openvino", "timm", "torch")}
        facts = json.dumps([self.description.card["network"], self.shape, versions, REVISION], sort_keys=True)
        digest = hashlib.blake2b(facts.encode(), digest_size=16)
        digest.update(self.description.weights.read_bytes())
        return digest.hexdigest()

    def _loaded(self, folder: Path) -> Any:
        """The compiled network of an entry of the cache; OpenVINO keeps its machine code beside it."""
        openvino = openvino_without_telemetry()
        core = openvino.Core()
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "CACHE_DIR": str(folder)}
        return core.compile_model(core.read_model(str(folder / "network.xml")), "CPU", options)

    def _build(self, folder: Path) -> None:
        """Compile the network, and compare it with PyTorch on noise; ModelError where that is impossible."""
        import torch

        from clearsight.bundle import Bundle
        from clearsight.models.execution import save_openvino
        from clearsight.models.network import WithFeatures

        network = Bundle.load(self.folder).network
        if not network.exportable:
            raise ModelError("this network runs only in PyTorch")
        whole = WithFeatures(network.for_export()).eval()
        try:
            save_openvino(whole, self.shape, folder / "network.xml")
            noise = np.random.default_rng(0).random((2, *self.shape), np.float32)
            found = self._run_batch(self._loaded(folder), noise)
        except RuntimeError as error:  # an operation that OpenVINO does not know
            raise ModelError("OpenVINO cannot compile this network", found=str(error)[:160]) from error
        with torch.inference_mode():
            expected = [part.numpy() for part in whole(torch.from_numpy(noise))]
        for one, other in zip(expected, found, strict=True):
            if not np.abs(one - other).max() <= AGREEMENT * max(1.0, np.abs(one).max()):
                raise ModelError("the compiled network differs from the network in PyTorch")


def compiled_or_none(folder: str | os.PathLike[str]) -> CompiledPredictor | None:
    """The compiled predictor of a folder; None where the model runs only in PyTorch.

    Args:
        folder: folder of a run or model.

    Returns:
        The predictor, or None.

    Raises:
        BundleError: there is no model in the folder, or a file of it is damaged.
    """
    try:
        return CompiledPredictor(folder)
    except ModelError:
        return None
