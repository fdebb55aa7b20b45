"""Which known names an unknown one may be a misspelling of."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

SHORTEST = 3
"""Letters of the beginning of a name that may mean it."""

ALIKE = 0.7
"""Share of letters in the same order that two names have at least where they differ by more than one."""


def close_names(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Known names that differ from another one by few letters for their length, or that it is the beginning of.

    One letter may differ, in names of at least three; more, up to a third, only where most letters stand in the same
    order. Upper and lower case are the same; dashes at the beginning do not count as letters.

    Args:
        name: the unknown name.
        known: the names that exist.
        most: names in the result at most.

    Returns:
        The names, closest first; none where none is close.

    Example:
        >>> close_names("--ephocs", ["--epochs", "--out", "--lr"])
        ['--epochs']
        >>> close_names("--overwrite", ["--adversarial-steps", "--out"])
        []
    """
    found: list[tuple[bool, float, float, str]] = []
    one = name.lstrip("-").lower()
    for other in sorted(set(known)):
        letters = other.lstrip("-").lower()
        allowed = max(len(one), len(letters)) // 3
        near = abs(len(one) - len(letters)) <= allowed  # else the distance need not be computed
        distance = edit_distance(one, letters) if near else allowed + 1
        share = SequenceMatcher(None, one, letters).ratio()
        if distance <= allowed and (distance <= 1 or share > ALIKE):
            found.append((False, distance, -share, other))
        elif len(one) >= SHORTEST and letters.startswith(one):
            found.append((True, len(letters), 0.0, other))
    return [other for *_, other in sorted(found)[:most]]


def edit_distance(one: str, other: str) -> int:
    """The least number of letters to insert, delete, replace, or exchange with the next one, to get another text.

    Args:
        one: a text.
        other: the other text.

    Returns:
        The optimal string alignment distance [Damerau 1964].

    Example:
        >>> edit_distance("trian", "train"), edit_distance("fotos", "photos")
        (1, 2)
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
    return row[-1]
