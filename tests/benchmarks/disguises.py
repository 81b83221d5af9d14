"""How many disguised words the filter sees through, by kind: words and respellings that it was not developed with."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

from limner.bot.filters.matcher import Matcher
from limner.bot.filters.rules import Rule
from limner.bot.filters.text.tables import is_word
from limner.bot.filters.work import TooCostly
from tests.benchmarks.figures import show

SEED, EACH = 20261130, 4
"""Every respelling follows from the seed; so many are made of each word for each kind."""
WORDS = {
    "latin": (
        "lantern orchard blanket whisper thunder captain monster balcony pumpkin cushion dolphin feather "
        "hammock jungle kitchen leopard mountain narrow oyster peacock quarter raccoon scarecrow trumpet "
        "umbrella velvet weather wizard yellow zebra backpack chimney daughter elephant fountain glacier "
        "highway island jacket kingdom library meadow necklace octopus phantom quiver rhubarb shoulder "
        "treasure unicorn village windmill fenster schraube regenschirm gabel kirche brunnen schlüssel "
        "vogelhaus kutsche nachbar löffel zwiebel ventana mercado sombrero zapato naranja pescado cuchillo "
        "montaña bosque tortuga fromage lumière chapeau cerise bateau fourmi escalier grenouille pamplemousse "
        "tabouret"
    ),
    "russian": (
        "лопата корабль чайник щука ёжик хлопок цыпленок жемчуг юбка яблоко шиповник крыльцо мельница подушка "
        "рюкзак чемодан скрипка муравей объезд съемка вьюга бульвар"
    ),
    "chinese": ("蝴蝶 雨伞 灯笼 骆驼 火车 葡萄 椅子 狐狸 绿茶 女巫 旅馆 铅笔 围巾 石榴 乌龟 枫叶"),
    "japanese": (
        "すいか とうふ ふうせん しんぶん ちかてつ つくえ じてんしゃ きょうしつ おおかみ "
        "らーめん しょうゆ ざっし ふじさん くじゃく"
    ),
    "korean": ("나비 우산 기차 포도 의자 여우 거북이 단풍 연필 석류 목도리 별자리 고래 자전거"),
}
SOUNDS = (
    ("ph", "f"),
    ("f", "ph"),
    ("ck", "k"),
    ("ck", "q"),
    ("c(?=[aouklrt])", "k"),
    ("k", "c"),
    ("qu", "kw"),
    ("x", "ks"),
    ("z", "s"),
    ("s$", "z"),
    ("ee", "ea"),
    ("ea", "ee"),
    ("oo", "u"),
    ("oo", "ou"),
    ("ou", "ow"),
    ("ow", "ou"),
    ("ow$", "o"),
    ("igh", "y"),
    ("igh", "ie"),
    ("er$", "a"),
    ("er$", "ur"),
    ("er$", "ah"),
    ("tion", "shun"),
    ("y$", "ie"),
    ("y$", "ee"),
    ("ai", "ay"),
    ("ay", "ai"),
    ("au", "aw"),
    ("ough", "uff"),
    ("(?<=[bdgklmnprt])e$", ""),
    (r"([bdfglmnprst])\1", r"\1"),
    ("^kn", "n"),
    ("^wr", "r"),
    ("^wh", "w"),
    ("^w", "wh"),
    ("sch", "sh"),
    ("sh", "sch"),
    ("ch", "tch"),
    ("dge", "j"),
    ("v", "w"),
    ("ei", "ai"),
    ("ie", "ee"),
    ("ll", "y"),
    ("ñ", "ny"),
    ("eau", "o"),
    ("ou", "oo"),
    ("qu", "k"),
    ("j(?=[aou])", "h"),
    ("th", "d"),
    ("c(?=[ei])", "s"),
    ("s(?=[ei])", "c"),
    ("g(?=[ei])", "j"),
    ("le$", "el"),
    ("al$", "el"),
    ("ia", "ya"),
)
"""How people write what they hear: what stands in a word, and what is written instead."""
CYRILLIC = (
    "а=a б=b в=v,w г=g д=d е=e,ye,je ё=yo,jo,io,e ж=zh,j,z з=z,s и=i й=y,j,i к=k,c л=l м=m н=n о=o п=p р=r с=s т=t "
    "у=u,oo ф=f,ph х=kh,h,x ц=ts,c,tz ч=ch,4,tch ш=sh,6,sch щ=shch,sch,sh ъ=,' ы=y,i ь=,' э=e ю=yu,ju,iu,u я=ya,ja,ia"
)
LATIN = {pair[0]: pair[2:].split(",") for pair in CYRILLIC.split()}
PINYIN = {
    "蝴": "hu2",
    "蝶": "die2",
    "雨": "yu3",
    "伞": "san3",
    "灯": "deng1",
    "笼": "long2",
    "骆": "luo4",
    "驼": "tuo2",
    "火": "huo3",
    "车": "che1",
    "葡": "pu2",
    "萄": "tao2",
    "椅": "yi3",
    "子": "zi5",
    "狐": "hu2",
    "狸": "li2",
    "绿": "lü4",
    "茶": "cha2",
    "女": "nü3",
    "巫": "wu1",
    "旅": "lü3",
    "馆": "guan3",
    "铅": "qian1",
    "笔": "bi3",
    "围": "wei2",
    "巾": "jin1",
    "石": "shi2",
    "榴": "liu2",
    "乌": "wu1",
    "龟": "gui1",
    "枫": "feng1",
    "叶": "ye4",
}
TONES = "\u0304\u0301\u030c\u0300"
ROMAJI = {
    "すいか": "suika",
    "とうふ": "toufu tofu tōfu tohu",
    "ふうせん": "fuusen fūsen husen huusen",
    "しんぶん": "shinbun shimbun sinbun",
    "ちかてつ": "chikatetsu tikatetu",
    "つくえ": "tsukue tukue",
    "じてんしゃ": "jitensha zitensya jitensya",
    "きょうしつ": "kyoushitsu kyōshitsu kyoshitsu kyositu",
    "おおかみ": "ookami ōkami okami ohkami",
    "らーめん": "raamen rāmen ramen rahmen",
    "しょうゆ": "shouyu shōyu shoyu syouyu syoyu",
    "ざっし": "zasshi zassi",
    "ふじさん": "fujisan hujisan huzisan",
    "くじゃく": "kujaku kuzyaku kujyaku",
}
HANGUL = {
    "나비": "nabi nabee",
    "우산": "usan oosan woosan",
    "기차": "gicha kicha keecha",
    "포도": "podo p'odo",
    "의자": "uija euija uicha",
    "여우": "yeou yeowoo yŏu",
    "거북이": "geobugi kobugi geobuki",
    "단풍": "danpung tanpung danpoong",
    "연필": "yeonpil yonpil yeonpeel",
    "석류": "seongnyu seokryu sŏngnyu",
    "목도리": "mokdori mokdoree mogdori",
    "별자리": "byeoljari pyoljari",
    "고래": "gorae korae gore",
    "자전거": "jajeongeo jajongo chajŏn'gŏ",
}
VOWELS = "aeiou"
MASKS = "*-_#.•?~"
DRAWN = {
    "m": ["/\\/\\", "|V|"],
    "w": ["\\/\\/", "vv"],
    "n": ["|\\|", "/\\/"],
    "h": ["|-|", ")-("],
    "k": ["|<", "|{"],
    "d": ["|)", "[)"],
    "b": ["|3", "!3"],
    "v": ["\\/"],
    "u": ["|_|", "(_)"],
    "a": ["/-\\", "/\\"],
    "l": ["|_"],
    "c": ["("],
    "o": ["()"],
    "p": ["|*", "|>"],
    "r": ["|2"],
    "t": ["']['"],
    "x": ["><"],
}

Make = Callable[[str, random.Random], str]


def _masked(word: str, chance: random.Random) -> str:
    letters, sign = list(word), chance.choice(MASKS)
    for place in chance.sample(range(1, len(word) - 1), k=chance.choice([1, 2]) if len(word) > 5 else 1):
        letters[place] = sign
    return "".join(letters)


def _without_vowels(word: str, chance: random.Random) -> str:
    return word[0] + re.sub(f"[{VOWELS}]", "", word[1:])


def _without_some_vowels(word: str, chance: random.Random) -> str:
    places = [place for place, letter in enumerate(word) if letter in VOWELS and place]
    gone = chance.sample(places, k=chance.randint(1, max(1, len(places) - 1))) if places else []
    return "".join(letter for place, letter in enumerate(word) if place not in gone)


def _other_vowel(word: str, chance: random.Random) -> str:
    places = [place for place, letter in enumerate(word) if letter in VOWELS]
    if not places:
        return word
    place = chance.choice(places)
    return word[:place] + chance.choice([one for one in VOWELS if one != word[place]]) + word[place + 1 :]


def _swapped(word: str, chance: random.Random) -> str:
    place = chance.randrange(1, len(word) - 1)
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _drawn(word: str, chance: random.Random) -> str:
    places = [place for place, letter in enumerate(word) if letter in DRAWN]
    chosen = chance.sample(places, k=min(len(places), len(word) // 2, chance.choice([1, 2])))
    return "".join(chance.choice(DRAWN[letter]) if place in chosen else letter for place, letter in enumerate(word))


def _heard(word: str, chance: random.Random) -> str:
    rules = [rule for rule in SOUNDS if re.search(rule[0], word)]
    for sound, written in chance.sample(rules, k=min(len(rules), chance.choice([1, 1, 2]))):
        word = re.sub(sound, written, word, count=1)
    return word


def _russian(word: str, chance: random.Random) -> str:
    return "".join(chance.choice(LATIN[letter]) for letter in word)


def _pinyin(word: str, chance: random.Random) -> str:
    how, syllables = chance.choice(["bare", "spaced", "digits", "marks", "capitals"]), [PINYIN[sign] for sign in word]
    umlaut = chance.choice(["v", "u", "ü"])
    if how == "marks":
        return "".join(map(_toned, syllables))
    syllables = [syllable.replace("ü", umlaut) for syllable in syllables]
    if how == "digits":
        return "".join(syllables)
    bare = [syllable[:-1] for syllable in syllables]
    return {"spaced": " ".join(bare), "capitals": "".join(map(str.title, bare))}.get(how, "".join(bare))


def _toned(syllable: str) -> str:
    letters, tone = syllable[:-1], int(syllable[-1])
    place = next((letters.index(vowel) for vowel in "aoe" if vowel in letters), max(map(letters.rfind, "iuü")))
    mark = TONES[tone - 1] if tone < 5 else ""
    return unicodedata.normalize("NFC", letters[: place + 1] + mark + letters[place + 1 :])


def _among(spellings: Mapping[str, str]) -> Make:
    return lambda word, chance: chance.choice(spellings[word].split())


KINDS: dict[str, tuple[str, Make]] = {
    "one or two letters masked": ("latin", _masked),
    "all vowels left out": ("latin", _without_vowels),
    "some vowels left out": ("latin", _without_some_vowels),
    "another vowel": ("latin", _other_vowel),
    "two letters swapped": ("latin", _swapped),
    "letters drawn with signs": ("latin", _drawn),
    "written as it sounds": ("latin", _heard),
    "Russian in Latin letters": ("russian", _russian),
    "Chinese in Latin letters": ("chinese", _pinyin),
    "Japanese in Latin letters": ("japanese", _among(ROMAJI)),
    "Korean in Latin letters": ("korean", _among(HANGUL)),
}


def respellings(kind: str, half: int | None = None) -> Iterator[tuple[str, str]]:
    """Words and their respellings of a kind that are no words; of every second word only, if a half (0, 1) is named."""
    script, make = KINDS[kind]
    for number, word in enumerate(WORDS[script].split()):
        chance = random.Random(f"{SEED} {kind} {word}")
        if half is None or number % 2 == half:
            made = {make(word, chance) for _ in range(EACH)} - {word}
            yield from ((word, one) for one in sorted(made) if not is_word(one.lower()) and len(one) > 3)


def recall(kind: str, half: int | None = None) -> tuple[int, int, list[tuple[str, str]]]:
    """How many respellings are found among how many, and those that are not."""
    matcher = Matcher([Rule(word, word) for words in WORDS.values() for word in words.split()])
    every = list(respellings(kind, half))
    missed = [(word, one) for word, one in every if not _is_found(matcher, word, f"a painting of {one} at night")]
    return len(every) - len(missed), len(every), missed


def _is_found(matcher: Matcher, word: str, text: str) -> bool:
    with suppress(TooCostly):
        return any(match.rule.id == word for match in matcher.matches(text))
    return True


def main() -> None:
    """Print the table."""
    rows: list[Sequence[str]] = []
    for kind in KINDS:
        found, every, _ = recall(kind)
        rows.append((kind, f"{100 * found / every:.0f} %", f"{every}"))
    show(
        "Disguised words that are found",
        ("", "found", "of"),
        rows,
        f"Respellings by the seed {SEED}, none of them a word.",
    )


if __name__ == "__main__":
    main()
