"""Every network by its name: looked up, built, and filled with its published weights.

    network = build_model("resnet18", classes=5, pretrained=True)
    entry("resnet18").model_args
    weight_facts("resnet18").img_size

Names are those that the families registered, and `timm/NAME` for any network of timm's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

import clearsight.models.families  # noqa: F401 (whose files fill the registry)
from clearsight.arguments import OTHER_NETWORK_ARGUMENTS, names_of_others
from clearsight.errors import ModelError, nearest
from clearsight.models.ablations import FUNCTION
from clearsight.models.classical import DESCRIPTORS
from clearsight.models.gateway import PREFIX, build_timm, timm_weights
from clearsight.models.initialization import initialise
from clearsight.models.layers import last_dense
from clearsight.models.published import Weights, check_fit, load_state
from clearsight.models.registry import ENTRIES, Entry, check_model_args
from clearsight.models.shape_tracing import no_data

DEFAULT_BACKBONE = "efficientnet_lite0"
"""The network whose ImageNet weights come with an installed package, so that it works offline."""


def model_names() -> list[str]:
    """Every registered name, sorted.

    Returns:
        Names for `build_model`.
    """
    return sorted(ENTRIES)


def entry(name: str) -> Entry:
    """The registry's entry; ModelError suggests near names for an unknown one.

    Args:
        name: name of a network.

    Returns:
        What is registered about the network.

    Raises:
        ModelError: no network has that name.
    """
    if name in ENTRIES:
        return ENTRIES[name]
    if name in DESCRIPTORS:
        raise ModelError(f"{name!r} is a descriptor and needs a classifier", fix=f"add a classifier, as in {name}+svm")
    raise ModelError(
        f"unknown network {name!r}",
        fix=nearest(name, ENTRIES, "networks")
        + " `clearsight models` lists all networks; timm/NAME selects any network in timm",
    )


@names_of_others(OTHER_NETWORK_ARGUMENTS)
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

    The result maps normalised images (N, channels, img_size, img_size) to logits (N, classes). `timm/NAME` builds
    timm's network of that name. Ablations are options: `build_model("resnet18", classes=10, residual=False,
    activation="elu", norm_position="after")`.

    Args:
        name: name of the network, of `clearsight models` or `timm/NAME`.
        classes: number of outputs, at least 1.
        channels: number of input channels.
        img_size: side of the input in pixels; None takes the network's own.
        pretrained: start from the published ImageNet weights (`models.published`), downloaded once; unless `classes` is
            1,000 the last layer is drawn anew.
        init: xavier, he, uniform, orthogonal, each with a gain as in he:0.1 if wanted, or best-of:xavier,he,... which
            tries each on `batches` of images and class indices (default: the network's own rule).
        batches: batches of images and labels for initialisations that are fitted to data.
        **model_args: options of the network.

    Returns:
        The network, in training mode.

    Raises:
        ModelError: an unknown name or option, an option that makes no sense for the network, a class count below one,
            an image too small for the network, or published weights that cannot be had or do not fit.
    """
    if pretrained and init is not None:
        raise ModelError(f"init={init!r} would overwrite the published weights", fix="use either init or pretrained")
    network = _build(name, classes, channels, img_size, model_args)
    if pretrained:
        load_published(network, name, classes=classes, channels=channels, aux=bool(model_args.get("aux")))
    if init is not None:
        initialise(network, init, batches=batches)
    return network


def build_recorded(name: Any, *, classes: int, channels: int, img_size: int | None, model_args: Any) -> nn.Module:
    """The network a model's card names, with random weights: no file is read and no network is asked.

    A card may come from someone else. Its options are those of the network alone, never `build_model`'s own, among
    which `pretrained` downloads. ModelError or ConfigError for all else.

    Args:
        name: name of the network.
        classes: number of outputs.
        channels: number of input channels.
        img_size: side of the input in pixels.
        model_args: options of the network.

    Returns:
        The network with random weights.

    Raises:
        ModelError: the card names no network that can be built.
    """
    if not isinstance(name, str) or not isinstance(model_args, dict):
        raise ModelError("the description of a network is invalid", found=f"{name!r} with {model_args!r}"[:200])
    return _build(name, classes, channels, img_size, model_args)


def _build(name: str, classes: int, channels: int, img_size: int | None, model_args: dict[str, Any]) -> nn.Module:
    for what, number in {"classes": classes, "channels": channels, "img_size": img_size}.items():
        if not (isinstance(number, int) and number >= 1) and not (what == "img_size" and number is None):
            raise ModelError(f"{name} cannot be built", found=f"{what} {number!r}", expected="a positive integer")
    if name.startswith(PREFIX):
        return build_timm(name, classes=classes, channels=channels, img_size=img_size, model_args=model_args)
    return _build_ours(entry(name), classes, channels, img_size, model_args)


