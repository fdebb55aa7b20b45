"""Compute the features of images, as the model has them below its head, and write them to files.

RUN is a folder written by `clearsight train`, or the name of a network with published ImageNet weights. DATA is a
folder, a table of paths, an archive, WebDataset's shards, a Parquet file, a built-in data set or a URL.
"""

from __future__ import annotations

import argparse

from clearsight.cli.bulk_options import add_bulk, bulk_compute, check_bulk, finished
from clearsight.console import terminal
from clearsight.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument("data", metavar="DATA", nargs="+", help="images in any form, without labels")
    parser.add_argument(
        "--engine", choices=("auto", "torch", "openvino", "ray"), default="auto",
        help="inference engine; ray computes on a Ray cluster (default: auto)",
    )  # fmt: skip
    add_bulk(parser, "features")


def run(arguments: argparse.Namespace) -> int:
    if not check_bulk(arguments):
        raise ConfigError("embed writes files, and needs a folder for them", fix="add --out FOLDER")
    with terminal() as console:
        from clearsight.runs.load import load_predictor
        from clearsight.scale.bulk import embed

        with bulk_compute(arguments) as (engine, compute):
            found = embed(
                load_predictor(arguments.run, engine=engine), arguments.data, out=arguments.out,
                format=arguments.format or "parquet", resume=arguments.resume, part_size=arguments.part_size,
                console=console, compute=compute,
            )  # fmt: skip
    return finished(found, arguments.json)
