"""The command that makes a run, from its data and its options."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clearsight.arguments import flag, program
from clearsight.data.sources.builtin import BUILTIN


def train_command(origin: str, options: Mapping[str, Any]) -> str:
    """`clearsight train DATA ...`, or the Python call where the data was handed over in Python.

    origin: a path, a built-in name, or words for arrays in memory. options: by name, such as img_size.
    """
    if origin not in BUILTIN and not Path(origin).is_absolute():
        words = "".join(f", {name}={value!r}" for name, value in options.items())
        return f"clearsight.fit(DATA{words})  # DATA: {origin}"
    return f"{program()} {shlex.join(['train', origin, *option_flags(options)])}"


def option_flags(options: Mapping[str, Any]) -> list[str]:
    """Options as they are typed: {"img_size": 64, "pretrained": False} is --img-size 64 --no-pretrained."""
    words: list[str] = []
    for name, value in options.items():
        if isinstance(value, Mapping):
            for key, item in value.items():
                words += [flag(name), f"{key}={_typed(item)}"]
        elif isinstance(value, bool):
            words.append(flag(name) if value else "--no-" + flag(name)[2:])
        elif value is not None:
            words += [flag(name), _typed(value)]
    return words


def _typed(value: Any) -> str:
    """A value as `cli.options.plain_value` reads it back."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(list(value)) if isinstance(value, tuple) else str(value)
