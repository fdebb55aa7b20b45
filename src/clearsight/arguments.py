"""Checks of arguments that several functions share."""

from __future__ import annotations

from clearsight.errors import ConfigError


def flag(name: str) -> str:
    """An option's name as it is typed: img_size is --img-size."""
    return "--" + name.replace("_", "-")


def at_least(least: int, **options: int | None) -> None:
    """Raise ConfigError for the first option below `least`; None stands for a default."""
    for name, value in options.items():
        if value is not None and value < least:
            raise ConfigError(f"{flag(name)} {value} must be {least} or more")
