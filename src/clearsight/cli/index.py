"""Index images by a model's features, for `clearsight search`.

Without DATA, the images that the model was trained and validated on are indexed. The index is then evaluated with the
images of the test split: how many of an image's neighbours have its class. With DATA, all of its images are indexed and
evaluated against one another. The index is written to RUN/index, or to --out.
"""

from __future__ import annotations

import argparse
import shlex

from clearsight.arguments import program
from clearsight.cli.options import print_json
from clearsight.console import terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument(
        "data", metavar="DATA", nargs="?", help="images to index (default: the training and validation images)"
    )
    parser.add_argument(
        "--kind",
        default="exact",
        choices=("exact", "ivfpq"),
        help="type of index: exact, or ivfpq, which compresses features to a few bytes per image (default: exact)",
    )
    parser.add_argument("--bytes", type=int, default=32, metavar="N", help="bytes per image with ivfpq (default: 32)")
    parser.add_argument(
        "--layer", default="", metavar="NAME", help="layer that provides the features (default: the input of the head)"
    )
    parser.add_argument("--out", metavar="FOLDER", help="output folder (default: RUN/index)")
    parser.add_argument(
        "-k", type=int, default=10, metavar="N", help="number of neighbours per image in the evaluation (default: 10)"
    )
    parser.add_argument(
        "--data-dir",
        metavar="FOLDER",
        help="folder that contains the files of a built-in data set (default: the cache)",
    )


def run(arguments: argparse.Namespace) -> None:
    with terminal() as console:
        from clearsight.api.retrieve import index

        found = index(
            arguments.run, arguments.data, kind=arguments.kind, code_bytes=arguments.bytes, layer=arguments.layer,
            out=arguments.out, k=arguments.k, data_dir=arguments.data_dir, console=console,
        )  # fmt: skip
    if arguments.json:
        print_json(found.to_dict())
        return
    print(found.text())
    where = f" --index {shlex.quote(arguments.out)}" if arguments.out else ""
    print(f"next: {program()} search {shlex.quote(arguments.run)} IMAGE{where}")
