"""Text files as people's programs write them: read whatever the encoding says, or refused with the line."""

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.generators.text_files import (
    BadText,
    decode,
    line_of,
    parse_json,
    parse_toml,
    read_json,
    read_text,
    read_toml,
    split_lines,
    stream_lines,
)

MARKED = ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"))


def marked(text: str, encoding: str) -> bytes:
    return ("\ufeff" + text).encode(encoding) if encoding.endswith("e") else text.encode(encoding)


@given(text=TEXTS, encoding=st.sampled_from(["utf-8", *MARKED]))
def test_a_text_comes_back_from_every_encoding_that_has_a_mark(text: str, encoding: str):
    assert decode(marked(text, encoding), "a.txt") == text


@given(data=st.binary())
def test_bytes_are_text_or_one_sentence(data: bytes):
    try:
        told = decode(data, "a.txt")
    except BadText as error:
        told = str(error)
        assert re.fullmatch(r"a\.txt .*line \d+.*\.", told)
    assert "\0" not in told


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("größe\n".encode("latin-1"), "a.txt is not UTF-8 text (line 1); save it as UTF-8."),
        (b"a\r\nb\rc\n\xff", "a.txt is not UTF-8 text (line 4); save it as UTF-8."),
        (
            "a\nb\nc".encode("utf-16")[:-1],
            "a.txt is not UTF-16 text, as its first bytes say (line 3); save it as UTF-8.",
        ),
        (
            "a\nb".encode("utf-16-le"),
            "a.txt holds a zero byte in line 1, so it is no text file; save it as UTF-8 text.",
        ),
    ],
)
def test_what_is_no_text_is_told_with_its_line(data: bytes, sentence: str):
    with pytest.raises(BadText) as told:
        decode(data, "a.txt")
    assert str(told.value) == sentence


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path):
    with pytest.raises(BadText, match=r"^gone.json cannot be read: No such file or directory\.$"):
        read_json(tmp_path / "gone.json")
    with pytest.raises(BadText, match=r"^The rules file cannot be read: "):
        read_text(tmp_path, "The rules file")


def test_a_line_ends_where_an_editor_ends_it_and_nowhere_else():
    assert split_lines("a\u2028b\x85c\x0bd\n\ne\r\nf\rg\n") == ["a\u2028b\x85c\x0bd", "", "e", "f", "g"]
    assert split_lines("") == []


@given(values=st.lists(st.recursive(TEXTS | st.integers() | st.none(), lambda inner: st.lists(inner), max_leaves=5)))
def test_json_lines_come_back_whatever_characters_are_in_them(values: list[object]):
    text = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
    assert [parse_json(line, "a", number) for number, line in enumerate(split_lines(text), 1)] == values


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"a": 1,\n}', "x is not valid JSON (line 1, column 8: a comma stands before a closing bracket; remove it)."),
        (
            "[1,\n2\n ,\n]",
            "x is not valid JSON (line 3, column 2: a comma stands before a closing bracket; remove it).",
        ),
        (
            '["a\u2028b",\r\n"\x85",]',
            "x is not valid JSON (line 2, column 4: a comma stands before a closing bracket; remove it).",
        ),
        ('{"a": [1\n, 2}', "x is not valid JSON (line 2, column 4: expecting ',' delimiter)."),
        ('{"a":\r1\r"b"}', "x is not valid JSON (line 3, column 1: expecting ',' delimiter)."),
        ('{"a"', "x is not valid JSON (line 1, column 5: expecting ':' delimiter)."),
        ("", "x is not valid JSON (line 1, column 1: expecting value)."),
        ('"\\ud800"', "x has half of a surrogate pair, which is no character; remove it."),
        ("9" * 5000, "x is not usable JSON: it is nested too deeply, or has a huge number."),
        ("[" * 100_000, "x is not usable JSON: it is nested too deeply, or has a huge number."),
    ],
)
def test_what_is_wrong_with_json_is_told_with_its_line(text: str, sentence: str):
    with pytest.raises(BadText) as told:
        parse_json(text, "x")
    assert str(told.value) == sentence


@pytest.mark.parametrize(
    ("text", "place"),
    [("a = 1\na = 2", "line 2: "), ("a = 1\nb = [", "line 2: "), ("[x\n", "line 1: "), ("a = 01", "line 1: ")],
)
def test_what_is_wrong_with_toml_is_told_with_its_line(text: str, place: str):
    with pytest.raises(BadText) as told:
        parse_toml(text, "x")
    assert str(told.value).startswith(f"x is not valid TOML ({place}")
    assert "(at " not in str(told.value)


@pytest.mark.parametrize("encoding", ["utf-8", *MARKED])
def test_files_of_notepad_and_powershell_are_read(tmp_path: Path, encoding: str):
    (tmp_path / "a.toml").write_bytes(marked('"größe" = "ß"\r\n', encoding))
    (tmp_path / "a.json").write_bytes(marked('{"größe": "ß"}\r\n', encoding))
    assert read_toml(tmp_path / "a.toml") == read_json(tmp_path / "a.json") == {"größe": "ß"}


def test_the_line_of_a_key_is_found():
    text = '{\n "title": "width: 3",\n "width" : 3,\n "loras": {"ink": 3}}'
    assert [line_of(text, key) for key in ("title", "width", "ink", "gone")] == [2, 3, 4, 1]
    assert [line_of("[a]\nb = 3\n['c d']\n[\"e\"]", key) for key in ("a", "b", "c d", "e")] == [1, 2, 3, 4]


def test_a_stream_goes_on_after_a_line_that_is_no_text():
    lines = list(stream_lines(io.BytesIO(b"\xef\xbb\xbfa\r\n\xe9\nb\xe2\x80\xa8c"), "the input"))
    assert [str(line) for line in lines] == ["a", "Line 2 of the input is not UTF-8 text.", "b\u2028c"]
    assert [isinstance(line, BadText) for line in lines] == [False, True, False]
    assert list(stream_lines(io.BytesIO(b""), "the input")) == []


@pytest.mark.parametrize("encoding", ["utf-8", *MARKED])
def test_a_stream_is_read_in_the_encoding_that_its_mark_names(encoding: str):
    assert list(stream_lines(io.BytesIO(marked("вомбат\r\ngröße\r\n", encoding)), "in")) == ["вомбат", "größe"]


def test_a_broken_wide_stream_ends_with_what_is_wrong():
    [broken] = stream_lines(io.BytesIO("a\nb".encode("utf-16")[:-1]), "the input")
    assert isinstance(broken, BadText)
