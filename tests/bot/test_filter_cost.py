"""No text and no set of rules makes a check long: its steps are counted, and what takes too many is refused."""

import gc
import logging
import random
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from limner.bot import limits
from limner.bot.app import App
from limner.bot.filters.disguises import alignment, respelled
from limner.bot.filters.lines import check_lines
from limner.bot.filters.matcher import Matcher
from limner.bot.filters.regex.regexes import Regexes
from limner.bot.filters.rulebook import packs
from limner.bot.filters.rulebook.entries import Entry
from limner.bot.filters.rules import Rule, RuleAction
from limner.bot.filters.text import codes, rewrites
from limner.bot.filters.verdicts import judge
from limner.bot.filters.work import A_CHARACTER, LEAST, TooCostly, Work
from limner.bot.place import Place, Where

MUCH = 10**12
FEW = 200
"""Calls that are not charged: a check of one character makes half of them."""
RUNS = ["*aaab*", "*aaaabb*", "*aaabbb*", "*ab*", "*abab*", "*ba*", "*aba*"]
"""Wildcards that share a coarse spelling."""


def spent(matcher: Matcher, text: str) -> float:
    """Steps that a check of the text takes, however many."""
    work = Work(MUCH)
    for _ in matcher.matches(text, work=work):
        pass
    return MUCH - work.left


def rules(patterns: Sequence[str]) -> Matcher:
    """A matcher for the patterns, each numbered by its place."""
    return Matcher([Rule(str(number), pattern) for number, pattern in enumerate(patterns)])


def runs(count: int, letters: str = "ab") -> list[str]:
    """So many wildcards of which all are the same but for how often letters are repeated."""
    return [f"*{letters[0] * (1 + number // 20)}{letters[1] * (1 + number % 20)}*" for number in range(count)]


