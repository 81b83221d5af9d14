"""Use cases: what a command or button does with a request, up to the queue. Milliseconds, no model."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from limner.bot.edited_pictures import words_of_picture
from limner.bot.errors import BadOption, CannotDescribe, Refused, UserError
from limner.bot.guild_settings import GuildSettings
from limner.bot.moderation import apply_verdict
from limner.bot.moderation.access import check_access
from limner.bot.options.ask import (
    MOST_PIXELS,
    Ask,
    as_model_leaves_out,
    check_limits,
    check_seen,
    find_card,
    new_job,
    plain_request,
    read,
    weight_of,
)
from limner.bot.options.declarations import OPTIONS, values
from limner.bot.options.flags import parse_prompt, too_long
from limner.bot.options.model_fields import InQuality, check_loras, painted_in
from limner.bot.options.notes import CHOSEN, IN_WORDS, NO_NEGATIVE, WITHOUT
from limner.bot.options.several import read_each
from limner.bot.options.size_fields import Aspect
from limner.bot.place import Where
from limner.bot.posted_pictures import check_posted, check_still, with_stored_pictures
from limner.bot.queue.enqueue import NewJob
from limner.bot.reasons import PAINTING, Action, JobKind
from limner.bot.server_styles import styles_at
from limner.bot.storage.members import Usual
from limner.bot.storage.tables.models import Job
from limner.bot.translation import _
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.qualities import STANDARD, quality
from limner.generators.cards.refused_references import usable_from_picture
from limner.generators.requests import SEEDS, Finish, GenerationRequest

if TYPE_CHECKING:
    from limner.bot.app import App

USUAL = ("model", "style", "aspect", "count", "quality", "private")
"""Options that members choose for all their requests, the model first: it decides what the others can be."""
NOT_YET = "not yet"
"""Stands for the hash of a picture that is not stored yet; no row has it."""


async def imagine(app: App, ask: Ask) -> Job:
    """Paint what a member asks for."""
    return await submit(app, read(app, await with_usual_options(app, ask)))


async def with_usual_options(app: App, ask: Ask) -> Ask:
    """The same with what the member usually chooses, otherwise the server, unless the member said it.

    What cannot be painted with the other options is left out: nobody asked for it now.
    """
    if ask.is_usual:
        return ask
    own, server = await app.members.usual(ask.user_id), await app.guilds.get(ask.where.guild_id)
    ask = replace(_expanding(ask, own, server), is_usual=True)
    if ask.remix_of:
        return ask
    for choices in (own.options, server.usual_options):
        for name in USUAL:
            is_open = not ask.options.get(name) and not (name == "aspect" and _has_shape(ask))
            if is_open and choices.get(name):
                chosen = ask.saying(**{name: choices[name]})
                ask = chosen if _is_paintable(app, server, chosen) else ask
    return ask


async def with_usual_expansion(app: App, ask: Ask) -> Ask:
    """The same with the member's usual expansion, otherwise the server's, unless the member said it."""
    return _expanding(ask, await app.members.usual(ask.user_id), await app.guilds.get(ask.where.guild_id))


def _expanding(ask: Ask, own: Usual, server: GuildSettings) -> Ask:
    return ask if ask.options.get("expand") else ask.saying(expand=own.expand or server.expand)


def _has_shape(ask: Ask) -> bool:
    """Whether a given picture decides about the shape of what is painted."""
    return any(ask.options.get(name) for name in ("image", "link", "size"))


def _is_paintable(app: App, server: GuildSettings, ask: Ask) -> bool:
    try:
        new = read(app, ask)
        _check(app, new)
        check_access(server, new)
    except UserError:
        return False
    return True


async def requests(app: App, ask: Ask) -> Sequence[NewJob]:
    """Every request that a prompt makes, by choices in braces and by --repeat.

    Raises:
        UserError: one of them could not be painted, or there are too many.
    """
    return checked(app, read_each(app, await with_usual_options(app, ask)))


def checked(app: App, found: Sequence[NewJob]) -> Sequence[NewJob]:
    """The requests that were read of a prompt; raises like `requests`."""
    for new in found:
        _check(app, new)
    return found


async def submit_all(app: App, found: Sequence[NewJob]) -> list[Job]:
    """Accept all requests of one prompt, or none; together they need the room of one request.

    Raises:
        UserError: as `submit`.
    """
    limits, first, more = app.settings, found[0], len(found) - 1
    if not more:
        return [await submit(app, first)]
    guild_id, per_guild = first.where.guild_id, limits.max_jobs_per_guild
    room = {"per_user": limits.max_jobs_per_user, "per_guild": per_guild - more}
    await app.jobs.check_room(first.user_id, guild_id, **room)
    await check_server(app, found)
    allowed = [await _with_origin(app, await _allowed(app, replace(new, nth=nth))) for nth, new in enumerate(found)]
    room = {"per_user": limits.max_jobs_per_user + more, "per_guild": per_guild}
    quota = await app.quotas.limits(first.where) if first.user_id else ()
    results = await asyncio.gather(
        *(app.jobs.enqueue(new, quota=quota, **room) for new in allowed), return_exceptions=True
    )
    jobs = [job for job in results if isinstance(job, Job)]
    for error in (error for error in results if isinstance(error, BaseException)):
        for job in jobs:
            await app.history.delete(job.id)
        raise error
    return jobs


async def reroll(app: App, job: Job, *, user_id: int, where: Where | None = None) -> Job:
    """Paint the same prompt from another seed; the expansion is reused."""
    request = replace(GenerationRequest.from_json(job.request), seed=secrets.randbelow(SEEDS))
    again = _again(app, job, Action.REROLL, user_id, where or job.where)
    return await submit(app, replace(again, request=request, prompt=job.prompt, expansion=job.expanded))


async def repeat(app: App, job: Job, *, where: Where) -> Job:
    """Paint a request again at the owner's current place; the same seed gives the same pictures."""
    again = _again(app, job, Action.REPEAT, job.user_id, where)
    return await submit(app, replace(again, prompt=job.prompt, expansion=job.expanded))


