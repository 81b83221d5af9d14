"""Parses Midjourney-style flags (`a red fox --ar 3:2 --seed 7`) and removes invisible characters from text."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from limner.bot.errors import BadPrompt
from limner.bot.filters.text.normalise import INVISIBLE
from limner.bot.filters.text.scan import KOREAN, UNSPACED
from limner.bot.options.declarations import OPTIONS
from limner.bot.options.option import NUMERIC, Option, OptionKind
from limner.bot.translation import N_, _, commas

_FLAGS: dict[str, tuple[Option, str]] = {
    **{flag: (option, "") for option in OPTIONS for flag in option.flags},
    **{flag: (option, value) for option in OPTIONS for flag, value in option.bare.items()},
}
"""Each flag with its option, and the value that it means if none follows it."""

# Midjourney's parameters (https://docs.midjourney.com/hc/en-us/articles/32859204029709-Parameter-List) by the kind of
# their value, with the nearest option here; "" where there is none.
_FOREIGN: dict[str, tuple[OptionKind, str]] = {
    **dict.fromkeys(("v", "version", "niji"), (OptionKind.WHOLE, "--model")),
    **dict.fromkeys(("s", "stylize"), (OptionKind.NUMBER, "--guidance")),
    **dict.fromkeys(("q", "stop"), (OptionKind.NUMBER, "--steps")),
    "oref": (OptionKind.WORDS, "--cref"),
    "ow": (OptionKind.NUMBER, "--cw"),
    "iw": (OptionKind.NUMBER, "--strength"),
    **dict.fromkeys(("chaos", "c", "weird", "w", "exp", "motion"), (OptionKind.NUMBER, "")),
    **dict.fromkeys(("video", "fast", "relax", "turbo", "hd", "stealth", "public"), (OptionKind.BARE, "")),
    **dict.fromkeys(("p", "profile", "personalize"), (OptionKind.NAME, "")),
    "aspect": (OptionKind.RATIO, "--ar"),
    "color": (OptionKind.NUMBER, "--colour"),
}
_ALLOWED = " ".join(f"--{name}" for name in _FLAGS)
EMPTY = N_("The prompt is empty; write what you want to see.")
NOTHING_SEEN = N_("The prompt has only invisible characters; write what you want to see.")
TOO_LONG = N_("The prompt has {number} characters, and at most {most} are read; shorten it.")
_ASIDE = 300
"""Most characters between the dashes of an aside."""
_NAMED = 3
"""Most unknown flags that one sentence names."""

_JOINERS = "\u200c\u200d"
_HIDDEN = re.compile(f"(?![{_JOINERS}])[{INVISIBLE}]+")
#: Persian, Indic scripts and emoji families need joiners; beside a space or a Latin letter they only hide something.
_IDLE_JOINERS = re.compile(rf"(?<![^\x00-\x7f])[{_JOINERS}]+|[{_JOINERS}]+(?![^\x00-\x7f])")

# What keyboards make of two hyphens: other hyphens, en, em, figure and two-em dashes, bars, the minus sign, small and
# full-width forms, the line of Chinese input methods, Japan's long vowel mark.
_DASH = r"\-\u058a\u05be\u1806\u2010-\u2015\u2043\u2212\u02d7\u2500\u2501\u2e3a\u2e3b\u30fc\ufe58\ufe63\uff0d"
_LONG = "\u2e3a\u2e3b"
_KANA_MARK = "\u30fc"
QUOTES = r'"[^"]*"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|「[^」]*」'
_STOPS = ",;，；、。"
_MARK = rf"(?<![{_DASH}])(?P<mark>[{_DASH}]+|(?P<one>[{_DASH}])\ +(?P=one))"
_PARTS = re.compile(f'(?<![^\\s(\\[,=])(?:{QUOTES})|{_MARK}(?P<name>\\w+|[^\\s\\w{_DASH}{_STOPS}.:!?)\\]}}\\"”…])')
_GAP = re.compile(rf"[\s=:：{_STOPS}]")
_NEXT = re.compile(
    rf"[\s{_STOPS}]*(?:$|[{_DASH}]+(?:{'|'.join((*_FLAGS, *_FOREIGN))})(?:{_GAP.pattern}|$))", re.IGNORECASE
)
_SPACED = re.compile(rf"(?![{UNSPACED}{KOREAN}])\w")
# A value ends at a blank, where Chinese has none at its comma; but what follows a comma at once may belong to it.
_VALUE = re.compile(
    rf"[\s=:：]*(?:(?P<quoted>{QUOTES})|(?P<plain>[^\s，；、。]+(?:[，；、。]+\d[^\s，；、。]*)*))[{_STOPS}]*"
)
_LORA = re.compile(rf"(?:{QUOTES})|<lora:(?P<name>[^<>:]+)(?::(?P<weight>[^<>:]*))?>", re.IGNORECASE)
"""A LoRA as other programs write it among the words: <lora:ink:0.7>."""
_DIGIT = re.compile(r"[\s=:：]*\d")


@dataclass(frozen=True)
class ParsedPrompt:
    """The idea in plain words, and the values of its flags by option name."""

    idea: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


def parse_prompt(text: str, *, max_length: int) -> ParsedPrompt:
    """Take the flags out of a prompt, wherever they stand; quoted text contains no flags.

    A flag is two hyphens, or any dash that a keyboard makes of them, directly before a name. Dashes in prose stay
    prose: a single one before a word, two around an aside, those inside a word. Values are understood here, their
    ranges are checked with the options of the command.

    Raises:
        BadPrompt: it is empty, longer than ``max_length`` characters, or has a flag that cannot be understood.
    """
    text = _readable(text, max_length)
    found = list(_flags(text))
    if unknown := [match for match in found if _name(match) not in _FLAGS]:
        raise BadPrompt(_not_known(unknown))
    starts = [*(match.start() for match in found), len(text)]
    words = [text[: starts[0]]]
    said: dict[str, Any] = {}
    for flag, end in zip(found, starts[1:], strict=True):
        name = _name(flag)
        option = _FLAGS[name][0].name
        if option in said:
            raise BadPrompt(_("The flag --{name} is given twice; give it once.", name=name))
        said[option], rest = _read(name, text[flag.end() : end])
        words.append(rest)
    idea, loras = without_loras(" ".join(words))
    if loras:
        said["lora"] = ", ".join(filter(None, (said.get("lora"), *loras)))
    if said:
        idea = clean(clean(idea).lstrip(f" {_STOPS}").rstrip(" ,;，；、"))
    if not idea:
        raise BadPrompt(_("The prompt has only flags; write what you want to see before them."))
    return ParsedPrompt(idea, said)


def without_flags(text: str, complaint: str) -> str:
    """The cleaned text of a field without flags; raises BadPrompt saying ``where`` the flag belongs."""
    text = clean(text)
    flag = next(_flags(text), None)
    if flag:
        raise BadPrompt(complaint.format(flag=_shown(flag)))
    return text


def clean(text: str) -> str:
    """The text in NFC on one line, without control, zero-width and direction characters; the words stay."""
    shown = " ".join(_HIDDEN.sub("", unicodedata.normalize("NFC", text)).split())
    return unicodedata.normalize("NFC", " ".join(_IDLE_JOINERS.sub("", shown).split()))


def without_loras(text: str) -> tuple[str, list[str]]:
    """A text without the LoRAs among its words, and these as the option lora has them."""
    found = [match for match in _LORA.finditer(text) if match["name"]]
    written = [f"{match['name']}:{match['weight']}" if match["weight"] else match["name"] for match in found]
    return _LORA.sub(lambda match: " " if match["name"] else match[0], text) if found else text, written


def _readable(text: str, max_length: int) -> str:
    cleaned = clean(text)
    if not cleaned:
        raise BadPrompt(_(NOTHING_SEEN) if text.strip() else _(EMPTY))
    too_long(cleaned, max_length)
    return cleaned


def too_long(cleaned: str, most: int) -> None:
    """Raise BadPrompt for a cleaned prompt with more than ``most`` characters."""
    if len(cleaned) > most:
        raise BadPrompt(_(TOO_LONG, number=len(cleaned), most=most))


def _flags(text: str) -> Iterator[re.Match[str]]:
    """The flags of a text in order, ours, others' and unknown ones."""
    return (match for match in _PARTS.finditer(text) if match["mark"] and _is_flag(match, text))


