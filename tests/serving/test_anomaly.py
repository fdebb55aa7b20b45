"""Detectors of anomalies behind HTTP, of images and of sounds; and sounds of classes."""

from contextlib import ExitStack

import numpy as np
import pytest

import clearsight as cs
from clearsight.explanation import explain
from clearsight.retrieval import Index
from clearsight.serving import schemas
from clearsight.serving.launch import Address
from clearsight.serving.settings import ServeConfig

WAV = {"Content-Type": "audio/wav"}


@pytest.fixture(scope="module")
def served(detector_run, hearing_run, serving):
    """For each kind of detector the predictor and a client: of places in images, and of whole sounds."""
    with ExitStack() as stack:
        found = {}
        for kind, run in (("places", detector_run), ("sounds", hearing_run)):
            index = Index.load(run / "index") if kind == "places" else None
            predictor = cs.load(run, engine="torch").predictor
            found[kind] = predictor, stack.enter_context(serving(predictor, run=run, index=index))
        yield found


@pytest.fixture(scope="module")
def remembering(detector_run, tmp_path_factory):
    """The run of a detector that compares patches with remembered ones: it has layers, and no gradients."""
    data, out = detector_run.parent / "data", tmp_path_factory.mktemp("remembering") / "run"
    return cs.fit(data, task="anomaly", anomaly="patchcore", img_size=64, out=out).folder


def message(client, files):
    found = client.post("/v1/predict", files=[("images", (str(i), content)) for i, content in enumerate(files)])
    assert found.status_code == 200, found.text
    return found.json()["predictions"]


def test_answers_are_the_predictor_s(served, plates, png):
    predictor, client = served["places"]
    images = np.concatenate([plates(2, seed=5), plates(3, seed=6, spotted=True)])
    answers = message(client, [png(image) for image in images])
    for own, other in zip(answers, predictor.predict(images), strict=True):
        assert set(own) == {"task", "image", "anomaly", "probability", "p_value", "score", "picture"}
        assert (own["task"], own["anomaly"], own["p_value"]) == ("anomaly", other.anomaly, other.p_value)
        assert own["probability"] == pytest.approx(other.probability)
        assert own["score"] == pytest.approx(other.score, rel=1e-3)
    assert [a["anomaly"] for a in answers] == [False, False, True, True, True]


def test_a_sound_is_answered_as_its_file_is(served, tone, tmp_path):
    predictor, client = served["sounds"]
    files = [tone(50), tone(51, high=True)]
    answers = message(client, files)
    assert [a["anomaly"] for a in answers] == [False, True]
    for i, content in enumerate(files):
        (tmp_path / f"{i}.wav").write_bytes(content)
        (own,) = predictor.predict(str(tmp_path / f"{i}.wav"))
        assert answers[i]["score"] == pytest.approx(own.score, rel=1e-4)
        one = client.post("/v1/predict?picture=true", content=content, headers=WAV)
        assert one.json()["predictions"][0]["score"] == pytest.approx(own.score, rel=1e-4)
        assert one.json()["predictions"][0]["picture"].startswith("data:image/png")


def test_sounds_that_cannot_be_read_are_reported(served, tone, serving):
    predictor, client = served["sounds"]
    cut = client.post("/v1/predict", content=tone(1)[:-100], headers=WAV)
    assert (cut.status_code, "is truncated" in cut.json()["detail"]) == (422, True)
    with serving(predictor, config=ServeConfig(max_pixels=0.001)) as strict:
        long = strict.post("/v1/predict", content=tone(1), headers=WAV)
    assert long.status_code == 422
    assert "a spectrogram of 0.0019 million pixels; expected at most 0.001 million" in long.json()["detail"]


def test_sounds_of_classes_are_answered(tones, tone, serving, tmp_path):
    run = cs.fit(tones, model="pixels+softmax", img_size=32, out=tmp_path / "run")
    with serving(cs.load(run.folder, engine="torch").predictor) as client:
        assert [a["label"] for a in message(client, [tone(70), tone(71, high=True)])] == ["low", "high"]
        assert client.get("/v1/model").json()["sounds"] is True


def test_the_card_says_what_is_normal_and_how_often_it_is_wrong(served):
    predictor, client = served["places"]
    card = client.get("/v1/model").json()
    schemas.ModelCard.model_validate(card)
    answer = predictor.bundle.task
    assert (card["task"], card["sounds"]) == ("anomaly", False)
    assert card["task_card"] == {
        "task": "anomaly", "normal": ["whole"], "false_alarms": 0.05, "held_out": len(answer.known),
        "threshold": pytest.approx(answer.threshold), "prior": 0.5,
    }  # fmt: skip
    assert card["methods"][0] == "anomaly-map"
    for what in ("attack", "robustness"):
        assert "needs a model with one class per image" in card["left_out"][what]
    assert "network" not in card["left_out"]
    other = served["sounds"][1].get("/v1/model").json()
    assert (other["task_card"]["normal"], other["sounds"]) == (["low"], True)
    assert "compares pixels has no layers" in other["left_out"]["network"]


