"""A small Discord on localhost: REST and gateway over real sockets; it lives in the test while bots are killed."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import urllib.parse
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import discord
from aiohttp import BodyPartReader, web

from tests.discord_faults import Faults, Handler
from tests.discord_places import Places, Refusal, Thread
from tests.discord_records import (
    BOT,
    CHANNEL,
    GUILD,
    LOADING,
    Asked,
    File,
    Json,
    Post,
    member_json,
    post_json,
    until,
    user_json,
)
from tests.discord_spec import complaints

ACKNOWLEDGE_SECONDS = 3.0
API = "/api/v10"
_counter = itertools.count()


class DiscordServer(Places, Faults):
    """One guild with text channels, one bot application, and any number of members.

    ``judges`` holds requests against Discord's specification, which takes milliseconds of the machine each.
    """

    def __init__(self, *, channels: int = 1, judges: bool = True) -> None:
        Places.__init__(self, channels)
        Faults.__init__(self)
        self._judges = judges
        self.token_seconds = 900.0
        self.commands: list[Json] = []
        self.posts: dict[int, Post] = {}
        self.asked: dict[str, Asked] = {}
        self.events: list[tuple[float, str, str, int]] = []
        self.unknown: list[str] = []
        self.invalid: list[str] = []
        self.sessions: list[web.WebSocketResponse] = []
        self._sequence = itertools.count(1)
        self.address = ""

    # What a test does.

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[DiscordServer]:
        """Listen on a free port until the test is over."""
        application = web.Application(middlewares=[self._keep_record, self.meet_faults], client_max_size=2**30)
        application.add_routes(self._routes())
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()
        assert self.invalid == []

    async def slash(self, user: int, channel: int, name: str, *, wait: float = 20.0, **options: Any) -> Asked:
        """Type a command that the bot has registered, and wait until it is answered."""
        known = next(command for command in self.commands if command["name"] == name)
        types = {option["name"]: option["type"] for option in known.get("options", [])}
        chosen = [{"name": key, "type": types[key], "value": value} for key, value in options.items()]
        data = {"id": known["id"], "name": name, "type": 1, "options": chosen}
        return await self._interact(user, channel, 2, data, None, wait)

    async def suggest(
        self, user: int, channel: int, name: str, option: str, typed: str, *, wait: float = 20.0
    ) -> Asked:
        """Type a part of an option's value, and wait for what is suggested."""
        known = next(command for command in self.commands if command["name"] == name)
        focused = {"name": option, "type": 3, "value": typed, "focused": True}
        data = {"id": known["id"], "name": name, "type": 1, "options": [focused]}
        return await self._interact(user, channel, 4, data, None, wait)

    async def click(self, user: int, post: Post, custom_id: str, *, wait: float = 20.0) -> Asked:
        """Press a button that the message has, and wait until that is answered."""
        assert custom_id in post.custom_ids
        return await self._interact(user, post.channel_id, 3, {"custom_id": custom_id, "component_type": 2}, post, wait)

    async def submit(
        self, user: int, channel: int, custom_id: str, fields: Mapping[str, str | list[str]], *, wait: float = 20.0
    ) -> Asked:
        """Send a form with these texts and selected values, and wait until that is answered."""
        parts = [
            {"type": 18, "id": number, "component": {"custom_id": name, **_value(given)}}
            for number, (name, given) in enumerate(fields.items(), 1)
        ]
        return await self._interact(user, channel, 5, {"custom_id": custom_id, "components": parts}, None, wait)

    async def permit(self, permissions: int) -> None:
        """Give the bot these permissions everywhere, and no others, as a moderator does."""
        self.permissions = permissions
        await self._dispatch("GUILD_ROLE_UPDATE", self.role_json())

    async def set_thread(self, thread: Thread, *, archived: bool, locked: bool = False) -> None:
        """Archive a thread or open it, as a moderator or a new message does."""
        thread.archived, thread.locked = archived, locked
        await self._dispatch("THREAD_UPDATE", thread.json())

    async def online(self, bots: int = 1) -> None:
        """Wait until so many bot processes are connected."""
        await until(lambda: len(self.sessions) == bots, 30, f"{bots} bots online")

    def visible(self, channel: int = CHANNEL) -> list[Post]:
        """What everybody sees in a channel, oldest first."""
        return [post for post in self.posts.values() if post.channel_id == channel and post.public]

    # The gateway.

    async def _interact(
        self, user: int, channel: int, kind: int, data: Json, source: Post | None, wait: float
    ) -> Asked:
        asked = Asked(_new_id(), f"token{_new_id()}", channel, source)
        self.asked[asked.token] = asked
        payload: Json = {
            "id": str(asked.id),
            "application_id": str(BOT),
            "type": kind,
            "data": data,
            "token": asked.token,
            "version": 1,
            "channel_id": str(channel),
            "channel": self.channel_json(channel),
            "locale": "en-US",
            "app_permissions": str(self.permissions),
            "attachment_size_limit": self.upload_limit,
            "entitlements": [],
            **self.origin_json(channel, member_json(user) | {"permissions": str(self.member_permissions)}),
        }
        if source:
            payload["message"] = self._shown(source)
        await self._dispatch("INTERACTION_CREATE", payload)
        async with asyncio.timeout(wait):
            await asked.answered.wait()
        return asked

    async def _dispatch(self, event: str, data: Any) -> None:
        """Tell every connected process, as Discord does when two run with one token."""
        for session in tuple(self.sessions):
            with suppress(ConnectionResetError):  # it was killed just now
                await self._tell(session, event, data)

    async def _tell(self, session: web.WebSocketResponse, event: str, data: Any) -> None:
        await session.send_json({"op": 0, "t": event, "s": next(self._sequence), "d": data})

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        session = web.WebSocketResponse()
        await session.prepare(request)
        await session.send_json({"op": 10, "d": {"heartbeat_interval": 5000}})
        try:
            async for message in session:
                await self._hear(session, json.loads(message.data))
        finally:
            if session in self.sessions:
                self.sessions.remove(session)
        return session

    async def _hear(self, session: web.WebSocketResponse, message: Json) -> None:
        match message["op"]:
            case 1:
                await session.send_json({"op": 11})
            case 2:
                ready = {
                    "v": 10,
                    "user": user_json(BOT),
                    "guilds": [{"id": str(GUILD), "unavailable": True}],
                    "session_id": f"session{_new_id()}",
                    "resume_gateway_url": self._gateway_url(),
                    "application": {"id": str(BOT), "flags": 0},
                    "shard": message["d"].get("shard", [0, 1]),
                }
                await self._tell(session, "READY", ready)
                await self._tell(session, "GUILD_CREATE", self.guild_json())
                self.sessions.append(session)
            case 6:
                await session.send_json({"op": 9, "d": False})
            case _:
                pass

    def _gateway_url(self) -> str:
        return self.address.replace("http", "ws") + "/gateway"

    # REST.

    def _routes(self) -> list[web.RouteDef]:
        message = API + "/channels/{channel}/messages/{message}"
        original = API + "/webhooks/{application}/{token}/messages/@original"
        follow_up = API + "/webhooks/{application}/{token}/messages/{message}"
        commands = API + "/applications/{application}/commands"
        gateway = {"session_start_limit": {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 1}}
        application = {"id": str(BOT), "name": "limner", "description": "", "icon": None, "flags": 0, "verify_key": ""}
        application |= {"bot_public": True, "bot_require_code_grant": False, "owner": user_json(1)}
        return [
            web.get("/gateway", self._gateway),
            web.get("/files/{file}/{name}", self._read_file),
            web.get(API + "/gateway/bot", _saying(lambda: {"url": self._gateway_url(), "shards": 1} | gateway)),
            web.get(API + "/users/@me", _saying(lambda: user_json(BOT))),
            web.get(API + "/oauth2/applications/@me", _saying(lambda: application)),
            web.get(API + "/applications/@me", _saying(lambda: application)),
            web.get(API + "/guilds/{guild}", _saying(self.guild_json)),
            web.get(API + "/channels/{channel}", self._read_channel),
            web.patch(API + "/channels/{channel}", self._change_channel),
            web.post(API + "/users/@me/channels", self._open_dm),
            web.get(commands, _saying(lambda: self.commands)),
            web.put(commands, self._write_commands),
            web.post(API + "/interactions/{interaction}/{token}/callback", self._answer),
            web.post(API + "/webhooks/{application}/{token}", self._follow_up),
            web.get(API + "/channels/{channel}/messages", self._read_history),
            web.post(API + "/channels/{channel}/messages", self._create),
            *(web.get(path, self._read_message) for path in (message, original, follow_up)),
            *(web.patch(path, self._edit) for path in (message, original, follow_up)),
            *(web.delete(path, self._delete) for path in (message, original, follow_up)),
        ]

    @web.middleware
    async def _keep_record(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except Refusal as refusal:
            response = _json({"code": refusal.code, "message": str(refusal), **refusal.more}, refusal.status)
        except web.HTTPNotFound:
            self.unknown.append(f"{request.method} {request.path}")
            raise
        self.events.append((time.time(), request.method, request.path, response.status))
        return response

    async def _write_commands(self, request: web.Request) -> web.Response:
        known = {"application_id": str(BOT), "version": "1", "description": ""}  # a message's menu has no description
        self.commands = [{"id": str(_new_id()), **known, **one} for one in (await self._read(request))[0]]
        return _json(self.commands)

    async def _answer(self, request: web.Request) -> web.Response:
        """The callback that must come within 3 seconds, once."""
        asked = self._asked(request)
        if asked.answered.is_set():
            raise Refusal(400, 40060, "Interaction has already been acknowledged.")
        payload, uploads = await self._read(request)
        asked.seconds = time.perf_counter() - asked.sent_at
        asked.kind, asked.body = payload["type"], payload.get("data") or {}
        asked.answered.set()
        if asked.seconds > ACKNOWLEDGE_SECONDS:
            raise Refusal(404, 10062, "Unknown interaction")
        if asked.kind in (4, 5):
            flags = asked.body.get("flags", 0) | (LOADING if asked.kind == 5 else 0)
            asked.message = self._write(asked.channel_id, asked.body | {"flags": flags}, uploads)
        elif asked.kind in (6, 7):
            asked.message = asked.source
            if asked.source and asked.kind == 7:
                self._change(asked.source, asked.body, uploads)
        told: Json = {"id": str(asked.id), "type": 2, "response_message_loading": asked.kind == 5}
        if asked.message is None:
            return _json({"interaction": told})
        told |= {"response_message_id": str(asked.message.id), "response_message_ephemeral": asked.message.ephemeral}
        return _json({"interaction": told, "resource": {"type": asked.kind, "message": self._shown(asked.message)}})

    async def _follow_up(self, request: web.Request) -> web.Response:
        payload, uploads = await self._read(request)
        return _json(self._shown(self._write(self._asked(request).channel_id, payload, uploads)))

    async def _read_history(self, request: web.Request) -> web.Response:
        channel = self._channel_of(request)
        limit, ask = int(request.query.get("limit", 50)), {key: int(value) for key, value in request.query.items()}
        posts = [post for post in self.visible(channel) if ask.get("after", 0) < post.id < ask.get("before", 2**63)]
        if "around" in ask:
            posts = sorted(sorted(posts, key=lambda post: abs(post.id - ask["around"]))[:limit], key=lambda p: p.id)
        posts = posts[:limit] if "after" in ask else posts[-limit:]
        return _json([self._shown(post) for post in reversed(posts)])

    async def _create(self, request: web.Request) -> web.Response:
        channel = self._channel_of(request)
        payload, uploads = await self._read(request)
        if payload.get("enforce_nonce"):  # unique to its author, in whichever channel
            for post in [*self.posts.values()][-100:]:
                if post.author_id == BOT and post.body.get("nonce") == payload["nonce"]:
                    return _json(self._shown(post))
        self.upload(uploads)
        if thread := self.send(channel):
            await self._dispatch("THREAD_UPDATE", thread.json())
        return _json(self._shown(self._write(channel, payload, uploads)))

    async def _read_message(self, request: web.Request) -> web.Response:
        return _json(self._shown(self._post_of(request)))

    async def _edit(self, request: web.Request) -> web.Response:
        post = self._post_of(request)
        payload, uploads = await self._read(request)
        self.change(post.channel_id)
        if "token" in request.match_info:
            self.weigh(uploads)
        else:
            self.upload(uploads)
        self._change(post, payload, uploads)
        return _json(self._shown(post))

    async def _delete(self, request: web.Request) -> web.Response:
        self._post_of(request).deleted = True
        return web.Response(status=204)

    async def _read_channel(self, request: web.Request) -> web.Response:
        return _json(self.channel_json(self._channel_of(request)))

    async def _change_channel(self, request: web.Request) -> web.Response:
        """Of all that can be changed the tests need one thing: a thread is opened."""
        thread = self.threads[self._channel_of(request)]
        payload, _ = await self._read(request)
        assert payload == {"archived": False}
        self.open_thread(thread)
        await self._dispatch("THREAD_UPDATE", thread.json())
        return _json(thread.json())

    async def _open_dm(self, request: web.Request) -> web.Response:
        payload, _ = await self._read(request)
        user = int(payload["recipient_id"])
        if user not in self.channels:
            self.channels.append(user)
        return _json({"id": str(user), "type": 1, "recipients": [user_json(user)]})

    async def _read_file(self, request: web.Request) -> web.Response:
        files = {str(file.id): file for post in self.posts.values() for file in post.files}
        return web.Response(body=files[request.match_info["file"]].data)

    async def _read(self, request: web.Request) -> tuple[Any, dict[int, tuple[str, bytes]]]:
        """The JSON of a request, and the files that came with it by their numbers; refused as Discord refuses it."""
        payload, uploads = await _parsed(request)
        reason = urllib.parse.unquote(request.headers.get("X-Audit-Log-Reason", ""))
        path = request.path.removeprefix(API)
        if self._judges and (found := complaints(request.method, path, payload, files=len(uploads), reason=reason)):
            self.invalid += found
            raise Refusal(400, 50035, "Invalid Form Body")
        return payload, uploads

    # State.

    def _asked(self, request: web.Request) -> Asked:
        asked = self.asked[request.match_info["token"]]
        if time.perf_counter() - asked.sent_at > self.token_seconds:
            raise Refusal(401, 50027, "Invalid Webhook Token")
        return asked

    def _channel_of(self, request: web.Request) -> int:
        channel = int(request.match_info["channel"])
        self.enter(channel)
        return channel

    def _post_of(self, request: web.Request) -> Post:
        if "channel" in request.match_info:
            self._channel_of(request)
        name = request.match_info.get("message", "@original")
        answer = self._asked(request).message if "token" in request.match_info else None
        post = answer if name == "@original" else self.posts.get(int(name))
        if post is None or post.deleted or ("channel" in request.match_info and post.ephemeral):
            raise Refusal(404, 10008, "Unknown Message")
        return post

    def _write(self, channel: int, payload: Json, uploads: Mapping[int, tuple[str, bytes]]) -> Post:
        post = Post(_new_id(), channel, BOT, {})
        self._change(post, payload, uploads)
        self.posts[post.id] = post
        return post

    def _shown(self, post: Post) -> Json:
        return post_json(post, self.address)

    def _change(self, post: Post, payload: Json, uploads: Mapping[int, tuple[str, bytes]]) -> None:
        """Attachments that the payload names stay or come; without such a list the old ones stay."""
        named = payload.get("attachments", [{"id": file.id} for file in post.files] + [{"id": i} for i in uploads])
        old = {file.id: file for file in post.files}
        post.files = [
            old[int(one["id"])]
            if int(one["id"]) in old
            else File(_new_id(), *uploads[int(one["id"])], one.get("description"))
            for one in named
        ]
        post.body = {**post.body, **{key: value for key, value in payload.items() if key != "attachments"}}
        if post.edits:
            post.body["flags"] = post.body.get("flags", 0) & ~LOADING
        post.edits.append((time.time(), post.body, post.files))


def _new_id() -> int:
    """A snowflake: milliseconds since 2015, then a number that keeps those of one millisecond apart and in order."""
    return int(time.time() * 1000 - discord.utils.DISCORD_EPOCH) << 22 | next(_counter) & 0x3FFFFF


async def _parsed(request: web.Request) -> tuple[Any, dict[int, tuple[str, bytes]]]:
    if request.content_type != "multipart/form-data":
        return await request.json(), {}
    payload: Json = {}
    uploads: dict[int, tuple[str, bytes]] = {}
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        if part.name == "payload_json":
            payload = await part.json() or {}
        else:
            number = int((part.name or "").removeprefix("files[").removesuffix("]"))
            uploads[number] = (part.filename or "", bytes(await part.read()))
    return payload, uploads


def _json(data: Any, status: int = 200) -> web.Response:
    """As discord.py wants it: it compares the content type letter by letter, and trusts a 429 only from a proxy."""
    headers = {"Content-Type": "application/json", "Via": "1.1 test"}
    return web.Response(body=json.dumps(data).encode(), status=status, headers=headers)


def _saying(data: Callable[[], Any]) -> Handler:
    async def say(_: web.Request) -> web.StreamResponse:
        return _json(data())

    return say


def _value(given: str | list[str]) -> Json:
    """The part of a submitted form's field that holds what was given."""
    return {"type": 4, "value": given} if isinstance(given, str) else {"type": 3, "values": given}
