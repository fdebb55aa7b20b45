"""Options of the commands that write the results of any number of images to a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from clearsight.cli.options import print_json
from clearsight.errors import ConfigError

if TYPE_CHECKING:
    from clearsight.scale.bulk import BulkResult

PART = 10_000
"""Images of a part."""


def add_bulk(parser: argparse.ArgumentParser, what: str) -> None:
    """The options of files in parts. what: what is in the files."""
    group = parser.add_argument_group("output files")
    default = "the terminal" if parser.prog.endswith("predict") else "none"
    group.add_argument("--out", metavar="DIR", help=f"folder for files with the {what} (default: {default})")
    group.add_argument("--format", choices=("parquet", "jsonl", "csv"), help="format of the files (default: parquet)")
    group.add_argument(
        "--resume", action="store_true",
        help="continue with the results in --out; starts from the beginning if there are none (default: no)",
    )  # fmt: skip
    group.add_argument(
        "--part-size", type=int, metavar="N", default=PART, help=f"images per file (default: {PART})"
    )  # fmt: skip
    group.add_argument(
        "--actors", type=int, metavar="N", help="with --engine ray: number of workers (default: 2)"
    )  # fmt: skip
    group.add_argument(
        "--gpus", type=float, metavar="X", help="with --engine ray: number of GPUs per worker, 0 or more (default: 0)"
    )  # fmt: skip
    group.add_argument(
        "--address", metavar="HOST:PORT", help="with --engine ray: address of the cluster (default: this machine)"
    )  # fmt: skip


def check_bulk(arguments: argparse.Namespace) -> bool:
    """Whether files are asked for; ConfigError for options that have no effect."""
    ray = [f"--{name}" for name in ("actors", "gpus", "address") if getattr(arguments, name) is not None]
    if ray and arguments.engine != "ray":
        raise ConfigError(f"{', '.join(ray)} has no effect without --engine ray", fix="add --engine ray")
    if arguments.out:
        return True
    given = {
        "--format": arguments.format, "--resume": arguments.resume, "--part-size": arguments.part_size != PART,
        "--engine ray": arguments.engine == "ray",
    }  # fmt: skip
    if idle := [name for name, value in given.items() if value]:
        raise ConfigError(f"{', '.join(idle)} has no effect without --out", fix="add --out FOLDER")
    return False


@contextmanager
def bulk_compute(arguments: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """The inference engine, and what computes the rows."""
    if arguments.engine == "ray":
        from clearsight.scale.ray_engine import on_ray

        with on_ray(arguments.actors or 2, arguments.gpus or 0, arguments.address) as compute:
            yield "auto", compute
        return
    from clearsight.scale.spans import computed

    yield arguments.engine, computed


def finished(found: BulkResult, as_json: bool) -> int:
    """Print what was written; the exit code."""
    if as_json:
        print_json(found.to_dict())
    else:
        print(found.text())
    for why in found.failed.values():
        print(f"clearsight: {why}", file=sys.stderr)
    if found.errors > len(found.failed) and found.failed:
        print(f"clearsight: ... all {found.errors} are in the column `error`", file=sys.stderr)
    return 2 if found.errors else 0
