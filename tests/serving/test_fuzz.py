"""Nothing that is sent makes the server fail: broken files, wrong forms, and what follows from its own description."""

import collections
import contextlib
import io
import json
import random

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from PIL import Image
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import clearsight as cs

CONFORMANCE = (response_schema_conformance, status_code_conformance, content_type_conformance)

KINDS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")


def damaged(rng, files):
    """A file cut off, with bits turned, with another's tail, or of noise."""
    content = bytearray(rng.choice(files))
    how = rng.randrange(4)
    if how == 0:
        return bytes(content[: rng.randrange(len(content))])
    if how == 1:
        for _ in range(rng.randrange(1, 30)):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        return bytes(content)
    if how == 2:
        return bytes(content[: rng.randrange(len(content))]) + rng.choice(files)[rng.randrange(20) :]
    return bytes(content[: rng.randrange(16)]) + rng.randbytes(rng.randrange(2000))


MORE_EXAMPLES = pytest.mark.parametrize("times", [1, pytest.param(30, marks=pytest.mark.long)])


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 20))])
def test_malformed_uploads_are_answered_and_never_fail(client, pngs, tone, seed):
    rng = random.Random(seed)
    array = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    files = [tone(1)]
    for kind in KINDS:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, kind)
        files.append(buffer.getvalue())
    seen = collections.Counter()
    for number in range(100):
        content = damaged(rng, files)
        headers = {"Content-Type": rng.choice(("image/png", "application/octet-stream", "application/json"))}
        if number % 3 == 0:
            body = b'--b\r\nContent-Disposition: form-data; name="a"; filename="x"\r\n\r\n' + content + b"\r\n--b--\r\n"
            content = bytes(body if rng.random() < 0.7 else damaged(rng, [body]))
            headers = {"Content-Type": "multipart/form-data; boundary=b"}
        found = client.post("/v1/predict", content=content, headers=headers)
        seen[found.status_code] += 1
        json.loads(found.text)
    assert set(seen) <= {200, 422}
    assert min(seen.values()) > 5  # both kinds were tried
    assert client.post("/v1/predict", content=pngs[0]).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/v1/predict", "/v1/explain", "/v1/search", "/v1/attack?epsilon=0.1", "/v1/maps", "/v1/units?layer=1&unit=0"],
)
@MORE_EXAMPLES
def test_any_json_is_answered(client, path, times):
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["images", "x"]), inner, max_size=2)
        ),
    )

    @settings(max_examples=10 * times, deadline=None, derandomize=True)
    @given(values)
    def ask(value):
        assert client.post(path, json=value).status_code in (404, 422)

    ask()


@pytest.mark.parametrize("run", ["digits_run", "hearing_run"])
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
@MORE_EXAMPLES
def test_answers_are_as_the_description_says(listening, request, mode, run, times):
    """Requests made from the OpenAPI schema, right ones and wrong ones, get answers that the schema knows: of a model
    of classes and of a detector of anomalies.
    """
    with listening(cs.load(request.getfixturevalue(run), engine="torch").predictor) as (_, port):
        schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")
        seen = collections.Counter()
        for result in schema.get_all_operations():
            operation = result.ok()

            @settings(
                max_examples=4 * times, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(operation.as_strategy(mode))
            def ask(case):
                response = case.call()
                case.validate_response(response, checks=[not_a_server_error, *CONFORMANCE])
                seen[response.status_code] += 1

            with contextlib.suppress(Unsatisfiable):  # nothing about a bare GET can be wrong
                ask()
    assert sum(seen.values()) > 10
    assert 200 in seen or mode is schemathesis.GenerationMode.NEGATIVE
