"""Audit a data set without training: unreadable files, duplicates, leaks between splits, imbalance, shortcuts."""

from __future__ import annotations

import argparse

from clearsight.cli.options import add_config, chosen, print_json
from clearsight.console import terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="the labelled images")
    add_config(parser, "data")
    parser.add_argument("--seed", type=int, default=None, metavar="N", help="number that fixes the splits (default: 0)")


def run(arguments: argparse.Namespace) -> None:
    with terminal() as console:
        from clearsight.api.audit import check

        audit = check(arguments.data, console=console, **chosen(arguments))
    if arguments.json:
        print_json(audit.to_dict())
        return
    held = f"with {audit.targets}" if audit.targets else f"in {len(audit.classes)} classes"
    print(f"{audit.name}: {audit.usable} of {audit.images} images {held}")
    for part, counts in audit.counts.items():
        if sum(counts.values()):
            some = list(counts.items())[:12]
            detail = ", ".join(f"{name} {n}" for name, n in some) + (", ..." if len(counts) > 12 else "")
            print(f"  {part:<6} {sum(counts.values()):6d}" + (f"  ({detail})" if part != "test" else ""))
    print(f"  splits: {audit.split_rule}")
    for name, why in list(audit.set_aside.items())[:20]:
        print(f"  set aside: {why if name in why else f'{name}: {why}'}")
    warnings = [f for f in audit.findings if f.severity == "warning"]
    for f in audit.findings:
        print(f"  {f.severity}: {f.message}" + (f"\n           {f.fix}" if f.fix else ""))
    print("nothing to worry about was found" if not warnings else f"{len(warnings)} warning(s)")
