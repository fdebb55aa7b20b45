"""Memory and time stay bounded whatever one connection sends: heads, trailers, chunk extensions, pipelines, JSON, forms
and options. What each test sends has filled memory or stopped the server before.
"""

import asyncio
import contextlib
import re
import socket
import threading
import time
import tracemalloc
from pathlib import Path

import httpx2
import pytest
from starlette.requests import Request

from clearsight.errors import DataError
from clearsight.serving import server as server_module
from clearsight.serving.guard import _discard
from clearsight.serving.problems import RefusedError
from clearsight.serving.settings import HEAD_BYTES, PIECE_BYTES, ServeConfig
from clearsight.serving.uploads import read_body, uploads

POST = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
UNKNOWN = b"PUT /nothing HTTP/1.1\r\nHost: localhost\r\n"
FOREIGN = b"POST /v1/predict HTTP/1.1\r\nHost: evil.example\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

FLOOD = 80_000_000
"""Bytes that are offered, more than the buffers of a system hold; a server that takes all does not bound them."""


@pytest.fixture(scope="module")
def address(predictor, listening):
    with listening(predictor) as made:
        yield made


def resident():
    """Bytes of memory of this process, which the server runs in too."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def flood(address, start, unit, most=FLOOD):
    """Send `start`, then `unit` again and again until the server closes; bytes sent, and what was answered."""
    block = unit * max(1, 65_536 // len(unit))
    sent = 0
    with socket.create_connection(address, 30) as connection:
        connection.settimeout(30)
        with contextlib.suppress(ConnectionError):
            connection.sendall(start)
            while sent < most:
                connection.sendall(block)
                sent += len(block)
        answer = b""
        if sent < most:
            with contextlib.suppress(ConnectionError):
                while part := connection.recv(65_536):
                    answer += part
        return sent, answer


HEADS = {"post": POST, "get": GET, "unknown": UNKNOWN, "foreign": FOREIGN, "twice": GET + b"\r\n" + POST}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize(
    ("start", "unit"),
    [
        (CHUNKED + b"0\r\n", b"a: b\r\n"),
        (CHUNKED + b"0\r\nname: ", b"x" * 1000),
        (CHUNKED + b"0\r\n", b"x" * 1000),
        (CHUNKED + b"5\r\nhello\r\n0\r\n", b"Expect: 100-continue\r\n"),
        (CHUNKED + b"1;", b"x" * 1000),
        (CHUNKED + b'1;a="', b"x" * 1000),
        (CHUNKED, b"1;" + b"x" * 200 + b"\r\ny\r\n"),
        (CHUNKED, b"0" * 1000),
        (b"", b"a: b\r\n"),
        (b"name: ", b"x" * 1000),
    ],
    ids=["trailers", "value", "name", "expect", "extension", "quoted", "extensions", "zeros", "headers", "header"],
)
def test_what_is_no_body_is_cut_off(address, head, start, unit):
    before = resident()
    sent, answer = flood(address, head + start, unit)
    assert sent < FLOOD  # buffers of the system take some
    assert b"HTTP/1.1 5" not in answer
    assert resident() - before < 50_000_000


@pytest.mark.parametrize("first", [b"", GET + b"\r\n"], ids=["alone", "after a request"])
def test_empty_lines_without_an_end_are_cut_off(address, first):
    assert flood(address, first, b"\r\n")[0] < FLOOD


def test_chunks_save_up_nothing_for_trailers(address):
    chunks = b"1\r\nx\r\n" * 100_000
    sent, _ = flood(address, POST + CHUNKED + chunks + b"0\r\n", b"a: b\r\n")
    assert sent < FLOOD


@pytest.mark.parametrize("size", [HEAD_BYTES - 200, HEAD_BYTES + PIECE_BYTES + 1])
def test_a_head_is_bounded_wherever_its_parts_arrive(address, size):
    with socket.create_connection(address, 30) as connection:
        connection.sendall(GET + b"X: " + b"x" * size + b"\r\nConnection: close\r\n\r\n")
        found = b""
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65_536):
                found += part
        assert found.startswith(b"HTTP/1.1 200" if size < HEAD_BYTES else b"HTTP/1.1 400")


def received(connection, count):
    """So many answers, each of which says how long it is."""
    found = b""
    while found.count(b'{"status":"ready"}') < count:
        part = connection.recv(65_536)
        assert part
        found += part
    return found


def test_pipelines_are_answered_in_order_and_wait_outside_of_memory(address, pngs):
    """20,000 requests at once, which is 100 MB of objects where all are made at once."""
    count = 20_000
    request = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: %d\r\n\r\n"
    before, highest, numbers = resident(), 0, []
    with socket.create_connection(address, 30) as connection:
        head = POST + b"Content-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(pngs[0]) + pngs[0]
        threading.Thread(
            target=lambda: connection.sendall(head + b"".join(request % i for i in range(count))), daemon=True
        ).start()
        rest = b""
        while len(numbers) < 500:
            part = connection.recv(65_536)
            assert part
            rest += part
            numbers = [int(n) for n in re.findall(rb"x-request-id: (\d{1,5})\r", rest)]
            highest = max(highest, resident())
    assert rest.startswith(b"HTTP/1.1 200")
    assert numbers == list(range(len(numbers)))
    assert highest - before < 60_000_000


def test_pipelined_bodies_larger_than_a_read_are_answered(address, pngs):
    body = pngs[0] + b"\0" * 400_000  # what follows an image is ignored
    head = POST + b"Content-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(address, 60) as connection:
        sending = threading.Thread(target=connection.sendall, args=((head + body) * 6 + GET + b"\r\n",))
        sending.start()
        found = received(connection, 1)
        sending.join()
    assert found.count(b"HTTP/1.1 200") == 7


def test_small_chunks_and_trailers_within_limits_are_taken(address, pngs):
    chunks = b"".join(b"1;x=y\r\n%c\r\n" % byte for byte in pngs[0])
    body = CHUNKED + chunks + b"0\r\nHost: evil.example\r\n\r\n"
    with socket.create_connection(address, 30) as connection:
        connection.sendall(POST + b"Content-Type: image/png\r\n" + body + GET + b"\r\n")
        assert received(connection, 1).count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize("head", [POST, GET, UNKNOWN, FOREIGN, POST.replace(b"predict", b"nothing")])
def test_a_message_that_never_ends_is_ended(predictor, listening, monkeypatch, head):
    """Trailers and bodies that drip, answered or not."""
    monkeypatch.setattr(server_module, "DISCARD_SECONDS", 0.5)
    monkeypatch.setattr("clearsight.serving.guard.DISCARD_SECONDS", 0.5)
    with listening(predictor, ServeConfig(timeout=0.5)) as address:
        for start in (CHUNKED + b"0\r\n", CHUNKED, b"Content-Length: 1000000\r\n\r\n"):
            began = time.monotonic()
            with socket.create_connection(address, 30) as connection, contextlib.suppress(ConnectionError):
                connection.sendall(head + start)
                while time.monotonic() - began < 20:
                    connection.sendall(b"a: b\r\n" if start.endswith(b"0\r\n") else b"1\r\nx\r\n")
                    time.sleep(0.05)
            assert time.monotonic() - began < 15


def test_a_body_after_its_answer_is_bounded(address, monkeypatch):
    monkeypatch.setattr(server_module, "DISCARDED", 1_000_000)
    early = POST.replace(b"predict", b"nothing") + CHUNKED
    sent, answer = flood(address, early, b"1000\r\n" + b"x" * 4096 + b"\r\n")
    assert sent < FLOOD
    assert answer.startswith(b"HTTP/1.1 404") or not answer


def endless(message):
    async def receive():
        return message

    return receive


def test_empty_messages_come_to_an_end():
    empty = endless({"type": "http.request", "body": b"", "more_body": True})
    request = Request({"type": "http", "headers": [(b"transfer-encoding", b"chunked")]}, empty)
    assert asyncio.run(_discard(request.headers, empty)) is False
    with pytest.raises(RefusedError, match="too large"):
        asyncio.run(read_body(request, ServeConfig()))


def quick(body, kind="application/json", most=16):
    """What is wrong with a body; that takes neither long nor much memory."""
    began = time.process_time()
    with pytest.raises((DataError, RefusedError)) as caught:
        uploads(kind, body, most)
    assert time.process_time() - began < 5
    part = body[: len(body) // 20]  # measuring memory takes long
    tracemalloc.start()
    try:
        with pytest.raises((DataError, RefusedError)):
            uploads(kind, part, most)
        assert tracemalloc.get_traced_memory()[1] < 6 * len(part) + 500_000
    finally:
        tracemalloc.stop()
    text = str(getattr(caught.value, "error", caught.value))
    text.encode()  # can be answered
    assert len(text) < 1000
    return text


MANY = 2_000_000
JSONS = {
    "numbers": (b'{"images":[' + b"1," * (MANY // 2) + b"1]}", "no string for images.0"),
    "lists": (b'{"images":[' + b"[]," * (MANY // 3) + b"1]}", "no string for images.0"),
    "nested": (b'{"images":' + b"[" * MANY, "no string for images.0"),
    "nested objects": (b'{"images":' * (MANY // 10), "a value of images that is not a list"),
    "nested elsewhere": (b'{"a":' * (MANY // 5), "the unknown key a"),
    "late": (b'{"images":["aGk=",' + b"1," * (MANY // 2) + b"1]}", "no string for images.1"),
    "empty": (b'{"images":[' + b'"",' * (MANY // 3) + b'""]}', "an empty string for images.0"),
    "many": (b'{"images":[' + b'"aGk=",' * (MANY // 7) + b'"aGk="]}', "too many images in one request"),
    "huge": (b'{"images":' + b"9" * MANY + b"}", "a value of images that is not a list"),
    "nan": (b'{"images":[NaN' + b",NaN" * (MANY // 4) + b"]}", "no string for images.0"),
    "key": (b'{"' + b"k" * MANY + b'":1}', "the unknown key k"),
    "key of surrogates": (b'{"' + b"\\ud800" * (MANY // 6) + b'":1}', "the unknown key "),
    "keys": (b"{" + b'"a":1,' * (MANY // 6) + b'"b":1}', "the unknown key a"),
    "same key": (b"{" + b'"images":["!"],' * (MANY // 15) + b'"images":["!"]}', "the key images twice"),
    "long": (b'{"images":["' + b"!" * MANY + b'"]}', "image #0 is not base64"),
    "escaped": (b'{"images":["' + b"\\/" * (MANY // 2) + b'!"]}', "image #0 is not base64"),
    "surrogates": (b'{"images":["' + b"\\ud800" * (MANY // 6) + b'"]}', "image #0 is not base64"),
    "not UTF-8": (b'{"images":["' + b"\xff" * MANY + b'"]}', "image #0 is not base64"),
    "emoji": (b'{"images":["' + "\U0001f600".encode() * (MANY // 4) + b'"]}', "image #0 is not base64"),
    "space": (b" " * MANY + b"x", "no { at byte"),
    "no end": (b'{"images":["' + b"A" * MANY, "invalid JSON in images.0 (Unterminated string"),
    "backslashes": (b'{"images":["' + b"\\" * MANY, "invalid JSON in images.0 ("),
    "commas": (b'{"images":[' + b"," * MANY, "no string for images.0"),
    "more": (b'{"images":["aGk="]}' + b"{}" * (MANY // 2), "extra content after the object, at byte 19"),
    "nothing": (b"", "no { at byte 0"),
    "no images": (b"{}", "no key images"),
}


@pytest.mark.parametrize("name", JSONS)
def test_json_is_read_up_to_its_first_error(name):
    body, words = JSONS[name]
    assert words in quick(body)


def test_json_as_others_write_it_is_read():
    for text in (
        ' {\n"images" :\t[ "aGk=" , "aG\\u006b=" ] } \r\n', '{"images":["data:image/png;base64,aGk=","aGk="]}',
    ):  # fmt: skip
        assert [found.content for found in uploads("application/json", text.encode(), 2)] in (
            [b"hi", b"hi"], [b"hi", b"hy"],
        )  # fmt: skip


FORM = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="a"; filename="x"\r\n'
FORMS = {
    "parts": (PART + b"\r\n\r\n" + (PART + b"\r\n\r\n") * (MANY // 70), "too many images"),
    "headers": (PART + b"a: b\r\n" * (MANY // 6), "eader"),
    "name": (PART + b"a" * MANY, "eader"),
    "value": (PART + b"a: " + b"b" * MANY, "eader"),
    "spaces": (PART + b"a:" + b" " * MANY, "eader"),
    "quotes": (b'--b\r\nContent-Disposition: form-data; filename="' + b'";' * (MANY // 2), "eader"),
    "no end": (PART + b"\r\n" + b"\r\n--" * (MANY // 4), "incomplete multipart body"),
    "almost": (PART + b"\r\n" + b"\r\n--bx" * (MANY // 6), "incomplete multipart body"),
    "lines": (b"\r\n" * (MANY // 2), "cannot be read"),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_are_read_up_to_their_first_error(name):
    body, words = FORMS[name]
    assert words in quick(body, FORM)


def test_what_follows_a_form_is_not_read():
    body = PART + b"\r\nhi\r\n--b--\r\n" + b"\r\n--b\r\n" * (MANY // 7)
    began = time.process_time()
    assert [found.content for found in uploads(FORM, body, 2)] == [b"hi"]
    assert time.process_time() - began < 2


def test_content_types_are_bounded():
    assert "no boundary" in quick(PART, "multipart/form-data")
    assert "Content-Type is too long" in quick(b"x", "multipart/form-data; boundary=" + '";' * 30_000)


def test_options_are_bounded(address):
    with httpx2.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=30) as client:
        for path in ("predict", "explain", "search", "attack", "maps", "units"):
            for query in ("a=1&" * 10_000, "a" * 50_000, "target=" + "9" * 5_000, "&" * 50_000, "top=" + "9" * 20_000):
                began = time.monotonic()
                found = client.post(f"/v1/{path}?{query}", content=b"x")
                assert found.status_code == 422
                assert "the query string is too long" in found.json()["detail"]
                assert time.monotonic() - began < 5
            found = client.post(f"/v1/{path}?{'a' * 4000}", content=b"x")
            assert found.status_code == 422
            assert len(found.text) < 2000


def test_a_large_malformed_body_does_not_hold_up_others(address):
    """Others are answered while it is read, and memory grows by a few times its size."""
    base = f"http://{address[0]}:{address[1]}"
    body = b'{"images":[' + b"1," * 7_400_000 + b"1]}"
    before, done = resident(), []
    with httpx2.Client(base_url=base, timeout=60) as client:

        def send():
            kind = {"Content-Type": "application/json"}
            done.append(httpx2.post(f"{base}/v1/predict", content=body, headers=kind, timeout=60).status_code)

        asking = threading.Thread(target=send)
        asking.start()
        slowest = highest = 0.0
        while asking.is_alive():
            began = time.monotonic()
            assert client.get("/health").status_code == 200
            slowest, highest = max(slowest, time.monotonic() - began), max(highest, resident())
        asking.join()
    assert done == [422]
    assert slowest < 5
    assert highest - before < 10 * len(body)
