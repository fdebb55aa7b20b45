"""Answers over HTTP are the predictor's, however the images are sent."""

import base64
import concurrent.futures
import io

import numpy as np
import pytest
from PIL import Image

import clearsight as cs


def same(answers, expected):
    assert [a["label"] for a in answers] == [e.label for e in expected]
    for a, e in zip(answers, expected, strict=True):
        assert a["probabilities"] == pytest.approx(e.probabilities, abs=1e-4)
        assert a["uncertainty"] == pytest.approx(e.uncertainty, abs=1e-4)
        assert a["set"] == (None if e.set is None else list(e.set))
        assert a["is_ood"] == e.is_ood


def form(files):
    return [("images", (f"{i}.png", content)) for i, content in enumerate(files)]


def test_files_bytes_and_base64_are_answered_as_the_predictor_does(client, predictor, digits_arrays, pngs):
    expected = predictor.predict(digits_arrays[0][-40:][:12])
    files = client.post("/v1/predict", files=form(pngs[:12]))
    same(files.json()["predictions"], expected)
    assert [a["image"] for a in files.json()["predictions"]][:2] == ["0.png", "1.png"]
    texts = [base64.b64encode(c).decode() for c in pngs[:12]]
    texts[1] = f"data:image/png;base64,{texts[1]}"
    same(client.post("/v1/predict", json={"images": texts}).json()["predictions"], expected)
    for kind in ("image/png", "application/octet-stream", "image/jpeg"):  # what it is called does not matter
        one = client.post("/v1/predict", content=pngs[0], headers={"Content-Type": kind})
        same(one.json()["predictions"], expected[:1])


def test_openvino_behind_http_agrees_with_pytorch(digits_run, predictor, digits_arrays, pngs, serving):
    quick = cs.load(digits_run).predictor
    with serving(type(quick)(quick.bundle, hint="latency")) as client:
        answers = client.post("/v1/predict", files=form(pngs[:9])).json()["predictions"]
    same(answers, predictor.predict(digits_arrays[0][-40:][:9]))
    assert client.app.routes


@pytest.mark.long
def test_photographs_and_a_thousand_classes(photos, serving):
    paths = sorted(photos.rglob("*.jpg"))[::40]
    predictor = cs.load("efficientnet_lite0", engine="torch").predictor
    with serving(predictor) as client:
        found = client.post("/v1/predict", files=form([p.read_bytes() for p in paths])).json()["predictions"]
        few = client.post("/v1/predict?top=3", content=paths[0].read_bytes()).json()["predictions"][0]
    same(found, predictor.predict(paths))
    assert len(found[0]["probabilities"]) == len(set(predictor.classes)) > 990  # two cranes share a name
    likeliest = list(found[0]["probabilities"].items())[:3]
    assert list(few["probabilities"]) == [name for name, _ in likeliest]
    assert list(few["probabilities"].values()) == pytest.approx([p for _, p in likeliest], abs=1e-5)
    assert few["ood_percentile"] is None


def test_coverage_is_each_request_s_own(client, predictor, digits_arrays, pngs):
    def ask(coverage):
        return client.post(f"/v1/predict?coverage={coverage}", files=form(pngs[:16])).json()["predictions"]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        wide, narrow, *_ = pool.map(ask, (0.999, 0.5, 0.999, 0.5))
    images = digits_arrays[0][-40:][:16]
    same(wide, predictor.predict(images, coverage=0.999))
    same(narrow, predictor.predict(images, coverage=0.5))


def test_sets_are_asked_for_as_in_python(client, predictor, digits_arrays, pngs):
    found = client.post("/v1/predict?sets=aps&by_class=true&coverage=0.99", files=form(pngs[:9])).json()["predictions"]
    same(found, predictor.predict(digits_arrays[0][-40:][:9], sets="aps", by_class=True, coverage=0.99))
    for query, words in (
        ("back_off=0.8", "back_off has no effect with this model; found a model trained with --task classification"),
        ("group=site", "group site does not specify a group; expected COLUMN=VALUE"),
        ("group=site=A", "the model has no groups for the column 'site'"),
        ("sets=all", "sets: "),
    ):
        refused = client.post(f"/v1/predict?{query}", content=pngs[0])
        assert refused.status_code == 422
        assert words in refused.json()["detail"]


