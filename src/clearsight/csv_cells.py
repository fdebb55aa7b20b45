"""Text in the cells of CSV files that we write: spreadsheets run a cell that begins with = + - or @ as a formula.

"=1+2"     "'=1+2"      a quotation mark before it makes it text, as in the spreadsheets themselves
"-1.5"     "-1.5"       numbers are harmless
"'=1"      "''=1"       so that every text is read back as it was
"""

from __future__ import annotations

import re
from typing import Any

FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def as_cell(value: Any) -> Any:
    """A value for a cell of a CSV file.

    Args:
        value: the value.

    Returns:
        Text that no spreadsheet runs as a formula; anything but text as it is.

    Example:
        >>> as_cell("=HYPERLINK(1)"), as_cell("cat"), as_cell(-1)
        ("'=HYPERLINK(1)", 'cat', -1)
    """
    if isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value):
        return "'" + value
    return value


def from_cell(text: str) -> str:
    """The text of a cell that `as_cell` gave.

    Args:
        text: the content of the cell.

    Returns:
        The original text.

    Example:
        >>> from_cell("'=1+2"), from_cell("'quoted'")
        ('=1+2', "'quoted'")
    """
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text
