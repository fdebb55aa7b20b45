"""The picture of accuracy against cost."""

import pytest
from PIL import Image

from clearsight.cli.main import main
from clearsight.errors import OutputError
from clearsight.models.catalogue import catalogue
from clearsight.models.imagenet_history import CHALLENGE, EFFICIENTNETS, HUMAN_TOP5_ERROR
from clearsight.models.layer_graph import wiring
from clearsight.models.shape_tracing import no_data
from clearsight.models.zoo import build_model, entry
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
    with pytest.raises(OutputError, match=r"a file name ending in .svg or .png or .pdf"):
        plot_networks(ROWS, tmp_path / "plot.txt")


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("alexnet_grouped", 8),
        ("googlenet_original", 22),
        ("vgg16", 16),
        ("vgg19", 19),
        ("resnet152", 152),
        ("lenet5", 5),
    ],
)
def test_layers_with_weights_on_the_longest_path_as_the_papers_count_them(name, layers):
    with no_data():
        network = build_model(name, classes=10, channels=entry(name).channels)
    side = entry(name).img_size
    depths: list[int] = []
    for node in wiring(network, (entry(name).channels, side, side)):
        before = max((depths[number] for number in node.inputs), default=0)
        depths.append(before + (node.kind in ("Conv2d", "Linear", "DropConnect")))
    assert depths[-1] == layers


def test_the_customary_counts_of_layers_and_the_years():
    """AlexNet's 9 count the softmax layer behind the 8 with weights."""
    counts = {one.name: one.layers for one in CHALLENGE if one.layers}
    assert counts == {"AlexNet": 9, "VGG": 19, "GoogLeNet": 22, "ResNet": 152, "SENet": 154}
    assert [one.year for one in CHALLENGE] == sorted(one.year for one in CHALLENGE)
    for one in CHALLENGE:
        if one.network:
            assert entry(one.network).year == one.year
    assert abs(HUMAN_TOP5_ERROR - 5) < 0.2
    better = [one.name for one in CHALLENGE if one.top5_error < HUMAN_TOP5_ERROR]
    assert better == ["ResNet", "SENet"]


def test_efficientnets_b0_to_b7_and_the_challenge_are_drawn(tmp_path, capsys):
    assert main(["models", "--plot", str(tmp_path / "plot.svg")]) == 0
    text = (tmp_path / "plot.svg").read_text()
    assert [one.name for one in EFFICIENTNETS] == [f"efficientnet_b{n}" for n in range(8)]
    for words in (*(one.name for one in EFFICIENTNETS), "152 layers", "human annotator, 5.1 %", "GoogLeNet"):
        assert f"<!-- {words} -->" in text
    assert "efficientnet_b7" not in {
        r.name for r in frontier([*ROWS, *EFFICIENTNETS])
    }  # vit_b_16 is cheaper and better
    assert "ImageNet challenge" in capsys.readouterr().out
