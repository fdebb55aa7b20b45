"""The data audit: faults of the data, reported before training (rule D3).

The audit sees pixels and names of every split, labels of the training and validation splits alone. It never deletes or
changes a file: it names what it found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clearsight.data.cached_pixels import CachedPixels
from clearsight.data.dataset import Dataset
from clearsight.data.scan import Scan
from clearsight.data.splits import Split
from clearsight.data.store import Recipe, rows_of
from clearsight.result import Result
from clearsight.wording import count, percent

THUMBNAIL = 16
"""Side in pixels of the gray thumbnails that are compared for near duplicates."""

NEAR = 0.999
"""Correlation of two thumbnails from which two images count as near duplicates.

In images of 96 pixels or more, JPEG at quality 50, noise of 2 % and small changes of brightness or contrast leave
0.9997 or more; in smaller ones JPEG at quality 85 does. Different solar cells of one module, photographed alike, reach
0.9986; different digits of 8x8 pixels 0.994. Images moved by a pixel or more, cut, turned or mirrored are not found.
"""


@dataclass(frozen=True)
class Finding:
    """One thing found: severity, a sentence for the user, what to do, and the images or numbers behind it."""

    code: str
    severity: Literal["warning", "note"]
    message: str
    fix: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)


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

    @property
    def near_duplicates(self) -> frozenset[str]:
        """Names of test images that look nearly the same as a development image."""
        return near_duplicates_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def text(self) -> str:
        """The counts of images, and what was found."""
        held = f"with {self.targets}" if self.targets else f"in {count(len(self.classes), 'class', 'classes')}"
        lines = [f"{self.name}: {self.usable} of {self.images} images usable, {held}"]
        for part, counts in self.counts.items():
            if total := sum(counts.values()):
                detail = ", ".join(f"{name} {n}" for name, n in list(counts.items())[:12])
                detail += ", ..." if len(counts) > 12 else ""
                lines.append(f"  {part:<6} {total:6d}" + (f"  ({detail})" if part != "test" else ""))
        lines.append(f"  splits: {self.split_rule}")
        for name, why in list(self.set_aside.items())[:20]:
            lines.append(f"  set aside: {why if name in why else f'{name}: {why}'}")
        for f in self.findings:
            lines.append(f"  {f.severity}: {f.message}" + (f"\n           {f.fix}" if f.fix else ""))
        warnings = sum(f.severity == "warning" for f in self.findings)
        lines.append(count(warnings, "warning") if warnings else "no warnings")
        return "\n".join(lines)


def near_duplicates_of(content: Mapping[str, Any]) -> frozenset[str]:
    """The names of near duplicates across splits that an audit found.

    Args:
        content: an audit as plain values.

    Returns:
        The names; empty if the audit has no such finding.
    """
    found = [f for f in content.get("findings", ()) if f.get("code") == "near-duplicates-across-splits"]
    return frozenset(name for finding in found for name in finding["evidence"].get("images", ()))


def audit(dataset: Dataset, scan: Scan, pixels: CachedPixels, split: Split, set_aside: dict[int, str]) -> Audit:
    """Audit a whole data set.

    This takes one pass over the cached pixels and one matrix product between the splits.

    Args:
        dataset: images and targets.
        scan: headers and digests of the images.
        pixels: cached pixels of all images.
        split: the training, validation and test images.
        set_aside: reason for each unreadable image, by position.

    Returns:
        The findings, and counts of each part.
    """
    findings: list[Finding] = []
    if set_aside:
        findings.append(
            Finding(
                "unreadable",
                "warning",
                f"{count(len(set_aside), 'unreadable file')} set aside",
                "repair or replace the files that the audit lists as set aside",
                {"files": [dataset.source.name(i) for i in sorted(set_aside)][:50]},
            )
        )
    findings += [
        Finding("left-out", "warning", loss, "move, rename, convert or repair the files that belong in the data set")
        for loss in dataset.losses
    ]
    known = np.sort(np.concatenate([split.train, split.val]))  # whose labels the audit may see
    findings += dataset.task.findings(dataset)
    findings += _balance(dataset, known)
    findings += _exact_duplicates(dataset, scan, split)
    small = thumbnails(pixels)
    findings += _near_duplicates(dataset, scan, small, split)
    findings += _shortcuts(dataset, scan, pixels, known)
    findings += _shapes(scan)
    findings += [Finding("pixels", "note", rule) for rule in scan.pixel_facts()["rules"]]  # type: ignore[attr-defined]
    findings += [Finding("source", "note", note) for note in dataset.notes]
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


def _shapes(scan: Scan) -> list[Finding]:
    """Images whose size or proportions leave little to learn from."""
    known = [h for h in scan.headers if h is not None]
    tiny = sum(1 for h in known if min(h.width, h.height) < 8)
    long = sum(1 for h in known if h.format != "WAV" and max(h.width, h.height) > 3 * min(h.width, h.height))
    found = []
    if tiny:
        message = f"{count(tiny, 'image')} less than 8 pixels wide or high"
        found.append(Finding("tiny-images", "warning", message, "check whether they are large enough to be classified"))
    if long:
        message = f"{count(long, 'image')} with an aspect ratio above 3:1"
        found.append(
            Finding(
                "long-images",
                "warning",
                message,
                "--resize-mode squash distorts them; try --resize-mode pad or --resize-mode auto",
            )
        )
    return found


def thumbnails(pixels: CachedPixels) -> NDArray[np.uint16]:
    """Gray block means of images, from the store or computed in chunks.

    They have 16 bits: at 8 bits, rounding alone would make copies of pale images look different.

    Args:
        pixels: cached pixels of N images.

    Returns:
        Thumbnails (N, 16, 16), uint16.
    """

    def compute(missing: NDArray[np.int64]) -> Iterator[tuple[tuple[NDArray[np.uint16]], str]]:
        for start in range(0, len(missing), 256):
            yield from (((row,), "") for row in _block_means(pixels.array[missing[start : start + 256]]))

    shapes = (("thumbnails", (THUMBNAIL, THUMBNAIL), np.dtype(np.uint16)),)
    recipe = Recipe("thumbnails", f"1 {pixels.array.shape[1:]}", lambda: shapes, compute)
    return np.asarray(rows_of(recipe, pixels.contents).arrays["thumbnails"])


def _block_means(chunk: NDArray[Any]) -> NDArray[np.uint16]:
    """Of images (n, C, H, W)."""
    height, width = chunk.shape[2:]
    rows = np.linspace(0, height, THUMBNAIL + 1).astype(int)
    cols = np.linspace(0, width, THUMBNAIL + 1).astype(int)
    scale = 257 if chunk.dtype == np.uint8 else 1
    # luma [ITU-R BT.601] rather than the mean of the channels: JPEG stores colour at half the size
    luma = np.array([0.299, 0.587, 0.114] if chunk.shape[1] == 3 else [1], np.float32)
    gray = np.tensordot(chunk.astype(np.float32), luma, (1, 0)) * scale
    # images below 16 pixels have empty blocks: reduceat then repeats the pixel at the boundary
    summed = np.add.reduceat(np.add.reduceat(gray, rows[:-1], axis=1), cols[:-1], axis=2)
    area = np.maximum(np.diff(rows), 1)[:, None] * np.maximum(np.diff(cols), 1)[None, :]
    return np.asarray(np.rint(summed / area), np.uint16)


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
                {things: tiny},
            )
        )
    return found


def _exact_duplicates(dataset: Dataset, scan: Scan, split: Split) -> list[Finding]:
    part = np.full(len(dataset), "", dtype="<U5")
    for name, indices in split.parts().items():
        part[indices] = name
    copies: dict[str, list[int]] = {}
    for i, d in enumerate(scan.digests):
        if d and part[i]:
            copies.setdefault(d, []).append(i)
    groups = [g for g in copies.values() if len(g) > 1]
    if not groups:
        return []
    found = []

    def names(chosen: list[list[int]]) -> list[list[str]]:
        return [[f"{part[i]}: {dataset.source.name(i)}" for i in g] for g in chosen[:20]]

    crossing = [g for g in groups if len({part[i] for i in g}) > 1]
    if crossing:
        found.append(
            Finding(
                "duplicates-across-splits",
                "warning",
                f"{count(len(crossing), 'image')} with identical copies in several splits; such leakage inflates the "
                "scores",
                "keep the copies of an image in one split only",
                {"groups": names(crossing)},
            )
        )
    contradicting = [g for g in groups if len({dataset.labels[i] for i in g if part[i] != "test"}) > 1]
    if contradicting:
        found.append(
            Finding(
                "duplicates-with-two-labels",
                "warning",
                f"{count(len(contradicting), 'image')} with identical copies that have different labels",
                "correct the wrong labels",
                {"groups": names(contradicting)},
            )
        )
    within = [g for g in groups if g not in crossing]
    if within:
        found.append(
            Finding(
                "duplicates",
                "note",
                f"{count(len(within), 'image')} with identical copies, which are kept in the same split",
                "",
                {"groups": names(within)},
            )
        )
    return found


def _near_duplicates(dataset: Dataset, scan: Scan, small: NDArray[np.uint16], split: Split) -> list[Finding]:
    """Test images that look like a development image although their bytes differ."""
    known = np.concatenate([split.train, split.val])
    pairs: list[tuple[float, int, int]] = []
    for start in range(0, len(split.test), 2048):
        chunk = split.test[start : start + 2048]
        query, query_flat = unit_thumbnails(small[chunk])
        highest, where = np.full(len(chunk), -1, np.float32), np.zeros(len(chunk), np.int64)
        for first in range(0, len(known), 2048):  # in blocks, so that memory does not grow with the data
            block = known[first : first + 2048]
            reference, flat = unit_thumbnails(small[block])
            likeness = query @ reference.T
            likeness[query_flat] = -1
            likeness[:, flat] = -1
            best = likeness.argmax(axis=1)
            score = likeness[np.arange(len(chunk)), best]
            where = np.where(score > highest, block[best], where)
            highest = np.maximum(score, highest)
        for row in np.flatnonzero(highest >= NEAR):
            i, j = int(chunk[row]), int(where[row])
            if scan.digests[i] != scan.digests[j]:
                pairs.append((float(highest[row]), i, j))
    if not pairs:
        return []
    pairs.sort(reverse=True)
    return [
        Finding(
            "near-duplicates-across-splits",
            "warning",
            f"{count(len(pairs), 'test image')} nearly identical to a training or validation image",
            "inspect the pairs listed in audit.json; use a `group` column to keep the frames of a video together",
            {
                "pairs": [[dataset.source.name(i), dataset.source.name(j), round(s, 4)] for s, i, j in pairs[:50]],
                "images": [dataset.source.name(i) for _, i, _ in pairs],
            },
        )
    ]


def unit_thumbnails(small: NDArray[np.uint16]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Thumbnails as centred unit vectors.

    Args:
        small: thumbnails (N, 16, 16).

    Returns:
        Vectors (N, 256), and a boolean array (N,) that marks thumbnails too flat to compare.
    """
    vectors = small.reshape(len(small), -1).astype(np.float32) / 257
    vectors -= vectors.mean(axis=1, keepdims=True)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(length, 1e-6), length[:, 0] < 5 * THUMBNAIL


