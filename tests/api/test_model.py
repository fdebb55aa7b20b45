"""A model as users hold it: its verbs, its predictions, and what a notebook shows of it."""

import gc
import inspect
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

import clearsight as cs
from clearsight.api.model import Model
from clearsight.cli.main import main
from clearsight.errors import ConfigError
from clearsight.tasks.prediction_cards import card_words
from clearsight.tasks.prediction_list import PICTURES, Predictions


@pytest.fixture(scope="module")
def model(digits_run):
    return cs.load(digits_run, engine="torch")


@pytest.fixture(scope="module")
def found(model, digits_arrays):
    return model.predict(digits_arrays[0][:30])


def verbs():
    """The functions of the package whose first parameter is a model."""
    functions = {name: getattr(cs, name) for name in cs.__all__ if inspect.isfunction(getattr(cs, name))}
    return {name: f for name, f in functions.items() if next(iter(inspect.signature(f).parameters), "") == "model"}


def test_every_verb_is_a_method_with_the_same_signature(model):
    assert {"evaluate", "explain", "locate", "attack", "robustness", "visualize", "landscape", "index", "search"} <= {
        *verbs()
    }
    for name, verb in verbs().items():
        theirs, own = inspect.signature(verb), inspect.signature(getattr(model, name))
        assert list(own.parameters.values()) == list(theirs.parameters.values())[1:], name
        assert own.return_annotation == theirs.return_annotation


def test_a_verb_takes_a_run_a_model_and_a_folder(digits_run, reopened, model, digits_arrays):
    others = tuple(part[-100:] for part in digits_arrays)
    scores = {cs.evaluate(one, others).accuracy for one in (digits_run, str(digits_run), reopened(digits_run), model)}
    assert scores == {model.evaluate(others).accuracy}
    assert model.index().folder == digits_run / "index"
    image = digits_arrays[0][:1]
    assert [n.image for n in model.search(image, k=3)] == [n.image for n in cs.search(digits_run, image, k=3)]
    assert model.explain(image, method="saliency", faithfulness=False)[0].method == "saliency"
    assert model.attack(method="fgsm", epsilons=[0.1], images=5).curve.images == 5


def test_a_model_without_a_folder_says_so(model, digits_arrays):
    alone = Model(model.predictor)
    with pytest.raises(ConfigError, match="was not loaded from a folder"):
        alone.index()
    assert alone.evaluate(tuple(part[-20:] for part in digits_arrays), include_training=True).n == 20


def test_predictions_are_a_sequence(found):
    assert isinstance(found, Predictions)
    assert len(found) == 30
    assert found == list(found)
    assert found == tuple(found)
    assert found[:2] == [found[0], found[1]]
    assert found != list(found)[:-1]
    assert isinstance(found[-3:], Predictions)
    assert found[-1] is list(found)[-1]
    assert [one.image for one in found[5:7]] == ["#5", "#6"]


def test_one_image_gives_one_prediction_and_none_is_an_error(model, digits_arrays):
    assert len(model.predict(digits_arrays[0][0])) == 1
    with pytest.raises(cs.ClearsightError, match="no images"):
        model.predict([])


def test_a_table_of_predictions(found, model, digits_arrays):
    table = found.to_frame()
    assert list(table.columns[:4]) == ["image", "label", "probability", "uncertainty"]
    columns = [f"probability_{name}" for name in model.classes]
    np.testing.assert_allclose(table[columns], model.predict_proba(digits_arrays[0][:30]), atol=1e-12)
    assert table["is_ood"].dtype == bool
    assert list(table["prediction_set"]) == [one.set for one in found]
    assert (table["label"] == [one.label for one in found]).all()


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("labels", ["image", "labels", "probability_cat", "probability_dog", "probability_fox", "uncertainty"]),
        ("numbers", ["image", "size", "age", "size_low", "size_high", "age_low", "age_high", "within"]),
        ("direction", ["image", "x", "y", "within"]),
    ],
)
def test_tables_and_pictures_of_other_tasks(answering, noise, kind, columns):
    found = Model(answering(kind)).predict(noise(3))
    assert list(found.to_frame().columns) == [*columns, "ood_percentile", "is_ood"]
    assert found._repr_html_().count("<img") == 3
    assert all(card_words(card) for card in found.cards())


