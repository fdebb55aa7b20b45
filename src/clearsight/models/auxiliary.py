"""Auxiliary classifiers: heads on inner layers that help a deep network train [Szegedy et al. 2014,
arXiv:1409.4842].

A network returns the logits of its last layer alone, in training too. Where it was built with aux=True, its
auxiliary heads also run in training mode, and `auxiliary_logits` hands over what they returned, through any
wrapper around the network:

    with auxiliary_logits(network) as extra:
        loss = cross_entropy(network(x), y)
        loss = loss + AUXILIARY_WEIGHT * sum(cross_entropy(logits, y) for logits in extra)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from clearsight.models.base import forward_hooks

AUXILIARY_WEIGHT = 0.3
"""What the paper weighs each auxiliary loss with (section 5)."""


class AuxiliaryClassifier(nn.Module):
    """Base of auxiliary heads, which marks them for `auxiliary_logits`: (N, C, S, S) -> (N, classes)."""


@contextmanager
def auxiliary_logits(network: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Collect the outputs (N, classes) of the auxiliary heads that run inside the block, in order."""
    collected: list[torch.Tensor] = []
    heads = [(name, m) for name, m in network.named_modules() if isinstance(m, AuxiliaryClassifier)]
    with forward_hooks(heads, lambda _name, _module, _inputs, output: collected.append(output)):
        yield collected
