"""The docs name every setting, command, option, verb and error, and none that does not exist; links lead somewhere."""

import io
import re
from contextlib import redirect_stdout
from dataclasses import fields
from pathlib import Path
from typing import Any

import discord
import pytest
from discord import app_commands

import limner.bot.errors
from limner.bot.cli.arguments import build_parser
from limner.bot.errors import BadPrompt, UserError
from limner.bot.filters.rulebook.entries import USED
from limner.bot.filters.rules import RuleAction
from limner.bot.options.declarations import OPTIONS, PROMPT
from limner.bot.options.flags import parse_prompt
from limner.bot.settings import Settings
from tests.simulated_discord import World

ROOT = Path(__file__).resolve().parent.parent
SHOWN = fields(Settings)[1:]
PAGES = {path: path.read_text(encoding="utf-8") for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))}
README = PAGES[ROOT / "README.md"]
DOCS = "\n".join(PAGES.values())


def table_rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    section = re.split(rf"^#+ {heading}$", DOCS, maxsplit=1, flags=re.MULTILINE)[1]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table, heading
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.group().splitlines()]
    return rows[2:]


def shown(name: str) -> str:
    return Settings().environment().get(f"LIMNER_{name.upper()}", "") or "empty"


def test_two_commands_come_first() -> None:
    assert README.split("```")[1].split("\n")[1].startswith("make demo")
    assert README.split("```")[1].split("\n")[2].startswith("make test")


def test_every_setting_with_its_default_and_meaning() -> None:
    told = [row[:3] for row in table_rows("Settings")]
    true = [[f"`LIMNER_{item.name.upper()}`", f"`{shown(item.name)}`", item.metadata["meaning"]] for item in SHOWN]
    assert told == [["`LIMNER_DATA`", "`data`", fields(Settings)[0].metadata["meaning"]], *true]


def test_every_error_with_its_code() -> None:
    told = {(row[0].strip("`"), row[1]) for row in table_rows("When something is wrong")}
    kinds = [
        kind for kind in vars(limner.bot.errors).values() if isinstance(kind, type) and issubclass(kind, UserError)
    ]
    assert told == {(kind.code, kind.__doc__) for kind in kinds if kind is not UserError}


def chat_commands(world: World) -> dict[str, app_commands.Command[Any, ..., Any]]:
    found = world.bot.tree.walk_commands(type=discord.AppCommandType.chat_input)
    return {command.qualified_name: command for command in found if isinstance(command, app_commands.Command)}


async def test_every_command(world: World) -> None:
    told = {name for row in table_rows("Commands") for name in re.findall(r"`/([a-z ]+)`", row[0])}
    assert told == set(chat_commands(world))


def option_rows() -> list[list[str]]:
    """The table of the options of /imagine, as they are declared."""
    rows = [["`prompt`", "", PROMPT]]
    for option in OPTIONS:
        flags = [*(f"`--{flag} {option.kind}`" for flag in option.flags)]
        flags += [f"`--{flag}` ({value})" for flag, value in option.bare.items()]
        if flags or option.in_command:
            rows.append([f"`{option.name}`" if option.in_command else "", ", ".join(flags), option.help])
            rows += [[f"`{name}`", "", "A second one"] for name in option.picture_names[1:]]
    return rows


def test_every_option_of_imagine() -> None:
    assert table_rows("/imagine") == option_rows()


async def test_the_command_has_the_options_of_the_table(world: World) -> None:
    told = [row[0].strip("`") for row in table_rows("/imagine") if row[0]]
    assert told == [option.display_name for option in chat_commands(world)["imagine"].parameters]


def test_every_flag_of_the_prompt() -> None:
    told = {flag for row in table_rows("/imagine") for flag in re.findall(r"`--([a-z]+)", row[1])}
    with pytest.raises(BadPrompt) as refused:
        parse_prompt("a fox --wrong", max_length=100)
    assert told == set(re.findall(r"--([a-z]+)", str(refused.value))) - {"wrong"}


def test_every_verb_and_its_options() -> None:
    told = [re.sub(r"`", "", row[0]) for row in table_rows("The command line")]
    for line in told:
        words = line.split()
        usage = help_text(*words[1 : 3 if words[1] == "filter" else 2]).split("\n\n")[0]
        assert re.findall(r"--[a-z]+", line) == re.findall(r"--(?!data)[a-z]+", usage), line
    verbs = re.findall(r"^    ([a-z]+) ", help_text(), re.MULTILINE)
    assert [*dict.fromkeys(line.split()[1] for line in told)] == verbs


def test_every_action_of_a_rule_and_every_name_in_a_rule_file() -> None:
    rules = DOCS.split("\n## Filter rules\n", 1)[1].split("\n## ", 1)[0]
    table = rules.split("| action | ", 1)[1].split("\n\n", 1)[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(RuleAction)
    file = rules.split("| name | what |", 1)[1]
    assert set(re.findall(r"^\| `(\w+)` \|", file, re.MULTILINE)) == USED | {"pattern", "kind"}


def test_every_kind_of_training_and_its_options() -> None:
    told = [re.sub(r"`", "", row[0]) for row in table_rows("Training")]
    for line in told:
        usage = help_text("train", line.split()[0]).split("\n\n")[0]
        assert re.findall(r"--[a-z-]+", line) == re.findall(r"--(?!data)[a-z-]+", usage), line
    kinds = re.findall(r"^    ([a-z-]+)(?: |$)", help_text("train"), re.MULTILINE)
    assert [line.split()[0] for line in told] == kinds


def test_every_benchmark() -> None:
    files = (ROOT / "tests" / "benchmarks").glob("*.py")
    names = sorted(file.stem for file in files if "def main(" in file.read_text(encoding="utf-8"))
    assert f"| `limner bench NAME` | {', '.join(names[:-1])} or {names[-1]}, from a checkout |" in DOCS


def help_text(*verb: str) -> str:
    out = io.StringIO()
    with redirect_stdout(out), pytest.raises(SystemExit):
        build_parser().parse_args([*verb, "--help"])
    return out.getvalue()


def _anchors(text: str) -> set[str]:
    """The anchors of a page's headings, made as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in _anchors(PAGES[file]), target


def test_the_readme_is_one_page() -> None:
    assert len(README.splitlines()) <= 150
