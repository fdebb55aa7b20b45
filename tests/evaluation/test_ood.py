"""Coverage, sizes and false alarms of a model's limits, by hand."""

import numpy as np

from clearsight.evaluation import check_ood
from clearsight.ood.detector import LeftOut, OODDetector
from clearsight.ood.scores import Bank
from clearsight.predictor import ModelOutput


def test_by_hand():
    draw = np.random.default_rng(0)
    features, pixels = draw.normal(size=(40, 3)).astype(np.float32), draw.random((40, 4), np.float32)
    bank = Bank.fit(features, pixels, np.arange(40) % 2, features + 0.01, pixels)
    scores = np.linspace(0.05, 0.5, 10)  # the 9th and the 10th: 0.45 and 0.5
    known = np.linspace(0.0, 0.3, 50, dtype=np.float32)
    limits = OODDetector(bank, "max-softmax", known, LeftOut({}, (), ""), scores, scores)
    belief = np.array([[0.9, 0.1], [0.6, 0.4], [0.45, 0.55], [0.2, 0.8]])
    look = ModelOutput(np.log(belief).astype(np.float32), features[:4], pixels[:4])
    found = check_ood(limits, look, np.array([0, 0, 0, 0]), 1.0, coverage=0.9)
    # threshold: the ceil(11 x 0.9) = 10th, 0.5, so a class needs a belief of 0.5
    assert found.coverage == 0.5
    assert found.sizes == (0, 4)
    assert (found.mean_size, found.empty) == (1, 0)
    # 1 - max: 0.1, 0.4, 0.45, 0.2 against known scores up to 0.3
    assert found.false_alarms == 0.5
    assert set(found.strangest) == {1, 2}
    tight = check_ood(limits, look, np.array([0, 1, 1, 1]), 1.0, coverage=0.1)  # the 2nd: 0.1
    assert tight.sizes == (3, 1)
    assert tight.empty == 0.75
