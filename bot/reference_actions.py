"""Use cases: what is made with given pictures without starting from them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from limner.bot.errors import BadOption
from limner.bot.options.ask import Ask, find_card, read
from limner.bot.options.flags import parse_prompt
from limner.bot.picture_actions import Asker
from limner.bot.posted_pictures import check_still, picture_of
from limner.bot.queue.enqueue import NewJob
from limner.bot.reasons import Action
from limner.bot.storage.tables.models import Job
from limner.bot.submit import NOT_YET, check_asker, submit, with_usual_expansion
from limner.bot.translation import _
from limner.generators.references import Role

if TYPE_CHECKING:
    from limner.bot.app import App

OPTION_OF = {Role.STYLE: ("sref", "sw", "smask"), Role.SUBJECT: ("cref", "cw", "cmask")}
"""The options for a reference's picture, its weight and its mask."""
LEAST_BLENDED = 2
WORDLESS = "blend"
"""Stands for the words of a blend without any while its flags are read."""


def referring(job: Job, number: int, asker: Asker, role: Role, text: str, weight: str) -> Ask:
    """What a member asks whose words take the style or the subject from a picture; flags in the text win."""
    check_still(job)
    picture, said = picture_of(job, number), OPTION_OF[role]
    return Ask(
        text=text,
        options={"model": job.request["model"], "style": job.style, said[0]: picture.sha256, said[1]: weight},
        is_spoiler=job.is_spoiler,
        user_id=asker.user_id,
        locale=asker.locale,
        where=asker.where,
    )


async def refer(app: App, job: Job, number: int, ask: Ask) -> Job:
    """Paint what `referring` made of a picture of the job."""
    new = read(app, await with_usual_expansion(app, ask))
    new = replace(new, is_private=job.is_private or new.is_private)
    return await submit(app, replace(new, parent_id=job.id, parent_picture=number, action=Action.REFER))


async def blend(app: App, ask: Ask) -> Job:
    """Paint what the pictures in the option blend have in common, with the member's words if there are any."""
    return await submit(app, await blended(app, ask))


async def check_blend(app: App, ask: Ask, count: int) -> None:
    """Check a blend of ``count`` pictures as far as possible without them; raises UserError."""
    if count < LEAST_BLENDED:
        raise BadOption(_("A blend takes at least {least} pictures; give another one.", least=LEAST_BLENDED))
    new = await blended(app, ask.saying(blend=",".join([NOT_YET] * count)))
    card = find_card(app.settings, new.request.model)
    if Role.BLEND not in card.adapters:
        able = next((name for name, other in app.settings.offered.items() if Role.BLEND in other.adapters), "")
        instead = _("; add --model {model} to the words", model=able) if able else ""
        raise BadOption(_("The model {model} blends no pictures{instead}.", model=card.name, instead=instead))
    await check_asker(app, ask)


async def blended(app: App, ask: Ask) -> NewJob:
    """The request for a blend; without words nothing is expanded and the pictures alone say what is painted."""
    typed = parse_prompt(f"{WORDLESS} {ask.text}", max_length=app.settings.max_prompt_length)
    if typed.idea != WORDLESS:
        return read(app, await with_usual_expansion(app, ask))
    new = read(app, replace(ask, text=f"{WORDLESS} {ask.text}"))
    return replace(new, idea="", request=replace(new.request, prompt=""), expand="off")
