"""A tree of classes: sums of probabilities, the deepest class or parent that reaches one, files of parents, scores."""

import itertools

import numpy as np
import pytest
from PIL import Image

from clearsight.data.sources.read import find
from clearsight.errors import ConfigError, DataError
from clearsight.exporting.runtime import READERS
from clearsight.tasks import Classification, PredictOptions, TaskOptions, read, task_named
from clearsight.tasks.class_tree import ClassTree, with_back_off
from clearsight.tasks.hierarchy import Hierarchy, read_parents
from clearsight.tasks.hierarchy_evaluation import back_off_scores, evaluate_hierarchy
from clearsight.tasks.prediction_cards import card_words, prediction_card, prediction_row
from clearsight.tasks.predictions import class_predictions
from clearsight.train.config import TrainConfig
from clearsight.train.task_options import task_options

CLASSES = ("beetle", "car", "cat", "dog", "truck")
PARENTS = {
    "beetle": "insect", "insect": "animal", "cat": "mammal", "dog": "mammal", "mammal": "animal", "car": "vehicle",
    "truck": "vehicle",
}  # fmt: skip
TREE = ClassTree.above(CLASSES, PARENTS)


def below(name):
    """The classes below a name, by walking up from each."""
    found = set()
    for k, leaf in enumerate(CLASSES):
        above = leaf
        while above in PARENTS and above != name:
            above = PARENTS[above]
        if above == name:
            found.add(k)
    return found


def test_the_probability_of_a_parent_is_the_sum_over_its_classes():
    p = np.random.default_rng(0).dirichlet(np.ones(5), 20)
    found = TREE.probabilities(p)
    assert TREE.names == (*CLASSES, "animal", "insect", "mammal", "vehicle")
    assert TREE.depths.tolist() == [3, 2, 3, 3, 2, 1, 2, 2, 1]
    for j, name in enumerate(TREE.names):
        np.testing.assert_allclose(found[:, j], sum(p[:, k] for k in below(name)), atol=1e-12)


def test_the_deepest_that_reaches_the_probability_is_predicted():
    rng = np.random.default_rng(1)
    p = np.concatenate([rng.dirichlet(np.full(5, alpha), 200) for alpha in (0.1, 0.3, 1)])
    for least in (0.51, 0.7, 0.9):
        for row, j in zip(p, TREE.deepest(p, least), strict=True):
            reached = [name for name in TREE.names if sum(row[k] for k in below(name)) >= least]
            depth = {name: len(TREE.path(name)) for name in reached}
            best = [name for name in reached if depth[name] == max(depth.values())]
            assert ([TREE.names[j]] if j >= 0 else []) == best, "above one half there is one at most"


def test_predictions_name_a_parent_where_no_class_is_probable_enough():
    p = np.array([[0.01, 0.0, 0.02, 0.97, 0.0], [0.01, 0.02, 0.45, 0.5, 0.02], [0.3, 0.05, 0.3, 0.3, 0.05],
                  [0.0, 0.4, 0.1, 0.5, 0.0]])  # fmt: skip
    plain = class_predictions(p, CLASSES, list("abcd"), [{}] * 4)
    found = with_back_off(plain, p, TREE, 0.9)
    assert [f.label for f in found] == ["dog", "dog", "beetle", "dog"]
    assert [f.back_off for f in found] == ["dog", "mammal", "animal", ""]
    assert [f.back_off_probability for f in found] == [0.97, pytest.approx(0.95), pytest.approx(0.9), None]
    lines = [f.line() for f in found]
    assert lines[0] == plain[0].line()
    assert lines[1] == f"parent mammal 95.0 %; {plain[1].line()}"
    assert lines[3] == f"no class or parent reaches the required probability;  {plain[3].line()}"
    assert "parent mammal 95.0 %" in card_words(prediction_card(found[1], 0))
    assert "parent" not in " ".join(card_words(prediction_card(found[0], 0)))
    assert prediction_row(found[1])["back_off"] == "mammal"
    assert [f.back_off for f in with_back_off(plain, p, TREE, 0.96)] == ["dog", "animal", "", ""]


def test_a_class_may_be_a_parent_too():
    tree = ClassTree.of_paths(("birds", "birds/owl", "fish"))
    assert (tree.names, tree.depths.tolist()) == (("birds", "birds/owl", "fish", "birds"), [2, 2, 1, 1])
    p = np.array([[0.5, 0.45, 0.05], [0.95, 0.05, 0.0]])
    assert tree.deepest(p, 0.9).tolist() == [3, 0]
    plain = class_predictions(p, tree.classes, ["a", "b"], [{}] * 2)
    assert [f.line().startswith("parent birds 95.0 %; birds 50.0 %") for f in with_back_off(plain, p, tree)] == [
        True,
        False,
    ]
    assert tree.distances.tolist() == [[0, 1, 2], [1, 0, 2], [1, 1, 0]]


