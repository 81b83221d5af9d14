"""Checks of ComfyUI: whether it answers, and has the nodes and the files that the workflows name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import aiohttp

from limner.bot.cli.doctor.check import Check
from limner.bot.settings import Settings
from limner.bot.translation import _
from limner.generators.answers import parse_json, read_answer
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.workflow import Workflow

SECONDS = 10.0
MOST_BYTES = 16 * 2**20
"""Longest answer that is read."""


async def servers(settings: Settings) -> AsyncIterator[Check]:
    """One check for each ComfyUI, and one for each workflow in it."""
    cards = [card for card in settings.cards.values() if card.server]
    headers = {"Authorization": f"Bearer {settings.images_api_key}"} if settings.images_api_key else {}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=SECONDS)) as session:
        for address in dict.fromkeys(address for card in cards if card.server for address in card.server.addresses):
            if await _get(session, address, "/system_stats") is None:
                yield Check(
                    "fail",
                    _("ComfyUI does not answer at {address}", address=address),
                    _("start it, or LIMNER_IMAGES_URL"),
                )
                continue
            yield Check("ok", _("ComfyUI answers at {address}", address=address))
            for card in cards:
                if card.server and address in card.server.addresses:
                    yield await _workflow(session, address, card)


async def _workflow(session: aiohttp.ClientSession, address: str, card: ModelCard) -> Check:
    """Whether a ComfyUI can run a model's workflow."""
    nodes = Workflow.read(Path(card.source)).nodes.values()
    known = {kind: await _get(session, address, f"/object_info/{quote(kind, safe='')}") for kind in _kinds(nodes)}
    said: dict[str, Any] = {"file": card.source, "address": address}
    for kind, info in known.items():
        if not (info or {}).get(kind):
            return Check(
                "fail",
                _("the workflow {file} uses the node {kind}, which ComfyUI at {address} lacks", **said, kind=kind),
                _("install its custom node in ComfyUI"),
            )
    for node in nodes:
        for name, value in _not_offered(node, known[node["class_type"]] or {}):
            return Check(
                "fail",
                _(
                    "the workflow {file} has {name} = {value}, which ComfyUI at {address} lacks",
                    **said,
                    name=name,
                    value=value,
                ),
                _("copy the file into ComfyUI's folder of models, or choose another one in the workflow"),
            )
    return Check("ok", _("ComfyUI at {address} can run the workflow {file}", **said))


def _kinds(nodes: Any) -> list[str]:
    return sorted({node["class_type"] for node in nodes})


def _not_offered(node: Any, info: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The inputs of a node whose value is in none of the lists that ComfyUI offers, as /object_info has them."""
    inputs = _table(_table(info.get(node["class_type"])).get("input"))
    for name, wanted in (_table(inputs.get("required")) | _table(inputs.get("optional"))).items():
        offered = cast("list[Any]", wanted)[0] if isinstance(wanted, list) and wanted else None
        value = node["inputs"].get(name)
        if isinstance(offered, list) and isinstance(value, str) and "%" not in value and value not in offered:
            yield name, value


async def _get(session: aiohttp.ClientSession, address: str, path: str) -> dict[str, Any] | None:
    try:
        async with session.get(address.rstrip("/") + path) as response:
            response.raise_for_status()
            value = parse_json(await read_answer(response, MOST_BYTES))
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    return _table(value)


def _table(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
