"""Attack a model and write the page of its robust accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.api.results import evaluation_images, result_folder
from clearsight.arguments import at_least
from clearsight.attacks import AttackCurve, Fooling
from clearsight.attacks.gradient import Norm
from clearsight.console import Console, Silent
from clearsight.disk import disk_errors, write_json
from clearsight.runs.load import ModelSource


def attack(
    model: ModelSource,
    data: Any = None,
    *,
    method: str = "pgd",
    norm: Norm = "linf",
    epsilons: Sequence[float] | None = None,
    steps: int = 20,
    target: str | int | None = None,
    images: int = 500,
    fool: bool = False,
    batch: int = 64,
    seed: int = 0,
    out: str | Path | None = None,
    data_dir: str | None = None,
    console: Console | None = None,
) -> tuple[AttackCurve, Fooling | None, Path]:
    """Attack a model on its test split, or on other data: `cs.attack("runs/photos", method="pgd", epsilons=[8/255])`.

    The robust accuracy against epsilon, images that fool the model where asked for, and the page that shows both. At
    most so many images are attacked, drawn at random by seed. out: the folder to write, RUN/attack unless given.
    """
    from clearsight.attacks import attack as attacked
    from clearsight.attacks import fool as fooled
    from clearsight.report.attack_page import write_attack_page

    console = console or Silent()
    at_least(1, batch_size=batch)
    held = evaluation_images(model, data, images, seed, console, data_dir)
    held.predictor.classifies("an attack")
    goal = None if target is None else held.predictor.bundle.task.index_of(target)
    found = attacked(
        held.predictor, held.images, held.labels, names=held.names, method=method,
        norm=norm, epsilons=epsilons, steps=steps, target=goal,
        seed=seed, batch=batch, console=console,
    )  # fmt: skip
    fooling = fooled(held.predictor, seed=seed, batch=batch, console=console) if fool else None
    folder = result_folder(model, "attack", out)
    with disk_errors(folder, "the attack's page", "free some space or choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / "attack.html"
        write_attack_page(page, found, fooling)
        write_json(folder / "attack.json", found.to_dict())
        if fooling:
            np.savez_compressed(folder / "fooling.npz", pixels=fooling.pixels, beliefs=fooling.beliefs)
    return found, fooling, page
