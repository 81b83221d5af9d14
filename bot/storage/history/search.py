"""Full-text search: how text is indexed, and how a query is matched."""

from __future__ import annotations

import re
import unicodedata

from sqlalchemy import ColumnElement, column, func, literal, literal_column, select, table

from limner.bot.storage.tables.models import Job

LONGEST_WORD = 600
"""Bytes of a word that are indexed; Postgres refuses words of more than 2 kB."""

#: Scripts without spaces between words, and pictographs: each character is a word of its own here, a run is a phrase.
_UNSPACED = re.compile(
    r"([\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\u2600-\u27bf\U0001f300-\U0001faff\U00020000-\U0003ffff])"
)
_ACCENTS = re.compile(r"[\u0300-\u036f\ufe0e\ufe0f]")
_NUMBER = re.compile(r"\b(?=[0-9])")
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


def matches(question: str, *, is_sqlite: bool) -> ColumnElement[bool]:
    """Jobs that contain each word and each "quoted phrase" of the query; the last word matches as a prefix.

    Any text is a valid query: characters that are neither letters nor digits separate words. An empty query finds
    nothing.
    """
    phrases = _phrases(question)
    if not phrases:
        return literal(value=False)
    if is_sqlite:
        index = table("jobs_fts", column("rowid"))
        asked = " ".join(f'"{" ".join(words)}"{"*" * is_open}' for words, is_open in phrases)
        return Job.id.in_(select(index.c.rowid).where(literal_column("jobs_fts").op("MATCH")(asked)))
    asked = " & ".join(
        " <-> ".join([f"'{word}'" for word in words[:-1]] + [f"'{words[-1]}'{':*' * is_open}"])
        for words, is_open in phrases
    )
    simple: ColumnElement[str] = literal_column("'simple'")
    return func.to_tsvector(simple, Job.search_text).bool_op("@@")(func.to_tsquery(simple, asked))


def _phrases(question: str) -> list[tuple[list[str], bool]]:
    """Runs of words that must be adjacent; the last one is open if it may be the beginning of a longer word."""
    chunks = [(quoted or plain, bool(plain)) for quoted, plain in _CHUNK.findall(question)]
    last = len(chunks) - 1
    read = [(searchable(chunk).split(), plain and i == last) for i, (chunk, plain) in enumerate(chunks)]
    return [(words, is_open) for words, is_open in read if words]
