"""Names of models on the Hub: `user/name`, or `user/name@revision` for one state of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from clearsight.errors import ConfigError

NAME = re.compile(r"(?P<user>[A-Za-z0-9][\w.-]{0,95})/(?P<name>[A-Za-z0-9][\w.-]{0,95})(?:@(?P<revision>[\w./-]+))?")

TAKEN = ("timm", "runs")
"""First parts that mean something else."""


@dataclass(frozen=True)
class HubName:
    """A repository and, where one is named, a branch, a tag or a commit."""

    repository: str
    revision: str | None = None

    @property
    def short(self) -> str:
        """The name without its user."""
        return self.repository.partition("/")[2]


def hub_name(text: str) -> HubName | None:
    """Read a name of a model.

    Args:
        text: such as `user/name` or `user/name@revision`.

    Returns:
        The name; None for a text that is none, or more likely a path: its first part is a folder here.

    Example:
        >>> hub_name("user/cells@v1")
        HubName(repository='user/cells', revision='v1')
        >>> hub_name("timm/resnet18") is None
        True
    """
    match = NAME.fullmatch(text)
    if match is None or match["user"] in TAKEN or Path(match["user"]).is_dir():
        return None
    return HubName(f"{match['user']}/{match['name']}", match["revision"])


def target_name(text: str) -> str:
    """The repository to push to.

    Args:
        text: `user/name`.

    Returns:
        The same.

    Raises:
        ConfigError: it is no name.
    """
    match = NAME.fullmatch(text)
    if match is None or match["revision"] or match["user"] in TAKEN:
        raise ConfigError(f"{text!r} is not a name on the Hub", expected="USER/NAME, such as me/cells", page="hub")
    return text
