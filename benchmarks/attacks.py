"""Robust accuracy of digits, undefended and adversarially trained, and fooling images, on the test split.

PGD with 20 steps and a random start in L-infinity, as `clearsight attack` does by default; and at 0.1 the stronger
attacks beside those of the Adversarial Robustness Toolbox on the same network: APGD, 100 steps, by both; our
`autoattack`, and the toolbox's AutoAttack, which is APGD by two losses, DeepFool and the square attack.
"""

from __future__ import annotations

import tempfile
import time
from typing import Any

import numpy as np

from benchmarks.harness import fresh_cache

BARS = {
    "undefended at 0.2": "<= 0.05",
    "hardened at 0.1": ">= 0.80 and 0.35 above",
    "hardened, clean": ">= 0.97",
    "fooling": "ten, >= 95 % caught",
    "APGD and AutoAttack at 0.1": "within 1 point of the toolbox's",
}

COMPARED, IMAGES = 0.1, 200
"""Epsilon at which attacks are compared, and images: the toolbox's AutoAttack takes minutes for these."""


def measure() -> dict[str, Any]:
    from clearsight.api.attack import attack
    from clearsight.api.fit import fit

    found: dict[str, Any] = {"bars": BARS}
    with fresh_cache(), tempfile.TemporaryDirectory() as folder:
        options = {"undefended": {}, "hardened": {"adversarial": "pgd", "adversarial_epsilon": 0.15}}
        for name, own in options.items():
            run = fit("digits", out=f"{folder}/{name}", **own)
            attacked = attack(run.folder, epsilons=(0.1, 0.2), fool=True)
            curve, fooling = attacked.curve, attacked.fooling
            assert fooling is not None
            assert fooling.is_ood is not None
            found[name] = {
                "accuracy": {f"{p.epsilon:g}": p.accuracy for p in curve.points},
                "fooling_images_at_99_percent": int((fooling.probabilities >= 0.99).sum()),
                "fooling_images_flagged_as_ood": int(fooling.is_ood.sum()),
                "false_alarms_on_the_test_split": run.metrics["test"]["ood_check"]["false_alarms"],
                "train_seconds": run.metrics["train_seconds"],
                "beside the toolbox at 0.1": _compared(run),
            }
    return found


def _compared(run: Any) -> dict[str, Any]:
    """Robust accuracy under our attacks and those of the toolbox, and how long they took."""
    import torch
    from art.attacks.evasion import AutoAttack, AutoProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    from clearsight.api.results import evaluation_images
    from clearsight.attacks import attack
    from clearsight.console import Silent

    held = evaluation_images(run.folder, None, IMAGES, 0, Silent(), None, check=lambda one: None)
    predictor, labels = held.predictor, np.asarray(held.labels)
    x = np.concatenate(list(predictor.pixels(held.images)))
    network = predictor.differentiable.eval()
    classifier = PyTorchClassifier(
        network, torch.nn.CrossEntropyLoss(), x.shape[1:], len(predictor.classes), clip_values=(0.0, 1.0),
        device_type="cpu",
    )  # fmt: skip
    one_hot = np.eye(len(predictor.classes), dtype=np.float32)[labels]
    theirs = {
        "apgd": AutoProjectedGradientDescent(
            classifier,
            eps=COMPARED,
            eps_step=2 * COMPARED,
            max_iter=100,
            nb_random_init=1,
            batch_size=256,
            verbose=False,
        ),
        "autoattack": AutoAttack(classifier, eps=COMPARED, eps_step=2 * COMPARED, batch_size=256),
    }
    found: dict[str, Any] = {"images": len(x)}
    for name, other in theirs.items():
        began = time.perf_counter()
        own = attack(predictor, held.images, labels, method=name, epsilons=(COMPARED,)).points[-1].accuracy
        middle = time.perf_counter()
        moved = other.generate(x.copy(), one_hot)
        answers = predictor.logits(np.asarray(moved, np.float32)).argmax(1)
        # AutoAttack returns the image as it is where it fails, APGD the last point
        found[name] = {
            "accuracy": own, "toolbox": float((answers == labels).mean()),
            "seconds": [round(middle - began, 1), round(time.perf_counter() - middle, 1)],
        }  # fmt: skip
    return found
