"""List the networks, or describe one. Every name goes into `clearsight train DATA --model NAME`."""

from __future__ import annotations

import argparse
from typing import Any

from clearsight.cli.options import add_json, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="a network, timm/NAME included")
    parser.add_argument("--img-size", type=int, metavar="N", help="side of the input in pixels")
    parser.add_argument("--classes", type=int, default=1000, metavar="N", help="number of classes (default: 1000)")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from clearsight.models.registry import model_names

    names = [arguments.name] if arguments.name else model_names()
    rows = [_describe(name, arguments.img_size, arguments.classes) for name in names]
    if arguments.json:
        print_json({"models": rows})
        return 0
    width = max(len(name) for name in names) + 2
    print(f"{'name':<{width}} {'year':>5} {'input':>6} {'parameters':>11} {'multiply-adds':>14} {'weights':>12}")
    for row in rows:
        print(
            f"{row['name']:<{width}} {row['year'] or '':>5} {row['img_size']:>6} {row['parameters']:>11,} "
            f"{row['multiply_adds']:>14,} {row['published_weights'] or '':>12}"
        )
    if not arguments.name:
        print("\nand timm/NAME for any network of the timm library")
    elif rows[0]["paper"]:
        print(f"\n{rows[0]['paper']}")
    return 0


def _describe(name: str, img_size: int | None, classes: int) -> dict[str, Any]:
    import torch

    from clearsight.engines import operations
    from clearsight.models.gateway import PREFIX, default_img_size
    from clearsight.models.pretrained import at_hand, has_published
    from clearsight.models.registry import build_model, entry

    known = None if name.startswith(PREFIX) else entry(name)
    size = img_size or (known.img_size if known else default_img_size(name))
    network = build_model(name, classes=classes, channels=3, img_size=size)
    with torch.no_grad():
        work = operations(network, (3, size, size)) // 2
    return {
        "name": name,
        "year": known.year if known else None,
        "paper": known.paper if known else None,
        "img_size": size,
        "parameters": sum(p.numel() for p in network.parameters()),
        "multiply_adds": work,
        "published_weights": "installed" if at_hand(name) else "to download" if has_published(name) else None,
    }
