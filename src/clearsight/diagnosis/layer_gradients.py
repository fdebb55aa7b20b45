"""The backward pass of every layer of a network, and of every loss, checked on its own: names the one that is wrong.

A gradient that is wrong for the whole network says little of where: everything below the fault is wrong too. So each
module is taken with the input it received and a random cotangent r, and the gradient of <r, module(x)> is compared with
central differences (`gradient_check`). A module that is wrong although all modules inside it are right has the fault in
its own `forward` or `backward`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from clearsight.console import Console, Silent
from clearsight.data.dataset import Dataset
from clearsight.data.loader import to_float
from clearsight.diagnosis.gradient_check import NUDGE, TOLERANCE, GradientCheck, check_gradients
from clearsight.errors import ConfigError
from clearsight.models.base import forward_hooks
from clearsight.models.classical import is_classical
from clearsight.predictor import Predictor
from clearsight.tasks import Task
from clearsight.tasks.losses import Loss
from clearsight.train.config import TrainConfig
from clearsight.wording import count

IMAGES = 4
"""Images in a check: batch normalisation needs several."""

ENTRIES = 2
"""Entries of each tensor that are compared, beside a random direction in which all take part."""


@dataclass(frozen=True)
class ModuleCheck:
    """One layer or loss. name: its path in the network, or the loss's. kind: its class, or "loss". error: the largest
    relative error of its tensors, its input included. compared: directions compared. ok: `error` is at most 1e-5.
    inner: modules inside it were checked too.
    """

    name: str
    kind: str
    error: float
    compared: int
    ok: bool
    inner: bool = False


@dataclass(frozen=True)
class GradientReport:
    """Every layer in the order of the forward pass, and every loss. network: what was checked. skipped: layers that
    take or give no single tensor, or have no slope anywhere, so that nothing could be compared; the layers around them
    are checked with them inside.
    """

    network: str
    layers: tuple[ModuleCheck, ...]
    losses: tuple[ModuleCheck, ...]
    skipped: tuple[str, ...]

    @property
    def wrong(self) -> tuple[ModuleCheck, ...]:
        """The innermost layers, and the losses, whose backward pass is wrong."""
        bad = [row for row in self.layers if not row.ok]
        innermost = [row for row in bad if not any(other.name != row.name and _within(other, row) for other in bad)]
        return (*innermost, *(row for row in self.losses if not row.ok))

    @property
    def ok(self) -> bool:
        """Whether every layer and loss has the right gradient."""
        return not self.wrong

    @property
    def worst(self) -> float:
        """The largest relative error."""
        return max((row.error for row in (*self.layers, *self.losses)), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Returns:
            Names, errors and verdict of every layer and loss.
        """
        return {
            "network": self.network, "ok": self.ok, "tolerance": TOLERANCE, "largest_error": self.worst,
            "wrong": [row.name for row in self.wrong], "layers": [asdict(row) for row in self.layers],
            "losses": [asdict(row) for row in self.losses], "skipped": list(self.skipped),
        }  # fmt: skip

    def text(self) -> str:
        """A line for each layer and loss, then the conclusion.

        Returns:
            The table as the terminal shows it; each wrong backward pass is named.
        """
        rows = [*self.layers, *self.losses]
        name, kind = (max(map(len, words), default=0) for words in ([r.name for r in rows], [r.kind for r in rows]))
        lines = [f"{'layer or loss':<{name}}  {'kind':<{kind}}  relative error"]
        lines += [f"{r.name:<{name}}  {r.kind:<{kind}}  {r.error:.1e}{'' if r.ok else '  wrong'}" for r in rows]
        if self.skipped:
            lines.append(f"not checked separately: {', '.join(self.skipped)}")
        what = f"{count(len(self.layers), 'layer')} and {count(len(self.losses), 'loss', 'losses')} of {self.network}"
        lines.append("")
        if self.ok:
            lines.append(f"all gradients are correct: {what}, relative error at most {self.worst:.1e}")
        for row in self.wrong:
            lines += [
                f"incorrect backward pass: {row.name} ({row.kind})",
                f"  found     a relative error of {row.error:.1e} between its gradient and central differences",
                f"  expected  at most {TOLERANCE:.0e}",
                "  fix       correct the backward pass of this "
                + ("loss" if row.kind == "loss" else "layer's class; the layers inside it are correct" if row.inner
                   else "layer's class"),
            ]  # fmt: skip
        return "\n".join(lines)


def check_layers(
    network: nn.Module, images: torch.Tensor, *, seed: int = 0, on_layer: Callable[[int, int], None] | None = None
) -> tuple[tuple[ModuleCheck, ...], tuple[str, ...]]:
    """Check every module of a network that runs, in training mode, each with the input it receives.

    Args:
        network: any module; it is left as it is. Fixed parameters are checked too.
        images: what it takes, (N, C, H, W) as a rule, N at least 2 where it has batch normalisation.
        seed: of the cotangents, entries and dropped units.
        on_layer: called with how many modules are done, of how many.

    Returns:
        A row for each module in the order in which they finish, and the names of those with nothing to compare.
    """
    own = copy.deepcopy(network).double().train().requires_grad_()
    calls = _calls(own, images.double(), seed)
    rows, skipped = [], []
    for done, (name, module, x, shape) in enumerate(calls, 1):
        noise = torch.Generator().manual_seed(seed + done)
        cotangent = torch.randn(shape, generator=noise, dtype=torch.float64) / max(1, shape.numel()) ** 0.5
        x = x + NUDGE * torch.randn(x.shape, generator=noise, dtype=torch.float64)  # no ties between zeros
        found = check_gradients(
            module, x, cotangent, _product, per_tensor=ENTRIES, training=True, recurse=False, seed=seed
        )
        if row := _row(name or "network", type(module).__name__, found, inner=any(True for _ in module.children())):
            rows.append(row)
        else:
            skipped.append(name or "network")
        if on_layer:
            on_layer(done, len(calls))
    return tuple(rows), tuple(skipped)


