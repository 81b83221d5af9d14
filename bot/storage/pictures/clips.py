"""Animated WebP and MP4 files of a stored animation, a PNG file of several frames. Imports little, as `copies` does."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from PIL import Image, ImageSequence

from limner.bot.storage.pictures.copies import COPY_QUALITY, encode
from limner.generators.animation import USUAL_RATE

FRAME_MS = 100
"""How long each frame is shown, in milliseconds, where its file does not say it."""
LEAST_MS, MOST_MS = 10, 1000
"""The shortest and longest time that a file may say."""
SCALES = (1.0, 0.75, 0.5, 0.35, 0.25)
"""Factors of width and height that are tried one after the other, until a file fits."""
MOST_PIXELS = 2**25
"""Pixels of all frames together in memory; more are scaled down first."""
BITS = 0.12
"""Bits for each pixel of a video."""
LEAST_RATE = 200_000

Frames = Sequence[Image.Image]


def clips(png: bytes, most: int, *, swings: bool) -> Iterator[tuple[str, bytes] | None]:
    """The animation's files of at most ``most`` bytes with their extensions, WebP and MP4, as large as they fit.

    None for a file that is too large at the smallest scale. With ``swings`` it is played forwards and backwards.
    """
    image = Image.open(io.BytesIO(png))
    xmp = image.info.get("xmp", b"")
    shown_ms = max(LEAST_MS, min(round(image.info.get("duration") or FRAME_MS), MOST_MS))
    frames = _frames(image)
    played = [*frames, *frames[-2:0:-1]] if swings else frames
    yield _largest("webp", played, most, lambda scaled: _webp(scaled, shown_ms, xmp))
    yield _largest("mp4", played, most, lambda scaled: _mp4(scaled, shown_ms))


def encode_animation(frames: Frames, rate: int = USUAL_RATE, **options: object) -> bytes:
    """A PNG file of several frames, ``rate`` a second, lossless; programs that know no animations show the first."""
    more = {"save_all": True, "append_images": frames[1:], "duration": round(1000 / rate), "loop": 0}
    return encode(frames[0], "PNG", **options, **more)


def frames_of(image: Image.Image) -> Iterator[Image.Image]:
    """The frames of an opened picture; one if it is no animation."""
    for frame in ImageSequence.Iterator(image):
        yield frame.convert("RGB")


def _frames(image: Image.Image) -> list[Image.Image]:
    count = getattr(image, "n_frames", 1)
    scale = min(1.0, math.sqrt(MOST_PIXELS / (count * image.width * image.height)))
    return [_scaled(frame, scale) for frame in frames_of(image)]


def _largest(kind: str, frames: Frames, most: int, write: Callable[[Frames], bytes]) -> tuple[str, bytes] | None:
    files = (write([_scaled(frame, scale) for frame in frames]) for scale in SCALES)
    return next(((kind, file) for file in files if len(file) <= most), None)


def _scaled(frame: Image.Image, scale: float) -> Image.Image:
    """A frame whose sides are even, as H.264 wants them."""
    width, height = (max(16, round(side * scale / 2) * 2) for side in frame.size)
    return frame if frame.size == (width, height) else frame.resize((width, height), Image.Resampling.LANCZOS)


def _webp(frames: Frames, shown_ms: int, xmp: bytes) -> bytes:
    more = {"save_all": True, "append_images": frames[1:], "duration": shown_ms, "loop": 0}
    return encode(frames[0], "WEBP", quality=COPY_QUALITY, method=2, xmp=xmp, **more)


def _mp4(frames: Frames, shown_ms: int) -> bytes:
    """H.264 by OpenH264: the wheel's other encoder of it, x264, is under the GPL."""
    import av  # takes long to load, and only animations need it

    file = io.BytesIO()
    video: Any = av.open(file, "w", format="mp4")
    picture: Any = av.VideoFrame
    with video:
        rate = Fraction(1000, shown_ms)
        stream = video.add_stream("libopenh264", rate=rate)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = max(LEAST_RATE, round(stream.width * stream.height * rate * BITS))
        for frame in frames:
            video.mux(stream.encode(picture.from_image(frame)))
        video.mux(stream.encode())
    return file.getvalue()
