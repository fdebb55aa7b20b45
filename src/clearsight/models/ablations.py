"""The options that change one thing in a network, and the values they take.

Each family states its options as a frozen dataclass that derives from `Design`: the field is the option, its
default the published network. An option of the shared vocabulary `ABLATIONS` that a family lacks must have
its reason in the family's `unsupported`; `build_model` quotes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from clearsight.errors import ModelError

ABLATIONS = {
    "residual": "shortcuts around blocks, on or off",
    "norm": "batch normalisation, on or off",
    "norm_position": "batch normalisation before or after the activation",
    "activation": "activation function between layers",
    "se": "squeeze-and-excitation gates in all blocks (ratio 16), on or off",
    "padding_mode": "border padding of convolutions: zeros, reflect or replicate",
    "kernel": "side length of the filters in pixels",
    "downsample": "downsampling by strided convolution or by pooling",
    "dropout": "share of units dropped during training",
    "dropconnect": "share of weights dropped during training",
}

FUNCTION = frozenset(
    {"activation", "slope", "padding_mode", "norm_position", "downsample", "residual", "act_layer", "norm_layer"}
)
"""Options, of families and of timm, that change what the same weights compute; trained weights do not fit the result.
"""

ACTIVATIONS = ("relu", "leaky_relu", "elu", "silu", "gelu", "relu6", "sigmoid", "tanh")

TRUTH = (lambda v: isinstance(v, bool), "True or False")
SHARE = (
    lambda v: isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v < 1,
    "a share in [0, 1)",
)
COUNT = (lambda v: _whole(v) and v >= 1, "a positive integer")
COUNTS = (
    lambda v: isinstance(v, tuple | list) and len(v) > 0 and all(_whole(n) and n >= 1 for n in v),
    "one or more positive integers",
)
_ODD = (lambda v: _whole(v) and v >= 1 and v % 2 == 1, "a positive odd integer, so that the padding can be symmetric")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _one_of(*allowed: str) -> tuple[Callable[[Any], bool], str]:
    return (lambda v: v in allowed), "one of " + ", ".join(allowed)


RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "activation": _one_of(*ACTIVATIONS),
    "aux": TRUTH,
    "downsample": _one_of("stride", "maxpool", "avgpool"),
    "dropconnect": SHARE,
    "dropout": SHARE,
    "dropout_input": SHARE,
    "growth": COUNT,
    "heads": COUNT,
    "depth": COUNT,
    "kernel": _ODD,
    "memory_efficient": TRUTH,
    "norm": TRUTH,
    "norm_position": _one_of("before", "after"),
    "padding_mode": _one_of("zeros", "reflect", "replicate"),
    "patch": COUNT,
    "pieces": COUNT,
    "original": TRUTH,
    "reduce": TRUTH,
    "residual": TRUTH,
    "se": TRUTH,
    "shortcut": _one_of("A", "B"),
    "slope": (
        lambda v: isinstance(v, int | float) and not isinstance(v, bool) and 0 < v < 1,
        "a number between 0 and 1, such as 0.01 or 0.1",
    ),
    "stem": _one_of("7x7", "3x3"),
    "table": TRUTH,
    "width": COUNT,
    "widths": COUNTS,
    "zero_init": TRUTH,
}

SLOPE = 0.01
"""Slope of leaky ReLU below zero where none is given."""


@dataclass(frozen=True)
class Design:
    """Base of every family's options; checks each value against `RULES` when it is made.

    rules: values a family takes beyond or instead of the shared rule. unsupported: why an ablation is not an
    option here. A field whose default is None may be None. Raises ModelError.
    """

    rules: ClassVar[Mapping[str, tuple[Callable[[Any], bool], str]]] = {}
    unsupported: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            good, expected = {**RULES, **self.rules}[field.name]
            if not (good(value) or (value is None and field.default is None)):
                raise ModelError(
                    f"the network option {field.name!r} has an invalid value",
                    found=repr(value),
                    expected=expected,
                )
        if getattr(self, "slope", SLOPE) != SLOPE and getattr(self, "activation", "") != "leaky_relu":
            raise ModelError(
                "slope applies only to activation=leaky_relu",
                found=f"activation={getattr(self, 'activation', None)!r}",
                fix="set activation=leaky_relu, or omit slope",
            )


@dataclass(frozen=True)
class ConvDesign(Design):
    """Options every family of convolutional networks has.

    norm_position: "before" is convolution, normalisation, activation; "after" is convolution, activation,
    normalisation. slope: of leaky_relu below zero. se: squeeze-and-excitation gates of ratio 16 [Hu et al. 2018,
    arXiv:1709.01507]. dropout,
    dropconnect: where they act is the family's to say; both are off in evaluation mode. width: filters of the
    first convolution; all other widths scale with it.
    """

    activation: str = "relu"
    norm: bool = True
    norm_position: str = "before"
    slope: float = SLOPE
    padding_mode: str = "zeros"
    se: bool = False
    dropout: float = 0.0
    dropconnect: float = 0.0
    width: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm_position == "after" and not self.norm:
            raise ModelError(
                "norm_position='after' contradicts norm=False",
                fix="enable normalisation with norm=True, or omit norm_position",
            )

    def scaled(self, published: int, base: int, *, multiple: int = 1) -> int:
        """A layer's width where the published network has `published` filters, and `base` in its first.

        Rounded down to a multiple of `multiple`, which is also the least.
        """
        return max(1, published * self.width // base // multiple) * multiple


POOLED = {"downsample": _one_of("maxpool", "avgpool")}
"""The rule of a family whose maps shrink in pooling layers that no stride could replace."""


def with_maxout() -> dict[str, tuple[Callable[[Any], bool], str]]:
    """The rule of a family whose every activation follows a layer of its own, so that maxout fits."""
    return {"activation": _one_of(*ACTIVATIONS, "maxout")}