def _build_ours(
    known: Entry, classes: int, channels: int, img_size: int | None, model_args: dict[str, Any]
) -> nn.Module:
    img_size = known.img_size if img_size is None else img_size
    if img_size < known.min_size:
        raise ModelError(
            f"the images are too small for {known.name}",
            found=f"{img_size}x{img_size} pixels",
            expected=f"at least {known.min_size}x{known.min_size}",
            fix=f"use --img-size {known.min_size} or larger, or a network for small images such as resnet8",
        )
    check_model_args(known, model_args)
    network = known.build(classes=classes, channels=channels, img_size=img_size, **model_args)
    if model_args.get("padding_mode") == "reflect":
        _check_reflection(known, classes, channels, img_size, model_args)
    return network


def _check_reflection(known: Entry, classes: int, channels: int, img_size: int, model_args: dict[str, Any]) -> None:
    """A border can only be reflected where the map is larger than the padding; tested by a pass without data."""
    try:
        with torch.device("meta"):
            trial = known.build(classes=classes, channels=channels, img_size=img_size, **model_args).eval()
            trial(torch.empty(1, channels, img_size, img_size))
    except RuntimeError as error:
        raise ModelError(
            f"the feature maps of {known.name} are too small for reflection padding",
            found=f"images of {img_size}x{img_size} pixels",
            fix="use a larger --img-size, or padding_mode=replicate",
        ) from error


def published(name: str) -> Weights | None:
    """A network's published weights, `timm/NAME` included; None where there are none.

    Args:
        name: name of the network.

    Returns:
        What is known about the weights, or None.
    """
    if name.startswith(PREFIX):
        return timm_weights(name)
    return ENTRIES[name].weights if name in ENTRIES else None


def weight_facts(name: str) -> Weights:
    """`published`, and a ModelError where there is nothing.

    Args:
        name: name of the network.

    Returns:
        What is known about the weights.

    Raises:
        ModelError: the network has no published weights.
    """
    weights = published(name)
    if weights is None:
        raise ModelError(
            f"no weights are published for {name}",
            fix=f"use --no-pretrained, --model {DEFAULT_BACKBONE} or --model timm/NAME",
        )
    return weights


def at_hand(name: str) -> bool:
    """Whether a network's published weights are on this machine already.

    Args:
        name: name of the network.

    Returns:
        True where nothing has to be downloaded.
    """
    weights = published(name)
    return weights is not None and weights.is_cached


def published_state(name: str, *, aux: bool = False) -> dict[str, torch.Tensor]:
    """The published weights, under the names `build_model(name, classes=1000)` gives its tensors.

    Args:
        name: name of the network.
        aux: whether auxiliary classifiers are included.

    Returns:
        Tensors by name.

    Raises:
        ModelError: a network without published weights, and where the file is neither in the cache nor within reach;
            the error then names the file, its address and the folder to put it in by hand.
    """
    return weight_facts(name).state(name, aux=aux)


def load_published(network: nn.Module, name: str, *, classes: int, channels: int, aux: bool = False) -> None:
    """Fill a network of `build_model` with its published weights; a last layer of other than 1,000 classes stays as it
    was drawn.

    Args:
        network: network of `build_model`; it is changed in place.
        name: name of the network.
        classes: number of its outputs.
        channels: number of its input channels.
        aux: whether it has auxiliary classifiers.

    Raises:
        ModelError: they do not fit, before anything is downloaded.
    """
    if channels != 3:
        raise ModelError(
            f"the published weights of {name} expect three channels",
            found=f"channels={channels}",
            fix="use channels=3 and repeat a grey channel three times, or set pretrained=False",
        )
    form = published_form(name, aux=aux)
    head = last_dense(network)[0] + ".weight"
    replace_head = classes != form[head].shape[0] if head in form else False
    check_fit(network, form, name=name, replace_head=replace_head)
    load_state(network, published_state(name, aux=aux), name=name, replace_head=replace_head)


def published_form(name: str, *, aux: bool = False) -> dict[str, torch.Tensor]:
    """The tensors of the network the weights were published for, without data.

    Args:
        name: name of the network.
        aux: whether auxiliary classifiers are included.

    Returns:
        Tensors by name, on the meta device.

    Raises:
        ModelError: there are none.
    """
    weight_facts(name)
    with no_data():
        network = build_model(name, classes=1000, aux=True) if aux else build_model(name, classes=1000)
    return network.state_dict()


def unlike_published(name: str, model_args: Mapping[str, Any]) -> list[str]:
    """Options under which the published weights fit but compute something else than they were trained for.

    Args:
        name: name of the network.
        model_args: options of the network.

    Returns:
        The options as KEY=VALUE, such as activation=elu.
    """
    usual = {} if name.startswith(PREFIX) else entry(name).model_args
    return [
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for key, value in model_args.items()
        if key in FUNCTION and value != usual.get(key)
    ]


def fits_published(name: str, model_args: Mapping[str, Any]) -> bool:
    """Whether a network of these options can start from its published weights: the options leave every shape alone.

    Args:
        name: name of the network.
        model_args: options of the network.

    Returns:
        True where the published weights fit.
    """
    if not model_args:
        return True
    with no_data():
        asked = build_model(name, classes=1000, **model_args)
    try:
        check_fit(asked, published_form(name, aux=bool(model_args.get("aux"))), name=name, replace_head=False)
    except ModelError:
        return False
    return True
