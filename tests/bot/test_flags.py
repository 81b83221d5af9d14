import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from limner.bot.errors import BadPrompt, UserError
from limner.bot.options.flags import ParsedPrompt, clean, parse_prompt, without_flags


def parsed(idea: str, **options: Any) -> ParsedPrompt:
    return ParsedPrompt(idea, options)


def parse(text: str) -> ParsedPrompt:
    return parse_prompt(text, max_length=1500)


def refused(text: str) -> str:
    with pytest.raises(BadPrompt) as told:
        parse(text)
    return str(told.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red fox", parsed("a red fox")),
        ("a red fox --ar 3:2", parsed("a red fox", aspect=(3, 2))),
        ("--seed 7 a red fox", parsed("a red fox", seed=7)),
        ("a red --count 2 fox", parsed("a red fox", count=2)),
        ("fox --no text, people --steps 9", parsed("fox", negative="text, people", steps=9)),
        ("fox --raw in snow", parsed("fox in snow", expand="off")),
        ("fox --STYLE Watercolor", parsed("fox", style="Watercolor")),
        ('fox --style "oil painting" in snow', parsed("fox in snow", style="oil painting")),
        ("fox, --ar 16:9, --seed=5", parsed("fox", aspect=(16, 9), seed=5)),
        ("fox,--ar 3:2", parsed("fox", aspect=(3, 2))),
        ("fox--ar 3:2", parsed("fox", aspect=(3, 2))),
        ("a fox —ar 3:2 –raw", parsed("a fox", aspect=(3, 2), expand="off")),
        ("a fox —no text, blur —ar 3:2", parsed("a fox", negative="text, blur", aspect=(3, 2))),
        ("a fox —style watercolor", parsed("a fox", style="watercolor")),
        ("a fox -ar 3:2 -seed 7", parsed("a fox", aspect=(3, 2), seed=7)),
        ("fox—ar 3:2", parsed("fox", aspect=(3, 2))),
        ("--ar 3:2，雪地里的狐狸", parsed("雪地里的狐狸", aspect=(3, 2))),
        ("狐狸——ar 3:2，——no 文字", parsed("狐狸", aspect=(3, 2), negative="文字")),
        ("キツネ ーーar 3:2", parsed("キツネ", aspect=(3, 2))),
        ("fox --ar: 3:2 --seed:7", parsed("fox", aspect=(3, 2), seed=7)),
        ("fox --style „oil painting“ in snow", parsed("fox in snow", style="oil painting")),
        ("fox --colour 1,5 --sharpen 0,25, in snow", parsed("fox in snow", colour=1.5, sharpen=0.25)),
        ("un zorro —no un perro— junto al mar —ar 3:2", parsed("un zorro —no un perro— junto al mar", aspect=(3, 2))),
        ("狐狸 --ar 3：2", parsed("狐狸", aspect=(3, 2))),
        ("fox --seed 18446744073709551616", parsed("fox", seed=2**64)),
        ("fox --count 0", parsed("fox", count=0)),
        ("fox\n--ar\n1:2", parsed("fox", aspect=(1, 2))),
        ("fox --model sdxl --guidance 2,5 in snow", parsed("fox in snow", model="sdxl", guidance=2.5)),
        ("fox --lora ink:0.7 --sampler euler_a", parsed("fox", lora="ink:0.7", sampler="euler_a")),
        ('fox --sampler "DPM++ 2M" --strength 0.5', parsed("fox", sampler="DPM++ 2M", strength=0.5)),
        ("fox --negative text, people --expand preview", parsed("fox", negative="text, people", expand="preview")),
        ("fox --upscale 2 --crop 2:1", parsed("fox", upscale=2, crop=(2, 1))),
        (
            "fox --resize 640x480 --colour 1.2 --sharpen 0",
            parsed("fox", resize=(640, 480), colour=1.2, sharpen=0),
        ),
    ],
)
def test_flags_are_taken_out_of_the_idea(text: str, expected: ParsedPrompt):
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a sign that says “--ar 3:2”",
        'a sign that says "--unknown"',
        "a well--known fox",
        "a fox -- and a hare",
        "a fox --- a hare",
        "a fox—no, a hare",
        "a house — no roof",
        "an ending --",
        "un zorro —no un perro— junto al mar",
        "un zorro --no un perro-- junto al mar",
        "—No quiero ir, dice el zorro —dijo ella",
        "a house -no roof, a photo -raw",
        "a fox –raw energy– in the snow",
        "a well --built of old stones-- in a garden",
        "the house--no, the hut--in the rain",
        "une maison —style ancien— au bord de la mer",
        "eine Treppe —steps— aus Holz",
        "コーヒーno 1",
        "a storm —chaos everywhere",
        "雨夜——狐狸在窗前",
        "a sign „--ar 3:2“, another «--seed 7»",
        "wow --- ar 3:2",
        'a 12" ruler beside a 5" nail',
    ],
)
def test_hyphens_quotes_and_dashes_in_prose_stay(text: str):
    assert parse(text) == parsed(text)


