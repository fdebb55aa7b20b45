"""Images of clients are decoded in processes that a hostile file can only end, not stop or fill."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress

import pytest

from clearsight.data.decode import DecodeRule, decode
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.errors import ImageError
from clearsight.serving import decoders as module
from clearsight.serving.decoders import Decoders, DecodersLostError
from tests.bombs import png

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")

RULE = DecodeRule(PixelFormat(3, 8), Geometry(20, 30))


@contextmanager
def made(workers=1, max_pixels=25_000_000, seconds=30.0, memory=600_000_000):
    decoders = Decoders(RULE, workers=workers, max_pixels=max_pixels, seconds=seconds, memory=memory)
    try:
        yield decoders
    finally:
        decoders.stop()


def decoded(decoders, *contents):
    async def all_of_them():
        return await asyncio.gather(*(decoders.decode(c, "x.png") for c in contents), return_exceptions=True)

    return asyncio.run(all_of_them())


def test_pixels_and_errors_are_those_of_the_decoder(pngs):
    with made() as decoders:
        *found, broken, none = decoded(decoders, *pngs[:5], pngs[0][:60], b"text")
    for pixels, content in zip(found, pngs, strict=False):
        assert (pixels == decode(content, "x.png", RULE.form, RULE.geometry)).all()
    for error, content in ((broken, pngs[0][:60]), (none, b"text")):
        with pytest.raises(ImageError) as caught:
            decode(content, "x.png", RULE.form, RULE.geometry)
        assert str(error) == str(caught.value)


def test_an_image_that_takes_too_long_ends_its_process_alone(pngs):
    with made(seconds=0.3) as decoders:
        late, quick = decoded(decoders, b"P3 2000 2000 255\n" + b"1 2 3 " * 1_000_000, pngs[0])
        assert isinstance(late, ImageError)
        assert "takes too long to decode; found more than 0.3 s" in str(late)
        assert quick.shape == (3, 20, 30)
        assert decoded(decoders, pngs[0])[0].shape == (3, 20, 30)


def test_an_image_that_needs_too_much_memory_is_refused(pngs):
    with made(memory=60_000_000) as decoders:
        large, small = decoded(decoders, png(4000, 4000, 8, 6), pngs[0])
        assert "needs too much memory to decode; found more than 60 MB" in str(large)
        assert small.shape == (3, 20, 30)


def test_a_process_that_ended_while_it_waited_is_replaced(pngs):
    """Its end is no fault of the next file."""
    with made() as decoders:
        for _ in range(3):
            decoders.start()
        for process, connection in decoders._made._idle[0].queue[:2]:
            os.kill(process, signal.SIGKILL)
            select.select([connection], [], [], 30)  # until it has ended
        module._PROGRAM.kill(decoders._made._idle[0].queue[2][0])
        found = [decoded(decoders, pngs[0])[0] for _ in range(3)]
        assert all(pixels.shape == (3, 20, 30) for pixels in found)
        assert decoders._made._idle[0].qsize() == 1


def test_a_process_that_ends_while_it_decodes_is_replaced(pngs, monkeypatch):
    with made() as decoders:
        ask = decoders._made._asked
        monkeypatch.setattr(
            decoders._made, "_asked",
            lambda connection, *file: [os.kill(decoders._made.at_work, signal.SIGKILL), ask(connection, *file)][1],
        )  # fmt: skip
        decoders.start()
        decoders._made.at_work = decoders._made._idle[0].queue[0][0]
        (error,) = decoded(decoders, pngs[0])
        assert "found a file that ends the decoder" in str(error)
        monkeypatch.setattr(decoders._made, "_asked", ask)
        assert decoded(decoders, pngs[0])[0].shape == (3, 20, 30)


def test_only_processes_of_the_program_are_ended(pngs):
    """After the program was replaced, the number of a process that it did not fork may be that of any other."""
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with made() as decoders:
        decoders.start()
        module._PROGRAM.kill(other.pid)
        assert decoded(decoders, pngs[0])[0].shape == (3, 20, 30)
    assert other.poll() is None
    other.communicate(b"\n")
    assert other.returncode == 0


def test_the_program_that_forks_is_replaced(pngs):
    with made() as decoders:
        decoders.start()
        module._PROGRAM._process.kill()
        module._PROGRAM._process.wait()
        decoders._made._idle[0].get()[1].close()
        assert decoded(decoders, pngs[0])[0].shape == (3, 20, 30)


def test_without_processes_there_is_one_error(pngs, monkeypatch):
    def refused(*arguments, **named):
        raise OSError(12, "Cannot allocate memory")

    module._PROGRAM.end()
    monkeypatch.setattr(module.subprocess, "Popen", refused)
    with made() as decoders:
        (error,) = decoded(decoders, pngs[0])
    assert isinstance(error, DecodersLostError)
    assert "Cannot allocate memory" in str(error)


ANSWERS = (
    b"", b"\0\0\0\2{}", b"\0\0\0\2[]", b"\xff\xff\xff\xff", b"\0\0\0\4null",
    b'\0\0\0\x1e{"shape": [9], "dtype": "int8"}',
)  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS[1:])
def test_what_a_process_sends_unasked_answers_no_request(answer, pngs):
    with made() as decoders:
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.sendall(answer)
            decoders._made._idle[0].put((2**22 + 1, ours))
            assert decoded(decoders, pngs[0])[0].shape == (3, 20, 30)


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_a_process_sends_is_not_trusted(answer, pngs):
    with made() as decoders:
        ours, theirs = socket.socketpair()

        def answered():
            with theirs, suppress(OSError):  # the other side closes
                theirs.recv(1)
                theirs.sendall(answer)
                theirs.shutdown(socket.SHUT_WR)
                while theirs.recv(10_000):
                    pass

        thread = threading.Thread(target=answered)
        thread.start()
        decoders._made._idle[0].put((2**22 + 1, ours))
        (error,) = decoded(decoders, pngs[0])
        thread.join()
        assert isinstance(error, ImageError)
        assert "cannot be decoded" in str(error)


def test_large_images_keep_no_small_ones_waiting(pngs, monkeypatch):
    """Those at work here end only after the small ones."""
    small_ended = threading.Event()

    with made() as decoders:
        decode_one = decoders._made.decode
        monkeypatch.setattr(decoders._made, "decode", lambda *a: small_ended.wait(60) if a[2] else decode_one(*a))

        async def ended():
            large = [asyncio.create_task(decoders.decode(png(3000, 3000), "large")) for _ in range(3)]
            small = await asyncio.gather(*(decoders.decode(content, "small") for content in pngs[:5]))
            small_ended.set()
            return small, await asyncio.gather(*large)

        small, large = asyncio.run(ended())
    assert all(pixels.shape == (3, 20, 30) for pixels in small)
    assert large == [True] * 3


def test_the_program_imports_no_torch():
    code = "import sys, clearsight.data.decoder_process; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
