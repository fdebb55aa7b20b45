"""A convolution's gradients by hand equal PyTorch's automatic ones."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from clearsight.derivatives.convolution import (
    convolution_matrix,
    correlate,
    input_gradient,
    kernel_gradient,
    output_side,
)

CASES = [  # channels, height, width, outputs, side, stride, padding
    (1, 5, 5, 1, 3, 1, 0),
    (3, 8, 7, 4, 3, 1, 1),
    (2, 9, 8, 3, 3, 2, 1),
    (2, 10, 10, 5, 5, 3, 2),
    (4, 6, 6, 2, 1, 2, 0),
    (1, 7, 7, 2, 2, 2, 3),
]


@pytest.mark.parametrize("case", CASES)
def test_by_hand_equals_autograd(case):
    channels, height, width, outputs, side, stride, padding = case
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(channels, height, width)), rng.normal(size=(outputs, channels, side, side))
    tx, tw = (torch.from_numpy(a).requires_grad_() for a in (x, w))
    y = F.conv2d(tx[None], tw, stride=stride, padding=padding)[0]
    g = rng.normal(size=y.shape)
    y.backward(torch.from_numpy(g))
    np.testing.assert_allclose(correlate(x, w, stride, padding), y.detach(), atol=1e-12)
    np.testing.assert_allclose(input_gradient(g, w, x.shape, stride, padding), tx.grad, atol=1e-12)
    np.testing.assert_allclose(kernel_gradient(g, x, side, stride, padding), tw.grad, atol=1e-12)
    matrix = convolution_matrix(w, x.shape, stride, padding)
    np.testing.assert_allclose((matrix @ x.ravel()).reshape(y.shape), y.detach(), atol=1e-12)
    np.testing.assert_allclose((matrix.T @ g.ravel()).reshape(x.shape), tx.grad, atol=1e-12)


def test_the_matrix_of_a_kernel_of_two_on_three_pixels():
    kernel = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    matrix = convolution_matrix(kernel, (1, 2, 3)).toarray()
    np.testing.assert_array_equal(matrix, [[1, 2, 0, 3, 4, 0], [0, 1, 2, 0, 3, 4]])


def test_the_adjoint_is_the_flipped_kernel():
    """With full padding, A^T is the layer whose kernel is turned by half a turn: scipy's convolution."""
    from scipy.signal import convolve2d

    rng = np.random.default_rng(1)
    kernel, gradient = rng.normal(size=(3, 3)), rng.normal(size=(6, 6))
    found = input_gradient(gradient[None], kernel[None, None], (1, 8, 8))[0]
    np.testing.assert_allclose(found, convolve2d(gradient, kernel), atol=1e-12)


def test_a_kernel_that_does_not_fit():
    assert output_side(7, 3, 2, 1) == 4
    with pytest.raises(ValueError, match="a kernel of size 5 does not fit into an input of size 3"):
        output_side(3, 5)
