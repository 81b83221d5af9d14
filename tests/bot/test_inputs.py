"""Pictures that members give: what is taken, what is refused with one sentence, and what it costs the bot."""

import asyncio
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from limner.bot.app import App
from limner.bot.errors import BadPicture
from limner.bot.provenance.signing import Signing
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.pictures.budget import ByteBudget
from limner.bot.storage.pictures.decoder import BROKEN, KIND, MEMORY, NARROW, PictureDecoder
from limner.bot.storage.pictures.hash_table import HashTable
from limner.bot.storage.pictures.image_store import ImageStore
from limner.bot.storage.pictures.perceptual_hash import PLAIN, fingerprint
from tests.pictures import RED, display_p3, drawn, png_bomb, png_of, saved, two_frames

MOST = 4_000_000


def decoder(most_pixels: int = MOST) -> PictureDecoder:
    """One without stored pictures."""
    unsigned = Signing(Path("nowhere.pem"), Path("nowhere.key"))
    return PictureDecoder(ImageStore(Path("none"), Cipher()), most_pixels, unsigned)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


async def test_a_picture_is_stored_upright_in_srgb_and_without_what_its_camera_says():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    given = saved(drawn(), "JPEG", exif=exif, quality=95, icc_profile=display_p3())
    clean = await decoder().clean(given)

    picture = opened(clean)
    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (40, 60))
    assert picture.convert("RGB").getpixel((35, 5)) != RED  # that red of P3 is another one of sRGB
    assert not [mark for mark in (b"Camera", b"acsp", b"iCCP", b"eXIf") if mark in clean]


async def test_a_large_one_is_made_smaller():
    assert max(opened(await decoder(10_000_000).clean(saved(drawn(size=(3000, 1500)), "JPEG"))).size) == 2048


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", KIND),
        (b"hello", KIND),
        (saved(drawn(), "TIFF"), KIND),
        (saved(drawn(size=(900, 10))), NARROW.format(ratio=8)),
        (saved(drawn(size=(400, 400)), "JPEG")[:-800], BROKEN),
        (png_of(30_000, 30_000), "That picture has over 4 million pixels; choose a smaller one."),
    ],
)
async def test_what_cannot_be_used_is_refused_with_one_sentence(data: bytes, sentence: str):
    with pytest.raises(BadPicture) as refused:
        await decoder().clean(data)
    assert str(refused.value) == sentence


async def test_of_a_phones_two_pictures_the_first_is_known_again():
    picture = Image.effect_noise((20, 15), 90).resize((200, 150), Image.Resampling.BICUBIC).convert("RGB")
    file = io.BytesIO()
    picture.save(file, "MPO", save_all=True, append_images=[drawn()], quality=95)
    nearest = HashTable([(1, fingerprint(picture))]).nearest(await decoder().fingerprint(file.getvalue()), 2)
    assert nearest
    assert nearest.is_alike
    assert await decoder().clean(two_frames("MPO"))
    with pytest.raises(BadPicture, match=PLAIN[:30]):
        await decoder().fingerprint(saved(Image.new("RGB", (30, 30))))


LITTLE_MEMORY = """
import resource, sys
limit = resource.setrlimit
def less(what, limits):
    limit(what, (100 * 2**20,) * 2 if what == resource.RLIMIT_AS else limits)
if "limner.bot.storage.pictures.decoder_process" in sys.orig_argv:
    resource.setrlimit = less
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process's memory as Linux does")
async def test_a_picture_that_needs_more_memory_than_there_is_costs_its_giver_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sitecustomize.py").write_text(LITTLE_MEMORY)
    with pytest.raises(BadPicture) as refused:
        await decoder(40_000_000).clean(png_bomb(6000, 6000))
    assert str(refused.value) == MEMORY


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
async def test_bombs_given_at_once_cost_the_bot_and_the_machine_little(app: App):
    """Forty million transparent pixels in 156 kB took 611 MiB, six at once 3.3 GiB; here are a fifth of that many."""
    bomb, process = png_bomb(3200, 2500), psutil.Process()
    before, most_children = _peak(), 0
    storing = [asyncio.create_task(app.inputs.store(bomb)) for _ in range(2)]
    while not all(one.done() for one in storing):
        children = [one for one in process.children() if "limner.bot.storage.pictures.decoder_process" in _command(one)]
        most_children = max(most_children, len(children))
        await asyncio.sleep(0.02)
    assert len({await one for one in storing}) == 1
    assert most_children == 1
    assert _peak() - before < 40 * 2**20


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _peak() -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


async def test_the_process_that_opens_pictures_knows_no_secret_of_the_bots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIMNER_TOKEN", "abc.def.ghi")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    spy = "import os, pathlib; pathlib.Path(__file__).with_name('seen').write_text(str(dict(os.environ)))"
    (tmp_path / "sitecustomize.py").write_text(spy)
    await decoder().clean(saved(drawn()))
    assert "PYTHONPATH" in (tmp_path / "seen").read_text()
    assert "abc.def.ghi" not in (tmp_path / "seen").read_text()


async def test_the_same_picture_is_one_file_whatever_it_was_called(app: App):
    first, second = await app.inputs.store(saved(drawn())), await app.inputs.store(saved(drawn(), optimize=True))

    assert first == second
    assert app.images.open(first).size == (60, 40)


def test_a_file_of_too_many_bytes_is_refused_before_it_is_read(app: App):
    refuse: Callable[[int], None] = app.inputs.check_size
    refuse(10 * 2**20)
    with pytest.raises(BadPicture, match="over 10 MB"):
        refuse(10 * 2**20 + 1)


@given(
    wanted=st.lists(st.tuples(st.integers(0, 150), st.integers(0, 3), st.booleans()), min_size=1, max_size=30),
    most=st.integers(1, 100),
)
def test_no_more_bytes_are_held_than_there_may_be_and_everybodys_turn_comes(
    wanted: list[tuple[int, int, bool]], most: int
):
    async def work() -> None:
        budget, held, owners, done = ByteBudget(most), 0, set[int](), 0

        async def hold(amount: int, owner: int) -> None:
            nonlocal held, done
            async with budget.turn(owner):
                assert owner not in owners
                owners.add(owner)
                try:
                    async with budget.take(amount):
                        held += min(amount, most)
                        assert held <= most
                        try:
                            await asyncio.sleep(0)
                        finally:
                            held -= min(amount, most)
                finally:
                    owners.remove(owner)
            done += 1

        tasks = [asyncio.create_task(hold(amount, owner)) for amount, owner, _ in wanted]
        await asyncio.sleep(0)
        given_up = [task for task, (*_, gives_up) in zip(tasks, wanted, strict=True) if gives_up and task.cancel()]
        ends: list[Any] = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert [end for end in ends if not isinstance(end, asyncio.CancelledError | None)] == []
        assert done >= len(tasks) - len(given_up)
        async with asyncio.timeout(1), budget.take(most):
            assert held == 0

    asyncio.run(work())
