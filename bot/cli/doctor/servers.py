"""Checks of other programs: chat server, images server, Ray."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from importlib.metadata import version as distribution_version

import aiohttp

from limner.bot.cli.doctor.check import Check
from limner.bot.settings import Settings
from limner.bot.translation import _
from limner.bot.worker.ray_pool import answers

SERVER_SECONDS = 10.0


async def chat_server(settings: Settings) -> Check:
    """Whether the OpenAI-compatible chat server answers."""
    if not settings.expander_url:
        return Check("fail", _("the expander openai has no address"), "LIMNER_EXPANDER_URL=http://localhost:11434/v1")
    address = settings.expander_url.rstrip("/").removesuffix("/chat/completions")
    status = await _models_status(address, settings.expander_api_key, settings.expander_timeout)
    if status is None:
        what = _("the chat server {address} does not answer, so ideas are painted as they are", address=address)
        return Check("warn", what, _("start it, or LIMNER_EXPANDER_URL"))
    if status in (401, 403):
        return Check(
            "warn", _("the chat server {address} wants another key", address=address), "LIMNER_EXPANDER_API_KEY"
        )
    return Check("ok", _("the chat server {address} answers", address=address))


async def images_servers(settings: Settings) -> AsyncIterator[Check]:
    """Whether the OpenAI-compatible images servers answer, those of all models."""
    cards = settings.cards.values()
    for address in dict.fromkeys(address for card in cards if card.server for address in card.server.addresses):
        yield await _images_server(settings, address.rstrip("/").removesuffix("/images/generations"))


async def _images_server(settings: Settings, address: str) -> Check:
    status = await _models_status(address, settings.images_api_key, min(settings.images_timeout, SERVER_SECONDS))
    if status is None:
        return Check(
            "fail",
            _("the images server {address} does not answer", address=address),
            _("start it, or LIMNER_IMAGES_URL"),
        )
    if status in (401, 403):
        return Check(
            "fail", _("the images server {address} wants another key", address=address), "LIMNER_IMAGES_API_KEY"
        )
    return Check("ok", _("the images server {address} answers", address=address))


async def _models_status(address: str, api_key: str, seconds: float) -> int | None:
    """The HTTP status of an OpenAI-compatible server's list of models; None without an answer."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=seconds)) as session,
            session.get(f"{address}/models") as answer,
        ):
            return answer.status
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None


async def ray(settings: Settings) -> Check:
    """Whether Ray is installed and its cluster answers."""
    if not importlib.util.find_spec("ray"):
        return Check("fail", _("the executor is ray, and Ray is not installed"), "pip install -e .[ray]")
    if not await answers(settings.ray_address):
        return Check(
            "fail",
            _("no Ray cluster answers at {ray_address}", ray_address=settings.ray_address),
            _("ray start, or LIMNER_RAY_ADDRESS"),
        )
    where = f"joins {settings.ray_address}" if settings.ray_address else _("starts on this machine")
    return Check(
        "ok",
        _(
            "Ray {distribution_version} is installed and {where}",
            distribution_version=distribution_version("ray"),
            where=where,
        ),
    )
