"""Detectors of anomalies: features of an image, or of each place in it, and how far they lie from normal ones.

    features     of the whole image (P = 1), or of the patches of a grid (P = h w): maps of two inner layers, averaged
                 over 3x3 places, brought to the coarser one's grid and joined; without a network, 3x3 pixels
    Gaussian     |W_p (x - m_p)| / sqrt(D), W_p' W_p the inverse covariance at place p: of whole images the Mahalanobis
                 distance, of patches PaDiM [Defard et al. 2020]. Covariances are shrunk as OAS says [Chen et al. 2010],
                 where the paper adds 0.01 I
    memory       mean distance to the k nearest of M normal features: of whole images k-NN [Sun et al. 2022], of patches
                 PatchCore [Roth et al. 2022] without the reweighting of its equation 7

The distance at each place is standardised by its level and spread over held-out normal images, so that places whose
look varies more do not count for more; an image's score is the mean of its few most anomalous places.

Shapes: x (N, C, H, W) float32 in [0, 1]; maps (N, D, h, w); distances (N, P); scores (N, 1).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from clearsight.errors import ModelError
from clearsight.models.base import (
    Component,
    ModelNetwork,
    capture,
    from_spec,
    maybe_network_spec,
    register_kind,
)
from clearsight.models.heads import SIZE, outside
from clearsight.schema import Check, integer, listed, optional, record, text

TOP_SHARE = 0.01
"""Share of the places whose mean is an image's score; one place at least."""

LEAST_VARIANCE = 1e-4
"""Smallest variance at a place in any direction, as a share of the mean one: where normal images never differ, as in a
silent band of a sound, the least difference would outweigh all others.
"""


def head_spec(value: Any, place: str) -> None:
    """Check the spec of a head.

    Args:
        value: the spec.
        place: where it is.

    Raises:
        BundleError: a value is invalid.
    """
    record({"kind": text(*_SPECS)})(value, place)
    _SPECS[value["kind"]](value, place)


_SPECS: dict[str, Check] = {
    "gaussian": record({"places": SIZE, "features": SIZE}),
    "memory": record({"points": SIZE, "features": SIZE, "k": SIZE}),
}