def test_a_malformed_image_among_good_ones_has_an_error_in_its_entry(client, pngs):
    found = client.post("/v1/predict", files=form([pngs[0], b"no picture", pngs[1][: len(pngs[1]) // 2]]))
    assert found.status_code == 200
    good, text, cut = found.json()["predictions"]
    assert good["label"]
    assert text == {"image": "1.png", "error": text["error"]}
    assert "1.png is not an image; found text" in text["error"]
    assert "2.png cannot be decoded" in cut["error"]


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        ({"content": b"no picture"}, 422, "is not an image; found text"),
        ({"content": b""}, 422, "the request contains no image"),
        ({"files": [("a", ("x.png", b""))]}, 422, "x.png is empty; found 0 bytes"),
        ({"json": {"images": []}}, 422, "the JSON does not have the expected form; found an empty list of images"),
        ({"json": {"images": ["/etc/passwd"]}}, 422, "image #0 is not base64"),
        ({"json": {"images": ["aGk="], "path": "/etc/passwd"}}, 422, "the unknown key path"),
        ({"content": b"[" * 10_000, "headers": {"Content-Type": "application/json"}}, 422, "the JSON does not have"),
        ({"data": {"path": "/etc/passwd"}, "files": [("path", (None, b"/etc/passwd"))]}, 422, "is not a file"),
        ({"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415, "found Content-Type 'text/plain'"),
        ({"content": b"--x", "headers": {"Content-Type": "multipart/form-data; boundary=y"}}, 422, "cannot be read"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 422, "cannot be read"),
        ({"json": {"images": ["aGk="] * 17}}, 422, "too many images in one request; expected at most 16"),
    ],
)
def test_a_malformed_request_gets_the_reason(client, request_, status, words):
    found = client.post("/v1/predict", **request_)
    assert (found.status_code, found.headers["content-type"]) == (status, "application/problem+json")
    problem = found.json()
    assert words in problem["detail"]
    assert problem["request_id"] == found.headers["x-request-id"]
    assert problem["status"] == status


def test_options_out_of_range(client, pngs):
    for query, words in (("top=0", "top: "), ("coverage=1", "coverage: "), ("top=x", "top: ")):
        found = client.post(f"/v1/predict?{query}", content=pngs[0])
        assert found.status_code == 422
        assert words in found.json()["detail"]
    assert client.get("/v1/predict").status_code == 405
    assert client.get("/v1/nothing").json()["title"] == "Not Found"


def test_an_option_that_a_route_does_not_have_is_refused(client, pngs):
    for query, words in (
        (
            "predict?covrage=0.9",
            "/v1/predict has no option 'covrage'; expected coverage, ",
        ),
        ("predict?top=1&layer=2", "/v1/predict has no option 'layer'; expected "),
        ("attack?epsilom=0.1", "/v1/attack has no option 'epsilom'; expected epsilon, "),  # not that epsilon is missing
    ):
        found = client.post(f"/v1/{query}", content=pngs[0])
        assert (found.status_code, found.headers["content-type"]) == (422, "application/problem+json")
        assert words in found.json()["detail"]
    assert "has no option 'top'; expected no options" in client.get("/v1/model?top=1").json()["detail"]
    assert client.get("/health?now=1").status_code == client.get("/?from=mail").status_code == 200


def test_the_heatmap_is_that_of_the_library(client, predictor, digits_arrays, pngs):
    from clearsight.explanation import explain

    image = digits_arrays[0][-40:][:1]
    found = client.post("/v1/explain?method=saliency&heat=true&target=3", content=pngs[0]).json()
    expected = next(explain(predictor, image, method="saliency", target="3", faithfulness=False))
    np.testing.assert_allclose(found["heat"], expected.heat, rtol=1e-3, atol=1e-5)
    assert (found["target"], found["shape"]) == ("3", [8, 8])
    assert found["probability"] == pytest.approx(expected.value, abs=1e-4)
    head, _, data = found["picture"].partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.mode == "RGB"
    faithfulness = client.post("/v1/explain?method=occlusion&faithfulness=true&picture=false", content=pngs[0]).json()
    assert faithfulness["picture"] is None
    assert "faithfulness" in faithfulness["verdict"]
    assert -2 <= faithfulness["faithfulness"]["score"] <= 2


def test_an_explanation_that_cannot_be_had(client, predictor, pngs, serving):
    from clearsight.serving.settings import ServeConfig

    for query, words in (
        ("method=grad-cat", "did you mean grad-cam"),
        ("target=12", "unknown class 12"),
        ("samples=1", "samples: "),
    ):
        found = client.post(f"/v1/explain?{query}", content=pngs[0])
        assert found.status_code == 422
        assert words.lower() in found.json()["detail"].lower()
    two = client.post("/v1/explain", files=form(pngs[:2]))
    assert "this request takes only one image; found 2 images" in two.json()["detail"]
    with serving(predictor, config=ServeConfig(explain_timeout=0.1)) as hasty:
        late = hasty.post("/v1/explain?method=smoothgrad&samples=2000", content=pngs[0])
    assert late.status_code == 422
    assert "exceeds its time limit" in late.json()["detail"]


def test_neighbours_are_those_of_the_index(digits_run, predictor, digits_arrays, pngs, tmp_path, serving):
    index = cs.index(digits_run, out=str(tmp_path / "index")).index
    with serving(predictor, index=index) as client:
        found = client.post("/v1/search?k=5", content=pngs[0]).json()["neighbours"]
        assert client.post("/v1/search?k=1001", content=pngs[0]).status_code == 422
        assert client.get("/v1/model").json()["search"] is True
    likeness, places = index.search(predictor.embed(digits_arrays[0][-40:][:1]), 5)
    assert [n["image"] for n in found] == [index.card.names[p] for p in places[0]]
    assert [n["likeness"] for n in found] == pytest.approx(likeness[0].tolist(), abs=1e-4)


def test_without_an_index_it_says_how_to_make_one(client, pngs):
    found = client.post("/v1/search", content=pngs[0])
    assert found.status_code == 404
    assert "Run `clearsight index RUN`" in found.json()["detail"]


def test_the_card_describes_the_model_without_paths(client, predictor, digits_run):
    text = client.get("/v1/model").text
    card = client.get("/v1/model").json()
    assert card["classes"] == list(predictor.classes)
    assert card["scores"]["test"]["n"] == 450
    assert card["ood_detector"]["outliers"]["scores"]
    assert "smoothgrad" in card["methods"]
    assert str(digits_run.parent) not in text
    assert "origin" not in text


def test_one_by_one_equals_all_at_once(client, pngs):
    together = client.post("/v1/predict", files=form(pngs[:16])).json()["predictions"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        alone = list(pool.map(lambda c: client.post("/v1/predict", content=c).json()["predictions"][0], pngs[:16]))
    for a, b in zip(alone, together, strict=True):
        assert a["probabilities"] == pytest.approx(b["probabilities"], abs=1e-4)


def test_a_picture_of_another_size_and_kind(client, predictor, tmp_path, png):
    array = np.random.default_rng(0).integers(0, 256, (50, 30, 3), dtype=np.uint8)
    for kind in ("PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM"):
        (tmp_path / kind).write_bytes(png(array, kind))
        found = client.post("/v1/predict", content=(tmp_path / kind).read_bytes()).json()["predictions"]
        same(found, predictor.predict(str(tmp_path / kind)))