def test_a_task_of_ones_own_is_shown_too(own_run, own_task):
    found = cs.load(own_run, engine="torch").predict(own_task.spotted(2)[0])
    assert len(found.to_frame()) == 2
    assert found._repr_html_().count("<img") == 2


def test_pictures_are_read_when_they_are_shown(model, digits_arrays, tmp_path):
    paths = [tmp_path / f"{k}.png" for k in range(PICTURES + 2)]
    for path, image in zip(paths, digits_arrays[0], strict=False):
        Image.fromarray(image[0]).save(path)
    found = model.predict(paths)
    assert found[PICTURES:]._repr_html_().count("<img") == 2
    paths[0].unlink()
    assert found[:2]._repr_html_().count("<img") == 1


def test_the_pixels_of_an_array_are_not_kept(model):
    large = np.zeros((PICTURES + 1, 1, 1000, 1200), np.uint8)
    found = model.predict(large)
    assert found.items[-1] is None
    assert sum(item.nbytes for item in found.items if item is not None) < 0.2 * large.nbytes


def test_predictions_are_saved(found, tmp_path):
    page = found.save(tmp_path / "out")
    assert {path.name for path in page.parent.iterdir()} == {
        "predictions.html", "predictions.json", "predictions.csv",
    }  # fmt: skip


def test_a_model_is_shown_and_pickled(model, found, digits_arrays):
    html = model._repr_html_()
    assert "Model: digits" in html
    assert "10 classes" in html
    assert "Training" in html
    again = pickle.loads(pickle.dumps(model))
    assert again.folder == model.folder
    assert again.predict(digits_arrays[0][:2]) == found[:2]


def few(digits_arrays):
    images, labels = digits_arrays
    kept = labels < 3
    return images[kept][:180], labels[kept][:180]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory, and a cache beside it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("CLEARSIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "here"


def test_a_run_without_a_folder_lasts_as_long_as_it_is_used(here, digits_arrays):
    images, labels = few(digits_arrays)
    run = cs.fit(images, labels, model="hog+svm")
    folder, home = run.folder, run.folder.parent.parent
    assert list(here.iterdir()) == []
    assert home == here.parent / "cache" / "temporary"
    assert (folder / "report.html").is_file()
    assert run.test.accuracy == run.metrics["test"]["accuracy"]
    assert "accuracy" in repr(run)
    assert "trust panel" in repr(run)
    html = run._repr_html_()
    assert html.count("<img") == len(run.test.pictures)
    assert "Confusion matrix" in html
    assert run.plot()._repr_png_()
    assert run.label_issues.to_dict()["examined"] > 100
    (here / "taken").mkdir()
    (here / "taken" / "file").touch()
    with pytest.raises(cs.ClearsightError, match="already exists"):
        run.save(here / "taken")
    report = run.save(here / "kept")
    assert report == here / "kept" / "report.html"
    assert str(folder) not in report.read_text()
    assert str(here / "kept") in report.read_text()
    model = run.model
    del run
    gc.collect()
    assert folder.exists()  # which the model uses
    del model
    gc.collect()
    assert list(home.iterdir()) == []
    assert cs.load(here / "kept").evaluate((images, labels), include_training=True).n == 180


def test_a_comparison_without_a_folder_leaves_nothing(here, digits_arrays):
    found = cs.compare(few(digits_arrays), candidates=["pixels+softmax"])
    assert cs.load(found.folder / found.standings[0].folder).classes == ("0", "1", "2")
    assert "temporary" not in found.to_dict()
    assert list(here.iterdir()) == []
    del found
    gc.collect()
    assert list((here.parent / "cache" / "temporary").iterdir()) == []


def test_a_training_that_fails_leaves_nothing(here, digits_arrays):
    images, labels = few(digits_arrays)
    with pytest.raises(cs.ClearsightError):
        cs.fit(images[:4], labels[:4], model="hog+svm")
    assert list(here.iterdir()) == []
    assert not list((here.parent / "cache").glob("temporary/*"))


def test_what_a_killed_process_left_is_removed_and_what_is_used_is_not(here):
    from clearsight.data.temporary import TemporaryFolder

    first = TemporaryFolder()
    home = first.path.parent
    (home / "0123.lock").touch()
    (home / "0123").mkdir()
    (home / "0123" / "file").touch()
    second = TemporaryFolder()
    assert {path.name for path in home.iterdir()} == {
        name for one in (first, second) for name in (one.path.name, f"{one.path.name}.lock")
    }
    first.remove()
    assert not first.path.exists()
    assert pickle.loads(pickle.dumps(second)) is None
    shutil.rmtree(second.path)  # by someone else: nothing to do at the end


@pytest.mark.parametrize("group", ["site=A", {}, {"site": "A", "camera": "B"}])
def test_a_group_is_one_column_and_a_value(digits_run, group):
    with pytest.raises(ConfigError, match="group must map a single column to a value; found"):
        cs.load(digits_run).predict(np.zeros((8, 8), np.uint8), group=group)


def test_groups_of_the_table_are_known_after_training(tmp_path, capsys):
    draw = np.random.default_rng(0)
    lines = ["image,label,site"]
    for i in range(120):
        label, site = i % 2, "AB"[i % 3 == 0]
        Image.fromarray((100 * label + draw.integers(0, 100, (12, 12))).astype(np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{'dark' if label == 0 else 'light'},{site}")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    run = cs.fit(tmp_path / "table.csv", model="pixels+softmax", out=tmp_path / "run")
    image = str(tmp_path / "0.png")
    assert run.model.predict(image, group={"site": "A"})[0].set == ("dark",)
    assert main(["predict", str(tmp_path / "run"), image, "--group", "site=B"]) == 0
    assert "at 90 %: dark" in capsys.readouterr().out
    small = run.model.predict(image, group={"site": "B"}, by_class=True, coverage=0.99)
    assert small[0].set == ("dark", "light")
    assert "note: 2 classes (dark and light) have fewer calibration images with site B than the 99" in repr(small)
    assert small.to_frame()["group"].tolist() == ["site=B"]
    assert "they are in every set" in small._repr_html_()
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "run"), image, "--group", "site=B", "--coverage", "0.99"]) == 0
    assert "every set contains all classes, because there are fewer calibration images with" in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "run"), image, "--group", "site=C"]) == 2
    assert "no calibration image has site 'C'; found A, B" in capsys.readouterr().err


