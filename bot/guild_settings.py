"""Server settings, at most a second old in any process; every change is logged."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from itertools import chain
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from limner.bot.errors import BadRule
from limner.bot.limits import CHOICES
from limner.bot.storage.audit_log import changing, record
from limner.bot.storage.db import Database
from limner.bot.storage.tables.filter_tables import FilterChange, GuildSettingsRow
from limner.bot.storage.together import Together
from limner.bot.translation import _

EVERYWHERE = 0
"""The guild id of the operator's rules, which hold in every server and in direct messages, and of settings there."""
POLL_SECONDS = 1.0
"""Longest time that another process's change may go unnoticed."""


class OnEvasion(StrEnum):
    """What follows when a member respells a refused idea."""

    OFF = "off"
    #: Moderators get a review card.
    FLAG = "flag"
    #: Moderators get a review card, the member a strike.
    STRIKE = "strike"


@dataclass(frozen=True)
class GuildSettings:
    """The settings of one server."""

    #: Roles whose members may change rules and decide on pictures, beside those with Manage Server.
    moderator_role_ids: tuple[int, ...] = ()
    #: Whether the filter checks negative prompts too.
    checks_negative_prompts: bool = False
    #: Where cards for flagged pictures are posted; without it a flag is a refusal.
    review_channel_id: int | None = None
    #: Whether the pictures on cards are blurred; a moderator sees them by a button.
    blurs_cards: bool = False
    #: Days after which an undecided card counts as rejected.
    review_days: int = 7
    #: Days after which a strike expires.
    strike_days: int = 30
    #: How many strikes suspend a member; 0: none ever do.
    strike_limit: int = 3
    #: How long the first suspension takes; each further one takes twice as long.
    suspension_hours: int = 24
    #: Whether a suspended member is timed out on Discord too.
    times_out: bool = False
    #: What follows when a refused idea is respelled.
    evasion: OnEvasion = OnEvasion.FLAG
    #: For how long after a refusal ideas are compared with it.
    evasion_minutes: int = 10
    #: Whether members may make something of each other's posted pictures.
    shares_pictures: bool = True
    #: Where pictures are posted once more that so many members starred; None: nowhere.
    gallery_channel_id: int | None = None
    gallery_stars: int = 3
    #: The language of public messages, one of `bot.translation.languages`; empty: as in Discord.
    language: str = ""
    #: on, off or preview: the expansion of a request whose member has not chosen it.
    expand: str = "on"
    #: Options of /imagine by their names, of a request whose member has not chosen them: model and style.
    usual_options: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Of how many results in a hundred the member is asked which of two pictures is better; None: the operator's.
    compared_share: int | None = None
    #: Whether the manifests of pictures hold the words that they were painted from.
    signs_prompts: bool = False
    #: The server's own styles by name: title, prompt and negative (`bot.server_styles`).
    own_styles: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    #: Days for which requests are kept (0: until their members delete them), and refused ones (0: the operator's).
    keep_days: int = 0
    refused_days: int = 0
    #: A text that each member accepts once before asking for pictures; empty: none (`bot.moderation.house_rules`).
    house_rules: str = ""
    #: Channels and roles by subject (`bot.moderation.access`), and limits by role (`bot.moderation.quotas`).
    access: Mapping[str, Mapping[str, Sequence[int]]] = field(default_factory=dict[str, Mapping[str, Sequence[int]]])
    quotas: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    #: Explicit limit in ordinary and in age-restricted channels; None: the operator's.
    explicit_limit: float | None = None
    explicit_limit_restricted: float | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> GuildSettings:
        """Read a row's values; names unknown to this version are ignored."""
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        return cls(**{name: _frozen(value) for name, value in known.items()})

    def to_json(self) -> dict[str, Any]:
        """What differs from the defaults."""
        usual = type(self)()
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _plain(value) for name, value in values.items() if value != getattr(usual, name)}


@dataclass(frozen=True)
class Known:
    """A server's settings with the revision they belong to."""

    settings: GuildSettings
    revision: int
    checked_at: float


