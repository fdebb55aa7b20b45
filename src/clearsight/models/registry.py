"""Names of networks and the functions that build them: one keyword-only builder per name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import nn

from clearsight.errors import ModelError, nearest
from clearsight.models.ablations import ABLATIONS, Design


@dataclass(frozen=True)
class Entry:
    """What the registry knows of a network.

    build(classes=, channels=, img_size=, **knobs) returns a module that maps (N, channels, img_size,
    img_size), already normalised, to logits (N, classes). img_size: the side in pixels the network was
    designed for. min_size: the smallest it accepts. channels, classes: of its published form. top1, top5:
    published ImageNet accuracy in percent, where there is one. year: of publication. paper: its citation.
    knobs: the builder's own options beyond classes, channels and img_size, with their defaults. senseless:
    why an option of the shared vocabulary (`design.ABLATIONS`) is not one of this network's.
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


_ENTRIES: dict[str, Entry] = {}
NOTHING_THERE = "it has nothing to change there"


def register(
    *,
    img_size: int,
    min_size: int,
    year: int,
    paper: str,
    top1: float | None = None,
    top5: float | None = None,
    channels: int = 3,
    classes: int = 1000,
    design: Design | None = None,
) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Decorator: enter a builder function under its own name.

    A builder takes classes, channels and img_size by keyword. Its options are further keyword arguments;
    where `design` gives the network's defaults, they are the fields of that dataclass and the builder takes
    them as one `design`.
    """

    def enter(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        name = build.__name__
        if name in _ENTRIES:
            raise AssertionError(f"network {name!r} is registered twice")
        _ENTRIES[name] = Entry(
            name=name,
            build=build if design is None else _by_options(build, design),
            img_size=img_size,
            min_size=min_size,
            year=year,
            paper=paper,
            top1=top1,
            top5=top5,
            channels=channels,
            classes=classes,
            model_args=_signature_args(build) if design is None else _design_args(design),
            unsupported={} if design is None else dict(design.unsupported),
        )
        return build

    return enter


def _by_options(build: Callable[..., nn.Module], design: Design) -> Callable[..., nn.Module]:
    """The builder with the design's fields as keyword arguments."""

    def by_options(*, classes: int, channels: int, img_size: int, **model_args: Any) -> nn.Module:
        changed = replace(design, **model_args)
        return build(classes=classes, channels=channels, img_size=img_size, design=changed)

    return by_options


def _design_args(design: Design) -> dict[str, Any]:
    return {f.name: getattr(design, f.name) for f in fields(design)}


def _signature_args(build: Callable[..., nn.Module]) -> dict[str, Any]:
    parameters = inspect.signature(build).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in ("classes", "channels", "img_size")}


def model_names() -> list[str]:
    """Every registered name, sorted."""
    _load_families()
    return sorted(_ENTRIES)


def entry(name: str) -> Entry:
    """The registry's entry; ModelError suggests near names for an unknown one."""
    _load_families()
    if name not in _ENTRIES:
        from clearsight.models.classical import DESCRIPTORS

        if name in DESCRIPTORS:
            raise ModelError(
                f"{name!r} is a descriptor and needs a classifier to be a model", fix=f"such as {name}+svm"
            )
        raise ModelError(
            f"there is no network {name!r}",
            fix=nearest(name, _ENTRIES) + " `clearsight models` lists all; timm/NAME reaches timm's",
        )
    return _ENTRIES[name]


def build_model(
    name: str,
    *,
    classes: int,
    channels: int = 3,
    img_size: int | None = None,
    pretrained: bool = False,
    init: str | None = None,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]] | None = None,
    **model_args: Any,
) -> nn.Module:
    """Build a network: `build_model("resnet20", classes=10, channels=1, img_size=28)`.

    The result maps normalised images (N, channels, img_size, img_size) to logits (N, classes). `timm/NAME`
    builds timm's network of that name. Ablations are options: `build_model("resnet18", classes=10,
    residual=False, activation="elu", norm_position="after")`. pretrained: start from the published ImageNet weights
    (`models.published`), downloaded once; unless `classes` is 1,000 the last layer is drawn anew. init: xavier, he,
    uniform, orthogonal, or best-of:xavier,he,... which tries each on `batches` of images and class indices
    (default: the network's own rule). Raises ModelError for an unknown name or knob, a knob that makes no sense for
    the network, a class count below one, an image too small for the network, or published weights that cannot be had
    or do not fit.
    """
    if pretrained and init is not None:
        raise ModelError(
            f"init={init!r} would overwrite the published weights", fix="choose one of init and pretrained"
        )
    network = _build(name, classes, channels, img_size, model_args)
    if pretrained:
        from clearsight.models.published import load_published

        load_published(network, name, classes=classes, channels=channels, aux=bool(model_args.get("aux")))
    if init is not None:
        from clearsight.models.initialization import initialise

        initialise(network, init, batches=batches)
    return network


