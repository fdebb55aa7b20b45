"""The trust panel: what a model promises, and whether its test images show that it keeps it.

Each entry states numbers with the range that is required of them. Its status follows from these alone, so that no entry
can claim more than its own numbers: kept where every number lies inside its range with its whole confidence interval,
not kept where one lies outside with all of it, and too few images where an interval reaches across the bound or
a number could not be measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

from clearsight.calibration.prediction_sets import coverage_band
from clearsight.metrics import wilson_interval
from clearsight.wording import count, percent, points

Status = Literal["kept", "not kept", "too few images"]
Name = Literal["accuracy", "calibration", "coverage", "ood", "label_issues", "robustness"]

TITLES: dict[str, str] = {
    "accuracy": "Accuracy", "calibration": "Calibration", "coverage": "Coverage of prediction sets",
    "ood": "Out-of-distribution images", "label_issues": "Label issues", "robustness": "Robustness",
}  # fmt: skip

LARGEST_ERROR = 0.03
"""Calibration error up to which probabilities count as calibrated."""

FAR_FLAGGED = 0.95
"""Share of far-OOD images that must be flagged as out of distribution."""

FAR_IMAGES = "built-in far-OOD images (noise, constant images, patterns and pages of text)"
"""What far-OOD images are, for readers."""

FALSE_FLAGS = 0.1
"""Share of flagged labels that may be right."""

RETAINED = 0.9
"""Share of the accuracy that must be left under mild changes of the image."""

CONFIDENCE = 0.95
"""Of all intervals, and of the bands that counts are expected in."""

MORE_IMAGES = "test on more images: `clearsight evaluate RUN DATA`, or train with a larger --test-fraction"
"""What to do where the test images are too few."""

MOST_NEEDED = 1e6
"""Images from which the value is too close to the bound for a number to be named."""

MOST_TIMES = 100
"""Times as many images as there are from which the value is too close to the bound as well."""

WIDEST = 0.1
"""Largest distance of an informative band from the stated coverage or false alarm rate."""


@dataclass(frozen=True)
class Check:
    """A number and the range that it must lie in, `low` to `high`.

    value: None where it was not measured. interval: confidence interval of the value; None for a number that is
    compared as it is, with a band that holds sampling error already. beyond: `low` itself is not enough. enough: there
    are enough images for an informative comparison. needed: about so many images would decide, if the value stays as it
    is; None where that is not known.
    """

    what: str
    value: float | None
    interval: tuple[float, float] | None = None
    low: float = -math.inf
    high: float = math.inf
    beyond: bool = False
    enough: bool = True
    needed: int | None = None

    @property
    def reason(self) -> str:
        """Why the images are too few, and how many would do; nothing where they are enough."""
        if self.status != "too few images":
            return ""
        if self.value is None or not math.isfinite(self.value):
            return f"the {self.what} could not be measured"
        if self.interval is None:
            what, condition = "with so few images, the expected range is too wide for a decision", ""
            number = None if self.needed is None else f"{self.needed:,} calibration and {self.needed:,} test images"
        else:
            what = f"the 95 % interval of the {self.what} is too wide for a decision"
            condition = ", if the value stays the same"
            number = None if self.needed is None else f"{self.needed:,} images"
            if self.needed is None and self._on_bound:
                return f"the {self.what} is too close to the bound for a decision, even with many more images"
        return what if number is None else f"{what}: about {number} would be needed{condition}"

    @property
    def _on_bound(self) -> bool:
        """Whether the value is so near to a bound that no reasonable number of images would decide."""
        if self.value is None or self.interval is None:
            return False
        reach = max(abs(end - self.value) for end in self.interval)
        return min(abs(self.value - self.low), abs(self.value - self.high)) ** 2 * MOST_TIMES < reach**2

    @property
    def status(self) -> Status:
        """Follows from the numbers alone."""
        if self.value is None or not math.isfinite(self.value):
            return "too few images"
        least, most = self.interval or (self.value, self.value)
        above = least > self.low if self.beyond else least >= self.low
        if above and most <= self.high:
            return "kept" if self.enough else "too few images"
        below = most <= self.low if self.beyond else most < self.low
        return "not kept" if below or least > self.high else "too few images"


@dataclass(frozen=True)
class PanelEntry:
    """One promise. words: its numbers. required: what they must be. fix: what to do if it is not kept, or cannot be
    measured; a command in `backquotes`.
    """

    name: Name
    checks: tuple[Check, ...]
    words: str
    required: str
    fix: str = ""
    heading: str = ""

    @property
    def status(self) -> Status:
        """That of the worst check."""
        found = {check.status for check in self.checks}
        if "not kept" in found:
            return "not kept"
        return "too few images" if "too few images" in found or not found else "kept"

    @property
    def title(self) -> str:
        """The name for readers: the heading where there is one."""
        return self.heading or TITLES[self.name]

    @property
    def why(self) -> str:
        """Why there are too few images to decide, and about how many would do; nothing for another status."""
        return (
            "; ".join(check.reason for check in self.checks if check.reason) if self.status == "too few images" else ""
        )

    @property
    def action(self) -> str:
        """What to do; nothing where the promise is kept."""
        return {"kept": "", "not kept": self.fix}.get(self.status, MORE_IMAGES)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; infinite bounds are None."""
        first = self.checks[0] if self.checks else Check("", None)
        checks = [
            {**asdict(c), "low": _finite(c.low), "high": _finite(c.high), "status": c.status} for c in self.checks
        ]
        return {
            "name": self.name, "title": self.title, "status": self.status, "value": first.value,
            "interval": None if first.interval is None else list(first.interval), "words": self.words,
            "required": self.required, "why": self.why, "action": self.action, "fix": self.fix, "heading": self.heading,
            "checks": checks,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> PanelEntry:
        """From what `to_dict` gave; the status is derived anew."""
        checks = tuple(
            Check(
                c["what"], c["value"], None if c["interval"] is None else (c["interval"][0], c["interval"][1]),
                -math.inf if c["low"] is None else c["low"], math.inf if c["high"] is None else c["high"], c["beyond"],
                c["enough"], c.get("needed"),
            )
            for c in content["checks"]
        )  # fmt: skip
        return cls(content["name"], checks, content["words"], content["required"], content["fix"], content["heading"])


@dataclass(frozen=True)
class TrustPanel:
    """The promises of a model that apply to its task, and whether each is kept.

    Example:
        >>> panel = TrustPanel((accuracy_entry(0.9, (0.85, 0.94), 0.5, "cat"),))
        >>> panel["accuracy"].status
        'kept'
    """

    entries: tuple[PanelEntry, ...]

    def __iter__(self) -> Iterator[PanelEntry]:
        return iter(self.entries)

    def __getitem__(self, name: str) -> PanelEntry:
        """The entry of this name; KeyError where it does not apply to the task."""
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(entry.name == name for entry in self.entries)

    @property
    def kept(self) -> int:
        """How many promises are kept."""
        return sum(entry.status == "kept" for entry in self.entries)

    def headline(self) -> str:
        """How many promises are kept, and which are not."""
        words = f"{self.kept} of {count(len(self.entries), 'promise')} kept"
        for status in ("not kept", "too few images"):
            names = [entry.title.lower() for entry in self.entries if entry.status == status]
            if names:
                words += f"; {status}: {', '.join(names)}"
        return words

    def lines(self) -> list[str]:
        """For each entry its numbers and what is required; of those that are not kept also what to do."""
        if not self.entries:
            return []
        titles, statuses = max(len(e.title) for e in self.entries), max(len(e.status) for e in self.entries)
        found = []
        for e in self.entries:
            found.append(f"  {e.title:<{titles}}  {e.status:<{statuses}}  {e.words}")
            found.append(f"      required: {e.required}")
            if e.action:
                found += [f"      {e.why}"] if e.why else []
                found += [f"      -> {e.action.replace('`', '')}"]
        return found

    def text(self) -> str:
        """The headline and the lines."""
        return "\n".join([f"trust panel: {self.headline()}", *self.lines()])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"headline": self.headline(), "entries": [entry.to_dict() for entry in self.entries]}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> TrustPanel:
        """From what `to_dict` gave."""
        return cls(tuple(map(PanelEntry.from_dict, content["entries"])))

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from importlib import import_module

        return str(import_module("clearsight.report.panel_section").panel_fragment(self))


