"""The list of all networks, in the form each was published in, without building one.

The numbers stand in `catalogue.csv` beside this file, so that listing them takes no time and no torch. They
come from `measure()`, a test holds the two equal, and `python -m clearsight.models.catalogue` writes the file
anew.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import asdict, astuple, dataclass, fields
from importlib.resources import files
from typing import Any, TextIO


@dataclass(frozen=True)
class CatalogueRow:
    """A network in the form it was published in.

    img_size (pixels), channels, classes: of that form. parameters, multiply_adds (of one image),
    receptive_field (pixels): as in `anatomy.Anatomy`. top1, top5: published ImageNet accuracy in percent,
    None where there is none.
    """

    name: str
    year: int
    img_size: int
    channels: int
    classes: int
    parameters: int
    multiply_adds: int
    receptive_field: int
    top1: float | None
    top5: float | None
    paper: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def catalogue() -> list[CatalogueRow]:
    """Every registered network, by name."""
    text = files("clearsight.models").joinpath("catalogue.csv").read_text(encoding="utf-8")
    return [_read(row) for row in csv.DictReader(text.splitlines())]


def measure() -> list[CatalogueRow]:
    """The same rows from the networks themselves: seconds, and torch."""
    from clearsight.models.anatomy import anatomy
    from clearsight.models.zoo import entry, model_names

    rows = []
    for name in model_names():
        known, body = entry(name), anatomy(name)
        rows.append(
            CatalogueRow(
                name=name,
                year=known.year,
                img_size=body.img_size,
                channels=body.channels,
                classes=body.classes,
                parameters=body.parameters,
                multiply_adds=body.multiply_adds,
                receptive_field=body.receptive_field,
                top1=known.top1,
                top5=known.top5,
                paper=known.paper,
            )
        )
    return rows


def _read(row: dict[str, str]) -> CatalogueRow:
    whole = {
        key: int(row[key])
        for key in (
            "year",
            "img_size",
            "channels",
            "classes",
            "parameters",
            "multiply_adds",
            "receptive_field",
        )
    }
    share = {key: float(row[key]) if row[key] else None for key in ("top1", "top5")}
    return CatalogueRow(name=row["name"], paper=row["paper"], **whole, **share)  # type: ignore[arg-type]


def _write(stream: TextIO) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(f.name for f in fields(CatalogueRow))
    writer.writerows(astuple(row) for row in measure())


if __name__ == "__main__":
    _write(sys.stdout)
