"""The sheet of heatmaps says what its colours mean."""

import numpy as np
import pytest

from clearsight.report.components.map_colours import colour_scale, colours


@pytest.mark.parametrize(("heat", "ends"), [
    (np.linspace(-1, 1, 101)[None], ("lowers the output", "raises the output")),
    (np.linspace(0, 1, 101)[None], ("weakest", "strongest")),
])  # fmt: skip
def test_the_scale_has_the_colours_of_the_map(heat, ends):
    bar, *words = colour_scale(heat, 101, 4)
    assert tuple(words) == ends
    assert bar.shape == (4, 101, 3)
    drawn = colours(heat)[0]  # its strongest percentile is drawn as one colour
    assert np.abs(bar[0] - drawn)[3:-3].max() < 0.05
    (blue, white, red) = bar[0, 0], bar[0, 50], bar[0, -1]
    if heat.min() < 0:
        assert blue[2] > blue[0] + 0.2
        assert red[0] > red[2] + 0.2
        assert white.min() > 0.9


def test_the_sheet_holds_a_scale_below_each_map(digits_run, digits_arrays):
    import clearsight as cs
    from clearsight.report.heatmaps import SCALE_HEIGHT, SCALE_WIDTH, heat_sheet

    found = cs.explain(digits_run, digits_arrays[0][:1], method="occlusion", faithfulness=False)
    sheet = heat_sheet(list(found))
    bar = np.round(colour_scale(found[0].heat, SCALE_WIDTH, SCALE_HEIGHT)[0] * 255) / 255
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (1, SCALE_WIDTH, 3))[:, :, 0, 0]
    assert (np.abs(windows - bar[0]).max((2, 3)) < 0.01).any(1).sum() == SCALE_HEIGHT
