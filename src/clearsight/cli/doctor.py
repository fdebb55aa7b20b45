"""Diagnose why a run does not learn: the fault, the evidence for it, and a command that fixes it.

TARGET is either a folder written by `clearsight train`, whose saved diagnosis is shown, or labelled images, on which a
network is then trained for at most a minute. The exit code is 0 whether or not faults are found, unless --strict is
given; `--json` lists them.

With --check-gradients, nothing is trained. Instead, the gradient of every layer of the network is compared with central
differences, and incorrect backward passes are reported. With labelled images, the gradient of every loss is checked
too.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.cli.options import STRICT, add_config, chosen, listed, print_json
from clearsight.console import terminal
from clearsight.disk import read_within
from clearsight.errors import BundleError, ConfigError
from clearsight.json_values import from_json
from clearsight.train.config import TrainConfig
from clearsight.wording import percent

if TYPE_CHECKING:
    from clearsight.diagnosis import Diagnosis, GradientReport

SAVED = "diagnosis.json"
"""The file in a run's folder."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", nargs="?", help="run folder, or labelled images")
    parser.add_argument(
        "--check-gradients", action="store_true",
        help="check the gradients of every layer and loss against central differences, without training (default: no)",
    )  # fmt: skip
    parser.add_argument(
        "--strict", action="store_true", help="exit with status 3 if there is a fault or warning (default: no)"
    )
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    if words := listed(arguments):
        print(words)
        return 0
    if arguments.target is None:
        raise ConfigError("nothing to diagnose", expected="TARGET: a run folder or labelled images", fix="try `digits`")
    options = chosen(arguments)
    folder = Path(arguments.target).expanduser()
    finished = (folder / "config.json").is_file() or (folder / SAVED).is_file()
    if finished and options:
        raise ConfigError(
            "the diagnosis of a run is stored in its folder, so options have no effect",
            fix="pass the data instead of the run for a new diagnosis",
        )
    if arguments.check_gradients:
        gradients = _gradients(arguments.target, options, finished)
        print_json(gradients.to_dict()) if arguments.json else print(gradients.text())
        return 0 if gradients.ok or not arguments.strict else STRICT
    diagnosis = _saved(folder) if finished else _examined(arguments.target, options)
    if arguments.json:
        print_json(diagnosis.to_dict())
    else:
        print(words_of(diagnosis))
    return 0 if diagnosis.healthy or not arguments.strict else STRICT


def _gradients(target: str, options: dict[str, object], finished: bool) -> GradientReport:
    """The check of a run's network, or of the network and the losses for labelled images."""
    with terminal() as console:
        from clearsight.diagnosis import examine_gradients, examine_model_gradients

        if finished:
            from clearsight.runs.load import load_predictor

            return examine_model_gradients(load_predictor(target), target, console=console)
        from clearsight.tasks import read
        from clearsight.train.task_options import task_options

        config = TrainConfig.from_options(**options)
        dataset = read(target, data_dir=config.data.data_dir, task=config.data.task, options=task_options(config))
        return examine_gradients(dataset, config, console=console)


def _saved(folder: Path) -> Diagnosis:
    """The diagnosis of a run."""
    path = folder / SAVED
    if not path.is_file():
        from clearsight.bundle import going_on

        raise BundleError(
            f"{folder} contains no diagnosis",
            expected=SAVED,
            fix=going_on(folder)
            or "a diagnosis is stored only for networks that were trained end to end with one class per image, "
            "not for models trained on frozen features (as with --freeze lower), multi-label models or regression "
            "models. With one class per image, pass the data instead of the run to diagnose a short training; for any "
            "task, `doctor DATA --check-gradients` checks the gradients",
        )
    from clearsight.diagnosis import Diagnosis

    content = read_within(folder, SAVED)
    try:
        return Diagnosis.from_dict(from_json(content))
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path} cannot be read", found=repr(error), fix="train again") from error


def _examined(data: str, options: dict[str, object]) -> Diagnosis:
    """The diagnosis of a short training on the data."""
    from clearsight.tasks import read_exclusive

    config = TrainConfig.from_options(**options)
    with terminal() as console:
        dataset = read_exclusive(data, "doctor", data_dir=config.data.data_dir)
        from clearsight.diagnosis import examine

        return examine(dataset, config, console=console)


def words_of(diagnosis: Diagnosis) -> str:
    """The diagnosis as text for the terminal."""
    facts = diagnosis.facts
    accuracy, chance, loss = facts["val_accuracy"], facts["chance"], facts["end_loss"]
    lines = [
        f"{facts['steps']:.0f} steps"
        + (f", loss {loss:.3g} (chance level {facts['loss_of_chance']:.3g})" if _known(loss) else ", loss not a number")
        + (f", validation accuracy {percent(accuracy)} (chance level {percent(chance)})" if _known(accuracy) else "")
    ]
    if diagnosis.healthy:
        lines.append(diagnosis.summary)
    for verdict in diagnosis.verdicts:
        known = {name.replace("_", " "): v for name, v in verdict.evidence.items() if _known(v)}
        numbers = [f"{name} {value:.3g}" for name, value in known.items()]
        lines += [
            "",
            f"{verdict.severity}: {verdict.name}",
            f"  {verdict.words}",
            f"  evidence  {', '.join(numbers)}",
            f"  fix       {verdict.fix}",
        ]
        if verdict.options:
            lines.append(f"  command   {verdict.command}")
    return "\n".join(lines)


def _known(value: float | None) -> bool:
    """Whether a number was measured; what was not finite is None in a saved diagnosis."""
    return value is not None and math.isfinite(value)
