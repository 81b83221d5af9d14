"""Each person reads their own language: a private answer in the member's, a public message in the server's."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any

import discord
import pytest
from discord import app_commands
from simcord import interactions

from limner.bot import errors, translation
from limner.bot.errors import BadPrompt
from limner.bot.translation import (
    ENGLISH,
    Sentence,
    _,
    english,
    languages,
    listed,
    nearest,
    ngettext,
    pgettext,
    placeholders,
    speaking,
    stored,
)
from limner.bot.ui import command_names
from limner.generators import errors as generation_errors
from limner.generators import text_files
from limner.generators.errors import GenerationError
from limner.generators.training import errors as training_errors
from tests.discord_spec import complaints
from tests.simulated_discord import World, labels, text_of
from tests.translations import ROOT, commands, sources, template


@pytest.fixture
def locales(monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """The locale of each member who does not read English; the simulated Discord itself knows English members only."""
    of: dict[int, str] = {}
    simulated = interactions.base_payload

    def with_locales(backend: Any, **given: Any) -> Any:
        record, payload = simulated(backend, **given)
        payload["locale"] = of.get(given["user_id"], "en-US")
        if given["guild_id"] is not None:
            payload["guild_locale"] = backend.get_guild(given["guild_id"]).preferred_locale
        return record, payload

    monkeypatch.setattr(interactions, "base_payload", with_locales)
    return of


def test_a_locale_leads_to_the_nearest_language() -> None:
    assert [nearest(one) for one in ("zh-CN", "zh_CN.UTF-8", "en-GB", "C", "", "xx")] == ["zh_CN", "zh_CN", *["en"] * 4]
    assert nearest("zh-TW") == "en", "the other script is another language"
    assert nearest("xx", "zh_CN") == "zh_CN"


def test_a_terminal_is_read_as_gettext_reads_it() -> None:
    told = translation.of_terminal
    assert told({"LANG": "zh_CN.UTF-8"}) == "zh_CN"
    assert told({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_GB.UTF-8"}) == "en"
    assert told({"LANG": "en_GB.UTF-8", "LANGUAGE": "xx:zh_CN"}) == "zh_CN"
    assert told({"LANG": "C", "LANGUAGE": "zh_CN"}) == told({}) == "en"


def test_english_is_what_the_code_says() -> None:
    assert _("Request {job}", job=7) == "Request 7"
    assert ngettext("one rule", "{number} rules", 1) == "one rule"
    assert ngettext("one rule", "{number} rules", 2) == "2 rules"
    assert [listed(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert stored("Request 7 is on its way.") == "Request 7 is on its way."


def test_an_error_keeps_its_english_for_the_row() -> None:
    with speaking("zh-CN"):
        text = str(BadPrompt(_("Request {job}", job=7)))
    assert isinstance(text, Sentence)
    assert english(text) == "Request 7"
    assert english("as it is") == "as it is"


OTHERS = [language for language in languages() if language != ENGLISH]
CHINESE = "\u4e00-\u9fff"
NAME = re.compile(r"[-_'\w]{1,32}")


def texts(message: Any) -> list[tuple[str, str]]:
    """A message's English sentences, and what is said for each of them."""
    last = message.id if isinstance(message.id, str) else message.id[-1]
    said: list[str] = [message.string] if isinstance(message.string, str) else [*message.string]
    return [(last, text) for text in said]


def messages(language: str) -> list[Any]:
    return [message for message in translation.read_catalogue(language) if message.id]


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalogue_has_every_sentence_of_the_code_and_no_other(language: str) -> None:
    code: Any = template()
    wanted = {(message.context, message.id) for message in code if message.id}
    there = {(message.context, message.id) for message in messages(language)}
    assert wanted - there == set(), "run `make translations` and translate what is new"
    assert there - wanted == set(), "run `make translations`"


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_is_translated(language: str) -> None:
    assert [
        message.id
        for message in messages(language)
        if message.fuzzy or not all(said for _english, said in texts(message))
    ] == []


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_loses_no_placeholder_and_adds_none(language: str) -> None:
    pairs = [pair for message in messages(language) for pair in texts(message)]
    assert [one for one in pairs if set(placeholders(one[0])) != set(placeholders(one[1]))] == []


def test_chinese_has_chinese_punctuation() -> None:
    wrong = re.compile(rf"[{CHINESE}][,.;:?!()]|[,;?!()][{CHINESE}]")
    assert [said for message in messages("zh_CN") for _english, said in texts(message) if wrong.search(said)] == []


def test_chinese_ends_bold_where_markdown_sees_it() -> None:
    """CommonMark ends no bold after a punctuation mark that a letter, or what is put in, follows (section 6.2)."""
    unseen = re.compile(rf"[，。；：！？）]\*\*[{CHINESE}\w{{]")
    assert [said for message in messages("zh_CN") for _english, said in texts(message) if unseen.search(said)] == []


def test_chinese_has_one_word_for_one_thing() -> None:
    """An idea is 想法, to paint is 生成, a moderator is 管理员."""
    others = re.compile("创意|绘制|版主")
    assert [said for message in messages("zh_CN") for _english, said in texts(message) if others.search(said)] == []


