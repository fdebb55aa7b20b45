"""Class names that are spelling variants of one name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from clearsight.data.findings import Finding
from clearsight.wording import listed

SHORTEST = 6
"""Letters of a word from which one wrong letter is looked for: `cat` and `car` are different words."""

RARE = 0.2
"""Share of the images of the other class up to which a class may be a typing error."""

MOST = 2000
"""Classes up to which all pairs are compared."""


def spelling_variants(names: Sequence[str], counts: NDArray[np.int64]) -> list[Finding]:
    """A finding that names classes whose names differ only in case, spaces, punctuation, accents or a plural, and rare
    ones that differ from another in one letter.

    Args:
        names: class names (K,).
        counts: images of each class (K,).

    Returns:
        One finding; none if all names differ.
    """
    pairs = []
    if len(names) <= MOST:
        plain = [_plain(name) for name in names]
        for a, b in combinations(range(len(names)), 2):
            low, high = sorted((int(counts[a]), int(counts[b])))
            rare = low <= RARE * high
            if (
                plain[a] == plain[b]
                or _plural(plain[a], plain[b])
                or (rare and not _numbered(names[a], names[b]) and _one_letter(plain[a], plain[b]))
            ):
                pairs.append((a, b))
    if not pairs:
        return []
    words = [f"{names[a]!r} ({counts[a]}) and {names[b]!r} ({counts[b]})" for a, b in pairs]
    return [
        Finding(
            "class-spelling",
            "warning",
            f"class names that may mean the same: {listed(words, 5)}",
            "rename or merge these classes if they are one",
            {"classes": [[names[a], names[b]] for a, b in pairs]},
        )
    ]


def _plain(name: str) -> str:
    """A name without case, accents, spaces and punctuation; between digits these stay, since 1.5 is not 15."""
    text = unicodedata.normalize("NFKD", name.casefold())
    text = "".join(c for c in text if not unicodedata.combining(c))
    text = re.sub(r"(?<=\d)[^\w]+(?=\d)|(?<=\d)_+(?=\d)", ".", text.strip())
    kept = re.sub(r"[^\w.+#]|_|(?<!\d)\.|\.(?!\d)", "", text)
    return kept or name


def _plural(a: str, b: str) -> bool:
    """Whether one name is the other with a plural ending."""
    short, long = sorted((a, b), key=len)
    return len(short) > 2 and short[-1].isalpha() and long in (short + "s", short + "es", re.sub("y$", "ies", short))


def _numbered(a: str, b: str) -> bool:
    """Whether two names differ in a word of one or two letters, such as `type A` and `type B`."""
    words = [re.split(r"[\W_]+", name) for name in (a, b)]
    different = [pair for pair in zip(*words, strict=False) if pair[0] != pair[1]]
    return len(words[0]) == len(words[1]) and all(max(map(len, pair)) <= 2 for pair in different)


def _one_letter(a: str, b: str) -> bool:
    """Whether two long names differ in one letter: another, a missing one, or two that are swapped."""
    if min(len(a), len(b)) < SHORTEST or abs(len(a) - len(b)) > 1 or re.sub(r"\D", "", a) != re.sub(r"\D", "", b):
        return False
    start = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest_a, rest_b = a[start:], b[start:]
    swapped = len(rest_a) > 1 and rest_a[1::-1] + rest_a[2:] == rest_b
    return swapped or rest_a[1:] == rest_b[1:] or rest_a[1:] == rest_b or rest_a == rest_b[1:]
