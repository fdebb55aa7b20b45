"""What made a run, and the commands that use it."""

from __future__ import annotations

import shlex
from pathlib import Path

from clearsight.arguments import program
from clearsight.train.config import options_by_name


def run_commands(run: Path) -> dict[str, str]:
    """What to do with a run: words to command."""
    folder = shlex.quote(str(run))
    python = f'import clearsight\n\nmodel = clearsight.load({str(run)!r})\nmodel.predict(["IMAGE"])'
    return {
        "Make a prediction for a new image": f"{program()} predict {folder} IMAGE",
        "Evaluate the model again, optionally on different data": f"{program()} evaluate {folder} [DATA]",
        "Use the model in Python": python,
    }


def option_words() -> dict[str, str]:
    """The help line of every option, by name."""
    return {name: f.metadata["help"] for name, f in options_by_name().items()}