def test_a_group_has_no_effect_without_classes(tmp_path, noise):
    run = cs.fit(noise(40), np.linspace(0, 1, 40), model="linear", epochs=1, folds=2, out=tmp_path / "run")
    with pytest.raises(
        ConfigError, match="group has no effect with this model; found a model trained with --task regression"
    ):
        run.model.predict(noise(1), group={"site": "A"})


@pytest.mark.parametrize("asked", [{"by_class": True}, {"sets": "aps"}, {"back_off": 0.8}, {"coverage": 0.8}])
def test_options_of_sets_have_no_effect_where_there_are_none(answering, noise, asked):
    with pytest.raises(
        ConfigError, match=f"{next(iter(asked))} has no effect with this model; found a model trained with"
    ):
        Model(answering("labels")).predict(noise(1), **asked)


def test_all_options_without_effect_are_named_at_once(answering, noise):
    with pytest.raises(ConfigError, match=r"sets, by_class have no effect with this model; found a model trained with"):
        Model(answering("numbers")).predict(noise(1), by_class=True, sets="lac")
    assert "intervals: coverage 80 %" in repr(Model(answering("numbers")).predict(noise(1), coverage=0.8))


def test_sets_that_are_asked_for_are_printed_and_in_the_table(model, digits_arrays):
    images = digits_arrays[0][:3]
    plain, asked = model.predict(images), model.predict(images, coverage=0.99, sets="aps")
    assert "%:" not in repr(plain)
    assert "coverage" not in plain.to_frame()
    assert "prediction sets: coverage 99 %, method aps" in repr(asked)
    assert repr(asked).count("at 99 %: ") == 3
    row = asked[1:].to_frame().iloc[0]
    assert (row["coverage"], row["method"], row["by_class"], row["group"]) == (0.99, "aps", False, None)
    assert "Prediction sets: coverage 99 %, method aps." in asked._repr_html_()
    assert asked.to_dict()["asked"]["coverage"] == 0.99
    assert model.predict(images, sets="lac").asked["coverage"] == 0.9


@pytest.mark.parametrize(("coverage", "fix"), [(95, "Write 0.95 for 95 %"), (1.0, "such as 0.9"), (0, "such as 0.9")])
def test_a_coverage_is_a_share(model, digits_arrays, coverage, fix):
    with pytest.raises(ConfigError, match=f"coverage is out of range; found {coverage:g}; expected a share.*{fix}"):
        model.predict(digits_arrays[0][:1], coverage=coverage)
