"""A small dictionary into English, for picture models that read nothing else.

``glossary.tsv`` holds what emoji are called in eight languages (Unicode CLDR, see NOTICE), ``glossary_basics.tsv`` the
colours, numbers, landscapes and small words that pictures need, written by hand. One row is one English meaning (``|``
parts synonyms, the first is the one that readings use); one column is one language. Both may be edited by hand.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from limner.generators.added_words import CJK

LATIN = ("en", "de", "fr", "es", "pt")

QUOTED = re.compile(
    r"[\"“„”]([^\"“”„]+)[\"“”]|「([^」]+)」|『([^』]+)』|《([^》]+)》|«([^»]+)»|(?<!\w)['‘]([^'‘’]+)['’](?!\w)"
)
"""Quoted text, to be written in the picture."""

EMOJI = (
    r"(?:[\U0001F1E6-\U0001F1FF]{2}|[\U0001F300-\U0001FAFF\u2300-\u23FF\u2600-\u27BF\u2B00-\u2BFF]"
    r"[\uFE0F\U0001F3FB-\U0001F3FF\U000E0020-\U000E007F]*"
    r"(?:\u200D[\U0001F300-\U0001FAFF\u2600-\u27BF\u2B00-\u2BFF][\uFE0F\U0001F3FB-\U0001F3FF]*)*)"
)
NUMBER = r"\d+(?:[.,]\d+)*"
WORD = r"(?:(?![\d_])\w(?<!" + CJK + r")[\u0300-\u036F]*)+(?:['’](?:(?![\d_])\w)+)*"
PIECE = re.compile(rf"(?P<emoji>{EMOJI})|(?P<cjk>{CJK}+)|(?P<number>{NUMBER})|(?P<word>{WORD})|(?P<mark>[^\w\s])")

FUNCTION_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "a an the this that these those some any each and or but nor so as if than then of in on at by for from "
        "to into onto over under above below behind beside near with within is are was were be been being am it its "
        "he she his her him they them their i me my we our you your there here who which what where when while do "
        "does did has have had having can could will would shall should may might must says say saying reads very "
        "called named titled made makes showing shows depicting featuring just also too up down out off about like "
        "no not without never nor isn't aren't don't doesn't wasn't",
        "de": "ein eine einen einem einer eines der die das den dem des und oder aber im in am an auf aus bei mit ohne "
        "von vom zu zum zur unter uber vor hinter neben nicht kein keine keinen keinem keiner ist sind als wie es er "
        "sie ihr sein seine ihre auch sehr",
        "fr": "un une des le la les l du de d et ou mais dans sur sous a au aux avec sans pas ne n par pour en est "
        "sont qui que ce cette ces son sa ses leur il elle tres",
        "es": "un una unos unas el la los las lo de del y e o pero en sobre bajo con sin no al a por para es son que "
        "su sus este esta muy",
        "pt": "um uma uns umas o a os as de do da dos das e ou mas em no na nos nas sobre sob com sem nao ao por para "
        "que seu sua este esta muito",
        "ru": "и в во на под над с со у о об без не из от до за к по для это как его ее их же",
        "zh": "的 地 得 了 着 在 一 是 有 和 与 及 把 被 里 上 下 中 边 旁 前 后 内 外 面 这 那 之 "
        "个 只 条 头 匹 位 名 朵 棵 艘 辆 座 张 本 块 片 颗 间 幅 架 台 支 件 双 群 副 只的 上的 里的 下的",
        "ja": "の に は を が で と も へ や か な から まで より です ます いる ある する した して "
        "一 匹 人 個 本 枚 羽 頭",
    }.items()
}
"""Words that carry grammar rather than meaning (accents folded); nobody misses them in a picture."""

PLACES = {
    **{"里": "in the", "里面": "in the", "中": "in the", "上": "on the", "上面": "on the", "下": "under the"},
    **{"边": "beside the", "旁": "beside the", "旁边": "beside the", "前": "in front of the", "后": "behind the"},
}
LEADING = ("in", "on", "at", "under", "beside", "behind", "with", "without", "no", "wearing")
MARK = re.compile(r"([，、。：；！？（）]|[,.:;!?()](?!\w))")
NARROW = str.maketrans("，、。：；！？（）", ",,.:;!?()")


@dataclass(frozen=True)
class Term:
    """A piece of an idea with its English meaning.

    ``english`` holds synonyms, the best first; it is empty for unknown pieces. ``function`` marks a grammatical word.
    """

    text: str
    english: tuple[str, ...] = ()
    function: bool = False


def fold(word: str) -> str:
    """The compared form of a word: lower case, no Latin accents, half-width letters."""
    narrow = unicodedata.normalize("NFKC", word).casefold().replace("’", "'")
    if re.search(CJK, narrow):
        return narrow
    parts = unicodedata.normalize("NFD", narrow)
    return unicodedata.normalize("NFC", "".join(c for c in parts if not unicodedata.combining(c) or c == "\u0306"))


def language(text: str, locale: str = "") -> str:
    """The language of ``text`` as a two-letter code; the member's ``locale`` decides ambiguous texts.

    Most members leave Discord in English, so an idea is judged by its own letters and words first.
    """
    text = QUOTED.sub(" ", text)
    if re.search(r"[\uAC00-\uD7AF]", text):
        return "ko"
    if re.search(r"[\u3040-\u30FF]", text):
        return "ja"
    if re.search(CJK, text):
        return "ja" if locale[:2] == "ja" else "zh"
    if re.search(r"[\u0400-\u04FF]", text):
        return "ru"
    words = [fold(word) for word in re.findall(WORD, text)]
    scores = {code: _score(words, code) + 0.5 * (code == locale[:2]) for code in LATIN}
    return max(scores, key=lambda code: scores[code])


def terms(text: str, code: str) -> Iterator[Term]:
    """Cut ``text``, written in language ``code``, into the longest known pieces, in order."""
    pieces = [(match.lastgroup, match.group()) for match in PIECE.finditer(text)]
    start = 0
    while start < len(pieces):
        kind, piece = pieces[start]
        if kind == "cjk":
            yield from _cut(piece, code)
        elif kind == "emoji":
            yield Term(piece, _emoji().get(re.sub("[\ufe0f\U0001f3fb-\U0001f3ff]", "", piece), ()))
        elif kind == "word":
            end, term = _phrase(pieces, start, code)
            yield term
            start = end
            continue
        else:
            yield Term(piece)
        start += 1


def translate(idea: str, locale: str = "") -> str | None:
    """Translate ``idea`` into English word by word; unknown words and quoted text stay.

    Returns:
        The translation, or None if the idea is English already or no word of it is known.
    """
    code = language(idea, locale)
    out: list[str] = []
    known = False
    for part in _clauses(idea):
        if QUOTED.fullmatch(part) or MARK.fullmatch(part):
            out.append(part.translate(NARROW))
            continue
        found = list(terms(part, code))
        known = known or any(term.english and not term.function for term in found)
        out.append(_reorder(found) if code in ("zh", "ja") else _in_order(found))
    reading = re.sub(r"\s+([,.:;!?)])", r"\1", " ".join(out)).strip()
    return reading if known and reading != idea.strip() else None


def unread(reading: str) -> bool:
    """Whether a translation still has letters or emoji that an English model cannot read, outside quoted text."""
    rest = QUOTED.sub(" ", reading)
    return bool(re.search(rf"{EMOJI}|{CJK}|[^\x00-\u024F\u2000-\u206F]", rest))


def _clauses(idea: str) -> list[str]:
    """The parts of an idea: quoted texts, punctuation marks, and the text between them."""
    parts: list[str] = []
    end = 0
    for quoted in QUOTED.finditer(idea):
        parts += [*MARK.split(idea[end : quoted.start()]), quoted.group()]
        end = quoted.end()
    return [part.strip() for part in [*parts, *MARK.split(idea[end:])] if part.strip()]


def _in_order(found: Iterable[Term]) -> str:
    """Word for word; "the" of a preposition is dropped before an article."""
    words = " ".join(term.english[0] if term.english else term.text for term in found)
    return re.sub(r"\bthe an? ", "the ", words)


def _reorder(found: list[Term]) -> str:
    """Move places and attributes to English word order.

    在雪地里 becomes "in the snow", 夕阳下的海滩 "beach at sunset", 森の中の狐 "fox in the forest".
    """
    out: list[str] = []
    after: list[str] = []
    place: int | None = None
    for term in found:
        if term.text == "在":
            place = len(out)
        elif term.text in PLACES and out:
            out.insert(place if place is not None and place < len(out) else len(out) - 1, PLACES[term.text])
            place = None
        elif term.text == "的" and out and out[0].split()[0] in LEADING:
            after, out, place = [*out, *after], [], None
        elif term.text.startswith("の") and term.english:
            after, out = [term.english[0], *out, *after], []
        elif term.english or not term.function:
            out.append(term.english[0] if term.english else term.text)
    if place is not None and place < len(out) and not out[place].split()[0].endswith("ing"):
        out.insert(place, "in the")
    return " ".join(out + after)


def _cut(run: str, code: str) -> Iterator[Term]:
    """Longest match first; neighbouring unknown characters make one term."""
    lexicon = _lexicon(code)
    grammar = FUNCTION_WORDS.get(code, frozenset())
    start = unknown = 0
    while start < len(run):
        size = next((n for n in range(min(8, len(run) - start), 0, -1) if run[start : start + n] in lexicon), 0)
        piece = run[start : start + (size or 1)]
        if not size and piece not in grammar:
            start += 1
            continue
        if unknown < start:
            yield Term(run[unknown:start])
        yield Term(piece, lexicon.get(piece, ()), piece in grammar)
        start = unknown = start + len(piece)
    if unknown < len(run):
        yield Term(run[unknown:])


def _phrase(pieces: list[tuple[str | None, str]], start: int, code: str) -> tuple[int, Term]:
    """The longest phrase of up to four words at ``start``, and its end."""
    end = start
    while end < min(len(pieces), start + 4) and pieces[end][0] == "word":
        end += 1
    grammar = FUNCTION_WORDS.get(code, frozenset()) if code in LATIN else FUNCTION_WORDS["en"] | FUNCTION_WORDS["ru"]
    for stop in range(end, start, -1):
        words = [piece for _, piece in pieces[start:stop]]
        english = _known([fold(word) for word in words], code)
        if english:
            return stop, Term(" ".join(words), english, all(fold(word) in grammar for word in words))
    word = pieces[start][1]
    return start + 1, Term(word, (), fold(word) in grammar)


def _known(words: list[str], code: str) -> tuple[str, ...]:
    """The meaning of a folded phrase; up to two letters of ending (three in Russian) of its last word are ignored."""
    lexicon, phrase = _lexicon(code), " ".join(words)
    endings = min(3 if code == "ru" else 2, max(0, len(words[-1]) - 3))
    shortened = (phrase[: len(phrase) - ending] for ending in range(endings + 1))
    return next((lexicon[short] for short in shortened if short in lexicon), ())


def _score(words: list[str], code: str) -> float:
    if code == "en":
        return 0.9 + sum(word in FUNCTION_WORDS["en"] or word in _english() for word in words)
    return sum(word in FUNCTION_WORDS[code] or bool(_known([word], code)) for word in words)


def _rows(name: str) -> list[dict[str, str]]:
    with Path(__file__).with_name(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, restval=""))


@cache
def _lexicon(code: str) -> dict[str, tuple[str, ...]]:
    """Foreign word to English; the hand-written table overrides the other.

    Japanese falls back on Chinese: most of the characters mean the same.
    """
    out = dict(_lexicon("zh")) if code == "ja" else {}
    for name in ("glossary.tsv", "glossary_basics.tsv"):
        found: dict[str, tuple[str, ...]] = {}
        for row in _rows(name):
            for word in filter(None, row.get(code, "").split("|")):
                found[fold(word)] = (*found.get(fold(word), ()), *row["english"].split("|"))
        out |= found
    return out


@cache
def _emoji() -> dict[str, tuple[str, ...]]:
    return {emoji: (row["english"],) for row in _rows("glossary.tsv") for emoji in row["emoji"].split("|")}


@cache
def _english() -> frozenset[str]:
    rows = [*_rows("glossary.tsv"), *_rows("glossary_basics.tsv")]
    return frozenset(word for row in rows for word in re.findall(WORD, row["english"]))
