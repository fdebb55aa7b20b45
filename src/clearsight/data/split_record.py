"""Which images a model was trained, validated and tested on, by their content: the `split.csv` of a run.

An image is identified by the digest of its pixels as the model sees them, decoded and at working size. So it is
recognised under another path, name or order, in another table, archive or array, and with another label; and where the
images of a run have to be found again, nothing depends on paths or seeds.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearsight.csv_cells import from_cell
from clearsight.data.dataset import Dataset
from clearsight.data.prepare import Prepared
from clearsight.disk import read_within, write_table
from clearsight.errors import BundleError

FILE = "split.csv"
COLUMNS = ("name", "content", "target", "part")
PARTS = ("train", "val", "test", "unused")
"""From the part that decides, where one content stands in several, to the one that matters least."""

EARLIER = "earlier "
"""What stands before the part of an image that only a run before this one had in it."""


def target_digest(dataset: Dataset, i: int) -> str:
    """Names what image i shows, or the values to predict of it, whatever the order of the classes. Labels that do not
    hold are not part of it, so it stays the same where other images get a new label.
    """
    if dataset.values is None:
        label = int(dataset.labels[i])
        return class_digest(dataset.classes[label] if label >= 0 else "")
    pairs = zip(dataset.names, dataset.values[i].tolist(), strict=True)
    return class_digest("\n".join(f"{name}={value!r}" for name, value in sorted(pairs) if value))


def class_digest(text: str) -> str:
    """Names a target by its text: the name of a class, or all values."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def targets_digest(dataset: Dataset) -> str:
    """Names all targets of a data set, in order."""
    digests = (target_digest(dataset, i) for i in range(len(dataset)))
    return hashlib.blake2b("\n".join(digests).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class SplitRecord:
    """The images of a run, one entry each: name, digest of the content ("" where it could not be read), digest of the
    target, and part: "train", "val", "test" or "unused".

    earlier: the part, by content, of images that are in none of the first three but were in those runs that this one
    continues: its weights may be fitted to them.
    """

    names: tuple[str, ...]
    contents: tuple[str, ...]
    targets: tuple[str, ...]
    parts: tuple[str, ...]
    earlier: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, prepared: Prepared) -> SplitRecord:
        """The record of data that is ready for training."""
        dataset = prepared.dataset
        part = np.full(len(dataset), "unused", dtype="<U6")
        for name, rows in prepared.split.parts().items():
            part[rows] = name
        return cls(
            tuple(dataset.source.name(i) for i in range(len(dataset))),
            prepared.pixels.contents,
            tuple(target_digest(dataset, i) for i in range(len(dataset))),
            tuple(part.tolist()),
        )

    def after(self, before: SplitRecord) -> SplitRecord:
        """The same of a run that continues that of another record."""
        own = {content for content, part in self._part_of.items() if part != "unused"}
        known = {**before.earlier, **{content: part for content, part in before._part_of.items() if part != "unused"}}
        return replace(self, earlier={content: part for content, part in known.items() if content not in own})

    @classmethod
    def load(cls, folder: Path) -> SplitRecord | None:
        """The record in a folder, or None where it has none; BundleError for one that cannot be read."""
        if not (folder / FILE).exists():
            return None
        text = read_within(folder, FILE).decode(errors="replace")
        rows = list(csv.reader(io.StringIO(text, newline="")))
        columns = tuple(rows[0]) if rows else ()
        allowed = {*PARTS, *(EARLIER + part for part in PARTS)}
        if columns != COLUMNS or any(len(row) != len(COLUMNS) or row[3] not in allowed for row in rows[1:]):
            raise BundleError(
                f"{folder / FILE} cannot be read",
                found=f"columns {', '.join(columns)[:80]!a}" if columns else "an empty file",
                expected=f"columns {', '.join(COLUMNS)}, where part is one of {', '.join(PARTS)}",
                fix="restore it from a backup, or train again",
            )
        rows = [[from_cell(cell) for cell in row] for row in rows]
        own = [row for row in rows[1:] if not row[3].startswith(EARLIER)]
        earlier = {row[1]: row[3].removeprefix(EARLIER) for row in rows[1:] if row[3].startswith(EARLIER)}
        names, contents, targets, parts = (tuple(row[k] for row in own) for k in range(len(COLUMNS)))
        return cls(names, contents, targets, parts, earlier)

    def save(self, folder: Path) -> None:
        """Write `split.csv` into a folder."""
        rows = list(zip(self.names, self.contents, self.targets, self.parts, strict=True))
        rows += [("", content, "", EARLIER + part) for content, part in self.earlier.items()]
        write_table(folder / FILE, [dict(zip(COLUMNS, row, strict=True)) for row in rows], COLUMNS)

    @cached_property
    def digest(self) -> str:
        """Names the record, without the images' names and order."""
        lines = [f"{c} {t} {p}" for c, t, p in zip(self.contents, self.targets, self.parts, strict=True)]
        lines += [f"{content} {EARLIER}{part}" for content, part in self.earlier.items()]
        return hashlib.blake2b("\n".join(sorted(lines)).encode(), digest_size=16).hexdigest()

    @cached_property
    def _part_of(self) -> dict[str, str]:
        by_rank = sorted(zip(self.parts, self.contents, strict=True), key=lambda entry: -PARTS.index(entry[0]))
        return {content: part for part, content in by_rank if content}

    @cached_property
    def _targets_of(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for content, target in zip(self.contents, self.targets, strict=True):
            found.setdefault(content, set()).add(target)
        return found

    def parts_of(self, contents: Sequence[str]) -> NDArray[np.str_]:
        """The part in which each content stands (N,), "" for one that is not recorded."""
        return np.array([self._part_of.get(content, "") for content in contents], dtype="<U6")

    def earlier_parts_of(self, contents: Sequence[str]) -> NDArray[np.str_]:
        """The part in which an earlier run had each content (N,), "" where this run has it, or none had."""
        return np.array([self.earlier.get(content, "") for content in contents], dtype="<U6")

    def count(self, part: str) -> int:
        """Different contents of a part."""
        return sum(1 for own in self._part_of.values() if own == part)

    def changed(self, content: str, target: str) -> bool:
        """Whether an image is recorded, but not with this target."""
        return content in self._targets_of and target not in self._targets_of[content]
