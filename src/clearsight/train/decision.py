"""A choice made for the user, with its reason."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Decision:
    """Something Clearsight chose for the user: what, which, and the reason with its numbers."""

    what: str
    choice: str
    why: str

    def to_dict(self) -> dict[str, str]:
        return asdict(self)
