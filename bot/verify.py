"""Use case: where a picture comes from, by its manifest, its invisible mark and its looks, and how sure each one is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limner.bot.errors import FilesGone
from limner.bot.posted_pictures import picture_of
from limner.bot.provenance.evidence import Evidence, ManifestState
from limner.bot.storage.history import marks
from limner.bot.storage.pictures.decoder import LONGEST_RATIO, SENTENCES
from limner.bot.storage.pictures.hash_table import Nearest
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.picture_hashes import PictureHashes
from limner.bot.translation import N_, _, in_a_row, ngettext
from limner.generators.image_files import FileFault

if TYPE_CHECKING:
    from limner.bot.app import App

NO_MANIFEST = N_("**Manifest:** none. Most programs and sites take it out, so that says nothing.")
BROKEN = N_("**Manifest:** it is broken, or the file was changed after it was signed: do not rely on it.")
OURS = N_("**Manifest:** signed by this bot ({signer}), and the file is unchanged since then. That is certain.")
THEIRS = N_(
    "**Manifest:** signed by {signer} with {program}, and the file is unchanged since then. Whether the signer is who "
    "they say they are, a list of trusted certificates must tell."
)
GENERATED = N_("It says that the picture was made with AI.")
MARKED = N_(
    "**Mark:** this bot's invisible mark is in the pixels; by chance that happens less often than once in a million."
)
ERASED = N_("It was made here, and its request has been erased since, or the mark is too weak to say which one it was.")
NO_MARK = N_(
    "**Mark:** none of this bot's. A strongly changed picture may have lost it, and another bot's mark can be read by "
    "its operator only."
)
TRUSTMARK = N_(
    "**TrustMark:** it has the number of a picture made here. Anybody can copy such a mark to another picture, so that "
    "is a hint and no proof."
)
ALIKE = N_(
    "**Looks:** a picture made here looks like it ({bits} of {of} bits differ). Alike pictures may differ in what "
    "counts."
)
NOT_ALIKE = N_("**Looks:** like none of the pictures that were made here lately.")
TOO_LARGE = N_("**Pixels:** not read. {why}")
MADE = N_("It was made here <t:{time}:D>.")
REQUEST = N_("Request {job}, picture {number}, asked for by <@{member}> <t:{time}:f>.")


@dataclass(frozen=True)
class PictureOfLog:
    """A picture of the log that a file is, or looks like."""

    job: Job
    number: int


@dataclass(frozen=True)
class Verified:
    """What is known of a picture file."""

    evidence: Evidence
    #: Width times height of the largest picture that is opened.
    most_pixels: int
    #: The requests of the marks, in their order; None where the request was erased.
    made: list[PictureOfLog | None]
    #: The request whose number its TrustMark has.
    trustmark: PictureOfLog | None
    #: The picture that it looks like, and how little it differs.
    alike: tuple[PictureOfLog, Nearest] | None


async def verify(app: App, data: bytes) -> Verified:
    """Examine a picture file, and look it up in the log; raises BadPicture for what is no picture."""
    evidence = await app.decoder.verify(data, app.settings.mark_key, app.settings.trustmark_folder)
    numbers = [number for number, _sureness in evidence.marks]
    found = await marks.of_marks(app.database, [*numbers, *filter(None, [evidence.trustmark])])
    pictures = {number: PictureOfLog(*row) for number, row in found.items()}
    made = [pictures.get(number) for number in numbers]
    trustmark = pictures.get(evidence.trustmark or 0)
    alike = None
    if not made and not trustmark and evidence.hashes:
        hashes = PictureHashes.of_text(evidence.hashes)
        if row := await marks.most_alike(app.database, hashes, app.settings.block_distance):
            job, number, nearest = row
            alike = PictureOfLog(job, number), nearest
    return Verified(evidence, app.settings.max_input_pixels, made, trustmark, alike)


async def verify_stored(app: App, job: Job, number: int) -> Verified:
    """The same of a posted picture, by its file here; raises FilesGone if that is missing."""
    try:
        data = await asyncio.to_thread(app.images.read, picture_of(job, number).sha256)
    except FileNotFoundError as error:
        raise FilesGone from error
    return await verify(app, data)


def sentences(verified: Verified, may_know: Callable[[Job], bool]) -> Iterator[str]:
    """What is said of it; who asked for a picture is said of those requests only of which ``may_know`` is true."""
    found = verified.evidence
    yield _manifest(verified)
    if found.fault:
        why = _(SENTENCES[FileFault(found.fault)], most=round(verified.most_pixels / 1e6), ratio=LONGEST_RATIO)
        yield _(TOO_LARGE, why=why)
        return
    if verified.made:
        known = [_request(one, may_know) for one in verified.made if one]
        yield in_a_row([_(MARKED), *(known or [_(ERASED)])])
        return
    yield _(NO_MARK)
    if verified.trustmark:
        yield in_a_row([_(TRUSTMARK), _request(verified.trustmark, may_know)])
    elif verified.alike:
        one, nearest = verified.alike
        yield in_a_row([_(ALIKE, bits=nearest.bits, of=nearest.of), _request(one, may_know)])
    else:
        yield _(NOT_ALIKE)


def _manifest(verified: Verified) -> str:
    found = verified.evidence.manifest
    if found.state != ManifestState.INTACT:
        return _(NO_MANIFEST if found.state == ManifestState.NONE else BROKEN)
    parts = [_(OURS if found.is_ours else THEIRS, signer=found.signer, program=found.program)]
    parts += [_(GENERATED)] if found.is_generated else []
    if found.ingredients:
        parts.append(ngettext("It was made of 1 picture.", "It was made of {number} pictures.", found.ingredients))
    return in_a_row(parts)


def _request(found: PictureOfLog, may_know: Callable[[Job], bool]) -> str:
    job, time = found.job, int(found.job.created_at)
    if not may_know(job):
        return _(MADE, time=time)
    return _(REQUEST, job=job.id, number=found.number, member=job.user_id, time=time)
