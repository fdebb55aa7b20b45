"""One client leaves room for the others, and what nobody waits for any more is not done."""

import asyncio
import contextlib
import http.client
import json
import ssl
import subprocess
import sys
import threading
from contextvars import copy_context

import pytest
from starlette.requests import ClientDisconnect

from clearsight.errors import ConfigError
from clearsight.serving.clients import CLIENT, Budget, client_of
from clearsight.serving.server import bound, make_server
from clearsight.serving.settings import ServeConfig
from clearsight.serving.tls import Tls
from clearsight.serving.uploads import Upload


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("10.1.2.3", "10.1.2.3"), ("::ffff:10.1.2.3", "10.1.2.3"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"), ("testclient", "testclient"),
    ],
)  # fmt: skip
def test_clients_are_addresses_and_networks(host, client):
    assert client_of(host) == client


def as_client(name, function, *arguments):
    def inner():
        CLIENT.set(name)
        return function(*arguments)

    return copy_context().run(inner)


def test_one_client_leaves_room_for_another():
    budget = Budget(8, 0.75)
    taken = []
    while as_client("a", budget.allows):
        taken.append(as_client("a", budget.take))
    assert taken == ["a"] * 6
    assert as_client("b", budget.allows, 2)
    as_client("b", budget.take, 2)
    assert not as_client("c", budget.allows)
    budget.give_back("a")
    assert as_client("c", budget.allows)
    assert not as_client("b", budget.allows, 2)


def test_a_client_that_has_none_may_send_more_than_its_share():
    assert as_client("a", Budget(16, 0.5).allows, 16)
    assert Budget(1, 0.01).each == 1


def test_a_client_that_leaves_cancels_its_images(predictor, serving, pngs):
    with serving(predictor) as client:
        worker = next(r for r in client.app.routes if r.path == "/v1/predict").endpoint.__closure__
        worker = next(c.cell_contents for c in worker if hasattr(c.cell_contents, "budget"))
        begun, gate = threading.Event(), threading.Event()

        def slow(content, name, priority):
            begun.set()
            gate.wait(60)
            return worker.predictor.decoded(content, name)

        async def leaves():
            left = asyncio.get_running_loop().create_future()
            images = [Upload(f"{i}", pngs[i]) for i in range(10)]
            asking = asyncio.ensure_future(worker.predict(images, worker_options, left))
            await asyncio.to_thread(begun.wait, 60)
            assert worker.budget.taken == 10
            left.set_result(None)
            with pytest.raises(ClientDisconnect):
                await asking
            await asyncio.sleep(0)
            assert worker.budget.taken == 0

        from clearsight.tasks import PredictOptions

        worker_options = PredictOptions()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker._decoders._made, "decode", slow)
            try:
                client.portal.call(leaves)
            finally:
                gate.set()
        assert client.post("/v1/predict", content=pngs[0]).status_code == 200


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost, signed by its own key."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem",
         "-out", folder / "certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "certificate.pem", folder / "key.pem"


def test_https(predictor, certificate, pngs):
    from clearsight.serving.app import build_app

    listening, config = bound("127.0.0.1", 0), ServeConfig()
    server = make_server(build_app(predictor, config=config), config, tls=Tls.of(*certificate))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    port = listening.getsockname()[1]
    try:
        trusted = ssl.create_default_context(cafile=certificate[0])
        status = 0
        while status != 200:
            connection = http.client.HTTPSConnection("localhost", port, context=trusted, timeout=60)
            with contextlib.closing(connection):
                connection.request("POST", "/v1/predict", pngs[0], {"Content-Type": "image/png"})
                response = connection.getresponse()
                status, content = response.status, response.read()
        assert json.loads(content)["predictions"]
        plain = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.closing(plain):
            plain.request("GET", "/health")
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                plain.getresponse()
    finally:
        server.should_exit = True
        thread.join()


def test_certificates_that_cannot_be_used(certificate, tmp_path):
    public, key = certificate
    assert Tls.of(None, None) is None
    with pytest.raises(ConfigError, match="only --tls-key"):
        Tls.of(None, key)
    with pytest.raises(ConfigError, match=r"missing.pem cannot be read"):
        Tls.of(tmp_path / "missing.pem", key)
    with pytest.raises(ConfigError, match=r"cannot be used; found no certificate in .*key\.pem"):
        Tls.of(key, public)
    with pytest.raises(ConfigError, match=r"cannot be used; found no private key in .*certificate\.pem"):
        Tls.of(public, public)
    half = tmp_path / "half.pem"
    half.write_bytes(public.read_bytes()[:200])
    with pytest.raises(ConfigError, match=r"cannot be used; found (?!.*\[ssl)"):
        Tls.of(half, key)
    other, encrypted = tmp_path / "other.pem", tmp_path / "encrypted.pem"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", other], check=True)
    with pytest.raises(ConfigError, match="key values mismatch"):
        Tls.of(public, other)
    subprocess.run(["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", encrypted], check=True)
    with pytest.raises(ConfigError, match="an encrypted key"):
        Tls.of(public, encrypted)


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="openssl makes the certificates")
