"""What the data audit finds: one statement with its severity, what to do, and the images behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

FILES_SHOWN = 10
"""Files of a finding that the terminal shows; `audit.json` has all of them."""

PART_NAMES = {"train": "training", "val": "validation", "test": "test"}
"""What the parts of a split are called in messages."""


def placed(entry: str) -> str:
    """A file of a group with the part it is in, as messages write it.

    Example:
        >>> placed("val: cat/1.png")
        'cat/1.png (validation)'
    """
    part, colon, name = entry.partition(": ")
    return f"{name} ({PART_NAMES[part]})" if colon and part in PART_NAMES else entry


@dataclass(frozen=True)
class Finding:
    """One thing found: severity, a sentence for the user, what to do, and the images or numbers behind it.

    evidence: lists of file names under "files", of pairs or groups of files under "pairs" and "groups", all of them;
    and numbers by name.
    """

    code: str
    severity: Literal["error", "warning", "note"]
    message: str
    fix: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)

    def files(self) -> list[str]:
        """The files of the finding, line by line.

        Returns:
            One line for each file, pair or group; of a group at most `FILES_SHOWN` files.
        """
        lines = [str(name) for name in self.evidence.get("files", ())]
        lines += [f"{first} and {second} ({words[0]})" for first, second, *words in self.evidence.get("pairs", ())]
        for group in self.evidence.get("groups", ()):
            more = f", ... {len(group) - FILES_SHOWN:,} more" if len(group) > FILES_SHOWN else ""
            lines.append(", ".join(placed(str(entry)) for entry in group[:FILES_SHOWN]) + more)
        return lines
