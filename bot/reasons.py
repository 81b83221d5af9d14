"""Codes that rows keep: statuses, why pictures are held back, what is decided, and why a request ended."""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    """The status of a job; the last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"


OPEN = (JobStatus.QUEUED, JobStatus.RUNNING)
FINAL = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.REFUSED)


class JobKind(StrEnum):
    """What a worker does for a job (`Job.kind`)."""

    PAINT = "paint"
    #: Put the input picture into words.
    DESCRIBE = "describe"
    #: Upscale or adjust the parent job's pictures, or a member's file.
    FINISH = "finish"
    #: Paint one of the parent job's pictures again, and show which words drew what.
    EXPLAIN = "explain"


PAINTING = (JobKind.PAINT, JobKind.EXPLAIN)
"""The kinds that the executor paints for."""
ABOUT_PICTURES = (JobKind.DESCRIBE, JobKind.EXPLAIN)
"""The kinds whose results say something about a picture: no list of pictures has them, and nothing is made of them."""


class Action(StrEnum):
    """What made a job of its parent (`Job.action`)."""

    REROLL = "reroll"
    REMIX = "remix"
    RAW = "raw"
    REPEAT = "repeat"
    RESTYLE = "restyle"
    UPSCALE = "upscale"
    #: From other words, with one of its pictures as a reference.
    REFER = "refer"
    #: A description of one of its pictures, and a painting from such a description.
    DESCRIBE = "describe"
    DESCRIBED = "described"
    ENHANCE = "enhance"
    VARY_SUBTLE = "vary_subtle"
    VARY_STRONG = "vary_strong"
    ZOOM_OUT = "zoom_out"
    PAN_LEFT = "pan_left"
    PAN_RIGHT = "pan_right"
    PAN_UP = "pan_up"
    PAN_DOWN = "pan_down"
    START = "start"
    EDIT = "edit"
    #: As the member's words say, by a model that changes pictures so.
    INSTRUCT = "instruct"
    ADJUST = "adjust"
    EXPLAIN = "explain"
    #: A walk through several pictures, of which this is the first, or a pulse.
    ANIMATE = "animate"


class HoldReason(StrEnum):
    """Why a job's pictures are in quarantine (`Job.quarantine`)."""

    #: The safety classifier has not scored the pictures yet.
    UNSEEN = "unseen"
    #: A picture is over the explicit limit of its channel.
    EXPLICIT = "explicit"
    #: A picture resembles a blocked one.
    BLOCKED = "blocked"
    #: A rule with the action `flag` matched the request: a moderator decides before the pictures are posted.
    FLAGGED = "flagged"
    #: The request repeats a refused one with the forbidden words respelled.
    EVASION = "evasion"
    #: Members reported the posted pictures; `Job.quarantine` never has it.
    REPORTED = "reported"


HAS_MINORS = "minors"
"""The note of a job whose texts name minors: its pictures have a stricter limit (`bot.moderation.image_policy`)."""
POLICIES_FOUND = "policies"
"""The note of a job with what the text classifier found in it (`bot.filters.verdicts.Finding`), for review cards."""


class ImageVerdict(StrEnum):
    """What is decided about one picture (`Image.verdict`)."""

    EXPLICIT = "explicit"
    BLOCKED = "blocked"
    #: A moderator has allowed the picture in spite of the limits.
    APPROVED = "approved"


class EndCode(StrEnum):
    """Why a job ended without its pictures (`Job.reason_code`), beside the codes of errors and worker faults.

    The first three stand before a colon and what they are about: ``filter:idea``, ``cost:style``, ``picture:explicit``.
    """

    #: A filter rule blocks one of the texts.
    FILTER = "filter"
    #: Checking one of the texts takes more steps than a check may.
    COST = "cost"
    #: A picture is too explicit or blocked.
    PICTURE = "picture"
    #: A moderator has rejected the pictures.
    REVIEW = "review"
    CANCELLED = "cancelled"
    #: The owner did not choose a prompt in time.
    EXPIRED = "expired"

    def about(self, subject: str) -> str:
        """The whole code, such as ``filter:idea``."""
        return f"{self}:{subject}"

    @property
    def prefix(self) -> str:
        """What every code of this kind starts with, such as ``filter:``."""
        return self.about("")


class ReviewState(StrEnum):
    """The status of a review; all but the first are final."""

    OPEN = "open"
    APPROVED = "approved"
    #: Approved, and the channel is exempted from the rule.
    IGNORED = "ignored"
    REJECTED = "rejected"
    #: Rejected, with a strike.
    STRUCK = "struck"
    #: Not decided in time; counts as rejected.
    EXPIRED = "expired"
    #: Written by old versions when the owner deleted the request.
    WITHDRAWN = "withdrawn"


STALE = "stale"
"""`Review.shown` of a card whose decision is carried out and whose request was deleted since."""


class TimeOut(StrEnum):
    """The status of Discord's own time-out for a suspended member."""

    NONE = "none"
    WANTED = "wanted"
    SET = "set"
    REFUSED = "refused"
    ENDED = "ended"
