"""The square attack: random search by squares of changed pixels, which needs no gradients [Andriushchenko, Croce,
Flammarion, Hein 2020, "Square Attack: a query-efficient black-box adversarial attack via random search"].

It succeeds where gradients mislead, and on models that have none. Shapes and units are those of `gradient`.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from clearsight.arguments import at_least
from clearsight.attacks.gradient import Norm, Progress, check

FIRST_SHARE = 0.8
"""Share of the pixels that the first squares cover, of those of an image."""

HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries of 10,000 after which this share is halved."""


def square(
    network: nn.Module,
    x: torch.Tensor,
    labels: torch.Tensor,
    epsilon: float,
    *,
    queries: int = 1000,
    norm: Norm = "linf",
    targeted: bool = False,
    seed: int = 0,
    batch: int = 64,
    progress: Progress | None = None,
) -> torch.Tensor:
    """The square attack.

    Args:
        network: maps images (N, C, H, W) to logits (N, K).
        x: images (N, C, H, W), float32 in [0, 1].
        labels: class indices (N,).
        epsilon: largest change, at least 0, for pixels in [0, 1].
        queries: predictions of each image at most, at least 1.
        norm: "linf", the largest change of a pixel, or "l2", the Euclidean length of all changes.
        targeted: labels are classes to reach, not the true ones.
        seed: random seed.
        batch: batch size, in images.
        progress: called after each batch with the number of predictions done and of all.

    Returns:
        Images of the same shape as `x`, in [0, 1]: adversarial, or as near to it as the search has come.

    Raises:
        ConfigError: a number is out of range.
    """
    check(epsilon, norm)
    at_least(1, queries=queries)
    found, done, draw = [], 0, torch.Generator().manual_seed(seed)
    for part, goal in zip(torch.split(x, batch), torch.split(labels, batch), strict=True):
        found.append(_searched(network, part, goal, epsilon, queries, norm, targeted, draw))
        done += queries * len(part)
        if progress:
            progress(done, queries * len(x))
    return torch.cat(found)


@torch.no_grad()
def _searched(
    network: nn.Module,
    x: torch.Tensor,
    labels: torch.Tensor,
    epsilon: float,
    queries: int,
    norm: Norm,
    targeted: bool,
    draw: torch.Generator,
) -> torch.Tensor:
    first, proposal = (_stripes, _with_square) if norm == "linf" else (_bumps, _with_bump)
    best = first(x, epsilon, draw)
    margin = _margin(network(best), labels, targeted)
    for query in range(1, queries):
        left = torch.nonzero(margin > 0)[:, 0]
        if not len(left):
            break
        side = _side(x.shape, query, queries)
        moved = proposal(x[left], best[left], epsilon, side, draw)
        found = _margin(network(moved), labels[left], targeted)
        better = found < margin[left]
        margin[left[better]], best[left[better]] = found[better], moved[better]
    return best


def _margin(logits: torch.Tensor, labels: torch.Tensor, targeted: bool) -> torch.Tensor:
    """By how much the logit of the label exceeds all others, or falls short of the largest if it is to be reached (N,);
    0 or less where the attack has succeeded.
    """
    own = logits.gather(1, labels[:, None])[:, 0]
    other = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return other - own if targeted else own - other


def _side(shape: torch.Size, query: int, queries: int) -> int:
    """The side of the squares at a query, in pixels."""
    halvings = sum(query * 10_000 / queries > one for one in HALVED_AFTER)
    height, width = shape[2:]
    side = round(math.sqrt(FIRST_SHARE * 0.5**halvings * height * width))
    return max(1, min(side, height, width))


