"""Every copy of a template: scores against NumPy and scikit-image, and generated scenes whose copies are known."""

import json
import math
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.feature import match_template

from clearsight.classical.copies import Copy, masked_scores, match_all, turned
from clearsight.cli.main import main
from clearsight.errors import ConfigError, DataError

TEMPLATES = (data.astronaut()[20:100, 180:244], data.chelsea()[90:150, 120:190], data.coffee()[110:180, 250:330])
GROUNDS = (data.gravel, data.grass, data.brick)
SCALES = (0.5, 1.6)


@dataclass(frozen=True)
class Pasted:
    """What was pasted: its centre, scale, turn, and half its diagonal."""

    x: float
    y: float
    scale: float
    turn: float
    reach: float


def gray(picture):
    return (picture.mean(2) / 255).astype(np.float32)


def pasted(scene, piece, rng, taken):
    """The scene with a piece at a free place, at a random size, turn and light, drawn by OpenCV; None where none is."""
    (h, w), (height, width) = piece.shape, scene.shape
    scale = math.exp(rng.uniform(*np.log(SCALES)))
    turn, reach = rng.uniform(-180, 180), scale * math.hypot(h, w) / 2
    if 2 * reach > min(height, width) - 4:
        return None
    x, y = rng.uniform(reach, width - reach), rng.uniform(reach, height - reach)
    if any(math.hypot(x - other.x, y - other.y) < reach + other.reach + 1 for other in taken):
        return None
    how = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), turn, scale)
    how[:, 2] += x - 0.5 - (w - 1) / 2, y - 0.5 - (h - 1) / 2
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    drawn = cv2.warpAffine(piece * rng.uniform(0.6, 1) + rng.uniform(0, 0.2), how, (width, height), flags=flags)
    mask = cv2.warpAffine(np.ones((h, w), np.float32), how, (width, height))
    return scene * (1 - mask) + drawn * mask, Pasted(x, y, scale, turn, reach)


