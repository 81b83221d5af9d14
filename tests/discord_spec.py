"""Discord's own OpenAPI specification, and its limits that no schema has, check every request of the tests.

tests/discord_schemas.json holds the schemas of the requests that Limner sends, taken from
https://github.com/discord/discord-api-spec (specs/openapi.json, 74fda0f; MIT License, see NOTICE) by
``python -m tests.discord_spec openapi.json``.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from jsonschema_rs import Draft202012Validator, ValidationError, ValidationErrorKind

Json = dict[str, Any]

SCHEMAS = Path(__file__).with_name("discord_schemas.json")
REQUESTS = {
    "PUT /applications/*/commands": "/applications/{application_id}/commands",
    "POST /interactions/*/*/callback": "/interactions/{interaction_id}/{interaction_token}/callback",
    "POST /webhooks/*/*": "/webhooks/{webhook_id}/{webhook_token}",
    "PATCH /webhooks/*/*/messages/*": "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}",
    "POST /channels/*/messages": "/channels/{channel_id}/messages",
    "PATCH /channels/*/messages/*": "/channels/{channel_id}/messages/{message_id}",
    "PATCH /channels/*": "/channels/{channel_id}",
    "POST /users/@me/channels": "/users/@me/channels",
    "PATCH /guilds/*/members/*": "/guilds/{guild_id}/members/{user_id}",
}
"""The requests with a body, as Limner sends them, and their paths in the specification."""
CONTENT_LENGTH = 2000
"""Of a bot's message; the schema has 4000, as members with Nitro may write."""
EMBEDS_LENGTH = 6000
TEXTS_LENGTH = 4000
MOST_COMPONENTS = 40
MOST_FILES = 10
MOST_BUTTONS = 5
REASON_LENGTH = 512
COMPONENTS_V2 = 1 << 15
ROW, TEXT = 1, 10
MESSAGES, MODAL = (4, 7), 9
"""Answers to interactions that are messages, and the one that is a form."""


def complaints(method: str, path: str, body: Any, *, files: int = 0, reason: str | None = None) -> list[str]:
    """What Discord would refuse in a request; ``path`` begins after the API's version."""
    name = next((name for name in REQUESTS if _fits(name, f"{method} {path}")), None)
    if name is None or body is None:
        return []
    found = [*_against_schema(name, json.dumps(body))]
    found += [f"{files} files"] if files > MOST_FILES else []
    found += ["a long reason"] if reason and len(reason) > REASON_LENGTH else []
    return [f"{method} {path}: {problem}" for problem in [*found, *_beyond(name, body, files)]]


def _fits(name: str, request: str) -> bool:
    return re.fullmatch(re.escape(name).replace(r"\*", "[^/]+"), request) is not None


@functools.lru_cache(maxsize=256)
def _against_schema(name: str, body: str) -> tuple[str, ...]:
    errors = [_telling(error) for error in _validator(name).iter_errors(json.loads(body))]
    return tuple(f"{_place(error)}: {error.message[:300]}" for error in errors)


def _telling(error: ValidationError) -> ValidationError:
    """Of a part that is none of several kinds, what is wrong with it as the kind that its type names."""
    while isinstance(error.kind, ValidationErrorKind.AnyOf | ValidationErrorKind.OneOfNotValid):
        depth, kinds = len(error.instance_path), error.kind.context
        of_type = [found for found in kinds if not any(_is_other_kind(one, depth) for one in found)]
        error = min(next(iter(of_type), kinds[0]), key=lambda one: len(one.instance_path))
    return error


def _is_other_kind(error: ValidationError, depth: int) -> bool:
    return isinstance(error.kind, ValidationErrorKind.Type) or error.instance_path[depth:][-1:] == ["type"]


def _place(error: ValidationError) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.instance_path)


@functools.cache
def _validator(name: str) -> Draft202012Validator:
    document = json.loads(SCHEMAS.read_text(encoding="utf-8"))
    # The number of an upload in its own request is an integer, in Discord's examples too.
    document["components"]["schemas"]["SnowflakeType"]["type"] = ["string", "integer"]
    return Draft202012Validator({**document["requests"][name], "components": document["components"]})


# What the schemas do not say.


def _beyond(name: str, body: Any, files: int) -> Iterator[str]:
    if name.endswith("/callback"):
        data: Json = body.get("data") or {}
        if body["type"] in MESSAGES:
            yield from _message(data, files, is_new=body["type"] == MESSAGES[0])
        elif body["type"] == MODAL:
            yield from _form(data)
    elif "messages" in name or name.startswith("POST /webhooks"):
        yield from _message(body, files, is_new=name.startswith("POST"))