async def repeat_raw(app: App, job: Job, *, user_id: int, where: Where | None = None) -> Job:
    """Paint the same idea with the same seed, without the language model."""
    return await submit(app, replace(_again(app, job, Action.RAW, user_id, where or job.where), expand="off"))


async def enhance(app: App, job: Job, *, user_id: int, where: Where) -> list[Job]:
    """Paint each picture of a draft again in standard quality: the same composition, by image-to-image.

    Where a model edits pictures by words it is the same edit again, from the same seed.
    """
    check_posted(job)
    draft = GenerationRequest.from_json(job.request)
    card = find_card(app.settings, draft.model)
    full: dict[str, Any] = {"scheduler": None, "num_images_per_prompt": 1, "keep": 0, "refine": 0, "steering": ()}
    full |= {"stop_after": None, "references": usable_from_picture(card, draft.references)}
    again = _again(app, job, Action.ENHANCE, user_id, where)
    prompt = job.generation.latest_prompt if draft.steering else job.prompt
    again = replace(again, request=replace(draft, **full), prompt=prompt, expansion=job.expanded)
    if (few := painted_in(card, draft).lora) and few not in card.loras:
        again = replace(again, notes={WITHOUT: few})
    again = Aspect().put(InQuality("quality").put(again, STANDARD, app.settings), draft.size, app.settings)
    return await submit_all(
        app,
        [
            replace(
                again,
                request=replace(
                    again.request,
                    seed=picture.seed,
                    init_image=draft.init_image if card.edits else picture.sha256,
                    strength=None if card.edits else card.enhance_strength,
                ),
                input_name=f"{job.id}-{number}.png",
                parent_picture=number,
                is_spoiler=job.is_spoiler,
            )
            for number, picture in enumerate(job.images, 1)
        ],
    )


async def restyle(app: App, job: Job, number: int, model: str, *, user_id: int, where: Where) -> Job:
    """Change picture ``number`` of a request (counted from 1) by an image-to-image model, at its own size."""
    check_posted(job)
    check_still(job)
    card, picture = find_card(app.settings, model), job.images[number - 1]
    request = replace(
        plain_request(app.settings, card, job.idea),
        width=picture.width // card.multiple_of * card.multiple_of,
        height=picture.height // card.multiple_of * card.multiple_of,
        seed=picture.seed,
        init_image=picture.sha256,
    )
    name = f"{job.id}-{number}.png"
    again = _again(app, job, Action.RESTYLE, user_id, where)
    again = replace(again, request=request, style="", expand="off", input_name=name, parent_picture=number)
    return await submit(app, replace(again, is_spoiler=job.is_spoiler))


def remixed(app: App, job: Job, text: str, negative: str, *, user_id: int, where: Where) -> Ask:
    """What a changed idea asks for, with the options of another request; flags in the text win.

    With another model, options chosen for the old one (steps, guidance, size ...) get the new one's defaults.
    """
    request = GenerationRequest.from_json(job.request)
    flags = parse_prompt(text, max_length=app.settings.max_prompt_length).options
    is_same = flags.get("model", request.model) == request.model
    if is_same and "lora" not in flags:
        check_loras(find_card(app.settings, request.model), request)
    kept = {option.name: option for option in OPTIONS if is_same or not option.is_of_model}
    said = {name: value for name, value in values(job, request).items() if name in kept}
    if is_same and flags.get("quality", request.quality) != request.quality:
        said = _without_quality(app, request, said)
    return Ask(
        text=text,
        options=said | {"negative": negative, "expand": _expand_again(job)},
        image_name=job.input_name,
        is_spoiler=job.is_spoiler and request.is_from_picture,
        user_id=user_id,
        locale=job.locale,
        where=where,
        remix_of=job.id,
    )


