"""/metrics and /health: what Prometheus reads of jobs, the filter, appeals and workers, and what stays secret."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any, NamedTuple

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text, update

from limner.bot import submit
from limner.bot.app import App, open_app
from limner.bot.cli.doctor import machine
from limner.bot.errors import Refused, SetupError
from limner.bot.provenance.certificates import VALID_DAYS, make_certificate
from limner.bot.provenance.signing import FOLDER
from limner.bot.queue.metrics import MOST_ROWS, MetricReads
from limner.bot.reasons import ReviewState
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import ENDED, Job
from limner.bot.storage.tables.moderation_tables import DECIDED, Review
from limner.bot.web.expansion_drift import MOST_AT_ONCE, MOST_PLACES, ExpansionDrift
from limner.bot.web.exposition import Histogram, Metric, written
from limner.bot.web.metrics import Metrics, NewRows
from limner.bot.web.server import serving_metrics
from limner.generators.base import Expansion
from tests.rows import asked, new_job, painted
from tests.simulated_discord import World


class Row(NamedTuple):
    id: int
    ended_at: float


SECRET = "a tyrannosaurus at 221B Baker Street"


def values(said: str) -> dict[str, float]:
    """The samples of a text, by name with labels."""
    lines = [line for line in said.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_ended_jobs_are_counted_once_by_status_and_reason(app: App):
    await painted(app.jobs, new_job(SECRET, user_id=424242))
    metrics = Metrics(app)
    assert "limner_jobs_total{" not in await metrics.refresh()  # what ended before the start is not counted
    await painted(app.jobs, new_job(SECRET, user_id=424242))
    failing = await app.jobs.enqueue(new_job(SECRET))
    [claimed] = await app.jobs.claim("painter", capacity=1)
    assert claimed.id == failing.id
    await app.jobs.fail(claimed, "out_of_memory", "It does not fit.")
    await app.filters.add(0, "tyrannosaurus", 1)
    with pytest.raises(Refused):
        await submit.imagine(app, asked(text=SECRET, expand="off"))
    waiting = await app.jobs.enqueue(new_job(SECRET))
    async with app.database.begin() as session:
        await session.execute(update(Job).where(Job.id == waiting.id).values(created_at=time.time() - 60))

    first = values(await metrics.refresh())
    said = await metrics.refresh()
    again = values(said)
    assert first['limner_jobs_total{status="succeeded",reason=""}'] == 1
    assert again['limner_jobs_total{status="succeeded",reason=""}'] == 1
    assert again['limner_jobs_total{status="failed",reason="out_of_memory"}'] == 1
    assert again['limner_filter_decisions_total{verdict="allowed"}'] == 2
    [refused] = [name for name in again if name.startswith('limner_jobs_total{status="refused"')]
    code = refused.split('"')[3]
    assert again[f'limner_filter_decisions_total{{verdict="{code}"}}'] == 1
    assert (again["limner_pictures_total"], again["limner_job_painting_seconds_sum"]) == (1, 2.0)
    assert again["limner_job_waiting_seconds_count"] == 2
    assert (again["limner_jobs_queued"], again["limner_jobs_running"]) == (1, 0)
    assert 60 <= again["limner_oldest_job_seconds"] < 90
    assert not any(secret in said for secret in ("tyrannosaurus", "Baker", "424242", "painter"))


async def test_appeals_and_what_workers_did_are_counted(app: App):
    metrics = Metrics(app)
    await metrics.refresh()
    job = await painted(app.jobs, new_job())
    async with app.database.begin() as session:
        review = Review(created_at=1.0, guild_id=1, user_id=2, job_id=job.id, is_appeal=True, why="filtered")
        session.add(review)
    registry = app.worker_registry
    said: dict[str, Any] = {"device": "cpu", "weights": [], "room": 1, "painting": None}
    await registry.report("a", **said, work={"prompts_encoded": 1, "prompts_cached": 3, "steps_denoised": 20})
    first = values(await metrics.refresh())
    assert (first["limner_appeals_open"], first["limner_workers"]) == (1, 1)
    assert first['limner_prompts_total{result="cached"}'] == 3

    await app.reviews.decide(review.id, ReviewState.APPROVED, 9)
    await registry.report("a", **said, work={"prompts_encoded": 1, "prompts_cached": 4, "steps_denoised": 25})
    await registry.remove("a")
    await registry.report("b", **said, work={"steps_denoised": 5, "steps_skipped": 2})
    again = values(await metrics.refresh())
    assert (again["limner_appeals_open"], again['limner_appeals_total{decision="approved"}']) == (0, 1)
    assert again['limner_picture_steps_total{result="denoised"}'] == 25  # the last report of a worker that ends is lost
    assert again['limner_picture_steps_total{result="skipped"}'] == 2


async def test_a_worker_that_loses_its_lease_or_outlives_the_bot_is_counted_once(app: App):
    said: dict[str, Any] = {"device": "cpu", "weights": [], "room": 1, "painting": None}
    registry = app.worker_registry
    await registry.report("older", **said, work={"steps_denoised": 1000})
    metrics = Metrics(app)
    await registry.report("a", **said, work={"steps_denoised": 20})
    await metrics.refresh()
    await registry.remove("a")
    await metrics.refresh()
    await registry.report("a", **said, work={"steps_denoised": 30})
    await registry.report("older", **said, work={"steps_denoised": 1004})
    assert values(await metrics.refresh())['limner_picture_steps_total{result="denoised"}'] == 34


async def test_a_flood_of_ended_jobs_is_counted_in_parts():
    rows = [Row(number, time.time() + 9 + number // 2) for number in range(2 * MOST_ROWS + 1)]

    async def read(since: float) -> list[Row]:
        return [row for row in rows if row.ended_at >= since][:MOST_ROWS]

    news = NewRows(read)
    found = [await news.next() for _ in range(4)]
    assert [row.id for part in found for row in part] == list(range(len(rows)))


async def test_more_that_ended_at_one_moment_than_one_read_takes_do_not_hold_up_later_ones():
    moment = time.time() + 9
    rows = [Row(number, moment) for number in range(MOST_ROWS + 1)] + [Row(-1, moment + 1)]

    async def read(since: float) -> list[Row]:
        return [row for row in rows if row.ended_at >= since][:MOST_ROWS]

    news = NewRows(read)
    found = [await news.next() for _ in range(3)]
    assert [len(part) for part in found[:2]] == [MOST_ROWS, 0]
    assert found[2][-1].id == -1


async def test_each_read_uses_an_index(app: App):
    plans: list[str] = []
    async with app.database.begin() as session:
        for table, when, where in (("jobs", "finished_at", ENDED), ("reviews", "decided_at", DECIDED)):
            asked_for = f"EXPLAIN QUERY PLAN SELECT id FROM {table} WHERE {where} AND {when} >= 1 ORDER BY {when}"
            plans += [row[3] for row in await session.execute(text(asked_for))]
    assert ["ix_jobs_ended" in plans[0], "ix_reviews_decided" in plans[1], len(plans)] == [True, True, 2]


async def test_a_certificate_that_expires_or_is_gone_is_seen(app: App):
    async def expiry() -> float:
        return values(await Metrics(app).refresh())["limner_certificate_expiry_seconds"]

    assert await expiry() == 0
    signing = make_certificate(app.settings.data / FOLDER, "Ada")
    days_left = (await expiry() - time.time()) / 86_400
    assert VALID_DAYS - 1 < days_left <= VALID_DAYS
    signing.key.write_text("no key")
    assert await expiry() == 0


@pytest.fixture
def settings(settings: Settings, free_tcp_port: int) -> Settings:
    return settings.using(metrics_port=free_tcp_port)


async def fetched(settings: Settings, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{settings.metrics_port}{path}") as got,
    ):
        return got.status, await got.text()


async def test_the_bot_serves_them_until_it_ends(world: World):
    settings = world.app.settings
    await until_served(settings)
    status, said = await fetched(settings, "/metrics")
    assert (status, values(said)["limner_jobs_queued"]) == (200, 0)
    assert await fetched(settings, "/health") == (200, '{"database": true, "discord": true, "workers": 0}')
    assert (await fetched(settings, "/"))[0] == 404


async def test_health_says_when_discord_is_away(app: App):
    async with serving_metrics(app, lambda: False):
        await until_served(app.settings)
        status, said = await fetched(app.settings, "/health")
        assert (status, json.loads(said)["discord"]) == (503, False)
        async with serving_metrics(app, lambda: True):  # the port is taken: the bot goes on without metrics
            pass
    with pytest.raises(aiohttp.ClientError):
        await fetched(app.settings, "/health")


async def test_the_port_is_free_again_after_a_failure(app: App):
    async def fail_while_served() -> None:
        async with serving_metrics(app, lambda: True):
            await until_served(app.settings)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_while_served()
    with pytest.raises(aiohttp.ClientError):
        await fetched(app.settings, "/health")


def test_an_empty_address_does_not_open_the_port_to_everybody(settings: Settings):
    with pytest.raises(SetupError, match="`metrics_host` is empty"):
        settings.using(metrics_host="").check()


async def until_served(settings: Settings) -> None:
    async with asyncio.timeout(10):
        while (await fetched(settings, "/metrics"))[0] != 200:
            pass


def test_the_setting_and_doctor_name_the_port(settings: Settings):
    address = f"http://127.0.0.1:{settings.metrics_port}/metrics"
    assert machine.metrics(settings).what == f"metrics are served at {address} while the bot runs"
    assert "no metrics" in machine.metrics(settings.using(metrics_port=0)).what
    with pytest.raises(SetupError, match="metrics_port"):
        settings.using(metrics_port=70000).check()


@given(st.lists(st.floats(0, 5000), max_size=20), st.text())
def test_the_text_is_what_prometheus_reads(observed: list[float], label: str):
    histogram, metric = Histogram("h", "Seconds.", (1, 10, 1800)), Metric("f", "counter", "Things.", ("why",))
    for one in observed:
        histogram.observe(one)
    metric.add(label)
    lines = [line for line in written([histogram, metric]).split("\n") if not line.startswith("#")]
    counts = [sum(one <= bound for one in observed) for bound in (1, 10, 1800, float("inf"))]
    assert [int(line.rpartition(" ")[2]) for line in lines[:4]] == counts
    assert lines[3] == f'h_bucket{{le="+Inf"}} {len(observed)}'
    assert len(lines) == 8  # a label never breaks its line
    quoted = lines[6].removeprefix('f{why="').removesuffix('"} 1')
    unquoted = re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], quoted)
    assert unquoted == label


def expansion(text: str, note: str = "") -> Expansion:
    return Expansion(text, text.removeprefix(SECRET), (), "smol", 0.5, note)


async def test_expansions_are_compared_with_their_ideas_by_model_and_server(settings: Settings):
    near, lost = f"{SECRET}, soft morning light", "a tyrannosaurus in the street"
    said = [expansion(near), expansion(lost), expansion(SECRET, "The language model repeated itself.")]
    async with open_app(settings.using(embedder="sentence-encoder")) as app:
        metrics = Metrics(app)
        for one in said:
            await painted(app.jobs, new_job(SECRET, guild_id=5, expansion=one))
        await painted(app.jobs, new_job(SECRET, guild_id=5, expansion=Expansion(SECRET, "", (), "", 0.0)))
        await painted(app.jobs, new_job(SECRET, model="other", expansion=expansion(near)))
        text = await metrics.refresh()
        assert await metrics.refresh() == text
    found = values(text)
    place = 'model="tiny",server="5"'
    assert found[f'limner_expansions_total{{{place},result="accepted"}}'] == 2
    assert found[f'limner_expansions_total{{{place},result="rejected"}}'] == 1
    assert found[f"limner_expansion_words_kept_count{{{place}}}"] == 2
    assert 1 < found[f"limner_expansion_words_kept_sum{{{place}}}"] < 2  # one lost some of its words
    assert 1 < found[f"limner_expansion_similarity_sum{{{place}}}"] < 2
    alone = 'model="other",server=""'
    assert [found[f"limner_expansion_words_kept_{name}{{{alone}}}"] for name in ("sum", "count")] == [1, 1]
    assert "tyrannosaurus" not in text


async def test_there_are_only_so_many_models_and_servers(app: App):
    drift = ExpansionDrift(app.meaning, MetricReads(app.database))
    asking = [new_job(guild_id=number, expansion=expansion(SECRET)) for number in range(MOST_PLACES + 2)]
    most = len(asking)
    asked_for = (app.jobs.enqueue(new, per_user=most, per_guild=most) for new in asking)
    ids = [job.id for job in await asyncio.gather(*asked_for)]
    for first in range(0, len(ids), MOST_AT_ONCE):
        await drift.read(ids[first : first + MOST_AT_ONCE])
    found = values(written(drift.metrics))
    counts = {name: value for name, value in found.items() if name.startswith("limner_expansions_total")}
    assert len(counts) == MOST_PLACES + 1
    assert counts['limner_expansions_total{model="tiny",server="other",result="accepted"}'] == 2
