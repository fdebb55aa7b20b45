"""One folder that is the model: `weights.safetensors`, `limits.safetensors` and `card.json`, read without running
foreign code.

The card holds everything that turns an image file into an answer: the network's spec, the pixel format, the geometry,
the classes, the temperature; and where the model comes from: data, scores, versions.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import shlex
import shutil
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from torch import nn

from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.data.targets import Task
from clearsight.disk import disk_errors
from clearsight.errors import BundleError, ClearsightError
from clearsight.json_values import to_json
from clearsight.models.network import from_spec
from clearsight.ood.detector import OODDetector
from clearsight.tasks import Answer, load_answer

FORMAT = 1
"""Version of the card. A reader refuses a higher one."""


def going_on(folder: Path) -> str | None:
    """What to do with the folder of a training that was interrupted; None for any other."""
    command = f"clearsight train --resume --out {shlex.quote(str(folder))}"
    return f"its training was interrupted: go on with `{command}`" if (folder / "checkpoints").is_dir() else None


@dataclass(frozen=True)
class Bundle:
    """A network and everything needed to use it.

    network maps pixels in [0, 1] (N, form.channels, geometry.height, geometry.width) to logits (N, len(classes));
    softmax(logits / temperature) is its calibrated belief. Where an image is not of one class, `answer` says what the
    outputs mean, and classes are the names of the labels or numbers.
    limits: what it knows of what it does not know; None for a network that was not trained here.
    """

    network: nn.Module
    classes: tuple[str, ...]
    form: PixelFormat
    geometry: Geometry
    temperature: float = 1.0
    answer: Answer | None = None
    data: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    limits: OODDetector | None = None

    @property
    def task(self) -> Task:
        """What it predicts."""
        return self.answer.task if self.answer else "classification"

    @property
    def thing(self) -> str:
        """What it is shown, in a word: an image, or a sound where it learned from sounds alone."""
        return "sound" if self.data.get("media") == "sounds" else "image"

    def with_scores(self, scores: dict[str, Any]) -> Bundle:
        """The same bundle with its measured scores."""
        return replace(self, scores=scores)

    def card(self) -> dict[str, Any]:
        """What `card.json` holds."""
        return {
            "format": FORMAT,
            "task": self.task,
            "network": self.network.spec,
            "classes": list(self.classes),
            "pixels": self.form.to_dict(),
            "geometry": self.geometry.to_dict(),
            "temperature": self.temperature,
            "answer": self.answer.card() if self.answer else None,
            "limits": self.limits.card() if self.limits else None,
            "precision": "float32",
            "data": self.data,
            "scores": self.scores,
            "versions": versions(),
        }

    def save(self, folder: Path) -> None:
        """Write the folder whole or not at all; OutputError when the disk refuses."""
        with disk_errors(folder, "the model", "free some space or choose another --out"):
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
            temporary.mkdir()
            try:
                tensors = {k: v.detach().cpu().contiguous() for k, v in self.network.state_dict().items()}
                try:
                    save_file(tensors, str(temporary / "weights.safetensors"))
                    if self.limits:
                        arrays = {k: np.ascontiguousarray(v) for k, v in self.limits.to_arrays().items()}
                        save_arrays(arrays, str(temporary / "limits.safetensors"))  # which ignores strides
                except SafetensorError as error:  # how safetensors reports a full disk
                    raise OSError(errno.EIO, str(error)) from error
                (temporary / "card.json").write_text(to_json(self.card()))
                for file in temporary.iterdir():  # safetensors lets the owner alone read what it writes
                    file.chmod((temporary / "card.json").stat().st_mode)
                if folder.exists():
                    old = temporary.with_suffix(".old")
                    folder.rename(old)
                    temporary.rename(folder)
                    shutil.rmtree(old)
                else:
                    temporary.rename(folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    @classmethod
    def load(cls, folder: str | Path) -> Bundle:
        """Read a run folder or its `model/` folder; BundleError says what is missing or broken."""
        folder = Path(folder).expanduser()
        place = folder / "model" if (folder / "model").is_dir() else folder
        card_path, weights_path = place / "card.json", place / "weights.safetensors"
        if not card_path.is_file() or not weights_path.is_file():
            raise BundleError(
                f"{folder} holds no model",
                found="no such folder" if not folder.exists() else "no model/card.json and model/weights.safetensors",
                expected="a folder written by `clearsight train`",
                fix=going_on(folder) or ("train again" if folder.exists() else None),
            )
        try:
            card = json.loads(card_path.read_text())
            if card["format"] > FORMAT:
                raise BundleError(
                    f"{folder} was written by a newer Clearsight",
                    found=f"format {card['format']}",
                    expected=f"at most {FORMAT}",
                    fix="update Clearsight",
                )
            network = from_spec(card["network"])
            network.load_state_dict(load_file(str(weights_path)))
            known = card.get("limits")
            return cls(
                network=network.eval(),
                classes=tuple(card["classes"]),
                form=PixelFormat(**card["pixels"]),
                geometry=Geometry(**card["geometry"]),
                temperature=float(card["temperature"]),
                answer=load_answer(card["answer"]) if card.get("answer") else None,
                data=card["data"],
                scores=card["scores"],
                limits=OODDetector.load(known, load_arrays(str(place / "limits.safetensors"))) if known else None,
            )
        except ClearsightError:
            raise
        except (
            json.JSONDecodeError,
            KeyError,
            TypeError,
            ValueError,
            RuntimeError,
            SafetensorError,
            OSError,
        ) as error:
            raise BundleError(
                f"{folder} holds a broken model",
                found=f"{type(error).__name__}: {str(error)[:160]}",
                fix="train again, or restore the folder from a copy",
            ) from error


def versions() -> dict[str, str]:
    """Versions of everything that shapes the answers."""
    names = ("clearsight", "numpy", "openvino", "pillow", "timm", "torchvision")
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        **{n: version(n) for n in names},
    }
