"""Templates filled and written whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from clearsight.disk import whole_file

PLACES = ("templates", "components")
"""Folders of templates: whole pages and their sections, and what these are made of."""


def environment(**options: Any) -> Environment:
    """The package's templates; every name from the data is escaped, and a missing value is an error."""
    loader = ChoiceLoader([PackageLoader("clearsight.report", place) for place in PLACES])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, **options)


def write_page(path: Path, template: str, **values: Any) -> None:
    """Write a page, whole or not at all; it opens from disk and loads nothing. OSError when the disk refuses."""
    with whole_file(path) as stream:
        stream.write(environment().get_template(template).render(**values).encode(errors="replace"))
