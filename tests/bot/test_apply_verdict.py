"""What rules do to requests: the strongest action counts, words are replaced, moderators look, rows remember."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.bot import submit
from limner.bot.app import App, open_app
from limner.bot.errors import Refused
from limner.bot.filters.matcher import Matcher
from limner.bot.filters.rules import Rule, RuleAction, RuleKind
from limner.bot.filters.scopes import Scope
from limner.bot.filters.verdicts import judge
from limner.bot.options.ask import Ask
from limner.bot.place import Place
from limner.bot.settings import Settings
from limner.bot.worker.prepare import settle_description, settle_prompt
from limner.generators.base import Expansion
from limner.generators.language.expanders import NoExpander
from tests.rows import asked, picture, put_lora

HERE, MODERATOR = 101, 7
CHANNEL, ROLE = 31, 33
ORDER = list(RuleAction)


def ask(text: str, **more: Any) -> Ask:
    return asked(text=text, user_id=11, guild_id=HERE, channel_id=CHANNEL, expand="off", **more)


@given(
    st.lists(st.tuples(st.sampled_from(["cat", "dog", "owl", "elk"]), st.sampled_from(ORDER)), max_size=6),
    st.booleans(),
)
def test_the_strongest_action_of_all_rules_counts(pairs: list[tuple[str, RuleAction]], flags_block: bool):
    rules = [Rule(str(number), word, action=action) for number, (word, action) in enumerate(pairs)]
    text = "a cat and a dog"
    found = {rule.action for rule in rules if rule.pattern in text.split()}

    verdict = judge({"idea": text}, {"idea": [Matcher(rules)]}, Place(), flags_block=flags_block)

    if RuleAction.BLOCK in found or (flags_block and RuleAction.FLAG in found):
        assert verdict.action == RuleAction.BLOCK
        assert verdict.refusal
        assert verdict.texts == {"idea": text}
    else:
        assert verdict.refusal is None
        assert verdict.action == min(found, key=ORDER.index, default=None)
        assert verdict.is_spoiler == (RuleAction.SPOILER in found)
        assert verdict.rule_ids == sorted(int(rule.id) for rule in rules if rule.pattern in text.split())
        assert ("cat" in verdict.texts["idea"]) == (
            Rule("0", "cat", action=RuleAction.REPLACE).pattern not in _replaced(rules)
        )


def _replaced(rules: list[Rule]) -> set[str]:
    return {rule.pattern for rule in rules if rule.action == RuleAction.REPLACE}


@pytest.mark.parametrize("field", ["LoRA", "part", "mix", "change", "picture"])
def test_a_replacement_refuses_words_that_nobody_rewrites(field: str):
    matchers = [Matcher([Rule("1", "gun", action=RuleAction.REPLACE, replacement="rose")])]
    for texts, code in (
        ({"idea": "a fox", field: "a g.u.n"}, f"filter:{field}"),
        ({"idea": "a gun", field: "a fox"}, None),
    ):
        verdict = judge(texts, {"idea": matchers, field: matchers}, Place(), flags_block=False)
        assert (verdict.refusal.code if verdict.refusal else None) == code


@pytest.mark.parametrize(
    ("replacement", "text", "written"),
    [
        ("rose", "a g.u.n in a G u n shop", "a rose in a rose shop"),
        ("", "a gun, in the snow", "a , in the snow"),
        ("gun", "a gun", None),  # it never ends
        ("", "gun", None),  # nothing is left
    ],
)
def test_replaced_words_are_gone_in_every_disguise(replacement: str, text: str, written: str | None):
    matcher = Matcher([Rule("1", "gun", action=RuleAction.REPLACE, replacement=replacement)])
    verdict = judge({"idea": text}, {"idea": [matcher]}, Place(), flags_block=False)
    assert (verdict.texts["idea"] if verdict.refusal is None else None) == written


async def test_a_replaced_word_reaches_no_row(app: App):
    rule = await app.filters.add(HERE, "gun", MODERATOR, action=RuleAction.REPLACE, replacement="rose")
    job = await submit.imagine(app, ask("a fox with a gun --no gun", image_name="my gun.png"))
    assert (job.idea, job.request["prompt"]) == ("a fox with a rose", "a fox with a rose")
    assert job.input_name == "my rose.png"
    assert job.request["negative_prompt"] == "gun"
    assert (job.rule_ids, job.rule_action, job.quarantine) == ([rule.id], "replace", None)


async def test_a_flag_waits_for_a_moderator_and_refuses_where_there_is_none(app: App):
    rule = await app.filters.add(HERE, "gun", MODERATOR, action=RuleAction.FLAG)
    with pytest.raises(Refused):
        await submit.imagine(app, ask("a gun"))
    await app.guilds.change(HERE, MODERATOR, review_channel_id=5)
    job = await submit.imagine(app, ask("a gun"))
    assert (job.status, job.quarantine, job.rule_ids, job.rule_action) == ("queued", "flagged", [rule.id], "flag")


async def test_a_refusal_gives_the_servers_reason_and_its_row_the_rule(app: App):
    rule = await app.filters.add(HERE, "gun", MODERATOR, reason="No weapons, please.")
    with pytest.raises(Refused, match=r"change them and ask again\. No weapons, please\.$"):
        await submit.imagine(app, ask("a gun"))
    [job] = await app.history.page(None, every_status=True)
    assert (job.status, job.rule_ids, job.rule_action) == ("refused", [rule.id], "block")


async def test_what_is_queued_is_looked_at_again_where_it_was_asked_for(app: App):
    """Rules that came while it waited count for its channel, its asker's roles and its words, and change its row."""
    await app.guilds.change(HERE, MODERATOR, review_channel_id=5)
    free = await submit.imagine(app, ask("a gun", role_ids=[ROLE]))
    bound = await submit.imagine(app, replace(ask("a gun"), user_id=12))
    kinds: list[tuple[RuleAction, dict[str, Any]]] = [
        (RuleAction.FLAG, {}),
        (RuleAction.SPOILER, {"kind": RuleKind.REGEX}),
    ]
    rules = [
        await app.filters.add(HERE, "gun", MODERATOR, action=action, scope=Scope(exempt_roles={str(ROLE)}), **more)
        for action, more in kinds
    ]
    rules.append(await app.filters.add(HERE, "gun", MODERATOR, action=RuleAction.LOG))
    for worker in ("one", "other"):
        [job] = await app.jobs.claim(worker, capacity=1)
        assert await settle_prompt(app, NoExpander(), job)
    free, bound = await app.jobs.get(free.id), await app.jobs.get(bound.id)
    assert (free.rule_ids, free.rule_action, free.is_spoiler, free.quarantine) == ([rules[2].id], "log", False, None)
    assert (bound.rule_ids, bound.rule_action) == ([rule.id for rule in rules], "flag")
    assert (bound.is_spoiler, bound.quarantine) == (True, "flagged")


