"""Initial weights by name, the choice of the best of several on data, and networks that need none.

    initialise(network, "he")
    initialise(network, "he:0.1")  # the same, times a gain of 0.1
    choice = initialise(network, "best-of:xavier,he,orthogonal", batches=[(images, classes)])
    choice.losses
    with skip_init(): network = from_spec(spec)  # whose weights are loaded next

Every convolution and dense layer is drawn anew and its biases are set to zero; normalisation layers go back
to scale 1 and shift 0. What is neither, such as the class token of a vision transformer, stays as the
network's own rule drew it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from clearsight.errors import ModelError, nearest

BEST_OF = "best-of:"

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images (N, C, S, S), normalised as the network expects them, and targets: class indices (N,), or those of `loss`."""


_DRAWING = frozenset(
    {
        "erfinv_", "kaiming_normal_", "kaiming_uniform_", "normal_", "orthogonal_", "trunc_normal_", "uniform_",
        "xavier_normal_", "xavier_uniform_",
    }
)  # fmt: skip
"""Functions that draw a tensor's values, or that such values go through."""


class _SkipInit(TorchFunctionMode):
    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in _DRAWING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


@contextmanager
def skip_init() -> Iterator[None]:
    """Context manager: networks built inside the block have weights of arbitrary values, for weights to be loaded into.

    Drawing them may take longer than loading them: seconds for VGG-16. No random numbers are drawn.

    Yields:
        Nothing.

    Example:
        >>> with skip_init():
        ...     layer = nn.Linear(2, 3)
        >>> layer.load_state_dict({"weight": torch.zeros(3, 2), "bias": torch.zeros(3)})
        <All keys matched successfully>
    """
    with _SkipInit():
        yield


def xavier(weight: torch.Tensor) -> None:
    """Draw weights uniformly with variance 2 / (fan in + fan out); made for tanh.

    Args:
        weight: tensor, changed in place.

    Reference:
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010, equation
        16.
    """
    nn.init.xavier_uniform_(weight)


def he(weight: torch.Tensor) -> None:
    """Draw weights from a normal distribution with variance 2 / fan in; made for ReLU.

    Args:
        weight: tensor, changed in place.

    Reference:
        He et al., "Delving deep into rectifiers", 2015, arXiv:1502.01852, equation 10.
    """
    nn.init.kaiming_normal_(weight, mode="fan_in", nonlinearity="relu")


def uniform(weight: torch.Tensor) -> None:
    """Draw weights uniformly in +-1 / sqrt(fan in), the common rule before Xavier's.

    Args:
        weight: tensor, changed in place.

    Reference:
        Glorot and Bengio 2010, equation 1.
    """
    bound = 1 / math.sqrt(weight[0].numel())
    nn.init.uniform_(weight, -bound, bound)


def orthogonal(weight: torch.Tensor) -> None:
    """Orthonormal rows times sqrt(2), the gain of ReLU.

    Args:
        weight: tensor, changed in place.

    Reference:
        Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", 2013,
        arXiv:1312.6120.
    """
    nn.init.orthogonal_(weight, gain=math.sqrt(2))


METHODS: dict[str, Callable[[torch.Tensor], None]] = {
    "xavier": xavier,
    "he": he,
    "uniform": uniform,
    "orthogonal": orthogonal,
}


@dataclass(frozen=True)
class InitChoice:
    """The initialisation that was drawn.

    losses: mean loss on the batches for each method tried; empty without a comparison.
    """

    method: str
    losses: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Returns:
            A dictionary.
        """
        return asdict(self)


def initialise(
    network: nn.Module,
    rule: str,
    *,
    batches: Iterable[Batch] | None = None,
    steps: int = 5,
    learning_rate: float = 0.01,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = F.cross_entropy,
) -> InitChoice:
    """Draw the weights of a network again, in place.

    "best-of:" draws by each method of a list, takes some steps of gradient descent, and keeps the initial weights of
    the method with the lowest mean loss after them; a loss that is not a number loses. Random numbers come from
    PyTorch's global generator.

    Args:
        network: the network, changed in place.
        rule: xavier, he, uniform or orthogonal, each with an optional gain that multiplies the weights, such as
            "he:0.1"; or "best-of:" and a list of them, such as "best-of:he,he:0.5".
        batches: images and class indices, for best-of.
        steps: steps of gradient descent; 0 compares the losses at the start.
        learning_rate: learning rate of these steps.
        loss: called as loss(logits, classes).

    Returns:
        The method, and the losses compared.

    Raises:
        ModelError: unknown method, a gain that is not above 0, or best-of without batches.
    """
    if not rule.startswith(BEST_OF):
        _draw(network, _method(rule))
        return InitChoice(rule, {})
    names = [name.strip() for name in rule.removeprefix(BEST_OF).split(",") if name.strip()]
    if not names:
        raise ModelError(f"{rule!r} is not an initialisation", expected=f"a list such as {BEST_OF}xavier,he,orthogonal")
    methods = {name: _method(name) for name in names}
    data = list(batches or ())
    if not data:
        raise ModelError(
            f"{rule!r} compares losses, so it needs images",
            fix="pass batches=[(images, classes), ...], or choose a single initialisation",
        )
    own = copy.deepcopy(network.state_dict())
    losses: dict[str, float] = {}
    starts: dict[str, dict[str, torch.Tensor]] = {}
    for name, method in methods.items():
        network.load_state_dict(own)
        _draw(network, method)
        starts[name] = copy.deepcopy(network.state_dict())
        losses[name] = _loss_after(network, data, steps, learning_rate, loss)
    best = min(losses, key=lambda name: math.inf if math.isnan(losses[name]) else losses[name])
    network.load_state_dict(starts[best])
    network.zero_grad(set_to_none=True)
    return InitChoice(best, losses)


def _method(name: str) -> Callable[[torch.Tensor], None]:
    """The method of a name, its gain included: he, or he:0.1."""
    plain, colon, word = name.partition(":")
    if plain not in METHODS:
        raise ModelError(f"unknown initialisation {plain!r}", fix=nearest(plain, METHODS, "initialisations"))
    if not colon:
        return METHODS[plain]
    gain = _number(word)
    if not 0 < gain < math.inf:
        raise ModelError(
            f"the gain of the initialisation {name!r} is invalid", found=repr(word),
            expected="a number above 0 that multiplies the weights", fix=f"write {plain}:0.1",
        )  # fmt: skip

    def drawn(weight: torch.Tensor) -> None:
        METHODS[plain](weight)
        with torch.no_grad():
            weight.mul_(gain)

    return drawn


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _draw(network: nn.Module, method: Callable[[torch.Tensor], None]) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            method(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
            module.reset_parameters()


def _loss_after(
    network: nn.Module,
    batches: list[Batch],
    steps: int,
    learning_rate: float,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> float:
    """Mean loss over the batches, in training mode, after some steps of gradient descent on them in turn."""
    training = network.training
    network.train()
    optimiser = torch.optim.SGD(network.parameters(), lr=learning_rate)
    for step in range(steps):
        images, classes = batches[step % len(batches)]
        optimiser.zero_grad(set_to_none=True)
        loss(network(images), classes).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        total = sum(float(loss(network(images), classes)) for images, classes in batches)
    network.train(training)
    return total / len(batches)
