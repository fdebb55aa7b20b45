"""Published weights at work: the backbone of a probe, and the ImageNet classifier itself."""

from __future__ import annotations

from typing import Any

from clearsight.errors import ModelError
from clearsight.models.initialization import skip_init
from clearsight.models.layers import last_dense
from clearsight.models.network import Network, Probe
from clearsight.models.weight_file import FileWeights, fitted
from clearsight.models.zoo import DEFAULT_BACKBONE, published_state, weight_facts


def load_backbone(probe: Probe, file: str | None = None) -> None:
    """Fill a probe's backbone with the published weights of its network, or with those of a file.

    Where it takes other than three channels, the filters of its first convolution are repeated over the channels and
    scaled by 3 / C, so that maps keep their magnitude [timm, `adapt_input_conv`].
    """
    name = probe.spec["name"]
    if file is not None:
        FileWeights.of(file, name).fill(probe.backbone, name)
        return
    state = published_state(name)
    own = probe.backbone.state_dict()
    probe.backbone.load_state_dict({key: fitted(state[key], tensor) for key, tensor in own.items()})


def imagenet_network(name: str = DEFAULT_BACKBONE) -> tuple[Network, tuple[str, ...]]:
    """The published classifier itself, with its 1,000 ImageNet classes: `imagenet_network()[0](images)`."""
    facts = weight_facts(name)
    state = published_state(name)
    spec: dict[str, Any] = {
        "kind": "network",
        "name": name,
        "classes": 1000,
        "img_size": facts.img_size,
        "model_args": {},
        "input": {"mean": list(facts.mean), "std": list(facts.std), "mode": "fixed"},
    }
    with skip_init():
        network = Network(spec)
    if last_dense(network.body)[1].out_features != 1000:
        raise ModelError(f"{name} is not an ImageNet-1k classifier")
    network.body.load_state_dict(state)
    return network.eval(), imagenet_classes()


def imagenet_classes() -> tuple[str, ...]:
    """The 1,000 class names of ImageNet-1k in the order of the logits."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    return tuple(info.index_to_description(i) for i in range(1000))
