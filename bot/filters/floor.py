"""The floor: what is refused everywhere, which no setting, server or moderator lifts.

Sexual content with minors, and with a real person's name. It is found by words of two lists in one request, through
the same disguises as moderators' rules.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from itertools import chain, pairwise
from pathlib import Path

from limner.bot.filters.matcher import Matcher
from limner.bot.filters.rulebook import packs
from limner.bot.filters.rules import Rule
from limner.bot.filters.text.tables import is_word
from limner.bot.filters.verdicts import FLOOR, Refusal, Verdict, too_costly
from limner.bot.filters.work import TooCostly, Work
from limner.bot.translation import N_, _
from limner.generators.text_files import read_toml
from limner.generators.weights import without_weights

log = logging.getLogger(__name__)

FILE = Path(__file__).with_name("floor.toml")
A_CHARACTER = 200
"""Steps for each character of a text: more than for moderators' rules, because these are known, and what only looks
odd is not refused in a server without rules. Text of nothing but markup takes 140."""


class FloorSubject(StrEnum):
    """What a request is refused for, wherever it comes from."""

    MINORS = "minors"
    PERSONS = "persons"


class _List(StrEnum):
    """The lists of the file, and the packs' sentences, which need no second word."""

    MINORS = "minors"
    SEXUAL = "sexual"
    CLOTHES = "clothes"
    PERSONS = "persons"
    SENTENCES = "sentences"


SENTENCES = {
    FloorSubject.MINORS: N_(
        "The {field} asks for sexual content with minors (code {code}). That is refused everywhere; no setting and no "
        "moderator allows it."
    ),
    FloorSubject.PERSONS: N_(
        "The {field} asks for sexual content with a real person (code {code}). That is refused everywhere; no setting "
        "and no moderator allows it."
    ),
}


@dataclass(frozen=True)
class FloorFound:
    """What the floor finds in a request: the subject and field for which it is refused; and whether it names minors."""

    subject: FloorSubject | None = None
    field: str = ""
    has_minors: bool = False


_NUMBER = r"(^|[^0-9])(1[0-7]|[1-9])"
_WORD = r"\b(six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen)"
_AGES = (
    rf"{_NUMBER}[ -]?(years?|yrs?)[ -]?olds?\b",
    rf"{_NUMBER} ?y[./]?o([^a-z]|$)",
    r"\baged? (1[0-7]|[1-9])\b",
    rf"{_WORD}[ -]years?[ -]olds?\b",
    rf"\baged? {_WORD}\b",
    rf"{_NUMBER}[ -]?(jährige|jahre alt\b|летн)",
    rf"{_NUMBER} (ans|años|anos|лет|года)\b",
    rf"{_NUMBER} ?(岁|歳|才)",
    r"(^|[^一二三四五六七八九十百])(十[一二三四五六七]?|[一二三四五六七八九])(岁|歳|才)",
)
"""Ages below 18, as regexes."""
_NAMED = re.compile(r"[^\W\d_][\w'’-]*")
_JOINED = re.compile(r"_|(?<=[a-z])-(?=[a-z])")
"""What stands between the names in a tag or in the name of a file."""
_ARTISTS = ("by", "after", "style of", "manner of", "stil von", "style de", "estilo de", "в стиле", "à la")
"""What precedes an artist's name, which is no person in the picture."""