def scene(seed):
    """A picture of 1 to 8 copies and 3 other pieces on a texture, with noise; the template; where the copies are."""
    rng = np.random.default_rng(seed)
    templates = [gray(t) for t in TEMPLATES]
    picture = (GROUNDS[seed // 3 % 3]()[:360, :480] / 255).astype(np.float32)
    template, copies, others = templates[seed % 3], [], []
    wanted = int(rng.integers(1, 9))
    for _ in range(2000):
        missing = len(copies) < wanted
        if not missing and len(others) == 3:
            break
        piece = template if missing else templates[(seed + 1 + len(others) % 2) % 3]
        if (done := pasted(picture, piece, rng, copies + others)) is not None:
            picture = done[0]
            (copies if missing else others).append(done[1])
    noisy = np.clip(picture + rng.normal(0, 0.03, picture.shape), 0, 1).astype(np.float32)
    return noisy, template, copies


def hits(found, copies):
    """Copies that were found: the centre within a tenth of the diagonal, the size within 15 %, the turn within 10°."""
    left = list(copies)
    for one in found:
        for true in left:
            turn = abs((one.turn - true.turn + 180) % 360 - 180)
            near = math.hypot(one.x - true.x, one.y - true.y) < 0.2 * true.reach
            if near and turn < 10 and abs(math.log(one.scale / true.scale)) < 0.15:
                left.remove(true)
                break
    return len(copies) - len(left)


def recall_and_precision(seeds):
    right = there = found_all = 0
    for seed in seeds:
        picture, template, copies = scene(seed)
        found = match_all(picture, template, scales=SCALES, turns=180)
        right, there, found_all = right + hits(found, copies), there + len(copies), found_all + len(found)
    return right / there, right / found_all


def test_copies_of_any_size_and_turn_are_found():
    assert min(recall_and_precision(range(2))) >= 0.95


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_copies_in_thirty_scenes():
    recall, precision = recall_and_precision(range(30))
    assert recall >= 0.95
    assert precision >= 0.95


def test_scores_under_a_mask_are_numpys():
    rng = np.random.default_rng(0)
    f, t = rng.random((12, 15, 3), np.float32), rng.random((5, 6, 3), np.float32)
    m = (rng.random((5, 6)) < 0.6).astype(np.float32)
    scores = masked_scores(f, t, m)
    assert scores.shape == (8, 10)
    for row, column in ((0, 0), (3, 7), (7, 9)):
        window = f[row : row + 5, column : column + 6][m == 1]
        a, b = (part - part.mean(0) for part in (window, t[m == 1]))
        expected = (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())
        assert scores[row, column] == pytest.approx(expected, abs=1e-5)


def test_scores_under_a_full_mask_are_scikit_images():
    coins = data.coins().astype(np.float32) / 255
    template = coins[100:140, 60:110]
    scores = masked_scores(coins[..., None], template[..., None], np.ones(template.shape, np.float32))
    np.testing.assert_allclose(scores, match_template(coins, template), atol=1e-3)


def test_a_quarter_turn_is_exact():
    t = np.random.default_rng(0).random((7, 4, 1), np.float32)
    picture, mask = turned(t, 90)
    np.testing.assert_allclose(picture, np.rot90(t), atol=1e-5)
    assert mask.all()
    assert turned(t, 30)[1].mean() < 1


def test_corners_of_a_turned_copy():
    """By hand: a quarter turn counter-clockwise takes the upper left corner to the lower left."""
    np.testing.assert_allclose(Copy(10, 20, 4, 2, 1, 0, 1).corners, [[8, 19], [12, 19], [12, 21], [8, 21]])
    np.testing.assert_allclose(Copy(10, 20, 4, 2, 1, 90, 1).corners, [[9, 22], [9, 18], [11, 18], [11, 22]], atol=1e-9)


def test_plain_copies_are_found_at_their_pixel_and_not_twice():
    coins = data.coins().astype(np.float32) / 255
    template = coins[100:140, 60:110].copy()
    picture = coins.copy()
    picture[200:240, 200:250] = template * 0.5 + 0.2
    found = match_all(picture, template, score=0.95)  # other coins look like it too
    assert [(one.x, one.y) for one in found] in ([(85, 120), (225, 220)], [(225, 220), (85, 120)])
    assert all(one.score == pytest.approx(1, abs=1e-3) for one in found)
    assert {(one.scale, one.turn) for one in found} == {(1, 0)}


def test_nothing_is_found_where_nothing_is():
    assert match_all(np.zeros((60, 60)), gray(TEMPLATES[0])[:20, :20], scales=SCALES, turns=180) == ()
    assert match_all(np.random.default_rng(0).random((60, 60)), np.ones((8, 8))) == ()


@pytest.mark.parametrize(
    "options", [{"scales": (2, 1)}, {"scales": (0, 1)}, {"turns": 181}, {"score": 1.0}, {"overlap": -0.1}]
)
def test_ranges_that_cannot_be(options):
    with pytest.raises(ConfigError, match="invalid options for the template search"):
        match_all(np.zeros((60, 60)), np.ones((8, 8)), **options)
    with pytest.raises(DataError, match="larger than the image"):
        match_all(np.zeros((6, 6)), np.ones((8, 8)))


def test_on_the_command_line(tmp_path, capsys):
    whole = data.astronaut()[:200, 100:320]
    Image.fromarray(whole).save(tmp_path / "whole.png")
    Image.fromarray(whole[30:70, 90:130]).save(tmp_path / "piece.png")
    words = ["match", str(tmp_path / "whole.png"), str(tmp_path / "piece.png")]
    turned_words = ["--all", "--scales", "0.9,1.1", "--turns", "20", "--json"]
    assert main([*words, *turned_words]) == 0
    (copy,) = (answer := json.loads(capsys.readouterr().out))["copies"]
    assert (copy["x"], copy["y"]) == pytest.approx((110, 50), abs=0.5)
    assert copy["turn"] == pytest.approx(0, abs=1.5)
    assert answer["picture"].endswith("whole.match.png")
    assert main([*words, "--all", "--score", "0.95"]) == 0
    assert "  1    110.0     50.0   1.00    0.0  1.000" in capsys.readouterr().out
    for wrong, text in (
        (["--turns", "5"], "--all is required for --turns. Add --all"),
        (["--all", "--raw"], "Drop --raw or --all"),
        (["--all", "--scales", "half"], "--scales is invalid; found 'half'; expected LOW,HIGH, such as 0.5,2"),
    ):
        assert main([*words, *wrong]) == 2
        assert text in capsys.readouterr().err
