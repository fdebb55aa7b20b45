"""Find a small image in a larger one by sliding it over every position; a picture shows the best match and all scores.

The score is the correlation coefficient of the template and the window. It is 1 for the same image, even if brightness
or contrast differ. --raw uses the plain sum of products instead, which favours bright regions.

`--all` finds every copy that reaches `--score`. `--scales` also finds smaller and larger copies, and `--turns` rotated
ones. Of copies that overlap, only the best one is kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from clearsight.cli.options import numbers, print_json
from clearsight.errors import ConfigError

OF_ALL = ("scales", "turns", "score", "overlap")
"""Options that mean nothing without --all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="image to search")
    parser.add_argument("template", metavar="TEMPLATE", help="smaller image to search for")
    parser.add_argument(
        "--raw",
        action="store_true",
        help="use plain instead of normalised cross-correlation (default: no)",
    )
    parser.add_argument("--all", action="store_true", help="find all copies, not only the best match (default: no)")
    parser.add_argument(
        "--scales",
        metavar="LOW,HIGH",
        nargs="?",
        const="0.5,2",
        help="with --all: smallest and largest scale of copies relative "
        "to TEMPLATE (default: 1,1; 0.5,2 if given without a value)",
    )
    parser.add_argument(
        "--turns",
        metavar="N",
        type=float,
        nargs="?",
        const=180.0,
        help="with --all: maximum rotation of copies in degrees, in "
        "either direction (default: 0; 180 if given without a value)",
    )
    parser.add_argument(
        "--score", metavar="X", type=float, help="with --all: minimum score of a copy, 0 to 1 (default: 0.85)"
    )
    parser.add_argument(
        "--overlap", metavar="X", type=float,
        help="with --all: IoU threshold for non-maximum suppression of copies, 0 to 1 (default: 0.3)",
    )  # fmt: skip
    parser.add_argument("--out", metavar="FILE", help="output image file (default: next to IMAGE)")


def run(arguments: argparse.Namespace) -> None:
    import numpy as np

    from clearsight.classical.matching import match
    from clearsight.data.pixels import read_image
    from clearsight.report.drawings import draw_match, save_picture

    given = [f"--{name}" for name in OF_ALL if getattr(arguments, name) is not None]
    if given and not arguments.all:
        raise ConfigError(f"--all is required for {', '.join(given)}", fix="add --all")
    if arguments.all and arguments.raw:
        raise ConfigError(
            "--all needs normalised scores to identify copies, but --raw scores are not normalised",
            fix="drop --raw or --all",
        )
    source = Path(arguments.image).expanduser()
    pictures = [read_image(path) for path in (source, Path(arguments.template).expanduser())]
    image, template = ((p.transpose(1, 2, 0) / np.iinfo(p.dtype).max).astype(np.float32) for p in pictures)
    if image.shape[2] != template.shape[2]:
        image, template = (f.mean(axis=2, keepdims=True) for f in (image, template))
    out = Path(arguments.out).expanduser() if arguments.out else source.with_name(f"{source.stem}.match.png")
    if arguments.all:
        _all(image, template, arguments, out)
        return
    flat = image.shape[2] == 1
    found = match(image[..., 0], template[..., 0], normalised=not arguments.raw) if flat else match(
        image, template, normalised=not arguments.raw
    )  # fmt: skip
    save_picture(draw_match(image, found, template.shape[:2]), out)
    if arguments.json:
        print_json({"x": found.column, "y": found.row, "score": found.score, "picture": str(out)})
    elif not found.scores.any():
        print(f"the template has only one colour, so all positions match equally; saved to {out}")
    else:
        print(f"best match at x = {found.column}, y = {found.row} with a score of {found.score:.3f}; saved to {out}")


def _all(image: Any, template: Any, arguments: argparse.Namespace, out: Path) -> None:
    """Every copy, as a table and a picture."""
    from clearsight.classical.copies import match_all
    from clearsight.report.drawings import draw_copies, save_picture

    options = {name: value for name in OF_ALL if (value := getattr(arguments, name)) is not None}
    if arguments.scales is not None:
        wrong = ConfigError("--scales is invalid", found=repr(arguments.scales), expected="LOW,HIGH, such as 0.5,2")
        scales = numbers(arguments.scales, float, wrong)
        if len(scales) != 2:
            raise wrong
        options["scales"] = tuple(scales)
    found = match_all(image, template, **options)
    save_picture(draw_copies(image, found), out)
    if arguments.json:
        print_json({"copies": [copy.to_dict() for copy in found], "picture": str(out)})
        return
    if not found:
        print(
            f"no copy reaches the minimum score, so {out} is the unchanged image. Lower --score to find weaker matches"
        )
        return
    print("  #        x        y  scale   turn  score")
    for number, copy in enumerate(found, 1):
        print(f"{number:>3} {copy.x:>8.1f} {copy.y:>8.1f} {copy.scale:>6.2f} {copy.turn:>6.1f} {copy.score:>6.3f}")
    print(f"x, y: centres in pixels; turn: rotation in degrees, counter-clockwise; saved to {out}")
