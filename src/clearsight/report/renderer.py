"""How a result is written and shown: what `display` has for each type of result.

A page and the fragment that a notebook shows are made from one template: `layout` is the page around its main block.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from clearsight.disk import whole_file, write_json
from clearsight.report.components.pictures import Thumbnail, image_uri
from clearsight.report.components.pieces import PieceFilters
from clearsight.report.figures import sheet_image, stacked
from clearsight.report.render import environment
from clearsight.result import Result
from clearsight.tasks.panel import TrustPanel
from clearsight.tasks.sections import Card, Section, Tile

R = TypeVar("R", bound=Result)


class Renderer(ABC, Generic[R]):
    """Writes, draws and shows one result. Subclasses name the template and its values."""

    template = "result.html"
    page = ""
    """File name of the page."""
    numbers = ""
    """File name of the numbers as JSON."""
    trimmed = False
    """Whether the template's own lines leave no empty ones."""

    def __init__(self, result: R) -> None:
        self.result = result

    def files(self) -> tuple[str, ...]:
        """Names of the files that `write` makes."""
        return tuple(name for name in (self.page, self.numbers) if name)

    def write(self, folder: Path) -> Path:
        """Write the files into a folder that exists; the page, or the folder where there is none."""
        if self.page:
            with whole_file(folder / self.page) as stream:
                stream.write(self._rendered("plain.html").encode(errors="replace"))
        if self.numbers:
            write_json(folder / self.numbers, self.result.to_dict())
        return folder / self.page if self.page else folder

    def fragment(self) -> Markup:
        """The page's content with the styles it needs, for a notebook."""
        return unique_idents(without_landmarks(self._rendered("fragment.html")))

    def thumbnail(self, card: Card) -> Thumbnail | None:
        """The image of a card; None where the result has none of it."""
        return None

    @abstractmethod
    def values(self) -> dict[str, Any]:
        """What the template shows."""

    @abstractmethod
    def figure(self) -> Any:
        """A matplotlib figure, or a PIL image."""

    def _rendered(self, layout: str) -> str:
        templates = environment(trim_blocks=self.trimmed, lstrip_blocks=self.trimmed)
        templates.filters.update(PieceFilters(self.thumbnail).filters())
        templates.filters["nested"] = nested_css
        return templates.get_template(self.template).render(layout=layout, **self.values())


class SectionsRenderer(Renderer[R]):
    """Shows a result by the report's pieces."""

    trimmed = True
    title = ""

    def values(self) -> dict[str, Any]:
        return {
            "title": self.title, "verdict": self.verdict(), "tiles": self.tiles(), "sections": self.sections(),
            "caveats": self.caveats(), "sheets": (), "text": "", "panel": self.panel(),
        }  # fmt: skip

    def verdict(self) -> str:
        """The first sentences; `code` and **bold** stand out."""
        return ""

    def tiles(self) -> Sequence[Tile]:
        """Single figures."""
        return ()

    def caveats(self) -> Sequence[Any]:
        """Reasons to trust the result less."""
        return ()

    def panel(self) -> TrustPanel | None:
        """The trust panel, where the result has one."""
        return None

    @abstractmethod
    def sections(self) -> Sequence[Section]:
        """What follows."""


class PicturesRenderer(SectionsRenderer[R]):
    """Shows a result by pictures, one for each image."""

    def values(self) -> dict[str, Any]:
        sheets = [{"uri": image_uri(sheet_image(pixels)), "alt": alt} for pixels, alt in self.sheets()]
        return {**super().values(), "sheets": sheets}

    def sections(self) -> Sequence[Section]:
        return ()

    @abstractmethod
    def sheets(self) -> Sequence[tuple[NDArray[np.floating], str]]:
        """Pictures (H, W, 3) in [0, 1], and what each shows in words."""

    def figure(self) -> Image.Image:
        """The pictures below each other."""
        return stacked([sheet_image(pixels) for pixels, _ in self.sheets()])


def nested_css(css: str) -> str:
    """The page's style sheet for use inside a rule: what it says of the whole page holds for that rule's element."""
    return re.sub(r"(?m)^(\s*)(?::root|body)(?= \{)", r"\1&", str(css))  # Markup would escape what is put in


def without_landmarks(html: str) -> str:
    """A fragment whose sections are not landmarks of the page around: several results have sections of one name."""
    html = re.sub(r'(<section id="[^"]*") aria-labelledby="[^"]*"', r"\1", html)
    return html.replace('role="region"', 'role="group"')


def unique_idents(html: str) -> Markup:
    """A fragment whose ids are its own among other fragments on a page."""
    own = "cs" + hashlib.sha256(html.encode()).hexdigest()[:8]

    def renamed(match: re.Match[str]) -> str:
        return f'{match[1]}="{" ".join(f"{own}-{word}" for word in match[2].split())}"'

    found = re.sub(r'(?<= )(id|aria-labelledby)="([^"]*)"', renamed, html)
    return Markup(re.sub(r'(?<= )href="#([^"]+)"', rf'href="#{own}-\1"', found))
