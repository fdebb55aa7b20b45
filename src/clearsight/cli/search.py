"""Find the images most similar to a given image, in an index made by `clearsight index`; a picture shows them.

Similarity is the cosine similarity of the embeddings of two images: 1 for the same image, 0 for unrelated images.
Images whose class is not the one predicted for the query are marked.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from clearsight.cli.options import print_json
from clearsight.console import terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument("image", metavar="IMAGE", help="query image")
    parser.add_argument("-k", type=int, default=10, metavar="N", help="number of similar images to find (default: 10)")
    parser.add_argument("--index", metavar="FOLDER", help="index folder (default: RUN/index)")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="output image file (default: IMAGE.similar.png in the working directory)",
    )
    parser.add_argument(
        "--data-dir",
        metavar="FOLDER",
        help="folder that contains the files of a built-in data set (default: the cache)",
    )


def run(arguments: argparse.Namespace) -> None:
    with terminal():
        from clearsight.api.retrieve import search
        from clearsight.report.drawings import save_picture
        from clearsight.report.picture_results import neighbour_sheet, search_stem

        found = search(
            arguments.run, arguments.image, k=arguments.k, index=arguments.index, data_dir=arguments.data_dir
        )
        picture = None
        if found.pictures is not None:
            file = Path(arguments.out or f"{search_stem(found)}.png").expanduser()
            picture = save_picture(neighbour_sheet(found), file)
    if arguments.json:
        print_json({**found.to_dict(), "picture": str(picture) if picture else None})
        return
    print(found.text())
    print(
        f"saved to {picture}"
        if picture
        else "no picture saved: the indexed images are missing or have changed, or the index is outdated; rebuild it"
    )
