"""The faults: each changes a `Planted` set at random, and then says whether an audit found it and named what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.audit.changes import CHANGES, changed
from benchmarks.audit.planted import Image8, Planted, Rng

COPIED = 5
"""Images that leak into a split."""

FOUND = 4
"""Of these, images that a finding must name. A leak may consist of copies of any kind."""

Check = Callable[[Any], bool]


@dataclass
class Truth:
    """What was planted. checks: by fault, whether an audit found it. labels: classes with a shortcut. copies: names of
    the images that are copies, known once the images are written.
    """

    checks: dict[str, Check] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    copies: list[dict[str, Any]] = field(default_factory=list)

    def false_findings(self, audit: Any) -> list[str]:
        """Shortcuts of other classes, and pairs across splits of images that were not copied."""
        copied = {entry["name"] for entry in self.copies}
        found = []
        for f in audit.findings:
            if f.code == "shortcut" and not set(self.labels) & set(f.evidence["classes"]):
                found.append(f"shortcut: {f.evidence['feature']}")
            if "across" in f.code:
                found += [
                    f"leak: {a} and {b}, {kind}" for a, b, kind, _ in f.evidence.get("pairs", ()) if not {a, b} & copied
                ]
        return found


def _rgb(image: Image8) -> Image8:
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def _tint(e: dict[str, Any], rng: Rng) -> None:
    gains = np.ones(3)
    gains[rng.integers(3)] = rng.uniform(0.55, 0.75)
    e["image"] = (_rgb(e["image"]) * gains).astype(np.uint8)


def _exposure(e: dict[str, Any], rng: Rng) -> None:
    e["image"] = np.clip(e["image"] * 0.6 + rng.uniform(50, 90), 0, 255).astype(np.uint8)


def _type(e: dict[str, Any], rng: Rng) -> None:
    e["suffix"] = "jpg"


def _camera(e: dict[str, Any], rng: Rng) -> None:
    e["camera"] = f"Model {rng.integers(10)}"


def _size(e: dict[str, Any], rng: Rng) -> None:
    share = rng.uniform(1.2, 1.6)
    height, width = e["image"].shape[:2]
    e["image"] = np.asarray(Image.fromarray(e["image"]).resize((round(width * share), round(height * share))))


def _shape(e: dict[str, Any], rng: Rng) -> None:
    height, width = e["image"].shape[:2]
    e["image"] = np.asarray(Image.fromarray(e["image"]).resize((round(width * rng.uniform(1.2, 1.5)), height)))


def _frame(e: dict[str, Any], rng: Rng) -> None:
    level, image = int(rng.integers(90, 240)), e["image"].copy()
    thick = max(2, min(image.shape[:2]) // 16)
    for edge in (image[:thick], image[-thick:], image[:, :thick], image[:, -thick:]):
        edge[...] = level
    e["image"] = image


def _watermark(e: dict[str, Any], rng: Rng) -> None:
    image = e["image"].copy()
    height, width = image.shape[:2]
    y, x = int(rng.uniform(0.05, 0.7) * height), int(rng.uniform(0.05, 0.7) * width)
    image[y : y + max(4, height // 6), x : x + max(4, width // 6)] = int(rng.integers(100, 220))
    e["image"] = image


SHORTCUTS: dict[str, tuple[Callable[[dict[str, Any], Rng], None], tuple[str, ...]]] = {
    "tint": (_tint, ("colour", "file type")), "exposure": (_exposure, ("brightness",)),
    "file type": (_type, ("file type",)), "camera": (_camera, ("camera (EXIF)",)),
    "size": (_size, ("image size",)), "aspect ratio": (_shape, ("aspect ratio", "image size")),
    "frame": (_frame, ("border",)), "watermark": (_watermark, ("mark",)),
}  # fmt: skip
"""Changes of all images of one class by the same amount, and the properties that a finding may name. Gray images that
are tinted are stored in colour, which is a property of the file.
"""


def shortcut(planted: Planted, kind: str) -> Truth:
    """A shortcut in one class."""
    change, names = SHORTCUTS[kind]
    label, state = str(planted.rng.choice(planted.classes)), int(planted.rng.integers(1 << 30))
    for entry in planted.untouched(label=label):
        change(entry, np.random.default_rng(state))

    def found(audit: Any) -> bool:
        return any(
            f.code == "shortcut" and label in f.evidence["classes"] and f.evidence["feature"] in names
            for f in audit.findings
        )

    return Truth({kind: found}, [label])


def missing(planted: Planted) -> Truth:
    """A class is missing from the validation split, another from the test split."""
    first, second = planted.rng.choice(planted.classes, 2, replace=False).tolist()
    return Truth({
        "class missing from val": _missing(planted, first, "val"),
        "class missing from test": _missing(planted, second, "test"),
    })  # fmt: skip


def copied(planted: Planted) -> Truth:
    """Leaks, a group on both sides and blank images at once, each in images of its own."""
    truth = Truth({"group across splits": _group(planted), "blank images": _blank(planted)})
    truth.checks["leak train to val"] = _leak(planted, truth, "train", "val")
    truth.checks["leak val to test"] = _leak(planted, truth, "val", "test")
    return truth


def _leak(planted: Planted, truth: Truth, known: str, new: str) -> Check:
    """Images of one split again in another, re-saved or changed."""
    sources, copied = planted.untouched(split=known)[:COPIED], planted.untouched(split=new)[:COPIED]
    for source, entry in zip(sources, copied, strict=True):
        entry["image"] = changed(source["image"], str(planted.rng.choice(list(CHANGES))), planted.rng)
        entry["label"] = source["label"]
        source["planted"] = entry["planted"] = True
    truth.copies += copied

    def found(audit: Any) -> bool:
        named = {
            name
            for f in audit.findings
            if f.evidence.get("splits") == [known, new] and "pairs" in f.evidence
            for name in f.evidence["images"]
        }
        return len(named & {entry["name"] for entry in copied}) >= FOUND

    return found


def _group(planted: Planted) -> Check:
    first, second = planted.untouched(split="train")[0], planted.untouched(split="test")[0]
    first["group"] = second["group"] = "shared"
    first["planted"] = second["planted"] = True
    return lambda audit: any(
        f.code == "groups-across-splits" and {first["name"], second["name"]} <= _names(f) for f in audit.findings
    )


def _names(finding: Any) -> set[str]:
    return {entry.partition(": ")[2] for group in finding.evidence["groups"] for entry in group}


def _blank(planted: Planted) -> Check:
    blank = planted.untouched()[:4]
    for k, entry in enumerate(blank):
        entry["image"] = np.full_like(entry["image"], int(planted.rng.integers(256)) if k else 0)
        entry["planted"] = True
    return lambda audit: any(
        f.code == "blank-images" and {e["name"] for e in blank} <= set(f.evidence["files"]) for f in audit.findings
    )


def _missing(planted: Planted, label: str, part: str) -> Check:
    planted.entries = [e for e in planted.entries if not (e["split"] == part and e["label"] == label)]
    return lambda audit: any(
        f.code == "class-missing-from-split" and f.evidence == {"classes": [label], "splits": [part]}
        for f in audit.findings
    )
