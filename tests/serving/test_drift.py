"""Drift in use: the rate of false alarms is at most the stated one whatever the distribution, and shifts are found."""

import json
import logging
import random

import numpy as np
import pytest

from clearsight.ood.drift import KEPT, LEAST, DriftReference, RankTest
from clearsight.serving import drift as module
from clearsight.serving.drift import WEEK, DriftMonitor
from clearsight.serving.metrics import Metrics

RATE = 0.05

SHARES = np.arange(1, 11) / 55


def images(rng, count, shift=0.0, shares=SHARES):
    """Values of so many images: skewed, discrete and heavy-tailed. shift: in deviations, of one signal."""
    return {
        "ood_score": rng.gamma(2, 1, count) + 1.4 * shift, "output": rng.choice(10, count, p=shares).astype(float),
        "brightness": rng.standard_t(3, count),
    }  # fmt: skip


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def monitor(rng, count=200, rate=RATE):
    clock = Clock()
    return DriftMonitor(DriftReference.of(images(rng, count)), rate, Metrics(), clock), clock


def observe(one, values):
    for k in range(len(values["output"])):
        one.observe({name: float(column[k]) for name, column in values.items()})


def alarms(one):
    return {s["signal"] for s in one.to_dict()["signals"] if s["alarm"]}


@pytest.mark.parametrize(("weeks", "most"), [(40, 200), pytest.param(1000, 2000, marks=pytest.mark.long)])
def test_false_alarms_are_as_rare_as_stated(weeks, most, record_property):
    """Weeks on an accelerated clock, each with images of another model."""
    rng, alarmed = np.random.default_rng(0), 0
    for _ in range(weeks):
        one, clock = monitor(rng, int(rng.integers(LEAST, 500)))
        clock.now += WEEK  # the first image begins another week
        observe(one, images(rng, int(rng.integers(20, most))))
        alarmed += bool(alarms(one))
    record_property("alarms", alarmed)
    record_property("weeks", weeks)
    assert alarmed <= RATE * weeks + 2 * np.sqrt(RATE * weeks)


@pytest.mark.parametrize("before", [0, 1000, pytest.param(20_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", ["ood_score", "output", "brightness"])
def test_a_shifted_stream_is_found_within_500_images(before, kind):
    rng = np.random.default_rng(1)
    one, _ = monitor(rng, 500, 0.01)
    observe(one, images(rng, before))
    assert not alarms(one)
    shifted = images(rng, 500, shift=1.0 if kind == "ood_score" else 0.0)
    if kind == "output":
        shifted["output"] = rng.choice(10, 500, p=SHARES[::-1]).astype(float)
    if kind == "brightness":
        shifted["brightness"] *= 2.5
    observe(one, shifted)
    assert alarms(one) == {kind}


def test_the_capital_is_the_product_of_the_bets():
    """Ranks are counted by hand, and the capital is the product of what the bets gain."""
    reference, stream = [1.0, 2.0, 3.0, 4.0] * 10, [2.5, 9.0, 0.0]
    one = RankTest(sorted(reference), seed=3)

    draw, known, shares, capital = random.Random(3), sorted(reference), one._start.copy(), 1.0
    for t, value in enumerate(stream):
        smaller, equal = sum(v < value for v in known), sum(v == value for v in known)
        p = (smaller + draw.random() * (equal + 1)) / (len(known) + 1)
        known.append(value)
        shares = shares * (1 - 1 / (t + 11)) + one._start / (t + 11)
        gained = shares * one._bets.factors(p)  # it has learned from the p-values before this one
        capital *= gained.sum()
        shares = gained / gained.sum()
        one.add(value)
        assert one.log10 == pytest.approx(np.log10(capital))


@pytest.mark.parametrize("reference", [np.arange(100.0), np.repeat([0.0, 1, 5], [10, 60, 30]), np.zeros(50)])
def test_every_bet_is_fair(reference):
    one = RankTest(list(reference))
    for value in np.random.default_rng(0).normal(60, 5, 50):  # the bets that learn have learned something
        one.add(value)
    places = (np.arange(20_000) + 0.5) / 20_000
    assert np.mean([one._bets.factors(p) for p in places], 0) == pytest.approx(1, abs=1e-3)
    assert (one._bets.factors(0.0) > 0).all()
    assert (one._bets.factors(1.0) > 0).all()
    assert one._start.sum() == pytest.approx(1)


def test_time_and_memory_are_bounded(monkeypatch):
    monkeypatch.setattr("clearsight.ood.drift.WHOLE", 100)
    one = RankTest(list(np.arange(50.0)))
    for value in range(5000):
        one.add(value % 50)
    assert one.images == 5000
    assert len(one._ordered) < 50 + 100 * (1 + np.log(50)) + 50
    one.add(float("nan"))
    assert np.isfinite(one.log10)


def test_a_new_week_begins_anew():
    rng = np.random.default_rng(2)
    one, clock = monitor(rng)
    observe(one, images(rng, 300, shift=3))
    assert alarms(one) == {"ood_score"}
    clock.now += WEEK
    assert not alarms(one)
    assert one.to_dict()["signals"][0]["images"] == 0


def test_alarms_are_counted_and_logged_once(caplog):
    rng = np.random.default_rng(3)
    one, _ = monitor(rng)
    logging.getLogger("clearsight.serving").propagate = True
    with caplog.at_level(logging.WARNING, "clearsight.serving"):
        observe(one, images(rng, 400, shift=3))
    (line,) = [r for r in caplog.records if r.getMessage() == "drift"]
    assert line.facts["signal"] == "ood_score"
    assert line.facts["mean"] > line.facts["validation_mean"]
    text = one.metrics.text().decode()
    assert 'clearsight_drift_alarm{signal="ood_score"} 1.0' in text
    assert 'clearsight_drift_alarms_total{signal="ood_score"} 1.0' in text
    assert 'clearsight_drift_alarm{signal="output"} 0.0' in text


def test_without_reference_or_rate_the_reason_is_stated():
    rng = np.random.default_rng(4)
    for one in (DriftMonitor(None, 0.01, Metrics()), monitor(rng, rate=0.0)[0], monitor(rng, LEAST - 1)[0]):
        observe(one, images(rng, 3))
        found = one.to_dict()
        assert found["signals"] == []
        assert found["reason"]


def test_the_reference_is_bounded_and_kept_in_the_card(digits_run):
    assert len(DriftReference.of({"brightness": np.arange(5000.0)}).values["brightness"]) == KEPT
    card = json.loads((digits_run / "model" / "card.json").read_text())
    assert set(card["data"]["monitor"]) == {"ood_score", "output", "brightness"}


def test_the_server_compares_what_it_is_sent(predictor, serving, digits_arrays, png):
    noise = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    with serving(predictor) as client:
        for k in range(0, 60, 15):
            files = [("image", (f"{i}.png", png(noise[i]), "image/png")) for i in range(k, k + 15)]
            assert client.post("/v1/predict", files=files).status_code == 200
        found = client.get("/v1/drift").json()
        assert {s["signal"]: s["images"] for s in found["signals"]} == dict.fromkeys(
            ("ood_score", "output", "brightness"), 60
        )
        assert any(s["alarm"] for s in found["signals"])
        assert "clearsight_drift_log10_capital" in client.get("/metrics").text
    assert module.WORDS.keys() == {s["signal"] for s in found["signals"]}
