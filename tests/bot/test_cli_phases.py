"""What `limner imagine` says is being done, from the rows that a worker writes."""

from limner.bot.app import App
from limner.bot.cli.imagine import phase
from limner.generators.base import Expansion
from tests.rows import new_job, picture


async def test_each_phase_of_a_request_is_named(app: App) -> None:
    seen: list[str] = []
    job = await app.jobs.enqueue(new_job())

    async def look() -> None:
        seen.append(phase(await app.jobs.get(job.id), await app.worker_registry.alive()))

    async def report(*weights: str) -> None:
        await app.worker_registry.report("painter", device="cpu", weights=weights, room=1, painting=None)

    await look()
    await report()
    await look()
    await report("other|")
    await look()
    [claimed] = await app.jobs.claim("painter", capacity=1)
    await look()
    assert await app.jobs.save_expansion(claimed, Expansion("a fox", "", (), "", 0.0), "a fox")
    await look()
    await report(claimed.weights_key)
    await look()
    for step in (1, claimed.steps):
        await app.jobs.record_steps("painter", {job.id: step})
        await look()
    assert await app.jobs.finish(claimed, [picture()], seconds=1.0, busy_seconds=1.0)
    await look()
    assert seen == [
        "starting a worker",
        "loading the model",
        "queued",
        "describing the picture",
        "loading the model",
        "starting to paint",
        f"step 1 of {claimed.steps}",
        "checking the picture",
        "done",
    ]
