"""From a request to the bytes of images. What they are is found out by decoding them; types and names that a client
states are not trusted, and there is no way to name a file of this machine.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING

import python_multipart
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from clearsight.errors import ClearsightError, DataError
from clearsight.serving.json_images import image_texts, too_many
from clearsight.serving.problems import RefusedError
from clearsight.serving.settings import (
    CONTENT_TYPE_BYTES,
    DISCARDED,
    EMPTY_MESSAGES,
    PART_HEADER_BYTES,
    PART_HEADERS,
    ServeConfig,
)

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

RAW = ("application/octet-stream", "image/*", "audio/*")
FORM = "multipart/form-data"
JSON = "application/json"

FORM_PIECE = 65_536
"""Bytes of a form that are parsed at once: a header without an end is refused after so many."""


@dataclass(frozen=True)
class Upload:
    """One image as it was sent: what to call it, and its bytes."""

    name: str
    content: bytes


async def read_body(request: Request, config: ServeConfig) -> bytes:
    """The whole body; RefusedError 413 where it is too large, 408 where it comes too slowly."""
    content = bytearray()  # a list of parts would take some 50 bytes for each, and a part may hold a single one
    total = empty = 0
    try:
        async with asyncio.timeout(config.timeout):
            more = True
            while more and empty < EMPTY_MESSAGES and total <= max(DISCARDED, config.body_bytes):
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                part, more = message.get("body", b""), message.get("more_body", False)
                total += len(part)
                empty += not part
                if total <= config.body_bytes:
                    content += part
                elif content:
                    content = bytearray()
    except TimeoutError:
        raise RefusedError(
            408,
            DataError(
                "the request did not arrive in time",
                found=f"{total:,} bytes in {config.timeout:g} s",
                fix="send it faster or raise --timeout",
            ),
            close=True,
        ) from None
    if more or total > config.body_bytes:
        raise too_large(config, close=more)
    return bytes(content)


def too_large(config: ServeConfig, *, close: bool) -> RefusedError:
    """413 for a body over the limit."""
    return RefusedError(
        413,
        DataError(
            "the request is too large",
            expected=f"at most {config.max_body:g} MB",
            fix="scale the images down, send fewer images or raise --max-body",
        ),
        close=close,
    )


def uploads(content_type: str, body: bytes, most: int) -> list[Upload]:
    """The images in a body, at most so many; RefusedError 415 for another kind of body, 422 for one that holds none."""
    if len(content_type) > CONTENT_TYPE_BYTES:
        raise RefusedError(
            415,
            DataError(
                "the Content-Type is too long",
                found=f"{len(content_type):,} characters",
                expected=f"at most {CONTENT_TYPE_BYTES:,}",
            ),
        )
    kind, options = parse_options_header(content_type)
    media = kind.decode("latin-1")
    try:
        if media == FORM:
            found = _form(body, options.get(b"boundary", b""), most)
        elif media == JSON:
            found = _json(body, most)
        elif not media or media == RAW[0] or media.startswith(("image/", "audio/")):
            found = [Upload("#0", body)] if body else []
        else:
            raise RefusedError(
                415,
                DataError(
                    "this content type is not supported",
                    found=f"Content-Type {media[:60]!r}",
                    expected=f"{FORM}, {JSON}, {', '.join(RAW)}",
                ),
            )
        if not found:
            raise DataError(
                "the request contains no image", found="an empty body or form", expected="at least one image"
            )
    except DataError as error:
        raise RefusedError(422, error) from None
    return found


def _json(body: bytes, most: int) -> list[Upload]:
    texts = image_texts(body.decode("latin-1"), most)  # one byte a character; what is not ASCII is no base64 either
    found = []
    for number in range(len(texts)):
        text, texts[number] = texts[number], ""  # so that each image is in memory once
        head, comma, tail = text.partition(",")
        try:
            content = base64.b64decode(tail if comma and head.startswith("data:") else text, validate=True)
        except (binascii.Error, ValueError):
            raise DataError(
                f"image #{number} is not base64",
                expected="the characters A-Z, a-z, 0-9, + and /, with = only at the end",
            ) from None
        found.append(Upload(f"#{number}", content))
    return found


class _Form:
    """Collects the files of a multipart body in memory; fields without a file name are refused, as none is known."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.found: list[Upload] = []
        self._field, self._value = bytearray(), bytearray()
        self._disposition = b""
        self._headers = self._header_bytes = 0
        self._content = bytearray()
        self.ended = False

    def on_part_begin(self) -> None:
        if len(self.found) >= self.most:
            raise too_many(self.most)
        self._disposition, self._content = b"", bytearray()
        self._headers = self._header_bytes = 0

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._field += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > PART_HEADER_BYTES:
            raise _unreadable("file headers that are too long", expected=f"at most {PART_HEADER_BYTES:,} bytes")

    def on_header_end(self) -> None:
        self._headers += 1
        if self._headers > PART_HEADERS:
            raise _unreadable("too many headers for one file", expected=f"at most {PART_HEADERS}")
        if self._field.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._field, self._value = bytearray(), bytearray()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def on_part_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options:
            raise DataError(
                "a field of the form is not a file",
                expected="only files in the form, and options such as top and coverage in the URL",
                fix="with curl, use -F image=@photo.jpg",
            )
        name = PureWindowsPath(options[b"filename"].decode("utf-8", "replace")).name  # knows / and \\ alike
        shown = "".join(c if c.isprintable() else "?" for c in name)[:100]
        self.found.append(Upload(shown or f"#{len(self.found)}", bytes(self._content)))
        self._content = bytearray()

    def on_end(self) -> None:
        self.ended = True


def _form(body: bytes, boundary: bytes, most: int) -> list[Upload]:
    if not boundary:
        raise _unreadable("no boundary in Content-Type", expected=f"{FORM}; boundary=...")
    form = _Form(most)
    callbacks: MultipartCallbacks = {
        "on_part_begin": form.on_part_begin,
        "on_header_field": form.on_header_field,
        "on_header_value": form.on_header_value,
        "on_header_end": form.on_header_end,
        "on_part_data": form.on_part_data,
        "on_part_end": form.on_part_end,
        "on_end": form.on_end,
    }
    try:
        parser = MultipartParser(boundary, callbacks)
        for start in range(0, len(body), FORM_PIECE):
            parser.write(body[start : start + FORM_PIECE])
            if form.ended:
                break
        parser.finalize()
    except ClearsightError:
        raise
    except (python_multipart.exceptions.FormParserError, ValueError) as error:
        raise _unreadable(" ".join(str(error).split())[:120]) from None
    if not form.ended:
        raise _unreadable("an incomplete multipart body", expected="the closing boundary after the last file")
    return form.found


def _unreadable(found: str, expected: str | None = None) -> DataError:
    return DataError("the form cannot be read", found=found, expected=expected)
