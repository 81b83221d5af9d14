"""Translated sentences: English in the code, other languages in `bot/locale/`."""

from __future__ import annotations

import functools
import gettext
import io
import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog

FOLDER = Path(__file__).with_name("locale")
ENGLISH = "en"
LEAST_LITERAL = 12
"""Characters outside placeholders that a stored sentence needs to be recognised."""
LONGEST = 2000
"""Longest stored sentence that is translated."""
_PARTS = re.compile(r"\{\{|\}\}|\{(?P<name>[a-z_]\w*)(?:![rsa])?(?::[^{}]*)?\}")
"""Placeholders, and braces that stand for themselves."""

_current: ContextVar[str] = ContextVar("language", default=ENGLISH)


class Sentence(str):
    """A sentence in the language that was current when it was made."""

    english: str
    """The same in English, which is what rows keep."""

    def __str__(self) -> str:
        """Itself, so that an error's text does not forget its English."""
        return self


@dataclass(frozen=True)
class _Pattern:
    text: str
    prefix: str
    regex: Any


@dataclass(frozen=True)
class _Catalogue:
    messages: gettext.NullTranslations
    patterns: tuple[_Pattern, ...] = ()
    """The sentences with placeholders, those with most words of their own first."""


def _(text: str, /, **values: Any) -> str:
    """An English sentence in the current language, with the values of its placeholders filled in."""
    return _filled(_catalogue(_current.get()).messages.gettext(text), text, values)


def ngettext(one: str, many: str, number: int, /, **values: Any) -> str:
    """The same for a number of things; ``{number}`` stands for it in either form."""
    translated = _catalogue(_current.get()).messages.ngettext(one, many, number)
    return _filled(translated, one if number == 1 else many, {"number": number, **values})


def pgettext(context: str, text: str) -> str:
    """A word in the current language, where one English word has several meanings."""
    return _catalogue(_current.get()).messages.pgettext(context, text)


def N_(text: str) -> str:
    """Mark a sentence for the catalogues that is translated where it is shown; returns it as it is."""
    return text


def english(text: str) -> str:
    """What a row keeps of a sentence."""
    return text.english if isinstance(text, Sentence) else text


def stored(text: str) -> str:
    """A sentence that a row or another process kept in English, in the current language; any other text as it is."""
    if isinstance(text, Sentence) or not 0 < len(text) <= LONGEST or _current.get() == ENGLISH:
        return text
    catalogue = _catalogue(_current.get())
    if (translated := catalogue.messages.gettext(text)) != text:
        return translated
    for pattern in catalogue.patterns:
        if text.startswith(pattern.prefix) and (match := pattern.regex.fullmatch(text)):
            values = {name: stored(value) for name, value in match.groupdict().items()}
            return _bare(catalogue.messages.gettext(pattern.text)).format(**values)
    return text


def listed(items: Iterable[str]) -> str:
    """Some names in a row: "a, b and c"."""
    *first, last = items
    return _("{first} and {last}", first=commas(first), last=last) if first else last


def commas(items: Iterable[object]) -> str:
    """Some names in a row: "a, b, c"."""
    return _(", ").join(map(str, items))


def semicolons(items: Iterable[str]) -> str:
    """Some phrases in a row: "a; b; c"."""
    return _("; ").join(items)


def in_a_row(sentences: Iterable[str]) -> str:
    """Some sentences one after the other, with a space between them where the language has one."""
    return functools.reduce(lambda first, second: _("{first} {second}", first=first, second=second), sentences)


@contextmanager
def speaking(locale: str) -> Generator[None]:
    """Make sentences in the language of a locale, as far as there is a catalogue of it."""
    token = _current.set(nearest(locale))
    try:
        yield
    finally:
        _current.reset(token)


def speak(locale: str) -> None:
    """The same from now on, for the task that says so."""
    _current.set(nearest(locale))


def current() -> str:
    """The language of the task that asks."""
    return _current.get()


@functools.lru_cache(maxsize=256)
def nearest(*locales: str) -> str:
    """The language on hand that fits best to locales in order of preference, such as zh-CN or zh_CN.UTF-8."""
    from babel.core import negotiate_locale  # loaded when used: processes that only open a picture need no Babel

    wanted = [re.split(r"[.@]", locale)[0].replace("-", "_") for locale in locales]
    return negotiate_locale(wanted, languages()) or ENGLISH


@functools.cache
def languages() -> tuple[str, ...]:
    """English, and every language that has a catalogue."""
    return ENGLISH, *sorted(path.parts[-3] for path in FOLDER.glob("*/LC_MESSAGES/limner.po"))


def own_name(language: str) -> str:
    """What a language is called in itself."""
    from babel.core import Locale

    return str(Locale.parse(language).get_language_name(language)).capitalize()


def of_terminal(environment: Mapping[str, str]) -> str:
    """The language that a terminal asks for, as gettext reads its environment."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    locale = next((environment[name] for name in names if environment.get(name)), "C")
    preferred = environment.get("LANGUAGE", "").split(":") if locale.split(".")[0] not in ("C", "POSIX") else []
    return nearest(*filter(None, preferred), locale)


def read_catalogue(language: str) -> Catalog:
    """The catalogue of a language as it stands in its file."""
    from babel.messages.pofile import read_po

    with (FOLDER / language / "LC_MESSAGES" / "limner.po").open("rb") as file:
        return read_po(file, locale=language)


@functools.cache
def _catalogue(language: str) -> _Catalogue:
    if language == ENGLISH:
        return _Catalogue(gettext.NullTranslations())
    from babel.messages.mofile import write_mo

    catalogue, compiled = read_catalogue(language), io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    texts = [message.id for message in catalogue if isinstance(message.id, str) and placeholders(message.id)]
    patterns = [_pattern(text) for text in sorted(texts, key=lambda text: -len("".join(_literal(text))))]
    return _Catalogue(gettext.GNUTranslations(compiled), tuple(filter(None, patterns)))


def _filled(translated: str, text: str, values: Mapping[str, Any]) -> Sentence:
    sentence = Sentence(translated.format(**values) if values else translated)
    in_english = {name: english(value) if isinstance(value, str) else value for name, value in values.items()}
    sentence.english = text.format(**in_english) if values else text
    return sentence


def placeholders(text: str) -> list[str]:
    """The names that are filled into a sentence, in its order."""
    return [match["name"] for match in _PARTS.finditer(text) if match["name"]]


def _pattern(text: str) -> _Pattern | None:
    """How a sentence with values in its placeholders is recognised; None if it has too few words of its own."""
    import re2

    engine: Any = re2
    literal = _literal(text)
    if len("".join(literal)) < LEAST_LITERAL:
        return None
    parts, known = [engine.escape(literal[0])], set[str]()
    for name, after in zip(placeholders(text), literal[1:], strict=True):
        parts += [".+?" if name in known else f"(?P<{name}>.+?)", engine.escape(after)]
        known.add(name)
    return _Pattern(text, literal[0], engine.compile("(?s)" + "".join(parts)))


def _literal(text: str) -> list[str]:
    """What stands before, between and after the placeholders of a sentence."""
    plain = _PARTS.sub(lambda match: "\0" if match["name"] else match[0][0], text)
    return plain.split("\0")


def _bare(text: str) -> str:
    """The same without the formats of its placeholders, whose values are texts already."""
    return _PARTS.sub(lambda match: f"{{{match['name']}}}" if match["name"] else match[0], text)
