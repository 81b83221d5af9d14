"""The gallery: pictures of a member or a server, filtered and searched, page by page from where the last one ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, func, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from limner.bot.reasons import ABOUT_PICTURES, Action, ImageVerdict, JobStatus
from limner.bot.storage.db import Database
from limner.bot.storage.history.found import Span, among, found
from limner.bot.storage.history.search import (
    BAR,
    CHANNEL,
    LORA,
    MODEL,
    STYLE,
    ReadSearch,
    TermScope,
    read_question,
    scopes,
)
from limner.bot.storage.tables.favourite_tables import Favourite
from limner.bot.storage.tables.models import Image, Job

REOPENED_SECONDS = 30 * 86400.0
"""How long after a request its time may be set anew: a moderator lets a refused one through."""
NONE = 2**62
"""An id that no request has."""
OUT_OF_ORDER = 100
"""Requests around a date of which some may have ids of another date."""
_CHILD = aliased(Job)
IS_UPSCALED = (
    select(_CHILD.id)
    .where(
        _CHILD.parent_id == Image.job_id,
        or_(_CHILD.parent_picture.is_(None), _CHILD.parent_picture == Image.position + 1),
        _CHILD.action == Action.UPSCALE,
        _CHILD.status == JobStatus.SUCCEEDED,
    )
    .correlate(Image)
    .exists()
)
"""Whether a picture was upscaled; made once, because an alias of so many columns takes milliseconds."""


class Key(NamedTuple):
    """A picture's place in every list: its request and its position there, counted from 0."""

    job_id: int
    position: int


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which pictures are wanted: a member's own, or a server's that all of it may see; all that is given must be true.

    Times are Unix seconds. ``words`` is a search (`bot.storage.history.search.read_question`). With ``every_status``
    requests without pictures count too. With ``channels`` only those asked for there,
    and with ``starred_by`` those that this member has starred.
    """

    user_id: int | None = None
    guild_id: int | None = None
    words: str = ""
    model: str = ""
    style: str = ""
    lora: str = ""
    channel_id: int | None = None
    since: float | None = None
    until: float | None = None
    is_upscaled: bool = False
    channels: tuple[int, ...] | None = None
    starred_by: int | None = None
    every_status: bool = False

    @property
    def is_narrow(self) -> bool:
        """Whether more is given than whose they are and words."""
        named = (self.model, self.style, self.lora, self.channel_id, self.since, self.until, self.starred_by)
        return self.is_upscaled or any(one not in ("", None) for one in named)

    @property
    def scope(self) -> TermScope | None:
        """Whose requests these are; None for everybody's."""
        if self.user_id is not None:
            return TermScope.of_member(self.user_id)
        return TermScope.of_server(self.guild_id) if self.guild_id is not None else None

    @property
    def terms(self) -> list[str]:
        """What the index must have for a request, apart from the words."""
        scope = self.scope
        if scope is None:
            return []
        named = ((MODEL, self.model), (STYLE, self.style), (LORA, self.lora), (CHANNEL, self.channel_id))
        kinds = [scope.term(kind, name) for kind, name in named if name]
        return [scope.name, *kinds, *([scope.upscaled] if self.is_upscaled else ())]