@pytest.mark.parametrize("action", [RuleAction.BLOCK, RuleAction.REPLACE])
async def test_a_rule_that_came_while_it_waited_reads_the_name_of_the_lora(
    app: App, settings: Settings, action: RuleAction
):
    put_lora(settings, "Purple Cow")
    for _ in range(2):
        await submit.imagine(app, ask("a fox", lora="Purple Cow:0.5"))
    [free], [bound] = [await app.jobs.claim("worker", capacity=1) for _ in range(2)]
    assert await settle_prompt(app, NoExpander(), free)
    await app.filters.add(HERE, "purple cow", MODERATOR, action=action, replacement="cat")
    assert not await settle_prompt(app, NoExpander(), bound)
    assert (await app.jobs.get(bound.id)).reason_code == "filter:LoRA"


async def test_a_replacement_that_came_while_it_waited_is_in_its_row(app: App):
    await submit.imagine(app, ask("a fox with a gun", image_name="my gun.png"))
    await app.filters.add(HERE, "gun", MODERATOR, action=RuleAction.REPLACE, replacement="rose")
    [job] = await app.jobs.claim("worker", capacity=1)
    assert await settle_prompt(app, NoExpander(), job)
    job = await app.jobs.get(job.id)
    assert (job.idea, job.prompt, job.input_name) == ("a fox with a rose", "a fox with a rose", "my rose.png")


async def test_an_expansion_is_rewritten_before_it_is_painted(app: App):
    await app.filters.add(0, "gun", MODERATOR, action=RuleAction.REPLACE, replacement="rose")
    job = await submit.imagine(app, ask("a fox").saying(expand="on"))

    class Armed(NoExpander):
        async def expand(self, idea: str, **_options: Any) -> Expansion:
            return Expansion(f"{idea}, with a gun", "with a gun", ("fox",), "m", 0.1)

    [job] = await app.jobs.claim("worker", capacity=1)
    assert await settle_prompt(app, Armed(), job)
    job = await app.jobs.get(job.id)
    assert job.prompt == "a fox, with a rose"
    assert job.expanded
    assert (job.expanded.text, job.expanded.added) == ("a fox, with a rose", "with a rose")


