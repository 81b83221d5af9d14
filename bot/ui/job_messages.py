"""What a request's message in the channel says, from "queued" to the pictures."""

from __future__ import annotations

import re

from discord.utils import escape_markdown, escape_mentions

from limner.bot.limits import CHOICE, CONTENT, cut, length
from limner.bot.notes import sentences
from limner.bot.queue.jobs import Position
from limner.bot.reasons import EndCode, HoldReason
from limner.bot.storage.models import Job, JobKind, JobStatus

IDEA_LENGTH = 240
DESCRIPTION_LENGTH = 600
ADDED_LENGTH = 400
REASON_LENGTH = 600
"""Characters shown of an idea, of what was added to it, of a reason; together they fit into Discord's 2000."""
NAME_LENGTH = 60
NOTE_LENGTH = 240
ROOM = CONTENT - 300
"""Characters of a message with its notes: delivery adds a mention, and a sentence where something is missing."""
LEAST_SECONDS = 0.1

CHOOSE = "-# Keep paints it, Edit lets you change it, Raw paints your own words. Nothing is painted before you choose."
ANSWERED_ELSEWHERE = "Another process of this bot had answered already."
NOBODY_CHOSE = "Its preview was deleted, so nothing was painted."
UNREAD = "A request that a moderator has yet to read."
REFUSED = "This request was refused by the filter. Its owner can read more under Details."
REJECTED = "The pictures of this request are not posted. Its owner can read more under Details."
NOT_SEEN = "It is done; the pictures are posted here as soon as they have been looked at."
UNDECIDED = "It is done; the pictures wait until a moderator has looked at them."
TOO_LARGE = "The pictures are too large to post here, even as small JPEGs; their owner finds them with /history."
HELD_BACK_DAYS = 7
"""How long an answer is tried again that its channel refuses; Discord archives a quiet thread after 7 days at most."""
CHANNEL_GONE = "the channel is gone."
THREAD_CLOSED = f"the thread is archived. I post it there when it is open again within {HELD_BACK_DAYS} days."
NOT_PERMITTED = f"I lack a permission there ({{missing}}). I post it when I have it within {HELD_BACK_DAYS} days."
NO_MEMBER = "I am no member of that server, so I could write there for 15 minutes only."
NOT_TAKEN = "Discord does not take this answer (error {code}); its owner can read it under Details."
NOT_TAKEN_AT_ALL = "Discord does not take this answer (error {code})."
NO_ATTACHING = (
    "The pictures are painted, but I may not post them here: I need the permission Attach Files in this channel, and "
    f"post them when I have it within {HELD_BACK_DAYS} days. Until then their owner finds them with /history."
)
PREVIEW = "A first, rough look at the picture that is being painted."
FILES_GONE = "The picture files are gone from the bot's disk; Reroll paints the request again."

_TURNS_TEXT_AROUND = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def queued(job: Job, position: Position | None) -> str:
    """Accepted, and where it stands; nothing about a place or a time that is not known."""
    place = standing(position) if position else "/queue tells your place"
    return f"{_idea(job)}\n-# queued · {place}"


def standing(position: Position) -> str:
    """A place in the queue in plain words."""
    place = "next in line" if position.ahead == 0 else f"{_ordinal(position.ahead + 1)} in line"
    return place if position.seconds is None else f"{place} · about {_duration(position.seconds)}"


def painting(job: Job) -> str:
    """A running job and how far it is."""
    if job.kind != JobKind.PAINT:
        return f"{_idea(job)}\n-# {'looking at it' if job.kind == JobKind.DESCRIBE else 'finishing the pictures'}"
    if job.step == 0:
        waits_for_words = job.prompt is None and job.expand != "off"
        return f"{_idea(job)}\n-# {'describing the picture' if waits_for_words else 'starting to paint'}"
    done = round(10 * job.step / job.steps)
    return f"{_idea(job)}\n-# painting {'▰' * done}{'▱' * (10 - done)} step {job.step} of {job.steps}"


def quarantined(job: Job) -> str:
    """Painted, and not to be seen yet; who waits reads for whom."""
    return f"{_idea(job)}\n-# {NOT_SEEN if job.quarantine == HoldReason.UNSEEN else UNDECIDED}"


def held(job: Job) -> str:
    """An expansion that waits for its owner's choice."""
    return "\n".join((_idea(job), *([] if _is_unread(job) else _addition(job)), CHOOSE))


