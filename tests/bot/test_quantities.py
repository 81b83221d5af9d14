"""Numbers, durations and dates in the reader's language."""

from __future__ import annotations

from datetime import datetime

from limner.bot.quantities import date_and_time, decimal, duration, rounded
from limner.bot.translation import english, speaking


def test_numbers_and_durations_are_written_as_the_reader_does() -> None:
    assert [decimal(12345.67, 1), decimal(3, 1), decimal(400_000), rounded(0.5), rounded(1.0)] == [
        *("12,345.7", "3.0", "400,000", "0.5", "1")
    ]
    assert [duration(1, "hour"), duration(24, "hour"), duration(7, "day")] == ["1 hour", "24 hours", "7 days"]
    with speaking("zh-CN"):
        time = duration(24, "hour")
        assert (time, english(time)) == ("24 小时", "24 hours")


def test_a_terminal_shows_dates_in_its_language_and_time_zone() -> None:
    moment = datetime(2026, 11, 30, 14, 45).astimezone().timestamp()
    assert " ".join(date_and_time(moment).split()) == "Nov 30, 2026 2:45 PM"
    with speaking("zh-CN"):
        assert date_and_time(moment) == "2026年11月30日 14:45"
