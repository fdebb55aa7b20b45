"""The doctor: from the measurements of a run to verdicts, each with its evidence and the command that fixes it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from clearsight.console import Console, Silent
from clearsight.data.audit import Finding
from clearsight.data.dataset import Dataset
from clearsight.diagnosis.case import ENOUGH, Case, Verdict
from clearsight.diagnosis.command import train_command
from clearsight.diagnosis.rules import LAST, RULES
from clearsight.diagnosis.vitals import Vitals
from clearsight.errors import ConfigError, TrainingError
from clearsight.json_values import json_values
from clearsight.models.classical import is_classical
from clearsight.models.execution import device_of
from clearsight.train.config import TrainConfig
from clearsight.train.loop import Examples, train_network

PROBE_STEPS = 300
"""Steps of a probe at most."""

PROBE_SECONDS = 60.0
"""Seconds of its training at most."""

PROBE_VALIDATIONS = 6
"""Validations in a probe."""

PROBE_IMAGES = 1000
"""Validation images of a probe at most, drawn at random."""


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor says of a run: faults first, each kind in the order of causes; empty if no problems found.

    facts: numbers that describe the run whether healthy or not. layers: names of the layers with weights, in the order
    of the forward pass; gradients (2, layers): norm of their gradients in the first and the last step looked at.
    vitals: everything measured, as `Vitals.to_dict`.
    """

    verdicts: tuple[Verdict, ...]
    facts: dict[str, float]
    layers: tuple[str, ...] = ()
    gradients: tuple[tuple[float, ...], ...] = ()
    vitals: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def healthy(self) -> bool:
        return not self.verdicts

    @property
    def summary(self) -> str:
        """What there is to say where there is no verdict."""
        return (
            "no problems found"
            if self.facts["steps"] >= ENOUGH
            else "too few steps for a diagnosis; train for more epochs"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; numbers that are not finite become None."""
        return dict(json_values(asdict(self), digits=5))

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Diagnosis:
        """What `to_dict` saved."""
        return cls(
            tuple(Verdict(**v) for v in saved["verdicts"]),
            dict(saved["facts"]),
            tuple(saved["layers"]),
            tuple(tuple(math.nan if g is None else g for g in row) for row in saved["gradients"]),
            dict(saved["vitals"]),
        )


def diagnose(
    vitals: Vitals,
    config: TrainConfig,
    data: Examples,
    *,
    findings: Sequence[Finding] = (),
    options: Mapping[str, Any] | None = None,
    origin: str = "DATA",
    model: str = "",
    model_args: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """Diagnose a run that ended, successfully or not.

    config, data: as `train_network` was given them. findings: the audit's. options: those of the run not at defaults,
    by name; they return in the cure's command, changed. origin: where the data lies. model, model_args: the network's
    registry name and own options, where it has them; `model` in options does not do, it may be auto.
    """
    counts, val_counts = (np.bincount(data.labels[rows], minlength=data.classes) for rows in (data.train, data.val))
    case = Case(vitals, config, counts, val_counts, tuple(findings), model, dict(model_args or {}))
    given = dict(options or {})
    found = [_named(verdict, case, given) for verdict in _found(case)]
    verdicts = tuple(replace(verdict, command=train_command(origin, cured(given, verdict))) for verdict in found)
    ends = (vitals.step_stats[0], vitals.step_stats[-1]) if vitals.step_stats else ()
    return Diagnosis(
        verdicts,
        _facts(case),
        tuple(part.name for part in vitals.layers),
        tuple(tuple(map(float, stats.gradient)) for stats in ends),
        vitals.to_dict(),
    )


NEUTRAL: dict[str, Any] = {
    "pretrained": None, "init": None, "model_arg": {}, "lr": None, "lr_find": False, "cutmix": 0.0,
}  # fmt: skip
"""Options that a cure may have to take back, and the values at which they do nothing."""


def cured(options: Mapping[str, Any], verdict: Verdict) -> dict[str, Any]:
    """A run's options with the verdict's cure.

    The network's own options are joined; what was meant for another network, or contradicts the cure, is set to the
    value at which it does nothing. `out`, `resume` and `auto_fix` are left out.
    """
    cure = dict(verdict.options)
    undone = {
        "model": () if "model_arg" in cure else ("model_arg", "init", "pretrained"),
        "lr": ("lr_find",),
        "opt": () if "lr" in cure else ("lr",),  # a rate belongs to its optimiser
        "init": ("pretrained",),
        "mixup": ("cutmix",),
    }
    new = {name: value for name, value in options.items() if name not in ("out", "resume", "auto_fix")}
    for given in cure:
        new.update({name: NEUTRAL[name] for name in undone.get(given, ()) if name in new})
    if "model_arg" in cure:
        cure["model_arg"] = {**(new.get("model_arg") or {}), **cure["model_arg"]}
    return {**new, **cure}


def _named(verdict: Verdict, case: Case, given: Mapping[str, Any]) -> Verdict:
    """A cure that changes the network names it, where the run's options left open which."""
    cure = verdict.options
    if "model_arg" not in cure or given.get("model", "auto") != "auto":
        return verdict
    return replace(
        verdict, options={**cure, "model": case.model, "model_arg": {**case.model_args, **cure["model_arg"]}}
    )


def _found(case: Case) -> list[Verdict]:
    """The verdicts that no other explains; faults before warnings."""
    silenced: set[str] = set()
    found: list[Verdict] = []
    for rule in RULES:
        if rule.name in silenced:
            continue
        verdict = rule.find(case)
        if verdict is not None:
            found.append(verdict)
            silenced |= rule.explains | {rule.name}
    if all(v.severity != "fault" for v in found) and (verdict := LAST.find(case)) is not None:
        found.append(verdict)
    return sorted(found, key=lambda verdict: verdict.severity != "fault")


def _facts(case: Case) -> dict[str, float]:
    """Numbers that describe the run."""
    return {
        "steps": float(case.steps),
        "steps_looked_at": float(len(case.step_stats)),
        "rate": case.vitals.rate,
        "first_loss": float(case.losses[0]) if case.steps else math.nan,
        "end_loss": case.end_loss if case.steps else math.nan,
        "loss_of_chance": case.chance_loss,
        "train_accuracy": case.train_accuracy,
        "val_accuracy": case.val_accuracy,
        "chance": case.majority,
        "update_to_weight": float(np.median(case.ratios)) if len(case.ratios) else math.nan,
        "path": case.travel,
        "wait_share": case.vitals.wait_share(),
    }


class _EnoughError(Exception):
    """The probe's time is over."""


def examine(dataset: Dataset, config: TrainConfig, *, console: Console | None = None) -> Diagnosis:
    """Train for a minute at most, a few hundred steps, from random weights, and diagnose.

    The schedule runs its whole course in these steps. `--model auto` is resnet8 here where training would take a
    pretrained network; the commands name the network that was trained. Raises what `fit` raises, but not when the loss
    breaks: that is a diagnosis.
    """
    from clearsight.train.context import TrainContext
    from clearsight.train.recipe import check_names, network_options, planned, say_errors
    from clearsight.train.strategies.from_scratch import drawn_network

    console = console or Silent()
    run, asked = config.run, config.optimization
    idle = {"--out": run.out, "--resume": run.resume, "--auto-fix": run.auto_fix, "--budget": run.budget}
    if given := [name for name, value in idle.items() if value]:
        raise ConfigError(
            "a probe does not save a run and takes at most a minute, so these options have no effect: "
            f"{', '.join(given)}",
            fix="omit them, or use `clearsight train`",
        )
    if is_classical(config.model.model):
        raise ConfigError(
            "the doctor only examines training by gradient descent",
            found=f"{config.model.model}, which is not trained that way",
            fix="choose a network with --model",
        )
    device = device_of(run.device)
    config = config.with_options(pretrained=False)
    check_names(config)
    prepared, recipe = planned(dataset, config, console)
    say_errors(console, prepared)
    options = {**config.changed(), **network_options(recipe)}
    context = TrainContext(prepared, recipe, config, device, console)
    console.say(f"the probe trains {recipe.model} from random weights")
    network = drawn_network(context)
    examples = context.examples
    rng = np.random.default_rng(run.seed)
    examples = replace(examples, val=np.sort(rng.permutation(examples.val)[:PROBE_IMAGES]))
    batch = 64 if len(examples.train) < 5000 else 128
    resolved = context.resolved(network, batch=batch, fine_tuning=False, shape=examples.pixels.shape[1:])
    per_epoch = resolved.optimization.steps_per_epoch(len(examples.train))
    epochs = asked.epochs or math.ceil(PROBE_STEPS / per_epoch)
    steps = min(PROBE_STEPS, epochs * per_epoch, asked.max_steps or PROBE_STEPS)
    resolved = resolved.with_options(
        epochs=epochs, max_steps=steps, val_every=max(1, steps // PROBE_VALIDATIONS), patience=epochs + 1
    )
    vitals, began, advance = Vitals(hooks=not asked.compile), time.monotonic(), console.stage("probe", "steps")

    def on_step(done: int, total: int) -> None:
        advance(done, total)
        if time.monotonic() - began > PROBE_SECONDS:
            raise _EnoughError

    groups = [{"params": list(network.parameters()), "lr": context.rate(fine_tuning=False)}]
    if asked.lr_find:
        groups = context.found_rates(network, resolved, groups, examples)
    try:
        with vitals:
            train_network(network, examples, resolved, groups, observer=vitals, on_step=on_step)
    except _EnoughError:
        console.say(f"the probe stopped after {PROBE_SECONDS:.0f} s, at step {len(vitals.losses)} of {steps}")
    except TrainingError:
        pass  # the loss is not a number: the doctor says why
    return diagnose(
        vitals, resolved, examples, findings=prepared.audit.findings, options=options, origin=dataset.origin,
        model=recipe.model, model_args=recipe.model_args,
    )  # fmt: skip
