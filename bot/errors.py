"""User-facing errors; the message (or the class docstring) is shown as it is."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import ClassVar

from limner.bot.translation import _, commas


class UserError(Exception):
    """That did not work; try again in a moment."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or _(str(type(self).__doc__)))


class BadPrompt(UserError):
    """The prompt cannot be read; write what you want to see in plain words."""

    code = "prompt"


class BadOption(UserError):
    """An option is outside what this bot can paint; choose another value."""

    code = "option"


class UnknownModel(UserError):
    """That model is not offered here; choose one that is."""

    code = "model"


class UnknownStyle(UserError):
    """That style is not known; choose one that is."""

    code = "style"


class BadPicture(UserError):
    """That picture cannot be used; choose a PNG, JPEG, WebP, GIF or BMP file."""

    code = "picture"


class NotClassified(UserError):
    """A picture could not be looked at just now; ask again in a few minutes."""

    code = "unclassified"


class BadRule(UserError):
    """That cannot be a rule; write a word or a phrase."""

    code = "rule"


class Refused(UserError):
    """This request uses words that are not allowed here; change them and ask again."""

    code = "filter"

    def __init__(self, message: str | None = None, job_id: int | None = None) -> None:
        super().__init__(message)
        #: The row of the refused request, which its owner may appeal.
        self.job_id = job_id


class Suspended(UserError):
    """You may not paint in this server at the moment; /me shows your strikes and when it ends."""

    code = "suspended"

    @classmethod
    def until(cls, end: float) -> Suspended:
        """The error with the end of the suspension (Unix time), in Discord's time format."""
        text = _(
            "You may not paint in this server until <t:{end}:f> (<t:{end}:R>); /me shows your strikes.", end=round(end)
        )
        return cls(text)


class NotAllowed(UserError):
    """This server does not allow that here, or not for you."""

    code = "access"


class RulesNotAccepted(UserError):
    """This server asks you to accept its rules before you ask for pictures."""

    code = "house-rules"

    def __init__(self, message: str, digest: str) -> None:
        super().__init__(message)
        #: Of the text that is shown.
        self.digest = digest
        #: The row of the request that goes on once they are accepted; 0: none is kept.
        self.pending = 0


class QuotaUsed(UserError):
    """You have used what this server allows you; ask again later."""

    code = "quota"


class Decided(UserError):
    """Somebody has decided that already."""

    code = "decided"


class ClickedTwice(UserError):
    """That is on its way already; press again if you want another one."""

    code = "twice"


class QueueFull(UserError):
    """Too many pictures are waiting; ask again when one of them is done."""

    code = "limit"


class NotYours(UserError):
    """Only the person who asked for this picture can do that."""

    code = "owner"


class NotModerator(UserError):
    """Only members with Manage Server, or with a moderators' role that /filter settings names, can do that."""

    code = "moderator"


class NotFound(UserError):
    """That request is not there any more."""

    code = "missing"


class FilesGone(UserError):
    """The picture's file is gone from the bot's disk; Reroll paints the request again."""

    code = "files"


class CannotDescribe(UserError):
    """This bot cannot describe pictures; the settings `image_text_model` and `captioner` can name a model for it."""

    code = "describe"


class CannotPost(UserError):
    """I may not post pictures in this channel; ask a moderator to give me the permissions that it needs."""

    code = "permission"

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(
            _(
                "I may not post pictures in this channel, so nothing is painted: I lack a permission ({names}).",
                names=commas(missing),
            )
        )


class DatabaseBusy(UserError):
    """The database is busy, so nothing was changed; try again in a moment."""

    code = "busy"


class StorageFailed(UserError):
    """Nothing can be stored at the moment; ask again later."""

    code = "storage"

    def __init__(self, message: str | None = None, needed: int = 0) -> None:
        super().__init__(message)
        #: Bytes that could not be written.
        self.needed = needed

    @classmethod
    def of(cls, error: OSError, needed: int = 0) -> StorageFailed:
        """The error for an OSError: a full disk or quota, or missing write permission."""
        is_full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None), errno.EFBIG)
        return (StorageFull if is_full else StorageReadOnly)(needed=needed)


class StorageFull(StorageFailed):
    """The disk is full; free some space in the data folder, then ask again."""

    code = "disk"


class StorageReadOnly(StorageFailed):
    """The bot's files cannot be written, so nothing can be stored; its operator finds why with `limner doctor`."""

    code = "readonly"


class WrongKey(UserError):
    """That is stored encrypted under a key that this bot does not have; its operator finds why with `limner doctor`."""

    code = "key"


class SetupError(UserError):
    """Limner cannot start; `limner doctor` says what is missing."""

    code = "setup"
