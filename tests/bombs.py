"""Files and requests that cost far more to decode than to send: small ones for the tests, full ones for the long tier.

`BOMBS[kind](rng)` returns the bytes of a file; the same numbers give the same file.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def _file(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _noise(rng, side, mode="RGB"):
    shape = (side, side, len(mode)) if len(mode) > 1 else (side, side)
    return Image.fromarray(np.random.default_rng(rng.randrange(2**32)).integers(0, 256, shape, dtype=np.uint8))


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, bits=8, colour=2, before=b"", rows=None):
    """A PNG of zeros, or with `rows` as its compressed pixels."""
    size = height * (1 + width * {0: 1, 2: 3, 4: 2, 6: 4}[colour] * bits // 8)
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    if rows is None:
        packer, parts = zlib.compressobj(9), []
        for start in range(0, size, 1_000_000):
            parts.append(packer.compress(bytes(min(1_000_000, size - start))))
        rows = b"".join([*parts, packer.flush()])
    body = chunk(b"IHDR", head) + before + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def size(rng):
    side = rng.choice((20_000, 60_000))
    return png(side, side, 8, 0, rows=zlib.compress(bytes(1_000_000)))


def depth(rng):
    return png(rng.randrange(3600, 5000), 5000, 16, 6)


def largest(rng):
    return png(5000, rng.randrange(4500, 5000), 8, 6)


def scans(rng):
    """A progressive JPEG whose last scan comes again and again."""
    content = _file(Image.new("RGB", (rng.randrange(500, 900),) * 2), "JPEG", progressive=True, quality=20)
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * rng.randrange(2_000, 20_000) + content[-2:]


def few_scans(rng):
    """As many scans as are decoded, over as many pixels."""
    content = _file(Image.new("RGB", (4900, 4900)), "JPEG", progressive=True, quality=20)
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * rng.randrange(70, 85) + content[-2:]


def png_chunks(rng):
    return png(8, 8, before=chunk(b"abCd", b"") * rng.randrange(200_000, 1_000_000))


def png_text(rng):
    return png(8, 8, before=chunk(b"tEXt", b"a\0" + bytes(9_000_000)))


def png_unpacked_text(rng):
    return png(8, 8, before=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(rng.randrange(10**7, 10**8)))) * 50)


def png_profile(rng):
    return png(8, 8, before=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(rng.randrange(10**7, 10**8)))))


def jpeg_profile(rng):
    content = _file(_noise(rng, 50), "JPEG")
    profile = b"\xff\xe2" + struct.pack(">H", 65_000) + b"ICC_PROFILE\0\1\xff" + bytes(64_984)
    return content[:2] + profile * rng.randrange(150, 200) + content[2:]


def gif_comments(rng):
    content = _file(_noise(rng, 50, "L"), "GIF")
    start = 13 + (3 << (content[10] & 7) + 1 if content[10] & 0x80 else 0)
    comment = b"\x21\xfe" + (b"\xff" + b"x" * 255) * rng.randrange(30_000, 50_000) + b"\0"
    return content[:start] + comment + content[start:]


def gif_frames(rng):
    content = _file(_noise(rng, 20, "L"), "GIF")
    start = content.index(b"\x2c", 13 + 768)
    return content[:-1] + content[start:-1] * rng.randrange(5_000, 20_000) + b";"


def webp_frames(rng):
    frames = [_noise(rng, 16) for _ in range(2)]
    content = _file(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    start = content.index(b"ANMF")
    length = 8 + int.from_bytes(content[start + 4 : start + 8], "little")
    body = content[8:start] + content[start : start + length] * rng.randrange(12_000, 15_000)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_largest(rng):
    return _file(Image.new("RGBA", (5000, rng.randrange(4500, 5000))), "WEBP", lossless=True)


def avif_largest(rng):
    return _file(Image.new("RGB", (5000, rng.randrange(4500, 5000))), "AVIF", speed=10)


def _tiff(entries, pages=1):
    """A TIFF of one pixel whose directory has more entries."""
    usual = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1),
             (278, 3, 1, 1), (279, 4, 1, 1)]  # fmt: skip
    listed = sorted([*usual, *entries])
    size, content, place = 2 + 12 * len(listed) + 4, [], 16
    for number in range(pages):
        following = 0 if number == pages - 1 else place + size
        entries = b"".join(struct.pack("<HHII", *e) for e in listed)
        content.append(struct.pack("<H", len(listed)) + entries + struct.pack("<I", following))
        place += size
    return b"II*\0" + struct.pack("<I", 16) + bytes(8) + b"".join(content)


def tiff_tags(rng):
    return _tiff([(40_000 + k % 20_000, 7, rng.randrange(1, 10**6), 0) for k in range(60_000)])


def tiff_pages(rng):
    return _tiff([], pages=rng.randrange(50_000, 100_000))


def tiff_strips(rng):
    count = rng.randrange(10**6, 3 * 10**6)
    entries = [(256, 3, 1, 1), (257, 4, 1, count), (273, 4, count, 200), (278, 3, 1, 1), (279, 4, count, 200)]
    body = struct.pack("<H", 5) + b"".join(struct.pack("<HHII", *e) for e in entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + body + bytes(200 + 4 * count)


def dicom_elements(rng):
    elements = b"".join(struct.pack("<HH2sH2s", 0x0011, k & 0xFFFF, b"LO", 2, b"ab") for k in range(65_000))
    head = struct.pack("<HH2sH", 2, 0x10, b"UI", 20) + b"1.2.840.10008.1.2.1\0"
    group = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(head))
    return bytes(128) + b"DICM" + group + head + elements * rng.randrange(10, 22)


def dicom_items(rng):
    head = struct.pack("<HH2sH", 2, 0x10, b"UI", 20) + b"1.2.840.10008.1.2.1\0"
    group = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(head))
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * rng.randrange(500_000, 1_500_000)
    return bytes(128) + b"DICM" + group + head + struct.pack("<HH2sHI", 0x11, 1, b"SQ", 0, len(items)) + items


def ppm_text(rng):
    return b"P3 2000 2000 255\n" + b"1 2 3 " * rng.randrange(2_000_000, 2_600_000)


def bmp_runs(rng):
    side = rng.randrange(2500, 3500)
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, 0, 0, 0, 256, 0)
    runs = b"\1\0" * (side * side // 2)
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(runs), 0, 0, 54 + 1024) + head + bytes(1024) + runs


def npy_header(rng):
    text = b"{'descr': " + b"(" * rng.randrange(10**5, 10**6)
    return b"\x93NUMPY\2\0" + struct.pack("<I", len(text)) + text


def jxl_largest(rng):
    import imagecodecs

    return imagecodecs.jpegxl_encode(np.zeros((rng.randrange(4000, 9000), 5000, 3), np.uint8), level=0, effort=1)


BOMBS = {
    made.__name__.strip("_"): made
    for made in (
        size, depth, largest, scans, few_scans, png_chunks, png_text, png_unpacked_text, png_profile, jpeg_profile,
        gif_comments, gif_frames, webp_frames, webp_largest, avif_largest, tiff_tags, tiff_pages, tiff_strips,
        dicom_elements, dicom_items, ppm_text, bmp_runs, npy_header, jxl_largest,
    )
}  # fmt: skip