class Floor:
    """Finds what is refused everywhere; one for all servers."""

    def __init__(self) -> None:
        lists: dict[str, dict[str, list[str]]] = read_toml(FILE)
        names = lists.pop("names")
        self._given, self._surnames = frozenset(names["given"]), frozenset(names["surnames"])
        allowed = [Rule("0", term) for term in chain.from_iterable(lists.pop("harmless").values())]
        rules = [Rule(name, term) for name, terms in lists.items() for term in dict.fromkeys(chain(*terms.values()))]
        for pack in packs.every().values():
            if pack.name.startswith("minors-"):
                rules += [Rule(_List.SENTENCES, term) for term in pack.terms]
            elif pack.name.startswith("sexual-"):
                rules += [Rule(_List.SEXUAL, term) for term in pack.terms]
        rules += [Rule(_List.MINORS, age, is_regex=True) for age in _AGES]
        self._matcher = Matcher(rules, allowed)

    def find(self, texts: Mapping[str, str], negative: str, work: Work, *, paints_negative: bool = False) -> FloorFound:
        """What is found in the texts of a request by field, of which ``negative`` is the negative prompt.

        Words count together across fields. A negative prompt that wants no clothes counts as naked; otherwise it
        counts only where it becomes a part of the prompt. Raises TooCostly like a matcher.
        """
        fields = dict[str, str]()
        for name, text in texts.items():
            for found in self._lists(text, work):
                if name != negative or paints_negative:
                    fields.setdefault(found, name)
                elif found == _List.CLOTHES:
                    fields.setdefault(_List.SEXUAL, name)
        if _List.SEXUAL in fields and any(any(self._people(text)) for name, text in texts.items() if name != negative):
            fields.setdefault(_List.PERSONS, fields[_List.SEXUAL])
        has_minors = _List.MINORS in fields
        if _List.SENTENCES in fields:
            return FloorFound(FloorSubject.MINORS, fields[_List.SENTENCES], has_minors=True)
        for subject, other in ((FloorSubject.MINORS, _List.MINORS), (FloorSubject.PERSONS, _List.PERSONS)):
            if _List.SEXUAL in fields and other in fields:
                return FloorFound(subject, fields[_List.SEXUAL], has_minors)
        return FloorFound(has_minors=has_minors)

    def _lists(self, text: str, work: Work) -> Iterator[str]:
        """The lists of which a word is in a text."""
        for one in _readings(text):
            for match in self._matcher.matches(one, work=work) if one else ():
                yield match.rule.id

    def _people(self, text: str) -> Iterator[str]:
        """Names of people: a known given name and a surname behind it, but not that of an artist."""
        for one in _readings(text):
            read = _JOINED.sub(" ", one)
            words = [(found[0], found.start()) for found in _NAMED.finditer(read)]
            for (given, start), (surname, _start) in pairwise(words):
                if self._is_person(given, surname) and not read[:start].casefold().rstrip().endswith(_ARTISTS):
                    yield f"{given} {surname}"

    def _is_person(self, given: str, surname: str) -> bool:
        if given.casefold() not in self._given or len(surname) < 3:
            return False
        if surname.casefold() in self._surnames:
            return True
        return surname[0].isupper() if given[0].isupper() else not is_word(surname.casefold())


def _readings(text: str) -> Iterable[str]:
    """A text as it is written, and as it is read without weights."""
    return dict.fromkeys((text, without_weights(text)))


def with_floor(verdict: Verdict, texts: Mapping[str, str], negative: str, *, paints_negative: bool = False) -> Verdict:
    """The verdict of the rules, or the floor's refusal, which counts more.

    What rules put in the place of words is read as well as the words themselves.
    """
    replaced = {name: text for name, text in verdict.texts.items() if text != texts[name]}
    read = {name: f"{text}\n{replaced[name]}" if name in replaced else text for name, text in texts.items()}
    work = Work.of(read.values(), a_character=A_CHARACTER, is_beside_loop=True)
    try:
        found = floor().find(read, negative, work, paints_negative=paints_negative)
    except TooCostly as error:
        refusal = too_costly(next(iter(texts)), error)
        return replace(verdict, texts=texts, refusal=verdict.refusal or refusal)
    if found.subject is None:
        return replace(verdict, has_minors=found.has_minors)
    log.warning("floor_hit subject=%s field=%s", found.subject, found.field.split()[0])
    code = f"{FLOOR}-{found.subject}"
    sentence = _(SENTENCES[found.subject], field=_(found.field), code=code)
    return Verdict(texts, refusal=Refusal(code, sentence, "", found.field), has_minors=found.has_minors)


@cache
def floor() -> Floor:
    """The floor; made once in a process, which takes a moment."""
    return Floor()