def test_an_inch_sign_does_not_hide_a_flag():
    assert parse('a 12" ruler --ar 3:2 and a 5" nail').options["aspect"] == (3, 2)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The prompt is empty; write what you want to see."),
        (" \n\t", "The prompt is empty; write what you want to see."),
        ("\u200b\u200d\u202e\ufeff", "The prompt has only invisible characters; write what you want to see."),
        ("\u3164\u2800", "The prompt has only invisible characters; write what you want to see."),
        ("--ar 3:2 --raw", "The prompt has only flags; write what you want to see before them."),
        ("fox --ar", "The flag --ar needs a width and a height, such as --ar 3:2."),
        ("fox --ar 3x2", "The flag --ar needs a width and a height, such as --ar 3:2."),
        ("fox --ar 0:2", "The flag --ar needs a width and a height, such as --ar 3:2."),
        ("fox --ar --raw", "The flag --ar needs a width and a height, such as --ar 3:2."),
        ("fox --seed -1", "The flag --seed needs a whole number of at most 20 digits, such as --seed 7."),
        ("fox --seed ²", "The flag --seed needs a whole number of at most 20 digits, such as --seed 7."),
        ("fox --steps 1.5", "The flag --steps needs a whole number, such as --steps 20."),
        ("fox --resize 640", "The flag --resize needs a width and a height in pixels, such as --resize 640x480."),
        ("fox --colour red", "The flag --colour needs a number, such as --colour 1.2."),
        ("fox --no --raw", "The flag --no needs what must not be seen, such as --no text."),
        ('fox --style ""', "The flag --style needs a style's name, such as --style watercolor."),
        ("fox --expand maybe", "The flag --expand needs on, off or preview, such as --expand preview."),
        ("fox --model", "The flag --model needs a model's name, such as --model doodle."),
        ("fox --raw --expand on", "The flag --expand is given twice; give it once."),
        ("fox --no text --negative blur", "The flag --negative is given twice; give it once."),
        ("fox --raw --raw", "The flag --raw is given twice; give it once."),
        ("fox --seed 1 --seed 1", "The flag --seed is given twice; give it once."),
    ],
)
def test_each_mistake_is_told_in_its_own_sentence(text: str, sentence: str):
    assert refused(text) == sentence


