"""What is measured while a network trains: cheap enough to be always on.

Every step costs four numbers. A few steps are looked at closely, more of them at the start, where most runs are lost:
1, 2, 3, 4, 6, 8, 12, 16, 24, 32, then evenly, 48 or fewer in the whole run. Only in those steps hooks are in place,
the weights are copied to see how far the update moves them, and one transfer brings all numbers from the device.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.hooks import RemovableHandle

from clearsight.diagnosis.parts import Part, of_kind, parts
from clearsight.diagnosis.step_stats import Break, StepStats, activity, norm, summary
from clearsight.json_values import json_values
from clearsight.train.observer import Epoch, Observer, Step

FIRST = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Steps after the start that are looked at whatever the length of the run."""

APART = 20
"""Least distance of looks after those, in steps."""

LOOKS = 38
"""Looks after those at most."""

POINTS = 400
"""Points of the loss curve kept in the file."""


class Vitals(Observer):
    """An observer of `train_network` that collects measurements.

    hooks: look at activations too; off where the network is compiled, which would compile hooks into it. As a context
    manager it removes hooks that an exception inside a step left behind.
    """

    def __init__(self, *, hooks: bool = True) -> None:
        self.hooks = hooks
        self.rate = 0.0
        self.total = 0
        self.batch = self.parameters = 0
        self.sequence: list[tuple[str, str]] = []
        self.layers: list[Part] = []
        self.nonlinear: list[Part] = []
        self.step_stats: list[StepStats] = []
        self.epochs: list[Epoch] = []
        self.broken: Break | None = None
        self.losses, self.waits, self.seconds, self.rates = array("d"), array("f"), array("f"), array("f")
        self._handles: list[RemovableHandle] = []
        self._before: list[torch.Tensor] = []
        self._offset = self._last = 0
        self._looking = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._remove_hooks()

    # what the loop calls, in its order

    def start(self, network: nn.Module, groups: Sequence[dict[str, Any]]) -> None:
        """Choose the layers to watch."""
        found = parts(network)
        self._network, self._all = network, found
        self.layers = of_kind(found, "weights")
        self.nonlinear = of_kind(found, "relu", "sigmoid", "tanh", "nonlinear")
        self.sequence = [(part.name, part.kind) for part in found]
        self.parameters = sum(p.numel() for p in network.parameters())
        self.rate = max(float(group["lr"]) for group in groups)

    def before_forward(self, number: int) -> None:
        """Place hooks if this step is to be looked at."""
        if not self.losses:
            self._offset = number - 1  # a resumed run starts later
        self._looking = self._due(number)
        if self._looking and self.hooks:
            self._place_hooks()

    def after_backward(self, step: Step) -> None:
        """Note the step; measure gradients and outputs if it is looked at."""
        self.losses.append(step.loss)
        self.waits.append(step.wait_seconds)
        self.seconds.append(step.seconds)
        self.rates.append(step.lr)
        self.total, self.batch = step.total, step.batch or len(step.images)
        self._remove_hooks()
        if not math.isfinite(step.loss):
            self._note_break(step.number, step.loss, bool(torch.isfinite(step.images).all()))
        elif self._looking:
            self._measure(step)

    def after_update(self, step: Step) -> None:
        """Finish the look: how far did the weights move?"""
        if not self._looking:
            return
        self._looking, self._last = False, step.number
        with torch.no_grad():
            moved = [norm(w - before) for w, before in zip(self._weights(), self._before, strict=True)]
        self._before = []
        self.step_stats.append(self._read(step, moved))

    def after_epoch(self, epoch: Epoch) -> None:
        """Keep the line of the history, or note that its validation loss is no number."""
        if math.isfinite(epoch.val_loss):
            self.epochs.append(epoch)
        else:
            self._note_break(epoch.steps, epoch.val_loss)

    # looking closely

    def _due(self, number: int) -> bool:
        since = number - self._offset
        if since <= FIRST[-1]:
            return since in FIRST
        return number - self._last >= max(APART, -(-self.total // LOOKS))

    def _weights(self) -> list[torch.Tensor]:
        return [part.module.get_parameter("weight") for part in self.layers]

    def _place_hooks(self) -> None:
        self._called: list[Part] = []
        self._active: dict[str, tuple[list[torch.Tensor], torch.Tensor]] = {}
        self._first: torch.Tensor | None = None

        def clear(*_: Any) -> None:
            """A new forward pass, as of the next of accumulated batches: keep the last one's numbers."""
            self._called.clear()
            self._active.clear()
            self._first = None

        def call(part: Part) -> Any:
            def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
                self._called.append(part)
                if self._first is None and part.kind == "weights":
                    self._first = summary(inputs[0])

            return note

        def hook(part: Part) -> Any:
            def note(module: nn.Module, inputs: Any, output: Any) -> None:
                self._active[part.name] = activity(part, output)

            return note

        self._handles.append(self._network.register_forward_pre_hook(clear))
        noted = self._all if not self.step_stats else self.layers
        self._handles += [part.module.register_forward_pre_hook(call(part)) for part in noted]
        self._handles += [part.module.register_forward_hook(hook(part)) for part in self.nonlinear]

    def _remove_hooks(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    @torch.no_grad()
    def _measure(self, step: Step) -> None:
        if self.hooks and not self.step_stats:
            self._sort_by_call()
        weights = self._weights()
        self._before = [w.detach().clone() for w in weights]
        nothing = torch.full((), math.nan, device=step.logits.device)
        self._norms = [nothing if w.grad is None else norm(w.grad) for w in weights]
        self._sizes = [norm(w) for w in weights]
        logits, target = step.logits.float(), step.targets
        log_p = logits.log_softmax(1)
        answers, truth = logits.argmax(1), target.argmax(1)
        k = logits.shape[1]
        self._outputs = [
            (logits.sum(1) - 1).abs().amax(),
            logits.amin(),
            logits.amax(),
            log_p.amax(1).exp().mean(),
            (-(target * log_p).sum(1)).std(correction=min(1, len(logits) - 1)),
            (answers == truth).float().mean(),
            answers.bincount(minlength=k)[:k],
            truth.bincount(minlength=k)[:k],
        ]

    def _sort_by_call(self) -> None:
        """Put the layers in the order of the forward pass; those that were not called go last."""
        place: dict[str, int] = {}
        for i, part in enumerate(self._called):
            place.setdefault(part.name, i)
        last = len(place) + len(self._called)
        self.layers.sort(key=lambda part: place.get(part.name, last))
        self.nonlinear.sort(key=lambda part: place.get(part.name, last))
        self.sequence = [(part.name, part.kind) for part in self._called]

    def _read(self, step: Step, moved: list[torch.Tensor]) -> StepStats:
        """Bring everything over at once and take it apart again."""
        device = step.logits.device
        unseen = torch.full((4,), math.nan, device=device)
        active = self._active if self.hooks else {}
        none = torch.zeros(0, dtype=torch.bool, device=device)
        seen = [active.get(part.name, (list(unseen), none)) for part in self.nonlinear]
        inputs = unseen if not self.hooks or self._first is None else self._first
        pieces = [*self._norms, *self._sizes, *moved, *(x for numbers, _ in seen for x in numbers), inputs]
        pieces += [*self._outputs, *(alive for _, alive in seen)]
        values = torch.cat([p.detach().reshape(-1).to(device, torch.float64) for p in pieces]).cpu().numpy()

        def take(count: int) -> NDArray[np.float64]:
            nonlocal values
            head, values = values[:count], values[count:]
            return head

        layers, k = len(self.layers), step.logits.shape[1]
        gradient, weight, update = take(layers), take(layers), take(layers)
        mean, std, zeros, saturated = take(4 * len(seen)).reshape(-1, 4).T
        low_mean_etc = take(4)
        sums, low, high, confidence, spread, right = take(6)
        predicted, targets = take(k).astype(np.int64), take(k).astype(np.int64)
        return StepStats(
            step=step.number,
            lr=step.lr,
            loss=step.loss,
            gradient=gradient,
            weight=weight,
            update=update,
            mean=mean,
            std=std,
            zeros=zeros,
            saturated=saturated,
            alive=tuple(take(len(alive)) > 0 for _, alive in seen),
            inputs=(low_mean_etc[0], low_mean_etc[1], low_mean_etc[2], low_mean_etc[3]),
            sums=float(sums),
            low=float(low),
            high=float(high),
            confidence=float(confidence),
            spread=float(spread),
            predicted=predicted,
            targets=targets,
            right=float(right),
        )

    def _note_break(self, step: int, loss: float, pixels_finite: bool = True) -> None:
        self._looking = False
        weights_finite = all(bool(torch.isfinite(w).all()) for w in self._weights())
        self.broken = self.broken or Break(step, loss, pixels_finite, weights_finite)

    # what is kept

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON; numbers that are not finite become None."""
        losses = np.frombuffer(self.losses, np.float64) if self.losses else np.zeros(0)
        cuts = np.array_split(np.arange(len(losses)), min(POINTS, max(1, len(losses))))
        found = {
            "steps": len(losses),
            "planned": self.total,
            "batch": self.batch,
            "rate": self.rate,
            "loss": [[int(c[-1]) + 1 + self._offset, float(losses[c].mean())] for c in cuts if len(c)],
            "wait_share": self.wait_share(),
            "layers": [part.name for part in self.layers],
            "nonlinearities": [part.name for part in self.nonlinear],
            "sequence": [list(pair) for pair in self.sequence],
            "step_stats": [self._plain_stats(stats) for stats in self.step_stats],
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "broken": asdict(self.broken) if self.broken else None,
        }
        return dict(json_values(found, digits=5))

    def wait_share(self) -> float:
        """Share of the steps' time spent waiting for data, the first steps left out; nan without steps."""
        skip = 2 if len(self.waits) > 10 else 0
        total = sum(self.seconds[skip:])
        return sum(self.waits[skip:]) / total if total else math.nan

    @staticmethod
    def _plain_stats(stats: StepStats) -> dict[str, Any]:
        found = {name: value for name, value in vars(stats).items() if name != "alive"}
        found["dead"] = [float(1 - alive.mean()) if len(alive) else math.nan for alive in stats.alive]
        return found