def build_recorded(name: Any, *, classes: int, channels: int, img_size: int | None, model_args: Any) -> nn.Module:
    """The network a model's card names, with random weights: no file is read and no network is asked.

    A card may come from someone else. Its options are those of the network alone, never `build_model`'s own, among
    which `pretrained` downloads. ModelError or ConfigError for all else.
    """
    if not isinstance(name, str) or not isinstance(model_args, dict):
        raise ModelError("a record of a network cannot be read", found=f"{name!r} with {model_args!r}"[:200])
    return _build(name, classes, channels, img_size, model_args)


def _build(name: str, classes: int, channels: int, img_size: int | None, model_args: dict[str, Any]) -> nn.Module:
    for what, number in {"classes": classes, "channels": channels, "img_size": img_size}.items():
        if not (isinstance(number, int) and number >= 1) and not (what == "img_size" and number is None):
            raise ModelError(
                f"{name} cannot be built", found=f"{what} {number!r}", expected="a whole number of 1 or more"
            )
    if name.startswith("timm/"):
        from clearsight.models.gateway import build_timm

        return build_timm(name, classes=classes, channels=channels, img_size=img_size, model_args=model_args)
    return _build_ours(entry(name), classes, channels, img_size, model_args)


def _build_ours(
    known: Entry, classes: int, channels: int, img_size: int | None, model_args: dict[str, Any]
) -> nn.Module:
    img_size = known.img_size if img_size is None else img_size
    if img_size < known.min_size:
        raise ModelError(
            f"images are too small for {known.name}",
            found=f"{img_size}x{img_size} pixels",
            expected=f"at least {known.min_size}x{known.min_size}",
            fix=f"use --img-size {known.min_size} or larger, or a network for small images such as resnet8",
        )
    check_model_args(known, model_args)
    network = known.build(classes=classes, channels=channels, img_size=img_size, **model_args)
    if model_args.get("padding_mode") == "reflect":
        _check_reflection(known, classes, channels, img_size, model_args)
    return network


def check_model_args(known: Entry, model_args: dict[str, Any]) -> None:
    """Raise ModelError naming every option a network does not have, with the reason where it makes no sense there."""
    unknown = sorted(set(model_args) - set(known.model_args))
    faults = [f"it has no option {k!r}" for k in unknown if k not in ABLATIONS]
    faults += [
        f"{k!r} ({ABLATIONS[k]}) makes no sense for it: {known.unsupported.get(k, NOTHING_THERE)}"
        for k in unknown
        if k in ABLATIONS
    ]
    if faults:
        misspelt = [k for k in unknown if k not in ABLATIONS]
        raise ModelError(
            f"{known.name} cannot be built so: " + "; ".join(faults),
            expected=None if misspelt and known.model_args else ", ".join(sorted(known.model_args)) or "no options",
            fix=nearest(misspelt[0], known.model_args) if misspelt and known.model_args else None,
        )


def _check_reflection(known: Entry, classes: int, channels: int, img_size: int, model_args: dict[str, Any]) -> None:
    """A border can only be reflected where the map is larger than the padding; a pass without data tells."""
    try:
        with torch.device("meta"):
            trial = known.build(classes=classes, channels=channels, img_size=img_size, **model_args).eval()
            trial(torch.empty(1, channels, img_size, img_size))
    except RuntimeError as error:
        raise ModelError(
            f"{known.name} cannot reflect the border of maps this small",
            found=f"{img_size}x{img_size} pixels",
            fix="use a larger --img-size, or padding_mode replicate",
        ) from error


def _load_families() -> None:
    """Import the family files, whose decorators fill the registry."""
    from clearsight.models import (  # noqa: F401
        alexnet,
        cifar_resnet,
        densenet,
        efficientnet,
        googlenet,
        inception_v2,
        inception_v3,
        lenet,
        linear,
        maxout,
        mlp,
        resnet,
        vgg,
        vit,
    )
