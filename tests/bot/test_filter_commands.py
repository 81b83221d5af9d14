"""/filter as moderators meet it, and what members notice of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import discord
import simcord

from limner.bot.errors import NotModerator
from limner.bot.filters.rulebook.entries import Entry
from limner.bot.filters.scopes import Scope
from limner.bot.reasons import JobStatus
from limner.bot.storage.tables.filter_tables import RuleRow
from limner.bot.storage.tables.models import Job
from limner.bot.ui.controls import parts_of
from tests.rows import put_lora
from tests.simulated_discord import World, labels

Shown = simcord.InteractionResult


async def command(world: World, name: str, who: simcord.MemberActor | None = None, **options: object) -> Shown:
    return await (who or world.grace).slash(world.channel, f"filter {name}", **options)


def answer(result: Shown) -> discord.Message:
    """What was answered, to the one who asked and to nobody else."""
    found = result.followups[-1] if result.followups else result.response
    assert found
    assert found.ephemeral
    return found.message


def read(result: Shown) -> str:
    """All that an answer says: its text, and that of its embeds."""
    message = answer(result)
    parts = [part for embed in message.embeds for part in (embed.title, embed.description, embed.footer.text)]
    return "\n".join([message.content, *(part for part in parts if part)])


async def told(world: World, name: str, who: simcord.MemberActor | None = None, **options: object) -> str:
    return read(await command(world, name, who, **options))


async def fill(world: World, shown: Shown, who: simcord.MemberActor | None = None, **values: Any) -> Shown:
    """Fill in fields of a form, by how their labels begin; what is left out stays as it is shown."""
    assert shown.modal
    given: dict[str, Any] = {}
    for label in shown.modal["components"]:
        part, name = label["component"], label["label"].casefold().replace(" ", "_")
        usual = [option["value"] for option in part.get("options", []) if option.get("default")]
        wanted = [value for key, value in values.items() if name.startswith(key)]
        value = wanted[0] if wanted else usual or part.get("value")
        if value is not None:
            given[part["custom_id"]] = value
    return await (who or world.grace).submit_modal(shown, given)


async def add(world: World, text: str, **values: Any) -> RuleRow:
    """/filter add, and its form."""
    result = await fill(world, await command(world, "add"), text=text, **values)
    assert "Rule" in read(result)
    return [*await world.app.filters.all(world.guild.id)][-1]


async def patterns(world: World) -> list[str]:
    return [rule.pattern for rule in await world.app.filters.all(world.guild.id)]


async def select(world: World, message: discord.Message, custom_id: str, *values: Any) -> Shown:
    return await world.grace.select(message, values, custom_id=custom_id)


def swap_roles(world: World, who: simcord.MemberActor, lost: str, given: str = "") -> None:
    """The owner takes one role from a member, and perhaps gives another."""
    roles = world.guild.roles
    world.env.backend.remove_member_role(world.guild.id, who.id, roles[lost].id)
    if given:
        world.env.backend.add_member_role(world.guild.id, who.id, roles[given].id)


async def test_a_rule_holds_from_the_moment_it_is_added_until_it_is_removed(world: World) -> None:
    await world.imagine("a purple cow")
    rule = await add(world, "purple cow", reason="Cows are sacred here.")
    sentence = await world.refused("a Purple\nCOW in the snow")
    assert "filter:idea" in sentence
    assert "Cows are sacred here." in sentence
    assert "purple" not in sentence.lower()
    assert "is removed" in await told(world, "remove", rule=str(rule.id))
    await world.imagine("a purple cow")
    assert await patterns(world) == []
    assert [message for message in world.channel.history() if "sacred" in message.content] == []


async def test_members_without_the_right_have_no_such_command(world: World) -> None:
    assert not [name for name in world.ada.available_commands(world.channel) if name.startswith("filter")]
    assert "filter add" in world.grace.available_commands(world.channel)
    [group] = [group for group in await world.bot.tree.fetch_commands() if group.name == "filter"]
    assert group.default_member_permissions == discord.Permissions(manage_guild=True)
    assert group.dm_permission is False


async def test_who_lost_the_role_while_a_form_was_open_is_told_and_changes_nothing(world: World) -> None:
    rule = await add(world, "cow")
    card = answer(await fill(world, await command(world, "edit", rule=str(rule.id)), text="cow"))
    forms = [await command(world, "add"), await command(world, "exempt", rule=str(rule.id))]
    swap_roles(world, world.grace, "Moderators")
    for form in forms:
        assert read(await fill(world, form, text="bull")).startswith(str(NotModerator()))
    assert read(await world.grace.click(card, label="Remove")) == str(NotModerator())
    assert await patterns(world) == ["cow"]


async def test_a_named_role_moderates_but_frees_nobody_of_its_own(world: World) -> None:
    """Discord shows the commands to whom the owner lets; cards and forms look at the role themselves."""
    rule = await add(world, "cow")
    card = answer(await fill(world, await command(world, "edit", rule=str(rule.id)), text="cow"))
    helpers = world.guild.create_role("Helpers")
    settings = answer(await command(world, "settings"))
    assert "Helpers" not in read(await select(world, settings, "limner:settings:roles", helpers))
    swap_roles(world, world.grace, "Moderators", "Helpers")

    form = await world.grace.click(card, label="Where")
    assert "free one of their own roles" in read(await fill(world, form, not_for=[helpers]))
    assert "can change that" in read(await select(world, settings, "limner:settings:negative", "checked"))
    await world.grace.click(card, label="Switch off")
    await world.imagine("a cow")
    swap_roles(world, world.grace, "Helpers")
    assert read(await world.grace.click(card, label="Edit")) == str(NotModerator())


async def test_what_cannot_be_a_rule_is_told_and_changes_nothing(world: World) -> None:
    await add(world, "purple cow")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"text": "..."}, "needs at least one letter"),
        ({"text": "*"}, "needs at least one letter"),
        ({"text": "c*w"}, "only at its start or its end"),
        ({"text": "Purple-Cow"}, "exists already for the same place, as rule 1"),
        ({"text": "(cow", "it_is": ["regex"]}, "the bracket ( is not closed (position 1)"),
        ({"text": "(c{99}){99}", "it_is": ["regex"]}, "too large when its repetitions are written out"),
    ]
    for values, sentence in wrong:
        assert sentence in read(await fill(world, await command(world, "add"), **values)), values
        assert await patterns(world) == ["purple cow"]


async def test_contradictions_and_a_flag_that_nobody_sees_are_said(world: World) -> None:
    cow = await add(world, "cow")
    shown = read(await fill(world, await command(world, "add"), text="COW", it_is=["allow"]))
    assert f"Rule {cow.id} forbids the same text: the allowed text wins" in shown
    shown = read(await fill(world, await command(world, "add"), text="bull", when=["flag"]))
    assert "no review channel yet, so a flag refuses" in shown
    await world.imagine("a cow")
    assert "filter:idea" in await world.refused("a bull")


async def test_a_strict_rule_finds_glued_and_split_words_and_its_card_tells_what_else(world: World) -> None:
    await world.imagine("a rapistlover and a the rapist")
    shown = read(await fill(world, await command(world, "add"), text="therapist", it_is=["strict"]))
    assert "also glued to other words or split into several" in shown
    assert "It also finds these words where they stand together: `` the rapist ``" in shown
    assert "filter:idea" in await world.refused("a therapistlover")
    assert "filter:idea" in await world.refused("a thera pist")
    assert "· strict" in read(await command(world, "list"))
    [rule] = await rules(world)
    await fill(world, await command(world, "edit", rule=str(rule.id)), it_is=["word"])
    await world.imagine("a thera pist")
    assert "Search for glued and split words: was on and is now off." in read(await command(world, "log"))


async def test_a_pack_is_made_strict_in_its_form(world: World) -> None:
    await world.app.filters.put_all(world.guild.id, [Entry(pattern="gore-en", kind="pack")], 1)
    [rule] = await rules(world)
    await fill(world, await command(world, "edit", rule=str(rule.id)), it_is=["strict"])
    [rule] = await rules(world)
    assert (rule.kind, rule.pattern, rule.is_strict) == ("pack", "gore-en", True)
    assert "filter:idea" in await world.refused("a goresplatter")


async def test_a_draft_is_replayed_then_switched_on(world: World) -> None:
    asked = [
        await world.imagine(idea, who) for idea, who in (("a c0w", world.ada), ("a fox", world.bob), ("cow", world.bob))
    ]
    shown = await fill(world, await command(world, "add"), text="cow", it_is=["word"], it_counts=["draft"])
    card = answer(shown)
    assert labels(card) == ["Switch on", "Edit", "Where", "Replay", "Discard"]
    await world.app.jobs.cancel(asked[0].id, "")
    await world.imagine("another cow", world.ada)
    replayed = read(await world.grace.click(card, label="Replay"))
    assert "would have stopped 3 of the last 4 requests" in replayed
    assert f"**{asked[0].id}** <@{world.ada.id}> a c0w" in replayed
    assert "fox" not in replayed
    assert "would have stopped 3" in await told(world, "replay", rule=str((await rules(world))[0].id))
    await world.grace.click(card, label="Switch on")
    assert "filter:idea" in await world.refused("a cow")


async def rules(world: World) -> Sequence[RuleRow]:
    return await world.app.filters.all(world.guild.id)


async def test_a_rule_is_edited_on_its_card_and_keeps_what_is_not_touched(world: World) -> None:
    rule = await add(world, "cow", reason="No cows.", it_is=["word"])
    await fill(world, await command(world, "edit", rule=str(rule.id)), when=["replace"], reason="cat")
    [edited] = await rules(world)
    assert (edited.pattern, edited.action, edited.reason, edited.replacement) == ("cow", "replace", "", "cat")
    assert (await world.imagine("a cow")).idea == "a cat"
    before = time.time()
    await fill(world, await command(world, "edit", rule=str(rule.id)), it_counts=["one day"])
    [edited] = await rules(world)
    assert edited.expires_at
    assert before + 86_400 <= edited.expires_at <= time.time() + 86_400
    assert "no such rule" in await told(world, "edit", rule="cow")


async def test_a_rule_counts_where_its_form_says(world: World) -> None:
    rule = await add(world, "cow")
    art = world.guild.create_text_channel("art", category=world.guild.create_category("free"))
    category = world.guild.channels["free"]
    shown = await fill(world, await command(world, "exempt", rule=str(rule.id)), not_in=[category])
    assert f"not in <#{category.id}>" in read(shown)
    assert "filter:idea" in await world.refused("a cow")
    result = await world.ada.slash(art, "imagine", prompt="a cow")
    assert result.response
    assert not result.ephemeral
    job = await world.newest()
    assert (job.parent_ids, job.is_age_restricted) == ([category.id], False)


async def test_the_list_is_paged_searched_and_opens_cards(world: World) -> None:
    for number in range(21):
        await world.app.filters.add(world.guild.id, f"word {number:02} @everyone `x`", 1)
    await world.app.filters.add(world.guild.id + 1, "word of theirs", 1)
    first = answer(await command(world, "list"))
    assert (first.embeds[0].title, labels(first)) == ("This server has 21 rules", ["Next"])
    assert "`` word 00 @everyone ˋxˋ ``" in (first.embeds[0].description or "")
    await world.grace.click(first, label="Next")
    second = answer(await command(world, "list", search="WORD 20"))
    assert second.embeds[0].title == "This server has one rule"
    opened = await select(world, second, "limner:rules:open", str((await rules(world))[20].id))
    assert labels(answer(opened)) == ["Switch off", "Edit", "Where", "Replay", "Remove"]
    assert "No rule of this server" in await told(world, "list", search="theirs")
    choices = await world.grace.autocomplete(world.channel, "filter remove", "rule", "WORD 1")
    assert len(choices) == 10


async def test_packs_are_switched_by_language(world: World) -> None:
    shown = answer(await command(world, "packs"))
    await select(world, shown, "limner:packs:of:English", "gore-en", "hate-en")
    assert "Gore and torture are not painted here." in await world.refused("a disemb0weled doll")
    shown = answer(await command(world, "packs"))
    assert "Hate and slurs (English)" in (shown.embeds[0].description or "")
    await select(world, shown, "limner:packs:language", "German")
    await select(world, answer(await command(world, "packs")), "limner:packs:of:English", "hate-en")
    await world.imagine("a disemb0weled doll")
    assert [(rule.pattern, rule.is_on) for rule in await rules(world)] == [("gore-en", False), ("hate-en", True)]


async def test_test_tells_what_would_happen_and_what_was_seen_through(world: World) -> None:
    cow = await add(world, "cow")
    general = await world.app.filters.add(0, "bull", 1)
    await add(world, "cow bell", it_is=["allow"])
    text = await told(world, "test", text="a c0w, a bull, a cow bell")
    assert text.splitlines() == [
        "A request with that text would be refused.",
        f"Rule {cow.id} `` cow ``: block; found `` c0w ``, in spite of digits or signs for letters",
        f"Rule {general.id} (of this bot's operator): block; found `` bull ``, as it is written",
    ]
    assert await told(world, "test", text="a cow bell") == (
        f"That text is allowed here; no rule matches it.\nFreed by the allow list: rule {cow.id} `` cow ``"
    )
    assert await world.app.history.count(None, every_status=True) == 0


async def test_a_text_that_takes_too_long_to_check_is_refused_and_test_names_the_rule(world: World) -> None:
    alike = [Entry(pattern=f"*{'a' * (1 + size // 10)}{'b' * (1 + size % 10)}*") for size in range(60)]
    await world.app.filters.put_all(world.guild.id, alike, 1)
    text = "аб" * 750
    sentence = await world.refused(text)
    assert sentence.startswith("That text takes too long to check here (the idea, code cost:idea)")
    job = await world.newest()
    assert (job.status, job.reason_code, job.rule_ids) == ("refused", "cost:idea", [])
    first, second = (await told(world, "test", text=text)).splitlines()
    assert first == "That text takes too long to check here, so a request with it would be refused."
    assert int(second.split()[1]) in {rule.id for rule in await world.app.filters.all(world.guild.id)}
    await world.imagine("a red fox in the snow")


async def test_a_rule_with_more_places_than_a_form_holds_keeps_them_all(world: World) -> None:
    ids = {str(10**17 + number) for number in range(600)}
    rule = await world.app.filters.add(world.guild.id, "cow", 1, scope=Scope(exempt_channels=ids))
    shown = await command(world, "exempt", rule=str(rule.id))
    assert shown.modal
    [said] = [label["description"] for label in shown.modal["components"] if label.get("description")]
    assert said.startswith("575 more stay as they are")
    card = read(await fill(world, shown, only_for=[world.guild.roles["Moderators"]], not_in=[world.channel]))
    assert "and 566 more" in card
    [kept] = await rules(world)
    assert set(kept.scope["exempt_channels"]) == {*sorted(ids)[25:], str(world.channel.id)}


async def select_stale(world: World, message: discord.Message, value: str) -> Shown:
    """Choose what a select does not offer any more, as a client with an old message does."""
    stored = world.env.backend.get_message(message.channel.id, message.id)
    stored.components[0]["components"][0]["options"][0]["value"] = value
    return await world.grace.select(message, [value], custom_id="limner:log:undo")


async def test_another_servers_rules_are_out_of_reach(world: World) -> None:
    theirs = await world.app.filters.add(world.guild.id + 1, "cow", 1)
    for name in ("edit", "exempt", "remove", "replay"):
        for number in (str(theirs.id), "9" * 30, "-1", "٣"):
            assert "no such rule" in await told(world, name, rule=number)
    assert "no rules yet" in await told(world, "list")
    assert await world.grace.autocomplete(world.channel, "filter remove", "rule", "c") == []


async def test_pictures_of_a_spoiler_rule_are_hidden_where_they_are_posted_and_shown_again(world: World) -> None:
    rule = await add(world, "cow", when=["spoiler"])
    other = await world.painted("a fox", world.bob)
    assert [file.is_spoiler() for file in world.message(other).attachments] == [False]
    job = await world.painted("a cow", expand="off")
    assert [file.is_spoiler() for file in world.message(job).attachments] == [True]
    await world.restart()
    page = answer(await world.ada.slash(world.channel, "history"))
    [gallery] = [part for part in parts_of(page) if isinstance(part, discord.MediaGalleryComponent)]
    assert [item.spoiler for item in gallery.items] == [True]
    assert [file.is_spoiler() for file in page.attachments] == [True]
    opened = answer(await world.ada.select(page, [f"{job.id}:1"]))
    assert [file.is_spoiler() for file in opened.attachments] == [True]
    for message, label in ((opened, "Repeat"), (world.message(job), "Reroll")):
        assert not (await world.ada.click(message, label=label)).ephemeral
        await world.finish(await world.claim())
        posted = await world.delivered(await world.newest())
        assert [file.is_spoiler() for file in world.message(posted).attachments] == [True]
    await world.app.filters.remove(world.guild.id, rule.id, 1)
    assert answer(await world.ada.slash(world.channel, "history", id=job.id)).attachments[0].is_spoiler()


async def remix(world: World, job: Job, **values: str) -> Shown:
    return await fill(world, await world.ada.click(world.message(job), label="Remix"), world.ada, **values)


async def test_a_remix_paints_changed_words_with_the_same_settings_and_passes_the_rules(world: World) -> None:
    await add(world, "gore")
    put_lora(world.settings, "ink")
    options: dict[str, Any] = {"style": "noir", "lora": "ink:0.5", "expand": "off"}
    first = await world.painted("a red fox --no fog", seed=5, count=2, steps=7, **options)
    shown = await world.ada.click(world.message(first), label="Remix")
    assert shown.modal
    fields = [label["component"] for label in shown.modal["components"]]
    assert [field.get("value") for field in fields] == ["a red fox", "fog"]
    given = {fields[0]["custom_id"]: "a red fox in the snow --seed 6", fields[1]["custom_id"]: "fog"}
    await world.ada.submit_modal(shown, given)
    job = await world.newest()
    assert job.request == first.request | {"prompt": "a red fox in the snow", "seed": 6}
    assert (job.idea, job.style, job.parent_id, job.expand) == ("a red fox in the snow", "noir", first.id, "off")
    shown = await world.ada.click(world.message(first), label="Remix")
    assert shown.modal
    fields = [label["component"] for label in shown.modal["components"]]
    given = {fields[0]["custom_id"]: "a fox", fields[1]["custom_id"]: "fog"}
    result = await world.ada.submit_modal(shown, given | {fields[0]["custom_id"]: "a fox with gore"})
    assert "filter:idea" in read(result)
    assert (await world.newest()).status == JobStatus.REFUSED
    assert read(await world.bob.click(world.message(first), label="Remix")).startswith("Only the person")


async def test_a_review_channel_that_everybody_can_read_is_warned_of(world: World) -> None:
    guild = world.bot.get_guild(world.guild.id)
    assert guild
    hidden: dict[Any, discord.PermissionOverwrite] = {
        guild.default_role: discord.PermissionOverwrite(read_messages=False)
    }
    private = world.guild.create_text_channel("moderators", overwrites=hidden)
    for channel, is_public in ((world.channel, True), (private, False)):
        await world.app.guilds.change(world.guild.id, world.grace.id, review_channel_id=channel.id)
        assert ("Everybody in this server can read the review channel" in await told(world, "settings")) == is_public
