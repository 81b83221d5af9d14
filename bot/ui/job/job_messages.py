"""The text of a request's message in the channel, from "queued" to the pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence

from discord.utils import escape_markdown, escape_mentions

from limner.bot.held_requests import MOST_EXPANSIONS
from limner.bot.limits import CHOICE, CONTENT, cut, length
from limner.bot.options.notes import sentences
from limner.bot.quantities import decimal
from limner.bot.queue.estimate import Position
from limner.bot.reasons import PAINTING, Action, EndCode, HoldReason, JobKind, JobStatus
from limner.bot.storage.tables.models import Job
from limner.bot.styles import Styles
from limner.bot.translation import N_, _, commas, stored
from limner.generators.added_words import runs
from limner.generators.references import Role

IDEA_LENGTH = 240
DESCRIPTION_LENGTH = 600
ADDED_LENGTH = 400
REASON_LENGTH = 600
"""Characters shown of an idea, of its addition, of a reason; together they fit into Discord's 2000."""
SHOWN_CHANGES = 2
NAME_LENGTH = 60
NOTE_LENGTH = 240
LEAST_ROOM = 10
"""Characters left of `ADDED_LENGTH` with which no further piece is begun."""
ROOM = CONTENT - 300
"""Characters of a message with its notes; delivery may add a mention and a sentence."""
LEAST_SECONDS = 0.1

CHOOSE_OR_AGAIN = N_(
    "Keep paints it, Edit lets you change it, Again expands your idea anew (up to {left} times more), Raw paints your "
    "own words. Nothing is painted before you choose."
)
CHOOSE = N_("Keep paints it, Edit lets you change it, Raw paints your own words. Nothing is painted before you choose.")
ANSWERED_ELSEWHERE = N_("Another process of this bot had answered already.")
NOBODY_CHOSE = N_("Its preview was deleted, so nothing was painted.")
UNREAD = N_("A request that a moderator has yet to read.")
REFUSED_BY_FILTER = N_("This request was refused by the filter. Its owner can read more under Details.")
REJECTED = N_("The pictures of this request are not posted. Its owner can read more under Details.")
NOT_SEEN = N_("It is done; the pictures are posted here as soon as they have been looked at.")
UNDECIDED = N_("It is done; the pictures wait until a moderator has looked at them.")
TOO_LARGE = N_("The pictures are too large to post here, even as small JPEGs; their owner finds them with /history.")
ANIMATION_TOO_LARGE = N_(
    "The animation is too large to post here, even at a quarter of its size; /history shows its owner the first frame."
)
HELD_BACK_DAYS = 7
"""Days for which a refused answer is retried; Discord archives a quiet thread after 7 days at most."""
CHANNEL_GONE = N_("the channel is gone.")
THREAD_CLOSED = N_("the thread is archived. I post it there when it is open again within {days} days.")
NOT_PERMITTED = N_("I lack a permission there ({missing}). I post it when I have it within {days} days.")
NO_MEMBER = N_("I am no member of that server, so I could write there for 15 minutes only.")
NOT_TAKEN = N_("Discord does not take this answer (error {code}); its owner can read it under Details.")
NOT_TAKEN_AT_ALL = N_("Discord does not take this answer (error {code}).")
NO_ATTACHING = N_(
    "The pictures are painted, but I may not post them here: I need the permission Attach Files in this channel, and "
    "post them when I have it within {days} days. Until then their owner finds them with /history."
)
PREVIEW = N_("A first, rough look at the picture that is being painted.")
FILES_GONE = N_("The picture files are gone from the bot's disk, or damaged; Reroll paints the request again.")

