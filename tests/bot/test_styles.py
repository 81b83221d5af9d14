import re
from pathlib import Path

import pytest

from limner.bot.errors import UnknownStyle
from limner.bot.styles import CHOICES, Styles
from limner.bot.translation import speaking


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
    with pytest.raises(UnknownStyle, match="choose one that is"):
        styles.find("@everyone " * 500)


def test_the_filter_reads_the_words_of_a_style_that_are_painted(styles: Styles):
    text = styles.find("pencil-sketch").text
    assert "graphite" in text
    assert "3d render" not in text
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
        ("[x", "The styles file mine.toml is not valid TOML (line 1: "),
        ("[x]\ntitle = 'X'", "The style 'x' in mine.toml (line 1) needs a prompt with {prompt} in it once."),
        ("\n[x]\nprompt = 'words'", "The style 'x' in mine.toml (line 2) needs a prompt with {prompt} in it once."),
        ("[x]\nprompt = 3", "The style 'x' in mine.toml (line 1) must be a table of texts: title, prompt, negative."),
        ("x = 'words'", "The style 'x' in mine.toml (line 1) must be a table of texts: title, prompt, negative."),
        ("[x]\nprompt = '{prompt}'\nsteps = '9'", "The style 'x' in mine.toml (line 1) has 'steps', which is none of "),
        ("[' ']\nprompt = '{prompt}'", "The style ' ' in mine.toml (line 1) needs a name of 1 to 64 characters."),
        ("[x]\nprompt = '{prompt}'\ntitle = '" + "x" * 101 + "'", "The style 'x' in mine.toml (line 1) has a title of"),
    ],
)
def test_a_wrong_entry_is_named_in_a_sentence_and_costs_itself_only(tmp_path: Path, content: str, sentence: str):
    file = tmp_path / "mine.toml"
    is_toml = content != "[x"
    file.write_text(content + ("\n[good]\nprompt = '{prompt}, good'" if is_toml else ""))
    styles = Styles.load(str(file))
    [problem] = styles.problems
    assert problem.startswith(sentence)
    assert "watercolor" in styles.presets
    assert not is_toml or styles.apply("good", "a fox") == "a fox, good"
    with pytest.raises(UnknownStyle):
        styles.find("x")


def test_a_missing_or_broken_file_is_told_and_costs_its_own_styles_only(tmp_path: Path):
    gone = Styles.load(str(tmp_path / "gone.toml"))
    assert gone.problems == ["The styles file gone.toml cannot be read: No such file or directory."]
    assert gone.presets == Styles.load().presets
    (tmp_path / "latin.toml").write_bytes(b"[x]\ntitle = '\xe9'")
    [problem] = Styles.load(str(tmp_path / "latin.toml")).problems
    assert problem == "The styles file latin.toml is not UTF-8 text (line 2); save it as UTF-8."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_of_notepad_or_powershell_is_read(tmp_path: Path, encoding: str):
    file = tmp_path / "mine.toml"
    file.write_text('["größe"]\r\nprompt = "{prompt}, größer"\r\n', encoding=encoding, newline="")
    assert Styles.load(str(file)).apply("größe", "a fox") == "a fox, größer"


def test_a_style_is_shown_and_found_by_its_title_in_the_members_language():
    styles = Styles.load("")
    with speaking("zh-CN"):
        assert [(style.shown, style.name) for style in styles.search("水彩")] == [("水彩", "watercolor")]
        assert [style.name for style in styles.search("watercolor")] == ["watercolor"]
    assert styles.find("watercolor").shown == "Watercolor"
