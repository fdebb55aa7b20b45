"""What JSON cannot hold becomes what it can."""

import json
import math

import numpy as np
import pytest

from clearsight.json_values import from_json, json_values, to_json


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan"), np.float64("inf")])
def test_numbers_that_are_not_finite_become_null(value):
    assert json.loads(to_json({"a": [value, (1.5, value)], "b": value})) == {"a": [None, [1.5, None]], "b": None}


def test_arrays_scalars_and_keys():
    value = {1: np.array([[1.0, np.nan]]), "n": np.int64(3), "yes": np.bool_(True), "none": None, "s": {"x"}}
    expected = {"1": [[1.0, None]], "n": 3, "yes": True, "none": None, "s": ["x"]}
    assert json_values(value) == expected
    assert to_json(value, indent=None) == json.dumps(expected)


def test_rounding_is_to_significant_digits():
    assert json_values([0.000123456789, 123456.0, 7, math.inf], digits=3) == [0.000123, 123000.0, 7, None]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "", "[1", b"\xff", "1" * 10_000])
def test_a_text_that_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011 - of several messages
        from_json(text)
