"""The data audit: faults of the data, reported before training (rule D3).

The audit sees pixels and names of every split, labels of the training and validation splits alone; of the test labels
only which classes occur. It never deletes or changes a file: it names what it found. The checks are in `data.checks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.cached_pixels import CachedPixels
from clearsight.data.checks.blank_images import blank_images
from clearsight.data.checks.class_names import spelling_variants
from clearsight.data.checks.copies import MANY, find_copies
from clearsight.data.checks.duplicates import exact_duplicates, near_duplicates
from clearsight.data.checks.shortcuts import shortcuts
from clearsight.data.checks.splits import groups_across_splits, missing_classes
from clearsight.data.dataset import Dataset
from clearsight.data.findings import FILES_SHOWN
from clearsight.data.findings import Finding as Finding
from clearsight.data.geometry import Geometry
from clearsight.data.licences import licence_notes
from clearsight.data.scan import Scan
from clearsight.data.splits import Split
from clearsight.data.thumbnails import Box
from clearsight.data.unreadable import unreadable_by_class, unreadable_words
from clearsight.result import Result
from clearsight.wording import count


@dataclass(frozen=True, repr=False)
class Audit(Result):
    """Everything known of a data set before training; written to audit.json. targets: what is to be predicted where it
    is not one class; then classes are the groups that are spread evenly over the splits.
    """

    name: str
    origin: str
    images: int
    usable: int
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    split_rule: str
    pixels: dict[str, Any]
    set_aside: dict[str, str]
    findings: tuple[Finding, ...]
    targets: str = ""
    pictures: Any = field(default=None, compare=False)
    """For the page: `data.audit_pictures.AuditPictures`."""

    @property
    def near_duplicates(self) -> frozenset[str]:
        """Names of test images that look nearly the same as a development image."""
        return near_duplicates_of(self.to_dict())

    @property
    def warnings(self) -> int:
        """Number of warnings among the findings."""
        return sum(f.severity == "warning" for f in self.findings)

    @property
    def errors(self) -> int:
        """Number of errors among the findings: data that is lost."""
        return sum(f.severity == "error" for f in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(replace(self, pictures=None), dict_factory=_without_pictures)

    def text(self) -> str:
        """The counts of images, and what was found."""
        held = f"with {self.targets}" if self.targets else f"in {count(len(self.classes), 'class', 'classes')}"
        lines = [f"{self.name}: {self.usable} of {self.images} images usable, {held}"]
        for part, counts in self.counts.items():
            if total := sum(counts.values()):
                detail = ", ".join(f"{name}: {n}" for name, n in list(counts.items())[:12])
                detail += ", ..." if len(counts) > 12 else ""
                lines.append(f"  {part:<6} {total:6d}" + (f"  ({detail})" if part != "test" else ""))
        lines.append(f"  splits: {self.split_rule}")
        for name, why in list(self.set_aside.items())[:20]:
            lines.append(f"  set aside: {_about(name, why)}")
        for f in self.findings:
            lines.append(f"  {f.severity}: {f.message}" + (f"\n           {f.fix}" if f.fix else ""))
            files = [] if f.code == "unreadable" else f.files()  # which are named above
            lines += [f"             {line}" for line in files[:FILES_SHOWN]]
            if len(files) > FILES_SHOWN:
                lines.append(
                    f"             ... {len(files) - FILES_SHOWN:,} more in audit.json, which --out FOLDER writes"
                )
        totals = [count(n, what) for n, what in ((self.errors, "error"), (self.warnings, "warning")) if n]
        lines.append(", ".join(totals) or "no warnings")
        return "\n".join(lines)


def _about(name: str, why: str) -> str:
    """Why a file was set aside, under its name in the data set, which may stand at the end of a path."""
    before, found, after = why.partition(name)
    if not found:
        return f"{name}: {why}"
    return name + after if not before or before.endswith(("/", "\\")) else why


def _without_pictures(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in pairs if name != "pictures"}


def near_duplicates_of(content: Mapping[str, Any]) -> frozenset[str]:
    """The names of near duplicates across splits that an audit found.

    Args:
        content: an audit as plain values.

    Returns:
        The names; empty if the audit has no such finding.
    """
    found = [f for f in content.get("findings", ()) if f.get("code") == "near-duplicates-across-splits"]
    tested = [f["evidence"] for f in found if "test" in f["evidence"].get("splits", ("test",))]
    return frozenset(name for evidence in tested for name in evidence.get("images", ()))


def audit(
    dataset: Dataset,
    scan: Scan,
    pixels: CachedPixels,
    split: Split,
    set_aside: dict[int, str],
    *,
    geometry: Geometry | None = None,
    limit: int = MANY,
) -> Audit:
    """Audit a whole data set.

    Args:
        dataset: images and targets.
        scan: headers and digests of the images.
        pixels: cached pixels of all images.
        split: the training, validation and test images.
        set_aside: reason for each unreadable image, by position.
        geometry: how images were scaled to the size of the pixels; None if nothing was padded.
        limit: number of images up to which turned, shifted and cropped copies are searched.

    Returns:
        The findings, and counts of each part.
    """
    known = np.sort(np.concatenate([split.train, split.val]))  # whose labels the audit may see
    everything = np.sort(np.concatenate([known, split.test]))
    side = scan.short_side
    copies = find_copies(pixels, everything, side=side, boxes=_unpadded(scan, geometry, pixels), limit=limit)
    findings = [
        *_lost(dataset, set_aside),
        *dataset.task.findings(dataset),
        *_balance(dataset, known),
        *missing_classes(dataset, split),
        *spelling_variants(dataset.classes, np.bincount(dataset.labels[known], minlength=len(dataset.classes))),
        *groups_across_splits(dataset, split),
        *exact_duplicates(dataset, pixels.contents, split),
        *near_duplicates(dataset, scan, split, copies),
        *shortcuts(dataset, scan, pixels, known),
        *blank_images(dataset, pixels, everything),
        *_shapes(dataset, scan),
        *_not_searched(len(everything), limit),
    ]
    findings += [Finding("pixels", "note", rule) for rule in scan.pixel_facts()["rules"]]  # type: ignore[attr-defined]
    findings += [Finding("source", "note", note) for note in (*dataset.notes, *licence_notes(dataset.origin))]
    counts = {
        part: {
            dataset.classes[c]: int(n)
            for c, n in enumerate(np.bincount(dataset.labels[i], minlength=len(dataset.classes)))
        }
        for part, i in split.parts().items()
        if part != "test"
    }
    counts["test"] = {"images": len(split.test)}
    return Audit(
        name=dataset.name,
        origin=dataset.origin,
        images=len(dataset),
        usable=len(dataset) - len(set_aside),
        classes=dataset.classes,
        counts=counts,
        split_rule=split.rule,
        pixels=scan.pixel_facts(),
        set_aside={dataset.source.name(i): why for i, why in sorted(set_aside.items())},
        findings=tuple(findings),
        targets=dataset.task.describe(dataset),
    )


def _lost(dataset: Dataset, set_aside: dict[int, str]) -> list[Finding]:
    """Files that cannot be read, and what the source left out."""
    found = []
    if set_aside:
        names = [dataset.source.name(i) for i in sorted(set_aside)]
        found.append(
            Finding(
                "unreadable",
                "error",
                unreadable_words(names, unreadable_by_class(dataset, sorted(set_aside)), "file"),
                "repair or replace these files, which are set aside and not deleted",
                {"files": names},
            )
        )
    fix = "move, rename, convert or repair the files that belong in the data set"
    return found + [Finding("left-out", "warning", loss, fix) for loss in dataset.losses]


def _unpadded(scan: Scan, geometry: Geometry | None, pixels: CachedPixels) -> dict[int, Box]:
    """The part of each image that is not padding: equal borders would make images look alike."""
    if geometry is None or geometry.resize_mode != "pad":
        return {}
    boxes = {}
    for i, header in enumerate(scan.headers):
        if header is None or header.oriented:  # of which the sides may be exchanged
            continue
        width, height = geometry.scaled(header.width, header.height)
        top, left = (geometry.height - height) // 2, (geometry.width - width) // 2
        boxes[i] = top, top + height, left, left + width
    return boxes


def _not_searched(images: int, limit: int) -> list[Finding]:
    if images <= limit:
        return []
    message = (
        f"turned, mirrored, shifted and cropped copies were not searched among {images:,} images (limit {limit:,})"
    )
    return [Finding("not-searched", "note", message, "`clearsight audit DATA` searches up to 100,000 images")]


def _shapes(dataset: Dataset, scan: Scan) -> list[Finding]:
    """Images whose size or proportions leave little to learn from."""
    known = [(i, h) for i, h in enumerate(scan.headers) if h is not None]
    tiny = [i for i, h in known if min(h.width, h.height) < 8]
    long = [i for i, h in known if h.format != "WAV" and max(h.width, h.height) > 3 * min(h.width, h.height)]
    names = dataset.source.name
    found = []
    if tiny:
        message = f"{count(len(tiny), 'image')} less than 8 pixels wide or high"
        fix = "check whether they are large enough to be classified"
        found.append(Finding("tiny-images", "warning", message, fix, {"files": [names(i) for i in tiny]}))
    if long:
        message = f"{count(len(long), 'image')} with an aspect ratio above 3:1"
        found.append(
            Finding(
                "long-images",
                "warning",
                message,
                "--resize-mode squash distorts them; try --resize-mode pad or --resize-mode auto",
                {"files": [names(i) for i in long]},
            )
        )
    return found


def duplicate_groups(scan: Scan) -> NDArray[np.int64]:
    """A number for each image, equal for equal contents.

    Args:
        scan: digests of the N images.

    Returns:
        Numbers (N,), int64.
    """
    digests = np.array([d or f"unreadable {i}" for i, d in enumerate(scan.digests)])
    return np.unique(digests, return_inverse=True)[1].astype(np.int64)


def _balance(dataset: Dataset, known: NDArray[np.int64]) -> list[Finding]:
    """Classes, labels or groups of which there are few images, or many more of one than of another."""
    found = []
    names, counts = dataset.task.balance(dataset, known)
    thing, things = dataset.task.counted
    score = dataset.task.imbalance_advice
    most, least = int(counts.argmax()), int(counts.argmin())
    if counts[least] and counts[most] >= 10 * counts[least]:
        found.append(
            Finding(
                "imbalance",
                "warning",
                f"{thing} {names[most]!r} has {counts[most] / counts[least]:.0f} times as many images as "
                f"{names[least]!r} ({counts[most]} and {counts[least]})",
                f"evaluate with {score}, and collect more images of the rare {thing}",
            )
        )
    tiny = {names[c]: int(n) for c, n in enumerate(counts) if 0 < n < 20}
    if tiny:
        some = ", ".join(f"{name} ({n})" for name, n in list(tiny.items())[:5])
        found.append(
            Finding(
                "tiny-classes",
                "warning",
                f"{count(len(tiny), thing, things)} with fewer than 20 images outside the test split: {some}"
                + (", ..." if len(tiny) > 5 else ""),
                f"add images; with fewer than 20 per {thing}, neither training nor evaluation is reliable",
                {"counts": tiny},
            )
        )
    return found