def _without_quality(app: App, request: GenerationRequest, said: dict[str, Any]) -> dict[str, Any]:
    """A request's options without those that its quality brought along."""
    kept = {
        name: value
        for name, value in said.items()
        if name not in ("steps", "size", "sampler", "guidance", "skipping", "guided")
    }
    few = painted_in(find_card(app.settings, request.model), request).lora
    loras = tuple(one for one in request.loras if one[0] != few)
    return kept | {"aspect": request.size, "lora": replace(request, loras=loras).loras_text}


async def upscale(app: App, job: Job, *, user_id: int, where: Where) -> Job:
    """Upscale a request's pictures twice; nothing is painted again."""
    check_posted(job)
    if any(image.width * image.height * 4 > MOST_PIXELS for image in job.images):
        raise BadOption(_("That picture is as large as pictures get here."))
    request = replace(GenerationRequest.from_json(job.request), finish=Finish(upscale=2))
    again = replace(_again(app, job, Action.UPSCALE, user_id, where), is_spoiler=job.is_spoiler)
    return await submit(
        app, replace(again, kind=JobKind.FINISH, request=request, prompt=job.prompt, expansion=job.expanded)
    )


async def describe(app: App, ask: Ask) -> Job:
    """Describe the picture in the option image."""
    settings, card = app.settings, app.settings.default_card
    if not settings.image_text_model:
        raise CannotDescribe
    plain = plain_request(settings, card, "")
    request = replace(plain, num_inference_steps=1, seed=0, init_image=ask.options["image"])
    return await submit(app, new_job(settings, ask, "", request, kind=JobKind.DESCRIBE, expand="off"))


async def paint_described(app: App, job: Job, *, user_id: int, where: Where) -> Job:
    """Paint a picture's description."""
    check_posted(job)
    ask = Ask(text=job.prompt or "", is_spoiler=job.is_spoiler, user_id=user_id, locale=job.locale, where=where)
    new = read(app, await with_usual_expansion(app, ask))
    return await submit(app, replace(new, parent_id=job.id, action=Action.DESCRIBED))


async def in_own_words(app: App, job: Job, text: str) -> NewJob:
    """What an accepted request would be with these words, by the rules for a new one; raises UserError."""
    await app.strikes.refuse_suspended(job.guild_id, job.user_id)
    said = replace(GenerationRequest.from_json(job.request), prompt=text)
    new = replace(_again(app, job, Action.REPEAT, job.user_id, job.where), idea=text, request=said, expand="off")
    return await app.evasion.keep_back_respelled(await _as_rules_want_it(app, new))


async def check(app: App, ask: Ask) -> None:
    """Check a request as far as possible without its pictures, for which its options have `NOT_YET`.

    Raises:
        UserError: it would be refused whatever the picture shows.
    """
    await check_each(app, ask, await requests(app, ask))


async def check_each(app: App, ask: Ask, found: Sequence[NewJob]) -> None:
    """The same for the requests that were read of what is asked."""
    for new in found:
        _check(app, new)
        as_model_leaves_out(app, find_card(app.settings, new.request.model), new)
    await check_server(app, found)
    await check_asker(app, ask)


async def check_server(app: App, found: Sequence[NewJob]) -> None:
    """Raise UserError if the server of these requests does not let their member have them there, or not so many."""
    if not found[0].user_id:
        return
    settings = await app.guilds.get(found[0].where.guild_id)
    for new in found:
        check_access(settings, new)
    pictures = sum(new.paintings for new in found)
    await app.quotas.check(found[0].user_id, found[0].where, pictures)


async def check_asker(app: App, ask: Ask) -> None:
    """Raise UserError if the member cannot request anything there now: suspended, or over the queue limit."""
    await app.strikes.refuse_suspended(ask.where.guild_id, ask.user_id)
    limits = app.settings
    await app.jobs.check_room(
        ask.user_id, ask.where.guild_id, per_user=limits.max_jobs_per_user, per_guild=limits.max_jobs_per_guild
    )


async def submit(app: App, new: NewJob) -> Job:
    """Accept a request; this is the only way into the queue.

    Raises:
        UserError: it is refused; a refusal by the filter is stored as a row.
    """
    await check_server(app, [new])
    limits, new = app.settings, await _with_origin(app, await _allowed(app, new))
    if new.user_id == 0:
        return await app.jobs.enqueue(new)
    room = {"per_user": limits.max_jobs_per_user, "per_guild": limits.max_jobs_per_guild}
    return await app.jobs.enqueue(new, quota=await app.quotas.limits(new.where), **room)


