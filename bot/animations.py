"""Use cases: animations of posted pictures or of prompts, and videos of one prompt; each is one request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from limner.bot.errors import BadOption
from limner.bot.limits import some
from limner.bot.options.ask import Ask, find_card, read
from limner.bot.options.declarations import by_name
from limner.bot.options.finish_options import FINISH_OPTIONS
from limner.bot.options.flags import parse_prompt
from limner.bot.options.notes import FRAMES_WANTED, TOO_LONG
from limner.bot.options.picture_options import PICTURE_OPTIONS
from limner.bot.options.several import read_each
from limner.bot.picture_actions import Asker, made_of
from limner.bot.posted_pictures import check_still, picture_of, viewed
from limner.bot.queue.enqueue import NewJob
from limner.bot.reasons import Action, JobKind
from limner.bot.storage.tables.models import Image, Job
from limner.bot.submit import submit, with_usual_options
from limner.bot.translation import N_, _
from limner.generators.animation import LEAST_FRAMES, LEAST_KEYS, MOST_FRAMES, MOST_KEYS, SEPARATOR, Animation
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.video_models import VideoFrames

if TYPE_CHECKING:
    from limner.bot.app import App
    from limner.bot.settings import Settings

USUAL_FRAMES = 16
NAMED = re.compile(r"(?P<job>[1-9]\d{0,17})(?:-(?P<number>[1-9]))?")
"""A posted picture in a list: a request's number, and the picture's unless it is the first."""
UNUSED = ("count", "repeat", "mix", *(option.name for option in (*PICTURE_OPTIONS, *FINISH_OPTIONS)))
"""Options that an animation of prompts does nothing with."""
SAME = ("width", "height", "init_image", "mask", "part", "box", "strength", "references", "tile")
"""What the pictures of a walk have in common, beside the model and its LoRAs."""
RECENT, LOOKED_AT = 25, 100
"""Most pictures that a form offers, and the newest requests among which they are."""
ONE_KIND = N_("An animation goes through prompts or through pictures; give one of the two.")
FRAMES = N_("An animation has {least} to {most} frames; ask for so many.")
KEYS = N_(
    "A walk goes through {least} to {most} different pictures or prompts; name so many, or choose the motion pulse for "
    "one picture."
)
ONE = N_("A pulse is about one picture; name one, or choose another motion.")
ONE_PROMPT = N_(
    "A video is of one prompt, without bars; name one, or choose a model of pictures for a walk through several."
)
NO_PULSE = N_("The model {model} paints videos from words; choose loop or ping-pong.")
NO_KEYS = N_(
    "A walk goes through {least} to {most} prompts with bars between them; for a video of one prompt add --model with "
    "one of: {names}."
)
NAMES = N_("Name pictures by request and number, such as 12-1 15-2; {name} is none.")
NOT_AGAIN = N_("Picture {picture} was changed while it was painted, or not painted here, so it cannot be animated.")
MIXED = N_("Picture {picture} is a mix of styles, which cannot be animated.")
MODELS = N_("These pictures are of different models or LoRAs; a walk goes through pictures of one model.")
SIZES = N_("These pictures were painted in different sizes; a walk goes through pictures of one size.")
STARTS = N_("These pictures start from different pictures; a walk goes through pictures that start from the same.")


class Motion(StrEnum):
    """How an animation moves and is played."""

    #: Through all pictures and back to the first.
    LOOP = "loop"
    #: From the first to the last and back by the same way.
    PING_PONG = "ping-pong"
    #: Around one picture.
    PULSE = "pulse"


@dataclass(frozen=True)
class Movement:
    """How an animation is to move, and how many frames are painted; raises BadOption for too few or too many."""

    motion: Motion = Motion.LOOP
    frames: int = USUAL_FRAMES

    def __post_init__(self) -> None:
        if not LEAST_FRAMES <= self.frames <= MOST_FRAMES:
            raise BadOption(_(FRAMES, least=LEAST_FRAMES, most=MOST_FRAMES))

    def animation(self, keys: int, seeds: tuple[int, ...] = (), pictures: tuple[str, ...] = ()) -> Animation:
        """The animation through so many keys; a loop through two goes there and back by the same way."""
        is_pulse = self.motion == Motion.PULSE
        if is_pulse and keys > 1:
            raise BadOption(_(ONE))
        if not is_pulse and not LEAST_KEYS <= keys <= MOST_KEYS:
            raise BadOption(_(KEYS, least=LEAST_KEYS, most=MOST_KEYS))
        swings = self.motion == Motion.PING_PONG or keys == LEAST_KEYS
        return Animation(self.frames, swings, seeds, pictures)


async def animate_prompts(app: App, ask: Ask, wanted: Movement) -> Job:
    """Paint a walk through prompts, which stand between bars in the text; flags count for all, and so does the seed.

    A video model paints a video of one prompt.

    Raises:
        UserError: there are too few or too many, an option does nothing here, or as for any request.
    """
    ask = await with_usual_options(app, ask.saying(count=1, expand="off"))
    _check_flags(app, ask)
    if len(read_each(app, ask)) > 1:
        raise BadOption(_("An animation is one request; leave out the choices in braces."))
    new = read(app, ask)
    if video := find_card(app.settings, new.request.model).video:
        return await submit(app, _as_video(video, new, wanted))
    _check_card(app.settings, new.request.model)
    prompts = [part for one in new.idea.split(SEPARATOR.strip()) if (part := one.strip())]
    different = len(set(prompts)) if prompts else 0
    videos = [name for name, card in app.settings.offered.items() if card.video]
    if different == 1 and videos and wanted.motion != Motion.PULSE:
        raise BadOption(_(NO_KEYS, least=LEAST_KEYS, most=MOST_KEYS, names=some(videos)))
    seeds = (new.request.seed,) if wanted.motion == Motion.PULSE else ()
    animation = wanted.animation(len(prompts) if different > 1 else different, seeds=seeds)
    idea, negative = SEPARATOR.join(prompts), _joined([new.request.negative_prompt])
    notes = {name: note for name, note in new.notes.items() if name != TOO_LONG}
    request = replace(
        new.request, prompt=idea, negative_prompt=negative, num_images_per_prompt=1, keep=0, animation=animation
    )
    return await submit(app, replace(new, idea=idea, request=request, notes=notes))


def _as_video(video: VideoFrames, new: NewJob, wanted: Movement) -> NewJob:
    """The request for a video of as many frames as its model paints nearest to the wanted ones."""
    if SEPARATOR.strip() in new.idea:
        raise BadOption(_(ONE_PROMPT))
    if wanted.motion == Motion.PULSE:
        raise BadOption(_(NO_PULSE, model=new.request.model))
    frames = video.nearest(wanted.frames)
    animation = video.video(frames, swings=wanted.motion == Motion.PING_PONG)
    request = replace(new.request, num_images_per_prompt=1, keep=0, animation=animation)
    notes = {**new.notes, FRAMES_WANTED: wanted.frames} if frames != wanted.frames else new.notes
    return replace(new, request=request, notes=notes)


async def animate_pictures(
    app: App, pictures: Sequence[tuple[Job, int]], asker: Asker, wanted: Movement, *, is_private: bool = False
) -> Job:
    """Paint a walk through posted pictures, or a pulse around one; the first one says how the frames are painted.

    Raises:
        BadOption: they are of several models or sizes, or cannot be painted again.
    """
    jobs = [job for job, _number in pictures]
    rows = [picture_of(job, number) for job, number in pictures]
    _check_pictures(app, pictures)
    seeds, hashes = tuple(row.seed for row in rows), tuple(row.sha256 for row in rows)
    keys = len(rows) if len(set(hashes)) > 1 else 1
    animation = wanted.animation(keys, seeds=seeds[:keys], pictures=hashes[:keys])
    request = replace(
        jobs[0].generation,
        negative_prompt=_joined([job.request["negative_prompt"] for job in jobs]),
        num_images_per_prompt=1,
        keep=0,
        seed=seeds[0],
        finish=None,
        animation=animation,
    )
    new = made_of(app, jobs[0], pictures[0][1], asker, Action.ANIMATE, request)
    words = {"idea": _joined([job.idea for job in jobs]), "prompt": _joined([job.generation.prompt for job in jobs])}
    given = {name: any(getattr(job, name) for job in jobs) for name in ("is_private", "is_spoiler")}
    given["is_private"] = given["is_private"] or is_private
    return await submit(app, replace(new, **words, **given, style="", expand="off", expansion=None))


async def named_pictures(app: App, text: str, asker: Asker) -> list[tuple[Job, int]]:
    """The posted pictures that a member names, such as 12-1 15-2; raises UserError for one that they do not see."""
    found: list[tuple[Job, int]] = []
    names = text.replace(",", " ").split()
    for name in names[: MOST_KEYS + 1]:
        named = NAMED.fullmatch(name)
        if named is None:
            raise BadOption(_(NAMES, name=name[:40]))
        number = int(named["number"] or 1)
        found.append((await viewed(app, int(named["job"]), number, asker.user_id, asker.where), number))
    return found


async def offered_beside(app: App, job: Job, user_id: int) -> list[tuple[Job, Image]]:
    """A member's newest pictures that a walk from a picture of ``job`` can go through, at most `RECENT`."""
    newest = await app.history.newest(user_id, job.weights_key, LOOKED_AT)
    others = [one for one in newest if one.id != job.id and not one.quarantine and _matches(job, one)]
    return [(one, image) for one in others for image in one.images][:RECENT]


