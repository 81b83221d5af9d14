"""The thread that checks texts takes servers in turn, so that one with many rules keeps no other waiting."""

import asyncio
import threading
import time

import pytest

from limner.bot import submit
from limner.bot.app import App
from limner.bot.filters.fair_thread import FairThread
from limner.bot.filters.rulebook.entries import Entry
from limner.bot.options.ask import Ask
from limner.bot.place import Where
from tests.discord_records import until


async def test_a_server_that_tests_texts_against_thousands_of_rules_keeps_no_other_one_waiting(app: App) -> None:
    """Neither while its rules are read and built, nor while hundreds of long texts are checked at once."""
    many = [Entry(pattern=f"thing{number:x}q*") for number in range(4000)]
    many += [Entry(pattern=f"thing{number:x}qs", is_allow=True) for number in range(40)]
    await app.filters.put_all(1, many, 7)
    text = " ".join(f"th1ng{number:x}qs" for number in range(100))
    answered: list[str] = []

    async def test() -> None:
        assert await app.filters.matches(Where(1), text)
        answered.append("test")

    async def ask() -> None:
        await submit.imagine(app, Ask(text="a fox", user_id=5, where=Where(2)))
        answered.append("imagine")

    await submit.imagine(app, Ask(text="a fox", user_id=5, where=Where(3)))  # builds what is built once in a process
    tests = [asyncio.create_task(test()) for _ in range(400)]
    await ask()
    assert answered == ["imagine"]  # the others' rules are not even built
    await until(lambda: "test" in answered, 60, "a test is answered")
    await ask()
    assert answered.index("imagine", 1) < 250  # without turns 400 are answered first; with turns on a slow disk, 50
    for left in tests:
        left.cancel()
    await asyncio.gather(*tests, return_exceptions=True)


async def test_a_thread_takes_the_servers_in_turn() -> None:
    thread, order, gate = FairThread("test"), list[str](), threading.Event()
    first = asyncio.create_task(thread.run(1, gate.wait))
    await asyncio.sleep(0)
    many = [asyncio.create_task(thread.run(1, lambda n=n: order.append(f"many {n}"))) for n in range(50)]
    few = [asyncio.create_task(thread.run(2, lambda n=n: order.append(f"few {n}"))) for n in range(3)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *many, *few)
    assert [order.index(f"few {n}") for n in range(3)] == [1, 3, 5]
    assert [one for one in order if one.startswith("many")] == [f"many {n}" for n in range(50)]
    thread.close()


async def test_a_thread_answers_with_errors_and_begins_nothing_that_nobody_waits_for() -> None:
    thread, begun, gate = FairThread("test"), list[int](), threading.Event()
    first = asyncio.create_task(thread.run(1, gate.wait))
    await asyncio.sleep(0)
    given_up = asyncio.create_task(thread.run(1, lambda: begun.append(1)))
    wrong = asyncio.create_task(thread.run(2, lambda: 1 // 0))
    await asyncio.sleep(0)
    given_up.cancel()
    gate.set()
    with pytest.raises(ZeroDivisionError):
        await wrong
    await first
    assert await thread.run(3, lambda: 42) == 42
    assert not begun
    waiting = [asyncio.create_task(thread.run(1, lambda: time.sleep(0.05))) for _ in range(3)]
    await asyncio.sleep(0.01)
    thread.close()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[-1], asyncio.CancelledError)
