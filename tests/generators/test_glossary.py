"""What the glossary reads, and that the guard agrees with it."""

import pytest

from limner.generators.language.glossary import language, terms, translate, unread
from limner.generators.language.guard import check


@pytest.mark.parametrize(
    ("idea", "reading"),
    [
        ("夕阳下的海滩", "beach at sunset"),
        ("一只红色的狐狸在雪地里", "one red fox in the snow"),
        ("没有帽子的水手", "sailor without hat"),
        ("月光下的城堡", "castle in the moonlight"),
        ("水墨画：一只白鹤站在荷塘边", "ink wash painting: one white crane standing beside the pond"),
        ("广告海报：一瓶橙汁，文字“新鲜每一天”", "advertising poster: bottle of orange juice, text “新鲜每一天”"),
        ("紅色的傘", "red umbrella"),
        ("赤い傘の女の子、雨の夜", "red umbrella girl, rain night"),
        ("森の中の狐", "fox in the forest"),
        ("ein Fuchs im Schnee, Aquarell", "a fox in the snow, watercolour"),
        ("un château au clair de lune", "a castle in the moonlight"),
        ("un gato negro sobre una mesa", "a black cat on the table"),
        ("um gato preto na chuva", "a black cat in the rain"),
        ("лиса в лесу", "fox in the forest"),
        ("🐉 over 🏔️", "dragon over snow-capped mountain"),
        ("一只 Pikachu 在海滩", "one Pikachu in the beach"),
    ],
)
def test_readings(idea: str, reading: str):
    assert translate(idea) == reading
    assert check(idea, reading).lost == ()


@pytest.mark.parametrize("idea", ["a sunset beach", "cat", "van gogh style kitchen", "", "여우와 숲", "7 red balloons"])
def test_english_and_unknown_ideas_are_not_translated(idea: str):
    assert translate(idea) is None


def test_what_is_not_known_stays():
    reading = translate("饕餮和猫")
    assert reading is not None
    assert "饕餮" in reading
    assert "cat" in reading
    assert unread(reading)
    assert not unread("a red fox, château")


@pytest.mark.parametrize(
    ("text", "locale", "code"),
    [
        ("ein Fuchs im Schnee", "en-US", "de"),
        ("Fuchs", "de", "de"),
        ("a fox in the snow", "zh-CN", "en"),
        ("雪", "ja", "ja"),
        ("雪", "en-US", "zh"),
        ("海の家", "zh-CN", "ja"),
        ("un gato negro", "en-GB", "es"),
    ],
)
def test_an_idea_is_judged_by_its_own_words_first(text: str, locale: str, code: str):
    assert language(text, locale) == code


def test_the_longest_word_wins():
    assert [term.text for term in terms("雪人在雪地里", "zh")] == ["雪人", "在", "雪地", "里"]