def _is_flag(match: re.Match[str], text: str) -> bool:
    """Whether a name with dashes before it is a flag, not prose."""
    name, mark = _name(match), match["mark"].replace(" ", "")
    before, after = text[: match.start()], text[match.end() :]
    kind = _kind(name)
    if kind is None or not (after == "" or _GAP.match(after)):
        return mark == "--" and not re.match(r"\w", before[-1:]) and not _is_aside(mark, after)
    is_free = not _SPACED.match(before[-1:])
    is_double = len(mark) == 2 or mark in _LONG
    if len(mark) > 2 or mark == _KANA_MARK or (mark == "-" and not (is_free and name in _FLAGS)):
        return False
    if kind in NUMERIC:
        return bool(_DIGIT.match(after)) or (is_double and is_free and not _is_aside(mark, after))
    if mark == "-" or _is_aside(mark, after) or (name in _FOREIGN and not is_double and kind != OptionKind.WORDS):
        return False
    if kind == OptionKind.BARE:
        return (is_double and is_free) or bool(_NEXT.match(after))
    return is_free and (is_double or bool(before.strip() and after.strip()))


def _is_aside(mark: str, after: str) -> bool:
    """Whether the same dashes close after a word what they have opened, as in `a fox --no wolf-- in the snow`."""
    return bool(re.search(rf"(?<![\s{_DASH}]){re.escape(mark)}(?![\w{_DASH}])", after[:_ASIDE]))


