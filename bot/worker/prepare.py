"""Prepares a claimed job: classifies its input picture, expands its idea, applies style and filter."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace

from limner.bot.app import App
from limner.bot.background import patiently
from limner.bot.errors import BadPicture, UnknownModel
from limner.bot.filters.verdicts import Verdict
from limner.bot.moderation import apply_verdict
from limner.bot.moderation.image_policy import OF_INPUTS
from limner.bot.options.notes import IN_WORDS, LEFT_OUT, NO_NEGATIVE
from limner.bot.reasons import EndCode, HoldReason
from limner.bot.server_styles import styles_at
from limner.bot.storage.pictures.decoder import LEAST_SHARE
from limner.bot.storage.pictures.input_images import GONE
from limner.bot.storage.tables.models import InputPicture, Job
from limner.bot.translation import N_, _
from limner.bot.worker.classifier_thread import ClassifierThread
from limner.bot.worker.scoring_thread import ScoringThread
from limner.generators.animation import SEPARATOR
from limner.generators.base import Expansion, PromptExpander
from limner.generators.cards.model_card import ModelCard
from limner.generators.image_canvas import covered, grown
from limner.generators.image_files import encode_png
from limner.generators.requests import SEEDS, GenerationRequest

NO_SUCH_PART = N_("I find no “{part}” in that picture; say it in other words, or choose cells.")
NOTHING_ELSE = N_("“{part}” is the whole picture, so nothing would be kept; say it in other words, or choose cells.")

log = logging.getLogger(__name__)


async def settle_input(app: App, classifier: ClassifierThread, job: Job) -> bool:
    """Classify the job's given pictures; False if one of them is not allowed and the job has ended.

    Raises:
        NotClassified: the classifier cannot score it now.
        BadPicture: its file is missing.
    """
    for sha256 in dict.fromkeys(job.generation.given):
        picture, code = await _against(app, classifier, job, sha256)
        if code:
            await patiently(lambda: _refuse_input(app, job, picture, code))  # noqa: B023 - it ends before the loop goes on
            return False
    return True


async def _refuse_input(app: App, job: Job, picture: InputPicture, code: HoldReason) -> None:
    blocked_by = await app.image_policy.blocked_by(job.guild_id, picture.hashes)
    await app.jobs.refuse(job, EndCode.PICTURE.about(code), OF_INPUTS[code], blocked_by=blocked_by)


async def _against(
    app: App, classifier: ClassifierThread, job: Job, sha256: str
) -> tuple[InputPicture, HoldReason | None]:
    """One of a job's given pictures, which is classified if that was not done before, and the objection to it."""
    picture = await patiently(lambda: app.inputs.get(sha256))
    code = await patiently(lambda: app.image_policy.against(picture, job.where, job)) if picture else HoldReason.UNSEEN
    if picture and code != HoldReason.UNSEEN:
        return picture, code
    seen = await _look_at_input(app, classifier, sha256)
    return seen, await patiently(lambda: app.image_policy.against(seen, job.where, job))


async def settle_prompt(app: App, expander: PromptExpander, job: Job) -> bool:
    """Make the job's final prompt and filter it; False if the job has ended, or waits for its owner's choice.

    An expansion is kept in the row, so that retries, rerolls and owners' choices reuse it. The filter
    checks every prompt, reused ones included.

    Raises:
        UserError: its model or style is not offered any more.
    """
    card = app.settings.cards.get(job.request["model"])
    if card is None:
        raise UnknownModel
    is_new = job.prompt is None
    expansion = await _expand(expander, job, card) if is_new else job.expanded or _plain(job)
    await patiently(lambda: app.guilds.get(job.guild_id))  # its own styles
    painted = job.prompt or _styled(app, job, expansion.text)
    texts = _texts(job, expansion.text, painted)
    verdict = await _judge(app, job, texts, paints_negative=bool(job.notes.get(IN_WORDS)))
    if verdict.refusal:
        return False
    expansion, prompt = apply_verdict.reworded(expansion, job.idea, verdict), verdict.texts["style"]
    if is_new and job.expand == "preview":
        await patiently(lambda: app.jobs.hold(job, expansion, prompt))
        return False
    job.prompt, job.expansion = prompt, expansion.to_json()
    is_changed = is_new or verdict.action is not None
    return not is_changed or await patiently(lambda: app.jobs.save_expansion(job, expansion, prompt))


