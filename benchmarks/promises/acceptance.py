"""The acceptance table: of every measure and set the mean and the worst over seeds, and whether that is as required."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.promises.bands import coverage_band, inside
from benchmarks.promises.panel import contradictions, status_of

Line = dict[str, Any]

LABEL_NOISE_BARS = ("digits", "mnist", "patches")
"""Sets whose label issues have bars of precision and recall; elsewhere cleanlab is the bar."""


@dataclass(frozen=True)
class Row:
    """measure: of a set. n: runs. mean, worst: in words. kept: None where there is nothing to require."""

    measure: str
    set: str
    n: int
    mean: str
    worst: str
    required: str
    kept: bool | None


def rows(lines: Sequence[Line]) -> list[Row]:
    """All rows, by measure and then set."""
    found: list[Row] = []
    for make in (
        _harm, _halved, _frequencies, _coverage, _sizes, _false_alarms, _changed, _far, _fooling, _left_out,
        _clean_labels, _noisy_labels, _panel,
    ):  # fmt: skip
        found += make(lines)
    return found


def _by_set(lines: Sequence[Line], *kinds: str) -> Iterable[tuple[str, str, list[Line]]]:
    for kind in kinds:
        for name in dict.fromkeys(line["set"] for line in lines if line["kind"] == kind):
            yield kind, name, [line for line in lines if line["set"] == name and line["kind"] == kind]


def _named(name: str, kind: str) -> str:
    return name if kind == "clean" else f"{name}, {kind}"


def _harm(lines: Sequence[Line]) -> list[Row]:
    found = []
    for kind, name, own in _by_set(lines, "clean", "ensemble"):
        pairs = [(c["log loss before"], c["log loss after"]) for line in own if (c := line.get("calibration"))]
        if pairs:
            change = [after - before for before, after in pairs]
            allowed = [max(0.002, 0.02 * before) for before, _ in pairs]
            kept = float(np.mean(change)) <= 3e-4 and all(c <= a for c, a in zip(change, allowed, strict=True))
            words = f"{np.mean(change):+.4f}", f"{max(change):+.4f}"
            found.append(
                Row("log loss after calibration minus log loss before", _named(name, kind), len(pairs), *words,
                    "mean at most 0.0003, each run at most 0.002 or 2 % of the log loss before, "
                    "whichever is larger", kept)
            )  # fmt: skip
    return found


def _halved(lines: Sequence[Line]) -> list[Row]:
    """By the debiased ECE: that of n bins of few images is far above 0 for probabilities without any error. It is shown
    below, and requires nothing.
    """
    found = []
    for measure, words in (("debiased ece", "Debiased ECE"), ("ece", "ECE of 15 bins")):
        for kind, name, own in _by_set(lines, "clean", "ensemble"):
            every = [c for line in own if f"{measure} before" in (c := line.get("calibration") or {})]
            if not every:
                continue
            pairs = np.array([(c[f"{measure} before"], c[f"{measure} after"]) for c in every])
            before, after = pairs.mean(0)
            required = measure == "debiased ece"
            found.append(
                Row(f"{words} before and after calibration, in points", _named(name, kind), len(pairs),
                    f"{100 * before:.1f} before, {100 * after:.1f} after", f"{100 * pairs[:, 1].max():.1f} after",
                    "at least halved if above 3 before" if required else "",
                    bool(after <= before / 2) if required and before > 0.03 else None)
            )  # fmt: skip
    return found


def _frequencies(lines: Sequence[Line]) -> list[Row]:
    found = []
    for kind, name, own in _by_set(lines, "clean", "ensemble"):
        gains, kept = [], []
        for line in own:
            if c := line.get("calibration"):
                gains.append(c["log loss frequencies"] - c["log loss after"])
                kept.append(gains[-1] > 0 or status_of(line.get("panel"), "calibration") == "not kept")
        if gains:
            found.append(
                Row("log loss of the class frequencies minus that of the model", _named(name, kind), len(gains),
                    f"{np.mean(gains):.3f}", f"{min(gains):.3f}", "above 0, or the panel shows “not kept”", all(kept))
            )  # fmt: skip
    return found


def _coverage(lines: Sequence[Line]) -> list[Row]:
    """Sets that always hold the most probable class cover more than stated where a model is right more often than that:
    the upper end of the range is then the coverage of MAPIE's sets with that class added, and a point for their
    randomisation.
    """
    found = []
    for _, name, own in _by_set(lines, "clean"):
        for way in ("lac", "aps", "raps", "interval"):
            for level in ("0.8", "0.9", "0.95"):
                key = f"{way} {level}"
                some = [line for line in own if line["coverage"].get(key)]
                if not some:
                    continue
                shares = [line["coverage"][key]["covered"] for line in some]
                parts = tuple((line["coverage"]["calibration"], line["coverage"]["test"]) for line in some)
                low, high = coverage_band(parts, float(level))
                most = max(high, float(np.mean([_filled(line, key) for line in some])))
                empty = max(line["coverage"][key].get("empty", 0.0) for line in some)
                mean = float(np.mean(shares))
                kept = low - 1e-9 <= mean <= most + 1e-9 and empty == 0
                what = "intervals" if way == "interval" else f"{way.upper()} sets"
                worst = f"{100 * min(shares):.1f} to {100 * max(shares):.1f} %"
                worst += f", up to {100 * empty:.0f} % of the sets in a run are empty" if empty else ""
                found.append(
                    Row(f"coverage of {what} at {level}", name, len(some), f"{100 * mean:.1f} %", worst,
                        f"{100 * low:.1f} to {100 * min(1.0, most):.1f} %", kept)
                )  # fmt: skip
    return found


def _filled(line: Line, key: str) -> float:
    """What sets with the most probable class in each may cover: as MAPIE's do, else as often as that class is right."""
    theirs = line["peers"].get("coverage", {}).get("MAPIE", {}).get(key)
    if theirs:
        return float(theirs["covered with first"]) + 0.01
    return float(line["coverage"][key].get("first alone", 0.0))


