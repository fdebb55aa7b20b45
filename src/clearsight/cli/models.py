"""List the networks, or describe one layer by layer.

Pass any of these names to `clearsight train DATA --model NAME`; timm/NAME selects any network of the timm library.

`--layers 5x8,5x16,1x32 --img-size 32` is a layer calculator: it prints the sizes, parameters, receptive fields and
operations of a stack of layers, without a network. 5x8 means 8 filters of 5x5 pixels, and max2 and avg2 are pooling
layers; a suffix of /2 sets the stride, and +1 the padding. Use `--layers` several times to compare several stacks.
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import Any

from clearsight.cli.options import add_model_arg, print_json
from clearsight.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help="network to describe; timm/NAME selects any network in timm (default: list all networks)",
    )
    parser.add_argument(
        "--img-size", type=int, metavar="N", help="side length of the input in pixels (default: the network's own)"
    )
    parser.add_argument(
        "--classes", type=int, metavar="N", help="number of classes (default: as in the published network)"
    )
    parser.add_argument(
        "--channels",
        type=int,
        metavar="N",
        help="number of input channels, 1 for greyscale or 3 for colour (default: as in the "
        "published network; 3 for --layers)",
    )
    add_model_arg(parser)
    parser.add_argument(
        "--layers",
        metavar="LAYERS",
        action="append",
        help="compute the sizes and costs of a stack of layers, such as 5x8,5x16,max2, for inputs of --img-size and "
        "--channels; may be repeated (default: none)",
    )
    parser.add_argument(
        "--plot",
        metavar="FILE",
        nargs="?",
        const="models.svg",
        help="plot published accuracy against cost, and ImageNet challenge results by year, to an .svg, .png or .pdf "
        "file (default: no plot; models.svg if given without a value)",
    )


def run(arguments: argparse.Namespace) -> None:
    shape = {name: getattr(arguments, name) for name in ("img_size", "classes", "channels")}
    model_args = arguments.model_arg or {}
    if arguments.layers:
        if arguments.name or arguments.plot or model_args or shape["classes"] is not None:
            raise ConfigError(
                "--layers can only be combined with --img-size and --channels", fix="omit the other arguments"
            )
        _calculate(arguments.layers, shape["img_size"], shape["channels"], arguments.json)
    elif arguments.name:
        if arguments.plot:
            raise ConfigError("--plot plots all networks, so it takes no name", fix="omit the name")
        _describe(arguments.name, shape, model_args, arguments.json)
    elif model_args or any(value is not None for value in shape.values()):
        raise ConfigError(
            "--img-size, --classes, --channels and --model-arg apply to a single network", fix="add its name"
        )
    elif arguments.plot:
        _plot(arguments.plot, arguments.json)
    else:
        _list(arguments.json)


def _list(as_json: bool) -> None:
    """All networks as they were published, from the packaged table: no network is built."""
    from clearsight.models.catalogue import catalogue

    rows = catalogue()
    if as_json:
        print_json({"models": [row.to_dict() for row in rows]})
        return
    width = max(len(row.name) for row in rows) + 1
    print(
        f"{'name':<{width}} {'year':>4} {'input':>5} {'parameters':>12} {'multiply-adds':>15} {'field':>5} "
        f"{'top 1':>6} {'top 5':>6}"
    )
    for row in rows:
        print(
            f"{row.name:<{width}} {row.year:>4} {row.img_size:>5} {row.parameters:>12,} {row.multiply_adds:>15,} "
            f"{row.receptive_field:>5} {_percent(row.top1):>6} {_percent(row.top5):>6}"
        )
    print(
        "\ninput: side in pixels; field: receptive field in pixels; top 1, top 5: published ImageNet accuracy in %,\n"
        "as reported by each source (with ten crops for the plain networks). "
        "seresnet50 and the ViTs use newer training recipes.\n"
        "`clearsight models NAME` shows the layers; timm/NAME selects any network in the timm library."
    )


def _plot(file: str, as_json: bool) -> None:
    """Accuracy against cost and errors over the years, as a picture."""
    from clearsight.models.catalogue import catalogue
    from clearsight.models.imagenet_history import EFFICIENTNETS
    from clearsight.report.networks import plot_networks

    path = plot_networks([*(row for row in catalogue() if row.top1 is not None), *EFFICIENTNETS], Path(file))
    if as_json:
        print_json({"plot": str(path)})
    else:
        print(f"plot of published accuracy against cost, and of ImageNet challenge results by year: {path}")


def _calculate(texts: list[str], img_size: int | None, channels: int | None, as_json: bool) -> None:
    """Stacks of layers with their sums, and their totals side by side where there are several."""
    from clearsight.models.layer_stack import LayerStack, layer_stack

    if img_size is None:
        raise ConfigError(
            "the sizes of layers depend on the image size", fix="add the image side in pixels, such as --img-size 32"
        )
    stacks = [layer_stack(text, img_size=img_size, channels=3 if channels is None else channels) for text in texts]
    if as_json:
        print_json({"stacks": [stack.to_dict() for stack in stacks]})
        return

    def totals(stack: LayerStack) -> str:
        return (
            f"{stack.parameters:,} parameters, {stack.operations_per_unit:,} operations per output position, "
            f"{stack.operations:,} per image, receptive field {stack.receptive_field} px"
        )

    for stack in stacks:
        print(f"{stack.text} on {stack.channels}x{stack.img_size}x{stack.img_size}: {totals(stack)}\n")
        rows = [("layer", "output", "parameters", "operations per position", "field", "arithmetic")]
        for layer in stack.layers:
            output = "x".join(map(str, layer.output))
            counts = f"{layer.parameters:,}", f"{layer.operations_per_unit:,}", f"{layer.receptive_field}"
            rows.append((layer.text, output, *counts, layer.arithmetic))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for a, b, *numbers, sums in rows:
            cells = [n.rjust(w) for n, w in zip(numbers, widths[2:5], strict=True)]
            print("  ".join([a.ljust(widths[0]), b.ljust(widths[1]), *cells, sums]))
        for number, layer in enumerate(stack.layers, 1):
            if layer.unfit:
                print(f"layer {number}, {layer.text}: {layer.unfit} The last, incomplete step is omitted.")
        print()
    if len(stacks) > 1:
        width = max(len(stack.text) for stack in stacks)
        print("\n".join(f"{stack.text:<{width}}  {totals(stack)}" for stack in stacks))
    print(
        "A multiply-add counts as two operations. Operations per output position are those of all filters of a layer "
        "at one position of its output."
    )


def _describe(name: str, shape: dict[str, int | None], model_args: dict[str, Any], as_json: bool) -> None:
    """The layers of one network, with the arithmetic behind their numbers."""
    from clearsight.models.anatomy import anatomy

    found = anatomy(name, **shape, **model_args)
    if as_json:
        print_json(found.to_dict())
        return
    print(
        f"{found.name}: {found.parameters:,} parameters, {found.multiply_adds:,} multiply-adds, "
        f"receptive field {found.receptive_field} px, for inputs of "
        f"{found.channels} x {found.img_size} x {found.img_size} and {found.classes} classes\n"
    )
    rows = [(layer, "x".join(map(str, layer.output))) for layer in found.layers]
    a = max(len(layer.name) for layer, _ in rows)
    b = max(len(layer.kind) for layer, _ in rows)
    c = max(len(output) for _, output in rows)
    print(
        f"{'layer':<{a}}  {'kind':<{b}}  {'output':<{c}}  {'parameters':>11}  {'multiply-adds':>13}  field  arithmetic"
    )
    for layer, output in rows:
        sees = "" if layer.receptive_field is None else layer.receptive_field
        print(
            f"{layer.name:<{a}}  {layer.kind:<{b}}  {output:<{c}}  {layer.parameters:>11,}  "
            f"{layer.multiply_adds:>13,}  {sees:>5}  {layer.arithmetic}"
        )
    if not name.startswith("timm/"):
        from clearsight.models.zoo import entry

        defaults = [f"{arg}={_word(value)}" for arg, value in sorted(entry(name).model_args.items())]
        lines = textwrap.wrap(", ".join(defaults) or "none", 100, break_on_hyphens=False)
        print("\noptions (--model-arg KEY=VALUE):\n  " + "\n  ".join(lines))


def _word(value: Any) -> str:
    """A value as --model-arg reads it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