def _message(body: Mapping[str, Any], files: int, *, is_new: bool) -> Iterator[str]:
    if len(body.get("content") or "") > CONTENT_LENGTH:
        yield f"a content of {len(body['content'])} characters"
    embeds: list[Json] = body.get("embeds") or []
    parts = list(_parts(body.get("components") or []))
    if (length := sum(map(_embed_length, embeds))) > EMBEDS_LENGTH:
        yield f"embeds of {length} characters"
    if is_new and not (body.get("content") or embeds or parts or files or body.get("attachments")):
        yield "an empty message"
    yield from _components(parts)
    if (body.get("flags") or 0) & COMPONENTS_V2:
        texts = sum(len(part["content"]) for part in parts if part["type"] == TEXT)
        yield from [f"texts of {texts} characters"] * (texts > TEXTS_LENGTH)
        yield from ["content or embeds beside components"] * bool(body.get("content") or embeds)


def _form(body: Mapping[str, Any]) -> Iterator[str]:
    yield from _components(list(_parts(body["components"])))


def _components(parts: Sequence[Json]) -> Iterator[str]:
    if len(parts) > MOST_COMPONENTS:
        yield f"{len(parts)} components"
    ids = [part["custom_id"] for part in parts if "custom_id" in part]
    yield from {f"custom_id {one!r} twice" for one in ids if ids.count(one) > 1}
    for part in parts:
        if part["type"] == ROW and len(part["components"]) > MOST_BUTTONS:
            yield f"{len(part['components'])} buttons in a row"
        yield from _choices(part)


def _choices(part: Json) -> Iterator[str]:
    """A select offers enough, each once, and chooses no more than may be chosen."""
    options = cast("list[Json]", part.get("options") or [])
    values = [one["value"] for one in options]
    most, least = part.get("max_values", 1), part.get("min_values", 1)
    if options and max(most, least) > len(options):
        yield f"{most} of {len(options)} options"
    if len(set(values)) < len(values):
        yield "an option twice"
    chosen = [one for one in options if one.get("default")] + (part.get("default_values") or [])
    if len(chosen) > most:
        yield f"{len(chosen)} chosen of at most {most}"
    if part.get("value") is not None and len(part["value"]) > part.get("max_length", TEXTS_LENGTH):
        yield f"a text of {len(part['value'])} characters in a field of {part.get('max_length')}"


def _parts(components: Sequence[Json]) -> Iterator[Json]:
    for part in components:
        yield part
        yield from _parts(part.get("components") or [])
        for name in ("component", "accessory"):
            yield from _parts([part[name]] if part.get(name) else [])


def _embed_length(embed: Json) -> int:
    named = [embed.get("footer", {}).get("text"), embed.get("author", {}).get("name")]
    fields = [text for field in embed.get("fields", []) for text in (field["name"], field["value"])]
    return sum(len(text) for text in [embed.get("title"), embed.get("description"), *named, *fields] if text)


# How the schemas are taken from the specification.


def take(specification: Json) -> Json:
    """The schemas of our requests, and all that they refer to, without descriptions."""
    schemas, needed = specification["components"]["schemas"], dict[str, Any]()

    def follow(part: Any) -> None:
        for reference in re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(part)):
            if reference not in needed:
                needed[reference] = schemas[reference]
                follow(schemas[reference])

    requests = dict[str, Any]()
    for name, path in REQUESTS.items():
        operation = specification["paths"][path][name.split()[0].lower()]
        requests[name] = operation["requestBody"]["content"]["application/json"]["schema"]
        follow(requests[name])
    return _plain({"requests": requests, "components": {"schemas": dict(sorted(needed.items()))}})


def _plain(part: Any, *, is_properties: bool = False) -> Any:
    if isinstance(part, list):
        return [_plain(one) for one in cast("list[Any]", part)]
    if not isinstance(part, dict):
        return part
    items = cast("dict[str, Any]", part).items()
    return {
        name: _plain(value, is_properties=name == "properties" and not is_properties)
        for name, value in items
        if is_properties or not (name in ("description", "title") or name.startswith("x-"))
    }


if __name__ == "__main__":
    taken = take(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    SCHEMAS.write_text(json.dumps(taken, separators=(",", ":")) + "\n", encoding="utf-8")
