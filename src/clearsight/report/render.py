"""Templates filled and written whole."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import BytecodeCache, ChoiceLoader, Environment, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup

from clearsight.disk import whole_file
from clearsight.json_values import to_json
from clearsight.wording import percent, visible

PLACES = ("templates", "components")
"""Folders of templates: whole pages and their sections, and what these are made of."""


class _Compiled(BytecodeCache):
    """Templates that this process has compiled, which takes longer than filling them, for the next environment."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, Any]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        checksum, code = self._known.get(bucket.key, ("", None))
        if checksum == bucket.checksum:
            bucket.code = code

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._known[bucket.key] = bucket.checksum, bucket.code


@cache
def _compiled(options: frozenset[tuple[str, Any]]) -> _Compiled:
    """Those of environments with the same options, which the code depends on."""
    return _Compiled()


def environment(**options: Any) -> Environment:
    """The package's templates; every name from the data is escaped, and a missing value is an error."""
    loader = ChoiceLoader([PackageLoader("clearsight.report", place) for place in PLACES])
    known = _compiled(frozenset(options.items()))
    made = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, bytecode_cache=known, finalize=_shown, **options
    )
    made.filters["percent"] = percent
    made.filters["data_block"] = data_block
    return made


def data_block(value: Any) -> Markup:
    """JSON for a <script> of data: no text in it can end the element."""
    text = to_json(value, indent=None)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _shown(value: Any) -> Any:
    """Text from the data, its control characters escaped; markup of our own as it is."""
    return visible(value, lines=True) if type(value) is str else value


def write_page(path: Path, template: str, **values: Any) -> None:
    """Write a page, whole or not at all; it opens from disk and loads nothing. OSError when the disk refuses."""
    with whole_file(path) as stream:
        stream.write(environment().get_template(template).render(**values).encode(errors="replace"))
