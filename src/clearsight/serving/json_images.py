"""The strings of `{"images": ["BASE64", ...]}`. The text is read up to the first thing that does not belong there: a
parser of any JSON makes objects many times as large as the text, and a validator an error for each of them, before
anything can be answered.
"""

from __future__ import annotations

import re
from json import JSONDecodeError, JSONDecoder

from clearsight.errors import DataError

_DECODER = JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


def too_many(most: int) -> DataError:
    return DataError("too many images in one request", expected=f"at most {most}", fix="send several requests")


def image_texts(text: str, most: int) -> list[str]:
    """The strings under "images", at most so many; DataError for anything else."""
    reader = _Reader(text)
    reader.expect("{")
    texts: list[str] | None = None
    if not reader.takes("}"):
        while True:
            key = reader.string("the key")
            if key != "images":
                shown = key[:40].encode("ascii", "backslashreplace").decode()
                raise _unexpected(f"the unknown key {shown}")
            if texts is not None:  # else a body of a million keys would be read to its end
                raise _unexpected("the key images twice")
            reader.expect(":")
            texts = _items(reader, most)
            if not reader.takes(","):
                break
        reader.expect("}")
    if reader.place != len(text):
        raise _unexpected(f"extra content after the object, at byte {reader.place}")
    if texts is None:
        raise _unexpected("no key images")
    return texts


def _items(reader: _Reader, most: int) -> list[str]:
    if not reader.takes("["):
        raise _unexpected("a value of images that is not a list")
    if reader.takes("]"):
        raise _unexpected("an empty list of images")
    texts: list[str] = []
    while True:
        name = f"images.{len(texts)}"
        item = reader.string(name)
        if not item:
            raise _unexpected(f"an empty string for {name}")
        if len(texts) == most:
            raise too_many(most)
        texts.append(item)
        if not reader.takes(","):
            reader.expect("]")
            return texts


class _Reader:
    """A text, and the place that it is read up to."""

    def __init__(self, text: str) -> None:
        self.text, self.place = text, 0
        self._skip(0)

    def _skip(self, place: int) -> None:
        found = _SPACE.match(self.text, place)
        assert found is not None
        self.place = found.end()

    def takes(self, sign: str) -> bool:
        """Read a sign and the space after it, where it comes next."""
        if not self.text.startswith(sign, self.place):
            return False
        self._skip(self.place + 1)
        return True

    def expect(self, sign: str) -> None:
        if not self.takes(sign):
            raise _unexpected(f"no {sign} at byte {self.place}")

    def string(self, name: str) -> str:
        if not self.text.startswith('"', self.place):
            raise _unexpected(f"no string for {name}")
        try:
            found, end = _DECODER.raw_decode(self.text, self.place)
        except JSONDecodeError as error:
            raise _unexpected(f"invalid JSON in {name} ({error.msg}: byte {error.pos})") from None
        self._skip(end)
        return str(found)


def _unexpected(found: str) -> DataError:
    return DataError("the JSON does not have the expected form", found=found, expected='{"images": ["BASE64", ...]}')
