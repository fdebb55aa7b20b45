"""Names of format 1, the first version, mapped to those of today: cards of bundles and indexes, metrics, options.
Options that runs of earlier versions do not record have the value that these versions used.

Each function returns a new dictionary and changes nothing where the content is of today already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WEIGHTS_OF_DETECTOR = "limits.safetensors"
"""Name of the file that held the arrays of the OOD detector."""

CARD = {"answer": "task_card", "limits": "ood_detector"}
"""Top-level names of `card.json`."""

METRICS = {
    "limits": "ood_check",
    "limits_seconds": "ood_seconds",
    "mean_doubt": "mean_uncertainty",
    "belief": "mean_probability",
    "belief_in_anomalies": "probability_in_anomalies",
    "belief_in_normal": "probability_in_normal",
}
"""Names in `metrics.json` and in the scores of a card."""

OPTIONS = {"fit": "resize_mode", "heal": "auto_fix", "class_weights": "class_weight"}
"""Options of training."""


def card_from(card: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `card.json` with the names of today."""
    new = {CARD.get(name, name): value for name, value in card.items()}
    new["network"] = network_from(card["network"])
    new["geometry"] = {"resize_mode" if name == "fit" else name: value for name, value in card["geometry"].items()}
    new["scores"] = metrics_from(card["scores"])
    return new


def network_from(spec: Any) -> Any:
    """The spec of a network, and of those it consists of, with the names of today."""
    if isinstance(spec, list):
        return [network_from(one) for one in spec]
    if not isinstance(spec, dict):
        return spec
    return {
        "model_args" if name == "knobs" else name: value if name == "knobs" else network_from(value)
        for name, value in spec.items()
    }


def metrics_from(metrics: Any) -> Any:
    """The content of `metrics.json` with the names of today."""
    if isinstance(metrics, list):
        return [metrics_from(one) for one in metrics]
    if not isinstance(metrics, dict):
        return metrics
    return {METRICS.get(name, name): metrics_from(value) for name, value in metrics.items()}


def index_from(card: Any) -> Any:
    """The content of an index's `card.json` with the names of today; what is no dictionary as it is."""
    if not isinstance(card, dict):
        return card
    return {"descriptions" if name == "said" else name: value for name, value in card.items()}


def run_from(about: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a run's `config.json` with the names of today."""
    new = dict(about)
    if isinstance(options := about.get("options"), dict):
        new["options"] = {
            subject: {OPTIONS.get(name, name): value for name, value in stage.items()}
            if isinstance(stage, dict)
            else stage
            for subject, stage in options.items()
        }
        if isinstance(data := new["options"].get("data"), dict):
            data.setdefault("order", "listed")  # as images were before there was a choice
    if isinstance(about.get("recipe"), dict):
        new["recipe"] = network_from(about["recipe"])
    return new
