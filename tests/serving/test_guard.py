"""Who may ask, how much at once, and what every answer carries."""

import concurrent.futures
import io
import json
import logging
import threading
import time

import numpy as np
import pytest
from PIL import Image

import clearsight as cs
from clearsight.errors import ConfigError
from clearsight.serving.settings import ServeConfig

TOKEN = "correct-horse-battery-staple"


def test_every_answer_carries_security_headers_and_an_identity(client, pngs):
    for found in (
        client.get("/health"), client.get("/nothing"), client.post("/v1/predict", content=pngs[0]),
        client.post("/v1/predict", content=b"x"), client.get("/"), client.get("/swagger/swagger-ui.css"),
    ):  # fmt: skip
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["x-frame-options"] == "DENY"
        assert found.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in found.headers["content-security-policy"]
        assert "server" not in found.headers
        assert len(found.headers["x-request-id"]) == 32
    assert client.get("/health", headers={"X-Request-ID": "a.B-7"}).headers["x-request-id"] == "a.B-7"
    assert client.get("/health", headers={"X-Request-ID": "a b"}).headers["x-request-id"] != "a b"


def test_no_address_leads_to_a_file_of_this_machine(client):
    for path in (
        "/static/..%2f..%2flaunch.py",
        "/static/%00",
        "/static/%2e%2e/launch.py",
        "/swagger//etc/passwd",
        "/%ff",
    ):
        assert client.get(path).status_code == 404, path


def test_pages_load_nothing_from_elsewhere(client):
    for path in (
        "/",
        "/docs",
        "/static/docs.js",
        "/static/docs.css",
        "/static/studio/main.js",
        "/static/studio/base.css",
    ):
        text = client.get(path).text
        assert "https://" not in text
        assert "cdn" not in text
    assert "default-src 'self'" in client.get("/docs").headers["content-security-policy"]
    assert "SwaggerUIBundle" in client.get("/swagger/swagger-ui-bundle.js").text


def test_a_token_is_needed_for_the_model_and_the_figures_alone(predictor, pngs, serving):
    with serving(predictor, token=TOKEN, local=False) as client:
        for found in (client.post("/v1/predict", content=pngs[0]), client.get("/v1/model"), client.get("/metrics")):
            assert found.status_code == 401
            assert found.headers["www-authenticate"] == "Bearer"
        wrong = client.get("/v1/model", headers={"Authorization": "Bearer " + TOKEN[:-1]})
        assert wrong.status_code == 401
        assert TOKEN not in wrong.text
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert client.post("/v1/predict", content=pngs[0], headers=right).status_code == 200
        assert client.get("/metrics", headers=right).status_code == 200
        assert client.get("/health", headers={"Host": "example.org"}).status_code == 200
        assert client.get("/docs").status_code == 200
        assert "token" in client.get("/openapi.json").json()["components"]["securitySchemes"]


def test_other_names_and_foreign_pages_are_refused_on_loopback(client, pngs):
    for headers in (
        {"Host": "evil.example"}, {"Host": "[::1"}, {"Host": "localhost@evil.example"},
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://[::1"},
    ):  # fmt: skip
        assert client.post("/v1/predict", content=pngs[0], headers=headers).status_code == 403
    for headers in ({"Host": "127.0.0.1:8000"}, {"Host": "[::1]:8000"}, {"Origin": "http://localhost"}):
        assert client.get("/health", headers=headers).status_code == 200


@pytest.fixture(scope="module")
def strict(predictor, serving):
    with serving(predictor, config=ServeConfig(max_body=0.01, max_pixels=0.001, max_images=2)) as client:
        yield client


def test_a_large_body_is_refused_with_and_without_a_length(strict):
    message = strict.post("/v1/predict", content=b"x" * 20_000)
    untold = strict.post("/v1/predict", content=iter([b"x" * 5_000] * 4))
    unread = strict.request("GET", "/health", content=iter([b"x" * 5_000] * 4))
    assert (message.status_code, untold.status_code, unread.status_code) == (413, 413, 200)
    assert "expected at most 0.01 MB" in message.json()["detail"]


def test_a_large_image_is_refused_before_it_is_decoded(strict, png):
    found = strict.post("/v1/predict", content=png(np.zeros((40, 40), np.uint8)))
    assert found.status_code == 422
    assert "found 40x40 = 0 million pixels; expected at most 0.001 million" in found.json()["detail"]


def test_many_images_are_refused(strict, pngs):
    found = strict.post("/v1/predict", files=[("a", ("x.png", pngs[0]))] * 3)
    assert "too many images in one request; expected at most 2" in found.json()["detail"]


