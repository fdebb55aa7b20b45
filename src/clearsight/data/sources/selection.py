"""What the user selects of data that can be read in several ways: `pets.csv#label=breed`, `photos#format=folder`."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, fields, replace

from clearsight.errors import DataError, nearest

FORMATS = {
    "folder": "one folder per class",
    "table": "the table of metadata next to the images",
    "webdataset": "a file of labels next to each image",
    "classification": "the categories of each image",
    "detection": "a box per object",
}
"""Values of `format`, and what is read by each."""


@dataclass(frozen=True)
class Selection:
    """How to read data that can be read in several ways; an empty text leaves it open.

    label: column, field or array of labels. image: column or array of images. format: one of `FORMATS`.
    """

    label: str = ""
    image: str = ""
    format: str = ""

    def of(self, place: str) -> str:
        """A data set as the user writes it with this selection.

        Args:
            place: path or URL.

        Returns:
            The path or URL alone where nothing is selected.

        Example:
            >>> Selection(label="breed").of("pets.csv")
            'pets.csv#label=breed'
        """
        chosen = [f"{field.name}={_quoted(value)}" for field in fields(self) if (value := getattr(self, field.name))]
        return place + ("#" + "&".join(chosen) if chosen else "")

    def command(self, place: str, **chosen: str) -> str:
        """The command that reads data in one of the possible ways, for error messages.

        Args:
            place: path or URL.
            **chosen: what it selects beside what is selected here.

        Returns:
            The command in backticks.
        """
        return f"`clearsight train {shlex.quote(replace(self, **chosen).of(place))}`"

    def only(self, place: str, *useful: str) -> None:
        """Require that every selection has an effect.

        Args:
            place: path or URL.
            *useful: selections that have one, such as `label` or `format=folder`.

        Raises:
            DataError: another one is made.
        """
        for name, value in vars(self).items():
            if value and name not in useful and f"{name}={value}" not in useful:
                ways = [f"#{one}" if "=" in one else f"#{one}=NAME" for one in useful]
                raise DataError(
                    f"the selection #{name}={value} does not apply to {place}",
                    expected=" or ".join(ways) or "no selection",
                    fix=f"without it, use {self.command(place, **{name: ''})}",
                )  # fmt: skip


def selected(data: str) -> tuple[str, Selection]:
    """Separate a data set as the user writes it from what is selected of it.

    Args:
        data: a path or URL, perhaps followed by `#` and selections separated by `&`. A path that exists is never taken
            apart, nor is one whose folder has a `#` in its name. In a value, %23, %25 and %26 are `#`, `%` and `&`.

    Returns:
        The path or URL, and the selection.

    Raises:
        DataError: a selection is unknown.

    Example:
        >>> selected("pets.csv#label=breed&image=photo")
        ('pets.csv', Selection(label='breed', image='photo', format=''))
    """
    place, mark, chosen = data.rpartition("#")
    if not mark or "=" not in chosen or not place or os.path.lexists(data) or _in_folder(place, chosen):
        return data, Selection()
    known = [field.name for field in fields(Selection)]
    found: dict[str, str] = {}
    for one in chosen.split("&"):
        name, equals, value = one.partition("=")
        if name not in known or not equals or not value or name in found:
            advice = "in a name, write `&` as `%26`"
            if equals:
                advice = "" if name in known else nearest(name, known, "selections")
            raise DataError(
                f"the selection after # in {data} cannot be read", found=repr(one),
                expected=f"{', '.join(f'{name}=...' for name in known)}, separated by &", fix=advice,
            )  # fmt: skip
        found[name] = _unquoted(value)
    if found.get("format", "") not in ("", *FORMATS):
        raise DataError(
            f"unknown format {found['format']!r} in {data}", expected=", ".join(FORMATS),
            fix=nearest(found["format"], FORMATS, "formats"),
        )  # fmt: skip
    return place, Selection(**found)


def _in_folder(place: str, chosen: str) -> bool:
    """Whether the `#` is in the name of a folder that exists: `set#k=1/photos.zip/labels.csv`."""
    name, slash, _ = chosen.partition("/")
    return bool(slash) and os.path.isdir(f"{place}#{name}")  # noqa: PTH112 - False for names too long


def _quoted(value: str) -> str:
    """A value without the characters that separate selections."""
    return value.replace("%", "%25").replace("#", "%23").replace("&", "%26")


def _unquoted(value: str) -> str:
    return value.replace("%23", "#").replace("%26", "&").replace("%25", "%")
