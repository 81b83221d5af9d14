"""What is stored about a server goes a while after the bot has left it, and stays if it comes back."""

import time

from sqlalchemy import BigInteger, func, select, update

from limner.bot.app import App
from limner.bot.queue.endings import StoredPicture
from limner.bot.storage.member_data import NOBODYS
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.schema import SCHEMA
from limner.bot.storage.tables.server_tables import KnownServer
from limner.bot.storage.wildcard_lists import WildcardLists
from limner.bot.worker.housekeeping import trim
from tests.rows import listed, new_job, painted, seen
from tests.simulated_discord import World, png

HERE, THERE, DAY = 101, 102, 86_400.0


async def known(app: App) -> dict[int, float | None]:
    """The servers, and when the bot left each."""
    async with app.database.read() as session:
        return {row.guild_id: row.left_at for row in await session.scalars(select(KnownServer))}


async def paint(app: App, guild_id: int, shade: int) -> Job:
    picture = StoredPicture(app.images.save(png(shade=shade)), 16, 16, 7, 7, seen())
    return await painted(app.jobs, new_job(f"a fox {shade}", guild_id=guild_id), picture)


async def rows_about(app: App, guild_id: int) -> dict[str, int]:
    """How many rows name a server, by table."""
    found: dict[str, int] = {}
    async with app.database.read() as session:
        for table in SCHEMA.sorted_tables:
            for column in (table.c[name] for name in ("guild_id", "server_id") if name in table.c):
                assert isinstance(column.type, BigInteger)
                count = select(func.count()).select_from(table).where(column == guild_id)
                found[table.name] = await session.scalar(count) or 0
    return {name: number for name, number in found.items() if number}


async def test_everything_of_a_server_goes_a_month_after_the_bot_left_it(app: App):
    old, late, other = await paint(app, HERE, 1), await paint(app, HERE, 2), await paint(app, THERE, 3)
    waiting = await painted(app.jobs, new_job("flagged", guild_id=HERE, quarantine="flagged"))
    await app.reviews.open_due()
    rule = await app.filters.add(HERE, "cow", 1)
    await app.guilds.change(HERE, 1, review_days=3)
    settings = await app.guilds.get(HERE)
    await app.strikes.give(HERE, 1, by=2, why="spam", settings=settings)
    await app.blocked.block(HERE, listed(), 1)
    await WildcardLists(app.database).put(HERE, "animal", ["fox"], 1)
    await app.servers.compare({HERE, THERE})
    await app.servers.leave(HERE)
    now = time.time()
    async with app.database.begin() as session:
        await session.execute(update(Job).where(Job.id != late.id).values(created_at=now - 40 * DAY))
        await session.execute(
            update(KnownServer).where(KnownServer.left_at.is_not(None)).values(left_at=now - 29 * DAY)
        )
    await trim(app)
    assert rule.id
    assert (await rows_about(app, HERE))["jobs"] == 3

    async with app.database.begin() as session:
        await session.execute(
            update(KnownServer).where(KnownServer.left_at.is_not(None)).values(left_at=now - 31 * DAY)
        )
    await trim(app)
    assert await rows_about(app, HERE) == {"jobs": 1}  # a member's own, asked for after that
    assert (await app.jobs.get(late.id)).images
    assert (await app.jobs.get(other.id)).images
    left = {job.images[0].sha256 for job in (late, other)}
    assert {path.stem for path in app.images.folder.glob("*/*.png")} == left
    assert old.images[0].sha256 not in left
    assert waiting.id
    assert await known(app) == {THERE: None}
    assert {"servers"} <= {*NOBODYS}


async def test_a_server_that_comes_back_loses_nothing(app: App):
    job = await paint(app, HERE, 1)
    await app.servers.compare({HERE, THERE})
    await app.servers.compare({THERE})
    assert (await known(app))[HERE]
    async with app.database.begin() as session:
        await session.execute(update(KnownServer).values(left_at=1.0))
    await app.servers.compare({HERE}, lambda guild_id: guild_id == HERE)  # another process has the shard of the other
    assert await known(app) == {HERE: None, THERE: 1.0}
    await app.servers.join(THERE)
    assert await app.servers.purge(0.01) == 0
    assert (await app.jobs.get(job.id)).images


async def test_the_bot_knows_where_it_is_and_notes_that_it_left(world: World):
    other = world.env.create_guild("Other")
    await world.env.settle()
    await world.restart()
    await world.env.settle()
    assert await known(world.app) == {world.guild.id: None, other.id: None}
    [guild] = [guild for guild in world.bot.guilds if guild.id == other.id]
    world.bot.dispatch("guild_remove", guild)

    async def has_left() -> bool:
        return (await known(world.app))[other.id] is not None

    await world.until(has_left, "the server is left")
    world.bot.dispatch("guild_join", guild)

    async def is_back() -> bool:
        return (await known(world.app))[other.id] is None

    await world.until(is_back, "the bot is back")
