"""The files of a model on the Hub, under the names that other tools expect."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from clearsight.bundle import Bundle
from clearsight.bundle.description import ON_HUB, Description
from clearsight.data.sources.builtin import BUILTIN
from clearsight.disk import write_json
from clearsight.hub.model_card import Statements, data_name, model_card

LEFT_OUT = ("origin", "fingerprint")
"""What a card says of the place where the data lies, which is nobody else's business."""


def write_files(source: Path, folder: Path, repository: str, stated: Statements, options: Mapping[str, Any]) -> Bundle:
    """Write the files of a repository.

    Args:
        source: the folder of a run or a model.
        folder: an empty folder.
        repository: name on the Hub.
        stated: what the author states.
        options: options of the run, by name; none where they are not known.

    Returns:
        The model, as the files contain it.
    """
    read = Description.load(source)
    bundle = Bundle.load(source)
    shutil.copyfile(read.weights, folder / ON_HUB.weights)
    detector = read.weights.with_name("ood.safetensors")
    if bundle.ood_detector is not None:
        shutil.copyfile(detector if detector.is_file() else _of_format1(read), folder / "ood.safetensors")
    if bundle.split is not None:
        replace(bundle.split, names=("",) * len(bundle.split.names)).save(folder)
    card = {**read.card, "data": _public(read.card["data"], bundle)}
    write_json(folder / ON_HUB.card, {**_for_others(bundle), "clearsight": card})
    (folder / "README.md").write_text(model_card(bundle, repository, stated, options), encoding="utf-8")
    return bundle


def _of_format1(read: Description) -> Path:
    from clearsight.bundle.format1 import WEIGHTS_OF_DETECTOR

    return read.weights.with_name(WEIGHTS_OF_DETECTOR)


def _public(data: Mapping[str, Any], bundle: Bundle) -> dict[str, Any]:
    """What is known of the data, without paths of the author's machine."""
    kept = {name: value for name, value in data.items() if name not in LEFT_OUT}
    named = {"origin": data["origin"]} if data.get("origin") in BUILTIN else {}
    return {**kept, **named, **({"name": data_name(bundle)} if "name" in data else {})}


def _for_others(bundle: Bundle) -> dict[str, Any]:
    """Keys that other tools read from config.json."""
    names = dict(enumerate(bundle.classes))
    spec = bundle.network.spec
    return {
        "model_type": "clearsight",
        "architecture": str(spec.get("name", spec.get("kind", ""))),
        "num_labels": len(names),
        "id2label": {str(k): name for k, name in names.items()},
        "label2id": {name: k for k, name in names.items()},
        "image_size": [bundle.geometry.height, bundle.geometry.width],
        "num_channels": bundle.form.channels,
    }