def contradictions(content: Mapping[str, Any]) -> list[str]:
    """Entries of a panel as JSON whose status is not what their own numbers say; none for what `to_dict` gave."""
    found = []
    for entry in content["entries"]:
        derived = PanelEntry.from_dict(entry).status
        if derived != entry["status"]:
            found.append(f"{entry['name']}: stated as {entry['status']}, but its numbers imply {derived}")
    return found


def accuracy_entry(
    value: float,
    interval: tuple[float, float],
    commonest: float,
    name: str,
    without: str = "",
    what: str = "accuracy",
    images: int | None = None,
) -> PanelEntry:
    """The lower bound lies above the share of the most common class. name: of that class. without: which images are
    left out. images: on which the accuracy was measured.
    """
    needed = deciding_images(value, interval, commonest, images)
    return PanelEntry(
        "accuracy",
        (Check(what, value, interval, low=commonest, high=1.0, beyond=True, needed=needed),),
        f"{'' if what == TITLES['accuracy'].lower() else f'{what} '}{percent(value)} ({_span(interval)}){without}",
        f"above {percent(commonest)}, the share of the most common class, ‘{name}’",
        "collect more images of every class and train again; `clearsight doctor RUN` shows whether training went well",
    )


def chance_entry(
    value: float | None,
    interval: tuple[float, float] | None,
    what: str,
    chance: float,
    meaning: str,
    images: int | None = None,
) -> PanelEntry:
    """The lower bound of a score lies above that of chance, in place of accuracy where that means little. meaning: what
    chance is. images: on which the score was measured.
    """
    known = value is not None and interval is not None
    needed = None
    if value is not None and interval is not None:
        needed = deciding_images(value, interval, chance, images)
    words = f"{value:.3f} ({_plain(interval)})" if value is not None and interval is not None else "not measured"
    return PanelEntry(
        "accuracy", (Check(what, value if known else None, interval, chance, 1.0, True, needed=needed),), words,
        f"above {chance:g}, {meaning}", "collect more images and train again", heading=what,
    )  # fmt: skip


