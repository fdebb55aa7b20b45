"""The plan of a run: when a second input size is worth a trial."""

from types import SimpleNamespace

import pytest

from clearsight.tasks import task_named
from clearsight.train.config import TrainConfig
from clearsight.train.recipe import Recipe, larger_size


def size(side, model="efficientnet_lite0", kind="probe", task="classification", **options):
    recipe, config = Recipe(kind, model, {}, 224, ()), TrainConfig.from_options(task=task, **options)
    return larger_size(recipe, config, SimpleNamespace(short_side=side), task_named(task))


def test_a_larger_input_is_tried_where_images_fill_it_and_the_budget_allows():
    assert size(300, budget="20m") == 288
    assert size(4000, budget="20m") == 288  # a third more than the weights' size at most
    assert size(256, budget="20m") is None  # hardly larger
    assert size(200, budget="20m") is None
    assert size(300, budget="5m") is None
    assert size(300) is None


def test_the_users_size_stands():
    assert size(300, budget="20m", img_size=224) is None
    assert size(300, budget="20m", task="anomaly") is None


@pytest.mark.parametrize("recipe", [{"kind": "scratch"}, {"model": "timm/vit_tiny_patch16_224"}])
def test_only_weights_that_fit_any_size_are_tried_at_another(recipe):
    assert size(300, budget="20m", **recipe) is None
