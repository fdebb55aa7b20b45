"""Whether entries of the trust panel are contradicted by the numbers they state, or by the test images."""

from __future__ import annotations

import math
from typing import Any

from clearsight.metrics import wilson_interval


def contradictions(panel: dict[str, Any] | None, measured: dict[str, Any]) -> list[str]:
    """In words, one for each entry that claims something else than its numbers. measured: what `measures` found."""
    found = []
    for entry in (panel or {}).get("entries", ()):
        derived = _status(entry.get("checks", ()))
        if entry["status"] != derived:
            found.append(f"{entry['name']} is {entry['status']!r}, and its numbers say {derived!r}")
        elif entry["status"] == "kept" and (why := _against(entry["name"], measured)):
            found.append(f"{entry['name']} is 'kept', and {why}")
    return found


def status_of(panel: dict[str, Any] | None, name: str) -> str | None:
    """The status of the entry of this name."""
    return next((e["status"] for e in (panel or {}).get("entries", ()) if e["name"] == name), None)


def _status(checks: Any) -> str:
    """The worst of the checks: kept with the whole interval inside the range, not kept with all of it outside."""
    worst = "kept" if checks else "too few images"
    for check in checks:
        low, high = (check[end] if check[end] is not None else s * math.inf for end, s in (("low", -1), ("high", 1)))
        if check["value"] is None:
            status = "too few images"
        else:
            least, most = check["interval"] or (check["value"], check["value"])
            beyond = check.get("beyond", False)
            if (least > low if beyond else least >= low) and most <= high:
                status = "kept" if check.get("enough", True) else "too few images"
            elif (most <= low if beyond else most < low) or least > high:
                status = "not kept"
            else:
                status = "too few images"
        if status == "not kept":
            return status
        worst = status if worst == "kept" else worst
    return worst


def _against(name: str, measured: dict[str, Any]) -> str:
    """What the test images say against an entry that is kept; "" where nothing."""
    calibration, ood, n = measured.get("calibration") or {}, measured.get("ood") or {}, measured["n"]["test"]
    if name == "accuracy" and "majority" in calibration:
        low = wilson_interval(round(calibration["accuracy"] * n), n)[0]
        if low <= calibration["majority"]:
            return f"the lower bound of the accuracy, {low:.3f}, is not above {calibration['majority']:.3f}"
    if name == "calibration" and calibration:
        if calibration["log loss after"] >= calibration["log loss frequencies"]:
            return "the class frequencies have a lower log loss"
        if calibration.get("debiased ece after", 0) > 0.03:
            return f"the debiased ECE is {calibration['debiased ece after']:.3f}"
    if name == "ood" and ood and wilson_interval(round(ood["false alarms"] * n), n, 0.999)[0] > 0.05 + 0.1:
        return f"{ood['false alarms']:.1%} of the test images are flagged"
    return ""
