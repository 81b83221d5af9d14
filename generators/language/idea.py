"""An idea, its reading in English, and the expansions that keep its words."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Self

from limner.generators.added_words import added
from limner.generators.base import Expansion
from limner.generators.language.glossary import language, translate
from limner.generators.language.guard import check
from limner.generators.sentences import sentence

AS_IT_IS = sentence("The language model {reason}, so your idea was used as it is.")
WORD_BY_WORD = sentence("The language model {reason}, so your idea was only read in English, word by word.")


@dataclass(frozen=True)
class Idea:
    """A member's idea, and the beginning of its description.

    ``start`` is the idea on one line, or its translation if the image model reads English only and the glossary knows a
    word of it; ``reading`` is that translation, for any image model.
    """

    text: str
    start: str
    reading: str | None
    locale: str
    english_only: bool
    began: float

    @classmethod
    def read(cls, idea: str, locale: str, english_only: bool) -> Self:
        """Look the idea up in the glossary; starts the expansion's clock."""
        text = one_line(idea)
        reading = translate(text, locale)
        start = reading if english_only and reading else text
        return cls(text, start, reading, locale, english_only, time.monotonic())

    def as_it_is(self, model: str, reason: str = "") -> Expansion:
        """The idea without an expansion, and the sentence that says why."""
        text = AS_IT_IS if self.start == self.text else WORD_BY_WORD
        note = text.format(reason=reason) if reason else ""
        return self.expansion(self.start, model, note)

    def checked(self, text: str, model: str) -> Expansion:
        """The text if it keeps the idea's words, otherwise the idea."""
        reason = check(self.text, text, self.locale).reason
        return self.as_it_is(model, reason) if reason else self.expansion(text, model)

    def expansion(self, text: str, model: str, note: str = "") -> Expansion:
        """The text with its added and kept words."""
        kept = check(self.text, text, self.locale).kept
        return Expansion(text, added(self.start, text), kept, model, time.monotonic() - self.began, note)


def one_line(text: str) -> str:
    """The text without line breaks, control characters and direction marks."""
    spaced = re.sub(r"[\s\u2028\u2029]+", " ", text)
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "", spaced).strip()


def ascii_only(read: Idea) -> str:
    """The English words of an idea for the small English model; empty if there are none."""
    english = read.reading or (read.text if language(read.text, read.locale) == "en" else "")
    seen = re.sub(r"\s+", " ", re.sub(r"[^\x00-\u024F]", "", english)).strip(" ,.;:\"'")
    return seen if re.search("[A-Za-z]", seen) else ""
