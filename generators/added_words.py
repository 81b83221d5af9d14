"""What a text has that an earlier one has not, word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

CJK = r"[\u3005-\u3007\u3040-\u30FF\u3400-\u9FFF\uAC00-\uD7AF\uF900-\uFAFF\U00020000-\U0003FFFF]"
"""One character of Chinese, Japanese or Korean."""
WORD = re.compile(rf"{CJK}|(?:(?!{CJK})\S)+")
MARKS = " ,.;:!?\"'。，；：！？"


def added(start: str, text: str) -> str:
    """The words of ``text`` that are not in ``start``, in order."""
    if text.startswith(start):
        return text.removeprefix(start).strip(" ,;，；")
    before, after = WORD.findall(start), WORD.findall(text)
    kept = _common(before, after)
    runs = (" ".join(after[at] for at in run) for old, run in groupby(range(len(after)), kept.__contains__) if not old)
    joined = " … ".join(run.strip(" ,;，；") for run in runs)
    return re.sub(rf"(?<={CJK}) (?={CJK})", "", joined)


def runs(start: str, text: str) -> Iterator[tuple[str, bool]]:
    """``text`` in pieces, each with whether ``start`` has its words too; case and punctuation do not count."""
    words = list(WORD.finditer(text))
    before, after = ([_bare(word) for word in found] for found in (WORD.findall(start), WORD.findall(text)))
    kept = _common(before, after)
    for is_kept, run in groupby(range(len(words)), kept.__contains__):
        places = list(run)
        yield text[words[places[0]].start() : words[places[-1]].end()], is_kept


def _bare(word: str) -> str:
    return word.strip(MARKS).casefold()


def _common(before: list[str], after: list[str]) -> set[int]:
    """The places in ``after`` of a longest sequence of words that ``before`` has in the same order.

    The rows of the table of lengths are kept as bits (Hyyrö 2004, "Bit-parallel LCS-length computation revisited"):
    bit i of row j is 0 where the first i + 1 words of ``before`` have more in common with the first j of ``after`` than
    the first i have. So 1,500 characters against as many take milliseconds, whatever they are.
    """
    places: dict[str, int] = {}
    for at, word in enumerate(before):
        places[word] = places.get(word, 0) | 1 << at
    all_ones = (1 << len(before)) - 1
    rows = [all_ones]
    for word in after:
        met = rows[-1] & places.get(word, 0)
        rows.append((rows[-1] + met | rows[-1] - met) & all_ones)
    found: set[int] = set()
    old, new = len(before), len(after)
    while old and new:
        if rows[new] >> old - 1 & 1:
            old -= 1
        elif not rows[new - 1] >> old - 1 & 1:
            new -= 1
        else:
            old, new = old - 1, new - 1
            found.add(new)
    return found
