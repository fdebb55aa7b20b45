"""Robust accuracy of digits, undefended and adversarially trained, and fooling images, on the test split.

PGD with 20 steps and a random start in L-infinity, as `clearsight attack` does by default.
"""

from __future__ import annotations

import tempfile
from typing import Any

from benchmarks.harness import fresh_cache

BARS = {
    "undefended at 0.2": "<= 0.05",
    "hardened at 0.1": ">= 0.80 and 0.35 above",
    "hardened, clean": ">= 0.97",
    "fooling": "ten, >= 95 % caught",
}


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
            }
    return found
