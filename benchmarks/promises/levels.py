"""Pooled features of several levels of a network, for the study of OOD scores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearsight.models.base import ModelNetwork, capture
from clearsight.models.network import pool, tap_points


@contextmanager
def backbone_outputs(network: ModelNetwork) -> Iterator[list[list[NDArray[np.float32]]]]:
    """What the backbone gives out while the block runs, batch by batch: the levels of a head on published features."""
    seen: list[list[NDArray[np.float32]]] = []
    finish = network.finish

    def watched(outputs: Any) -> Any:
        seen.append([output.numpy().copy() for output in outputs])
        return finish(outputs)

    network.finish = watched  # type: ignore[method-assign]  # of this object, for the block
    try:
        yield seen
    finally:
        del network.finish


def joined(batches: list[list[NDArray[np.float32]]]) -> dict[str, NDArray[np.float16]]:
    """Batches of levels as arrays `level0`, `level1`, ..."""
    parts = [np.concatenate(same) for same in zip(*batches, strict=True)]
    return {f"level{k}": part.clip(-6e4, 6e4).astype(np.float16) for k, part in enumerate(parts)}


def levels_of(network: ModelNetwork, batches: Any) -> dict[str, NDArray[np.float16]]:
    """Pooled maps at the end of each stage of a network from scratch, for batches (B, C, H, W) float32; none where the
    network has no stages.
    """
    body = getattr(network, "body", None)
    taps = tap_points(body) if isinstance(body, nn.Module) else []
    if not taps or body is None:
        return {}
    found = []
    with torch.inference_mode():
        for batch in batches:
            with capture(body, taps) as seen:
                network(torch.from_numpy(np.ascontiguousarray(batch)))
            found.append([pool(seen[name]).numpy() for name in taps if seen[name].ndim in (3, 4)])
    return joined(found)
