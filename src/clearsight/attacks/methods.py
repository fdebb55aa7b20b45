"""The attacks by name, with what each costs, for the attack on one image and that on many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from clearsight.arguments import at_least
from clearsight.attacks.apgd import apgd
from clearsight.attacks.gradient import Norm, Progress, fgsm, pgd
from clearsight.attacks.square import square
from clearsight.errors import ConfigError, did_you_mean

TARGETS = 9
"""Classes that `autoattack` leads each image to, one after the other, at most."""

QUERIES = 50
"""Queries of the square attack for each step of `autoattack`."""


@dataclass(frozen=True)
class Attack:
    """How an attack is made.

    norm: "linf", the largest change of a pixel, or "l2", the Euclidean length of all changes. targeted: labels are
    classes to reach, not the true ones. steps: of the gradient; queries of the square attack. restarts: random starts.
    batch: batch size, in images.
    """

    norm: Norm = "linf"
    targeted: bool = False
    steps: int = 20
    restarts: int = 1
    seed: int = 0
    batch: int = 64

    def __post_init__(self) -> None:
        at_least(1, steps=self.steps, restarts=self.restarts, batch_size=self.batch)


Run = Callable[[Attack, nn.Module, torch.Tensor, torch.Tensor, float, "Progress | None"], torch.Tensor]
"""Of an attack, a network, images (N, C, H, W), labels (N,) and epsilon: adversarial images."""


@dataclass(frozen=True)
class Method:
    """An attack by name: in words, its usual number of steps, whether it needs gradients, what it does, and what it
    costs for each image at most, in gradients or predictions.
    """

    words: str
    steps: int
    gradients: bool
    run: Run
    cost: Callable[[Attack], int]

    def steps_taken(self, options: Attack) -> int:
        """The number of steps, which is 1 for an attack of one step whatever was asked for.

        Args:
            options: the attack.

        Returns:
            The number.
        """
        return options.steps if self.steps > 1 else 1


def succeeded(network: nn.Module, x: torch.Tensor, labels: torch.Tensor, targeted: bool, batch: int) -> torch.Tensor:
    """On which images (N,) an attack has succeeded.

    Args:
        network: maps images (N, C, H, W) to logits (N, K).
        x: images (N, C, H, W), float32 in [0, 1].
        labels: class indices (N,).
        targeted: labels are classes to reach, not the true ones.
        batch: batch size, in images.

    Returns:
        Mask (N,).
    """
    with torch.no_grad():
        predicted = torch.cat([network(part).argmax(1) for part in torch.split(x, batch)])
    return (predicted == labels) == targeted


def _fgsm(
    options: Attack,
    network: nn.Module,
    x: torch.Tensor,
    labels: torch.Tensor,
    epsilon: float,
    progress: Progress | None,
) -> torch.Tensor:
    return fgsm(network, x, labels, epsilon, norm=options.norm, targeted=options.targeted, batch=options.batch)


def _pgd(
    options: Attack,
    network: nn.Module,
    x: torch.Tensor,
    labels: torch.Tensor,
    epsilon: float,
    progress: Progress | None,
) -> torch.Tensor:
    """From one random start after the other, each for images on which those before have failed."""
    found, done = x.clone(), 0
    left = torch.arange(len(x), device=x.device)
    for restart in range(options.restarts):
        found[left] = pgd(
            network, x[left], labels[left], epsilon, steps=options.steps, norm=options.norm, targeted=options.targeted,
            seed=options.seed + restart, batch=options.batch, progress=_part(progress, done),
        )  # fmt: skip
        done += options.steps * len(left)
        if restart + 1 < options.restarts:
            left = left[~succeeded(network, found[left], labels[left], options.targeted, options.batch)]
            if not len(left):
                break
    return found


def _apgd(
    options: Attack,
    network: nn.Module,
    x: torch.Tensor,
    labels: torch.Tensor,
    epsilon: float,
    progress: Progress | None,
) -> torch.Tensor:
    return apgd(
        network, x, labels, epsilon, steps=options.steps, restarts=options.restarts, norm=options.norm,
        targeted=options.targeted, seed=options.seed, batch=options.batch, progress=progress,
    )  # fmt: skip


def _square(
    options: Attack,
    network: nn.Module,
    x: torch.Tensor,
    labels: torch.Tensor,
    epsilon: float,
    progress: Progress | None,
) -> torch.Tensor:
    return square(
        network, x, labels, epsilon, queries=options.steps, norm=options.norm, targeted=options.targeted,
        seed=options.seed, batch=options.batch, progress=progress,
    )  # fmt: skip


def _autoattack(
    options: Attack,
    network: nn.Module,
    x: torch.Tensor,
    labels: torch.Tensor,
    epsilon: float,
    progress: Progress | None,
) -> torch.Tensor:
    """Auto-PGD by the cross-entropy, then towards the most probable wrong classes by the ratio of logits, then the
    square attack, each on images on which those before have failed.
    """
    climb = partial(
        apgd,
        network,
        steps=options.steps,
        restarts=options.restarts,
        norm=options.norm,
        seed=options.seed,
        batch=options.batch,
    )
    search = partial(
        square, network, queries=QUERIES * options.steps, norm=options.norm, seed=options.seed, batch=options.batch
    )
    found, done = x.clone(), 0
    left = torch.arange(len(x), device=x.device)

    def tried(attack: Callable[..., torch.Tensor], cost: int, **more: torch.Tensor) -> None:
        nonlocal done, left
        if not len(left):
            return
        some = {name: value[left] for name, value in more.items()}
        found[left] = attack(
            x[left], labels[left], epsilon, targeted=options.targeted, progress=_part(progress, done), **some
        )
        done += cost * len(left)
        left = left[~succeeded(network, found[left], labels[left], options.targeted, options.batch)]

    steps = options.steps * options.restarts
    tried(climb, steps)
    if not options.targeted and len(left):
        with torch.no_grad():
            logits = torch.cat([network(part) for part in torch.split(x, options.batch)])
        order = logits.scatter(1, labels[:, None], -torch.inf).argsort(dim=1, descending=True)
        for rank in range(min(TARGETS, logits.shape[1] - 1)):
            tried(partial(climb, loss="logits-ratio"), steps, goals=order[:, rank])
    tried(search, QUERIES * options.steps)
    return found


def _part(progress: Progress | None, before: int) -> Progress | None:
    """Progress of a part as progress of the whole."""
    return progress and (lambda done, total: progress(before + done, before + total))


METHODS: dict[str, Method] = {
    "fgsm": Method("one step along the sign of the gradient", 1, True, _fgsm, lambda options: 1),
    "pgd": Method("many steps", 20, True, _pgd, lambda options: options.steps * options.restarts),
    "apgd": Method(
        "many steps whose size follows the progress", 100, True, _apgd, lambda options: options.steps * options.restarts
    ),
    "square": Method(
        "random search by squares, without gradients", 1000, False, _square, lambda options: options.steps
    ),
    "autoattack": Method(
        "APGD, APGD towards each of the nine most probable wrong classes, and the square attack with 50 queries for "
        "each step: AutoAttack without FAB", 100, True, _autoattack,
        lambda options: options.steps * (options.restarts * (1 if options.targeted else 1 + TARGETS) + QUERIES),
    ),
}  # fmt: skip


def method_of(name: str) -> Method:
    """The attack of a name.

    Args:
        name: a key of `METHODS`.

    Returns:
        The attack.

    Raises:
        ConfigError: there is no such attack.
    """
    if name not in METHODS:
        raise ConfigError(f"unknown attack {name!r}", expected=", ".join(METHODS), fix=did_you_mean(name, METHODS))
    return METHODS[name]
