"""Layer arithmetic against hand-worked numbers, PyTorch's own layers."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from clearsight.errors import ModelError
from clearsight.models import arithmetic as a


def test_output_size_by_hand() -> None:
    assert a.output_size(7, 3) == 5  # (7-3)/1+1
    assert a.output_size(7, 3, stride=2) == 3  # (7-3)/2+1
    assert a.output_size(227, 11, stride=4) == 55  # AlexNet's first layer
    assert a.output_size(224, 7, stride=2, padding=3, rounding="down") == 112  # ResNet's first layer
    assert a.output_size(112, 3, stride=2, rounding="up") == 56  # GoogLeNet's first pooling


def test_stride_that_does_not_fit_is_explained() -> None:
    with pytest.raises(ModelError) as caught:
        a.output_size(7, 3, stride=3)
    text = str(caught.value)
    assert "(7-3)/3+1 is not an integer: 4 pixels are not divisible by a stride of 3" in text
    assert "Use an input of 6 or 9 pixels, or a stride of 1 or 2 or 4" in text


def test_suggested_sizes_and_strides_fit() -> None:
    assert a.output_size(6, 3, stride=3) == 2
    assert a.output_size(9, 3, stride=3) == 3
    assert [a.output_size(7, 3, stride=s) for s in (1, 2, 4)] == [5, 3, 2]


def test_filter_larger_than_the_image_is_explained() -> None:
    words = r"\(4-11\+2\*2\)/4\+1 is below 1: a filter of 11 pixels does not fit into an input of 8 pixels, padding"
    with pytest.raises(ModelError, match=words):
        a.output_size(4, 11, stride=4, padding=2)


def test_impossible_values_are_refused() -> None:
    with pytest.raises(ModelError, match="sizes must be positive"):
        a.output_size(7, 3, stride=0)
    with pytest.raises(ModelError, match="found 'nearest'"):
        a.output_size(7, 3, rounding="nearest")


@pytest.mark.parametrize("size", range(3, 14))
@pytest.mark.parametrize(("side", "stride", "padding"), [(1, 1, 0), (3, 1, 1), (3, 2, 1), (3, 3, 0), (2, 2, 0)])
def test_output_size_is_pytorchs(size: int, side: int, stride: int, padding: int) -> None:
    image = torch.zeros(1, 1, size, size)
    down = F.conv2d(image, torch.zeros(1, 1, side, side), stride=stride, padding=padding)
    assert a.output_size(size, side, stride=stride, padding=padding, rounding="down") == down.shape[-1]
    up = F.max_pool2d(image, side, stride, padding if 2 * padding <= side else 0, ceil_mode=True)
    assert a.output_size(size, side, stride=stride, padding=padding, rounding="up") == up.shape[-1]


def test_padding_that_keeps_the_size() -> None:
    for side in (1, 3, 5, 7, 11):
        assert a.output_size(32, side, padding=a.same_padding(side)) == 32
    with pytest.raises(ModelError, match=r"\(4-1\)/2 is not an integer.*filter of 3 or 5"):
        a.same_padding(4)


def test_receptive_field_by_hand() -> None:
    field = a.ReceptiveField()
    for side, stride, expected in ((7, 2, 7), (3, 2, 11), (3, 1, 19)):  # ResNet: stem, pooling, first 3x3
        field = field.through(side, stride)
        assert field.side == expected
