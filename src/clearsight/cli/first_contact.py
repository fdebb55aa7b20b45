"""What `clearsight` prints without a command: the next step, by the runs that are here."""

from __future__ import annotations

import shlex
from pathlib import Path

from clearsight.arguments import program


def next_steps() -> str:
    """The next step as a command, and where to find all others.

    Returns:
        Text of several lines.
    """
    called = program()
    runs = [folder for folder in Path("runs").glob("*") if (folder / "config.json").is_file()]
    latest = max(runs, key=lambda folder: (folder / "config.json").stat().st_mtime, default=None)
    if latest is None:
        rows = [
            (f"{called} train photos/", "train on images in photos/CLASS/, such as photos/cat/1.jpg"),
            (f"{called} train digits", "or on a built-in data set; takes seconds"),
        ]
    elif (latest / "metrics.json").is_file():
        run = shlex.quote(str(latest))
        rows = [
            (f"{called} predict {run} IMAGE", "predict new images with the latest run"),
            (f"{called} evaluate {run} DATA", "evaluate it on other labelled images"),
            (str(latest / "report.html"), "its report, for a browser"),
        ]
    else:
        rows = [
            (f"{called} train --resume --out {shlex.quote(str(latest))}", "resume the latest run, which has not ended")
        ]
    rows.append((f"{called} --help", "list all commands"))
    width = max(len(command) for command, _ in rows)
    lines = [f"  {command:<{width}}  {text}" for command, text in rows]
    return "\n".join(["Clearsight: from labelled images to a classifier you can trust.", "", "next:", *lines])
