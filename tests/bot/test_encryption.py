"""Encryption at rest: what lies in the data folder with a key, lost and wrong keys, and changing them."""

import io
import json
import shutil
import threading
import zipfile
from base64 import b64encode
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from limner.bot.app import App, open_app
from limner.bot.cli.doctor.encryption import encryption
from limner.bot.cli.encrypt import encrypt
from limner.bot.cli.export import export
from limner.bot.cli.history import show_history
from limner.bot.cli.imagine import imagine
from limner.bot.cli.ratings import print_ratings
from limner.bot.errors import SetupError, WrongKey
from limner.bot.queue.endings import StoredPicture
from limner.bot.queue.jobs import JobQueue
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.cipher import MAGIC, MARK, Cipher
from limner.bot.storage.copy_database import copy_database
from limner.bot.storage.db import Database
from limner.bot.storage.encryption import rewrite
from limner.bot.storage.history.alike import Alike
from limner.bot.storage.history.embeddings import Embeddings, SearchScope
from limner.bot.storage.history.gallery import Filter
from limner.bot.storage.history.meaning import Meaning
from limner.bot.storage.pictures.image_store import ImageStore
from limner.bot.storage.tables.models import Job
from limner.bot.worker.prepare import with_addresses
from limner.generators.base import Expansion
from limner.generators.image_files import open_image, read_file
from limner.generators.remote.http import opened as opened_for_server
from tests.pictures import saved
from tests.rows import QUICKLY_ON_SQLITE, asked, new_job, painted, seen
from tests.simulated_discord import World, png, text_of

