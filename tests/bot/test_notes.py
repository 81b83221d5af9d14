"""What a message says of words that do nothing."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.bot import submit
from limner.bot.app import App
from limner.bot.options import notes
from limner.bot.options.notes import not_understood
from limner.bot.ui.job import job_messages
from limner.bot.worker.classifier_thread import ClassifierThread
from limner.bot.worker.executor_thread import ExecutorThread
from limner.bot.worker.process import open_scoring
from limner.bot.worker.worker import Worker
from limner.generators.base import Expansion
from limner.generators.executor import Executor
from limner.generators.language.expanders import NoExpander
from tests.rows import asked, new_job, painted
from tests.simulated_discord import World, text_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a red (apple:1.3) on a table", ["(apple:1.3)"]),
        ("a (very red apple:.8), (blue:1,2)", ["(very red apple:.8)", "(blue:1,2)"]),
        ("a red apple <lora:nonesuch:0.7>", ["<lora:nonesuch:0.7>"]),
        ("a red apple BREAK a blue table", ["BREAK"]),
        ("a red apple::2 blue table::-1", ["apple::2", "table::-1"]),
        ("an apple:: a pear", ["apple::"]),
        ("((masterpiece)), a [red:blue:0.5] apple", ["((masterpiece))", "[red:blue:0.5]"]),
        ("a {red|blue} apple, embedding:easynegative", ["{red|blue}", "embedding:easynegative"]),
    ],
)
def test_what_other_tools_understand_is_named(text: str, found: list[str]):
    assert not_understood(text) == found


async def test_an_idea_of_more_words_than_the_model_has_tokens_is_noted_before_it_is_painted(app: App):
    most = app.settings.default_card.max_tokens
    assert most == 24, "the shipped model's tokenizer says so"
    long = await submit.imagine(app, asked(" ".join(["fox"] * (most + 1))))
    assert any("reads at most 24 tokens" in sentence for sentence in notes.sentences(long, app.styles))
    assert not notes.sentences(await submit.imagine(app, asked(" ".join(["fox"] * most))), app.styles)


@pytest.mark.parametrize(
    "text",
    [
        "a clock (10:30) in a hall (at 10:30)",
        "a sign (John 3:16), scale (1:2), a ratio of (3:2)",
        "a fox (the red one: small) and a hare (brown)",
        "two foxes (ages: 2 and 3), one of them (age:3)",
        "a [red] fox, {blue}, <b>bold</b>, x < y > z",
        "std::vector, a::b, Class::method",
        "A CAT ON A BREAK IN THE SUN",
        'a sign that says "BREAK", another “(apple:1.3)”',
        "a coffee break, Break of day",
        "時間 (10:30) の時計（赤い：1.3）",
        ":) :-) ;-) (: (-:",
    ],
)
def test_brackets_and_colons_in_prose_are_prose(text: str):
    assert not_understood(text) == []


@given(st.text(alphabet="ab cd()[]{}<>,.;:!?'\"-5 狐é", max_size=200))
def test_only_what_stands_there_is_named(text: str):
    for found in not_understood(text):
        assert found in text


def test_no_text_takes_long():
    for piece in ("(", "((a", "(a:", "[a:", "<lora:", "{a|", "a", "a::", "“", '"', "{|", "«("):
        text = (piece * 6000)[:6000]
        started = time.perf_counter()
        not_understood(text)
        assert time.perf_counter() - started < 1.0, piece


async def test_it_is_said_once_under_the_picture_and_in_details(world: World) -> None:
    job = await world.painted("a red (apple:1.3) BREAK", negative="(blurry:1.2), <lora:ink:0.7>")
    note = r"Not understood, read as plain words: (apple:1.3), BREAK, (blurry:1.2), <lora:ink:0.7>"
    assert f"\n-# {note}\n" in text_of(world.message(job))
    result = await world.ada.click(world.message(job), custom_id=f"limner:details:{job.id}")
    assert result.response
    [embed] = result.response.embeds
    assert {field.name: field.value for field in embed.fields}["Notes"] == note


async def work(app: App) -> None:
    """What a worker does until the queue is empty."""
    painter = ExecutorThread(Executor(app.settings.cards, device="cpu", max_batch=2), app.settings)
    reading = open_scoring(app.settings)
    await Worker(app, painter, NoExpander(), ClassifierThread(app.settings), reading, "worker").run(burst=True)


async def test_what_the_shipped_model_does_with_words_is_told(app: App):
    wanted = [
        ("a green bottle on a table", ""),
        (
            "a small house beside a quiet lake with green trees and a path of grey stones to a red door and a cat",
            "noir",
        ),
        ("a (red:1.4) apple", ""),
    ]
    jobs = [
        await submit.imagine(app, asked(text=text, style=style, expand="off", steps=1, size="64x64", user_id=user))
        for user, (text, style) in zip((1, 2, 1), wanted, strict=True)
    ]
    await work(app)
    first, second, third = [notes.sentences(await app.jobs.get(job.id), app.styles) for job in jobs]
    assert first[0] == "doodle does not know: bottle"
    assert second[0].startswith("Not read, there is room for no more: ")
    assert "door and a cat, film noir, black and white photograph" in second[0]
    assert second[1] == "doodle does not know: quiet, lake, path, stones, most words of the style Film noir"
    assert first[-1].startswith("doodle is a small model to try Limner with.")
    assert second[-1] == first[-1]
    assert third == []


async def test_all_notes_at_once_fit_into_a_message(app: App):
    words = "*_~`|>#" * 300
    told = {notes.LEFT_OUT: True, notes.UNREAD: words, notes.UNREAD_NEGATIVE: words, notes.TRYOUT: True}
    told |= {notes.UNKNOWN: [words], notes.UNKNOWN_STYLE: True}
    new = new_job(words[:1500], notes=told, expansion=Expansion(words, words, (), "m", 0.1, words), prompt=words)
    job = await painted(app.jobs, new)
    text = job_messages.ended(job, app.styles, says_ai=True)
    assert len(text) <= 2000
    assert "-# " in text