def _sizes(lines: Sequence[Line]) -> list[Row]:
    """At equal coverage: to MAPIE's sets the most probable class is added, as ours hold it."""
    found = []
    for _, name, own in _by_set(lines, "clean"):
        for way, peer, size, other, most in (
            ("lac", "MAPIE", "size", "size with first", None), ("aps", "MAPIE", "size", "size with first", 1.15),
            ("raps", "MAPIE", "size", "size with first", 1.15), ("interval", "crepes", "width", "width", 1.1),
        ):  # fmt: skip
            pairs = [
                (mine[size], theirs[other])
                for line in own
                if (mine := line["coverage"].get(f"{way} 0.9"))
                and (theirs := line["peers"].get("coverage", {}).get(peer, {}).get(f"{way} 0.9"))
            ]
            if pairs:
                ratios = [a / b for a, b in pairs]
                a, b = np.mean(pairs, axis=0)
                what = "width of intervals" if way == "interval" else f"size of {way.upper()} sets"
                required = f"at most {most}" if most else ""
                kept = None if most is None else bool(np.mean(ratios) <= most)
                words = f"{np.mean(ratios):.2f} (Clearsight {a:.2f}, {peer} {b:.2f})"
                found.append(
                    Row(f"{what} at 0.9 relative to {peer}", name, len(pairs), words, f"{max(ratios):.2f}", required,
                        kept)
                )  # fmt: skip
    return found


def _ood_lines(own: Sequence[Line], key: str) -> list[Any]:
    return [line["ood"][key] for line in own if line.get("ood") and line["ood"].get(key) is not None]


def _false_alarms(lines: Sequence[Line]) -> list[Row]:
    found = []
    for _, name, own in _by_set(lines, "clean"):
        shares = _ood_lines(own, "false alarms")
        if shares:
            parts = [(line["ood"]["known"], line["n"]["test"]) for line in own if line.get("ood")]
            low, high = coverage_band(tuple(parts), 0.05, at_most=True)
            found.append(
                Row("false alarm rate on test images", name, len(shares), f"{100 * np.mean(shares):.1f} %",
                    f"{100 * max(shares):.1f} %", f"{100 * low:.1f} to {100 * high:.1f} %",
                    inside(shares, parts, 0.05, at_most=True))
            )  # fmt: skip
    return found


def _changed(lines: Sequence[Line]) -> list[Row]:
    return _shares(lines, {
        "shifted": ("false alarm rate on shifted images", 0.1), "darker": ("false alarm rate on darker images", 0.1),
        "brighter": ("false alarm rate on brighter images", 0.1),
    }, at_most=True)  # fmt: skip


