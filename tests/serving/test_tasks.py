"""Models of labels and numbers behind HTTP: what the predictor answers, each in a form of its own."""

import math

import numpy as np
import pytest

from clearsight.explanation import explain
from clearsight.serving import schemas
from clearsight.serving.prediction_schema import prediction_schema, predictions_body

KINDS = ("labels", "numbers", "angles", "direction")


@pytest.fixture(scope="module")
def served(answering, serving):
    """For each kind the predictor and a client, all at once."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        made = {kind: answering(kind, "resnet8") for kind in KINDS}
        yield {kind: (one, stack.enter_context(serving(one))) for kind, one in made.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.999])
def test_answers_are_the_predictor_s(served, noise, png, kind, coverage):
    predictor, client = served[kind]
    images = noise(5)
    files = [("images", (f"{i}.png", png(image[0]))) for i, image in enumerate(images)]
    found = client.post(f"/v1/predict?coverage={coverage}", files=files)
    assert found.status_code == 200
    body = predictions_body(prediction_schema(type(predictor.bundle.task)))
    answers = body.model_validate(found.json()).predictions
    for own, other in zip(answers, predictor.predict(images, coverage=coverage), strict=True):
        assert own.is_ood is None, "nothing is known of its limits"
        if kind == "labels":
            assert own.task == "multilabel"
            assert own.labels == other.labels
            assert own.probabilities == pytest.approx(other.probabilities, abs=1e-5)
            assert own.uncertainty == pytest.approx(other.uncertainty, abs=1e-5)
            continue
        assert own.task == "regression"
        assert own.values == pytest.approx(other.values, abs=1e-3)
        for name, span in (other.intervals or {}).items():
            ends = [end if math.isfinite(end) else None for end in span]
            assert list(own.intervals[name]) == [e if e is None else pytest.approx(e, abs=1e-2) for e in ends]
        if kind == "numbers" and coverage == 0.999:
            assert own.intervals["size"] == (-5.0, 45.0), "60 images cannot promise so much, but it has a range"
        if kind == "direction":
            assert own.within == (None if coverage == 0.999 else pytest.approx(other.within, abs=1e-3))


def test_labels_to_list_can_be_few(served, noise, png):
    _, client = served["labels"]
    found = client.post("/v1/predict?top=1", content=png(noise(1)[0, 0])).json()["predictions"][0]
    assert len(found["probabilities"]) == 1


def test_the_card_describes_the_outputs(served):
    predictor, client = served["labels"]
    card = client.get("/v1/model").json()
    schemas.ModelCard.model_validate(card)
    assert card["task"] == card["task_card"]["task"] == "multilabel"
    assert list(card["task_card"]["thresholds"].values()) == pytest.approx(predictor.bundle.task.thresholds)
    numbers = served["numbers"][1].get("/v1/model").json()
    assert numbers["classes"] == ["size", "age"]
    assert (numbers["task_card"]["low"], numbers["task_card"]["high"]) == (-5.0, 45.0)
    assert numbers["task_card"]["ends"] == {"size": [20.0, 60.0], "age": [-4.0, -2.0]}
    assert served["angles"][1].get("/v1/model").json()["task_card"]["unit"] == "degrees"
    for _, client in served.values():
        card = client.get("/v1/model").json()
        left = card["left_out"]
        assert card["unsuited"] == ["attack", "robustness"]
        assert "needs a model with one class per image" in left["attack"]
        assert "needs a model with one class per image" in left["robustness"]
        assert "network" not in left


@pytest.mark.parametrize(("kind", "target"), [("labels", "dog"), ("numbers", "age"), ("angles", "tilt")])
def test_a_label_or_a_number_is_explained(served, noise, png, kind, target):
    predictor, client = served[kind]
    image = noise(1)
    found = client.post(f"/v1/explain?method=saliency&heat=true&target={target}", content=png(image[0, 0])).json()
    expected = next(explain(predictor, image, method="saliency", target=target, faithfulness=False))
    np.testing.assert_allclose(found["heat"], expected.heat, rtol=1e-3, atol=1e-6)
    assert (found["task"], found["target"]) == (predictor.bundle.task.name, target)
    number = predictor.bundle.task.name == "regression"
    assert (found["probability"] is None) == number
    assert found["value" if number else "probability"] == pytest.approx(expected.value, abs=1e-3)
    wrong = client.post("/v1/explain?target=ag", content=png(image[0, 0]))
    assert wrong.status_code == 422
    assert f"unknown {'numeric target' if number else 'label'} 'ag'" in wrong.json()["detail"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_makes_no_sense_is_refused_and_the_network_can_be_walked(served, noise, png, kind):
    predictor, client = served[kind]
    image = png(noise(1)[0, 0])
    refused = client.post("/v1/attack?epsilon=0.1", content=image)
    assert refused.status_code == 422
    assert f"found a model trained with --task {predictor.bundle.task.name}" in refused.json()["detail"]
    layers = client.get("/v1/network").json()["layers"]
    assert layers[-1]["units"] == predictor.bundle.task.outputs
    conv = next(layer["number"] for layer in layers if layer["name"].endswith("conv1"))
    assert client.post(f"/v1/units?layer={conv}&unit=0", content=image).status_code == 200


def test_the_description_is_of_the_served_model(served):
    forms = {"labels": "LabelsPrediction", "numbers": "NumbersPrediction"}
    for kind, name in forms.items():
        schema = served[kind][1].get("/openapi.json").json()["components"]["schemas"]
        items = schema["Predictions"]["properties"]["predictions"]["items"]["anyOf"]
        assert items == [{"$ref": f"#/components/schemas/{one}"} for one in (name, "Unreadable")]
        assert schema["AttackBody"]["properties"]["before"] == {"$ref": f"#/components/schemas/{name}"}
        assert schema[name]["properties"]["task"]["const"] == served[kind][0].bundle.task.name
        assert "picture: a PNG data URI" in schema[name]["description"]
    ends = schema["NumbersPrediction"]["properties"]["intervals"]["anyOf"][0]["additionalProperties"]["prefixItems"]
    assert ends == [{"anyOf": [{"type": "number"}, {"type": "null"}]}] * 2, "an end that cannot be promised is null"


def test_a_prediction_comes_in_words_where_asked_for(served, noise, png):
    predictor, client = served["numbers"]
    image = noise(1)
    found = client.post("/v1/predict?words=true&coverage=0.5", content=png(image[0, 0])).json()["predictions"][0]
    assert found["line"] == predictor.predict(image, coverage=0.5)[0].line(coverage=0.5)
    plain = client.post("/v1/predict?coverage=0.5", content=png(image[0, 0])).json()["predictions"][0]
    assert plain == {key: value for key, value in found.items() if key != "line"}
    assert list(plain) == ["task", "image", "values", "intervals", "within", "ood_percentile", "is_ood", "picture"]
