"""The gate: which painted pictures may be shown at a place, as its channel and its server's settings are now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.blocked import BlockedPictures
from bot.guilds import Guilds
from bot.models import APPROVED, BLOCKED, EXPLICIT, UNSEEN, Image, InputPicture, Job, Preview
from bot.quarantine import Quarantine
from bot.settings import Settings

REFUSED = "picture:"
"""How the reason code of a request begins that was refused for its pictures."""
REASONS = {
    EXPLICIT: "What was painted is too explicit for this channel, so it is not posted; ask for something else.",
    BLOCKED: "What was painted looks like a picture that is blocked here, so it is not posted; ask for something else.",
}
OF_INPUTS = {
    EXPLICIT: "The picture that you gave is too explicit for this channel; choose another one.",
    BLOCKED: "The picture that you gave looks like one that is blocked here; choose another one.",
}


@dataclass(frozen=True)
class Spot:
    """Where pictures are to be shown; outside servers ``guild_id`` is None, and nothing is age-restricted."""

    guild_id: int | None = None
    channel_id: int | None = None
    is_age_restricted: bool = False


@dataclass(frozen=True)
class Objection:
    """Why a job's pictures may not be shown: a code of the quarantine, and which pictures it is about."""

    code: str
    verdicts: Mapping[int, str] = field(default_factory=dict[int, str])


class Gate:
    """Compares what the eyes have seen with what is allowed at a spot; nobody looks a second time for that."""

    def __init__(self, settings: Settings, guilds: Guilds, blocked: BlockedPictures, quarantine: Quarantine) -> None:
        self._settings = settings
        self._guilds = guilds
        self._blocked = blocked
        self._quarantine = quarantine

    async def objection(self, job: Job, spot: Spot) -> Objection | None:
        """Why a painted job's pictures may not be shown there now; None if they may."""
        if job.quarantine:
            return Objection(job.quarantine)
        approved_here = spot.channel_id == job.channel_id
        judged = [image for image in job.images if not (approved_here and image.verdict == APPROVED)]
        codes = {image.id: code for image in judged if (code := await self.against(image, spot))}
        for code in (UNSEEN, BLOCKED, EXPLICIT):
            if code in codes.values():
                return Objection(code, codes)
        return None

    async def against(self, picture: Image | InputPicture | Preview, spot: Spot) -> str | None:
        """What there is against one picture at a spot; None if nothing is. What is not known counts against it."""
        is_judged = picture.score is not None or self._settings.eyes == "off"
        if picture.phash is None or not is_judged:
            return UNSEEN
        if await self._blocked.has_like(spot.guild_id, picture.phash, self._settings.block_distance):
            return BLOCKED
        if picture.score is not None and not picture.score <= await self.limit(spot):
            return EXPLICIT
        return None

    async def limit(self, spot: Spot) -> float:
        """How explicit a picture may be there: a server may be stricter than the operator, and never laxer."""
        server = await self._guilds.get(spot.guild_id)
        if spot.is_age_restricted:
            return _strictest(self._settings.explicit_limit_restricted, server.explicit_limit_restricted)
        return _strictest(self._settings.explicit_limit, server.explicit_limit)

    async def stop(self, job: Job, objection: Objection) -> None:
        """Keep a painted job from being posted: until somebody looks, until a moderator decides, or for good."""
        server = await self._guilds.get(job.guild_id)
        if objection.code == UNSEEN:
            await self._quarantine.ask_for_a_look(job.id)
        elif objection.code == EXPLICIT and job.guild_id and server.review_channel_id:
            await self._quarantine.hold(job.id, objection.code, objection.verdicts)
        else:
            code, reason = f"{REFUSED}{objection.code}", REASONS[objection.code]
            await self._quarantine.refuse(job.id, code, reason, objection.verdicts)


def _strictest(operator: float, server: float | None) -> float:
    return operator if server is None else min(operator, server)
