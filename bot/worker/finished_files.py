"""Finished pictures and their files: invisible mark, digital source type (IPTC) and signed manifest (C2PA)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from limner.bot.app import App
from limner.bot.options.picture_files import parse
from limner.bot.provenance.corner_label import labelled
from limner.bot.provenance.manifest import Ingredient, Relationship, Statement, signed
from limner.bot.provenance.source import DigitalSource
from limner.bot.provenance.trustmark import NoTrustMark, TrustMarkWriter
from limner.bot.provenance.watermark import SIDE, Watermark, read_key
from limner.bot.reasons import JobKind
from limner.bot.storage.pictures.image_files import encode_png
from limner.bot.storage.tables.models import Job
from limner.generators.requests import GenerationRequest

log = logging.getLogger(__name__)

WORDS = ("Idea", "After step", "Style mix")
"""How the keys of parameters begin that repeat a member's words."""


def marked(app: App, image: Image.Image, kept: str | None, number: int | None = None) -> tuple[Image.Image, int | None]:
    """A finished picture with the operator's label and its invisible mark, and the number in it. Blocks.

    Small pictures have neither. The mark is the picture's own without a ``number``.

    ``kept`` is a marked picture of which a part was painted, by its hash: its pixels keep the mark that they have.
    """
    if min(image.size) < SIDE:
        return image, None
    if app.settings.corner_label:
        image = labelled(image, app.settings.corner_label)
    watermark, original = Watermark(read_key(app.settings.mark_key)), None
    if kept:
        with suppress(FileNotFoundError):
            original = app.images.open(kept)
    number = watermark.number_of(image) if number is None else number
    is_comparable = original is not None and original.size == image.size
    if not is_comparable and (trustmark := _trustmark(app.settings.trustmark_folder)):
        image = trustmark.marked(image, number)  # beneath ours, which is measured alone
    return watermark.marked(image, number, original if is_comparable else None), number


def mark_name(app: App, job: Job) -> dict[str, str]:
    """What the pixels of marks and label depend on, by the keys of `MADE_WITH`; empty for pictures that have none.

    Blocks while TrustMark's network is loaded for the first time.
    """
    request = job.generation
    size = (request.width, request.height)
    is_marked = min(request.finish.size(*size) if request.finish else size) >= SIDE
    if not is_marked:
        return {}
    label = {"Label": app.settings.corner_label} if app.settings.corner_label else {}
    trustmark = _trustmark(app.settings.trustmark_folder)
    second = {"TrustMark": trustmark.name} if trustmark else {}
    return {"Mark": Watermark(read_key(app.settings.mark_key)).name, **second, **label}


@cache
def _trustmark(folder: Path | None) -> TrustMarkWriter | None:
    """What writes the second mark; None without the setting, or where the network cannot be used."""
    if folder is None:
        return None
    try:
        return TrustMarkWriter(folder)
    except NoTrustMark:
        log.error("trustmark_missing; limner doctor says why")
        return None


def finished_file(
    app: App,
    job: Job,
    image: Image.Image,
    written: str,
    *,
    start: str | None,
    signs_prompt: bool,
    more: Sequence[Image.Image] = (),
) -> bytes:
    """A finished picture as a PNG file, signed if the operator has a certificate; blocks.

    ``written`` are its generation parameters, ``start`` is the picture that was changed, by its hash in the store,
    and ``more`` the other frames of an animation.
    """
    source = _source(job)
    animation = job.generation.animation
    png = encode_png(image, written, source, more, **({"rate": animation.rate} if animation else {}))
    if not app.settings.signing.is_set_up:
        return png
    ingredients = list(_ingredients(app, job.generation, start))
    statement = Statement(f"limner-{job.id}", source, ingredients, _parameters(written, signs_prompt=signs_prompt))
    return signed(png, "png", statement, app.settings.signing)


def _source(job: Job) -> DigitalSource:
    if job.is_of_file:
        return DigitalSource.ENHANCED
    is_composed = job.generation.keeps_pixels or job.kind == JobKind.EXPLAIN
    return DigitalSource.COMPOSITE if is_composed else DigitalSource.TRAINED


def _ingredients(app: App, request: GenerationRequest, start: str | None) -> Iterator[Ingredient]:
    """The pictures that one was made of; those whose files are gone are left out."""
    given = {start: Relationship.PARENT} if start else {}
    walked = request.animation.pictures if request.animation else ()
    given |= dict.fromkeys(walked, Relationship.INPUT)
    given |= {one.picture: Relationship.INPUT for one in request.references if one.picture != start}
    titles = {Relationship.PARENT: "start picture", Relationship.INPUT: "reference picture"}
    for sha256, relationship in given.items():
        if app.images.has(sha256):
            yield Ingredient(titles[relationship], relationship, app.images.read(sha256))


def _parameters(written: str, *, signs_prompt: bool) -> dict[str, Any]:
    """The parameters as a mapping; the member's words only if they are to be signed."""
    said = parse(written)
    pairs = {key: value for key, value in said.pairs.items() if signs_prompt or not key.startswith(WORDS)}
    words = {"Prompt": said.prompt, "Negative prompt": said.negative} if signs_prompt else {}
    return pairs | {key: value for key, value in words.items() if value}