def ended(job: Job) -> str:
    """The last word on a job; a refusal repeats nothing of the request."""
    if job.status == JobStatus.REFUSED:
        return REJECTED if job.reason_code == EndCode.REVIEW else REFUSED
    if job.status == JobStatus.SUCCEEDED and job.kind == JobKind.DESCRIBE:
        said = plain(job.prompt or "", DESCRIPTION_LENGTH)
        return f"{_idea(job)}\n{f'||{said}||' if job.is_spoiler else said}"
    if job.status == JobStatus.SUCCEEDED:
        head, facts = [quoted(job.idea), *_addition(job)], f"-# {_facts(job)}"
        return "\n".join((*head, *_notes(job, ROOM - length("\n".join((*head, facts)))), facts))
    return f"{_idea(job)}\n{cut(job.reason or '', REASON_LENGTH)}"


def elsewhere(job: Job, why: str) -> str:
    """To a job's owner, who cannot read the answer where it was asked for."""
    place = f"I cannot post it in <#{job.channel_id}>: {why}"
    if job.status == JobStatus.SUCCEEDED:
        return f"Your request {job.id} is done; /history id:{job.id} shows it. {place}"
    return f"{cut(job.reason or '', REASON_LENGTH)}\n-# That is about your request {job.id}. {place}"


def quoted(idea: str) -> str:
    """An idea on one line, in bold, as its message repeats it."""
    return f"**{plain(idea, IDEA_LENGTH)}**"


def _idea(job: Job) -> str:
    """The idea as the request's message repeats it; of a picture to be described, its file's name."""
    return UNREAD if _is_unread(job) else quoted(job.idea or job.input_name)


def _is_unread(job: Job) -> bool:
    """Whether a moderator has yet to allow it: until then its words are shown to nobody else."""
    return job.quarantine not in (None, HoldReason.UNSEEN)


def named(job: Job) -> str:
    """A request at the beginning of a sentence, with its number and the beginning of its words if all may read them."""
    if _is_unread(job) or job.status == JobStatus.REFUSED:
        return f"Request {job.id}"
    return f"Request {job.id} (**{plain(job.idea or job.input_name, NAME_LENGTH)}**)"


def sizes(job: Job) -> str:
    """Width and height of a job's pictures; empty as long as there are none."""
    return ", ".join(dict.fromkeys(f"{image.width}x{image.height}" for image in job.images))


def seconds(job: Job) -> str:
    """How long a job took."""
    return f"{job.seconds:.1f} s" if job.seconds and job.seconds >= LEAST_SECONDS else f"under {LEAST_SECONDS} s"


def plain(text: str, most: int) -> str:
    """Somebody's words on one line, made harmless for Discord; at most so many characters with all that takes."""
    text = cut(" ".join(_TURNS_TEXT_AROUND.sub("", text).split()), most)
    return cut(escape_mentions(escape_markdown(text, ignore_links=False)), most)


def _addition(job: Job) -> list[str]:
    """What the language model added (or all it wrote, if the idea does not stand before it), and why if it failed."""
    expansion = job.expanded
    if expansion is None:
        return []
    shown = expansion.added if expansion.text.startswith(job.idea) else expansion.text
    added = [f"*{plain(shown, ADDED_LENGTH)}*"] if shown.strip() else []
    return added + ([f"-# {plain(expansion.note, IDEA_LENGTH)}"] if expansion.note else [])


def _notes(job: Job, room: int) -> list[str]:
    """What of a job's words did nothing, a line for each kind, as far as there is room; Details tells all."""
    lines: list[str] = []
    for note in sentences(job):
        line = f"-# {plain(note, NOTE_LENGTH)}"
        if len("\n".join((*lines, line))) < room:
            lines.append(line)
    return lines


def _facts(job: Job) -> str:
    seeds = [image.seed for image in job.images] if job.generation.keep else job.generation.seeds
    if len(seeds) == 1:
        seed = f"seed {seeds[0]}"
    elif job.generation.keep:
        seed = f"seeds {', '.join(map(str, seeds))}"
    else:
        seed = f"seeds {seeds[0]} to {seeds[-1]}"
    style = [f"style {plain(job.style, CHOICE)}"] if job.style else []
    upscaled = [f"upscaled to {sizes(job)} from request {job.parent_id}"] if job.kind == JobKind.FINISH else []
    return " · ".join((*upscaled, seed, *style, plain(job.generation.model, CHOICE), seconds(job)))


def _ordinal(number: int) -> str:
    endings = {} if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{endings.get(number % 10, 'th')}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"
