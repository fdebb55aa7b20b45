"""The offline ImageNet weights know a cat, an espresso and a daisy."""

import numpy as np
import pytest
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_image

import clearsight as cs


@pytest.fixture(scope="module")
def imagenet():
    return cs.load("efficientnet_lite0").predictor


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (data.chelsea, ("cat", "tabby")),
        (data.coffee, ("espresso",)),
        (lambda: load_sample_image("flower.jpg"), ("daisy",)),
    ],
)
def test_top_1(imagenet, picture, words, tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(np.asarray(picture())).save(path)
    answer = imagenet.predict(path)[0]
    assert any(word in answer.label.lower() for word in words), answer.label
