"""The process as its keeper runs it: started, asked, stopped, and what slow or silent clients can do to it."""

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx2
import pytest

import clearsight as cs
from clearsight.cli.main import main
from clearsight.errors import ConfigError
from clearsight.serving import server as server_module
from clearsight.serving.launch import Address
from clearsight.serving.server import bound
from clearsight.serving.settings import ServeConfig


@contextlib.contextmanager
def process(run, *options):
    """`clearsight serve` in a process of its own: it, what it printed, and a client."""
    command = [sys.executable, "-m", "clearsight.cli.main", "serve", str(run), "--port", "0", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        lines = []
        while not lines or lines[-1].rstrip() != "}":
            lines.append(started.stdout.readline())
            assert lines[-1], started.stderr.read()
        message = json.loads("".join(lines))
        with httpx2.Client(base_url=message["url"], timeout=60) as client:
            until = time.monotonic() + 120
            while client.get("/health").status_code == 503:
                assert time.monotonic() < until
                time.sleep(0.05)
            try:
                yield started, message, client
            finally:
                started.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_it_stops_once_requests_in_progress_are_answered(digits_run, pngs, number):
    slow = "/v1/explain?method=smoothgrad&samples=200&faithfulness=true"
    options = ["--host", "0.0.0.0"] if number == signal.SIGINT else []  # then a token is made
    with process(digits_run, "--engine", "torch", *options) as (started, message, client):
        assert (message["token"] is not None) == bool(options)
        if options:
            assert client.get("/v1/model").status_code == 401
            assert len(message["token"]) >= 32
            client.headers["Authorization"] = f"Bearer {message['token']}"
        answers = []
        asking = threading.Thread(target=lambda: answers.append(client.post(slow, content=pngs[0])))
        asking.start()
        with httpx2.Client(base_url=message["url"], headers=client.headers, timeout=60) as other:
            until = time.monotonic() + 60
            while "clearsight_requests_in_progress 1.0" not in other.get("/metrics").text:
                assert time.monotonic() < until
        started.send_signal(number)
        asking.join()
        _, err = started.communicate(timeout=60)
        assert answers[0].status_code == 200
        assert started.returncode == 0
    events = [json.loads(line) for line in err.splitlines()]
    assert {e["event"] for e in events} == {"ready", "request", "stopping"}
    assert [e["requests"] for e in events if e["event"] == "stopping"] == [1]
    assert str(digits_run) not in err


@pytest.mark.long
def test_ctrl_c_reports_what_it_waits_for_and_a_second_one_ends_at_once(digits_run, pngs):
    command = [sys.executable, "-m", "clearsight.cli.main", "serve", str(digits_run), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        address = re.search(r"http://[^,]+", started.stdout.readline())[0]
        try:
            until = time.monotonic() + 120
            while httpx2.get(f"{address}/health", timeout=60).status_code != 200:
                assert time.monotonic() < until
                time.sleep(0.05)
            with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 30) as connection:
                connection.sendall(
                    b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
                    b"Content-Length: 100\r\n\r\nabc"  # the rest never comes, which it waits for
                )
                while "clearsight_requests_in_progress 1.0" not in httpx2.get(f"{address}/metrics", timeout=60).text:
                    assert time.monotonic() < until
                started.send_signal(signal.SIGINT)
                message = started.stdout.readline()
                assert message == "stopping; waiting for 1 request in flight. Press Ctrl-C again to stop immediately\n"
                assert started.poll() is None
                started.send_signal(signal.SIGINT)
                assert started.wait(5) == 130
                assert closes(connection) == b""
        finally:
            started.kill()


def closes(connection):
    """What is answered before the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_slow_and_endless_heads_are_cut_off(predictor, listening, monkeypatch):
    monkeypatch.setattr(server_module, "HEAD_SECONDS", 0.5)
    with listening(predictor) as address:
        for first in (b"", b"GET /health HTT", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: "):
            with socket.create_connection(address, 30) as connection:
                connection.sendall(first)
                assert closes(connection) == b""
        with socket.create_connection(address, 30) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000)
            assert b"400" in closes(connection)
        kept = http.client.HTTPConnection(*address)
        for _ in range(3):  # each request of a connection has its own time
            time.sleep(0.3)
            kept.request("GET", "/health")
            assert kept.getresponse().read() == b'{"status":"ready"}'
        kept.close()


def test_a_slow_body_is_answered_408(predictor, listening):
    with listening(predictor, ServeConfig(timeout=0.5)) as address:
        with socket.create_connection(address, 30) as connection:
            connection.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
                b"Content-Length: 100\r\n\r\nabc"
            )
            found = closes(connection)
        assert found.startswith(b"HTTP/1.1 408")
        assert b"found 3 bytes in 0.5 s" in found


def test_too_many_connections_are_refused_with_the_reason(predictor, listening, monkeypatch):
    monkeypatch.setattr(server_module, "CONNECTIONS", 2)
    with listening(predictor) as address, contextlib.ExitStack() as stack:
        for _ in range(2):
            one = stack.enter_context(socket.create_connection(address, 30))
            one.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            one.recv(65536)
        third = stack.enter_context(socket.create_connection(address, 30))
        assert closes(third).startswith(b"HTTP/1.1 429")


def test_what_cannot_start_says_so_in_one_line(digits_run, capsys, tmp_path, monkeypatch):
    def fails(*options):
        assert main(["serve", *map(str, options)]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        return err

    with bound("127.0.0.1", 0) as taken:
        text = fails(digits_run, "--port", taken.getsockname()[1])
    assert "is not available; found address already in use" in text
    assert "--host 'no.such.host.invalid' cannot be resolved" in fails(digits_run, "--host", "no.such.host.invalid")
    assert "--port must be in [0, 65535], not 70000" in fails(digits_run, "--port", 70000)
    assert "does not exist" in fails(tmp_path / "nothing")
    assert "--batch-size 0 (not in [1, 256])" in fails(digits_run, "--batch-size", "0")
    assert "too short" in fails(digits_run, "--token", "1234")
    monkeypatch.setattr("clearsight.serving.launch.find_spec", lambda name: None)
    assert "found no fastapi" in (text := fails(digits_run))
    assert "Run pip install 'clearsight[serve]'" in text


def test_an_engine_that_cannot_be_made_ends_the_server(predictor, monkeypatch):
    message: list[Address] = []

    def broken(images):
        raise ConfigError("no engine today")

    monkeypatch.setattr(predictor, "prepare", broken)
    monkeypatch.setattr("clearsight.serving.logs.log_to_stderr", lambda: None)
    with pytest.raises(ConfigError, match="no engine today"):
        cs.serve(predictor, port=0, started=message.append)
    assert message[0].url.startswith("http://127.0.0.1:")
