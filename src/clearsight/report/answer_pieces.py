"""What pages about runs that give no classes are made of: tiles, a table of scores, cards of what is far off."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from clearsight.report.pictures import Picture

SHOWN = 24
"""Pictures of images that are far off, at most."""

SIDE = 160
"""Longest side of such a picture in pixels."""


@dataclass(frozen=True)
class Tile:
    """One figure of the verdict, and what it means."""

    title: str
    figure: str
    words: str
    bar: Markup | None = None


@dataclass(frozen=True)
class Card:
    """An image that is far off."""

    picture: Picture
    image: str
    said: str
    truth: str


@dataclass(frozen=True)
class Table:
    """Scores, a row each, the first cell its name."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: str
