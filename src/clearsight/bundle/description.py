"""What a bundle's folder states, without its network: read without PyTorch."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file as load_arrays

from clearsight.bundle import format1
from clearsight.bundle.card import LARGEST, check_card, check_digests
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.data.split_record import SplitRecord
from clearsight.disk import file_within, read_within
from clearsight.errors import BundleError, ClearsightError
from clearsight.ood.detector import OODDetector
from clearsight.schema import integer, invalid, read_json, record
from clearsight.tasks import Task, task_named

FORMAT = 2
"""Version of the card. A reader refuses a higher one; `format1` maps the names of format 1."""


@dataclass(frozen=True)
class Layout:
    """Names of files in the folder of a model. place: before the names of further files. key: the part of the card's
    file that is the card; "" where that is all of it.
    """

    card: str
    weights: str
    place: str = ""
    key: str = ""


IN_RUN = Layout("model/card.json", "model/weights.safetensors", "model/")
IN_FOLDER = Layout("card.json", "weights.safetensors")
ON_HUB = Layout("config.json", "model.safetensors", key="clearsight")
"""As a run, the folder `model/` of a run, and a repository of the Hugging Face Hub have them."""


class Described:
    """What bundles and their descriptions have in common."""

    task: Task
    data: dict[str, Any]

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


@dataclass(frozen=True)
class Description(Described):
    """A bundle without its network. card: as the file has it, in the current format. weights: the file of the weights.
    The other fields are those of `Bundle`.
    """

    card: dict[str, Any]
    weights: Path
    task: Task
    form: PixelFormat
    geometry: Geometry
    data: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    ood_detector: OODDetector | None = None
    split: SplitRecord | None = None

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Description:
        """Read a run folder or its `model/` folder; BundleError states what is missing or damaged.

        The folder may come from someone else: nothing outside it is read, and no network is asked.
        """
        folder = Path(folder).expanduser()
        layouts = (IN_RUN,) if (folder / "model").is_dir() else (IN_FOLDER, ON_HUB)
        for layout in layouts:
            if (folder / layout.card).is_file() and (folder / layout.weights).is_file():
                with damage_reported(folder):
                    return cls._read(folder, layout)
        raise _no_model(folder)

    @classmethod
    def _read(cls, folder: Path, layout: Layout) -> Description:
        """What is in a folder of this layout."""
        card = _card(folder, layout)
        weights_of_detector = "ood.safetensors"
        if card["format"] < FORMAT:
            card, weights_of_detector = format1.card_from(card), format1.WEIGHTS_OF_DETECTOR
        check_card(card, "card.json")
        task = task_named(card["task"]).load(card["task_card"], tuple(card["classes"]), float(card["temperature"]))
        if task.names != tuple(card["classes"]):
            invalid("card.json: classes", card["classes"], f"{task.names!r}, as in its part task_card"[:200])
        known = card.get("ood_detector")
        files = {"weights.safetensors": file_within(folder, layout.weights)}
        if known:
            files[weights_of_detector] = file_within(folder, layout.place + weights_of_detector)
        check_digests(card, files, folder)
        split = SplitRecord.load(folder)
        if split is not None and split.digest != card["data"].get("split"):
            raise BundleError(
                f"{folder / 'split.csv'} does not belong to this model", found="modified entries",
                fix="restore it from a backup, or train again",
            )  # fmt: skip
        return cls(
            card=card,
            weights=files["weights.safetensors"],
            task=task,
            form=PixelFormat(**card["pixels"]),
            geometry=Geometry(**card["geometry"]),
            data=card["data"],
            scores=card["scores"],
            ood_detector=OODDetector.load(known, load_arrays(str(files[weights_of_detector]))) if known else None,
            split=split,
        )


def _card(folder: Path, layout: Layout) -> dict[str, Any]:
    """The content of a card of any format that is known."""
    name = layout.card
    card = read_json(read_within(folder, name, LARGEST), str(folder / name))
    if layout.key:
        record({layout.key: record({})})(card, name)
        card = card[layout.key]
    record({"format": integer(1)})(card, name)
    if card["format"] > FORMAT:
        raise BundleError(
            f"{folder} was written by a newer version of Clearsight",
            found=f"format {card['format']}",
            expected=f"at most {FORMAT}",
            fix="update Clearsight",
        )
    content: dict[str, Any] = card
    return content


def _no_model(folder: Path) -> BundleError:
    """The error for a place without a model, by what is there."""
    from clearsight.data.sources.metadata import has_images

    expected = "a folder written by `clearsight train`"
    if folder.is_file():
        return BundleError(f"{folder} is a file, not the folder of a model", expected=expected)
    if (interrupted := going_on(folder)) is None and folder.is_dir() and has_images(folder):
        return BundleError(
            f"{folder} contains images, not a model", expected=expected,
            fix=f"pass the folder of a run first; `clearsight train {shlex.quote(str(folder))}` trains a model on the "
            "images",
        )  # fmt: skip
    return BundleError(
        f"{folder} contains no model",
        found="no model/card.json and model/weights.safetensors" if folder.exists() else "no such folder",
        expected=expected,
        fix=interrupted or ("train again" if folder.exists() else None),
    )


def going_on(folder: Path) -> str | None:
    """The advice for the folder of an interrupted training; None for any other."""
    command = f"clearsight train --resume --out {shlex.quote(str(folder))}"
    return f"training was interrupted: resume it with `{command}`" if (folder / "checkpoints").is_dir() else None


@contextmanager
def damage_reported(folder: Path) -> Iterator[None]:
    """Context manager: report what goes wrong in reading a bundle's files as a BundleError."""
    try:
        yield
    except ClearsightError:
        raise
    except Exception as error:  # of PyTorch, timm or safetensors, on content that nobody foresaw
        raise BundleError(
            f"{folder} contains a damaged model",
            found=f"{type(error).__name__}: {str(error)[:160]}",
            fix="train again, or restore the folder from a backup",
        ) from error
