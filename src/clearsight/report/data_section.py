"""What the page says about the data: facts, splits, sample images and the audit's findings, as plain dataclasses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from clearsight.data.audit import Finding
from clearsight.data.prepare import Prepared
from clearsight.report.components.charts import share_bar
from clearsight.report.components.pictures import picture
from clearsight.wording import count, sentence

SAMPLES = 80
"""Sample images on the page, shared out evenly among the classes within the limits below."""

SAMPLES_PER_CLASS = (4, 12)
CLASSES_WITH_SAMPLES = 40
SAMPLE_SIDE = 120
"""Longest side in pixels of a sample image; it is shown smaller, so that it is crisp on dense screens too."""

EVIDENCE_LINES = 20
SET_ASIDE_LINES = 200

PART_NAMES = {"train": "training", "val": "validation", "test": "test"}
PART_ROLES = {
    "train": "images the model was trained on",
    "val": "images for model selection and calibration",
    "test": "held-out images, used once for the final evaluation",
}
FITS = {"squash": ", stretched to fit", "pad": ", padded to keep the aspect ratio", "crop": ", centre crop"}


Row = dict[str, Any]
"""What a row or card of the page shows, by the names that the template knows."""


@dataclass(frozen=True)
class DataSection:
    """Everything in the section on the data.

    parts: of the split. class_counts: development images of each class, and a bar of them. samples: classes with some
    of their development images. findings: of the audit, in sentences, their evidence line by line, and how many `more`
    lines are left out.
    """

    facts: tuple[tuple[str, str], ...]
    parts: tuple[Row, ...]
    parts_bar: Markup
    split_rule: str
    class_counts: tuple[Row, ...]
    samples: tuple[Row, ...]
    stretched: bool
    shown_words: str
    findings: tuple[Row, ...]
    set_aside: tuple[tuple[str, str], ...]
    set_aside_more: int
    group: str


def data_section(prepared: Prepared) -> DataSection:
    """Collect the section; reads one row of the pixel cache for every sample image."""
    audit, split = prepared.audit, prepared.split
    sizes = {name: len(rows) for name, rows in split.parts().items()}
    total = max(1, sum(sizes.values()))
    parts: tuple[Row, ...] = tuple(
        {"key": k, "name": PART_NAMES[k], "role": PART_ROLES[k], "images": n, "share": n / total}
        for k, n in sizes.items()
    )
    set_aside = tuple(audit.set_aside.items())
    samples = tuple(_samples(prepared))
    classes = count(len(audit.classes), *prepared.dataset.task.counted)
    return DataSection(
        facts=tuple(_facts(prepared)),
        parts=parts,
        parts_bar=share_bar([(p["key"], p["share"]) for p in parts]),
        split_rule=sentence(audit.split_rule),
        class_counts=tuple(_class_counts(prepared)),
        samples=samples,
        stretched=prepared.form.bits == 16,
        shown_words=f"The first {CLASSES_WITH_SAMPLES} of {classes} are shown."
        if len(audit.classes) > CLASSES_WITH_SAMPLES
        else "",
        findings=tuple(
            _in_words(f) for f in sorted(audit.findings, key=lambda f: ("error", "warning", "note").index(f.severity))
        ),
        set_aside=set_aside[:SET_ASIDE_LINES],
        set_aside_more=max(0, len(set_aside) - SET_ASIDE_LINES),
        group=prepared.dataset.task.words_used.group,
    )


def _facts(prepared: Prepared) -> Iterator[tuple[str, str]]:
    audit, form, geometry = prepared.audit, prepared.form, prepared.geometry
    pixels: dict[str, Any] = audit.pixels
    unusable = audit.images - audit.usable
    yield "Images", f"{audit.images:,}" + (f" ({unusable:,} set aside)" if unusable else "")
    yield prepared.dataset.task.words_used.names[1].capitalize(), f"{len(prepared.dataset.names):,}"
    if pixels["width"][0] == pixels["width"][2] and pixels["height"][0] == pixels["height"][2]:
        yield "Size", f"{pixels['width'][0]:,}\u00a0×\u00a0{pixels['height'][0]:,} pixels, all images"
    else:
        yield "Width", _extent(pixels["width"])
        yield "Height", _extent(pixels["height"])
    yield "Colour", f"{form.colours}, {form.bits} bits per channel"
    if form.channels not in (1, 3) or form.bands:
        yield "Channels displayed", ", ".join(str(k + 1) for k in form.shown)
    if form.value_range:
        yield "Values of black and white", "{:g} and {:g}".format(*form.value_range)
    if set(pixels["formats"]) != {"array"}:
        yield "Files", ", ".join(f"{n:,} {name}" for name, n in pixels["formats"].items())
    fitting = "" if prepared.scan.all_square else FITS[geometry.resize_mode]
    yield "Network input", f"{geometry.width}\u00a0×\u00a0{geometry.height} pixels{fitting}"
    yield "Source", audit.origin


def _extent(low_median_high: list[int]) -> str:
    low, median, high = low_median_high
    return f"{low:,} pixels" if low == high else f"{low:,} to {high:,} pixels, median {median:,}"


def _class_counts(prepared: Prepared) -> Iterator[Row]:
    classes, counts = prepared.audit.classes, prepared.audit.counts
    pairs = [(counts["train"].get(name, 0), counts["val"].get(name, 0)) for name in classes]
    most = max(1, max(train + val for train, val in pairs))
    for name, (train, val) in zip(classes, pairs, strict=True):
        bar = share_bar([("train", train / most), ("val", val / most)])
        yield {"name": name, "train": train, "val": val, "bar": bar}


def _samples(prepared: Prepared) -> Iterator[Row]:
    """Images spread evenly over the development images of each class, the same ones every time."""
    known = np.sort(np.concatenate([prepared.split.train, prepared.split.val]))
    labels = prepared.labels[known]
    shown = prepared.audit.classes[:CLASSES_WITH_SAMPLES]
    least, most = SAMPLES_PER_CLASS
    each = min(most, max(least, SAMPLES // len(shown)))
    for c, name in enumerate(shown):
        members = known[labels == c]
        if not len(members):
            continue  # a class of anomalies, which are for the test alone
        places = np.unique(np.linspace(0, len(members) - 1, min(each, len(members))).round().astype(int))
        pictures = [
            picture(prepared, int(i), SAMPLE_SIDE, f"labelled {name}: {prepared.dataset.source.name(int(i))}")
            for i in members[places]
        ]
        yield {"name": name, "images": len(members), "pictures": pictures}


def _in_words(finding: Finding) -> Row:
    lines = list(_evidence(finding.evidence))
    return {
        "severity": finding.severity,
        "message": sentence(finding.message),
        "fix": sentence(finding.fix),
        "evidence": lines[:EVIDENCE_LINES],
        "more": max(0, len(lines) - EVIDENCE_LINES),
    }


def _evidence(evidence: dict[str, Any]) -> Iterator[str]:
    """Evidence of any finding as lines: lists by item, items of several parts side by side, mappings by key."""
    for key, value in evidence.items():
        if isinstance(value, dict):
            for name, n in value.items():
                yield f"{name}: {count(n, 'image')}" if isinstance(n, int) else f"{name}: {n}"
        elif isinstance(value, list | tuple):
            for item in value:
                yield " · ".join(map(str, item)) if isinstance(item, list | tuple) else str(item)
        else:
            yield (
                f"{key.replace('_', ' ')}: {value:.3g}"
                if isinstance(value, float)
                else f"{key.replace('_', ' ')}: {value}"
            )