@pytest.mark.parametrize("flag", ["--5", "--@everyone", "--äh", "--" + "x" * 900])
def test_an_unknown_flag_is_named_in_short_with_what_is_allowed(flag: str):
    sentence = refused(f"fox {flag}")
    allowed = (
        "is no flag; the flags are --no --negative --ar --count --repeat --r --quality --refine --steps "
        "--sampler --skipping --guidance --guided --seed --style --model --lora --mix --strength --sref --sw "
        "--cref --cw --areas --cm --control --controls --upscale --crop --resize --colour "
        "--sharpen --expand --draft --tile --raw --private."
    )
    assert sentence.endswith(allowed)
    assert len(sentence) < len(allowed) + 30
    assert "@" not in sentence


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--v 6", "--v is not a flag here; what comes nearest is --model."),
        ("—v 6", "--v is not a flag here; what comes nearest is --model."),
        ("--stylize 1,5", "--stylize is not a flag here; what comes nearest is --guidance."),
        (
            "--sref https://example.com/a--b.png",
            "The flag --sref needs a picture of mine by its request and number, or the link of a message with one, "
            "such as --sref 12-1.",
        ),
        ("--aspect 3:2", "--aspect is not a flag here; what comes nearest is --ar."),
        ("--color 2", "--color is not a flag here; what comes nearest is --colour."),
        ("--sed 7", "--sed is not a flag here; what comes nearest is --seed."),
        ("--chaos 50", "--chaos is not a flag here, and nothing here does the same; leave it out."),
        (
            "--v 6 --s 250 --ar 3:2 --video --weird 5",
            "--v (nearest: --model), --s (nearest: --guidance), --video and 1 more are not flags "
            "here; change them or leave them out.",
        ),
    ],
)
def test_a_flag_of_midjourneys_is_refused_with_the_nearest_of_ours(flags: str, sentence: str):
    assert refused(f"a fox {flags}") == sentence


MARKS = ["--", "—", "——", "–", "––", "‒", "―", "― ―", "－－", "‑‑", "−−", "−", "⸺", "﹘﹘", "──", "- -"]
GOOD: dict[str, tuple[str, Any]] = {
    "ar 3:2": ("aspect", (3, 2)),
    "seed 7": ("seed", 7),
    "count=2": ("count", 2),
    "steps 9": ("steps", 9),
    "colour 1,5": ("colour", 1.5),
    "raw": ("expand", "off"),
    "no text": ("negative", "text"),
    "style watercolor": ("style", "watercolor"),
}
BAD = [
    "ar 3/2",
    "ar 3:2,5",
    "ar 3:2，5",
    "count 2,a",
    "seed 7,5",
    "count 2,3",
    "steps 1.5",
    "colour 1,5,2",
    "resize 640x480x3",
    "upscale 2x",
]


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("flag", GOOD)
def test_every_dash_that_keyboards_make_begins_a_flag(mark: str, flag: str):
    field, value = GOOD[flag]
    assert parse(f"a red fox {mark}{flag}") == parsed("a red fox", **{field: value})


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("flag", BAD)
def test_a_value_that_cannot_be_read_is_refused_whatever_the_dash(mark: str, flag: str):
    assert refused(f"a red fox {mark}{flag}").startswith(f"The flag --{flag.split()[0]} needs ")


NUMBERED = ["ar", "seed", "count", "steps", "crop", "upscale", "resize", "colour", "sharpen"]


@given(st.sampled_from(MARKS), st.sampled_from(NUMBERED), st.from_regex(r"[0-9][0-9.,:;x%a]{0,9}", fullmatch=True))
def test_nothing_of_a_value_leaks_into_the_idea(mark: str, name: str, value: str):
    outcome = parse_or_refuse(f"a red fox {mark}{name} {value}")
    assert isinstance(outcome, UserError) or outcome.idea == "a red fox"


LETTERS = st.text(alphabet="abcdeno áñ狐", min_size=1).map(str.strip).filter(bool)


@given(LETTERS, LETTERS, st.sampled_from(["no", "raw", "style", "count", "steps"]), st.sampled_from(["—", "–", "--"]))
def test_an_aside_between_dashes_is_prose(first: str, last: str, word: str, dash: str):
    text = clean(f"{first} {dash}{word} un perro{dash} {last}")
    assert parse(text) == parsed(text)


