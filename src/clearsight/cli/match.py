"""Find a small picture in a larger one by sliding it over every place; a picture shows where, and how well each place
fits.

The score is the correlation coefficient of template and window, 1 for the same picture in any light; --raw takes the
plain sum of products, which bright places win.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from clearsight.cli.options import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="image to search")
    parser.add_argument("template", metavar="TEMPLATE", help="image to search for")
    parser.add_argument(
        "--raw",
        action="store_true",
        help="use the plain sum of products instead of the normalised correlation (default: no)",
    )
    parser.add_argument("--out", metavar="FILE", help="image file to write (default: next to IMAGE)")


def run(arguments: argparse.Namespace) -> None:
    import numpy as np

    from clearsight.classical.matching import match
    from clearsight.data.pixels import read_image
    from clearsight.report.drawings import draw_match, save_picture

    source = Path(arguments.image).expanduser()
    pictures = [read_image(path) for path in (source, Path(arguments.template).expanduser())]
    image, template = ((p.transpose(1, 2, 0) / np.iinfo(p.dtype).max).astype(np.float32) for p in pictures)
    if image.shape[2] != template.shape[2]:
        image, template = (f.mean(axis=2, keepdims=True) for f in (image, template))
    flat = image.shape[2] == 1
    found = match(image[..., 0], template[..., 0], normalised=not arguments.raw) if flat else match(
        image, template, normalised=not arguments.raw
    )  # fmt: skip
    out = Path(arguments.out).expanduser() if arguments.out else source.with_name(f"{source.stem}.match.png")
    save_picture(draw_match(image, found, template.shape[:2]), out)
    if arguments.json:
        print_json({"x": found.column, "y": found.row, "score": found.score, "picture": str(out)})
    elif not found.scores.any():
        print(f"the template is of one colour, and no place fits it better than another; drawn in {out}")
    else:
        print(f"best at x = {found.column}, y = {found.row} with a score of {found.score:.3f}; drawn in {out}")
