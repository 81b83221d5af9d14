"""Numbers, durations and dates as the reader's language writes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from babel.dates import format_date, format_time
from babel.numbers import format_decimal
from babel.units import format_unit

from limner.bot.translation import ENGLISH, Sentence, current


def decimal(value: float, places: int = 0) -> Sentence:
    """A number with that many digits after its point, and its thousands in groups."""
    pattern = f"#,##0.{'0' * places}" if places else "#,##0"
    return _written(lambda language: format_decimal(value, pattern, locale=language))


def rounded(value: float) -> Sentence:
    """A number with at most three digits after its point, such as 0.5 or 1."""
    return _written(lambda language: format_decimal(value, "#,##0.###", locale=language))


def duration(number: int, unit: Literal["minute", "hour", "day"]) -> Sentence:
    """A number of minutes, hours or days, such as "24 hours", in each language with a space after the number."""
    return _written(lambda language: _spaced(format_unit(number, f"duration-{unit}", "long", locale=language)))


def date_and_time(moment: float) -> str:
    """A moment in seconds since 1970 as a terminal shows it, in this machine's time zone; Discord shows its own."""
    local = datetime.fromtimestamp(moment).astimezone()
    return f"{format_date(local, 'medium', current())} {format_time(local, 'short', locale=current())}"


def _spaced(text: str) -> str:
    return re.sub(r"(?<=\d)(?=\w)(?!\d)", " ", text)


def _written(write: Callable[[str], str]) -> Sentence:
    """The same in the current language, and in English for rows."""
    text = Sentence(write(current()))
    text.english = write(ENGLISH)
    return text
