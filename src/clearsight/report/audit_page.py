"""The page of a data audit: how many images each split has, what was found, and the images that the findings name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from clearsight.data.audit import Audit, Finding
from clearsight.data.audit_pictures import AuditPictures, Shown
from clearsight.report.components.pictures import Thumbnail
from clearsight.report.figures import bars
from clearsight.report.renderer import SectionsRenderer
from clearsight.tasks.sections import (
    Card,
    Cards,
    Caveat,
    Cell,
    Charts,
    Column,
    Folded,
    Piece,
    ScatterChart,
    Section,
    Table,
    Text,
    Tile,
)
from clearsight.wording import count, sentence

CLASSES = 60
"""Classes with a row at most."""

UNSEEN = "Images of the test split are not counted by class, because the audit does not read their labels."

FILES = 200
"""Files of a finding that the page lists at most; audit.json has all."""


class AuditRenderer(SectionsRenderer[Audit]):
    """Counts, warnings and notes, with pictures where the audit has them."""

    page, numbers = "audit.html", "audit.json"

    def __init__(self, result: Audit) -> None:
        super().__init__(result)
        self.drawn: list[Thumbnail] = []

    def values(self) -> dict[str, Any]:
        return {**super().values(), "title": f"Audit of {self.result.name}", "caveats_title": "Findings to act on"}

    def tiles(self) -> Sequence[Tile]:
        found = self.result
        unreadable = count(len(found.set_aside), "file") + " cannot be read"
        return (
            Tile("Images", f"{found.usable:,}", unreadable, alarming=bool(found.set_aside)),
            Tile("Classes", f"{len(found.classes):,}", found.targets or "one class per image"),
            Tile(
                "Warnings",
                str(found.errors + found.warnings),
                "listed below with suggested fixes",
                alarming=bool(found.errors + found.warnings),
            ),
        )

    def caveats(self) -> Sequence[Any]:
        return [Caveat(sentence(f.message), sentence(f.fix)) for f in self.result.findings if f.severity != "note"]

    def thumbnail(self, card: Card) -> Thumbnail | None:
        return self.drawn[card.index]

    def sections(self) -> Sequence[Section]:
        return list(self._sections())

    def _sections(self) -> Iterator[Section]:
        found = self.result
        pictures: AuditPictures | None = found.pictures
        parts = [part for part in found.counts if part != "test"]
        rows = [(name, *(f"{found.counts[part].get(name, 0):,}" for part in parts)) for name in found.classes[:CLASSES]]
        pieces: list[Piece] = [Table(("Class", *parts), tuple(rows)), Text(f"{sentence(found.split_rule)} {UNSEEN}")]
        yield Section("images", "Images by class and split", tuple(pieces))
        for k, finding in enumerate(found.findings):
            shown = pictures.found.get(k, ()) if pictures else ()
            if finding.files():
                yield self._finding(k, finding, shown)
        if pictures:
            yield from self._pictures(pictures)
        notes = tuple((f.code, Cell(sentence(f.message))) for f in found.findings if f.severity == "note")
        if notes:
            yield Section("notes", "Notes", (Table(("About", Column("Note", "words")), notes, sortable=False),))
        if found.set_aside:
            aside = tuple((name, Cell(why)) for name, why in list(found.set_aside.items())[:CLASSES])
            table = Table(("File", Column("Reason", "words")), aside, sortable=False)
            yield Section("unreadable", "Unreadable files", (table,))

    def _finding(self, k: int, finding: Finding, shown: Sequence[Shown]) -> Section:
        """The images of a finding, and the list of its files."""
        files = finding.files()
        pieces: list[Piece] = [Text(sentence(finding.message))]
        if shown:
            pieces.append(self._cards(shown))
        rows = tuple((str(number), Cell(line)) for number, line in enumerate(files[:FILES], 1))
        more = f"The first {FILES} of {len(files):,}; audit.json lists all." if len(files) > FILES else ""
        table = Table(("", Column("Image", "words")), rows, more, sortable=False)
        pieces.append(Folded(f"List of files ({count(len(files), 'entry', 'entries')})", (table,)))
        return Section(f"finding-{k}", sentence(finding.code.replace("-", " ")).rstrip("."), tuple(pieces))

    def _pictures(self, pictures: AuditPictures) -> Iterator[Section]:
        means = [Shown(mean, name, "") for name, mean in pictures.means.items()]
        words = (
            "The mean of up to 200 images of each class. A sharp detail or a tint in one mean only may be a shortcut."
        )
        yield Section("means", "Class means", (self._cards(means, words),))
        width, height = pictures.sizes.T
        chart = ScatterChart("Image sizes", width, height, "width in pixels", "height in pixels")
        yield Section("sizes", "Image sizes", (Charts((chart,)),))
        if pictures.preview_words:
            piece = (
                self._cards(pictures.preview, pictures.preview_words)
                if pictures.preview
                else Text(pictures.preview_words)
            )
            yield Section("preview", "Augmentation", (piece,))

    def _cards(self, shown: Sequence[Shown], words: str = "") -> Cards:
        """Pictures with their names."""
        first = len(self.drawn)
        self.drawn += [one.picture for one in shown]
        cards = tuple(
            Card(first + k, one.names, (("", one.words),) if one.words else ()) for k, one in enumerate(shown)
        )
        return Cards(cards, words, wrong=False)

    def figure(self) -> Any:
        """Images of each class outside the test split."""
        counts = {part: by_class for part, by_class in self.result.counts.items() if part != "test"}
        names = list(self.result.classes[:CLASSES])
        return bars(names, [sum(c.get(name, 0) for c in counts.values()) for name in names], "images")
