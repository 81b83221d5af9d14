"""Checks of Discord: token, permissions in each channel, and who can read the review channel."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import groupby

from limner.bot.cli.doctor.check import Check
from limner.bot.cli.permissions import Channel, Login, log_in
from limner.bot.errors import SetupError
from limner.bot.guild_settings import review_channels
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.db import Database
from limner.bot.translation import N_, _

PRIVATE = N_("deny View Channel to @everyone in the channel's settings, and allow it to moderators")


async def discord_rights(settings: Settings, api: str) -> tuple[Login | None, list[Check]]:
    """The bot's login, if there is one, and findings about its permissions."""
    if not settings.token:
        return None, [
            Check("warn", _("there is no Discord token; only `limner run` needs one"), _("see the steps below"))
        ]
    try:
        login = await log_in(settings.token, api)
    except SetupError as error:
        return None, [Check("fail", str(error), "LIMNER_TOKEN")]
    found = [Check("ok", _("the token belongs to the bot {login}", login=login.name)), *_channels(login.channels)]
    found += [*_public_reviews(login.channels, await _review_channels(settings))]
    found += [*_floor_channel(login.channels, settings.floor_channel)]
    if not login.channels:
        found.append(Check("warn", _("the bot is in no server yet"), _("open the invite link below")))
    return login, found


async def _review_channels(settings: Settings) -> set[int]:
    """Where moderators decide, in every server; none while there is no database."""
    try:
        await migrate.check(settings.url)
    except SetupError:
        return set()
    database = Database(settings.url)
    try:
        return await review_channels(database)
    finally:
        await database.close()


def _public_reviews(channels: list[Channel], reviews: Collection[int]) -> Iterator[Check]:
    for channel in channels:
        if channel.id in reviews and channel.is_public:
            what = _(
                "{guild}: everybody can read the review channel #{channel}, and what is held back there",
                guild=channel.guild,
                channel=channel.name,
            )
            yield Check("warn", what, _(PRIVATE))


def _floor_channel(channels: list[Channel], chosen: int) -> Iterator[Check]:
    """Whether the channel for the floor's hits is there, and is nobody else's."""
    found = next((channel for channel in channels if channel.id == chosen), None)
    if chosen and found is None:
        mend = _("give the id of a channel that the bot can see in floor_channel")
        yield Check("fail", _("the bot sees no channel {channel} for the floor's refusals", channel=chosen), mend)
    if found and found.is_public:
        what = _("everybody can read #{channel}, in which the floor's refusals are listed", channel=found.name)
        yield Check("warn", what, _(PRIVATE))


def _channels(channels: list[Channel]) -> Iterator[Check]:
    """One line for all channels of a server that lack the same permissions."""
    ordered = sorted(channels, key=lambda channel: (channel.guild, channel.missing))
    for (guild, missing), group in groupby(ordered, key=lambda channel: (channel.guild, channel.missing)):
        names = ", ".join(f"#{channel.name}" for channel in group)
        if missing:
            mend = _("allow it in the channel's settings, or open the invite link below again")
            yield Check(
                "warn",
                _("{guild}: the bot lacks {join} in {names}", guild=guild, join=", ".join(missing), names=names),
                mend,
            )
        else:
            yield Check("ok", _("{guild}: all permissions in {names}", guild=guild, names=names))
