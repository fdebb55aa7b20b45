"""One result of every type, made by hand: no training, and numbers that tests know."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from clearsight.attacks import AttackCurve, AttackReport, Fooling
from clearsight.attacks.curve import Example, Point
from clearsight.data.audit import Audit, Finding
from clearsight.derivatives import Curvature, GradientCorrelation, Landscape, Landscapes, Plane, Rates
from clearsight.derivatives.gradient_correlation import Row
from clearsight.evaluation import ModelComparison, Paired
from clearsight.evaluation.leaderboard import Leaderboard, Standing
from clearsight.evaluation.robustness import ChangeResult, Cluster, RobustnessReport, Sensitivity
from clearsight.evaluation.run_comparison import ScoreChange
from clearsight.evaluation.several_runs import ChangedImage, ComparedRun, RunsComparison
from clearsight.explanation import Explanation, Explanations, Faithfulness
from clearsight.exporting import Export, Parity
from clearsight.feature_vis import Filters, Visualization
from clearsight.localisation import Found, Located, Locations
from clearsight.retrieval import IndexResult, Neighbour, Retrieval, SearchResult
from clearsight.tasks import Classification
from clearsight.tasks.prediction_list import Predictions
from clearsight.tasks.predictions import Prediction
from clearsight.tasks.subgroups import Measured, SubgroupScore, SubgroupTable
from clearsight.train.label_issues import LabelIssue, LabelIssues

RNG = np.random.default_rng(0)
INTERVAL = (0.6, 0.9)


def pixels(side=8):
    return RNG.random((1, side, side), np.float32)


def attack_report():
    accuracies = {0.0: 0.9, 0.1: 0.5, 0.2: 0.1}
    points = tuple(Point(e, a, (max(0, a - 0.2), min(1, a + 0.1)), None) for e, a in accuracies.items())
    example = Example("a <b>.png", 0.1, "cat", 0.9, "dog", 0.8, pixels(), pixels())
    curve = AttackCurve("pgd", "linf", 20, None, 40, points, (example,), 1e-6)
    fooling = Fooling(
        ("cat", "dog"), RNG.random((2, 1, 8, 8), np.float32), np.array([0.999, 0.5]), np.array([True, False])
    )
    return AttackReport(curve, fooling)


def robustness_report():
    confusion = ("cat", "dog", 4)
    steps = tuple(
        ChangeResult(0.5 * k, 0.9 - 0.1 * k, INTERVAL, 0.9, INTERVAL, confusion, 40, 0.1) for k in range(1, 6)
    )
    return RobustnessReport(
        images=40, accuracy=0.9, interval=INTERVAL, rows={"blur": steps, "noise + blur": steps},
        fails={"blur": 2, "noise + blur": None}, clusters=(Cluster("cat", 20, 0.8, INTERVAL, ("a.png", "b.png")),),
        sensitivity=(Sensitivity("object removed (prediction changed)", 30, 0.7, INTERVAL),),
        examples={name: tuple((pixels(), "cat") for _ in range(6)) for name in ("blur", "noise + blur")}, name="pets",
    )  # fmt: skip


def subgroup_table():
    rows = tuple(
        SubgroupScore(f"site <{k}>", 40 - k, Measured(0.8 - 0.1 * k, INTERVAL), None, Measured(0.9, INTERVAL), None)
        for k in range(3)
    )
    return SubgroupTable("site", "Accuracy", rows, least=5, few=2)


def audit():
    counts = {"train": {"cat": 20, "dog": 10}, "val": {"cat": 5, "dog": 5}, "test": {"images": 12}}
    findings = (
        Finding("unreadable", "warning", "1 file cannot be read and is set aside", "repair or replace it"),
        Finding("source", "note", "labels are the folders' names"),
    )
    return Audit(
        "pets", "pets/", 53, 52, ("cat", "dog"), counts, "one fold in five", {}, {"c.png": "truncated"}, findings
    )


def evaluation():
    truth = np.arange(60) % 3
    logits = np.eye(3)[truth] * 3 + RNG.normal(size=(60, 3))
    return Classification(("cat", "dog", "a <b>")).evaluate(logits, truth, images=[f"{i}.png" for i in range(60)])


def explanations():
    def one(image, method):
        faithful = Faithfulness(0.3, 0.8, 0.5, 0.5, (0.9, 0.3), (0.1, 0.8))
        heat = RNG.random((8, 8), np.float32)
        return Explanation(
            image, method, "cat", 0.9, heat, pixels(), {}, {}, faithful, 0.1, 1e-6, 0.5, line="cat 90.0 %"
        )

    names = ("one/a.png", "two/a.png")  # the same base name
    return Explanations(tuple((one(name, "saliency"), one(name, "occlusion")) for name in names), "all")


def locations():
    def one(image):
        heat = np.zeros((1, 16, 16), np.float32)
        heat[0, 4:9, 4:9] = 1
        found = (Found((4.0, 4.0, 9.0, 9.0), "cat", 0.9),)
        return Located(image, "cam", found, ("cat",), (0,), heat, 0.5, RNG.random((3, 16, 16), np.float32), {}, 0.1)

    return Locations((one("one/a.png"), one("two/a.png")))


def search_result():
    neighbours = tuple(Neighbour(f"{k}.png", "dog" if k else "cat", 1 - 0.1 * k, k > 0) for k in range(3))
    pictures = tuple(RNG.integers(0, 256, (3, 32, 32), np.uint8) for _ in range(3))
    return SearchResult("new.png", neighbours, RNG.integers(0, 256, (3, 32, 32), np.uint8), pictures, "cat")


def landscapes():
    steps = np.linspace(-1, 1, 5)
    plane = 0.1 + steps[:, None] ** 2 + steps[None] ** 2
    part = Plane(64, 0.1, 0.9, 0.1 + steps**2, 0.9 - steps**2, plane, 1 / (1 + plane))
    one = Landscape(
        "run", "all", 1000, "cross-entropy", 1.0, steps, steps, 0.01, part, part, Curvature(20.0, -1.0, 0.1, 12, True),
        0.01, 2, Rates("sgd", 0.0, 0.1, 0.1), 1.0,
    )  # fmt: skip
    return Landscapes((one,))


def gradient_correlation():
    lags = np.array([1, 0.8, 0.6, 0.5])
    rows = tuple(Row(kind, 2, lags, lags * 0.01, RNG.normal(size=20), 3) for kind in ("plain", "bn"))
    return GradientCorrelation(rows, "inputs from -2 to 2", 20, np.array([1, 0, 0, 0.0]), lags)


def leaderboard():
    def standing(name, accuracy, p):
        return Standing(name, f"candidates/{name}", accuracy, 0.3, accuracy, INTERVAL, 0.4, p, 12.0, 0.002, 40_000)

    ranked = (standing("hog+svm", 0.8, 1.0), standing("pixels+softmax", 0.7, 0.01))
    return Leaderboard(Path("out"), "digits", {"train": 80, "test": 20}, ranked, "hog+svm", "it is best", {"mlp": "no"})


def model_comparison():
    return ModelComparison(
        (
            Paired("a", 40, 0.8, INTERVAL, 0.4, 0.0, (0.0, 0.0), 0, 0, 1.0),
            Paired("b", 40, 0.85, INTERVAL, 0.35, 0.05, (-0.02, 0.12), 3, 1, 0.6),
        )
    )


class Card(SimpleNamespace):
    width = 128


class Indexed:
    """An index of 60 images."""

    card = Card()

    def __len__(self):
        return 60


def index_result(folder):
    (folder / "index.faiss").write_bytes(b"0" * 2000)
    return IndexResult(Indexed(), Retrieval(20, 5, 0.9, 0.4, 0.35), folder)


def predictions():
    def one(number):
        shares = {"cat": 0.7, "dog <b>": 0.3}
        return Prediction(f"{number}.png", "cat", 0.7, 0.9, shares, ("cat",), 0.99 * number / 30, number == 1)

    items = tuple(RNG.integers(0, 256, (3, 20, 30), np.uint8) if k < 24 else None for k in range(30))
    return Predictions(tuple(one(k) for k in range(30)), ("dog <b>", "cat"), items=items)


def label_issues():
    found = tuple(LabelIssue(k, f"{k}.png", "cat", "dog <b>", 0.02, 0.9, 0.95) for k in range(30))
    pictures = {k: RNG.integers(0, 256, (60, 80), np.uint8) for k in range(24)}
    return LabelIssues(np.arange(200), "a forest", found, pictures=pictures, expected_false_share=0.08, noise=0.02)


def pictured_evaluation():
    """An evaluation that holds pictures of its mistakes."""
    found = evaluation()
    pictures = {m.index: RNG.integers(0, 256, (12, 12), np.uint8) for m in found.mistakes}
    return replace(found, pictures=pictures)


def runs_comparison():
    """Two runs that differ on two of forty images."""
    change = ScoreChange("", 40, 0.9, 0.9, 0.0, (-0.1, 0.1), 1, 1, 1.0)
    runs = (
        ComparedRun("first", "linear", 1.0, evaluation(), {}),
        ComparedRun("second <b>", "resnet8", 3.0, evaluation(), {"epochs": 3}, change, (replace(change, name="cat"),)),
    )
    changed = tuple(
        ChangedImage(k, f"{k}.png", 1, "cat", *pair, ("confidence 90 %",) * 2, gain)
        for k, (pair, gain) in enumerate(((("dog", "cat"), 1.0), (("cat", "dog"), -1.0)))
    )
    pictures = {k: RNG.integers(0, 256, (12, 12), np.uint8) for k in range(2)}
    differences = {"network": ("linear", "resnet8"), "epochs": ("default", "3")}
    return RunsComparison(40, "accuracy", True, runs, differences, changed, pictures=pictures)


def export():
    parity = Parity(40, 40, 1e-6, "a.png", "class", "probabilities")
    card = {"input": {"name": "images", "dtype": "uint8"}, "outputs": ["probabilities"]}
    return Export(Path("export/model.onnx"), "onnx", 40_000, ("N", 1, 8, 8), card, parity, None, None)


def visualization():
    weights = RNG.normal(size=(4, 1, 3, 3)).astype(np.float32)
    return Visualization(None, None, filters=Filters("conv1", weights, ()), left_out={"gates": "no gates"})


MADE = {
    "attack": attack_report, "robustness": robustness_report, "audit": audit, "evaluation": evaluation,
    "explanations": explanations, "locations": locations, "search": search_result, "landscapes": landscapes,
    "gradient_correlation": gradient_correlation, "leaderboard": leaderboard, "models": model_comparison,
    "visualization": visualization,
    "export": export, "predictions": predictions, "label_issues": label_issues,
    "pictured_evaluation": pictured_evaluation, "runs": runs_comparison, "subgroups": subgroup_table,
}  # fmt: skip
"""A function for each result, without those that need a folder."""
