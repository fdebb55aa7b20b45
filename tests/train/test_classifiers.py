"""Classifiers as heads answer as scikit-learn's do, and survive being saved."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import Perceptron
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC, LinearSVC

from clearsight.models.classical import CLASSIFIERS
from clearsight.models.heads import build_head, intersection
from clearsight.train.classifiers import SETTINGS, fit_classifier
from clearsight.train.head_search import Targets

X, Y = load_digits(return_X_y=True)
X = X.astype(np.float32) / 16
WEIGHTS = np.ones(len(Y), np.float32)


def targets(rows, classes=10):
    return Targets(Y[rows].astype(np.int64), WEIGHTS[rows], classes)


def learn(name, rows, setting=None, classes=10):
    return fit_classifier(name, X[rows], targets(rows, classes), setting or SETTINGS[name][0], seed=0)


def standard(fit, val_rows):
    mean, std = X[fit].mean(0), X[fit].std(0)
    std = np.where(std > 1e-6, std, 1)
    return (X[fit] - mean) / std, (X[val_rows] - mean) / std


FIT, VAL = np.arange(1000), np.arange(1000, 1700)
TWO_FIT, TWO_VAL = FIT[Y[FIT] < 2], VAL[Y[VAL] < 2]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier_learns_digits_and_can_be_built_again(name):
    setting = {"rounds": 20, "rate": 0.2} if name == "boosting" else None
    spec, head = learn(name, FIT, setting)
    with torch.inference_mode():
        logits = head(torch.from_numpy(X[VAL]))
        again = build_head(spec)
        again.load_state_dict(head.state_dict())
        assert torch.equal(again(torch.from_numpy(X[VAL])), logits)
    assert torch.isfinite(logits).all()
    assert (logits.argmax(1).numpy() == Y[VAL]).mean() > 0.8


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("classes", [2, 3])
def test_two_classes_and_one_without_images(name, classes):
    setting = {"rounds": 10, "rate": 0.2} if name == "boosting" else None
    _, head = learn(name, TWO_FIT, setting, classes)
    with torch.inference_mode():
        logits = head(torch.from_numpy(X[TWO_VAL]))
    assert logits.shape == (len(TWO_VAL), classes)
    assert (logits.argmax(1).numpy() == Y[TWO_VAL]).mean() > 0.93


def answers(name, fit, val_rows, setting):
    head = learn(name, fit, setting, len(np.unique(Y[fit])))[1]
    with torch.inference_mode():
        return head(torch.from_numpy(X[val_rows])).numpy()


@pytest.mark.parametrize(("fit", "val_rows"), [(FIT, VAL), (TWO_FIT, TWO_VAL)])
def test_kernel_machine(fit, val_rows):
    a, b = standard(fit, val_rows)
    machine = SVC(C=3, gamma=1 / 64).fit(a, Y[fit])
    found = answers("rbf", fit, val_rows, {"C": 3, "gamma D": 1})
    if len(np.unique(Y[fit])) > 2:
        np.testing.assert_allclose(found, machine.decision_function(b), atol=1e-3)
    else:
        np.testing.assert_allclose(found[:, 1], machine.decision_function(b), atol=1e-4)


def test_intersection_machine():
    kernel = intersection(torch.from_numpy(X[FIT]), torch.from_numpy(X[FIT])).numpy()
    expected = np.minimum(X[FIT][:, None], X[FIT][None]).sum(2)
    np.testing.assert_allclose(kernel, expected, rtol=1e-5)
    machine = SVC(C=1, kernel="precomputed").fit(expected, Y[FIT])
    test = np.minimum(X[VAL][:, None], X[FIT][None]).sum(2)
    found = answers("intersection", FIT, VAL, {"C": 1})
    np.testing.assert_allclose(found, machine.decision_function(test), atol=2e-3)


def test_linear_machine():
    a, b = standard(FIT, VAL)
    strength = 0.1  # at which both converge
    machine = LinearSVC(C=1 / (strength * len(FIT)), intercept_scaling=100, dual=False, tol=1e-6).fit(a, Y[FIT])
    found = answers("svm", FIT, VAL, {"L2": strength})
    assert (found.argmax(1) == machine.predict(b)).mean() > 0.99
    np.testing.assert_allclose(found, machine.decision_function(b), atol=0.1)


@pytest.mark.filterwarnings("ignore:Maximum number of iteration")
def test_perceptron():
    a, b = standard(FIT, VAL)
    machine = Perceptron(max_iter=20, tol=1e-4, random_state=0).fit(a.astype(np.float32), Y[FIT])
    found = answers("perceptron", FIT, VAL, {"passes": 20})
    np.testing.assert_array_equal(found.argmax(1), machine.predict(b.astype(np.float32)))


def test_neighbours():
    a, b = standard(FIT, VAL)
    machine = KNeighborsClassifier(5).fit(a, Y[FIT])
    found = answers("knn", FIT, VAL, {"k": 5})
    np.testing.assert_allclose(np.exp(found) * 6 - 0.1, machine.predict_proba(b) * 5, atol=1e-4)


@pytest.mark.parametrize(("fit", "val_rows"), [(FIT, VAL), (TWO_FIT, TWO_VAL)])
def test_forest(fit, val_rows):
    machine = RandomForestClassifier(30, max_leaf_nodes=1000, min_samples_leaf=2, random_state=0)
    machine.fit(X[fit], Y[fit], sample_weight=WEIGHTS[fit])
    found = answers("forest", fit, val_rows, {"trees": 30})
    expected = machine.predict_proba(X[val_rows])
    np.testing.assert_allclose(np.exp(found), np.maximum(expected, 1e-6), atol=1e-5)


@pytest.mark.parametrize(("fit", "val_rows"), [(FIT, VAL), (TWO_FIT, TWO_VAL)])
def test_boosting(fit, val_rows):
    machine = HistGradientBoostingClassifier(max_iter=15, learning_rate=0.2, early_stopping=False, random_state=0)
    machine.fit(X[fit], Y[fit])
    found = answers("boosting", fit, val_rows, {"rounds": 15, "rate": 0.2})
    expected = machine.decision_function(X[val_rows])
    if expected.ndim == 1:
        expected = np.stack([-expected / 2, expected / 2], 1)
    np.testing.assert_allclose(found, expected, atol=1e-4)
