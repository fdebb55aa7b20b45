"""Audit a data set without training: unreadable and blank files, duplicates, leakage between splits, missing classes,
imbalance, shortcuts.

--out writes audit.html, which shows the images that the findings name, and audit.json, which lists all of them."""

from __future__ import annotations

import argparse
import os

from clearsight.arguments import flag
from clearsight.cli.options import STRICT, add_config, chosen, option_names, print_json
from clearsight.cli.renamed import refuse_run
from clearsight.console import terminal
from clearsight.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", metavar="DATA", help="labelled images: a folder, a table, an archive or the name of a built-in data set"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="write audit.html and audit.json to this folder (default: none)"
    )
    parser.add_argument("--strict", action="store_true", help="exit with status 3 if there are warnings (default: no)")
    parser.add_argument(
        "--preview",
        action="store_true",
        help="show augmented training images on the page; needs --out (default: no)",
    )
    add_config(parser, "data", "augmentation")
    parser.add_argument("--seed", type=int, default=None, metavar="N", help="random seed for the splits (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    refuse_run(arguments.data)
    options = chosen(arguments)
    augmentation = [name for name in option_names("augmentation") if name in options]
    if augmentation and not arguments.preview:
        raise ConfigError(
            f"{flag(augmentation[0])} has an effect only with --preview", fix="add --preview --out FOLDER"
        )
    if arguments.preview and arguments.out is None:
        raise ConfigError("--preview needs a folder for the page", fix="add --out FOLDER")
    with terminal() as console:
        from clearsight.api.audit import audit

        found = audit(arguments.data, preview=arguments.preview, console=console, **options)
        page = None if arguments.out is None else found.save(arguments.out, overwrite=True)
    if arguments.json:
        print_json(found.to_dict() | ({} if page is None else {"report": str(page)}))
    else:
        print(found.text() + (f"\n\n  report   {os.path.relpath(page)}" if page else ""))
    return STRICT if arguments.strict and (found.errors or found.warnings) else 0
