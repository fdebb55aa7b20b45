"""One road from images to answers: files and arrays, engines and batches all agree."""

import numpy as np
import pytest
from PIL import Image

import clearsight as cs
from clearsight.data.cached_pixels import PixelView
from clearsight.errors import ConfigError, DataError, ImageError


def test_files_and_arrays_give_the_same_answers(photos, photos_run):
    predictor = cs.load(photos_run).predictor
    files = sorted(photos.rglob("*.jpg"))[:5]
    arrays = [np.asarray(Image.open(f)) for f in files]
    by_file = predictor.predict_proba(files)
    by_array = predictor.predict_proba(np.stack(arrays))
    # JPEG files are decoded at reduced scale where that suffices; here it does not, so the pixels are the same
    np.testing.assert_allclose(by_file, by_array, atol=1e-5)


def test_uint8_and_float_agree(digits_run, digits_arrays):
    predictor = cs.load(digits_run).predictor
    images = digits_arrays[0][:20]
    np.testing.assert_array_equal(
        predictor.logits(images), predictor.logits(images.astype(np.float32) / np.float32(255))
    )


def test_probabilities_are_the_calibrated_softmax_of_logits(digits_run, digits_arrays):
    predictor = cs.load(digits_run).predictor
    images = digits_arrays[0][:20]
    expected = predictor.bundle.task.calibration(predictor.logits(images))
    np.testing.assert_array_equal(predictor.predict_proba(images), expected)
    np.testing.assert_allclose(expected.sum(1), 1)


def test_the_engines_agree(photos, photos_run):
    files = sorted(photos.rglob("*.jpg"))[:20]
    a = cs.load(photos_run, engine="torch").predictor.logits(files)
    b = cs.load(photos_run, engine="openvino").predictor.logits(files)
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_an_answer_does_not_depend_on_its_batch_mates(digits_run, digits_arrays):
    predictor = cs.load(digits_run, engine="torch").predictor
    images = digits_arrays[0][:40]
    alone = np.concatenate([predictor.logits(images[i : i + 1]) for i in range(40)])
    np.testing.assert_allclose(predictor.logits(images), alone, atol=1e-4)


def test_predict_ranks_classes_and_states_the_uncertainty(digits_run, digits_arrays):
    images, labels = digits_arrays
    answers = cs.load(digits_run).predictor.predict(images[:30])
    assert [a.label for a in answers] == [next(iter(a.probabilities)) for a in answers]
    assert np.mean([a.label == str(t) for a, t in zip(answers, labels, strict=False)]) > 0.7
    for a in answers:
        assert sum(a.probabilities.values()) == pytest.approx(1)
        assert list(a.probabilities.values()) == sorted(a.probabilities.values(), reverse=True)
        assert 0 <= a.uncertainty <= 1


def test_it_says_when_it_does_not_know(digits_run, digits_arrays):
    """Noise, letters' mirror images and the like are none of the digits; most digits are."""
    predictor, images = cs.load(digits_run).predictor, digits_arrays[0]
    noise = np.random.default_rng(0).integers(0, 256, (100, 1, 8, 8), dtype=np.uint8)
    assert np.mean([a.is_ood for a in predictor.predict(noise)]) > 0.8
    assert np.mean([a.is_ood for a in predictor.predict(images[-400:])]) < 0.25, "0.05 is meant"
    ood_percentile, is_ood = predictor.detect_ood(noise)
    assert np.median(ood_percentile) > 0.9
    assert [a.is_ood for a in predictor.predict(noise)] == is_ood.tolist()


def test_prediction_sets_hold_the_likeliest_and_grow_with_coverage(digits_run, digits_arrays):
    predictor, images = cs.load(digits_run).predictor, digits_arrays[0][-100:]
    narrow, wide = predictor.predict(images, coverage=0.5), predictor.predict(images, coverage=0.999)
    assert all(a.label in a.set for a in narrow)
    assert sum(len(a.set) for a in narrow) < sum(len(a.set) for a in wide)
    for a in wide:
        assert set(list(a.probabilities)[: len(a.set)]) == set(a.set)
    assert all(a.set for a in predictor.predict(images, coverage=0.5, sets="aps"))
    with pytest.raises(ConfigError, match="between 0 and 1"):
        predictor.predict(images[:1], coverage=1.5)


def test_a_network_that_was_not_trained_here_does_not_know_its_limits(photos):
    answer = cs.load("efficientnet_lite0").predictor.predict(sorted(photos.rglob("*.jpg"))[0])[0]
    assert (answer.set, answer.ood_percentile, answer.is_ood) == (None, None, None)


def test_embeddings_have_one_row_per_image(digits_run, photos_run, digits_arrays, photos):
    assert cs.load(digits_run).predictor.embed(digits_arrays[0][:7]).shape == (7, 128)
    assert cs.load(photos_run).predictor.embed(sorted(photos.rglob("*.jpg"))[:3]).shape[0] == 3


def test_a_view_on_cached_pixels_is_read_batch_by_batch(digits_run, digits_arrays):
    predictor = cs.load(digits_run).predictor
    rows = np.arange(0, 100, 3)
    view = PixelView(digits_arrays[0], rows)
    np.testing.assert_array_equal(predictor.logits(view), predictor.logits(digits_arrays[0][rows]))


def test_one_image_alone(digits_run, digits_arrays, tmp_path):
    predictor = cs.load(digits_run).predictor
    image = digits_arrays[0][0, 0]
    Image.fromarray(image).save(tmp_path / "zero.png")
    np.testing.assert_array_equal(predictor.logits(image), predictor.logits(tmp_path / "zero.png"))


@pytest.mark.parametrize(
    ("images", "error", "text"),
    [
        ([], DataError, "no images"),
        (np.full((2, 1, 8, 8), 3.0), DataError, r"found values from 3 to 3; expected \[0, 1\]"),
        (np.full((2, 1, 8, 8), np.nan), DataError, "NaN or infinite values in 2 of 2 images"),
        (np.zeros((2, 5, 8, 8), np.uint8), DataError, "is not an image"),
        (["nosuch.png"], ImageError, "nosuch.png does not exist"),
    ],
)
def test_bad_images(digits_run, images, error, text):
    with pytest.raises(error, match=text):
        cs.load(digits_run).predictor.predict(images)


def test_an_unknown_engine_is_refused(digits_run):
    with pytest.raises(ConfigError, match="unknown engine 'tpu'"):
        cs.load(digits_run, engine="tpu")


def test_originals_keep_their_own_size_in_the_form_the_network_wants(photos, photos_run, digits_run, digits_arrays):
    predictor = cs.load(photos_run).predictor
    path = photos / "cat" / "0.jpg"
    (whole,) = predictor.originals(path)
    assert (whole == np.asarray(Image.open(path)).transpose(2, 0, 1)).all()
    gray = np.asarray(Image.open(path).convert("L"))
    (three,) = predictor.originals(gray)
    assert (three == gray).all(), "gray is repeated to three channels"
    images = digits_arrays[0][:3]
    assert all((a == b).all() for a, b in zip(cs.load(digits_run).predictor.originals(images), images, strict=True))


def test_probabilities_and_ood_in_one_pass(digits_run, digits_arrays):
    predictor, images = cs.load(digits_run).predictor, digits_arrays[0][:20]
    probabilities, is_ood = predictor.probabilities_and_ood(images)
    np.testing.assert_allclose(probabilities, predictor.predict_proba(images))
    assert (is_ood == predictor.detect_ood(images)[1]).all()
