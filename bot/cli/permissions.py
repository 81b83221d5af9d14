"""The permissions of a bot's token in each channel, asked over HTTP without going online."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from limner.bot.errors import SetupError
from limner.bot.translation import N_, _
from limner.generators.answers import parse_json, read_answer

DISCORD = "https://discord.com/api/v10"
NEEDED = {
    N_("View Channels"): 1 << 10,
    N_("Send Messages"): 1 << 11,
    N_("Embed Links"): 1 << 14,
    N_("Attach Files"): 1 << 15,
    N_("Read Message History"): 1 << 16,
    N_("Send Messages in Threads"): 1 << 38,
}
ADMINISTRATOR = 1 << 3
TEXT_CHANNELS = (0, 5)
"""Text and announcement channels, in Discord's numbers."""
TIMEOUT_SECONDS = 15.0
MOST_BYTES = 2**24
"""Longest answer that is read; Discord's are shorter."""

NOT_ACCEPTED = N_(
    "Discord does not accept the token; press Reset Token under Bot at https://discord.com/developers/applications "
    "and give the new one in LIMNER_TOKEN."
)
UNREACHABLE = N_("Discord cannot be reached; check the network connection, then run this again.")


@dataclass(frozen=True)
class Channel:
    """A text channel of one of the bot's servers, and the permissions that the bot lacks there."""

    guild: str
    name: str
    missing: tuple[str, ...]
    id: int = 0
    #: Whether every member of the server may read it.
    is_public: bool = False


@dataclass(frozen=True)
class Login:
    """The token's application, and the bot's channels."""

    name: str
    application_id: int
    channels: list[Channel]


def invite_link(application_id: int | str) -> str:
    """The address that adds the bot to a server with all permissions that it needs."""
    permissions = sum(NEEDED.values())
    return (
        f"https://discord.com/oauth2/authorize?client_id={application_id}"
        f"&scope=bot+applications.commands&permissions={permissions}"
    )


async def log_in(token: str, api: str = DISCORD) -> Login:
    """Ask Discord for the token's owner, and its permissions in each text channel of up to 200 servers.

    Raises:
        SetupError: Discord cannot be reached, or does not accept the token.
    """
    limits = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    try:
        async with aiohttp.ClientSession(headers={"Authorization": f"Bot {token}"}, timeout=limits) as session:
            me = await _get(session, f"{api}/users/@me")
            application = await _get(session, f"{api}/applications/@me")
            guilds = await _get(session, f"{api}/users/@me/guilds")
            channels = [channel for guild in guilds for channel in await _channels(session, api, guild, me["id"])]
        return Login(me["username"], int(application["id"]), channels)
    except aiohttp.ClientResponseError as error:
        raise SetupError(_(NOT_ACCEPTED) if error.status == 401 else _(UNREACHABLE)) from error
    except (aiohttp.ClientError, TimeoutError, LookupError, TypeError) as error:
        raise SetupError(_(UNREACHABLE)) from error
    except ValueError as error:  # an HTTP header cannot hold such a token
        raise SetupError(_(NOT_ACCEPTED)) from error


async def _channels(session: aiohttp.ClientSession, api: str, guild: Mapping[str, Any], user_id: str) -> list[Channel]:
    member = await _get(session, f"{api}/guilds/{guild['id']}/members/{user_id}")
    channels = await _get(session, f"{api}/guilds/{guild['id']}/channels")
    roles = await _get(session, f"{api}/guilds/{guild['id']}/roles")
    base, everybodys = (
        int(guild["permissions"]),
        next(int(one["permissions"]) for one in roles if one["id"] == guild["id"]),
    )
    asked = [guild["id"], *member["roles"], user_id]
    return [
        Channel(
            guild["name"],
            channel["name"],
            _missing(base, channel, asked),
            int(channel["id"]),
            "View Channels" not in _missing(everybodys, channel, [guild["id"]]),
        )
        for channel in channels
        if channel["type"] in TEXT_CHANNELS
    ]


def _missing(base: int, channel: Mapping[str, Any], asked: list[str]) -> tuple[str, ...]:
    """Discord's order: denied and allowed for everyone, then for all roles together, then for the member."""
    if base & ADMINISTRATOR:
        return ()
    rules = {rule["id"]: rule for rule in channel["permission_overwrites"]}
    allowed = base
    for group in (asked[:1], asked[1:-1], asked[1:][-1:]):
        found = [rules[identity] for identity in group if identity in rules]
        allowed = allowed & ~_together(found, "deny") | _together(found, "allow")
    return tuple(name for name, bit in NEEDED.items() if not allowed & bit)


def _together(rules: Iterable[Mapping[str, Any]], kind: str) -> int:
    bits = 0
    for rule in rules:
        bits |= int(rule[kind])
    return bits


async def _get(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.get(url) as response:
        response.raise_for_status()
        try:
            return parse_json(await read_answer(response, MOST_BYTES))
        except ValueError as error:
            raise aiohttp.ClientPayloadError from error
