"""Train models from colour histograms to fine-tuned networks on the same split, rank them, and recommend one.

The models are ranked on the validation images; the test images are evaluated once, after all models have been trained.
Repeat the command to resume an interrupted comparison. Each model is kept in OUT/candidates/NAME and can be used like
any other run.
"""

from __future__ import annotations

import argparse
import os

from clearsight.cli.options import add_options, print_json
from clearsight.console import terminal
from clearsight.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", metavar="DATA", help="labelled images: a folder, a table, an archive or the name of a built-in data set"
    )
    parser.add_argument(
        "--candidates",
        metavar="NAME,...",
        help="models to compare, named as for --model, such as "
        "hog+svm,resnet8 (default: all models that suit the images)",
    )
    parser.add_argument("--images", type=int, metavar="N", help="approximate number of images to use (default: all)")
    parser.add_argument("--out", metavar="FOLDER", help="output folder (default: runs/NAME-leaderboard)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="random seed for splits and training (default: 0)"
    )
    parser.add_argument(
        "--test-fraction",
        type=float,
        metavar="X",
        help="fraction of the images held out as the test split, 0 to 1 (default: 0.25)",
    )
    parser.add_argument(
        "--folds", type=int, metavar="N", help="number of cross-validation folds (default: 5, or 10 for many images)"
    )
    parser.add_argument(
        "--data-dir",
        metavar="FOLDER",
        help="folder that contains the files of a built-in data set (default: the cache)",
    )
    parser.add_argument(
        "--device", metavar="WORD", help="device for training: auto, cpu, cuda, cuda:1, mps or xpu (default: auto)"
    )
    add_options(parser, "resize_mode", "class_weight")


def run(arguments: argparse.Namespace) -> None:
    candidates = None
    if arguments.candidates is not None:
        candidates = [name.strip() for name in arguments.candidates.split(",") if name.strip()]
        if not candidates:
            raise ConfigError("--candidates is empty", expected="comma-separated names, such as hog+svm,resnet8")
    names = ("out", "seed", "test_fraction", "folds", "data_dir", "device", "resize_mode", "class_weight")
    options = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    with terminal() as console:
        from clearsight.evaluation.leaderboard import rank_models

        found = rank_models(arguments.data, candidates=candidates, images=arguments.images, console=console, **options)
        page = found.save(found.folder, overwrite=True)
    if arguments.json:
        print_json({**found.to_dict(), "report": str(page)})
        return
    print(f"\n{found.text()}\n  report   {os.path.relpath(page)}")
