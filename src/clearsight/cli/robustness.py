"""Make a model's invariance card: what its answers stand, and whether they change where they should.

Each image is changed in graded steps that leave its class as it is: size, rotation, viewpoint, deformation, occlusion,
background, illumination, blur, noise, singly and several at once. Without DATA the test split of the model's own run
is used. The card is RUN/robustness/robustness.html; the numbers are beside it in robustness.json.
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
        "--changes", metavar="NAME,...", help="changes to make; a+b makes several at once (default: all)"
    )
    parser.add_argument(
        "--turns", metavar="CLASS:DEGREES:CLASS,...",
        help="what a class becomes when turned counter-clockwise, such as 6:180:9, for the sensitivity test",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    changes = None if arguments.changes is None else [w.strip() for w in arguments.changes.split(",") if w.strip()]
    with terminal() as console:
        from clearsight.api.results import result_folder
        from clearsight.api.robustness import robustness

        card = robustness(
            arguments.run, arguments.data, changes=changes, turns=_turns(arguments.turns), images=arguments.images,
            seed=arguments.seed, data_dir=arguments.data_dir, console=console,
        )  # fmt: skip
        page = card.save(result_folder(arguments.run, "robustness", arguments.out), overwrite=True)
    if arguments.json:
        print_json({**card.to_dict(), "report": str(page)})
        return
    print(f"{card.text()}\n\n  card   {os.path.relpath(page)}")


def _turns(text: str | None) -> list[tuple[str, float, str]]:
    if text is None:
        return []
    found = []
    for word in text.split(","):
        try:
            start, degrees, end = word.split(":")
            found.append((start.strip(), float(degrees), end.strip()))
        except ValueError:
            raise ConfigError(
                f"--turns {word} cannot be read", expected="CLASS:DEGREES:CLASS, such as 6:180:9"
            ) from None
    return found
