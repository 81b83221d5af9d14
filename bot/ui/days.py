"""Days as members type them."""

from __future__ import annotations

from datetime import UTC, datetime

from limner.bot.errors import BadOption
from limner.bot.translation import N_, _

DAY_SECONDS = 86_400
NO_DATE = N_("“{text}” is not a date; write it as year, month and day, such as 2026-11-30.")


def read_day(text: str) -> float:
    """The beginning of a day (UTC), in Unix seconds; raises BadOption."""
    try:
        return datetime.strptime(text.strip(), "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError) as error:
        raise BadOption(_(NO_DATE, text=text)) from error
