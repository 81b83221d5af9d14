"""Regexes mean what they mean in Discord's AutoMod: compared with a matcher that tries every place of a text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.bot.filters.regex.regexes import Regexes, complaint
from limner.bot.filters.work import Work

MUCH = 10**9

LETTERS = "abkKsſéÉяЯ猫_0٣ -.\n😀e\u0301"
Ends = Callable[[str, int], set[int]]


@dataclass(frozen=True)
class Pattern:
    """A regex, and where its matches end that begin at a place of a text."""

    text: str
    ends: Ends


def is_in_word(text: str, place: int) -> bool:
    if not 0 <= place < len(text):
        return False
    category = unicodedata.category(text[place])
    return category[0] in "LM" or category in ("Nd", "Nl", "Pc")


def cases(character: str) -> set[str]:
    return {other for other in LETTERS + "\u212aS" if other.casefold() == character.casefold()} | {character}


def one_of(text: str, is_one: Callable[[str], bool]) -> Pattern:
    return Pattern(text, lambda whole, at: {at + 1} if at < len(whole) and is_one(whole[at]) else set())


def edge(text: str, is_there: Callable[[str, int], bool]) -> Pattern:
    return Pattern(text, lambda whole, at: {at} if is_there(whole, at) else set())


SETS: dict[str, Callable[[str], bool]] = {
    r"\w": lambda one: is_in_word(one, 0),
    r"\d": lambda one: unicodedata.category(one) == "Nd",
    r"\s": str.isspace,
    r"\pL": lambda one: unicodedata.category(one)[0] == "L",
    r"\p{Greek}": lambda one: "GREEK" in unicodedata.name(one, ""),
    r"\p{script=Han}": lambda one: "CJK" in unicodedata.name(one, ""),
    "[:alpha:]": lambda one: (one.isascii() and one.isalpha()) or one in "ſ\u212a",
    "a-k": lambda one: one.lower() in "abcdefghijk",
    "é-я": lambda one: any("é" <= case <= "я" for case in cases(one)),
    "_.": lambda one: one in "_.",
}


@st.composite
def classes(draw: st.DrawFn, depth: int = 0) -> tuple[str, Callable[[str], bool]]:
    """The inside of [ ], and what is in it."""
    inside = st.sampled_from(sorted(SETS)).map(lambda name: (name, SETS[name]))
    left, is_left = draw(inside if depth > 1 else inside | classes(depth + 1).map(nested))
    right, is_right = draw(inside if depth > 1 else inside | classes(depth + 1).map(nested))
    combined: dict[str, Callable[[str], bool]] = {
        "": lambda one: is_left(one) or is_right(one),
        "&&": lambda one: is_left(one) and is_right(one),
        "--": lambda one: is_left(one) and not is_right(one),
        "~~": lambda one: is_left(one) != is_right(one),
    }
    operator = draw(st.sampled_from(sorted(combined)))
    is_in = combined[operator]
    if draw(st.booleans()):
        return f"^{left}{operator}{right}", lambda one: not is_in(one)
    return f"{left}{operator}{right}", is_in


def nested(inside: tuple[str, Callable[[str], bool]]) -> tuple[str, Callable[[str], bool]]:
    return f"[{inside[0]}]", inside[1]


def sequence(parts: list[Pattern]) -> Pattern:
    def ends(whole: str, at: int) -> set[int]:
        here = {at}
        for part in parts:
            here = {end for place in here for end in part.ends(whole, place)}
        return here

    return Pattern("".join(part.text for part in parts), ends)


def choice(parts: list[Pattern]) -> Pattern:
    joined = "|".join(part.text for part in parts)
    return Pattern(f"(?:{joined})", lambda whole, at: set[int]().union(*(part.ends(whole, at) for part in parts)))


def repeated(part: Pattern, times: str, least: int, most: int) -> Pattern:
    def ends(whole: str, at: int) -> set[int]:
        here, found = {at}, {at} if least == 0 else set[int]()
        for count in range(1, min(most, len(whole) + least) + 1):
            here = {end for place in here for end in part.ends(whole, place)}
            found |= here if count >= least else set[int]()
        return found

    return Pattern(f"(?:{part.text}){times}", ends)


LITERALS = st.sampled_from(sorted(set(LETTERS) - set(".- \n"))).map(
    lambda one: one_of(one, lambda other: other in cases(one))
)
ATOMS = st.one_of(
    LITERALS,
    LITERALS,
    st.sampled_from([r"\w", r"\d", r"\s", r"\pL", r"\p{Greek}"]).map(lambda name: one_of(name, SETS[name])),
    st.just(one_of(r"\W", lambda one: not is_in_word(one, 0))),
    st.just(one_of(".", lambda one: one != "\n")),
    st.just(one_of("(?s:.)", lambda _: True)),
    st.just(one_of(r"(?x: \. # a dot" + "\n)", lambda one: one == ".")),
    st.just(one_of("(?-i:K)", lambda one: one == "K")),
    classes().map(lambda inside: one_of(f"[{inside[0]}]", inside[1])),
    st.just(edge(r"\b", lambda text, at: is_in_word(text, at - 1) != is_in_word(text, at))),
    st.just(edge(r"\B", lambda text, at: is_in_word(text, at - 1) == is_in_word(text, at))),
    st.just(edge("^", lambda _, at: at == 0)),
    st.just(edge("$", lambda text, at: at == len(text))),
    st.just(edge("(?m:^)", lambda text, at: at == 0 or text[at - 1] == "\n")),
    st.just(edge("(?m:$)", lambda text, at: at == len(text) or text[at] == "\n")),
)
TIMES = st.sampled_from([("*", 0, 99), ("+", 1, 99), ("?", 0, 1), ("{2}", 2, 2), ("{1,3}?", 1, 3), ("{2,}", 2, 99)])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map(sequence),
        st.lists(inner, min_size=1, max_size=3).map(choice),
        st.tuples(inner, TIMES).map(lambda drawn: repeated(drawn[0], *drawn[1])),
    ),
    max_leaves=6,
)
MANY = 5 * settings().max_examples
"""Few of the examples are regexes that find something."""


@settings(max_examples=MANY)
@given(PATTERNS, st.text(LETTERS, max_size=8))
def test_a_regex_finds_what_automod_finds(pattern: Pattern, text: str) -> None:
    told = complaint(pattern.text)
    expected = [at for at in range(len(text) + 1) if pattern.ends(text, at)]
    if told is not None:
        assert "cannot be used" not in told
        is_on_one_line = text == " ".join(text.split())
        assert "can match no text" not in told or not expected or not is_on_one_line
        return
    found = [(start, end) for _, start, end in Regexes([pattern.text]).matches(text, Work(MUCH))]
    assert [start for start, _ in found[:1]] == expected[:1]
    assert all(end in pattern.ends(text, start) for start, end in found)


@pytest.mark.parametrize(
    ("regex", "finds", "leaves"),
    [
        (r"\bкабан(ы|ов)?\b", ["нарисуй кабан в лесу", "КАБАНЫ"], ["кабанчик", "прокабан"]),
        (r"\bpâté\b", ["le pâté de canard", "le PÂTÉ"], ["pâtés", "pâté_2"]),
        (r"[a-z&&[^b]]at", ["a cat"], ["a bat", "at"]),
        (r"[0-9--4]{3}", ["123"], ["144"]),
        (r"[a-g~~b-h]\b", ["ah", "a"], ["bcd"]),
        (r"(?x) \d \s # a digit, a space" + "\n k", ["٣ k"], ["3k"]),
        (r"\w+@\w+", ["ё@ё", "नमस्ते@ё"], ["! @ !"]),
        (r"[[:alpha:]&&[^aeiou]]{3}", ["xyz"], ["éßñ"]),
        (r"\p{Cyrillic}\P{Latin}", ["я1"], ["яa"]),
        (r"<@!?\d{17,20}>", ["<@!12345678901234567>"], ["<@123>"]),
        (r"[]a]b[^]a]", ["]bc"], ["ab]", "xbc"]),
        (r"\x{1F600}|\u00e9\x41", ["😀", "éA"], ["é"]),
        (r"a**b{2}{2}", ["bbbb"], ["bbb"]),
        (r"(?-i)Cat", ["Cat"], ["a CAT", "cat!"]),
    ],
)
def test_automods_syntax_is_read(regex: str, finds: list[str], leaves: list[str]) -> None:
    assert complaint(regex) is None
    matches = Regexes([regex]).matches
    assert [text for text in [*finds, *leaves] if any(matches(text, Work(MUCH)))] == finds


def test_a_match_tells_its_place_in_a_text_of_any_script() -> None:
    text = "_é猫_ \ud800\U000e0041 кабан_ы, кабан!"
    [(_, start, end)] = Regexes([r"\bкабан\b"]).matches(text, Work(MUCH))
    assert (start, text[start:end]) == (text.rindex("кабан"), "кабан")


@pytest.mark.parametrize(
    ("regex", "sentence"),
    [
        (r"a(?=b)", "The regex cannot be used: look-around is not part of AutoMod's syntax (position 2)."),
        (r"(a)\1", "The regex cannot be used: back-references are not part of AutoMod's syntax (position 4)."),
        (r"a|*", "there is nothing before it to repeat; write \\* for the character itself (position 3)"),
        (r"a{,5}", "this repetition needs numbers, as in {2,5}; write \\{ for the character itself (position 2)"),
        (r"a{5,2}", "this repetition runs backwards (position 2)"),
        (r"a{251}", "it repeats more than 250 times; use a smaller number (position 2)"),
        (r"[z-a]", "this range runs backwards (position 2)"),
        (r"[a-\w]", "a range goes from one character to another (position 2)"),
        (r"x[[a]", "the bracket [ is not closed (position 2)"),
        (r"x(a", "the bracket ( is not closed (position 2)"),
        (r"xa)", "the bracket ) closes nothing (position 3)"),
        (r"\p{Klingon}", "name a category, such as \\p{L}, or a script, such as \\p{Greek} (position 1)"),
        (r"[\b]", "this cannot stand inside [ ] (position 2)"),
        (r"\<a", "this border is not known here; write \\b (position 1)"),
        (r"(?-u)a", "Unicode is always on here; leave the flag u out (position 4)"),
        (r"(?R)a", "this flag is not known here; i, m, s, U and x are (position 3)"),
        (r"\e", "\\e means nothing; write e alone for the character itself (position 1)"),
        (r"a\x{110000}", "this number is no character; write it as in \\x41 or \\x{1F600} (position 2)"),
        ("a\\", "the last \\ escapes nothing (position 2)"),
        ("(" * 60 + ")" * 60, "more than 50 brackets stand inside each other (position 51)"),
        (r"(?P<a>x)(?P<a>y)", "this group name is used twice"),
        (r"\w*", "The regex matches the empty text"),
        (
            r"a\bb",
            "The regex can match no text: what stands at position 4 can never come there. Texts are read on one line",
        ),
        (r"cat$ food", "The regex can match no text: what stands at position 5 can never"),
        (r"(?m)x$\ny", "The regex can match no text: what stands at position 7 can never"),
        (r"(\u200b|\n)+", "nothing invisible"),
        (r"[a&&b]c", "The regex can match no text: what stands at position 1 can never"),
        (r"(\w{60}){60}", "The regex is too large when its repetitions are written out"),
    ],
)
def test_a_regex_that_cannot_work_is_refused_in_a_sentence(regex: str, sentence: str) -> None:
    assert sentence in (complaint(regex) or "")


@settings(max_examples=MANY)
@given(st.text(alphabet="ab\\[](){}|*+?^$.-&~:<>=!pPwWdDsSbBxuiLU019,é猫# \n", max_size=40))
def test_any_regex_is_taken_or_refused_in_a_sentence(regex: str) -> None:
    told = complaint(regex)
    if told is None:
        assert all(0 <= start < end <= 12 for _, start, end in Regexes([regex]).matches("nothing here", Work(MUCH)))
    else:
        assert re.fullmatch(r"The regex .+\.|A regex .+\.", told, re.DOTALL), told


def test_a_regex_that_an_older_syntax_took_goes_on_as_it_was() -> None:
    assert complaint(r"\Qa+b\E") is not None
    assert any(Regexes([r"\Qa+b\E"]).matches("so a+b", Work(MUCH)))
