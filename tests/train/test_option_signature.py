"""Options as real parameters: the typed dictionaries and the signatures agree with the dataclasses."""

import inspect
from types import UnionType
from typing import Union, get_args, get_origin, get_type_hints

import clearsight as cs
from clearsight.train.config import TrainConfig, option_types, options_by_name
from clearsight.train.option_signature import Options


def kinds(hint):
    return set(get_args(hint)) if get_origin(hint) in (Union, UnionType) else {hint}


def test_the_typed_dictionary_has_every_option_with_its_type():
    types, own = option_types(), get_type_hints(Options)
    assert set(own) == set(options_by_name())
    for name, hint in own.items():
        assert kinds(types[name]) <= kinds(hint), name


def test_fit_has_every_option_with_its_default():
    parameters = inspect.signature(cs.fit).parameters
    defaults = {**TrainConfig().options(), "model_arg": None, "min_precision": None, "min_recall": None}
    assert list(parameters)[:3] == ["data", "labels", "console"]
    assert {name: p.default for name, p in parameters.items() if name in defaults} == defaults
    assert {p.kind for p in list(parameters.values())[2:]} == {inspect.Parameter.KEYWORD_ONLY}