class Slow:
    """A predictor that waits before each forward pass until it is released."""

    def __init__(self, predictor):
        self.predictor, self.gate = predictor, threading.Event()
        self.gate.set()

    def __getattr__(self, name):
        return getattr(self.predictor, name)

    def forward(self, images):
        assert self.gate.wait(60)
        return self.predictor.forward(images)


def wait_for(true):
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(
    "config", [ServeConfig(queue=4, max_images=2, client_share=1), ServeConfig(max_requests=4, client_share=1)]
)
def test_overload_is_answered_429_and_those_taken_on_are_answered(predictor, pngs, config, serving):
    slow = Slow(predictor)
    with serving(slow, config=config) as client, concurrent.futures.ThreadPoolExecutor(8) as pool:
        slow.gate.clear()
        asked = [pool.submit(client.post, "/v1/predict", content=pngs[i]) for i in range(4)]
        gauge = "images" if config.queue == 4 else "requests"
        wait_for(lambda: f"clearsight_{gauge}_in_progress 4.0" in client.get("/metrics").text)
        refused = client.post("/v1/predict", content=pngs[5])
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/health").status_code == 200
        slow.gate.set()
        assert [a.result().status_code for a in asked] == [200] * 4
        assert client.post("/v1/predict", content=pngs[5]).status_code == 200
        text = client.get("/metrics").text
        assert 'clearsight_requests_total{method="POST",route="/v1/predict",status="200"} 5.0' in text
        assert "clearsight_refused_total" in text


def test_an_answer_that_takes_too_long_is_429_and_still_counts_as_work(predictor, pngs, serving):
    slow = Slow(predictor)
    with serving(slow, config=ServeConfig(timeout=0.2)) as client:
        slow.gate.clear()
        assert client.post("/v1/predict", content=pngs[0]).status_code == 429
        assert "clearsight_images_in_progress 1.0" in client.get("/metrics").text
        slow.gate.set()
        wait_for(lambda: "clearsight_images_in_progress 0.0" in client.get("/metrics").text)


def test_an_internal_error_shows_its_number_alone(predictor, pngs, monkeypatch, serving):
    with serving(predictor) as client:
        monkeypatch.setattr(predictor, "forward", lambda images: 1 / 0)
        found = client.post("/v1/predict", content=pngs[0])
        monkeypatch.undo()
        assert client.post("/v1/predict", content=pngs[0]).status_code == 200
    assert found.status_code == 500
    assert "division" not in found.text
    assert found.headers["x-request-id"] in found.json()["detail"]


def test_logs_hold_neither_names_nor_content(client, pngs, caplog):
    from clearsight.serving.logs import JsonLines

    with caplog.at_level(logging.INFO, "clearsight.serving"):
        client.post("/v1/predict", files=[("a", ("secret-name.png", pngs[0]))], headers={"X-Request-ID": "one"})
        client.post("/v1/predict/secret-name?secret-name=1", content=b"secret-name")
    lines = [JsonLines().format(record) for record in caplog.records]
    first, second = (json.loads(line) for line in lines)
    assert (first["route"], first["status"], first["images"], first["request_id"]) == ("/v1/predict", 200, 1, "one")
    assert (second["route"], second["status"]) == ("other", 404)
    assert not any("secret" in line for line in lines)


def test_a_bomb_is_not_unpacked(client):
    buffer = io.BytesIO()
    Image.new("1", (7_000, 7_000)).save(buffer, "PNG")
    assert len(buffer.getvalue()) < 100_000
    found = client.post("/v1/predict", content=buffer.getvalue())
    assert "49 million pixels; expected at most 25 million" in found.json()["detail"]


def test_frames_of_an_animation_are_not_walked(client):
    frame = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    buffer = io.BytesIO()
    frame.save(buffer, "GIF", save_all=True, append_images=[frame.rotate(90), frame.rotate(180)])
    assert client.post("/v1/predict", content=buffer.getvalue()[:-20]).status_code == 200  # the first is whole


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_images": 0, "timeout": -1.0}, "--max-images 0 (not in [1, 1000]); --timeout -1.0 (not in"),
        ({"queue": 3}, "--queue 3 (less than the maximum number of images per request, --max-images 16)"),
        ({"workers": 1.5}, "--workers 1.5 (not a whole number)"),
    ],
)
def test_limits_out_of_range(options, words):
    with pytest.raises(ConfigError) as caught:
        ServeConfig(**options)
    assert words in str(caught.value)


def test_a_weak_token_is_refused(digits_run):
    with pytest.raises(ConfigError, match="too short or contains invalid characters; expected 16 or more"):
        cs.serve(digits_run, token="secret")