def calibration_entry(
    error: float, interval: tuple[float, float], log_loss: float, reference: float, images: int | None = None
) -> PanelEntry:
    """The upper bound of the debiased calibration error is at most 3 points, and the log loss is below that of always
    predicting the class frequencies. images: on which both were measured.
    """
    needed = deciding_images(error, interval, LARGEST_ERROR, images)
    return PanelEntry(
        "calibration",
        (
            Check("debiased calibration error", error, interval, low=0.0, high=LARGEST_ERROR, needed=needed),
            Check("reduction in log loss", reference - log_loss, None, low=0.0, beyond=True),
        ),
        f"calibration error {points(error)} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f}), log loss "
        f"{log_loss:.3f}",
        f"at most {points(LARGEST_ERROR)}, and a log loss below that of the class frequencies ({reference:.3f})",
        "use the predictions but not the probabilities, and train with more validation images",
    )


def coverage_entry(
    stated: float,
    covered: int,
    n: int,
    calibrated_on: int,
    mean_size: float | None = None,
    accuracy: float | None = None,
    what: str = "prediction sets",
) -> PanelEntry:
    """The observed coverage lies in the band that a model with the stated coverage gives for these numbers of
    calibration and test images.

    Sets are never empty, so where the accuracy is above the stated coverage, they must hold the truth more often: then
    only the lower end of the band binds. mean_size: of the sets. accuracy: of the most probable class.
    """
    low, high = coverage_band(stated, n, calibrated_on)
    observed = covered / n if n else None
    certain = accuracy is not None and accuracy >= stated
    size = "" if mean_size is None else f", mean size {mean_size:.2f}"
    seen = "not measured" if observed is None else f"{percent(observed)} of the {what} contain the truth{size}"
    excess = f"; more is allowed because accuracy is {percent(accuracy)}" if certain and accuracy is not None else ""
    return PanelEntry(
        "coverage",
        (
            Check(
                "coverage", observed, None, low=low, high=1.0 if certain else high,
                enough=calibrated_on > 0 and low >= stated - WIDEST, needed=informative_images(stated),
            ),
        ),
        f"{seen} (stated {percent(stated)})",
        f"{percent(low)} to {percent(high)}, expected for {calibrated_on:,} calibration and {n:,} test images{excess}",
        f"collect more images; the {what} are calibrated on validation images, which must come from the same source "
        "as new images",
        heading="" if what == "prediction sets" else f"Coverage of {what}",
    )  # fmt: skip


def ood_entry(
    flagged: int, n: int, calibrated_on: int, allowed: float, far: tuple[int, int] | None = None
) -> PanelEntry:
    """The share of test images that are flagged lies in the band of the stated false alarm rate, and at least 95 % of
    far-OOD images are flagged. far: how many of how many; None where they were not tried.
    """
    alarms, words, required = _false_alarms(flagged, n, calibrated_on, allowed, "test images")
    share = None if far is None else far[0] / far[1]
    tried = (
        "far-OOD images not tested" if share is None or far is None else f"{percent(share)} of {far[1]:,} {FAR_IMAGES}"
    )
    return PanelEntry(
        "ood",
        (alarms, Check("share of far-OOD images flagged", share, None, low=FAR_FLAGGED, high=1.0)),
        f"flagged: {words}, {tried}",
        f"{required}; at least {percent(FAR_FLAGGED)} of far-OOD images",
        "do not rely on the flag alone, and train with more validation images",
    )


