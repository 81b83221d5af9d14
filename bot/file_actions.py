"""Use cases: what is made of a member's picture file, whose hash in the store is the option image of what is asked."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from limner.bot.errors import BadOption
from limner.bot.options.ask import Ask, new_job, plain_request
from limner.bot.picture_actions import check_adjust, check_upscale, varies
from limner.bot.reasons import JobKind
from limner.bot.storage.tables.models import Job
from limner.bot.submit import submit
from limner.bot.translation import N_, _
from limner.generators.cards.model_card import ModelCard
from limner.generators.requests import Finish

if TYPE_CHECKING:
    from limner.bot.app import App
    from limner.bot.settings import Settings

NO_MODEL = N_("No model here can vary a picture.")


async def upscale(app: App, ask: Ask, *, times: int) -> Job:
    """Upscale the file's picture."""
    check_upscale(await app.inputs.size(ask.options["image"]), times)
    return await _finish(app, ask, Finish(upscale=times))


async def adjust(app: App, ask: Ask, *, names: tuple[str, ...]) -> Job:
    """Make adjustments of the file's picture by their names."""
    check_adjust(app.settings, await app.inputs.size(ask.options["image"]), names)
    return await _finish(app, ask, Finish(adjustments=names))


async def vary(app: App, ask: Ask) -> Job:
    """Paint the file's picture again without words, so that a little of it changes."""
    card = varying_card(app.settings)
    plain, (width, height) = plain_request(app.settings, card, ""), await app.inputs.size(ask.options["image"])
    size = card.size((width, height)) if card.other_sizes else plain.size
    request = replace(
        plain,
        width=size[0],
        height=size[1],
        num_inference_steps=max(plain.num_inference_steps, math.ceil(1 / card.subtle_strength)),
        init_image=ask.options["image"],
        strength=card.subtle_strength,
    )
    return await submit(app, new_job(app.settings, ask, "", request, expand="off"))


def varying_card(settings: Settings) -> ModelCard:
    """The model that varies files: the default one if it can; raises BadOption if none can."""
    able = (card for card in (settings.default_card, *settings.offered.values()) if varies(card))
    if card := next(able, None):
        return card
    raise BadOption(_(NO_MODEL))


async def _finish(app: App, ask: Ask, finish: Finish) -> Job:
    width, height = await app.inputs.size(ask.options["image"])
    request = replace(
        plain_request(app.settings, app.settings.default_card, ""),
        width=width,
        height=height,
        num_inference_steps=1,
        seed=0,
        init_image=ask.options["image"],
        finish=finish,
    )
    return await submit(app, new_job(app.settings, ask, "", request, kind=JobKind.FINISH, expand="off"))
