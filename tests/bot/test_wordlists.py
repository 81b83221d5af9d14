"""Word lists and tables as people keep them, and what is told of each line."""

from __future__ import annotations

import csv
import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.bot.errors import BadRule
from limner.bot.filters.rulebook.files import Item
from limner.bot.filters.rulebook.wordlists import TABLES, read
from limner.bot.filters.rules import tidy

LIST = """\
# our list
zorpish
quibbly   # added after the raid
"frangle"
drabbit,3
- mellow
it's
c++
:smile:
*wom*
hot dog;

---
"a, b",
`x#y`
“curly”
'tis
"""


def found(text: str, name: str = "words.txt") -> list[str]:
    return [item.entry.pattern for item in read(text, name) if item.entry]


def told(text: str, name: str = "words.txt") -> list[str]:
    return [item.complaint for item in read(text, name) if item.complaint]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_the_usual_forms_of_a_list_are_read(ends: str) -> None:
    text = LIST.replace("\n", ends)
    words = ["zorpish", "quibbly", "frangle", "drabbit", "mellow", "it's", "c++", ":smile:", "*wom*", "hot dog"]
    assert found(text) == [*words, "a, b", "x#y", "curly", "'tis"]
    assert told(text) == ["5: A number after a word means nothing here and is left out."]


@pytest.mark.parametrize(
    ("line", "patterns", "sentence"),
    [
        ("#tag", [], "It is read as a comment"),
        (":section [mask]", [], "It is read as a heading"),
        ("[Slurs]", [], "It is read as a heading"),
        ("Slurs:", [], "It is read as a heading"),
        ("drabbit, minor", [], "It has two parts"),
        ("mellowt,grimbo", [], "It has two parts"),
        ("词一，词二", [], "It has two parts"),
        ("a1, b2, c3", ["a1", "b2", "c3"], "It is read as 3 rules"),
        ("minor #7", ["minor"], "What follows # is read as a note"),
        ("* star", ["star"], "The star before it is read as a bullet"),
        ("12. twelve", ["twelve"], "The number before it is left out"),
        ("weight:3", ["weight"], "A number after a word means nothing"),
        ("/a.b/i", [], "It looks like a regex"),
        ("cow => cat", [], "It has an arrow"),
        ("<3", ["<3"], "Its signs are read as parts of the rule"),
        ('"unclosed', ['"unclosed'], "Its signs are read as parts of the rule"),
        ("c*t", [], "A rule may have a * only at its start or its end"),
    ],
)
def test_what_is_doubtful_in_a_list_is_told_with_its_line(line: str, patterns: list[str], sentence: str) -> None:
    text = f"one\n\n{line}\ntwo"
    assert found(text) == ["one", *patterns, "two"]
    [said] = told(text)
    assert said.startswith(f"3: {sentence}")
    if "quotes" in said:
        quoted = '"' + line.replace('"', '""') + '"'
        assert (found(f"one\n{quoted}\ntwo"), told(f"one\n{quoted}\ntwo")) == (["one", line, "two"], [])


@pytest.mark.parametrize(
    ("name", "text", "patterns", "sentences"),
    [
        (
            "w.csv",
            "word,severity\nsnorkle,3\nblatherum,1\n",
            ["snorkle", "blatherum"],
            ["1: These columns mean nothing"],
        ),
        ("w.txt", 'id;Bad Word;lang\n1;"foo; bar";en\n2;baz;de', ["foo; bar", "baz"], ["1: These columns mean"]),
        ("w.tsv", "1\tfoo\tx\n2\tbar\ty\n# end\n", ["foo", "bar"], ["1: Only column 2 is read"]),
        ("w.csv", "word\nfoo\n", ["foo"], ["1: It is read as a heading"]),
        ("w.csv", "foo\nbar\n", ["foo", "bar"], []),
        ("w.csv", 'pattern,reason\n"fo""o\nbar",no\nc*t,\nbaz,\n', ['fo"o bar', "baz"], ["4: A rule may have a *"]),
        ("w.csv", "term,kind\n\\bfoo\\b,regex\nbar,glob\n", ["\\bfoo\\b"], ["3: Its kind must be one of"]),
        (
            "w.csv",
            "term,kind\ncat,prefix\ncat*,suffix\n",
            ["cat*"],
            ["3: Its kind is suffix, and its stars say prefix"],
        ),
        ("w.csv", "term,enabled\ncat,no\ndog,maybe\n", ["cat"], ["3: Its enabled must be true or false."]),
        ("w.txt", '{"rules": ["a1", "b2"]}', ["a1", "b2"], []),
        ("w.txt", '["a1"]', ["a1"], []),
        ("w.json", '"a1"\n"b2"', ["a1", "b2"], []),
    ],
)
def test_tables_are_read_by_the_names_of_their_columns(
    name: str, text: str, patterns: list[str], sentences: list[str]
) -> None:
    assert found(text, name) == patterns
    said = told(text, name)
    assert len(said) == len(sentences)
    assert all(one.startswith(sentence) for one, sentence in zip(said, sentences, strict=True))


def test_a_table_says_what_each_rule_does() -> None:
    text = "phrase|action|replacement|reason\ncow|replace|cat|\nowl|Allow||\npig|flag||No pigs.\n"
    entries = [item.entry for item in read(text, "w.txt") if item.entry]
    assert [(one.pattern, one.is_allow, one.action, one.replacement, one.reason) for one in entries] == [
        ("cow", False, "replace", "cat", ""),
        ("owl", True, "block", "", ""),
        ("pig", False, "flag", "", "No pigs."),
    ]


@given(st.lists(st.text(alphabet="ab猫é *#,;:\"'`|[]()-.<>=/1\t", min_size=1, max_size=12), max_size=5))
def test_quotes_take_any_text_as_it_stands(texts: list[str]) -> None:
    patterns: list[str] = []
    for text in texts:
        try:
            patterns.append(tidy(text))
        except BadRule:
            continue
    quoted = ['"' + pattern.replace('"', '""') + '"' for pattern in patterns]
    assert (found("\n".join(quoted)), told("\n".join(quoted))) == (patterns, [])
    table = io.StringIO()
    csv.writer(table).writerows([["pattern", "reason"], *([pattern, ""] for pattern in patterns)])
    if patterns:
        assert found(table.getvalue(), "words.csv") == patterns


@given(st.text(alphabet="ab,;\t|\"'#:[]{}*-/> \r\n1猫", max_size=60), st.sampled_from([*TABLES, ".txt", ".json", ""]))
def test_any_text_is_read_or_refused_in_a_sentence(text: str, ending: str) -> None:
    try:
        items = list(read(text, f"words{ending}"))
    except BadRule as error:
        items = [Item("1", None, str(error))]
    assert all(item.entry or item.problem.endswith(".") or item.note.endswith(".") for item in items)
    assert all(item.label.isdecimal() for item in items)


@pytest.mark.parametrize(("line", "name"), [("[a]\n", "words.txt"), ("a,\n", "words.csv"), ("a\r", "words.csv")])
def test_a_file_of_very_many_lines_is_refused_before_it_is_read(line: str, name: str) -> None:
    tracemalloc.start()
    with pytest.raises(BadRule, match=r"^That file has more than 100,000 lines; divide it into several\.$"):
        list(read(line * 100_001, name))
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
