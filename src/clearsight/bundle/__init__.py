"""One folder that is the model: `weights.safetensors`, `ood.safetensors` and `card.json`, read without running
foreign code.

The card holds everything that turns an image file into an answer: the network's spec, the pixel format, the geometry,
the classes, the temperature; and where the model comes from: data, scores, versions.
"""

from __future__ import annotations

import errno
import io
import os
import platform
import shutil
import tempfile
import zipfile
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file as save_arrays

from clearsight.bundle.card import card_digest, file_digest
from clearsight.bundle.description import FORMAT as FORMAT
from clearsight.bundle.description import Described, Description, damage_reported
from clearsight.bundle.description import going_on as going_on
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.data.split_record import SplitRecord
from clearsight.disk import disk_errors, replace_folder, sync_folder
from clearsight.json_values import json_values, to_json
from clearsight.ood.detector import OODDetector
from clearsight.schema import invalid
from clearsight.tasks import Task
from clearsight.wording import count

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.models.base import ModelNetwork


@dataclass(frozen=True)
class Bundle(Described):
    """A network and everything needed to use it.

    network maps pixels in [0, 1] (N, form.channels, geometry.height, geometry.width) to outputs (N, task.outputs).
    task: what the outputs mean, with the calibration. ood_detector: None for a network that was not trained here.
    split: which images it was trained, validated and tested on, by content; None if that is not known.
    """

    network: ModelNetwork
    task: Task
    form: PixelFormat
    geometry: Geometry
    data: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    ood_detector: OODDetector | None = None
    split: SplitRecord | None = None

    def with_scores(self, scores: dict[str, Any]) -> Bundle:
        """The same bundle with its measured scores."""
        return replace(self, scores=scores)

    def card(self) -> dict[str, Any]:
        """The content of `card.json`."""
        return {
            "format": FORMAT,
            "task": self.task.name,
            "network": self.network.spec,
            "classes": list(self.classes),
            "pixels": self.form.to_dict(),
            "geometry": self.geometry.to_dict(),
            "temperature": self.temperature,
            "task_card": self.task.card(),
            "ood_detector": self.ood_detector.card() if self.ood_detector else None,
            "precision": "float32",
            "data": self.data,
            "scores": self.scores,
            "versions": versions(),
        }

    def _card_with(self, folder: Path) -> dict[str, Any]:
        """The card, with the digests that tie the files of tensors in a folder to it."""
        tensors = {file.name: file_digest(file) for file in sorted(folder.glob("*.safetensors"))}
        card = json_values({**self.card(), "files": tensors})
        return {**card, "digest": card_digest(card)}

    def save(self, folder: Path) -> None:
        """Write the folder atomically; OutputError if writing fails."""
        with disk_errors(folder, "the model", "free some space or choose another --out"):
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
            temporary.mkdir()
            try:
                tensors = {k: v.detach().cpu().contiguous() for k, v in self.network.state_dict().items()}
                try:
                    save_file(tensors, str(temporary / "weights.safetensors"))
                    if self.ood_detector:
                        arrays = {k: np.ascontiguousarray(v) for k, v in self.ood_detector.to_arrays().items()}
                        save_arrays(arrays, str(temporary / "ood.safetensors"))  # which ignores strides
                except SafetensorError as error:  # how safetensors reports a full disk
                    raise OSError(errno.EIO, str(error)) from error
                (temporary / "card.json").write_text(to_json(self._card_with(temporary)))
                for file in temporary.iterdir():  # safetensors lets the owner alone read what it writes
                    file.chmod((temporary / "card.json").stat().st_mode)
                sync_folder(temporary)
                replace_folder(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def to_bytes(self) -> bytes:
        """The folder as a zip archive, for pickles and sockets; `from_bytes` reads it."""
        content = io.BytesIO()
        with tempfile.TemporaryDirectory() as parent, zipfile.ZipFile(content, "w") as archive:
            folder = Path(parent)
            self.save(folder / "model")
            if self.split:
                self.split.save(folder)
            for file in sorted(f for f in folder.rglob("*") if f.is_file()):
                archive.write(file, file.relative_to(folder))
        return content.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Bundle:
        """Read the output of `to_bytes`; BundleError as for `load`."""
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(folder)
            return cls.load(folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Bundle:
        """Read a run folder or its `model/` folder; BundleError states what is missing or damaged.

        The folder may come from someone else: nothing outside it is read, and no network is asked.
        """
        folder = Path(folder).expanduser()
        read = Description.load(folder)
        with damage_reported(folder):
            return cls(
                network=_network(read),
                task=read.task,
                form=read.form,
                geometry=read.geometry,
                data=read.data,
                scores=read.scores,
                ood_detector=read.ood_detector,
                split=read.split,
            )


def save_file(tensors: dict[str, Tensor], path: str) -> None:
    """Write tensors as safetensors does; PyTorch is imported here, as a bundle can be read without it."""
    from safetensors.torch import save_file as save

    save(tensors, path)


def _network(read: Description) -> ModelNetwork:
    """The network of a bundle, with its weights."""
    from clearsight.bundle.tensors import load_network

    shape = (read.form.channels, read.geometry.height, read.geometry.width)
    network = load_network(read.card["network"], read.weights, shape)
    if network.output_count not in (None, read.task.outputs):
        found = count(read.task.outputs, "output")
        invalid("card.json: classes", found, f"{network.output_count:,}, as the network has")
    return network


def versions() -> dict[str, str]:
    """Versions of all libraries that affect predictions."""
    import torch

    names = ("clearsight", "numpy", "openvino", "pillow", "timm", "torchvision")
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        **{n: version(n) for n in names},
    }
