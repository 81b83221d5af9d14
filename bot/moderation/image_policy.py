"""Image policy: which pictures a channel may show, by its age restriction and its server's current settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from limner.bot.guild_settings import Guilds, GuildSettings
from limner.bot.moderation.blocked_images import BlockedPictures
from limner.bot.moderation.quarantine import Quarantine
from limner.bot.place import Where
from limner.bot.reasons import HAS_MINORS, EndCode, HoldReason, ImageVerdict
from limner.bot.settings import Settings
from limner.bot.storage.pictures.hash_table import Nearest
from limner.bot.storage.tables.models import Image, InputPicture, Job, PreviewRow
from limner.bot.storage.tables.picture_hashes import PictureHashes
from limner.bot.translation import N_, _

REASONS = {
    HoldReason.EXPLICIT: N_(
        "What was painted is too explicit for this channel, so it is not posted; ask for something else."
    ),
    HoldReason.BLOCKED: N_(
        "What was painted looks like a picture that is blocked here, so it is not posted; ask for something else."
    ),
}
MADE = N_(
    "What was made from the picture is too explicit, so it is not posted; for what is made from a picture the ordinary "
    "limit holds in every channel."
)
OF_INPUTS = {
    HoldReason.EXPLICIT: N_("The picture that you gave is too explicit to be used; choose another one."),
    HoldReason.BLOCKED: N_("The picture that you gave looks like one that is blocked here; choose another one."),
}
OF_OPERATOR = {
    HoldReason.EXPLICIT: N_(
        "It is made from a picture and too explicit for that, so it cannot be approved; you can reject it."
    ),
    HoldReason.BLOCKED: N_(
        "It looks like a picture that this bot's operator blocks, so it cannot be approved; you can reject it."
    ),
}

MINORS_LIMIT = 0.2
"""The explicit limit of pictures whose words name minors: where words and classifier disagree, a moderator decides."""


@dataclass(frozen=True)
class Objection:
    """Why a job's pictures may not be shown: the reason that counts most, and each picture's own by its row id."""

    code: HoldReason
    codes: Mapping[int, HoldReason] = field(default_factory=dict[int, HoldReason])


class ImagePolicy:
    """Compares classifier results with the limits of a place; pictures are not classified again for that."""

    def __init__(self, settings: Settings, guilds: Guilds, blocked: BlockedPictures, quarantine: Quarantine) -> None:
        self._settings = settings
        self._guilds = guilds
        self._blocked = blocked
        self._quarantine = quarantine

    async def objection(self, job: Job, where: Where) -> Objection | None:
        """Why a finished job's pictures may not be shown there now; None if they may."""
        if job.quarantine:
            return Objection(HoldReason(job.quarantine))
        codes: dict[int, HoldReason] = {}
        for image in job.images:
            is_approved = where.channel_id == job.channel_id and image.verdict == ImageVerdict.APPROVED
            code = await (self._against_approved(image, job) if is_approved else self.against(image, where, job))
            codes |= {image.id: code} if code else {}
        return _first(codes)

    async def beyond_approval(self, job: Job) -> Objection | None:
        """Objections that a server's approval cannot lift from a finished job's pictures; None if none is known."""
        found = {image.id: await self._against_approved(image, job) for image in job.images}
        lasting = (HoldReason.BLOCKED, HoldReason.EXPLICIT)
        return _first({number: code for number, code in found.items() if code and code in lasting})

    async def against(self, picture: Image | InputPicture | PreviewRow, where: Where, job: Job) -> HoldReason | None:
        """The objection to one of a job's pictures there; None if there is none.

        Input pictures and previews are a job's pictures too. An unclassified picture is always objected to.
        """
        if not self._is_seen(picture):
            return HoldReason.UNSEEN
        if await self._is_blocked(where.guild_id, picture):
            return HoldReason.BLOCKED
        limit = await self.limit(where, is_from_picture=job.generation.is_from_picture)
        if job.notes.get(HAS_MINORS):
            limit = min(limit, MINORS_LIMIT)
        return HoldReason.EXPLICIT if _is_over(picture, limit) else None

    async def _against_approved(self, image: Image, job: Job) -> HoldReason | None:
        """The operator's objections to a picture that a server's moderator has approved."""
        if not self._is_seen(image):
            return HoldReason.UNSEEN
        if await self._is_blocked(None, image):
            return HoldReason.BLOCKED
        has_ordinary = job.generation.is_from_picture or job.notes.get(HAS_MINORS)
        return HoldReason.EXPLICIT if has_ordinary and _is_over(image, self._settings.explicit_limit) else None

    async def _is_blocked(self, guild_id: int | None, picture: Image | InputPicture | PreviewRow) -> bool:
        return await self.blocked_by(guild_id, picture.hashes) is not None

    async def nearest_blocked(self, guild_id: int | None, pictures: Iterable[PictureHashes]) -> Nearest | None:
        """The blocked picture of a server or the operator that differs least from one of these; None without any."""
        return await self._blocked.nearest(guild_id, pictures, self._settings.block_distance)

    async def blocked_by(self, guild_id: int | None, pictures: Iterable[PictureHashes]) -> dict[str, int] | None:
        """The same as the row of a request that is refused for it keeps it; None if none counts as the same."""
        nearest = await self.nearest_blocked(guild_id, pictures)
        if nearest is None or not nearest.is_alike:
            return None
        return {"number": nearest.number, "bits": nearest.bits, "of": nearest.of}

    def _is_seen(self, picture: Image | InputPicture | PreviewRow) -> bool:
        return picture.phash is not None and (picture.score is not None or self._settings.safety_classifier == "off")

    async def limit(self, where: Where, *, is_from_picture: bool) -> float:
        """The explicit limit there: a server may be stricter than the operator, never laxer.

        A picture made from an uploaded one gets the ordinary limit everywhere, because its subject may be a real
        person.
        """
        server, own = await self._guilds.get(where.guild_id), self._settings
        ordinary = _strictest(own.explicit_limit, server.explicit_limit)
        if not where.is_age_restricted:
            return ordinary
        restricted = _strictest(own.explicit_limit_restricted, server.explicit_limit_restricted)
        return min(ordinary, restricted) if is_from_picture else restricted

    async def stop(self, job: Job, objection: Objection) -> None:
        """Hold a finished job's pictures for the classifier or a moderator, or refuse them for good."""
        server = await self._guilds.get(job.guild_id)
        if objection.code == HoldReason.UNSEEN:
            await self._quarantine.ask_for_a_look(job.id)
        elif await self._is_for_a_moderator(job, objection, server):
            await self._quarantine.hold(job.id, objection.code, _verdicts(objection))
        else:
            is_made = objection.code == HoldReason.EXPLICIT and job.generation.is_from_picture
            code, reason = EndCode.PICTURE.about(objection.code), _(MADE) if is_made else REASONS[objection.code]
            hashes = [one for image in job.images for one in image.hashes]
            blocked_by = await self.blocked_by(job.guild_id, hashes) if objection.code == HoldReason.BLOCKED else None
            await self._quarantine.refuse(job.id, code, reason, _verdicts(objection), blocked_by)

    async def _is_for_a_moderator(self, job: Job, objection: Objection, server: GuildSettings) -> bool:
        is_read = job.guild_id is not None and server.review_channel_id is not None
        return objection.code == HoldReason.EXPLICIT and is_read and not await self.beyond_approval(job)


def _first(codes: Mapping[int, HoldReason]) -> Objection | None:
    """The weightiest reason, with all of them."""
    weightiest = (HoldReason.UNSEEN, HoldReason.BLOCKED, HoldReason.EXPLICIT)
    code = next((code for code in weightiest if code in codes.values()), None)
    return Objection(code, codes) if code else None


def _verdicts(objection: Objection) -> dict[int, ImageVerdict]:
    return {image_id: ImageVerdict(code) for image_id, code in objection.codes.items()}


def _is_over(picture: Image | InputPicture | PreviewRow, limit: float) -> bool:
    return picture.score is not None and not picture.score <= limit


def _strictest(operator: float, server: float | None) -> float:
    return operator if server is None else min(operator, server)
