"""The command that makes a run again, and those that use it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clearsight.config import Config, flag
from clearsight.data.builtin import BUILTIN


def changed_options(config: Config) -> dict[str, Any]:
    """Options that differ from their defaults, by name; without `out`, whose folder is in use now, and `resume`."""
    default = Config().to_dict()
    return {
        name: value
        for stage, options in config.to_dict().items()
        for name, value in options.items()
        if name not in ("out", "resume") and value != default[stage][name]
    }


def train_command(origin: str, config: Config) -> str:
    """`clearsight train DATA ...`, or the Python call where the data was handed over in Python."""
    options = changed_options(config)
    if origin not in BUILTIN and not Path(origin).is_absolute():
        words = "".join(f", {name}={value!r}" for name, value in options.items())
        return f"clearsight.fit(DATA{words})  # DATA: {origin}"
    return shlex.join(["clearsight", "train", origin, *option_flags(options)])


def option_flags(options: Mapping[str, Any]) -> list[str]:
    """Options as they are typed: {"img_size": 64, "pretrained": False} is --img-size 64 --no-pretrained."""
    words: list[str] = []
    for name, value in options.items():
        if isinstance(value, bool):
            words.append(flag(name) if value else "--no-" + flag(name)[2:])
        elif isinstance(value, dict):
            for key, inner in value.items():
                words += [flag(name), f"{key}={inner}"]
        else:
            words += [flag(name), str(value)]
    return words


def run_commands(run: Path) -> dict[str, str]:
    """What to do with a run: words to command."""
    folder = shlex.quote(str(run))
    python = f'import clearsight\n\nclassifier = clearsight.load({str(run)!r})\nclassifier.predict(["IMAGE"])'
    return {
        "Ask it about a new image": f"clearsight predict {folder} IMAGE",
        "Judge it again, or on other data": f"clearsight evaluate {folder} [DATA]",
        "Use it in Python": python,
    }


def option_words() -> dict[str, str]:
    """The help line of every option, by name."""
    stages = (getattr(Config(), f.name) for f in dataclasses.fields(Config))
    return {f.name: f.metadata["help"] for stage in stages for f in dataclasses.fields(stage)}
