"""The table of networks, which family files fill: one keyword-only builder per name.

    @register(img_size=224, min_size=4, year=2014, paper=PAPER, top1=56.522, design=SINGLE)
    def alexnet(*, classes, channels, img_size, design): ...

`models.zoo` reads it once every family is imported.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from clearsight.errors import ModelError, nearest
from clearsight.models.ablations import ABLATIONS, Design
from clearsight.models.published import Weights


@dataclass(frozen=True)
class Entry:
    """What the registry knows of a network.

    build(classes=, channels=, img_size=, **model_args) returns a module that maps normalised images (N, channels,
    img_size, img_size) to logits (N, classes). img_size: the side in pixels the network was designed for. min_size: the
    smallest it accepts. channels, classes: of its published form. top1, top5: published ImageNet accuracy in percent,
    where there is one. year: of publication. paper: its citation. model_args: the builder's own options beyond classes,
    channels and img_size, with their defaults. unsupported: why an option of the shared vocabulary
    (`ablations.ABLATIONS`) is not one of this network's. weights: the published ones, where there are any.
    """

    name: str
    build: Callable[..., nn.Module]
    img_size: int
    min_size: int
    year: int
    paper: str
    top1: float | None
    top5: float | None
    channels: int
    classes: int
    model_args: dict[str, Any]
    unsupported: dict[str, str]
    weights: Weights | None = None


ENTRIES: dict[str, Entry] = {}
NOTHING_THERE = "the network has no such part"


def register(
    *,
    name: str | None = None,
    img_size: int,
    min_size: int,
    year: int,
    paper: str,
    top1: float | None = None,
    top5: float | None = None,
    channels: int = 3,
    classes: int = 1000,
    design: Design | None = None,
    weights: Weights | None = None,
) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Decorator: register a builder function under its own name, or under `name`.

    A builder takes classes, channels and img_size by keyword, and its options as further keyword arguments. If `design`
    gives the defaults, the options are the fields of that dataclass, and the builder takes them as one argument
    `design`.

    Args:
        name: name of the network; None for the name of the function.
        img_size: side of the images in the paper, in pixels.
        min_size: smallest side that the network accepts, in pixels.
        year: year of the paper.
        paper: reference of the paper.
        top1: published top-1 accuracy on ImageNet, in per cent.
        top5: published top-5 accuracy on ImageNet, in per cent.
        channels: input channels of the published network.
        classes: classes of the published network.
        design: defaults of the options.
        weights: published weights.

    Returns:
        The decorator, which returns the builder unchanged.

    Raises:
        AssertionError: the name is registered twice.
    """

    def enter(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        key = name or build.__name__
        if key in ENTRIES:
            raise AssertionError(f"network {key!r} is registered twice")
        ENTRIES[key] = Entry(
            name=key,
            build=build if design is None else _by_options(build, design),
            img_size=img_size,
            min_size=min_size,
            year=year,
            paper=paper,
            top1=top1,
            top5=top5,
            channels=channels,
            classes=classes,
            model_args=_signature_args(build) if design is None else dict(vars(design)),
            unsupported={} if design is None else dict(design.unsupported),
            weights=weights,
        )
        return build

    return enter


def _by_options(build: Callable[..., nn.Module], design: Design) -> Callable[..., nn.Module]:
    """The builder with the design's fields as keyword arguments."""

    def by_options(*, classes: int, channels: int, img_size: int, **model_args: Any) -> nn.Module:
        changed = replace(design, **model_args)
        return build(classes=classes, channels=channels, img_size=img_size, design=changed)

    return by_options


def _signature_args(build: Callable[..., nn.Module]) -> dict[str, Any]:
    parameters = inspect.signature(build).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in ("classes", "channels", "img_size")}


def check_model_args(known: Entry, model_args: dict[str, Any]) -> None:
    """Refuse options that a network does not have.

    Args:
        known: the network's entry.
        model_args: options by name.

    Raises:
        ModelError: some options are unknown; the message names each, with the reason if it cannot apply.
    """
    unknown = sorted(set(model_args) - set(known.model_args))
    faults = [f"it has no option {k!r}" for k in unknown if k not in ABLATIONS]
    faults += [
        f"{k!r} ({ABLATIONS[k]}) is not supported: {known.unsupported.get(k, NOTHING_THERE)}"
        for k in unknown
        if k in ABLATIONS
    ]
    if faults:
        misspelt = [k for k in unknown if k not in ABLATIONS]
        raise ModelError(
            f"{known.name} cannot be built with these options: " + "; ".join(faults),
            expected=None if misspelt and known.model_args else ", ".join(sorted(known.model_args)) or "no options",
            fix=nearest(misspelt[0], known.model_args) if misspelt and known.model_args else None,
        )
