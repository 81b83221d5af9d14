"""Pictures to start from: what is taken, what is refused with one sentence, and what comes out."""

import io
import struct
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, PngImagePlugin

from limner.bot.app import App
from limner.bot.errors import BadPicture
from limner.bot.storage.input_images import BROKEN, KIND, MOVING, NARROW, read_picture

MOST = 4_000_000


def drawn(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).rectangle((0, 0, size[0] // 2, size[1] // 2), fill=(200, 30, 30))
    return picture.convert(mode)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def near(pixel: Any, wanted: tuple[int, int, int], by: int = 40) -> bool:
    return all(abs(a - b) <= by for a, b in zip(pixel, wanted, strict=True))


def png_of(width: int, height: int) -> bytes:
    """A PNG file that says it is huge, in some bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGB", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("RGB", "JPEG"), ("CMYK", "JPEG"), ("RGB", "WEBP")],
)
def test_every_usual_kind_becomes_upright_rgb(mode: str, kind: str):
    picture = read_picture(saved(drawn(mode), kind), MOST)

    assert (picture.mode, picture.size) == ("RGB", (60, 40))
    assert near(picture.getpixel((5, 5)), (200, 30, 30))
    assert near(picture.getpixel((55, 35)), (255, 255, 255))


def test_16_bits_of_grey_are_not_washed_out():
    grey = Image.new("I;16", (40, 40), 128 * 256)

    assert near(read_picture(saved(grey), MOST).getpixel((5, 5)), (128, 128, 128), by=1)


def test_what_is_transparent_is_white():
    assert near(read_picture(saved(Image.new("RGBA", (40, 40), (0, 0, 0, 0))), MOST).getpixel((5, 5)), (255, 255, 255))


def test_it_is_turned_as_the_camera_says_and_everything_else_the_camera_says_is_left_out():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    picture = read_picture(saved(drawn(), "JPEG", exif=exif, quality=95), MOST)

    assert picture.size == (40, 60)
    assert near(picture.getpixel((35, 5)), (200, 30, 30))
    assert b"Camera" not in saved(picture)


def test_a_large_one_is_made_smaller():
    assert max(read_picture(saved(drawn(size=(3000, 1500)), "JPEG"), 10_000_000).size) == 2048


def two_frames(kind: str) -> bytes:
    return saved(drawn(), kind, save_all=True, append_images=[drawn("L").convert("RGB")], duration=100)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", KIND),
        (b"hello", KIND),
        (saved(drawn(), "GIF"), KIND),
        (saved(drawn(), "TIFF"), KIND),
        (two_frames("WEBP"), MOVING),
        (two_frames("PNG"), MOVING),
        (saved(drawn(size=(900, 10))), NARROW),
        (saved(drawn(size=(400, 400)), "JPEG")[:-800], BROKEN),
        (saved(Image.effect_noise((200, 200), 90))[:-3000], BROKEN),
        (png_of(30_000, 30_000), "That picture has over 4 million pixels; choose a smaller one."),
        (png_of(2**31 - 1, 2**31 - 1), "That picture has over 4 million pixels; choose a smaller one."),
    ],
)
def test_what_cannot_be_used_is_refused_with_one_sentence(data: bytes, sentence: str):
    began = time.monotonic()
    with pytest.raises(BadPicture) as refused:
        read_picture(data, MOST)

    assert str(refused.value) == sentence
    assert time.monotonic() - began < 5


def test_a_text_chunk_that_unpacks_to_gigabytes_does_not():
    info = PngImagePlugin.PngInfo()
    info.add_text("bomb", "0" * 20_000_000, zip=True)
    data = saved(drawn(), pnginfo=info)
    assert len(data) < 100_000

    with pytest.raises(BadPicture):
        read_picture(data, MOST)


FILES = [saved(drawn(), kind) for kind in ("PNG", "JPEG", "WEBP")]


@given(data=st.data())
def test_no_file_however_broken_brings_anything_but_a_sentence(data: st.DataObject):
    file = bytearray(data.draw(st.sampled_from(FILES)))
    for _ in range(data.draw(st.integers(1, 8))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    with suppress(BadPicture):
        assert read_picture(bytes(file[: data.draw(st.integers(0, len(file)))]), MOST).mode == "RGB"


def test_the_same_picture_is_one_file_whatever_it_was_called(app: App):
    first, second = app.inputs.store(saved(drawn())), app.inputs.store(saved(drawn(), optimize=True))

    assert first == second
    assert app.images.open(first).size == (60, 40)


def test_a_file_of_too_many_bytes_is_refused_before_it_is_read(app: App):
    refuse: Callable[[int], None] = app.inputs.check_size
    refuse(10 * 2**20)
    with pytest.raises(BadPicture, match="over 10 MB"):
        refuse(10 * 2**20 + 1)
