"""Words that are written with other characters: each term and alphabet is drawn, none is chosen for a rule."""

import re
import unicodedata
from collections import defaultdict
from itertools import islice

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from limner.bot.filters.matcher import Matcher
from limner.bot.filters.rules import Place, Rule, Scope, tidy
from limner.bot.filters.text.normalise import normalise
from limner.bot.filters.text.tables import LETTERS, is_word
from limner.bot.ui.rule_texts import DISGUISES
from tests.benchmarks import disguises

TERMS = [
    "badger",
    "walnut",
    "marzipan",
    "dragonfly",
    "lighthouse",
    "kangaroo",
    "quicksand",
    "blue whale",
    "jumping frog",
]
MATCHER = Matcher([Rule(term, tidy(term)) for term in TERMS])
PROMPTS = ["a painting of {} in the snow", 'a sign that says "{}"', "{}, oil on canvas, 85mm, f/1.4", "neon: «{}!»"]


NAMES = [(chr(code), name) for code in range(0x100, 0x1F200) if " " in (name := unicodedata.name(chr(code), ""))]


def alphabet(pattern: str) -> dict[str, list[str]]:
    """Every character whose Unicode name tells the same letter."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    tells = re.compile(pattern).fullmatch
    for character, name in NAMES:
        if match := tells(name):
            found[match[1].lower()].append(character)
    return dict(found)


LOOKALIKES = {
    "a": "аαᎪᗅ",
    "b": "ЬВᏴᗷ",
    "c": "сϲⅽᏟ",
    "d": "ԁᏧᗞ",
    "e": "еЕᎬℯ",
    "g": "ցԍᏀ",
    "h": "һнᎻ",
    "i": "іιӏᎥ",
    "j": "јᎫ",
    "k": "кκᏦ",
    "l": "ӏⅼᏞ",
    "m": "мᎷⅿ",
    "n": "ոηп",
    "o": "оοօᴏ",
    "p": "рρᏢ",
    "q": "ԛզ",
    "r": "гᎡᴦ",
    "s": "ѕꜱᏚ",
    "t": "тτᎢ",
    "u": "υսᴜ",
    "w": "ԝшᎳ",
    "x": "хⲭ",
    "y": "уγᎩ",
    "z": "ᴢᏃ",
}
ALPHABETS = {
    "look-alikes": {letter: list(others) for letter, others in LOOKALIKES.items()},
    "mathematical": alphabet(r"MATHEMATICAL [A-Z- ]+ (?:SMALL|CAPITAL) ([A-Z])"),
    "enclosed": alphabet(r"(?:NEGATIVE )?(?:CIRCLED|SQUARED|PARENTHESIZED) LATIN (?:SMALL|CAPITAL) LETTER ([A-Z])"),
    "full-width": alphabet(r"FULLWIDTH LATIN (?:SMALL|CAPITAL) LETTER ([A-Z])"),
    "emoji": alphabet(r"REGIONAL INDICATOR SYMBOL LETTER ([A-Z])"),
    "accents": alphabet(r"LATIN (?:SMALL|CAPITAL) LETTER ([A-Z]) WITH (?!SMALL LETTER)[A-Z ]+"),
}
MARKS = "".join(chr(code) for code in range(0x110000) if unicodedata.category(chr(code))[0] == "M")
"""Every combining mark of every script."""
ELSEWHERE = ["подсолнух", "φεγγάρι", "向日葵", "かぶとむし", "고양이", "שלום", "سلام", "पानी", "น้ำแข็ง", "ক্যাট"]
UNSEEN = "\u0640\u00ad\u034f\u200b\u200c\u200d\u200e\u200f\u2060\u2066\u2069\u202a\u202c\ufeff\ufe0f\U000e0061"


DRAWN_AS: defaultdict[str, list[str]] = defaultdict(list)
for character, meanings in LETTERS.items():
    if character.isalpha() and not character.isascii() and normalise(character).text == character:
        DRAWN_AS[meanings[:1]].append(character)
CODES = {
    "HTML, decimal": "&#{code};",
    "HTML, hexadecimal": "&#X{code:x};",
    "an address": "%{code:02X}",
    "a program": "\\u{code:04x}",
    "names of emoji": ":regional_indicator_{letter}: ",
    "emoji of a server": "<:{letter}:123456789012345678>",
}


def found(text: str) -> tuple[str, tuple[str, ...]] | None:
    match = MATCHER.find(text)
    return match and (match.rule.id, match.steps)


def is_found(term: str, written: str, data: st.DataObject) -> bool:
    text = data.draw(st.sampled_from(PROMPTS)).format(written)
    seen = found(text)
    return seen is not None and seen[0] == term


terms = st.sampled_from(TERMS)


@pytest.mark.parametrize("name", ALPHABETS)
@settings(max_examples=30)
@given(st.data())
def test_a_term_in_another_alphabet_is_found(name: str, data: st.DataObject) -> None:
    term, letters = data.draw(terms), ALPHABETS[name]
    written = "".join(data.draw(st.sampled_from(letters.get(letter, [letter]))) for letter in term)
    assert is_found(term, written, data), written


def test_an_accent_that_is_written_every_day_hides_no_word_of_a_phrase() -> None:
    assert found("a jumping frög") == ("jumping frog", ("accents",))


@settings(max_examples=30)
@given(st.data(), st.text(MARKS, min_size=1, max_size=4), st.text(UNSEEN, min_size=1, max_size=3))
def test_marks_and_unseen_characters_hide_nothing(data: st.DataObject, marks: str, unseen: str) -> None:
    term = data.draw(terms)
    for written in (marks.join(term) + marks, unseen.join(term)):
        assert is_found(term, written, data), ascii(written)


@settings(max_examples=60)
@given(st.sampled_from(ELSEWHERE), st.data(), st.integers(2, 9))
def test_marks_of_other_scripts_and_repeated_ones_hide_no_word_of_any_script(
    term: str, data: st.DataObject, times: int
) -> None:
    matcher = Matcher([Rule("1", tidy(term))])
    scripts = {unicodedata.name(letter).partition(" ")[0] for letter in term}
    foreign = st.sampled_from(MARKS).filter(lambda mark: scripts.isdisjoint(re.split("[ -]", unicodedata.name(mark))))
    written = "".join(letter + data.draw(st.text(foreign, max_size=3)) for letter in term)
    own = "".join(letter * times if unicodedata.category(letter) in ("Mn", "Mc") else letter for letter in term)
    for one in (written, own):
        assert matcher.find(f"a {one} b"), ascii(one)


def test_vowel_signs_of_the_own_script_make_another_word() -> None:
    assert not Matcher([Rule("1", "पान")]).find("ठंडा पानी")
    assert Matcher([Rule("1", "पान")]).find("ठंडा पा\u0301\u0e47न")


@settings(max_examples=60)
@given(st.data())
def test_every_letter_of_the_tables_stands_for_what_it_is_drawn_as(data: st.DataObject) -> None:
    term = data.draw(terms)
    written = "".join(data.draw(st.sampled_from(DRAWN_AS.get(letter) or [letter])) for letter in term)
    assert is_found(term, written, data), written


@pytest.mark.parametrize("name", CODES)
def test_letters_written_as_codes_are_found(name: str) -> None:
    for term in (term for term in TERMS if " " not in term):
        written = "".join(CODES[name].format(letter=letter, code=ord(letter)) for letter in term)
        assert found(f"a big {written} at night") == (term, ("codes for letters",))


@settings(max_examples=30)
@given(st.data())
def test_words_turned_around_or_in_pieces_are_found(data: st.DataObject) -> None:
    term = data.draw(st.sampled_from([term for term in TERMS if " " not in term]))
    cut = data.draw(st.integers(2, len(term) - 2))
    begin, end = term[:cut], term[cut:]
    upside_down = str.maketrans("abcdefghijklmnopqrstuvwyz", "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍʎz")
    pieces = [f"({begin}:1.2){end}", f"{begin}[{end}]", f"{begin}<b>{end}</b>", f"{begin}<!-- -->{end}"]
    pieces += [f"[{begin}](https://example.com){end}", ", ".join(term), " - ".join(term), term[::-1]]
    for written in (*pieces, term[::-1].translate(upside_down)):
        assert is_found(term, written, data), written


@settings(max_examples=40)
@given(st.data(), st.sampled_from([*" .-_*/~,;:'+=|·•–‧♥★", "\n", "\t", "\u2003", "\u3000"]))
def test_letters_spelled_out_are_found(data: st.DataObject, sign: str) -> None:
    term = data.draw(st.sampled_from([term for term in TERMS if " " not in term]))
    assert is_found(term, sign.join(term), data)


@settings(max_examples=30)
@given(st.data(), st.sampled_from(["**", "~~", "||", "`", "***"]))
def test_mark_up_inside_words_is_seen_through(data: st.DataObject, mark: str) -> None:
    term = data.draw(st.sampled_from([term for term in TERMS if " " not in term]))
    start = data.draw(st.integers(1, len(term) - 2))
    end = data.draw(st.integers(start + 1, len(term)))
    assert is_found(term, f"{term[:start]}{mark}{term[start:end]}{mark}{term[end:]}", data)


@settings(max_examples=40)
@given(st.data())
def test_digits_signs_repeats_masks_and_slips_are_found(data: st.DataObject) -> None:
    term = data.draw(terms)
    place = data.draw(st.integers(1, len(term) - 2))
    before, letter, after = term[:place], term[place], term[place + 1 :]
    assume(" " not in term[place - 1 : place + 2])
    signs = dict(zip("aeiostbg", "@31057896"[:8], strict=True)) | {"s": "$", "t": "+", "b": "8", "g": "9"}
    written = [before + signs.get(letter, letter.upper()) + after, before + letter * 4 + after, f"{before}*{after}"]
    if before[-1] != letter:
        written.append(before[:-1] + letter + before[-1] + after)
    for one in written:
        assert all(map(is_word, one.split())) or is_found(term, one, data), one


@pytest.mark.parametrize(
    ("term", "written", "step"),
    [
        ("kinky", "|<][nky", "drawn letters"),
        ("titan", "][i][an", "drawn letters"),
        ("bollards", "13o[_[_ards", "drawn letters"),
        ("dingo", "o|in6o", "drawn letters"),
        ("hamster", "harnster", "drawn letters"),
        ("massage", "nnassage", "drawn letters"),
        ("wombat", "wom!3at", "drawn letters"),
        ("wombat", "vvo|\\/|13at", "drawn letters"),
        ("hooker", "hookuh", "sound"),
        ("genitals", "jenitals", "sound"),
        ("suicide", "suiside", "sound"),
        ("naked", "naced", "sound"),
        ("lingerie", "linjerie", "sound"),
        ("boob", "bewb", "sound"),
        ("orgasm", "orgsm", "vowels left out"),
        ("massacre", "massacr", "vowels left out"),
        ("coño", "coñe", "vowel changed"),
        ("voyeur", "vo…eur", "masked letters"),
        ("erotic", "e...otic", "masked letters"),
        ("quarter", "kwartah", "sound"),
        ("mountain", "mowntayn", "sound"),
        ("daughter", "dawghter", "sound"),
        ("чайник", "4ajnik", "Latin letters"),
        ("мельница", "mjel'nitza", "Latin letters"),
        ("жемчуг", "jemchug", "Latin letters"),
        ("火车", "huo3che1", "Latin letters"),
        ("火车", "huo che", "another spelling"),
        ("旅馆", "lǚguǎn", "Latin letters"),
        ("じてんしゃ", "zitensya", "Latin letters"),
        ("おおかみ", "ōkami", "Latin letters"),
        ("기차", "keecha", "Latin letters"),
        ("석류", "seongnyu", "Latin letters"),
        ("юбка", "ubka", "Latin letters"),
        ("ёжик", "ejic", "Latin letters"),
        ("椅子", "yi zi", "another spelling"),
        ("绿茶", "lü cha", "another spelling"),
        ("thunder", "dundur", "sound"),
        ("umbrella", "umbreya", "sound"),
        ("treasure", "treesur", "sound"),
        ("scarecrow", "scarecro", "sound"),
        ("highway", "hiewaie", "sound"),
        ("fountain", "fou_tain", "masked letters"),
        ("oyster", "()yster", "drawn letters"),
        ("fortunate", "fortuate", "letter left out"),
        ("fortunate", "fortunapte", "letter added"),
        ("formed", "for|Y|ed", "drawn letters"),
        ("oppressive", "o|Dpressive", "drawn letters"),
        ("world", "'//orld", "drawn letters"),
        ("football", "foot|oall", "drawn letters"),
        ("desktop", "des\\<top", "drawn letters"),
        ("badger", "adgerbay", "word game"),
        ("apple", "appleway", "word game"),
        ("destroy", "estroyday", "word game"),
        ("badger", "bubadguber", "word game"),
        ("badger", "bizadgizer", "word game"),
        ("badger", "bapadgeper", "word game"),
        ("badger", "bobadodgogeror", "word game"),
        ("bad dog", "adbay ogday", "word game"),
        ("hot dog", "dot hog", "word game"),
    ],
)
def test_other_drawings_sounds_and_lost_vowels_are_seen_through(term: str, written: str, step: str) -> None:
    match = Matcher([Rule("1", term)]).find(f"a painting of {written} at night")
    assert match
    assert step in match.steps


def test_a_misspelt_word_with_a_short_ending_may_look_like_two_words() -> None:
    matcher = Matcher([Rule("1", "fireball*")])
    match = matcher.find("three firebells at night")
    assert match
    assert match.steps == ("vowel changed",)
    assert matcher.find("three firebellows at night") is None


def test_every_disguise_has_a_name_that_is_translated() -> None:
    matcher = Matcher([Rule(word, word) for words in disguises.WORDS.values() for word in words.split()])
    texts = [written for kind in disguises.KINDS for _, written in islice(disguises.respellings(kind), 100)]
    steps = {step for text in texts for match in matcher.matches(f"a painting of {text}") for step in match.steps}
    assert len(steps) > 9
    assert steps <= DISGUISES


@pytest.mark.parametrize("half", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_most_respellings_of_other_words_are_found(half: int) -> None:
    counts = {kind: disguises.recall(kind, half)[:2] for kind in disguises.KINDS}
    assert all(found >= 0.95 * every for found, every in counts.values()), counts
    assert sum(found for found, _ in counts.values()) >= 0.98 * sum(every for _, every in counts.values())


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("门蝶", "men die lachen"),
        ("маска", "Masha and a mascara"),
        ("golden", "złoty gólden"),
        ("nudist", "la famille Núdišt"),
        ("*fuck*", "Nguyễn Phúc"),
        ("trach*", "Công ty Trách"),
        ("*shit*", "un schïtter"),
        ("nutte", "Kristiina Nuut"),
        ("massacre", "the macer and the sacred mass"),
        ("penis*", "a pen-shaped tower"),
        ("门蝶", "a sauna, the end, two men die"),
        ("dan", "Danay and Danubay"),
    ],
)
def test_words_of_other_languages_are_no_misspellings(pattern: str, text: str) -> None:
    match = Matcher([Rule("1", pattern)]).find(text)
    assert match is None or "accents" in match.steps


INNOCENT = [
    "an assassin bug on a blade of grass in Essex",
    "a map with S U S S E X in wide type, C L A S S I C capitals",
    "8k hdr, f/1.8, 85mm, seed: 80085, --ar 16:9, 1/250s, <lora:ink_v2:0.7>, (masterpiece:1.2)",
    "一只可爱的小猫在屋顶上睡觉，柔和的晨光",
    "μικρό λευκό ξωκλήσι στη Σαντορίνη",
    "стара хата біля ставка, олійний живопис",
    "feliz año nuevo, die Möwe, cœur et œuvre, Ångström",
    "bad ger, wal nut; a badge, walls and nuts, the blue, whales that jump, frogs",
    "https://example.com/a/b?c=d#e and *cat* on a ~~mat~~ with ||hat||",
    "50%ba, AT&T; R&D; C:\\users\\x :b: (s)he, cat(s), (badge:1.2)r, <lora:walnuts:0.7>, [wal](https://a.example) nut",
    "ไก่ย่าง, ক্যাট, שלום עולם, ሰላም ለዓለም, ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ, ᐃᓄᒃᑎᑐᑦ, ⵜⴰⵎⴰⵣⵉⵖⵜ",
]


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_text_is_left_alone(text: str) -> None:
    assert found(text) is None


@settings(max_examples=200)
@given(st.text(alphabet="abcdefghij klmno pqrst uvwxyz 0123456789 .,-'äéñж猫&#;%\\:()[]<>ɐǝʇ", max_size=60))
def test_random_text_is_no_term(text: str) -> None:
    seen = found(text)
    assert seen is None or not any(term in text for term in TERMS) or not seen[1]


@pytest.mark.parametrize(
    ("text", "part", "steps"),
    [
        ("a b.a.d.g.3.r here", "b.a.d.g.3.r", ("digits or signs for letters", "signs between letters")),
        ("so wаlnut", "wаlnut", ("look-alike letters",)),
        ("so w*lnut!", "w*lnut", ("masked letters",)),
        ("so wallnutt!", "wallnutt", ("repeated letters",)),
        ("b~l~u~e w~h~a~l~e", "b~l~u~e w~h~a~l~e", ("spaced letters",)),
        ("a |)ragonfly", "|)ragonfly", ("drawn letters",)),
        ("a dra**gon**fly", "dra**gon**fly", ("mark-up",)),
        ("a \u202etunlaw\u202c tree", "tunlaw\u202c", ("reversed letters",)),
        ("a &#98;adger &amp; co", "&#98;adger", ("codes for letters",)),
        ("a regdab here", "regdab", ("reversed letters",)),
        ("so ɹǝƃpɐq ɐ", "ɹǝƃpɐq", ("upside-down letters",)),
        ("a (mar:1.2)zipan", "(mar:1.2)zipan", ("mark-up",)),
        ("a blue w*ale", "blue w*ale", ("masked letters",)),
        ("a plain badger", "badger", ()),
    ],
)
def test_a_match_tells_where_it_was_and_what_was_undone(text: str, part: str, steps: tuple[str, ...]) -> None:
    match = MATCHER.find(text)
    assert match
    assert (text[match.start : match.end], match.steps) == (part, steps)


@pytest.mark.parametrize(
    ("pattern", "text", "is_hit"),
    [
        ("badg*", "two badgers", True),
        ("badg*", "a debadger", False),
        ("*nut", "hazelnut spread", True),
        ("*nut", "nutshell", False),
        ("*gon*", "a paragon", True),
        ("the mat*", "watch the matrix", True),
        ("*the mat", "breathe mat", True),
        ("*gon*", "a p4rag0n", True),
        ("书", "一本書", True),
        ("ネコ科", "ねこ科の絵", True),
        ("小猫", "一只小 猫", True),
        ("고양이*", "고/양/이", True),
        ("подсолнух", "a podsolnukh field", True),
        ("向日葵", "a xiangrikui field", True),
        ("かぶとむし", "a kabutomushi field", True),
        ("straße", "strasse", True),
        ("büffel", "ein bueffel", True),
        ("up to you", "u★p t★o y★o★u", True),
        ("c++", "I like C++ a lot", True),
        ("c++", "I like c", False),
    ],
)
def test_wildcards_and_other_scripts(pattern: str, text: str, is_hit: bool) -> None:
    assert (Matcher([Rule("1", tidy(pattern))]).find(text) is not None) == is_hit


def test_allowed_text_frees_what_lies_inside_it_and_nothing_else() -> None:
    matcher = Matcher([Rule("1", "*cat*")], [Rule("a", "educat*"), Rule("b", "black cat")])
    assert not matcher.find("educational films of a BLACK\ncat")
    assert matcher.find("educational films of a cat")
    assert matcher.find("uneducated")


def test_rules_and_allowed_texts_have_scopes() -> None:
    pets = Scope(only_channels=frozenset({"pets"}))
    free = Scope(exempt_roles=frozenset({"mod"}), exempt_channels=frozenset({"zoo"}))
    matcher = Matcher([Rule("1", "cat", scopes=(free,))], [Rule("a", "black cat", scopes=(pets,))])
    blocked = [
        matcher.find("a black cat", Place(frozenset({channel}), frozenset(roles))) is not None
        for channel, roles in (("hall", ()), ("pets", ()), ("hall", ("mod",)), ("zoo", ()))
    ]
    assert blocked == [True, False, False, False]
