"""Batches of tensors from arrays of pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clearsight.data.loader import batches, to_float


@pytest.mark.parametrize(("dtype", "most"), [(np.uint8, 255), (np.uint16, 65535)])
def test_every_value_becomes_its_share_of_the_range(dtype, most):
    values = np.arange(most + 1).astype(dtype)
    out = to_float(values)
    assert out.dtype == torch.float32
    assert np.abs(out.numpy() - values.astype(np.float64) / most).max() < 1e-7
    assert (out[0], out[-1]) == (0, 1)


def test_arrays_that_may_not_be_written(tmp_path):
    """Slices of a memory-mapped cache; PyTorch would warn."""
    np.save(tmp_path / "x.npy", np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for dtype in (np.uint8, np.uint16, np.float32):
        frozen = np.ones((2, 2), dtype)
        frozen.flags.writeable = False
        assert to_float(frozen).shape == (2, 2)
    assert (to_float(mapped[:1]).numpy() * 255).round().astype(int).ravel().tolist() == list(range(12))


def test_pixels_are_never_changed():
    for dtype in (np.uint8, np.uint16):
        values = np.full((2, 2), 7, dtype)
        to_float(values).mul_(0)
        assert (values == 7).all()


def test_batches_in_order():
    pixels = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    got = list(batches(pixels, np.array([9, 3, 5, 0, 7]), 2))
    assert [chosen.tolist() for _, chosen in got] == [[9, 3], [5, 0], [7]]
    assert [(x * 255).round().int().ravel().tolist() for x, _ in got] == [[9, 3], [5, 0], [7]]


def test_shuffled_batches():
    pixels, indices = np.arange(9, dtype=np.uint8).reshape(9, 1, 1, 1), np.arange(9)
    got = [c.tolist() for _, c in batches(pixels, indices, 4, shuffle=np.random.default_rng(0))]
    assert [len(c) for c in got] == [4, 4]  # a last batch of one image is left out
    again = [c.tolist() for _, c in batches(pixels, indices, 4, shuffle=np.random.default_rng(0))]
    assert got == again
    whole = np.concatenate([c for _, c in batches(pixels, indices, 3, shuffle=np.random.default_rng(1))])
    assert sorted(whole.tolist()) == list(range(9))
    assert [c.tolist() for _, c in batches(pixels, indices[:1], 4, shuffle=np.random.default_rng(0))] == [[0]]
