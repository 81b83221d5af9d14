"""Rule files of every form: JSON, word lists and tables. Doubtful lines are reported."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from limner.bot.errors import BadRule
from limner.bot.filters.rulebook.entries import read_entry
from limner.bot.filters.rulebook.files import Item, Read, item_of, read_json
from limner.bot.quantities import decimal
from limner.bot.translation import N_, _, commas
from limner.generators.text_files import BadText, parse_json, split_lines

JSON = frozenset({".json", ".jsonl"})
TABLES = {".csv": ",;|\t", ".tsv": "\t"}
"""File name endings of tables, and their separators."""
_ONE = (
    "pattern",
    "word",
    "term",
    "text",
    "phrase",
    "keyword",
    "badword",
    "bad_word",
    "slur",
    "entry",
    "token",
    "string",
)
NAMES = frozenset({*_ONE, *(f"{name}s" for name in _ONE), "blocked", "banned", "profanity"})
"""Possible titles of the words' column."""
MOST_LINES = 100_000
"""Lines of a list or table that are read; a server may have a fifth as many rules."""
USED = ("kind", "action", "reason", "replacement", "enabled", "expires_at")
"""Other columns with a meaning."""

TOO_LONG = N_("That file has more than {most} lines; divide it into several.")
AS_COMMENT = N_("It is read as a comment; put it in quotes if it is a rule.")
AS_HEADING = N_("It is read as a heading and left out; put it in quotes if it is a rule.")
AS_NOTE = N_("What follows # is read as a note and left out; put the line in quotes if it belongs to the rule.")
AS_BULLET = N_("The star before it is read as a bullet and left out; write *word, without a space, for a wildcard.")
AS_NUMBER = N_("The number before it is left out; put the line in quotes if it belongs to the rule.")
AS_SEVERAL = N_("It is read as {number} rules; put the line in quotes if it is one.")
AS_IT_STANDS = N_("Its signs are read as parts of the rule; put it in quotes to say so.")
TWO_PARTS = N_("It has two parts: write each word on a line of its own, or put the line in quotes if it is one rule.")
A_REGEX = N_("It looks like a regex: put it into a table with the columns pattern and kind, and regex as its kind.")
A_REPLACEMENT = N_("It has an arrow: put it into a table with the columns pattern, action and replacement.")
AN_OPEN_QUOTE = N_("It cannot be read as a table from line {line} on; look for a quote that is not closed.")
LEFT_OUT = N_("These columns mean nothing here and are left out: {names}. Those that do: pattern, {used}.")
ONE_COLUMN = N_(
    "Only column {number} is read; name the columns in a first row, one of them pattern, to say which it is."
)
WEIGHTS = N_("A number after a word means nothing here and is left out.")

_COMMENT = re.compile(r"#+|//+|;+|--(?=\s)")
_RULER = re.compile(r"([-=_~#+.*])\1{2,}|[\[\](){}]+,?")
_HEADING = re.compile(r":(?!.*:$).*|\[[^\]]*\]|[^:]*[^:\s]\s*:|=+[^=]+=+")
_QUOTED = re.compile(
    r"""(?P<sign>["'`])(?P<inside>(?:(?!(?P=sign)).|(?P=sign){2})+)(?P=sign)|[“„«](?P<curly>[^“”»]+)[“”»]"""
)
_NOTE = re.compile(r"\s+(?:#+|//+)(?P<after>.*)")
_BULLET = re.compile(r"(?P<sign>[-–—•·*])\s+(?=\S)")
_COUNTED = re.compile(r"\d{1,5}[.)]\s+(?=\S)")
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?%?")
_WEIGHTED = re.compile(r"(?P<word>.*[^\s:=])\s*[:=]\s*[+-]?\d+(?:\.\d+)?")
_COMMA = re.compile(r"[,;|，、；]")
_ARROW = re.compile(r"\S\s*(?:=>|->|→)\s*\S")
_IS_REGEX = re.compile(r"/.+/[a-z]*")
_STRANGE = re.compile(r"""["`#,;|=<>\[\]{}\\]""")


