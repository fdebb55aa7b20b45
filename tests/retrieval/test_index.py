"""Similar images: exact and coded search, evaluated, and what cannot be searched."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

import clearsight as cs
from clearsight.errors import BundleError, ConfigError, DataError, ModelError
from clearsight.metrics.retrieval import neighbour_recall
from clearsight.retrieval import Index, evaluate_index
from clearsight.retrieval.index import IndexCard, build_faiss, search_faiss, unit

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(40, 32))
VECTORS = unit((CENTRES[RNG.integers(40, size=4000)] + 0.4 * RNG.normal(size=(4000, 32))).astype(np.float32))
QUERIES = unit((CENTRES[RNG.integers(40, size=50)] + 0.4 * RNG.normal(size=(50, 32))).astype(np.float32))


def test_exact_search_is_exact():
    likeness, places = search_faiss(build_faiss(VECTORS, "exact"), QUERIES, 10)
    truth = NearestNeighbors(n_neighbors=10, metric="cosine").fit(VECTORS)
    distance, expected = truth.kneighbors(QUERIES)
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_allclose(likeness, 1 - distance, atol=1e-5)


@pytest.fixture(scope="module")
def coded():
    """An index of codes of 8 bytes, and its progress messages."""
    seen = []
    return build_faiss(VECTORS, "ivfpq", 8, lambda done, total: seen.append((done, total))), seen


@pytest.mark.long  # learning the codes of so many vectors takes longest
def test_coded_search_finds_most_of_them_in_a_fraction_of_the_memory(coded):
    import faiss

    index, seen = coded
    assert seen[-1] == (4000, 4000)
    _, truth = search_faiss(build_faiss(VECTORS, "exact"), QUERIES, 10)
    _, found = search_faiss(index, QUERIES, 100)
    assert neighbour_recall(found, truth) > 0.8
    codes = faiss.extract_index_ivf(index)
    assert codes.code_size == 8  # of 128 bytes raw


def test_as_many_neighbours_as_there_are_images():
    seen, few = [], unit(np.random.default_rng(1).normal(size=(400, 4)).astype(np.float32))
    index = build_faiss(few, "ivfpq", 1, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (400, 400)
    _, places = search_faiss(index, few[:2], 400)
    assert sorted(places[0]) == list(range(400))


def card(labels):
    n = len(labels)
    return IndexCard("", "", "exact", "", ("x",) * n, tuple(labels), tuple(range(n)), ("a", "b"), 2)


def test_scores_by_hand():
    vectors = unit(np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], np.float32))
    index = Index(card([0, 1, 1, 1]), build_faiss(vectors, "exact"))
    found = evaluate_index(index, np.array([[1, 0.01]], np.float32), np.array([1]), k=2)
    assert (found.precision, found.recall) == (0.5, pytest.approx(1 / 3))
    assert found.mean_average_precision == pytest.approx((1 / 2) / 2)
    others = evaluate_index(index, vectors, np.array([0, 1, 1, 1]), k=1, own=np.arange(4))
    assert others.queries == 3  # the only image of its class has none to find
    assert others.precision == pytest.approx(2 / 3)


@pytest.fixture(scope="module")
def indexed(digits_run):
    return cs.index(digits_run)


def test_the_images_of_a_run_are_indexed_and_evaluated(indexed, digits_run):
    index, scores, folder = indexed.index, indexed.scores, indexed.folder
    assert scores.precision > 0.9
    assert folder == digits_run / "index"
    again = Index.load(folder)
    np.testing.assert_array_equal(
        again.search(np.load(folder / "embeddings.npy")[:5], 3)[1],
        index.search(np.load(folder / "embeddings.npy")[:5], 3)[1],
    )
    np.testing.assert_allclose(again.search(np.load(folder / "embeddings.npy")[:5], 1)[0], 1, atol=1e-5)


def test_searching_draws_the_neighbours(indexed, digits_run, digit_folders, tmp_path):
    image = digit_folders / "digit 2" / "3.png"
    found = cs.search(digits_run, image, k=7, out=tmp_path)
    assert [n.label for n in found].count("2") >= 5
    assert found[0].likeness >= found[-1].likeness
    assert found.prediction == cs.load(digits_run).predict(image)[0].label
    assert [n.other_class for n in found] == [n.label != found.prediction for n in found]
    assert found.text().count("  *") == sum(n.other_class for n in found)
    assert found.to_dict()["neighbours"][0]["other_class"] == found[0].other_class
    assert (tmp_path / "3.similar.png").stat().st_size > 1000


def test_other_data_and_any_layer(digits_run, digit_folders, tmp_path):
    found = cs.index(digits_run, str(digit_folders), layer="layer1", out=str(tmp_path / "index"))
    index, scores = found.index, found.scores
    ready = cs.load(digits_run).predictor.bundle.split
    assert 0 < scores.queries < 60, "the run's own training images are indexed, but no queries"
    assert scores.queries <= ready.count("test")
    with pytest.raises(ModelError, match=r"unknown layer 'layer9'.*Did you mean layer"):
        cs.index(digits_run, str(digit_folders), layer="layer9", out=str(tmp_path / "other"))
    assert index.card.layer == "layer1"


def test_what_cannot_be_searched(indexed, digits_run, tmp_path, digit_folders):
    index, folder = indexed.index, indexed.folder
    with pytest.raises(ConfigError, match=r"k is 100000, but the index contains .* images; expected a number from"):
        index.search(np.zeros((1, index.card.width), np.float32), 100_000)
    with pytest.raises(DataError, match="the embeddings do not match the index"):
        index.search(np.zeros((1, 3), np.float32), 1)
    with pytest.raises(BundleError, match=r"contains no index; .* Run `clearsight index RUN` first"):
        Index.load(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "card.json").write_text("{}")
    (tmp_path / "broken" / "index.faiss").write_bytes(b"x")
    with pytest.raises(BundleError, match="contains a damaged index"):
        Index.load(tmp_path / "broken")
    other = cs.fit(str(digit_folders), model="pixels+softmax", out=str(tmp_path / "other"))
    with pytest.raises(BundleError, match="the index was built with another model"):
        cs.search(other.folder, next(digit_folders.rglob("*.png")), index=str(folder))
    with pytest.raises(ConfigError, match=r"needs at least 9,984 images; found 60 images"):
        cs.index(digits_run, str(digit_folders), kind="ivfpq", out=str(tmp_path / "coded"))
    assert not (tmp_path / "coded").exists()
    with pytest.raises(ConfigError, match="the code size is 100 bytes; expected 1 to 64"):
        cs.index(digits_run, str(digit_folders), code_bytes=100, out=str(tmp_path / "coded"))
