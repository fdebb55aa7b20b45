"""Numbers as a reader likes them."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters, and those that change the direction or the lines of a text."""


def visible(text: str, *, lines: bool = False) -> str:
    """Text whose control characters are escaped, such as \\x1b and \\n: a name must not control a terminal, nor look
    like several lines.

    Args:
        text: any text.
        lines: leave line breaks and tabs as they are.

    Returns:
        Text that can be printed.

    Example:
        >>> visible("a\\x1b[2Jb\\n")
        'a\\\\x1b[2Jb\\\\n'
    """

    def escaped(found: re.Match[str]) -> str:
        return found[0] if lines and found[0] in "\n\t" else found[0].encode("unicode_escape").decode()

    return _CONTROL.sub(escaped, text)


def percent(share: float, decimals: int = 1) -> str:
    """A share in percent: 0.9889 is 98.9 %, 0 is 0.0 %. What only rounds to all or nothing is > 99.9 % or < 0.1 %."""
    step = 10.0**-decimals
    words, nothing, everything = (f"{100 * one:.{decimals}f}" for one in (share, 0.0, 1.0))
    if share > 0 and words == nothing:
        return f"< {step:.{decimals}f} %"
    if share < 1 and words == everything:
        return f"> {100 - step:.{decimals}f} %"
    return f"{words} %"


def probability(p: float) -> str:
    """A probability, which is never certain: 0.9889 is 98.9 %, 1 is > 99.9 %, 0 is < 0.1 %."""
    return percent(min(max(p, 1e-9), 1 - 1e-9))


def points(share: float) -> str:
    """A difference of two shares, in percentage points: 0.0139 is 1.4 points."""
    value = f"{100 * share:.1f}"
    return f"{value} point" if value == "1.0" else f"{value} points"


def count(n: int, thing: str, things: str | None = None) -> str:
    """A number with its noun: 1 image, 1,797 images."""
    return f"{n:,} {thing if n == 1 else things or thing + 's'}"


def duration(seconds: float) -> str:
    """A length of time: 0.4 s, 17 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def short_duration(seconds: float) -> str:
    """A time in words short enough for a table."""
    for unit, factor in (("min", 60.0), ("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= factor * (2 if unit == "min" else 1):
            value = seconds / factor
            return f"{value:.0f} {unit}" if value >= 10 else f"{value:.2g} {unit}"
    return "0 s"


def size_words(size: int) -> str:
    """Bytes in words."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} B"


def large(n: float) -> str:
    """A large number in words: 78,000 is 78 thousand, 4,600,000 is 4.6 million."""
    if n < 10_000:
        return f"{n:,.0f}"
    if n < 1e6:
        return f"{n / 1e3:.0f} thousand"
    return f"{n / 1e6:.1f} million" if n < 1e9 else f"{n / 1e9:.1f} billion"


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def listed(words: list[str], most: int = 3) -> str:
    """Words in a row: a, b and c; or a, b, c and 4 more."""
    if len(words) > most:
        words = [*words[:most], f"{len(words) - most} more"]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" and {words[-1]}"
