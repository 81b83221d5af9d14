"""What Discord's own client would not send: any value, length and number in what a message or a form asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import discord
import simcord
from simcord import interactions
from simcord.backend import serializers
from simcord.backend.models import EPHEMERAL_FLAG
from simcord.enums import ComponentType, InteractionType

from tests.simulated_discord import World

_KINDS = {str: 3, int: 4, float: 10}
Person = simcord.MemberActor | simcord.UserHandle


async def press(
    world: World,
    who: Person,
    message: discord.Message,
    custom_id: str,
    values: list[str] | None = None,
    resolved: dict[str, Any] | None = None,
) -> simcord.InteractionResult:
    """Press what a message has, or a select of it with any values (of a server's things: ``resolved``)."""
    kind = ComponentType.BUTTON if values is None else ComponentType.STRING_SELECT
    if resolved:
        kind = ComponentType.ROLE_SELECT if "roles" in resolved else ComponentType.CHANNEL_SELECT
    data: dict[str, Any] = {"custom_id": custom_id, "component_type": kind, "resolved": resolved or {}}
    chosen = {} if values is None else {"values": values}
    more = _shown(world, message)
    return await _send(
        world, who, InteractionType.MESSAGE_COMPONENT, message.channel.id, data | chosen, more, message.id
    )


async def fill(world: World, who: Person, channel_id: int, custom_id: str, **values: Any) -> simcord.InteractionResult:
    """Send a form of this id with any fields, whether anybody has opened it or not."""
    return await _send(world, who, InteractionType.MODAL_SUBMIT, channel_id, _form(custom_id, values))


async def press_at_once(
    world: World, pressed: Sequence[tuple[Person, discord.Message, str]]
) -> list[simcord.InteractionResult]:
    """Several members press buttons of messages, by their ids, before any of them is answered."""
    kind = InteractionType.MESSAGE_COMPONENT
    records = [
        _emit(
            world,
            who,
            kind,
            message.channel.id,
            {"custom_id": custom_id, "component_type": ComponentType.BUTTON},
            _shown(world, message),
            message.id,
        )
        for who, message, custom_id in pressed
    ]
    await world.env.settle()
    return [simcord.InteractionResult(world.env, record) for record in records]


async def fill_at_once(
    world: World, who: Person, channel_id: int, custom_id: str, filled: Sequence[dict[str, Any]]
) -> list[simcord.InteractionResult]:
    """A member sends a form several times, with other fields each, before any is answered."""
    records = [
        _emit(world, who, InteractionType.MODAL_SUBMIT, channel_id, _form(custom_id, values)) for values in filled
    ]
    await world.env.settle()
    return [simcord.InteractionResult(world.env, record) for record in records]


async def slash(
    world: World, who: Person, channel_id: int, name: str, **options: str | float
) -> simcord.InteractionResult:
    """Send a command with any values, whatever it offers."""
    root, *below = name.split()
    command = next(one for one in await world.bot.tree.fetch_commands() if one.name == root)
    given: list[dict[str, Any]] = [
        {"name": name, "type": _KINDS[type(value)], "value": value} for name, value in options.items()
    ]
    for step in reversed(below):
        given = [{"name": step, "type": 1, "options": given}]
    data = {"id": str(command.id), "name": root, "type": 1, "options": given}
    return await _send(world, who, InteractionType.APPLICATION_COMMAND, channel_id, data)


def told(result: simcord.InteractionResult) -> str:
    """The sentence that only the one who did it sees."""
    answers = [*([result.response] if result.response else []), *result.followups]
    assert answers[-1].message.flags.value & EPHEMERAL_FLAG
    return answers[-1].content


def _shown(world: World, message: discord.Message) -> dict[str, Any]:
    stored = world.env.backend.get_message(message.channel.id, message.id)
    return {"message": dict(serializers.message_payload(world.env.backend, stored))}


def _form(custom_id: str, values: dict[str, Any]) -> dict[str, Any]:
    parts = [_part(name, value) for name, value in values.items()]
    labels = [{"type": ComponentType.LABEL, "id": number, "component": part} for number, part in enumerate(parts, 1)]
    return {"custom_id": custom_id, "components": labels}


def _part(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"type": ComponentType.TEXT_INPUT, "custom_id": name, "value": value}
    return {"type": ComponentType.STRING_SELECT, "custom_id": name, "values": value}


async def _send(world: World, who: Person, kind: int, channel_id: int, *more: Any) -> simcord.InteractionResult:
    record = _emit(world, who, kind, channel_id, *more)
    await world.env.settle()
    return simcord.InteractionResult(world.env, record)


def _emit(
    world: World,
    who: Person,
    kind: int,
    channel_id: int,
    data: dict[str, Any],
    more: dict[str, Any] | None = None,
    source_id: int | None = None,
) -> Any:
    backend, guild = world.env.backend, getattr(who, "guild", None)
    record, payload = interactions.base_payload(
        backend, type=kind, channel_id=channel_id, guild_id=guild.id if guild else None, user_id=who.id, data=data
    )
    record.source_message_id = source_id
    backend.emit("INTERACTION_CREATE", payload | (more or {}))
    return record
