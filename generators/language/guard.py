"""Checks word by word that a language model's text keeps everything of an idea.

There is no tagger. Every word of the idea that is not merely grammatical must be in the text, in the same or a lightly
inflected form, and every "no" and "not" must still deny the same word. A foreign word may be there in English instead,
if the glossary knows it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from limner.generators.added_words import CJK
from limner.generators.language.glossary import (
    EMOJI,
    FUNCTION_WORDS,
    NUMBER,
    QUOTED,
    WORD,
    Term,
    fold,
    language,
    terms,
)
from limner.generators.sentences import sentence

WROTE_NOTHING = "wrote nothing"
DECLINED = "refused to write"
LEAKED = sentence("repeated its instructions")
GARBLED = sentence("wrote in signs that were not asked for")
LOOPED = sentence("repeated itself")
CHANGED = sentence("left out or changed some of your words")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split(":") for pair in text.split())


NUMERALS = _pairs(
    "one:1 two:2 three:3 four:4 five:5 six:6 seven:7 eight:8 nine:9 ten:10 eleven:11 twelve:12 thirteen:13 fourteen:14 "
    "fifteen:15 sixteen:16 seventeen:17 eighteen:18 nineteen:19 twenty:20"
)
IRREGULAR = _pairs(
    "men:man women:woman children:child mice:mouse geese:goose feet:foot teeth:tooth people:person oxen:ox leaves:leaf "
    "gray:grey color:colour colors:colour colored:colour coloured:colour centre:center armor:armour harbor:harbour "
    "jewelry:jewellery aeroplane:airplane mustache:moustache ran:run sat:sit flew:fly stood:stand held:hold wore:wear "
    "worn:wear broken:break broke:break woven:weave"
)
NEGATORS = {
    "en": _words("no not without never nor isn't aren't don't doesn't wasn't weren't lacks lacking"),
    "de": _words("kein keine keinen keinem keiner nicht ohne nie"),
    "fr": _words("sans pas jamais"),
    "es": _words("sin no nunca"),
    "pt": _words("sem nao nunca not without"),
    "ru": _words("без не нет"),
}
SCOPE_GOES_ON = _words("a an any the or of single ein eine un une una um uma de der die das el la le")
SCOPE = 2
"""Most content words that one negator denies: "no red hat" denies both, "no hat" ends at the next "in"."""

REFUSALS = re.compile(
    r"\b(i['’]?m (very |really )?sorry|i am sorry|i apologi[sz]e|i can(not|['’]t| not)|i['’]?m (not able|unable)|"
    r"i am unable|i won['’]t|as an ai\b|as a language model|as an assistant|unable to (assist|help|comply|fulfil))|"
    r"对不起|很抱歉|抱歉，|我无法|我不能|作为一个?(AI|人工智能|语言模型)|申し訳|お手伝いできません|"
    r"\b(es tut mir leid|je suis désolé|je ne peux pas|lo siento|não posso)\b",
    re.IGNORECASE,
)
LEAKS = re.compile(
    r"\b(idea|picture|prompt|description|user|assistant|system)\s*:|<\|?\w+\|?>|\[/?inst\]|"
    r"^(sure|certainly|of course|okay|here is|here['’]s)\b|verbatim|answer with the description|visual facts",
    re.IGNORECASE,
)
TOKEN = re.compile(rf"{NUMBER}|{WORD}|[.,;:!?()，。；：、！？\n]")


@dataclass(frozen=True)
class GuardResult:
    """The kept and lost words of an idea. ``reason`` completes "The language model ..."; empty if the text is good."""

    kept: tuple[str, ...]
    lost: tuple[str, ...]
    reason: str = ""


def check(idea: str, text: str, locale: str = "") -> GuardResult:
    """Compare a text with the idea that it was made from.

    Args:
        idea: the member's idea.
        text: the text to paint instead.
        locale: the member's language ("zh-CN"), for ideas whose letters leave it open.

    Returns:
        The idea's words, numbers, emoji and quoted texts, in order, split into kept and lost.
    """
    code = language(idea, locale)
    quotes = [next(filter(None, match.groups())) for match in QUOTED.finditer(idea)]
    wanted = _wanted(_without(idea, quotes), code)
    readable = _Text(_without(text, quotes), code)
    held = {name: readable.holds(term, denied) for name, term, denied in wanted}
    held |= {quote: quote in text for quote in quotes}
    kept = tuple(term for term in held if held[term])
    lost = tuple(term for term in held if not held[term])
    return GuardResult(kept, lost, _misbehaved(idea, text) or (CHANGED if lost else ""))


def kept_share(idea: str, text: str, locale: str = "") -> float:
    """The share of an idea's words, as `check` compares them, that a text has; 1 if the idea has none."""
    found = check(idea, text, locale)
    return len(found.kept) / (len(found.kept) + len(found.lost)) if found.lost else 1.0


def stem(word: str) -> str:
    """A word without its light inflection: cats, cat; running, run; labelled, labeled; two, 2."""
    word = re.sub(r"['’]s?$", "", fold(word))
    word = IRREGULAR.get(word, word)
    if word in NUMERALS:
        return NUMERALS[word]
    if not word.isascii() or not word.isalpha():
        return word
    for ending, instead in (("ies", "y"), ("ves", "f"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""), ("e", "")):
        root = word.removesuffix(ending)
        if root != word and len(root) >= 3 and re.search("[aeiouy]", root) and not word.endswith(("ss", "us", "is")):
            word = root + instead
            break
    return re.sub(r"([b-df-hj-np-rtv-z])\1$", r"\1", word)