def check_losses(
    losses: Mapping[str, tuple[Loss, torch.Tensor, torch.Tensor]], seed: int = 0
) -> tuple[ModuleCheck, ...]:
    """Check each loss by itself.

    Args:
        losses: for each name the loss, outputs (N, O) and targets (N, E), float64.
        seed: random seed of the entries that are compared.

    Returns:
        A row for each loss.
    """
    found = {
        name: check_gradients(nn.Identity(), outputs, targets, loss, seed=seed)
        for name, (loss, outputs, targets) in losses.items()
    }
    return tuple(_whole(name, "loss", check) for name, check in found.items())


def examine_gradients(dataset: Dataset, config: TrainConfig, *, console: Console | None = None) -> GradientReport:
    """Check the network that `--model` names, or that would be trained from random weights, and every loss of the task.

    Args:
        dataset: labelled images; a few of them are passed through the network.
        config: training options, which name the network and its ablations.
        console: where progress is shown; None shows none.

    Returns:
        The relative errors of every layer and loss.

    Raises:
        ConfigError: a model without gradients.
    """
    from clearsight.train.context import TrainContext
    from clearsight.train.recipe import check_names, planned, say_errors
    from clearsight.train.strategies.from_scratch import drawn_network

    console = console or Silent()
    if is_classical(config.model.model):
        raise _no_gradients(config.model.model)
    config = config.with_options(pretrained=False)
    check_names(config)
    prepared, recipe = planned(dataset, config, console)
    say_errors(console, prepared)
    context = TrainContext(prepared, recipe, config, "cpu", console)
    rows = np.random.default_rng(config.run.seed).permutation(context.examples.train)[:IMAGES]
    images = to_float(context.examples.pixels[rows]).double()
    losses = {}
    for name, loss in context.task.training.losses.items():
        examples = TrainContext(prepared, recipe, config.with_options(loss=name), "cpu", Silent()).examples
        outputs = _outputs(len(rows), examples.task, config.run.seed)
        losses[name] = (loss, outputs, examples.targets_of(rows))
    layers, skipped = check_layers(
        drawn_network(context), images, seed=config.run.seed, on_layer=console.stage("gradients", "layers")
    )
    return GradientReport(recipe.model, layers, check_losses(losses), skipped)


def examine_model_gradients(
    predictor: Predictor, name: str, *, seed: int = 0, console: Console | None = None
) -> GradientReport:
    """Check the layers of a finished model, on random pixels.

    Args:
        predictor: the model.
        name: what the report calls it.
        seed: random seed of pixels and of the entries that are compared.
        console: where progress is shown; None shows none.

    Returns:
        The relative errors of every layer.

    Raises:
        ConfigError: a model without gradients.
    """
    console = console or Silent()
    if not predictor.has_gradients:
        raise _no_gradients(name)
    images = torch.rand(IMAGES, *predictor.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    layers, skipped = check_layers(predictor.network, images, seed=seed, on_layer=console.stage("gradients", "layers"))
    return GradientReport(name, layers, (), skipped)


def _calls(
    network: nn.Module, images: torch.Tensor, seed: int
) -> list[tuple[str, nn.Module, torch.Tensor, torch.Size]]:
    """Each module, in the order in which they finish, with the single tensor that its first call took, and the shape of
    the single tensor that it gave.
    """
    found: dict[str, tuple[str, nn.Module, torch.Tensor, torch.Size]] = {}

    def keep(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        tensors = isinstance(output, torch.Tensor) and len(inputs) == 1 and isinstance(inputs[0], torch.Tensor)
        if name not in found and tensors and inputs[0].is_floating_point() and output.is_floating_point():
            found[name] = (name, module, inputs[0].detach().clone(), output.shape)

    with torch.random.fork_rng(devices=()), forward_hooks(network.named_modules(), keep), torch.no_grad():
        torch.manual_seed(seed)
        network(images)
    return list(found.values())


def _product(outputs: torch.Tensor, cotangent: torch.Tensor) -> torch.Tensor:
    return (outputs * cotangent).sum()


def _row(name: str, kind: str, found: GradientCheck, inner: bool) -> ModuleCheck | None:
    """A layer's row; None where none of its tensors could be compared."""
    return _whole(name, kind, found, inner) if any(row.compared for row in found.rows) else None


def _whole(name: str, kind: str, found: GradientCheck, inner: bool = False) -> ModuleCheck:
    return ModuleCheck(
        name, kind, found.worst.error, sum(row.compared for row in found.rows),
        all(row.ok or not row.compared for row in found.rows), inner,
    )  # fmt: skip


def _within(inside: ModuleCheck, outside: ModuleCheck) -> bool:
    return outside.name == "network" or inside.name.startswith(f"{outside.name}.")


def _outputs(images: int, task: Task, seed: int) -> torch.Tensor:
    """Outputs (N, O) as a network may give them: normal deviates."""
    noise = torch.Generator().manual_seed(seed)
    return torch.randn(images, task.outputs, generator=noise, dtype=torch.float64)


def _no_gradients(name: str) -> ConfigError:
    return ConfigError(
        "--check-gradients needs a differentiable "
        "network", found=f"{name}, which has no gradients", expected="a neural network",
        fix="choose a network with --model",
    )  # fmt: skip