class Gallery:
    """Finds pictures and requests; a page costs the same at its beginning and anywhere else."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keys(
        self,
        wanted: Filter,
        limit: int,
        *,
        after: Key | None = None,
        is_oldest_first: bool = False,
        is_backwards: bool = False,
    ) -> list[Key]:
        """The next pictures after one, or those before it, nearest first.

        Requests are in the order of their ids, and the pictures of one in their own order.
        """
        is_rising = is_oldest_first != is_backwards
        span = await self._span(wanted, limit + 1, is_rising)
        if after:
            span = _from(span, after.job_id)
        ids = self._ids(wanted, span)
        if ids is None:
            return []
        request, position = Image.job_id, Image.position
        pictures = select(request, position).where(*_of_pictures(wanted))
        if after:
            is_past = position < after.position if is_backwards else position > after.position
            pictures = pictures.where(or_(request != after.job_id, is_past))
        pictures = pictures.order_by(
            request if is_rising else request.desc(), position.desc() if is_backwards else position
        )
        pictures = pictures.where(among(request, ids, is_sqlite=self._database.is_sqlite)).limit(limit)
        async with self._database.read() as session:
            return [Key(*row) for row in await session.execute(pictures)]

    async def ranked(
        self,
        wanted: Filter,
        job_ids: Sequence[int],
        limit: int,
        *,
        after: Key | None = None,
        is_backwards: bool = False,
    ) -> list[Key]:
        """The same of at most some hundreds of requests in the order given, whatever their words.

        After a picture that is gone the beginning comes again.
        """
        conditions = (Job.id.in_(job_ids), *_of_requests(wanted), *_has(wanted.terms), *_of_pictures(wanted))
        pictures = select(Image.job_id, Image.position).join(Job, Job.id == Image.job_id).where(*conditions)
        rank = {job_id: place for place, job_id in enumerate(job_ids)}
        async with self._database.read() as session:
            found = [Key(*row) for row in await session.execute(pictures)]
        keys = sorted(found, key=lambda key: (rank[key.job_id], key.position), reverse=is_backwards)
        first = keys.index(after) + 1 if after and after in keys else 0
        return keys[first : first + limit]

    async def requests(
        self, wanted: Filter, limit: int, *, after: int | None = None, is_oldest_first: bool = False
    ) -> list[int]:
        """The ids of the newest (or oldest) requests, or of those before one."""
        span = await self._span(wanted, limit, is_oldest_first)
        ids = self._ids(wanted, span if after is None else _from(span, after - 1))
        if ids is None:
            return []
        async with self._database.read() as session:
            return list(await session.scalars(ids))

    async def filtered(self, wanted: Filter, job_ids: Sequence[int]) -> list[int]:
        """Those of the requests that are wanted, whatever their words, in the order given."""
        conditions = (Job.id.in_(job_ids), *_of_requests(wanted), *_has(wanted.terms))
        async with self._database.read() as session:
            found = set(await session.scalars(select(Job.id).where(*conditions)))
        return [job_id for job_id in job_ids if job_id in found]

    async def load(self, keys: Sequence[Key]) -> list[tuple[Job, Image]]:
        """The pictures with their requests, in the order of the keys; those that are gone are left out."""
        async with self._database.read() as session:
            wanted = select(Job).where(Job.id.in_({key.job_id for key in keys}), Job.deleted_at.is_(None))
            jobs = {job.id: job for job in await session.scalars(wanted)}
        images = {Key(job.id, image.position): (job, image) for job in jobs.values() for image in job.images}
        return [images[key] for key in keys if key in images]

    def _ids(self, wanted: Filter, span: Span) -> Select[int] | None:
        """The ids of the requests that are wanted; None if no request can be."""
        question = read_question(wanted.words) if wanted.words.strip() else ReadSearch((), ())
        if question is None:
            return None
        conditions, terms = [*_of_requests(wanted), *_texts(question)], [*wanted.terms, *question.terms]
        if wanted.starred_by is not None:  # few, and not in the index
            starred = select(Image.job_id).join(Favourite, Favourite.image_id == Image.id)
            starred = starred.where(Favourite.user_id == wanted.starred_by)
            conditions, terms = [Job.id.in_(starred), *conditions, *_has(terms)], []
        return found(terms, conditions, span, is_sqlite=self._database.is_sqlite)

    async def _span(self, wanted: Filter, limit: int, is_rising: bool) -> Span:
        """The ids among which the requests of the filter's dates are."""
        span = Span(limit, is_oldest_first=is_rising)
        if wanted.since is None and wanted.until is None:
            return span
        first = select(Job.id).where(Job.created_at >= (wanted.since or 0) - REOPENED_SECONDS).order_by(Job.created_at)
        later = select(Job.id).where(Job.created_at > (wanted.until or 0)).order_by(Job.created_at).limit(OUT_OF_ORDER)
        async with self._database.read() as session:
            if wanted.since is not None:
                span = replace(span, since=await session.scalar(first.limit(1)) or NONE)
            if wanted.until is not None:
                span = replace(span, until=await session.scalar(select(func.max(later.subquery().c.id))))
        return span