def test_chinese_names_the_commands_as_they_are_shown() -> None:
    def path(command: Any, name: Any) -> str:
        parent = getattr(command, "parent", None)
        return f"{path(parent, name)} {name(command.name)}" if parent else f"/{name(command.name)}"

    def translated(name: str) -> str:
        return pgettext(command_names.NAME, name)

    with speaking("zh-CN"):
        named = {
            path(one, str): path(one, translated)
            for one, _where in commands()
            if not isinstance(one, app_commands.ContextMenu)
        }
    for english_text, said in [pair for message in messages("zh_CN") for pair in texts(message)]:
        if english_text.startswith(("Limner is here", "**Three things to try**")):  # beside the page, which is English
            continue
        found = re.findall(r"(?<![\w/.])/[a-z]+(?: [a-z]+)?", english_text)
        paths = [next((one for one in (text, text.split()[0]) if one in named), None) for text in found]
        assert all(named[one] in said for one in paths if one), (english_text, said)


async def test_discord_takes_every_translated_command(world: World) -> None:
    tree, locale = world.bot.tree, discord.Locale.chinese
    assert tree.translator
    payload = [await command.get_translated_payload(tree, tree.translator) for command in tree.get_commands()]

    def parts(one: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield one
        for option in one.get("options", []):
            yield from parts(option)

    for one in [part for command in payload for part in parts(command)]:
        is_menu = one.get("type") == discord.AppCommandType.message.value and "description" not in one
        name = one.get("name_localizations", {}).get(locale.value, one["name"])
        assert is_menu or (NAME.fullmatch(name) and name == name.lower()), name
        assert (
            is_menu or 1 <= len(one.get("description_localizations", {}).get(locale.value, one["description"])) <= 100
        )
        names = [
            option.get("name_localizations", {}).get(locale.value) or option["name"]
            for option in one.get("options", [])
        ]
        assert len(set(names)) == len(names)
    assert complaints("PUT", f"/applications/{world.bot.application_id}/commands", payload) == []


async def test_a_chinese_member_of_an_english_server_reads_both(world: World, locales: dict[int, str]) -> None:
    locales[world.ada.id] = "zh-CN"
    assert await world.refused("--seed 7") == "提示词只有参数；请在参数前写出你想看到的内容。"
    job = await world.imagine("雪地里的红狐狸")
    assert text_of(world.message(job)).endswith("queued · next in line")
    assert labels(world.message(job)) == ["Cancel"]
    stopped = await world.ada.slash(world.channel, "cancel")
    assert stopped.response
    assert stopped.response.content.endswith("已取消。")
    job = await world.delivered(job)
    assert text_of(world.message(job)).endswith("Cancelled by the member who asked for it.")
    assert job.reason == "Cancelled by the member who asked for it."


async def test_an_english_member_of_a_chinese_server_reads_both(world: World, locales: dict[int, str]) -> None:
    world.guild = world.env.create_guild("画室", preferred_locale="zh-CN")
    world.channel = world.guild.create_text_channel("画室")
    world.ada = world.guild.add_member(world.env.create_user("carla"))
    assert await world.refused("--seed 7") == "The prompt has only flags; write what you want to see before them."
    job = await world.imagine("a red fox")
    assert text_of(world.message(job)).endswith("排队中 · 下一个就是你")
    assert labels(world.message(job)) == ["取消"]
    await world.ada.slash(world.channel, "cancel")
    job = await world.delivered(job)
    assert text_of(world.message(job)).endswith("由请求者取消。")
    assert job.reason == "Cancelled by the member who asked for it.", "rows keep English"


async def test_a_member_and_a_server_choose_their_languages(world: World, locales: dict[int, str]) -> None:
    """In one server that Discord calls English: a member chooses Chinese, another English, then the server Chinese."""
    ada, bob, grace, channel = world.ada, world.bob, world.grace, world.channel
    locales[bob.id] = "zh-CN"
    for who, language, title in ((ada, "zh_CN", "你的设置"), (bob, "en", "Your settings")):
        shown = await who.slash(channel, "settings")
        assert shown.response
        shown = await who.select(shown.response.message, [language], custom_id="limner:mine:language")
        assert shown.response
        assert title in text_of(shown.response.message)
    await world.restart()
    assert await world.refused("--seed 7") == "提示词只有参数；请在参数前写出你想看到的内容。"
    assert "has only flags" in await world.refused("--seed 7", bob)
    job = await world.imagine("雪地里的红狐狸")
    assert job.locale == "zh-CN"
    assert text_of(world.message(job)).endswith("queued · next in line")
    private = await ada.slash(channel, "imagine", prompt="雪地里的红狐狸", private="on")
    assert private.response
    assert private.ephemeral
    assert "queued" not in private.response.content
    assert "排队" in private.response.content

    shown = await grace.slash(channel, "server")
    assert shown.response
    shown = await grace.select(shown.response.message, ["zh_CN"], custom_id="limner:server:set:language")
    other = await world.imagine("a red fox", bob)
    assert text_of(world.message(other)).endswith("排队中 · 第 2 位")
    await bob.slash(channel, "cancel")
    assert text_of(world.message(await world.delivered(other))).endswith("由请求者取消。")
    assert "has only flags" in await world.refused("--seed 7", bob)
    log = await grace.slash(channel, "filter log")
    assert log.response
    assert "was as in Discord and is now 中文" in (log.response.embeds[0].description or "")

    shown = await ada.slash(channel, "settings")
    assert shown.response
    await ada.select(shown.response.message, ["-"], custom_id="limner:mine:language")
    assert "has only flags" in await world.refused("--seed 7")


def test_what_a_row_kept_in_english_is_shown_in_the_readers_language() -> None:
    with speaking("zh-CN"):
        assert stored("Cancelled by a moderator.") == "由管理员取消。"
        told = "Painting crashed twice on this request, so it was given up; try another size, model or wording."
        assert stored(told) == "生成这个请求时崩溃了两次，因此放弃了；请换其他大小、模型或措辞。"
        assert stored("Something else.") == "Something else."
        assert stored("x" * 10_000) == "x" * 10_000
    assert stored("Cancelled by a moderator.") == "Cancelled by a moderator."


def limner(*arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "limner", *arguments]
    given = {"PATH": "", "COLUMNS": "200", **environment}
    return subprocess.run(command, env=given, stdout=PIPE, stderr=STDOUT, text=True, check=False).stdout


def test_a_terminal_is_answered_in_its_language() -> None:
    shown = limner("imagine", "--help", LANG="zh_CN.UTF-8")
    assert shown.startswith("用法：limner imagine")
    assert "把图片复制到这个文件夹" in shown
    assert "\n选项：\n" in shown


@pytest.mark.slow
def test_a_terminal_in_another_language_is_answered_in_that() -> None:
    assert limner("imagin", "x", LANG="zh_CN.UTF-8").endswith("limner：错误：没有 'imagin'；你是指 imagine 吗？\n")
    assert "Copy the pictures into this folder" in limner("imagine", "--help", LANG="en_US.UTF-8")


@pytest.mark.slow
def test_a_training_says_in_the_terminals_language_why_it_stops(tmp_path: Path) -> None:
    said = limner("train", "data", str(tmp_path), "--out", str(tmp_path / "out"), LANG="zh_CN.UTF-8")
    assert said.startswith(f"limner: {tmp_path} 没有图片说明：请写一个 metadata.jsonl")


SHOWN = {"tell", "respond", "make_embed", "Listing", "elsewhere", "SetupError", "send_message", "ask", "_ask", "Check"}
"""Functions whose texts people read; and every kind of UserError."""
ERRORS = (errors, generation_errors, text_files, training_errors)
OF_GENERATORS = (GenerationError, text_files.BadText, training_errors.TrainingError)
"""The errors of generators whose texts people read."""
COMMANDS = ("hf ", "pip ", "Python ")
"""Beginnings of commands and names, which stay as they are."""
PARTS = ("label", "placeholder", "title", "footer", "content")
"""Arguments that are shown wherever they are."""


def unwrapped(source: str, shown: set[str]) -> list[str]:
    """Sentences of a source that go to people without `_`: two words or more, or a label that begins as one."""
    found: list[str] = []
    tree = ast.parse(source)
    constants = {ast.unparse(one.targets[0]): one.value for one in tree.body if isinstance(one, ast.Assign)}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func).split(".")[-1]
        given = [one.value for one in call.keywords if one.arg in PARTS] + (list(call.args) if name in shown else [])
        for text in (constants.get(ast.unparse(one), one) for one in given):
            parts = text.values if isinstance(text, ast.JoinedStr) else [text]
            words = "".join(
                str(one.value) for one in parts if isinstance(one, ast.Constant) and isinstance(one.value, str)
            )
            is_command = words.startswith(COMMANDS)
            if not is_command and re.search(r"[A-Za-z]{2,},? [a-z]{2,}|^[A-Z][a-z]{2,}", words):
                found.append(f"{call.lineno}: {words}")
    return found


def test_no_sentence_goes_to_people_unwrapped() -> None:
    kinds = {
        kind.__name__
        for module in ERRORS
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, (errors.UserError, *OF_GENERATORS))
    }
    found = [
        f"{file.relative_to(ROOT)}:{one}"
        for file in sources()
        for one in unwrapped(file.read_text("utf-8"), kinds | (SHOWN if "bot" in file.parts else set()))
    ]
    assert found == []


def test_an_unwrapped_sentence_is_found() -> None:
    assert unwrapped('raise BadRule(f"The rule {rule} is gone.")', {"BadRule"}) == ["1: The rule  is gone."]
    assert unwrapped('raise BadRule(_("The rule is gone."))', {"BadRule"}) == []
    assert unwrapped('Button(label="Keep")', set()) == ["1: Keep"]
    assert unwrapped('GONE = "It is gone."\nraise BadRule(GONE)', {"BadRule"}) == ["2: It is gone."]
    assert unwrapped('GONE = sentence("It is gone.")\nraise BadRule(GONE)', {"BadRule"}) == []
