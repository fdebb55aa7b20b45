"""Audit a data set without training: unreadable files, duplicates, leakage between splits, imbalance, shortcuts."""

from __future__ import annotations

import argparse

from clearsight.cli.options import add_config, chosen, print_json
from clearsight.cli.renamed import refuse_run
from clearsight.console import terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", metavar="DATA", help="labelled images: a folder, a table, an archive or the name of a built-in data set"
    )
    add_config(parser, "data")
    parser.add_argument("--seed", type=int, default=None, metavar="N", help="random seed for the splits (default: 0)")


def run(arguments: argparse.Namespace) -> None:
    refuse_run(arguments.data)
    with terminal() as console:
        from clearsight.api.audit import audit

        found = audit(arguments.data, console=console, **chosen(arguments))
    if arguments.json:
        print_json(found.to_dict())
        return
    print(found.text())
