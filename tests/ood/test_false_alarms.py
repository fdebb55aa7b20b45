"""False alarms by class or group."""

import numpy as np

from clearsight.metrics import wilson_interval
from clearsight.ood.false_alarms import false_alarm_rates


def test_by_hand():
    flagged = np.array([True, True, False, False, False, True])
    found = false_alarm_rates(flagged, np.array(["b", "b", "b", "a", "a", "c"]))
    assert [(r.name, r.n, r.flagged) for r in found] == [("c", 1, 1), ("b", 3, 2), ("a", 2, 0)]
    assert found[1].rate == 2 / 3
    assert found[1].interval == wilson_interval(2, 3)
    assert found[2].summary() == {"name": "a", "n": 2, "rate": 0.0, "interval": list(wilson_interval(0, 2))}


def test_groups_by_position():
    found = false_alarm_rates(np.array([False, True]), np.array([2, 0]), ("x", "y", "z"))
    assert [r.name for r in found] == ["x", "z"]
