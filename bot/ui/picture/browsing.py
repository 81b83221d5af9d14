"""What a page of /history or /gallery shows: the filters, and how a button's id keeps them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Self

import discord

from limner.bot.errors import BadOption
from limner.bot.limits import length
from limner.bot.storage.history.embeddings import SearchScope
from limner.bot.storage.history.gallery import Filter
from limner.bot.styles import Styles
from limner.bot.translation import N_, _, commas
from limner.bot.ui.days import DAY_SECONDS
from limner.bot.ui.interactions import reads
from limner.bot.ui.job.job_messages import plain

Interaction = discord.Interaction[Any]

ROOM = 60
"""Characters of a button's id, of 100, that all filters share."""
TOO_MUCH = N_("All filters together may have {most} characters; shorten the words.")
IN_SERVERS = N_("A server's public pictures are shown there only; use /gallery in the server.")
BACKWARDS = N_("The first day is after the last one; exchange them.")
LIKE = re.compile(r"like:(?P<job>[1-9][0-9]{0,17})-(?P<number>[1-9])")
"""Words that name a picture to which others are alike, such as like:12-1."""
PLACE = "+"
"""Stands between the signs and the place and days, in hexadecimal digits, in a button's id."""
LARGEST_ID = 2**63 - 1
LAST_DAY = date.max.toordinal() - date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class Browsing:
    """What a page shows: the filters, of which a button's id keeps those that are given, and the order."""

    words: str = ""
    model: str = ""
    style: str = ""
    lora: str = ""
    is_upscaled: bool = False
    is_favourite: bool = False
    is_oldest_first: bool = False
    #: The server's public pictures, not the member's own.
    is_of_server: bool = False
    channel_id: int = 0
    #: The first and the last day, counted from 1970-01-01; 0 for none.
    since: int = 0
    until: int = 0

    @property
    def packed(self) -> str:
        """The filters in a button's id."""
        signs = "u" * self.is_upscaled + "f" * self.is_favourite + "o" * self.is_oldest_first + "s" * self.is_of_server
        numbers = (self.channel_id, self.since, self.until)
        place = PLACE + ".".join(f"{number:x}" if number else "" for number in numbers) if any(numbers) else ""
        return "|".join((signs + place, self.model, self.style, self.lora, self.words))

    def check(self, interaction: Interaction) -> None:
        """Raise BadOption if a button's id has no room for the filters, or the days are the wrong way round.

        Raises it too if a server's pictures are wanted in a direct message.
        """
        self.of(interaction)
        if length(self.packed) > ROOM:
            raise BadOption(_(TOO_MUCH, most=ROOM - len("ufos||||")))
        if self.since and self.until and self.since > self.until:
            raise BadOption(_(BACKWARDS))

    @classmethod
    def unpacked(cls, packed: str) -> Self:
        """Read what `packed` wrote; what it did not write finds nothing."""
        head, model, style, lora, words = [*packed.split("|", 4), "", "", "", ""][:5]
        signs, _plus, place = head.partition(PLACE)
        numbers = map(_number, [*place.split("."), "", ""], (LARGEST_ID, LAST_DAY, LAST_DAY))
        return cls(words, model, style, lora, *(sign in signs for sign in "ufos"), *numbers)

    def of(self, interaction: Interaction) -> Filter:
        """These pictures: the member's own, or the server's public ones in channels that the member reads.

        Raises:
            BadOption: a server's are wanted in a direct message.
        """
        if self.is_of_server and interaction.guild_id is None:
            raise BadOption(_(IN_SERVERS))
        return Filter(
            user_id=None if self.is_of_server else interaction.user.id,
            guild_id=interaction.guild_id if self.is_of_server else None,
            channels=readable_channels(interaction) if self.is_of_server else None,
            words=self.words,
            model=self.model,
            style=self.style,
            lora=self.lora,
            channel_id=self.channel_id or None,
            since=self.since * DAY_SECONDS if self.since else None,
            until=(self.until + 1) * DAY_SECONDS - 1 if self.until else None,
            is_upscaled=self.is_upscaled,
            starred_by=interaction.user.id if self.is_favourite else None,
        )

    def scope(self, interaction: Interaction) -> SearchScope:
        """Whose requests are searched by meaning."""
        if self.is_of_server:
            return SearchScope(guild_id=interaction.guild_id)
        return SearchScope(user_id=interaction.user.id)

    def heading(self, styles: Styles) -> str:
        """The heading of its pages."""
        like = LIKE.fullmatch(self.words)
        given = [f"**{plain(self.words, 2 * ROOM)}**"] if self.words and not like else []
        given += [_("like picture {number} of request {job}", number=like["number"], job=like["job"])] if like else []
        given += [plain(name, 2 * ROOM) for name in (self.model, styles.title(self.style), self.lora) if name]
        given += [f"<#{self.channel_id}>"] if self.channel_id else []
        given += [_("from {day}", day=_shown(self.since))] if self.since else []
        given += [_("until {day}", day=_shown(self.until))] if self.until else []
        given += [_("upscaled")] * self.is_upscaled + [_("favourites")] * self.is_favourite
        given += [_("oldest first")] * self.is_oldest_first
        filters = commas(given)
        if self.is_of_server:
            return _("This server's pictures: {filters}", filters=filters) if given else _("This server's pictures")
        return _("Your pictures: {filters}", filters=filters) if given else _("Your pictures")


def readable_channels(interaction: Interaction) -> tuple[int, ...]:
    """The channels and threads of the server that the member reads, as far as they are known."""
    known = [*interaction.guild.channels, *interaction.guild.threads] if interaction.guild else []
    found = {channel.id for channel in known if reads(interaction, channel.id)}
    return tuple(sorted(found | ({interaction.channel_id} if interaction.channel_id else set())))


def _number(digits: str, most: int) -> int:
    """A number in a button's id; 0 for what is none, or larger than any."""
    number = int(digits, 16) if re.fullmatch("[0-9a-f]{1,16}", digits) else 0
    return number if number <= most else 0


def _shown(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_SECONDS, UTC).date().isoformat()
