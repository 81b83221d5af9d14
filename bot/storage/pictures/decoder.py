"""Opens and encodes pictures in short-lived processes, so that the bot never holds their pixels."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limner.bot.errors import BadPicture
from limner.bot.provenance.evidence import Evidence
from limner.bot.provenance.signing import Signing
from limner.bot.storage.pictures.image_store import ImageStore
from limner.bot.storage.tables.picture_hashes import PictureHashes
from limner.bot.translation import N_, _
from limner.generators.animation import Animation
from limner.generators.image_files import FileFault

log = logging.getLogger(__name__)

LONGEST_SIDE = 2048
"""Longer side, in pixels, of a stored input picture; larger ones are scaled down. Models work with fewer."""
LONGEST_RATIO = 8
MOST_STORED = 4096 * 4096
"""Most pixels of a picture that was generated here."""
PROCESS_SECONDS = 90.0
"""Wall-clock limit of one process; its own limit is on processor time."""

KIND = N_("That file is not a picture that can be used; choose a PNG, JPEG, WebP, GIF or BMP file.")
BROKEN = N_("That picture file is broken or incomplete; open and save it again, or choose another one.")
NARROW = N_("That picture is too narrow; neither side may be over {ratio} times the other.")
PIXELS = N_("That picture has over {most} million pixels; choose a smaller one.")
MEMORY = N_("That picture takes too much memory or time to open; choose a smaller one.")
BLACK = N_("That mask is black almost everywhere, so nothing would be painted; make what is to change white in it.")
WHITE = N_("That mask is white almost everywhere, so nothing would be kept; make what is to stay black in it.")
LEAST_SHARE = 0.001
"""Least share of a mask that must be white, and that must be black."""
GRID_SIDE = 1024
"""Longer side, in pixels, of a picture under a grid."""
SENTENCES = {
    FileFault.KIND: KIND,
    FileFault.BROKEN: BROKEN,
    FileFault.NARROW: NARROW,
    FileFault.PIXELS: PIXELS,
    FileFault.MEMORY: MEMORY,
}


ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

Decoded = tuple[dict[str, Any], bytes]
"""A process's answer about a picture (empty if there is none), and the file that it made."""


