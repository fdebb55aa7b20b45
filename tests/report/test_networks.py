"""The picture of accuracy against cost."""

import pytest
from PIL import Image

from clearsight.cli.main import main
from clearsight.errors import OutputError
from clearsight.models.catalogue import catalogue
from clearsight.report.networks import frontier, plot_networks

ROWS = [row for row in catalogue() if row.top1 is not None]


def test_the_frontier_rises_and_nothing_cheaper_beats_it():
    front = frontier(ROWS)
    assert [r.top1 for r in front] == sorted({r.top1 for r in front})
    for member in front:
        assert not any(r.multiply_adds <= member.multiply_adds and r.top1 > member.top1 for r in ROWS)
    assert {"efficientnet_lite0", "vit_b_16"} <= {r.name for r in front}


def test_every_name_is_written(tmp_path):
    text = plot_networks(ROWS, tmp_path / "plot.svg").read_text()
    for row in ROWS:
        assert f"<!-- {row.name} -->" in text


def test_the_command_writes_a_picture(tmp_path, capsys):
    assert main(["models", "--plot", str(tmp_path / "plot.png")]) == 0
    assert str(tmp_path / "plot.png") in capsys.readouterr().out
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").quantize(64).getcolors()) > 10


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"a name ending in .svg, .png, .pdf"):
        plot_networks(ROWS, tmp_path / "plot.txt")
