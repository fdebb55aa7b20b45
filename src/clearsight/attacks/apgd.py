"""Auto-PGD: ascent with momentum and a step size that follows the progress, so that none has to be chosen [Croce, Hein
2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks", algorithm 1].

Shapes and units are those of `gradient`. What has succeeded is not continued.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import nn
from torch.nn import functional as F

from clearsight.arguments import at_least
from clearsight.attacks.gradient import Norm, Progress, check, project, random_start, steepest
from clearsight.errors import ConfigError

MOMENTUM = 0.25
"""Weight of the step before in the next one."""

RISING = 0.75
"""Share of the steps between two checkpoints that must raise the loss, or the step size is halved."""

FIRST, SHORTER, SHORTEST = 0.22, 0.03, 0.06
"""The first period between checkpoints, by how much each is shorter than the one before, and the shortest, as shares of
all steps.
"""

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Of logits (N, K), labels (N,) and target classes (N,); larger (N,) the nearer to success."""


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor, goals: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits, labels, reduction="none")


def _cross_entropy_of_goal(logits: torch.Tensor, labels: torch.Tensor, goals: torch.Tensor) -> torch.Tensor:
    return -F.cross_entropy(logits, goals, reduction="none")


def _logits_ratio(logits: torch.Tensor, labels: torch.Tensor, goals: torch.Tensor) -> torch.Tensor:
    """The largest other logit minus that of the label, relative to the first minus the third [section 4.2]."""
    return -_ahead(logits, labels) / _spread(logits, slice(2, 3))


def _logits_ratio_of_goal(logits: torch.Tensor, labels: torch.Tensor, goals: torch.Tensor) -> torch.Tensor:
    """The logit of the goal minus that of the label, relative to the first minus the mean of third and fourth."""
    own, goal = (logits.gather(1, classes[:, None])[:, 0] for classes in (labels, goals))
    return (goal - own) / _spread(logits, slice(2, 4))


def _logits_ahead(logits: torch.Tensor, labels: torch.Tensor, goals: torch.Tensor) -> torch.Tensor:
    return _ahead(logits, goals)