BY = {
    None: N_("asked by {member}"),
    Action.REROLL: N_("reroll of request {job} by {member}"),
    Action.REMIX: N_("remix of request {job} by {member}"),
    Action.RAW: N_("own words of request {job}, asked by {member}"),
    Action.REPEAT: N_("repeat of request {job} by {member}"),
    Action.RESTYLE: N_("restyle of picture {picture} of request {job} by {member}"),
    Action.UPSCALE: N_("upscale of request {job} by {member}"),
    Action.ENHANCE: N_("full quality of picture {picture} of request {job} by {member}"),
    Action.VARY_SUBTLE: N_("subtle variation of picture {picture} of request {job} by {member}"),
    Action.VARY_STRONG: N_("strong variation of picture {picture} of request {job} by {member}"),
    Action.ZOOM_OUT: N_("picture {picture} of request {job} zoomed out by {member}"),
    Action.PAN_LEFT: N_("picture {picture} of request {job} extended to the left by {member}"),
    Action.PAN_RIGHT: N_("picture {picture} of request {job} extended to the right by {member}"),
    Action.PAN_UP: N_("picture {picture} of request {job} extended upwards by {member}"),
    Action.PAN_DOWN: N_("picture {picture} of request {job} extended downwards by {member}"),
    Action.START: N_("started from picture {picture} of request {job} by {member}"),
    Action.REFER: N_("with picture {picture} of request {job} as a reference, asked by {member}"),
    Action.ANIMATE: N_("animation of picture {picture} of request {job} by {member}"),
    Action.ADJUST: N_("picture {picture} of request {job} adjusted, asked by {member}"),
    Action.EXPLAIN: N_("explanation of picture {picture} of request {job}, asked by {member}"),
    Action.EDIT: N_("a part of picture {picture} of request {job} painted anew by {member}"),
    Action.INSTRUCT: N_("picture {picture} of request {job} edited by words of {member}"),
    Action.DESCRIBE: N_("description of picture {picture} of request {job}, asked by {member}"),
    Action.DESCRIBED: N_("painted from the description in request {job}, asked by {member}"),
}
"""Who asked, and for what, by what made a request of its parent."""
ADJUSTED = {
    "denoise": N_("noise"),
    "contrast": N_("contrast"),
    "colour": N_("colour"),
    "sharpen": N_("sharpness"),
    "denoise-drawing": N_("noise in drawings"),
    "deblur-drawing": N_("blur in drawings"),
    "double-drawing": N_("twice the size"),
}
"""What each of the `ADJUSTMENTS` and `RESTORATIONS` is about."""
MOTIONS = {False: N_("a loop"), True: N_("forwards and backwards")}
"""How a walk is played, by whether it swings."""
PULSE = N_("a pulse")
BY_PICTURE = N_("upscale of picture {picture} of request {job} by {member}")

_TURNS_TEXT_AROUND = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def queued(job: Job, position: Position) -> str:
    """A queued job with its position, and the time left if known."""
    queued = _("queued · {place}", place=standing(position))
    return f"{_idea(job)}\n-# {queued}"


def standing(position: Position) -> str:
    """A place in the queue in plain words."""
    place = _("next in line") if position.ahead == 0 else _in_line(position.ahead + 1)
    if position.seconds is None:
        return place
    return _("{place} · about {time}", place=place, time=_duration(position.seconds))


