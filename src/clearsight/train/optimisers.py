"""Optimisers by name: PyTorch's and timm's where they have one, and an Armijo line search.

Momentum. Textbooks, and the course this toolkit follows, write v = m v + a g, w = w - v with rate a, gradient g and
momentum m. PyTorch writes v = m v + g, w = w - a v. At a constant rate the weights are the same and only v differs, by
the factor a. When the rate changes they part: in the textbook form an old gradient keeps the rate of its own step, in
PyTorch's the new rate scales all of them at once, so a drop in the rate brakes immediately. Here it is PyTorch's form.

Weight decay is L2 for all but two: its gradient joins the loss's before anything else is computed (coupled). `adamw`
and `muon` shrink the weights apart from the gradient (decoupled) [Loshchilov, Hutter 2019, arXiv:1711.05101].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, optim

from clearsight.errors import ConfigError, nearest
from clearsight.train.choices import OPTIMISERS

LINE_SEARCHES = ("lbfgs", "armijo")
"""Optimisers whose `step` evaluates the loss again: step(closure), closure() -> loss with fresh gradients."""

DEFAULTS = {
    "gd": (1.0, 5e-4),
    "sgd": (0.3, 5e-4),
    "momentum": (0.05, 5e-4),
    "nesterov": (0.05, 5e-4),
    "adagrad": (0.05, 0.0),
    "adadelta": (1.0, 0.0),
    "rmsprop": (5e-3, 0.0),
    "adam": (5e-3, 0.0),
    "adamw": (5e-3, 0.05),
    "radam": (1e-2, 0.0),
    "adabelief": (5e-3, 0.0),
    "muon": (2e-2, 0.01),
    "lars": (5.0, 5e-4),
    "lbfgs": (1.0, 0.0),
    "armijo": (1.0, 0.0),
}
"""Peak rate and weight decay for small normalised convolutional networks at 64 to 128 images a batch."""


def default_lr(name: str) -> float:
    """The peak rate that an optimiser is given when none is asked for.

    Args:
        name: name of the optimiser.

    Returns:
        The learning rate.

    Raises:
        ConfigError: an unknown name.
    """
    return DEFAULTS[_known(name)][0]


def default_weight_decay(name: str) -> float:
    """The weight decay that an optimiser is given when none is asked for.

    Args:
        name: name of the optimiser.

    Returns:
        The weight decay.

    Raises:
        ConfigError: an unknown name.
    """
    return DEFAULTS[_known(name)][1]


def build_optimiser(
    name: str, groups: Sequence[dict[str, Any]], *, momentum: float, weight_decay: float
) -> optim.Optimizer:
    """Build an optimiser over parameter groups.

    `lbfgs` has one direction for all weights, so it merges the groups and uses the first learning rate.

    Args:
        name: a name of `choices.OPTIMISERS`.
        groups: dictionaries with `params` and the learning rate `lr`; they are copied.
        momentum: in [0, 1); of momentum, nesterov, muon and lars, and beta 1 of adam, adamw, radam and adabelief. The
            others have none.
        weight_decay: 0 or more.

    Returns:
        The optimiser.

    Raises:
        ConfigError: unknown name, weight decay with lbfgs, or nesterov without momentum.
    """
    own, decay, betas = [dict(group) for group in groups], weight_decay, (momentum, 0.999)
    match _known(name):
        case "gd" | "sgd":  # they differ in the batch, which the loop makes
            return optim.SGD(own, weight_decay=decay)
        case "momentum":
            return optim.SGD(own, momentum=momentum, weight_decay=decay)
        case "nesterov":
            if momentum == 0:
                raise ConfigError("--opt nesterov needs a momentum above 0", found="--momentum 0", fix="use --opt sgd")
            return optim.SGD(own, momentum=momentum, weight_decay=decay, nesterov=True)
        case "adagrad":
            return optim.Adagrad(own, weight_decay=decay)
        case "adadelta":
            return optim.Adadelta(own, weight_decay=decay)
        case "rmsprop":  # 0.9 as Hinton's lecture 6e has it; PyTorch's 0.99 starts with steps three times as long
            return optim.RMSprop(own, alpha=0.9, weight_decay=decay)
        case "adam":
            return optim.Adam(own, betas=betas, weight_decay=decay)
        case "adamw":
            return optim.AdamW(own, betas=betas, weight_decay=decay)
        case "radam":
            return optim.RAdam(own, betas=betas, weight_decay=decay)
        case "adabelief":  # as in the paper's own experiments on CIFAR; timm's defaults add RAdam's rectification
            from timm.optim import AdaBelief  # imported late: timm is slow to import

            adabelief = AdaBelief(own, betas=betas, eps=1e-8, weight_decay=decay, decoupled_decay=False, rectify=False)
            return cast(optim.Optimizer, adabelief)
        case "muon":
            return Muon(own, momentum=momentum, weight_decay=decay)
        case "lars":  # always_adapt: timm would else leave layers without weight decay to plain momentum
            from timm.optim import Lars

            return cast(optim.Optimizer, Lars(own, momentum=momentum, weight_decay=decay, always_adapt=True))
        case "lbfgs":
            if decay:
                raise ConfigError(
                    "--opt lbfgs does not support weight decay",
                    found=f"--weight-decay {decay}",
                    fix="drop --weight-decay, or set it to 0",
                )
            return LBFGS([p for group in own for p in group["params"]], lr=own[0]["lr"])
        case _:
            return Armijo(own, weight_decay=decay)


class Muon(optim.Optimizer):
    """Nesterov momentum with orthogonalised steps.

    Each weight matrix moves by the nearest matrix whose singular values are all 1, so directions with small gradients
    are learned as fast as the others. The weights of a convolution (K, C, H, W) are a matrix (K, C H W). The step is
    scaled by 0.2 sqrt(larger side), which gives its entries the size of Adam's steps [Liu et al. 2025,
    arXiv:2502.16982, section 2.2]. Biases, normalisation layers and single-row kernels have no such directions: AdamW
    updates them with betas (momentum, 0.95), at the same learning rate. PyTorch's and timm's implementations use
    bfloat16, which is many times slower on processors without it; this one uses float32.

    Args:
        params: parameters or parameter groups.
        lr: learning rate.
        momentum: in [0, 1).
        weight_decay: decoupled weight decay, 0 or more.

    Reference:
        Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
    """

    def __init__(
        self, params: optim.optimizer.ParamsT, lr: float = 0.02, *, momentum: float = 0.9, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                p.mul_(1 - rate * group["weight_decay"])
                state = self.state[p]
                if not state:
                    state["mean"] = torch.zeros_like(p)
                mean = state["mean"].lerp_(p.grad, 1 - momentum)
                if min(p.shape[:2], default=1) > 1 and p.ndim > 1:
                    update = orthogonal(p.grad.lerp(mean, momentum).flatten(1))
                    p.add_(update.view_as(p), alpha=-rate * 0.2 * max(update.shape) ** 0.5)
                    continue
                if "square" not in state:
                    state["square"], state["steps"] = torch.zeros_like(p), 0
                state["steps"] += 1
                square = state["square"].mul_(0.95).addcmul_(p.grad, p.grad, value=0.05)
                unbiased = (square / (1 - 0.95 ** state["steps"])).sqrt_().add_(1e-8)
                p.addcdiv_(mean, unbiased, value=-rate / (1 - momentum ** state["steps"]))


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """U S V' with singular values S between about 0.7 and 1.2, of a matrix U D V' with small or large ones D: an odd
    polynomial of fifth degree, applied `steps` times, draws them there [Jordan et al. 2024].

    Args:
        matrix: matrix (R, C).
        steps: number of iterations.

    Returns:
        float32 (R, C).
    """
    x: Tensor = matrix / matrix.norm().clamp_min(1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.mT if tall else x
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x.mT if tall else x


class LBFGS(optim.LBFGS):
    """PyTorch's L-BFGS with the strong Wolfe line search, at most ten iterations per batch.

    It stores the last ten changes of weights and gradient, each the size of two copies of the weights.

    Args:
        params: parameters.
        lr: learning rate, the first step of the line search.
    """

    def __init__(self, params: Sequence[Tensor], lr: float = 1.0) -> None:
        super().__init__(params, lr=lr, max_iter=10, history_size=10, line_search_fn="strong_wolfe")

    def step(self, closure: Callable[[], float]) -> float:  # type: ignore[override]
        """Search along quasi-Newton directions. closure() -> loss, with gradients; returns the loss before the step.

        At rate 0, where schedules end, nothing moves: PyTorch's line search would divide by it.

        Args:
            closure: function that computes the loss and the gradients.

        Returns:
            The loss before the step.
        """
        moving = self.param_groups[0]["lr"] > 0
        return float(super().step(closure) if moving else closure())  # type: ignore[no-untyped-call]

    def _gather_flat_grad(self) -> Tensor:
        # PyTorch's own takes views, which the gradients of a channels_last network refuse.
        return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in self._params])


class Armijo(optim.Optimizer):
    """SGD with a backtracking line search for the size of every step.

    A step of size s along the gradient g is taken if it satisfies Armijo's condition on the loss of the batch, f(w - s
    g) <= f(w) - sufficient s |g|^2; else s shrinks and is tried again. The search starts from the size of the last
    step, increased by the factor `growth`, and never exceeds the group's `lr`. The paper increases it by 2^(share of
    the epoch), which an optimiser cannot know; a constant 1.1 takes some seven steps to double.

    Groups share one search: their sizes keep the proportions of their learning rates. Weight decay wd adds wd/2 |w|^2
    to f. If the gradient is clipped the condition is weaker, but the loss still falls. Each step evaluates the loss
    once at the start and once per try. `step_size` of a group is the last step taken.

    Args:
        params: parameters or parameter groups.
        lr: largest step.
        weight_decay: L2 penalty, 0 or more.
        sufficient: factor of Armijo's condition, in (0, 1).
        shrink: factor by which a rejected step shrinks, in (0, 1).
        growth: factor by which the first try exceeds the last step, 1 or more.
        tries: largest number of tries per step.

    Reference:
        Vaswani et al., "Painless stochastic gradient", 2019, arXiv:1905.09997, algorithm 1.
    """

    def __init__(
        self,
        params: optim.optimizer.ParamsT,
        lr: float = 1.0,
        *,
        weight_decay: float = 0.0,
        sufficient: float = 0.1,
        shrink: float = 0.7,
        growth: float = 1.1,
        tries: int = 30,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "step_size": float("inf")})
        self.sufficient, self.shrink, self.growth, self.tries = sufficient, shrink, growth, tries

    @torch.no_grad()
    def step(self, closure: Callable[[], float]) -> float:  # type: ignore[override]
        """Take the step; returns the loss before it. closure() -> loss at the present weights, with gradients.

        The weights are never left where the loss is higher or not a number: if no try will do they stay as they were.

        Args:
            closure: function that computes the loss and the gradients.

        Returns:
            The loss before the step.
        """
        evaluate = torch.enable_grad()(closure)
        loss = float(evaluate())
        groups = [group for group in self.param_groups if group["lr"] > 0]
        moves = [
            (p, p.clone(), p.grad.add(p, alpha=group["weight_decay"]), float(group["lr"]))
            for group in groups
            for p in group["params"]
            if p.grad is not None
        ]
        slope = sum(rate * float(direction.square().sum()) for _, _, direction, rate in moves)
        start = loss + self._penalty()
        share = first = min(
            [1.0, *(self.growth * group["step_size"] / group["lr"] for group in groups)]
        )  # of each rate
        for _ in range(self.tries):
            for p, before, direction, rate in moves:
                torch.add(before, direction, alpha=-share * rate, out=p)
            if float(evaluate()) + self._penalty() <= start - self.sufficient * share * slope:
                break
            share *= self.shrink
        else:
            for p, before, _, _ in moves:
                p.copy_(before)
            share = first * self.shrink  # a batch whose loss is all rounding should not freeze those that follow
        for group in groups:
            group["step_size"] = share * group["lr"]
        return loss

    def _penalty(self) -> float:
        """The L2 term of the loss that is minimised."""
        decayed = ((group["weight_decay"], p) for group in self.param_groups for p in group["params"])
        return sum(float(decay / 2 * p.square().sum()) for decay, p in decayed if decay)


def _known(name: str) -> str:
    if name not in OPTIMISERS:
        raise ConfigError(f"unknown optimiser {name!r}", fix=nearest(name, OPTIMISERS, "optimisers"))
    return name