@given(LETTERS, LETTERS, st.sampled_from(["—", "–", "-", "--", "―"]))
def test_a_dash_between_blanks_is_prose(first: str, last: str, dash: str):
    text = clean(f"{first} {dash} {last}")
    assert parse(text) == parsed(text)


@pytest.mark.parametrize("text", ["text --ar 3:2", "——seed 7", "blur --chaos"])
def test_a_field_that_takes_no_flags_says_where_they_belong(text: str):
    with pytest.raises(BadPrompt, match=r"^--\w+ is a flag, and it belongs into the prompt\.$"):
        without_flags(text, "{flag} is a flag, and it belongs into the prompt.")
    assert without_flags("text — no  signs --", "") == "text — no signs --"


def test_the_length_counts_what_can_be_seen():
    assert parse_prompt("fox" + "\u200b" * 100, max_length=3).idea == "fox"
    with pytest.raises(BadPrompt, match="has 10000 characters, and at most 1500 are read"):
        parse("x" * 10_000)


def test_direction_marks_go_and_right_to_left_words_stay():
    assert parse("\u202eثعلب أحمر\u202c שועל\u200f").idea == "ثعلب أحمر שועל"


def test_joiners_stay_where_letters_need_them():
    assert clean("می\u200cخواهم 👩\u200d🚀") == "می\u200cخواهم 👩\u200d🚀"
    assert clean("f\u200cox \u200da") == "fox a"


def test_controls_lines_surrogates_and_spellings_are_cleaned():
    assert clean("a\x00 b\r\n\r\nc\td\x1b \ud800e\u0301 \u2028f") == "a b c d é f"


TEXTS = (
    st.text()
    | st.text(alphabet="a \"'“”-—–－=:,，3:2nosraw\u200c\u200d\n")
    | st.lists(
        st.sampled_from(
            ["--ar", "3:2", "--no", "fox", "--seed", "7", "—raw", '"', "--style", "--x", "1" * 30, "--", ","]
        )
    ).map(" ".join)
)


def parse_or_refuse(text: str) -> ParsedPrompt | UserError:
    try:
        return parse(text)
    except UserError as refused:
        return refused


@given(TEXTS)
@example("0 \u200c 0")
@example("\u212a\u200c\u212a")
def test_any_text_is_parsed_or_refused_in_a_sentence(text: str):
    outcome = parse_or_refuse(text)
    if isinstance(outcome, UserError):
        assert str(outcome).endswith(".")
        assert len(str(outcome)) < (350 if "the flags are" in str(outcome) else 200)
    else:
        assert outcome.idea == clean(outcome.idea)


def is_dash(sign: str) -> bool:
    return unicodedata.category(sign) == "Pd" or sign in "−˗⁃─━ー"


@given(st.text())
@example("\u212a\u200c\u212a")
@example("e\u200b\u0301")
@example("ا\u3000\u200cا")
def test_cleaning_twice_changes_nothing(text: str):
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)


@given(st.text(min_size=1).filter(lambda text: not any(map(is_dash, text)) and clean(text)))
def test_an_idea_without_hyphens_comes_back_as_it_is(text: str):
    assert parse(text) == parsed(clean(text))


FLAGS = ["--ar 3:2", "--seed 7", "--no text, blur", "--style watercolor", "--raw", "--count 2", "--steps 9"]


@given(st.permutations(FLAGS), st.integers(0, len(FLAGS)))
def test_the_order_of_flags_does_not_matter(flags: list[str], number: int):
    chosen = flags[:number]
    assert parse(" ".join(["a red fox", *chosen])) == parse(" ".join(["a red fox", *sorted(chosen)]))
    assert parse("a red fox " + " ".join(flags)) == parsed(
        "a red fox",
        aspect=(3, 2),
        seed=7,
        negative="text, blur",
        style="watercolor",
        expand="off",
        count=2,
        steps=9,
    )