def read(text: str, name: str, read: Read = read_entry) -> Iterator[Item]:
    """The entries of a file one by one; those of a list or table are labelled with their line.

    Raises:
        BadRule: it is neither JSON with a list of rules, nor a list, nor a table, or has too many lines; some of that
            is seen on the way only.
    """
    ending = PurePath(name).suffix.lower()
    if ending in JSON or _is_json(text):
        return read_json(text, read)
    if max(text.count("\n"), text.count("\r")) > MOST_LINES:
        raise BadRule(_(TOO_LONG, most=decimal(MOST_LINES)))
    content = [line for line in split_lines(text) if line.strip(" ,;|\t") and not line.lstrip().startswith("#")]
    if content and (sign := _parting(content, ending)):
        return _table(text, sign, read)
    return _list(split_lines(text), read)


def _is_json(text: str) -> bool:
    if text.lstrip()[:1] not in ("[", "{"):
        return False
    try:
        return isinstance(parse_json(text, ""), list | dict)
    except BadText:
        return False


def _parting(content: Sequence[str], ending: str) -> str:
    """The sign between the columns of a table; "" for a list."""
    for sign in TABLES.get(ending, "\t"):
        if sign in content[0]:
            return sign
    return next((sign for sign in ",;|" if _names_columns(content[0].split(sign))), "")


def _names_columns(fields: Sequence[str]) -> bool:
    """Whether the fields name columns, one of them that of the words."""
    names = [_name(field) for field in fields]
    return len(names) > 1 and not NAMES.isdisjoint(names) and all(map(str.isidentifier, names))


def _name(field: str) -> str:
    return field.strip(" \"'").lower().replace(" ", "_")


# Tables.


def _table(text: str, sign: str, read: Read) -> Iterator[Item]:
    rows = list(_rows(text, sign))
    label, first = rows[0]
    names = list(map(_name, first))
    if _names_columns(first):
        if strange := [name for name in names if name not in NAMES and name not in USED]:
            yield Item(label, None, note=_(LEFT_OUT, names=commas(strange), used=commas(USED)))
        for label, row in rows[1:]:
            yield item_of(label, lambda row=row: read(_named(names, row), is_allow=_allows(names, row)))
        return
    column = _column_of_words([row for _, row in rows])
    yield Item(label, None, note=_(ONE_COLUMN, number=column + 1))
    for label, row in rows:
        if row[column : column + 1] != [""]:
            yield item_of(label, lambda row=row: read(row[column] if column < len(row) else ""))


def _rows(text: str, sign: str) -> Iterator[tuple[str, list[str]]]:
    """Each row that is no comment, and the line in which it begins."""
    reader, begins, columns = csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True), 1, 2
    try:
        for row in reader:
            fields = list(map(str.strip, row))
            if any(fields) and not (fields[0].startswith("#") and len(fields) < columns):
                yield str(begins), fields
                columns = len(fields)
            begins = reader.line_num + 1
    except csv.Error as error:
        raise BadRule(_(AN_OPEN_QUOTE, line=begins)) from error


def _column_of_words(rows: Sequence[Sequence[str]]) -> int:
    """The first column that has more than numbers."""
    columns = range(max(map(len, rows)))
    return next((one for one in columns if not all(_NUMBER.fullmatch(row[one]) for row in rows if one < len(row))), 0)


def _named(names: Sequence[str], row: Sequence[str]) -> dict[str, Any]:
    """A row as an entry of a rule file."""
    known: dict[str, Any] = {}
    for name, value in zip(names, row, strict=False):
        if value and (name in NAMES or name in USED):
            known["pattern" if name in NAMES else name] = value
    for name in known.keys() & {"kind", "action", "enabled"}:
        known[name] = known[name].lower()
    if known.get("action") == "allow":
        del known["action"]
    if "enabled" in known:
        known["enabled"] = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(
            known["enabled"], known["enabled"]
        )
    if re.fullmatch(r"\d+(?:\.\d+)?", known.get("expires_at", "")):
        known["expires_at"] = float(known["expires_at"])
    return known