@register_kind("detector")
class AnomalyModel(ModelNetwork):
    """A network that gives an image an anomaly score, built from a spec.

    Args:
        spec: `trunk` is the spec of the network whose features are used, or None for pixels; `taps` lists the layers
            whose maps are joined, none for features of the whole image; `grid` is (h, w); `keep` is the number of
            channels kept, 0 for all; `head` is None as long as there is no head.
    """

    kept: torch.Tensor
    level: torch.Tensor
    spread: torch.Tensor
    exportable = True
    spec_check = staticmethod(
        record(
            {"trunk": maybe_network_spec, "taps": listed(text(), unique=True), "grid": listed(integer(1, 4096), 2),
             "keep": integer(0, 2**31), "head": optional(head_spec)},
        )
    )  # fmt: skip

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(spec)
        self.traceable = bool(spec["trunk"])  # pixels are not worth an engine
        self.localises = spec["grid"] != [1, 1]
        self.trunk = from_spec(spec["trunk"]) if spec["trunk"] else None
        places = spec["grid"][0] * spec["grid"][1]
        if spec["keep"]:
            self.register_buffer("kept", torch.zeros(spec["keep"], dtype=torch.int64))
        self.register_buffer("level", torch.zeros(places))
        self.register_buffer("spread", torch.ones(places))
        self.head: OneClassHead | None = build_head(spec["head"]) if spec["head"] else None

    def state_fault(self) -> str | None:
        if not bool((self.spread > 0).all()):
            return "spreads that are not above 0"
        return outside(self.kept, 2**31, "channels") if self.spec["keep"] else None

    @property
    def output_count(self) -> int:
        return 1

    def set_head(self, head: OneClassHead) -> None:
        """Replace the head, and record it in the spec.

        Args:
            head: the head.
        """
        self.head = head
        self.spec = {**self.spec, "head": head.spec}

    def for_export(self) -> AnomalyModel:
        copied = copy.copy(self)  # its trunk is shared
        copied._modules = {**self._modules, "head": self.head and self.head.in_tensors()}
        return copied

    def require_layers(self) -> None:
        if self.trunk is None:
            raise ModelError(
                "an anomaly model that compares pixels has no layers to visualise",
                expected="a model that compares network features, the default for images of 48 pixels or more",
            )

    def backbone_outputs(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The maps (N, D, h, w), alone in a list: what an engine runs."""
        if not self.localises:
            if self.trunk is None:
                return [x.flatten(1)[:, :, None, None]]
            _, whole = self.trunk.with_features(x)
            return [functional.normalize(whole)[:, :, None, None]]
        return [self._patches(x)]

    def _patches(self, x: torch.Tensor) -> torch.Tensor:
        if self.trunk is None:
            around = functional.pad(x, (1, 1, 1, 1), mode="replicate")
            return functional.unfold(around, 3).reshape(len(x), -1, *x.shape[2:])
        with capture(self.trunk, self.spec["taps"]) as seen:
            self.trunk(x)
        joined = torch.cat(
            [
                functional.adaptive_avg_pool2d(
                    functional.avg_pool2d(seen[name], 3, 1, 1, count_include_pad=False), self.spec["grid"]
                )
                for name in self.spec["taps"]
            ],
            dim=1,
        )
        return joined[:, self.kept] if self.spec["keep"] else joined

    def standardised(self, maps: torch.Tensor) -> torch.Tensor:
        """The deviation of each place: its distance less the usual one, divided by the spread of usual distances.

        Args:
            maps: features (N, D, h, w).

        Returns:
            Deviations (N, P).
        """
        assert self.head is not None
        away: torch.Tensor = self.head(maps)
        return (away - self.level) / self.spread

    def finish(self, outputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores (N, 1), and the features of the whole image (N, D): their mean over the places."""
        (maps,) = outputs
        return score_of(self.standardised(maps)), maps.flatten(2).mean(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.with_features(x)[0]

    def anomaly_map(self, x: torch.Tensor) -> torch.Tensor:
        deviation = self.standardised(self.backbone_outputs(x)[0]).clamp_min(0)
        grid = deviation.reshape(len(x), 1, *self.spec["grid"])
        return functional.interpolate(grid, x.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def score_of(deviation: torch.Tensor) -> torch.Tensor:
    """The anomaly score of images: the mean of the largest deviations.

    Args:
        deviation: deviations of places (N, P).

    Returns:
        Scores (N, 1).
    """
    few = max(1, round(TOP_SHARE * int(deviation.shape[1])))
    return deviation.topk(few, dim=1).values.mean(1, keepdim=True)


class OneClassHead(Component):
    """Maps (N, D, h, w) to the distance of each place from normal ones (N, P)."""

    @property
    def spec(self) -> dict[str, Any]:
        """What `build_head` makes it from."""
        raise NotImplementedError

    def in_tensors(self) -> nn.Module:
        """The same distances in tensor operations alone, for graphs that other engines run.

        Returns:
            A module from maps (N, D, h, w) to distances (N, P).
        """
        return self


class GaussianHead(OneClassHead):
    """Distances under a Gaussian at each place: mean (P, D), whitening matrices (P, D, D).

    Args:
        places: number of places P.
        features: number of features D.
    """

    mean: torch.Tensor
    white: torch.Tensor

    def __init__(self, places: int, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(places, features))
        self.register_buffer("white", torch.zeros(places, features, features))

    @classmethod
    def of(cls, mean: NDArray[np.floating], covariance: NDArray[np.floating], count: int) -> GaussianHead:
        """A head from estimated moments.

        Args:
            mean: means (P, D).
            covariance: covariances (P, D, D).
            count: number of images behind the estimates.

        Returns:
            The head.
        """
        head, least = cls(*mean.shape), LEAST_VARIANCE * float(np.einsum("pdd->", covariance)) / mean.size + 1e-12
        head.mean.copy_(torch.from_numpy(np.asarray(mean, np.float32)))
        for p, own in enumerate(covariance):  # one after the other: all in double precision would be too large
            values, vectors = np.linalg.eigh(shrunk(np.asarray(own, np.float64), count))
            head.white[p] = torch.from_numpy(vectors / np.sqrt(np.maximum(values, least))).float()
        return head

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        away = maps.flatten(2).permute(2, 0, 1) - self.mean[:, None]  # (P, N, D)
        length: torch.Tensor = torch.linalg.vector_norm(away @ self.white, dim=2)
        return length.T / math.sqrt(self.mean.shape[1])

    @property
    def spec(self) -> dict[str, Any]:
        return {"kind": "gaussian", "places": self.mean.shape[0], "features": self.mean.shape[1]}


class MemoryHead(OneClassHead):
    """Mean distance to the k nearest stored features. The bank (M, D) serves every place.

    Args:
        points: number of stored features M.
        features: number of features D.
        k: number of neighbours.
    """

    differentiable = False
    bank: torch.Tensor

    def __init__(self, points: int, features: int, k: int) -> None:
        super().__init__()
        if k > points:
            raise ModelError("more neighbours than stored features", found=f"{k:,} of {points:,}")
        self.k = k
        self.register_buffer("bank", torch.zeros(points, features))
        self._index: Any = None

    @classmethod
    def of(cls, bank: NDArray[np.floating], k: int) -> MemoryHead:
        """A head from stored features.

        Args:
            bank: features (M, D).
            k: number of neighbours.

        Returns:
            The head.
        """
        head = cls(bank.shape[0], bank.shape[1], k)
        head.bank.copy_(torch.from_numpy(np.ascontiguousarray(bank, np.float32)))
        return head

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        queries = maps.flatten(2).transpose(1, 2)  # (N, P, D)
        if maps.is_meta:
            return queries.new_empty(queries.shape[:2])
        if self._index is None:
            import faiss

            self._index = faiss.IndexFlatL2(self.bank.shape[1])
            self._index.add(self.bank.detach().cpu().numpy())
        flat = np.ascontiguousarray(queries.detach().cpu().numpy().reshape(-1, queries.shape[2]))
        _, nearest = self._index.search(flat, min(self.k, len(self.bank)))
        bank = self.bank.detach().cpu().numpy()
        away = [np.linalg.norm(flat - bank[column], axis=1) for column in nearest.T]  # the index rounds small ones
        return torch.from_numpy(np.mean(away, axis=0).reshape(queries.shape[:2])).to(maps.device)

    @property
    def spec(self) -> dict[str, Any]:
        return {"kind": "memory", "points": self.bank.shape[0], "features": self.bank.shape[1], "k": self.k}

    def in_tensors(self) -> MemoryInTensors:
        return MemoryInTensors(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> MemoryHead:
        """A copy that builds its own index.

        Args:
            memo: copied objects by id, not used.

        Returns:
            The copy.
        """
        return MemoryHead.of(self.bank.detach().cpu().numpy(), self.k)


class MemoryInTensors(nn.Module):
    """The distances of a MemoryHead by a matrix product instead of its index, for graphs that other engines run.

    Args:
        head: the head.
    """

    bank: torch.Tensor

    def __init__(self, head: MemoryHead) -> None:
        super().__init__()
        self.k = min(head.k, len(head.bank))
        self.register_buffer("bank", head.bank.detach().cpu())

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        queries = maps.flatten(2).transpose(1, 2)  # (N, P, D)
        order = self.bank.square().sum(1) - 2 * queries @ self.bank.T
        nearest = order.topk(self.k, dim=2, largest=False).indices
        away = [(queries - self.bank[nearest[:, :, j]]).square().sum(2).sqrt() for j in range(self.k)]
        return torch.stack(away).mean(0)


_HEADS: dict[str, type[OneClassHead]] = {"gaussian": GaussianHead, "memory": MemoryHead}


def build_head(spec: dict[str, Any]) -> OneClassHead:
    """The head that a spec describes, with empty tensors.

    Args:
        spec: plain values with the key `kind`.

    Returns:
        The head.
    """
    return _HEADS[spec["kind"]](**{key: value for key, value in spec.items() if key != "kind"})


def shrunk(covariance: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Shrink a sample covariance towards a multiple of the identity by the oracle approximating shrinkage (OAS).

    Args:
        covariance: sample covariance (D, D).
        count: number of vectors behind it.

    Returns:
        The shrunk covariance (D, D).

    Reference:
        Chen, Wiesel, Eldar and Hero, "Shrinkage algorithms for MMSE covariance estimation", 2010, equation 23, as
        implemented in scikit-learn's `oas`.
    """
    d = len(covariance)
    mu, alpha = float(np.trace(covariance)) / d, float(np.mean(covariance**2))
    share = 1.0
    if (below := (count + 1) * (alpha - mu**2 / d)) > 0:
        share = min(1.0, (alpha + mu**2) / below)
    found = (1 - share) * covariance
    found[np.diag_indices(d)] += share * mu + 1e-12
    return found


def coreset(points: NDArray[np.float32], count: int, seed: int) -> NDArray[np.int64]:
    """Greedy k-centre selection: each next point is the one furthest from those selected.

    The first point is random. Distances are taken in at most 32 random directions, as in PatchCore (algorithm 1).

    Args:
        points: vectors (N, D).
        count: number of points to select.
        seed: random seed.

    Returns:
        Sorted positions of the selected points (count,), or all N if there are no more.

    Reference:
        Sener and Savarese, "Active learning for convolutional neural networks: a core-set approach", 2018.
    """
    rng = np.random.default_rng(seed)
    if count >= len(points):
        return np.arange(len(points))
    if points.shape[1] > 32:
        points = points @ (rng.standard_normal((points.shape[1], 32)) / 32**0.5).astype(np.float32)
    squares = (points**2).sum(1)
    chosen = np.empty(count, np.int64)
    chosen[0] = rng.integers(len(points))
    away = np.full(len(points), np.inf, np.float32)
    for i in range(1, count):
        last = chosen[i - 1]
        np.minimum(away, squares - 2 * (points @ points[last]) + squares[last], out=away)
        chosen[i] = int(away.argmax())
    return np.sort(chosen)


def places_of(taps: Sequence[torch.Tensor]) -> list[int]:
    """The grid of the coarsest of several maps.

    Args:
        taps: maps (N, C, h, w).

    Returns:
        [h, w].
    """
    return [min(t.shape[2] for t in taps), min(t.shape[3] for t in taps)]
