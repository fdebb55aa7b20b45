"""One image attacked once, and what the model says of it before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.attacks.curve import attacked_network, check
from clearsight.attacks.gradient import Norm
from clearsight.attacks.methods import Attack, method_of
from clearsight.models.network import frozen
from clearsight.predictor import Predictor
from clearsight.tasks.predictions import Prediction

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Attacked:
    """An image (C, H, W) in [0, 1] and its attacked version, with the prediction for each. target: the class to reach,
    None for an untargeted attack. largest, length: of the change, as L-infinity and L2 measure it.
    """

    method: str
    norm: Norm
    epsilon: float
    steps: int
    target: str | None
    pixels: Floats
    attacked: Floats
    before: Prediction
    after: Prediction

    @property
    def largest(self) -> float:
        return float(np.abs(self.attacked - self.pixels).max())

    @property
    def length(self) -> float:
        return float(np.linalg.norm((self.attacked - self.pixels).ravel()))


def attack_one(
    predictor: Predictor,
    pixels: Floats,
    epsilon: float,
    *,
    method: str = "pgd",
    norm: Norm = "linf",
    steps: int | None = None,
    restarts: int = 1,
    target: int | None = None,
    seed: int = 0,
) -> Attacked:
    """Attack an image (C, H, W) in [0, 1]: away from the model's own prediction, or towards a class.

    As the true class is not known here, the answer takes its place. Raises ModelError for a model without gradients,
    and ConfigError for options out of range.
    """
    check(predictor, method, norm)
    before = cast(Prediction, predictor.predict(pixels[None])[0])
    goal = predictor.bundle.task.index_of(before.label) if target is None else target
    which = method_of(method)
    options = Attack(norm, target is not None, which.steps if steps is None else steps, restarts, seed)
    network, device = attacked_network(predictor, method), predictor.device
    with frozen(network):
        x, label = torch.from_numpy(pixels[None]).to(device), torch.tensor([goal], device=device)
        moved = which.run(options, network, x, label, epsilon, None)
    attacked = moved[0].detach().cpu().numpy()
    return Attacked(
        method, norm, epsilon, which.steps_taken(options), None if target is None else predictor.classes[target],
        pixels, attacked, before, cast(Prediction, predictor.predict(attacked[None])[0]),
    )  # fmt: skip
