"""Find the images most similar to one, in the index that `clearsight index` made; a picture shows them.

Likeness is the cosine of the two images' embeddings: 1 for the same, 0 for nothing in common.
"""

from __future__ import annotations

import argparse

from clearsight.cli.options import print_json
from clearsight.console import terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="the model's folder")
    parser.add_argument("image", metavar="IMAGE", help="the picture to look for")
    parser.add_argument("-k", type=int, default=10, metavar="N", help="how many to find (default: 10)")
    parser.add_argument("--index", metavar="FOLDER", help="the index (default: RUN/index)")
    parser.add_argument(
        "--out", metavar="FILE", help="picture to write (default: IMAGE's name with .similar.png, here)"
    )
    parser.add_argument("--data-dir", metavar="FOLDER", help="folder that holds the files of a built-in data set")


def run(arguments: argparse.Namespace) -> None:
    with terminal():
        from clearsight.api.retrieve import search

        found, picture = search(
            arguments.run, arguments.image, k=arguments.k, index=arguments.index, out=arguments.out,
            data_dir=arguments.data_dir,
        )  # fmt: skip
    if arguments.json:
        print_json({"neighbours": found, "picture": str(picture) if picture else None})
        return
    width = max(len(n["image"]) for n in found)
    for n in found:
        print(f"{n['likeness']:.3f}  {n['image']:<{min(width, 60)}}  {n['label']}")
    print(
        f"drawn in {picture}"
        if picture
        else "not drawn: the indexed images are gone or changed, or the index is older; build it again"
    )
