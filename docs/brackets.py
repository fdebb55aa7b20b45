"""For the reference: a citation behind an interval, as in `[0, 2] [Brier 1950]`, is no link of Markdown's."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Brackets(griffe.Extension):
    """Put a backslash before the second bracket."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = re.sub(r"\](\s?)\[", r"]\1\\[", obj.docstring.value)
