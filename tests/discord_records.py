"""What the small Discord of the tests remembers: messages, interactions; and where a test makes it stop or fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from aiohttp import web

Json = dict[str, Any]
Matching = Callable[[web.Request], bool]
Seen = TypeVar("Seen")

BOT, GUILD, OTHER_GUILD, CHANNEL = 1000, 2000, 2001, 3000
EPHEMERAL, LOADING = 1 << 6, 1 << 7
TEXT = 10


LONGEST_PAUSE = 0.1
"""Seconds between two looks after some time: each look costs what the process that is waited for could use."""


async def until(look: Callable[[], Seen], seconds: float = 20.0, what: str = "what the test waits for") -> Seen:
    """Look again and again, less and less often, until something is seen; TimeoutError after so many seconds."""
    deadline, pause = time.monotonic() + seconds, 0.01
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        await asyncio.sleep(pause)
        pause = min(1.2 * pause, LONGEST_PAUSE)
    return seen


@dataclass
class File:
    """One attachment: its bytes, and the text that blind readers get."""

    id: int
    name: str
    data: bytes
    description: str | None


@dataclass
class Post:
    """A message, with all that it has been before; ``body`` is Discord's JSON without ids and files."""

    id: int
    channel_id: int
    author_id: int
    body: Json
    files: list[File] = field(default_factory=list[File])
    edits: list[tuple[float, Json, list[File]]] = field(default_factory=list[tuple[float, Json, list[File]]])
    deleted: bool = False

    @property
    def content(self) -> str:
        texts = [part["content"] for part in components(self.body.get("components") or []) if part["type"] == TEXT]
        return "\n".join(filter(None, [self.body.get("content"), *texts]))

    @property
    def public(self) -> bool:
        return not self.deleted and not self.ephemeral

    @property
    def ephemeral(self) -> bool:
        return bool(self.body.get("flags", 0) & EPHEMERAL)

    @property
    def custom_ids(self) -> list[str]:
        """Of all buttons and selects that can be used now."""
        parts = components(self.body.get("components", []))
        return [part["custom_id"] for part in parts if "custom_id" in part and not part.get("disabled")]


@dataclass
class Asked:
    """An interaction and its answer: seconds until the callback came, its type, and the message that it made."""

    id: int
    token: str
    channel_id: int
    source: Post | None
    sent_at: float = field(default_factory=time.perf_counter)
    seconds: float | None = None
    kind: int = 0
    message: Post | None = None
    body: Json = field(default_factory=dict[str, Any])
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class Gate:
    """A request stops here, before Discord has heard it or (``heard``) before the answer leaves, until `open`."""

    def __init__(self, matching: Matching, *, heard: bool = False) -> None:
        self.matching = matching
        self.heard = heard
        self.reached = asyncio.Event()
        self._opened = asyncio.Event()

    def open(self) -> None:
        self._opened.set()

    async def stop(self) -> None:
        self.reached.set()
        await self._opened.wait()


@dataclass
class Fault:
    """A share of the matching requests, at most ``times``, is answered with an error.

    Status 0 is a timeout: after ``hang`` seconds the connection breaks without an answer, with ``heard`` after Discord
    has done what was asked. ``met`` counts.
    """

    matching: Matching
    status: int
    code: int = 0
    fraction: float = 1.0
    times: int = 1_000_000
    retry_after: float = 0.05
    hang: float = 0.5
    heard: bool = False
    met: int = 0


def components(parts: list[Json]) -> Iterator[Json]:
    for part in parts:
        yield part
        yield from components(part.get("components", []))


def now() -> str:
    return datetime.now(UTC).isoformat()


def channel_json(channel: int) -> Json:
    return {
        "id": str(channel),
        "type": 0,
        "guild_id": str(GUILD),
        "name": f"channel-{channel}",
        "position": 0,
        "permission_overwrites": [],
        "nsfw": False,
        "parent_id": None,
    }


def user_json(user: int) -> Json:
    name = "limner" if user == BOT else f"user-{user}"
    return {"id": str(user), "username": name, "discriminator": "0", "avatar": None, "bot": user == BOT}


def member_json(user: int) -> Json:
    return {"user": user_json(user), "roles": [], "joined_at": now(), "deaf": False, "mute": False, "flags": 0}


def guild_json(channels: list[int], permissions: int) -> Json:
    everyone = {"id": str(GUILD), "name": "@everyone", "permissions": str(permissions), "position": 0, "color": 0}
    everyone |= {"hoist": False, "managed": False, "mentionable": False, "flags": 0}
    return {
        "id": str(GUILD),
        "name": "studio",
        "owner_id": "1",
        "roles": [everyone],
        "members": [member_json(BOT)],
        "member_count": 2,
        "channels": [channel_json(channel) for channel in channels],
    }


def post_json(post: Post, address: str) -> Json:
    """A message in Discord's JSON; ``address`` is the server of its files."""
    usual: Json = {"content": "", "embeds": [], "components": [], "tts": False, "pinned": False}
    return {
        **usual,
        **{key: value for key, value in post.body.items() if value is not None},
        "id": str(post.id),
        "type": 0,
        "channel_id": str(post.channel_id),
        "author": user_json(post.author_id),
        "attachments": [_file_json(file, f"{address}/files/{file.id}/{file.name}") for file in post.files],
        "mention_everyone": False,
        "mentions": [],
        "mention_roles": [],
        "timestamp": now(),
        "edited_timestamp": now() if len(post.edits) > 1 else None,
    }


def _file_json(file: File, url: str) -> Json:
    known: Json = {"id": str(file.id), "filename": file.name, "size": len(file.data), "url": url, "proxy_url": url}
    return known | {"description": file.description}
