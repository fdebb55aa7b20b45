"""scikit-learn's tools take the classifier as one of their own."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_no_attributes_set_in_init, check_parameters_default_constructible

import clearsight as cs
from clearsight.errors import ConfigError, DataError
from clearsight.train.config import options_by_name


@pytest.fixture(scope="module")
def arrays():
    bunch = load_digits()
    return bunch.images[:600] / 16, bunch.target[:600]


def test_fit_score_and_labels_of_their_own_kind(arrays):
    x, y = arrays
    model = cs.ImageClassifier(epochs=8).fit(x[:500], y[:500])
    assert model.score(x[500:], y[500:]) == np.mean(model.predict(x[500:]) == y[500:]) > 0.4, "chance is 0.1"
    assert model.predict(x[500:510]).dtype == y.dtype
    assert list(model.classes_) == list(range(10))
    assert model.predict_proba(x[500:503]).shape == (3, 10)


def test_a_grid_is_searched_by_cross_validation(arrays):
    x, y = (np.asarray(a[:160]) for a in arrays)
    search = GridSearchCV(cs.ImageClassifier("pixels+softmax"), {"img_size": [4, 8]}, cv=2, refit=False).fit(x, y)
    scores = dict(zip((4, 8), search.cv_results_["mean_test_score"], strict=True))
    assert scores[search.best_params_["img_size"]] == max(scores.values())


def test_clone_keeps_the_parameters():
    model = cs.ImageClassifier("lenet5", img_size=28, epochs=3, resize_mode="pad")
    assert clone(model).get_params() == model.get_params()


def test_every_option_is_a_parameter():
    model = cs.ImageClassifier()
    assert set(model.get_params()) == set(options_by_name())
    assert clone(model.set_params(sched="cosine", mixup=0.2)).get_params() == model.get_params()
    with pytest.raises(TypeError, match="epoch"):
        cs.ImageClassifier(epoch=3)
    with pytest.raises(ValueError, match="Invalid parameter 'epoch'"):
        model.set_params(epoch=3)


def test_parameters_are_kept_as_they_were_given():
    check_parameters_default_constructible("ImageClassifier", cs.ImageClassifier())
    check_no_attributes_set_in_init("ImageClassifier", cs.ImageClassifier())


def test_what_has_no_effect_here_is_refused(arrays):
    x, y = arrays
    with pytest.raises(ConfigError, match="ImageClassifier does not support --out, --auto-fix, --task regression"):
        cs.ImageClassifier(out="here", auto_fix=True, task="regression").fit(x[:40], y[:40])


def test_columns_follow_the_sorted_classes(arrays):
    x, y = arrays
    names = np.array(["c1", "c2", "c10"])[y[:300] % 3]
    model = cs.ImageClassifier("pixels+softmax").fit(x[:300], names)
    assert list(model.classes_) == sorted(set(names)) == ["c1", "c10", "c2"], "natural order is c1, c2, c10"
    assert (model.predict(x[:300]) == names).mean() > 0.5
    assert np.allclose(np.exp(model.predict_log_proba(x[:5])), model.predict_proba(x[:5]))
    signs = cs.ImageClassifier("pixels+softmax").fit(x[:200], np.where(y[:200] > 4, 1, -1))
    assert list(signs.classes_) == [-1, 1]
    assert np.corrcoef(signs.predict_proba(x[:200])[:, 1], y[:200] > 4)[0, 1] > 0.5


def test_one_class_in_two_unicode_forms_is_refused(arrays):
    x, y = arrays
    names = np.array(["caf\u00e9", "cafe\u0301", "tea"])[y[:60] % 3]
    with pytest.raises(DataError, match="several classes have the same name"):
        cs.ImageClassifier("pixels+softmax").fit(x[:60], names)


def test_a_pickled_model_predicts_the_same(arrays):
    x, y = arrays
    model = cs.ImageClassifier("pixels+softmax").fit(x[:200], y[:200])
    content = pickle.dumps(model)
    assert b"safetensors" in content
    assert np.array_equal(pickle.loads(content).predict_proba(x[:20]), model.predict_proba(x[:20]))


def test_not_fitted():
    with pytest.raises(NotFittedError):
        cs.ImageClassifier().predict(np.zeros((1, 8, 8), np.uint8))


def test_labels_that_read_alike_stay_apart(arrays):
    x, y = arrays
    words = np.array(["even", "odd"])[y % 2]
    model = cs.ImageClassifier("lenet5", epochs=1).fit(x[:200], words[:200])
    assert set(model.predict(x[:20])) <= {"even", "odd"}


def test_what_is_no_class_is_refused_in_scikit_learns_words(arrays):
    x, y = arrays
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        cs.ImageClassifier().fit(x[:40], y[:40] + 0.5)
    both = np.stack([y[:40] % 2 == 0, y[:40] % 3 == 0], 1).astype(int)
    with pytest.raises(ValueError, match="Unknown label type: multilabel-indicator"):
        cs.ImageClassifier().fit(x[:40], both)
