"""Features of one layer of a trained network, which any classifier is fitted to: the model `features+CLASSIFIER` with
`--model-arg network=...` and `layer=...`. They are those that `clearsight index --layer` writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearsight.bundle import Bundle
from clearsight.data.pixels import PixelFormat
from clearsight.errors import ConfigError, nearest
from clearsight.models.base import ModelNetwork
from clearsight.models.layer_probe import LayerProbe, layer_name
from clearsight.models.pretrained import imagenet_network
from clearsight.models.zoo import DEFAULT_BACKBONE, model_names, published, weight_facts


@dataclass(frozen=True)
class FeatureSource:
    """A trained network and the input it wants. layer: "" is its features below the head."""

    network: ModelNetwork
    layer: str
    img_size: int
    channels: int

    def probe(self, form: PixelFormat) -> LayerProbe:
        """The network up to its layer, without a head, for images of a format; ConfigError where it takes others."""
        if form.channels not in (1, self.channels):
            kinds = {1: "gray images", 3: "colour images"}
            raise ConfigError(
                "the network given by --model-arg network=... takes "
                f"{kinds.get(self.channels, f'{self.channels} channels')}",
                found=kinds.get(form.channels, f"{form.channels} channels"),
                expected=kinds.get(self.channels, f"{self.channels} channels"),
            )
        return LayerProbe.of(self.network, self.layer)


def feature_source(options: dict[str, Any]) -> FeatureSource:
    """The network and layer that `--model-arg` names.

    Args:
        options: `network`, the folder of a run or the name of a network with published weights (default: the usual
            one), and `layer`, the name of a module (default: the features below the head).

    Returns:
        The network in evaluation mode, its layer and its input.

    Raises:
        ConfigError: neither a run nor a network with published weights.
        ModelError: an unknown layer; the error names near ones.
    """
    name, layer = str(options.get("network", "")) or DEFAULT_BACKBONE, str(options.get("layer", ""))
    if Path(name).expanduser().is_dir():
        bundle = Bundle.load(name)
        found = FeatureSource(bundle.network, layer, bundle.geometry.height, bundle.form.channels)
    elif (name in model_names() or name.startswith("timm/")) and published(name):
        found = FeatureSource(imagenet_network(name)[0], layer, weight_facts(name).img_size, 3)
    else:
        raise ConfigError(
            f"--model-arg network={name} is neither the folder of a run nor a network with published weights",
            expected="the folder of a run, or a network that `clearsight models` lists with published weights",
            fix=nearest(name, [known for known in model_names() if published(known)]),
        )
    if layer:
        layer_name(found.network, layer)
    return found