class PictureDecoder:
    """Opens one input picture at a time, and beside it one stored picture.

    Each is opened in a process of its own with bounded memory and time: a file that crashes a decoder, or takes all its
    memory, only fails its own request.
    """

    def __init__(self, images: ImageStore, most_pixels: int, signing: Signing) -> None:
        self._images = images
        self._most_pixels = most_pixels
        self._signing = signing
        self._given, self._own = asyncio.Semaphore(1), asyncio.Semaphore(1)

    async def clean(self, data: bytes) -> bytes:
        """A PNG file of an input picture: upright, in sRGB, at most 2048 pixels a side, without metadata.

        The manifest of a signed picture is kept as the parent's in one of ours, if the operator has a certificate.

        Raises:
            BadPicture: it cannot be used, and why, in one sentence.
        """
        return (await self._open("clean", data))[1]

    async def mask(self, data: bytes) -> bytes:
        """A black-and-white PNG file of a mask; raises BadPicture as `clean` does, and where it is of one colour."""
        header, made = await self._open("mask", data)
        if not LEAST_SHARE <= header["share"] <= 1 - LEAST_SHARE:
            raise BadPicture(_(BLACK) if header["share"] < LEAST_SHARE else _(WHITE))
        return made

    async def verify(self, data: bytes, key: Path, trustmark: Path | None = None) -> Evidence:
        """What a picture file says of where it comes from; ``key`` is the file with the key of the invisible mark.

        A TrustMark is read where that is missing and there is the folder ``trustmark`` of its networks.

        A picture that is too large to be opened has a manifest only; raises BadPicture for what is no picture.
        """
        more = {"trustmark": str(trustmark)} if trustmark else {}
        task = {"do": "verify", "key": str(key), "most_pixels": self._most_pixels, **more, **self._signs}
        async with self._given:
            [(header, _made)] = await _ask(task, data)
        evidence = Evidence.from_json(header)
        if evidence.fault in (FileFault.KIND, FileFault.BROKEN):
            raise BadPicture(_(SENTENCES[FileFault(evidence.fault)]))
        return evidence

    async def fingerprint(self, data: bytes) -> PictureHashes:
        """The perceptual hashes of an input picture; raises BadPicture like `clean`."""
        return PictureHashes.of_text((await self._open("fingerprint", data))[1].decode())

    async def fingerprints(self, pictures: Sequence[str]) -> list[PictureHashes | None]:
        """The perceptual hashes of stored pictures; None where the file is missing or damaged."""
        answers = await self._ask_own(pictures, do="fingerprint")
        return [PictureHashes.of_text(data.decode()) if header else None for header, data in answers]

    async def fit(self, pictures: Sequence[str], most: int) -> list[tuple[str, bytes] | None]:
        """The best file of each stored picture within ``most`` bytes, with its extension.

        None where the file is missing, damaged, or cannot be made so small.
        """
        sizes = await asyncio.to_thread(lambda: [self._images.file_size(sha256) for sha256 in pictures])
        if max(sizes, default=0) <= most:
            return [await asyncio.to_thread(self._read, sha256) for sha256 in pictures]
        answers = await self._ask_own(pictures, do="fit", most=most)
        return [(header["kind"], data) if header else None for header, data in answers]

    async def clips(self, sha256: str, most: int, animation: Animation) -> list[tuple[str, bytes] | None]:
        """A stored animation as files of at most ``most`` bytes, with their extensions: WebP, and MP4.

        None where the file is missing or damaged, or where one is too large at the smallest scale.
        """
        answers = await self._ask_own([sha256], do="clips", most=most, swings=animation.swings)
        return [(header["kind"], data) if header else None for header, data in answers]

    async def best_file(self, sha256: str, most: int, animation: Animation | None) -> tuple[str, bytes] | None:
        """The best file of a stored picture, or of an animation, within ``most`` bytes; None as for `fit`."""
        return (await (self.clips(sha256, most, animation) if animation else self.fit([sha256], most)))[0]

    async def copies(
        self, pictures: Sequence[str], side: int, kind: str, *, is_blurred: bool = False
    ) -> list[bytes | None]:
        """Small copies of stored pictures, as JPEG or WEBP; None where the file is missing or damaged."""
        answers = await self._ask_own(pictures, do="copy", side=side, kind=kind, is_blurred=is_blurred)
        return [data if header else None for header, data in answers]

    async def under_grid(self, sha256: str) -> bytes | None:
        """A JPEG copy of a stored picture under a grid of named cells; None where the file is missing or damaged."""
        [(header, data)] = await self._ask_own([sha256], do="grid", side=GRID_SIDE)
        return data if header else None

    async def _open(self, do: str, data: bytes) -> Decoded:
        limits = {"most_pixels": self._most_pixels, "most_side": LONGEST_SIDE, "most_ratio": LONGEST_RATIO}
        async with self._given:
            [(header, made)] = await _ask({"do": do, **limits, **self._signs}, data)
        if "fault" in header:
            raise BadPicture(
                _(SENTENCES[FileFault(header["fault"])], most=round(self._most_pixels / 1e6), ratio=LONGEST_RATIO)
            )
        return header, made

    async def _ask_own(self, pictures: Sequence[str], **task: Any) -> list[Decoded]:
        """Answers about stored pictures; the process reads the keys from its input, which others cannot see."""
        if not pictures:
            return []
        stored = {"folder": str(self._images.folder.resolve()), "pictures": list(pictures), "most_pixels": MOST_STORED}
        keys = b"\n".join(map(b64encode, self._images.cipher.keys))
        async with self._own:
            return await _ask({**stored, **self._signs, **task}, keys)

    @property
    def _signs(self) -> dict[str, Any]:
        return {"signing": self._signing.to_json()} if self._signing.is_set_up else {}

    def _read(self, sha256: str) -> tuple[str, bytes] | None:
        png = self._images.intact(sha256)
        return None if png is None else ("png", png)


async def _ask(task: dict[str, Any], data: bytes) -> list[Decoded]:
    """A process's answer to a task; raises BadPicture if the process fails or reports an error."""
    answers = _answers(await _run(json.dumps(task), data))
    if problem := next((header["problem"] for header, _ in answers if "problem" in header), None):
        raise BadPicture(problem)
    return answers


async def _run(task: str, data: bytes) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "limner.bot.storage.pictures.decoder_process", task),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env={name: value for name, value in os.environ.items() if not name.startswith("LIMNER_")} | ONE_THREAD,
    )
    try:
        async with asyncio.timeout(PROCESS_SECONDS):
            printed, _errors = await process.communicate(data)
    except TimeoutError as error:
        raise BadPicture(_(MEMORY)) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        log.warning("decoder_failed exit_code=%s", process.returncode)
        raise BadPicture(_(MEMORY))
    return printed


def _answers(printed: bytes) -> list[Decoded]:
    answers: list[Decoded] = []
    position = 0
    while position < len(printed):
        end = printed.index(b"\n", position)
        header = json.loads(printed[position:end])
        length = header.pop("bytes")
        answers.append((header, printed[end + 1 : end + 1 + length]))
        position = end + 1 + length
    return answers
