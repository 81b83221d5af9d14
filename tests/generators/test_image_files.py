"""Every picture file that somebody else made: what comes out of it, and what is refused."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from limner.generators.image_files import FORMATS, OWN_FORMATS, BadImage, FileFault, encode_png, open_image
from tests.pictures import (
    RED,
    WHITE,
    display_p3,
    drawn,
    png_bomb,
    png_of,
    printer_profile,
    saved,
    two_frames,
    with_chunk,
    with_segment,
)

ROOT = Path(__file__).resolve().parent.parent.parent


def near(pixel: Any, wanted: tuple[int, int, int], by: int = 40) -> bool:
    return all(abs(a - b) <= by for a, b in zip(pixel, wanted, strict=True))


def oriented(value: object) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = value, "Camera"
    return exif


@pytest.mark.parametrize("kind", [*OWN_FORMATS, "MPO"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "1", "CMYK"])
def test_every_usual_kind_becomes_rgb_without_metadata(mode: str, kind: str):
    try:
        data = saved(drawn(mode), kind)
    except (OSError, ValueError):
        pytest.skip("there is no such file")
    picture = open_image(data, formats=OWN_FORMATS)
    assert (picture.mode, picture.size, picture.info) == ("RGB", (60, 40), {})
    assert near(picture.getpixel((55, 35)), WHITE)
    assert near(picture.getpixel((5, 5)), RED) or mode in ("L", "LA", "1")


@pytest.mark.parametrize("kind", ["MPO", "GIF", "WEBP", "PNG"])
def test_of_several_frames_the_first_is_taken(kind: str):
    picture = open_image(two_frames(kind))
    assert (picture.size, near(picture.getpixel((5, 5)), RED)) == ((60, 40), True)


def test_every_orientation_is_applied_also_to_what_is_transparent():
    clear = drawn("RGBA")
    clear.putpixel((59, 39), (0, 0, 0, 0))
    for orientation in range(1, 9):
        corners: set[Any] = set()
        for data in (
            saved(drawn(), "JPEG", exif=oriented(orientation), quality=95),
            saved(drawn(), "PNG", exif=oriented(orientation)),
            saved(clear, "PNG", exif=oriented(orientation)),
            saved(clear, "WEBP", exif=oriented(orientation), lossless=True),
            saved(drawn(), "TIFF", exif=oriented(orientation)),
        ):
            picture = open_image(data, formats=OWN_FORMATS)
            assert picture.size == ((60, 40) if orientation < 5 else (40, 60))
            right, bottom = picture.width - 3, picture.height - 3
            places = ((2, 2), (right, 2), (2, bottom), (right, bottom))
            corners.add(tuple(place for place in places if near(picture.getpixel(place), RED)))
        wanted = {1: 0, 2: 1, 3: 3, 4: 2, 5: 0, 6: 1, 7: 3, 8: 2}[orientation]  # where the camera's first pixel goes
        assert corners == {(places[wanted],)}


@pytest.mark.parametrize("value", [0, 9, "6", b"6", 2.5, 65535])
def test_an_orientation_that_does_not_exist_is_none(value: object):
    with suppress(Exception):  # Pillow itself does not write all of them
        assert open_image(saved(drawn(), "PNG", exif=oriented(value))).size in ((60, 40), (40, 60))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_colours_of_a_phone_are_told_in_srgb_and_its_profile_is_dropped(kind: str):
    options: dict[str, Any] = {"PNG": {}, "JPEG": {"quality": 95}, "WEBP": {"lossless": True}, "TIFF": {}}[kind]
    data = saved(drawn(), kind, icc_profile=display_p3(), **options)
    picture = open_image(data, formats=OWN_FORMATS)
    assert near(picture.getpixel((5, 5)), (220, 0, 0), by=8)  # 200, 30, 30 of P3 is redder than any sRGB
    assert near(picture.getpixel((55, 35)), WHITE, by=2)
    assert b"acsp" not in encode_png(picture)


def test_the_colours_of_a_printer_are_told_in_srgb():
    data = saved(Image.new("CMYK", (20, 20), (255, 0, 0, 0)), "JPEG", icc_profile=printer_profile((128, 240, 128)))
    assert near(open_image(data).getpixel((5, 5)), (255, 0, 126), by=12)


@pytest.mark.parametrize("profile", [b"", b"junk", display_p3()[:200], printer_profile((0, 0, 0)), b"\0" * 5_000_000])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_profile_that_is_broken_or_of_something_else_changes_nothing(kind: str, profile: bytes):
    assert near(open_image(saved(drawn(), kind, icc_profile=profile)).getpixel((5, 5)), RED)


HEADS = [
    b"",
    b"Exif\0\0",
    b"Exif\0\0b'Exif\\x00\\x00MM\\x00*'",
    b"Exif\0\0MM\0*\0\0\0\x08",
    b"MPF\0MM\0*\0\0\0\x08",
    b"ICC_PROFILE\0\1\1",
    b"JFIF\0",
    b"Photoshop 3.0\x008BIM",
    b"Raw profile type exif\0\0",
    b"a\0\0",
]
CHUNKS = [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"acTL", b"fcTL", b"fdAT"]
PNG, JPEG, WEBP = saved(drawn()), saved(drawn(), "JPEG"), saved(drawn(), "WEBP", exif=b"Exif\0\0" + bytes(40))


@given(kind=st.sampled_from(CHUNKS), head=st.sampled_from(HEADS), body=st.binary(max_size=80))
def test_no_metadata_keep_a_png_from_being_opened(kind: bytes, head: bytes, body: bytes):
    assert near(open_image(with_chunk(PNG, kind, head + body)).getpixel((55, 35)), WHITE)


@given(
    marker=st.sampled_from([0xE0, *range(0xE1, 0xF0), 0xFE]), head=st.sampled_from(HEADS), body=st.binary(max_size=80)
)
def test_no_metadata_keep_a_jpeg_from_being_opened(marker: int, head: bytes, body: bytes):
    assert near(open_image(with_segment(JPEG, marker, head + body)).getpixel((55, 35)), WHITE)


@given(exif=st.binary(min_size=1, max_size=80), kind=st.sampled_from(["WEBP", "PNG", "JPEG"]))
def test_no_exif_keeps_a_picture_from_being_opened(exif: bytes, kind: str):
    assert sorted(open_image(saved(drawn(), kind, exif=b"Exif\0\0" + exif)).size) == [40, 60]


def test_a_damaged_checksum_of_metadata_is_no_reason_to_refuse():
    data = bytearray(with_chunk(PNG, b"tEXt", b"Comment\0words"))
    data[33 + 8 + 13] ^= 1
    assert open_image(bytes(data)).size == (60, 40)


def test_words_that_unpack_to_gigabytes_are_not_unpacked():
    info = PngImagePlugin.PngInfo()
    info.add_text("bomb", "0" * 20_000_000, zip=True)
    assert open_image(saved(drawn(), pnginfo=info)).size == (60, 40)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_16_bits_of_grey_are_neither_cut_off_nor_washed_out(mode: str):
    grey = Image.new("I", (40, 40), 60_000)
    grey.paste(30_000, (0, 0, 20, 20))
    data = saved(grey.convert(mode), "PNG" if mode == "I;16" else "TIFF")
    wanted = 117 if mode == "I;16" else 127  # of 65,535, or of the brightest
    assert near(open_image(data, formats=OWN_FORMATS).getpixel((5, 5)), (wanted, wanted, wanted), by=1)


def test_what_is_transparent_is_white():
    assert open_image(saved(Image.new("RGBA", (40, 40), (0, 0, 0, 0)))).getpixel((5, 5)) == WHITE
    indexed = drawn().quantize(4)
    clear = indexed.getpixel((5, 5))
    for kind in ("PNG", "GIF"):
        assert open_image(saved(indexed, kind, transparency=clear)).getpixel((5, 5)) == WHITE


@pytest.mark.parametrize(
    "size",
    [(3000, 1800), pytest.param((1800, 3000), marks=pytest.mark.slow), (4097, 7), (1024, 1024), (300, 200)],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_large_one_is_made_smaller_and_keeps_its_shape(kind: str, size: tuple[int, int]):
    picture = open_image(saved(drawn(size=size), kind), most_side=1024)
    scale = min(1.0, 1024 / max(size))
    assert picture.size == tuple(max(1, round(side * scale)) for side in size)
    assert near(picture.getpixel((0, 0)), RED)
    assert near(picture.getpixel((picture.width - 1, picture.height - 1)), WHITE)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", FileFault.KIND),
        (b"hello", FileFault.KIND),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", FileFault.KIND),
        (saved(drawn(), "EPS"), FileFault.KIND),
        (saved(drawn(), "TIFF"), FileFault.KIND),
        (saved(drawn(size=(900, 10))), FileFault.NARROW),
        (saved(drawn(size=(400, 400)), "JPEG")[:-800], FileFault.BROKEN),
        (saved(Image.effect_noise((200, 200), 90))[:-3000], FileFault.BROKEN),
        (png_of(30_000, 30_000), FileFault.PIXELS),
        (png_of(2**31 - 1, 2**31 - 1), FileFault.PIXELS),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(data: bytes, fault: FileFault):
    began = time.monotonic()
    with pytest.raises(BadImage) as refused:
        open_image(data, most_ratio=8)
    assert refused.value.fault == fault
    assert time.monotonic() - began < 5


@given(data=st.data())
def test_no_file_however_broken_brings_anything_but_a_reason(data: st.DataObject):
    kinds = [PNG, JPEG, WEBP, two_frames("MPO"), two_frames("GIF"), saved(drawn(), "BMP"), saved(drawn(), "TIFF")]
    file = bytearray(data.draw(st.sampled_from(kinds)))
    for _ in range(data.draw(st.integers(1, 8))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    with suppress(BadImage):
        cut = bytes(file[: data.draw(st.integers(0, len(file)))])
        assert open_image(cut, formats=OWN_FORMATS, most_pixels=1_000_000).mode == "RGB"


PEAK = """
import sys
from pathlib import Path
from limner.generators.image_files import open_image
def peak():
    return int(next(line for line in Path("/proc/self/status").open() if line.startswith("VmHWM")).split()[1]) // 1024
data = sys.stdin.buffer.read()
before = peak()
open_image(data, most_side=2048)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_a_huge_picture_takes_little_more_than_its_pixels():
    pixels = 4 * 5000 * 4000 / 2**20
    done = subprocess.run(
        [sys.executable, "-c", PEAK], input=png_bomb(5000, 4000), cwd=ROOT, capture_output=True, check=True
    )
    assert pixels < float(done.stdout) < 2 * pixels


def test_the_list_of_formats_has_no_program_in_it():
    assert not {"EPS", "WMF", "PDF", "PSD", "SVG"} & {*OWN_FORMATS}
    assert set(FORMATS) < set(OWN_FORMATS)
    assert Image.open(io.BytesIO(PNG), formats=FORMATS).format == "PNG"