def _allows(names: Sequence[str], row: Sequence[str]) -> bool:
    return ("action", "allow") in zip(names, map(str.lower, row), strict=False)


# Lists.


def _list(lines: Sequence[str], read: Read) -> Iterator[Item]:
    weighted: list[str] = []
    first = next((number for number, line in enumerate(lines, 1) if line.strip()), 0)
    for number, line in enumerate(lines, 1):
        label = str(number)
        if number == first < len(lines) and _name(line) in NAMES:
            yield Item(label, None, note=_(AS_HEADING))
            continue
        try:
            for pattern, note in _readings(" ".join(line.split())):
                weighted += [label] * (note == _(WEIGHTS))
                note = note.replace(_(WEIGHTS), "")
                yield (
                    item_of(label, lambda pattern=pattern: read(pattern), note)
                    if pattern
                    else Item(label, None, note=note)
                )
        except BadRule as error:
            yield Item(label, None, str(error))
    if weighted:
        note = _(WEIGHTS)
        if len(weighted) > 1:
            again = _("That is so in {number} lines.", number=len(weighted))
            note = f"{note} {again}"
        yield Item(weighted[0], None, note=note)


def _readings(line: str) -> Iterator[tuple[str, str]]:
    """Each pattern in a line of a list, and warnings about it; "" and a note for a line without one."""
    comment = _COMMENT.match(line)
    if line == "" or _RULER.fullmatch(line) or (comment and line[comment.end() :][:1] in ("", " ")):
        return
    if comment:
        yield "", _(AS_COMMENT)
        return
    notes: list[str] = []
    if (note := _NOTE.search(line)) and not _QUOTED.fullmatch(line):
        line = line[: note.start()]
        notes += [_(AS_NOTE)] * (note["after"][:1] not in ("", " "))
    if bullet := _BULLET.match(line):
        line = line[bullet.end() :]
        notes += [_(AS_BULLET)] * (bullet["sign"] == "*")
    elif counted := _COUNTED.match(line):
        line = line[counted.end() :]
        notes.append(_(AS_NUMBER))
    for pattern, note in _parts(line):
        yield pattern, " ".join(filter(None, (*notes, note)))


def _parts(line: str) -> Iterator[tuple[str, str]]:
    quoted = _QUOTED.match(line)
    if quoted is None or not _COMMA.match(f"{line[quoted.end() :].strip()},"):
        quoted = None
        if _HEADING.fullmatch(line):
            yield "", _(AS_HEADING)
            return
        if _IS_REGEX.fullmatch(line):
            raise BadRule(_(A_REGEX))
        if _ARROW.search(line):
            raise BadRule(_(A_REPLACEMENT))
    first, *others = [line[: quoted.end()], *_fields(line[quoted.end() :])] if quoted else _fields(line) or [line]
    words = [first, *(one for one in others if not _NUMBER.fullmatch(one))]
    if len(words) == 2:
        raise BadRule(_(TWO_PARTS))
    for number, word in enumerate(words):
        quoted, weighted = _QUOTED.fullmatch(word), _WEIGHTED.fullmatch(word)
        if quoted:
            pattern, note = _unquoted(quoted), ""
        elif weighted:
            pattern, note = weighted["word"], _(WEIGHTS)
        else:
            pattern, note = word, _(AS_IT_STANDS) * bool(_STRANGE.search(word))
        several = _(AS_SEVERAL, number=len(words)) if len(words) > 2 and number == 0 else ""
        yield pattern, several or note or _(WEIGHTS) * (len(others) >= len(words))


def _fields(line: str) -> list[str]:
    return [field for field in map(str.strip, _COMMA.split(line)) if field]


def _unquoted(quoted: re.Match[str]) -> str:
    sign = quoted["sign"]
    return (quoted["inside"].replace(sign * 2, sign) if sign else quoted["curly"]).strip()
