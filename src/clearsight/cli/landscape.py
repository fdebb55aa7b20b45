"""Plot the loss around a model's weights, and measure its largest curvature.

The weights are moved along random, filter-normalised directions: each filter of a direction has the norm of the
corresponding filter of the model. Biases and normalisation layers are not changed, and batch normalisation is in
evaluation mode. The images are a sample of the run's own training and validation images. Gradient descent is unstable
at learning rates above 2 / the largest curvature; the learning rate of the run is shown for comparison. The model
itself is not changed. The report is RUN/landscape/landscape.html; the numbers are in landscape.json.
"""

from __future__ import annotations

import argparse
import os

from clearsight.cli.options import print_json
from clearsight.console import terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument("data", metavar="DATA", nargs="?", help="labelled images (default: the images of the run)")
    parser.add_argument(
        "--against",
        metavar="RUN",
        nargs="+",
        default=[],
        help="other runs to plot on the same scale for comparison (default: none)",
    )
    parser.add_argument(
        "--weights", default="auto", choices=("auto", "head", "all"),
        help="weights to perturb (default: those of the head if only the head was trained, otherwise all)",
    )  # fmt: skip
    parser.add_argument(
        "--images",
        type=int,
        metavar="N",
        help="maximum number of images per split (default: 256, fewer for expensive networks)",
    )
    parser.add_argument(
        "--points",
        type=int,
        metavar="N",
        help="odd number of points along each side of the plane (default: 21, fewer for expensive networks)",
    )
    parser.add_argument(
        "--batch-size", type=int, default=64, metavar="N", help="number of images per batch (default: 64)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="random seed for directions and images (default: 0)"
    )
    parser.add_argument("--out", metavar="FOLDER", help="output folder (default: RUN/landscape)")
    parser.add_argument(
        "--data-dir",
        metavar="FOLDER",
        help="folder that contains the files of a built-in data set (default: the cache)",
    )


def run(arguments: argparse.Namespace) -> None:
    with terminal() as console:
        from clearsight.api.landscape import landscape
        from clearsight.api.results import result_folder

        found = landscape(
            arguments.run, arguments.data, against=arguments.against, weights=arguments.weights,
            images=arguments.images, points=arguments.points, batch=arguments.batch_size, seed=arguments.seed,
            data_dir=arguments.data_dir, console=console,
        )  # fmt: skip
        page = found.save(result_folder(arguments.run, "landscape", arguments.out), overwrite=True)
    if arguments.json:
        print_json({**found.to_dict(), "report": str(page)})
        return
    print(f"{found.text()}\n\n  page   {os.path.relpath(page)}")
