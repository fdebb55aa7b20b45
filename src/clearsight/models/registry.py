"""Names of networks and the functions that build them: one keyword-only builder per name; a duplicate raises."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from clearsight.errors import ModelError, nearest


@dataclass(frozen=True)
class Entry:
    """What the registry knows of a network.

    build(classes=, channels=, img_size=, **knobs) returns a module that maps (N, channels, img_size, img_size), already
    normalised, to logits (N, classes).
    img_size: the side in pixels the network was designed for. min_size: the smallest it accepts.
    top1, top5: published ImageNet accuracy in percent, where there is one. year: of publication. paper: its citation.
    """

    name: str
    build: Callable[..., nn.Module]
    img_size: int
    min_size: int
    year: int
    paper: str
    top1: float | None = None
    top5: float | None = None

    @property
    def knobs(self) -> dict[str, Any]:
        """The builder's own options beyond classes, channels and img_size, with their defaults."""
        parameters = inspect.signature(self.build).parameters.values()
        return {p.name: p.default for p in parameters if p.name not in ("classes", "channels", "img_size")}


_ENTRIES: dict[str, Entry] = {}


def register(
    *,
    img_size: int,
    min_size: int,
    year: int,
    paper: str,
    top1: float | None = None,
    top5: float | None = None,
) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Decorator: enter a builder function under its own name."""

    def enter(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        name = build.__name__
        if name in _ENTRIES:
            raise AssertionError(f"network {name!r} is registered twice")
        _ENTRIES[name] = Entry(name, build, img_size, min_size, year, paper, top1, top5)
        return build

    return enter


def model_names() -> list[str]:
    """Every registered name, sorted."""
    _load_families()
    return sorted(_ENTRIES)


def entry(name: str) -> Entry:
    """The registry's entry; ModelError suggests near names for an unknown one."""
    _load_families()
    if name not in _ENTRIES:
        raise ModelError(
            f"there is no network {name!r}",
            fix=nearest(name, _ENTRIES) + " `clearsight models` lists all; timm/NAME reaches timm's",
        )
    return _ENTRIES[name]


def build_model(name: str, *, classes: int, channels: int = 3, img_size: int | None = None, **knobs: Any) -> nn.Module:
    """Build a network with random weights: `build_model("resnet20", classes=10, channels=1, img_size=28)`.

    The result maps normalised images (N, channels, img_size, img_size) to logits (N, classes).
    `timm/NAME` builds timm's network of that name. Raises ModelError for an unknown name or knob, a class count below
    one, or an image too small for the network.
    """
    if classes < 1:
        raise ModelError(f"{name} cannot be built", found=f"{classes} classes", expected="at least 1")
    if channels < 1:
        raise ModelError(f"{name} cannot be built", found=f"{channels} channels", expected="at least 1")
    if name.startswith("timm/"):
        from clearsight.models.gateway import build_timm

        return build_timm(name, classes=classes, channels=channels, img_size=img_size, **knobs)
    known = entry(name)
    img_size = known.img_size if img_size is None else img_size
    if img_size < known.min_size:
        raise ModelError(
            f"images are too small for {name}",
            found=f"{img_size}x{img_size} pixels",
            expected=f"at least {known.min_size}x{known.min_size}",
            fix=f"use --img-size {known.min_size} or larger, or a network for small images such as resnet8",
        )
    if unknown := sorted(set(knobs) - set(known.knobs)):
        raise ModelError(
            f"{name} has no option {', '.join(map(repr, unknown))}",
            expected=", ".join(known.knobs) or "no options",
        )
    return known.build(classes=classes, channels=channels, img_size=img_size, **knobs)


def _load_families() -> None:
    """Import the family files, whose decorators fill the registry."""
    from clearsight.models import efficientnet, lenet, resnet  # noqa: F401
