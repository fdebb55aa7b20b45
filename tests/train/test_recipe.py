"""The plan of a run: which network suits the size of the images, and when a second size is worth a trial."""

from types import SimpleNamespace

import pytest
import torch

from clearsight.data.scan import scan
from clearsight.errors import ConfigError
from clearsight.models.network import headless
from clearsight.tasks import read, task_named
from clearsight.train.config import TrainConfig
from clearsight.train.recipe import SMALL, Recipe, larger_size, plan


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


def planned(short_side, **options):
    scanned = SimpleNamespace(short_side=short_side, digests=("",) * 100)
    return plan(TrainConfig.from_options(**options), scanned)


@pytest.mark.parametrize("img_size", [8, 16, 24, 32, 47])
def test_images_that_are_made_small_get_a_network_for_small_images(img_size):
    recipe = planned(500, img_size=img_size)
    assert (recipe.kind, recipe.model, recipe.img_size) == ("scratch", "resnet8", img_size)
    assert f"too small for a pretrained network (--img-size {img_size}, below {SMALL})" in recipe.decisions[0].why
    headless(recipe.model, 3, img_size, recipe.model_args)(torch.zeros(2, 3, img_size, img_size))  # takes that size


def test_a_size_that_is_large_enough_keeps_the_pretrained_network():
    assert planned(500, img_size=64).kind == "probe"
    assert planned(500).kind == "probe"
    assert planned(20, img_size=224).kind == "scratch"  # enlarging adds nothing
    assert planned(500, img_size=24, pretrained=True).kind == "probe"  # as asked
    with pytest.raises(ConfigError, match=r"found --img-size 24. Drop --img-size"):
        planned(500, img_size=24, freeze="all")
    with pytest.raises(ConfigError, match=r"found a median shorter side of 20 pixels. Add --model efficientnet_lite0"):
        planned(20, freeze="all")


def test_cells_are_named_in_words():
    def words(model):
        return {d.what: d.choice for d in planned(28, model=model).decisions}["descriptor cells"]

    assert words("hog+svm") == "side 3 pixels"
    assert words("bow+svm") == "side 3 pixels, one every 2 pixels"


@pytest.mark.parametrize("argument", ["activation=elu", "activation=relu"])
def test_a_pretrained_network_refuses_what_its_weights_were_not_trained_with(argument, photos):
    key, value = argument.split("=")
    config = TrainConfig.from_options(model="efficientnet_lite0", model_arg={key: value})
    with pytest.raises(ConfigError) as caught:
        plan(config, scan(read(photos)))
    assert f"were not trained with --model-arg {argument}" in str(caught.value)
    assert f"rop {argument}, or add --no-pretrained" in str(caught.value)


@pytest.mark.parametrize("options", [{"dropout": 0.2}, {"activation": "relu6"}])
def test_a_pretrained_network_takes_what_leaves_its_features_alone(options, photos):
    config = TrainConfig.from_options(model="efficientnet_lite0", model_arg=options)
    assert plan(config, scan(read(photos))).model_args == options
