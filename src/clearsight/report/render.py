"""Templates filled and written whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from clearsight.disk import whole_file


def environment(**options: Any) -> Environment:
    """The package's templates; every name from the data is escaped, and a missing value is an error."""
    return Environment(loader=PackageLoader("clearsight.report"), autoescape=True, undefined=StrictUndefined, **options)


def write_page(path: Path, template: str, **values: Any) -> None:
    """Write a page, whole or not at all; it opens from disk and loads nothing. OSError when the disk refuses."""
    with whole_file(path) as stream:
        stream.write(environment().get_template(template).render(**values).encode(errors="replace"))