async def settle_part(app: App, scoring: ScoringThread, job: Job) -> bool:
    """Find the part of the picture that the job's words name, and keep its mask; False if the job has another worker.

    Raises:
        BadPicture: the picture shows no such part, or nothing else, or its file is missing.
        UnknownModel: there is no segmentation model.
    """
    request = job.generation
    if not request.part or request.mask:
        return True
    try:
        image = await asyncio.to_thread(app.images.open, request.init_image or "")
    except FileNotFoundError as error:
        raise BadPicture(_(GONE)) from error
    mask = await scoring.find(image, request.part)
    share = covered(mask)
    if not LEAST_SHARE <= share <= 1 - LEAST_SHARE:
        raise BadPicture(_(NO_SUCH_PART if share < LEAST_SHARE else NOTHING_ELSE, part=request.part))
    sha256 = await asyncio.to_thread(lambda: app.images.save(encode_png(grown(mask))))
    if not await patiently(lambda: app.jobs.save_mask(job, sha256)):
        await app.history.drop_files({sha256})
        return False
    await asyncio.to_thread(app.images.keep, sha256)
    return True


async def settle_negative(app: App, job: Job) -> bool:
    """Put a job back without the negative prompt that its model does not support; False if it cannot be dropped.

    An images server gets it as a part of the prompt. Other models run without the style's negative prompt; a member's
    own is never dropped.
    """
    card = app.settings.cards[job.request["model"]]
    app.measured.put(NO_NEGATIVE, card.origin, True)  # the next request is not to wait in the queue for it
    if card.server:
        job.notes = {**job.notes, IN_WORDS: True}
    elif not styles_at(app, job.guild_id).own_negative(job.style, job.request["negative_prompt"]):
        job.request = {**job.request, "negative_prompt": ""}
        job.notes = {**job.notes, LEFT_OUT: True}
    else:
        return False
    return await patiently(lambda: app.jobs.put_back_changed(job))


async def settle_change(app: App, job: Job, prompt: str) -> bool:
    """Filter another prompt for a job that is being painted; False if it is forbidden and the job has ended."""
    texts = _texts(job, job.expanded.text if job.expanded else "", job.prompt or "")
    verdict = await _judge(app, job, texts | {"change": prompt}, paints_negative=bool(job.notes.get(IN_WORDS)))
    return verdict.refusal is None


async def settle_description(app: App, job: Job, text: str, seconds: float) -> bool:
    """Filter a picture's description and store it; False if the job has ended."""
    verdict = await _judge(app, job, _texts(job, "", "") | {"description": text})
    if verdict.refusal:
        return False
    allowed = verdict.texts["description"]
    said = Expansion(text=allowed, added=allowed, kept=(), model="", seconds=seconds)
    return await patiently(lambda: app.jobs.save_expansion(job, said, allowed))


def with_addresses(app: App, job: Job) -> GenerationRequest:
    """The request for the executor, with the addresses of its pictures, which the row stores as hashes."""
    request = job.generation
    if request.negative_prompt and job.notes.get(IN_WORDS):
        request = request.in_words
    address = app.images.address
    given = {name: address(sha256) for name in ("init_image", "mask") if (sha256 := getattr(request, name))}
    references = tuple(
        replace(one, picture=address(one.picture), mask=address(one.mask) if one.mask else "")
        for one in request.references
    )
    return replace(request, references=references, **given)


async def _look_at_input(app: App, classifier: ClassifierThread, sha256: str) -> InputPicture:
    try:
        image = await asyncio.to_thread(app.images.open, sha256)
    except FileNotFoundError as error:
        raise BadPicture(_(GONE)) from error
    seen = await classifier.look(image)
    return await patiently(lambda: app.inputs.keep(sha256, seen))


async def _expand(expander: PromptExpander, job: Job, card: ModelCard) -> Expansion:
    if job.expand == "off":
        return _plain(job)
    return await expander.expand(
        job.idea,
        locale=job.locale,
        seed=(job.request["seed"] + job.more_expansions) % SEEDS,
        max_words=card.max_added_words,
        english_only=card.english_only,
        dialect=card.dialect,
    )


def _styled(app: App, job: Job, text: str) -> str:
    """A prompt in the job's style, or each of an animation's prompts."""
    styles = styles_at(app, job.guild_id)
    parts = text.split(SEPARATOR) if job.is_animation else [text]
    return SEPARATOR.join(styles.apply(job.style, part) for part in parts)


def _plain(job: Job) -> Expansion:
    return Expansion(text=job.idea, added="", kept=(), model="", seconds=0.0)


def _texts(job: Job, expansion: str, prompt: str) -> dict[str, str]:
    return apply_verdict.texts(job.idea, job.generation, expansion, prompt, job.input_name)


async def _judge(app: App, job: Job, texts: Mapping[str, str], *, paints_negative: bool = False) -> Verdict:
    """Filter a job's texts by the rules of the place where it was requested; a refusal ends the job."""
    pardoned = job.pardoned_ids or ()
    how = {"paints_negative": paints_negative, "reads_meaning": True}
    verdict = await patiently(lambda: app.filters.check(job.where, texts, pardoned, **how))
    apply_verdict.obey(job, verdict)
    if verdict.refusal:
        code, sentence, keeps_words = verdict.refusal.code, verdict.refusal.sentence, not verdict.refusal.is_by_floor
        await patiently(lambda: app.jobs.refuse(job, code, sentence, keeps_words=keeps_words))
    return verdict
