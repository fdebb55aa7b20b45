"""The card of a model, which may come from someone else: its structure, and the digest of what determines predictions.

The parts that belong to a class are checked by that class: the network by `ModelNetwork.spec_check`, what was fitted
by the task.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import xxhash

from clearsight.data.geometry import LARGEST_SIDE, Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.errors import BundleError
from clearsight.ood.drift import check_reference
from clearsight.schema import (
    FIX,
    anything,
    integer,
    invalid,
    listed,
    mapping,
    number,
    optional,
    record,
    text,
)

LARGEST = 2**26
"""Bytes of a card at most."""

CLASSES = 100_000
"""Names at most."""

CHANNELS = 4096
"""Channels of an image at most."""

_SHARE = number(0, 1)


def _bits(value: Any, place: str) -> None:
    if type(value) is not int or value not in (8, 16, 32):
        invalid(place, value, "8, 16 or 32")


def _value_range(value: Any, place: str) -> None:
    listed(number(), 2)(value, place)
    if value[0] >= value[1]:
        invalid(place, value, "two numbers, the lower one first")


_DETECTOR = record(
    {
        "outliers": record(
            {"threshold": number()},
            {
                "scores": listed(text(), least=1, unique=True),
                "false_alarms": _SHARE,
                "auroc": mapping(optional(_SHARE)),
                "left_out": listed(listed(text())),
                "why": text(),
            },
        )
    }
)

_DATA = record(
    {},
    {
        "media": text("images", "sounds", "both"),
        "origin": optional(text()),
        "split": optional(text()),
        "monitor": check_reference,
    },
)

_CARD = record(
    {
        "format": integer(1),
        "task": text(),
        "network": record({"kind": text()}),
        "classes": listed(text(), least=1, unique=True),
        "pixels": record(
            {"channels": integer(1, CHANNELS), "bits": _bits},
            {
                "value_range": optional(_value_range),
                "max_pixels": integer(1),
                "bands": listed(integer(1, CHANNELS), 0, 1, 3),
            },
        ),
        "geometry": record(
            {"height": integer(1, LARGEST_SIDE), "width": integer(1, LARGEST_SIDE)},
            {"resize_mode": text("squash", "pad", "crop")},
        ),
        "temperature": number(1e-9, 1e9),
        "task_card": optional(record({})),
        "data": _DATA,
        "scores": record({}),
    },
    {"ood_detector": optional(_DETECTOR), "precision": text("float32"), "versions": mapping(anything)},
)


def check_card(card: Any, place: str) -> None:
    """Require that a card has the structure of format 2.

    Args:
        card: the content of `card.json`.
        place: name of the file, for errors.

    Raises:
        BundleError: a value is missing or invalid.
    """
    _CARD(card, place)
    if len(card["classes"]) > CLASSES:
        invalid(f"{place}.classes", f"{len(card['classes']):,} names", f"at most {CLASSES:,}")
    bands = card["pixels"].get("bands", ())
    if bands and max(bands) > card["pixels"]["channels"]:
        invalid(f"{place}: pixels.bands", bands, f"at most {card['pixels']['channels']}, the number of channels")
    for part, kind in (("pixels", PixelFormat), ("geometry", Geometry)):
        names = {field.name for field in fields(kind)}
        if extra := sorted(set(card[part]) - names):
            invalid(f"{place}: {part}", f"the unknown key {extra[0]!r}", f"only {', '.join(sorted(names))}")


DETERMINING = (
    "task", "network", "classes", "pixels", "geometry", "temperature", "task_card", "ood_detector", "files",
)  # fmt: skip
"""Keys of the card that determine predictions. The others say where a model comes from."""


def card_digest(card: Mapping[str, Any]) -> str:
    """Digest of the parts of a card that determine predictions, the digests of the tensors' files among them.

    It detects damage and accidental mixtures of files. It does not detect a deliberate change: whoever changes the
    card can change the digest too.

    Args:
        card: the content of `card.json`.

    Returns:
        128 bits in hexadecimal.
    """
    parts = {name: card.get(name) for name in DETERMINING}
    return xxhash.xxh3_128_hexdigest(json.dumps(parts, sort_keys=True, allow_nan=False).encode())


def file_digest(path: Path) -> str:
    """Digest of the content of a file.

    Args:
        path: the file.

    Returns:
        128 bits in hexadecimal.
    """
    digest = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while part := stream.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def check_digests(card: Mapping[str, Any], files: Mapping[str, Path], folder: Path) -> None:
    """Require that a card and the files of its tensors are as they were written together.

    Args:
        card: the content of `card.json`. One of an earlier version contains no digests, and passes.
        files: the files of the tensors by name.
        folder: the folder of the model, for errors.

    Raises:
        BundleError: the card or a file has changed.
    """
    if card.get("digest") is None and card.get("files") is None:
        return
    record({"digest": text(), "files": mapping(text())})(card, "card.json")
    changed = [name for name, path in files.items() if file_digest(path) != card["files"].get(name)]
    if not changed and card_digest(card) != card["digest"]:
        changed = ["card.json"]
    if changed:
        raise BundleError(
            f"{folder} contains a damaged model", found=f"a digest that does not match the content of {changed[0]}",
            expected="the files as Clearsight wrote them together", fix=FIX,
        )  # fmt: skip
