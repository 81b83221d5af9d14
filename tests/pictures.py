"""Picture files as cameras, programs and attackers make them."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image, ImageDraw

RED, WHITE = (200, 30, 30), (255, 255, 255)


def drawn(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    """White, with a red rectangle from the upper left corner to the middle."""
    picture = Image.new("RGB", size, WHITE)
    ImageDraw.Draw(picture).rectangle((0, 0, size[0] // 2, size[1] // 2), fill=RED)
    return picture.convert(mode)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def two_frames(kind: str) -> bytes:
    """An animation, or a phone's two pictures in one file (MPO): the first one is `drawn`."""
    other = Image.new("RGB", (60, 40), "blue")
    return saved(drawn(), kind, save_all=True, append_images=[other], **({} if kind == "MPO" else {"duration": 100}))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int) -> bytes:
    """A PNG file that says it is huge, in some bytes."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def png_bomb(width: int, height: int) -> bytes:
    """A whole PNG file of transparent pixels: a thousandth of what it unpacks to."""
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    pack, row = zlib.compressobj(9), bytes(1 + 4 * width)
    pixels = b"".join(pack.compress(row) for _ in range(height)) + pack.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """The PNG file with one more chunk after its header."""
    return png[:33] + chunk(kind, data) + png[33:]


def with_segment(jpeg: bytes, marker: int, data: bytes) -> bytes:
    """The JPEG file with one more segment at its beginning."""
    return jpeg[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data + jpeg[2:]


def display_p3() -> bytes:
    """A colour profile of Display P3, as phones write it (primaries adapted to D50; ICC.1:2010, matrix and curves)."""
    gamma = b"curv" + bytes(4) + struct.pack(">IH", 1, int(2.2 * 256))
    colours = {
        b"rXYZ": (0.515, 0.2412, -0.001),
        b"gXYZ": (0.292, 0.6922, 0.0419),
        b"bXYZ": (0.1571, 0.0666, 0.7841),
        b"wtpt": (0.9642, 1.0, 0.8249),
    }
    tags = {name: b"XYZ " + struct.pack(">4x3i", *(round(65536 * n) for n in xyz)) for name, xyz in colours.items()}
    return _profile(b"RGB ", b"XYZ ", b"mntr", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma))


def printer_profile(lab_of_cyan: tuple[int, int, int]) -> bytes:
    """A CMYK profile: black ink is black, cyan ink alone is that Lab (8 bits each), and all else is white."""
    black, cyan, white = bytes((0, 128, 128)), bytes(lab_of_cyan), bytes((255, 128, 128))
    grid = b"".join(black if corner & 1 else cyan if corner & 8 else white for corner in range(16))
    line = bytes(range(256))
    head = struct.pack(">BBBx9i", 4, 3, 2, 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    return _profile(b"CMYK", b"Lab ", b"prtr", {b"A2B0": b"mft1" + bytes(4) + head + line * 4 + grid + line * 3})


def _profile(space: bytes, connected: bytes, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(79), **tags}
    table, body, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s12x4s", offset + len(body), b"lcms", 0x02100000, kind, space, connected, b"acsp")
    head += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