async def test_words_that_are_not_wanted_are_free_unless_the_owner_says_otherwise(app: App):
    await app.filters.add(HERE, "gun", MODERATOR)
    await submit.imagine(app, ask("a fox --no gun"))
    await app.guilds.change(HERE, MODERATOR, checks_negative_prompts=True)
    with pytest.raises(Refused, match="filter:negative"):
        await submit.imagine(app, ask("a fox --no gun"))


STYLES = """
[armed]
prompt = "{prompt}, with a gun"
[unarmed]
prompt = "{prompt}, in peace"
negative = "gun"
"""
ROLES: dict[str, tuple[dict[str, Any], str]] = {
    "idea": ({"text": "a gun"}, "filter:idea"),
    "negative prompt": ({"negative": "gun"}, "filter:negative"),
    "what is not wanted, as a flag": ({"text": "a fox --no gun"}, "filter:negative"),
    "style": ({"style": "armed"}, "filter:style"),
    "what a style does not want": ({"style": "unarmed"}, "filter:negative"),
    "LoRA": ({"lora": "gun:0.5"}, "filter:LoRA"),
    "file name": ({"image": "0" * 64, "image_name": "gun.png"}, "filter:file"),
}


@pytest.fixture
async def armed(settings: Settings) -> AsyncGenerator[App]:
    """An app with styles and a LoRA that the tests' rules forbid."""
    (settings.data / "styles.toml").write_text(STYLES)
    put_lora(settings, "gun")
    more = {"styles": str(settings.data / "styles.toml"), "image_text_model": "pretrained:image-text"}
    async with open_app(settings.using(max_jobs_per_user=100, **more)) as app:
        yield app


@pytest.mark.parametrize("guild", [0, HERE])
async def test_every_word_that_reaches_a_painter_passes_the_rules_in_its_role(armed: App, guild: int):
    first = await submit.imagine(armed, ask("a fox"))
    asked = {role: ask(**{"text": "a fox"} | more) for role, (more, _) in ROLES.items()}
    waiting = {role: await submit.imagine(armed, one) for role, one in asked.items()}
    await armed.filters.add(guild, "gun", MODERATOR)
    if guild:
        await armed.guilds.change(HERE, MODERATOR, checks_negative_prompts=True)
    for role, (_, code) in ROLES.items():
        with pytest.raises(Refused, match=code):
            await submit.imagine(armed, asked[role])
    with pytest.raises(Refused, match="filter:idea"):
        await submit.imagine(armed, submit.remixed(armed, first, "a gun", "", user_id=11, where=first.where))
    with pytest.raises(Refused, match="filter:negative"):
        await submit.imagine(armed, submit.remixed(armed, first, "a fox", "gun", user_id=11, where=first.where))
    for worker in ("one", "other"):  # the LoRA is for another call
        for job in await armed.jobs.claim(worker, capacity=2**31):
            is_free = await settle_prompt(armed, NoExpander(), job)
            assert is_free == (job.id == first.id)
    for role, (_, code) in ROLES.items():
        assert (await armed.jobs.get(waiting[role].id)).reason_code == code


async def test_what_a_model_says_passes_the_rules_in_its_role(armed: App):
    """An expansion, a description, and the description when it is painted by rules that came later."""
    await submit.imagine(armed, ask("a fox").saying(expand="on"))
    described = await submit.describe(armed, ask("", image="0" * 64))
    kind = {job.kind: job for job in await armed.jobs.claim("worker", capacity=2**31)}
    assert await settle_description(armed, kind["describe"], "a fox and a rose", 1.0)
    assert await armed.jobs.finish(kind["describe"], [picture()], seconds=1, busy_seconds=1)
    for word in ("gun", "rose"):
        await armed.filters.add(0, word, MODERATOR)

    class Armed(NoExpander):
        async def expand(self, idea: str, **_options: Any) -> Expansion:
            return Expansion(f"{idea}, with a gun", "with a gun", ("fox",), "m", 0.1)

    assert not await settle_prompt(armed, Armed(), kind["paint"])
    assert (await armed.jobs.get(kind["paint"].id)).reason_code == "filter:expansion"
    again = await submit.describe(armed, ask("", image="1" * 64))
    [job] = await armed.jobs.claim("worker", capacity=2**31)
    assert not await settle_description(armed, job, "a gun", 1.0)
    assert (await armed.jobs.get(again.id)).reason_code == "filter:description"
    described = await armed.jobs.get(described.id)
    with pytest.raises(Refused, match="filter:idea"):
        await submit.paint_described(armed, described, user_id=11, where=described.where)