def _name(match: re.Match[str]) -> str:
    return match["name"].lower()


def _kind(name: str) -> OptionKind | None:
    """The kind of value of a flag, ours or Midjourney's; None for others."""
    if name in _FLAGS:
        option, value = _FLAGS[name]
        return OptionKind.BARE if value else option.kind
    return _FOREIGN[name][0] if name in _FOREIGN else None


def _shown(match: re.Match[str]) -> str:
    name = _name(match)
    return f"--{name[:20]}" if name.isascii() and name.isalnum() else _("That")


def _not_known(flags: list[re.Match[str]]) -> str:
    """One sentence about unknown flags, with the nearest option for each."""
    names = list(dict.fromkeys(map(_shown, flags)))
    nearest = {name: _nearest(name.removeprefix("--")) for name in names}
    if len(names) == 1 and not nearest[names[0]]:
        if names[0].removeprefix("--") in _FOREIGN:
            return _("{flag} is not a flag here, and nothing here does the same; leave it out.", flag=names[0])
        return _("{flag} is no flag; the flags are {flags}.", flag=names[0], flags=_ALLOWED)
    if len(names) == 1:
        return _(
            "{flag} is not a flag here; what comes nearest is {nearest}.", flag=names[0], nearest=nearest[names[0]]
        )
    listed = commas(
        _("{flag} (nearest: {nearest})", flag=name, nearest=near) if (near := nearest[name]) else name
        for name in names[:_NAMED]
    )
    if len(names) > _NAMED:
        listed = _("{names} and {number} more", names=listed, number=len(names) - _NAMED)
    return _("{flags} are not flags here; change them or leave them out.", flags=listed)


def _nearest(name: str) -> str:
    if name in _FOREIGN:
        return _FOREIGN[name][1]
    close = difflib.get_close_matches(name, _FLAGS, n=1, cutoff=0.7)
    return f"--{close[0]}" if close else ""


def _read(name: str, tail: str) -> tuple[Any, str]:
    """The value of a flag, and the part of the following text that belongs to the idea."""
    option, meant = _FLAGS[name]
    if meant:
        return meant, tail
    if option.kind == OptionKind.WORDS:
        text, rest = tail.strip(f" =:：{_STOPS}"), ""
    else:
        match = _VALUE.match(tail)
        text = (match["quoted"] or "")[1:-1] or (match["plain"] or "").rstrip(",;") if match else ""
        rest = tail[match.end() :] if match else ""
    value = option.parse_typed(text)
    if value is None:
        flag = f"--{name}"
        raise BadPrompt(_("The flag {flag} needs {what}.", flag=flag, what=option.needs(f"{flag} ")))
    return value, rest
