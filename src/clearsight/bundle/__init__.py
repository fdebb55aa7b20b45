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
import shlex
import shutil
import tempfile
import zipfile
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

from clearsight.bundle import format1
from clearsight.bundle.card import LARGEST, card_digest, check_card, check_digests, file_digest
from clearsight.bundle.tensors import load_network
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.data.split_record import SplitRecord
from clearsight.disk import disk_errors, file_within, read_within, replace_folder, sync_folder
from clearsight.errors import BundleError, ClearsightError
from clearsight.json_values import json_values, to_json
from clearsight.models.base import ModelNetwork
from clearsight.ood.detector import OODDetector
from clearsight.schema import integer, invalid, read_json, record
from clearsight.tasks import Task, task_named
from clearsight.wording import count

FORMAT = 2
"""Version of the card. A reader refuses a higher one; `format1` maps the names of format 1."""


def going_on(folder: Path) -> str | None:
    """The advice for the folder of an interrupted training; None for any other."""
    command = f"clearsight train --resume --out {shlex.quote(str(folder))}"
    return f"training was interrupted: resume it with `{command}`" if (folder / "checkpoints").is_dir() else None


@dataclass(frozen=True)
class Bundle:
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

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, labels or numbers that it predicts."""
        return self.task.names

    @property
    def temperature(self) -> float:
        """The temperature."""
        return self.task.temperature

    @property
    def thing(self) -> str:
        """The kind of input in a word: image, or sound if it was trained only on sounds."""
        return "sound" if self.data.get("media") == "sounds" else "image"

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
        place = "model/" if (folder / "model").is_dir() else ""
        card_name, weights_name = f"{place}card.json", f"{place}weights.safetensors"
        if not (folder / card_name).is_file() or not (folder / weights_name).is_file():
            raise BundleError(
                f"{folder} contains no model",
                found="no such folder" if not folder.exists() else "no model/card.json and model/weights.safetensors",
                expected="a folder written by `clearsight train`",
                fix=going_on(folder) or ("train again" if folder.exists() else None),
            )
        try:
            return cls._read(folder, place)
        except ClearsightError:
            raise
        except Exception as error:  # of PyTorch, timm or safetensors, on content that nobody foresaw
            raise BundleError(
                f"{folder} contains a damaged model",
                found=f"{type(error).__name__}: {str(error)[:160]}",
                fix="train again, or restore the folder from a backup",
            ) from error

    @classmethod
    def _read(cls, folder: Path, place: str) -> Bundle:
        """The model in folder/place, "model/" or ""."""
        card = _card(folder, f"{place}card.json")
        weights_of_detector = "ood.safetensors"
        if card["format"] < FORMAT:
            card, weights_of_detector = format1.card_from(card), format1.WEIGHTS_OF_DETECTOR
        check_card(card, "card.json")
        task = task_named(card["task"]).load(card["task_card"], tuple(card["classes"]), float(card["temperature"]))
        if task.names != tuple(card["classes"]):
            invalid("card.json: classes", card["classes"], f"{task.names!r}, as in its part task_card"[:200])
        known = card.get("ood_detector")
        files = {"weights.safetensors": file_within(folder, f"{place}weights.safetensors")}
        if known:
            files[weights_of_detector] = file_within(folder, f"{place}{weights_of_detector}")
        check_digests(card, files, folder)
        form, geometry = PixelFormat(**card["pixels"]), Geometry(**card["geometry"])
        shape = (form.channels, geometry.height, geometry.width)
        network = load_network(card["network"], files["weights.safetensors"], shape)
        if network.output_count not in (None, task.outputs):
            invalid(
                "card.json: classes", count(task.outputs, "output"), f"{network.output_count:,}, as the network has"
            )
        split = SplitRecord.load(folder)
        if split is not None and split.digest != card["data"].get("split"):
            raise BundleError(
                f"{folder / 'split.csv'} does not belong to this model", found="modified entries",
                fix="restore it from a backup, or train again",
            )  # fmt: skip
        return cls(
            network=network,
            task=task,
            form=form,
            geometry=geometry,
            data=card["data"],
            scores=card["scores"],
            ood_detector=OODDetector.load(known, load_arrays(str(files[weights_of_detector]))) if known else None,
            split=split,
        )


def _card(folder: Path, name: str) -> dict[str, Any]:
    """The content of a card of any format that is known."""
    card: dict[str, Any] = read_json(read_within(folder, name, LARGEST), str(folder / name))
    record({"format": integer(1)})(card, name)
    if card["format"] > FORMAT:
        raise BundleError(
            f"{folder} was written by a newer version of Clearsight",
            found=f"format {card['format']}",
            expected=f"at most {FORMAT}",
            fix="update Clearsight",
        )
    return card


def versions() -> dict[str, str]:
    """Versions of all libraries that affect predictions."""
    names = ("clearsight", "numpy", "openvino", "pillow", "timm", "torchvision")
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        **{n: version(n) for n in names},
    }
