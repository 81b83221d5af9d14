"""Full-text search: how a request is indexed, and how a query is read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2s
from itertools import pairwise
from zlib import crc32

BAR = "|"
"""Stands between the terms of a request and its words."""
LONGEST_QUESTION = 500
"""Characters of a search that are read."""
LONGEST_BEGINNING = 12
"""Letters of the longest beginning of a word that is a term."""
LONGEST_WORD = 600
"""Bytes of a word that are indexed; Postgres refuses words of more than 2 kB."""
PAIRS = 16_384
"""Different terms of two neighbours; a request of forty words has one in four hundred of them by chance."""

#: Scripts without spaces between words, and pictographs: each character is a word of its own here, a run is a phrase.
_UNSPACED = re.compile(
    r"([\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\u2600-\u27bf\U0001f300-\U0001faff\U00020000-\U0003ffff])"
)
_ACCENTS = re.compile(r"[\u0300-\u036f\ufe0e\ufe0f]")
_NUMBER = re.compile(r"\b(?=[0-9])")
_LETTER = re.compile(r"u[0-9a-f]{5}|.")
_CHUNK = re.compile(r'["“”„]([^"“”„]*)["“”„]|(\S+)')


def searchable(text: str) -> str:
    """The text in the index's form: its words without case, accents and punctuation.

    Letters beyond ASCII are written as code points, because the databases know different sets of letters: SQLite those
    of Unicode 6.1, Postgres those of its operating system. A word that begins with a digit gets a two-letter prefix,
    because Postgres would read 1e5b as two words.
    """
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text).casefold())
    words = _UNSPACED.sub(r" \1 ", unicodedata.normalize("NFKC", bare))
    return _NUMBER.sub("xq", " ".join(word[:LONGEST_WORD] for word in "".join(map(_letter, words)).split()))


def _letter(character: str) -> str:
    if character.isascii():
        return character if character.isalnum() else " "
    known = unicodedata.category(character)[0] in "LMN" or _UNSPACED.match(character)
    return f"u{ord(character):05x}" if known else " "


@dataclass(frozen=True)
class TermScope:
    """Whose requests are looked through: a member's own, or those of a server that all of it may see."""

    name: str

    @classmethod
    def of_member(cls, user_id: int) -> TermScope:
        """A member's own requests."""
        return cls(f"0p{user_id}")

    @classmethod
    def of_server(cls, guild_id: int) -> TermScope:
        """The requests of a server that are not private."""
        return cls(f"0g{guild_id}")

    def term(self, kind: str, name: str | int) -> str:
        """The term of the requests of this scope with a property: a model, style, LoRA or channel."""
        named = name if isinstance(name, int) else blake2s(name.encode(errors="replace"), digest_size=8).hexdigest()
        return f"{self.name}{kind}{named}"

    @property
    def upscaled(self) -> str:
        """The term of the requests of which a picture was upscaled."""
        return f"{self.name}u"


MODEL, STYLE, LORA, CHANNEL = "m", "s", "l", "c"
"""Kinds of `TermScope.term`."""


def facets(
    *,
    user_id: int,
    guild_id: int | None,
    channel_id: int | None,
    is_private: bool,
    model: str,
    style: str,
    loras: Iterable[str],
    is_upscaled: bool = False,
) -> str:
    """The terms of a request that say whose it is and how it is made."""
    kinds: list[tuple[str, str | int]] = [(MODEL, model), *((LORA, name) for name in loras)]
    kinds += [(STYLE, style)] if style else []
    kinds += [(CHANNEL, channel_id)] if channel_id else []
    terms: list[str] = []
    for scope in scopes(user_id, guild_id, is_private=is_private):
        terms += [scope.name, *(scope.term(*kind) for kind in kinds), *([scope.upscaled] if is_upscaled else ())]
    return " ".join(terms)


def scopes(user_id: int, guild_id: int | None, *, is_private: bool) -> list[TermScope]:
    """The scopes in which a request is found."""
    servers = [TermScope.of_server(guild_id)] if guild_id is not None and not is_private else []
    return [TermScope.of_member(user_id), *servers]