def _wanted(idea: str, code: str) -> list[tuple[str, Term, bool | None]]:
    """The terms that must survive, their displayed form, and whether the idea denies them (None: both)."""
    polarity = _polarity(idea, code)
    out: list[tuple[str, Term, bool | None]] = []
    before = ""
    for term in terms(idea, code):
        if _means_something(term):
            roots = [stem(word) for word in _tokens(term.text)]
            deniers = set[str]().union(*(polarity.get(root, {""}) for root in roots)) or {before}
            denied = None if "" in deniers and len(deniers) > 1 else "" not in deniers
            out.append((f"{max(deniers)} {term.text}".strip() if denied and roots else term.text, term, denied))
        before = term.text if NEGATORS["en"] & set(term.english) else ""
    return out


class _Text:
    """A text in the guard's analysis."""

    def __init__(self, text: str, code: str) -> None:
        self.text = fold(text).replace("\ufe0f", "")
        self.polarity = _polarity(text, code)
        self.english = {word for term in terms(text, code) if not term.text.isascii() for word in term.english}

    def holds(self, term: Term, denied: bool | None) -> bool:
        """Whether the text has a term of the idea, itself or in English, denied if and only if the idea denies it."""
        if self.english & set(term.english) or any(self._says(english, denied) for english in term.english):
            return True
        if re.match(CJK, term.text):
            return self._shows(term.text)
        if not _tokens(term.text):
            return term.text.replace("\ufe0f", "") in self.text
        return self._says(term.text, denied)

    def _says(self, phrase: str, denied: bool | None) -> bool:
        """Whether the text has each content word of a phrase, denied everywhere if the idea denies it."""
        words = _tokens(phrase)
        roots = [stem(word) for word in words if fold(word) not in FUNCTION_WORDS["en"] or len(words) == 1]
        found = [{bool(denier) for denier in self.polarity.get(root, set[str]())} for root in roots]
        if denied is None:
            return all(len(both) == 2 for both in found)
        return all(said == {True} if denied else False in said for said in found)

    def _shows(self, run: str) -> bool:
        """Whether the text has the pairs of content characters of an unknown run of characters."""
        grammar = FUNCTION_WORDS["zh"] | FUNCTION_WORDS["ja"]
        plain = fold(run)
        solid = "".join(c for c in plain if c not in grammar and not "\u3040" <= c <= "\u309f") or plain
        return solid in self.text or (len(solid) > 1 and all(a + b in self.text for a, b in pairwise(solid)))


def _tokens(text: str) -> list[str]:
    return re.findall(rf"{NUMBER}|{WORD}", text)


def _means_something(term: Term) -> bool:
    if not term.english and not _tokens(term.text) and not re.match(rf"{CJK}|{EMOJI}", term.text):
        return False
    meaning = {word for english in term.english for word in english.split()}
    return not term.function and not (meaning and meaning <= FUNCTION_WORDS["en"] - NEGATORS["en"])


def _polarity(text: str, code: str) -> dict[str, set[str]]:
    """Each word's root and the negators that deny it; "" stands for an undenied occurrence."""
    out: dict[str, set[str]] = {}
    negators = NEGATORS.get(code, NEGATORS["en"]) | (NEGATORS["en"] if code != "pt" else NEGATORS["pt"])
    grammar = FUNCTION_WORDS["en"] | FUNCTION_WORDS.get(code, frozenset())
    left, negator = 0, ""
    for token in TOKEN.findall(text):
        word = fold(token)
        meaningful = token[0].isalnum() and word not in grammar
        out.setdefault(stem(token), set()).add(negator if left and meaningful else "")
        if word in negators:
            left, negator = SCOPE, token
        else:
            left = left - 1 if left and meaningful else left if word in SCOPE_GOES_ON else 0
    return out


def _without(text: str, quotes: list[str]) -> str:
    """The text without the idea's quoted texts, which are compared letter by letter."""
    for quote in quotes:
        text = re.sub(rf"[\"'“”„‘’「『《«]{re.escape(quote)}[\"'“”‘’」』》»]", " , ", text)
    return text


def _misbehaved(idea: str, text: str) -> str:
    """A text's fault independent of the idea; strange words of the idea itself are allowed."""
    added = text.removeprefix(idea)
    if not text.strip():
        return WROTE_NOTHING
    if REFUSALS.search(text) and not REFUSALS.search(idea):
        return DECLINED
    if LEAKS.search(added.strip()) and not LEAKS.search(idea):
        return LEAKED
    if _garbled(idea, added):
        return GARBLED
    return LOOPED if loops(added) else ""


def _garbled(idea: str, added: str) -> bool:
    """Symbols that are not text, or letters of a script that the idea does not use (English is always allowed)."""
    if any(unicodedata.category(char) in ("Co", "Cc", "Cs") or char == "\ufffd" for char in added.replace("\n", "")):
        return True
    letters = [_script(char) for char in added if char.isalpha()]
    known = {"LATIN"} | {_script(char) for char in idea if char.isalpha()}
    foreign = sum(script not in known for script in letters)
    signs = sum(not char.isalnum() and not char.isspace() for char in added)
    return foreign * 5 > len(letters) or (len(added) > 20 and signs * 2 > len(added))


def _script(char: str) -> str:
    name = unicodedata.name(char, "").split(" ")[0]
    return "CJK" if name in ("HIRAGANA", "KATAKANA") else name


def loops(text: str) -> bool:
    """Whether a text repeats itself: a phrase or three words in a row three times, or one word three times running."""
    words = re.findall(rf"{CJK}|\w+", text.casefold())
    phrases = [phrase.strip() for phrase in re.split(r"[,.;，。；、\n]", text.casefold()) if phrase.strip()]
    runs = Counter(zip(words, words[1:], words[2:], strict=False))
    stuck = any(a == b == c for a, b, c in runs)
    return stuck or max(Counter(phrases).values(), default=0) >= 3 or max(runs.values(), default=0) >= 3
