"""Results that are lists of images: predictions and label issues, as cards and as contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from PIL import Image

from clearsight.csv_cells import as_cell
from clearsight.data.displayed import displayed
from clearsight.disk import disk_errors, whole_file
from clearsight.report.components.label_issues import issue_cards
from clearsight.report.components.pictures import Thumbnail, eight_bits, rgb_thumbnail, thumbnail
from clearsight.report.components.pieces import SIDE
from clearsight.report.figures import sheet_image
from clearsight.report.renderer import SectionsRenderer
from clearsight.report.tiles import Row, Tile, tile_sheet
from clearsight.result import Result
from clearsight.tasks.prediction_cards import card_words
from clearsight.tasks.prediction_list import Predictions
from clearsight.tasks.sections import Card, Cards, Section
from clearsight.train.label_issues import LabelIssues
from clearsight.wording import count, sentence

R = TypeVar("R", bound=Result)


class CardsRenderer(SectionsRenderer[R]):
    """Shows a result by cards."""

    def cards(self) -> Cards:
        """The images with their captions."""
        raise NotImplementedError

    def sections(self) -> Sequence[Section]:
        return (Section("images", "", (self.cards(),)),)

    def figure(self) -> Image.Image:
        """The pictures as one sheet."""
        shown = [(card, self.thumbnail(card)) for card in self.cards().cards]
        tiles = [Tile(rgb_thumbnail(image), card_words(card)) for card, image in shown if image is not None]
        return sheet_image(tile_sheet([Row(self.title, tiles)], side=128))


class PredictionsRenderer(CardsRenderer[Predictions]):
    """Each image with its prediction; the page has a table of all beside it."""

    page, numbers, title = "predictions.html", "predictions.json", "Predictions"
    table = "predictions.csv"

    def files(self) -> tuple[str, ...]:
        return (*super().files(), self.table)

    def write(self, folder: Path) -> Path:
        frame = self.result.to_frame().rename(columns=as_cell)
        content = frame.map(as_cell).to_csv(index=False)
        with disk_errors(folder, "the table", "free some space"), whole_file(folder / self.table) as stream:
            stream.write(content.encode(errors="replace"))
        return super().write(folder)

    def thumbnail(self, card: Card) -> Thumbnail | None:
        pixels = self.result.pixels(card.index, SIDE)
        return None if pixels is None else thumbnail(eight_bits(displayed(pixels, self.result.form.shown)), SIDE)

    def cards(self) -> Cards:
        cards = self.result.cards()
        flagged = self.result.flagged
        words = f"{count(len(self.result), self.result.thing)}"
        if flagged:
            words += f", of which {flagged:,} {'is' if flagged == 1 else 'are'} flagged as unknown"
        if len(cards) < len(self.result):
            words += f"; the first {len(cards)} are shown, and `to_frame()` returns all of them"
        words = " ".join(map(sentence, [words, *self.result.about_sets()]))
        return Cards(cards, words, "No images.", wrong=False)


class LabelIssuesRenderer(CardsRenderer[LabelIssues]):
    """The images whose labels are probably wrong."""

    page, numbers, title = "label_issues.html", "label_issues.json", "Label issues"

    def verdict(self) -> str:
        return self.result.summary()

    def thumbnail(self, card: Card) -> Thumbnail | None:
        return self.result.pictures.get(card.index)

    def cards(self) -> Cards:
        cards = issue_cards(self.result)
        if len(cards.cards) == len(self.result.found):
            return cards
        words = f"The first {len(cards.cards)} of {len(self.result.found):,} are shown; `found` contains all of them."
        return Cards(cards.cards, words, cards.none)