async def _allowed(app: App, new: NewJob) -> NewJob:
    """The request as its model and the rules take it; raises UserError if they do not."""
    if new.user_id:
        await app.house_rules.check(new.where.guild_id, new.user_id)
    if new.kind in PAINTING:
        new = _enlarged(app, new)
        card = _check(app, new)
        if new.kind == JobKind.PAINT:
            new = await with_stored_pictures(app, new)
            new = await _with_wildcards(app, _as_negatives_are_taken(app, card, new))
        cost = quality(card, new.request.quality).cost(card) * new.rounds * new.request.frames
        new = replace(new, weight=new.weight / cost)
    await app.strikes.refuse_suspended(new.where.guild_id, new.user_id)
    return await app.evasion.keep_back_respelled(await _as_rules_want_it(app, new))


def _enlarged(app: App, new: NewJob) -> NewJob:
    """What is made of an earlier request, at a size that its model still paints: the model may be another by now."""
    if new.action is None or new.request.box:
        return new
    width, height = find_card(app.settings, new.request.model).room(new.request.size)
    return replace(new, request=replace(new.request, width=width, height=height))


def _check(app: App, new: NewJob) -> ModelCard:
    """The request's model; raises UserError if it cannot paint the request."""
    card = find_card(app.settings, new.request.model)
    check_limits(app.settings, card, new)
    check_seen(app, card, new)
    return card


async def _with_origin(app: App, new: NewJob) -> NewJob:
    """The request with the one that painted the picture which it starts from or describes, if that may be known."""
    given = new.request.init_image
    if new.parent_id is not None or given is None or new.kind == JobKind.FINISH:
        return new
    origin = await app.history.lineage.origin(given, new.user_id, new.where.guild_id)
    if origin is None:
        return new
    action = Action.START if new.kind == JobKind.PAINT else Action.DESCRIBE
    return replace(new, parent_id=origin.job_id, parent_picture=origin.number, action=action)


async def _with_wildcards(app: App, new: NewJob) -> NewJob:
    """The request with a line for each wildcard of its idea."""
    idea, chosen = await app.wildcards.fill(new.idea, new.where.guild_id, new.request.seed)
    if not chosen:
        return new
    too_long(idea, app.settings.max_prompt_length)
    notes = {**new.notes, CHOSEN: chosen}
    return replace(new, idea=idea, request=replace(new.request, prompt=idea), notes=notes)


def _as_negatives_are_taken(app: App, card: ModelCard, new: NewJob) -> NewJob:
    """The request as its model takes a negative prompt: by its card, and by what was seen of it before."""
    if not new.request.negative_prompt:
        return new
    takes_none = bool(app.measured.get(NO_NEGATIVE, card.origin))
    if not (card.server and card.leaves_out):
        return as_model_leaves_out(app, replace(card, leaves_out=card.leaves_out and not takes_none), new)
    return replace(new, notes={**new.notes, IN_WORDS: True}) if takes_none else new


async def _as_rules_want_it(app: App, new: NewJob) -> NewJob:
    expansion = new.expansion.text if new.expansion else ""
    painted = new.prompt or styles_at(app, new.where.guild_id).find(new.style).text
    texts = apply_verdict.texts(new.idea, new.request, expansion, painted, new.input_name)
    texts["picture"] = await words_of_picture(app, new)
    verdict = await app.filters.check(new.where, texts, paints_negative=bool(new.notes.get(IN_WORDS)))
    if verdict.refusal:
        await app.refusals.check(new)
        refused = apply_verdict.remember(new, verdict)
        if verdict.refusal.is_by_floor:
            refused = apply_verdict.without_words(refused)
        job = await app.jobs.log_refusal(refused, verdict.refusal.code, verdict.refusal.sentence)
        raise Refused(verdict.refusal.sentence, job.id)
    return apply_verdict.obeyed(new, verdict)


def _again(app: App, job: Job, action: Action, user_id: int, where: Where) -> NewJob:
    """The same request; results of a spoiler stay spoilers, results of words alone are for the rules to decide."""
    request = GenerationRequest.from_json(job.request)
    return NewJob(
        idea=job.idea,
        request=request,
        is_spoiler=job.is_spoiler and request.is_from_picture,
        is_private=job.is_private,
        style=job.style,
        expand=_expand_again(job),
        user_id=user_id,
        locale=job.locale,
        weight=weight_of(app.settings, where.role_ids),
        parent_id=job.id,
        action=action,
        input_name=job.input_name,
        where=where,
    )


def _expand_again(job: Job) -> str:
    """The expansion mode of a repeated request: a preview is not shown again."""
    return "on" if job.expand == "preview" else job.expand