async def mark_upscaled(session: AsyncSession, job_id: int) -> None:
    """Let a request be found among those of which a picture was upscaled."""
    if terms := [scope.upscaled for scope in await _scopes_of(session, job_id)]:
        is_new = Job.search_facets.not_like(f"%{terms[0]}%")
        more = Job.search_facets + f" {' '.join(terms)}"
        await session.execute(update(Job).where(Job.id == job_id, is_new).values(search_facets=more))


async def mark_moved(session: AsyncSession, job_id: int, before: int, after: int) -> None:
    """Let a request be found in the channel ``after``, and not in the one before."""
    terms: ColumnElement[str] = Job.search_facets.expression
    for scope in await _scopes_of(session, job_id):
        terms = func.replace(terms, scope.term(CHANNEL, before), scope.term(CHANNEL, after))
    await session.execute(update(Job).where(Job.id == job_id).values(search_facets=terms))


async def _scopes_of(session: AsyncSession, job_id: int) -> list[TermScope]:
    """The scopes in which a request is found; none once it is deleted."""
    whose = select(Job.user_id, Job.guild_id, Job.is_private).where(Job.id == job_id, Job.deleted_at.is_(None))
    found = (await session.execute(whose)).one_or_none()
    return scopes(found[0], found[1], is_private=found[2]) if found else []


def _from(span: Span, job_id: int) -> Span:
    """The rest of a span from a request on."""
    if span.is_oldest_first:
        return replace(span, since=max(job_id, span.since or 0))
    return replace(span, until=job_id if span.until is None else min(job_id, span.until))


def _of_requests(wanted: Filter) -> Iterator[ColumnElement[bool]]:
    """What must be true of a request, whatever the index says."""
    yield Job.deleted_at.is_(None)
    if wanted.user_id is not None:
        yield Job.user_id == wanted.user_id
    elif wanted.guild_id is not None:
        yield Job.guild_id == wanted.guild_id
        yield Job.is_private.is_(False)
        yield Job.quarantine.is_(None)
    if wanted.channels is not None:
        yield Job.channel_id.in_(wanted.channels)
    if not wanted.every_status:
        yield Job.status == JobStatus.SUCCEEDED
        yield Job.kind.not_in(ABOUT_PICTURES)
    if wanted.since is not None:
        yield Job.created_at >= wanted.since
    if wanted.until is not None:
        yield Job.created_at <= wanted.until
    if pictures := [*_of_pictures(wanted)]:
        yield select(Image.id).where(Image.job_id == Job.id, *pictures).correlate(Job).exists()


def _of_pictures(wanted: Filter) -> Iterator[ColumnElement[bool]]:
    """What must be true of a picture."""
    if wanted.user_id is None and wanted.guild_id is not None:
        yield or_(Image.verdict.is_(None), Image.verdict == ImageVerdict.APPROVED)
    if wanted.is_upscaled:
        yield IS_UPSCALED
    if wanted.starred_by is not None:
        is_its = (Favourite.image_id == Image.id, Favourite.user_id == wanted.starred_by)
        yield select(Favourite.image_id).where(*is_its).correlate(Image).exists()


def _has(terms: Sequence[str]) -> Iterator[ColumnElement[bool]]:
    """What the index says of a request, read in the request itself."""
    every = literal(" ").concat(Job.search_facets).concat(" ").concat(Job.search_text)
    yield from (every.like(f"% {term} %") for term in terms)


def _texts(question: ReadSearch) -> Iterator[ColumnElement[bool]]:
    """Phrases, whose words must stand beside each other."""
    for text in question.texts:
        yield Job.search_text.like(f"%{BAR}%{text}%")
