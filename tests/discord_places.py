"""Where the small Discord can be written in: channels, threads, direct messages; and what the bot may there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import discord

from tests.discord_records import CHANNEL, GUILD, OTHER_GUILD, Json, channel_json, guild_json, now, user_json


class Refusal(Exception):
    """Discord's answer to what it does not do."""

    def __init__(self, status: int, code: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.more = more


@dataclass
class Thread:
    """A public thread of the first channel."""

    id: int
    archived: bool = False
    locked: bool = False

    def json(self) -> Json:
        metadata = {"archived": self.archived, "locked": self.locked, "auto_archive_duration": 60}
        metadata |= {"archive_timestamp": now(), "create_timestamp": now()}
        more = {"type": 11, "parent_id": str(CHANNEL), "owner_id": "1", "member_count": 1, "message_count": 1}
        return channel_json(self.id) | more | {"thread_metadata": metadata}


class Places:
    """One guild's channels and threads; ``permissions`` are the bot's in all of them."""

    def __init__(self, channels: int) -> None:
        self.channels = [CHANNEL + i for i in range(channels)]
        self.threads: dict[int, Thread] = {}
        self.permissions = self.member_permissions = discord.Permissions.all_channel().value
        self.upload_limit = 10 * 2**20
        self.nsfw_level = 0
        self.closed_dms: set[int] = set()
        self.elsewhere: set[int] = set()
        """Age-restricted channels of another guild, which the bot is not in: its members bring it along."""

    def add_thread(self) -> Thread:
        """A thread that is there when the bot comes."""
        thread = Thread(CHANNEL + 500 + len(self.threads))
        self.threads[thread.id] = thread
        return thread

    def channel_json(self, channel: int) -> Json:
        """A channel or thread in Discord's JSON."""
        if channel < CHANNEL:
            return {"id": str(channel), "type": 1, "recipients": [user_json(channel)]}
        if channel in self.elsewhere:
            return channel_json(channel) | {"guild_id": str(OTHER_GUILD), "nsfw": True}
        return self.threads[channel].json() if channel in self.threads else channel_json(channel)

    def origin_json(self, channel: int, member: Json) -> Json:
        """Where a member uses the bot, and how they installed it, in an interaction's JSON."""
        if channel < CHANNEL:
            return {"user": member["user"], "authorizing_integration_owners": {"1": member["user"]["id"]}, "context": 1}
        guild = OTHER_GUILD if channel in self.elsewhere else GUILD
        owners = {"1": member["user"]["id"]} if channel in self.elsewhere else {"0": str(GUILD)}
        partial: Json = {"id": str(guild), "features": [], "locale": "en-US"}
        more: Json = {"guild": partial, "member": member, "authorizing_integration_owners": owners, "context": 0}
        return {"guild_id": str(guild), "guild_locale": "en-US", **more}

    def guild_json(self) -> Json:
        """The guild with its channels, and the threads that are not archived."""
        active = [thread.json() for thread in self.threads.values() if not thread.archived]
        return guild_json(self.channels, self.permissions) | {"threads": active, "nsfw_level": self.nsfw_level}

    def role_json(self) -> Json:
        """What everybody may."""
        return {"guild_id": str(GUILD), "role": guild_json([], self.permissions)["roles"][0]}

    def enter(self, channel: int) -> None:
        """Refuse what the bot does in a channel that is gone, or that it cannot see."""
        if channel in self.elsewhere:
            raise Refusal(403, 50001, "Missing Access")
        if channel not in self.channels and channel not in self.threads:
            raise Refusal(404, 10003, "Unknown Channel")
        if channel in self.closed_dms:
            raise Refusal(403, 50007, "Cannot send messages to this user")
        if channel >= CHANNEL and not self._may(discord.Permissions(view_channel=True)):
            raise Refusal(403, 50001, "Missing Access")

    def send(self, channel: int) -> Thread | None:
        """Refuse a new message, or open the archived thread that it comes into."""
        self._need_to_send(channel)
        thread = self.threads.get(channel)
        if thread is None or not thread.archived:
            return None
        return self.open_thread(thread)

    def change(self, channel: int) -> None:
        """Refuse an edit: an archived thread takes none."""
        if channel in self.threads and self.threads[channel].archived:
            raise Refusal(400, 50083, "Thread is archived")

    def open_thread(self, thread: Thread) -> Thread:
        """Refuse to open a locked thread, or to a bot that may not write in it."""
        self._need_to_send(thread.id)
        if thread.locked and not self._may(discord.Permissions(manage_threads=True)):
            raise Refusal(403, 50013, "Missing Permissions")
        thread.archived = False
        return thread

    def upload(self, uploads: Mapping[int, tuple[str, bytes]]) -> None:
        """Refuse files that the bot may not attach, or that are too large."""
        if uploads and not self._may(discord.Permissions(attach_files=True)):
            raise Refusal(403, 50013, "Missing Permissions")
        self.weigh(uploads)

    def weigh(self, uploads: Mapping[int, tuple[str, bytes]]) -> None:
        """Refuse files that are too large."""
        if any(len(data) > self.upload_limit for _, data in uploads.values()):
            raise Refusal(413, 40005, "Request entity too large")

    def _need_to_send(self, channel: int) -> None:
        in_thread = channel in self.threads
        needed = discord.Permissions(send_messages_in_threads=in_thread, send_messages=not in_thread)
        if channel >= CHANNEL and not self._may(needed):
            raise Refusal(403, 50013, "Missing Permissions")

    def _may(self, needed: discord.Permissions) -> bool:
        return self.permissions & needed.value == needed.value
