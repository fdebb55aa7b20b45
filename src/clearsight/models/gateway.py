"""`timm/NAME`: any network of the timm library, under the same contract as our own.

timm is imported where it is used: it takes seconds, which commands that do without it should not spend.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from clearsight.errors import ConfigError, ModelError, did_you_mean, nearest
from clearsight.models.ablations import COUNT, COUNTS, SHARE, TRUTH
from clearsight.models.published import TimmWeights

PREFIX = "timm/"

NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_-]+)?")
"""What timm calls its own networks: ARCHITECTURE or ARCHITECTURE.TAG. Other names are addresses (hf-hub:, local-dir:)
or paths, from which it would load.
"""

Rule = tuple[Callable[[Any], bool], str]

_WORD: Rule = (
    lambda v: isinstance(v, str) and re.fullmatch(r"[A-Za-z0-9_]+", v) is not None,
    "a word of letters, digits and underscores",
)
_POSITIVE: Rule = (lambda v: type(v) in (int, float) and 0 < v < float("inf"), "a number above 0")
_COUNTS: Rule = (lambda v: COUNT[0](v) or COUNTS[0](v), "one or more positive integers")

ARGUMENTS: dict[str, Rule] = {
    **dict.fromkeys(
        ("attn_drop_rate", "drop_block_rate", "drop_path_rate", "drop_rate", "patch_drop_rate", "pos_drop_rate",
         "proj_drop_rate"),
        SHARE,
    ),
    **dict.fromkeys(
        ("base_width", "cardinality", "depth", "depths", "dims", "embed_dim", "embed_dims", "layers", "num_heads",
         "output_stride", "patch_size", "reg_tokens", "stem_width", "window_size"),
        _COUNTS,
    ),
    **dict.fromkeys(
        ("avg_down", "class_token", "dynamic_img_pad", "dynamic_img_size", "fc_norm", "final_norm", "no_embed_class",
         "pre_norm", "qk_norm", "qkv_bias"),
        TRUTH,
    ),
    **dict.fromkeys(("init_values", "ls_init_value", "mlp_ratio"), _POSITIVE),
    **dict.fromkeys(("act_layer", "aa_layer", "global_pool", "norm_layer", "stem_type"), _WORD),
}  # fmt: skip
"""Arguments of timm's networks that may be given: those that shape a network, and what values they take. timm's factory
takes many more, some of which read files and addresses (checkpoint_path, pretrained_cfg, cache_dir): these must come
neither from a card, which may be someone else's, nor by way of --model-arg.
"""


def check_arguments(name: str, model_args: Mapping[str, Any]) -> None:
    """ConfigError for arguments of a network of timm that are not in `ARGUMENTS`, or have values they cannot have."""
    for key, value in model_args.items():
        if key not in ARGUMENTS:
            raise ConfigError(
                f"{name} cannot be built with the option {key!r}", expected=", ".join(sorted(ARGUMENTS)),
                fix=did_you_mean(str(key), ARGUMENTS),
            )  # fmt: skip
        good, expected = ARGUMENTS[key]
        if not good(value):
            raise ConfigError(
                f"{name} cannot be built with this value of {key!r}", found=repr(value)[:100], expected=expected
            )


def timm_name(name: str) -> str:
    """timm's name behind `timm/NAME`; ModelError suggests near names for one timm does not have."""
    import timm

    inner = name.removeprefix(PREFIX)
    if not NAME.fullmatch(inner):
        raise ModelError(
            f"{inner!r} is not the name of a network in timm", expected="a name such as resnet18 or resnet18.a1_in1k",
            fix="networks are built by name, never loaded from a URL or a folder",
        )  # fmt: skip
    if not timm.is_model(inner.split(".")[0]):
        raise ModelError(f"timm has no network {inner!r}", fix=nearest(inner, timm.list_models()))
    return inner


def build_timm(
    name: str, *, classes: int, channels: int, img_size: int | None, model_args: Mapping[str, Any]
) -> nn.Module:
    """timm's network with random weights. model_args: those of `ARGUMENTS`; they go to timm's own constructor."""
    import timm

    inner = timm_name(name)
    check_arguments(name, model_args)
    arguments: dict[str, Any] = {**model_args, "num_classes": classes, "in_chans": channels}
    if img_size is not None and _takes_img_size(inner):
        arguments["img_size"] = img_size
    try:
        return timm.create_model(inner, pretrained=False, **arguments)  # type: ignore[no-any-return]
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ModelError(f"timm cannot build {inner} with these options", found=str(error)[:200]) from error


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