def false_alarms_entry(flagged: int, n: int, calibrated_on: int, allowed: float) -> PanelEntry:
    """The share of normal images that are called anomalies lies in the band of the stated rate."""
    alarms, words, required = _false_alarms(flagged, n, calibrated_on, allowed, "normal images")
    return PanelEntry(
        "ood", (alarms,), words, required,
        "collect more normal images from the same source as the images to be predicted, and train again",
        heading="False alarms",
    )  # fmt: skip


def _false_alarms(flagged: int, n: int, calibrated_on: int, allowed: float, what: str) -> tuple[Check, str, str]:
    below, above = coverage_band(1 - allowed, n, calibrated_on)
    low, high = 1 - above, 1 - below
    share = flagged / n if n else None
    check = Check(
        "false alarm rate", share, None, low=low, high=high, enough=calibrated_on > 0 and high <= allowed + WIDEST,
        needed=informative_images(1 - allowed),
    )  # fmt: skip
    words = "not measured" if share is None else f"{percent(share)} of {what} (stated {percent(allowed)})"
    return (
        check,
        words,
        f"{percent(low)} to {percent(high)}, expected for {calibrated_on:,} calibration and {n:,} {what}",
    )


def label_issues_entry(flagged: int, examined: int, false_share: float | None) -> PanelEntry:
    """The expected share of flagged labels that are right is at most a tenth. false_share: None where it is not known;
    without flags it is 0.
    """
    share = 0.0 if not flagged else false_share
    expected = "unknown" if share is None else percent(share)
    return PanelEntry(
        "label_issues",
        (Check("expected false discovery rate", share, None, low=0.0, high=FALSE_FLAGS, enough=examined > 0),),
        f"{flagged:,} of {count(examined, 'label')} flagged; expected false discovery rate: {expected}"
        if flagged
        else f"none of {examined:,} labels flagged, which does not prove that all are correct",
        f"at most {percent(FALSE_FLAGS)} of the flags are false",
        "inspect the flagged images before you exclude any",
    )


def robustness_entry(right_before: int, right_after: float, changes: int) -> PanelEntry:
    """At least nine tenths of the accuracy are left under mild changes. right_before: images predicted rightly as they
    are. right_after: how many of these still are, on average over so many changes.
    """
    share = right_after / right_before if right_before else None
    # a mean over several changes varies less than one change, so the interval is on the safe side
    interval = None if share is None else _around(share, right_before)
    needed = None
    if share is not None and interval is not None:
        needed = deciding_images(share, interval, RETAINED, right_before)
    measured = "not measured" if share is None or interval is None else f"{percent(share)} ({_span(interval)})"
    return PanelEntry(
        "robustness",
        (Check("share of correct predictions retained", share, interval, low=RETAINED, high=1.0, needed=needed),),
        f"correct predictions that stay correct under {count(changes, 'mild change')}: {measured}",
        f"at least {percent(RETAINED)}",
        "`clearsight robustness RUN` shows which changes cause mistakes; train with --augment strong",
    )


def deciding_images(value: float, interval: tuple[float, float], bound: float, images: int | None) -> int | None:
    """About how many images would give an interval that does not reach across a bound, if the value stays the same: its
    width shrinks with the square root of their number. None where it does not reach there, or the value is so
    near that many times as many images would not be enough.

    Example:
        >>> deciding_images(0.6, (0.4, 0.8), 0.5, 25)  # half as wide with four times as many
        100
    """
    if images is None or abs(value - bound) < 1e-6 or not interval[0] <= bound <= interval[1]:
        return None
    side = interval[0] if bound < value else interval[1]
    needed = ((value - side) / (value - bound)) ** 2 * images
    return _two_digits(needed) if needed < min(MOST_NEEDED, MOST_TIMES * images) else None


@cache
def informative_images(stated: float) -> int:
    """About how many calibration images, and as many test images, give a range that is informative."""
    number = 20
    while coverage_band(stated, number, number)[0] < stated - WIDEST:
        number += 10
    return number


def _two_digits(number: float) -> int:
    """Rounded up to two digits."""
    digits = int(10 ** max(0, math.floor(math.log10(number)) - 1))
    return math.ceil(number / digits - 1e-9) * digits


def _around(share: float, n: int) -> tuple[float, float]:
    """Wilson's interval of a share that need not be a whole number of n."""
    below, above = math.floor(share * n), math.ceil(share * n)
    low, high = wilson_interval(below, n)[0], wilson_interval(above, n)[1]
    return min(low, share), max(high, share)


def _span(interval: tuple[float, float]) -> str:
    return " to ".join(map(percent, interval))


def _plain(interval: tuple[float, float]) -> str:
    return " to ".join(f"{end:.3f}" for end in interval)


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None