class Guilds:
    """The settings of all servers in use; a change counts at once in the process that makes it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._known: dict[int, Known] = {}
        self._changes = 0
        self._reading = Together(self._read)

    async def get(self, guild_id: int | None) -> GuildSettings:
        """A server's settings; ``guild_id`` None is everything outside servers."""
        guild = guild_id or EVERYWHERE
        return (await self.look([guild]))[guild].settings

    def known(self, guild_id: int | None) -> GuildSettings:
        """A server's settings as this process read them last; the defaults if it never did."""
        found = self._known.get(guild_id or EVERYWHERE)
        return found.settings if found else GuildSettings()

    async def look(self, guilds: Iterable[int]) -> dict[int, Known]:
        """The known state of some servers, at most a second old."""
        wanted = list(guilds)
        while due := self._due(wanted):
            await self._reading.ask((due, time.monotonic()))
        return {guild: self._known[guild] for guild in wanted}

    async def _read(self, asked: Sequence[tuple[Sequence[int], float]], _patience: float) -> list[None]:
        due, now = {*chain.from_iterable(guilds for guilds, _ in asked)}, min(at for _, at in asked)
        changes = self._changes
        async with self.database.read() as session:
            rows = await session.scalars(select(GuildSettingsRow).where(GuildSettingsRow.guild_id.in_(due)))
            found = {row.guild_id: row for row in rows}
        if changes == self._changes:  # otherwise the values read may be older than the change
            self._known.update({guild: _known(found.get(guild), now) for guild in due})
        return [None] * len(asked)

    async def change(self, guild_id: int, by: int, **changes: Any) -> GuildSettings:
        """Change settings by name and log the change; returns the new settings."""
        async with changing(self.database, guild_id) as session:
            new = await _write(session, guild_id, by, "settings", changes)
        self.forget(guild_id)
        return new

    async def take_back(self, change: FilterChange, by: int) -> GuildSettings:
        """Undo a change of settings; raises BadRule if a newer change overrides it."""
        async with changing(self.database, change.guild_id) as session:
            row = await session.get_one(GuildSettingsRow, change.guild_id)
            now = GuildSettings.from_json(row.settings)
            before, after = (GuildSettings.from_json(one["settings"]) for one in (change.before, change.after))
            names = change.before["settings"]
            values = {name: _undone(*(getattr(one, name) for one in (now, before, after))) for name in names}
            new = await _write(session, change.guild_id, by, "undo", values, change.id)
        self.forget(change.guild_id)
        return new

    def forget(self, guild_id: int) -> None:
        """Drop a server's cached state after a change in this process."""
        self._changes += 1
        self._known.pop(guild_id, None)

    def _due(self, guilds: Iterable[int]) -> list[int]:
        oldest = time.monotonic() - POLL_SECONDS
        return [guild for guild in guilds if guild not in self._known or self._known[guild].checked_at < oldest]


def _known(row: GuildSettingsRow | None, now: float) -> Known:
    if row is None:
        return Known(GuildSettings(), 0, now)
    return Known(GuildSettings.from_json(row.settings), row.revision, now)


async def retentions(database: Database) -> dict[int, GuildSettings]:
    """The settings of the servers that keep requests or refused requests for a while only."""
    async with database.read() as session:
        rows = await session.execute(select(GuildSettingsRow.guild_id, GuildSettingsRow.settings))
        found = {guild_id: GuildSettings.from_json(settings) for guild_id, settings in rows}
    return {guild_id: settings for guild_id, settings in found.items() if settings.keep_days or settings.refused_days}


async def review_channels(database: Database) -> set[int]:
    """The review channels of all servers that have one."""
    async with database.read() as session:
        rows = await session.scalars(select(GuildSettingsRow.settings))
        return {row["review_channel_id"] for row in rows if row.get("review_channel_id")}


async def _write(
    session: AsyncSession, guild_id: int, by: int, what: str, changes: Mapping[str, Any], undoes: int | None = None
) -> GuildSettings:
    row = await session.get(GuildSettingsRow, guild_id)
    old = GuildSettings.from_json(row.settings if row else {})
    new = replace(old, **changes)
    if new != old:
        before, after = ({"settings": {name: _plain(getattr(one, name)) for name in changes}} for one in (old, new))
        await record(session, guild_id, by, what, before, after, undoes)
        row = await session.get_one(GuildSettingsRow, guild_id)
        row.settings = new.to_json()
    return new


def _undone(now: Any, before: Any, after: Any) -> Any:
    """A setting without one change; of a mapping, such as the styles, the entries that it changed."""
    if isinstance(now, Mapping):
        entries = cast("Mapping[str, Any]", now)
        changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        _check_unchanged({key: entries.get(key) for key in changed}, {key: after.get(key) for key in changed})
        kept = {key: value for key, value in entries.items() if key not in changed}
        undone = kept | {key: before[key] for key in changed if key in before}
        if len(undone) > max(len(entries), CHOICES):
            raise BadRule(_("There is no room for what this would bring back; remove another one first."))
        return undone
    _check_unchanged(now, after)
    return before


def _check_unchanged(now: Any, after: Any) -> None:
    if now != after:
        raise BadRule(_("These settings were changed again since then; undo the newer change first."))


def _plain(value: Any) -> Any:
    """A value in JSON's types."""
    return list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    """A value in the settings' types."""
    return tuple(cast("list[Any]", value)) if isinstance(value, list) else value
