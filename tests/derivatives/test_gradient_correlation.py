"""Autocorrelations of known noise, gradients against differences, and the published ordering of networks."""

import numpy as np
import pytest
import torch

from clearsight.derivatives.gradient_correlation import (
    DenseNet1d,
    autocorrelation,
    correlation_between,
    gradient_correlation,
    gradients_along,
    noise_autocorrelation,
    settle,
)
from clearsight.errors import ConfigError, ModelError

LAGS = 10


def test_noise_is_near_its_theory():
    """Many independent paths as one vector series: the ratio of the sums nears the ratio of their expectations."""
    rng = np.random.default_rng(0)
    white = rng.normal(size=(200, 4000))
    expected_white, expected_brownian = noise_autocorrelation(200, LAGS)
    np.testing.assert_allclose(autocorrelation(white, LAGS), expected_white, atol=0.01)
    np.testing.assert_allclose(autocorrelation(white.cumsum(0), LAGS), expected_brownian, atol=0.01)
    assert expected_white[1] == pytest.approx(-1 / 200, abs=1e-4)
    assert expected_brownian[1] > 0.95


def test_autocorrelation_by_hand():
    found = autocorrelation(np.array([1.0, 2.0, 4.0, 1.0]), 2)  # mean 2: -1, 0, 2, -1, squares 6
    np.testing.assert_allclose(found, [1, (0 + 0 - 2) / 6, (-2 + 0) / 6])
    assert np.isnan(autocorrelation(np.ones(5), 1)).all()


def test_autocorrelation_is_numpys_correlation():
    x = np.random.default_rng(0).normal(size=64).cumsum()
    centred = x - x.mean()
    full = np.correlate(centred, centred, "full")[63:]
    np.testing.assert_allclose(autocorrelation(x, LAGS), full[: LAGS + 1] / full[0])


@pytest.mark.parametrize("kind", ["plain", "bn", "residual", "scaled"])
def test_gradients_are_slopes(kind):
    network = DenseNet1d(kind, 4, torch.Generator().manual_seed(0), width=20).double()
    x = torch.linspace(-2, 2, 50, dtype=torch.float64)[:, None]
    found = gradients_along(network, x)
    step = 1e-7
    with torch.no_grad():
        slopes = (network(x + step) - network(x - step)) / (2 * step)
    close = np.isclose(found, slopes.numpy(), rtol=1e-4, atol=1e-6)
    assert close.mean() > 0.95  # but for the few points that stand on a kink


def test_normalisation_takes_the_statistics_of_the_line_and_keeps_them():
    network = DenseNet1d("bn", 2, torch.Generator().manual_seed(0), width=20)
    x = torch.linspace(-2, 2, 50)[:, None]
    settle(network, x)
    first = network.layers[0](x)
    np.testing.assert_allclose(network.norms[0].running_mean, first.mean(0).detach(), atol=1e-6)
    together, alone = network(x), torch.cat([network(part) for part in x.split(1)])
    np.testing.assert_allclose(together.detach(), alone.detach(), atol=1e-5)


def test_the_published_ordering():
    """Deep networks without skips give white noise, those with skips do not, and less so with small blocks."""
    found = gradient_correlation((2, 50), kinds=("bn", "residual", "scaled"), networks=3, points=128)
    at = {(row.kind, row.depth): row for row in found.rows}
    assert abs(at["bn", 50].autocorrelation[1:6]).max() < 0.15
    assert at["residual", 50].autocorrelation[1] > at["bn", 50].autocorrelation[1] + 0.2
    assert at["scaled", 50].autocorrelation[1] > at["residual", 50].autocorrelation[1]
    assert at["bn", 2].autocorrelation[1] > 0.9
    again = gradient_correlation((2,), kinds=("bn",), networks=3, points=128)
    assert again.rows[0].autocorrelation.tolist() == at["bn", 2].autocorrelation.tolist()


def test_networks_of_the_registry_between_two_images(digits_arrays):
    images = digits_arrays[0][:2].astype(np.float32) / 255
    found = correlation_between(["mlp", "plain20", "resnet20"], *images, networks=1, points=64, lags=5)
    assert [row.depth for row in found.rows] == [3, 20, 22]
    shallow, plain, residual = (row.autocorrelation[1] for row in found.rows)
    assert shallow > plain
    assert residual > plain


def test_bad_input(digits_arrays):
    with pytest.raises(ConfigError, match="1 or more"):
        gradient_correlation((0,))
    with pytest.raises(ConfigError, match="unknown kind of network 'plane'"):
        gradient_correlation((1,), kinds=("plane",))
    with pytest.raises(ConfigError, match="--networks is 0"):
        gradient_correlation((1,), networks=0)
    with pytest.raises(ConfigError, match="cannot compute 30 lags from 20 points"):
        gradient_correlation((1,), points=20, lags=30)
    with pytest.raises(ModelError, match="resnet21"):
        correlation_between(["resnet21"], *digits_arrays[0][:2].astype(np.float32))
