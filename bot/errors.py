"""What can go wrong for a person: the text of each error is what its reader reads."""

from __future__ import annotations

from typing import ClassVar


class UserError(Exception):
    """That did not work; try again in a moment."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class BadPrompt(UserError):
    """The prompt cannot be read; write what you want to see in plain words."""

    code = "prompt"


class BadOption(UserError):
    """An option is outside what this bot can paint; choose another value."""

    code = "option"


class UnknownModel(UserError):
    """That model is not offered here; pick one from the list that appears while you type."""

    code = "model"


class UnknownStyle(UserError):
    """That style is not known; pick one from the list that appears while you type."""

    code = "style"


class BadRule(UserError):
    """That cannot be a rule; write a word or a phrase."""

    code = "rule"


class Refused(UserError):
    """This request uses words that are not allowed here; change them and ask again."""

    code = "filter"


class QueueFull(UserError):
    """Too many pictures are waiting; ask again when one of them is done."""

    code = "limit"


class NotYours(UserError):
    """Only the person who asked for this picture can do that."""

    code = "owner"


class NotFound(UserError):
    """That request is not there any more."""

    code = "missing"


class DatabaseBusy(UserError):
    """The database is busy, so nothing was changed; try again in a moment."""

    code = "busy"


class StorageFull(UserError):
    """The disk is full; free some space in the data folder, then ask again."""

    code = "disk"


class SetupError(UserError):
    """Limner cannot start; `limner doctor` tells what is missing."""

    code = "setup"