KEY, OTHER = (b64encode(bytes([number]) * 32).decode() for number in (1, 2))
WORDS = ("giraffe", "hippo", "glittering", "Xylophone", "wonderful", "abominable", "unruly", "spamming", "ocelot")
"""One word of each text that a member or a moderator writes in these tests."""
PICTURE = (b"PNG\r\n", b"IHDR", b"JFIF", b"parameters")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The usual settings, with a key."""
    return settings.using(encryption_key=KEY)


def found(folder: Path, traces: tuple[str | bytes, ...]) -> set[str | bytes]:
    """Those of the texts that are bytes of a file in the folder."""
    everything = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    return {trace for trace in traces if (trace.encode() if isinstance(trace, str) else trace) in everything}


async def fill(app: App, job: Job, user_id: int, guild_id: int) -> None:
    """What else is stored of a member who asked for a request that is painted now."""
    await app.favourites.star(user_id, job.images[0].id)
    await app.favourites.keep(
        user_id,
        job.images[0].id,
        "Xylophone",
        "xylophone",
    )
    await app.favourites.keep(user_id, job.images[0].id, "XYLOPHONE", "wonderful")
    await app.pending.keep(user_id, {"text": "an ocelot"}, app.images.save(png(shade=9)))
    await app.members.choose(user_id, "negative", "ocelot")
    await app.reports.report(job, user_id + 1, "abominable")
    await app.bans.ban(guild_id, user_id, by=1, why="unruly", until=None)
    await app.strikes.give(guild_id, user_id, by=1, why="spamming", settings=await app.guilds.get(guild_id))
    await app.meaning.rows.write({job.id: np.ones(64, np.float32)})


async def test_no_word_and_no_picture_of_a_whole_request_is_a_byte_of_the_data_folder(
    world: World, capsys: pytest.CaptureFixture[str]
):
    app, data = world.app, world.settings.data
    picture = ("unruly hippo.png", saved(Image.new("RGB", (64, 64), "red")))
    await world.imagine("a zanzibarian giraffe --no hippo", image=picture)
    job = await world.claim()
    expansion = Expansion("a giraffe, glittering", ", glittering", (), "test", 0.1)
    assert await app.jobs.save_expansion(job, expansion, "a giraffe, glittering")
    await app.jobs.save_preview("painter", job.id, 1, saved(Image.new("RGB", (64, 64)), "JPEG"), seen())
    assert found(data, (*WORDS, *PICTURE)) == set()
    await world.finish(job)
    job = await world.delivered(job)
    assert "glittering" in text_of(world.message(job))
    await app.guilds.change(world.guild.id, world.grace.id, review_channel_id=world.channel.id)
    await fill(app, job, world.ada.id, world.guild.id)
    assert found(data, (*WORDS, *PICTURE)) == set()

    kept = await app.favourites.get(world.ada.id, job.images[0].id)
    assert (kept.folder, kept.note) == ("Xylophone", "wonderful")
    shown = await world.ada.slash(world.channel, "history")
    assert shown.response
    assert "zanzibarian giraffe" in text_of(shown.response.message)
    opened = await world.ada.slash(world.channel, "history", id=job.id)
    assert opened.response
    privacy = await world.ada.slash(world.channel, "privacy")
    assert privacy.response
    assert "encrypted where they are stored" in (privacy.response.embeds[0].description or "")
    await world.bot.unload_extension("limner")
    assert found(data, (*WORDS, *PICTURE)) == set()

    assert await encrypt(world.settings, is_off=True, as_json=False)
    assert "Nothing is encrypted any more" in capsys.readouterr().out
    assert found(data, WORDS) == {*WORDS}
    assert found(data, PICTURE) >= {b"PNG\r\n", b"IHDR"}
    async with open_app(world.settings.using(encryption_key="")) as app:
        assert [one.id for one in await app.history.page(None, search="zanzibarian glitt")] == []
        assert [one.id for one in await app.history.page(None, search="zanzibar")] == [job.id]


async def test_members_are_told_that_a_search_goes_by_meaning_only(world: World):
    for options in ({}, {"oldest": True}):
        refused = await world.ada.slash(world.channel, "history", search="giraffe", **options)
        assert refused.response
        said = "goes by meaning" if options else "has no search by meaning"
        assert said in refused.response.content


async def test_what_is_found_by_meaning_says_so(world: World, monkeypatch: pytest.MonkeyPatch):
    meaning = Meaning(world.app.database, "sentence-encoder")
    monkeypatch.setitem(vars(world.app), "meaning", meaning)
    await world.painted("a robot playing the violin")
    await meaning.fill_some()
    shown = await world.ada.slash(world.channel, "history", search="会拉小提琴的机器人")
    assert shown.response
    assert "a robot playing the violin" in (said := text_of(shown.response.message))
    assert "so a search finds by meaning only" in said
    await meaning.close()


@pytest.mark.parametrize(("key", "sentence"), [("", "give its key"), (OTHER, "under another key")])
async def test_a_lost_or_wrong_key_is_one_sentence_and_nothing_is_written(
    settings: Settings, key: str, sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    async with open_app(settings) as app:
        await painted(app.jobs, new_job("a giraffe"), _picture(app.images))
    before = {file: file.read_bytes() for file in settings.data.rglob("*") if file.is_file()}
    wrong = settings.using(encryption_key=key)
    with pytest.raises(SetupError, match=sentence):
        async with open_app(wrong):
            pass
    if key:
        with pytest.raises(SetupError, match=sentence):
            await encrypt(wrong, is_off=False, as_json=False)
    check = await encryption(wrong)
    assert (check.status, check.mend) == ("fail", "LIMNER_ENCRYPTION_KEY")
    assert sentence in check.what
    assert {file: file.read_bytes() for file in settings.data.rglob("*.png")}.items() <= before.items()
    database = Database(settings.url, Cipher(wrong.encryption_keys))
    with pytest.raises(WrongKey):
        async with database.read() as session:
            await session.get(Job, 1)
    await database.close()
    async with open_app(settings) as app:
        assert (await app.jobs.get(1)).idea == "a giraffe"


def _picture(images: ImageStore) -> StoredPicture:
    data = png()
    return StoredPicture(images.save(data), 16, 16, len(data), 7, seen())


@QUICKLY_ON_SQLITE
async def test_a_key_is_changed_and_what_is_under_it_already_is_left_alone(settings: Settings, database_url: str):
    plain = settings.using(encryption_key="", database_url=database_url)
    old, both, new = (plain.using(encryption_key=keys) for keys in (KEY, f"{OTHER} {KEY}", OTHER))
    async with open_app(plain) as app:
        for number in range(3):
            await painted(app.jobs, new_job(f"a giraffe {number}"), _picture(app.images))
    async with open_app(old) as app:
        await painted(app.jobs, new_job("a giraffe 3"), _picture(app.images))
    assert [(await encryption(one)).status for one in (old, both)] == ["warn", "warn"]

    async with open_app(both) as app:
        await painted(app.jobs, new_job("a giraffe 4"), _picture(app.images))
        assert [job.idea for job in await app.history.page(None, limit=9)] == [
            f"a giraffe {n}" for n in (4, 3, 2, 1, 0)
        ]
    assert [await _rewritten(both) for _ in range(2)] == [(4, 1), (0, 0)]
    with pytest.raises(SetupError, match="under another key"):
        async with open_app(old):
            pass
    assert (await encryption(new)).status == "ok"
    async with open_app(new) as app:
        jobs = await app.history.page(None, limit=9)
        assert [job.idea for job in jobs] == [f"a giraffe {n}" for n in (4, 3, 2, 1, 0)]
        assert app.images.read(jobs[0].images[0].sha256) == png()
        assert await app.history.page(None, search="giraffe") == []


async def _rewritten(settings: Settings) -> tuple[int, int]:
    database = Database(settings.url, cipher := Cipher(settings.encryption_keys))
    done = await rewrite(database, ImageStore(settings.data / "images", cipher))
    await database.close()
    return done.rows, done.files


async def test_what_is_damaged_stays_and_so_does_its_key(settings: Settings, capsys: pytest.CaptureFixture[str]):
    async with open_app(settings) as app:
        job = await painted(app.jobs, new_job("a giraffe"), _picture(app.images))
        file = app.images.path(job.images[0].sha256)
    file.write_bytes(damaged := file.read_bytes()[:-1] + b"\0")
    both = settings.using(encryption_key=f"{OTHER} {KEY}")
    assert not await encrypt(both, is_off=False, as_json=True)
    assert json.loads(capsys.readouterr().out)["unreadable"] == 1
    assert file.read_bytes() == damaged
    with pytest.raises(SetupError, match="under another key"):
        async with open_app(settings.using(encryption_key=OTHER)):
            pass


async def test_a_damaged_picture_holds_up_no_answer_and_no_export(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    app, ada = world.app, cast("Any", world.ada)
    whole = await world.imagine("a hippo")
    await world.finish(await world.claim(), size=(24, 24))
    await world.delivered(whole)
    damaged = await world.painted("a giraffe")
    file = app.images.path(damaged.images[0].sha256)
    file.write_bytes(file.read_bytes()[:-1])
    again = await world.painted("a giraffe")  # the same picture, which is the same file
    assert "gone from the bot's disk, or damaged" in world.message(again).content
    shown = await ada.slash(world.channel, "privacy")
    await ada.click(shown.response, label="Export")

    async def is_sent() -> bool:
        return await app.exports.of_member(world.ada.id) is None

    await world.until(is_sent, "the export is sent")
    [letter] = world.ada.user.dm_channel.history()
    with zipfile.ZipFile(io.BytesIO(await letter.attachments[0].read())) as zipped:
        assert f"pictures/{whole.id}-1.png" in zipped.namelist()
        names = f"pictures/{damaged.id}-1, pictures/{again.id}-1"
        assert f"damaged: {names}" in zipped.read("README.txt").decode()
    assert await export(world.settings, world.ada.id, tmp_path / "ada.zip")
    assert "1 pictures" in capsys.readouterr().out
    await app.ratings.choose(world.ada.id, is_shown=True, is_training=True)
    await app.ratings.rate(damaged, is_good=True)
    await print_ratings(world.settings, tmp_path / "rated")
    assert json.loads(capsys.readouterr().out)["files"] == []


async def test_a_picture_that_is_erased_meanwhile_is_swept(settings: Settings):
    async with open_app(settings.using(encryption_key="")) as app:
        sha256 = app.images.save(png())
        app.images.keep(sha256)
    async with open_app(settings) as app:
        app.images.rewrite(sha256)
        assert await app.history.sweep(older_than=-1) == 1
        assert not app.images.has(sha256)


async def test_running_workers_need_the_key_first(settings: Settings):
    async with open_app(settings.using(encryption_key="")) as app:
        await app.worker_registry.report("w", device="cpu", weights=(), room=1, painting=None, trouble=None)
    for is_off, sentence in ((False, "restart `limner run`"), (True, "stop `limner run`")):
        with pytest.raises(SetupError, match=sentence):
            await encrypt(settings, is_off=is_off, as_json=False)


async def test_a_copy_into_another_database_stays_encrypted(settings: Settings, empty_database: Path, tmp_path: Path):
    async with open_app(settings) as app:
        await painted(app.jobs, new_job("a giraffe"), _picture(app.images))
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(empty_database, other / "limner.db")
    copied = settings.using(data=other)
    await copy_database(settings.url, copied.url)
    assert found(other, WORDS) == set()
    async with open_app(copied) as app:
        assert (await app.jobs.get(1)).idea == "a giraffe"


async def test_generators_get_encrypted_pictures_in_the_request(app: App):
    sha256 = app.images.save(saved(Image.new("RGB", (8, 8), "red")))
    new = new_job("a giraffe")
    job = await app.jobs.enqueue(replace(new, request=replace(new.request, init_image=sha256)))
    address = with_addresses(app, job).init_image
    assert address
    assert address.startswith("data:image/png;base64,")
    assert open_image(read_file(address)).getpixel((0, 0)) == (255, 0, 0)
    assert opened_for_server(address).getpixel((0, 0)) == (255, 0, 0)


async def test_the_command_line_asks_for_a_folder_and_copies_pictures_there(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    async with open_app(settings) as app:
        job = await painted(app.jobs, new_job("a giraffe"), _picture(app.images))
        await app.ratings.choose(1, is_shown=True, is_training=True)
        await app.ratings.rate(job, is_good=True)
    for command in (imagine(settings, asked("a fox"), out=None, as_json=True), print_ratings(settings, None)):
        with pytest.raises(SetupError, match="name a folder"):
            await command
    await print_ratings(settings, tmp_path / "rated")
    [file] = json.loads(capsys.readouterr().out)["files"]
    assert Path(file).read_bytes() == png()
    await show_history(settings, Filter(words="giraffe", every_status=True), 5, as_json=True)
    told = capsys.readouterr()
    assert "by meaning only" in told.err
    await show_history(settings, Filter(words="", every_status=True), 5, as_json=True)
    [listed] = json.loads(capsys.readouterr().out)
    assert (listed["idea"], listed["images"]) == ("a giraffe", [])


@pytest.mark.parametrize("key", ["short", "=", "é" * 44, b64encode(bytes(31)).decode()])
def test_what_is_no_key_is_refused(key: str):
    with pytest.raises(SetupError, match="openssl rand -base64 32"):
        Settings.load({"LIMNER_ENCRYPTION_KEY": key})


def test_a_key_in_the_data_folder_is_refused(tmp_path: Path):
    (tmp_path / "limner.toml").write_text(f'encryption_key = "{KEY}"')
    with pytest.raises(SetupError, match="lies beside what the key encrypts"):
        Settings.load({"LIMNER_DATA": str(tmp_path)})


class NoticedCipher(Cipher):
    """Knows how often it decrypted in each thread."""

    def __init__(self) -> None:
        super().__init__([bytes(32)])
        self.threads: Counter[str] = Counter()

    def decrypt(self, stored: bytes) -> bytes:
        self.threads[threading.current_thread().name] += 1
        return super().decrypt(stored)


async def test_embeddings_are_decrypted_beside_the_event_loop(settings: Settings):
    await migrate.upgrade(settings.url)
    cipher = NoticedCipher()
    database = Database(settings.url, cipher)
    jobs = [await painted(JobQueue(database), new_job(user_id=1)) for _ in range(3)]
    words, pictures = Embeddings(database, "e"), Alike(database, "r")
    await words.write({job.id: np.full(64, job.id, np.float32) for job in jobs})
    await pictures.rows.write({job.images[0].id: bytes([job.id] * 8) for job in jobs})
    cipher.threads.clear()
    assert [*(await words.signs(SearchScope(user_id=1), 0, 10)).ids] == [job.id for job in jobs]
    assert threading.current_thread().name not in cipher.threads
    assert len(await pictures.nearest(SearchScope(user_id=1), jobs[0].id, 0, [], 10)) == 2
    assert cipher.threads[threading.current_thread().name] == 1  # the picture to which others are compared
    await database.close()


@pytest.mark.parametrize("marks", [1, 2, 3])
def test_what_somebody_types_is_never_taken_for_encrypted(marks: int):
    words = b64encode(MAGIC + bytes(40)).decode()
    typed = MARK * marks + words
    for cipher, kept in ((Cipher(), words), (Cipher([bytes(32)]), typed)):
        assert cipher.decrypt_text(cipher.encrypt_text(typed)) == kept