def check_animates(app: App, job: Job, number: int) -> None:
    """Raise BadOption if a picture cannot be animated."""
    _check_pictures(app, [(job, number)])


def _check_pictures(app: App, pictures: Sequence[tuple[Job, int]]) -> None:
    for job, number in pictures:
        check_still(job)
        name = f"{job.id}-{number}"
        if job.generation.mix:
            raise BadOption(_(MIXED, picture=name))
        if not _is_repeatable(job):
            raise BadOption(_(NOT_AGAIN, picture=name))
    first = pictures[0][0]
    _check_card(app.settings, first.request["model"])
    for job, _number in pictures[1:]:
        if job.weights_key != first.weights_key:
            raise BadOption(_(MODELS))
        if job.generation.size != first.generation.size:
            raise BadOption(_(SIZES))
        if not _matches(first, job):
            raise BadOption(_(STARTS))


def _is_repeatable(job: Job) -> bool:
    """Whether its picture is what its words, its seed and what it starts from give."""
    request = job.generation
    is_painted = job.kind != JobKind.DESCRIBE and not job.is_of_file
    return is_painted and not request.steering and not request.stop_after and not request.mix


def _matches(first: Job, other: Job) -> bool:
    """Whether a walk can go from one to the other."""
    mine, theirs = first.generation, other.generation
    is_alike = all(getattr(mine, name) == getattr(theirs, name) for name in SAME)
    return is_alike and not other.is_animation and _is_repeatable(other) and first.weights_key == other.weights_key


def _check_card(settings: Settings, model: str) -> ModelCard:
    card = find_card(settings, model)
    if not card.animates:
        able = [name for name, other in settings.offered.items() if other.animates]
        instead = _("; choose one of: {names}", names=some(able)) if able else ""
        raise BadOption(_("The model {model} cannot be animated{instead}.", model=card.name, instead=instead))
    return card


def _check_flags(app: App, ask: Ask) -> None:
    """Raise BadOption for a flag that does nothing in an animation."""
    said = parse_prompt(ask.text, max_length=app.settings.max_prompt_length).options
    in_vain = [name for name in said if name in UNUSED or (name == "expand" and said[name] != "off")]
    if in_vain:
        flag = by_name()[in_vain[0]].flags[0]
        raise BadOption(_("--{flag} does nothing in an animation; leave it out.", flag=flag))


def _joined(texts: Sequence[str]) -> str:
    """The texts of an animation's keys in one; a single one where all are the same."""
    parts = [" ".join(text.split()).replace(SEPARATOR, SEPARATOR.rstrip()) for text in texts]
    return SEPARATOR.join(parts) if len(set(parts)) > 1 else parts[0]