def _shortcuts(dataset: Dataset, scan: Scan, pixels: CachedPixels, known: NDArray[np.int64]) -> list[Finding]:
    """Whether mean colour, image size or file type alone predicts the class: a network may learn just that."""
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(0)
    chosen = np.sort(rng.permutation(known)[:4000])
    labels = dataset.labels[chosen]
    counts = np.bincount(labels, minlength=len(dataset.classes))
    keep = counts[labels] >= 5
    chosen, labels = chosen[keep], labels[keep]
    if len(np.unique(labels)) < 2:
        return []
    headers = [scan.headers[i] for i in chosen]
    evidence = {
        "mean colour": np.stack([pixels.array[i].mean(axis=(1, 2)) for i in chosen]),
        "image size": np.array([(h.width, h.height) for h in headers if h]),
        "file type": np.array(
            [
                (word_number(f"{h.format} {h.mode} {PurePath(dataset.source.name(int(i))).suffix}"))
                for h, i in zip(headers, chosen, strict=True)
                if h
            ]
        )[:, None],
    }
    chance, (_, things) = 1 / len(np.unique(labels)), dataset.task.counted
    found = []
    for what, features in evidence.items():
        if (features == features[0]).all():
            continue
        tree = DecisionTreeClassifier(
            max_leaf_nodes=4 * len(dataset.classes),
            min_samples_leaf=2,
            class_weight="balanced",
            random_state=0,
        )
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        score = float(cross_val_score(tree, features, labels, cv=folds, scoring="balanced_accuracy").mean())
        if (score - chance) / (1 - chance) >= 0.8:
            found.append(
                Finding(
                    "shortcut",
                    "warning",
                    f"{what} alone predicts the {things} with a balanced accuracy of "
                    f"{percent(score, 0)} (chance {percent(chance, 0)}): the network may learn nothing else",
                    f"check whether {what} also differs between the {things} in the images that the model will be used "
                    "on; if it does not, remove the difference from the data",
                    {"feature": what, "balanced_accuracy": score, "chance": chance},
                )
            )
    return found


def word_number(text: str) -> int:
    """A number for a word, the same in every process.

    Args:
        text: the word.

    Returns:
        Its CRC-32.
    """
    import zlib

    return zlib.crc32(text.encode())
