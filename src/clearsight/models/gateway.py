"""`timm/NAME`: any network of the timm library, under the same contract as our own.

timm is imported where it is used: it takes seconds, which commands that do without it should not spend.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from clearsight.errors import ModelError, nearest
from clearsight.models.published import TimmWeights

PREFIX = "timm/"


def timm_name(name: str) -> str:
    """timm's name behind `timm/NAME`; ModelError suggests near names for one timm does not have."""
    import timm

    inner = name.removeprefix(PREFIX)
    if not timm.is_model(inner.split(".")[0]):
        raise ModelError(f"timm has no network {inner!r}", fix=nearest(inner, timm.list_models()))
    return inner


def build_timm(name: str, *, classes: int, channels: int, img_size: int | None, **model_args: Any) -> nn.Module:
    """timm's network with random weights. `model_args` go to timm's own constructor."""
    import timm

    inner = timm_name(name)
    arguments: dict[str, Any] = {"num_classes": classes, "in_chans": channels, **model_args}
    if img_size is not None and _takes_img_size(inner):
        arguments["img_size"] = img_size
    try:
        return timm.create_model(inner, pretrained=False, **arguments)  # type: ignore[no-any-return]
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ModelError(f"timm cannot build {inner} so", found=str(error)[:200]) from error


def timm_weights(name: str) -> TimmWeights | None:
    """The published weights of `timm/NAME`, as timm's own configuration has them; None where there are none."""
    import timm

    cfg = timm.get_pretrained_cfg(timm_name(name))
    if cfg is None or not cfg.has_weights:
        return None
    tagged = f"{cfg.architecture}.{cfg.tag}" if cfg.tag else str(cfg.architecture)
    return TimmWeights(tagged, int(cfg.input_size[-1]), tuple(cfg.mean), tuple(cfg.std))


def default_img_size(name: str) -> int:
    """The side in pixels timm states for a network."""
    import timm

    return int(timm.get_pretrained_cfg(timm_name(name)).input_size[-1])


def _takes_img_size(inner: str) -> bool:
    """Whether the network fixes its input size when it is built (vision transformers do)."""
    import timm

    cfg = timm.get_pretrained_cfg(inner)
    if cfg is not None and cfg.fixed_input_size:
        return True
    return "img_size" in inspect.signature(timm.model_entrypoint(inner.split(".")[0])).parameters
