"""First weights, as they were set by hand."""

import numpy as np
import pytest
import torch

from clearsight.errors import ModelError
from clearsight.feature_vis import first_filters


def test_filters_are_the_weights_of_the_first_convolution(small):
    small.network.body.conv1.weight.data[3, 0] = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    found = first_filters(small)
    assert (found.layer, found.weights.shape, found.classes) == ("conv1", (8, 1, 3, 3), ())
    np.testing.assert_array_equal(found.weights[3, 0], [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    assert found.to_dict()["norms"][3] == pytest.approx(12**0.5)


def test_a_linear_classifier_has_a_template_per_class(made):
    """With the template of a class at a class's own image alone, the logit is the sum over that template."""
    predictor = made("linear", channels=3, side=5, classes=4)
    found = first_filters(predictor)
    assert found.classes == predictor.classes
    assert found.weights.shape == (4, 3, 5, 5)
    image = np.random.default_rng(0).random((1, 3, 5, 5), np.float32)
    bias = predictor.network.body.fc.bias.detach().numpy()
    np.testing.assert_allclose((found.weights * image).sum((1, 2, 3)) + bias, predictor.logits(image)[0], atol=1e-5)


def test_a_dense_first_layer_of_several_has_pictures_without_classes(made):
    found = first_filters(made("mlp", side=6, widths=[3]))  # as many units as classes
    assert found.weights.shape == (3, 1, 6, 6)
    assert found.classes == ()


def test_weights_that_are_no_pictures(made, small):
    torch.manual_seed(0)
    predictor = made("mlp", side=6)
    predictor.network.body = torch.nn.Sequential(torch.nn.AvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(9, 3))
    with pytest.raises(ModelError, match="9 weights per unit"):
        first_filters(predictor)
