"""From logits to calibrated probabilities: one family of maps, its torch module, and its form in a card.

With log p = log softmax(z) of logits z (N, K), weights a, b (K,), class frequencies f (K,) and a largest probability m:

    q = softmax(a log p + b)          identity: a = 1, b = 0
                                      temperature: a = 1 / T for every class, b = 0 [Guo et al. 2017, 4.2]
                                      vector: an own a and b for each class [Guo et al. 2017, 4.2], on log p as the
                                      diagonal Dirichlet calibration [Kull et al. 2019]
                                      platt: two classes, one a, own b [Platt 1999]
                                      beta: two classes, own a, one b [Kull, Silva Filho, Flach 2017]
    q = g(p) / sum g(p)               isotonic: g_k piecewise linear and rising, a class against the rest
                                      [Zadrozny, Elkan 2002]
    r = (1 - w) q + w f               the mixture with the class frequencies
    s = r, or where a probability is above m, a mixture of r with 1 / K that brings it to m
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from clearsight.calibration.array_function import ArrayFunction
from clearsight.schema import integer, invalid, listed, number, record, text
from clearsight.wording import percent

Method = Literal["identity", "temperature", "vector", "platt", "beta", "isotonic"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibrator:
    """A map from logits (N, K) to probabilities (N, K).

    method: how `scale` and `shift` (K,) were fitted. knots: of isotonic regression, for each class the probabilities
    x and the calibrated ones y (K, 2, M); empty for other methods. frequencies (K,), weight: of the mixture. largest:
    the largest probability that is given, 1 for no limit. images: it was fitted to.
    """

    method: Method
    scale: tuple[float, ...]
    shift: tuple[float, ...]
    frequencies: tuple[float, ...]
    weight: float = 0.0
    largest: float = 1.0
    images: int = 0
    knots: tuple[tuple[tuple[float, ...], ...], ...] = ()

    @classmethod
    def identity(cls, classes: int, temperature: float = 1.0) -> Calibrator:
        """Softmax of the logits over a temperature, nothing else."""
        method: Method = "identity" if temperature == 1 else "temperature"
        return cls(method, (1 / temperature,) * classes, (0.0,) * classes, (1 / classes,) * classes)

    @property
    def temperature(self) -> float:
        """The T that logits are divided by, of several the mean scale's."""
        return 1 / float(np.mean(self.scale))

    def function(self) -> CalibratedSoftmax:
        """Logits (N, K) to probabilities (N, K), and the logits; exported files hold it."""
        return CalibratedSoftmax(self)

    def __call__(self, logits: NDArray[np.floating]) -> Floats:
        """Probabilities (N, K) of logits (N, K), in float64."""
        return self.function()(logits)[0]

    def words(self) -> str:
        """How probabilities are calibrated, in a few words."""
        named = {
            "identity": "uncalibrated softmax probabilities", "temperature": f"temperature {self.temperature:.2f}",
            "vector": "vector scaling", "platt": "Platt scaling", "beta": "beta calibration",
            "isotonic": "isotonic regression",
        }[self.method]  # fmt: skip
        return named + (
            f", mixed with the class frequencies (weight {percent(self.weight)})" if self.weight > 5e-4 else ""
        )

    def card(self) -> dict[str, Any]:
        """Plain values, which `load` takes."""
        return {
            "method": self.method, "scale": list(self.scale), "shift": list(self.shift),
            "frequencies": list(self.frequencies), "weight": self.weight, "largest": self.largest,
            "images": self.images, "knots": [[list(row) for row in pair] for pair in self.knots],
        }  # fmt: skip

    @classmethod
    def load(cls, card: Mapping[str, Any], classes: int | None = None) -> Calibrator:
        """From what `card` gave, for K classes if their number is known; BundleError for anything else."""
        classes = _length(card, "scale") if classes is None else classes
        place = "card.json: calibrator"
        share, row = number(0, 1), listed(listed(number(), least=2), 2)
        isotonic = isinstance(card, Mapping) and card.get("method") == "isotonic"
        record(
            {
                "method": text(*get_args(Method)), "scale": listed(number(1e-9, 1e9), classes),
                "shift": listed(number(-1e9, 1e9), classes), "frequencies": listed(share, classes), "weight": share,
                "largest": number(1 / classes, 1), "images": integer(0),
                "knots": listed(row, classes if isotonic else 0),
            }
        )(card, place)  # fmt: skip
        for k, (x, y) in enumerate(card["knots"]):
            if len(x) != len(y) or len(x) != len(card["knots"][0][0]) or not np.all(np.diff(x) > 0):
                invalid(f"{place}.knots[{k}]", "points that are not in order", "as many y as increasing x")
        return cls(
            card["method"], tuple(card["scale"]), tuple(card["shift"]), tuple(card["frequencies"]),
            float(card["weight"]), float(card["largest"]), int(card["images"]),
            tuple(tuple(tuple(row) for row in pair) for pair in card["knots"]),
        )  # fmt: skip


def _length(card: Any, name: str) -> int:
    row = card.get(name) if isinstance(card, Mapping) else None
    return max(1, len(row)) if isinstance(row, list) else 1


class CalibratedSoftmax(ArrayFunction):
    """A calibrator as a function: logits (N, K) to probabilities (N, K), and the logits."""

    def __init__(self, calibrator: Calibrator) -> None:
        self.weight, self.largest = calibrator.weight, calibrator.largest
        self.isotonic = calibrator.method == "isotonic"
        rows: dict[str, Any] = {name: getattr(calibrator, name) for name in ("scale", "shift", "frequencies")}
        if self.isotonic:
            x, y = np.moveaxis(np.array(calibrator.knots, np.float64), 1, 0)
            lengths = np.diff(x, axis=1)
            rows |= {"starts": x[:, :-1], "lengths": lengths, "slopes": np.diff(y, axis=1) / lengths, "floor": y[:, 0]}
        super().__init__(**rows)

    def compute(self, ops: Any, c: Any, x: Any) -> tuple[Any, ...]:
        if self.isotonic:
            covered = ops.minimum(ops.at_least(ops.softmax(x)[:, :, None] - c.starts, 0), c.lengths)
            found = c.floor + (covered * c.slopes).sum(2)
            found = found / ops.total(found)
        else:
            found = ops.softmax(ops.log_softmax(x) * c.scale + c.shift)
        if self.weight:
            found = (1 - self.weight) * found + self.weight * c.frequencies
        if self.largest < 1:
            even, top = 1 / found.shape[1], ops.largest(found)
            share = ops.at_least((top - self.largest) / ops.at_least(top - even, 1e-12), 0)
            found = found + share * (even - found)
        return found, x