def index_form(idea: str, prompt: str | None = None) -> str:
    """What the full-text index keeps of a request's words: terms, a bar, and the words in their order.

    The terms are what no word is: beginnings of the idea's words, and neighbours in pairs. No word begins with a
    digit; a pair's term may begin with 1, a `TermScope.term` begins with 0.
    """
    ideas, words = searchable(idea).split(), searchable(f"{idea}\n{prompt or ''}").split()
    terms = {beginning for word in ideas for beginning in _beginnings(word)} | {_beginning(word) for word in words}
    terms |= {pair_term(*pair) for pair in pairwise(words)}
    return f"{' '.join(sorted(terms.difference(words)))} {BAR} {' '.join(words)} "


def index_form_of(idea: str, prompt: str | None, steering: Iterable[str]) -> str:
    """The same of a request that got other prompts while it was painted."""
    return index_form(idea, "\n".join((prompt or "", *steering)))


@dataclass(frozen=True)
class ReadSearch:
    """A search, as terms that the index has for a request, and as texts that stand behind the bar."""

    terms: tuple[str, ...]
    texts: tuple[str, ...]


def read_question(asked: str) -> ReadSearch | None:
    """The words and "quoted phrases" of a search, all of which are wanted; None if there are none.

    Its first 500 characters are read. Any text is a valid search: characters that are neither letters nor digits
    separate words. The last word may be the beginning of a word of the idea.
    """
    phrases = _phrases(asked[:LONGEST_QUESTION])
    terms: list[str] = []
    texts: list[str] = []
    for words, is_open in phrases:
        needed = list(_terms(words, is_open=is_open))
        terms += needed
        if not is_open or needed not in ([words[-1]], ["".join(words[-2:])]):
            texts.append(f" {' '.join(words)}{'' if is_open else ' '}")
    return ReadSearch(tuple(dict.fromkeys(terms)), tuple(texts)) if phrases else None


def pair_term(one: str, other: str) -> str:
    """The term of two words beside each other: in a script without spaces both, else one that other pairs share."""
    if _is_unspaced(one) and _is_unspaced(other):
        return one + other
    return f"1{crc32(f'{one} {other}'.encode()) % PAIRS:04x}"


def _terms(words: Sequence[str], *, is_open: bool) -> Iterator[str]:
    """The terms of a request that contains the words beside each other; if it is open, the last may be a beginning."""
    is_whole = not is_open or _is_unspaced(words[-1])
    whole = words if is_whole else words[:-1]
    if len(whole) == 1:
        yield whole[0]
    yield from (pair_term(*pair) for pair in pairwise(whole))
    if not is_whole:
        yield _beginning(words[-1])


def _beginnings(word: str) -> Iterator[str]:
    letters = _LETTER.findall(word)
    yield from ("".join(letters[:end]) for end in range(1, min(len(letters), LONGEST_BEGINNING + 1)))


def _beginning(word: str) -> str:
    """The word, or the longest beginning that is a term."""
    return "".join(_LETTER.findall(word)[:LONGEST_BEGINNING])


def _is_unspaced(word: str) -> bool:
    """Whether the word in the index's form is one character of a script without spaces."""
    return len(word) == len("u00000") and word[0] == "u" and bool(_UNSPACED.match(_read(word)))


def _read(word: str) -> str:
    try:
        return chr(int(word[1:], 16))
    except ValueError:
        return ""


def _phrases(question: str) -> list[tuple[list[str], bool]]:
    """Runs of words that must be adjacent; the last one is open if it may be the beginning of a longer word."""
    chunks = [(quoted or plain, bool(plain)) for quoted, plain in _CHUNK.findall(question)]
    last = len(chunks) - 1
    read = [(searchable(chunk).split(), plain and i == last) for i, (chunk, plain) in enumerate(chunks)]
    return [(words, is_open) for words, is_open in read if words]
