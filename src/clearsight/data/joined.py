"""Several lists of images as one: the images of a run, and those that are added to them."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from clearsight.data.dataset import Listing, Source, encode_labels, natural_key
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import Header, PixelFormat, Pixels
from clearsight.data.sample import Chosen
from clearsight.data.targets import Stated
from clearsight.errors import DataError


@dataclass(frozen=True)
class Joined:
    """The images of several sources, one source behind the other. names: what stands before the names of each one's
    images, "" for nothing.
    """

    sources: tuple[Source, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ends", list(accumulate(map(len, self.sources))))

    def __len__(self) -> int:
        return sum(map(len, self.sources))

    def _place(self, i: int) -> tuple[int, int]:
        """Number of the source of image i, and its place there."""
        ends: list[int] = self._ends  # type: ignore[attr-defined]
        number = bisect.bisect_right(ends, i)
        return number, i - (ends[number - 1] if number else 0)

    def name(self, i: int) -> str:
        number, place = self._place(i)
        own = self.sources[number].name(place)
        return f"{self.names[number]}/{own}" if self.names[number] else own

    def inspect(self, i: int) -> tuple[str, Header, int]:
        number, place = self._place(i)
        return self.sources[number].inspect(place)

    def decode(self, i: int, form: PixelFormat, geometry: Geometry, expected: str = "") -> Pixels:
        number, place = self._place(i)
        return self.sources[number].decode(place, form, geometry, expected)


def some_of(listing: Listing, rows: NDArray[np.int64]) -> Listing:
    """Some of the images of a list, and what is stated about them."""
    return replace(
        listing,
        source=Chosen(listing.source, rows),
        given=listing.given[rows],
        stated=listing.stated.rows(rows.tolist()),
        groups=None if listing.groups is None else listing.groups[rows],
        group_names=None if listing.group_names is None else listing.group_names[rows],
        metadata={name: column[rows] for name, column in listing.metadata.items()},
    )


def joined(listings: Sequence[Listing]) -> Listing:
    """Several lists as one, named as the first; its origin is that of the last, which was added to the others.

    Raises DataError where they state labels in different ways.
    """
    first, last = listings[0], listings[-1]
    if len(listings) == 1:
        return first
    groups, group_names = _groups(listings)
    numbers = accumulate((1 + len(one.added_to) for one in listings), initial=1)
    columns: Mapping[str, None] = dict.fromkeys(name for one in listings for name in one.metadata)
    return Listing(
        name=first.name,
        source=Joined(
            tuple(one.source for one in listings),
            tuple("" if n == 1 else f"{one.name} {n}" for n, one in zip(numbers, listings, strict=False)),
        ),
        given=np.concatenate([one.given for one in listings]),
        stated=_stated([one.stated for one in listings]),
        groups=groups,
        notes=tuple(dict.fromkeys(note for one in listings for note in one.notes)),
        losses=tuple(dict.fromkeys(loss for one in listings for loss in one.losses)),
        metadata={
            name: np.concatenate([one.metadata.get(name, np.full(len(one.given), "")) for one in listings])
            for name in columns
        },
        group_names=group_names,
        added_to=(*(origin for one in listings[:-1] for origin in (*one.added_to, one.stated.origin)), *last.added_to),
    )


def _groups(listings: Sequence[Listing]) -> tuple[NDArray[np.int64] | None, NDArray[np.str_] | None]:
    """Numbers and names of the groups of all images: those of one name are one group, those without a name are groups
    of their own list.
    """
    if all(one.groups is None for one in listings):
        return None, None
    words, names = [], []
    for k, one in enumerate(listings):
        for i in range(len(one.given)):
            name = "" if one.group_names is None else str(one.group_names[i])
            own = f"\t{k} {i}" if one.groups is None else f"\t{k} group {one.groups[i]}"
            words.append(name or own)
            names.append(name)
    return encode_labels(words)[0], np.array(names)


def _stated(several: Sequence[Stated]) -> Stated:
    """What all state; DataError where some state names and others numbers, or numbers of other columns."""
    first = several[0]
    labelled = all(one.cells is not None for one in several)
    numbered = all(one.numbers is not None and set(one.columns) == set(first.columns) for one in several)
    if not labelled and not numbered:
        ways = [
            f"columns {', '.join(one.columns)[:60]}" if one.cells is None else "one label per image" for one in several
        ]
        raise DataError(
            "added images must be labelled in the same way as the existing ones",
            found=f"{ways[-1]} in {several[-1].origin}, and {ways[0]} in {first.origin}",
            expected=f"{ways[0]} in both",
            fix=f"label the images of {several[-1].origin} like those of {first.origin}",
        )
    cells = numbers = None
    if labelled:
        cells = tuple(cell for one in several for cell in one.cells or ())
    if numbered:
        parts = [one.numbers[:, [one.columns.index(name) for name in first.columns]] for one in several]  # type: ignore[index]
        numbers = np.concatenate(parts)
    weights = None
    if any(one.weights is not None for one in several):
        sizes = [len(one.cells) if one.cells is not None else len(one.numbers) for one in several]  # type: ignore[arg-type]
        weights = np.concatenate(
            [
                np.ones(n, np.float32) if one.weights is None else one.weights
                for one, n in zip(several, sizes, strict=True)
            ]
        )
    return replace(
        first,
        origin=several[-1].origin,
        cells=cells,
        columns=first.columns if numbered else (),
        numbers=numbers,
        listed=any(one.listed for one in several),
        classes=_order(several, cells or ()),
        weights=weights,
        weight_note=next((one.weight_note for one in several if one.weight_note), ""),
        where=tuple(word for one in several for word in one.where) if all(one.where for one in several) else (),
    )


def _order(several: Sequence[Stated], cells: Sequence[str]) -> tuple[str, ...] | None:
    """The order of classes where one of the sources fixes one, and the other classes behind them."""
    fixed = list(dict.fromkeys(name for one in several for name in one.classes or ()))
    if not fixed:
        return None
    return (*fixed, *sorted(set(cells) - set(fixed), key=natural_key))