def test_distances_are_levels_up_to_the_first_parent_of_both():
    for k, other in itertools.product(range(5), range(5)):
        way, expected = TREE.path(CLASSES[k]), 0
        while k != other and expected < len(way) and not {k, other} <= below(way[expected]):
            expected += 1
        assert TREE.distances[k, other] == expected, (CLASSES[k], CLASSES[other])


def test_scores_count_answers_at_each_level_and_whether_they_are_right():
    p = np.array([[0.01, 0.0, 0.02, 0.97, 0.0], [0.01, 0.02, 0.45, 0.5, 0.02], [0.0, 0.02, 0.48, 0.5, 0.0],
                  [0.3, 0.05, 0.3, 0.3, 0.05], [0.0, 0.4, 0.1, 0.5, 0.0]])  # fmt: skip
    labels = np.array([3, 2, 0, 1, 1])  # dog, cat, beetle, car, car
    found = back_off_scores(p, labels, TREE, 0.9)
    levels = [(s.level, s.n, s.right) for s in found.levels]
    assert levels == [("class", 1, 1.0), ("parent at level 2", 2, 0.5), ("parent at level 1 (top)", 1, 0.0)]
    assert (found.answered.n, found.answered.right, found.backed_off.n, found.unanswered) == (4, 0.5, 3, 1)
    assert found.levels[1].stated == pytest.approx(0.965)
    assert found.information == pytest.approx((np.log2(5) + np.log2(5 / 2)) / np.log2(5) / 5)
    assert found.verdict() == "not kept" if found.answered.interval[1] < 0.9 else "too few images"
    scores = evaluate_hierarchy(p, labels, p.argmax(1), TREE)
    # right; cat for dog: 1; dog for beetle: 2; beetle for car: 2, as roots have one parent; dog for car: 2
    assert (scores.distance, scores.mistake_distance, scores.levels) == (7 / 5, 7 / 4, 3)
    assert scores.usual == found


def test_answers_are_right_as_often_as_stated_where_probabilities_are_calibrated():
    rng = np.random.default_rng(2)
    p = rng.dirichlet(np.full(5, 0.3), 4000)
    labels = (p.cumsum(1) > rng.random((4000, 1))).argmax(1)
    for scores in evaluate_hierarchy(p, labels, p.argmax(1), TREE).at:
        assert scores.verdict() == "kept"
        for level in (*scores.levels, scores.backed_off):
            assert level.interval[0] - 0.02 < level.stated < level.interval[1] + 0.02
    wrong = evaluate_hierarchy(p, rng.permutation(labels), p.argmax(1), TREE)
    assert all(scores.verdict() == "not kept" for scores in wrong.at)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("dog,dog", "line 2 of .* makes 'dog' its own parent; expected another name"),
        ("dog,animal\nanimal,thing\nthing,animal", "a cycle; found 'animal' below 'thing' below 'animal'"),
        ("dog,animal\ndog,pet", r"gives 'dog' two parents; found 'animal' and 'pet' \(line 3\)"),
        (",animal", "line 2 of .* has no class"),
        ("dgo,animal\ncat,animal", "names 1 class that the data does not contain; found 'dgo'; .*Did you mean dog"),
        ("pet,animal", "names 1 class that the data does not contain; found 'pet'"),
        ("dog,", "no class has a parent in "),
    ],
)  # fmt: skip
def test_what_is_no_tree_is_refused(tmp_path, rows, words):
    path = tmp_path / "parents.csv"
    path.write_text(f"class,parent\n{rows}\n")
    images = (np.zeros((10, 4, 4), np.uint8), list(CLASSES) * 2)
    with pytest.raises(ConfigError, match=words):
        read(images, task="hierarchy", options=TaskOptions(hierarchy=str(path)))


@pytest.mark.parametrize(
    ("text", "words"), [("", "no rows"), ("a,b\n1,2\n", "found a, b; expected a CSV file with the col")]
)
def test_a_file_without_its_columns_is_refused(tmp_path, text, words):
    path = tmp_path / "parents.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_parents(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_parents(tmp_path / "none.csv")


def test_a_file_of_parents_leaves_classes_as_they_are(tmp_path):
    path = tmp_path / "parents.csv"
    path.write_text("Class, Parent\n" + "".join(f"{k}, {v}\n" for k, v in PARENTS.items()) + "animal,\n,\n")
    images = (np.zeros((10, 4, 4), np.uint8), list(CLASSES) * 2)
    options = TaskOptions(hierarchy=str(path))
    found, plain = read(images, task="hierarchy", options=options), read(images)
    assert (found.classes, found.labels.tolist()) == (plain.classes, plain.labels.tolist())
    made = Hierarchy.of(found, np.arange(10), options)
    assert made.tree == TREE
    again = task_named("hierarchy").load(made.card(), made.names, 1.0)
    assert again.tree == TREE
    part = read((images[0][:2], ["dog", "cat"]), task="hierarchy", options=again.read_options())
    assert again.aligned(part).tolist() == [3, 2], "other data may lack classes"


