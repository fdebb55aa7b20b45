"""Train models on the same split, rank them, and recommend one; or compare finished runs with each other.

`compare DATA` trains models from colour histograms to fine-tuned networks. They are ranked on the validation images;
the test images are evaluated once, after all models have been trained. Repeat the command to resume an interrupted
comparison. Each model is kept in OUT/candidates/NAME and can be used like any other run.

`compare RUN RUN` compares finished runs with the first of them, on its test images that none of them was trained on:
scores, paired differences with intervals, options that differ, and images whose prediction changed. The page is
OUT/comparison.html.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from clearsight.arguments import flag
from clearsight.cli.options import add_options, print_json
from clearsight.console import terminal
from clearsight.errors import ConfigError

TRAINING = ("seed", "test_fraction", "folds", "device", "resize_mode", "class_weight")
"""Options of the models that are trained."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="+",
        help="labelled images: a folder, a table, an archive or the name of a built-in data set; or finished runs, two "
        "or more",
    )
    parser.add_argument("--on", metavar="DATA", help="images to compare runs on (default: the first run's test split)")
    parser.add_argument(
        "--candidates",
        metavar="NAME,...",
        help="models to compare, named as for --model, such as "
        "hog+svm,resnet8 (default: all models that suit the images)",
    )
    parser.add_argument("--images", type=int, metavar="N", help="approximate number of images to use (default: all)")
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="output folder (default: runs/NAME-leaderboard; of runs, comparison in the last one)",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="random seed for splits and training (default: 0)")
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
    if len(arguments.data) > 1 or (Path(arguments.data[0]) / "model" / "card.json").is_file():
        _compare_runs(arguments)
    else:
        _rank(arguments)


def _compare_runs(arguments: argparse.Namespace) -> None:
    given = [flag(name) for name in ("candidates", "images", *TRAINING) if getattr(arguments, name) is not None]
    if given:
        raise ConfigError(
            f"{', '.join(given)} has no effect on finished runs", found=f"compare {' '.join(arguments.data)}",
            fix="drop it, or name one data set to train models on it",
        )  # fmt: skip
    with terminal() as console:
        from clearsight.api.compare_runs import compare_runs
        from clearsight.api.results import result_folder

        found = compare_runs(arguments.data, arguments.on, data_dir=arguments.data_dir, console=console)
        page = found.save(result_folder(arguments.data[-1], "comparison", arguments.out), overwrite=True)
    if arguments.json:
        print_json({**found.to_dict(), "report": str(page)})
        return
    print(f"{found.text()}\n\n  report   {os.path.relpath(page)}")


def _rank(arguments: argparse.Namespace) -> None:
    if arguments.on is not None:
        raise ConfigError("--on compares finished runs", fix="name them: clearsight compare RUN RUN --on DATA")
    candidates = None
    if arguments.candidates is not None:
        candidates = [name.strip() for name in arguments.candidates.split(",") if name.strip()]
        if not candidates:
            raise ConfigError("--candidates is empty", expected="comma-separated names, such as hog+svm,resnet8")
    names = ("out", "data_dir", *TRAINING)
    options = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    with terminal() as console:
        from clearsight.evaluation.leaderboard import rank_models

        found = rank_models(
            arguments.data[0], candidates=candidates, images=arguments.images, console=console, **options
        )
        page = found.save(found.folder, overwrite=True)
    if arguments.json:
        print_json({**found.to_dict(), "report": str(page)})
        return
    print(f"\n{found.text()}\n  report   {os.path.relpath(page)}")
