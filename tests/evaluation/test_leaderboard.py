"""The leaderboard: ranked on validation, resumed, reproducible, with the models that could not be trained."""

import json
from dataclasses import replace

import numpy as np
import pytest

import clearsight as cs
from clearsight.errors import CheckpointError, ConfigError, DataError, ModelError, OutputError
from clearsight.evaluation import leaderboard
from clearsight.evaluation.leaderboard import Standing, default_candidates, rank_models
from clearsight.tasks import read

CANDIDATES = ["pixels+softmax", "hog+svm", "pixels+knn"]


@pytest.fixture(scope="module")
def climbed(tmp_path_factory, new_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARSIGHT_CACHE", new_cache())
        out = tmp_path_factory.mktemp("leaderboard") / "out"
        return cs.compare("digits", candidates=CANDIDATES, images=600, out=str(out))


def table(found):
    """All that does not measure time."""
    return [(s.name, s.val_accuracy, s.val_log_loss, s.test_accuracy, s.test_log_loss, s.p_best, s.size) for s in found]


def test_ranked_on_validation_with_intervals_around_the_test(climbed):
    scores = [s.val_accuracy for s in climbed.standings]
    assert scores == sorted(scores, reverse=True)
    assert {s.name for s in climbed.standings} == set(CANDIDATES)
    for s in climbed.standings:
        assert s.test_interval[0] <= s.test_accuracy <= s.test_interval[1]
        assert min(s.train_seconds, s.image_seconds, s.size) > 0
    assert climbed.standings[0].p_best == 1
    assert climbed.advice in CANDIDATES
    assert climbed.why in (climbed.folder / "leaderboard.html").read_text()


def test_every_candidate_is_a_model_like_any_other(climbed):
    for standing in climbed.standings:
        predictor = cs.load(climbed.folder / standing.folder).predictor
        part = read("digits").source
        image = np.asarray(part.images[0])[..., None]
        assert predictor.predict(image)[0].label == "0"


@pytest.mark.long
def test_the_same_seed_gives_the_same_table(climbed, tmp_path):
    again = cs.compare("digits", candidates=CANDIDATES, images=600, out=str(tmp_path / "again"))
    assert table(again.standings) == table(climbed.standings)


def test_an_interrupted_comparison_goes_on(tmp_path, monkeypatch, climbed):
    trained = leaderboard._trained
    asked = []

    def first_only(candidate, *rest):
        asked.append(candidate.name)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return trained(candidate, *rest)

    monkeypatch.setattr(leaderboard, "_trained", first_only)
    with pytest.raises(KeyboardInterrupt):
        rank_models("digits", candidates=CANDIDATES, images=600, out=str(tmp_path / "out"))
    found = rank_models("digits", candidates=CANDIDATES, images=600, out=str(tmp_path / "out"))
    assert asked == [CANDIDATES[0], CANDIDATES[1], CANDIDATES[1], CANDIDATES[2]]
    assert table(found.standings) == table(climbed.standings)


def standing(name, val, seconds):
    return Standing(name, name, val, 0.1, 0.5, (0.4, 0.6), 0.1, 1.0, 1.0, seconds, 1000)


def test_the_advice_is_the_fastest_of_those_as_good_on_validation():
    rng = np.random.default_rng(0)
    best = rng.random(400) < 0.9
    close, far = best.copy(), best.copy()
    close[np.flatnonzero(best)[:12]] = False
    close[np.flatnonzero(~best)[:10]] = True  # 2 images behind, of 22 that differ
    far[np.flatnonzero(best)[:20]] = False
    right = {"slow": best, "quick": close, "poor": far}
    ranked = [standing("slow", 0.9, 1e-2), standing("quick", 0.895, 1e-3), standing("poor", 0.85, 1e-6)]
    advice, why = leaderboard._advice(ranked, right)
    assert advice == "quick"
    assert why.startswith("10.0 times as fast as slow")
    assert leaderboard._advice([ranked[0], standing("quick", 0.895, 8e-3), ranked[2]], right)[0] == "slow"


def test_what_cannot_be_trained_is_left_out_and_reported(tmp_path, digit_folders, monkeypatch):
    trained = leaderboard._trained

    def not_hog(candidate, *rest):
        if candidate.name == "hog+svm":
            raise DataError("the images are smaller than a block of cells")
        return trained(candidate, *rest)

    monkeypatch.setattr(leaderboard, "_trained", not_hog)
    found = cs.compare(str(digit_folders), candidates=["pixels+softmax", "hog+svm"], out=str(tmp_path / "out"))
    assert [s.name for s in found.standings] == ["pixels+softmax"]
    assert found.failed == {"hog+svm": "the images are smaller than a block of cells."}
    assert "smaller than a block" in (tmp_path / "out" / "leaderboard.html").read_text()
    with pytest.raises(ConfigError, match="no model could be trained"):
        cs.compare(str(digit_folders), candidates=["hog+svm"], out=str(tmp_path / "none"))


def test_gray_images_have_no_colour_candidates():
    assert any(candidate.colour for candidate in default_candidates(224))
    names = [candidate.name for candidate in default_candidates(8)]
    assert {"hog+svm", "bow+svm", "fisher+svm", "mlp", "lenet5", "features+knn", "fine-tuned"} <= set(names)
    assert len(names) == len(set(names))


def test_bad_input(tmp_path, climbed):
    with pytest.raises(ConfigError, match="20 or more"):
        rank_models("digits", images=5)
    with pytest.raises(ModelError, match=r"unknown descriptor 'hug'.*Did you mean hu or hog"):
        rank_models("digits", candidates=["hug+svm"], out=str(tmp_path / "a"))
    with pytest.raises(CheckpointError, match=r"options differ from those of the comparison.*seed 1 instead of 0"):
        rank_models("digits", candidates=CANDIDATES, images=600, seed=1, out=str(climbed.folder))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(OutputError, match="already exists"):
        rank_models("digits", candidates=CANDIDATES, out=str(tmp_path / "mine"))
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "all of it"


def test_what_was_measured_is_kept_as_numbers(climbed):
    kept = json.loads((climbed.folder / "comparison.json").read_text())
    assert [s["name"] for s in kept["standings"]] == [s.name for s in climbed.standings]
    assert kept["images"]["train"] + kept["images"]["val"] + kept["images"]["test"] == pytest.approx(600, abs=20)


def test_a_significant_difference_has_a_direction():
    best = replace(standing("best", 0.9, 1.0), test_accuracy=0.8)
    for accuracy, p, words in ((0.9, 0.01, "significantly better"), (0.7, 0.01, "significantly worse"),
                               (0.7, 0.2, "no significant difference")):  # fmt: skip
        other = replace(standing("other", 0.8, 1.0), test_accuracy=accuracy, p_best=p)
        assert other.apart_words(best) == f"{words} (p = {p})"
    assert best.apart_words(best) == "best on validation"