def painting(job: Job) -> str:
    """A running job and how far it is."""
    if job.kind not in PAINTING:
        does = _("looking at it") if job.kind == JobKind.DESCRIBE else _("finishing the pictures")
        return f"{_idea(job)}\n-# {does}"
    head = "\n".join((_idea(job), *_changes(job)))
    if job.step == 0:
        waits_for_words = job.prompt is None and job.expand != "off"
        does = _("describing the picture") if waits_for_words else _("starting to paint")
        return f"{head}\n-# {does}"
    full = round(10 * job.step / job.steps)
    bar = "▰" * full + "▱" * (10 - full)
    done = _("painting {bar} step {step} of {steps}", bar=bar, step=job.step, steps=job.steps)
    frames = job.generation.frames
    if job.generation.is_video:
        step, steps = job.step // frames, job.steps // frames
        done = _("painting {bar} step {step} of {steps}", bar=bar, step=step, steps=steps)
    elif job.is_animation:
        frame = min(frames, job.step * frames // job.steps + 1)
        done = _("painting {bar} frame {frame} of {frames}", bar=bar, frame=frame, frames=frames)
    if refine := job.generation.refine:
        number = min(refine, job.step * (1 + refine) // job.steps) + 1
        done = _("{done} · round {number} of at most {most}", done=done, number=number, most=1 + refine)
    return f"{head}\n-# {done}"


def quarantined(job: Job) -> str:
    """A finished job whose pictures are held."""
    return f"{_idea(job)}\n-# {_(NOT_SEEN) if job.quarantine == HoldReason.UNSEEN else _(UNDECIDED)}"


def held(job: Job) -> str:
    """An expansion that waits for its owner's choice."""
    left = MOST_EXPANSIONS - job.more_expansions
    choose = _(CHOOSE_OR_AGAIN, left=left) if left else _(CHOOSE)
    return "\n".join((_idea(job), *([] if _is_unread(job) else _addition(job)), f"-# {choose}"))


def ended(job: Job, styles: Styles, *, says_ai: bool) -> str:
    """The final text of a job; a refusal repeats nothing of the request."""
    if job.status == JobStatus.REFUSED:
        return _(REJECTED) if job.reason_code == EndCode.REVIEW else _(REFUSED_BY_FILTER)
    if job.status == JobStatus.SUCCEEDED and job.kind == JobKind.DESCRIBE:
        said = plain(job.prompt or "", DESCRIPTION_LENGTH)
        return f"{_idea(job)}\n{f'||{said}||' if job.is_spoiler else said}"
    if job.status == JobStatus.SUCCEEDED:
        head, facts = (
            [quoted(job.idea or job.input_name), *_addition(job), *_changes(job)],
            [f"-# {asked_by(job)}", f"-# {_facts(job, styles, says_ai=says_ai)}"],
        )
        room = ROOM - length("\n".join((*head, *facts)))
        return "\n".join((*head, *_notes(job, styles, room), *facts))
    return f"{_idea(job)}\n{_reason(job)}"


def thread_closed() -> str:
    """The reason of a delayed answer in an archived thread."""
    return _(THREAD_CLOSED, days=HELD_BACK_DAYS)


def not_permitted(missing: Sequence[str]) -> str:
    """The reason of a delayed answer that lacks these permissions, by Discord's names."""
    return _(NOT_PERMITTED, missing=commas(missing), days=HELD_BACK_DAYS)


def no_attaching() -> str:
    """The reason of delayed pictures that may not be attached in their channel."""
    return _(NO_ATTACHING, days=HELD_BACK_DAYS)


def elsewhere(job: Job, why: str) -> str:
    """A direct message to a job's owner, who cannot read the answer in its channel."""
    place = _("I cannot post it in <#{channel_id}>: {why}", channel_id=job.channel_id, why=why)
    if job.status == JobStatus.SUCCEEDED:
        return _("Your request {job} is done; /history id:{job} shows it. {place}", job=job.id, place=place)
    about = _("That is about your request {job}. {place}", job=job.id, place=place)
    return f"{_reason(job)}\n-# {about}"


def _reason(job: Job) -> str:
    return cut(stored(job.reason or ""), REASON_LENGTH)


def quoted(idea: str) -> str:
    """An idea on one line, in bold, as its message repeats it."""
    return f"**{plain(idea, IDEA_LENGTH)}**"


def _idea(job: Job) -> str:
    """The idea as the request's message repeats it; for a description the file's name."""
    return _(UNREAD) if _is_unread(job) else quoted(job.idea or job.input_name)


def _is_unread(job: Job) -> bool:
    """Whether a moderator has yet to allow it: until then only its owner sees its words."""
    return job.quarantine not in (None, HoldReason.UNSEEN)


def named(job: Job) -> str:
    """A request at the beginning of a sentence, with its number and the beginning of its words if all may read them."""
    if _is_unread(job) or job.status == JobStatus.REFUSED:
        return _("Request {job}", job=job.id)
    return _("Request {job} (**{idea}**)", job=job.id, idea=plain(job.idea or job.input_name, NAME_LENGTH))


def sizes(job: Job) -> str:
    """Width and height of a job's pictures; empty as long as there are none."""
    return commas(dict.fromkeys(f"{image.width}x{image.height}" for image in job.images))


def seconds(job: Job) -> str:
    """How long a job took."""
    if job.seconds and job.seconds >= LEAST_SECONDS:
        return _("{seconds} s", seconds=decimal(job.seconds, 1))
    return _("under {seconds} s", seconds=decimal(LEAST_SECONDS, 1))


def plain(text: str, most: int) -> str:
    """A member's words on one line with Discord's formatting escaped, within so many characters."""
    text = cut(" ".join(_TURNS_TEXT_AROUND.sub("", text).split()), most)
    return cut(escape_mentions(escape_markdown(text, ignore_links=False)), most)


def _addition(job: Job) -> list[str]:
    """The language model's addition (or its whole text, if the idea does not begin it), or why it failed."""
    expansion = job.expanded
    if expansion is None:
        return []
    if not expansion.text.startswith(job.idea):
        said = [_("Painted as: {words}", words=_marked(job.idea, expansion.text))]
    else:
        added = f"*{plain(expansion.added, ADDED_LENGTH)}*"
        said = [_("Added: {words}", words=added)] if expansion.added.strip() else []
    note = [f"-# {plain(stored(expansion.note), IDEA_LENGTH)}"] if expansion.note else []
    return [*said, *note]


def _marked(idea: str, text: str) -> str:
    """A text with the words of the idea in bold and the others in italics."""
    shown, room = list[str](), ADDED_LENGTH
    for run, is_kept in runs(idea, text):
        mark = "**" if is_kept else "*"
        shown.append(f"{mark}{plain(run, room)}{mark}")
        room -= length(shown[-1]) + 1
        if room < LEAST_ROOM:
            break
    return " ".join(shown)


def _changes(job: Job) -> list[str]:
    """The newest prompts that its owner gave it while it was painted, with the steps after which they count."""
    if _is_unread(job):
        return []
    newest = [(step, f"*{plain(words, IDEA_LENGTH)}*") for step, words in job.generation.steering[-SHOWN_CHANGES:]]
    return [_("After step {step}: {words}", step=step, words=words) for step, words in newest]


def _notes(job: Job, styles: Styles, room: int) -> list[str]:
    """Notes about words without effect, one line for each kind, as far as they fit; Details shows all."""
    lines: list[str] = []
    for note in sentences(job, styles):
        line = f"-# {plain(note, NOTE_LENGTH)}"
        if len("\n".join((*lines, line))) < room:
            lines.append(line)
    return lines


def asked_by(job: Job) -> str:
    """Who asked, and of which request and picture it is made."""
    action, member = Action(job.action) if job.action and job.parent_id else None, f"<@{job.user_id}>"
    sentence = BY_PICTURE if action == Action.UPSCALE and job.parent_picture else BY[action]
    return _(sentence, job=job.parent_id, picture=job.parent_picture, member=member)


def _facts(job: Job, styles: Styles, *, says_ai: bool) -> str:
    facts = [] if job.is_of_file else _painted(job, styles)
    finish = job.generation.finish
    if job.kind == JobKind.FINISH and finish:
        adjusted = commas(_(ADJUSTED[name]) for name in finish.adjustments)
        made = _("adjusted: {names}", names=adjusted) if adjusted else _("upscaled to {sizes}", sizes=sizes(job))
        facts = [made, *facts]
    if animation := job.generation.animation:
        motion = PULSE if animation.is_pulse else MOTIONS[animation.swings]
        moves = _("{frames} frames, {motion}", frames=animation.frames, motion=_(motion))
        shown = _("{frames} frames, {rate} a second", frames=animation.frames, rate=animation.rate)
        facts = [shown if animation.is_video and not animation.swings else moves, *facts]
    if blended := sum(one.role == Role.BLEND for one in job.generation.references):
        facts = [_("blend of {number} pictures", number=blended), *facts]
    early = [_("stopped after step {step} of {steps}", step=job.steps, steps=job.generation.num_inference_steps)]
    is_early = job.steps < job.generation.num_inference_steps
    label = [_("generated by AI")] if says_ai else []
    return " · ".join((*facts, seconds(job), *(early if is_early else ()), *label))


def _painted(job: Job, styles: Styles) -> list[str]:
    """The seeds, the style and the model."""
    request = job.generation
    is_chosen = request.keep or request.refine or 0 < len(job.images) < request.count
    seeds = [image.seed for image in job.images] if is_chosen else job.generation.seeds
    if len(seeds) == 1:
        seed = _("seed {seed}", seed=seeds[0])
    elif is_chosen:
        seed = _("seeds {seeds}", seeds=commas(seeds))
    else:
        seed = _("seeds {first} to {last}", first=seeds[0], last=seeds[-1])
    style = [_("style {style}", style=plain(styles.title(job.style), CHOICE))] if job.style else []
    return [seed, *style, plain(job.generation.model, CHOICE)]


def _in_line(place: int) -> str:
    """Such as "3rd in line"; English has four endings, and other languages translate each form."""
    ending = 0 if place % 100 in (11, 12, 13) else place % 10
    forms = {1: N_("{place}st in line"), 2: N_("{place}nd in line"), 3: N_("{place}rd in line")}
    return _(forms.get(ending, N_("{place}th in line")), place=place)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return _("{seconds} s", seconds=decimal(max(1, seconds)))
    return _("{minutes} min", minutes=decimal(seconds / 60))
