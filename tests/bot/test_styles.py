import re
from pathlib import Path

import pytest

from bot.errors import SetupError, UnknownStyle
from bot.styles import CHOICES, Styles


@pytest.fixture(scope="module")
def styles() -> Styles:
    return Styles.load()


def test_at_least_24_presets_ship_and_each_says_something(styles: Styles):
    assert len(styles.presets) >= 24
    for name, style in styles.presets.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
        assert style.prompt.startswith("{prompt}, ")
        assert len(style.prompt) > 40
        assert style.negative
        assert len(style.title) <= 100
    assert len({style.title for style in styles.presets.values()}) == len(styles.presets)


def test_a_style_is_put_around_the_prompt_as_it_stands(styles: Styles):
    assert styles.apply("watercolor", "a {fox} \\1 {prompt}").startswith("a {fox} \\1 {prompt}, watercolor painting")


@pytest.mark.parametrize("name", ["oil-painting", "Oil Painting", " OIL_painting "])
def test_a_style_is_found_however_it_is_spaced(styles: Styles, name: str):
    assert styles.find(name).title == "Oil painting"


def test_no_name_is_no_style(styles: Styles):
    assert styles.apply("", "a fox") == "a fox"
    assert styles.find(" ").text == ""


def test_an_unknown_style_names_the_close_ones(styles: Styles):
    with pytest.raises(UnknownStyle, match=r"^That style is not known; did you mean watercolor\?$"):
        styles.find("watercolour")
    with pytest.raises(UnknownStyle, match="pick one from the list"):
        styles.find("@everyone " * 500)


def test_the_filter_reads_all_words_of_a_style(styles: Styles):
    text = styles.find("pencil-sketch").text
    assert "graphite" in text
    assert "3d render" in text
    assert "{prompt}" not in text


def test_search_shows_what_begins_then_what_contains_then_what_comes_close(styles: Styles):
    names = [style.name for style in styles.search("pa")]
    assert names[0] == "paper-craft"
    assert "oil-painting" in names
    assert [style.name for style in styles.search("Oil P")] == ["oil-painting"]
    assert [style.name for style in styles.search("watercolour")] == ["watercolor"]
    assert styles.search("zzzzzz") == []
    assert len(styles.search("")) == CHOICES


def test_an_owners_file_adds_and_replaces(tmp_path: Path):
    file = tmp_path / "mine.toml"
    file.write_text(
        '[anime]\nprompt = "my anime of {prompt}"\n["霓虹 夜"]\nprompt = "{prompt}, 霓虹"', encoding="utf-8"
    )
    styles = Styles.load(str(file))
    assert styles.apply("anime", "a fox") == "my anime of a fox"
    assert styles.find("anime").title == "anime"
    assert styles.apply("霓虹-夜", "狐狸") == "狐狸, 霓虹"
    assert styles.find("noir").title == "Film noir"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[x", "The styles file mine.toml is not valid TOML: "),
        ("[x]\ntitle = 'X'", "The style 'x' in mine.toml needs a prompt with {prompt} in it once."),
        ("[x]\nprompt = 'words'", "The style 'x' in mine.toml needs a prompt with {prompt} in it once."),
        ("[x]\nprompt = 3", "The style 'x' in mine.toml must be a table of texts: title, prompt, negative."),
        ("x = 'words'", "The style 'x' in mine.toml must be a table of texts: title, prompt, negative."),
        ("[x]\nprompt = '{prompt}'\nsteps = '9'", "The style 'x' in mine.toml has 'steps', which is none of "),
        ("[' ']\nprompt = '{prompt}'", "The style ' ' in mine.toml needs a name of 1 to 64 characters."),
        ("[x]\nprompt = '{prompt}'\ntitle = '" + "x" * 101 + "'", "The style 'x' in mine.toml has a title of more"),
    ],
)
def test_a_wrong_entry_is_named_in_a_sentence(tmp_path: Path, content: str, sentence: str):
    file = tmp_path / "mine.toml"
    file.write_text(content)
    with pytest.raises(SetupError) as told:
        Styles.load(str(file))
    assert str(told.value).startswith(sentence)


def test_a_missing_or_broken_file_is_told(tmp_path: Path):
    with pytest.raises(SetupError, match=r"^The styles file gone.toml cannot be read: No such file or directory\.$"):
        Styles.load(str(tmp_path / "gone.toml"))
    (tmp_path / "latin.toml").write_bytes(b"[x]\ntitle = '\xe9'")
    with pytest.raises(SetupError, match=r"^The styles file latin.toml is not valid TOML"):
        Styles.load(str(tmp_path / "latin.toml"))