def test_its_own_map_is_the_heatmap_unless_another_is_named(served, plates, png):
    predictor, client = served["places"]
    image = plates(1, seed=7, spotted=True)
    found = client.post("/v1/explain?heat=true&apart=true&faithfulness=true", content=png(image[0])).json()
    schemas.ExplanationBody.model_validate(found)
    expected = next(explain(predictor, image, method="anomaly-map"))
    assert (found["task"], found["method"], found["target"]) == ("anomaly", "anomaly-map", "anomaly")
    np.testing.assert_allclose(found["heat"], expected.heat, rtol=1e-3, atol=1e-3)
    assert found["strongest"] == pytest.approx(expected.heat.max(), rel=1e-3)
    assert found["probability"] == pytest.approx(predictor.predict(image)[0].probability)
    assert found["faithfulness"] is None
    assert found["verdict"] == "faithfulness cannot be measured, because blurring itself affects the prediction"
    for method in ("saliency", "occlusion"):
        assert client.post(f"/v1/explain?method={method}", content=png(image[0])).json()["method"] == method


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("anomaly-map", "needs an anomaly model that compares positions"),
        ("grad-cam", "needs gradients, which this model does not have; found detector; expected occlusion, lime, shap"),
        ("magic", "unknown method 'magic'"),
    ],
)
def test_a_map_that_a_detector_does_not_have_is_refused(served, tone, method, words):
    _, client = served["sounds"]
    assert client.post("/v1/explain", content=tone(1)).json()["method"] == "occlusion"
    refused = client.post(f"/v1/explain?method={method}", content=tone(1))
    assert refused.status_code == 422
    assert words in refused.json()["detail"]


def test_gradients_of_a_detector_that_compares_pixels(digits_arrays, serving, png, tmp_path):
    images = digits_arrays[0][:40]
    run = cs.fit(images, ["digit"] * 40, task="anomaly", anomaly="padim", out=tmp_path / "run")
    with serving(run.predictor) as client:
        found = client.post("/v1/explain?method=saliency&heat=true", content=png(images[0, 0]))
        assert found.status_code == 200
        assert np.abs(found.json()["heat"]).max() > 0


def test_what_is_not_for_detectors_is_refused(served, plates, png):
    refused = served["places"][1].post("/v1/attack?epsilon=0.1", content=png(plates(1)[0]))
    assert refused.status_code == 422
    assert "one class per image; found a model trained with --task anomaly" in refused.json()["detail"]


def test_similar_images_are_of_the_normal_class_and_drawn(served, plates, png):
    found = served["places"][1].post("/v1/search?k=3&pictures=true", content=png(plates(1)[0])).json()["neighbours"]
    assert found[0]["likeness"] == pytest.approx(1, abs=1e-4), "the first of the images it learned from"
    assert [one["label"] for one in found] == ["whole"] * 3
    assert all(one["picture"] for one in found)


def test_the_network_below_a_detector_can_be_walked(served, remembering, serving, plates, png):
    image = png(plates(1)[0])
    client = served["places"][1]
    layers = client.get("/v1/network").json()["layers"]
    assert layers[1]["name"] == "conv_stem"
    assert {layer["group"] for layer in layers} > {"blocks.0.0"}
    (head,) = (layer["number"] for layer in layers if layer["name"] == "head")
    assert client.post(f"/v1/units?layer={head}&unit=0", content=image).status_code == 200
    patches = client.get(f"/v1/patches?layer={head}&unit=0").json()["patches"]
    assert {patch["label"] for patch in patches} == {"whole"}
    with serving(cs.load(remembering, engine="torch").predictor, run=remembering) as client:
        (head,) = (n["number"] for n in client.get("/v1/network").json()["layers"] if n["name"] == "head")
        assert client.post(f"/v1/maps?layer={head}", content=image).status_code == 200
        patches = client.get(f"/v1/patches?layer={head}&unit=0").json()["patches"]
        assert patches[0]["looked_at"] == [0, 0, *patches[0]["size"]], "without gradients, all that it sees"


def test_serve_takes_a_detector(detector_run, monkeypatch):
    made, message = [], []

    class Server:
        should_exit = False

        def run(self, sockets):
            made.append(self)

    monkeypatch.setattr("clearsight.serving.server.make_server", lambda *_: Server())
    monkeypatch.setattr("clearsight.serving.logs.log_to_stderr", lambda: None)
    cs.serve(detector_run, port=0, started=message.append)
    assert len(made) == 1
    assert isinstance(message[0], Address)
