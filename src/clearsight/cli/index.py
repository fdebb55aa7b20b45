"""Index images by what a model sees in them, for `clearsight search`.

Without DATA, the images the model was trained and validated on are indexed, and the images of its test split judge the
index: how many of an image's neighbours are of its class. With DATA, all of its images are indexed, and judged by one
another. The index is kept in RUN/index, or in --out.
"""

from __future__ import annotations

import argparse

from clearsight.cli.options import print_json
from clearsight.console import terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a trained model's folder")
    parser.add_argument("data", metavar="DATA", nargs="?", help="images (default: those it was trained on)")
    parser.add_argument("--kind", default="exact", choices=("exact", "ivfpq"), help="exact, or in a few bytes an image")
    parser.add_argument("--bytes", type=int, default=32, metavar="N", help="of an image's code in ivfpq (default: 32)")
    parser.add_argument("--layer", default="", metavar="NAME", help="layer to take (default: the features of the head)")
    parser.add_argument("--out", metavar="FOLDER", help="folder to write (default: RUN/index)")
    parser.add_argument("-k", type=int, default=10, metavar="N", help="neighbours to judge by (default: 10)")
    parser.add_argument("--data-dir", metavar="FOLDER", help="folder that holds the files of a built-in data set")


def run(arguments: argparse.Namespace) -> None:
    with terminal() as console:
        from clearsight.api.retrieve import index

        made, judged, folder = index(
            arguments.run, arguments.data, kind=arguments.kind, code_bytes=arguments.bytes, layer=arguments.layer,
            out=arguments.out, k=arguments.k, data_dir=arguments.data_dir, console=console,
        )  # fmt: skip
    size = (folder / "index.faiss").stat().st_size
    if arguments.json:
        scores = judged.to_dict() if judged else None
        print_json(
            {"images": len(made), "width": made.card.width, "bytes": size, "folder": str(folder), "judged": scores}
        )
        return
    print(f"{len(made):,} images, {made.card.width} numbers each, {size / 1e6:.1f} MB: {folder}")
    if judged is not None:
        print(
            f"of {judged.queries:,} queries' {judged.k} neighbours {judged.precision:.1%} are of the query's class; "
            f"recall {judged.recall:.1%}, mAP {judged.mean_average_precision:.1%}"
        )
    print(f"next: clearsight search {arguments.run} IMAGE")