def _shares(lines: Sequence[Line], keys: dict[str, tuple[str, float]], *, at_most: bool) -> list[Row]:
    found = []
    for key, (words, bar) in keys.items():
        for _, name, own in _by_set(lines, "clean"):
            shares = _ood_lines(own, key)
            if shares:
                mean, worst = float(np.mean(shares)), (max if at_most else min)(shares)
                kept = mean <= bar if at_most else mean >= bar
                found.append(
                    Row(words, name, len(shares), f"{100 * mean:.1f} %", f"{100 * worst:.1f} %",
                        f"at {'most' if at_most else 'least'} {100 * bar:.0f} %", kept)
                )  # fmt: skip
    return found


def _far(lines: Sequence[Line]) -> list[Row]:
    found = []
    for _, name, own in _by_set(lines, "clean"):
        means, least = _ood_lines(own, "far mean"), _ood_lines(own, "far least")
        if means:
            found.append(
                Row("far-OOD images flagged, mean over their kinds", name, len(means), f"{100 * np.mean(means):.1f} %",
                    f"{100 * min(means):.1f} %; lowest of any kind {100 * min(least):.0f} %",
                    "every run at least 95 %, every kind at least 85 %", min(means) >= 0.95 and min(least) >= 0.85)
            )  # fmt: skip
    return found


def _fooling(lines: Sequence[Line]) -> list[Row]:
    return _shares(lines, {"fooling": ("fooling images flagged", 0.95)}, at_most=False)


def _left_out(lines: Sequence[Line]) -> list[Row]:
    found = []
    for _, name, own in _by_set(lines, "left-out"):
        ours = [line["ood"]["auroc"] for line in own if line.get("ood", {}).get("auroc") is not None]
        if ours:
            peers = [line["peers"].get("ood", {}).get("pytorch-ood") for line in own]
            means = {}
            if all(peers):
                means = {k: float(np.mean([p[k] for p in peers])) for k in ("knn", "vim", "energy", "mahalanobis")}
            best = max(means, key=lambda k: means[k]) if means else ""
            words = f"{np.mean(ours):.3f}" + (
                f" (best score of pytorch-ood: {best}, {means[best]:.3f})" if means else ""
            )
            kept = bool(np.mean(ours) >= means[best] - 0.01) if means else None
            required = "at least the best score of pytorch-ood minus 0.01"
            found.append(Row("AUROC for left-out classes", name, len(ours), words, f"{min(ours):.3f}", required, kept))
    return found


def _clean_labels(lines: Sequence[Line]) -> list[Row]:
    found = []
    for _, name, own in _by_set(lines, "clean"):
        shares = [line["issues"]["flagged"] for line in own if line.get("issues")]
        if shares:
            mean = float(np.mean(shares))
            found.append(
                Row("labels flagged in clean data sets", name, len(shares), f"{100 * mean:.2f} %",
                    f"{100 * max(shares):.2f} %", "at most 1 %", mean <= 0.01)
            )  # fmt: skip
    return found


def _noisy_labels(lines: Sequence[Line]) -> list[Row]:
    found = []
    for kind, name, own in _by_set(lines, "symmetric", "confusable"):
        ours = [line["issues"] for line in own if line.get("issues")]
        if not ours:
            continue
        precision, recall, f1 = (np.array([one[k] for one in ours]) for k in ("precision", "recall", "f1"))
        theirs = [line["peers"].get("issues", {}).get("cleanlab") for line in own]
        other = float(np.mean([t["f1"] for t in theirs])) if theirs and all(theirs) else None
        if name in LABEL_NOISE_BARS:
            kept: bool | None = bool(precision.mean() >= 0.9 and recall.mean() >= 0.75)
            required = "precision at least 0.9, recall at least 0.75"
        else:
            kept = None if other is None else bool(f1.mean() >= other)
            required = "F1 at least that of cleanlab on the same probabilities"
        words = f"precision {precision.mean():.2f}, recall {recall.mean():.2f}, F1 {f1.mean():.2f}"
        words += f" (cleanlab {other:.2f})" if other is not None else ""
        worst = f"{precision.min():.2f}, {recall.min():.2f}, {f1.min():.2f}"
        found.append(Row(f"5 % {kind} label noise", name, len(ours), words, worst, required, kept))
    return found


def _panel(lines: Sequence[Line]) -> list[Row]:
    panels = [line for line in lines if line.get("panel")]
    wrong = [f"{line['set']} {line['seed']}: {w}" for line in panels for w in contradictions(line["panel"], line)]
    if not panels:
        return []
    words = f"{len(wrong)}"
    return [
        Row(
            "trust panel entries contradicted by their own numbers",
            "all",
            len(panels),
            words,
            "; ".join(wrong[:3]),
            "0",
            not wrong,
        )
    ]