def _ahead(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """The logit of a class minus the largest other one (N,)."""
    other = logits.scatter(1, classes[:, None], -torch.inf).amax(1)
    return logits.gather(1, classes[:, None])[:, 0] - other


def _spread(logits: torch.Tensor, third: slice) -> torch.Tensor | float:
    """The first logit minus the mean of some after it (N,); 1 where there are two classes."""
    if logits.shape[1] < 3:
        return 1.0
    ordered = logits.sort(dim=1, descending=True).values
    return (ordered[:, 0] - ordered[:, third].mean(1)).clamp_min(1e-12)


@dataclass(frozen=True)
class _Losses:
    """A loss that leads away from the label, from the label to a goal, and to a goal alone."""

    away: Loss
    towards: Loss
    reaching: Loss


LOSSES = {
    "cross-entropy": _Losses(_cross_entropy, _cross_entropy_of_goal, _cross_entropy_of_goal),
    "logits-ratio": _Losses(_logits_ratio, _logits_ratio_of_goal, _logits_ahead),
}
"""Losses by name. The ratio of differences of logits (DLR) does not vanish where a network is certain."""


def apgd(
    network: nn.Module,
    x: torch.Tensor,
    labels: torch.Tensor,
    epsilon: float,
    *,
    steps: int = 100,
    loss: str = "cross-entropy",
    goals: torch.Tensor | None = None,
    restarts: int = 1,
    norm: Norm = "linf",
    targeted: bool = False,
    seed: int = 0,
    batch: int = 64,
    progress: Progress | None = None,
) -> torch.Tensor:
    """Auto-PGD.

    Args:
        network: maps images (N, C, H, W) to logits (N, K).
        x: images (N, C, H, W), float32 in [0, 1].
        labels: class indices (N,).
        epsilon: largest change, at least 0, for pixels in [0, 1].
        steps: number of steps, at least 1.
        loss: "cross-entropy" or "logits-ratio", what the steps raise.
        goals: class indices (N,) that the loss leads to, while any other class than the label counts as success.
        restarts: number of random starts, at least 1; each of images on which those before have failed.
        norm: "linf", the largest change of a pixel, or "l2", the Euclidean length of all changes.
        targeted: labels are classes to reach, not the true ones.
        seed: random seed.
        batch: batch size, in images.
        progress: called after each batch with the number of gradients done and of all; one is of one image and step.

    Returns:
        Images of the same shape as `x`, in [0, 1]: adversarial, or as near to it as the loss has come.

    Raises:
        ConfigError: the loss does not exist, or a number is out of range.
    """
    check(epsilon, norm)
    at_least(1, steps=steps, restarts=restarts)
    if loss not in LOSSES:
        raise ConfigError(f"unknown loss {loss!r}", expected=" or ".join(LOSSES))
    kinds = LOSSES[loss]
    which = kinds.reaching if targeted else kinds.away if goals is None else kinds.towards
    goals = labels if goals is None else goals
    found, left, done = x.clone(), torch.arange(len(x), device=x.device), 0
    for restart in range(restarts):
        begun = random_start(x[left], epsilon, norm, seed + restart)
        failed = []
        for rows, start in zip(torch.split(left, batch), torch.split(begun, batch), strict=True):
            aim = _Aim(network, which, labels[rows], goals[rows], targeted)
            found[rows], succeeded = _climbed(aim, x[rows], start, epsilon, norm, steps)
            failed.append(rows[~succeeded])
            done += steps * len(rows)
            if progress:
                progress(done, restarts * steps * len(x))
        left = torch.cat(failed)
        if not len(left):
            break
    return found


@dataclass(frozen=True)
class _Aim:
    """What a batch of images is moved towards: loss, labels (N,) and target classes (N,)."""

    network: nn.Module
    loss: Loss
    labels: torch.Tensor
    goals: torch.Tensor
    targeted: bool

    def of(self, rows: torch.Tensor) -> _Aim:
        """The same of some images, by a mask (N,)."""
        return replace(self, labels=self.labels[rows], goals=self.goals[rows])

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The loss of each image (N,), its gradient, and whether the attack has succeeded (N,)."""
        with torch.enable_grad():
            x = x.detach().clone().requires_grad_()
            logits = self.network(x)
            value = self.loss(logits, self.labels, self.goals)
            (slope,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), slope, (logits.argmax(1) == self.labels) == self.targeted


@dataclass
class _State:
    """Of each image: the row in its batch (N,), the current point, the one before and the best, with losses (N,) and
    gradients; the step size (N, 1, 1, 1). Since the last checkpoint: how often the loss rose (N,), and whether the step
    size was halved there (N,) at which best loss (N,).
    """

    row: torch.Tensor
    point: torch.Tensor
    before: torch.Tensor
    value: torch.Tensor
    slope: torch.Tensor
    best: torch.Tensor
    best_value: torch.Tensor
    best_slope: torch.Tensor
    size: torch.Tensor
    rises: torch.Tensor
    halved: torch.Tensor
    value_then: torch.Tensor

    def keep(self, mask: torch.Tensor) -> None:
        """Go on with some images alone."""
        for part in fields(self):
            setattr(self, part.name, getattr(self, part.name)[mask])

    def halve(self, period: int) -> None:
        """At a checkpoint: where the loss rose too rarely, or neither it nor the step size changed, halve the step size
        and go back to the best point.
        """
        stuck = ~self.halved & (self.best_value <= self.value_then)
        self.halved = (self.rises < RISING * period) | stuck
        self.value_then, self.rises = self.best_value.clone(), torch.zeros_like(self.rises)
        chosen = self.halved.view(-1, 1, 1, 1)
        self.size = torch.where(chosen, self.size / 2, self.size)
        self.point, self.slope = (
            torch.where(chosen, self.best, self.point),
            torch.where(chosen, self.best_slope, self.slope),
        )
        self.value = torch.where(self.halved, self.best_value, self.value)


def _climbed(
    aim: _Aim, x: torch.Tensor, start: torch.Tensor, epsilon: float, norm: Norm, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The first adversarial point of each image, else that of the largest loss; and which are adversarial (N,)."""
    value, slope, succeeded = aim(start)
    found, n = start.clone(), len(x)
    state = _State(
        torch.arange(n, device=x.device), start, start, value, slope, start, value, slope,
        torch.full((n, 1, 1, 1), 2 * epsilon, device=x.device), torch.zeros(n, device=x.device),
        torch.ones(n, dtype=torch.bool, device=x.device), value,
    )  # fmt: skip
    left, ends, began = ~succeeded, _checkpoints(steps), 0
    state.keep(left)
    aim = aim.of(left)
    for step in range(1, steps):
        if not len(state.row):
            break
        own = x[state.row]
        ahead = _within(state.point + state.size * steepest(state.slope, norm), own, epsilon, norm)
        if step > 1:
            momentum = MOMENTUM * (state.point - state.before)
            ahead = _within(state.point + (1 - MOMENTUM) * (ahead - state.point) + momentum, own, epsilon, norm)
        value, slope, now = aim(ahead)
        state.rises += value > state.value
        better = value > state.best_value
        wide = better.view(-1, 1, 1, 1)
        state.best, state.best_slope = torch.where(wide, ahead, state.best), torch.where(wide, slope, state.best_slope)
        state.best_value = torch.where(better, value, state.best_value)
        state.before, state.point, state.value, state.slope = state.point, ahead, value, slope
        found[state.row] = torch.where(now.view(-1, 1, 1, 1), ahead, state.best)
        succeeded[state.row] = now
        if now.any():
            state.keep(~now)
            aim = aim.of(~now)
        if step in ends:
            state.halve(step - began)
            began = step
    return found, succeeded


def _within(moved: torch.Tensor, x: torch.Tensor, epsilon: float, norm: Norm) -> torch.Tensor:
    return project(moved, x, epsilon, norm).clamp(0, 1)


def _checkpoints(steps: int) -> set[int]:
    """Steps after which the step size is looked at."""
    found, share, period = [0.0], FIRST, FIRST
    while share <= 1:
        found.append(share)
        period = max(period - SHORTER, SHORTEST)
        share += period
    return {math.ceil(one * steps - 1e-9) for one in found[1:]}
