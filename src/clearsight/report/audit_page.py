"""The page of a data audit: how many images each split has, and what was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from clearsight.data.audit import Audit
from clearsight.report.figures import bars
from clearsight.report.renderer import SectionsRenderer
from clearsight.tasks.sections import Caveat, Cell, Column, Piece, Section, Table, Text, Tile
from clearsight.wording import count, sentence

CLASSES = 60
"""Classes with a row at most."""


class AuditRenderer(SectionsRenderer[Audit]):
    """Counts, warnings and notes."""

    page, numbers = "audit.html", "audit.json"

    def values(self) -> dict[str, Any]:
        return {**super().values(), "title": f"Audit of {self.result.name}"}

    def tiles(self) -> Sequence[Tile]:
        found = self.result
        warnings = sum(f.severity == "warning" for f in found.findings)
        unreadable = count(len(found.set_aside), "file") + " cannot be read"
        return (
            Tile("Images", f"{found.usable:,}", unreadable, alarming=bool(found.set_aside)),
            Tile("Classes", f"{len(found.classes):,}", found.targets or "one class per image"),
            Tile("Warnings", str(warnings), "listed below with suggested fixes", alarming=bool(warnings)),
        )

    def caveats(self) -> Sequence[Any]:
        return [Caveat(sentence(f.message), sentence(f.fix)) for f in self.result.findings if f.severity == "warning"]

    def sections(self) -> Sequence[Section]:
        return list(self._sections())

    def _sections(self) -> Iterator[Section]:
        found = self.result
        parts = [part for part in found.counts if part != "test"]
        rows = [(name, *(f"{found.counts[part].get(name, 0):,}" for part in parts)) for name in found.classes[:CLASSES]]
        pieces: list[Piece] = [Table(("Class", *parts), tuple(rows)), Text(sentence(found.split_rule))]
        yield Section("images", "Images by class and split", tuple(pieces))
        notes = tuple((f.code, Cell(sentence(f.message))) for f in found.findings if f.severity == "note")
        if notes:
            yield Section("notes", "Notes", (Table(("About", Column("Note", "words")), notes, sortable=False),))
        if found.set_aside:
            aside = tuple((name, Cell(why)) for name, why in list(found.set_aside.items())[:CLASSES])
            table = Table(("File", Column("Reason", "words")), aside, sortable=False)
            yield Section("unreadable", "Unreadable files", (table,))

    def figure(self) -> Any:
        """Images of each class outside the test split."""
        counts = {part: by_class for part, by_class in self.result.counts.items() if part != "test"}
        names = list(self.result.classes[:CLASSES])
        return bars(names, [sum(c.get(name, 0) for c in counts.values()) for name in names], "images")
