"""Names of commands and options that were renamed, so that an error can give the new name."""

from __future__ import annotations

import shlex
from pathlib import Path

from clearsight.errors import ConfigError

COMMANDS = {"check": "audit", "see": "visualize", "shattered": "gradient-correlation"}

OPTIONS = {
    "--class-weights": "--class-weight",
    "--fit": "--resize-mode",
    "--heal": "--auto-fix",
    "--no-heal": "--no-auto-fix",
    "--rungs": "--candidates",
    "--strange": "--keep-ood",
    "--views": "--tta",
}


def renamed_command(name: str) -> str | None:
    """A hint for a command that was renamed; None for any other."""
    return f"it was renamed to `clearsight {COMMANDS[name]}`" if name in COMMANDS else None


def renamed_option(name: str) -> str | None:
    """A hint for an option that was renamed; None for any other."""
    return f"it was renamed to {OPTIONS[name]}" if name in OPTIONS else None


def refuse_run(data: str) -> None:
    """ConfigError where `audit`, the name that `robustness` had, is given the folder of a run."""
    if (Path(data).expanduser() / "model" / "card.json").is_file():
        raise ConfigError(
            f"{data} is a run folder", expected="labelled images",
            fix=f"`audit RUN` was renamed to `clearsight robustness {shlex.quote(data)}`",
        )  # fmt: skip