def _signs(shape: tuple[int, ...], like: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    return (2 * torch.randint(0, 2, shape, generator=draw) - 1).to(like)


def _corners(x: torch.Tensor, side: int, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """The upper left corner of a square in each image, (N,) and (N,)."""
    n, _, height, width = x.shape
    drawn = torch.rand(2, n, generator=draw).to(x.device)
    return (drawn[0] * (height - side + 1)).long(), (drawn[1] * (width - side + 1)).long()


Window = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def _window(x: torch.Tensor, side: int, draw: torch.Generator) -> Window:
    """Indices of a square of each image (N, C, side, side), at random."""
    n, channels = x.shape[:2]
    top, left = _corners(x, side, draw)
    along = torch.arange(side, device=x.device)
    return (
        torch.arange(n, device=x.device)[:, None, None, None], torch.arange(channels, device=x.device)[:, None, None],
        (top[:, None] + along)[:, None, :, None], (left[:, None] + along)[:, None, None, :],
    )  # fmt: skip


def _stripes(x: torch.Tensor, epsilon: float, draw: torch.Generator) -> torch.Tensor:
    """Every column brighter or darker by epsilon."""
    n, channels, _, width = x.shape
    return (x + epsilon * _signs((n, channels, 1, width), x, draw)).clamp(0, 1)


def _with_square(x: torch.Tensor, best: torch.Tensor, epsilon: float, side: int, draw: torch.Generator) -> torch.Tensor:
    """One square of each image changed by epsilon, up or down in each channel."""
    window, moved = _window(x, side, draw), best.clone()
    moved[window] = x[window] + epsilon * _signs((*x.shape[:2], 1, 1), x, draw)
    return moved.clamp(0, 1)


def _bumps(x: torch.Tensor, epsilon: float, draw: torch.Generator) -> torch.Tensor:
    """A grid of bumps of both signs, five a side, of length epsilon together."""
    n, channels, height, width = x.shape
    side = max(1, min(height, width) // 5)
    change = torch.zeros_like(x)
    bump = _bump(side, draw).to(x)
    for top in range(0, height - side + 1, side):
        for left in range(0, width - side + 1, side):
            change[:, :, top : top + side, left : left + side] = bump * _signs((n, channels, 1, 1), x, draw)
    return (x + epsilon * change / _length(change)).clamp(0, 1)


def _with_bump(x: torch.Tensor, best: torch.Tensor, epsilon: float, side: int, draw: torch.Generator) -> torch.Tensor:
    """A bump added in one square of each image, with the length that another square gives up and what was not used."""
    change = best - x
    to, source = _window(x, side, draw), _window(x, side, draw)
    before, unused = change[to].clone(), (epsilon**2 - _length(change) ** 2).clamp_min(0)
    either = torch.zeros_like(change, dtype=torch.bool)
    either[to], either[source] = True, True
    spent = (change * either).square().sum((2, 3), keepdim=True)
    shape = _bump(side, draw).to(x) * _signs((*x.shape[:2], 1, 1), x, draw)
    added = shape + before / before.square().sum((2, 3), keepdim=True).sqrt().clamp_min(1e-12)
    added = added / added.square().sum((2, 3), keepdim=True).sqrt().clamp_min(1e-12)
    change[source] = 0
    change[to] = added * (spent + unused / x.shape[1]).sqrt()
    return (x + change * (epsilon / _length(change)).clamp_max(1)).clamp(0, 1)


def _length(change: torch.Tensor) -> torch.Tensor:
    return change.square().sum((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)


def _bump(side: int, draw: torch.Generator) -> torch.Tensor:
    """A square (side, side) of length 1 with a peak in one half and a trough in the other, above each other or side by
    side [appendix B].
    """
    if side == 1:
        return torch.ones(1, 1)
    half = side // 2
    found = torch.cat([_peak(half, side), -_peak(side - half, side)])
    found /= found.norm()
    return found.T if torch.rand((), generator=draw) < 0.5 else found


def _peak(height: int, width: int) -> torch.Tensor:
    """A rectangle whose values fall with the square of the distance to its middle."""
    reach = max(height, width) // 2 + 1
    rows, columns = ((torch.arange(k) - k // 2).abs() for k in (height, width))
    away = torch.maximum(rows[:, None], columns[None])
    return torch.stack([(away <= ring).float() / (ring + 1) ** 2 for ring in range(reach)]).sum(0)
