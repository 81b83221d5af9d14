"""Opens picture files from outside as upright sRGB pictures without metadata."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, cast

from PIL import Image, ImageCms, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""Accepted formats: of an animation the first frame, of a phone's MPO the first picture, a JPEG."""
OWN_FORMATS = (*FORMATS, "TIFF")
"""Formats accepted in the operator's own folders; TIFF has too many dialects to accept from anybody."""
MOST_PIXELS = 64_000_000
"""Largest width times height that is decoded; a small file can claim far more."""
BAND = 2**18
"""Pixels converted at a time."""

_TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transpositions for Exif's Orientation (0x0112)."""
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
"""PNG chunks of the first frame."""
_MOST_PROFILE = 4 * 2**20
"""Largest colour profile in bytes; printers' have up to 2 MB."""


class FileFault(StrEnum):
    """Why a picture file cannot be used."""

    KIND = "kind"
    BROKEN = "broken"
    PIXELS = "pixels"
    NARROW = "narrow"
    MEMORY = "memory"


class BadImage(ValueError):
    """A picture file cannot be used; ``fault`` says why."""

    def __init__(self, fault: FileFault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class _Parts(NamedTuple):
    """A file without its metadata, and the metadata that affect its look."""

    plain: bytes
    profile: bytes | None = None
    exif: bytes | None = None


def read_file(address: str) -> bytes:
    """The bytes of a file, given by its path or in a ``data:`` URI in base64; raises OSError if it cannot be read."""
    if address.startswith("data:"):
        return b64decode(address.partition(",")[2])
    return Path(address).read_bytes()


def as_address(file: bytes) -> str:
    """A picture's file as a ``data:`` URI, which `read_file` reads."""
    return f"data:image/png;base64,{b64encode(file).decode()}"


def open_image(
    data: bytes,
    *,
    formats: tuple[str, ...] = FORMATS,
    most_pixels: int = MOST_PIXELS,
    most_side: int | None = None,
    most_ratio: float | None = None,
) -> Image.Image:
    """The first frame of a picture file: upright, RGB in sRGB, on white where transparent, without metadata.

    The size is read before the pixels are, so a small file that unpacks to a huge picture costs nothing. Metadata that
    are broken or odd are ignored.

    Args:
        data: the file.
        formats: the names that Pillow has for the kinds of files that are taken.
        most_pixels: width times height that is still decoded.
        most_side: the longer side of what is returned, in pixels; a larger picture is made smaller, and a JPEG then
            decoded at a fraction of its size.
        most_ratio: how many times as long as the other a side may be.

    Raises:
        BadImage: it cannot be used, and why.
    """
    parts = _parts(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # most_pixels is checked instead, and odd metadata are ignored
            with Image.open(io.BytesIO(parts.plain), formats=formats) as image:
                _check_size(image.size, most_pixels, most_ratio)
                if most_side:
                    image.draft("RGB", _fitted(image.size, most_side))
                image.load()
                profile = parts.profile or image.info.get("icc_profile")
                exif = parts.exif or image.info.get("exif")
                seen = _flattened(image, profile, most_side)
    except UnidentifiedImageError as error:
        raise BadImage(FileFault.KIND) from error
    except Image.DecompressionBombError as error:
        raise BadImage(FileFault.PIXELS) from error
    except MemoryError as error:
        raise BadImage(FileFault.MEMORY) from error
    except BadImage:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:  # Pillow's exceptions for broken files
        raise BadImage(FileFault.BROKEN) from error
    if most_side:
        seen.thumbnail((most_side, most_side))
    turned = _TRANSPOSED.get(_orientation(exif))
    return seen if turned is None else seen.transpose(turned)


def encode_png(image: Image.Image) -> bytes:
    """A picture as a PNG file without metadata."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _check_size(size: tuple[int, int], most_pixels: int, most_ratio: float | None) -> None:
    width, height = size
    if width * height > most_pixels:
        raise BadImage(FileFault.PIXELS)
    if most_ratio and max(size) > most_ratio * min(size):
        raise BadImage(FileFault.NARROW)


def _fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = side / max(*size, side)
    return max(1, int(size[0] * scale)), max(1, int(size[1] * scale))


def _flattened(image: Image.Image, profile: bytes | None, most_side: int | None) -> Image.Image:
    """The picture in RGB, at a whole fraction of its size that is not below ``most_side``.

    It is converted band by band, so that only the result is held beside the decoded picture.
    """
    colours = _Colours(image, profile)
    width, height = image.size
    factor = max(1, max(image.size) // most_side) if most_side else 1
    result = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = max(1, BAND // width // factor) * factor
    for top in range(0, height, rows):
        band = colours.convert(image.crop((0, top, width, min(height, top + rows))))
        result.paste(band.reduce(factor) if factor > 1 else band, (0, top // factor))
    return result


class _Colours:
    """Converts parts of a picture to sRGB, from its colour profile if that fits."""

    def __init__(self, image: Image.Image, profile: bytes | None) -> None:
        self._scale = 1.0
        if image.mode in ("I", "F"):
            brightest = cast("tuple[float, float]", image.getextrema())[1]
            self._scale = 255 / max(brightest, 1.0)
        self._is_deep = image.mode.startswith(("I", "F"))
        self._is_clear = not self._is_deep and image.has_transparency_data
        self._mode, self._transform = _transform(image, profile) if profile else ("RGB", None)

    def convert(self, part: Image.Image) -> Image.Image:
        """The part in sRGB; transparent pixels become white, as in Discord's light theme."""
        if self._is_deep:
            part = self._shallow(part)
        elif self._is_clear:
            part = part.convert("RGBA")
            part = Image.alpha_composite(Image.new("RGBA", part.size, "white"), part)
        if self._transform is None:
            return part.convert("RGB")
        converted = ImageCms.applyTransform(part.convert(self._mode), self._transform)
        return converted if converted is not None else part.convert("RGB")

    def _shallow(self, part: Image.Image) -> Image.Image:
        """Eight-bit grey: Pillow's own conversion clips values above 255."""
        if part.mode.startswith("I;16"):
            return part.convert("I").point(lambda value: value / 256).convert("L")
        return part.point(lambda value: value * self._scale).convert("L")


def _transform(image: Image.Image, profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """The profile's mode and its conversion to sRGB; none if it does not fit the picture."""
    try:
        source: Any = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space
        mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}[space.strip()]
        is_grey = image.mode in ("1", "L", "LA", "La") or image.mode.startswith(("I", "F"))
        if (mode == "CMYK") != (image.mode == "CMYK") or (mode == "L" and not is_grey):
            return "RGB", None
        return mode, ImageCms.buildTransform(source, cast(Any, ImageCms).createProfile("sRGB"), mode, "RGB")
    except Exception:  # a broken profile does not make a picture unusable
        return "RGB", None


def _orientation(exif: bytes | None) -> int:
    try:
        tags = Image.Exif()
        tags.load(exif or b"")
        return int(tags.get(0x0112, 1))
    except Exception:  # as with profiles
        return 1


def _parts(data: bytes) -> _Parts:
    """A file without metadata that Pillow could fail on: truncated, odd or huge ones."""
    if data.startswith(_PNG):
        return _parts_of_png(data)
    return _parts_of_jpeg(data) if data.startswith(_JPEG) else _Parts(data)


def _parts_of_png(data: bytes) -> _Parts:
    kept, profile, exif = [_PNG], None, None
    for kind, chunk in _chunks(data):
        if kind in _PIXELS:
            kept.append(chunk)
        elif kind == b"iCCP":
            profile = _unpacked(chunk[8:-4].partition(b"\0")[2][1:])
        elif kind == b"eXIf":
            exif = chunk[8:-4]
    return _Parts(b"".join(kept), profile, exif)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(_PNG)
    while position < len(data):
        length, kind = int.from_bytes(data[position : position + 4]), data[position + 4 : position + 8]
        yield kind, data[position : position + 12 + length]
        position += 12 + length


def _unpacked(packed: bytes) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(packed, _MOST_PROFILE)
    except zlib.error:
        return None


def _parts_of_jpeg(data: bytes) -> _Parts:
    kept, profile, exif, position = [_JPEG], list[bytes](), None, len(_JPEG)
    for marker, segment in _segments(data):
        body = segment[4:]
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            exif = exif or body
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
            profile.append(body[12:])
        elif _is_of_pixels(marker, body):
            kept.append(segment)
        position += len(segment)
    joined = b"".join(part[2:] for part in sorted(profile))[:_MOST_PROFILE]
    return _Parts(b"".join(kept) + data[position:], joined or None, exif)


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The readable segments before the first scan."""
    position = len(_JPEG)
    while data[position : position + 1] == b"\xff" and len(data) >= position + 4:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4])
        if marker == 0xFF:  # a filling byte
            yield marker, data[position : position + 1]
            position += 1
            continue
        if marker < 0xC0 or marker in range(0xD0, 0xDB) or length < 2:  # no segment, or the scan
            return
        yield marker, data[position : position + 2 + length]
        position += 2 + length


def _is_of_pixels(marker: int, body: bytes) -> bool:
    """Whether a decoder needs the segment: not comments and application data, except for colour coding."""
    if marker in (0xFE, 0xFF):
        return False
    is_coding = body.startswith((b"JFIF\0", b"Adobe")) and len(body) >= 12
    return is_coding if 0xE0 <= marker <= 0xEF else True
