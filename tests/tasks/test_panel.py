"""The trust panel: no entry contradicts its own numbers, whatever these are."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom

from clearsight.metrics import wilson_interval
from clearsight.tasks.panel import (
    Check,
    TrustPanel,
    accuracy_entry,
    calibration_entry,
    contradictions,
    coverage_band,
    coverage_entry,
    label_issues_entry,
    ood_entry,
    robustness_entry,
)

TOO_FEW = "too few images"
share = st.floats(0, 1)
images = st.integers(1, 3000)


def counted(draw_n, part):
    return round(draw_n * part)


@given(n=images, right=share, commonest=share)
def test_accuracy_is_kept_where_the_interval_lies_above_the_commonest_class(n, right, commonest):
    k = counted(n, right)
    low, high = wilson_interval(k, n)
    status = accuracy_entry(k / n, (low, high), commonest, "a").status
    assert status == ("kept" if low > commonest else "not kept" if high <= commonest else TOO_FEW)


@given(low=st.floats(0, 0.2), width=st.floats(0, 0.2), loss=st.floats(0, 3), reference=st.floats(0, 3))
def test_calibration_needs_a_small_error_and_a_low_log_loss(low, width, loss, reference):
    status = calibration_entry(low + width / 2, (low, low + width), loss, reference).status
    if loss >= reference or low > 0.03:
        assert status == "not kept"
    else:
        assert status == ("kept" if low + width <= 0.03 else TOO_FEW)


@settings(max_examples=60, deadline=None)
@given(n=images, calibrated=st.integers(20, 3000), covered=share, stated=st.sampled_from([0.8, 0.9, 0.95]))
def test_coverage_is_kept_inside_the_band(n, calibrated, covered, stated):
    k = counted(n, covered)
    status = coverage_entry(stated, k, n, calibrated).status
    place = int(np.ceil((calibrated + 1) * stated - 1e-9))
    band = betabinom(n, place, calibrated + 1 - place)
    inside = band.ppf(0.025) <= k <= band.ppf(0.975)
    few = band.ppf(0.025) / n < stated - 0.1
    assert status == ("not kept" if not inside else TOO_FEW if few else "kept")


def test_sets_that_are_never_empty_may_hold_the_truth_more_often():
    entry = coverage_entry(0.9, 445, 450, 274, 1.0, accuracy=0.985)
    assert entry.status == "kept"
    assert "accuracy is 98.5 %" in entry.required
    assert coverage_entry(0.9, 445, 450, 274, 3.0, accuracy=0.7).status == "not kept"  # larger than they need be


def test_the_band_is_that_of_the_issue():
    """With 274 calibration and 450 test images the expected range is 86 to 94 %."""
    low, high = coverage_band(0.9, 450, 274)
    assert (round(low, 2), round(high, 2)) == (0.85, 0.94)
    assert coverage_band(0.9, 450, 5) == (0.0, 1.0)  # so few promise nothing


@settings(max_examples=60, deadline=None)
@given(n=images, alarms=share, calibrated=st.integers(20, 3000), far=st.none() | share)
def test_out_of_distribution_images(n, alarms, calibrated, far):
    k = counted(n, alarms)
    flagged = None if far is None else (round(200 * far), 200)
    status = ood_entry(k, n, calibrated, 0.05, flagged).status
    low, high = (1 - end for end in reversed(coverage_band(0.95, n, calibrated)))
    if not low <= k / n <= high or (flagged is not None and flagged[0] < 190):
        assert status == "not kept"
    elif flagged is None or high > 0.15:
        assert status == TOO_FEW
    else:
        assert status == "kept"


@given(flagged=st.integers(0, 50), false=st.none() | share)
def test_label_issues(flagged, false):
    status = label_issues_entry(flagged, 100, false).status
    if not flagged:
        assert status == "kept"
    else:
        assert status == (TOO_FEW if false is None else "kept" if false <= 0.1 else "not kept")


@given(before=st.integers(0, 200), part=share)
def test_robustness(before, part):
    status = robustness_entry(before, before * part, 6).status
    if not before:
        assert status == TOO_FEW
    else:
        assert status == "not kept" or wilson_interval(before, before)[1] >= 0.9
        assert (status == "kept") <= (part >= 0.9)
        assert (status == "not kept") <= (part < 0.9)


@given(
    value=share, width=st.floats(0, 0.5), low=st.floats(-1, 1) | st.just(-np.inf),
    span=st.floats(0, 1) | st.just(np.inf),
    beyond=st.booleans(), enough=st.booleans(), measured=st.booleans(),
)  # fmt: skip
def test_no_status_contradicts_its_numbers(value, width, low, span, beyond, enough, measured):
    check = Check("x", value if measured else None, (value - width, value + width), low, low + span, beyond, enough)
    inside = value - width >= low and value + width <= low + span
    outside = value + width < low or value - width > low + span
    if check.status == "kept":
        assert measured
        assert inside
    if check.status == "not kept":
        assert measured
        assert outside or (beyond and value + width <= low)
    if outside and measured:
        assert check.status == "not kept"


def test_a_panel_survives_json_and_says_what_to_do():
    panel = TrustPanel(
        (accuracy_entry(0.9, (0.85, 0.94), 0.5, "cat"), calibration_entry(0.08, (0.05, 0.12), 0.4, 0.69),
         label_issues_entry(3, 100, None))
    )  # fmt: skip
    content = json.loads(json.dumps(panel.to_dict()))
    assert TrustPanel.from_dict(content) == panel
    assert contradictions(content) == []
    assert panel.headline() == "1 of 3 promises kept; not kept: calibration; too few images: label issues"
    assert "-> use the predictions but not the probabilities" in panel.text()
    assert panel["accuracy"].action == ""
    content["entries"][1]["status"] = "kept"
    assert contradictions(content) == ["calibration: stated as kept, but its numbers imply not kept"]
    with pytest.raises(KeyError):
        panel["coverage"]


def test_a_notebook_shows_it():
    shown = TrustPanel((accuracy_entry(0.9, (0.85, 0.94), 0.5, "<b>"),))._repr_html_()
    assert "Trust panel" in shown
    assert "&lt;b&gt;" in shown


@given(n=images, right=share, commonest=share)
def test_so_many_images_decide_as_the_panel_says(n, right, commonest):
    k = counted(n, right)
    entry = accuracy_entry(k / n, wilson_interval(k, n), commonest, "a", images=n)
    check = entry.checks[0]
    assert bool(entry.why) == (entry.status == TOO_FEW)
    if not entry.why:
        return
    assert "of the accuracy is too wide for a decision" in entry.why or "the accuracy is too close to the" in entry.why
    assert check.needed is None or check.needed <= 110 * n  # more would be no advice
    assert check.needed is None or f"about {check.needed:,} images would be needed" in entry.why
    if check.needed and n >= 100 and 0.2 < right < 0.8:  # the square root rule is that of large samples
        more = 2 * check.needed
        assert accuracy_entry(k / n, wilson_interval(round(more * k / n), more), commonest, "a").status != TOO_FEW


@pytest.mark.parametrize("stated", [0.8, 0.9, 0.95])
def test_a_range_that_is_too_wide_says_how_many_images_make_it_informative(stated):
    entry = coverage_entry(stated, round(stated * 12), 12, 12)
    assert entry.status == TOO_FEW
    needed = entry.checks[0].needed
    assert f"about {needed} calibration and {needed} test images would be needed" in entry.why
    assert coverage_entry(stated, round(stated * needed), needed, needed).status == "kept"
    assert coverage_entry(stated, round(stated * needed) // 2, needed // 2, needed // 2).status == TOO_FEW


def test_the_panel_explains_its_words():
    panel = TrustPanel((
        accuracy_entry(0.6, (0.4, 0.8), 0.5, "cat", images=25), ood_entry(5, 100, 100, 0.05, (150, 160)),
        label_issues_entry(0, 100, None),
    ))  # fmt: skip
    text, page = panel.text(), panel._repr_html_()
    assert "about 100 images would be needed, if the value stays the same" in text
    assert "93.8 % of 160 built-in far-OOD images (noise, constant images, patterns and pages of text)" in text
    assert "none of 100 labels flagged, which does not prove that all are correct" in text
    assert "About 100 images" not in page
    assert "The 95 % interval of the accuracy is too wide for a decision: about 100 images would be needed" in page
    assert TrustPanel.from_dict(json.loads(json.dumps(panel.to_dict()))) == panel
