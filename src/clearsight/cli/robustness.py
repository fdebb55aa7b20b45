"""Measure how robust predictions are to changes of the image, and how sensitive they are to changes of the object.

Each image is changed in graded steps that preserve its class: in size, position, rotation, viewpoint, deformation,
occlusion, background, lighting, blur and noise, both separately and combined. --changes corruptions makes the 15
corruptions of ImageNet-C at five severities and reports the mean corruption error. Without DATA, the test split of the
model's own run is used. The report is RUN/robustness/robustness.html; the numbers are in robustness.json.
"""

from __future__ import annotations

import argparse
import os

from clearsight.cli.options import add_sample, print_json
from clearsight.console import terminal
from clearsight.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sample(parser, "RUN/robustness")
    parser.add_argument(
        "--changes", metavar="NAME,...",
        help="image changes to test; a+b combines a and b; corruptions are the 15 of ImageNet-C (default: all but "
        "these)",
    )  # fmt: skip
    parser.add_argument(
        "--short", action="store_true",
        help="use at most 100 images and stop each change at the first step at which the model fails (default: no)",
    )  # fmt: skip
    parser.add_argument(
        "--turns", metavar="CLASS:DEGREES:CLASS,...",
        help="rotations in degrees, counter-clockwise, that turn one class into another, such as 6:180:9 "
        "(default: none)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    changes = None if arguments.changes is None else [w.strip() for w in arguments.changes.split(",") if w.strip()]
    with terminal() as console:
        from clearsight.api.results import result_folder
        from clearsight.api.robustness import robustness

        report = robustness(
            arguments.run, arguments.data, changes=changes, turns=_turns(arguments.turns), short=arguments.short,
            images=arguments.images, seed=arguments.seed, data_dir=arguments.data_dir, console=console,
        )  # fmt: skip
        page = report.save(result_folder(arguments.run, "robustness", arguments.out), overwrite=True)
    if arguments.json:
        print_json({**report.to_dict(), "report": str(page)})
        return
    print(f"{report.text()}\n\n  report   {os.path.relpath(page)}")


def _turns(text: str | None) -> list[tuple[str, float, str]]:
    if text is None:
        return []
    found = []
    for word in text.split(","):
        try:
            start, degrees, end = word.split(":")
            found.append((start.strip(), float(degrees), end.strip()))
        except ValueError:
            raise ConfigError(f"--turns {word} is invalid", expected="CLASS:DEGREES:CLASS, such as 6:180:9") from None
    return found
