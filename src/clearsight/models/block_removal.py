"""Residual networks with single blocks taken out at test time [Veit, Wilber, Belongie 2016, arXiv:1605.06431].

    residual_blocks(network)                       # ("layer1.0", "layer1.1", ...)
    with without_blocks(network, ["layer2.1"]):
        network(images)

A block that is taken out hands on its shortcut: its input where the shape stays, what its projection makes of it where
the shape changes. A residual network loses little by that, a plain one all: nothing would be handed on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from clearsight.errors import ModelError, nearest
from clearsight.models.base import forward_hooks
from clearsight.models.families.resnet import Block


def residual_blocks(network: nn.Module) -> tuple[str, ...]:
    """Names of the blocks with a shortcut of the ResNets here, in the order they run."""
    return tuple(name for name, m in network.named_modules() if isinstance(m, Block) and m.residual)


@contextmanager
def without_blocks(network: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """Inside the block the named residual blocks hand on their shortcuts alone; weights stay as they are.

    Raises ModelError for a name that is not a block with a shortcut.
    """
    known = residual_blocks(network)
    if unknown := [name for name in names if name not in known]:
        expected = None if known else "a block of a residual network from Clearsight's registry, such as resnet18"
        raise ModelError(
            f"{unknown[0]!r} is not a block with a shortcut",
            expected=expected,
            fix=nearest(unknown[0], known) if known else None,
        )

    def shortcut(name: str, block: Block, inputs: tuple[torch.Tensor, ...], output: Any) -> torch.Tensor:
        return block.shortcut_alone(inputs[0])

    with forward_hooks([(name, network.get_submodule(name)) for name in names], shortcut):
        yield
