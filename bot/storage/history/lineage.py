"""Lineage: which painted pictures a request is made of, and the family of requests around one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from limner.bot.reasons import JobStatus
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import Image, Job, ReferencePicture

MOST_COPIES = 200
"""Requests with the same picture among which its origin is looked for."""
MOST_RELATIVES = 24
"""Requests in one family, the one that it is of included."""
MOST_ANCESTORS = 6
"""Ancestors among them; the nearest ones."""
MOST_GENERATIONS = 3
"""Generations of what was made of each."""
MOST_CHILDREN = 100
"""Newest children of all requests of one generation that are looked at."""

IsVisible = Callable[[Job], bool]


class Origin(NamedTuple):
    """A painted picture: its request, and its number there, counted from 1."""

    job_id: int
    number: int


class Link(NamedTuple):
    """A request and one that was made of it, by which of its pictures; None for all of them."""

    parent_id: int
    number: int | None
    child_id: int


@dataclass(frozen=True)
class RequestFamily:
    """The requests around one that a member may see, by their ids, which rise from parents to children."""

    job_id: int
    jobs: Mapping[int, Job]
    links: tuple[Link, ...]
    #: Whether there are more than these.
    has_more: bool

    @property
    def way(self) -> list[int]:
        """The ids on the ways that lead to the request, with its own as the last."""
        found = {self.job_id}
        for link in sorted(self.links, key=lambda link: -link.child_id):
            if link.child_id in found:
                found.add(link.parent_id)
        return sorted(found)

    def made_of(self, job_id: int) -> list[Link]:
        """The links that lead to a request."""
        return [link for link in self.links if link.child_id == job_id]


class Lineage:
    """Reads families; what the member may not see cuts off what is behind it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def origin(self, sha256: str, user_id: int, guild_id: int | None) -> Origin | None:
        """The painted picture that has this file, of those that the member has or that are public in the server."""
        async with self._database.read() as session:
            return (await origins(session, [sha256], user_id, guild_id)).get(sha256)

    async def parents(self, job: Job, is_visible: IsVisible) -> list[Job]:
        """The requests that one was made of."""
        async with self._database.read() as session:
            links = await _parents(session, [job])
            return await _visible(session, {link.parent_id for link in links}, is_visible)

    async def children(self, job: Job, is_visible: IsVisible, most: int) -> list[Job]:
        """The latest requests that were made of one."""
        async with self._database.read() as session:
            links = await _children(session, [job.id])
            return (await _visible(session, {link.child_id for link in links}, is_visible))[:most]

    async def family(self, job: Job, is_visible: IsVisible) -> RequestFamily:
        """The nearest ancestors of a request, then what was made of it, then what was made of its ancestors."""
        growing = _Growing(job, is_visible)
        async with self._database.read() as session:
            generation = [job]
            while generation:
                links = await _parents(session, generation)
                generation = await growing.add(session, links, {link.parent_id for link in links}, MOST_ANCESTORS + 1)
            for ancestor in sorted(growing.jobs, reverse=True):
                young = [ancestor]
                for _generation in range(MOST_GENERATIONS):
                    links = await _children(session, young)
                    children = {link.child_id for link in links}
                    young = [one.id for one in await growing.add(session, links, children, MOST_RELATIVES)]
        return growing.family


class _Growing:
    """A family that is being read."""

    def __init__(self, job: Job, is_visible: IsVisible) -> None:
        self._job_id = job.id
        self._is_visible = is_visible
        self._links = set[Link]()
        self.jobs = {job.id: job}
        self.has_more = False

    async def add(self, session: AsyncSession, links: Iterable[Link], ids: set[int], most: int) -> list[Job]:
        """Add the requests that are new and may be seen, as long as there are no more than so many; returns these."""
        found = await _visible(session, ids - self.jobs.keys(), self._is_visible, is_painted=True)
        added = found[: max(0, most - len(self.jobs))]
        self.has_more |= len(added) < len(found)
        self.jobs |= {job.id: job for job in added}
        self._links |= set(links)
        return added

    @property
    def family(self) -> RequestFamily:
        known = self.jobs.keys()
        links = [link for link in self._links if link.parent_id in known and link.child_id in known]
        links.sort(key=lambda link: (link.parent_id, link.child_id, link.number or 0))
        return RequestFamily(self._job_id, self.jobs, tuple(links), self.has_more)


async def origins(
    session: AsyncSession, hashes: Collection[str], user_id: int, guild_id: int | None
) -> Mapping[str, Origin]:
    """The painted pictures that have these files: a member's own first, then those that are public in the server."""
    found = select(Image.sha256, Image.job_id, Image.position, Job.user_id).join(Job, Job.id == Image.job_id)
    found = found.where(Image.sha256.in_(hashes), _is_known(user_id, guild_id)).order_by(Image.job_id.desc())
    rows = (await session.execute(found.limit(MOST_COPIES))).all()
    ranked = sorted(rows, key=lambda row: row.user_id == user_id)  # the last one counts
    return {row.sha256: Origin(row.job_id, row.position + 1) for row in ranked}


def _is_known(user_id: int, guild_id: int | None) -> ColumnElement[bool]:
    """Whether a member may learn that a picture is of this request."""
    is_public = (Job.guild_id == guild_id) & Job.is_private.is_(False) & Job.quarantine.is_(None)
    return Job.deleted_at.is_(None) & (Job.status == JobStatus.SUCCEEDED) & ((Job.user_id == user_id) | is_public)


async def _parents(session: AsyncSession, jobs: Collection[Job]) -> list[Link]:
    main = [Link(job.parent_id, job.parent_picture, job.id) for job in jobs if job.parent_id]
    referred = select(ReferencePicture.parent_id, ReferencePicture.parent_picture, ReferencePicture.job_id)
    referred = referred.where(
        ReferencePicture.job_id.in_([job.id for job in jobs]), ReferencePicture.parent_id.is_not(None)
    )
    return [*main, *(Link(*row) for row in await session.execute(referred))]


async def _children(session: AsyncSession, ids: Collection[int]) -> list[Link]:
    main = select(Job.parent_id, Job.parent_picture, Job.id).where(Job.parent_id.in_(ids))
    referred = select(ReferencePicture.parent_id, ReferencePicture.parent_picture, ReferencePicture.job_id)
    referred = referred.where(ReferencePicture.parent_id.in_(ids), ReferencePicture.job_id.is_not(None))
    newest = (main.order_by(Job.id.desc()), referred.order_by(ReferencePicture.job_id.desc()))
    links = [Link(*row) for one in newest for row in await session.execute(one.limit(MOST_CHILDREN))]
    return sorted(links, key=lambda link: -link.child_id)[:MOST_CHILDREN]


async def _visible(
    session: AsyncSession, ids: Collection[int], is_visible: IsVisible, *, is_painted: bool = False
) -> list[Job]:
    """Those of the requests that are not deleted and that the member may see, the newest first."""
    if not ids:
        return []
    found = select(Job).where(Job.id.in_(ids), Job.deleted_at.is_(None)).order_by(Job.id.desc())
    if is_painted:
        found = found.where(Job.status == JobStatus.SUCCEEDED)
    return [job for job in await session.scalars(found) if is_visible(job)]