def operations(work: Callable[[], Any]) -> int:
    """How many functions are called, Python's own ones too: what a check does, whatever it counts itself.

    No garbage is collected meanwhile: what other tests left calls functions when it goes.
    """
    count = 0

    def called(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    gc.disable()
    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


@pytest.fixture(scope="module", autouse=True)
def tables() -> None:
    """The tables that the first check of a process reads, so that no test counts it."""
    rules(["badger", "猫咪"]).find("b4dgre 猫 %41 &#97;")


def checked(matcher: Matcher, text: str) -> Work:
    """The work of a check, finished or given up."""
    work = Work.of([text])
    try:
        for _ in matcher.matches(text, work=work):
            pass
    except TooCostly:
        pass
    return work


HARD = {
    "letters": "abcdefghijklmnop ",
    "two letters": "ab",
    "cyrillic": "абвгдеж ",
    "vowels": "baeiou ",
    "signs for letters": "4@b8e3i1!l|o0s5$t7 ",
    "signs": "/\\|_-^()[]{}<>vu ",
    "masks": "ab*_. ",
    "marks": "a\u0301\u0316\u0488\u0915\u094d ",
    "east asian": "猫犬ネコねこ가나 *",
    "mark-up": "a*_~|`<!->[]( ",
    "codes": "%41&#97;\\u0061:a ",
    "turned": "\u202eabɐqɔ ",
    "spelled": "a b.c-",
    "unseen": "a\u200b\u00ad\ufeff ",
    "expanding": "ﷺ㍿ﬃ ",
}
"""Alphabets, each of which is read in a way of its own."""


@st.composite
def hard_texts(draw: st.DrawFn) -> str:
    """A text of a few pieces of one alphabet, or of two, repeated many times."""
    alphabet = "".join(draw(st.lists(st.sampled_from([*HARD.values()]), min_size=1, max_size=2)))
    pieces = draw(st.lists(st.text(alphabet, min_size=1, max_size=12), min_size=1, max_size=4))
    seed, length = draw(st.integers(0, 9)), draw(st.sampled_from([60, 400, 1500]))
    chance = random.Random(seed)
    if draw(st.booleans()):
        return "".join(chance.choices(pieces, k=length))[:length]
    return "".join(chance.choices(alphabet, k=length))


@st.composite
def hard_patterns(draw: st.DrawFn) -> list[str]:
    """Wildcards and words that are alike: repeated, turned, glued, with other letters swapped in."""
    word = draw(st.text("abcdeiouабв", min_size=2, max_size=8))
    chance = random.Random(draw(st.integers(0, 9)))
    made: list[str] = []
    for _ in range(draw(st.sampled_from([3, 40, 200]))):
        letters = [letter * chance.choice([1, 1, 2, 3]) for letter in word]
        if chance.random() < 0.5:
            chance.shuffle(letters)
        star = chance.choice(["", "*"])
        made.append(f"{star}{''.join(letters)}{chance.choice(['', '*'])}")
    return made


@given(hard_patterns(), hard_texts())
@example(runs(400), "а" * 1500)
@example(["bbbaaaaa*", "*aaaabbbb", "baba*"], "baa" * 500)
@example(runs(400), "абв" * 500)
@example(runs(400), "ab" * 750)
@example(runs(3), "\u0488" * 1500)
@example(runs(3), "и\u0488\u0489a\u0301" * 300)
@example([f"*{'ab' * size}*" for size in range(1, 50)], "ab" * 750)
@example(
    [f"*{'a' * one}{'а' * other}{star}" for one in range(1, 6) for other in range(1, 6) for star in ("", "*")], "a" * 60
)
@example(["".join(order) + "*" for order in ("abcdef", "abcdfe", "badcfe", "fedcba") * 50], "acbdef bacdef " * 100)
def test_no_check_takes_more_steps_than_its_text_allows_nor_more_calls_than_steps(
    patterns: list[str], text: str
) -> None:
    matcher = rules(patterns)
    allowed = LEAST + A_CHARACTER * len(text)
    done: list[Work] = []
    calls = operations(lambda: done.append(checked(matcher, text)))
    taken = allowed - done[0].left
    assert calls <= min(taken, allowed) / 2 + FEW


@given(hard_patterns(), hard_texts())
@example(runs(400), "ab" * 750)
@example(runs(400), "a b " * 375)
@example([f"{'ab' * size}a" for size in range(1, 50)], "ababab ab ab" * 120)
def test_strict_rules_take_no_more_steps_and_calls_than_others(patterns: list[str], text: str) -> None:
    matcher = Matcher([Rule(str(number), pattern, is_strict=True) for number, pattern in enumerate(patterns)])
    allowed = LEAST + A_CHARACTER * len(text)
    done: list[Work] = []
    calls = operations(lambda: done.append(checked(matcher, text)))
    taken = allowed - done[0].left
    assert calls <= min(taken, allowed) / 2 + FEW


@pytest.mark.parametrize("alphabet", HARD.values(), ids=HARD)
def test_steps_grow_with_the_length_of_a_text_and_no_faster(alphabet: str) -> None:
    matcher = rules([*RUNS, "hot dog", "badger", "*owl*", "猫咪", "кот*"])
    chance = random.Random(1)
    for pieces in ([alphabet], [*alphabet], ["".join(chance.choices(alphabet, k=5)) for _ in range(3)]):
        text = "".join(chance.choices(pieces, k=2000))[:4000]
        assert spent(matcher, text) <= 5 * spent(matcher, text[:1000]) + LEAST


PROMPTS = {
    "en": (
        "A quiet harbour town at dawn, wooden boats with faded paint, gulls over the breakwater, an old "
        "woman mends a net beside crates of silver herring; behind her steep streets climb towards a whi"
        "te chapel, washing dries on every balcony. Painted in gouache on rough paper, muted teal and oc"
        "hre (soft light:1.2), 35mm, f/2.8, *grainy*, "
    ),
    "de": (
        "Ein verschneites Bergdorf kurz vor Weihnachten, aus den Schornsteinen steigt dünner Rauch, Kind"
        "er ziehen ihren Schlitten an der geschmückten Bäckerei vorbei, im Hintergrund glühen die Gipfel"
        "; Holzschnitt, grobe Linien, wenige kräftige Farben, größere Schattenflächen, wie auf einem alt"
        "en Reiseplakat, "
    ),
    "vi": (
        "Một khu chợ nổi trên sông lúc bình minh, những chiếc thuyền gỗ chở đầy xoài và thanh long, ngườ"
        "i phụ nữ đội nón lá mỉm cười, sương mù phủ nhẹ hàng dừa xanh, ánh nắng vàng dịu chiếu xuyên qua"
        " mái tranh, tranh lụa truyền thống, "
    ),
    "el": (
        "Ένα μικρό νησί με άσπρα σπίτια και γαλάζια παράθυρα, δύο γέροι παίζουν τάβλι κάτω από την κλημα"
        "ταριά, η θάλασσα λάμπει στο βάθος, ένας γάτος κοιμάται πάνω στο πεζούλι, ζεστό φως του απογεύμα"
        "τος, ακουαρέλα με απαλά χρώματα, "
    ),
    "uk": (
        "Стара хата під солом’яною стріхою, біля тину цвітуть мальви, дідусь лагодить візок, а поруч дрі"
        "має рудий кіт; над ставком стелиться ранковий туман, вдалині мріє вітряк, олійний живопис широк"
        "ими мазками, теплі барви, "
    ),
    "hi": (
        "गंगा के घाट पर सुबह की आरती, पीतल के दीपक, गेंदे के फूलों की मालाएँ, धुंध में तैरती छोटी नावें,"
        " सीढ़ियों पर बैठा बूढ़ा संगीतकार सितार बजाता है, पुराने मंदिरों की परछाई पानी में काँपती है, जल"
        "रंग चित्र, कोमल प्रकाश, "
    ),
    "ar": (
        "سوق قديم للتوابل في مدينة ساحلية، أكوام من الكركم والزعفران، بائع عجوز يبتسم تحت مظلّة مخططة، ف"
        "وانيس نحاسية معلّقة بين الأقواس، قطة رمادية تنام على سجادة منسوجة، ضوء الغروب الدافئ، رسم زيتي "
        "بتفاصيل دقيقة، "
    ),
    "he": (
        "בית קפה קטן בסמטה ירושלמית, שולחנות עץ תחת עץ לימון, זקנה מוזגת תה בכוסות צבעוניות, חתול ג'ינג'"
        "י על אדן החלון, אור אחר צהריים רך על אבנים עתיקות, ציור בצבעי מים, צללים כחולים ועדינים, "
    ),
    "th": ("ตลาดน้ำยามเช้า เรือไม้บรรทุกผลไม้สีสด แม่ค้าสวมหมวกสาน หมอกบางเหนือคลอง วัดเก่าอยู่ไกลออกไป ภาพสีน้ำ แสงอ่อน โทนสีอบอุ่น, "),
    "zh": (
        "清晨的江南水乡，青石板路被细雨打湿，老人撑着油纸伞走过拱桥，乌篷船静静停在柳树下，远处传来"
        "寺庙的钟声，水墨画，留白，淡雅的色调，"
    ),
    "ja": (
        "山あいの小さな駅に雪が静かに降り積もり、赤いマフラーの少女が古い時計を見上げている。遠くの"
        "家々には明かりが灯り、木版画のような柔らかな色合い、"
    ),
    "ko": (
        "가을 단풍이 물든 산사의 마당에서 스님이 낙엽을 쓸고, 처마 끝 풍경이 바람에 흔"
        "들리며, 멀리 안개 낀 계곡이 보인다, 수채화, 부드러운 빛, "
    ),
}
"""Harmless prompts, as people write them."""


@pytest.mark.xdist_group("every_term")  # which takes half a second to make
@pytest.mark.parametrize("language", PROMPTS)
def test_a_long_harmless_prompt_leaves_steps_to_spare(every_term: Matcher, language: str) -> None:
    prompt = PROMPTS[language] * 30
    for text in (prompt[:1500], prompt[:1500].upper()):
        assert spent(every_term, text) <= (LEAST + A_CHARACTER * len(text)) * 0.85
        assert every_term.find(text) is None


@pytest.fixture(scope="module")
def every_term() -> Matcher:
    """All shipped packs, filled up with invented words to 2,000 rules, and 300 regexes."""
    chance = random.Random(5)
    terms = dict.fromkeys(term for pack in packs.every().values() for term in pack.terms)
    syllables = ["bax", "dif", "kelg", "mun", "strow", "vug", "lonz", "grix", "osk", "tavh"]
    made = dict.fromkeys("".join(chance.choices(syllables, k=3)) for _ in range(3000))
    words = [f"{word}{chance.choice(['', '*', ' kelgmun'])}" for word in made]
    known = [Rule(str(number), pattern) for number, pattern in enumerate([*terms, *words][:2000])]
    slurs = [rf"(?:dead|bloody)\s+{word}s?" for word in [*made][:300]]
    return Matcher([*known, *(Rule(f"regex {number}", slur, is_regex=True) for number, slur in enumerate(slurs))])


def test_another_reading_of_a_few_words_does_not_read_the_whole_text_again() -> None:
    matcher = rules(["hot dog", "badger", "*owl*", "猫咪"])
    plain = "a lighthouse on a cliff above the sea, oil painting, golden hour, highly detailed, " * 18
    changed = f"a w1tch in a N I G H T  C L U B, {plain}*cozy* &amp; {plain}|-|at"
    assert spent(matcher, changed) <= 6 * spent(matcher, plain * 2)  # nine times, read as a whole
    for text in ("h o t dog", "b a d g e r", "hot d*o*g", "hot - |-|at |-|ot - dog", "**猫**咪", "h.o.t dog"):
        assert matcher.find(f"{plain}{text} {plain}"), text


def test_a_slip_in_a_word_that_thousands_of_phrases_share_costs_little() -> None:
    names = ["".join(chr(97 + number // 26**place % 26) for place in range(3)) for number in range(3000)]
    matcher = rules([*(f"sitting with {name}" for name in names), "with badgers"])
    assert spent(matcher, "a fox is sittnig wiht a hat, wiht a cat") < 30_000
    assert [match.rule.id for match in matcher.matches("a fox wiht b4dgers")] == ["3000"]
    assert str(names.index("acb")) in [match.rule.id for match in matcher.matches("sittnig with acb")]


@given(st.text("abcd ", max_size=30), st.text("abcd ", max_size=30))
def test_what_two_texts_have_in_common_is_the_longest_that_there_is(one: str, other: str) -> None:
    longest = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            longest[i + 1][j + 1] = longest[i][j] + 1 if a == b else max(longest[i][j + 1], longest[i + 1][j])
    assert alignment.common(one, other, Work(MUCH)) == longest[-1][-1]
    pairs = alignment.aligned(one, other, Work(MUCH))
    assert len(pairs) == longest[-1][-1]
    assert pairs == sorted(pairs)
    assert all(one[i] == other[j] for i, j in pairs)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)


@given(st.text("猫犬鳥ab ", min_size=1, max_size=6), st.booleans())
@example("一二三", True)
@example("犬a犬b犬猫", True)
def test_looking_for_a_refused_idea_takes_steps_in_proportion_to_the_texts(piece: str, is_turned: bool) -> None:
    refused = (piece * 1500)[:1480]
    idea = refused[::-1] if is_turned else refused[1:] + "x"
    work = Work(MUCH)
    calls = operations(
        lambda: respelled.is_respelled(idea, refused, [(place, place + 3) for place in range(0, 1400, 7)], work)
    )
    taken = MUCH - work.left
    assert taken < respelled.A_CHARACTER * 3000
    assert calls <= taken / 2 + FEW


@given(st.text(".!-🎈…", max_size=6), st.text(".!-🎈…", max_size=6))
def test_a_word_is_compared_without_the_signs_around_it(before: str, after: str) -> None:
    refused, forbidden = "a naked woman on the beach", [(2, 7)]
    idea = f"a nekkid woman on {before}the{after} {before}beach{after}"
    assert respelled.is_respelled(idea, refused, forbidden, Work(MUCH))
    gone = f"a clothed man in {before}the{after} {before}house{after}"
    assert not respelled.is_respelled(gone, refused, forbidden, Work(MUCH))


@pytest.mark.timeout(20)  # as they were read before, inside one call: minutes
def test_signs_around_words_are_read_once() -> None:
    signs, work = "!" * 100_000, Work(MUCH)
    calls = operations(lambda: respelled.is_respelled(f"a{signs}b", f"c{signs}d", [(0, 1)], work))
    taken = MUCH - work.left
    assert taken < 25 * 2 * len(signs)
    assert calls <= taken / 2 + FEW
    text = "\\" * 4000 + "\0" + "\\" * 100_000 + "abc"
    assert operations(lambda: limits.cut(text, 104_002)) < 3 * len(text)
    assert limits.cut(text, 104_002).endswith("\0…")


@pytest.mark.timeout(20)  # as they were read before, inside one call: years
@pytest.mark.parametrize(
    "text",
    [f"a{'<!---->' * 26} ", f"a b c {'(' * 1400}xy", "((" * 700, f"a{'(' * 1400}", "a(" * 700, "<a>" * 500],
    ids=["comments", "spelled", "pairs", "opened", "letters", "tags"],
)
def test_signs_that_open_and_close_nothing_are_read_once(text: str) -> None:
    work, pieces = Work(MUCH), list[codes.Piece]()
    calls = operations(lambda: pieces.extend(codes.unmarked(text)))
    calls += operations(lambda: [*rewrites.rewrites(text, " a b c ", work)])
    assert calls <= 10 * len(pieces) + (MUCH - work.left) / 2 + FEW


TONED = " ".join(f"{first}{vowel}" * 19 + "bб" for first in "āáǎàēéěèōóǒò" for vowel in "aeo")
"""Words that are nearly pinyin: each plain vowel belongs to the toned one before or after it."""


@pytest.mark.parametrize(
    ("patterns", "text"),
    [
        (["门蝶"], TONED),
        ([f"*{'a' * size}bb*" for size in range(1, 40)], "aaa)" * 374 + "aba"),
        (["a" * 60 + "가"], "b"),
    ],
)
def test_letters_that_can_be_divided_in_many_ways_are_read_once(patterns: list[str], text: str) -> None:
    rules(["badger"]).find("a badger")
    began = time.thread_time()
    checked(rules(patterns), text)
    assert time.thread_time() - began < 0.2


def test_a_replacement_that_makes_the_text_grow_without_end_is_given_up() -> None:
    matcher = Matcher([Rule("1", "a", action=RuleAction.REPLACE, replacement="a " * 50)])
    verdict = judge({"idea": "a " * 700}, {"idea": [matcher]}, Place(), flags_block=False)
    assert verdict.refusal
    assert verdict.refusal.code == "cost:idea"


def test_the_command_line_blocks_what_takes_too_long() -> None:
    [answer] = check_lines(rules(runs(400)), ['{"id": 1, "text": "' + "аб" * 750 + '"}'])
    assert answer["action"] == "block"
    assert "takes too long to check" in str(answer["reason"])


SERVER, OTHER = 101, 202


async def test_a_text_that_takes_too_long_is_refused_and_the_log_names_the_rule(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    await app.filters.put_all(SERVER, [Entry(pattern=pattern) for pattern in runs(60)], 7)
    with caplog.at_level(logging.WARNING):
        verdict = await app.filters.check(Where(SERVER), {"idea": "аб" * 750})
    assert verdict.refusal
    assert verdict.refusal.code == "cost:idea"
    assert "takes too long to check here" in verdict.refusal.sentence
    own = {str(rule.id) for rule in await app.filters.all(SERVER)}
    [line] = [record.getMessage() for record in caplog.records if "filter_gave_up" in record.getMessage()]
    assert line.rpartition("rule=")[2] in own
    assert verdict.texts["idea"] not in caplog.text
    assert (await app.filters.check(Where(OTHER), {"idea": "аб" * 750})).action is None


async def test_a_rule_that_blocks_counts_even_if_the_rest_of_the_text_takes_too_long(app: App) -> None:
    await app.filters.put_all(SERVER, [Entry(pattern=pattern) for pattern in (*runs(60), "badger")], 7)
    verdict = await app.filters.check(Where(SERVER), {"idea": f"badger {'аб' * 740}"})
    assert verdict.refusal
    assert verdict.refusal.code == "filter:idea"


@given(st.lists(st.sampled_from(["a", "ab", "b+a", "[ab]{2}c", "(?:ab|ba)*c", "é.", r"\bab", "c$", "."]), max_size=6))
def test_many_regexes_find_together_what_each_finds_alone(patterns: list[str]) -> None:
    text = "abba cab é! baabc Abc"
    together = [*Regexes(patterns).matches(text, Work(MUCH))]
    alone = [
        (number, start, end)
        for number, pattern in enumerate(patterns)
        for _, start, end in Regexes([pattern]).matches(text, Work(MUCH))
    ]
    assert together == alone


def test_an_ordinary_prompt_takes_few_calls() -> None:
    prompt = "portrait of an old sailor, 85mm, f/1.4, (masterpiece:1.2), soft light --ar 3:2"
    matcher = rules(["gun", "bad word", "nasty"])
    assert matcher.find(prompt) is None
    assert operations(lambda: matcher.find(prompt)) < 120
