"""Make a model's invariance card: what its answers stand, and whether they change where they should.

Each image is changed in graded steps that leave its class as it is: size, rotation, viewpoint, deformation, occlusion,
background, illumination, blur, noise, singly and several at once. Without DATA the test split of the model's own run
is used. The card is RUN/audit/card.html; the numbers are beside it in robustness.json.
"""

from __future__ import annotations

import argparse
import os

from clearsight.cli.options import add_sample, print_json
from clearsight.console import terminal
from clearsight.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sample(parser, "RUN/audit")
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
        from clearsight.api.robustness import audit

        card, page = audit(
            arguments.run, arguments.data, changes=changes, turns=_turns(arguments.turns), images=arguments.images,
            seed=arguments.seed, out=arguments.out, data_dir=arguments.data_dir, console=console,
        )  # fmt: skip
    if arguments.json:
        print_json({**card.to_dict(), "report": str(page)})
        return
    width = max(len(name) for name in card.rows)
    print(f"{card.images:,} images, {card.accuracy:.1%} right as they are\n")
    print(f"  {'right at step':<{width}}      1      2      3      4      5  fails at")
    for name, steps in card.rows.items():
        shares = " ".join(f"{s.accuracy:6.1%}" for s in steps)
        fails = card.fails[name]
        worst = steps[-1].confusion
        said = f"; at 5 mostly {worst[0]} taken for {worst[1]}" if worst and worst[2] > 2 else ""
        amount = "" if fails is None or "+" in name else f" ({steps[fails - 1].amount:g})"
        verdict = "holds" if fails is None else f"step {fails}{amount}{said}"
        print(f"  {name:<{width}} {shares}  {verdict}")
    for s in card.sensitivity:
        print(f"  {s.edit}: {s.changed:.1%} of {s.images:,} images")
    print(f"\n  card   {os.path.relpath(page)}")


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
