"""What single families promise beyond the battery every network passes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clearsight.models.layers import AUXILIARY_WEIGHT, auxiliary_logits
from clearsight.models.zoo import build_model


def test_memory_efficient_densenet_computes_the_same() -> None:
    """The same logits, gradients and running statistics, though inner maps are computed twice."""
    images, classes = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    plain = build_model("densenet121", classes=3, img_size=32, growth=4, width=8)
    thrifty = build_model("densenet121", classes=3, img_size=32, growth=4, width=8, memory_efficient=True)
    thrifty.load_state_dict(plain.state_dict())
    for network in (plain, thrifty):
        F.cross_entropy(network.train()(images), classes).backward()
    for (key, ours), theirs in zip(thrifty.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-5, msg=key)
    for (key, ours), theirs in zip(thrifty.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=key)


def test_memory_efficient_densenet_stores_less() -> None:
    """Bytes kept for the backward pass."""

    def stored(**model_args: bool) -> int:
        network = build_model("densenet121", classes=3, img_size=32, growth=8, width=16, **model_args).train()
        sizes: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = network(torch.randn(4, 3, 32, 32))
        assert output.requires_grad
        return sum(sizes.values())

    assert stored(memory_efficient=True) < 0.6 * stored()


@pytest.mark.parametrize(("name", "heads"), [("googlenet", 2), ("inception_v3", 1)])
def test_auxiliary_heads_train_through_a_wrapper(name: str, heads: int) -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), build_model(name, classes=4, img_size=32, aux=True, width=8))
    images, classes = torch.randn(4, 3, 32, 32), torch.arange(4)
    with auxiliary_logits(network.train()) as extra:
        loss = F.cross_entropy(network(images), classes)
        assert [logits.shape for logits in extra] == [(4, 4)] * heads
        loss = loss + AUXILIARY_WEIGHT * sum(F.cross_entropy(logits, classes) for logits in extra)
    loss.backward()
    assert all(p.grad is not None for p in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())
    with auxiliary_logits(network.eval()) as extra:
        network(images)
    assert extra == []


def test_auxiliary_hooks_are_gone_after_a_failure() -> None:
    network = build_model("googlenet", classes=4, img_size=32, aux=True, width=8)
    with pytest.raises(RuntimeError, match="stop"), auxiliary_logits(network):
        raise RuntimeError("stop")
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.long
@pytest.mark.long
def test_1202_layers_go_forward_and_backward() -> None:
    network = build_model("resnet1202", classes=10).train()
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(layers) + 1 == 1202
    F.cross_entropy(network(torch.randn(2, 3, 32, 32)), torch.tensor([0, 1])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_option_a_is_the_padded_identity() -> None:
    network = build_model("resnet8", classes=2, shortcut="A", width=4)
    shortcut = network.layer2[0].downsample
    x = torch.randn(1, 4, 6, 6)
    assert torch.equal(shortcut(x)[:, :4], x[:, :, ::2, ::2])
    assert not shortcut(x)[:, 4:].any()


def test_the_stem_follows_the_size_of_the_image() -> None:
    """Below 64 px no pooling and no stride in the stem: 32 px end as 4x4 maps, 64 px as 2x2."""
    for name, last in (("resnet18", "layer4"), ("densenet121", "features"), ("googlenet", "inception5b")):
        for side, expected in ((32, 4), (64, 2), (224, 7)):
            network = build_model(name, classes=2, img_size=side, width=4).eval()
            sides: list[int] = []
            network.get_submodule(last).register_forward_hook(
                lambda _m, _i, output, sides=sides: sides.append(output.shape[-1])
            )
            network(torch.zeros(1, 3, side, side))
            assert sides == [expected], (name, side)


def test_grouped_alexnet_keeps_its_two_halves_apart() -> None:
    """The second convolution's first half of filters reads the first half of the maps alone."""
    second = [m for m in build_model("alexnet_grouped", classes=2).modules() if isinstance(m, nn.Conv2d)][1]
    x = torch.randn(1, 96, 5, 5)
    changed = x.clone()
    changed[:, 48:] += 1
    assert torch.equal(second(x)[:, :128], second(changed)[:, :128])
    assert not torch.equal(second(x)[:, 128:], second(changed)[:, 128:])


def test_response_normalisation_is_the_papers() -> None:
    """b = a / (2 + 1e-4 * sum of squares over five maps)^0.75, by hand for the middle one of seven."""
    norm = next(m for m in build_model("alexnet_grouped", classes=2).modules() if isinstance(m, nn.LocalResponseNorm))
    x = torch.randn(1, 7, 1, 1) * 50
    expected = x[0, 3] / (2 + 1e-4 * x[0, 1:6].square().sum()) ** 0.75
    torch.testing.assert_close(norm(x)[0, 3], expected)