@pytest.fixture
def nested(tmp_path):
    """A function that writes an image into each of some folders of a data set."""

    def write(*folders, root="photos"):
        for i, folder in enumerate(folders):
            (tmp_path / root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / root / folder / f"{i}.png")
        return tmp_path / root

    return write


def test_nested_folders_are_a_tree_where_asked_for_alone(nested):
    root = nested("animal/dog", "animal/cat", "animal", "vehicle/car/old", "food")
    assert read(root).classes == ("animal", "food", "vehicle"), "as ever"
    found = read(root, task="hierarchy")
    assert found.classes == ("animal", "animal/cat", "animal/dog", "food", "vehicle/car/old")
    tree = Hierarchy.of(found, np.arange(5), TaskOptions()).tree
    assert tree.inner == ("animal", "vehicle", "vehicle/car")
    assert tree.by_path
    again = Hierarchy(found.classes, tree=tree).read_options()
    assert read(nested("animal/dog", root="more"), task="hierarchy", options=again).classes == ("animal/dog",)


def test_split_folders_are_no_level_of_the_tree(nested):
    root = nested(
        *(f"{split}/{name}" for split in ("train", "test") for name in ("animal/dog", "animal/cat", "food/egg"))
    )
    found = read(root, task="hierarchy")
    assert found.classes == ("animal/cat", "animal/dog", "food/egg")
    assert sorted(set(found.given.tolist())) == ["test", "train"]


def test_names_may_be_paths_and_flat_data_is_refused(nested):
    found = read((np.zeros((4, 4, 4), np.uint8), ["a/x", "a/y", "b", "b"]), task="hierarchy")
    assert Hierarchy.of(found, np.arange(4), TaskOptions()).tree.parents == (("a/x", "a"), ("a/y", "a"))
    with pytest.raises(
        DataError, match=r"no hierarchy of classes; found classes dog, egg; expected nested folders .*CSV"
    ):
        read(nested("dog", "egg"), task="hierarchy")


def test_the_option_names_the_task_and_the_task_the_option():
    assert TrainConfig.from_options(hierarchy="parents.csv").data.task == "hierarchy"
    assert TrainConfig.from_options(task="hierarchy").decision.hierarchy == "folders"
    assert task_options(TrainConfig.from_options(hierarchy="folders")).hierarchy == "folders"
    with pytest.raises(ConfigError, match="--hierarchy cannot be combined with --costs, --min-precision"):
        TrainConfig.from_options(hierarchy="folders", min_recall={"dog": 0.9})


def logits(seed=0, n=60):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, n)
    return np.eye(5)[labels] * 2 + rng.normal(0, 1, (n, 5)), labels


def test_the_task_predicts_and_scores_as_classification_and_adds_the_tree():
    outputs, labels = logits()
    made, plain = Hierarchy(CLASSES, tree=TREE), Classification(CLASSES)
    made, plain = made.calibrated(outputs, labels), plain.calibrated(outputs, labels)
    names = [str(i) for i in range(60)]
    found = made.predictions(outputs, names, None, PredictOptions(back_off=0.8))
    for one, other in zip(found, plain.predictions(outputs, names, None, PredictOptions()), strict=True):
        assert (one.label, one.set, one.probabilities) == (other.label, other.set, other.probabilities)
    assert {f.back_off for f in found} - set(CLASSES)
    with pytest.raises(ConfigError, match=r"the back-off probability 0.5 is out of range; expected a probability"):
        made.predictions(outputs, names, None, PredictOptions(back_off=0.5))
    one, other = made.evaluate(outputs, labels), plain.evaluate(outputs, labels)
    scores = one.summary().pop("hierarchy")
    assert {k: v for k, v in one.summary().items() if k != "hierarchy"} == other.summary()
    assert [s["stated"] for s in scores["at"]] == [0.8, 0.9, 0.95]
    assert one.text().startswith(other.text())
    assert "parent at level 2" in one.text()
    idents = [s.ident for s in one.report().sections]
    assert idents[:4] == ["mistakes", "confusion", "classes", "hierarchy"]


def test_an_exported_file_names_the_same_parents():
    outputs, labels = logits()
    made = Hierarchy(CLASSES, tree=TREE).calibrated(outputs, labels)
    card = {"classes": list(CLASSES), "reader": made.reader, **made.export_facts()}
    names = [str(i) for i in range(60)]
    found = READERS[made.reader](card, made.decoded(outputs), names, 0.9)
    expected = made.predictions(outputs, names, None, PredictOptions())
    assert [(f.back_off, f.back_off_probability, f.label) for f in found] == [
        (f.back_off, f.back_off_probability, f.label) for f in expected
    ]


def test_a_table_keeps_its_labels(nested, tmp_path):
    nested("animal/dog", "animal/cat")
    (tmp_path / "table.csv").write_text(
        "image_path,label\nphotos/animal/dog/0.png,photos\nphotos/animal/cat/1.png,b/c\n"
    )
    listing = find(tmp_path / "table.csv")
    assert Hierarchy.read(listing, TaskOptions()).classes == ("b/c", "photos")
